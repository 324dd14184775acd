//! Conditions on single rows, as SQL.

use thalweg_project::{ColumnType, TestKind};

use crate::dialect::{Dialect, InvalidName};
use crate::statement::relation::qualified;

/// A condition every row must satisfy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowCondition {
    /// Why a row that does not satisfy it is rejected.
    pub reason: String,
    /// An SQL expression, true for good rows; NULL and false mean bad.
    pub sql: String,
}

/// The condition of a test that looks at each row alone; `None` for the other tests.
pub fn row_condition(dialect: &dyn Dialect, alias: &str, kind: &TestKind) -> Result<Option<String>, InvalidName> {
    Ok(Some(match kind {
        TestKind::NotNull { column } => format!("{} is not null", qualified(dialect, alias, column)?),
        TestKind::AcceptedValues { column, values } => {
            let column = qualified(dialect, alias, column)?;
            let values: Vec<String> = values.iter().map(|value| literal(dialect, value)).collect();
            if values.is_empty() {
                format!("{column} is null")
            } else {
                format!("({column} is null or {column} in ({}))", values.join(", "))
            }
        }
        TestKind::AcceptedRange { column, min, max, inclusive } => {
            let column = qualified(dialect, alias, column)?;
            let equal = if *inclusive { "=" } else { "" };
            let mut parts = Vec::new();
            if let Some(min) = min {
                parts.push(format!("{column} >{equal} {}", bound(min)));
            }
            if let Some(max) = max {
                parts.push(format!("{column} <{equal} {}", bound(max)));
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
/// Truth values and numbers mark by being true or not zero, texts by `1`, `t`, `true`, `y` or `yes` in any case, dates and
/// timestamps by not being NULL. NULL never marks.
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
            format!("coalesce(lower(trim({column})) in ('1', 't', 'true', 'y', 'yes'), false)")
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
        row_condition(&DuckDb, "t", kind).expect("good names").expect("a row condition")
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
