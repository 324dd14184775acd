//! `thalweg plan`

use clap::Args;
use thalweg_run::{BuildOptions, Command};

use crate::arguments::{MachineOptions, OutputOptions, ProjectOptions, RefreshOptions, SelectionOptions};
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output;
use crate::render::human::{Page, plan};
use crate::render::json;

/// Arguments of `thalweg plan`.
#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// Which tables.
    #[command(flatten)]
    pub selection: SelectionOptions,
    /// How models would be refreshed.
    #[command(flatten)]
    pub refresh: RefreshOptions,
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
        ..arguments.machine.build_options(Command::Build, &arguments.selection)
    };
    let answer = workbench.plan(&options)?;
    output::answer(&if invocation.json() {
        json::tagged("plan", &answer)
    } else {
        plan::draw(&Page::stdout(invocation.stdout), &answer)
    });
    Ok(0)
}
