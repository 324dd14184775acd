//! Listing the keys that a table has, so that rows of the store with other keys can be deleted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, Int32Array, Int64Array};
use arrow::record_batch::RecordBatch;

use super::Read;
use super::columns::ColumnPlan;
use super::extract::{Extraction, key_columns};
use super::rows::fault;
use super::statement::Statement;
use crate::landing::arrow_schema;
use crate::{Column, Part, Sink, SourceError};

/// Keys on their way into the landing, from several connections into one file.
pub struct KeyParts<'a> {
    sink: &'a dyn Sink,
    columns: Vec<Column>,
    part: Mutex<Option<(Box<dyn Part + 'a>, i64)>>,
}

impl<'a> KeyParts<'a> {
    /// Nothing yet.
    pub fn new(extraction: &Extraction<'a>, columns: &ColumnPlan) -> Self {
        let key = key_columns(extraction.request.stream, columns);
        let columns = key.iter().map(|(column, _)| (*column).clone()).collect();
        Self { sink: extraction.sink, columns, part: Mutex::new(None) }
    }

    /// Adds keys.
    pub fn write(&self, keys: &RecordBatch) -> Result<(), SourceError> {
        if keys.num_rows() == 0 {
            return Ok(());
        }
        let mut open = self.part.lock().unwrap_or_else(PoisonError::into_inner);
        let (part, listed) = match &mut *open {
            Some(open) => open,
            none => none.insert((self.sink.keys(&self.columns)?, 0)),
        };
        part.write(&placed(&self.columns, keys, 0, listed)?)
    }

    /// Closes the file, which is there even when there were no keys at all.
    pub fn finish(self) -> Result<(), SourceError> {
        match self.part.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some((part, _)) => part.finish(),
            None => self.sink.keys(&self.columns)?.finish(),
        }
    }
}

/// Keys with the file and the place in it that rows of the landing have; `listed` counts them.
fn placed(columns: &[Column], keys: &RecordBatch, file: i32, listed: &mut i64) -> Result<RecordBatch, SourceError> {
    let number = keys.num_rows();
    // A key that does not fit is NULL here, as it is in the store: no row of the store has it.
    let mut arrays: Vec<ArrayRef> = keys.columns().to_vec();
    let last = *listed + i64::try_from(number).unwrap_or(i64::MAX);
    arrays.push(Arc::new(Int32Array::from(vec![file; number])));
    arrays.push(Arc::new(Int64Array::from_iter_values(*listed + 1..=last)));
    *listed = last;
    RecordBatch::try_new(arrow_schema(columns), arrays).map_err(|error| fault(&error))
}

/// Lists keys into the landing: those of rows that are in the store when it is as the source is, for each of the conditions, at the same time; all of them without
/// one. How many there are.
pub fn list(extraction: &Extraction<'_>, columns: &ColumnPlan, conditions: &[String]) -> Result<u64, SourceError> {
    let key = key_columns(extraction.request.stream, columns);
    let landing: Vec<Column> = key.iter().map(|(column, _)| (*column).clone()).collect();
    let mut statement = Statement::new(extraction.dialect, extraction.table);
    for (_, source) in &key {
        statement.column(source);
    }
    statement.only_all(&extraction.rows_of_the_store(columns));
    let conditions: Vec<Option<&String>> =
        if conditions.is_empty() { vec![None] } else { conditions.iter().map(Some).collect() };
    let count = AtomicU64::new(0);
    let tasks: Vec<_> = conditions.into_iter().zip(0..).collect();
    extraction.pool.each(extraction.context, &tasks, |connection, (condition, file): &(Option<&String>, i32)| {
        let mut part = extraction.sink.keys(&landing)?;
        let mut listed = 0_i64;
        let sql = statement.sql(condition.map(String::as_str));
        let read = Read { sql: &sql, columns: statement.columns() };
        let result = connection.read(&read, &mut |rows| {
            extraction.context.check_cancelled()?;
            if rows.batch.num_rows() == 0 {
                return Ok(());
            }
            part.write(&placed(&landing, &rows.batch, *file, &mut listed)?)
        });
        connection.watch(result)?;
        part.finish()?;
        count.fetch_add(u64::try_from(listed).unwrap_or(0), Ordering::Relaxed);
        Ok(())
    })?;
    Ok(count.into_inner())
}
