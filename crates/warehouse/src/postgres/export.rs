//! Writing a query's answer to a Parquet file, batch by batch.

use std::fs::File;
use std::path::Path;

use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use thalweg_postgres::Session;

use super::marks::Translated;
use super::transaction::read;
use crate::contract::{WarehouseError, WarehouseErrorKind};

pub(super) fn export_parquet(
    session: &mut Session,
    translated: &Translated<'_>,
    file: &Path,
    metadata: &[(String, String)],
) -> Result<u64, WarehouseError> {
    let failed = |why: String| {
        WarehouseError::new(WarehouseErrorKind::Storage, format!("cannot write `{}`: {why}", file.display()))
    };
    let pairs = metadata.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone())).collect();
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_key_value_metadata(Some(pairs))
        .build();
    let (mut writer, mut rows) = (None, 0);
    read(session, translated, &mut |batch| {
        let writer = match &mut writer {
            Some(writer) => writer,
            None => {
                let target = File::create(file).map_err(|error| failed(error.to_string()))?;
                let options =
                    ArrowWriterOptions::new().with_properties(properties.clone()).with_skip_arrow_metadata(true);
                let made = ArrowWriter::try_new_with_options(target, batch.schema(), options);
                writer.insert(made.map_err(|error| failed(error.to_string()))?)
            }
        };
        rows += batch.num_rows() as u64;
        writer.write(batch).map_err(|error| failed(error.to_string()))
    })?;
    if let Some(writer) = writer {
        writer.close().map_err(|error| failed(error.to_string()))?;
    }
    Ok(rows)
}
