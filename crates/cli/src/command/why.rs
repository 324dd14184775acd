//! `thalweg why`

use clap::Args;

use crate::arguments::{OutputOptions, ProjectOptions};
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output;
use crate::render::human::{Page, why};
use crate::render::json;

/// Arguments of `thalweg why`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  thalweg why store.orders 17\n  thalweg why pres.by_month month=2026-03-01 company=7\n  thalweg why store.orders 17 --history"
)]
pub struct Arguments {
    /// The table: `pres.by_month`, or `by_month` where that is one.
    #[arg(value_name = "TABLE")]
    pub table: String,
    /// The row: the values of its key in order, or `column=value` for any columns.
    #[arg(value_name = "KEY", required = true, num_args = 1..)]
    pub key: Vec<String>,
    /// Show its earlier versions too, as far as they are remembered.
    #[arg(long)]
    pub history: bool,
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
    let answer = workbench.why(&arguments.table, &arguments.key, arguments.history)?;
    output::answer(&if invocation.json() {
        json::tagged("why", &answer)
    } else {
        why::draw(&Page::stdout(invocation.stdout), &answer)
    });
    Ok(u8::from(answer.rows.is_empty()))
}
