//! What these tests share.

use std::path::Path;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    Time64MicrosecondType, TimestampMicrosecondType,
};
use thalweg_project::{DatabaseKind, DatabaseSettings, Secret};
use thalweg_source::database::{Connection, Engine, Misfit, Read, SourceColumn, TableRef};
use thalweg_source::postgres::PostgresEngine;
use thalweg_testkit::{PostgresDatabase, PostgresServer};

/// Settings for the superuser.
pub fn settings(server: &PostgresServer, database: &PostgresDatabase<'_>) -> DatabaseSettings {
    DatabaseSettings::local(DatabaseKind::Postgres, server.port(), "postgres", database.name())
}

pub fn engine(settings: DatabaseSettings) -> PostgresEngine {
    PostgresEngine::new(settings, Path::new("/")).unwrap()
}

pub fn engine_of(server: &PostgresServer, database: &PostgresDatabase<'_>) -> PostgresEngine {
    engine(settings(server, database))
}

pub fn as_role(settings: &DatabaseSettings, role: &str, password: Option<&str>) -> DatabaseSettings {
    DatabaseSettings { user: role.to_owned(), password: password.map(Secret::new), ..settings.clone() }
}

/// Rows of a table as texts, in order of the column `at` where there is one, and what did not fit.
pub fn read_all(
    engine: &PostgresEngine,
    connection: &mut dyn Connection,
    table: &TableRef,
    columns: &[SourceColumn],
) -> (Vec<Vec<Option<String>>>, Vec<Misfit>) {
    let dialect = engine.dialect();
    let selected: Vec<String> = columns.iter().map(|column| dialect.select(column, "")).collect();
    let sql = format!("select {} from {}", selected.join(", "), dialect.table(table));
    let (mut rows, mut misfits) = (Vec::new(), Vec::new());
    let read = Read { sql: &sql, columns };
    let read = connection.read(&read, &mut |decoded| {
        assert!(decoded.batch.num_rows() <= Read::ROWS);
        for misfit in decoded.misfits {
            misfits.push(Misfit { row: misfit.row + rows.len(), ..misfit });
        }
        for row in 0..decoded.batch.num_rows() {
            rows.push(decoded.batch.columns().iter().map(|column| shown(column, row)).collect());
        }
        Ok(())
    });
    read.unwrap();
    (rows, misfits)
}

/// A value, exactly: timestamps and times in microseconds, dates in days, bytes in hexadecimal digits.
pub fn shown(column: &ArrayRef, row: usize) -> Option<String> {
    if column.is_null(row) {
        return None;
    }
    Some(match column.data_type() {
        DataType::Boolean => column.as_boolean().value(row).to_string(),
        DataType::Int16 => column.as_primitive::<Int16Type>().value(row).to_string(),
        DataType::Int32 => column.as_primitive::<Int32Type>().value(row).to_string(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Float32 => format!("{:?}", column.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => format!("{:?}", column.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal128(..) => column.as_primitive::<Decimal128Type>().value_as_string(row),
        DataType::Date32 => column.as_primitive::<Date32Type>().value(row).to_string(),
        DataType::Time64(_) => column.as_primitive::<Time64MicrosecondType>().value(row).to_string(),
        DataType::Timestamp(..) => column.as_primitive::<TimestampMicrosecondType>().value(row).to_string(),
        DataType::Utf8 => column.as_string::<i32>().value(row).to_owned(),
        DataType::Binary => column.as_binary::<i32>().value(row).iter().map(|byte| format!("{byte:02x}")).collect(),
        DataType::List(_) => {
            let items = column.as_list::<i32>().value(row);
            let items = (0..items.len()).map(|item| shown(&items, item).unwrap_or_else(|| "NULL".to_owned()));
            format!("[{}]", items.collect::<Vec<_>>().join(", "))
        }
        other => panic!("{other} is no type of the landing"),
    })
}
