//! How Postgres spells the parts of a read.

use thalweg_postgres::moment;
use thalweg_project::ColumnType;

use super::checksum;
use super::column_types::{Class, EngineType, Expression, plan};
use crate::database::{Dialect, SourceColumn, Value};

/// Postgres' spelling. Texts are written for sessions with `standard_conforming_strings`, as [`super::connection`] opens them.
#[derive(Debug, Clone, Copy)]
pub(super) struct PostgresDialect;

/// An identifier in quotes.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text in quotes. Postgres has no NUL in texts: what follows one is cut, as it would be nowhere equal to anything.
pub(super) fn literal_text(text: &str) -> String {
    format!("'{}'", text.replace('\0', "").replace('\'', "''"))
}

/// A column's name, with the alias of its table before it where there is one.
fn name(column: &SourceColumn, alias: &str) -> String {
    let name = quoted(&column.name);
    if alias.is_empty() { name } else { format!("{alias}.{name}") }
}

impl Dialect for PostgresDialect {
    fn quote_identifier(&self, name: &str) -> String {
        quoted(name)
    }

    fn literal(&self, value: &Value, column: &SourceColumn) -> String {
        let mut engine_type = EngineType::parse(&column.engine_type).unbounded();
        if let Value::Integer(number) = value
            && let Some(wider) = wider_integer(&engine_type, *number)
        {
            engine_type = wider.to_owned();
        }
        let text = match value {
            Value::Integer(number) => number.to_string(),
            Value::Decimal(digits, scale) => decimal_text(*digits, *scale),
            // What lies before everything that Postgres can hold is still a bound.
            Value::Date(days) if *days < moment::FIRST_DATE => "-infinity".to_owned(),
            Value::Date(days) if *days > moment::LAST_DATE => "infinity".to_owned(),
            Value::Date(days) => moment::date_text(*days),
            Value::Timestamp(micros) if *micros < moment::FIRST_TIMESTAMP => "-infinity".to_owned(),
            Value::Timestamp(micros) if engine_type == "timestamp with time zone" => {
                // The zone stands before the era.
                let text = moment::timestamp_text(*micros);
                match text.strip_suffix(" BC") {
                    Some(text) => format!("{text}+00 BC"),
                    None => format!("{text}+00"),
                }
            }
            Value::Timestamp(micros) => moment::timestamp_text(*micros),
            Value::Text(text) => text.clone(),
            Value::Bytes(bytes) => {
                format!("\\x{}", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
            }
        };
        // With parentheses, since a cast binds more tightly than what may stand beside it.
        format!("({}::{engine_type})", literal_text(&text))
    }

    fn select(&self, column: &SourceColumn, alias: &str) -> String {
        let name = name(column, alias);
        let expression = plan(&column.engine_type, &column.column_type).map(|plan| plan.expression);
        match expression {
            // What cannot be read as wanted is told by the decoder, in words.
            None | Some(Expression::Plain) => name,
            Some(Expression::Cast(to)) => format!("{name}::{to}"),
            Some(Expression::Json) => format!("pg_catalog.to_json({name})"),
            Some(Expression::Geometry) => {
                // The functions of an extension stand in the schema of its types.
                let parsed = EngineType::parse(&column.engine_type);
                let schema = parsed.sql.rsplit_once('.').map_or("public", |(schema, _)| schema);
                format!("{schema}.st_asewkb({name}::{schema}.geometry)")
            }
        }
    }

    fn can_read_as(&self, column: &SourceColumn, wanted: &ColumnType) -> bool {
        plan(&column.engine_type, wanted).is_some()
    }

    fn flag(&self, condition: &str, name: &str) -> (String, SourceColumn) {
        // The line break ends a comment the condition may end with.
        let expression = format!("coalesce(({condition}\n), false)");
        (expression, own_column(name, "boolean", ColumnType::Boolean))
    }

    fn bigint(&self, expression: &str, name: &str) -> (String, SourceColumn) {
        (format!("({expression})::pg_catalog.int8"), own_column(name, "bigint", ColumnType::BigInt))
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

    fn range_number(&self, column: &SourceColumn, _from: &Value, inner: &[Value]) -> Option<String> {
        checksum::range_number(column, inner)
    }

    fn is_marked(&self, column: &SourceColumn, stored: &ColumnType) -> Option<String> {
        checksum::is_marked(column, stored)
    }

    /// `xmin` has 32 bits and comes round: what lies up to half a round later counts as later. Of rows that were frozen it is still there.
    fn written_since(&self, version: i64) -> Option<String> {
        let low = version.rem_euclid(1 << 32);
        Some(format!("((xmin::pg_catalog.text::pg_catalog.int8 - {low} + 4294967296) % 4294967296 < 2147483648)"))
    }
}

/// The type of a literal that does not fit the column's: a bound may lie outside.
fn wider_integer(engine_type: &str, number: i128) -> Option<&'static str> {
    let fits = match engine_type {
        "smallint" => i16::try_from(number).is_ok(),
        "integer" => i32::try_from(number).is_ok(),
        "bigint" => i64::try_from(number).is_ok(),
        _ => true,
    };
    match (fits, i64::try_from(number)) {
        (true, _) => None,
        (false, Ok(_)) => Some("bigint"),
        (false, Err(_)) => Some("numeric"),
    }
}

/// A value as a text that is read back the same: of dates the days since 1970, of timestamps the microseconds, of bytes hexadecimal
/// digits. What does not fit is NULL, as in the store.
pub(super) fn canonical(column: &SourceColumn, alias: &str) -> Option<String> {
    let parsed = EngineType::parse(&column.engine_type);
    if parsed.dimensions > 0 {
        return (column.column_type == ColumnType::Text).then(|| format!("{}::pg_catalog.text", name(column, alias)));
    }
    let name = name(column, alias);
    let micros = |from: &str| {
        // In two parts: before version 14 the first function answers in floating point, which holds seconds exactly.
        format!(
            "(extract(epoch from pg_catalog.date_trunc('second', {from}))::pg_catalog.int8 * 1000000 \
             + extract(microseconds from {from})::pg_catalog.int8 % 1000000)::pg_catalog.text"
        )
    };
    let finite = |text: String| format!("case when pg_catalog.isfinite({name}) then {text} end");
    Some(match (&column.column_type, parsed.name.as_str()) {
        (ColumnType::Boolean, "boolean") => format!("{name}::pg_catalog.int4::pg_catalog.text"),
        (ColumnType::SmallInt, "smallint")
        | (ColumnType::Integer, "integer")
        | (ColumnType::BigInt, "bigint" | "oid" | "xid" | "cid")
        | (ColumnType::Decimal(20, 0), "xid8") => format!("{name}::pg_catalog.text"),
        (ColumnType::Decimal(_, scale), "numeric") => {
            format!("nullif(pg_catalog.round({name}, {scale})::pg_catalog.text, 'NaN')")
        }
        (ColumnType::Decimal(_, scale), "money") => {
            format!("pg_catalog.round({name}::pg_catalog.numeric, {scale})::pg_catalog.text")
        }
        (ColumnType::Date, "date") => finite(format!("({name} - '1970-01-01'::date)::pg_catalog.text")),
        (ColumnType::Timestamp, "timestamp without time zone" | "timestamp with time zone") => finite(micros(&name)),
        (ColumnType::Time, "time without time zone") => format!(
            "(extract(hour from {name})::pg_catalog.int8 * 3600000000 + extract(minute from {name})::pg_catalog.int8 * 60000000 \
             + extract(microseconds from {name})::pg_catalog.int8)::pg_catalog.text"
        ),
        (ColumnType::Blob, "bytea") => format!("pg_catalog.upper(pg_catalog.encode({name}, 'hex'))"),
        (ColumnType::Text, "inet") => format!("pg_catalog.inet_out({name})::pg_catalog.text"),
        (ColumnType::Text, _) if parsed.class != Some(Class::Geometry) => format!("{name}::pg_catalog.text"),
        _ => return None,
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

/// Digits with a point.
pub(super) fn decimal_text(digits: i128, scale: u8) -> String {
    let scale = usize::from(scale);
    let text = format!("{:0>width$}", digits.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = text.split_at(text.len() - scale);
    let sign = if digits < 0 { "-" } else { "" };
    if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(engine_type: &str) -> SourceColumn {
        let column_type = super::super::column_types::natural(engine_type, 2);
        SourceColumn {
            name: "c\"d".into(),
            engine_type: engine_type.into(),
            column_type,
            nullable: true,
            comment: None,
        }
    }

    #[test]
    fn literals_compare_in_the_columns_type() {
        for (engine_type, value, expected) in [
            ("bigint", Value::Integer(-5), "('-5'::bigint)"),
            ("smallint", Value::Integer(40_000), "('40000'::bigint)"),
            ("bigint", Value::Integer(i128::from(i64::MAX) + 1), "('9223372036854775808'::numeric)"),
            ("date", Value::Date(i32::MIN), "('-infinity'::date)"),
            ("timestamp with time zone", Value::Timestamp(i64::MIN), "('-infinity'::timestamp with time zone)"),
            ("numeric(12,2)", Value::Decimal(-5, 2), "('-0.05'::numeric)"),
            ("date", Value::Date(0), "('1970-01-01'::date)"),
            (
                "timestamp(0) without time zone",
                Value::Timestamp(1),
                "('1970-01-01 00:00:00.000001'::timestamp without time zone)",
            ),
            ("timestamp with time zone", Value::Timestamp(0), "('1970-01-01 00:00:00+00'::timestamp with time zone)"),
            (
                "timestamp with time zone",
                Value::Timestamp(-62_135_596_800_000_001),
                "('0001-12-31 23:59:59.999999+00 BC'::timestamp with time zone)",
            ),
            ("character varying(3)", Value::Text("it's \\ 'so'".into()), "('it''s \\ ''so'''::character varying)"),
            ("character(3)", Value::Text("a".into()), "('a'::pg_catalog.bpchar)"),
            ("public.mood enum", Value::Text("sad".into()), "('sad'::public.mood)"),
            ("bytea", Value::Bytes(vec![0, 255]), "('\\x00ff'::bytea)"),
        ] {
            assert_eq!(PostgresDialect.literal(&value, &column(engine_type)), expected);
        }
    }

    #[test]
    fn what_is_selected() {
        for (engine_type, expected) in [
            ("integer", "t.\"c\"\"d\""),
            ("interval", "t.\"c\"\"d\"::pg_catalog.text"),
            ("interval[]", "t.\"c\"\"d\"::pg_catalog.text[]"),
            ("public.address composite", "pg_catalog.to_json(t.\"c\"\"d\")"),
            ("\"Geo\".geography geometry", "\"Geo\".st_asewkb(t.\"c\"\"d\"::\"Geo\".geometry)"),
        ] {
            assert_eq!(PostgresDialect.select(&column(engine_type), "t"), expected);
        }
    }
}
