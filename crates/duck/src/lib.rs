//! The embedded engine: DuckDB behind a small door. The only crate that names `duckdb`.
//!
//! * [`Engine`] is one open database; there is at most one per file in a process, shared by everybody who opens it.
//! * [`Connection`] runs one statement at a time, values bound, answers as Arrow.
//! * [`EngineError`] says what kind of trouble it was, without DuckDB's noise.
//!
//! What is deliberately absent: extensions (never installed or loaded), access to files outside of the folders named in
//! [`Settings`], and more than one statement in one text.

mod cast;
mod connection;
mod engine;
mod error;
mod function;
mod statement;
mod value;

pub use connection::{Answer, Column, Connection, Interrupter};
pub use engine::{Access, Engine, Files, Settings};
pub use error::{EngineError, ErrorKind};
pub use value::Value;

/// What everything in the process allocates with, the engine included. For each statement the engine takes many small pieces from several
/// threads and gives them back: of a refresh of few rows the C library's allocator is a tenth to a fifth.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
