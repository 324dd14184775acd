//! The facts about one query. Every span is a byte range of the query's text.

use std::ops::Range;

/// What a query reads and uses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Query {
    /// The query itself, without comments around it and without a final semicolon.
    pub body: Range<usize>,
    /// Every place where a table is named, in order of the text. CTEs and table functions are not tables.
    pub tables: Vec<TableReference>,
    /// Table functions and files read by path, in order of the text.
    pub functions: Vec<TableFunction>,
    /// Columns and stars that name the table with its schema (`store.orders.x`, `store.orders.*`), in order of the text.
    pub schema_references: Vec<SchemaReference>,
    /// Names of all CTEs, as written.
    pub ctes: Vec<String>,
    /// Where the time of the run is read: `now()`, `current_date`.
    pub clock: Vec<Range<usize>>,
    /// What gives another answer each time: `random()`, `uuid()`, a sample.
    pub volatile: Vec<Range<usize>>,
    /// Whether the rows of the answer come in an order that the query asks for.
    pub ordered: bool,
}

/// One place where a table is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableReference {
    /// The parts of the name, without quotes: `["store", "orders"]`. At least one.
    pub name: Vec<String>,
    /// The name in the text, without alias.
    pub span: Range<usize>,
    /// The alias, without quotes.
    pub alias: Option<String>,
    /// Number of the `SELECT` whose `FROM` holds it; equal numbers stand beside each other.
    pub select: usize,
}

impl TableReference {
    /// The name by which columns refer to the table: the alias, or the last part of its name.
    pub fn own_name(&self) -> &str {
        self.alias.as_deref().or(self.name.last().map(String::as_str)).unwrap_or_default()
    }
}

/// A column or star qualified by schema and table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaReference {
    /// `store.orders` of `store.orders.x`.
    pub span: Range<usize>,
    /// Index of the table in [`Query::tables`].
    pub table: usize,
}

/// A function in the place of a table, or a file named by its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableFunction {
    /// Name of the function in lower case, or the path.
    pub name: String,
    /// The name in the text.
    pub span: Range<usize>,
    /// What it reads.
    pub reads: Reads,
}

/// What a table function reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// Its arguments only: `range(10)`, `unnest(list)`.
    Arguments,
    /// Files or addresses: `read_csv(...)`, `from 'x.csv'`.
    Files,
    /// Tables it names in a text: `query_table('x')`.
    HiddenTables,
}

/// A text that is not one query, or that the parser does not understand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SqlError {
    /// One sentence without a final stop.
    pub message: String,
    /// The place in the text; empty at its end.
    pub span: Range<usize>,
}

impl SqlError {
    pub(crate) fn new(message: impl Into<String>, span: Range<usize>) -> Self {
        Self { message: message.into(), span }
    }
}
