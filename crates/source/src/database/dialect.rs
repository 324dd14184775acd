//! How an engine spells the parts of a read.

use thalweg_project::ColumnType;

use super::{SourceColumn, TableRef};

/// A value of a key or cursor, exact.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// An integer of any width.
    Integer(i128),
    /// Digits without the point, and how many of them stand behind it.
    Decimal(i128, u8),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds since 1970-01-01 00:00: UTC for types with a time zone, the clock's own reading for those without.
    Timestamp(i64),
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// How an engine spells the parts of a read. Pure.
///
/// The statements put together from these parts run in sessions whose settings the driver has set: UTC, the ANSI meaning of quotes and
/// backslashes as [`Dialect::literal`] writes them, dates and numbers in ISO form, UTF-8.
pub trait Dialect: Send + Sync {
    /// An identifier in quotes, whatever characters it has.
    fn quote_identifier(&self, name: &str) -> String;

    /// A table's full name.
    fn table(&self, table: &TableRef) -> String {
        format!("{}.{}", self.quote_identifier(&table.schema), self.quote_identifier(&table.name))
    }

    /// A value as a literal that compares with `column` in the column's own type, so that an index on it is used:
    /// `timestamp '2026-01-31 10:00:00.123456'`.
    fn literal(&self, value: &Value, column: &SourceColumn) -> String;

    /// How the column stands in the select list of a read so that the driver's decoder understands it: mostly its quoted name, a cast or
    /// function for types that are decoded from something else. `alias` is put before the name where it is not empty.
    fn select(&self, column: &SourceColumn, alias: &str) -> String;

    /// Whether the decoder can turn the column's values into another type than the natural one. `text` always.
    fn can_read_as(&self, column: &SourceColumn, wanted: &ColumnType) -> bool;

    /// A condition as a column of a select list: the expression, never NULL, and the column that [`super::Read::columns`] has for it,
    /// with the type `boolean`. A condition that is neither true nor false counts as false.
    fn flag(&self, condition: &str, name: &str) -> (String, SourceColumn);

    /// The column that [`super::Read::columns`] has for an expression of 64 bits, signed, and how the expression must be written.
    fn bigint(&self, expression: &str, name: &str) -> (String, SourceColumn);

    /// The hash of a row out of these columns, each with its type in the store, in 64 bits and never NULL, as
    /// `database::checksum` describes it. `None` where a column's value cannot be written so by the server that two different values are
    /// two different texts.
    fn row_hash(&self, columns: &[(&SourceColumn, &ColumnType)]) -> Option<String>;

    /// The hash of a text, to find out whether the server hashes as expected.
    fn text_hash(&self, text: &str) -> String;

    /// A column in the order in which ranges divide it: that of its numbers or moments, and of the bytes of its UTF-8 for texts. `None` where
    /// the engine has no such order.
    fn ordered(&self, column: &SourceColumn) -> Option<String>;

    /// A value to compare with [`Dialect::ordered`].
    fn bound(&self, value: &Value, column: &SourceColumn) -> String;

    /// How many of `inner` are not greater than the column's value, which is not below `from`. `None` where the engine has no quick way to
    /// tell.
    fn range_number(&self, column: &SourceColumn, from: &Value, inner: &[Value]) -> Option<String>;

    /// Whether a soft-delete column marks its row as deleted, never NULL, by the rules of the store for the type the column has there. `None`
    /// where the engine would decide otherwise.
    fn is_marked(&self, column: &SourceColumn, stored: &ColumnType) -> Option<String>;

    /// A condition that holds for every row that was written by a transaction of this version or a later one
    /// ([`super::OpenSnapshot::versions`]), and perhaps for others. `None` where rows do not tell.
    fn written_since(&self, version: i64) -> Option<String> {
        let _ = version;
        None
    }

    /// The first `rows` rows of a query without a limit of its own.
    fn limited(&self, query: &str, rows: u64) -> String {
        format!("{query} limit {rows}")
    }
}
