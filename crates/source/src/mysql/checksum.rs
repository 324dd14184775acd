//! Checksums, ranges and marks as MySQL and MariaDB compute them; see [`crate::database::checksum`].

use thalweg_project::ColumnType;

use super::column_types::Kind;
use super::dialect::{MysqlDialect, hexadecimal, literal_text, quoted};
use crate::database::checksum::is_textual;
use crate::database::{Dialect, SourceColumn, Value};

/// See [`Dialect::row_hash`].
pub(super) fn row_hash(columns: &[(&SourceColumn, &ColumnType)]) -> Option<String> {
    let mut parts = Vec::new();
    for (column, stored) in columns {
        let text = written(column, stored)?;
        let or_nothing = |text: String| if column.nullable { format!("ifnull({text}, '')") } else { text };
        if is_textual(stored) {
            parts.push(or_nothing(format!("octet_length({text})")));
            // Texts of different collations are not put together; their bytes are.
            parts.push(or_nothing(format!("cast({text} as binary)")));
        } else {
            parts.push(or_nothing(text));
        }
    }
    Some(format!("crc32(crc32(concat_ws(',', {})))", parts.join(", ")))
}

/// See [`Dialect::text_hash`].
pub(super) fn text_hash(text: &str) -> String {
    format!("crc32(crc32({}))", literal_text(text))
}

/// A value as this program writes it.
fn written(column: &SourceColumn, stored: &ColumnType) -> Option<String> {
    use ColumnType::{BigInt, Blob, Boolean, Date, Decimal, Integer, Json, SmallInt, Text, Time, Timestamp};
    let name = quoted(&column.name);
    let kind = Kind::parse(&column.engine_type);
    // Reading as another type may leave values out, which no expression here would know.
    if column.column_type != kind.natural() {
        return None;
    }
    let six_digits = |name: String, kind: &str| {
        let has_six = column.engine_type.to_ascii_lowercase().starts_with(&format!("{kind}(6)"));
        if has_six { name } else { format!("cast({name} as {}(6))", if kind == "time" { kind } else { "datetime" }) }
    };
    Some(match (kind, stored) {
        (Kind::Integer { zerofill: false, .. }, SmallInt | Integer | BigInt | Decimal(_, 0)) => name,
        // A number shown with zeros before it, and bits, are made numbers by adding nothing.
        (Kind::Integer { .. } | Kind::Bit(_) | Kind::Year, Boolean | SmallInt | Integer | BigInt | Decimal(_, 0)) => {
            format!("({name} + 0)")
        }
        (Kind::Decimal { scale, zerofill: false, .. }, Decimal(_, wanted)) if scale == *wanted => name,
        (Kind::Decimal { scale, .. }, Decimal(precision, wanted)) if scale <= *wanted => {
            format!("cast({name} as decimal({precision},{wanted}))")
        }
        (Kind::Decimal { zerofill: false, .. }, Text) => name,
        (Kind::Date, Date) => name,
        (Kind::DateTime, Timestamp) if column.engine_type.to_ascii_lowercase().starts_with("timestamp") => {
            six_digits(name, "timestamp")
        }
        (Kind::DateTime, Timestamp) => six_digits(name, "datetime"),
        (Kind::Time, Time) => six_digits(name, "time"),
        (Kind::Text | Kind::Listed | Kind::Address, Text) | (Kind::Json | Kind::Text, Json) => utf8(column, kind),
        (Kind::Bytes, Blob) => format!("hex({name})"),
        _ => return None,
    })
}

fn utf8(column: &SourceColumn, kind: Kind) -> String {
    let name = quoted(&column.name);
    match kind {
        Kind::Address => format!("cast({name} as char)"),
        _ if is_utf8(&column.engine_type) => name,
        _ => format!("convert({name} using utf8mb4)"),
    }
}

/// Whether a text's bytes are UTF-8 at the server already.
fn is_utf8(engine_type: &str) -> bool {
    let character_set = engine_type.rsplit_once(" character set ").map(|(_, name)| name.trim());
    matches!(character_set, Some("utf8mb4" | "utf8mb3" | "utf8" | "ascii"))
}

/// See [`Dialect::ordered`].
pub(super) fn ordered(column: &SourceColumn) -> Option<String> {
    let kind = Kind::parse(&column.engine_type);
    match (kind, &column.column_type) {
        (Kind::Integer { .. } | Kind::Decimal { .. } | Kind::Date | Kind::DateTime, natural)
            if *natural == kind.natural() && *natural != ColumnType::Text =>
        {
            Some(quoted(&column.name))
        }
        (Kind::Text | Kind::Listed | Kind::Address, ColumnType::Text) => {
            Some(format!("cast({} as binary)", utf8(column, kind)))
        }
        _ => None,
    }
}

/// See [`Dialect::bound`].
pub(super) fn bound(value: &Value, column: &SourceColumn) -> String {
    match value {
        Value::Text(text) => format!("x'{}'", hexadecimal(text.as_bytes())),
        value => MysqlDialect.literal(value, column),
    }
}

/// See [`Dialect::range_number`].
pub(super) fn range_number(column: &SourceColumn, from: &Value, inner: &[Value]) -> Option<String> {
    let (Kind::Integer { .. }, Value::Integer(from)) = (Kind::parse(&column.engine_type), from) else { return None };
    let Some(Value::Integer(second)) = inner.first() else { return Some("0".to_owned()) };
    let width = second - from;
    let is_even = |(place, bound): (usize, &Value)| matches!(bound, Value::Integer(bound) if *bound == from + width * (place as i128 + 1));
    // Beyond, the difference of two numbers is none that the server can hold.
    let fits = width * (inner.len() as i128 + 1) < 1 << 62;
    if width <= 0 || !fits || !inner.iter().enumerate().all(is_even) {
        return None;
    }
    let name = quoted(&column.name);
    Some(format!("({name} - {}) div {width}", if *from < 0 { format!("({from})") } else { from.to_string() }))
}

/// See [`Dialect::is_marked`].
pub(super) fn is_marked(column: &SourceColumn, stored: &ColumnType) -> Option<String> {
    use ColumnType::{BigInt, Boolean, Decimal, Double, Integer, Real, SmallInt, Text};
    let name = quoted(&column.name);
    let kind = Kind::parse(&column.engine_type);
    if column.column_type != kind.natural() {
        return None;
    }
    let condition = match (kind, stored) {
        (
            Kind::Integer { .. } | Kind::Decimal { .. } | Kind::Float | Kind::Double | Kind::Bit(_) | Kind::Year,
            Boolean | SmallInt | Integer | BigInt | Decimal(..) | Real | Double,
        ) => format!("{name} <> 0"),
        (Kind::Text | Kind::Listed, Text) => {
            let words = ["t", "true", "y", "yes"].map(|word| format!("x'{}'", hexadecimal(word.as_bytes())));
            let text = format!("lower(trim({}))", utf8(column, kind));
            // The order of a collation may take other characters for these.
            format!(
                "(cast({text} as binary) in ({}) or (not {text} regexp '[^-0-9.+ :tze]' and {text} regexp '[1-9]'))",
                words.join(", ")
            )
        }
        // A date that is none does not fit, and marks nothing.
        (Kind::Date | Kind::DateTime, _) => {
            format!("month({name}) > 0 and dayofmonth({name}) between 1 and dayofmonth(last_day({name}))")
        }
        _ => return None,
    };
    Some(format!("ifnull({condition}, 0)"))
}
