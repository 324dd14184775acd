//! Parquet files: their columns have types already.
//!
//! | in the file | column |
//! |---|---|
//! | integers | the smallest signed type that holds them; unsigned 64 bits `decimal(20,0)` |
//! | decimals up to 38 digits | the same |
//! | timestamps | UTC, microseconds; a value with a fraction beyond that is a reject, unless the column is given the type `text` |
//! | timestamps of 96 bits | the same, what is below a microsecond cut off |
//! | binary | `blob`; given another type it is taken for UTF-8 text |
//! | strings, also dictionaries | `text` |
//! | lists, structs, maps | `json` |
//! | intervals of days and less | `text`; months are not read, and a file that may have them is refused |
//!
//! A column that is given another type is read as that where it means the same: numbers as numbers and truth values, dates and timestamps
//! as each other, texts as in a CSV file, everything as text. A value that its column cannot hold is a reject.
//!
//! Compressions: none, snappy, gzip, lz4, brotli, zstd. The last is C, compiled in because several tools write it by default.

mod column_types;
mod exact;
mod json_text;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ::parquet::arrow::ARROW_SCHEMA_META_KEY;
use ::parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use ::parquet::basic::Type as PhysicalType;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array};
use arrow::datatypes::{DataType, Schema, TimeUnit};
use arrow::record_batch::RecordBatch;
use thalweg_project::ColumnType;

use self::column_types::column_type;
use self::exact::{exactly, is_nanoseconds, unpacked};
use self::json_text::{json_record, json_text};
use super::chunked::{Job, Loaded};
use super::columns::{Cells, Looked, OnMisfit, Plan, PlannedColumn, plan};
use super::content::{Content, FileTrouble, data_error};
use super::rejects::{Rejects, raw_text};
use super::rows::{BATCH_ROWS, Counts};
use crate::landing::arrow_type;
use crate::{Note, RejectedRecord, SourceError};

/// Reads a whole Parquet file. The caller hashes it.
pub(super) fn load<'s>(job: Job<'_, 's, '_>) -> Result<Loaded<'s>, FileTrouble> {
    let Job { surroundings, content, index, known, limit } = job;
    if content.is_compressed() {
        let message = "a Parquet file is compressed inside: deliver it without .gz; nothing of it was loaded";
        return Err(FileTrouble::Failed(format!("{}: {message}", content.name())));
    }
    let builder = open(content)?;
    let schema = Arc::clone(builder.schema());
    let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
    let own: Vec<Option<ColumnType>> = schema.fields().iter().map(|field| column_type(field.data_type())).collect();
    let plan = plan(content.name(), &names, &Looked::declared(own.clone()), known)?;
    check_intervals(content, &builder, &plan)?;
    let reader = builder.with_batch_size(BATCH_ROWS).build().map_err(|error| unreadable(content, &error))?;
    let (rejects, counts) = (Rejects::new(limit), Counts::default());
    let pass = Pass { plan: &plan, own: &own, file: index, rejects: &rejects, counts: &counts };
    let mut part = surroundings.sink.part(&plan.landing_columns())?;
    let mut record = 1;
    for batch in reader {
        surroundings.context.check_cancelled()?;
        let batch = batch.map_err(|error| unreadable(content, &error))?;
        let converted = pass.convert(&batch, record)?;
        record += i64::try_from(batch.num_rows()).unwrap_or(i64::MAX);
        surroundings.sink.progress(converted.num_rows() as u64);
        part.write(&converted)?;
    }
    content.check_unchanged()?;
    let (read, discarded) = (counts.read.load(Ordering::Relaxed), counts.discarded.load(Ordering::Relaxed));
    let mut loaded_plan = plan.clone();
    if discarded > 0 {
        let example = counts.example.get().map_or("", String::as_str);
        loaded_plan.notes.push(Note::warning(format!(
            "{}: {discarded} values became NULL (schema_contract: discard_value), the first: {example}",
            content.name()
        )));
    }
    Ok(Loaded::of_parts(String::new(), loaded_plan, read, rejects, vec![part]))
}

/// Opens the file. Timestamps of 96 bits are read in microseconds: in nanoseconds the year 9999, which stands in such files, would be another.
fn open(content: &Content) -> Result<ParquetRecordBatchReaderBuilder<File>, FileTrouble> {
    let unreadable = |error| unreadable(content, &error);
    let builder = ParquetRecordBatchReaderBuilder::try_new(content.handle()?).map_err(unreadable)?;
    let is_wide = |index: usize| {
        let columns = builder.parquet_schema().columns();
        let mut own =
            columns.iter().enumerate().filter(|(leaf, _)| builder.parquet_schema().get_column_root_idx(*leaf) == index);
        own.any(|(_, column)| column.physical_type() == PhysicalType::INT96)
    };
    let fields = builder.schema().fields().iter().enumerate().map(|(index, field)| match field.data_type() {
        DataType::Timestamp(TimeUnit::Nanosecond, None) if is_wide(index) => {
            Arc::new(field.as_ref().clone().with_data_type(DataType::Timestamp(TimeUnit::Microsecond, None)))
        }
        _ => Arc::clone(field),
    });
    let fields: Vec<_> = fields.collect();
    if fields.iter().zip(builder.schema().fields()).all(|(new, old)| new == old) {
        return Ok(builder);
    }
    let options = ArrowReaderOptions::new().with_schema(Arc::new(Schema::new(fields)));
    ParquetRecordBatchReaderBuilder::try_new_with_options(content.handle()?, options).map_err(unreadable)
}

/// Intervals of a file that was not written by way of Arrow may have months, which are not read.
fn check_intervals(
    content: &Content,
    builder: &ParquetRecordBatchReaderBuilder<File>,
    plan: &Plan,
) -> Result<(), FileTrouble> {
    let metadata = builder.metadata().file_metadata().key_value_metadata();
    if metadata.is_some_and(|pairs| pairs.iter().any(|pair| pair.key == ARROW_SCHEMA_META_KEY)) {
        return Ok(());
    }
    let fields = builder.schema().fields();
    let interval = plan.columns.iter().find(|planned| match planned.cells {
        Cells::Column(index) => {
            fields.get(index).is_some_and(|field| matches!(field.data_type(), DataType::Interval(_)))
        }
        _ => false,
    });
    match interval {
        None => Ok(()),
        Some(planned) => Err(FileTrouble::Failed(format!(
            "{}: column {} is an interval, whose months are not read: write it as text, or leave it out with `select: [\"-{}\"]`; nothing of \
             the file was loaded",
            content.name(),
            planned.column.name,
            planned.column.name
        ))),
    }
}

fn unreadable(content: &Content, error: &dyn std::fmt::Display) -> FileTrouble {
    FileTrouble::Failed(format!(
        "{}: it cannot be read as Parquet ({error}): deliver it again; nothing of it was loaded",
        content.name()
    ))
}

/// What is the same for all batches of a file.
struct Pass<'p> {
    plan: &'p Plan,
    own: &'p [Option<ColumnType>],
    file: i32,
    rejects: &'p Rejects<'p>,
    counts: &'p Counts,
}

impl Pass<'_> {
    fn convert(&self, batch: &RecordBatch, first: i64) -> Result<RecordBatch, SourceError> {
        let rows = batch.num_rows();
        let mut reasons: BTreeMap<usize, String> = BTreeMap::new();
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.plan.columns.len() + 2);
        for planned in &self.plan.columns {
            match &planned.cells {
                Cells::Column(index) if planned.reject_values => {
                    let array = batch.column(*index);
                    for row in (0..rows).filter(|row| array.is_valid(*row)) {
                        let reason = format!("column {} is new (schema_contract: discard_row)", planned.column.name);
                        reasons.entry(row).or_insert(reason);
                    }
                }
                Cells::Column(index) => {
                    let own = self.own.get(*index).and_then(Option::as_ref);
                    arrays.push(self.column(planned, batch.column(*index), own, first, &mut reasons)?);
                }
                Cells::List(members) => arrays.push(fold_list(batch, members)?),
                Cells::Missing => {
                    arrays.push(arrow::array::new_null_array(&arrow_type(&planned.column.column_type), rows))
                }
            }
        }
        arrays.push(Arc::new(Int32Array::from_value(self.file, rows)));
        arrays.push(Arc::new((first..).take(rows).collect::<Int64Array>()));
        let mut converted = RecordBatch::try_new(Arc::clone(&self.plan.schema), arrays).map_err(unexpected)?;
        self.counts.read.fetch_add(rows as u64, Ordering::Relaxed);
        if !reasons.is_empty() {
            let kept: BooleanArray = (0..rows).map(|row| Some(!reasons.contains_key(&row))).collect();
            converted = arrow::compute::filter_record_batch(&converted, &kept).map_err(unexpected)?;
            let rejected = reasons.into_iter().map(|(row, reason)| RejectedRecord {
                file: self.file,
                record: first + row as i64,
                byte_offset: None,
                reason,
                raw: raw_text(json_record(batch, row).as_bytes()),
            });
            self.rejects.push(rejected.collect())?;
        }
        Ok(converted)
    }

    fn column(
        &self,
        planned: &PlannedColumn,
        array: &ArrayRef,
        own: Option<&ColumnType>,
        first: i64,
        reasons: &mut BTreeMap<usize, String>,
    ) -> Result<ArrayRef, SourceError> {
        let target = &planned.column.column_type;
        let array = &unpacked(array).map_err(unexpected)?;
        let (converted, misfits) = exactly(array, own, target, planned.strictness).map_err(unexpected)?;
        for row in misfits {
            let shown = json_text(array, row).unwrap_or_default();
            let article = if *target == ColumnType::Integer { "an" } else { "a" };
            let mut reason = format!("column {}: {shown} is not {article} {target}", planned.column.name);
            if is_nanoseconds(array.data_type()) && matches!(target, ColumnType::Timestamp | ColumnType::Time) {
                reason.push_str(" without loss; give the column the type text to keep nanoseconds");
            }
            match planned.on_misfit {
                OnMisfit::Widen | OnMisfit::Reject => _ = reasons.entry(row).or_insert(reason),
                OnMisfit::Discard => {
                    self.counts.discarded.fetch_add(1, Ordering::Relaxed);
                    self.counts.example.get_or_init(|| reason);
                }
                OnMisfit::Fail => {
                    return Err(data_error(format!(
                        "record {}: {reason}, and the schema of the stream is frozen: nothing of the stream is loaded; set \
                         `schema_contract: evolve`",
                        first + row as i64
                    )));
                }
            }
        }
        Ok(converted)
    }
}

fn unexpected(error: arrow::error::ArrowError) -> SourceError {
    data_error(format!("a batch cannot be converted: {error}"))
}

fn fold_list(batch: &RecordBatch, members: &[usize]) -> Result<ArrayRef, SourceError> {
    let texts: Vec<ArrayRef> = members
        .iter()
        .map(|index| arrow::compute::cast(batch.column(*index), &DataType::Utf8).map_err(unexpected))
        .collect::<Result<_, _>>()?;
    let mut builder = arrow::array::ListBuilder::new(arrow::array::StringBuilder::new());
    for row in 0..batch.num_rows() {
        for text in texts.iter().map(|array| array.as_string::<i32>()) {
            if text.is_valid(row) && !text.value(row).is_empty() {
                builder.values().append_value(text.value(row));
            }
        }
        builder.append(true);
    }
    Ok(Arc::new(builder.finish()))
}
