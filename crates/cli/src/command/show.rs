//! `thalweg show`

use clap::{Args, ValueEnum};
use thalweg_run::rows;

use crate::arguments::{OutputOptions, ProjectOptions};
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output;
use crate::render::human::{Page, text_table};

/// Rows shown on the terminal without `--limit`.
const DEFAULT_LIMIT: usize = 20;

/// Arguments of `thalweg show`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  thalweg show pres.report_order_lines\n  thalweg show \"select count(*) from store.orders\"\n  thalweg show store.orders --format csv > orders.csv"
)]
pub struct Arguments {
    /// A table (`pres.report_order_lines`), or a query in quotes (`"select ..."`).
    #[arg(value_name = "TABLE|SQL")]
    pub what: String,
    /// Show at most so many rows. Without it, 20 as a table and all of them as csv or json.
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// The form of the answer; `--json` is short for `--format json`.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// Which project.
    #[command(flatten)]
    pub project: ProjectOptions,
    /// How is printed.
    #[command(flatten)]
    pub output: OutputOptions,
}

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned columns, for people.
    Table,
    /// Comma-separated values with a header.
    Csv,
    /// One JSON object a line.
    Json,
}

/// Does it.
pub fn run(arguments: &Arguments, invocation: &Invocation) -> Result<u8, Failure> {
    let format = if invocation.json() { Format::Json } else { arguments.format };
    let limit = match format {
        Format::Table => Some(arguments.limit.unwrap_or(DEFAULT_LIMIT)),
        Format::Csv | Format::Json => arguments.limit,
    };
    let shown = invocation.open(&arguments.project)?.show(&arguments.what, limit)?;
    match format {
        Format::Csv => output::answer(&rows::csv(&shown.rows).map_err(|error| unwritable("CSV", &error))?),
        Format::Json => output::answer(&rows::json_lines(&shown.rows).map_err(|error| unwritable("JSON", &error))?),
        Format::Table => {
            output::answer(&text_table::draw(&Page::stdout(invocation.stdout), &shown.table));
            if shown.table.rows.is_empty() {
                output::answer("(no rows)");
            }
            if shown.cut {
                output::answer(&invocation.stdout.faint("… and more rows; `--limit N` shows more of them"));
            }
            if let Some(run) = shown.run {
                invocation.say(&invocation.stderr.faint(format!("as of run {run}")));
            }
            for stale in &shown.stale {
                let (word, table) = (invocation.stderr.yellow("stale"), &stale.table);
                invocation.say(&format!("{word}: {table}: {}", stale.reason));
            }
        }
    }
    Ok(0)
}

fn unwritable(form: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::message(format!("the answer cannot be written as {form}: {error}"))
}
