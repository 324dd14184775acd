//! `thalweg runs`

use clap::{Args, Subcommand};

use crate::arguments::{OutputOptions, ProjectOptions};
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output;
use crate::render::human::{Page, runs};
use crate::render::json;

/// Arguments of `thalweg runs`.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    /// One run, or the list.
    #[command(subcommand)]
    pub verb: Option<Verb>,
    /// The list.
    #[command(flatten)]
    pub list: List,
}

/// What can be asked of runs.
#[derive(Debug, Clone, Subcommand)]
pub enum Verb {
    /// Show everything that is known of one run.
    Show(Show),
}

/// The list of runs.
#[derive(Debug, Clone, Args)]
pub struct List {
    /// List at most so many runs.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: usize,
    /// Which project.
    #[command(flatten)]
    pub project: ProjectOptions,
    /// How is printed.
    #[command(flatten)]
    pub output: OutputOptions,
}

/// One run.
#[derive(Debug, Clone, Args)]
pub struct Show {
    /// The number of the run.
    #[arg(value_name = "RUN")]
    pub run: i64,
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
            Some(Verb::Show(show)) => show.output,
            None => self.list.output,
        }
    }
}

/// Does it.
pub fn run(arguments: &Arguments, invocation: &Invocation) -> Result<u8, Failure> {
    let page = Page::stdout(invocation.stdout);
    match &arguments.verb {
        Some(Verb::Show(show)) => {
            let detail = invocation.open(&show.project)?.run_detail(show.run)?;
            output::answer(&if invocation.json() {
                json::tagged("run", &detail)
            } else {
                runs::draw_detail(&page, &detail)
            });
        }
        None => {
            let list = invocation.open(&arguments.list.project)?.runs(arguments.list.limit)?;
            output::answer(&if invocation.json() { json::lines("run", &list) } else { runs::draw(&page, &list) });
        }
    }
    Ok(0)
}
