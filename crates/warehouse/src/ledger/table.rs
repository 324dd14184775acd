//! Tables that readers see, and what models have consumed of them.

use super::rows::{ConsumedRow, TableRow, TroubleRow};
use super::{LEDGER_SCHEMA, Ledger};
use crate::contract::{Connection, Value, WarehouseError};

/// Parameters of one statement: few enough for every engine.
pub(super) const PARAMETERS: usize = 500;

impl Ledger {
    /// Writes how tables stand, in place of what was known of them.
    pub fn put_tables(&self, connection: &mut dyn Connection, tables: &[TableRow]) -> Result<(), WarehouseError> {
        self.delete_listed(connection, "tables", "table_name", tables.iter().map(|table| table.table_name.as_str()))?;
        self.append(connection, tables)
    }

    /// Writes how one table stands.
    pub fn put_table(&self, connection: &mut dyn Connection, table: &TableRow) -> Result<(), WarehouseError> {
        self.put_tables(connection, std::slice::from_ref(table))
    }

    /// Writes what became of trying to bring store tables up to date: these could not be, all others of `tried` could.
    pub fn set_troubles<'a>(
        &self,
        connection: &mut dyn Connection,
        tried: impl IntoIterator<Item = &'a str>,
        troubles: &[TroubleRow],
    ) -> Result<(), WarehouseError> {
        self.delete_listed(connection, "troubles", "table_name", tried)?;
        self.append(connection, troubles)
    }

    /// Forgets a table, what it consumed, and that others consumed it.
    pub fn drop_table(&self, connection: &mut dyn Connection, table: &str) -> Result<(), WarehouseError> {
        for (from, column) in [
            ("tables", "table_name"),
            ("troubles", "table_name"),
            ("consumed", "reader"),
            ("consumed", "input"),
            ("change_logs", "table_name"),
            ("clocks", "table_name"),
        ] {
            self.delete_listed(connection, from, column, [table])?;
        }
        Ok(())
    }

    /// Writes what readers have consumed: for each of these readers, exactly these inputs.
    pub fn set_consumed(&self, connection: &mut dyn Connection, rows: &[ConsumedRow]) -> Result<(), WarehouseError> {
        let mut readers: Vec<&str> = rows.iter().map(|row| row.reader.as_str()).collect();
        readers.sort_unstable();
        readers.dedup();
        self.delete_listed(connection, "consumed", "reader", readers)?;
        self.append(connection, rows)
    }

    /// Deletes rows of this project whose column holds one of the values.
    pub(super) fn delete_listed<'a>(
        &self,
        connection: &mut dyn Connection,
        table: &str,
        column: &str,
        values: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), WarehouseError> {
        let values: Vec<&str> = values.into_iter().collect();
        for part in values.chunks(PARAMETERS) {
            let marks = vec!["?"; part.len()].join(", ");
            let mut parameters = vec![self.project_value()];
            parameters.extend(part.iter().map(|value| Value::Text((*value).to_owned())));
            connection.execute(
                &format!("delete from {LEDGER_SCHEMA}.{table} where project = ? and {column} in ({marks})"),
                &parameters,
            )?;
        }
        Ok(())
    }
}
