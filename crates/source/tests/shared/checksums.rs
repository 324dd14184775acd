//! Checksums of rows by a server beside ours.

use arrow::array::AsArray;
use thalweg_project::DatabaseKind;
use thalweg_source::Column;
use thalweg_source::database::{Boundaries, Connection, Engine, Read, Summary, Table};

/// Rows (by the number in their first column) whose checksum by the server is not ours, with both; what does not fit aside. `None` where
/// the server computes none.
pub fn other_checksums(
    kind: DatabaseKind,
    connection: &mut dyn Connection,
    engine: &dyn Engine,
    table: &Table,
) -> Option<Vec<(i64, Option<String>, i128)>> {
    let dialect = engine.dialect();
    let spelled: Vec<_> = table.columns.iter().map(|column| (column, &column.column_type)).collect();
    let hash = dialect.row_hash(&spelled)?;
    let from = dialect.table(&table.table);
    let theirs =
        connection.query(&format!("select {}, {hash} from {from}", dialect.select(&table.columns[0], ""))).unwrap();
    let columns: Vec<Column> = table
        .columns
        .iter()
        .map(|column| Column::new(&column.name, &column.name, column.column_type.clone()))
        .collect();
    let selected: Vec<String> = table.columns.iter().map(|column| dialect.select(column, "")).collect();
    let sql = format!("select {} from {from}", selected.join(", "));
    let mut other = Vec::new();
    let read = Read { sql: &sql, columns: &table.columns };
    let take = &mut |decoded: thalweg_source::database::DecodedRows| {
        let numbers = decoded.batch.column(0).as_primitive::<arrow::datatypes::Int32Type>().clone();
        for (row, number) in numbers.values().iter().enumerate() {
            if decoded.misfits.iter().any(|misfit| misfit.row == row) {
                continue;
            }
            let mut ours = Summary::new(kind, columns.clone(), Boundaries::None);
            let mut counted = ours.uncounted();
            ours.count(&mut counted, decoded.batch.slice(row, 1).columns())?;
            ours.add(&counted);
            let ours = ours.buckets()[0].sum;
            let found = theirs.iter().find(|row| row[0].as_deref() == Some(&number.to_string()));
            let theirs = found.and_then(|row| row[1].clone());
            if theirs.as_deref() != Some(&ours.to_string()) {
                other.push((i64::from(*number), theirs, ours));
            }
        }
        Ok(())
    };
    connection.read(&read, take).unwrap();
    Some(other)
}
