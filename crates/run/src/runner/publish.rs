//! Publishing what was read, in one transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use thalweg_project::{OnFailure, Source as SourceDefinition, Stream, TableName};
use thalweg_source::landing::Manifest;
use thalweg_source::{PositionChange, Source};
use thalweg_sql::NodeKind;
use thalweg_warehouse::ledger::{Microseconds, RejectState};
use thalweg_warehouse::{Access, Connection, Wait, WarehouseError, WarehouseErrorKind};

use super::reconnect::Link;
use super::{Committing, Landed, Run, now, tell_waiting};
use crate::change::Change;
use crate::database::Database;
use crate::error::RunError;
use crate::event::{Event, Silent};
use crate::extract::stream_name;
use crate::known::{LandedFiles, PublishedLanding};
use crate::landed::{becomes_text, landed_extracts, rebuild_because};
use crate::options::Command;
use crate::outcome::{
    FailedStream, OutcomeNote, RunOutcome, RunState, StaleTable, StepOutcome, Strategy, TestOutcome, TestState,
};
use crate::publish::Publication;
use crate::publish::change_log::{ChangeLogs, Retention};
use crate::publish::model::stale_models;
use crate::publish::refresh::Refreshing;
use crate::publish::refresh::stages::Stages;
use crate::publish::stream::{Rebuild, StreamWork, loaded_by, store_fingerprint};
use crate::publish::testing::{self, KnownTest, TestOptions};
use crate::table_state::TableKind;
use crate::verify::{Wanted, verify_on};
use crate::{check, known, seeds};

/// How often a publication is begun again because others worked on the same tables.
const MOST_CONFLICTS: u32 = 4;
/// How often a run goes on after its connection was lost.
const MOST_LOSSES: u32 = 4;
/// How long is waited before, times how often it was.
pub(super) const PAUSE: Duration = Duration::from_millis(500);

impl Run<'_> {
    /// Opens the warehouse, publishes, tells the sources, answers the reports.
    pub(super) fn publish_and_finish(
        mut self,
        sources: &[Box<dyn Source>],
        seed_source: Option<&SourceDefinition>,
        landed: Vec<Landed>,
        replayed: &[i64],
    ) -> Result<RunOutcome, RunError> {
        let _ = self.lock.describe(&format!("run {} (publishing)", self.number));
        self.landed = !landed.is_empty();
        fail::fail_point!("run::before-open");
        // It may have been lost while files were read, and nobody missed it.
        let mut link = match self.first_link() {
            Err(error) if error.is_lost() => self.reconnect(None, &error)?.0,
            other => other?,
        };
        let (mut conflicts, mut losses) = (0, 0);
        let published = loop {
            let before = (self.notes.clone(), self.failed.clone());
            match self.publish(link.connection.as_mut(), seed_source, &landed, replayed) {
                // Nothing of it happened, or the ledger says that it did.
                Err(error) if error.is_lost() && losses < MOST_LOSSES && !self.bench.is_cancelled() => {
                    losses += 1;
                    (self.notes, self.failed) = before;
                    let (state, committed);
                    (link, state, committed) = self.reconnect(Some(link), &error)?;
                    match committed {
                        Some(outcome) => break Ok(outcome),
                        None if state == RunState::Running => {}
                        None => break Err(error),
                    }
                }
                // Not the model's error: the run begins again, and this one is computed anew.
                Err(RunError::Incremental { table, reason }) if !self.in_full.contains_key(&table) => {
                    (self.notes, self.failed) = before;
                    link =
                        self.undone(link, &RunError::Incremental { table: table.clone(), reason: reason.clone() })?;
                    fail::fail_point!("run::before-again");
                    self.in_full.insert(table, format!("a statement of its incremental refresh failed: {reason}"));
                }
                // No statement's error yet: the indexes that hold texts may be in the way.
                Err(error) if error.is_limit_exceeded() && !self.long_texts => {
                    link.connection.rollback()?;
                    (self.notes, self.failed) = before;
                    self.long_texts = true;
                }
                // Others worked on the same tables: the run is done again as a whole, a little later each time.
                Err(error) if error.is_conflict() && conflicts < MOST_CONFLICTS && !self.bench.is_cancelled() => {
                    link.connection.rollback()?;
                    conflicts += 1;
                    let message = format!("{error}; beginning the publication again ({conflicts} of {MOST_CONFLICTS})");
                    self.observer.event(&Event::Note { about: self.warehouse.display(), warning: true, message });
                    std::thread::sleep(PAUSE * conflicts);
                    (self.notes, self.failed) = before;
                }
                other => break other,
            }
        };
        let mut outcome = match published {
            Ok(outcome) => outcome,
            Err(error) => {
                let undone = self.undone(link, &error);
                let unknown =
                    matches!(&error, RunError::Warehouse(inner) if inner.kind == WarehouseErrorKind::CommitUnknown);
                if self.bench.is_cancelled() && !unknown {
                    return Err(RunError::Cancelled);
                }
                let mut link = undone?;
                let failed_run = match &error {
                    RunError::Warehouse(inner) => inner.kind.is_of_statement(),
                    RunError::Table { .. }
                    | RunError::Incremental { .. }
                    | RunError::Unbalanced { .. }
                    | RunError::Stopped(_) => true,
                    _ => false,
                };
                if failed_run {
                    self.record_failure_on(link.connection.as_mut(), &error.to_string(), &[], &[])?;
                }
                return Err(error);
            }
        };
        let (mut outcome, published_at) = loop {
            let mut attempt = outcome.clone();
            match self.afterwards(link.connection.as_mut(), sources, &mut attempt) {
                Ok(published_at) => break (attempt, published_at),
                // All of it may be done twice.
                Err(error) if error.is_lost() && losses < MOST_LOSSES && !self.bench.is_cancelled() => {
                    losses += 1;
                    (link, ..) = self.reconnect(Some(link), &error)?;
                    outcome.notes.append(&mut self.notes);
                }
                Err(_) if self.bench.is_cancelled() => return Err(RunError::CancelledAfter(self.number)),
                Err(error) => return Err(error),
            }
        };
        drop(link);
        fail::fail_point!("run::before-share");
        let since = if outcome.state == RunState::Published { None } else { published_at.map(|at| at.0) };
        if (outcome.state == RunState::Published || since.is_some())
            && let Err(error) = self.warehouse.share(since)
        {
            outcome.notes.push(OutcomeNote {
                about: self.warehouse.display(),
                warning: true,
                message: error.to_string(),
            });
        }
        outcome.seconds = self.started.elapsed().as_secs_f64();
        Ok(outcome)
    }

    /// A connection on which nothing is under way any more after an error: the same one, or another where the engine has stopped.
    fn undone(&mut self, mut link: Link, error: &RunError) -> Result<Link, RunError> {
        match link.connection.rollback() {
            Err(trouble) if trouble.kind == WarehouseErrorKind::Stopped => Ok(self.reconnect(Some(link), error)?.0),
            undone => undone.map(|()| link).map_err(RunError::from),
        }
    }

    /// What comes after the publication; where nothing was published, when the run that readers see was finished.
    fn afterwards(
        &mut self,
        connection: &mut dyn Connection,
        sources: &[Box<dyn Source>],
        outcome: &mut RunOutcome,
    ) -> Result<Option<Microseconds>, RunError> {
        self.after(connection, sources, outcome)?;
        self.verify_sample(connection, outcome)?;
        if outcome.state == RunState::Published {
            return Ok(None);
        }
        // A run that died before it could share what it published leaves that to the next one.
        let published = self.bench.ledger().published_run(connection)?;
        Ok(published.and_then(|run| run.finished_at))
    }

    /// The publishing transaction. An error leaves it open, to be rolled back.
    pub(super) fn publish(
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
            stages: Stages::new(self.known.stages.clone()),
            touched: Vec::new(),
            changes: BTreeMap::new(),
            logs: ChangeLogs::new(self.known.change_logs.clone()),
            retention: self.retention(),
            refreshing: Refreshing::new(self.in_full.clone(), self.options.large),
            consumed: self.known.consumed.clone(),
            consumed_now: BTreeMap::new(),
            clocks: self.known.clocks.clone(),
            clocks_now: BTreeMap::new(),
            superseded: Vec::new(),
            steps: Vec::new(),
            notes: Vec::new(),
            refused: Vec::new(),
            indexed: BTreeSet::new(),
            partition_room: None,
            definitions_changed: false,
            next_extract: None,
            observer: self.observer,
        };
        if self.long_texts {
            publication.drop_text_indexes()?;
        }
        if self.models() {
            publication.drop_unasked_unique_indexes()?;
        }
        let put_back = publication.put_views_back()?;
        let removed = removed_tables(&publication);
        publication.definitions_changed |= !removed.is_empty() && dialect.has_indexes();
        let mut dropped = Vec::new();
        if self.options.drop_removed {
            // Views go before what they read.
            let mut in_order = removed.clone();
            in_order.sort_by_key(|table| {
                let state = publication.tables.get(table);
                let is_view = state.is_some_and(|state| state.kind == TableKind::View);
                (!is_view, std::cmp::Reverse(state.map_or(0, |state| state.changed_run)))
            });
            for table in &in_order {
                publication.drop_table(table)?;
            }
            dropped.clone_from(&removed);
        }
        self.notes.extend(dropped.iter().map(|table| OutcomeNote {
            about: table.to_string(),
            warning: false,
            message: "dropped: the project no longer has it".to_owned(),
        }));
        let mut landings = Vec::new();
        let mut held = Vec::new();
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
                        let (work, problem) = self.stream_work_or_why(&mut publication, node, stream, None)?;
                        publication.refresh_stream(work)?;
                        held.extend(problem);
                    }
                    let mut rebuilt = false;
                    for entry in &entries {
                        let diverted = entry.again.as_ref().is_some_and(|again| again.filter.is_some());
                        if rebuilt && diverted {
                            continue;
                        }
                        let (work, problem) = self.stream_work_or_why(&mut publication, node, stream, Some(entry))?;
                        if problem.is_some() {
                            publication.refresh_stream(work)?;
                            held.extend(problem);
                            break;
                        }
                        rebuilt |= work.rebuild.is_some();
                        let refused = publication.refused.len();
                        let base = publication.refresh_stream(work)?;
                        // What was refused was not read: its position stays.
                        if !diverted && publication.refused.len() == refused {
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
        self.failed.extend(held);
        self.notes.append(&mut publication.notes);
        self.failed.append(&mut publication.refused);
        let stale = stale_tables(&publication, &self.failed);
        let wanted = |index: usize| {
            let test = &project.tests[index];
            self.choice.test(compiled, index, test.table.is_some())
                && (self.options.command == Command::Build || about_chosen_kind(self, index))
                && !compares_stale(self, index, &stale)
        };
        let tests = publication.test(&TestOptions {
            full: self.options.full_tests,
            known: &self.known.tests,
            wanted: &wanted,
            now: self.started_at,
        })?;
        fail::fail_point!("run::tested");
        let failing: Vec<&TestOutcome> = tests.iter().filter(|test| test.state == TestState::Fail).collect();
        let mut outcome = RunOutcome {
            run: self.number,
            published_run: self.known.published_run,
            state: RunState::Published,
            steps: std::mem::take(&mut publication.steps),
            stale,
            removed: removed.iter().filter(|table| !dropped.contains(table)).map(ToString::to_string).collect(),
            tests: Vec::new(),
            failed_streams: self.failed.clone(),
            reports: Vec::new(),
            failed_reports: Vec::new(),
            verified: Vec::new(),
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
            let recorded = self.record_failure_on(connection, &message, &outcome.steps, &tests);
            outcome.state = RunState::Failed;
            outcome.message = Some(message);
            outcome.tests = tests;
            return match recorded {
                Ok(()) => Ok(outcome),
                Err(error) => {
                    self.committing =
                        Some(Committing { outcome, unused: Vec::new(), tables: None, definitions_changed: false });
                    Err(error)
                }
            };
        }
        let known_tests = known_tests(&publication, &self.known.tests, &tests);
        publication.keep_indexes()?;
        // Where that waits for readers, it is done when nobody can read them any more: after the commit.
        if !dialect.definitions_wait_for_readers() {
            for name in std::mem::take(&mut publication.superseded) {
                publication.drop_physical(&name)?;
            }
        }
        // A run that published nothing leaves the logs alone.
        if !publication.touched.is_empty() {
            publication.prune_logs()?;
        }
        let (logs, without_log) = publication.touched_logs();
        let refreshes = std::mem::take(&mut publication.refreshing.records);
        publication.database.about("");
        publication.database.drop_temporary()?;
        let coming: Vec<_> = publication.database.coming.drain(..).map(|view| view.definition).collect();
        // A position that moved without a row, such as a file gone to the archive, is nothing that readers could see.
        let nothing = publication.touched.is_empty() && dropped.is_empty() && replayed.is_empty() && !put_back;
        outcome.state = if nothing { RunState::Nothing } else { RunState::Published };
        let Publication { tables, stages, touched, consumed_now, clocks_now, definitions_changed, .. } = publication;
        let touched_nothing = touched.is_empty();
        for table in &dropped {
            ledger.drop_table(connection, &table.to_string())?;
        }
        for stage in stages.dropped() {
            ledger.drop_table(connection, &stage.to_string())?;
        }
        let touched = touched.iter().filter_map(|name| Some((name, tables.get(name)?)));
        known::put_tables(&ledger, connection, touched.chain(stages.touched()))?;
        ledger.add_refreshes(connection, &refreshes)?;
        ledger.put_change_logs(connection, &logs, &without_log)?;
        known::put_consumed(&ledger, connection, &consumed_now)?;
        known::put_clocks(&ledger, connection, &clocks_now)?;
        for (entry, base) in &landings {
            self.record_landing(connection, entry, *base)?;
        }
        self.record_troubles(connection)?;
        known::add_steps(&ledger, connection, self.number, &outcome.steps)?;
        known::add_tests(&ledger, connection, self.number, &tests)?;
        known::put_known_tests(&ledger, connection, self.number, &known_tests)?;
        known::finish_run(&ledger, connection, self.number, outcome.state, now(), None)?;
        self.bench.check_cancelled()?;
        ledger.check_lease(connection, self.epoch)?;
        connection.define_views(&coming)?;
        fail::fail_point!("run::before-commit");
        outcome.tests = tests;
        let unused = landings.iter().filter(|(entry, base)| base.is_none() && entry.again.is_none());
        let committing = Committing {
            outcome,
            unused: unused
                .filter(|(entry, _)| self.is_of_database(entry))
                .map(|(entry, _)| entry.folder.clone())
                .collect(),
            tables: (!touched_nothing).then_some(tables),
            definitions_changed,
        };
        if let Err(error) = connection.commit() {
            self.committing = Some(committing);
            return Err(error.into());
        }
        self.committed(connection, committing)
    }

    /// What a commit brings with it.
    pub(super) fn committed(
        &self,
        connection: &mut dyn Connection,
        committing: Committing,
    ) -> Result<RunOutcome, RunError> {
        let Committing { mut outcome, unused, tables, definitions_changed } = committing;
        if outcome.state == RunState::Failed {
            return Ok(outcome);
        }
        fail::fail_point!("run::committed");
        for folder in unused {
            // What a database's stream left in the landing when nothing came of it: keys that were compared, rows that were as before.
            if let Err(error) = std::fs::remove_dir_all(&folder) {
                tracing::debug!(%error, folder = %folder.display(), "a landing folder that is not needed stays");
            }
        }
        self.clean(connection);
        fail::fail_point!("run::before-partitions");
        self.keep_partitions(connection, tables.as_ref().unwrap_or(&self.known.tables), &mut outcome);
        // It is published, whatever becomes of the connection: the engine's chores are the next run's.
        if let Err(error) = connection.settle(definitions_changed) {
            if !matches!(error.kind, WarehouseErrorKind::Lost) {
                return Err(self.published_but(error).into());
            }
            tracing::debug!(%error, "the connection is lost after the commit");
        }
        fail::fail_point!("run::settled");
        if let Some(tables) = tables {
            check::remember_columns(self.bench.folder(), &self.bench.project().target.name, &tables);
        }
        if outcome.state == RunState::Published {
            outcome.published_run = Some(self.number);
            self.observer.event(&Event::Published { run: self.number });
        }
        Ok(outcome)
    }

    /// Compares a sample of the models that were refreshed, where that is wanted.
    fn verify_sample(&self, connection: &mut dyn Connection, outcome: &mut RunOutcome) -> Result<(), RunError> {
        let Some(share) = self.options.sample.filter(|_| outcome.state == RunState::Published) else { return Ok(()) };
        let nodes = &self.bench.compiled().nodes;
        let refreshed = |node: usize| {
            let name = nodes[node].id.to_string();
            outcome.steps.iter().any(|step| step.table == name && step.strategy != Strategy::Unchanged)
        };
        let wanted = Wanted { chosen: &refreshed, models_only: true, sample: Some(share) };
        outcome.verified = verify_on(self.bench, connection, &wanted, &Silent)?;
        Ok(())
    }

    /// How long before images are kept, in runs.
    fn retention(&self) -> Retention {
        let settings = self.bench.project().change_log;
        let before = |age: Duration| {
            let age = i64::try_from(age.as_micros()).unwrap_or(i64::MAX);
            Microseconds(self.started_at.saturating_sub(age))
        };
        Retention {
            history: settings.history.map(before),
            readers: before(settings.readers),
            every_table: settings.history.is_some(),
        }
    }

    fn is_of_database(&self, entry: &Landed) -> bool {
        match self.bench.compiled().nodes[entry.node].kind {
            NodeKind::Stream(source, stream) => self.bench.project().sources[source].streams[stream].database.is_some(),
            _ => false,
        }
    }

    /// An error after the commit, which must not be taken for one of the run.
    fn published_but(&self, error: WarehouseError) -> WarehouseError {
        WarehouseError {
            message: format!("run {} is published, but afterwards: {}", self.number, error.message),
            ..error
        }
    }

    /// What is to be done with a stream's table; when its landing is gone, nothing, and why.
    fn stream_work_or_why<'b>(
        &self,
        publication: &mut Publication<'_>,
        node: usize,
        stream: &'b Stream,
        landed: Option<&'b Landed>,
    ) -> Result<(StreamWork<'b>, Option<FailedStream>), RunError> {
        match self.stream_work(publication, node, stream, landed) {
            Ok(work) => Ok((work, None)),
            Err(RunError::NotFound(message)) => {
                let kept = StreamWork {
                    stream,
                    kind: TableKind::Store,
                    fingerprint: String::new(),
                    landed: None,
                    again: None,
                    rebuild: None,
                    failed: Some(message.clone()),
                };
                let failed = FailedStream { stream: stream_name(stream), table: stream.table.to_string(), message };
                Ok((kept, Some(failed)))
            }
            Err(error) => Err(error),
        }
    }

    /// What is to be done with a stream's table.
    pub(super) fn stream_work<'b>(
        &self,
        publication: &mut Publication<'_>,
        node: usize,
        stream: &'b Stream,
        landed: Option<&'b Landed>,
    ) -> Result<StreamWork<'b>, RunError> {
        let compiled = self.bench.compiled();
        let (kind, fingerprint) = match compiled.nodes[node].kind {
            NodeKind::Seed(index) => (TableKind::Seed, seeds::fingerprint(&self.bench.project().seeds[index])),
            _ => (TableKind::Store, store_fingerprint(stream)),
        };
        let quarantines = publication.holds_quarantined(stream, &self.known.tests)?;
        let state = publication.tables.get(&stream.table);
        let connection = &mut *publication.database.connection;
        // What was read in full says everything there is to say.
        let is_whole = stream.database.is_some() && landed.is_some_and(|entry| entry.manifest.extract.complete);
        let landings = |connection: &mut dyn Connection| -> Result<_, RunError> {
            if is_whole {
                return Ok(Vec::new());
            }
            landed_extracts(self.bench, &known::landings(&self.bench.ledger(), connection)?, stream)
        };
        let rebuild = match (state, kind, landed) {
            // A seed is as its file is, columns included.
            (Some(state), TableKind::Seed, Some(entry)) => {
                let same = state.source_columns() == entry.manifest.columns;
                (!same).then(|| Rebuild { reason: "its columns changed".to_owned(), extracts: Vec::new() })
            }
            (_, TableKind::Seed, _) => None,
            (Some(state), _, _) if loaded_by(&state.fingerprint) != loaded_by(&fingerprint) => Some(rebuild_because(
                &format!("was loaded by {}", loaded_by(&state.fingerprint)),
                landings(connection)?,
            )),
            (Some(state), _, _) if state.fingerprint != fingerprint => {
                Some(rebuild_because("definition changed", landings(connection)?))
            }
            (Some(state), _, _) if self.options.full_refresh && state.created_run < self.number => {
                Some(rebuild_because("asked for with --full-refresh", landings(connection)?))
            }
            (Some(_), ..) if quarantines => {
                Some(rebuild_because("a new test quarantines rows that it holds", landings(connection)?))
            }
            // What text a value becomes depends on the type it was read as, not on those it had since.
            (Some(state), _, Some(entry)) if becomes_text(&state.source_columns(), &entry.manifest.columns) => {
                match landings(connection) {
                    Ok(extracts) => Some(rebuild_because("a column became text", extracts)),
                    Err(RunError::NotFound(_)) => None,
                    Err(error) => return Err(error),
                }
            }
            (Some(_), ..) => None,
            // Its table was dropped, and what it held is not delivered again.
            (None, ..) => {
                let extracts = landings(connection)?;
                (!extracts.is_empty()).then(|| rebuild_because("its table was dropped", extracts))
            }
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
    pub(super) fn record_failure(
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

    /// Records which of the streams that were to be loaded could not be.
    fn record_troubles(&self, connection: &mut dyn Connection) -> Result<(), RunError> {
        if !self.reads {
            return Ok(());
        }
        let chosen = self.bench.compiled().nodes.iter().zip(&self.choice.nodes);
        let streams = chosen.filter(|(node, chosen)| **chosen && matches!(node.kind, NodeKind::Stream(..)));
        let tried: Vec<String> = streams.map(|(node, _)| node.id.to_string()).collect();
        known::put_troubles(&self.bench.ledger(), connection, self.number, &tried, &self.failed)
    }

    /// Records that the run failed: which streams could not be read, and what it did; nothing else of it remains.
    pub(super) fn record_failure_on(
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
            self.record_troubles(connection)?;
            known::add_steps(&ledger, connection, self.number, steps)?;
            known::add_tests(&ledger, connection, self.number, tests)?;
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
}

/// With `load`, tests of store tables; with `run`, tests of models. A query is about every table it reads.
fn about_chosen_kind(run: &Run<'_>, test: usize) -> bool {
    let compiled = run.bench.compiled();
    let inputs = &compiled.tests[test].inputs;
    let about = if run.bench.project().tests[test].table.is_some() { &inputs[..inputs.len().min(1)] } else { inputs };
    about.iter().any(|&node| match compiled.nodes[node].kind {
        NodeKind::Stream(..) | NodeKind::Seed(_) => run.loads(),
        NodeKind::Model(_) | NodeKind::External(_) => run.models(),
    })
}

/// Whether a test compares tables of which a model is not up to date in this run: its answer would mean nothing.
fn compares_stale(run: &Run<'_>, test: usize, stale: &[StaleTable]) -> bool {
    let compiled = run.bench.compiled();
    let inputs = &compiled.tests[test].inputs;
    inputs.len() > 1
        && inputs.iter().map(|&node| &compiled.nodes[node]).any(|node| {
            let name = node.id.to_string();
            matches!(node.kind, NodeKind::Model(_)) && stale.iter().any(|stale| stale.table == name)
        })
}

/// Whether publishing an extract leaves no trace: nothing was read, no position moved, nobody is to be told.
fn leaves_nothing(manifest: &Manifest) -> bool {
    manifest.extract.is_empty() && manifest.extract.confirmations.is_empty()
}

impl Run<'_> {
    pub(super) fn record_landing(
        &self,
        connection: &mut dyn Connection,
        entry: &Landed,
        base: Option<i64>,
    ) -> Result<(), RunError> {
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
        let files = match (&entry.again, base) {
            (None, Some(_)) => LandedFiles::New(&manifest.extract.files),
            // They are known since they were first read.
            (Some(_), Some(_)) => LandedFiles::Known,
            (_, None) => LandedFiles::Nothing,
        };
        // A seed is read whenever its file changed; it has no position.
        let position = if manifest.source == seeds::SEED_SOURCE {
            PositionChange::new()
        } else {
            manifest.extract.position.clone()
        };
        known::put_landing(&self.bench.ledger(), connection, &landing, &files, &position)
    }

    pub(super) fn stream_name_of(&self, entry: &Landed) -> String {
        match self.bench.compiled().nodes[entry.node].kind {
            NodeKind::Stream(source, stream) => self.bench.project().sources[source].streams[stream].name.clone(),
            _ => entry.manifest.stream.clone(),
        }
    }
}

/// What the next run knows of the tests: how those of this run ended, and that those which were left out while their tables changed
/// must look at everything again.
fn known_tests(
    publication: &Publication<'_>,
    before: &BTreeMap<String, KnownTest>,
    tests: &[TestOutcome],
) -> BTreeMap<String, KnownTest> {
    let mut known = BTreeMap::new();
    let compiled = publication.compiled;
    for (index, definition) in publication.project.tests.iter().enumerate() {
        let fingerprint = testing::fingerprint(definition, &compiled.tests[index]);
        if let Some(outcome) = tests.iter().find(|outcome| outcome.test == definition.name) {
            known.insert(outcome.test.clone(), KnownTest { fingerprint, passed: outcome.state == TestState::Pass });
        } else if before.get(&definition.name).is_some_and(|test| test.passed)
            && definition.on_failure != OnFailure::Quarantine
            && compiled.tests[index]
                .inputs
                .iter()
                .any(|&node| publication.effective_change(&compiled.nodes[node].id).any())
        {
            known.insert(definition.name.clone(), KnownTest { fingerprint, passed: false });
        }
    }
    known
}

/// Tables of the warehouse that the project no longer has.
fn removed_tables(publication: &Publication<'_>) -> Vec<TableName> {
    publication
        .tables
        .keys()
        .filter(|table| match publication.compiled.node(table) {
            Some(node) => is_ephemeral(publication, node),
            // It may be one of a wildcard whose database was not asked.
            None => !publication.project.may_have(table),
        })
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
        .map(|failed| StaleTable {
            table: failed.table.clone(),
            reason: format!("{}: {}", failed.stream, failed.message),
        })
        .collect();
    let consumed = |reader: &TableName, input: &TableName| {
        let key = (reader.clone(), input.clone());
        publication.consumed_now.get(&key).or_else(|| publication.consumed.get(&key)).copied()
    };
    let models = stale_models(publication.project, publication.compiled, &publication.tables, consumed);
    stale.extend(models.into_iter().map(|(table, reason)| StaleTable { table: table.to_string(), reason }));
    stale
}
