//! Answers of the commands that look and do not change.

use std::collections::BTreeMap;

use serde::Serialize;
use thalweg_project::Diagnostic;

use crate::outcome::{RefreshFigures, RunState, StaleTable, StepOutcome, Strategy, TestOutcome, TextTable};

/// What `validate` found.
#[derive(Debug, Default)]
pub struct Validation {
    /// Every mistake, in order of file and place.
    pub diagnostics: Vec<Diagnostic>,
    /// The text of every file of the project, for drawing.
    pub files: BTreeMap<String, String>,
    /// How many streams, models, tests, reports and seeds were understood.
    pub streams: usize,
    /// See `streams`.
    pub models: usize,
    /// See `streams`.
    pub tests: usize,
    /// See `streams`.
    pub reports: usize,
    /// See `streams`.
    pub seeds: usize,
    /// What could not be checked, and why: columns of a stream that was never read.
    pub unchecked: Vec<String>,
}

/// What a build would do.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// Number the run would have.
    pub run: i64,
    /// An interrupted run would go on.
    pub resumes: bool,
    /// Every selected table, in order.
    pub steps: Vec<PlanStep>,
    /// Tables in the warehouse that the project no longer has.
    pub removed: Vec<String>,
    /// Indexes that would be made or dropped, where the warehouse has any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub indexes: Vec<PlannedIndex>,
    /// Partitions that would be made or dropped, as far as that is known, where the warehouse has any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub partitions: Vec<PlannedPartition>,
}

/// A partition that a build would make, or drop because it is past and empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct PlannedPartition {
    /// The table.
    pub table: String,
    /// Its first day; absent where it holds everything before.
    pub from: Option<String>,
    /// The first day that is not of it; absent where that is not known.
    pub until: Option<String>,
    /// Whether it is dropped.
    pub dropped: bool,
}

/// An index that a build would make or drop.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct PlannedIndex {
    /// The table, or the stage of a model.
    pub table: String,
    /// Its columns, where it is made.
    pub columns: Vec<String>,
    /// Whether no two rows may have the same values there.
    pub unique: bool,
    /// Its name, where it is dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropped: Option<String>,
}

/// What a build would do with one table.
#[derive(Debug, Clone, Serialize)]
pub struct PlanStep {
    /// The table.
    pub table: String,
    /// `store`, `seed`, `table`, `view` or `ephemeral`.
    pub kind: String,
    /// How it would be brought up to date.
    pub strategy: Strategy,
    /// Whether that depends on what its inputs bring.
    pub depends_on_inputs: bool,
    /// Why, in words.
    pub reason: String,
    /// Changed rows upstream and the seconds that are expected, as far as they are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh: Option<RefreshFigures>,
    /// Tables it reads.
    pub inputs: Vec<String>,
}

/// How the warehouse stands.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// Name of the project.
    pub project: String,
    /// Name of the target.
    pub target: String,
    /// Where the warehouse is.
    pub warehouse: String,
    /// The last run, whatever became of it.
    pub last_run: Option<RunRecord>,
    /// The run that readers see.
    pub published_run: Option<i64>,
    /// Every table of the project and of the warehouse.
    pub tables: Vec<TableStatus>,
    /// Rejects that were not replayed.
    pub open_rejects: u64,
}

/// How one table stands.
#[derive(Debug, Clone, Serialize)]
pub struct TableStatus {
    /// The table.
    pub table: String,
    /// `store`, `seed`, `table` or `view`.
    pub kind: String,
    /// Rows that readers see; absent for views.
    pub rows: Option<u64>,
    /// The run that last changed it.
    pub changed_run: Option<i64>,
    /// The run that last brought it up to date.
    pub refreshed_run: Option<i64>,
    /// Why it is stale, if it is.
    pub stale: Option<String>,
    /// Other things to know: `deletes not seen`, `not in the project`, open rejects.
    pub remarks: Vec<String>,
}

/// A run as the ledger remembers it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunRecord {
    /// Its number.
    pub run: i64,
    /// The verb that started it.
    pub command: String,
    /// How it ended.
    pub state: RunState,
    /// Microseconds since 1970 UTC.
    pub started_at: i64,
    /// Microseconds since 1970 UTC.
    pub finished_at: Option<i64>,
    /// Why it failed, if it did.
    pub message: Option<String>,
}

/// Everything the ledger knows of one run.
#[derive(Debug, Clone, Serialize)]
pub struct RunDetail {
    /// The run.
    pub record: RunRecord,
    /// Its tables.
    pub steps: Vec<StepOutcome>,
    /// Its tests.
    pub tests: Vec<TestOutcome>,
    /// The files it loaded.
    pub extracts: Vec<ExtractRecord>,
}

/// A file that was loaded.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExtractRecord {
    /// The `_origin` of its rows.
    pub id: i64,
    /// The run that loaded it.
    pub run: i64,
    /// `source.stream`
    pub stream: String,
    /// Its name.
    pub file: String,
    /// Records read.
    pub read: u64,
    /// Of these, rejected.
    pub rejected: u64,
}

/// A row of `thalweg.rejects`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RejectRecord {
    /// Its number, for `rejects replay`.
    pub id: i64,
    /// The run that rejected it.
    pub run: i64,
    /// `source.stream`
    pub stream: String,
    /// The file it came from.
    pub file: String,
    /// Line or ordinal in the file.
    pub record: i64,
    /// Byte offset in the file.
    pub byte_offset: Option<i64>,
    /// Why.
    pub reason: String,
    /// The record as it was.
    pub raw: String,
    /// `open` or `replayed`.
    pub state: String,
}

/// Which rejects are meant.
#[derive(Debug, Clone, Default)]
pub struct RejectFilter {
    /// `source.stream`, or the name of the store table.
    pub stream: Option<String>,
    /// Only of this run.
    pub run: Option<i64>,
    /// Only these.
    pub ids: Vec<i64>,
    /// Replayed ones too.
    pub all: bool,
    /// At most so many.
    pub limit: Option<u64>,
}

/// What `verify` found for one table.
#[derive(Debug, Clone, Serialize)]
pub struct VerifyOutcome {
    /// The table.
    pub table: String,
    /// What it was compared with: `its query`, `landing`.
    pub against: String,
    /// Whether it is equal; `None` when it could not be compared.
    pub equal: Option<bool>,
    /// Rows that ought to be there and are not.
    pub missing: u64,
    /// Rows that are there and ought not to be.
    pub unexpected: u64,
    /// The first rows that differ; the first column says `missing` or `unexpected`, the last which run wrote them.
    pub first: TextTable,
    /// What limits the comparison, or why it could not be made.
    pub remark: Option<String>,
    /// Rows compared.
    pub rows: u64,
}

/// A model's SQL as it is sent to the warehouse.
#[derive(Debug, Clone, Serialize)]
pub struct CompiledTable {
    /// The model, test or report.
    pub name: String,
    /// `model`, `test` or `report`.
    pub kind: String,
    /// Path of its file.
    pub file: String,
    /// The SQL.
    pub sql: String,
}

/// A node of the project's graph, for `ls`.
#[derive(Debug, Clone, Serialize)]
pub struct Listed {
    /// The table (or the name of a test or report).
    pub name: String,
    /// `store`, `seed`, `model`, `test` or `report`.
    pub kind: String,
    /// Its file.
    pub file: String,
    /// Tags.
    pub tags: Vec<String>,
    /// Tables it reads.
    pub inputs: Vec<String>,
}

/// The answer of `show`.
#[derive(Debug, Clone)]
pub struct Shown {
    /// The answer as texts, cut to the limit.
    pub table: TextTable,
    /// The answer itself, for `--json`.
    pub rows: thalweg_warehouse::Rows,
    /// Whether there are more rows than shown.
    pub cut: bool,
    /// The run that readers see.
    pub run: Option<i64>,
    /// Of the tables that it reads those that are stale, with the reasons.
    pub stale: Vec<StaleTable>,
}
