//! How models were refreshed, and at what cost.

use super::rows::RefreshRow;
use super::{LEDGER_SCHEMA, Ledger};
use crate::contract::{Connection, Value, WarehouseError};

/// Refreshes, of all models together, that are looked at to predict the next ones.
const LOOKED_AT: u32 = 2000;

impl Ledger {
    /// Writes how a run refreshed its models, in place of what it wrote before.
    pub fn put_refreshes(
        &self,
        connection: &mut dyn Connection,
        run: i64,
        refreshes: &[RefreshRow],
    ) -> Result<(), WarehouseError> {
        connection.execute(
            &format!("delete from {LEDGER_SCHEMA}.refreshes where project = ? and run = ?"),
            &[self.project_value(), Value::BigInt(run)],
        )?;
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
        self.past_refreshes_of_prepared(connection)
    }

    /// The same of a ledger that was prepared for this version. Within a transaction the question whether a table is there costs
    /// more than this.
    pub fn past_refreshes_of_prepared(
        &self,
        connection: &mut dyn Connection,
    ) -> Result<Vec<RefreshRow>, WarehouseError> {
        let rest = format!("order by run desc limit {LOOKED_AT}");
        self.select(connection, &rest, &[])
    }
}
