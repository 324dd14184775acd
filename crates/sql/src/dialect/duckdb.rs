//! DuckDB's spelling.

use thalweg_project::ColumnType;

use super::portable::{between, instead_for_duckdb};
use super::{Dialect, Grammar, InvalidName};

/// Types whose values are added without rounding, beside decimals.
const EXACT: [&str; 10] =
    ["TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "BOOLEAN"];

/// Other types of which equal values are identical.
const GROUPED: [&str; 9] = [
    "VARCHAR",
    "DATE",
    "TIME",
    "TIMESTAMP",
    "TIMESTAMP_S",
    "TIMESTAMP_MS",
    "TIMESTAMP_NS",
    "TIMESTAMP WITH TIME ZONE",
    "UUID",
];

/// The embedded engine.
#[derive(Debug, Clone, Copy)]
pub struct DuckDb;

impl Dialect for DuckDb {
    fn name(&self) -> &'static str {
        "duckdb"
    }

    fn grammar(&self) -> Grammar {
        Grammar::DuckDb
    }

    /// DuckDB's `VARCHAR` may hold NUL but its statements may not, so NUL is written as `chr(0)`.
    fn literal_text(&self, text: &str) -> String {
        let quoted = |part: &str| format!("'{}'", part.replace('\'', "''"));
        if !text.contains('\0') {
            return quoted(text);
        }
        let parts: Vec<String> = text.split('\0').map(quoted).collect();
        format!("({})", parts.join(" || chr(0) || "))
    }

    fn type_name(&self, column_type: &ColumnType) -> String {
        match column_type {
            ColumnType::Boolean => "BOOLEAN".to_owned(),
            ColumnType::SmallInt => "SMALLINT".to_owned(),
            ColumnType::Integer => "INTEGER".to_owned(),
            ColumnType::BigInt => "BIGINT".to_owned(),
            ColumnType::Decimal(precision, scale) => format!("DECIMAL({precision},{scale})"),
            ColumnType::Real => "FLOAT".to_owned(),
            ColumnType::Double => "DOUBLE".to_owned(),
            ColumnType::Date => "DATE".to_owned(),
            ColumnType::Time => "TIME".to_owned(),
            ColumnType::Timestamp => "TIMESTAMP".to_owned(),
            ColumnType::Text => "VARCHAR".to_owned(),
            ColumnType::Json => "JSON".to_owned(),
            ColumnType::Blob => "BLOB".to_owned(),
            ColumnType::List(item) => format!("{}[]", self.type_name(item)),
        }
    }

    fn column_type(&self, type_name: &str) -> Option<ColumnType> {
        let name = type_name.trim().to_ascii_uppercase();
        if let Some(item) = name.strip_suffix("[]") {
            return Some(ColumnType::List(Box::new(self.column_type(item)?)));
        }
        Some(match name.as_str() {
            "BOOLEAN" | "BOOL" | "LOGICAL" => ColumnType::Boolean,
            "TINYINT" | "INT1" | "UTINYINT" | "SMALLINT" | "INT2" | "SHORT" => ColumnType::SmallInt,
            "USMALLINT" | "INTEGER" | "INT" | "INT4" | "SIGNED" => ColumnType::Integer,
            "UINTEGER" | "BIGINT" | "INT8" | "LONG" => ColumnType::BigInt,
            "UBIGINT" => ColumnType::Decimal(20, 0),
            "REAL" | "FLOAT" | "FLOAT4" => ColumnType::Real,
            "DOUBLE" | "FLOAT8" | "DOUBLE PRECISION" => ColumnType::Double,
            "DATE" => ColumnType::Date,
            "TIME" => ColumnType::Time,
            "TIMESTAMP" | "DATETIME" | "TIMESTAMP_S" | "TIMESTAMP_MS" | "TIMESTAMP WITHOUT TIME ZONE" => {
                ColumnType::Timestamp
            }
            "VARCHAR" | "TEXT" | "STRING" | "CHAR" | "BPCHAR" => ColumnType::Text,
            "JSON" => ColumnType::Json,
            "BLOB" | "BYTEA" | "BINARY" | "VARBINARY" => ColumnType::Blob,
            "DECIMAL" | "NUMERIC" => ColumnType::Decimal(18, 3),
            _ if name.starts_with("DECIMAL(") || name.starts_with("NUMERIC(") => name.parse().ok()?,
            // HUGEINT, UUID, ENUM, INTERVAL, STRUCT, MAP, zoned and nanosecond timestamps have values no column type holds.
            _ => return None,
        })
    }

    fn try_convert(&self, expression: &str, type_name: &str) -> String {
        format!("try_cast({expression} as {type_name})")
    }

    fn is_same(&self, left: &str, right: &str, type_name: &str) -> String {
        let name = type_name.trim().to_ascii_uppercase();
        match name.as_str() {
            // NaN equals NaN in DuckDB; only the sign of zero is lost.
            "DOUBLE" | "FLOAT" | "REAL" => format!(
                "({left} IS NOT DISTINCT FROM {right} AND signbit({left}) IS NOT DISTINCT FROM signbit({right}))"
            ),
            _ if compares_by_image(&name) => {
                format!("(({left})::VARCHAR IS NOT DISTINCT FROM ({right})::VARCHAR)")
            }
            _ => format!("({left} IS NOT DISTINCT FROM {right})"),
        }
    }

    fn comparison_image(&self, expression: &str, type_name: &str) -> String {
        let name = type_name.trim().to_ascii_uppercase();
        match name.as_str() {
            "DOUBLE" => format!("format('{{:.11e}}', {expression})"),
            "FLOAT" | "REAL" => format!("format('{{:.5e}}', {expression})"),
            _ if compares_by_image(&name) || name == "JSON" => format!("({expression})::VARCHAR"),
            _ => expression.to_owned(),
        }
    }

    fn identity_image(&self, expression: &str, type_name: &str) -> String {
        let name = type_name.trim().to_ascii_uppercase();
        match name.as_str() {
            // The shortest text that reads back as the same number, with the sign of zero.
            "DOUBLE" | "FLOAT" | "REAL" | "JSON" => format!("({expression})::VARCHAR"),
            _ if compares_by_image(&name) => format!("({expression})::VARCHAR"),
            _ => expression.to_owned(),
        }
    }

    fn instead(&self, message: &str) -> Option<String> {
        instead_for_duckdb(between(message, "Scalar Function with name ", " ").or_else(|| {
            between(message, "Aggregate Function with name ", " ")
                .or_else(|| between(message, "Function with name ", " "))
        })?)
    }

    fn quotient(&self, number: &str, divisor: i64) -> String {
        // A single slash makes a floating-point number here.
        format!("cast({number} // {divisor} as integer)")
    }

    fn has_bit(&self, digits: &str, place: &str) -> String {
        format!("get_bit(cast('{digits}' as bit), {place}) = 1")
    }

    fn sum_type(&self, type_name: &str) -> Option<String> {
        let name = type_name.to_uppercase();
        if EXACT.contains(&name.as_str()) {
            return Some("HUGEINT".to_owned());
        }
        let scale =
            name.strip_prefix("DECIMAL(")?.strip_suffix(')')?.split_once(',').map_or("0", |(_, scale)| scale.trim());
        Some(format!("DECIMAL(38,{scale})"))
    }

    fn equals_exactly(&self, type_name: &str) -> bool {
        let name = type_name.to_uppercase();
        self.sum_type(&name).is_some() || GROUPED.contains(&name.as_str())
    }

    fn has_illegible_types(&self) -> bool {
        true
    }

    /// Times lose their zones on the way and large numbers their sign, the others come as what they are stored as; `VARIANT` does not come at all.
    fn is_illegible(&self, type_name: &str) -> bool {
        let name = type_name.trim().to_uppercase();
        name == "BIT" || ["VARIANT", "BIGNUM", "UHUGEINT", "TIME WITH TIME ZONE"].iter().any(|part| name.contains(part))
    }

    fn row_identifier(&self) -> &'static str {
        "rowid"
    }

    fn row_literal(&self, text: &str) -> String {
        format!("cast({} as bigint)", self.literal_text(text))
    }

    fn count_distinct(&self, relation: &str, columns: &str) -> String {
        format!("select approx_count_distinct(hash({columns})) from {relation} t")
    }

    fn digests(&self, expressions: &[String]) -> [String; 2] {
        let sum = |values: Vec<&str>| format!("sum(cast(hash({}) as hugeint))", values.join(", "));
        let mark = "'thalweg'";
        let forth = expressions.iter().map(String::as_str).chain([mark]).collect();
        let back = [mark].into_iter().chain(expressions.iter().rev().map(String::as_str)).collect();
        [sum(forth), sum(back)]
    }

    fn is_sampled(&self, expressions: &str, seed: i64, per_million: u64) -> String {
        format!("hash({seed}, {expressions}) % 1000000 < {per_million}")
    }

    fn row_as_json(&self, alias: &str, columns: &[&str]) -> Result<String, InvalidName> {
        let mut fields = Vec::with_capacity(columns.len());
        for column in columns {
            let quoted = self.quote_identifier(column)?;
            fields.push(format!("{quoted} := {alias}.{quoted}"));
        }
        Ok(format!("to_json(struct_pack({}))::VARCHAR", fields.join(", ")))
    }
}

/// Whether a type, or one nested in it, has values that are equal and yet not identical.
fn compares_by_image(type_name: &str) -> bool {
    let nested = type_name.ends_with(']')
        || type_name.starts_with("STRUCT")
        || type_name.starts_with("MAP")
        || type_name.starts_with("UNION");
    type_name == "INTERVAL"
        || type_name == "TIME WITH TIME ZONE"
        || (nested
            && ["DOUBLE", "FLOAT", "REAL", "INTERVAL", "TIME WITH TIME ZONE"]
                .iter()
                .any(|part| type_name.contains(part)))
}

#[cfg(test)]
mod tests {
    use thalweg_project::TableName;

    use super::*;
    use crate::dialect::InvalidName;

    #[test]
    fn identifiers_are_always_quoted() {
        assert_eq!(DuckDb.quote_identifier("order"), Ok("\"order\"".to_owned()));
        assert_eq!(DuckDb.quote_identifier("a\"; drop table x --"), Ok("\"a\"\"; drop table x --\"".to_owned()));
        assert_eq!(DuckDb.quote_identifier(""), Err(InvalidName::Empty));
        assert_eq!(DuckDb.quote_identifier("a\0b"), Err(InvalidName::Nul("a␀b".to_owned())));
    }

    #[test]
    fn texts_are_literals_whatever_they_hold() {
        assert_eq!(DuckDb.literal_text("it's"), "'it''s'");
        assert_eq!(DuckDb.literal_text("back\\slash"), "'back\\slash'");
        assert_eq!(DuckDb.literal_text("a\0b"), "('a' || chr(0) || 'b')");
    }

    #[test]
    fn published_tables_carry_the_prefix() {
        let table = TableName::new("store", "order_lines");
        assert_eq!(DuckDb.published_table(&table, ""), Ok("\"store\".\"order_lines\"".to_owned()));
        assert_eq!(DuckDb.published_table(&table, "dev_ana_"), Ok("\"dev_ana_store\".\"order_lines\"".to_owned()));
    }

    #[test]
    fn types_there_and_back() {
        let types = [
            "boolean",
            "smallint",
            "integer",
            "bigint",
            "decimal(18,2)",
            "real",
            "double",
            "date",
            "time",
            "timestamp",
            "text",
            "json",
            "blob",
            "list(text)",
            "list(list(decimal(4,1)))",
        ];
        for text in types {
            let column_type: ColumnType = text.parse().expect("a type");
            let name = DuckDb.type_name(&column_type);
            assert_eq!(DuckDb.column_type(&name), Some(column_type), "{name}");
        }
        assert_eq!(DuckDb.column_type("utinyint"), Some(ColumnType::SmallInt));
        for name in [
            "HUGEINT",
            "STRUCT(a INTEGER)",
            "TIMESTAMP WITH TIME ZONE",
            "INTEGER[3]",
            "DECIMAL(40,2)",
            "STRUCT(a INTEGER)[]",
        ] {
            assert_eq!(DuckDb.column_type(name), None, "{name}");
        }
    }

    #[test]
    fn same_means_identical() {
        assert_eq!(DuckDb.is_same("a.x", "b.x", "BIGINT"), "(a.x IS NOT DISTINCT FROM b.x)");
        assert_eq!(
            DuckDb.is_same("a.x", "b.x", "DOUBLE"),
            "(a.x IS NOT DISTINCT FROM b.x AND signbit(a.x) IS NOT DISTINCT FROM signbit(b.x))"
        );
        assert_eq!(DuckDb.is_same("a.x", "b.x", "DOUBLE[]"), "((a.x)::VARCHAR IS NOT DISTINCT FROM (b.x)::VARCHAR)");
        assert_eq!(DuckDb.is_same("a.x", "b.x", "INTERVAL"), "((a.x)::VARCHAR IS NOT DISTINCT FROM (b.x)::VARCHAR)");
    }
}
