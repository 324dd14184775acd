//! One run, from its lock to its last report.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use thalweg_project::{OnSourceError, Source as SourceDefinition, Stream, TableName};
use thalweg_source::landing::Manifest;
use thalweg_source::{Context, NoteLevel, Position, PositionChange, RejectedRecord, Source, SourceError, StreamRequest};
use thalweg_sql::NodeKind;
use thalweg_warehouse::ledger::{Microseconds, RejectKind, RejectState};
use thalweg_warehouse::{Access, Connection, RunLock, Wait, Warehouse, WarehouseErrorKind};

use crate::choice::Choice;
use crate::database::Database;
use crate::error::RunError;
use crate::event::{Event, Observer};
use crate::extract::{Extracted, Extraction, Job, stream_name};
use crate::known::{Known, PublishedLanding};
use crate::options::{BuildOptions, Command};
use crate::outcome::{
    FailedStream, OutcomeNote, RunOutcome, RunState, StaleTable, StepOutcome, Strategy, TestOutcome, TestState,
};
use crate::publish::Publication;
use crate::publish::model::{Need, facts, need};
use crate::publish::stream::{Rebuild, StreamWork, extract_files, store_fingerprint};
use crate::publish::testing::{self, KnownTest, TestOptions};
use crate::table_state::TableKind;
use crate::workbench::Workbench;
use crate::change::Change;
use crate::{check, known, report, seeds};

/// A run that has begun: it holds the lock and a lease.
pub struct Run<'a> {
    bench: &'a Workbench,
    options: &'a BuildOptions,
    observer: &'a dyn Observer,
    warehouse: Arc<dyn Warehouse>,
    lock: Box<dyn RunLock>,
    choice: Choice,
    known: Known,
    number: i64,
    epoch: i64,
    started: Instant,
    started_at: i64,
    notes: Vec<OutcomeNote>,
    failed: Vec<FailedStream>,
}

/// What was extracted of one stream.
struct Landed {
    node: usize,
    manifest: Manifest,
    /// Where its files lie.
    folder: PathBuf,
    /// Name of its folder beside those of the streams.
    landing: String,
    /// Rows of an older extract are merged again: the `_origin` of its first file, and which rows, as a condition on alias `s`.
    again: Option<(i64, String)>,
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

/// Takes the lock, reads the ledger, writes a new lease and the beginning of the run, and lets the warehouse go again.
pub fn begin<'a>(
    bench: &'a Workbench,
    options: &'a BuildOptions,
    observer: &'a dyn Observer,
) -> Result<Run<'a>, RunError> {
    let started = Instant::now();
    let started_at = now();
    let choice =
        Choice::new(bench.project(), bench.compiled(), options.select.as_deref(), options.exclude.as_deref())?;
    let warehouse: Arc<dyn Warehouse> = Arc::from(bench.warehouse()?);
    let mut lock = warehouse.lock(&bench.ledger_project(), &holder(options))?;
    fail::fail_point!("run::locked");
    let wait = Wait { timeout: options.lock_timeout, tell: &|message: &str| tell_waiting(observer, message) };
    let mut connection = warehouse.connect(Access::Write, &wait)?;
    let ledger = bench.ledger();
    ledger.prepare(connection.as_mut())?;
    let known = known::load(&ledger, connection.as_mut())?;
    let resumed = known.last_run.as_ref().is_some_and(|last| last.state == RunState::Running);
    let number = match &known.last_run {
        Some(last) if resumed => last.run,
        Some(last) => last.run + 1,
        None => 1,
    };
    connection.begin()?;
    let epoch = ledger.acquire_lease(connection.as_mut(), &holder(options), Microseconds(started_at))?;
    known::begin_run(&ledger, connection.as_mut(), number, epoch, options.command.verb(), started_at)?;
    connection.commit()?;
    connection.settle(false)?;
    drop(connection);
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
        number,
        epoch,
        started,
        started_at,
        notes: Vec::new(),
        failed: Vec::new(),
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
        let threads = self.options.threads.unwrap_or_else(available_threads).max(1);
        Context {
            project_folder: self.bench.folder().to_owned(),
            target: self.bench.project().target.name.clone(),
            threads,
            cancelled: self.bench.cancelled(),
        }
    }

    /// Reads what is new at the sources into the landing.
    fn extract(
        &mut self,
        sources: &[Box<dyn Source>],
        seed_source: Option<&SourceDefinition>,
    ) -> Result<Vec<Landed>, RunError> {
        if !self.loads() {
            return Ok(Vec::new());
        }
        let project = self.bench.project();
        let compiled = self.bench.compiled();
        let seed_reader = seed_source.map(|source| thalweg_source::files::FilesSource::new(source, self.bench.folder()));
        let mut groups: Vec<(&dyn Source, Vec<Job<'_>>)> = Vec::new();
        let mut nodes: Vec<Vec<usize>> = Vec::new();
        for (index, source) in sources.iter().enumerate() {
            let (mut jobs, mut of) = (Vec::new(), Vec::new());
            for (node, definition) in compiled.nodes.iter().enumerate() {
                let NodeKind::Stream(at, stream) = definition.kind else { continue };
                if at == index && self.choice.nodes[node] {
                    jobs.push(self.job(&project.sources[at].streams[stream]));
                    of.push(node);
                }
            }
            if !jobs.is_empty() {
                groups.push((source.as_ref(), jobs));
                nodes.push(of);
            }
        }
        if let (Some(definition), Some(reader)) = (seed_source, &seed_reader) {
            let (mut jobs, mut of) = (Vec::new(), Vec::new());
            for (node, graph_node) in compiled.nodes.iter().enumerate() {
                let NodeKind::Seed(index) = graph_node.kind else { continue };
                let current = self.known.tables.get(&graph_node.id).is_some_and(|state| {
                    state.fingerprint == seeds::fingerprint(&project.seeds[index]) && !self.options.full_refresh
                });
                if self.choice.nodes[node] && !current {
                    let mut job = self.job(&definition.streams[index]);
                    job.fingerprint.push_str(&seeds::fingerprint(&project.seeds[index]));
                    jobs.push(job);
                    of.push(node);
                }
            }
            if !jobs.is_empty() {
                groups.push((reader, jobs));
                nodes.push(of);
            }
        }
        let landing = self.bench.landing();
        let context = self.context();
        let extraction = Extraction {
            landing: &landing,
            run: self.number,
            epoch: self.epoch,
            context: &context,
            observer: self.observer,
        };
        let results = extraction.extract(&groups);
        let mut landed = Vec::new();
        let mut failures: Vec<(usize, SourceError)> = Vec::new();
        for (group, results) in results.into_iter().enumerate() {
            for (index, result) in results.into_iter().enumerate() {
                let node = nodes[group][index];
                match result {
                    Extracted::Landed(manifest) => {
                        let place = landing.stream(&manifest.source, &manifest.stream).run(self.number);
                        landed.push(Landed {
                            node,
                            folder: place.folder().to_owned(),
                            landing: manifest.stream.clone(),
                            manifest: *manifest,
                            again: None,
                        });
                    }
                    Extracted::Failed(error) => failures.push((node, error)),
                }
            }
        }
        for entry in &landed {
            let about = format!("{}.{}", entry.manifest.source, entry.manifest.stream);
            for note in &entry.manifest.extract.notes {
                self.notes.push(OutcomeNote {
                    about: about.clone(),
                    warning: note.level == NoteLevel::Warning,
                    message: note.message.clone(),
                });
            }
            for file in &entry.manifest.extract.failed {
                self.failed.push(FailedStream {
                    stream: about.clone(),
                    table: compiled.nodes[entry.node].id.to_string(),
                    message: format!("{}: {}", file.name, file.message),
                });
            }
        }
        for (node, error) in failures {
            use thalweg_source::SourceErrorKind as Kind;
            if error.kind == Kind::Cancelled {
                return Err(RunError::Cancelled);
            }
            let is_seed = matches!(compiled.nodes[node].kind, NodeKind::Seed(_));
            let stops = project.on_source_error == OnSourceError::Stop
                || is_seed
                || matches!(error.kind, Kind::Landing | Kind::TooManyRejects);
            let stream = self.stream_of(seed_source, node).map(stream_name).unwrap_or_default();
            self.failed.push(FailedStream {
                stream: stream.clone(),
                table: compiled.nodes[node].id.to_string(),
                message: error.message.clone(),
            });
            if stops {
                let message = format!("{stream}: {}", error.message);
                self.record_failure(&message, &[], &[])?;
                return Err(RunError::Stopped(message));
            }
        }
        fail::fail_point!("run::extracted");
        Ok(landed)
    }

    fn job<'b>(&self, stream: &'b Stream) -> Job<'b> {
        let position: Position = self
            .known
            .positions
            .get(&(stream.source.clone(), stream.name.clone()))
            .cloned()
            .unwrap_or_default();
        let known_columns =
            self.known.tables.get(&stream.table).map(|state| state.source_columns()).unwrap_or_default();
        let mut hash = blake3::Hasher::new();
        hash.update(stream.fingerprint().as_bytes());
        for (entry, value) in &position {
            hash.update(entry.as_bytes());
            hash.update(value.to_string().as_bytes());
        }
        hash.update(format!("{known_columns:?}").as_bytes());
        let fingerprint = hash.finalize().to_hex()[..32].to_owned();
        Job { request: StreamRequest { stream, position, known_columns }, fingerprint }
    }

    /// Opens the warehouse, publishes, tells the sources, answers the reports.
    fn publish_and_finish(
        mut self,
        sources: &[Box<dyn Source>],
        seed_source: Option<&SourceDefinition>,
        landed: Vec<Landed>,
        replayed: &[i64],
    ) -> Result<RunOutcome, RunError> {
        let warehouse = Arc::clone(&self.warehouse);
        let observer = self.observer;
        let wait = Wait { timeout: self.options.lock_timeout, tell: &|message: &str| tell_waiting(observer, message) };
        let _ = self.lock.describe(&format!("run {} (publishing)", self.number));
        let mut connection = warehouse.connect(Access::Write, &wait)?;
        let _watch = self.bench.interrupt_when_cancelled(connection.interrupter());
        let published = self.publish(connection.as_mut(), seed_source, &landed, replayed);
        let outcome = match published {
            Ok(outcome) => outcome,
            Err(error) => {
                connection.rollback()?;
                if self.bench.is_cancelled() {
                    return Err(RunError::Cancelled);
                }
                let failed_run = match &error {
                    RunError::Warehouse(inner) => matches!(inner.kind, WarehouseErrorKind::Statement),
                    RunError::Table { .. } | RunError::Unbalanced { .. } => true,
                    _ => false,
                };
                if failed_run {
                    self.record_failure_on(connection.as_mut(), &error.to_string(), &[], &[])?;
                }
                return Err(error);
            }
        };
        let mut outcome = outcome;
        self.after(connection.as_mut(), sources, &mut outcome)?;
        outcome.seconds = self.started.elapsed().as_secs_f64();
        Ok(outcome)
    }

    /// The publishing transaction. An error leaves it open, to be rolled back.
    fn publish(
        &mut self,
        connection: &mut dyn Connection,
        seed_source: Option<&SourceDefinition>,
        landed: &[Landed],
        replayed: &[i64],
    ) -> Result<RunOutcome, RunError> {
        let project = self.bench.project();
        let compiled = self.bench.compiled();
        let ledger = self.bench.ledger();
        fail::fail_point!("run::before-begin");
        connection.begin()?;
        ledger.check_lease(connection, self.epoch)?;
        if !replayed.is_empty() {
            ledger.set_reject_state(connection, replayed, RejectState::Replayed, Some(self.number))?;
        }
        let dialect = thalweg_sql::dialect_of(&project.target.connection);
        let mut publication = Publication {
            database: Database::new(connection, dialect),
            project,
            compiled,
            ledger: ledger.clone(),
            run: self.number,
            tables: self.known.tables.clone(),
            touched: Vec::new(),
            changes: BTreeMap::new(),
            consumed: self.known.consumed.clone(),
            consumed_now: BTreeMap::new(),
            superseded: Vec::new(),
            steps: Vec::new(),
            definitions_changed: false,
            next_extract: self.known.next_extract,
            observer: self.observer,
        };
        let removed = removed_tables(&publication);
        let mut dropped = Vec::new();
        if self.options.drop_removed {
            for table in &removed {
                publication.drop_table(table)?;
                dropped.push(table.clone());
            }
        }
        let mut landings = Vec::new();
        for &node in &compiled.order {
            if !self.choice.nodes[node] {
                continue;
            }
            self.bench.check_cancelled()?;
            match compiled.nodes[node].kind {
                NodeKind::Stream(..) | NodeKind::Seed(_) if self.loads() => {
                    let Some(stream) = self.stream_of(seed_source, node) else { continue };
                    let entries: Vec<&Landed> = landed.iter().filter(|entry| entry.node == node).collect();
                    if entries.is_empty() {
                        let work = self.stream_work(publication.database.connection, node, stream, None)?;
                        publication.refresh_stream(work)?;
                    }
                    for entry in &entries {
                        let work = self.stream_work(publication.database.connection, node, stream, Some(entry))?;
                        let base = publication.refresh_stream(work)?;
                        if entry.again.is_none() {
                            landings.push((*entry, base));
                        }
                        if entries.len() > 1 {
                            // Several extracts of one table have no change set together.
                            publication.changes.insert(stream.table.clone(), Change::Everything);
                        }
                    }
                    fail::fail_point!("run::after-merge");
                }
                NodeKind::Model(_) if self.models() => {
                    publication.refresh_model(node, self.options.full_refresh)?;
                    fail::fail_point!("run::after-model");
                }
                _ => {}
            }
        }
        let wanted = |index: usize| {
            let test = &project.tests[index];
            self.choice.test(compiled, index, test.table.is_some())
                && (self.options.command == Command::Build || about_chosen_kind(self, index))
        };
        let tests = publication.test(&TestOptions {
            full: self.options.full_tests,
            known: &self.known.tests,
            wanted: &wanted,
            now: self.started_at,
        })?;
        fail::fail_point!("run::tested");
        let stale = stale_tables(&publication, &self.failed);
        let failing: Vec<&TestOutcome> = tests.iter().filter(|test| test.state == TestState::Fail).collect();
        let mut outcome = RunOutcome {
            run: self.number,
            state: RunState::Published,
            steps: std::mem::take(&mut publication.steps),
            stale,
            removed: removed.iter().filter(|table| !dropped.contains(table)).map(ToString::to_string).collect(),
            tests: Vec::new(),
            failed_streams: std::mem::take(&mut self.failed),
            reports: Vec::new(),
            notes: std::mem::take(&mut self.notes),
            seconds: 0.0,
            message: None,
        };
        if !failing.is_empty() {
            let message = match failing.as_slice() {
                [test] => format!("test {} failed", test.test),
                tests => format!("{} tests failed", tests.len()),
            };
            drop(publication);
            connection.rollback()?;
            self.record_failure_on(connection, &message, &outcome.steps, &tests)?;
            outcome.state = RunState::Failed;
            outcome.message = Some(message);
            outcome.tests = tests;
            return Ok(outcome);
        }
        for name in std::mem::take(&mut publication.superseded) {
            publication.drop_physical(&name)?;
        }
        publication.database.about("");
        publication.database.drop_temporary()?;
        let nothing = publication.touched.is_empty()
            && landings.iter().all(|(entry, _)| leaves_nothing(&entry.manifest))
            && dropped.is_empty()
            && replayed.is_empty();
        outcome.state = if nothing { RunState::Nothing } else { RunState::Published };
        let Publication { tables, touched, consumed_now, definitions_changed, .. } = publication;
        let touched_nothing = touched.is_empty();
        for table in &dropped {
            ledger.drop_table(connection, &table.to_string())?;
        }
        let touched = touched.iter().filter_map(|name| Some((name, tables.get(name)?)));
        known::put_tables(&ledger, connection, touched)?;
        known::put_consumed(&ledger, connection, &consumed_now)?;
        for (entry, base) in &landings {
            self.record_landing(connection, entry, *base)?;
        }
        known::put_steps(&ledger, connection, self.number, &outcome.steps)?;
        known::put_tests(&ledger, connection, self.number, &tests)?;
        known::put_known_tests(&ledger, connection, self.number, &known_tests(self.bench, &tests))?;
        known::finish_run(&ledger, connection, self.number, outcome.state, now(), None)?;
        ledger.check_lease(connection, self.epoch)?;
        fail::fail_point!("run::before-commit");
        connection.commit()?;
        fail::fail_point!("run::committed");
        connection.settle(definitions_changed)?;
        if !touched_nothing {
            check::remember_columns(self.bench.folder(), &project.target.name, &tables);
        }
        outcome.tests = tests;
        if outcome.state == RunState::Published {
            self.observer.event(&Event::Published { run: self.number });
        }
        Ok(outcome)
    }

    /// What is to be done with a stream's table.
    fn stream_work<'b>(
        &self,
        connection: &mut dyn Connection,
        node: usize,
        stream: &'b Stream,
        landed: Option<&'b Landed>,
    ) -> Result<StreamWork<'b>, RunError> {
        let compiled = self.bench.compiled();
        let (kind, fingerprint) = match compiled.nodes[node].kind {
            NodeKind::Seed(index) => (TableKind::Seed, seeds::fingerprint(&self.bench.project().seeds[index])),
            _ => (TableKind::Store, store_fingerprint(stream)),
        };
        let state = self.known.tables.get(&stream.table);
        let rebuild = match state {
            Some(state) if kind == TableKind::Store && state.fingerprint != fingerprint => Some("definition changed"),
            Some(_) if kind == TableKind::Store && self.options.full_refresh => Some("asked for with --full-refresh"),
            _ => None,
        };
        let rebuild = match rebuild {
            None => None,
            Some(reason) => Some(Rebuild {
                reason: format!("{reason}; rebuilt from landing"),
                extracts: landed_extracts(self.bench, &known::landings(&self.bench.ledger(), connection)?, stream)?,
            }),
        };
        let table = stream.table.to_string();
        let failed = self
            .failed
            .iter()
            .find(|failed| failed.table == table && landed.is_none())
            .map(|failed| failed.message.clone());
        Ok(StreamWork {
            stream,
            kind,
            fingerprint,
            landed: landed.map(|entry| (&entry.manifest, entry.folder.clone())),
            again: landed.and_then(|entry| entry.again.clone()),
            rebuild: if failed.is_some() { None } else { rebuild },
            failed,
        })
    }

    /// Records that the run failed, opening the warehouse for it.
    fn record_failure(
        &mut self,
        message: &str,
        steps: &[StepOutcome],
        tests: &[TestOutcome],
    ) -> Result<(), RunError> {
        let observer = self.observer;
        let wait = Wait { timeout: self.options.lock_timeout, tell: &|message: &str| tell_waiting(observer, message) };
        let mut connection = self.warehouse.connect(Access::Write, &wait)?;
        self.record_failure_on(connection.as_mut(), message, steps, tests)
    }

    /// Records that the run failed: nothing else of it remains.
    fn record_failure_on(
        &self,
        connection: &mut dyn Connection,
        message: &str,
        steps: &[StepOutcome],
        tests: &[TestOutcome],
    ) -> Result<(), RunError> {
        let ledger = self.bench.ledger();
        connection.begin()?;
        let recorded = (|| {
            ledger.check_lease(connection, self.epoch)?;
            known::put_steps(&ledger, connection, self.number, steps)?;
            known::put_tests(&ledger, connection, self.number, tests)?;
            known::finish_run(&ledger, connection, self.number, RunState::Failed, now(), Some(message))
        })();
        if let Err(error) = recorded {
            connection.rollback()?;
            return Err(error);
        }
        fail::fail_point!("run::before-failure-commit");
        connection.commit()?;
        connection.settle(false)?;
        Ok(())
    }

    /// Tells the sources what was published, by this run and by earlier ones that died before they could, then answers reports.
    fn after(
        &mut self,
        connection: &mut dyn Connection,
        sources: &[Box<dyn Source>],
        outcome: &mut RunOutcome,
    ) -> Result<(), RunError> {
        let project = self.bench.project();
        let ledger = self.bench.ledger();
        let waiting = known::unconfirmed(&ledger, connection)?;
        let mut confirmed = Vec::new();
        for (row, entry) in &waiting {
            let found = project.sources.iter().enumerate().find_map(|(index, source)| {
                let stream = source.streams.iter().find(|stream| stream.name == entry.stream)?;
                (source.name == entry.source).then_some((index, stream))
            });
            if let Some((index, stream)) = found {
                fail::fail_point!("run::before-confirm");
                match sources[index].confirm(stream, &entry.confirmations) {
                    Ok(notes) => outcome.notes.extend(notes.into_iter().map(|note| OutcomeNote {
                        about: stream_name(stream),
                        warning: note.level == NoteLevel::Warning,
                        message: note.message,
                    })),
                    Err(error) => {
                        outcome.notes.push(OutcomeNote {
                            about: stream_name(stream),
                            warning: true,
                            message: format!("published, but the source could not be told: {error}; the next run tries again"),
                        });
                        continue;
                    }
                }
                fail::fail_point!("run::after-confirm");
            }
            confirmed.push(row);
        }
        if !confirmed.is_empty() {
            connection.begin()?;
            for row in &confirmed {
                if let Err(error) = ledger.mark_confirmed(connection, row) {
                    connection.rollback()?;
                    return Err(error.into());
                }
            }
            connection.commit()?;
            connection.settle(false)?;
        }
        fail::fail_point!("run::confirmed");
        if outcome.state == RunState::Failed || self.options.command != Command::Build {
            return Ok(());
        }
        let changed = outcome.state == RunState::Published;
        for (index, definition) in project.reports.iter().enumerate() {
            if !self.choice.reports[index] || !(changed || !report::written(self.bench.folder(), definition)) {
                continue;
            }
            let Some(sql) = self.bench.compiled().report_sql(index) else { continue };
            if !self.bench.compiled().report_inputs[index]
                .iter()
                .all(|&node| exists(&self.known, outcome, &self.bench.compiled().nodes[node].id))
            {
                continue;
            }
            let answer = report::answer(connection, self.bench.folder(), definition, sql, self.number)?;
            self.observer.event(&Event::ReportFinished(answer.clone()));
            outcome.reports.push(answer);
        }
        fail::fail_point!("run::reported");
        Ok(())
    }
}

/// Whether a table is in the warehouse after the run.
fn exists(known: &Known, outcome: &RunOutcome, table: &TableName) -> bool {
    let name = table.to_string();
    known.tables.contains_key(table)
        || outcome.steps.iter().all(|step| step.table != name || step.strategy != Strategy::Kept)
}

/// With `load`, tests of store tables; with `run`, tests of models.
fn about_chosen_kind(run: &Run<'_>, test: usize) -> bool {
    let compiled = run.bench.compiled();
    let Some(&node) = compiled.tests[test].inputs.first() else { return false };
    match compiled.nodes[node].kind {
        NodeKind::Stream(..) | NodeKind::Seed(_) => run.loads(),
        NodeKind::Model(_) => run.models(),
        NodeKind::External(_) => run.models(),
    }
}

/// Whether publishing an extract leaves no trace: nothing was read, no position moved, nobody is to be told.
fn leaves_nothing(manifest: &Manifest) -> bool {
    manifest.extract.is_empty() && manifest.extract.confirmations.is_empty()
}

impl Run<'_> {
    fn record_landing(&self, connection: &mut dyn Connection, entry: &Landed, base: Option<i64>) -> Result<(), RunError> {
        let manifest = &entry.manifest;
        if leaves_nothing(manifest) {
            return Ok(());
        }
        let landing = PublishedLanding {
            run: self.number,
            source: manifest.source.clone(),
            stream: self.stream_name_of(entry),
            folder: entry.landing.clone(),
            origin_base: base.unwrap_or(0),
            confirmations: manifest.extract.confirmations.clone(),
        };
        let files: &[_] = if base.is_some() { &manifest.extract.files } else { &[] };
        // A seed is read whenever its file changed; it has no position.
        let position =
            if manifest.source == seeds::SEED_SOURCE { PositionChange::new() } else { manifest.extract.position.clone() };
        known::put_landing(&self.bench.ledger(), connection, &landing, files, &position)
    }

    fn stream_name_of(&self, entry: &Landed) -> String {
        match self.bench.compiled().nodes[entry.node].kind {
            NodeKind::Stream(source, stream) => self.bench.project().sources[source].streams[stream].name.clone(),
            _ => entry.manifest.stream.clone(),
        }
    }
}

/// How the tests of this run ended, for the next one.
fn known_tests(bench: &Workbench, tests: &[TestOutcome]) -> BTreeMap<String, KnownTest> {
    let mut known = BTreeMap::new();
    for (index, definition) in bench.project().tests.iter().enumerate() {
        if let Some(outcome) = tests.iter().find(|outcome| outcome.test == definition.name) {
            let fingerprint = testing::fingerprint(definition, &bench.compiled().tests[index]);
            known.insert(outcome.test.clone(), KnownTest { fingerprint, passed: outcome.state == TestState::Pass });
        }
    }
    known
}

/// Everything that landed for a stream and was published, oldest first.
pub fn landed_extracts(
    bench: &Workbench,
    landings: &[PublishedLanding],
    stream: &Stream,
) -> Result<Vec<(crate::publish::store::ExtractFiles, Vec<thalweg_source::Column>)>, RunError> {
    let landing = bench.landing();
    let mut extracts = Vec::new();
    for row in landings.iter().filter(|row| row.source == stream.source && row.stream == stream.name) {
        let place = landing.stream(&row.source, &row.folder).run(row.run);
        let Some(manifest) = place.find()? else {
            return Err(RunError::NotFound(format!(
                "the landing of {} of run {} is gone, so {} cannot be rebuilt from it: put {} back, or change the definition back",
                stream_name(stream),
                row.run,
                stream.table,
                place.folder().display()
            )));
        };
        let mut files = extract_files(&manifest, place.folder(), row.origin_base);
        // Its rejects are in the warehouse since then.
        files.rejects = None;
        extracts.push((files, manifest.columns.clone()));
    }
    Ok(extracts)
}

/// Tables of the warehouse that the project no longer has.
fn removed_tables(publication: &Publication<'_>) -> Vec<TableName> {
    publication
        .tables
        .keys()
        .filter(|table| publication.compiled.node(table).is_none_or(|node| is_ephemeral(publication, node)))
        .cloned()
        .collect()
}

fn is_ephemeral(publication: &Publication<'_>, node: usize) -> bool {
    matches!(publication.compiled.nodes[node].kind, NodeKind::Model(index)
        if publication.project.models[index].materialized == thalweg_project::Materialized::Ephemeral)
}

/// Tables whose inputs are ahead of them, as things stand in this run.
fn stale_tables(publication: &Publication<'_>, failed: &[FailedStream]) -> Vec<StaleTable> {
    let mut stale: Vec<StaleTable> = failed
        .iter()
        .map(|failed| StaleTable { table: failed.table.clone(), reason: format!("{}: {}", failed.stream, failed.message) })
        .collect();
    for &node in &publication.compiled.order {
        let Some(facts) = facts(publication.project, publication.compiled, &publication.tables, node) else { continue };
        let table = facts.model.table.clone();
        let consumed = |input: &TableName| {
            let key = (table.clone(), input.clone());
            publication.consumed_now.get(&key).or_else(|| publication.consumed.get(&key)).copied()
        };
        let reason = match need(&facts, publication.tables.get(&table), &publication.tables, false, consumed) {
            Need::Rebuild(reason) | Need::Blocked(reason) => reason,
            Need::Refresh(reason) if !reason.starts_with("reads ") => reason,
            Need::Refresh(_) | Need::Current => continue,
        };
        stale.push(StaleTable { table: table.to_string(), reason });
    }
    stale
}

fn available_threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// See [`Workbench::replay`].
pub fn replay(
    bench: &Workbench,
    filter: &crate::answer::RejectFilter,
    options: &BuildOptions,
    observer: &dyn Observer,
) -> Result<RunOutcome, RunError> {
    let mut run = begin(bench, options, observer)?;
    let sources = bench.sources();
    let replay = run.replay(&sources, filter)?;
    run.publish_and_finish(&sources, None, replay.landed, &replay.ids)
}

impl Run<'_> {
    /// Reads open rejects again: those that could not be read, from their raw text, into the landing; those that were diverted
    /// when merging lie in their old landing still.
    fn replay(&mut self, sources: &[Box<dyn Source>], filter: &crate::answer::RejectFilter) -> Result<Replay, RunError> {
        let ledger = self.bench.ledger();
        let observer = self.observer;
        let wait = Wait { timeout: self.options.lock_timeout, tell: &|message: &str| tell_waiting(observer, message) };
        let mut connection = self.warehouse.connect(Access::Read, &wait)?;
        let open = crate::answer::RejectFilter { all: false, ..filter.clone() };
        let rejects = known::reject_rows(&ledger, connection.as_mut(), &open)?;
        let landings = known::landings(&ledger, connection.as_mut())?;
        drop(connection);
        let mut replay = Replay { ids: Vec::new(), landed: Vec::new() };
        for landing in &landings {
            let next = landings
                .iter()
                .filter(|other| other.origin_base > landing.origin_base)
                .map(|other| other.origin_base)
                .min()
                .unwrap_or(i64::MAX);
            let of_landing: Vec<_> = rejects
                .iter()
                .map(|row| &row.reject)
                .filter(|reject| (landing.origin_base..next).contains(&reject.origin) && reject.stream == landing.stream)
                .collect();
            if of_landing.is_empty() {
                continue;
            }
            let about = format!("{}.{}", landing.source, landing.stream);
            let found = self.bench.compiled().nodes.iter().enumerate().find_map(|(node, entry)| match entry.kind {
                NodeKind::Stream(source, stream) => {
                    let stream = &self.bench.project().sources[source].streams[stream];
                    (stream.source == landing.source && stream.name == landing.stream).then_some((node, source, stream))
                }
                _ => None,
            });
            let Some((node, source, stream)) = found else {
                self.warn(&about, "its rejects cannot be replayed: the stream is no longer in the project");
                continue;
            };
            let place = self.bench.landing().stream(&landing.source, &landing.folder).run(landing.run);
            let Some(manifest) = place.find()? else {
                self.warn(&about, &format!("rejects of run {} cannot be replayed: its landing is gone", landing.run));
                continue;
            };
            let (unread, diverted): (Vec<_>, Vec<_>) =
                of_landing.into_iter().partition(|reject| reject.kind == RejectKind::Read);
            if !unread.is_empty() {
                let records: Vec<RejectedRecord> = unread
                    .iter()
                    .map(|reject| RejectedRecord {
                        file: i32::try_from(reject.origin - landing.origin_base).unwrap_or(i32::MAX),
                        record: reject.record,
                        byte_offset: reject.byte_offset,
                        reason: reject.reason.clone(),
                        raw: reject.raw.clone(),
                    })
                    .collect();
                let folder = format!("{} replay of run {}", landing.stream, landing.run);
                let target = self.bench.landing().stream(&landing.source, &folder).run(self.number);
                target.begin()?;
                let job = self.job(stream);
                let extract =
                    sources[source].replay(&job.request, &manifest.extract.files, &records, &self.context(), &target)?;
                let manifest = target.finish(extract, &job.fingerprint, self.epoch)?;
                replay.ids.extend(unread.iter().map(|reject| reject.id));
                replay.landed.push(Landed {
                    node,
                    manifest,
                    folder: target.folder().to_owned(),
                    landing: folder,
                    again: None,
                });
            }
            if !diverted.is_empty() {
                let mut manifest = manifest;
                manifest.rejects = None;
                manifest.extract.read = diverted.len() as u64;
                manifest.extract.rejected = 0;
                let ids: Vec<String> = diverted.iter().map(|reject| reject.id.to_string()).collect();
                let dialect = thalweg_sql::dialect_of(&self.bench.project().target.connection);
                let filter = format!(
                    "exists (select 1 from thalweg.rejects j where j.project = {} and j.id in ({}) and j.origin = {} + s._file \
                     and j.record = s._record)",
                    dialect.literal_text(ledger.project()),
                    ids.join(", "),
                    landing.origin_base
                );
                replay.ids.extend(diverted.iter().map(|reject| reject.id));
                replay.landed.push(Landed {
                    node,
                    manifest,
                    folder: place.folder().to_owned(),
                    landing: landing.folder.clone(),
                    again: Some((landing.origin_base, filter)),
                });
            }
        }
        if replay.ids.is_empty() {
            self.warn("rejects", "there is nothing to replay");
        }
        Ok(replay)
    }

    fn warn(&mut self, about: &str, message: &str) {
        self.observer.event(&Event::Note { about: about.to_owned(), warning: true, message: message.to_owned() });
        self.notes.push(OutcomeNote { about: about.to_owned(), warning: true, message: message.to_owned() });
    }
}
