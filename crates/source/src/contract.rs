//! What a source is asked, and what it answers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::record_batch::RecordBatch;
use serde::{Deserialize, Serialize};
use thalweg_project::{ColumnType, Stream};

use crate::database::Summary;

/// Landing column: index of the file in [`Extract::files`], `INT32`, never NULL.
pub const FILE_COLUMN: &str = "_file";
/// Landing column: place of the record in its file, `INT64`, never NULL, unique per file. The line a record starts on where the
/// format has lines (1 is the first), otherwise the ordinal of the record (1 is the first).
pub const RECORD_COLUMN: &str = "_record";

/// Landing column: whether the row is one the stream wants (its `where`), `BOOLEAN`. Only in parts whose rows were read because they changed;
/// a row for which it is false is deleted from the store.
pub const MATCHES_COLUMN: &str = "_matches";

/// How far a stream was read: a set of entries, each replaced as a whole.
///
/// A database cursor is one entry; a folder has one entry per file. The keys are the source's own.
pub type Position = BTreeMap<String, serde_json::Value>;
/// Entries to replace (`Some`) or forget (`None`) once the rows they describe are published.
pub type PositionChange = BTreeMap<String, Option<serde_json::Value>>;

/// A place data comes from.
///
/// * **Order.** `open`, then `extract` once per stream (possibly from several threads), then, only after the warehouse has committed
///   the rows, `confirm`. A run that dies between commit and `confirm` calls `confirm` again with the same arguments.
/// * **At least once.** The same record may be extracted again by a later run; the merge makes that harmless. Never may a record
///   be skipped: a position returned by `extract` covers exactly what was handed to the sink or counted as rejected.
/// * **Nothing is changed at the source** before `confirm`.
pub trait Source: Send + Sync {
    /// What this source can do.
    fn capabilities(&self) -> Capabilities;

    /// Reaches the source and says in one line what was found (`conns test`).
    fn check(&self) -> Result<String, SourceError>;

    /// Opens a group of streams in one consistent snapshot, as far as the source has such a thing.
    fn open<'a>(
        &'a self,
        requests: &'a [StreamRequest<'a>],
        context: &'a Context,
    ) -> Result<Box<dyn Snapshot + 'a>, SourceError>;

    /// Told after the rows were published: moves or deletes files, moves a log position. Must be repeatable. The notes say what
    /// was done and what could not be done; a problem here never undoes a published run.
    fn confirm(&self, stream: &Stream, confirmations: &[serde_json::Value]) -> Result<Confirmed, SourceError>;

    /// Reads rejected raw records again, under the stream's present definition, each keeping its place of origin: its index into
    /// `files`, which are [`Extract::files`] of the extract that rejected it (names and layouts are enough), and its record
    /// number. The answer has the same `files` in the same order, and no position.
    fn replay(
        &self,
        request: &StreamRequest<'_>,
        files: &[ExtractFile],
        records: &[RejectedRecord],
        context: &Context,
        sink: &dyn Sink,
    ) -> Result<Extract, SourceError>;
}

/// What became of telling a source that rows were published.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Confirmed {
    /// What was done and what could not be done.
    pub notes: Vec<Note>,
    /// Something could not be done, so that all of it is to be told again: what was done already does no harm.
    pub again: bool,
}

/// A group of streams, opened.
pub trait Snapshot: Sync {
    /// Hands everything that is new in one stream (index into the requests) to the sink.
    fn extract(&self, stream: usize, sink: &dyn Sink) -> Result<Extract, SourceError>;
}

/// What a source can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Streams have a cursor by which changed rows are found.
    pub cursor: bool,
    /// All streams of a group are read in one snapshot.
    pub snapshot: bool,
    /// Changes, deletes included, are read from a log.
    pub log: bool,
    /// The keys of a stream can be listed without its rows.
    pub key_listing: bool,
}

/// One stream as a run wants it read.
#[derive(Debug, Clone)]
pub struct StreamRequest<'a> {
    /// Its definition.
    pub stream: &'a Stream,
    /// The position published last; empty before the first load.
    pub position: Position,
    /// The columns the store table has now, bookkeeping columns aside; empty before the first load.
    pub known_columns: Vec<Column>,
    /// What is wanted of it.
    pub wanted: Wanted,
    /// What is compared with the source whatever the position says, if that is due.
    pub comparison: Option<Arc<Comparison>>,
    /// Whether a person agreed to delete more than the stream allows ([`Extract::deletes_confirmed`]).
    pub confirm_deletes: bool,
}

impl<'a> StreamRequest<'a> {
    /// A stream of which what is new since a position is wanted.
    pub fn changes(stream: &'a Stream, position: Position, known_columns: Vec<Column>) -> Self {
        let (wanted, comparison) = (Wanted::Changes, None);
        Self { stream, position, known_columns, wanted, comparison, confirm_deletes: false }
    }
}

/// A comparison of source and store, with what the store holds: nobody changes it until the extract is published.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// What for.
    pub purpose: Purpose,
    /// The keys of the store.
    pub keys: Summary,
    /// Its rows, where they are compared.
    pub rows: Option<Summary>,
}

/// What source and store are compared for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// To find rows that are gone.
    Deletes,
    /// To find rows that are gone, and rows that the store lacks.
    ReconcileKeys,
    /// To find those, and rows whose values differ.
    ReconcileRows,
}

/// What a run wants of a stream. Files know only changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// What is new since the position.
    Changes,
    /// Everything, and it is the whole truth.
    Everything,
    /// What has this value of the cursor or a greater one, the position notwithstanding, and what is new.
    From(String),
}

/// A column of an extract or a store table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Name in the store: `snake_case`.
    pub name: String,
    /// Name at the source: the header of a CSV file. Equal to `name` where the source has no other.
    pub source_name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub column_type: ColumnType,
    /// No value was seen yet: the type is a placeholder (`text`) that gives way to any other. A store column that holds no value
    /// may take another type without loss.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub undecided: bool,
}

impl Column {
    /// A column whose type is known.
    pub fn new(name: impl Into<String>, source_name: impl Into<String>, column_type: ColumnType) -> Self {
        Self { name: name.into(), source_name: source_name.into(), column_type, undecided: false }
    }
}

/// What extraction may use of the run around it.
#[derive(Debug)]
pub struct Context {
    /// The project's folder; relative paths of sources start here.
    pub project_folder: std::path::PathBuf,
    /// Name of the target, for files that act for one target only.
    pub target: String,
    /// Threads the source may use at the same time.
    pub threads: usize,
    /// Set when the run is asked to stop: long loops look at it and return [`SourceErrorKind::Cancelled`].
    pub cancelled: Arc<AtomicBool>,
}

impl Context {
    /// An error when the run was asked to stop.
    pub fn check_cancelled(&self) -> Result<(), SourceError> {
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(SourceError::new(SourceErrorKind::Cancelled, "the run was asked to stop"));
        }
        Ok(())
    }
}

/// Where extracted records go. Implemented by [`crate::landing`].
pub trait Sink: Sync {
    /// Opens a part: one Parquet file. Parts of one stream may be open at the same time in several threads and may have different
    /// columns; the columns of the stream are the union, each with the widest of its types ([`crate::landing::unify`]).
    fn part(&self, columns: &[Column]) -> Result<Box<dyn Part + '_>, SourceError>;

    /// Opens a part for keys: the key columns of rows that are there, which are compared and not loaded. Written as the others.
    fn keys(&self, columns: &[Column]) -> Result<Box<dyn Part + '_>, SourceError>;

    /// Makes a plan of units that are read each for itself known, before the first of them is read. An interrupted extract of the same
    /// stream, under the same definition and from the same position, may have left a plan and finished units: then they are the answer, and
    /// the plan that was handed in is not kept. A sink that keeps nothing has none.
    fn plan_units(&self, _plan: &serde_json::Value) -> Result<Option<UnfinishedExtract>, SourceError> {
        Ok(None)
    }

    /// Opens a part that belongs to a unit of the plan.
    fn unit_part(&self, _unit: usize, columns: &[Column]) -> Result<Box<dyn Part + '_>, SourceError> {
        self.part(columns)
    }

    /// Says that a unit is finished; its parts are. `outcome` is handed back by [`Sink::plan_units`] after an interruption; without one
    /// the unit would then be read again.
    fn finish_unit(&self, _unit: usize, _outcome: Option<&serde_json::Value>) -> Result<(), SourceError> {
        Ok(())
    }

    /// Gives up what an interrupted extract left.
    fn forget_units(&self) -> Result<(), SourceError> {
        Ok(())
    }

    /// Keeps records that could not be read.
    fn reject(&self, rejects: &[RejectedRecord]) -> Result<(), SourceError>;

    /// Tells how many more records were read, for progress.
    fn progress(&self, records: u64);
}

/// What an interrupted extract left.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UnfinishedExtract {
    /// Its plan.
    pub plan: serde_json::Value,
    /// The units it finished, with their outcomes.
    pub finished: BTreeMap<usize, serde_json::Value>,
}

/// One Parquet file being written.
pub trait Part: Send {
    /// Appends a batch: the columns of the part, in order, then [`FILE_COLUMN`] and [`RECORD_COLUMN`].
    fn write(&mut self, batch: &RecordBatch) -> Result<(), SourceError>;

    /// Closes the file and makes it part of the extract. A part that is dropped without this is not.
    fn finish(self: Box<Self>) -> Result<(), SourceError>;
}

/// A record that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectedRecord {
    /// Index into [`Extract::files`].
    pub file: i32,
    /// As [`RECORD_COLUMN`].
    pub record: i64,
    /// Where the record starts in its (uncompressed) file, if the format has such a place.
    pub byte_offset: Option<i64>,
    /// Why, in words: `column amount: "12,5" is not a decimal(10,2)`.
    pub reason: String,
    /// The record as it was. Bytes that are no UTF-8 are written `\xNN`.
    pub raw: String,
}

/// What was extracted of one stream. All counts are of this extract alone.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Extract {
    /// The files (or other units) the records came from.
    pub files: Vec<ExtractFile>,
    /// Records read: those handed to the sink, and those rejected.
    pub read: u64,
    /// Records rejected while reading.
    pub rejected: u64,
    /// The position reached.
    pub position: PositionChange,
    /// What `confirm` will be told.
    pub confirmations: Vec<serde_json::Value>,
    /// What a person should know: columns that came or went, files left for later.
    pub notes: Vec<Note>,
    /// Files that could not be read at all. Nothing of them landed, they stay where they are and are tried again by the next run.
    /// The rest of the extract is good and is published, but the run has failed in part (exit code 1).
    #[serde(default)]
    pub failed: Vec<FailedFile>,
    /// Whether this extract is the whole truth: rows that are not in it are deleted. With `write_disposition: replace`, `false` means
    /// there was nothing new to read.
    pub complete: bool,
    /// The keys that the source has, if they were listed: rows of the store with other keys are deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<KeyListing>,
    /// A person agreed to delete however many rows are gone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deletes_confirmed: bool,
}

/// Keys of a stream as they were listed; they lie in parts of their own ([`Sink::keys`]).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeyListing {
    /// Ranges of the first key column whose keys were listed; the others are as they were. Empty: all keys.
    pub ranges: Vec<KeyRange>,
}

/// A range of the first key column. Values are as text in the column's type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRange {
    /// From this value on; from the smallest, and NULL, without it.
    pub from: Option<String>,
    /// Up to but not including this value; to the greatest without it.
    pub to: Option<String>,
    /// Only strips of it, where the column is a whole number; all of it without them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strips: Option<Strips>,
}

/// A range divided into strips of one width, the last of which may be narrower.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Strips {
    /// How many values lie in a strip.
    pub width: i64,
    /// A `1` for each that is meant and a `0` for each other, from the beginning of the range on.
    pub listed: String,
}

impl Extract {
    /// Whether there is anything to publish: rows, rejects, a moved position.
    pub fn is_empty(&self) -> bool {
        self.read == 0 && self.position.is_empty() && !self.complete && self.keys.is_none()
    }
}

/// One file (or other unit) of an extract.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtractFile {
    /// Its name, relative to the source.
    pub name: String,
    /// Hash of its content (BLAKE3, hex), where the unit has one.
    pub hash: Option<String>,
    /// Its size as delivered.
    pub bytes: u64,
    /// Records read from it.
    pub read: u64,
    /// Of these, rejected.
    pub rejected: u64,
    /// What the source needs to read a single record of this file again ([`Source::replay`]); its own business.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<serde_json::Value>,
}

/// A file that could not be read at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedFile {
    /// Its name, relative to the source.
    pub name: String,
    /// What is wrong with it and what to do.
    pub message: String,
}

/// Something a person should know that is no error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Whether it deserves attention.
    pub level: NoteLevel,
    /// One sentence.
    pub message: String,
}

/// Whether a note deserves attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoteLevel {
    /// Nice to know.
    Info,
    /// Somebody should look.
    Warning,
}

impl Note {
    /// Nice to know.
    pub fn info(message: impl Into<String>) -> Self {
        Self { level: NoteLevel::Info, message: message.into() }
    }

    /// Somebody should look.
    pub fn warning(message: impl Into<String>) -> Self {
        Self { level: NoteLevel::Warning, message: message.into() }
    }
}

/// Something went wrong at a source: what failed, on which object, what to do.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct SourceError {
    /// What kind of trouble, which decides whether the run tries again.
    pub kind: SourceErrorKind,
    /// What failed, on which object, and what to do.
    pub message: String,
}

impl SourceError {
    /// An error of a kind.
    pub fn new(kind: SourceErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

/// Kinds of trouble at a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceErrorKind {
    /// Not there just now: may be tried again (a lost connection, a file being written).
    Unavailable,
    /// A person must change something (no permission, no such folder).
    Denied,
    /// The data is not as it must be (a cut file, a frozen schema).
    Data,
    /// More records were rejected than the stream allows, which stops the run.
    TooManyRejects,
    /// The landing could not be written (disk full).
    Landing,
    /// The run was asked to stop.
    Cancelled,
}
