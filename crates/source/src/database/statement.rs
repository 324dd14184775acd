//! The statements that read tables.

use thalweg_project::{SourceColumn, Table, TableRef};

use super::Dialect;
use super::cursor::CursorKind;

/// A `SELECT` in the making.
pub struct Statement<'a> {
    dialect: &'a dyn Dialect,
    table: &'a TableRef,
    expressions: Vec<String>,
    columns: Vec<SourceColumn>,
    conditions: Vec<String>,
}

impl<'a> Statement<'a> {
    /// Nothing of a table yet.
    pub fn new(dialect: &'a dyn Dialect, table: &'a Table) -> Self {
        Self { dialect, table: &table.table, expressions: Vec::new(), columns: Vec::new(), conditions: Vec::new() }
    }

    /// Selects a column.
    pub fn column(&mut self, column: &SourceColumn) {
        self.expressions.push(self.dialect.select(column, ""));
        self.columns.push(column.clone());
    }

    /// Selects whether a condition holds.
    pub fn flag(&mut self, condition: &str, name: &str) {
        let (expression, column) = self.dialect.flag(condition, name);
        self.expressions.push(expression);
        self.columns.push(column);
    }

    /// Selects a number of 64 bits.
    pub fn number(&mut self, expression: &str, name: &str) {
        let (expression, column) = self.dialect.bigint(expression, name);
        self.expressions.push(expression);
        self.columns.push(column);
    }

    /// Only rows that satisfy a condition.
    pub fn only(&mut self, condition: impl Into<String>) {
        self.conditions.push(condition.into());
    }

    /// Only rows that count for a comparison with the store.
    pub fn only_all(&mut self, conditions: &[String]) {
        self.conditions.extend_from_slice(conditions);
    }

    /// What the select list holds.
    pub fn columns(&self) -> &[SourceColumn] {
        &self.columns
    }

    /// The text, with one more condition where there is one.
    pub fn sql(&self, more: Option<&str>) -> String {
        self.selecting(&self.expressions, more)
    }

    /// The text with another select list, which is not decoded.
    pub fn aggregate(&self, expressions: &[String]) -> String {
        self.selecting(expressions, None)
    }

    fn selecting(&self, expressions: &[String], more: Option<&str>) -> String {
        let mut sql = format!("select {} from {}", expressions.join(", "), self.dialect.table(self.table));
        let conditions =
            self.conditions.iter().map(String::as_str).chain(more).map(|condition| format!("({condition})"));
        let conditions: Vec<String> = conditions.collect();
        if !conditions.is_empty() {
            sql.push_str(" where ");
            sql.push_str(&conditions.join(" and "));
        }
        sql
    }
}

/// A comparison of a column with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `>=`
    From,
    /// `<`
    Below,
    /// `>`
    Above,
    /// `<=`
    UpTo,
}

/// `"updated" >= timestamp '...'`
pub fn compare(
    dialect: &dyn Dialect,
    column: &SourceColumn,
    kind: CursorKind,
    comparison: Comparison,
    value: i128,
) -> String {
    let word = match comparison {
        Comparison::From => ">=",
        Comparison::Below => "<",
        Comparison::Above => ">",
        Comparison::UpTo => "<=",
    };
    format!("{} {word} {}", dialect.quote_identifier(&column.name), dialect.literal(&kind.value(value), column))
}

/// Also rows whose cursor is NULL, which no bound finds.
pub fn or_null(dialect: &dyn Dialect, column: &SourceColumn, condition: String) -> String {
    if column.nullable {
        format!("{condition} or {} is null", dialect.quote_identifier(&column.name))
    } else {
        condition
    }
}
