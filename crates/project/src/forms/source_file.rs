//! The form of `sources/NAME.yml`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::data_test::TestForm;
use super::database_file::DatabaseForm;
use super::text::{ColumnTypeText, OneOrMany};
use crate::duration::Span;
use crate::{FileMode, SchemaAction, WriteDisposition};

/// Kinds of sources this version reads.
pub const SOURCES: &[&str] = &["files", "mysql", "mariadb", "postgres"];
/// Kinds of sources that are planned, or that people look for, and that this version cannot read yet.
pub const UNBUILT_SOURCES: &[&str] = &["redshift", "sqlserver", "oracle", "mongodb", "s3", "http"];

/// `sources/NAME.yml`: a place data comes from. The source's name is the file's.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
#[schemars(title = "sources/*.yml")]
pub enum SourceFile {
    /// Files in a folder.
    Files(Box<FilesForm>),
    /// A MySQL server.
    Mysql(Box<DatabaseForm>),
    /// A MariaDB server.
    Mariadb(Box<DatabaseForm>),
    /// A Postgres server.
    Postgres(Box<DatabaseForm>),
}

/// Files in a folder.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct FilesForm {
    /// The folder that files arrive in, relative to the project folder.
    pub path: String,
    /// MaxMind database (`.mmdb`) for the country of an address in access logs, relative to the project folder.
    pub country_database: Option<String>,
    /// Settings that hold for every stream that does not give its own.
    #[expect(dead_code, reason = "merged under each stream as JSON")]
    pub defaults: Option<StreamForm>,
    /// The streams, by name. A stream's rows go to the table of its name in the store.
    #[expect(dead_code, reason = "read one by one, with the defaults merged under it")]
    pub streams: BTreeMap<String, StreamForm>,
}

/// A file pattern or log, whose rows go to one table of the store.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StreamForm {
    /// Which files, as a pattern below the source's `path`: `orders_*.csv`, `**/*.ndjson.gz`. `.part`, `.tmp` and hidden files are never read.
    #[schemars(extend("format" = "thalweg-glob"))]
    pub files: Option<String>,
    /// How the files are written. Default: told by the pattern's ending (`.csv`, `.ndjson`, `.jsonl`, `.json`, `.parquet`, each also with `.gz`).
    pub format: Option<FormatWord>,
    /// What is given of CSV files; the rest is detected.
    pub csv: Option<CsvForm>,
    /// Whole files, or a log that grows and rotates (`access_log` and `ndjson` only). Default: `whole`.
    pub mode: Option<FileMode>,
    /// When a file is complete: `{ stable_for: 5s }`, `{ marker: "{name}.done" }` or `renamed`. Default: stable for one second.
    pub ready: Option<ReadyForm>,
    /// What happens to a file once its rows are published: `keep`, `archive`, `delete`, or `{ action: archive, target: prod }` in a
    /// project with several targets, because it acts for one target only. Default: `keep`.
    pub after: Option<AfterForm>,
    /// The folder `after: archive` moves files to, relative to the source's `path`. Default: `archive`.
    pub archive: Option<String>,
    /// Numbered columns folded into one list column: name of the list, and the columns' name with `*` for the number, as in the header.
    pub lists: Option<BTreeMap<String, String>>,
    /// The column or columns that identify a row, as named in the store.
    pub primary_key: Option<OneOrMany>,
    /// How an extract becomes rows of the store. Default: `merge` with a primary key, `append` without.
    pub write_disposition: Option<WriteDisposition>,
    /// Column that decides which of two versions of a row is newer; an older row never replaces a newer one. Only with `merge`.
    pub sequence_by: Option<String>,
    /// Column that marks a row as deleted: a truth value, a number other than 0, or a time. Only with `merge`.
    pub soft_delete: Option<String>,
    /// What happens when columns or types differ from what the store holds: one word for both, or `columns:` and `types:`. Default: `evolve`.
    pub schema_contract: Option<SchemaContractForm>,
    /// The columns to take (`[a, b]`), or to leave out (`["-a"]`). Default: all.
    pub select: Option<OneOrMany>,
    /// More rejected rows than this in one run stop the run. Default: no limit.
    pub max_rejects: Option<u64>,
    /// What is said of single columns, as named in the store.
    pub columns: Option<Vec<StreamColumnForm>>,
    /// Tests of the store table.
    pub data_tests: Option<Vec<TestForm>>,
    /// The same as `data_tests`.
    pub tests: Option<Vec<TestForm>>,
    /// Tags, for selectors.
    pub tags: Option<OneOrMany>,
    /// Description, for people.
    pub description: Option<String>,
    /// Another name for the store table, where two streams have the same name.
    #[serde(rename = "as")]
    #[expect(dead_code, reason = "all tables are named before streams are read, and so read from the tree")]
    pub table_name: Option<String>,
}

/// How files are written. A name that ends in `.gz` is decompressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FormatWord {
    /// Text with delimiters; delimiter, quote and header are detected or given under `csv:`.
    Csv,
    /// One JSON object a line.
    Ndjson,
    /// One array of JSON objects.
    Json,
    /// Apache Parquet.
    Parquet,
    /// A web server's access log, common or combined.
    AccessLog,
}

/// What is given of CSV files; the rest is detected.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CsvForm {
    /// The character between values, such as `;` or `"\t"`.
    #[schemars(extend("format" = "thalweg-character"))]
    pub delimiter: Option<String>,
    /// The character around values that hold delimiters, quotes or line ends. Default: `"`.
    #[schemars(extend("format" = "thalweg-character"))]
    pub quote: Option<String>,
    /// Whether the first record holds the column names.
    pub header: Option<bool>,
    /// Texts that mean NULL where they stand unquoted. Default: the empty text.
    pub null_values: Option<OneOrMany>,
}

/// When a file is complete.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ReadyForm {
    /// `renamed`
    Word(ReadyWord),
    /// `stable_for` or `marker`.
    Rule(ReadyRule),
}

/// A rule in one word.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReadyWord {
    /// Files are renamed into place, so that every file seen is complete.
    Renamed,
}

/// A rule with a setting; exactly one of the two.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
pub struct ReadyRule {
    /// Size and times did not change for this long.
    pub stable_for: Option<Span>,
    /// A second file says so; `{name}` stands for the file's name: `"{name}.done"`.
    pub marker: Option<String>,
}

/// What happens to a file once its rows are published.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum AfterForm {
    /// For the only target.
    Word(AfterWord),
    /// For one target of several.
    For(AfterFor),
}

/// What happens to a file once its rows are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AfterWord {
    /// It stays.
    Keep,
    /// It is moved to the archive folder.
    Archive,
    /// It is deleted.
    Delete,
}

/// An action that one target of several takes.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AfterFor {
    /// What happens to the file.
    pub action: AfterWord,
    /// The target whose publishing it follows; for the others the file stays.
    pub target: String,
}

/// What happens when columns or types differ from what the store holds.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum SchemaContractForm {
    /// For columns and types.
    Both(SchemaAction),
    /// For each.
    Each(SchemaContractEach),
}

/// One answer for new columns, one for values that do not fit.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SchemaContractEach {
    /// For a column the store does not have. Default: `evolve`.
    pub columns: Option<SchemaAction>,
    /// For a value that does not fit the type of its column. Default: `evolve`.
    pub types: Option<SchemaAction>,
    /// The same as `types`, as dlt calls it.
    pub data_type: Option<SchemaAction>,
}

/// What is said of one column of a stream.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StreamColumnForm {
    /// Name in the store.
    pub name: String,
    /// The type it must have: `boolean`, `smallint`, `integer`, `bigint`, `decimal(12,2)`, `real`, `double`, `date`, `time`, `timestamp`,
    /// `text`, `json`, `blob` or `list(text)`. Default: inferred.
    #[serde(rename = "type")]
    pub column_type: Option<ColumnTypeText>,
    /// Description, for people.
    pub description: Option<String>,
    /// It tells something of a person.
    pub personal: Option<bool>,
    /// It identifies a person of this kind: `customer`.
    pub subject: Option<String>,
    /// Tests of the column.
    pub data_tests: Option<Vec<TestForm>>,
    /// The same as `data_tests`.
    pub tests: Option<Vec<TestForm>>,
}
