//! What the values of a column have in common, gathered value by value.

use thalweg_project::ColumnType;

use super::calendar::{parse_date, parse_time, parse_timestamp};
use super::cell::Cell;
use super::number::{parse_bigint, parse_number};

/// What the values seen so far have in common. Gathering is associative and commutative, so that chunks of a file can be looked at
/// in any order and joined ([`Shape::join`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shape {
    kinds: u16,
    /// Most digits before the point.
    whole: u32,
    /// Most digits behind the point.
    scale: u32,
    /// An integer beyond 64 bits was seen.
    beyond_bigint: bool,
    /// A number that floating point does not keep was seen.
    beyond_double: bool,
}

const BOOLEAN: u16 = 1;
const INTEGER: u16 = 1 << 1;
const DECIMAL: u16 = 1 << 2;
const FLOATING: u16 = 1 << 3;
const DATE: u16 = 1 << 4;
const TIME: u16 = 1 << 5;
const TIMESTAMP: u16 = 1 << 6;
const TEXT: u16 = 1 << 7;
const NESTED: u16 = 1 << 8;

impl Shape {
    /// Takes a value into account.
    pub fn add(&mut self, cell: Cell<'_>) {
        match cell {
            Cell::Null => {}
            Cell::Plain(text) => self.add_plain(text),
            Cell::String(text) => self.kinds |= moment(text).unwrap_or(TEXT),
            Cell::Number(text) => self.add_number(text),
            Cell::Boolean(_) => self.kinds |= BOOLEAN,
            Cell::Nested(_) => self.kinds |= NESTED,
        }
    }

    fn add_plain(&mut self, text: &str) {
        // A text column needs no second look.
        if self.kinds & TEXT != 0 {
            return;
        }
        match text.as_bytes().first() {
            Some(b'-' | b'0'..=b'9') => match moment(text) {
                Some(kind) => self.kinds |= kind,
                None if parse_time(text).is_some() => self.kinds |= TIME,
                None => self.add_number(text),
            },
            _ if parse_boolean(text).is_some() => self.kinds |= BOOLEAN,
            _ => self.kinds |= TEXT,
        }
    }

    fn add_number(&mut self, text: &str) {
        let Some(number) = parse_number(text) else {
            self.kinds |= TEXT;
            return;
        };
        self.beyond_double |= !number.fits_double(text);
        if number.floating {
            self.kinds |= FLOATING;
            return;
        }
        self.whole = self.whole.max(number.whole);
        self.scale = self.scale.max(number.scale);
        if number.scale == 0 {
            self.kinds |= INTEGER;
            self.beyond_bigint |= number.whole > 18 && parse_bigint(text).is_none();
        } else {
            self.kinds |= DECIMAL;
        }
    }

    /// Takes everything into account that another shape has seen.
    pub fn join(&mut self, other: &Self) {
        self.kinds |= other.kinds;
        self.whole = self.whole.max(other.whole);
        self.scale = self.scale.max(other.scale);
        self.beyond_bigint |= other.beyond_bigint;
        self.beyond_double |= other.beyond_double;
    }

    /// The type that holds all values exactly; `None` when there was no value.
    ///
    /// Decimals get a precision of 18 where that is enough, otherwise 38, so that a price of three digits after prices of two
    /// does not change the column's type.
    pub fn column_type(&self) -> Option<ColumnType> {
        Some(match self.kinds {
            0 => return None,
            BOOLEAN => ColumnType::Boolean,
            DATE => ColumnType::Date,
            TIME => ColumnType::Time,
            TIMESTAMP => ColumnType::Timestamp,
            INTEGER if !self.beyond_bigint => ColumnType::BigInt,
            kinds if kinds & NESTED != 0 => ColumnType::Json,
            kinds if kinds & !(INTEGER | DECIMAL) == 0 => match (self.whole + self.scale, u8::try_from(self.scale)) {
                (0..=18, Ok(scale)) => ColumnType::Decimal(18, scale),
                (0..=38, Ok(scale)) => ColumnType::Decimal(38, scale),
                _ => ColumnType::Text,
            },
            kinds if kinds & !(INTEGER | DECIMAL | FLOATING) == 0 && !self.beyond_double => ColumnType::Double,
            _ => ColumnType::Text,
        })
    }
}

/// Date or timestamp.
fn moment(text: &str) -> Option<u16> {
    let bytes = text.as_bytes();
    if bytes.len() < 10 || bytes[4] != b'-' {
        return None;
    }
    if bytes.len() == 10 {
        return parse_date(text).map(|_| DATE);
    }
    parse_timestamp(text).map(|_| TIMESTAMP)
}

/// `true` or `false`, in lower case, upper case or capitalised.
pub(super) fn parse_boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inferred(values: &[&str]) -> String {
        let mut shape = Shape::default();
        values.iter().for_each(|value| shape.add(Cell::Plain(value)));
        shape.column_type().map_or("undecided".to_owned(), |column_type| column_type.to_string())
    }

    #[test]
    fn types_hold_every_value_exactly() {
        assert_eq!(inferred(&[]), "undecided");
        assert_eq!(inferred(&["1", "-2"]), "bigint");
        assert_eq!(inferred(&["1", "007"]), "text");
        assert_eq!(inferred(&["1", "+5"]), "text");
        assert_eq!(inferred(&["1", "1_000"]), "text");
        assert_eq!(inferred(&["1", " 2"]), "text");
        assert_eq!(inferred(&["1", ""]), "text");
        assert_eq!(inferred(&["9223372036854775808"]), "decimal(38,0)");
        assert_eq!(inferred(&["1", "2.50"]), "decimal(18,2)");
        assert_eq!(inferred(&["12345678901234567", "2.50"]), "decimal(38,2)");
        assert_eq!(inferred(&["123456789012345678901234567890123456789"]), "text");
        assert_eq!(inferred(&["1", "1e5"]), "double");
        assert_eq!(inferred(&["12345678901234567", "1e5"]), "text");
        assert_eq!(inferred(&["-0"]), "double");
        assert_eq!(inferred(&["true", "False"]), "boolean");
        assert_eq!(inferred(&["true", "1"]), "text");
        assert_eq!(inferred(&["2024-01-31"]), "date");
        assert_eq!(inferred(&["2024-01-32"]), "text");
        assert_eq!(inferred(&["2024-01-31", "2024-01-31 10:00:00"]), "text");
        assert_eq!(inferred(&["2024-01-31T10:00:00Z", "2024-01-31 10:00:00+02"]), "timestamp");
        assert_eq!(inferred(&["10:00:00"]), "time");
    }
}
