//! The manifest of an extract: what lies beside it, and what it says.

use serde::{Deserialize, Serialize};

use crate::{Column, Extract};

/// Version of the manifest's format. A manifest with a greater number is refused.
pub const FORMAT_VERSION: u32 = 1;

/// What one extract left in the landing. Written last: where it stands, everything it names stands too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT_VERSION`] of the writer.
    pub format_version: u32,
    /// The target it was extracted for.
    pub target: String,
    /// The source.
    pub source: String,
    /// The stream.
    pub stream: String,
    /// The run.
    pub run: i64,
    /// Epoch of the lease under which it was extracted.
    pub epoch: i64,
    /// Fingerprint of the stream's definition at that time; an extract under another definition is not to be used.
    pub fingerprint: String,
    /// Counts up each time the extract is rewritten (erasure, retention); 1 is the extract as it was made.
    pub generation: u32,
    /// When it was finished, UTC, ISO 8601.
    pub created_at: String,
    /// The columns of all parts together ([`crate::landing::unify`]).
    pub columns: Vec<Column>,
    /// The Parquet files with the rows.
    pub parts: Vec<PartFile>,
    /// The Parquet files with keys that were compared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<PartFile>,
    /// The Parquet file with the rejects, if there are any.
    pub rejects: Option<RejectsFile>,
    /// What the source answered.
    pub extract: Extract,
}

impl Manifest {
    /// Rows in all parts together.
    pub fn rows(&self) -> u64 {
        self.parts.iter().map(|part| part.rows).sum()
    }
}

/// One Parquet file with rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartFile {
    /// Name, in the folder of the run.
    pub file: String,
    /// Rows in it.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// BLAKE3 of its content, hex.
    pub hash: String,
    /// Its columns, `_file` and `_record` aside.
    pub columns: Vec<Column>,
}

/// The Parquet file with rejects: `_file` int32, `_record` int64, `byte_offset` int64, `reason` text, `raw` text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectsFile {
    /// Name, in the folder of the run.
    pub file: String,
    /// Rejects in it.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// BLAKE3 of its content, hex.
    pub hash: String,
}
