//! Some records become one Arrow batch, column by column.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{ArrayRef, BooleanArray, Int32Array, Int64Array, ListBuilder, StringBuilder};
use arrow::record_batch::RecordBatch;

use super::columns::{Cells, OnMisfit, Plan, PlannedColumn};
use super::content::data_error;
use super::rejects::Rejects;
use crate::values::{Cell, ColumnConverter, Shape, describe_misfit};
use crate::{RejectedRecord, SourceError};

/// Records converted at a time.
pub(super) const BATCH_ROWS: usize = 8192;

/// Some records with the same columns.
pub(super) trait Rows {
    /// How many.
    fn len(&self) -> usize;
    /// The value of a column of the file.
    fn cell(&self, row: usize, column: usize) -> Cell<'_>;
    /// [`crate::RECORD_COLUMN`] of a record.
    fn record(&self, row: usize) -> i64;
    /// Where a record starts in its file.
    fn byte_offset(&self, row: usize) -> Option<i64>;
    /// A record as it was.
    fn raw(&self, row: usize) -> String;
}

/// What workers count together.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Records read, rejected ones included.
    pub(super) read: AtomicU64,
    /// Values discarded by contract, and a first example.
    pub(super) discarded: AtomicU64,
    pub(super) example: std::sync::OnceLock<String>,
}

/// What became of some records.
pub(super) enum Converted {
    /// A batch; rejected records are left out.
    Batch(RecordBatch),
    /// A value did not fit a guessed type: the file must be looked at as a whole.
    Misfit,
}

/// Converts records to the planned columns. Records with a value that may not be are rejected.
pub(super) fn convert(
    plan: &Plan,
    rows: &impl Rows,
    file: i32,
    rejects: &Rejects<'_>,
    counts: &Counts,
) -> Result<Converted, SourceError> {
    let mut reasons: BTreeMap<usize, String> = BTreeMap::new();
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(plan.columns.len() + 2);
    for planned in &plan.columns {
        if planned.reject_values {
            reject_values(planned, rows, &mut reasons);
            continue;
        }
        match convert_column(planned, rows, &mut reasons, counts)? {
            Some(array) => arrays.push(array),
            None => return Ok(Converted::Misfit),
        }
    }
    arrays.push(Arc::new(Int32Array::from_value(file, rows.len())));
    arrays.push(Arc::new((0..rows.len()).map(|row| rows.record(row)).collect::<Int64Array>()));
    let failed = |error: arrow::error::ArrowError| data_error(format!("a batch cannot be made: {error}"));
    let mut batch = RecordBatch::try_new(Arc::clone(&plan.schema), arrays).map_err(failed)?;
    counts.read.fetch_add(rows.len() as u64, Ordering::Relaxed);
    if !reasons.is_empty() {
        let kept: BooleanArray = (0..rows.len()).map(|row| Some(!reasons.contains_key(&row))).collect();
        batch = arrow::compute::filter_record_batch(&batch, &kept).map_err(failed)?;
        let rejected = reasons.into_iter().map(|(row, reason)| RejectedRecord {
            file,
            record: rows.record(row),
            byte_offset: rows.byte_offset(row),
            reason,
            raw: rows.raw(row),
        });
        rejects.push(rejected.collect())?;
    }
    Ok(Converted::Batch(batch))
}

fn convert_column(
    planned: &PlannedColumn,
    rows: &impl Rows,
    reasons: &mut BTreeMap<usize, String>,
    counts: &Counts,
) -> Result<Option<ArrayRef>, SourceError> {
    let column_type = &planned.column.column_type;
    let index = match &planned.cells {
        Cells::Column(index) => *index,
        Cells::List(members) => return Ok(Some(fold_list(members, rows))),
        Cells::Missing => {
            return Ok(Some(arrow::array::new_null_array(&crate::landing::arrow_type(column_type), rows.len())));
        }
    };
    let mut failure = None;
    let converter = ColumnConverter { column_type, strictness: planned.strictness };
    let cells = (0..rows.len()).map(|row| rows.cell(row, index));
    let array = converter.convert(cells, rows.len(), |row, cell| {
        let described = || describe_misfit(&planned.column.name, cell, column_type);
        match planned.on_misfit {
            OnMisfit::Widen => false,
            OnMisfit::Reject => {
                reasons.entry(row).or_insert_with(described);
                true
            }
            OnMisfit::Discard => {
                counts.discarded.fetch_add(1, Ordering::Relaxed);
                counts.example.get_or_init(described);
                true
            }
            OnMisfit::Fail => {
                failure = Some(format!(
                    "record {}: {}, and the schema of the stream is frozen: nothing of the stream is loaded; correct the file, \
                     or set `schema_contract: evolve`",
                    rows.record(row),
                    described()
                ));
                false
            }
        }
    });
    match failure {
        Some(failure) => Err(data_error(failure)),
        // A column without any value so far takes no value at all: the first one decides its type.
        None if planned.column.undecided && planned.on_misfit == OnMisfit::Widen => {
            Ok(array.filter(|array| array.null_count() == array.len()))
        }
        None => Ok(array),
    }
}

/// Empty cells are left out; a record without any has an empty list.
fn fold_list(members: &[usize], rows: &impl Rows) -> ArrayRef {
    let mut builder = ListBuilder::new(StringBuilder::new());
    for row in 0..rows.len() {
        for column in members {
            if let Some(text) = rows.cell(row, *column).text()
                && !text.is_empty()
            {
                builder.values().append_value(text);
            }
        }
        builder.append(true);
    }
    Arc::new(builder.finish())
}

fn reject_values(planned: &PlannedColumn, rows: &impl Rows, reasons: &mut BTreeMap<usize, String>) {
    let Cells::Column(column) = planned.cells else { return };
    for row in 0..rows.len() {
        if rows.cell(row, column) != Cell::Null {
            reasons
                .entry(row)
                .or_insert_with(|| format!("column {} is new (schema_contract: discard_row)", planned.column.name));
        }
    }
}

/// Takes the values of all columns into account.
pub(super) fn infer(rows: &impl Rows, shapes: &mut [Shape]) {
    for (column, shape) in shapes.iter_mut().enumerate() {
        for row in 0..rows.len() {
            shape.add(rows.cell(row, column));
        }
    }
}
