//! `thalweg conns`

use clap::{Args, Subcommand};
use thalweg_run::{DiscoveredTable, RunError, Workbench};

use crate::arguments::{OutputOptions, ProjectOptions};
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output;
use crate::render::human::number::counted;
use crate::render::human::{Page, connections};
use crate::render::json;

/// Arguments of `thalweg conns`.
#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// Test or discover.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What can be done with connections.
#[derive(Debug, Clone, Subcommand)]
pub enum Verb {
    /// Reach a source, or all of them, and say in one line what was found.
    ///
    /// Exit code 2 when one of them cannot be reached.
    Test(Test),
    /// Show the tables of a database: columns, keys, likely cursors and marks of deletion.
    ///
    /// What was found is remembered beside the project, so that wildcards and keys are known without the database.
    Discover(Discover),
}

/// Which source is reached.
#[derive(Debug, Clone, Args)]
pub struct Test {
    /// The source: its file's name without `.yml`. Without it, all of them.
    #[arg(value_name = "SOURCE")]
    pub source: Option<String>,
    /// Which project.
    #[command(flatten)]
    pub project: ProjectOptions,
    /// How is printed.
    #[command(flatten)]
    pub output: OutputOptions,
}

/// Which database is discovered.
#[derive(Debug, Clone, Args)]
pub struct Discover {
    /// The source: its file's name without `.yml`.
    #[arg(value_name = "SOURCE")]
    pub source: String,
    /// Only tables whose name holds this text.
    #[arg(long, value_name = "TEXT")]
    pub like: Option<String>,
    /// Show the columns of each table.
    #[arg(long)]
    pub columns: bool,
    /// Write streams for the tables into the source's file, which must have none yet.
    #[arg(long)]
    pub write: bool,
    /// Which project.
    #[command(flatten)]
    pub project: ProjectOptions,
    /// How is printed.
    #[command(flatten)]
    pub output: OutputOptions,
}

impl Arguments {
    /// How this is to print.
    pub fn output(&self) -> OutputOptions {
        match &self.verb {
            Verb::Test(arguments) => arguments.output,
            Verb::Discover(arguments) => arguments.output,
        }
    }
}

/// Does it.
pub fn run(arguments: &Arguments, invocation: &Invocation) -> Result<u8, Failure> {
    match &arguments.verb {
        Verb::Test(arguments) => test(arguments, invocation),
        Verb::Discover(arguments) => discover(arguments, invocation),
    }
}

fn test(arguments: &Test, invocation: &Invocation) -> Result<u8, Failure> {
    let workbench = invocation.open(&arguments.project)?;
    let names: Vec<String> = match &arguments.source {
        Some(source) => vec![source.clone()],
        None => workbench.project().sources.iter().map(|source| source.name.clone()).collect(),
    };
    let tests = names.iter().map(|name| workbench.test_connection(name)).collect::<Result<Vec<_>, RunError>>()?;
    output::answer(&if invocation.json() {
        json::lines("connection", &tests)
    } else {
        connections::tests(&Page::stdout(invocation.stdout), &tests)
    });
    Ok(if tests.iter().all(|test| test.reached) { 0 } else { 2 })
}

fn discover(arguments: &Discover, invocation: &Invocation) -> Result<u8, Failure> {
    let workbench = invocation.open(&arguments.project)?;
    let mut tables = workbench.discover(&arguments.source)?;
    if let Some(like) = &arguments.like {
        tables.retain(|table| table.table.to_lowercase().contains(&like.to_lowercase()));
    }
    if arguments.write {
        return write(arguments, invocation, &workbench, &tables);
    }
    let page = Page::stdout(invocation.stdout);
    output::answer(&match (invocation.json(), arguments.columns) {
        (true, _) => json::lines("table", &tables),
        (false, true) => connections::columns(&page, &tables),
        (false, false) => connections::tables(&page, &tables),
    });
    Ok(0)
}

fn write(
    arguments: &Discover,
    invocation: &Invocation,
    workbench: &Workbench,
    tables: &[DiscoveredTable],
) -> Result<u8, Failure> {
    let file = workbench.source_file(&arguments.source, tables)?;
    let path = workbench.folder().join(&file.path);
    std::fs::write(&path, &file.text)
        .map_err(|error| Failure::message(format!("cannot write {}: {error}", path.display())))?;
    if invocation.json() {
        output::answer(&json::tagged("written", &file));
    } else {
        let (streams, tables) = (counted(file.streams as u64, "stream"), counted(file.tables as u64, "table"));
        invocation.say(&format!("{}: {streams} for {tables}\n", file.path));
    }
    Ok(0)
}
