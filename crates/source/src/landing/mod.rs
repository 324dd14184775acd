//! What was extracted, kept as Parquet: one folder per target, source, stream and run.
//!
//! ```text
//! <root>/<target>/<source>/<stream>/run=<n>/part-00000.parquet …, rejects.parquet, manifest.json
//! ```
//!
//! The manifest is written last and atomically: an extract without one is unfinished and is thrown away by the next
//! [`RunLanding::begin`].

mod arrow_schema;
mod error;
mod folder;
mod manifest;
mod part;
mod rejects;
mod sweep;
mod unify;
mod units;

pub use arrow_schema::{arrow_schema, arrow_type};
pub use folder::{Landing, RunLanding, StreamLanding};
pub use manifest::{FORMAT_VERSION, Manifest, PartFile, RejectsFile};
pub use rejects::read_rejects;
pub use sweep::FailedRun;
pub use unify::{unify, widest};
