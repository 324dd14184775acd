//! Making landing files readable under a name: they are read by the embedded engine and copied into a temporary table.

use std::path::PathBuf;

use arrow::array::AsArray;
use arrow::datatypes::{Int32Type, Int64Type};
use arrow::record_batch::RecordBatch;
use thalweg_postgres::{PostgresError, Session, Unstorable};
use thalweg_project::ColumnType;
use thalweg_sql::dialect::Dialect;
use thalweg_sql::dialect::postgres::Postgres;

use super::error::of_statement;
use super::transaction::{SENT_BYTES, encoder, quote};
use crate::contract::{FILE_COLUMN, LeftOut, RECORD_COLUMN, StagedColumn, WarehouseError, WarehouseErrorKind};
use crate::duckdb;

/// Makes the empty table, in place of one of the same name.
pub(super) fn create(session: &mut Session, name: &str, columns: &[StagedColumn]) -> Result<(), WarehouseError> {
    let mut definitions = Vec::with_capacity(columns.len() + 2);
    for column in columns {
        definitions.push(format!("{} {}", quote(&column.name), Postgres.type_name(&column.column_type)));
    }
    definitions.push(format!("{FILE_COLUMN} integer"));
    definitions.push(format!("{RECORD_COLUMN} bigint"));
    let table = quote(name);
    let sql = format!("{}; create temporary table {table} ({})", drop_statement(name), definitions.join(", "));
    session.run(&sql).map_err(|error| failed(name, of_statement(&error, None)))
}

/// Forgets it.
pub(super) fn drop_statement(name: &str) -> String {
    format!("drop table if exists pg_temp.{}", quote(name))
}

/// Fills the table and lets the server look at what is in it.
pub(super) fn fill(
    session: &mut Session,
    reader: &mut Option<thalweg_duck::Connection>,
    folders: &[PathBuf],
    name: &str,
    files: &[PathBuf],
    columns: &[StagedColumn],
) -> Result<Vec<LeftOut>, WarehouseError> {
    let mut left_out = Vec::new();
    let table = format!("pg_temp.{}", quote(name));
    let wrong = |error: PostgresError| failed(name, of_statement(&error, None));
    if !files.is_empty() {
        let reader = match reader {
            Some(reader) => reader,
            None => reader.insert(duckdb::file_reader(folders)?),
        };
        duckdb::stage_files(reader, name, files, columns)?;
        let mut encoder = encoder(session, &format!("select * from {table}")).map_err(|error| failed(name, error))?;
        let mut copy = session.copy_in(&format!("copy {table} from stdin (format binary)")).map_err(wrong)?;
        // Lists of lists are no arrays here, which are rectangular, but documents.
        let is_document = |column: &&StagedColumn| matches!(&column.column_type, ColumnType::List(item) if matches!(**item, ColumnType::List(_)));
        let documents: Vec<&str> = columns.iter().filter(is_document).map(|column| column.name.as_str()).collect();
        let mut bytes = Vec::with_capacity(SENT_BYTES + SENT_BYTES / 4);
        let read = duckdb::read_staged(reader, name, &documents, &mut |batch| {
            let mut rest = batch.clone();
            while let Err(unstorable) = encoder.write(&rest, &mut bytes) {
                let left = unstorable_row(&rest, &unstorable).map_err(|error| failed(name, error))?;
                // What comes before it is written.
                let row = unstorable.row.unwrap_or_default();
                rest = rest.slice(row + 1, rest.num_rows() - row - 1);
                left_out.push(left);
            }
            if bytes.len() >= SENT_BYTES {
                let full = std::mem::replace(&mut bytes, Vec::with_capacity(SENT_BYTES + SENT_BYTES / 4));
                copy.send(full).map_err(wrong)?;
            }
            Ok(())
        });
        let forgotten = duckdb::unstage_files(reader, name);
        read?;
        forgotten?;
        encoder.finish(&mut bytes);
        copy.send(bytes).map_err(wrong)?;
        copy.finish().map_err(wrong)?;
    }
    session.run(&format!("analyze {table}")).map_err(wrong)?;
    Ok(left_out)
}

/// The row whose value cannot be stored; an error where it is not one row.
fn unstorable_row(batch: &RecordBatch, unstorable: &Unstorable) -> Result<LeftOut, WarehouseError> {
    let width = batch.num_columns();
    let place = unstorable.row.filter(|_| width >= 2).and_then(|row| {
        let file = batch.column(width - 2).as_primitive_opt::<Int32Type>()?.value(row);
        Some((row, file, batch.column(width - 1).as_primitive_opt::<Int64Type>()?.value(row)))
    });
    let told = unstorable_value(batch, unstorable);
    let Some((row, file, record)) = place else { return Err(told) };
    let columns: Vec<usize> = (0..width - 2).collect();
    let row = batch.slice(row, 1).project(&columns).map_err(|error| {
        WarehouseError::new(
            WarehouseErrorKind::Statement,
            format!("record {record} in file {file} cannot be read: {error}"),
        )
    })?;
    Ok(LeftOut { file, record, reason: told.message, row })
}

fn unstorable_value(batch: &RecordBatch, unstorable: &Unstorable) -> WarehouseError {
    let schema = batch.schema();
    let name = schema.fields().get(unstorable.column).map_or("?", |field| field.name().as_str());
    WarehouseError::new(WarehouseErrorKind::Statement, format!("column `{name}` {}", unstorable.reason))
}

fn failed(name: &str, mut error: WarehouseError) -> WarehouseError {
    error.message = format!("cannot stage `{name}`: {}", error.message);
    error
}
