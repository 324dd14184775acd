//! How far back the change logs reach.

use super::rows::ChangeLogRow;
use super::{LEDGER_SCHEMA, Ledger};
use crate::contract::{Connection, WarehouseError};

impl Ledger {
    /// Every change log. None in a ledger that an older version of the program wrote.
    pub fn change_logs(&self, connection: &mut dyn Connection) -> Result<Vec<ChangeLogRow>, WarehouseError> {
        if !connection.has_table(LEDGER_SCHEMA, "change_logs")? {
            return Ok(Vec::new());
        }
        self.select(connection, "", &[])
    }

    /// Writes how far the logs of some tables reach, in place of what was known of them; tables in `gone` have none any more.
    pub fn put_change_logs(
        &self,
        connection: &mut dyn Connection,
        logs: &[ChangeLogRow],
        gone: &[String],
    ) -> Result<(), WarehouseError> {
        let tables = logs.iter().map(|log| log.table_name.as_str()).chain(gone.iter().map(String::as_str));
        self.delete_listed(connection, "change_logs", "table_name", tables)?;
        self.append(connection, logs)
    }
}
