//! Values bound to a statement.

use duckdb::types::{TimeUnit, ToSql, ToSqlOutput, ValueRef};

/// A parameter of a statement.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// NULL
    Null,
    /// A truth value.
    Boolean(bool),
    /// A 64-bit integer.
    BigInt(i64),
    /// A floating-point number.
    Double(f64),
    /// A text.
    Text(&'a str),
    /// Microseconds since 1970-01-01.
    Timestamp(i64),
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> duckdb::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Boolean(value) => ValueRef::Boolean(*value),
            Self::BigInt(value) => ValueRef::BigInt(*value),
            Self::Double(value) => ValueRef::Double(*value),
            Self::Text(value) => ValueRef::Text(value.as_bytes()),
            Self::Timestamp(value) => ValueRef::Timestamp(TimeUnit::Microsecond, *value),
        }))
    }
}
