//! The driver of MySQL and MariaDB, against a real server.

#![allow(clippy::unwrap_used)]

#[path = "../shared/checksums.rs"]
mod checksums;
mod connections;
mod extremes;
mod reading;
mod snapshots;

use std::path::Path;

use arrow::array::Array;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use thalweg_project::{DatabaseKind, DatabaseSettings, Secret};
use thalweg_source::database::{Connection, Engine, Misfit, Read, Table, TableRef};
use thalweg_source::mysql::MysqlEngine;
use thalweg_testkit::{MariadbDatabase, MariadbServer};

/// How to reach a database as the user `tester`.
fn settings(server: &MariadbServer, database: &MariadbDatabase<'_>) -> DatabaseSettings {
    DatabaseSettings::local(DatabaseKind::Mariadb, server.port(), "tester", database.name())
}

fn with_user(settings: &DatabaseSettings, user: &str, password: &str) -> DatabaseSettings {
    let password = (!password.is_empty()).then(|| Secret::new(password));
    DatabaseSettings { user: user.to_owned(), password, ..settings.clone() }
}

fn engine(settings: &DatabaseSettings) -> MysqlEngine {
    MysqlEngine::new(settings.clone(), Path::new("/nowhere"))
}

fn connect(server: &MariadbServer, database: &MariadbDatabase<'_>) -> Box<dyn Connection> {
    engine(&settings(server, database)).connect().unwrap()
}

/// One table of the database, described.
fn described(connection: &mut dyn Connection, database: &MariadbDatabase<'_>, table: &str) -> Table {
    let tables = connection.describe(Some(&[TableRef::new(database.name(), table)])).unwrap();
    tables.into_iter().next().unwrap_or_else(|| panic!("no table {table}"))
}

/// All rows of a table as texts, NULL as `∅`, in the order of its first column, and what did not fit.
fn all_rows(
    connection: &mut dyn Connection,
    engine: &dyn Engine,
    table: &Table,
) -> (Vec<Vec<String>>, Vec<(usize, Misfit)>) {
    let dialect = engine.dialect();
    let columns: Vec<String> = table.columns.iter().map(|column| dialect.select(column, "")).collect();
    let sql = format!("select {} from {} order by 1", columns.join(", "), dialect.table(&table.table));
    let (mut rows, mut misfits) = (Vec::new(), Vec::new());
    let read = Read { sql: &sql, columns: &table.columns };
    let take = &mut |decoded: thalweg_source::database::DecodedRows| {
        let first = rows.len();
        misfits.extend(decoded.misfits.into_iter().map(|misfit| (first + misfit.row, misfit)));
        let options = FormatOptions::default().with_null("∅");
        let shown: Vec<_> = decoded
            .batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options).unwrap())
            .collect();
        for row in 0..decoded.batch.num_rows() {
            rows.push(shown.iter().map(|column| column.value(row).to_string()).collect());
        }
        assert!(decoded.batch.columns().iter().all(|column| column.len() == decoded.batch.num_rows()));
        Ok(())
    };
    connection.read(&read, take).unwrap();
    (rows, misfits)
}
