//! Files that were loaded, and the landings they lie in.

use super::rows::{ExtractRow, LandingRow};
use super::{LEDGER_SCHEMA, Ledger, one_number};
use crate::contract::{Connection, Value, WarehouseError};

impl Ledger {
    /// The next free `_origin`. Whoever holds the lease may count on from here.
    pub fn next_extract(&self, connection: &mut dyn Connection) -> Result<i64, WarehouseError> {
        let rows = connection.query(
            &format!("select max(id) from {LEDGER_SCHEMA}.extracts where project = ?"),
            &self.with_project(&[]),
        )?;
        Ok(one_number(&rows)?.unwrap_or(0) + 1)
    }

    /// Writes loaded files under their numbers.
    pub fn add_extracts(&self, connection: &mut dyn Connection, rows: &[ExtractRow]) -> Result<(), WarehouseError> {
        self.append(connection, rows)
    }

    /// The file behind an `_origin`.
    pub fn extract(&self, connection: &mut dyn Connection, id: i64) -> Result<Option<ExtractRow>, WarehouseError> {
        Ok(self.select(connection, "and id = ?", &[Value::BigInt(id)])?.into_iter().next())
    }

    /// Writes published landings.
    pub fn add_landings(&self, connection: &mut dyn Connection, rows: &[LandingRow]) -> Result<(), WarehouseError> {
        self.append(connection, rows)
    }

    /// The published landings, oldest first: of one stream, or of all.
    pub fn landings(
        &self,
        connection: &mut dyn Connection,
        stream: Option<(&str, &str)>,
    ) -> Result<Vec<LandingRow>, WarehouseError> {
        match stream {
            None => self.select(connection, "order by run, source, stream", &[]),
            Some((source, stream)) => self.select(
                connection,
                "and source = ? and stream = ? order by run",
                &[Value::Text(source.to_owned()), Value::Text(stream.to_owned())],
            ),
        }
    }

    /// Published landings that their sources were not told of, oldest first.
    pub fn unconfirmed(&self, connection: &mut dyn Connection) -> Result<Vec<LandingRow>, WarehouseError> {
        self.select(connection, "and not confirmed order by run, source, stream", &[])
    }

    /// Notes that a source was told of a landing.
    pub fn mark_confirmed(&self, connection: &mut dyn Connection, landing: &LandingRow) -> Result<(), WarehouseError> {
        connection.execute(
            &format!(
                "update {LEDGER_SCHEMA}.landings set confirmed = true where project = ? and run = ? and source = ? and stream = ?"
            ),
            &[
                self.project_value(),
                Value::BigInt(landing.run),
                Value::Text(landing.source.clone()),
                Value::Text(landing.stream.clone()),
            ],
        )?;
        Ok(())
    }
}
