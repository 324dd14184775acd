//! `thalweg status`

use clap::Args;

use crate::arguments::{OutputOptions, ProjectOptions};
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output;
use crate::render::human::{Page, status};
use crate::render::json;

/// Arguments of `thalweg status`.
#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// Which project.
    #[command(flatten)]
    pub project: ProjectOptions,
    /// How is printed.
    #[command(flatten)]
    pub output: OutputOptions,
}

/// Does it.
pub fn run(arguments: &Arguments, invocation: &Invocation) -> Result<u8, Failure> {
    let answer = invocation.open(&arguments.project)?.status()?;
    output::answer(&if invocation.json() {
        json::tagged("status", &answer)
    } else {
        status::draw(&Page::stdout(invocation.stdout), &answer)
    });
    Ok(0)
}
