//! `thalweg load`

use clap::Args;
use thalweg_run::{BuildOptions, Command};

use super::build::run_and_tell;
use crate::arguments::{
    DatabaseReadOptions, MachineOptions, OutputOptions, ProjectOptions, SelectionOptions, TestOptions,
};
use crate::failure::Failure;
use crate::invocation::Invocation;

/// Arguments of `thalweg load`.
#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// Which tables.
    #[command(flatten)]
    pub selection: SelectionOptions,
    /// What is read of databases.
    #[command(flatten)]
    pub databases: DatabaseReadOptions,
    /// Compare tables of databases with the store whatever their cursors say, and mend what differs.
    #[arg(long, help_heading = "Databases")]
    pub reconcile: bool,
    /// Rebuild store tables from everything that landed; tables of databases are read again.
    #[arg(long, short = 'f', help_heading = "Run")]
    pub full_refresh: bool,
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
    let workbench = invocation.open_to_load(&arguments.project)?;
    let options = BuildOptions {
        full_refresh: arguments.full_refresh,
        from: arguments.databases.from.clone(),
        confirm_deletes: arguments.databases.confirm_deletes,
        reconcile: arguments.reconcile,
        full_tests: arguments.tests.full_tests,
        ..arguments.machine.build_options(Command::Load, &arguments.selection)
    };
    run_and_tell(&workbench, invocation, |progress| workbench.build(&options, progress))
}
