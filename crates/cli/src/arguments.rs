//! The arguments of the program. What one verb takes stands in its own file under [`crate::command`].

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use thalweg_run::{BuildOptions, Command};

use crate::command;
use crate::failure::Failure;
use crate::invocation::Invocation;

/// Builds and keeps a data warehouse, and moves only what moved.
#[derive(Debug, Parser)]
#[command(
    name = "thalweg",
    version,
    disable_help_subcommand = true,
    max_term_width = 100,
    after_help = "`thalweg demo` shows it at work in ten seconds; `thalweg VERB --help` explains each verb."
)]
pub struct Arguments {
    /// What is to be done.
    #[command(subcommand)]
    pub verb: Option<Verb>,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Make a new project, empty or from an example.
    ///
    /// Without an example it is a small commented project to start from; with one, a complete project with data of its
    /// own.
    Init(command::init::Arguments),
    /// Make an example project with its own data, build it, change a little and build again.
    Demo(command::demo::Arguments),
    /// Check everything that can be checked without running.
    ///
    /// Every mistake of every file is reported at once. Exit code 2 when there are errors; warnings alone leave it at
    /// 0.
    Validate(command::validate::Arguments),
    /// Reach sources, and see what a database holds.
    Conns(command::conns::Arguments),
    /// Show what a build would do, without doing it.
    ///
    /// Each table with how it would be refreshed and why. Sources are not read, so that a model may still turn out to
    /// have nothing to do; the run records what was decided.
    Plan(command::plan::Arguments),
    /// Say how a model is refreshed, and why so.
    ///
    /// By which keys its rows are replaced, how a change of each table it reads finds them, and what is sent; for a model that is
    /// computed anew at each change, what stands in the way, where, and what to write instead.
    Explain(command::explain::Arguments),
    /// Extract what is new, merge it, refresh the models, test and publish.
    ///
    /// Everything is published at once: readers see the warehouse as it was before or as it is after, never between.
    /// When a test fails, nothing is published.
    ///
    /// Exit code 0: all well. 1: the run finished and something failed. 2: it could not run.
    Build(command::build::Arguments),
    /// Extract and merge only; models stay as they are.
    ///
    /// Models whose inputs changed are stale until the next `build` or `run`.
    Load(command::load::Arguments),
    /// Refresh models only; sources are not read.
    ///
    /// The models are refreshed from what the store holds, tested and published.
    Run(command::run::Arguments),
    /// Run the data tests over everything that is published.
    ///
    /// Nothing is changed. Exit code 1 when a test of severity `error` fails.
    Test(command::test::Arguments),
    /// Compare every table with what it ought to be.
    ///
    /// Every model is compared with its own query, every store table with what landing still holds. Nothing is changed.
    /// Exit code 1 when a table differs.
    Verify(command::verify::Arguments),
    /// Print the SQL that is sent to the warehouse.
    ///
    /// Of models, tests and reports: templates are rendered and names resolved.
    Compile(command::compile::Arguments),
    /// List the tables, tests and reports of the project.
    ///
    /// Store tables, seeds and models come in order of dependency. With a selector, this shows what it finds.
    Ls(command::ls::Arguments),
    /// Show how every table of the warehouse stands.
    ///
    /// The run that readers see, and for each table its rows, the run that last changed it, and whether it is stale.
    Status(command::status::Arguments),
    /// List past runs, newest first, or show one.
    Runs(command::runs::Arguments),
    /// Say where a row comes from.
    ///
    /// Which run wrote it last, from which changed rows of which tables, and at the end from which line of which file.
    /// With `--history`, what it was before, as far as that is remembered.
    Why(command::why::Arguments),
    /// Show a table's rows or a query's answer, as published.
    Show(command::show::Arguments),
    /// List rejected records, or read them again.
    ///
    /// A record that could not be loaded is kept with its reason, raw text and origin until it was read again.
    Rejects(command::rejects::Arguments),
    /// Print a script that makes the roles and schemas of a Postgres warehouse.
    ///
    /// For the administrator of the database: a role that loads, and for each published schema one that reads it. Nothing is run.
    Grants(command::grants::Arguments),
    /// Print a script that lets a shell complete commands.
    Completions(command::completions::Arguments),
}

impl Verb {
    /// How this verb is to print.
    pub fn output(&self) -> OutputOptions {
        match self {
            Self::Init(arguments) => arguments.output,
            Self::Demo(_) | Self::Completions(_) => OutputOptions::default(),
            Self::Validate(arguments) => arguments.output,
            Self::Conns(arguments) => arguments.output(),
            Self::Plan(arguments) => arguments.output,
            Self::Explain(arguments) => arguments.output,
            Self::Build(arguments) => arguments.output,
            Self::Load(arguments) => arguments.output,
            Self::Run(arguments) => arguments.output,
            Self::Test(arguments) => arguments.output,
            Self::Verify(arguments) => arguments.output,
            Self::Compile(arguments) => arguments.output,
            Self::Ls(arguments) => arguments.output,
            Self::Status(arguments) => arguments.output,
            Self::Runs(arguments) => arguments.output(),
            Self::Why(arguments) => arguments.output,
            Self::Show(arguments) => arguments.output,
            Self::Rejects(arguments) => arguments.output(),
            Self::Grants(arguments) => arguments.output,
        }
    }

    /// Does it; the exit code.
    pub fn run(&self, invocation: &Invocation) -> Result<u8, Failure> {
        match self {
            Self::Init(arguments) => command::init::run(arguments, invocation),
            Self::Demo(arguments) => command::demo::run(arguments, invocation),
            Self::Validate(arguments) => command::validate::run(arguments, invocation),
            Self::Conns(arguments) => command::conns::run(arguments, invocation),
            Self::Plan(arguments) => command::plan::run(arguments, invocation),
            Self::Explain(arguments) => command::explain::run(arguments, invocation),
            Self::Build(arguments) => command::build::run(arguments, invocation),
            Self::Load(arguments) => command::load::run(arguments, invocation),
            Self::Run(arguments) => command::run::run(arguments, invocation),
            Self::Test(arguments) => command::test::run(arguments, invocation),
            Self::Verify(arguments) => command::verify::run(arguments, invocation),
            Self::Compile(arguments) => command::compile::run(arguments, invocation),
            Self::Ls(arguments) => command::ls::run(arguments, invocation),
            Self::Status(arguments) => command::status::run(arguments, invocation),
            Self::Runs(arguments) => command::runs::run(arguments, invocation),
            Self::Why(arguments) => command::why::run(arguments, invocation),
            Self::Show(arguments) => command::show::run(arguments, invocation),
            Self::Rejects(arguments) => command::rejects::run(arguments, invocation),
            Self::Grants(arguments) => command::grants::run(arguments, invocation),
            Self::Completions(arguments) => command::completions::run(arguments),
        }
    }
}

/// Which project, for which target.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Project")]
pub struct ProjectOptions {
    /// The project's folder. Without it, the nearest folder with a thalweg.yml is taken, from the current one upward.
    #[arg(long, value_name = "DIR", env = "THALWEG_PROJECT", hide_env_values = true)]
    pub project: Option<PathBuf>,
    /// The target to work on. Without it, the project's `default_target` is taken.
    #[arg(long, short = 't', value_name = "NAME", env = "THALWEG_TARGET", hide_env_values = true)]
    pub target: Option<String>,
    /// Variables that win over `vars:` of the project: `key=value`, or a YAML or JSON mapping. May be given several times.
    #[arg(long, value_name = "VARS")]
    pub vars: Vec<String>,
}

/// How is printed.
#[derive(Debug, Clone, Copy, Default, Args)]
#[command(next_help_heading = "Output")]
pub struct OutputOptions {
    /// Print one JSON object a line on stdout, and nothing for people.
    #[arg(long)]
    pub json: bool,
    /// Print nothing but answers, warnings and failures.
    #[arg(long, short = 'q')]
    pub quiet: bool,
}

/// Which tables.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Selection")]
pub struct SelectionOptions {
    /// Only what these selectors find: names, `+upstream`, `downstream+`, `tag:`, `path:`, `source:`. Several are united, a
    /// comma intersects.
    #[arg(long, short = 's', value_name = "SELECTOR", num_args = 1..)]
    pub select: Vec<String>,
    /// Leave out what these selectors find.
    #[arg(long, value_name = "SELECTOR", num_args = 1..)]
    pub exclude: Vec<String>,
}

impl SelectionOptions {
    /// The selectors as one text.
    pub fn selected(&self) -> Option<String> {
        joined(&self.select)
    }

    /// The selectors to leave out, as one text.
    pub fn excluded(&self) -> Option<String> {
        joined(&self.exclude)
    }
}

fn joined(selectors: &[String]) -> Option<String> {
    (!selectors.is_empty()).then(|| selectors.join(" "))
}

/// `--full-refresh`.
#[derive(Debug, Clone, Copy, Default, Args)]
#[command(next_help_heading = "Run")]
pub struct RefreshOptions {
    /// Compute models anew and rebuild store tables from everything that landed; tables of databases are read again.
    #[arg(long, short = 'f')]
    pub full_refresh: bool,
    /// Drop the tables of models and streams that are no longer in the project.
    #[arg(long)]
    pub drop_removed: bool,
}

/// What is read of databases.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Databases")]
pub struct DatabaseReadOptions {
    /// Read tables of databases again from this value of their cursor on: `2026-01-31`, `"2026-01-31 10:00"`, `1000000`.
    #[arg(long, value_name = "VALUE")]
    pub from: Option<String>,
    /// Delete what is gone at a source however much it is, where `max_delete_ratio` would not.
    #[arg(long)]
    pub confirm_deletes: bool,
}

/// `--full-tests`.
#[derive(Debug, Clone, Copy, Default, Args)]
#[command(next_help_heading = "Run")]
pub struct TestOptions {
    /// Let tests look at whole tables, not only at what changed.
    #[arg(long)]
    pub full_tests: bool,
}

/// How much of the machine, and how much patience.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Run")]
pub struct MachineOptions {
    /// Read at most so many streams at the same time, with as many threads each. Without it, one for each core.
    #[arg(long, value_name = "N", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1024))]
    pub threads: Option<usize>,
    /// Wait at most so long for a warehouse that another program holds: `30s`, `5m`, or `0` not to wait.
    ///
    /// Another run of the same project and target is not waited for: it is named, and the exit code is 2.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    pub lock_timeout: Duration,
}

impl MachineOptions {
    /// The options of a run: a command, what is selected, and these.
    pub fn build_options(&self, command: Command, selection: &SelectionOptions) -> BuildOptions {
        BuildOptions {
            select: selection.selected(),
            exclude: selection.excluded(),
            threads: self.threads,
            lock_timeout: self.lock_timeout,
            ..BuildOptions::new(command)
        }
    }
}

/// A part of the whole: `1%`, `0.01`.
pub fn share(text: &str) -> Result<f64, String> {
    let (number, of) = text.trim().strip_suffix('%').map_or((text.trim(), 1.0), |number| (number.trim(), 100.0));
    let share = number.parse::<f64>().map(|number| number / of).unwrap_or(0.0);
    if share > 0.0 && share <= 1.0 { Ok(share) } else { Err("expected a part of the whole, such as 1% or 0.01".into()) }
}

/// A length of time: a number and a unit (`ms`, `s`, `m`, `h`); seconds without one.
pub fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let scale = match unit.trim() {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err("expected a number with a unit: 500ms, 30s, 5m or 1h".into()),
    };
    number
        .parse::<f64>()
        .ok()
        .and_then(|number| Duration::try_from_secs_f64(number * scale).ok())
        .ok_or_else(|| "expected a number with a unit: 500ms, 30s, 5m or 1h".into())
}
