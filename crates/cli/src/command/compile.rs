//! `thalweg compile`

use clap::Args;
use thalweg_run::{CompiledTable, Workbench};

use crate::arguments::{OutputOptions, ProjectOptions, SelectionOptions};
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output;
use crate::render::json;

/// Arguments of `thalweg compile`.
#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// A model, test or report. Without it, everything that is selected.
    #[arg(value_name = "NAME", conflicts_with_all = ["select", "exclude"])]
    pub name: Option<String>,
    /// Which tables.
    #[command(flatten)]
    pub selection: SelectionOptions,
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
    let compiled = match &arguments.name {
        Some(name) => named(&workbench, name)?,
        None => {
            workbench.compile(arguments.selection.selected().as_deref(), arguments.selection.excluded().as_deref())?
        }
    };
    output::answer(&if invocation.json() { json::lines("compiled", &compiled) } else { sql(&compiled) });
    Ok(0)
}

/// What has the name, be it model, test or report; otherwise what a selector selects.
fn named(workbench: &Workbench, name: &str) -> Result<Vec<CompiledTable>, Failure> {
    let is = |text: &str| text.eq_ignore_ascii_case(name);
    let mut compiled = workbench.compile(None, None)?;
    compiled.retain(|table| is(&table.name) || table.name.rsplit('.').next().is_some_and(is));
    if !compiled.is_empty() {
        return Ok(compiled);
    }
    if let Some(test) = workbench.project().tests.iter().find(|test| is(&test.name)) {
        let message = format!("the test `{name}` is declared in {} and has no SQL of its own", test.location.file);
        return Err(Failure::message(message).with_help("`thalweg test` runs it and shows the rows that fail"));
    }
    Ok(workbench.compile(Some(name), None)?)
}

/// One statement alone, or several, each under a comment that names it.
pub fn sql(compiled: &[CompiledTable]) -> String {
    if let [only] = compiled {
        return format!("{}\n", only.sql.trim_end());
    }
    let parts: Vec<_> = compiled
        .iter()
        .map(|table| format!("-- {} {} ({})\n{};\n", table.kind, table.name, table.file, trimmed(&table.sql)))
        .collect();
    parts.join("\n")
}

fn trimmed(sql: &str) -> &str {
    sql.trim().trim_end_matches(';').trim_end()
}
