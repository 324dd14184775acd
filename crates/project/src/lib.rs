//! What the user wrote: names, types and files, read into one validated [`Project`].
//!
//! This crate does no IO. It is handed the text of every file of a project folder and the environment, and answers with the
//! project as far as it could be understood and *every* mistake it found, as values ([`Diagnostic`]) that somebody else draws.

#![forbid(unsafe_code)]

pub mod column_type;
pub mod diagnostic;
pub mod name;
pub mod project;
pub mod secret;

pub use column_type::ColumnType;
pub use diagnostic::{Diagnostic, Location, Severity};
pub use name::TableName;
pub use project::*;
pub use secret::Secret;
