//! `thalweg completions`

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::failure::Failure;
use crate::output;

/// Arguments of `thalweg completions`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  thalweg completions bash > ~/.local/share/bash-completion/completions/thalweg\n  thalweg completions fish > ~/.config/fish/completions/thalweg.fish"
)]
pub struct Arguments {
    /// The shell.
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Does it.
pub fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut crate::arguments::Arguments::command(), "thalweg", &mut script);
    output::answer(&String::from_utf8_lossy(&script));
    Ok(0)
}
