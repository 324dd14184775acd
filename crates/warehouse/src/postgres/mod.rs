//! Postgres as the warehouse: a schema of tables that people query while runs go on.
//!
//! * One transaction covers a whole run; readers see what was there before until it commits.
//! * A staged relation is a temporary table, filled by binary COPY from what the embedded engine reads of the landing: what a missing
//!   column or a cast means is the same in every warehouse.
//! * `search_path` holds `pg_catalog` only, so that nothing depends on it; temporary tables are found by their bare names.
//! * The types of answers: `thalweg_postgres::ValueType` has the table. A `numeric` without precision (a sum of `bigint`) becomes a
//!   decimal of 38 digits in [`Connection::query`](crate::Connection::query) where all values of the answer fit one, and its text otherwise;
//!   rows that are read in batches have the text, since nobody knows the values that are still to come.

mod connect;
mod error;
mod export;
mod lock;
mod marks;
mod rows;
mod scratch;
mod stage;
mod transaction;
mod view;

use std::path::{Path, PathBuf};

use thalweg_postgres::Encryption;
use thalweg_project::{DatabaseSettings, PostgresTarget, Target};

use crate::contract::{Access, Capabilities, Connection, RunLock, Wait, Warehouse, WarehouseError};
use crate::ledger::LEDGER_SCHEMA;

/// A warehouse in a Postgres database.
#[derive(Clone)]
pub(crate) struct PostgresWarehouse {
    /// How it is reached; the role owns what runs make.
    connection: PostgresTarget,
    encryption: Encryption,
    target: String,
    schema_prefix: String,
    /// Folders whose files may be staged.
    folders: Vec<PathBuf>,
}

impl PostgresWarehouse {
    /// Prepares for the settings; the files they name are relative to the project folder. The server is not asked yet.
    pub(crate) fn new(
        connection: PostgresTarget,
        target: &Target,
        project_folder: &Path,
        folders: Vec<PathBuf>,
    ) -> Result<Self, WarehouseError> {
        let encryption =
            Encryption::new(&connection.settings, project_folder).map_err(|failed| error::of_opening(&failed))?;
        let (target, schema_prefix) = (target.name.clone(), target.schema_prefix.clone());
        Ok(Self { connection, encryption, target, schema_prefix, folders })
    }
}

/// A connection of which nothing remains.
pub(crate) fn scratch(warehouse: &PostgresWarehouse) -> Result<Box<dyn Connection>, WarehouseError> {
    let wait = Wait { timeout: std::time::Duration::ZERO, tell: &|_| {} };
    Ok(Box::new(scratch::Trial::new(connect::connect(warehouse, Access::Write, &wait)?)?))
}

impl Warehouse for PostgresWarehouse {
    fn capabilities(&self) -> Capabilities {
        Capabilities { transactions: true, transactional_ddl: true, savepoints: true, stages_in_place: false }
    }

    fn display(&self) -> String {
        let DatabaseSettings { host, port, database, .. } = &self.connection.settings;
        if host.starts_with('/') { format!("{database} at {host}") } else { format!("{database} at {host}:{port}") }
    }

    fn exists(&self) -> Result<bool, WarehouseError> {
        let mut session = connect::session(self, connect::APPLICATION)?;
        let answer = session
            .ask(&format!("select pg_catalog.to_regnamespace('{LEDGER_SCHEMA}') is not null"))
            .map_err(|failed| error::of_statement(&failed, None))?;
        Ok(answer.first().and_then(|row| row.first()?.as_deref()) == Some("t"))
    }

    fn lock(&self, project: &str, holder: &str) -> Result<Box<dyn RunLock>, WarehouseError> {
        Ok(Box::new(lock::take(self, project, holder)?))
    }

    fn connect(&self, access: Access, wait: &Wait<'_>) -> Result<Box<dyn Connection>, WarehouseError> {
        Ok(Box::new(connect::connect(self, access, wait)?))
    }
}
