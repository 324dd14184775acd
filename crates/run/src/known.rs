//! What the ledger knows, in the words of a run.

use std::collections::BTreeMap;

use thalweg_project::TableName;
use thalweg_source::{ExtractFile, Position, PositionChange};
use thalweg_warehouse::Connection;
use thalweg_warehouse::ledger::{self, Ledger, Microseconds};

use crate::answer::{ExtractRecord, RejectFilter, RejectRecord, RunDetail, RunRecord};
use crate::error::RunError;
use crate::outcome::{Counts, FailedStream, RefreshFigures, RunState, StepOutcome, Strategy, TestOutcome, TestState};
use crate::publish::change_log::LogState;
use crate::publish::refresh::clock::ClockValues;
use crate::publish::testing::KnownTest;
use crate::table_state::{StateColumn, TableKind, TableState};

/// Everything a run must know of the warehouse before it begins.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Epoch of the last lease; 0 before the first.
    pub epoch: i64,
    /// The last run, whatever became of it.
    pub last_run: Option<RunRecord>,
    /// The last run that readers see something of.
    pub published_run: Option<i64>,
    /// The tables.
    pub tables: BTreeMap<TableName, TableState>,
    /// The stages of models, which nobody sees.
    pub stages: BTreeMap<TableName, TableState>,
    /// (reader, input) → run of the input that was consumed.
    pub consumed: BTreeMap<(TableName, TableName), i64>,
    /// What models read of the time when they were last refreshed.
    pub clocks: BTreeMap<TableName, ClockValues>,
    /// The change logs.
    pub change_logs: BTreeMap<TableName, LogState>,
    /// (source, stream) → position.
    pub positions: BTreeMap<(String, String), Position>,
    /// How each test ended the last time.
    pub tests: BTreeMap<String, KnownTest>,
    /// Store tables that could not be brought up to date when that was last tried, with the reason.
    pub troubles: BTreeMap<TableName, String>,
    /// There are published landings that their sources were not told of.
    pub unconfirmed: bool,
}

/// A published landing.
#[derive(Debug, Clone, PartialEq)]
pub struct PublishedLanding {
    /// The run that published it.
    pub run: i64,
    /// The source.
    pub source: String,
    /// The stream.
    pub stream: String,
    /// Name of its folder beside those of the streams.
    pub folder: String,
    /// The `_origin` of its first file.
    pub origin_base: i64,
    /// What the source is to be told.
    pub confirmations: Vec<serde_json::Value>,
}

/// The files of a landing.
#[derive(Debug, Clone, Copy)]
pub enum LandedFiles<'a> {
    /// These.
    New(&'a [ExtractFile]),
    /// Those of an older landing, of which something was read again.
    Known,
    /// None: there were no rows.
    Nothing,
}

/// Reads what a run must know. Where no ledger stands, it is empty.
pub fn load(ledger: &Ledger, connection: &mut dyn Connection) -> Result<Known, RunError> {
    known(ledger.load(connection)?)
}

/// The same of a ledger that was prepared.
pub fn load_prepared(ledger: &Ledger, connection: &mut dyn Connection) -> Result<Known, RunError> {
    known(ledger.load_prepared(connection)?)
}

fn known(state: ledger::LedgerState) -> Result<Known, RunError> {
    let mut known = Known {
        epoch: state.epoch,
        last_run: state.last_run.map(run_record),
        published_run: state.published_run,
        positions: state.positions,
        unconfirmed: !state.unconfirmed.is_empty(),
        ..Known::default()
    };
    for row in state.tables.into_values() {
        if row.kind == ledger::TableKind::Stage {
            known.stages.insert(stage_name(&row.table_name)?, table_state(row)?);
        } else {
            known.tables.insert(table_name(&row.table_name)?, table_state(row)?);
        }
    }
    for ((reader, input), run) in state.consumed {
        known.consumed.insert((table_name(&reader)?, table_name(&input)?), run);
    }
    for ((table, expression), value) in state.clocks {
        known.clocks.entry(table_name(&table)?).or_default().insert(expression, value);
    }
    for (table, log) in state.change_logs {
        known.change_logs.insert(table_name(&table)?, LogState { physical: log.physical, since: log.since });
    }
    for (name, test) in state.tests {
        known.tests.insert(name, KnownTest { fingerprint: test.fingerprint, passed: test.passed });
    }
    for trouble in state.troubles.into_values() {
        known.troubles.insert(table_name(&trouble.table_name)?, trouble.message);
    }
    Ok(known)
}

/// A name of the ledger, which only ever holds names this program wrote.
fn table_name(text: &str) -> Result<TableName, RunError> {
    text.parse().map_err(|error| RunError::NotFound(format!("the ledger holds a name that is none: {error}")))
}

/// The name of a stage: that of its model, a dot, its own within the model.
fn stage_name(text: &str) -> Result<TableName, RunError> {
    match text.split_once('.') {
        Some((schema, name)) if name.contains('.') => Ok(TableName::new(schema, name)),
        _ => Err(RunError::NotFound(format!("the ledger holds a stage `{text}`, which is the name of none"))),
    }
}

fn table_state(row: ledger::TableRow) -> Result<TableState, RunError> {
    let columns: Vec<StateColumn> = serde_json::from_value(row.columns).map_err(|error| {
        RunError::NotFound(format!("the ledger's columns of {} cannot be read: {error}", row.table_name))
    })?;
    Ok(TableState {
        kind: match row.kind {
            ledger::TableKind::Store => TableKind::Store,
            ledger::TableKind::Seed => TableKind::Seed,
            ledger::TableKind::Table => TableKind::Table,
            ledger::TableKind::View => TableKind::View,
            ledger::TableKind::Stage => TableKind::Stage,
        },
        physical: row.physical,
        fingerprint: row.fingerprint,
        columns,
        rows: row.rows,
        changed_run: row.changed_run,
        refreshed_run: row.refreshed_run,
        created_run: row.created_run,
    })
}

/// Writes how tables stand.
pub fn put_tables<'a>(
    ledger: &Ledger,
    connection: &mut dyn Connection,
    tables: impl Iterator<Item = (&'a TableName, &'a TableState)>,
) -> Result<(), RunError> {
    let rows: Vec<ledger::TableRow> = tables
        .map(|(name, state)| ledger::TableRow {
            table_name: name.to_string(),
            kind: match state.kind {
                TableKind::Store => ledger::TableKind::Store,
                TableKind::Seed => ledger::TableKind::Seed,
                TableKind::Table => ledger::TableKind::Table,
                TableKind::View => ledger::TableKind::View,
                TableKind::Stage => ledger::TableKind::Stage,
            },
            physical: state.physical.clone(),
            version: state.created_run,
            fingerprint: state.fingerprint.clone(),
            columns: serde_json::json!(state.columns),
            rows: state.rows,
            changed_run: state.changed_run,
            refreshed_run: state.refreshed_run,
            created_run: state.created_run,
        })
        .collect();
    Ok(ledger.put_tables(connection, &rows)?)
}

/// Writes what models read of the time.
pub fn put_clocks(
    ledger: &Ledger,
    connection: &mut dyn Connection,
    clocks: &BTreeMap<TableName, ClockValues>,
) -> Result<(), RunError> {
    let rows = clocks.iter().flat_map(|(table, values)| {
        values.iter().map(|(expression, value)| ledger::ClockRow {
            table_name: table.to_string(),
            expression: expression.clone(),
            value: value.clone(),
        })
    });
    Ok(ledger.put_clocks(connection, &rows.collect::<Vec<_>>())?)
}

/// Writes which of the store tables that a run was to bring up to date could not be, and why.
pub fn put_troubles(
    ledger: &Ledger,
    connection: &mut dyn Connection,
    run: i64,
    tried: &[String],
    failed: &[FailedStream],
) -> Result<(), RunError> {
    let mut rows: Vec<ledger::TroubleRow> = Vec::new();
    for failed in failed {
        match rows.iter_mut().find(|row| row.table_name == failed.table) {
            Some(row) => row.message = format!("{}; {}", row.message, failed.message),
            None => {
                rows.push(ledger::TroubleRow { table_name: failed.table.clone(), run, message: failed.message.clone() })
            }
        }
    }
    Ok(ledger.set_troubles(connection, tried.iter().map(String::as_str), &rows)?)
}

/// Writes what readers consumed.
pub fn put_consumed(
    ledger: &Ledger,
    connection: &mut dyn Connection,
    consumed: &BTreeMap<(TableName, TableName), i64>,
) -> Result<(), RunError> {
    let rows: Vec<ledger::ConsumedRow> = consumed
        .iter()
        .map(|((reader, input), run)| ledger::ConsumedRow {
            reader: reader.to_string(),
            input: input.to_string(),
            run: *run,
        })
        .collect();
    Ok(ledger.set_consumed(connection, &rows)?)
}

/// Writes a published landing, its files and the position it reached.
pub fn put_landing(
    ledger: &Ledger,
    connection: &mut dyn Connection,
    landing: &PublishedLanding,
    files: &LandedFiles<'_>,
    position: &PositionChange,
) -> Result<(), RunError> {
    ledger.apply_positions(connection, &landing.source, &landing.stream, position, landing.run)?;
    let place = format!("{}/{}/run={}", landing.source, landing.folder, landing.run);
    let new = if let LandedFiles::New(files) = files { *files } else { &[] };
    let extracts: Vec<ledger::ExtractRow> = new
        .iter()
        .zip(0_i64..)
        .map(|(file, index)| ledger::ExtractRow {
            id: landing.origin_base + index,
            run: landing.run,
            source: landing.source.clone(),
            stream: landing.stream.clone(),
            file: file.name.clone(),
            hash: file.hash.clone(),
            read: file.read,
            rejected: file.rejected,
            landing: place.clone(),
            file_index: index,
        })
        .collect();
    ledger.add_extracts(connection, &extracts)?;
    let row = ledger::LandingRow {
        run: landing.run,
        source: landing.source.clone(),
        stream: landing.stream.clone(),
        manifest: place,
        origin_base: landing.origin_base,
        state: if new.is_empty() && !matches!(files, LandedFiles::Known) { "empty".into() } else { "published".into() },
        confirmed: landing.confirmations.is_empty(),
        confirmations: serde_json::Value::Array(landing.confirmations.clone()),
    };
    Ok(ledger.add_landings(connection, &[row])?)
}

/// Published landings with rows, oldest first.
pub fn landings(ledger: &Ledger, connection: &mut dyn Connection) -> Result<Vec<PublishedLanding>, RunError> {
    let rows = ledger.landings(connection, None)?;
    let mut landings: Vec<_> = rows.into_iter().filter(|row| row.state == "published").map(published_landing).collect();
    landings.sort_by_key(|landing| (landing.origin_base, landing.run));
    Ok(landings)
}

/// Published landings that their sources were not told of, oldest first.
pub fn unconfirmed(
    ledger: &Ledger,
    connection: &mut dyn Connection,
) -> Result<Vec<(ledger::LandingRow, PublishedLanding)>, RunError> {
    let rows = ledger.unconfirmed(connection)?;
    Ok(rows.into_iter().map(|row| (row.clone(), published_landing(row))).collect())
}

fn published_landing(row: ledger::LandingRow) -> PublishedLanding {
    let folder = row
        .manifest
        .strip_prefix(&format!("{}/", row.source))
        .and_then(|rest| rest.strip_suffix(&format!("/run={}", row.run)))
        .unwrap_or(&row.stream)
        .to_owned();
    PublishedLanding {
        run: row.run,
        source: row.source,
        stream: row.stream,
        folder,
        origin_base: row.origin_base,
        confirmations: match row.confirmations {
            serde_json::Value::Array(list) => list,
            _ => Vec::new(),
        },
    }
}

/// The beginning of a run; `again` where one of this number was interrupted.
pub fn begin_run(
    ledger: &Ledger,
    connection: &mut dyn Connection,
    (run, again): (i64, bool),
    epoch: i64,
    command: &str,
    started_at: i64,
) -> Result<(), RunError> {
    let row = ledger::RunRow {
        run,
        epoch,
        command: command.to_owned(),
        state: ledger::RunState::Running,
        started_at: Microseconds(started_at),
        finished_at: None,
        summary: None,
        message: None,
    };
    Ok(ledger.begin_run(connection, &row, again)?)
}

/// The end of a run.
pub fn finish_run(
    ledger: &Ledger,
    connection: &mut dyn Connection,
    run: i64,
    state: RunState,
    now: i64,
    message: Option<&str>,
) -> Result<(), RunError> {
    let state = match state {
        RunState::Running => ledger::RunState::Running,
        RunState::Published => ledger::RunState::Published,
        RunState::Nothing => ledger::RunState::Nothing,
        RunState::Failed => ledger::RunState::Failed,
    };
    Ok(ledger.finish_run(connection, run, state, Microseconds(now), None, message)?)
}

fn run_record(row: ledger::RunRow) -> RunRecord {
    RunRecord {
        run: row.run,
        command: row.command,
        state: match row.state {
            ledger::RunState::Running => RunState::Running,
            ledger::RunState::Published => RunState::Published,
            ledger::RunState::Nothing => RunState::Nothing,
            ledger::RunState::Failed | ledger::RunState::Abandoned => RunState::Failed,
        },
        started_at: row.started_at.0,
        finished_at: row.finished_at.map(|at| at.0),
        message: row.message,
    }
}

/// A strategy as the ledger writes it.
fn word(strategy: &Strategy) -> String {
    match serde_json::to_value(strategy) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

/// Writes what a run did to its tables. Those where nothing was to be done are left out.
pub fn add_steps(
    ledger: &Ledger,
    connection: &mut dyn Connection,
    run: i64,
    steps: &[StepOutcome],
) -> Result<(), RunError> {
    let rows: Vec<ledger::StepRow> = steps
        .iter()
        .filter(|step| step.strategy != Strategy::Unchanged)
        .zip(1_i64..)
        .map(|(step, position)| ledger::StepRow {
            run,
            position,
            step: step.table.clone(),
            kind: step.kind.clone(),
            strategy: word(&step.strategy),
            reason: step.reason.clone(),
            read: step.counts.read,
            inserted: step.counts.inserted,
            updated: step.counts.updated,
            unchanged: step.counts.unchanged,
            deleted: step.counts.deleted_by_mark,
            deleted_missing: step.counts.deleted_missing,
            rejected: step.counts.rejected,
            duplicate: step.counts.duplicate,
            rows_before: step.rows_before,
            rows_after: step.rows_after,
            seconds: step.seconds,
        })
        .collect();
    Ok(ledger.add_steps(connection, &rows)?)
}

/// Writes what tests found, with the first rows that failed.
pub fn add_tests(
    ledger: &Ledger,
    connection: &mut dyn Connection,
    run: i64,
    tests: &[TestOutcome],
) -> Result<(), RunError> {
    let results: Vec<ledger::TestResultRow> = tests
        .iter()
        .map(|test| ledger::TestResultRow {
            run,
            test: test.test.clone(),
            table_name: test.table.clone(),
            severity: test.severity.clone(),
            state: match test.state {
                TestState::Pass => ledger::TestState::Pass,
                TestState::Warn => ledger::TestState::Warn,
                TestState::Fail => ledger::TestState::Fail,
            },
            failures: test.failures,
            scope: test.scope.clone(),
            seconds: test.seconds,
            message: test.message.clone(),
        })
        .collect();
    let failures: Vec<ledger::TestFailureRow> = tests
        .iter()
        .flat_map(|test| {
            test.first_failures.iter().zip(1_i64..).map(|(row, row_number)| ledger::TestFailureRow {
                run,
                test: test.test.clone(),
                row_number,
                row: serde_json::Value::Object(
                    row.iter().map(|(name, value)| (name.clone(), serde_json::json!(value))).collect(),
                ),
            })
        })
        .collect();
    Ok(ledger.add_tests(connection, &results, &failures)?)
}

/// Writes how tests ended on what is being published.
pub fn put_known_tests(
    ledger: &Ledger,
    connection: &mut dyn Connection,
    run: i64,
    tests: &BTreeMap<String, KnownTest>,
) -> Result<(), RunError> {
    let rows: Vec<ledger::KnownTestRow> = tests
        .iter()
        .map(|(test, known)| ledger::KnownTestRow {
            test: test.clone(),
            fingerprint: known.fingerprint.clone(),
            passed: known.passed,
            run,
        })
        .collect();
    Ok(ledger.put_known_tests(connection, &rows)?)
}

/// The last runs, newest first.
pub fn runs(ledger: &Ledger, connection: &mut dyn Connection, limit: usize) -> Result<Vec<RunRecord>, RunError> {
    let limit = u64::try_from(limit).unwrap_or(u64::MAX);
    Ok(ledger.runs(connection, Some(limit))?.into_iter().map(run_record).collect())
}

/// The columns of a row and their values as texts.
type Row = Vec<(String, Option<String>)>;

/// One run, if there was one.
pub fn run_detail(ledger: &Ledger, connection: &mut dyn Connection, run: i64) -> Result<Option<RunDetail>, RunError> {
    let Some(detail) = ledger.run_detail(connection, run)? else { return Ok(None) };
    let mut failures: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for failure in detail.failures {
        let serde_json::Value::Object(row) = failure.row else { continue };
        let row = row.into_iter().map(|(name, value)| (name, value.as_str().map(str::to_owned))).collect();
        failures.entry(failure.test).or_default().push(row);
    }
    Ok(Some(RunDetail {
        record: run_record(detail.run),
        steps: detail.steps.into_iter().map(|row| step_outcome(row, &detail.refreshes)).collect(),
        tests: detail
            .tests
            .into_iter()
            .map(|row| TestOutcome {
                first_failures: failures.remove(&row.test).unwrap_or_default(),
                test: row.test,
                table: row.table_name,
                severity: row.severity,
                state: match row.state {
                    ledger::TestState::Pass => TestState::Pass,
                    ledger::TestState::Warn => TestState::Warn,
                    ledger::TestState::Fail => TestState::Fail,
                },
                failures: row.failures,
                scope: row.scope,
                message: row.message,
                seconds: row.seconds,
            })
            .collect(),
        extracts: detail
            .extracts
            .into_iter()
            .map(|row| ExtractRecord {
                id: row.id,
                run: row.run,
                stream: format!("{}.{}", row.source, row.stream),
                file: row.file,
                read: row.read,
                rejected: row.rejected,
            })
            .collect(),
    }))
}

/// What a refresh looked at.
pub fn figures(row: &ledger::RefreshRow) -> RefreshFigures {
    let number = |number: i64| u64::try_from(number).unwrap_or(0);
    RefreshFigures {
        keys: row.keys.map(number),
        upstream: row.upstream.map(number),
        rows_read: number(row.rows_read),
        rows_written: number(row.rows_written),
        expected_incremental: row.expected_incremental,
        expected_full: row.expected_full,
    }
}

fn step_outcome(row: ledger::StepRow, refreshes: &[ledger::RefreshRow]) -> StepOutcome {
    let refresh = refreshes.iter().find(|refresh| refresh.table_name == row.step).map(figures);
    StepOutcome {
        refresh,
        table: row.step,
        kind: row.kind,
        strategy: serde_json::from_value(serde_json::Value::String(row.strategy)).unwrap_or_default(),
        reason: row.reason,
        counts: Counts {
            read: row.read,
            inserted: row.inserted,
            updated: row.updated,
            unchanged: row.unchanged,
            deleted_by_mark: row.deleted,
            deleted_missing: row.deleted_missing,
            rejected: row.rejected,
            duplicate: row.duplicate,
        },
        rows_before: row.rows_before,
        rows_after: row.rows_after,
        seconds: row.seconds,
    }
}

/// Rejects with everything the ledger knows of them.
pub fn reject_rows(
    ledger: &Ledger,
    connection: &mut dyn Connection,
    filter: &RejectFilter,
) -> Result<Vec<ledger::RejectWithFile>, RunError> {
    let filter = ledger::RejectFilter {
        stream: filter.stream.clone(),
        run: filter.run,
        ids: filter.ids.clone(),
        state: (!filter.all).then_some(ledger::RejectState::Open),
        limit: filter.limit,
    };
    Ok(ledger.rejects(connection, &filter)?)
}

/// Rejects, for people.
pub fn rejects(
    ledger: &Ledger,
    connection: &mut dyn Connection,
    filter: &RejectFilter,
) -> Result<Vec<RejectRecord>, RunError> {
    let rows = reject_rows(ledger, connection, filter)?;
    Ok(rows
        .into_iter()
        .map(|row| RejectRecord {
            id: row.reject.id,
            run: row.reject.run,
            stream: format!("{}.{}", row.reject.source, row.reject.stream),
            file: row.file.unwrap_or_default(),
            record: row.reject.record,
            byte_offset: row.reject.byte_offset,
            reason: row.reject.reason,
            raw: row.reject.raw,
            state: row.reject.state.word().to_owned(),
        })
        .collect())
}
