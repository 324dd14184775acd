//! What identifies a stream's definition.

use serde_json::json;

use crate::{FileFormat, FileMode, Stream};

impl Stream {
    /// A short text that changes when anything changes that decides how rows are extracted and typed: pattern, format, mode, lists,
    /// selected columns, types, key and disposition. Stable between versions of the program that read streams alike.
    ///
    /// Not part of it: when a file is complete, what happens to it afterwards, descriptions, tags, and the source's own folder.
    pub fn fingerprint(&self) -> String {
        let format = match &self.files.format {
            FileFormat::Csv(csv) => json!(["csv", csv.delimiter, csv.quote, csv.header, csv.null_values]),
            FileFormat::Ndjson => json!("ndjson"),
            FileFormat::Json => json!("json"),
            FileFormat::Parquet => json!("parquet"),
            FileFormat::AccessLog => json!("access_log"),
        };
        let mode = match self.files.mode {
            FileMode::Whole => "whole",
            FileMode::Tail => "tail",
        };
        let mut types: Vec<_> = self
            .columns
            .iter()
            .filter_map(|column| Some([column.name.clone(), column.column_type.as_ref()?.to_string()]))
            .collect();
        types.sort();
        let database = self.database.as_ref().map(|options| {
            json!([
                options.table.to_string(),
                options.cursor,
                options.initial_value,
                options.filter,
                options.on_unrepresentable,
            ])
        });
        let mut canonical = json!([
            1,
            self.source,
            self.name,
            self.files.pattern,
            format,
            mode,
            self.files.lists,
            self.select,
            types,
            self.primary_key,
            self.write_disposition,
            self.sequence_by,
            self.soft_delete,
            self.schema_contract,
        ]);
        // Streams of files keep the fingerprint that they had before there were others.
        if let (Some(database), Some(parts)) = (database, canonical.as_array_mut()) {
            parts.push(database);
        }
        blake3::hash(canonical.to_string().as_bytes()).to_hex()[..32].to_owned()
    }
}
