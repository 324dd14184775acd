//! Decoded rows on their way into the landing.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Int16Type, Int32Type, Int64Type, SchemaRef, TimestampMicrosecondType,
};
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde::{Deserialize, Serialize};
use thalweg_project::OnUnrepresentable;

use super::cursor::CursorKind;
use super::{DecodedRows, Misfit};
use crate::landing::arrow_schema;
use crate::{Column, MATCHES_COLUMN, Part, RejectedRecord, Sink, SourceError, SourceErrorKind};

/// What the rows of a read are and what becomes of them.
pub struct RowPlan {
    /// Columns of the landing, in the order of the read; then the flag, where there is one.
    pub columns: Vec<Column>,
    /// Columns of the read behind those: a row with a value in one of them is rejected.
    pub refused: Vec<String>,
    /// Place of the cursor among the columns, its kind, and the greatest value that says something of its clock.
    pub cursor: Option<(usize, CursorKind, i128)>,
    /// What happens to a value that does not fit.
    pub on_unrepresentable: OnUnrepresentable,
    /// Whether there is a part even when there are no rows.
    pub even_empty: bool,
}

impl RowPlan {
    /// The schema of the landing.
    pub fn schema(&self) -> SchemaRef {
        arrow_schema(&self.columns)
    }
}

/// Writes the rows of one read into one part.
pub struct RowWriter<'a> {
    plan: &'a RowPlan,
    schema: SchemaRef,
    sink: &'a dyn Sink,
    part: Option<Box<dyn Part + 'a>>,
    /// Index into [`crate::Extract::files`].
    file: i32,
    /// The unit of the extract's plan, if there is one.
    unit: Option<usize>,
    next_record: i64,
    counts: RowCounts,
}

/// What was counted of one read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowCounts {
    /// Rows read.
    pub read: u64,
    /// Of these, rejected.
    pub rejected: u64,
    /// Values that were left out.
    pub left_out: u64,
    /// The greatest value of the cursor that does not lie in the future.
    pub seen: Option<i128>,
}

impl<'a> RowWriter<'a> {
    /// A writer of one read; its part is opened with the first row.
    pub fn new(plan: &'a RowPlan, sink: &'a dyn Sink, file: i32, unit: Option<usize>) -> Self {
        let counts = RowCounts::default();
        Self { plan, schema: plan.schema(), sink, part: None, file, unit, next_record: 1, counts }
    }

    fn open_part(&self) -> Result<Box<dyn Part + 'a>, SourceError> {
        match self.unit {
            Some(unit) => self.sink.unit_part(unit, &self.plan.columns),
            None => self.sink.part(&self.plan.columns),
        }
    }

    /// Takes a batch.
    pub fn take(&mut self, rows: DecodedRows) -> Result<(), SourceError> {
        let count = rows.batch.num_rows();
        if count == 0 {
            return Ok(());
        }
        self.counts.read += count as u64;
        self.notice_cursor(&rows.batch);
        let mut kept = vec![true; count];
        let rejects = self.rejects(&rows, &mut kept);
        if !rejects.is_empty() {
            self.counts.rejected += rejects.len() as u64;
            self.sink.reject(&rejects)?;
        }
        let mut columns: Vec<ArrayRef> = rows.batch.columns()[..self.plan.columns.len()].to_vec();
        columns.push(Arc::new(Int32Array::from(vec![self.file; count])));
        let last = self.next_record + i64::try_from(count).unwrap_or(i64::MAX);
        columns.push(Arc::new(Int64Array::from_iter_values(self.next_record..last)));
        self.next_record = last;
        let mut batch = RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(|error| fault(&error))?;
        if rejects.len() == count {
            self.sink.progress(count as u64);
            return Ok(());
        }
        if !rejects.is_empty() {
            batch = filter_record_batch(&batch, &BooleanArray::from(kept)).map_err(|error| fault(&error))?;
        }
        if self.part.is_none() {
            self.part = Some(self.open_part()?);
        }
        if let Some(part) = &mut self.part {
            part.write(&batch)?;
        }
        self.sink.progress(count as u64);
        Ok(())
    }

    /// Closes the part. Without rows there is none, unless the table is to be known by its columns.
    pub fn finish(mut self) -> Result<RowCounts, SourceError> {
        let part = match self.part.take() {
            None if self.plan.even_empty && self.file == 0 => Some(self.open_part()?),
            part => part,
        };
        if let Some(part) = part {
            part.finish()?;
        }
        Ok(self.counts)
    }

    fn notice_cursor(&mut self, batch: &RecordBatch) {
        let Some((place, _, last)) = self.plan.cursor else { return };
        let greatest = greatest(batch.column(place), last);
        self.counts.seen = self.counts.seen.max(greatest);
    }

    /// The rows that are rejected; `kept` is set to false for each.
    fn rejects(&mut self, rows: &DecodedRows, kept: &mut [bool]) -> Vec<RejectedRecord> {
        let mut rejects = Vec::new();
        let mut misfits = rows.misfits.iter().peekable();
        let refused = &rows.batch.columns()[self.plan.columns.len()..];
        if misfits.peek().is_none() && refused.iter().all(|column| column.null_count() == column.len()) {
            return rejects;
        }
        for (row, kept) in kept.iter_mut().enumerate() {
            let of_row: Vec<&Misfit> = std::iter::from_fn(|| misfits.next_if(|misfit| misfit.row == row)).collect();
            let mut reasons: Vec<String> = Vec::new();
            for misfit in &of_row {
                match self.plan.columns.get(misfit.column) {
                    Some(column) if self.plan.on_unrepresentable == OnUnrepresentable::Reject => {
                        reasons.push(format!("column {}: {} {}", column.name, misfit.raw, misfit.reason));
                    }
                    Some(_) => self.counts.left_out += 1,
                    // The value of a column that must have none.
                    None => {}
                }
            }
            for (place, (name, column)) in self.plan.refused.iter().zip(refused).enumerate() {
                let is_misfit = of_row.iter().any(|misfit| misfit.column == self.plan.columns.len() + place);
                if column.is_valid(row) || is_misfit {
                    reasons.push(format!("column {name} is new and has a value (schema_contract: discard_row)"));
                }
            }
            if reasons.is_empty() {
                continue;
            }
            *kept = false;
            rejects.push(RejectedRecord {
                file: self.file,
                record: self.next_record + i64::try_from(row).unwrap_or(i64::MAX),
                byte_offset: None,
                reason: reasons.join("; "),
                raw: raw(&self.plan.columns, &rows.batch, row, &of_row),
            });
        }
        rejects
    }
}

/// A row as JSON, its values as texts; what does not fit as the database writes it.
fn raw(columns: &[Column], batch: &RecordBatch, row: usize, misfits: &[&Misfit]) -> String {
    let options = FormatOptions::default();
    let mut object = serde_json::Map::new();
    for (place, column) in columns.iter().enumerate().filter(|(_, column)| column.name != MATCHES_COLUMN) {
        let values = batch.column(place);
        let text = match misfits.iter().find(|misfit| misfit.column == place) {
            Some(misfit) => Some(misfit.raw.clone()),
            None if values.is_null(row) => None,
            None => ArrayFormatter::try_new(values.as_ref(), &options)
                .and_then(|formatter| formatter.value(row).try_to_string())
                .ok(),
        };
        object.insert(column.source_name.clone(), text.map_or(serde_json::Value::Null, serde_json::Value::String));
    }
    serde_json::Value::Object(object).to_string()
}

/// The greatest value of a cursor's column that is not above `last`.
fn greatest(column: &ArrayRef, last: i128) -> Option<i128> {
    fn of<T: Into<i128>>(values: impl Iterator<Item = Option<T>>, last: i128) -> Option<i128> {
        values.flatten().map(Into::into).filter(|value| *value <= last).max()
    }
    match column.data_type() {
        DataType::Timestamp(..) => of(column.as_primitive::<TimestampMicrosecondType>().iter(), last),
        DataType::Date32 => of(column.as_primitive::<Date32Type>().iter(), last),
        DataType::Int16 => of(column.as_primitive::<Int16Type>().iter(), last),
        DataType::Int32 => of(column.as_primitive::<Int32Type>().iter(), last),
        DataType::Int64 => of(column.as_primitive::<Int64Type>().iter(), last),
        DataType::Decimal128(..) => of(column.as_primitive::<Decimal128Type>().iter(), last),
        _ => None,
    }
}

pub(super) fn fault(error: &dyn std::fmt::Display) -> SourceError {
    SourceError::new(
        SourceErrorKind::Data,
        format!(
            "rows were decoded that are not as the table was described ({error}): this is a fault in thalweg, please report it"
        ),
    )
}
