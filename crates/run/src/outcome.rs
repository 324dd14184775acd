//! What a run did.

use serde::{Deserialize, Serialize};
use thalweg_source::{Note, NoteLevel};

use crate::answer::VerifyOutcome;

/// What a run did, from its first stream to its last report.
#[derive(Debug, Clone, Serialize)]
pub struct RunOutcome {
    /// Its number.
    pub run: i64,
    /// The run that readers see after it.
    pub published_run: Option<i64>,
    /// How it ended.
    pub state: RunState,
    /// Every table that was looked at, in order.
    pub steps: Vec<StepOutcome>,
    /// Every test that was run.
    pub tests: Vec<TestOutcome>,
    /// Streams that could not be read, with the reason; their tables keep what they have.
    pub failed_streams: Vec<FailedStream>,
    /// Tables whose inputs are ahead of them.
    pub stale: Vec<StaleTable>,
    /// Tables in the warehouse that the project no longer has.
    pub removed: Vec<String>,
    /// Answered reports.
    pub reports: Vec<ReportAnswer>,
    /// Reports that could not be answered. The data they ask about is published.
    pub failed_reports: Vec<FailedReport>,
    /// What comparing a sample with what it ought to be has shown, where that was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub verified: Vec<VerifyOutcome>,
    /// What a person should know.
    pub notes: Vec<OutcomeNote>,
    /// Time from start to end.
    pub seconds: f64,
    /// Why it failed, if it did.
    pub message: Option<String>,
}

impl RunOutcome {
    /// 0 when all is well, 1 when something failed.
    pub fn exit_code(&self) -> u8 {
        let differs = self.verified.iter().any(|outcome| outcome.equal == Some(false));
        let failed = !self.failed_streams.is_empty() || !self.failed_reports.is_empty() || differs;
        u8::from(self.state == RunState::Failed || failed)
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// It is going on, or was interrupted.
    Running,
    /// Its changes are published.
    Published,
    /// There was nothing to publish.
    Nothing,
    /// Nothing was published: a test or a statement failed.
    Failed,
}

/// What happened to one table.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StepOutcome {
    /// The table: `store.order_lines`.
    pub table: String,
    /// `store`, `seed`, `table` or `view`.
    pub kind: String,
    /// How it was brought up to date.
    pub strategy: Strategy,
    /// Why it was done so, in words.
    pub reason: String,
    /// The counts; see [`Counts`].
    #[serde(flatten)]
    pub counts: Counts,
    /// Rows of the table before.
    pub rows_before: u64,
    /// Rows of the table after.
    pub rows_after: u64,
    /// Time taken.
    pub seconds: f64,
    /// What is known of a model's refresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<RefreshFigures>,
}

/// What a refresh of a model looked at, and what it was expected to cost.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RefreshFigures {
    /// Keys that the changes could touch; absent where they were not counted.
    pub keys: Option<u64>,
    /// Changed rows of its inputs, those gone and those that came; absent where that is not known.
    pub upstream: Option<u64>,
    /// Rows that were computed and rows they were compared with.
    pub rows_read: u64,
    /// Rows deleted and rows inserted.
    pub rows_written: u64,
    /// Seconds an incremental refresh was expected to take; absent where nothing was known.
    pub expected_incremental: Option<f64>,
    /// Seconds a full refresh was expected to take; absent where nothing was known.
    pub expected_full: Option<f64>,
}

/// How a table was brought up to date.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Nothing had to be done.
    #[default]
    Unchanged,
    /// First load of a store table or seed, or rebuilt from landing.
    Load,
    /// Rows merged by key.
    Merge,
    /// Rows added.
    Append,
    /// Replaced by the extract, writing only what differs.
    Replace,
    /// The keys that changes could touch were computed anew, only the difference written.
    Incremental,
    /// A model computed anew, as a new version of its table.
    Full,
    /// A model computed anew, only the difference written.
    FullDifference,
    /// A view defined.
    View,
    /// Left as it is because its source or an input failed.
    Kept,
}

impl Strategy {
    /// In words, as the summary shows it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Load => "load",
            Self::Merge => "merge",
            Self::Append => "append",
            Self::Replace => "replace",
            Self::Incremental => "incremental",
            Self::Full => "full",
            Self::FullDifference => "full, by difference",
            Self::View => "view",
            Self::Kept => "kept",
        }
    }
}

/// Where every row went. Two equations hold, and are checked on every run and table:
///
/// * `read = inserted + updated + unchanged + deleted_by_mark + rejected + duplicate` (store tables and seeds)
/// * `rows_after = rows_before + inserted - deleted_by_mark - deleted_missing`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Records read at the source (store tables and seeds; 0 for models).
    pub read: u64,
    /// Rows that are new.
    pub inserted: u64,
    /// Rows that replaced another of the same key.
    pub updated: u64,
    /// Rows that the table has already, and marks on rows that it does not have.
    pub unchanged: u64,
    /// Rows deleted because the source marked them so.
    pub deleted_by_mark: u64,
    /// Rows deleted because they are no longer there.
    pub deleted_missing: u64,
    /// Records that could not be read or loaded, kept in the rejects.
    pub rejected: u64,
    /// Records of a key of which a newer one is known.
    pub duplicate: u64,
}

impl Counts {
    /// Adds the counts of another part of the same table's work.
    pub fn add(&mut self, other: &Self) {
        self.read += other.read;
        self.inserted += other.inserted;
        self.updated += other.updated;
        self.unchanged += other.unchanged;
        self.deleted_by_mark += other.deleted_by_mark;
        self.deleted_missing += other.deleted_missing;
        self.rejected += other.rejected;
        self.duplicate += other.duplicate;
    }

    /// Rows that stood in the table and do so no more, or not as they were.
    pub fn replaced(&self) -> u64 {
        self.updated + self.deleted_by_mark + self.deleted_missing
    }

    /// Whether any row of the table changed.
    pub fn changed(&self) -> bool {
        self.inserted + self.updated + self.deleted_by_mark + self.deleted_missing > 0
    }
}

/// What a test found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TestOutcome {
    /// Its name.
    pub test: String,
    /// The table it is about, if it is about one.
    pub table: Option<String>,
    /// `error` or `warn`.
    pub severity: String,
    /// How it ended.
    pub state: TestState,
    /// Rows that failed.
    pub failures: u64,
    /// `changes` or `everything`: which rows were looked at.
    pub scope: String,
    /// The first failing rows, each as a list of (column, value as text).
    pub first_failures: Vec<Vec<(String, Option<String>)>>,
    /// What is wrong, in words.
    pub message: Option<String>,
    /// Time taken.
    pub seconds: f64,
}

/// How a test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TestState {
    /// The condition holds.
    Pass,
    /// It does not, and that is only a warning.
    Warn,
    /// It does not.
    Fail,
}

/// A stream that could not be read.
#[derive(Debug, Clone, Serialize)]
pub struct FailedStream {
    /// `source.stream`
    pub stream: String,
    /// Its store table.
    pub table: String,
    /// Why, and what to do.
    pub message: String,
}

/// A table whose inputs are ahead of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StaleTable {
    /// The table.
    pub table: String,
    /// Why, in words.
    pub reason: String,
}

/// A note of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OutcomeNote {
    /// What it is about.
    pub about: String,
    /// It deserves attention.
    pub warning: bool,
    /// One sentence.
    pub message: String,
}

impl OutcomeNote {
    /// What a source said about something.
    pub fn of_source(about: &str, note: &Note) -> Self {
        Self { about: about.to_owned(), warning: note.level == NoteLevel::Warning, message: note.message.clone() }
    }
}

/// A report's answer.
#[derive(Debug, Clone, Serialize)]
pub struct ReportAnswer {
    /// Name of the report.
    pub report: String,
    /// Title, for people.
    pub title: String,
    /// The run it shows.
    pub run: i64,
    /// The answer, as texts, cut to the report's limit.
    pub table: TextTable,
    /// Rows of the whole answer.
    pub rows: u64,
    /// Files written, relative to the project folder.
    pub files: Vec<String>,
}

/// A report that could not be answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailedReport {
    /// Name of the report.
    pub report: String,
    /// Why, and what to do.
    pub message: String,
}

/// Rows as texts, for people.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TextTable {
    /// Column names.
    pub columns: Vec<String>,
    /// Which columns hold numbers, to be set flush right.
    pub numeric: Vec<bool>,
    /// The rows; `None` is NULL.
    pub rows: Vec<Vec<Option<String>>>,
}
