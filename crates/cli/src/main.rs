//! The program `thalweg`. Everything it does is in the library beside it, where tests can reach it.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    thalweg_cli::main()
}
