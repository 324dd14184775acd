//! One run, from its lock to its last report.

mod after;
mod cleaning;
mod publish;
mod read;
mod reconnect;
mod replay;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use thalweg_project::{Source as SourceDefinition, Stream, TableName};
use thalweg_source::Context;
use thalweg_source::landing::Manifest;
use thalweg_sql::NodeKind;
use thalweg_warehouse::ledger::Microseconds;
use thalweg_warehouse::{Access, Connection, RunLock, Wait, Warehouse};

pub use replay::replay;

use crate::choice::Choice;
use crate::compare::{Comparisons, StoreReading, comparisons};
use crate::error::RunError;
use crate::event::{Event, Observer};
use crate::known::{self, Known};
use crate::options::{BuildOptions, Command};
use crate::outcome::{FailedStream, OutcomeNote, RunOutcome, RunState};
use crate::publish::store::Again;
use crate::seeds;
use crate::table_state::TableState;
use crate::workbench::Workbench;

/// A run that has begun: it holds the lock and a lease.
pub struct Run<'a> {
    bench: &'a Workbench,
    options: &'a BuildOptions,
    observer: &'a dyn Observer,
    warehouse: Arc<dyn Warehouse>,
    lock: Box<dyn RunLock>,
    choice: Choice,
    known: Known,
    /// What is compared with the sources.
    comparisons: Comparisons,
    number: i64,
    epoch: i64,
    /// It was interrupted before.
    resumed: bool,
    started: Instant,
    started_at: i64,
    /// It looks at the sources for what is new.
    reads: bool,
    /// Something landed that is to be published.
    landed: bool,
    notes: Vec<OutcomeNote>,
    failed: Vec<FailedStream>,
    /// Models that must be computed anew, because a statement of their incremental refresh failed, and what it said.
    in_full: BTreeMap<TableName, String>,
    /// Texts are too long for the indexes that hold them, which are made otherwise.
    long_texts: bool,
    /// What a commit that is under way publishes.
    committing: Option<Committing>,
    /// The warehouse, where nothing is extracted between the beginning of the run and its publication.
    kept: Option<Box<dyn Connection>>,
}

/// What a run has done, while nobody knows whether it is committed.
struct Committing {
    outcome: RunOutcome,
    /// Folders of the landing that are not needed any more.
    unused: Vec<PathBuf>,
    /// The tables as they are then, where some changed.
    tables: Option<BTreeMap<TableName, TableState>>,
    /// Whether tables or views were created or dropped.
    definitions_changed: bool,
}

/// What was extracted of one stream.
struct Landed {
    node: usize,
    manifest: Manifest,
    /// Where its files lie.
    folder: PathBuf,
    /// Name of its folder beside those of the streams.
    landing: String,
    /// These are rows of an older extract.
    again: Option<Again>,
}

/// Rejects that are read again.
struct Replay {
    ids: Vec<i64>,
    landed: Vec<Landed>,
}

/// Does a run.
pub fn run(bench: &Workbench, options: &BuildOptions, observer: &dyn Observer) -> Result<RunOutcome, RunError> {
    let mut run = begin(bench, options, observer)?;
    let sources = bench.sources();
    let seed_source = seeds::source(bench.project());
    let landed = run.extract(&sources, seed_source.as_ref())?;
    run.publish_and_finish(&sources, seed_source.as_ref(), landed, &[])
}

/// The first number from this one on under which nothing has landed: what lies there is of another warehouse, or of this one before it was put
/// back, and may be the only copy.
fn free_number(bench: &Workbench, from: i64) -> i64 {
    let landing = bench.landing();
    let streams = bench.project().sources.iter().flat_map(|source| &source.streams);
    let streams: Vec<_> = streams.map(|stream| landing.stream(&stream.source, &stream.name)).collect();
    let is_free = |run: &i64| !streams.iter().any(|stream| stream.run(*run).is_finished());
    (from..).find(is_free).unwrap_or(from)
}

/// Takes the lock, reads the ledger, writes a new lease and the beginning of the run, and lets the warehouse go again.
pub fn begin<'a>(
    bench: &'a Workbench,
    options: &'a BuildOptions,
    observer: &'a dyn Observer,
) -> Result<Run<'a>, RunError> {
    let started = Instant::now();
    let started_at = now();
    let choice = Choice::new(bench.project(), bench.compiled(), options.select.as_deref(), options.exclude.as_deref())?;
    let warehouse: Arc<dyn Warehouse> = Arc::from(bench.warehouse()?);
    let mut lock = warehouse.lock(&bench.ledger_project(), &holder(options))?;
    fail::fail_point!("run::locked");
    let wait = Wait { timeout: options.lock_timeout, tell: &|message: &str| tell_waiting(observer, message) };
    let mut connection = warehouse.connect(Access::Write, &wait)?;
    let ledger = bench.ledger();
    ledger.prepare(connection.as_mut())?;
    let known = known::load_prepared(&ledger, connection.as_mut())?;
    let resumed = known.last_run.as_ref().is_some_and(|last| last.state == RunState::Running);
    let last = known.last_run.as_ref().map_or(0, |last| last.run);
    let number = if resumed { last } else { free_number(bench, last + 1) };
    let mut notes = Vec::new();
    if !resumed && number > last + 1 {
        notes.push(OutcomeNote {
            about: bench.project().landing.clone(),
            warning: true,
            message: format!(
                "what landed for {} is of another warehouse, or of a later state of this one than it was put back to: it is left alone, and \
                 this is run {number}",
                if number == last + 2 { format!("run {}", last + 1) } else { format!("runs {} to {}", last + 1, number - 1) }
            ),
        });
    }
    connection.begin()?;
    let epoch = ledger.take_lease(connection.as_mut(), known.epoch, &holder(options), Microseconds(started_at))?;
    known::begin_run(&ledger, connection.as_mut(), (number, resumed), epoch, options.command.verb(), started_at)?;
    connection.commit()?;
    connection.settle(false)?;
    let comparisons = match options.command {
        Command::Build | Command::Load => {
            let nodes = bench.compiled().nodes.iter().zip(&choice.nodes);
            let chosen = nodes.filter(|(_, chosen)| **chosen).map(|(node, _)| &node.kind);
            let dialect = thalweg_sql::dialect_of(&bench.project().target.connection);
            let threads = threads(options);
            let mut reading = StoreReading { connection: connection.as_mut(), threads, dialect };
            comparisons(bench.project(), chosen, &known, options, started_at, &mut reading)?
        }
        _ => Comparisons::new(),
    };
    // Nothing is extracted by `run`: there is nobody to let the warehouse go for.
    let kept = (options.command == Command::Run).then_some(connection);
    fail::fail_point!("run::begun");
    lock.describe(&format!("run {number} ({})", options.command.verb()))?;
    let streams = bench.compiled().nodes.iter().zip(&choice.nodes);
    let streams = streams.filter(|(node, chosen)| **chosen && matches!(node.kind, NodeKind::Stream(..))).count();
    let models = bench.compiled().nodes.iter().zip(&choice.nodes);
    let models = models.filter(|(node, chosen)| **chosen && matches!(node.kind, NodeKind::Model(_))).count();
    observer.event(&Event::RunStarted { run: number, resumed, streams, models });
    Ok(Run {
        bench,
        options,
        observer,
        warehouse,
        lock,
        choice,
        known,
        comparisons,
        number,
        epoch,
        resumed,
        started,
        started_at,
        reads: false,
        landed: false,
        notes,
        failed: Vec::new(),
        in_full: BTreeMap::new(),
        long_texts: false,
        committing: None,
        kept,
    })
}

fn holder(options: &BuildOptions) -> String {
    format!("thalweg {}, process {}", options.command.verb(), std::process::id())
}

fn tell_waiting(observer: &dyn Observer, message: &str) {
    observer.event(&Event::Waiting { message: message.to_owned() });
}

/// Microseconds since 1970 UTC.
pub fn now() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}

impl Run<'_> {
    fn loads(&self) -> bool {
        matches!(self.options.command, Command::Build | Command::Load)
    }

    fn models(&self) -> bool {
        matches!(self.options.command, Command::Build | Command::Run)
    }

    /// The stream of a node: of a source, or of a seed.
    fn stream_of<'b>(&'b self, seed_source: Option<&'b SourceDefinition>, node: usize) -> Option<&'b Stream> {
        match self.bench.compiled().nodes[node].kind {
            NodeKind::Stream(source, stream) => Some(&self.bench.project().sources[source].streams[stream]),
            NodeKind::Seed(index) => seed_source.map(|source| &source.streams[index]),
            _ => None,
        }
    }

    fn context(&self) -> Context {
        let threads = threads(self.options);
        Context {
            project_folder: self.bench.folder().to_owned(),
            target: self.bench.project().target.name.clone(),
            threads,
            cancelled: self.bench.cancelled(),
        }
    }
}

/// How many threads a run may use.
fn threads(options: &BuildOptions) -> usize {
    let available = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    options.threads.unwrap_or_else(available).max(1)
}
