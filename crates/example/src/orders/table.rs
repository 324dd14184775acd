//! A table of the imagined shop system.

use jiff::civil::DateTime;

/// A table and all its rows, deleted ones included.
#[derive(Debug)]
pub(crate) struct Table {
    /// Name of the table and of the stream it is delivered to.
    pub name: &'static str,
    /// Its columns, without the three that every table has.
    pub columns: &'static [&'static str],
    /// The rows, oldest first.
    pub rows: Vec<Row>,
}

/// A row, with what is delivered beside its values.
#[derive(Debug)]
pub(crate) struct Row {
    /// One text for each column; empty is NULL.
    pub values: Vec<String>,
    pub created: DateTime,
    pub updated: DateTime,
    pub deleted: bool,
    /// The delivery that made it.
    pub made_by: u32,
    /// The delivery that touched it last.
    pub touched_by: u32,
}

impl Table {
    pub fn new(name: &'static str, columns: &'static [&'static str]) -> Self {
        Self { name, columns, rows: Vec::new() }
    }

    /// Adds a row.
    pub fn insert(&mut self, number: u32, at: DateTime, values: Vec<String>) {
        debug_assert_eq!(values.len(), self.columns.len(), "{}", self.name);
        self.rows.push(Row { values, created: at, updated: at, deleted: false, made_by: number, touched_by: number });
    }

    /// Gives a column of a row another value.
    pub fn update(&mut self, number: u32, at: DateTime, row: usize, column: usize, value: String) {
        let row = &mut self.rows[row];
        row.values[column] = value;
        row.updated = at;
        row.touched_by = number;
    }

    /// Marks a row as deleted.
    pub fn delete(&mut self, number: u32, at: DateTime, row: usize) {
        let row = &mut self.rows[row];
        row.deleted = true;
        row.updated = at;
        row.touched_by = number;
    }
}
