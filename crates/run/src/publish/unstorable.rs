//! Rows that the warehouse cannot hold (a NUL character in a text, a date beyond its dates), as rejects.

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use thalweg_sql::Dialect;
use thalweg_sql::statement::relation::{FILE_COLUMN, RECORD_COLUMN};
use thalweg_warehouse::{LeftOut, Rows};

use crate::rows::json_objects;

/// What stands in a text for the character that no text holds.
const SYMBOL_FOR_NULL: &str = "\u{2400}";

/// A relation of rows that were to be staged, each as JSON; `None` where there are none.
pub fn left_out(dialect: &dyn Dialect, rows: &[LeftOut]) -> Result<Option<String>, ArrowError> {
    let mut values = Vec::with_capacity(rows.len());
    for left in rows {
        let row = Rows { schema: left.row.schema(), batches: vec![left.row.clone()] };
        let raw = json_objects(&row)?.concat();
        values.push(value(dialect, left, None, &left.reason, Some(&raw)));
    }
    Ok(relation(&values))
}

/// A relation of records that were rejected already when they were read; `None` where there are none.
pub fn rejected_records(dialect: &dyn Dialect, rows: &[LeftOut]) -> Option<String> {
    let values: Vec<String> = rows
        .iter()
        .map(|left| {
            let reason = text(&left.row, "reason").unwrap_or_else(|| left.reason.clone());
            let offset =
                left.row.column_by_name("byte_offset").and_then(|column| column.as_primitive_opt::<Int64Type>());
            let offset = offset.and_then(|offsets| offsets.iter().next().flatten());
            value(dialect, left, offset, &reason, text(&left.row, "raw").as_deref())
        })
        .collect();
    relation(&values)
}

fn text(row: &RecordBatch, column: &str) -> Option<String> {
    let text = row.column_by_name(column)?.as_string_opt::<i32>()?.iter().next()??;
    Some(text.replace('\0', SYMBOL_FOR_NULL))
}

fn value(dialect: &dyn Dialect, left: &LeftOut, offset: Option<i64>, reason: &str, raw: Option<&str>) -> String {
    let raw = raw.map_or_else(|| "null".to_owned(), |raw| dialect.literal_text(raw));
    let offset = offset.map_or_else(|| "null".to_owned(), |offset| offset.to_string());
    let reason = dialect.literal_text(reason);
    format!("({}::integer, {}::bigint, {offset}::bigint, {reason}::text, {raw}::text)", left.file, left.record)
}

fn relation(values: &[String]) -> Option<String> {
    let columns = format!("{FILE_COLUMN}, {RECORD_COLUMN}, byte_offset, reason, raw");
    (!values.is_empty()).then(|| format!("(select v.* from (values {}) v({columns}))", values.join(", ")))
}
