//! `thalweg test`

use clap::Args;
use thalweg_run::{BuildOptions, Command, TestState, Workbench};

use crate::arguments::{MachineOptions, OutputOptions, ProjectOptions, SelectionOptions};
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output;
use crate::render::human::number::counted;
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

/// `1 test was`, `2 tests were`.
fn were(tests: usize) -> String {
    format!("{} {}", counted(tests as u64, "test"), if tests == 1 { "was" } else { "were" })
}

/// Why no test was run although the project has some. That is no success: who asks for tests wants to know that something was tested.
fn none_ran(workbench: &Workbench, selected: usize) -> Result<Failure, Failure> {
    if workbench.status()?.published_run.is_none() {
        let target = &workbench.project().target.name;
        let message = format!("no test was run: nothing is published for target {target} yet");
        return Ok(Failure::message(message).with_help("run `thalweg build` first"));
    }
    let failure = if selected == 0 {
        Failure::message("no test was run: the selection has none").with_help("`thalweg ls` lists the tests")
    } else {
        let message =
            format!("no test was run: {} selected, but not every table they look at is built", were(selected));
        Failure::message(message).with_help("run `thalweg build` first")
    };
    Ok(failure.with_exit_code(1))
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
    let listed = workbench.list(options.select.as_deref(), options.exclude.as_deref())?;
    let selected = listed.iter().filter(|listed| listed.kind == "test").count();
    if outcomes.is_empty() && !workbench.project().tests.is_empty() {
        return Err(none_ran(&workbench, selected)?);
    }
    let not_run = selected.saturating_sub(outcomes.len());
    if not_run > 0 {
        invocation.say(&format!("{} not run: not every table they look at is built", were(not_run)));
    }
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
