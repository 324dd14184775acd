//! `thalweg compile`

use clap::Args;
use thalweg_run::CompiledTable;

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
    let select = arguments.name.clone().or_else(|| arguments.selection.selected());
    let mut compiled = workbench.compile(select.as_deref(), arguments.selection.excluded().as_deref())?;
    if let Some(name) = &arguments.name {
        only(&mut compiled, name);
    }
    output::answer(&if invocation.json() { json::lines("compiled", &compiled) } else { sql(&compiled) });
    Ok(0)
}

/// A model is selected with its tests; who names it wants it alone.
fn only(compiled: &mut Vec<CompiledTable>, name: &str) {
    let is_named = |table: &CompiledTable| table.name == name || table.name.rsplit('.').next() == Some(name);
    if compiled.iter().any(is_named) {
        compiled.retain(is_named);
    }
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
