//! The types of columns, in words that belong to no warehouse.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The type of a column of a store table or seed.
///
/// A source produces it, a dialect spells it. Timestamps are UTC without a zone; a time zone of the input is applied while reading.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum ColumnType {
    /// `boolean`
    Boolean,
    /// `smallint`, 16 bits, signed.
    SmallInt,
    /// `integer`, 32 bits, signed.
    Integer,
    /// `bigint`, 64 bits, signed.
    BigInt,
    /// `decimal(precision, scale)`, precision 1 to 38.
    Decimal(u8, u8),
    /// `real`, 32-bit floating point.
    Real,
    /// `double`, 64-bit floating point.
    Double,
    /// `date`
    Date,
    /// `time`, microseconds since midnight.
    Time,
    /// `timestamp`, microseconds, UTC.
    Timestamp,
    /// `text`, UTF-8.
    Text,
    /// `json`, kept as its text.
    Json,
    /// `blob`, bytes.
    Blob,
    /// `list(<type>)`
    List(Box<ColumnType>),
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean => f.write_str("boolean"),
            Self::SmallInt => f.write_str("smallint"),
            Self::Integer => f.write_str("integer"),
            Self::BigInt => f.write_str("bigint"),
            Self::Decimal(precision, scale) => write!(f, "decimal({precision},{scale})"),
            Self::Real => f.write_str("real"),
            Self::Double => f.write_str("double"),
            Self::Date => f.write_str("date"),
            Self::Time => f.write_str("time"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Text => f.write_str("text"),
            Self::Json => f.write_str("json"),
            Self::Blob => f.write_str("blob"),
            Self::List(item) => write!(f, "list({item})"),
        }
    }
}

/// The text names no type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a type: expected boolean, smallint, integer, bigint, decimal(p,s), real, double, date, time, timestamp, text, json, blob or list(type)"
)]
pub struct NotAColumnType(pub String);

impl FromStr for ColumnType {
    type Err = NotAColumnType;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || NotAColumnType(text.to_owned());
        let lower = text.trim().to_ascii_lowercase();
        let (head, arguments) = match lower.split_once('(') {
            Some((head, rest)) => (head.trim(), Some(rest.strip_suffix(')').ok_or_else(wrong)?.trim())),
            None => (lower.as_str(), None),
        };
        Ok(match (head, arguments) {
            ("boolean" | "bool", None) => Self::Boolean,
            ("smallint", None) => Self::SmallInt,
            ("integer" | "int", None) => Self::Integer,
            ("bigint", None) => Self::BigInt,
            ("real" | "float4", None) => Self::Real,
            ("double" | "float" | "float8" | "double precision", None) => Self::Double,
            ("date", None) => Self::Date,
            ("time", None) => Self::Time,
            ("timestamp", None) => Self::Timestamp,
            ("text" | "varchar" | "string", None) => Self::Text,
            ("json", None) => Self::Json,
            ("blob" | "bytea", None) => Self::Blob,
            ("list", Some(item)) => Self::List(Box::new(item.parse().map_err(|_| wrong())?)),
            ("decimal" | "numeric", Some(arguments)) => {
                let (precision, scale) = arguments.split_once(',').unwrap_or((arguments, "0"));
                let precision: u8 = precision.trim().parse().map_err(|_| wrong())?;
                let scale: u8 = scale.trim().parse().map_err(|_| wrong())?;
                if precision == 0 || precision > 38 || scale > precision {
                    return Err(wrong());
                }
                Self::Decimal(precision, scale)
            }
            _ => return Err(wrong()),
        })
    }
}

impl TryFrom<String> for ColumnType {
    type Error = NotAColumnType;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ColumnType> for String {
    fn from(column_type: ColumnType) -> Self {
        column_type.to_string()
    }
}
