//! The validated project: what every other room works from.
//!
//! Everything here is resolved for one target: templates are rendered, variables and secrets filled in, defaults applied.
//! How it looks in the files is the business of the reader beside it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::name::matches_wildcard;
use crate::{ColumnType, DatabaseOptions, DatabaseSettings, Diagnostic, Location, Partitioning, Secret, TableName};

/// A project, resolved for one target.
#[derive(Debug, Clone)]
pub struct Project {
    /// `name:` of `thalweg.yml`.
    pub name: String,
    /// Name of the store layer's schema (`store`, or `bronze`).
    pub store_layer: String,
    /// Landing root: a folder relative to the project, or an object storage URL.
    pub landing: String,
    /// The chosen target.
    pub target: Target,
    /// The names of all targets, in the order of the file's keys.
    pub target_names: Vec<String>,
    /// Variables after `--vars` was applied.
    pub vars: BTreeMap<String, serde_json::Value>,
    /// The sources, by name.
    pub sources: Vec<Source>,
    /// The models, in order of path.
    pub models: Vec<Model>,
    /// The seeds, in order of path.
    pub seeds: Vec<Seed>,
    /// Every test: declared in YAML and written in `tests/`.
    pub tests: Vec<DataTest>,
    /// The reports, in order of path.
    pub reports: Vec<Report>,
    /// Tables that exist in the warehouse and are not built by this project.
    pub external: Vec<(TableName, Location)>,
    /// The schedules, for `thalweg serve`.
    pub schedules: Vec<Schedule>,
    /// What happens to the rest of a run when a source cannot be reached.
    pub on_source_error: OnSourceError,
    /// How long it is remembered what rows were before they changed.
    pub change_log: ChangeLogSettings,
    /// Tables that the files name and that could not be read because of a reported mistake. A reference to one of them is no mistake
    /// of its own. Empty when no error was reported.
    pub unreadable: Vec<TableName>,
    /// Names and contents of the environment variables that `env_var()` put into SQL.
    pub variables_read: Vec<(String, Secret)>,
}

impl Project {
    /// Whether a table that is not known may be one all the same: a mistake in its own description was reported, or it may be among
    /// the tables of a wildcard whose database was not asked yet.
    pub fn may_have(&self, table: &TableName) -> bool {
        let same = |one: &TableName| one.to_string().to_lowercase() == table.to_string().to_lowercase();
        let undiscovered = self.sources.iter().filter_map(|source| match &source.connection {
            SourceConnection::Database(database) if !database.discovered => Some(&database.wildcards),
            _ => None,
        });
        self.unreadable.iter().any(same)
            || (table.schema.eq_ignore_ascii_case(&self.store_layer)
                && undiscovered.flatten().any(|pattern| matches_wildcard(pattern, &table.name)))
    }

    /// Writes `${NAME}` for the contents of environment variables that came into diagnostics with the SQL they are in.
    pub fn conceal(&self, diagnostics: &mut [Diagnostic]) {
        let mut read: Vec<_> = self.variables_read.iter().collect();
        // The longest first: one content may be part of another.
        read.sort_by_key(|(_, content)| std::cmp::Reverse(content.expose().len()));
        for (name, content) in read {
            for diagnostic in diagnostics.iter_mut() {
                diagnostic.replace_text(content.expose(), &format!("${{{name}}}"));
            }
        }
    }
}

/// How long it is remembered what rows were before they changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangeLogSettings {
    /// For people, and of every table; `None`: only what models still need.
    pub history: Option<std::time::Duration>,
    /// For models that are left out of builds, at most.
    pub readers: std::time::Duration,
}

/// A named warehouse.
#[derive(Debug, Clone)]
pub struct Target {
    /// Name of the target: `dev`.
    pub name: String,
    /// Put before every schema: `dev_ana_`. Empty when there is none.
    pub schema_prefix: String,
    /// Where it is.
    pub connection: TargetConnection,
    /// Where it is declared.
    pub location: Location,
}

/// Where a warehouse is.
#[derive(Debug, Clone)]
pub enum TargetConnection {
    /// An embedded DuckDB file.
    Duckdb {
        /// The file, relative to the project folder unless absolute.
        path: String,
        /// DuckDB's memory limit (`1GB`), or its default.
        memory_limit: Option<String>,
        /// Number of DuckDB's threads, or all cores.
        threads: Option<usize>,
        /// A copy for other readers, replaced by rename after each run.
        published_copy: Option<String>,
    },
    /// A Postgres database.
    Postgres(Box<PostgresTarget>),
}

/// A Postgres database as a warehouse.
#[derive(Debug, Clone)]
pub struct PostgresTarget {
    /// How it is reached.
    pub settings: DatabaseSettings,
    /// A role to assume once connected.
    pub role: Option<String>,
    /// How long a statement waits for a lock.
    pub lock_timeout: std::time::Duration,
}

impl TargetConnection {
    /// `target.type` in templates, `type:` in the file.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Duckdb { .. } => "duckdb",
            Self::Postgres(_) => "postgres",
        }
    }
}

/// What happens to the rest of a run when a source cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnSourceError {
    /// Its streams keep what they have and are shown as stale; everything else is published.
    #[default]
    Continue,
    /// Nothing is published.
    Stop,
}

/// A place data comes from.
#[derive(Debug, Clone)]
pub struct Source {
    /// Name of the source: its file's name without `.yml`.
    pub name: String,
    /// What it is.
    pub connection: SourceConnection,
    /// Its streams, in the order of the file.
    pub streams: Vec<Stream>,
    /// Where it is declared.
    pub location: Location,
}

/// What a source is and how it is reached.
#[derive(Debug, Clone)]
pub enum SourceConnection {
    /// Files in a folder.
    Files {
        /// The folder, relative to the project folder unless absolute.
        path: String,
        /// MaxMind database for the country of an address, relative to the project folder.
        country_database: Option<String>,
    },
    /// Tables of a database.
    Database(Box<DatabaseConnection>),
}

/// A database as a source.
#[derive(Debug, Clone)]
pub struct DatabaseConnection {
    /// How it is reached.
    pub settings: DatabaseSettings,
    /// Whether it was asked for its tables, now or earlier. Before that wildcards stand for nothing, and keys that the file does not give
    /// are unknown: such a project can be looked at and not be run.
    pub discovered: bool,
    /// Patterns of the wildcard streams, as written.
    pub wildcards: Vec<String>,
}

impl SourceConnection {
    /// `type:` in the file.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Files { .. } => "files",
            Self::Database(database) => database.settings.kind.word(),
        }
    }
}

/// One table, file pattern or log of a source.
#[derive(Debug, Clone)]
pub struct Stream {
    /// Name of the source it belongs to.
    pub source: String,
    /// Key of the stream in its source's file.
    pub name: String,
    /// The store table its rows go to.
    pub table: TableName,
    /// Columns that identify a row, as named in the store. Empty when there is no key.
    pub primary_key: Vec<String>,
    /// How an extract becomes rows of the store.
    pub write_disposition: WriteDisposition,
    /// Column that decides which of two versions of a row is newer.
    pub sequence_by: Option<String>,
    /// Column that marks a row as deleted.
    pub soft_delete: Option<String>,
    /// What happens when columns or types differ from what the store holds.
    pub schema_contract: SchemaContract,
    /// Columns to take (`name`) or to leave out (`-name`), as written.
    pub select: Vec<String>,
    /// More rejected rows than this in one run stop the run.
    pub max_rejects: Option<u64>,
    /// What is said of single columns: type, description, privacy.
    pub columns: Vec<StreamColumn>,
    /// Tags, for selectors.
    pub tags: Vec<String>,
    /// Description, for people.
    pub description: Option<String>,
    /// Options of a file stream; without meaning for others.
    pub files: FileOptions,
    /// Options of a stream of a database; `None` for others.
    pub database: Option<DatabaseOptions>,
    /// Where it is declared.
    pub location: Location,
}

/// How an extract becomes rows of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WriteDisposition {
    /// Rows replace those of the same key.
    Merge,
    /// Every row is new; its key is its origin.
    Append,
    /// The extract is the whole truth.
    Replace,
}

/// What happens when an extract's columns or types differ from the store's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaContract {
    /// For a column the store does not have.
    pub columns: SchemaAction,
    /// For a value that does not fit the type of its column.
    pub types: SchemaAction,
}

/// One of dlt's four answers to a changed schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SchemaAction {
    /// Take it in: add the column, widen the type.
    Evolve,
    /// An error; nothing of the stream is loaded.
    Freeze,
    /// The row is rejected.
    DiscardRow,
    /// The value is left out (NULL, or the column ignored), and counted.
    DiscardValue,
}

/// What a source's file says of one column of a stream.
#[derive(Debug, Clone)]
pub struct StreamColumn {
    /// Name in the store.
    pub name: String,
    /// The type it must have; inferred when absent.
    pub column_type: Option<ColumnType>,
    /// Description, for people.
    pub description: Option<String>,
    /// It tells something of a person.
    pub personal: bool,
    /// It identifies a person of this kind.
    pub subject: Option<String>,
}

/// Options of a stream of files.
#[derive(Debug, Clone)]
pub struct FileOptions {
    /// Glob pattern below the source's folder.
    pub pattern: String,
    /// How the files are written.
    pub format: FileFormat,
    /// Whole files, or a log that grows and rotates.
    pub mode: FileMode,
    /// When a file is complete.
    pub ready: Ready,
    /// What happens to a file once its rows are published.
    pub after: AfterLoad,
    /// Where `after: archive` puts files, relative to the source's folder.
    pub archive: String,
    /// Numbered columns folded into one list column: name of the list → pattern with `*` for the number, as in the header.
    pub lists: BTreeMap<String, String>,
}

impl Default for FileOptions {
    fn default() -> Self {
        Self {
            pattern: String::new(),
            format: FileFormat::Csv(CsvOptions::default()),
            mode: FileMode::Whole,
            ready: Ready::Renamed,
            after: AfterLoad::Keep,
            archive: String::new(),
            lists: BTreeMap::new(),
        }
    }
}

/// How files of a stream are written. The compression is told by the file name (`.gz`).
#[derive(Debug, Clone)]
pub enum FileFormat {
    /// Text with delimiters.
    Csv(CsvOptions),
    /// One JSON object a line.
    Ndjson,
    /// One array of JSON objects.
    Json,
    /// Apache Parquet.
    Parquet,
    /// A web server's access log, common or combined, told apart by itself.
    AccessLog,
}

/// What is given of a CSV file; the rest is detected.
#[derive(Debug, Clone, Default)]
pub struct CsvOptions {
    /// Between values.
    pub delimiter: Option<u8>,
    /// Around values that hold delimiters, quotes or line ends.
    pub quote: Option<u8>,
    /// Whether the first record holds the column names. Detected when absent.
    pub header: Option<bool>,
    /// Texts that mean NULL, unquoted. The empty text when absent.
    pub null_values: Option<Vec<String>>,
}

/// Whole files, or a log that grows and rotates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileMode {
    /// Each file is one delivery.
    Whole,
    /// New lines of a growing log are read from where the last run stopped.
    Tail,
}

/// When a file is complete. `.part`, `.tmp` and dotfiles never are.
#[derive(Debug, Clone, PartialEq)]
pub enum Ready {
    /// Size and times did not change for this long.
    StableFor(std::time::Duration),
    /// A second file says so; `{name}` stands for the file's name.
    Marker(String),
    /// Files are renamed into place, so that every file seen is complete.
    Renamed,
}

/// What happens to a file once its rows are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterLoad {
    /// It stays.
    Keep,
    /// It is moved to the archive folder.
    Archive,
    /// It is deleted.
    Delete,
}

/// A `SELECT` with its table or view in the warehouse.
#[derive(Debug, Clone)]
pub struct Model {
    /// Folder and file name.
    pub table: TableName,
    /// Path of the `.sql` file.
    pub file: String,
    /// The SQL after its template was rendered.
    pub sql: String,
    /// Whether rendering changed the text, so that spans of `sql` are not spans of the file.
    pub templated: bool,
    /// How it stands in the warehouse.
    pub materialized: Materialized,
    /// Whether refreshes may be incremental.
    pub refresh: RefreshPin,
    /// Columns that identify a row, if declared.
    pub primary_key: Vec<String>,
    /// Indexes that people ask for, where the warehouse has some.
    pub indexes: Vec<Index>,
    /// How its table is cut into partitions, where the warehouse has some, and how long its rows are kept.
    pub partitioning: Option<Partitioning>,
    /// Tags, for selectors.
    pub tags: Vec<String>,
    /// Description, for people.
    pub description: Option<String>,
    /// What is said of its columns.
    pub columns: Vec<ModelColumn>,
    /// Where it is described, or its file when it is not.
    pub location: Location,
}

/// An index of a model's table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// Its columns, in order.
    pub columns: Vec<String>,
    /// Whether no two rows may have the same values there.
    pub unique: bool,
}

/// How a model stands in the warehouse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Materialized {
    /// A table, kept up to date by refreshes.
    Table,
    /// A view on its `SELECT`.
    View,
    /// Only a name: its `SELECT` is put in the place of each reference.
    Ephemeral,
}

/// The `refresh:` setting of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RefreshPin {
    /// The tool decides.
    Auto,
    /// Always in full.
    Full,
    /// An error where it cannot be incremental.
    Incremental,
}

/// What is said of one column of a model.
#[derive(Debug, Clone)]
pub struct ModelColumn {
    /// Name of the column.
    pub name: String,
    /// Description, for people.
    pub description: Option<String>,
    /// It tells something of a person.
    pub personal: bool,
    /// It identifies a person of this kind.
    pub subject: Option<String>,
    /// Where it is declared.
    pub location: Location,
}

/// A small table that is versioned with the project.
#[derive(Debug, Clone)]
pub struct Seed {
    /// `seeds.<file name>`
    pub table: TableName,
    /// Path of the CSV file.
    pub file: String,
    /// Text of the CSV file.
    pub text: String,
    /// Types that are given.
    pub column_types: BTreeMap<String, ColumnType>,
    /// Tags, for selectors.
    pub tags: Vec<String>,
    /// Description, for people.
    pub description: Option<String>,
    /// What is said of its columns.
    pub columns: Vec<ModelColumn>,
}

/// A condition on data.
#[derive(Debug, Clone)]
pub struct DataTest {
    /// Unique name: `not_null_report_order_lines_amount`.
    pub name: String,
    /// The table it is about. For a SQL test, its first dependency matters only to selectors, and this is `None`.
    pub table: Option<TableName>,
    /// What must hold.
    pub kind: TestKind,
    /// Only rows that satisfy this SQL condition are looked at.
    pub filter: Option<String>,
    /// Whether a failure fails the run.
    pub severity: TestSeverity,
    /// What happens to the rows that fail.
    pub on_failure: OnFailure,
    /// Tags, for selectors.
    pub tags: Vec<String>,
    /// Where it is declared.
    pub location: Location,
}

/// What a test demands.
#[derive(Debug, Clone, PartialEq)]
pub enum TestKind {
    /// No NULL in the column.
    NotNull {
        /// The column.
        column: String,
    },
    /// No two rows with the same values; rows with a NULL among them are not compared.
    Unique {
        /// The columns.
        columns: Vec<String>,
    },
    /// Only these values, or NULL.
    AcceptedValues {
        /// The column.
        column: String,
        /// The values; texts are compared as texts, numbers as numbers.
        values: Vec<serde_json::Value>,
    },
    /// Every value that is not NULL stands in the other table.
    Relationships {
        /// The column.
        column: String,
        /// The other table.
        to: TableName,
        /// The other table's column.
        field: String,
    },
    /// The value lies in the range, or is NULL.
    AcceptedRange {
        /// The column.
        column: String,
        /// Lower bound: a number, or a text put into the SQL as it is (`'2020-01-01'`, `current_date`).
        min: Option<serde_json::Value>,
        /// Upper bound.
        max: Option<serde_json::Value>,
        /// Whether the bounds themselves are accepted.
        inclusive: bool,
    },
    /// The SQL expression holds for every row. NULL counts as a failure.
    ExpressionIsTrue {
        /// The expression; with a column, it is put after the column's name (`>= 0`).
        expression: String,
        /// The column, when declared below one.
        column: Option<String>,
    },
    /// The table has at least and at most so many rows.
    RowCount {
        /// At least.
        min: Option<u64>,
        /// At most.
        max: Option<u64>,
    },
    /// The newest value of the column is not older than this.
    Freshness {
        /// Timestamp column, UTC.
        column: String,
        /// The greatest age.
        max_age: std::time::Duration,
    },
    /// The query returns no rows.
    Sql {
        /// The query after its template was rendered.
        sql: String,
    },
}

impl TestKind {
    /// The columns of the test's own table that it names.
    pub fn columns(&self) -> Vec<&str> {
        match self {
            Self::NotNull { column }
            | Self::AcceptedValues { column, .. }
            | Self::Relationships { column, .. }
            | Self::AcceptedRange { column, .. }
            | Self::Freshness { column, .. } => vec![column],
            Self::Unique { columns } => columns.iter().map(String::as_str).collect(),
            Self::ExpressionIsTrue { column, .. } => column.iter().map(String::as_str).collect(),
            Self::RowCount { .. } | Self::Sql { .. } => Vec::new(),
        }
    }
}

/// Whether a failing test fails the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TestSeverity {
    /// The run publishes nothing.
    Error,
    /// The run goes on and says so.
    Warn,
}

/// What happens to rows that fail a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// The test fails.
    Fail,
    /// The rows go to the rejects instead of the store; only for row conditions on store tables.
    Quarantine,
}

/// A query whose answer is printed or written after a run.
#[derive(Debug, Clone)]
pub struct Report {
    /// File name without `.sql`.
    pub name: String,
    /// Path of the file.
    pub file: String,
    /// The SQL after its template was rendered.
    pub sql: String,
    /// Whether rendering changed the text.
    pub templated: bool,
    /// Title on the terminal; the name when absent.
    pub title: Option<String>,
    /// Files written under `out/`.
    pub formats: Vec<ReportFormat>,
    /// Rows shown on the terminal at most.
    pub limit: usize,
    /// Tags, for selectors.
    pub tags: Vec<String>,
}

/// A form in which a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReportFormat {
    /// `out/NAME.csv`
    Csv,
    /// `out/NAME.json`
    Json,
    /// `out/NAME.parquet`
    Parquet,
}

/// A schedule of `thalweg serve`.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// Name of the schedule.
    pub name: String,
    /// Five-field cron expression, already checked.
    pub cron: String,
    /// IANA time zone the expression is meant in.
    pub timezone: String,
    /// Selector of what is built; everything when absent.
    pub select: Option<String>,
}
