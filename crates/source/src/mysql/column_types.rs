//! Every type of MySQL and MariaDB, and what it becomes.
//!
//! | type | column type |
//! |---|---|
//! | `tinyint`, `tinyint unsigned`, `boolean` (which is `tinyint(1)` and may hold 2), `smallint` | `smallint` |
//! | `smallint unsigned`, `mediumint` with and without sign, `int` | `integer` |
//! | `int unsigned`, `bigint`, `serial` | `bigint` |
//! | `bigint unsigned` | `decimal(20,0)` |
//! | `decimal(p,s)` up to 38 digits | `decimal(p,s)` |
//! | `decimal(p,s)` beyond, up to `decimal(65,30)` | `text`: all its digits |
//! | `float`, `double` | `real`, `double`, bit by bit |
//! | `bit(1)` | `boolean` |
//! | `bit(n)` | `bigint`, from 64 bits on `decimal(20,0)` |
//! | `year` | `smallint`; `0000` is 0 |
//! | `date` | `date`; `0000-00-00`, dates without a day or a month, and days that do not exist do not fit |
//! | `datetime(n)` | `timestamp`, as it is; the same do not fit |
//! | `timestamp(n)` | `timestamp`, in UTC; likewise |
//! | `time(n)` | `time`; below zero or from 24 hours on does not fit, unless it is read as `text` |
//! | `char`, `varchar`, `tinytext` … `longtext`, `enum`, `set`, of any character set | `text`, UTF-8 |
//! | `uuid`, `inet4`, `inet6` of MariaDB | `text` |
//! | `json`, and in MariaDB a text that is checked by `json_valid` | `json` |
//! | `binary`, `varbinary`, `tinyblob` … `longblob`, `vector` | `blob` |
//! | `geometry` and its kin | `blob`: EWKB; without a reference system WKB |
//!
//! `zerofill` and the width of a number are for display and change nothing. The trailing blanks of a `char` are not part of its value;
//! the trailing zeros of a `binary` are.
//!
//! A stream may ask for another type: `text` for everything (bytes must be UTF-8; geometries become hexadecimal digits), for numbers any other exact number type, `double`
//! or `boolean`, `timestamp` for `date`, `json` for texts. What does not fit exactly is treated as everything that does not fit.

use thalweg_project::ColumnType;

/// A type, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Bits it has, and whether it has a sign. `zerofill` shows zeros before the number.
    Integer {
        bits: u8,
        unsigned: bool,
        zerofill: bool,
    },
    /// Digits in all and behind the point.
    Decimal {
        precision: u8,
        scale: u8,
        zerofill: bool,
    },
    Float,
    Double,
    /// Bits.
    Bit(u8),
    Year,
    Date,
    DateTime,
    Time,
    Text,
    /// A text that compares in an order of its own: by the place in the list of an `enum`, by bits of a `set`.
    Listed,
    /// A text that is stored as a number: `uuid`, `inet6`.
    Address,
    Json,
    Bytes,
    Geometry,
}

impl Kind {
    /// Takes a type apart as a definition writes it: `bigint(20) unsigned`, `varchar(20) character set latin1`. A type nobody knows yet
    /// is read as a text.
    pub(super) fn parse(engine_type: &str) -> Self {
        let lower = engine_type.to_ascii_lowercase();
        let end = lower.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(lower.len());
        let (word, rest) = lower.split_at(end);
        let mut numbers = rest
            .strip_prefix('(')
            .and_then(|rest| rest.split_once(')'))
            .map(|(inside, _)| inside.split(',').filter_map(|number| number.trim().parse::<u8>().ok()))
            .into_iter()
            .flatten();
        // The words behind the type stand apart, so that a value of an `enum` is none of them.
        let behind = rest.rsplit(')').next().unwrap_or(rest);
        let (unsigned, zerofill) = (behind.contains("unsigned"), behind.contains("zerofill"));
        let integer = |bits| Self::Integer { bits, unsigned: unsigned || zerofill, zerofill };
        match word {
            "tinyint" | "bool" | "boolean" => integer(8),
            "smallint" => integer(16),
            "mediumint" => integer(24),
            "int" | "integer" => integer(32),
            "bigint" => integer(64),
            "decimal" | "numeric" | "dec" | "fixed" => {
                let (precision, scale) = (numbers.next().unwrap_or(10), numbers.next().unwrap_or(0));
                Self::Decimal { precision, scale, zerofill }
            }
            "float" => Self::Float,
            "double" | "real" => Self::Double,
            "bit" => Self::Bit(numbers.next().unwrap_or(1)),
            "year" => Self::Year,
            "date" => Self::Date,
            "datetime" | "timestamp" => Self::DateTime,
            "time" => Self::Time,
            "enum" | "set" => Self::Listed,
            "uuid" | "inet4" | "inet6" => Self::Address,
            "json" => Self::Json,
            "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" | "vector" => Self::Bytes,
            "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring" | "multipolygon"
            | "geometrycollection" | "geomcollection" => Self::Geometry,
            _ => Self::Text,
        }
    }

    /// The type its values are read as when nobody asks for another.
    pub(super) fn natural(self) -> ColumnType {
        match self {
            Self::Integer { bits: 8, .. } | Self::Integer { bits: 16, unsigned: false, .. } | Self::Year => {
                ColumnType::SmallInt
            }
            Self::Integer { bits: 16 | 24, .. } | Self::Integer { bits: 32, unsigned: false, .. } => {
                ColumnType::Integer
            }
            Self::Integer { bits: 64, unsigned: true, .. } | Self::Bit(64..) => ColumnType::Decimal(20, 0),
            Self::Bit(0 | 1) => ColumnType::Boolean,
            Self::Integer { .. } | Self::Bit(_) => ColumnType::BigInt,
            Self::Decimal { precision, scale, .. } if precision <= 38 => ColumnType::Decimal(precision.max(1), scale),
            Self::Decimal { .. } | Self::Text | Self::Listed | Self::Address => ColumnType::Text,
            Self::Float => ColumnType::Real,
            Self::Double => ColumnType::Double,
            Self::Date => ColumnType::Date,
            Self::DateTime => ColumnType::Timestamp,
            Self::Time => ColumnType::Time,
            Self::Json => ColumnType::Json,
            Self::Bytes | Self::Geometry => ColumnType::Blob,
        }
    }

    /// Whether its values can be read as another type.
    pub(super) fn can_be(self, wanted: &ColumnType) -> bool {
        use ColumnType::{BigInt, Boolean, Decimal, Double, Integer, Json, SmallInt, Text, Timestamp};
        if *wanted == self.natural() {
            return true;
        }
        match self {
            _ if *wanted == Text => true,
            Self::Integer { .. } | Self::Bit(_) | Self::Year => {
                matches!(wanted, Boolean | SmallInt | Integer | BigInt | Decimal(..) | Double)
            }
            Self::Decimal { .. } => matches!(wanted, SmallInt | Integer | BigInt | Decimal(..)),
            Self::Float => *wanted == Double,
            Self::Date => *wanted == Timestamp,
            Self::Text => *wanted == Json,
            Self::Double
            | Self::DateTime
            | Self::Time
            | Self::Listed
            | Self::Address
            | Self::Json
            | Self::Bytes
            | Self::Geometry => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_a_natural_one() {
        for (engine_type, expected) in [
            ("tinyint(1)", "smallint"),
            ("tinyint(3) unsigned", "smallint"),
            ("smallint(6)", "smallint"),
            ("smallint unsigned", "integer"),
            ("mediumint(8) unsigned zerofill", "integer"),
            ("int", "integer"),
            ("int(10) unsigned zerofill", "bigint"),
            ("bigint(20)", "bigint"),
            ("bigint(20) unsigned", "decimal(20,0)"),
            ("decimal(12,2)", "decimal(12,2)"),
            ("decimal(38,38) unsigned", "decimal(38,38)"),
            ("decimal(65,30)", "text"),
            ("float(7,3)", "real"),
            ("double unsigned", "double"),
            ("bit(1)", "boolean"),
            ("bit(63)", "bigint"),
            ("bit(64)", "decimal(20,0)"),
            ("year(4)", "smallint"),
            ("date", "date"),
            ("datetime(6)", "timestamp"),
            ("timestamp", "timestamp"),
            ("time(3)", "time"),
            ("varchar(20) character set latin1", "text"),
            ("enum('unsigned','a)b') character set utf8mb4", "text"),
            ("set('zerofill')", "text"),
            ("uuid", "text"),
            ("inet6", "text"),
            ("json", "json"),
            ("longtext character set utf8mb4", "text"),
            ("varbinary(16)", "blob"),
            ("longblob", "blob"),
            ("point", "blob"),
            ("a type of the future", "text"),
        ] {
            assert_eq!(Kind::parse(engine_type).natural().to_string(), expected, "{engine_type}");
        }
    }

    #[test]
    fn a_list_of_words_says_nothing_of_signs() {
        let kind = Kind::parse("int(10) unsigned zerofill");
        assert_eq!(kind, Kind::Integer { bits: 32, unsigned: true, zerofill: true });
        assert_eq!(Kind::parse("enum('zerofill')"), Kind::Listed);
    }
}
