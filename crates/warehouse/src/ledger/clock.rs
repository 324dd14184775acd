//! What models read of the time.

use super::rows::ClockRow;
use super::{LEDGER_SCHEMA, Ledger};
use crate::contract::{Connection, WarehouseError};

impl Ledger {
    /// What every model read of the time when it was last refreshed. Nothing in a ledger that an older version of the program wrote.
    pub fn clocks(&self, connection: &mut dyn Connection) -> Result<Vec<ClockRow>, WarehouseError> {
        if !connection.has_table(LEDGER_SCHEMA, "clocks")? {
            return Ok(Vec::new());
        }
        self.select(connection, "", &[])
    }

    /// Writes what some models read, in place of what was known of them.
    pub fn put_clocks(&self, connection: &mut dyn Connection, clocks: &[ClockRow]) -> Result<(), WarehouseError> {
        if clocks.is_empty() {
            return Ok(());
        }
        let mut tables: Vec<&str> = clocks.iter().map(|clock| clock.table_name.as_str()).collect();
        tables.dedup();
        self.delete_listed(connection, "clocks", "table_name", tables)?;
        self.append(connection, clocks)
    }
}
