//! How MySQL and MariaDB spell the parts of a read.

use std::fmt::Write;

use thalweg_project::ColumnType;

use super::checksum;
use super::column_types::Kind;
use crate::database::{Dialect, SourceColumn, Value};

/// The spelling of both. Texts are written for sessions with an empty `sql_mode`, as [`super::session`] opens them.
#[derive(Debug, Clone, Copy)]
pub(super) struct MysqlDialect;

/// An identifier in quotes.
pub(super) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A text in quotes.
pub(super) fn literal_text(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// A date literal, or `None` for years that cannot be written.
fn date_text(days: i32) -> Option<String> {
    // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms": civil_from_days.
    let shifted = i64::from(days) + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (0..=9999).contains(&year).then(|| format!("{year:04}-{month:02}-{day:02}"))
}

/// A moment as the server writes it, kept within what a `datetime` can be: beyond its ends nothing compares otherwise.
pub(super) fn timestamp_text(micros: i64) -> String {
    const DAY: i64 = 86_400_000_000;
    let days = i32::try_from(micros.div_euclid(DAY)).unwrap_or(if micros < 0 { i32::MIN } else { i32::MAX });
    let Some(date) = date_text(days) else {
        let end = if micros < 0 { "0000-01-01 00:00:00.000000" } else { "9999-12-31 23:59:59.999999" };
        return end.to_owned();
    };
    let in_day = micros.rem_euclid(DAY);
    let (seconds, micros) = (in_day / 1_000_000, in_day % 1_000_000);
    format!("{date} {:02}:{:02}:{:02}.{micros:06}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

fn decimal_text(digits: i128, scale: u8) -> String {
    let scale = usize::from(scale);
    let sign = if digits < 0 { "-" } else { "" };
    let mut text = format!("{:0width$}", digits.unsigned_abs(), width = scale + 1);
    if scale > 0 {
        text.insert(text.len() - scale, '.');
    }
    format!("{sign}{text}")
}

/// A column's name, with the alias of its table before it where there is one.
fn name(column: &SourceColumn, alias: &str) -> String {
    let name = quoted(&column.name);
    if alias.is_empty() { name } else { format!("{alias}.{name}") }
}

impl Dialect for MysqlDialect {
    fn quote_identifier(&self, name: &str) -> String {
        quoted(name)
    }

    fn literal(&self, value: &Value, column: &SourceColumn) -> String {
        match value {
            Value::Integer(number) => number.to_string(),
            Value::Decimal(digits, scale) => decimal_text(*digits, *scale),
            Value::Date(days) => match date_text(*days) {
                Some(text) => format!("date '{text}'"),
                None if *days < 0 => "date '0000-01-01'".to_owned(),
                None => "date '9999-12-31'".to_owned(),
            },
            Value::Timestamp(micros) => format!("timestamp '{}'", timestamp_text(*micros)),
            Value::Text(text) => literal_text(text),
            // What is read as bytes and compares as numbers does not exist, and a text column compared with bytes would lose its collation.
            Value::Bytes(bytes) if Kind::parse(&column.engine_type) == Kind::Text => {
                format!("convert(x'{}' using utf8mb4)", hexadecimal(bytes))
            }
            Value::Bytes(bytes) => format!("x'{}'", hexadecimal(bytes)),
        }
    }

    fn select(&self, column: &SourceColumn, alias: &str) -> String {
        name(column, alias)
    }

    fn can_read_as(&self, column: &SourceColumn, wanted: &ColumnType) -> bool {
        Kind::parse(&column.engine_type).can_be(wanted)
    }

    fn flag(&self, condition: &str, name: &str) -> (String, SourceColumn) {
        // The line break ends a comment the condition may end with.
        (format!("(({condition}\n) is true)"), own_column(name, "int(1)", ColumnType::Boolean))
    }

    fn bigint(&self, expression: &str, name: &str) -> (String, SourceColumn) {
        (format!("cast({expression} as signed)"), own_column(name, "bigint(20)", ColumnType::BigInt))
    }

    fn row_hash(&self, columns: &[(&SourceColumn, &ColumnType)]) -> Option<String> {
        checksum::row_hash(columns)
    }

    fn text_hash(&self, text: &str) -> String {
        checksum::text_hash(text)
    }

    fn ordered(&self, column: &SourceColumn) -> Option<String> {
        checksum::ordered(column)
    }

    fn bound(&self, value: &Value, column: &SourceColumn) -> String {
        checksum::bound(value, column)
    }

    fn range_number(&self, column: &SourceColumn, from: &Value, inner: &[Value]) -> Option<String> {
        checksum::range_number(column, from, inner)
    }

    fn is_marked(&self, column: &SourceColumn, stored: &ColumnType) -> Option<String> {
        checksum::is_marked(column, stored)
    }
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing into a text cannot fail.
        let _ = write!(text, "{byte:02X}");
        text
    })
}

/// A column of a select list that is no column of a table.
fn own_column(name: &str, engine_type: &str, column_type: ColumnType) -> SourceColumn {
    SourceColumn {
        name: name.to_owned(),
        engine_type: engine_type.to_owned(),
        column_type,
        nullable: true,
        comment: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(engine_type: &str) -> SourceColumn {
        own_column("a`b", engine_type, Kind::parse(engine_type).natural())
    }

    #[test]
    fn literals() {
        let literal = |value: Value, engine_type: &str| MysqlDialect.literal(&value, &column(engine_type));
        assert_eq!(literal(Value::Integer(-5), "int"), "-5");
        assert_eq!(literal(Value::Integer(i128::from(u64::MAX)), "bigint unsigned"), "18446744073709551615");
        assert_eq!(literal(Value::Decimal(-5, 2), "decimal(5,2)"), "-0.05");
        assert_eq!(literal(Value::Decimal(12345, 2), "decimal(5,2)"), "123.45");
        assert_eq!(literal(Value::Decimal(7, 0), "decimal(5,0)"), "7");
        assert_eq!(literal(Value::Date(0), "date"), "date '1970-01-01'");
        assert_eq!(literal(Value::Date(-719_528), "date"), "date '0000-01-01'");
        assert_eq!(literal(Value::Date(2_932_896), "date"), "date '9999-12-31'");
        assert_eq!(literal(Value::Date(i32::MAX), "date"), "date '9999-12-31'");
        assert_eq!(literal(Value::Timestamp(-1), "datetime(6)"), "timestamp '1969-12-31 23:59:59.999999'");
        assert_eq!(literal(Value::Timestamp(i64::MAX), "datetime"), "timestamp '9999-12-31 23:59:59.999999'");
        assert_eq!(literal(Value::Timestamp(i64::MIN), "datetime"), "timestamp '0000-01-01 00:00:00.000000'");
        assert_eq!(literal(Value::Text("it's \\ \"ok\"".to_owned()), "text"), r#"'it''s \\ "ok"'"#);
        assert_eq!(literal(Value::Bytes(vec![0, 255]), "binary(2)"), "x'00FF'");
        assert_eq!(literal(Value::Bytes(Vec::new()), "blob"), "x''");
    }

    #[test]
    fn names_are_quoted() {
        assert_eq!(MysqlDialect.select(&column("int"), ""), "`a``b`");
        assert_eq!(MysqlDialect.select(&column("int"), "t"), "t.`a``b`");
    }
}
