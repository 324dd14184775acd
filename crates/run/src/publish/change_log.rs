//! Change logs: what a run replaced or deleted is kept for readers that were not there, and for people who ask what a row was.
//!
//! A log is *unbroken* since a run: who has seen that run of the table, or a later one, finds in it everything that changed since. It
//! breaks where rows change without being compared with what they were: a table made anew, a column added, a change so large that
//! readers are better off computing anew. The next change begins a new one.

use std::collections::{BTreeMap, BTreeSet};

use thalweg_project::{Materialized, RefreshPin, TableName};
use thalweg_sql::NodeKind;
use thalweg_sql::statement::{ChangeLog, TypedColumn};
use thalweg_warehouse::ledger::{ChangeLogRow, Microseconds};

use crate::change::Change;
use crate::error::RunError;
use crate::publish::Publication;
use crate::publish::model::{is_view, tracked_inputs};

/// A change of more rows than this, and of more than half of the table, breaks the log.
const LARGE: u64 = 10_000;
/// Where nothing else changed, a log is pruned once it is this many runs behind.
const LEISURE: i64 = 50;

/// What the ledger knows of a table's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogState {
    /// The physical table it stands beside.
    pub physical: String,
    /// It is unbroken since this run.
    pub since: i64,
}

/// The change logs, as they are at this point of a run.
#[derive(Debug, Default)]
pub struct ChangeLogs {
    /// Those that stand.
    pub known: BTreeMap<TableName, LogState>,
    /// What this run replaced or deleted and no log holds yet: most often every reader sees it in the run itself.
    pending: BTreeMap<TableName, Pending>,
    /// Those whose state must be written to the ledger.
    touched: BTreeSet<TableName>,
    /// The run that had changed a table last, before this one.
    changed_before: BTreeMap<TableName, i64>,
    /// For each table the models that read its changes; found when first asked for.
    readers: Option<BTreeMap<TableName, Vec<usize>>>,
}

/// Before images that may have to be kept.
#[derive(Debug)]
struct Pending {
    physical: String,
    columns: Vec<TypedColumn>,
    /// Relation with them; `None` when rows came only.
    before: Option<String>,
    /// The run of which a new log is unbroken.
    since: i64,
}

/// What changed in a table since a reader saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delta {
    /// Nothing.
    None,
    /// These rows, as bags.
    Rows {
        /// Relation with the rows that stood there and do so no more, with the declared columns and perhaps others.
        before: String,
        /// Relation with the rows that stand there and did not.
        after: String,
    },
    /// Nobody knows any more, and why.
    Unknown(String),
}

/// What is pruned.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// What began before this moment is too old for `why --history`; everything without.
    pub history: Option<Microseconds>,
    /// What began before this moment is too old for readers which are behind.
    pub readers: Microseconds,
    /// Logs are kept of every table, also of those that nobody reads.
    pub every_table: bool,
}

impl ChangeLogs {
    /// With what the ledger knows.
    pub fn new(known: BTreeMap<TableName, LogState>) -> Self {
        Self { known, ..Self::default() }
    }

    /// Notes how a table stood before this run, once.
    pub fn note_before(&mut self, table: &TableName, changed_run: i64) {
        self.changed_before.entry(table.clone()).or_insert(changed_run);
    }
}

/// Name of the change log beside a physical table.
pub fn log_name(physical: &str) -> String {
    format!("{physical}.changes")
}

impl Publication<'_> {
    /// The models that are refreshed by the changes of a table, directly or through views and ephemeral models.
    pub fn change_readers(&mut self, table: &TableName) -> Vec<usize> {
        if self.logs.readers.is_none() {
            let mut readers: BTreeMap<TableName, Vec<usize>> = BTreeMap::new();
            for (node, entry) in self.compiled.nodes.iter().enumerate() {
                let NodeKind::Model(index) = entry.kind else { continue };
                let model = &self.project.models[index];
                if model.materialized != Materialized::Table || model.refresh == RefreshPin::Full {
                    continue;
                }
                for input in tracked_inputs(self.project, self.compiled, node) {
                    if !is_view(self.project, self.compiled, input) {
                        readers.entry(self.compiled.nodes[input].id.clone()).or_default().push(node);
                    }
                }
            }
            self.logs.readers = Some(readers);
        }
        let readers = self.logs.readers.as_ref().and_then(|readers| readers.get(table)).cloned().unwrap_or_default();
        readers.into_iter().filter(|&node| self.is_incremental(node)).collect()
    }

    /// The statements of a table's log.
    pub fn change_log(&self, physical: &str, columns: Vec<TypedColumn>) -> Result<ChangeLog<'static>, RunError> {
        Ok(ChangeLog {
            dialect: self.database.dialect,
            log: self.physical(&log_name(physical))?,
            table: self.physical(physical)?,
            columns,
        })
    }

    /// Keeps what this run replaced or deleted in a table that stood before: `before` is the relation of [`Change::Rows`], if
    /// any row was.
    pub fn log_change(
        &mut self,
        table: &TableName,
        physical: &str,
        columns: &[TypedColumn],
        change: &Change,
        replaced: u64,
    ) -> Result<(), RunError> {
        let Some(old) = self.tables.get(table).cloned() else { return Ok(()) };
        if !change.any() {
            return Ok(());
        }
        let large = replaced > LARGE && replaced > old.rows / 2;
        if large || (!self.retention.every_table && self.change_readers(table).is_empty()) {
            return self.break_log(table);
        }
        let before = match change {
            Change::Rows { before, .. } if replaced > 0 => Some(before.clone()),
            _ => None,
        };
        let since = self.logs.changed_before.get(table).copied().unwrap_or(old.changed_run);
        let pending = Pending { physical: physical.to_owned(), columns: columns.to_vec(), before, since };
        self.keep_pending(table)?;
        self.logs.pending.insert(table.clone(), pending);
        self.logs.touched.insert(table.clone());
        Ok(())
    }

    /// Writes into a table's log what this run has replaced so far.
    fn keep_pending(&mut self, table: &TableName) -> Result<(), RunError> {
        let Some(Pending { physical, columns, before, since }) = self.logs.pending.remove(table) else { return Ok(()) };
        let log = self.change_log(&physical, columns)?;
        let stands = self.logs.known.get(table).is_some_and(|known| known.physical == physical);
        if !stands {
            self.break_log(table)?;
            let sql = self.database.name(log.create())?;
            self.database.execute(&sql)?;
            self.definitions_changed = true;
            self.logs.known.insert(table.clone(), LogState { physical, since });
        }
        if let Some(before) = before {
            let sql = self.database.name(log.record(&before, self.run))?;
            self.database.execute(&sql)?;
        }
        self.logs.touched.insert(table.clone());
        fail::fail_point!("run::after-change-log");
        Ok(())
    }

    /// Writes what a reader that was left out may ask for; what all readers of a table have seen in this run is let go.
    fn keep_what_is_missed(&mut self) -> Result<(), RunError> {
        let tables: Vec<TableName> = self.logs.pending.keys().cloned().collect();
        for table in tables {
            let readers = self.change_readers(&table);
            let seen = |node: &usize| {
                let key = (self.compiled.nodes[*node].id.clone(), table.clone());
                self.consumed_now.get(&key).is_some_and(|run| *run >= self.run)
            };
            if self.retention.every_table || !readers.iter().all(seen) {
                self.database.about(table.to_string());
                self.keep_pending(&table)?;
            }
        }
        self.logs.pending.clear();
        Ok(())
    }

    /// Prepares the log of a table for a reader that has seen its run `consumed`: it finds in it what this run has replaced.
    pub fn prepare_log(&mut self, table: &TableName, consumed: Option<i64>) -> Result<(), RunError> {
        let before_this_run = self.logs.changed_before.get(table).copied();
        match (consumed, before_this_run) {
            (Some(consumed), Some(before)) if consumed < before => self.keep_pending(table),
            _ => Ok(()),
        }
    }

    /// A table changes in a way that no log can tell.
    pub fn break_log(&mut self, table: &TableName) -> Result<(), RunError> {
        self.logs.pending.remove(table);
        let Some(known) = self.logs.known.remove(table) else { return Ok(()) };
        self.logs.touched.insert(table.clone());
        let log = self.physical(&log_name(&known.physical))?;
        self.database.execute(&format!("drop table if exists {log}"))?;
        self.definitions_changed = true;
        Ok(())
    }

    /// What changed in a table since a reader consumed its run `consumed`.
    pub fn delta_since(&self, table: &TableName, consumed: Option<i64>) -> Result<Delta, RunError> {
        let unknown = |reason: String| Ok(Delta::Unknown(reason));
        let Some(state) = self.tables.get(table) else { return unknown(format!("{table} does not exist")) };
        let Some(consumed) = consumed else { return unknown(format!("{table} was not read before")) };
        if state.changed_run <= consumed {
            return Ok(Delta::None);
        }
        let before_this_run = self.logs.changed_before.get(table).copied().unwrap_or(state.changed_run);
        if let (Change::Rows { before, after }, true) = (self.change_of(table), consumed >= before_this_run) {
            return Ok(Delta::Rows { before: before.clone(), after: after.clone() });
        }
        if state.created_run > consumed {
            return unknown(format!("{table} was made anew in run {}", state.created_run));
        }
        match self.logs.known.get(table) {
            Some(log) if log.physical == state.physical && log.since <= consumed => {
                let log = self.change_log(&state.physical, state.typed_columns(self.database.dialect))?;
                Ok(Delta::Rows {
                    before: format!("({})", self.database.name(log.gone_since(consumed))?),
                    after: format!("({})", self.database.name(log.arrived_since(consumed))?),
                })
            }
            Some(log) if log.physical == state.physical => unknown(format!(
                "the change log of {table} reaches back to run {}, and run {consumed} was the last to be seen",
                log.since
            )),
            _ => unknown(format!("there is no change log of {table} since run {consumed}")),
        }
    }

    /// The last runs that are too old, for `why --history` and for readers which are behind.
    fn too_old(&mut self) -> Result<(i64, i64), RunError> {
        let ledger = &self.ledger;
        let connection = &mut *self.database.connection;
        let history = match self.retention.history {
            Some(moment) => ledger.last_run_before(connection, moment),
            None => Ok(i64::MAX),
        };
        let runs =
            history.and_then(|history| Ok((history, ledger.last_run_before(connection, self.retention.readers)?)));
        runs.map_err(|error| self.database.error(error))
    }

    /// Forgets what nobody needs any more.
    pub fn prune_logs(&mut self) -> Result<(), RunError> {
        self.keep_what_is_missed()?;
        let retention = self.retention;
        let mut too_old: Option<(i64, i64)> = None;
        for (table, log) in self.logs.known.clone() {
            let readers = self.change_readers(&table);
            if readers.is_empty() && !retention.every_table {
                self.break_log(&table)?;
                continue;
            }
            let seen = readers.iter().filter_map(|&node| {
                let key = (self.compiled.nodes[node].id.clone(), table.clone());
                self.consumed_now.get(&key).or_else(|| self.consumed.get(&key)).copied()
            });
            // Who is behind the log already is refreshed in full anyway.
            let passed = seen.filter(|&run| run >= log.since).min().unwrap_or(self.run);
            let written = self.logs.touched.contains(&table);
            if !written && self.run - log.since < LEISURE {
                continue;
            }
            let (history, behind) = match too_old {
                Some(runs) => runs,
                None => *too_old.insert(self.too_old()?),
            };
            let through = passed.min(history).max(behind);
            if through <= log.since || !(written || through - log.since >= LEISURE) {
                continue;
            }
            self.database.about(table.to_string());
            let sql = self.change_log(&log.physical, Vec::new())?.prune(through);
            self.database.execute(&sql)?;
            self.logs.known.insert(table.clone(), LogState { since: through, ..log });
            self.logs.touched.insert(table);
        }
        fail::fail_point!("run::pruned");
        Ok(())
    }

    /// What must be written to the ledger: logs as they stand now, and tables that have none any more.
    pub fn touched_logs(&self) -> (Vec<ChangeLogRow>, Vec<String>) {
        let (mut rows, mut gone) = (Vec::new(), Vec::new());
        for table in &self.logs.touched {
            match self.logs.known.get(table) {
                Some(log) => rows.push(ChangeLogRow {
                    table_name: table.to_string(),
                    physical: log.physical.clone(),
                    since: log.since,
                }),
                None => gone.push(table.to_string()),
            }
        }
        (rows, gone)
    }
}
