//! What the user wrote: names, types and files, read into one validated [`Project`].
//!
//! This crate does no IO. It is handed the text of every file of a project folder and the environment, and answers with the
//! project as far as it could be understood and *every* mistake it found, as values ([`Diagnostic`]) that somebody else draws.
//!
//! The way of a file: its text becomes a tree with places, variables are filled in, the tree is checked against the JSON
//! schema of its form, the form is deserialised, and the reader turns forms into the types of [`project`].

#![forbid(unsafe_code)]

mod catalog;
mod column_choice;
pub mod column_name;
pub mod column_type;
mod database;
pub mod diagnostic;
mod discovered;
mod duration;
mod env_file;
mod fingerprint;
mod forms;
pub mod input;
pub mod name;
pub mod partitioning;
pub mod project;
mod read;
mod schema;
pub mod secret;
pub mod selection;
mod template;
mod variables;
mod yaml;

pub use column_choice::is_selected;
pub use column_type::ColumnType;
pub use database::{
    DatabaseKind, DatabaseOptions, DatabaseSettings, Deletes, OnUnrepresentable, Reconcile, ReconcileWhat, SslMode,
};
pub use diagnostic::{Diagnostic, Location, Severity};
pub use discovered::{SourceColumn, Table, TableKind, TableRef};
pub use forms::json_schemas;
pub use input::{InputFile, ProjectInput};
pub use name::TableName;
pub use partitioning::{Age, CalendarUnit, Partitioning};
pub use project::*;
pub use read::read;
pub use secret::Secret;
pub use selection::{NodeKind, SelectableNode, Selection, SelectionError};
pub use template::locate;
