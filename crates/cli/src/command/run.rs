//! `thalweg run`

use clap::Args;
use thalweg_run::{BuildOptions, Command};

use super::build::run_and_tell;
use crate::arguments::{MachineOptions, OutputOptions, ProjectOptions, RefreshOptions, SelectionOptions, TestOptions};
use crate::failure::Failure;
use crate::invocation::Invocation;

/// Arguments of `thalweg run`.
#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// Which tables.
    #[command(flatten)]
    pub selection: SelectionOptions,
    /// How models are refreshed.
    #[command(flatten)]
    pub refresh: RefreshOptions,
    /// What tests look at.
    #[command(flatten)]
    pub tests: TestOptions,
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
    let workbench = invocation.open_to_run(&arguments.project)?;
    let options = BuildOptions {
        full_refresh: arguments.refresh.full_refresh,
        drop_removed: arguments.refresh.drop_removed,
        full_tests: arguments.tests.full_tests,
        ..arguments.machine.build_options(Command::Run, &arguments.selection)
    };
    run_and_tell(&workbench, invocation, |progress| workbench.build(&options, progress))
}
