//! Places data comes from, one folder each, and the landing that keeps what was extracted.
//!
//! [`Source`] is the contract every source keeps; its doc comments say what the run relies on. A source never sees a warehouse:
//! it is handed the positions that were published last and answers with Parquet files in [`landing`] and new positions.

#![forbid(unsafe_code)]

pub mod contract;
pub mod database;
pub mod files;
pub mod landing;
pub mod mysql;
pub mod postgres;
pub mod values;

pub use contract::*;
pub use files::FilesSource;
