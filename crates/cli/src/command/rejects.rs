//! `thalweg rejects`

use clap::{Args, Subcommand};
use thalweg_run::{Command, RejectFilter};

use super::build::run_and_tell;
use crate::arguments::{MachineOptions, OutputOptions, ProjectOptions, SelectionOptions};
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output;
use crate::render::human::{Page, rejects};
use crate::render::json;

/// Arguments of `thalweg rejects`.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    /// List or replay.
    #[command(subcommand)]
    pub verb: Option<Verb>,
    /// The list.
    #[command(flatten)]
    pub list: List,
}

/// What can be done with rejects.
#[derive(Debug, Clone, Subcommand)]
pub enum Verb {
    /// List rejected records (also without this word).
    List(List),
    /// Read rejected records again under the present definition of their stream, in a run of its own.
    Replay(Replay),
}

/// The list of rejects.
#[derive(Debug, Clone, Args)]
pub struct List {
    /// Only this stream: `source.stream`, or its store table.
    #[arg(value_name = "STREAM")]
    pub stream: Option<String>,
    /// Only what this run rejected.
    #[arg(long, value_name = "N")]
    pub run: Option<i64>,
    /// List also the records that were replayed since.
    #[arg(long)]
    pub all: bool,
    /// List at most so many.
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub limit: u64,
    /// Which project.
    #[command(flatten)]
    pub project: ProjectOptions,
    /// How is printed.
    #[command(flatten)]
    pub output: OutputOptions,
}

/// Which rejects are read again.
#[derive(Debug, Clone, Args)]
pub struct Replay {
    /// Only this stream: `source.stream`, or its store table.
    #[arg(value_name = "STREAM")]
    pub stream: Option<String>,
    /// Only what this run rejected.
    #[arg(long, value_name = "N")]
    pub run: Option<i64>,
    /// Only the rejects of these numbers.
    #[arg(long, value_name = "ID", num_args = 1.., value_delimiter = ',')]
    pub id: Vec<i64>,
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

impl Arguments {
    /// How is printed.
    pub fn output(&self) -> OutputOptions {
        match &self.verb {
            Some(Verb::List(list)) => list.output,
            Some(Verb::Replay(replay)) => replay.output,
            None => self.list.output,
        }
    }
}

/// Does it.
pub fn run(arguments: &Arguments, invocation: &Invocation) -> Result<u8, Failure> {
    match &arguments.verb {
        None => list(&arguments.list, invocation),
        Some(Verb::List(arguments)) => list(arguments, invocation),
        Some(Verb::Replay(arguments)) => replay(arguments, invocation),
    }
}

fn list(arguments: &List, invocation: &Invocation) -> Result<u8, Failure> {
    let filter = RejectFilter {
        stream: arguments.stream.clone(),
        run: arguments.run,
        ids: Vec::new(),
        all: arguments.all,
        // One more than is shown, to know whether there are more.
        limit: Some(arguments.limit.saturating_add(1)),
    };
    let mut records = invocation.open(&arguments.project)?.rejects(&filter)?;
    let shown = usize::try_from(arguments.limit).unwrap_or(usize::MAX);
    let cut = records.len() > shown;
    records.truncate(shown);
    output::answer(&if invocation.json() {
        json::lines("reject", &records)
    } else {
        rejects::draw(&Page::stdout(invocation.stdout), &records, cut)
    });
    Ok(0)
}

fn replay(arguments: &Replay, invocation: &Invocation) -> Result<u8, Failure> {
    let workbench = invocation.open_to_run(&arguments.project)?;
    let filter = RejectFilter {
        stream: arguments.stream.clone(),
        run: arguments.run,
        ids: arguments.id.clone(),
        all: false,
        limit: None,
    };
    let options = arguments.machine.build_options(Command::Build, &SelectionOptions::default());
    run_and_tell(&workbench, invocation, |progress| workbench.replay(&filter, &options, progress))
}
