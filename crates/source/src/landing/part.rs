//! Writing one Parquet file of the landing: quickly, in little memory, and surely on disk before it counts.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;

use super::error::{landing_error, parquet_error};
use crate::{FILE_COLUMN, RECORD_COLUMN, SourceError};

/// Rows of a row group at most: DuckDB's own size, so that it can read one file with several threads.
const ROW_GROUP_ROWS: usize = 122_880;
/// Encoded bytes of a row group at most: bounds the memory of a writer when rows are wide.
const ROW_GROUP_BYTES: usize = 16 << 20;
/// Rows handed to the Parquet writer at a time, so that a wide batch cannot overshoot the row group's bound by much.
const WRITE_ROWS: usize = 8192;

/// A Parquet file under a temporary name until it is [`ParquetFile::close`]d; removed when dropped before that.
pub(super) struct ParquetFile {
    writer: Option<ArrowWriter<HashingFile>>,
    temporary: PathBuf,
    rows: u64,
}

/// What is known of a closed file.
pub(super) struct Closed {
    pub(super) rows: u64,
    pub(super) bytes: u64,
    pub(super) hash: String,
}

impl ParquetFile {
    /// Creates the file under its temporary name.
    pub(super) fn create(temporary: PathBuf, schema: &SchemaRef) -> Result<Self, SourceError> {
        let file = File::create(&temporary).map_err(|error| landing_error("create", &temporary, &error))?;
        let options = ArrowWriterOptions::new().with_properties(properties(schema)).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(HashingFile::new(file), Arc::clone(schema), options)
            .map_err(|error| parquet_error("begin", &temporary, error))?;
        Ok(Self { writer: Some(writer), temporary, rows: 0 })
    }

    /// Appends a batch.
    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<(), SourceError> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let failed = |error| parquet_error("write", &self.temporary, error);
        let mut offset = 0;
        while offset < batch.num_rows() {
            let rows = WRITE_ROWS.min(batch.num_rows() - offset);
            writer.write(&batch.slice(offset, rows)).map_err(failed)?;
            offset += rows;
            if writer.in_progress_size() > ROW_GROUP_BYTES {
                writer.flush().map_err(failed)?;
            }
        }
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    /// Writes the footer, waits until the file is on disk, and gives it its name.
    pub(super) fn close(mut self, path: &Path) -> Result<Closed, SourceError> {
        let Some(mut writer) = self.writer.take() else {
            return Err(landing_error("close", path, &io::Error::other("it is closed already")));
        };
        writer.finish().map_err(|error| parquet_error("finish", &self.temporary, error))?;
        let (bytes, hash) =
            writer.inner_mut().finish().map_err(|error| landing_error("write", &self.temporary, &error))?;
        drop(writer);
        fs::rename(&self.temporary, path).map_err(|error| landing_error("rename", &self.temporary, &error))?;
        Ok(Closed { rows: self.rows, bytes, hash })
    }
}

impl Drop for ParquetFile {
    fn drop(&mut self) {
        // After `close` the temporary name is gone; before it, nothing refers to the file.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// Text is worth a dictionary (user agents, statuses, countries); numbers are written faster without. Statistics are not read by
/// anybody: each landing file is staged as a whole.
fn properties(schema: &SchemaRef) -> WriterProperties {
    let mut properties = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_compression(Compression::LZ4_RAW)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_dictionary_page_size_limit(256 << 10)
        .set_write_batch_size(WRITE_ROWS)
        .set_created_by(concat!("thalweg ", env!("CARGO_PKG_VERSION")).to_owned());
    for field in schema.fields() {
        let path = ColumnPath::from(field.name().as_str());
        match (field.name().as_str(), field.data_type()) {
            (RECORD_COLUMN, _) => {
                properties = properties
                    .set_column_dictionary_enabled(path.clone(), false)
                    .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
            }
            (FILE_COLUMN, _) | (_, DataType::Utf8 | DataType::Binary | DataType::List(_)) => {}
            _ => properties = properties.set_column_dictionary_enabled(path, false),
        }
    }
    properties.build()
}

/// A file that is hashed as it is written.
struct HashingFile {
    file: File,
    buffer: Vec<u8>,
    hasher: blake3::Hasher,
    bytes: u64,
}

/// Bytes collected before they are hashed and written.
const BUFFER_BYTES: usize = 256 << 10;

impl HashingFile {
    fn new(file: File) -> Self {
        Self { file, buffer: Vec::with_capacity(BUFFER_BYTES), hasher: blake3::Hasher::new(), bytes: 0 }
    }

    fn emit(&mut self) -> io::Result<()> {
        self.hasher.update(&self.buffer);
        self.file.write_all(&self.buffer)?;
        self.bytes += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn finish(&mut self) -> io::Result<(u64, String)> {
        self.emit()?;
        self.file.sync_data()?;
        Ok((self.bytes, self.hasher.finalize().to_hex().to_string()))
    }
}

impl Write for HashingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER_BYTES {
            self.emit()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
