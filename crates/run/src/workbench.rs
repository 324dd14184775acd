//! The door to everything that can be done with a project.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use thalweg_project::{Diagnostic, Materialized, Project, Severity, SourceConnection};
use thalweg_source::Source;
use thalweg_source::landing::Landing;
use thalweg_sql::Compiled;
use thalweg_warehouse::ledger::Ledger;
use thalweg_warehouse::{Access, Connection, Interrupt, Wait, Warehouse};

use crate::answer::*;
use crate::choice::Choice;
use crate::connections::{ConnectionTest, DiscoveredTable, SourceFileText};
use crate::discovered::Unreached;
use crate::error::RunError;
use crate::event::Observer;
use crate::explain::{self, Explanation};
use crate::options::{BuildOptions, Command, OpenOptions};
use crate::outcome::{RunOutcome, TestOutcome};
use crate::why::{self, Why};
use crate::{check, connections, discovered, extract, folder, look, runner, show, verify};

/// A project, opened for one target.
pub struct Workbench {
    folder: PathBuf,
    project: Project,
    compiled: Compiled,
    unreached: Unreached,
    cancelled: Arc<AtomicBool>,
}

impl Workbench {
    /// Reads a project and refuses it with all its mistakes ([`RunError::Project`]); the warnings come back with the workbench.
    /// `cancelled` may be set at any time by another thread (Ctrl-C): the command then stops cleanly with [`RunError::Cancelled`].
    pub fn open(
        folder: &Path,
        options: &OpenOptions,
        cancelled: Arc<AtomicBool>,
    ) -> Result<(Self, Vec<Diagnostic>), RunError> {
        let folder = absolute(folder)?;
        let mut input = folder::read(&folder, options)?;
        let (project, mut diagnostics, unreached) = discovered::read_project(&folder, &mut input, options.ask)?;
        let mut compiled = None;
        if let Some(project) = &project {
            let (graph, more) = thalweg_sql::compile(project);
            diagnostics.extend(more);
            project.conceal(&mut diagnostics);
            compiled = Some(graph);
        }
        let wrong = diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
        match (project, compiled) {
            (Some(project), Some(compiled)) if !wrong => {
                Ok((Self { folder, project, compiled, unreached, cancelled }, diagnostics))
            }
            _ => Err(RunError::Project(diagnostics)),
        }
    }

    /// Everything that can be checked without running: files, names, SQL, columns as the engine sees them.
    pub fn validate(folder: &Path, options: &OpenOptions) -> Result<Validation, RunError> {
        let folder = absolute(folder)?;
        check::validate(&folder, options)
    }

    /// The project.
    pub fn project(&self) -> &Project {
        &self.project
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its graph.
    pub fn compiled(&self) -> &Compiled {
        &self.compiled
    }

    /// Does a run: `build`, `load` or `run`.
    pub fn build(&self, options: &BuildOptions, observer: &dyn Observer) -> Result<RunOutcome, RunError> {
        self.check_discovered(matches!(options.command, Command::Build | Command::Load))?;
        runner::run(self, options, observer)
    }

    /// Refuses to run what is not known yet.
    fn check_discovered(&self, loads: bool) -> Result<(), RunError> {
        let unknown =
            self.project.sources.iter().filter(|source| !self.unreached.contains_key(&source.name)).find(|source| {
                matches!(&source.connection, SourceConnection::Database(database)
                if !database.discovered && (loads || !database.wildcards.is_empty()))
            });
        match unknown {
            None => Ok(()),
            Some(source) => Err(RunError::NotFound(format!(
                "the database of the source {} was not asked for its tables yet: run `thalweg conns discover {}`",
                source.name, source.name
            ))),
        }
    }

    /// What a build would do.
    pub fn plan(&self, options: &BuildOptions) -> Result<Plan, RunError> {
        look::plan(self, options)
    }

    /// How a model is refreshed, and why so.
    pub fn explain(&self, model: &str) -> Result<Explanation, RunError> {
        explain::explain(self, model)
    }

    /// Runs data tests alone, over everything that is published.
    pub fn test(&self, options: &BuildOptions, observer: &dyn Observer) -> Result<Vec<TestOutcome>, RunError> {
        look::test(self, options, observer)
    }

    /// How the warehouse stands.
    pub fn status(&self) -> Result<Status, RunError> {
        look::status(self)
    }

    /// The last runs, newest first.
    pub fn runs(&self, limit: usize) -> Result<Vec<RunRecord>, RunError> {
        look::runs(self, limit)
    }

    /// One run.
    pub fn run_detail(&self, run: i64) -> Result<RunDetail, RunError> {
        look::run_detail(self, run)
    }

    /// A table's rows or a query's answer, as published. `limit` of `None`: everything.
    pub fn show(&self, what: &str, limit: Option<usize>) -> Result<Shown, RunError> {
        show::show(self, what, limit)
    }

    /// Reaches a source and says in one line what was found.
    pub fn test_connection(&self, source: &str) -> Result<ConnectionTest, RunError> {
        connections::test(self, source)
    }

    /// The tables of a source that is a database, as it describes them now.
    pub fn discover(&self, source: &str) -> Result<Vec<DiscoveredTable>, RunError> {
        connections::discover(self, source)
    }

    /// The text of a source's file with streams for these tables.
    pub fn source_file(&self, source: &str, tables: &[DiscoveredTable]) -> Result<SourceFileText, RunError> {
        connections::source_file(self, source, tables)
    }

    /// Rejected records.
    pub fn rejects(&self, filter: &RejectFilter) -> Result<Vec<RejectRecord>, RunError> {
        look::rejects(self, filter)
    }

    /// Reads rejected records again, in a run of its own, models and tests included.
    pub fn replay(
        &self,
        filter: &RejectFilter,
        options: &BuildOptions,
        observer: &dyn Observer,
    ) -> Result<RunOutcome, RunError> {
        self.check_discovered(false)?;
        runner::replay(self, filter, options, observer)
    }

    /// Compares every table with what it ought to be.
    pub fn verify(&self, options: &BuildOptions, observer: &dyn Observer) -> Result<Vec<VerifyOutcome>, RunError> {
        verify::verify(self, options, observer)
    }

    /// Where the rows of a key come from; with `history`, what they were before.
    pub fn why(&self, table: &str, key: &[String], history: bool) -> Result<Why, RunError> {
        why::why(self, table, key, history)
    }

    /// The SQL that is sent to the warehouse.
    pub fn compile(&self, select: Option<&str>, exclude: Option<&str>) -> Result<Vec<CompiledTable>, RunError> {
        let choice = Choice::new(&self.project, &self.compiled, select, exclude)?;
        Ok(look::compile(self, &choice))
    }

    /// The nodes of the graph, in order of dependency.
    pub fn list(&self, select: Option<&str>, exclude: Option<&str>) -> Result<Vec<Listed>, RunError> {
        let choice = Choice::new(&self.project, &self.compiled, select, exclude)?;
        Ok(look::list(self, &choice))
    }

    /// The project's name in the ledger; a personal target has books of its own.
    pub(crate) fn ledger_project(&self) -> String {
        let prefix = &self.project.target.schema_prefix;
        if prefix.is_empty() { self.project.name.clone() } else { format!("{}/{prefix}", self.project.name) }
    }

    /// The ledger of the project in its warehouse.
    pub(crate) fn ledger(&self) -> Ledger {
        Ledger::new(self.ledger_project(), thalweg_sql::dialect_of(&self.project.target.connection))
    }

    pub(crate) fn warehouse(&self) -> Result<Box<dyn Warehouse>, RunError> {
        let landing = folder::resolve(&self.folder, &self.project.landing);
        let mut warehouse = thalweg_warehouse::open_with_folders(&self.project.target, &self.folder, &[landing])?;
        let reports = self.project.reports.iter().map(|report| &report.sql);
        let tests = self.compiled.tests.iter().filter_map(|test| test.sql.as_ref());
        let asked: Vec<String> = reports.chain(tests).map(|sql| shown(sql)).collect();
        let models = self.project.models.iter().map(|model| model.sql.as_str());
        let run: Vec<&str> = models.chain(asked.iter().map(String::as_str)).collect();
        warehouse.expect(&run, &self.unkept());
        Ok(warehouse)
    }

    /// The texts of models that are put into what reads them, by the engine or before.
    fn unkept(&self) -> Vec<&str> {
        let unkept = self.project.models.iter().filter(|model| model.materialized != Materialized::Table);
        unkept.map(|model| model.sql.as_str()).collect()
    }

    /// Opens the warehouse for reading; `None` when nothing was ever built.
    pub(crate) fn reader(&self) -> Result<Option<Box<dyn Connection>>, RunError> {
        self.reader_for("")
    }

    /// The same for a query that is none of the project's.
    pub(crate) fn reader_for(&self, sql: &str) -> Result<Option<Box<dyn Connection>>, RunError> {
        let mut warehouse = self.warehouse()?;
        warehouse.expect(&[&shown(sql)], &self.unkept());
        if !warehouse.exists()? {
            return Ok(None);
        }
        let wait = Wait { timeout: Duration::from_secs(60), tell: &|_| {} };
        Ok(Some(warehouse.connect(Access::Read, &wait)?))
    }

    pub(crate) fn sources(&self) -> Vec<Box<dyn Source>> {
        extract::open_sources(&self.project, &self.folder)
    }

    /// The sources that could not be reached when the project was opened, and of which nothing is known.
    pub(crate) fn unreached(&self) -> &Unreached {
        &self.unreached
    }

    pub(crate) fn landing(&self) -> Landing {
        Landing::new(folder::resolve(&self.folder, &self.project.landing), &self.project.target.name)
    }

    pub(crate) fn cancelled(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.cancelled)
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    pub(crate) fn check_cancelled(&self) -> Result<(), RunError> {
        if self.is_cancelled() { Err(RunError::Cancelled) } else { Ok(()) }
    }

    /// Stops the connection's running statement when the command is cancelled, for as long as the answer lives.
    pub(crate) fn interrupt_when_cancelled(&self, interrupter: Arc<dyn Interrupt>) -> Watch {
        let over = Arc::new(AtomicBool::new(false));
        let (cancelled, ended) = (self.cancelled(), Arc::clone(&over));
        let thread = std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                if cancelled.load(Ordering::Relaxed) {
                    interrupter.interrupt();
                }
                std::thread::park_timeout(Duration::from_millis(50));
            }
        });
        Watch { over, thread: Some(thread) }
    }
}

/// Watches for cancellation until dropped.
pub(crate) struct Watch {
    over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // The thread only sleeps and looks; it cannot panic in a way that matters here.
            let _ = thread.join();
        }
    }
}

fn absolute(folder: &Path) -> Result<PathBuf, RunError> {
    std::path::absolute(folder).map_err(|error| {
        RunError::Folder(format!("the project folder {} has no absolute path: {error}", folder.display()))
    })
}

/// A text of whose rows only the first are asked for.
fn shown(sql: &str) -> String {
    format!("{sql}\nlimit 1")
}
