//! What a command is asked to do.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::discovered::AskSources;

/// How a project is opened.
#[derive(Debug, Clone, Default)]
pub struct OpenOptions {
    /// `--target`
    pub target: Option<String>,
    /// `--vars`
    pub vars: BTreeMap<String, serde_json::Value>,
    /// Whether databases are asked for their tables.
    pub ask: AskSources,
}

/// Which parts of a run are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Extract, merge, models, tests, publish, reports.
    Build,
    /// Extract and merge only.
    Load,
    /// Models only.
    Run,
}

impl Command {
    /// Its verb on the command line.
    pub fn verb(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Load => "load",
            Self::Run => "run",
        }
    }
}

/// How a run is done.
#[derive(Debug, Clone)]
pub struct BuildOptions {
    /// Which parts.
    pub command: Command,
    /// `--select`
    pub select: Option<String>,
    /// `--exclude`
    pub exclude: Option<String>,
    /// `--full-refresh`: models are computed anew, store tables are rebuilt from landing, or read again where a database has them.
    pub full_refresh: bool,
    /// `--full-tests`: tests look at whole tables.
    pub full_tests: bool,
    /// `--drop-removed`: tables of models and streams that are no longer in the project are dropped.
    pub drop_removed: bool,
    /// `--sample` of `verify`, and `--verify` of `build`: this share of the keys is compared; with `verify`, everything without it, with
    /// `build`, nothing.
    pub sample: Option<f64>,
    /// `--from`: streams of databases are read again from this value of their cursor on.
    pub from: Option<String>,
    /// `--reconcile`: source and store are compared, whatever the cursor says.
    pub reconcile: bool,
    /// `--confirm-deletes`: what is gone at a source is deleted, however much it is.
    pub confirm_deletes: bool,
    /// `--threads`: streams extracted at the same time, and threads of a source.
    pub threads: Option<usize>,
    /// `--lock-timeout`: how long to wait for a warehouse that another program holds.
    pub lock_timeout: Duration,
    /// Which tables of models are so large that there is more to do than to compute anew what changed.
    pub large: LargeTables,
}

/// Which tables are large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LargeTables {
    /// What is counted and added of a table with at least so many rows is kept by adding and subtracting; `None` for what its engine takes
    /// longer to group than to add and subtract what changed.
    pub grouped: Option<u64>,
    /// On average so many rows share a group, or so many are read for each piece of one.
    pub rows_per_group: u64,
    /// Of the stored rows of a model with at least so many only those columns are read that a change can have touched.
    pub read_in_part: u64,
}

impl Default for LargeTables {
    fn default() -> Self {
        Self { grouped: None, rows_per_group: 20, read_in_part: 200_000 }
    }
}

impl BuildOptions {
    /// A whole build with the defaults of the command line.
    pub fn new(command: Command) -> Self {
        Self {
            command,
            select: None,
            exclude: None,
            full_refresh: false,
            full_tests: false,
            drop_removed: false,
            sample: None,
            from: None,
            reconcile: false,
            confirm_deletes: false,
            threads: None,
            lock_timeout: Duration::from_secs(60),
            large: LargeTables::default(),
        }
    }
}
