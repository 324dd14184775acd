//! Databases as sources: everything that is the same for every engine.
//!
//! A driver ([`Engine`], in a folder of its own such as `source/src/postgres/`) connects, describes tables, opens one consistent
//! snapshot for several connections and decodes rows into Arrow. What is read, in which order, how far a position may move and
//! which rows are gone is decided here, once. SQL for reads is built here over the driver's [`Dialect`].
//!
//! Folders of drivers hold the same files: `mod.rs` (the [`Engine`]), `connection.rs`, `snapshot.rs`, `discover.rs`,
//! `column_types.rs` (the documented table of types), `decode.rs`, `dialect.rs`. Encryption is the same for all: `thalweg_postgres::tls`.
//!
//! # Types
//!
//! Every type of an engine has one natural [`ColumnType`](thalweg_project::ColumnType), and may be read as `text` instead, where a
//! stream's `columns:` say so. The rules that hold for all engines:
//!
//! | at the source | in the store |
//! |---|---|
//! | integers | the narrowest of `smallint`, `integer`, `bigint` that holds the whole range; unsigned 64 bits: `decimal(20,0)` |
//! | exact numbers up to 38 digits | `decimal(p,s)` |
//! | exact numbers beyond, or without a bound | `text`: plain digits (`-12.50`), `NaN`, `Infinity`, as written by the engine |
//! | floating point | `real`, `double`; NaN and infinities are values |
//! | dates, timestamps | `date`, `timestamp`; with a time zone: converted to UTC; without: as they are. Years before 1 are kept. `infinity` and zero dates do not fit |
//! | time of day | `time`; with an offset, an interval, or a length of time: `text` |
//! | `TIME` of MySQL | `time`; below zero or from 24 hours on does not fit |
//! | texts of any character set, enumerations, sets, addresses, ranges, uuid, xml | `text`, UTF-8; uuid in lower case with hyphens |
//! | json, composites, hstore | `json` |
//! | bytes, geometries (EWKB) | `blob` |
//! | arrays | `list(type)`; a value with several dimensions, or other bounds than 1, does not fit |
//!
//! A value that does not fit is a [`Misfit`]: never a crash, never a wrong value. The stream's `on_unrepresentable` decides whether
//! its row is rejected or the value is left out.

pub(crate) mod checksum;
mod columns;
mod compare;
mod cursor;
mod dialect;
mod due;
mod engine;
mod extract;
mod keys;
mod pool;
mod position;
mod ranges;
mod reading;
mod registry;
mod remarks;
mod rows;
mod source;
mod statement;
mod summary;

pub use dialect::{Dialect, Value};
pub use due::due;
pub use engine::{Connection, DecodedRows, Engine, Misfit, OpenSnapshot, Read, Safety, Server};
pub use registry::engine;
pub use remarks::remarks;
pub use source::DatabaseSource;
pub use summary::{Boundaries, Bucket, Counted, Sampler, Summary};
pub use thalweg_project::{SourceColumn, Table, TableKind, TableRef};
