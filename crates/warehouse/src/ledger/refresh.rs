//! How models were refreshed, and at what cost.

use super::rows::RefreshRow;
use super::{LEDGER_SCHEMA, Ledger};
use crate::contract::{Connection, Value, WarehouseError};

/// Refreshes, of all models together, that are looked at to predict the next ones.
const LOOKED_AT: u32 = 2000;
/// Where these are the refreshes of fewer runs, so many runs are looked at.
const LEAST_RUNS: i64 = 20;

impl Ledger {
    /// Writes how a run refreshed its models, in the transaction in which it ends.
    pub fn add_refreshes(
        &self,
        connection: &mut dyn Connection,
        refreshes: &[RefreshRow],
    ) -> Result<(), WarehouseError> {
        self.append(connection, refreshes)
    }

    /// The refreshes of one run.
    pub fn refreshes(&self, connection: &mut dyn Connection, run: i64) -> Result<Vec<RefreshRow>, WarehouseError> {
        if !connection.has_table(LEDGER_SCHEMA, "refreshes")? {
            return Ok(Vec::new());
        }
        self.select(connection, "and run = ?", &[Value::BigInt(run)])
    }

    /// The last refreshes, newest first. None in a ledger that an older version of the program wrote.
    pub fn past_refreshes(&self, connection: &mut dyn Connection) -> Result<Vec<RefreshRow>, WarehouseError> {
        if !connection.has_table(LEDGER_SCHEMA, "refreshes")? {
            return Ok(Vec::new());
        }
        let rest = format!("order by run desc limit {LOOKED_AT}");
        self.select(connection, &rest, &[])
    }

    /// The same of a ledger that was prepared for this version, before a run that may refresh so many models: those of the last runs that may
    /// have been so many. Within a transaction the question whether a table is there costs more than this.
    pub fn past_refreshes_before(
        &self,
        connection: &mut dyn Connection,
        run: i64,
        models: usize,
    ) -> Result<Vec<RefreshRow>, WarehouseError> {
        let runs = i64::from(LOOKED_AT) / i64::try_from(models.max(1)).unwrap_or(i64::MAX);
        let since = run.saturating_sub(runs.max(LEAST_RUNS));
        let mut rows: Vec<RefreshRow> = self.select(connection, "and run >= ?", &[Value::BigInt(since)])?;
        rows.sort_by_key(|row| std::cmp::Reverse(row.run));
        Ok(rows)
    }
}
