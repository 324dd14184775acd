//! `thalweg test`

use clap::Args;
use thalweg_run::{BuildOptions, Command, TestState};

use crate::arguments::{MachineOptions, OutputOptions, ProjectOptions, SelectionOptions};
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output;
use crate::render::human::{Page, tests};
use crate::render::json;

/// Arguments of `thalweg test`.
#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// Which tables and tests.
    #[command(flatten)]
    pub selection: SelectionOptions,
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
    let options =
        BuildOptions { full_tests: true, ..arguments.machine.build_options(Command::Build, &arguments.selection) };
    let progress = invocation.progress();
    let outcomes = workbench.test(&options, progress.as_ref());
    progress.finish();
    let outcomes = outcomes?;
    let exit_code = u8::from(outcomes.iter().any(|test| test.state == TestState::Fail));
    if invocation.json() {
        output::answer(&json::test_summary(&outcomes, exit_code));
    } else if invocation.output.quiet {
        output::answer(&tests::draw_failures(&Page::stdout(invocation.stdout), &outcomes));
    } else {
        output::answer(&tests::draw_alone(&Page::stdout(invocation.stdout), &outcomes));
    }
    Ok(exit_code)
}
