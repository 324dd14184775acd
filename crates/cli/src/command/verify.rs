//! `thalweg verify`

use clap::Args;
use thalweg_run::{BuildOptions, Command};

use crate::arguments::{MachineOptions, OutputOptions, ProjectOptions, SelectionOptions, share};
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output;
use crate::render::human::{Page, verification};
use crate::render::json;

/// Arguments of `thalweg verify`.
#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// Which tables.
    #[command(flatten)]
    pub selection: SelectionOptions,
    /// Compare only this part of the keys, chosen anew each time: `1%`, `0.01`.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub sample: Option<f64>,
    /// How much of the machine.
    #[command(flatten)]
    pub machine: MachineOptions,
    /// Which project.
    #[command(flatten)]
    pub project: ProjectOptions,
    /// How is printed.
    #[command(flatten)]
    pub output: OutputOptions,
}

/// Does it.
pub fn run(arguments: &Arguments, invocation: &Invocation) -> Result<u8, Failure> {
    let workbench = invocation.open(&arguments.project)?;
    let options = BuildOptions {
        sample: arguments.sample,
        ..arguments.machine.build_options(Command::Build, &arguments.selection)
    };
    let progress = invocation.progress();
    let outcomes = workbench.verify(&options, progress.as_ref());
    progress.finish();
    let outcomes = outcomes?;
    let exit_code = u8::from(outcomes.iter().any(|outcome| outcome.equal == Some(false)));
    if invocation.json() {
        output::answer(&json::verification(&outcomes, exit_code));
    } else if !invocation.output.quiet || exit_code != 0 {
        output::answer(&verification::draw(&Page::stdout(invocation.stdout), &outcomes));
    }
    Ok(exit_code)
}
