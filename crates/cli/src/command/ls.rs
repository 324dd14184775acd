//! `thalweg ls`

use clap::{Args, ValueEnum};

use crate::arguments::{OutputOptions, ProjectOptions, SelectionOptions};
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output;
use crate::render::human::{Page, listing};
use crate::render::json;

/// Arguments of `thalweg ls`.
#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// The form of the list; plain names when it is piped, a table on a terminal. `--json` is short for `--output json`.
    #[arg(long = "output", value_enum, value_name = "FORM")]
    pub form: Option<Form>,
    /// Which nodes.
    #[command(flatten)]
    pub selection: SelectionOptions,
    /// Which project.
    #[command(flatten)]
    pub project: ProjectOptions,
    /// How is printed.
    #[command(flatten)]
    pub output: OutputOptions,
}

/// The form of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// One name a line.
    Name,
    /// Names with kind, file and tags.
    Table,
    /// Every table with what it reads.
    Tree,
    /// One JSON object a line.
    Json,
}

/// Does it.
pub fn run(arguments: &Arguments, invocation: &Invocation) -> Result<u8, Failure> {
    use std::io::IsTerminal;
    let workbench = invocation.open(&arguments.project)?;
    let nodes = workbench.list(arguments.selection.selected().as_deref(), arguments.selection.excluded().as_deref())?;
    let form = match arguments.form {
        _ if invocation.json() => Form::Json,
        Some(form) => form,
        None if std::io::stdout().is_terminal() => Form::Table,
        None => Form::Name,
    };
    let page = Page::stdout(invocation.stdout);
    output::answer(&match form {
        Form::Name => listing::names(&nodes),
        Form::Table => listing::draw(&page, &nodes),
        Form::Tree => listing::tree(&page, &nodes),
        Form::Json => json::lines("node", &nodes),
    });
    Ok(0)
}
