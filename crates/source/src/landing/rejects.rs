//! The rejects of an extract, as Parquet.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, Int32Array, Int64Array, StringArray, cast::AsArray};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::error::{landing_error, parquet_error};
use super::manifest::RejectsFile;
use super::part::ParquetFile;
use crate::{FILE_COLUMN, RECORD_COLUMN, RejectedRecord, SourceError};

/// Name of the file.
pub(super) const REJECTS_FILE: &str = "rejects.parquet";

/// The rejects being written; the file is created with the first of them.
pub(super) struct RejectsWriter {
    folder: PathBuf,
    file: Option<ParquetFile>,
}

impl RejectsWriter {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, file: None }
    }

    pub(super) fn write(&mut self, rejects: &[RejectedRecord]) -> Result<(), SourceError> {
        if rejects.is_empty() {
            return Ok(());
        }
        if self.file.is_none() {
            self.file = Some(ParquetFile::create(self.folder.join("rejects.parquet.tmp"), &schema())?);
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        for rejects in rejects.chunks(1024) {
            file.write(&batch(rejects).map_err(|error| {
                landing_error("write", &self.folder.join(REJECTS_FILE), &std::io::Error::other(error))
            })?)?;
        }
        Ok(())
    }

    pub(super) fn close(&mut self) -> Result<Option<RejectsFile>, SourceError> {
        let Some(file) = self.file.take() else { return Ok(None) };
        let closed = file.close(&self.folder.join(REJECTS_FILE))?;
        Ok(Some(RejectsFile {
            file: REJECTS_FILE.to_owned(),
            rows: closed.rows,
            bytes: closed.bytes,
            hash: closed.hash,
        }))
    }
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new(FILE_COLUMN, DataType::Int32, false),
        Field::new(RECORD_COLUMN, DataType::Int64, false),
        Field::new("byte_offset", DataType::Int64, true),
        Field::new("reason", DataType::Utf8, false),
        Field::new("raw", DataType::Utf8, false),
    ]))
}

fn batch(rejects: &[RejectedRecord]) -> Result<RecordBatch, arrow::error::ArrowError> {
    RecordBatch::try_new(
        schema(),
        vec![
            Arc::new(rejects.iter().map(|reject| reject.file).collect::<Int32Array>()),
            Arc::new(rejects.iter().map(|reject| reject.record).collect::<Int64Array>()),
            Arc::new(rejects.iter().map(|reject| reject.byte_offset).collect::<Int64Array>()),
            Arc::new(rejects.iter().map(|reject| Some(reject.reason.as_str())).collect::<StringArray>()),
            Arc::new(rejects.iter().map(|reject| Some(reject.raw.as_str())).collect::<StringArray>()),
        ],
    )
}

/// Reads a file of rejects back.
pub fn read_rejects(path: &Path) -> Result<Vec<RejectedRecord>, SourceError> {
    let file = File::open(path).map_err(|error| landing_error("open", path, &error))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .and_then(ParquetRecordBatchReaderBuilder::build)
        .map_err(|error| parquet_error("read", path, error))?;
    let mut rejects = Vec::new();
    for batch in reader {
        let batch = batch.map_err(|error| landing_error("read", path, &std::io::Error::other(error)))?;
        if batch.num_columns() != 5 {
            return Err(landing_error("read", path, &std::io::Error::other("it is no file of rejects")));
        }
        let files = batch.column(0).as_primitive::<Int32Type>();
        let records = batch.column(1).as_primitive::<Int64Type>();
        let offsets = batch.column(2).as_primitive::<Int64Type>();
        let (reasons, raws) = (batch.column(3).as_string::<i32>(), batch.column(4).as_string::<i32>());
        rejects.extend((0..batch.num_rows()).map(|row| RejectedRecord {
            file: files.value(row),
            record: records.value(row),
            byte_offset: offsets.is_valid(row).then(|| offsets.value(row)),
            reason: reasons.value(row).to_owned(),
            raw: raws.value(row).to_owned(),
        }));
    }
    Ok(rejects)
}
