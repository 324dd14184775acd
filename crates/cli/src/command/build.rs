//! `thalweg build`, and how any run is done and told.

use clap::Args;
use thalweg_run::{BuildOptions, Command, RunError, RunOutcome, Workbench};

use crate::arguments::{
    DatabaseReadOptions, MachineOptions, OutputOptions, ProjectOptions, RefreshOptions, SelectionOptions, TestOptions,
    share,
};
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output;
use crate::progress::Progress;
use crate::render::human::{Page, report, summary};
use crate::render::json;

/// Arguments of `thalweg build`.
#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// Which tables.
    #[command(flatten)]
    pub selection: SelectionOptions,
    /// How models are refreshed.
    #[command(flatten)]
    pub refresh: RefreshOptions,
    /// What is read of databases.
    #[command(flatten)]
    pub databases: DatabaseReadOptions,
    /// What tests look at.
    #[command(flatten)]
    pub tests: TestOptions,
    /// Afterwards compare this part of the keys of each refreshed model with its query: `1%`, `0.01`.
    #[arg(long, value_name = "SHARE", value_parser = share, help_heading = "Run")]
    pub verify: Option<f64>,
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
        full_refresh: arguments.refresh.full_refresh,
        drop_removed: arguments.refresh.drop_removed,
        from: arguments.databases.from.clone(),
        confirm_deletes: arguments.databases.confirm_deletes,
        full_tests: arguments.tests.full_tests,
        sample: arguments.verify,
        ..arguments.machine.build_options(Command::Build, &arguments.selection)
    };
    run_and_tell(&workbench, invocation, |progress| workbench.build(&options, progress))
}

/// Does a run with progress on the way and tells what became of it.
pub fn run_and_tell(
    workbench: &Workbench,
    invocation: &Invocation,
    work: impl FnOnce(&dyn Progress) -> Result<RunOutcome, RunError>,
) -> Result<u8, Failure> {
    let progress = invocation.progress();
    let outcome = work(progress.as_ref());
    progress.finish();
    let outcome = outcome.map_err(|error| Failure::of_build(error, workbench))?;
    tell(invocation, &outcome);
    Ok(outcome.exit_code())
}

/// Reports first, then the summary: the last lines are those a person reads.
fn tell(invocation: &Invocation, outcome: &RunOutcome) {
    if invocation.json() {
        output::answer(&json::summary(outcome));
        return;
    }
    let page = Page::stdout(invocation.stdout);
    for answer in &outcome.reports {
        output::answer(&format!("{}\n", report::draw(&page, answer)));
    }
    let text =
        if invocation.output.quiet { summary::draw_quiet(&page, outcome) } else { summary::draw(&page, outcome) };
    output::answer(&text);
}
