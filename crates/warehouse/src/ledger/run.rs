//! Runs, and the lease they work under.

use fail::fail_point;
use serde_json::Value as Json;

use super::rows::{
    ExtractRow, LeaseRow, Microseconds, RefreshRow, RunRow, RunState, StepRow, TestFailureRow, TestResultRow,
};
use super::{LEDGER_SCHEMA, Ledger, one_number};
use crate::contract::{Connection, Value, WarehouseError, WarehouseErrorKind};

/// Everything the ledger knows of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunDetail {
    /// The run.
    pub run: RunRow,
    /// Its tables, in the order of the work.
    pub steps: Vec<StepRow>,
    /// Its tests.
    pub tests: Vec<TestResultRow>,
    /// Rows that failed its tests, in order.
    pub failures: Vec<TestFailureRow>,
    /// How it refreshed its models.
    pub refreshes: Vec<RefreshRow>,
    /// The files it loaded.
    pub extracts: Vec<ExtractRow>,
}

impl Ledger {
    /// Takes the lease from whoever has it. The epoch to work under.
    pub fn acquire_lease(
        &self,
        connection: &mut dyn Connection,
        holder: &str,
        now: Microseconds,
    ) -> Result<i64, WarehouseError> {
        let held: Vec<LeaseRow> = self.select(connection, "", &[])?;
        self.take_lease(connection, held.iter().map(|lease| lease.epoch).max().unwrap_or(0), holder, now)
    }

    /// Takes the lease from whoever had it when its epoch was read; 0 where there was none.
    pub fn take_lease(
        &self,
        connection: &mut dyn Connection,
        last: i64,
        holder: &str,
        now: Microseconds,
    ) -> Result<i64, WarehouseError> {
        if last == 0 {
            self.append(connection, &[LeaseRow { epoch: 1, holder: holder.to_owned(), acquired_at: now, checks: 0 }])?;
            return Ok(1);
        }
        let epoch = last + 1;
        // `checks` too: engines tell colliding writers apart by column. From the epoch that was read: of two who read the same one, one
        // may wait for the other, and must not take its number.
        let taken = connection.execute(
            &format!(
                "update {LEDGER_SCHEMA}.lease set epoch = ?, holder = ?, acquired_at = ?, checks = checks + 1 \
                 where project = ? and epoch = ?"
            ),
            &[
                Value::BigInt(epoch),
                Value::Text(holder.to_owned()),
                Value::Timestamp(now.0),
                self.project_value(),
                Value::BigInt(last),
            ],
        )?;
        if taken == 0 {
            return Err(WarehouseError::new(
                WarehouseErrorKind::Conflict,
                format!("somebody else took the lease of project {} at the same time: run again", self.project),
            ));
        }
        Ok(epoch)
    }

    /// Makes sure, inside the transaction that is to be committed, that nobody took the lease meanwhile:
    /// [`WarehouseErrorKind::Fenced`].
    pub fn check_lease(&self, connection: &mut dyn Connection, epoch: i64) -> Result<(), WarehouseError> {
        fail_point!("ledger::lease", |_| Err(self.fenced(connection, epoch)));
        // Written, not only read: of two transactions that both pass only one can be committed. It must be a real change, as an
        // engine may leave out an update that changes nothing.
        let held = connection.execute(
            &format!("update {LEDGER_SCHEMA}.lease set checks = checks + 1 where project = ? and epoch = ?"),
            &[self.project_value(), Value::BigInt(epoch)],
        )?;
        if held == 1 { Ok(()) } else { Err(self.fenced(connection, epoch)) }
    }

    /// Takes a lease of our own anew under a higher epoch, so that whatever a connection that was lost still sends is refused. Waits until a
    /// transaction that checked the lease has ended, so that everything read afterwards is settled. The new epoch;
    /// [`WarehouseErrorKind::Fenced`] where the lease is not ours any more.
    pub fn renew_lease(
        &self,
        connection: &mut dyn Connection,
        epoch: i64,
        holder: &str,
        acquired_at: Microseconds,
    ) -> Result<i64, WarehouseError> {
        // From our epoch or a later one: an earlier attempt may have been committed without our knowing.
        let renewed = connection.execute(
            &format!(
                "update {LEDGER_SCHEMA}.lease set epoch = epoch + 1, checks = checks + 1 \
                 where project = ? and epoch >= ? and holder = ? and acquired_at = ?"
            ),
            &[
                self.project_value(),
                Value::BigInt(epoch),
                Value::Text(holder.to_owned()),
                Value::Timestamp(acquired_at.0),
            ],
        )?;
        let held: Vec<LeaseRow> = self.select(connection, "", &[])?;
        match held.first() {
            Some(lease) if renewed == 1 => Ok(lease.epoch),
            _ => Err(self.fenced(connection, epoch)),
        }
    }

    fn fenced(&self, connection: &mut dyn Connection, epoch: i64) -> WarehouseError {
        let holder = self
            .select::<LeaseRow>(connection, "", &[])
            .ok()
            .and_then(|held| held.into_iter().next())
            .map_or_else(|| "somebody".to_owned(), |lease| format!("`{}`", lease.holder));
        WarehouseError::new(
            WarehouseErrorKind::Fenced,
            format!(
                "{holder} has taken over project {} since this run began (lease {epoch}), so nothing of it is published: run again",
                self.project
            ),
        )
    }

    /// Writes the beginning of a run. One of the same number that was interrupted is taken up `again`: its row is replaced.
    pub fn begin_run(&self, connection: &mut dyn Connection, run: &RunRow, again: bool) -> Result<(), WarehouseError> {
        if again {
            connection.execute(
                &format!("delete from {LEDGER_SCHEMA}.runs where project = ? and run = ?"),
                &[self.project_value(), Value::BigInt(run.run)],
            )?;
        }
        self.append(connection, std::slice::from_ref(run))
    }

    /// Writes how a run ended. What it did is written in the same transaction, so that of a run under way nothing stands in the ledger.
    pub fn finish_run(
        &self,
        connection: &mut dyn Connection,
        run: i64,
        state: RunState,
        now: Microseconds,
        summary: Option<&Json>,
        message: Option<&str>,
    ) -> Result<(), WarehouseError> {
        let text = |text: Option<String>| text.map_or(Value::Null, Value::Text);
        let changed = connection.execute(
            &format!(
                "update {LEDGER_SCHEMA}.runs set state = ?, finished_at = ?, summary = ?, message = ? \
                 where project = ? and run = ? and state = ?"
            ),
            &[
                Value::Text(state.word().to_owned()),
                Value::Timestamp(now.0),
                text(summary.map(Json::to_string)),
                text(message.map(str::to_owned)),
                self.project_value(),
                Value::BigInt(run),
                Value::Text(RunState::Running.word().to_owned()),
            ],
        )?;
        if changed == 1 {
            return Ok(());
        }
        Err(WarehouseError::new(
            WarehouseErrorKind::Statement,
            format!(
                "run {run} of project {} is not under way in the ledger: it was never begun, or has ended",
                self.project
            ),
        ))
    }

    /// The last runs, newest first.
    pub fn runs(&self, connection: &mut dyn Connection, limit: Option<u64>) -> Result<Vec<RunRow>, WarehouseError> {
        let limit = limit.map_or_else(String::new, |limit| format!(" limit {limit}"));
        self.select(connection, &format!("order by run desc{limit}"), &[])
    }

    /// The last run that began before a moment; 0 when there is none.
    pub fn last_run_before(
        &self,
        connection: &mut dyn Connection,
        moment: Microseconds,
    ) -> Result<i64, WarehouseError> {
        let rows = connection.query(
            &format!("select max(run) from {LEDGER_SCHEMA}.runs where project = ? and started_at < ?"),
            &[self.project_value(), Value::Timestamp(moment.0)],
        )?;
        Ok(one_number(&rows)?.unwrap_or(0))
    }

    /// The run that readers see, if there is one.
    pub fn published_run(&self, connection: &mut dyn Connection) -> Result<Option<RunRow>, WarehouseError> {
        let published = [Value::Text(RunState::Published.word().to_owned())];
        Ok(self.select(connection, "and state = ? order by run desc limit 1", &published)?.into_iter().next())
    }

    /// Everything known of one run, if there was one.
    pub fn run_detail(&self, connection: &mut dyn Connection, run: i64) -> Result<Option<RunDetail>, WarehouseError> {
        let number = [Value::BigInt(run)];
        let Some(row) = self.select(connection, "and run = ?", &number)?.into_iter().next() else { return Ok(None) };
        Ok(Some(RunDetail {
            run: row,
            steps: self.steps(connection, run)?,
            refreshes: self.refreshes(connection, run)?,
            tests: self.select(connection, "and run = ? order by test", &number)?,
            failures: self.select(connection, "and run = ? order by test, row_number", &number)?,
            extracts: self.select(connection, "and run = ? order by id", &number)?,
        }))
    }
}
