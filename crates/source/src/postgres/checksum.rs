//! Checksums, ranges and marks as Postgres computes them; see [`crate::database::checksum`].

use thalweg_project::ColumnType;

use super::column_types::{Class, EngineType, natural};
use super::dialect::{PostgresDialect, literal_text, quoted};
use crate::database::checksum::is_textual;
use crate::database::{Dialect, SourceColumn, Value};

/// See [`Dialect::row_hash`].
pub(super) fn row_hash(columns: &[(&SourceColumn, &ColumnType)]) -> Option<String> {
    let mut parts = Vec::new();
    for (column, stored) in columns {
        let text = written(column, stored)?;
        if is_textual(stored) {
            parts.push(format!("coalesce(pg_catalog.octet_length({text})::pg_catalog.text, '')"));
        }
        parts.push(format!("coalesce({text}, '')"));
    }
    Some(format!(
        "pg_catalog.hashtextextended(pg_catalog.concat_ws(',', {}) collate pg_catalog.\"C\", 0)",
        parts.join(", ")
    ))
}

/// See [`Dialect::text_hash`].
pub(super) fn text_hash(text: &str) -> String {
    format!("pg_catalog.hashtextextended({} collate pg_catalog.\"C\", 0)", literal_text(text))
}

/// A value as this program writes it.
fn written(column: &SourceColumn, stored: &ColumnType) -> Option<String> {
    let parsed = EngineType::parse(&column.engine_type);
    let name = quoted(&column.name);
    let text = format!("{name}::pg_catalog.text");
    if parsed.dimensions > 0 {
        return None;
    }
    let finite = |text: String| format!("case when pg_catalog.isfinite({name}) then {text} end");
    Some(match (stored, parsed.name.as_str()) {
        (ColumnType::Boolean, "boolean") => format!("{name}::pg_catalog.int4::pg_catalog.text"),
        (
            ColumnType::SmallInt | ColumnType::Integer | ColumnType::BigInt | ColumnType::Decimal(_, 0),
            "smallint" | "integer" | "bigint" | "oid" | "xid" | "cid" | "xid8",
        ) => text,
        (ColumnType::Decimal(_, scale), "numeric") if matches!(column.column_type, ColumnType::Decimal(_, own) if own <= *scale) =>
        {
            format!("nullif(pg_catalog.round({name}, {scale})::pg_catalog.text, 'NaN')")
        }
        (ColumnType::Decimal(_, scale), "money") => {
            format!("pg_catalog.round({name}::pg_catalog.numeric, {scale})::pg_catalog.text")
        }
        (ColumnType::Real, "real") => {
            format!("pg_catalog.upper(pg_catalog.encode(pg_catalog.float4send({name}), 'hex'))")
        }
        (ColumnType::Double, "double precision") => {
            format!("pg_catalog.upper(pg_catalog.encode(pg_catalog.float8send({name}), 'hex'))")
        }
        (ColumnType::Date, "date") | (ColumnType::Timestamp, "timestamp without time zone") => finite(text),
        (ColumnType::Timestamp, "timestamp with time zone") => {
            finite(format!("({name} at time zone 'UTC')::pg_catalog.text"))
        }
        (ColumnType::Time, "time without time zone") => text,
        (ColumnType::Blob, "bytea") => format!("pg_catalog.upper(pg_catalog.encode({name}, 'hex'))"),
        (ColumnType::Json, "json" | "jsonb") => text,
        (ColumnType::Json, _) if matches!(parsed.class, Some(Class::Composite | Class::Hstore)) => {
            format!("{}::pg_catalog.text", PostgresDialect.select(column, ""))
        }
        (ColumnType::Text, "inet") => format!("pg_catalog.inet_out({name})::pg_catalog.text"),
        (ColumnType::Text, _)
            if natural(&column.engine_type, 2) == ColumnType::Text && parsed.class != Some(Class::Geometry) =>
        {
            text
        }
        _ => return None,
    })
}

/// See [`Dialect::ordered`].
pub(super) fn ordered(column: &SourceColumn) -> Option<String> {
    let name = quoted(&column.name);
    let parsed = EngineType::parse(&column.engine_type);
    match (&column.column_type, parsed.name.as_str()) {
        _ if parsed.dimensions > 0 => None,
        (ColumnType::SmallInt, "smallint")
        | (ColumnType::Integer, "integer")
        | (ColumnType::BigInt, "bigint")
        | (ColumnType::Decimal(..), "numeric")
        | (ColumnType::Date, "date")
        | (ColumnType::Timestamp, "timestamp without time zone" | "timestamp with time zone") => Some(name),
        (ColumnType::Text, _) => Some(format!("({} collate pg_catalog.\"C\")", written(column, &ColumnType::Text)?)),
        _ => None,
    }
}

/// See [`Dialect::bound`].
pub(super) fn bound(value: &Value, column: &SourceColumn) -> String {
    match value {
        Value::Text(text) => format!("({}::pg_catalog.text)", literal_text(text)),
        value => PostgresDialect.literal(value, column),
    }
}

/// See [`Dialect::range_number`].
pub(super) fn range_number(column: &SourceColumn, inner: &[Value]) -> Option<String> {
    if inner.is_empty() {
        return Some("0".to_owned());
    }
    let bounds: Vec<String> = inner.iter().map(|value| bound(value, column)).collect();
    Some(format!("pg_catalog.width_bucket({}, array[{}])", ordered(column)?, bounds.join(", ")))
}

/// See [`Dialect::is_marked`].
pub(super) fn is_marked(column: &SourceColumn, stored: &ColumnType) -> Option<String> {
    let name = quoted(&column.name);
    let parsed = EngineType::parse(&column.engine_type);
    let condition = match (stored, parsed.name.as_str()) {
        _ if parsed.dimensions > 0 || natural(&column.engine_type, 2) != column.column_type => return None,
        (ColumnType::Boolean, "boolean") => name,
        // NaN does not fit, and marks nothing.
        (ColumnType::Decimal(..), "numeric") => format!("{name} <> 0 and {name} <> 'NaN'"),
        (_, "smallint" | "integer" | "bigint" | "real" | "double precision") if *stored != ColumnType::Text => {
            format!("{name} <> 0")
        }
        (ColumnType::Text, "text" | "character varying" | "character") => {
            let text = format!("pg_catalog.lower(pg_catalog.btrim({name}::pg_catalog.text) collate pg_catalog.\"C\")");
            format!(
                "({text} in ('t', 'true', 'y', 'yes') or (pg_catalog.translate({text}, '0123456789.+- :tze', '') = '' \
                 and pg_catalog.translate({text}, '0.+- :tze', '') <> ''))"
            )
        }
        (ColumnType::Date, "date")
        | (ColumnType::Timestamp, "timestamp without time zone" | "timestamp with time zone") => {
            format!("pg_catalog.isfinite({name})")
        }
        _ => return None,
    };
    Some(format!("coalesce({condition}, false)"))
}
