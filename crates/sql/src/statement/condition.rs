//! Conditions on single rows, as SQL.

use thalweg_project::{ColumnType, TestKind};

use crate::dialect::{Dialect, InvalidName};
use crate::statement::relation::{TypedColumn, qualified};

/// A condition every row must satisfy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowCondition {
    /// Why a row that does not satisfy it is rejected.
    pub reason: String,
    /// An SQL expression, true for good rows; NULL and false mean bad.
    pub sql: String,
}

/// The condition of a test that looks at each row alone; `None` for the other tests.
///
/// `columns` are those of the table, as far as they are known: what a value of another type would be compared with is then decided
/// here, where the engine would raise an error at the first row that cannot be converted.
pub fn row_condition(
    dialect: &dyn Dialect,
    alias: &str,
    columns: &[TypedColumn],
    kind: &TestKind,
) -> Result<Option<String>, InvalidName> {
    let type_of = |name: &str| {
        columns.iter().find(|column| column.name.eq_ignore_ascii_case(name)).map(|column| column.engine_type.as_str())
    };
    let is_text = |name: &str| type_of(name).is_some_and(|name| dialect.column_type(name) == Some(ColumnType::Text));
    Ok(Some(match kind {
        TestKind::NotNull { column } => format!("{} is not null", qualified(dialect, alias, column)?),
        TestKind::AcceptedValues { column, values } => {
            let values: Vec<String> = values
                .iter()
                .map(|value| match (value, type_of(column)) {
                    (value, Some(_)) if is_text(column) => literal(dialect, &as_text(value)),
                    (serde_json::Value::String(text), Some(type_name)) => {
                        dialect.try_convert(&dialect.literal_text(text), type_name)
                    }
                    _ => literal(dialect, value),
                })
                .collect();
            let column = qualified(dialect, alias, column)?;
            if values.is_empty() {
                format!("{column} is null")
            } else {
                format!("({column} is null or {column} in ({}))", values.join(", "))
            }
        }
        TestKind::AcceptedRange { column, min, max, inclusive } => {
            let is_text = is_text(column);
            let column = qualified(dialect, alias, column)?;
            let equal = if *inclusive { "=" } else { "" };
            // Beside a number, a text is what it says as a number.
            let compared = |bound: &serde_json::Value| match bound.is_number() && is_text {
                true => dialect.try_convert(&column, &dialect.type_name(&ColumnType::Double)),
                false => column.clone(),
            };
            let mut parts = Vec::new();
            if let Some(min) = min {
                parts.push(format!("{} >{equal} {}", compared(min), bound(min)));
            }
            if let Some(max) = max {
                parts.push(format!("{} <{equal} {}", compared(max), bound(max)));
            }
            if parts.is_empty() {
                "true".to_owned()
            } else {
                format!("({column} is null or ({}))", parts.join(" and "))
            }
        }
        TestKind::ExpressionIsTrue { expression, column: None } => format!("({expression})"),
        TestKind::ExpressionIsTrue { expression, column: Some(column) } => {
            format!("({} {expression})", qualified(dialect, alias, column)?)
        }
        TestKind::Unique { .. }
        | TestKind::Relationships { .. }
        | TestKind::RowCount { .. }
        | TestKind::Freshness { .. }
        | TestKind::Sql { .. } => return Ok(None),
    }))
}

/// A value of the project's files as it is written.
fn as_text(value: &serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Bool(_) | serde_json::Value::Number(_) => serde_json::Value::String(value.to_string()),
        other => other.clone(),
    }
}

/// A value of the project's files as a literal.
fn literal(dialect: &dyn Dialect, value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Null => "null".to_owned(),
        serde_json::Value::Bool(value) => value.to_string(),
        serde_json::Value::Number(value) => value.to_string(),
        serde_json::Value::String(text) => dialect.literal_text(text),
        other => dialect.literal_text(&other.to_string()),
    }
}

/// A bound: a number, or a text that is SQL already.
fn bound(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(sql) => format!("({sql})"),
        other => other.to_string(),
    }
}

/// An expression that is true when a soft-delete column marks its row as deleted.
///
/// Truth values and numbers mark by being true or not zero, dates and timestamps by not being NULL, texts by `t`, `true`, `y` or `yes` in any
/// case and by being a number or a date as these mark: digits and what stands between them, with one other than 0. NULL never marks. The
/// database sources have the same rule in their own words.
pub fn is_marked(column: &str, column_type: &ColumnType) -> String {
    match column_type {
        ColumnType::Boolean => format!("coalesce({column}, false)"),
        ColumnType::SmallInt
        | ColumnType::Integer
        | ColumnType::BigInt
        | ColumnType::Decimal(..)
        | ColumnType::Real
        | ColumnType::Double => format!("coalesce({column} <> 0, false)"),
        ColumnType::Text | ColumnType::Json => {
            let text = format!("cast({column} as varchar)");
            let text = if *column_type == ColumnType::Json { format!("replace({text}, '\"', '')") } else { text };
            let text = format!("lower(trim({text}))");
            format!(
                "coalesce({text} in ('t', 'true', 'y', 'yes') or (translate({text}, '0123456789.+- :tze', '') = '' \
                 and translate({text}, '0.+- :tze', '') <> ''), false)"
            )
        }
        ColumnType::Date | ColumnType::Time | ColumnType::Timestamp | ColumnType::Blob | ColumnType::List(_) => {
            format!("({column} is not null)")
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::dialect::duckdb::DuckDb;

    fn condition(kind: &TestKind) -> String {
        let column = |name: &str, engine_type: &str| TypedColumn { name: name.into(), engine_type: engine_type.into() };
        let columns = [column("text", "VARCHAR"), column("day", "DATE"), column("number", "BIGINT")];
        row_condition(&DuckDb, "t", &columns, kind).expect("good names").expect("a row condition")
    }

    #[test]
    fn values_of_another_type_than_the_column() {
        let accepted = |column: &str, values: &[serde_json::Value]| {
            condition(&TestKind::AcceptedValues { column: column.into(), values: values.to_vec() })
        };
        assert_eq!(
            accepted("text", &[json!(1), json!(true), json!("x")]),
            r#"(t."text" is null or t."text" in ('1', 'true', 'x'))"#
        );
        assert_eq!(
            accepted("day", &[json!("2026-01-31")]),
            r#"(t."day" is null or t."day" in (try_cast('2026-01-31' as DATE)))"#
        );
        assert_eq!(
            accepted("number", &[json!(1), json!("one")]),
            r#"(t."number" is null or t."number" in (1, try_cast('one' as BIGINT)))"#
        );
        let kind = TestKind::AcceptedRange {
            column: "text".into(),
            min: Some(json!(0)),
            max: Some(json!("'z'")),
            inclusive: true,
        };
        assert_eq!(
            condition(&kind),
            r#"(t."text" is null or (try_cast(t."text" as DOUBLE) >= 0 and t."text" <= ('z')))"#
        );
    }

    #[test]
    fn values_and_ranges() {
        let kind = TestKind::AcceptedValues { column: "a".into(), values: vec![json!("it's"), json!(1), json!(true)] };
        assert_eq!(condition(&kind), r#"(t."a" is null or t."a" in ('it''s', 1, true))"#);
        let kind = TestKind::AcceptedRange { column: "a".into(), min: Some(json!(0)), max: None, inclusive: false };
        assert_eq!(condition(&kind), r#"(t."a" is null or (t."a" > 0))"#);
        let kind = TestKind::AcceptedRange {
            column: "a".into(),
            min: None,
            max: Some(json!("current_date")),
            inclusive: true,
        };
        assert_eq!(condition(&kind), r#"(t."a" is null or (t."a" <= (current_date)))"#);
    }

    #[test]
    fn expressions_below_a_column() {
        let kind = TestKind::ExpressionIsTrue { expression: ">= 0".into(), column: Some("a b".into()) };
        assert_eq!(condition(&kind), r#"(t."a b" >= 0)"#);
    }
}
