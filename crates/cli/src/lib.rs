//! The command line: one file a verb in [`command`], what people and programs read in [`render`].
//!
//! Data goes to stdout, talk goes to stderr. Nothing here decides anything about data: arguments become one call of
//! [`thalweg_run::Workbench`], its answer becomes text.

#![forbid(unsafe_code)]

pub mod arguments;
pub mod command;
pub mod diagnostics;
pub mod failpoints;
pub mod failure;
pub mod folder;
pub mod invocation;
pub mod output;
pub mod progress;
pub mod render;
pub mod stop;
pub mod variables;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::arguments::Arguments;
use crate::invocation::Invocation;

/// Runs the program with the arguments of the process.
pub fn main() -> ExitCode {
    let _failpoints = failpoints::arm();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // A closed pipe is nobody's mistake: there is nothing left to say and nobody to say it to.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    start_log();
    let Some(verb) = arguments.verb else {
        output::answer(&Arguments::command().render_help().to_string());
        return ExitCode::from(answered(0));
    };
    let invocation = Invocation::new(verb.output());
    match verb.run(&invocation) {
        Ok(code) => ExitCode::from(answered(code)),
        Err(failure) => {
            invocation.report(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}

/// The exit code of a command that did what it should: another one where its answer could not be written.
fn answered(code: u8) -> u8 {
    let Some(why) = output::unwritten() else { return code };
    output::talk(&format!("error: the answer could not be written: {why}"));
    2
}

/// Sends the log to stderr when `THALWEG_LOG` asks for it (`debug`, `thalweg_run=trace`). Off by default.
fn start_log() {
    let Ok(filter) = std::env::var("THALWEG_LOG") else { return };
    match filter.parse::<tracing_subscriber::EnvFilter>() {
        Ok(filter) => {
            tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
        }
        Err(error) => output::talk(&format!("warning: THALWEG_LOG is not a log filter and is ignored: {error}")),
    }
}
