//! Answers as texts, for people.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Int64Type};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use thalweg_warehouse::{Rows, WarehouseError, WarehouseErrorKind};

use crate::outcome::TextTable;

/// How values are written: ISO dates and times, NULL told apart by `None`.
pub fn options() -> FormatOptions<'static> {
    FormatOptions::new()
        .with_display_error(true)
        .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"))
        .with_datetime_format(Some("%Y-%m-%d %H:%M:%S%.f"))
}

/// The first rows of an answer as texts; all of them without a limit.
pub fn text_table(rows: &Rows, limit: Option<usize>) -> Result<TextTable, WarehouseError> {
    let fields = rows.schema.fields();
    let mut table = TextTable {
        columns: fields.iter().map(|field| field.name().clone()).collect(),
        numeric: fields.iter().map(|field| field.data_type().is_numeric()).collect(),
        rows: Vec::new(),
    };
    let limit = limit.unwrap_or(usize::MAX);
    let format = options();
    for batch in &rows.batches {
        let formatters: Result<Vec<_>, ArrowError> =
            batch.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &format)).collect();
        let formatters = formatters.map_err(unreadable)?;
        for row in 0..batch.num_rows() {
            if table.rows.len() >= limit {
                return Ok(table);
            }
            table.rows.push(
                formatters
                    .iter()
                    .zip(batch.columns())
                    .map(|(formatter, column)| (!column.is_null(row)).then(|| formatter.value(row).to_string()))
                    .collect(),
            );
        }
    }
    Ok(table)
}

/// The one integer an answer consists of; 0 when it is NULL or there is no row.
pub fn single_integer(rows: &Rows) -> Result<i64, WarehouseError> {
    let Some(batch) = rows.batches.iter().find(|batch| batch.num_rows() > 0) else { return Ok(0) };
    let column = batch.column(0);
    if column.is_null(0) {
        return Ok(0);
    }
    if *column.data_type() == DataType::Int64 {
        return Ok(column.as_primitive::<Int64Type>().value(0));
    }
    let format = options();
    let formatter = ArrayFormatter::try_new(column.as_ref(), &format).map_err(unreadable)?;
    let text = formatter.value(0).to_string();
    text.parse().map_err(|_| {
        WarehouseError::new(
            WarehouseErrorKind::Statement,
            format!("expected one integer, the warehouse answered {text}"),
        )
    })
}

fn unreadable(error: ArrowError) -> WarehouseError {
    WarehouseError::new(WarehouseErrorKind::Statement, format!("the warehouse's answer cannot be read: {error}"))
}
