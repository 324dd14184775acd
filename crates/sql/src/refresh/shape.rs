//! What is known of a model before any data is looked at, and the statements of one refresh.

use std::collections::BTreeMap;

use super::relation::{InputTables, Obstacle};
use crate::dialect::Dialect;

/// A change of a table: two bags of rows. Several runs that have not been consumed are simply put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedInput {
    /// The rows that were and are no more: a quoted relation with at least the declared columns.
    pub before: String,
    /// The rows that were not and are now: a quoted relation with at least the declared columns.
    pub after: String,
}

/// The tables of one refresh, by the parts of their names as the model's text writes them. All of one snapshot.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    /// Each table as it is now: a quoted relation with at least the declared columns. A table that is left out is read by the name
    /// the text gives it.
    pub current: BTreeMap<Vec<String>, String>,
    /// The tables that changed since the model consumed them. The others did not.
    pub changed: BTreeMap<Vec<String>, ChangedInput>,
}

/// A temporary table to make: `create temporary table {creates} as {select}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Its name, quoted.
    pub creates: String,
    /// Its rows.
    pub select: String,
}

/// How the keys that a change can touch are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Discovery {
    /// No row can differ.
    Nothing,
    /// Statements in order. The last makes the table of affected keys: [`Shape::key_columns`] in their order and under their names,
    /// each combination once.
    Keys(Vec<Statement>),
    /// Every row may differ.
    Everything(Obstacle),
}

/// The new rows of the affected keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fresh {
    /// Temporary tables to make first, in order.
    pub before: Vec<Statement>,
    /// The model's own text, restricted: its columns in order and under their names, and exactly the rows whose K is affected.
    pub select: String,
    /// Each place where the text names a table, and what was done there.
    pub restrictions: Vec<Restriction>,
}

/// What was done at one place where the text names a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restriction {
    /// Parts of the table's name.
    pub table: Vec<String>,
    /// By which columns its rows are chosen: one list for each use of the place, and of each list one entry for each choice that
    /// must hold. Empty when all rows are read.
    pub uses: Vec<Vec<Vec<String>>>,
    /// Why all rows are read; `None` when they are not.
    pub whole: Option<String>,
}

/// A model as refresh sees it.
#[derive(Debug, Clone)]
pub struct Shape {
    key_columns: Vec<String>,
    key_reason: String,
}

impl Shape {
    /// Reads a model's text, in which views and ephemeral models already stand in the places of their names.
    ///
    /// `declared_key` is the model's primary key as declared, empty without.
    pub fn read(
        sql: &str,
        dialect: &dyn Dialect,
        inputs: &dyn InputTables,
        declared_key: &[String],
    ) -> Result<Self, Obstacle> {
        let _ = (dialect, inputs, declared_key);
        Err(Obstacle { reason: "incremental refresh is not built yet".to_owned(), span: 0..sql.len(), instead: None })
    }

    /// The columns of the model by which its rows are replaced: K. They may repeat and hold NULL.
    pub fn key_columns(&self) -> &[String] {
        &self.key_columns
    }

    /// Why these: `the columns it groups by`.
    pub fn key_reason(&self) -> &str {
        &self.key_reason
    }

    /// The statements that find the keys a change can touch. `prefix` begins the names of all temporary tables; it must be one that
    /// no query uses.
    pub fn discover(&self, dialect: &dyn Dialect, inputs: &Inputs, prefix: &str) -> Discovery {
        let _ = (dialect, inputs, prefix);
        Discovery::Nothing
    }

    /// The model's rows of the affected keys.
    ///
    /// `affected` is the table that the last statement of discovery made; `nulls` says for each column of K whether it holds a NULL
    /// there.
    pub fn restrict(
        &self,
        dialect: &dyn Dialect,
        inputs: &Inputs,
        prefix: &str,
        affected: &str,
        nulls: &[bool],
    ) -> Fresh {
        let _ = (dialect, inputs, prefix, affected, nulls);
        Fresh { before: Vec::new(), select: String::new(), restrictions: Vec::new() }
    }

    /// For each table the model reads, how a change of it finds its keys: a line for a person.
    pub fn explain(&self) -> Vec<String> {
        Vec::new()
    }
}
