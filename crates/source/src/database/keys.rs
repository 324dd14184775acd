//! Listing the keys that a table has, so that rows of the store with other keys can be deleted.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array};
use arrow::record_batch::RecordBatch;

use super::Read;
use super::columns::ColumnPlan;
use super::extract::{Extraction, key_columns};
use super::rows::fault;
use super::statement::Statement;
use crate::landing::arrow_schema;
use crate::{Column, KeyListing, SourceError};

/// Lists all keys into the landing; how many there are.
pub fn list(extraction: &Extraction<'_>, columns: &ColumnPlan) -> Result<(KeyListing, u64), SourceError> {
    let key = key_columns(extraction.request.stream, columns);
    let landing: Vec<Column> = key.iter().map(|(column, _)| (*column).clone()).collect();
    let mut statement = Statement::new(extraction.dialect, extraction.table);
    for (_, source) in &key {
        statement.column(source);
    }
    if let Some(filter) = &extraction.options.filter {
        statement.only(filter.clone());
    }
    let schema = arrow_schema(&landing);
    let mut part = extraction.sink.keys(&landing)?;
    let mut count = 0_i64;
    let sql = statement.sql(None);
    let read = Read { sql: &sql, columns: statement.columns() };
    let mut connection = extraction.pool.lend(extraction.context)?;
    let result = connection.read(&read, &mut |rows| {
        extraction.context.check_cancelled()?;
        let number = rows.batch.num_rows();
        if number == 0 {
            return Ok(());
        }
        // A key that does not fit is NULL here, as it is in the store: no row of the store has it.
        let mut arrays: Vec<ArrayRef> = rows.batch.columns().to_vec();
        let last = count + i64::try_from(number).unwrap_or(i64::MAX);
        arrays.push(Arc::new(Int32Array::from(vec![0; number])));
        arrays.push(Arc::new(Int64Array::from_iter_values(count + 1..=last)));
        count = last;
        part.write(&RecordBatch::try_new(Arc::clone(&schema), arrays).map_err(|error| fault(&error))?)
    });
    connection.watch(result)?;
    part.finish()?;
    Ok((KeyListing { ranges: Vec::new() }, u64::try_from(count).unwrap_or(0)))
}
