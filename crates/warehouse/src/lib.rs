//! Places data goes to, one folder each, and the ledger that every one of them keeps.
//!
//! [`Warehouse`] is the contract. It is thin on purpose: a warehouse opens connections, runs statements, stages Parquet files and
//! says what it can do. Which statements are run is decided above, in the dialect of `thalweg_sql`.

#![forbid(unsafe_code)]

pub mod contract;
mod duckdb;
mod grants;
pub mod ledger;
mod postgres;
pub mod registry;

pub use contract::*;
pub use grants::grants;
pub use ledger::Ledger;
pub use registry::{open, open_with_folders, scratch};
