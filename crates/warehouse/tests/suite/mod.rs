//! What every warehouse must do, written once. A warehouse joins by implementing [`Site`] and naming itself in `contract.rs`.

#![allow(dead_code, unused_imports, reason = "each test binary uses its own part")]

mod staging;
mod statements;
mod transactions;

use std::path::{Path, PathBuf};
use std::time::Duration;

use arrow::util::display::{ArrayFormatter, FormatOptions};
use thalweg_project::{ColumnType, DatabaseKind, DatabaseSettings, Location, PostgresTarget, Target, TargetConnection};
use thalweg_sql::dialect::Dialect;
use thalweg_testkit::{PostgresDatabase, PostgresServer};
use thalweg_warehouse::{Access, Connection, Rows, Wait, Warehouse, WarehouseErrorKind};

pub use staging::*;
pub use statements::*;
pub use transactions::*;

/// Where a warehouse under test is.
pub trait Site {
    /// Another handle of the same warehouse.
    fn warehouse(&self) -> Box<dyn Warehouse>;

    /// A folder that statements may read and write.
    fn folder(&self) -> &Path;

    /// How its engine spells things.
    fn dialect(&self) -> &'static dyn Dialect;

    /// What its engine calls a type.
    fn type_name(&self, column_type: &ColumnType) -> String {
        self.dialect().type_name(column_type)
    }

    /// A connection for writing, with a schema `w` for the tables of the test.
    fn connect(&self) -> Box<dyn Connection> {
        let mut connection = connect(&*self.warehouse(), Access::Write);
        run(&mut *connection, "create schema if not exists w");
        connection
    }

    /// Writes the answer of a query of DuckDB to a Parquet file, as sources do it.
    fn landing(&self, name: &str, sql: &str) -> PathBuf {
        let file = self.folder().join(name);
        DuckDbSite::at(self.folder()).connect().export_parquet(sql, &file, &[]).expect(sql);
        file
    }
}

/// Connects, waiting a second at most.
pub fn connect(warehouse: &dyn Warehouse, access: Access) -> Box<dyn Connection> {
    let wait = Wait { timeout: Duration::from_secs(1), tell: &|sentence| println!("{sentence}") };
    warehouse.connect(access, &wait).expect("a connection")
}

/// Rows as text, values separated by `|`, NULL as `∅`.
pub fn lines(rows: &Rows) -> Vec<String> {
    let options = FormatOptions::new().with_null("∅");
    let mut lines = Vec::new();
    for batch in &rows.batches {
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &options).expect("a type to print"))
            .collect();
        for row in 0..batch.num_rows() {
            lines.push(columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join("|"));
        }
    }
    lines
}

/// The answer of a query as text.
pub fn ask(connection: &mut dyn Connection, sql: &str) -> Vec<String> {
    lines(&connection.query(sql, &[]).expect(sql))
}

/// Runs a statement that must succeed.
pub fn run(connection: &mut dyn Connection, sql: &str) -> u64 {
    connection.execute(sql, &[]).expect(sql)
}

/// The kind of an error.
pub fn kind<T: std::fmt::Debug>(outcome: Result<T, thalweg_warehouse::WarehouseError>) -> WarehouseErrorKind {
    outcome.expect_err("an error").kind
}

/// A DuckDB file in a folder of its own.
pub struct DuckDbSite {
    folder: PathBuf,
    /// Removes the folder, where this site made it.
    _made: Option<tempfile::TempDir>,
}

impl DuckDbSite {
    /// A new folder; the file does not exist yet.
    pub fn new() -> Self {
        let made = tempfile::tempdir().expect("a folder");
        Self { folder: made.path().to_owned(), _made: Some(made) }
    }

    /// A folder that another process made.
    pub fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), _made: None }
    }

    /// The file.
    pub fn file(&self) -> PathBuf {
        self.folder.join("data/warehouse.duckdb")
    }
}

impl Site for DuckDbSite {
    fn warehouse(&self) -> Box<dyn Warehouse> {
        let target = Target {
            name: "dev".to_owned(),
            schema_prefix: String::new(),
            connection: TargetConnection::Duckdb {
                path: "data/warehouse.duckdb".to_owned(),
                memory_limit: None,
                threads: None,
                published_copy: None,
            },
            location: Location::file("thalweg.yml"),
        };
        thalweg_warehouse::open(&target, &self.folder).expect("a warehouse")
    }

    fn folder(&self) -> &Path {
        &self.folder
    }

    fn dialect(&self) -> &'static dyn Dialect {
        &thalweg_sql::dialect::duckdb::DuckDb
    }
}

/// A new database of a server that all tests of a binary share.
pub struct PostgresSite {
    folder: tempfile::TempDir,
    server: &'static PostgresServer,
    database: PostgresDatabase<'static>,
}

impl PostgresSite {
    /// A new, empty database.
    pub fn new() -> Self {
        Self::on(PostgresServer::shared())
    }

    /// A new, empty database of a server.
    pub fn on(server: &'static PostgresServer) -> Self {
        Self { folder: tempfile::tempdir().expect("a folder"), server, database: server.database() }
    }

    /// The server.
    pub fn server(&self) -> &'static PostgresServer {
        self.server
    }

    /// The database, for those who look at it from outside.
    pub fn database(&self) -> &PostgresDatabase<'static> {
        &self.database
    }
}

impl Site for PostgresSite {
    fn warehouse(&self) -> Box<dyn Warehouse> {
        postgres_warehouse(self.server.port(), self.database.name(), self.folder.path())
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn dialect(&self) -> &'static dyn Dialect {
        &thalweg_sql::dialect::postgres::Postgres
    }
}

/// The warehouse in a database of a server on this machine.
pub fn postgres_warehouse(port: u16, database: &str, folder: &Path) -> Box<dyn Warehouse> {
    postgres_warehouse_as(port, database, folder, "postgres", None)
}

/// The same for a user, who acts as a role.
pub fn postgres_warehouse_as(
    port: u16,
    database: &str,
    folder: &Path,
    user: &str,
    role: Option<&str>,
) -> Box<dyn Warehouse> {
    let postgres = PostgresTarget {
        settings: DatabaseSettings::local(DatabaseKind::Postgres, port, user, database),
        role: role.map(str::to_owned),
        lock_timeout: Duration::from_millis(500),
    };
    let target = Target {
        name: "prod".to_owned(),
        schema_prefix: String::new(),
        connection: TargetConnection::Postgres(Box::new(postgres)),
        location: Location::file("thalweg.yml"),
    };
    thalweg_warehouse::open(&target, folder).expect("a warehouse")
}
