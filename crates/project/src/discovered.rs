//! What a database says of its tables.
//!
//! Kept beside the project when a database was asked, so that wildcards, keys and columns are known without it.

use std::fmt;

use crate::ColumnType;
use serde::{Deserialize, Serialize};

/// Name of a table at the source, as the database writes it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TableRef {
    /// The schema (Postgres) or database (MySQL).
    pub schema: String,
    /// The table, view or foreign table.
    pub name: String,
}

impl TableRef {
    /// A name of two parts.
    pub fn new(schema: impl Into<String>, name: impl Into<String>) -> Self {
        Self { schema: schema.into(), name: name.into() }
    }
}

impl fmt::Display for TableRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// A table as the database describes it. Kept in a cache as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Its name.
    pub table: TableRef,
    /// What it is.
    pub kind: TableKind,
    /// Its columns, in the order of the table. Columns that were dropped, and hidden ones, are not among them; generated ones are.
    pub columns: Vec<SourceColumn>,
    /// Columns of the primary key, in the key's order; empty when there is none.
    pub primary_key: Vec<String>,
    /// Other unique keys over columns that are all `NOT NULL`, in the key's order. Partial indexes, indexes over expressions or over
    /// prefixes of columns are not among them.
    pub unique_keys: Vec<Vec<String>>,
    /// Leading columns of every index, the primary key's too: a filter on one of them is cheap.
    pub indexed_columns: Vec<String>,
    /// The engine's own guess of the number of rows; `None` where it has none (views).
    pub estimated_rows: Option<u64>,
    /// The engine's own guess of the bytes of its rows.
    pub estimated_bytes: Option<u64>,
}

impl Table {
    /// The column of this name at the source.
    pub fn column(&self, name: &str) -> Option<&SourceColumn> {
        self.columns.iter().find(|column| column.name == name)
    }
}

/// Kinds of tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TableKind {
    /// An ordinary or partitioned table.
    Table,
    /// A view or materialized view.
    View,
    /// A table whose rows lie elsewhere.
    Foreign,
}

/// A column as the database describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceColumn {
    /// Its name, as the database writes it.
    pub name: String,
    /// Its type, as the engine writes it in a definition, domains resolved to what they are made of: `bigint(20) unsigned`,
    /// `varchar(20) character set latin1`, `numeric(12,2)[]`. A driver decodes by this text and `column_type` alone.
    pub engine_type: String,
    /// The type its values are read as: the natural one, or the one a stream asks for.
    #[serde(rename = "type")]
    pub column_type: ColumnType,
    /// Whether it may hold NULL, as far as the engine knows.
    pub nullable: bool,
    /// What people wrote about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}
