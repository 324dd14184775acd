//! MySQL and MariaDB as sources.
//!
//! The protocol is spoken here, down to the packets (`wire`, `session`): rows of the binary protocol are decoded where they lie in the
//! buffer, straight into Arrow (`decode`), which the clients that hand out rows as values cannot do. `column_types` has the
//! table of types, `snapshot` how it is known what was committed. Versions from MariaDB 10.3 and MySQL 5.7 on.

mod boundaries;
mod checksum;
mod column_types;
mod connection;
mod decode;
mod dialect;
mod discover;
mod error;
mod login;
#[cfg(test)]
mod properties;
mod session;
mod snapshot;
mod value;
mod wire;

use std::path::{Path, PathBuf};

use thalweg_project::DatabaseSettings;

use crate::SourceError;
use crate::database::{Connection, Dialect, Engine, OpenSnapshot, TableRef};
use connection::MysqlConnection;
use dialect::MysqlDialect;
use session::Session;

/// A MySQL or MariaDB server and how it is reached.
#[derive(Debug, Clone)]
pub struct MysqlEngine {
    settings: DatabaseSettings,
    project_folder: PathBuf,
}

impl MysqlEngine {
    /// Prepares for the settings; files they name are relative to the project folder. Nothing is touched yet.
    pub fn new(settings: DatabaseSettings, project_folder: &Path) -> Self {
        Self { settings, project_folder: project_folder.to_owned() }
    }

    /// A session, logged in and set up.
    fn session(&self) -> Result<Session, SourceError> {
        Session::open(&self.settings, &self.project_folder)
            .map_err(|trouble| trouble.while_doing(&format!("connecting to {}", self.place())))
    }

    /// Where the server is, for messages: `orders at db.example:3306`.
    fn place(&self) -> String {
        let DatabaseSettings { host, port, database, .. } = &self.settings;
        let at = if host.starts_with('/') { host.clone() } else { format!("{host}:{port}") };
        if database.is_empty() { at } else { format!("{database} at {at}") }
    }
}

impl Engine for MysqlEngine {
    fn dialect(&self) -> &dyn Dialect {
        &MysqlDialect
    }

    fn connect(&self) -> Result<Box<dyn Connection>, SourceError> {
        Ok(Box::new(MysqlConnection::new(self.session()?, self)))
    }

    fn open(&self, connections: usize, tables: &[TableRef]) -> Result<OpenSnapshot, SourceError> {
        snapshot::open(self, connections, tables)
    }
}
