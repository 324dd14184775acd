//! Postgres as a source.
//!
//! Rows are read with `COPY (SELECT ...) TO STDOUT (FORMAT BINARY)` and decoded a column at a time; `column_types.rs` has the table of
//! types, `snapshot.rs` says how it is known what was committed. Versions from 12 on.

mod checksum;
mod column_types;
mod connection;
mod decode;
mod dialect;
mod discover;
mod error;
mod snapshot;

use std::path::Path;

use thalweg_postgres::Encryption;
use thalweg_project::DatabaseSettings;

use crate::SourceError;
use crate::database::{Connection, Dialect, Engine, OpenSnapshot, TableRef};
use connection::PostgresConnection;
use dialect::PostgresDialect;

/// A Postgres server and how it is reached.
pub struct PostgresEngine {
    settings: DatabaseSettings,
    encryption: Encryption,
}

impl PostgresEngine {
    /// Prepares for the settings; files they name are relative to the project folder. Fails where certificates cannot be read; the
    /// server is not asked yet.
    pub fn new(settings: DatabaseSettings, project_folder: &Path) -> Result<Self, SourceError> {
        let encryption = Encryption::new(&settings, project_folder)?;
        Ok(Self { settings, encryption })
    }

    fn connect_session(&self) -> Result<PostgresConnection, SourceError> {
        PostgresConnection::open(&self.settings, &self.encryption)
    }
}

impl Engine for PostgresEngine {
    fn dialect(&self) -> &dyn Dialect {
        &PostgresDialect
    }

    fn connect(&self) -> Result<Box<dyn Connection>, SourceError> {
        Ok(Box::new(self.connect_session()?))
    }

    fn open(&self, connections: usize, tables: &[TableRef]) -> Result<OpenSnapshot, SourceError> {
        snapshot::open(self, connections, tables)
    }
}
