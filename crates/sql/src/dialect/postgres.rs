//! Postgres' spelling.
//!
//! Types are named as `format_type` names them, so that a type that was asked for is the type that is told.

mod partitions;

use thalweg_project::ColumnType;

use super::partitions::Partitions;
use super::portable::{between, instead_for_postgres};
use super::{Dialect, Grammar, InvalidName, NewIndex};
use crate::parser::cast_to;
use crate::statement::relation::RUN_COLUMN;

/// Longer names are cut by the server, so that two of them may become one.
const LONGEST_NAME: usize = 63;

/// Values and ranges that are kept of a column where a rough picture is enough.
pub const ROUGH_STATISTICS: u32 = 20;

/// Whole numbers.
const EXACT: [&str; 3] = ["smallint", "integer", "bigint"];

/// Where two types of a list meet, the later one is what both are brought to.
const LADDERS: [&[&str]; 2] = [
    &["smallint", "integer", "bigint", "numeric", "real", "double precision"],
    &["date", "timestamp without time zone", "timestamp with time zone"],
];

/// Other types of which equal values are identical.
const GROUPED: [&str; 9] = [
    "boolean",
    "text",
    "character varying",
    "date",
    "time without time zone",
    "timestamp without time zone",
    "timestamp with time zone",
    "uuid",
    "bytea",
];

/// Types that have no order.
const UNORDERED: [&str; 14] = [
    "json",
    "jsonpath",
    "xml",
    "point",
    "line",
    "lseg",
    "box",
    "path",
    "polygon",
    "circle",
    "pg_snapshot",
    "txid_snapshot",
    "aclitem",
    "refcursor",
];

/// A Postgres server, from version 13 on.
#[derive(Debug, Clone, Copy)]
pub struct Postgres;

impl Dialect for Postgres {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn grammar(&self) -> Grammar {
        Grammar::Postgres
    }

    fn longest_name(&self) -> Option<usize> {
        Some(LONGEST_NAME)
    }

    /// As standard SQL writes it: `standard_conforming_strings` is on in every connection. A text with NUL is none to Postgres, which
    /// says so.
    fn literal_text(&self, text: &str) -> String {
        format!("'{}'", text.replace('\'', "''"))
    }

    fn type_name(&self, column_type: &ColumnType) -> String {
        match column_type {
            ColumnType::Boolean => "boolean".to_owned(),
            ColumnType::SmallInt => "smallint".to_owned(),
            ColumnType::Integer => "integer".to_owned(),
            ColumnType::BigInt => "bigint".to_owned(),
            ColumnType::Decimal(precision, scale) => format!("numeric({precision},{scale})"),
            ColumnType::Real => "real".to_owned(),
            ColumnType::Double => "double precision".to_owned(),
            ColumnType::Date => "date".to_owned(),
            ColumnType::Time => "time without time zone".to_owned(),
            ColumnType::Timestamp => "timestamp without time zone".to_owned(),
            ColumnType::Text => "text".to_owned(),
            ColumnType::Json => "jsonb".to_owned(),
            ColumnType::Blob => "bytea".to_owned(),
            // Arrays of arrays must be rectangular here, lists of lists need not.
            ColumnType::List(item) if matches!(**item, ColumnType::List(_)) => "jsonb".to_owned(),
            ColumnType::List(item) => format!("{}[]", self.type_name(item)),
        }
    }

    fn column_type(&self, type_name: &str) -> Option<ColumnType> {
        let name = type_name.trim().to_ascii_lowercase();
        if let Some(item) = name.strip_suffix("[]") {
            return Some(ColumnType::List(Box::new(self.column_type(item)?)));
        }
        Some(match name.as_str() {
            "boolean" | "bool" => ColumnType::Boolean,
            "smallint" | "int2" => ColumnType::SmallInt,
            "integer" | "int" | "int4" => ColumnType::Integer,
            "bigint" | "int8" => ColumnType::BigInt,
            "real" | "float4" => ColumnType::Real,
            "double precision" | "float8" => ColumnType::Double,
            "date" => ColumnType::Date,
            "time" | "time without time zone" => ColumnType::Time,
            "timestamp" | "timestamp without time zone" => ColumnType::Timestamp,
            "text" | "character varying" | "varchar" | "name" => ColumnType::Text,
            "json" | "jsonb" => ColumnType::Json,
            "bytea" => ColumnType::Blob,
            _ if name.starts_with("character varying(") || name.starts_with("varchar(") => ColumnType::Text,
            _ if name.starts_with("numeric(") => name.replacen("numeric", "decimal", 1).parse().ok()?,
            _ if name.starts_with("decimal(") => name.parse().ok()?,
            // A numeric without precision, a time zone, a UUID: no column type holds all their values.
            _ => return None,
        })
    }

    /// A cast that fails is an error here, which only a function can forgive. A text that is a whole number with a point is one.
    fn preparations(&self) -> Vec<String> {
        vec![
            "create or replace function thalweg.convertible(value text, type_name text) returns text language plpgsql stable as $$ \
             declare answer text; \
             begin \
               if value is null then return null; end if; \
               if type_name in ('smallint', 'integer', 'bigint') then \
                 execute format('select cast(cast(%L as numeric) as %s)::text', value, type_name) into answer; \
               else \
                 execute format('select cast(%L as %s)::text', value, type_name) into answer; \
               end if; \
               return answer; \
             exception when data_exception or feature_not_supported then return null; \
             end $$"
                .to_owned(),
        ]
    }

    fn try_convert(&self, expression: &str, type_name: &str) -> String {
        format!(
            "cast(thalweg.convertible(cast({expression} as text), '{}') as {type_name})",
            type_name.replace('\'', "''")
        )
    }

    fn same(&self, left: &str, right: &str, may_be_null: bool, type_name: Option<&str>) -> String {
        if !may_be_null {
            return format!("{left} = {right}");
        }
        // `is not distinct from` joins by comparing every row with every other. Arrays are equal when their elements are, NULL
        // beside NULL included, and are joined by hashing.
        let same = format!("array[{left}] = array[{right}]");
        // Of a type that is not known by name nobody knows whether it is one of lists.
        if type_name.is_some_and(|name| is_short(name) || self.equals_exactly(name) || name == "numeric") {
            return same;
        }
        // An array of arrays is one of more dimensions, in which one without elements and NULL are not told apart.
        format!("{same} and ({left} is null) = ({right} is null)")
    }

    fn needs_types(&self) -> bool {
        true
    }

    fn common_type(&self, one: &str, other: &str) -> Option<String> {
        if one == other {
            return Some(one.to_owned());
        }
        if is_text(one) && is_text(other) {
            return Some("text".to_owned());
        }
        let place = |ladder: &[&str], name: &str| {
            let name = if self.has_scales(name) { "numeric" } else { name };
            ladder.iter().position(|rung| *rung == name)
        };
        let higher = |ladder: &[&str]| Some(place(ladder, one)?.max(place(ladder, other)?));
        LADDERS.iter().find_map(|ladder| Some(ladder[higher(ladder)?].to_owned()))
    }

    fn type_of_cast(&self, expression: &str) -> Option<String> {
        let name = cast_to(expression, self)?;
        match self.column_type(&name)? {
            // The same values, and another type.
            ColumnType::Text if name == "varchar" || name == "character varying" => {
                Some("character varying".to_owned())
            }
            ColumnType::Text if name != "text" => None,
            column_type => Some(self.type_name(&column_type)),
        }
    }

    fn is_same(&self, left: &str, right: &str, type_name: &str) -> String {
        format!(
            "({} is not distinct from {})",
            self.identity_image(left, type_name),
            self.identity_image(right, type_name)
        )
    }

    fn comparison_image(&self, expression: &str, type_name: &str) -> String {
        let digits = match type_name.trim().to_ascii_lowercase().as_str() {
            "double precision" => "9.99999999999EEEE",
            "real" => "9.99999EEEE",
            // Of equal decimals a query may answer any: the greatest, the value of a group.
            "numeric" => return format!("trim_scale({expression})"),
            _ => return self.identity_image(expression, type_name),
        };
        format!(
            "case when {expression} in ('NaN', 'Infinity', '-Infinity') then ({expression})::text else to_char({expression}, '{digits}') end"
        )
    }

    fn identity_image(&self, expression: &str, type_name: &str) -> String {
        if self.equals_exactly(type_name) { expression.to_owned() } else { format!("({expression})::text") }
    }

    fn sum_type(&self, type_name: &str) -> Option<String> {
        let name = type_name.trim().to_ascii_lowercase();
        match name.as_str() {
            "smallint" | "integer" => Some("bigint".to_owned()),
            "bigint" => Some("numeric".to_owned()),
            _ => self.has_scales(&name).then(|| "numeric".to_owned()),
        }
    }

    /// Columns with a declared scale, too, hold NaN.
    fn has_scales(&self, type_name: &str) -> bool {
        let name = type_name.trim().to_ascii_lowercase();
        name == "numeric" || is_decimal(&name)
    }

    /// A whole number, which is grouped by quickly; less than 0 for NaN, infinity and its negative, which have no scale.
    fn scale(&self, expression: &str) -> Option<String> {
        Some(format!(
            "coalesce(scale({expression}), case when ({expression}) = 'NaN' then -1 when ({expression}) > 0 then -2 when ({expression}) < 0 then -3 end)"
        ))
    }

    fn is_scale(&self, expression: &str) -> String {
        format!("{expression} >= 0")
    }

    fn average(&self, sum: &str, count: &str) -> String {
        format!("({sum} / nullif({count}, 0))")
    }

    /// A million rows take 250 ms.
    fn rows_grouped_quickly(&self) -> u64 {
        200_000
    }

    fn list_views(&self) -> &'static str {
        "select n.nspname, c.relname from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
         where c.relkind = 'v' and n.nspname not in ('pg_catalog', 'information_schema')"
    }

    fn bytes_of_text(&self, expression: &str) -> String {
        format!("convert_to({expression}, 'UTF8')")
    }

    fn is_ordered(&self, type_name: &str) -> bool {
        let name = type_name.trim().to_ascii_lowercase();
        !UNORDERED.contains(&name.trim_end_matches("[]"))
    }

    fn equals_exactly(&self, type_name: &str) -> bool {
        let name = type_name.trim().to_ascii_lowercase();
        EXACT.contains(&name.as_str())
            || is_decimal(&name)
            || GROUPED.contains(&name.as_str())
            || name.starts_with("character varying(") && !name.ends_with(']')
    }

    fn partitions(&self) -> Option<&'static dyn Partitions> {
        Some(&Postgres)
    }

    fn row_identifier(&self) -> &'static str {
        "ctid"
    }

    fn row_literal(&self, text: &str) -> String {
        format!("cast({} as tid)", self.literal_text(text))
    }

    fn type_of(&self, expression: &str) -> String {
        format!("format_type(pg_typeof({expression}), null)")
    }

    fn filters_scans_by_joins(&self) -> bool {
        false
    }

    fn instead(&self, message: &str) -> Option<String> {
        if message.contains("syntax error at or near \"qualify\"") {
            return Some("Postgres has no QUALIFY: put the window into a subquery and ask in its WHERE".to_owned());
        }
        if message.contains("syntax error at or near \"exclude\"") {
            return Some("Postgres has no `* exclude`: name the columns".to_owned());
        }
        if message.contains("syntax error at or near \"all\"") {
            return Some(
                "Postgres has no `group by all` and `order by all`: name the columns, or their places".to_owned(),
            );
        }
        if message.contains("try_cast") {
            return Some("Postgres has no `try_cast`: ask `x ~ '^[0-9]+$'` in a CASE before the cast".to_owned());
        }
        instead_for_postgres(between(message, "function ", "(")?)
    }

    fn has_indexes(&self) -> bool {
        true
    }

    fn index_finds_duplicates(&self, columns: &[(String, String)]) -> bool {
        columns.iter().all(|(_, type_name)| is_short(type_name) || is_text(type_name))
    }

    /// What is to be unique has all of its columns, and the engine refuses a text that is too long for that. Otherwise long texts stand in
    /// no tree: only where a table is looked up by nothing else are they hashed.
    fn create_index(&self, index: &NewIndex<'_>, long: bool) -> Result<Option<String>, InvalidName> {
        let NewIndex { name, table, columns, unique, after_run } = *index;
        let quoted = |columns: &[&(String, String)]| -> Result<String, InvalidName> {
            let parts: Result<Vec<_>, _> = columns.iter().map(|(name, _)| self.quote_identifier(name)).collect();
            Ok(parts?.join(", "))
        };
        let name = self.quote_identifier(name)?;
        let rows = after_run.map(|run| format!(" where {RUN_COLUMN} > {run}")).unwrap_or_default();
        if unique {
            let all: Vec<&(String, String)> = columns.iter().collect();
            return Ok(Some(format!("create unique index {name} on {table} ({}){rows}", quoted(&all)?)));
        }
        let in_tree = |type_name: &str| is_short(type_name) || (!long && is_text(type_name));
        let held: Vec<&(String, String)> = columns.iter().filter(|(_, type_name)| in_tree(type_name)).collect();
        if !held.is_empty() {
            return Ok(Some(format!("create index {name} on {table} ({}){rows}", quoted(&held)?)));
        }
        Ok(match columns.iter().find(|(_, type_name)| is_text(type_name)) {
            Some(column) => Some(format!("create index {name} on {table} using hash ({}){rows}", quoted(&[column])?)),
            None => None,
        })
    }

    /// What stays is looked at as the database's owner has decided. What a run drops again needs no more than its size and a rough idea of
    /// its values, which every other statement of a refresh would wait for otherwise.
    fn analyze(&self, table: &str, temporary: bool) -> Vec<String> {
        let analyze = format!("analyze {table}");
        if temporary {
            return vec![analyze];
        }
        let detail = |value: &str| {
            format!(
                "select pg_catalog.set_config(name, {value}, false) from pg_catalog.pg_settings where name = 'default_statistics_target'"
            )
        };
        vec![detail("reset_val"), analyze, detail(&format!("'{ROUGH_STATISTICS}'"))]
    }

    fn knows_row_counts(&self) -> bool {
        false
    }

    fn definitions_wait_for_readers(&self) -> bool {
        true
    }

    fn digests(&self, expressions: &[String]) -> [String; 2] {
        let row = format!("cast(row({}) as text)", expressions.join(", "));
        [0, 1].map(|seed| format!("sum(cast(hashtextextended({row}, {seed}) as numeric))"))
    }

    fn sample(&self, table: &str, seed: i64, per_million: u64) -> Option<String> {
        let percent = format!("{}.{:04}", per_million / 10_000, per_million % 10_000);
        Some(format!("select r.* from {table} r tablesample bernoulli ({percent}) repeatable ({seed})"))
    }

    fn is_sampled(&self, expressions: &str, seed: i64, per_million: u64) -> String {
        format!(
            "mod(hashtextextended(jsonb_build_array({expressions})::text, {seed}) & 9223372036854775807, 1000000) < {per_million}"
        )
    }

    fn row_as_json(&self, alias: &str, columns: &[&str]) -> Result<String, InvalidName> {
        let mut fields = Vec::with_capacity(columns.len());
        for column in columns {
            fields.push(format!("{alias}.{}", self.quote_identifier(column)?));
        }
        Ok(format!("(select row_to_json(_fields)::text from (select {}) _fields)", fields.join(", ")))
    }
}

fn is_text(type_name: &str) -> bool {
    let name = type_name.trim().to_ascii_lowercase();
    name == "text" || (name.starts_with("character varying") && !name.ends_with(']'))
}

/// Whether values of a type are so short that a tree holds each of them, and are put in order.
fn is_short(type_name: &str) -> bool {
    let name = type_name.trim().to_ascii_lowercase();
    EXACT.contains(&name.as_str())
        || is_decimal(&name)
        || matches!(
            name.as_str(),
            "boolean"
                | "date"
                | "time without time zone"
                | "timestamp without time zone"
                | "timestamp with time zone"
                | "uuid"
                | "real"
                | "double precision"
        )
}

/// A decimal of known scale: its values are written in one way each.
fn is_decimal(name: &str) -> bool {
    name.starts_with("numeric(") && name.ends_with(')')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_there_and_back() {
        let types = [
            "boolean",
            "smallint",
            "integer",
            "bigint",
            "decimal(38,10)",
            "real",
            "double",
            "date",
            "time",
            "timestamp",
            "text",
            "json",
            "blob",
            "list(text)",
            "list(decimal(4,1))",
        ];
        for text in types {
            let column_type: ColumnType = text.parse().expect("a type");
            let name = Postgres.type_name(&column_type);
            assert_eq!(Postgres.column_type(&name), Some(column_type), "{name}");
        }
        for name in ["numeric", "uuid", "timestamp with time zone", "interval", "point"] {
            assert_eq!(Postgres.column_type(name), None, "{name}");
        }
    }

    #[test]
    fn what_equality_does_not_tell_apart_is_compared_as_text() {
        for name in [
            "double precision",
            "numeric",
            "interval",
            "jsonb",
            "text[]",
            "double precision[]",
            "citext",
            "character(3)",
        ] {
            assert_eq!(Postgres.identity_image("x", name), "(x)::text", "{name}");
        }
        for name in ["bigint", "numeric(18,2)", "text", "character varying(12)", "timestamp without time zone"] {
            assert_eq!(Postgres.identity_image("x", name), "x", "{name}");
        }
    }

    #[test]
    fn what_is_missing_has_another_spelling() {
        let told = Postgres.instead("function strftime(timestamp without time zone, unknown) does not exist");
        assert!(told.is_some_and(|told| told.contains("to_char") && told.contains("date_trunc")));
        assert!(Postgres.instead("syntax error at or near \"qualify\"").is_some());
        assert_eq!(Postgres.instead("function my_own(integer) does not exist"), None);
    }

    #[test]
    fn an_index_holds_what_it_can() {
        let column = |name: &str, type_name: &str| (name.to_owned(), type_name.to_owned());
        let (name, id, spot) = (column("name", "text"), column("id", "bigint"), column("spot", "point"));
        let made = |columns: &[(String, String)], unique, long| {
            let index = NewIndex { name: "i", table: "t", columns, unique, after_run: None };
            Postgres.create_index(&index, long).expect("good names").unwrap_or_default()
        };
        let both = [name.clone(), id.clone()];
        assert_eq!(made(&both, false, false), r#"create index "i" on t ("name", "id")"#);
        assert_eq!(made(&both, false, true), r#"create index "i" on t ("id")"#);
        assert_eq!(made(&both, true, true), r#"create unique index "i" on t ("name", "id")"#);
        assert_eq!(made(&both[..1], false, true), r#"create index "i" on t using hash ("name")"#);
        assert_eq!(made(&[spot], false, false), "");
        let recent = NewIndex { name: "i", table: "t", columns: &[id], unique: false, after_run: Some(7) };
        let recent = Postgres.create_index(&recent, false).expect("good names").unwrap_or_default();
        assert_eq!(recent, r#"create index "i" on t ("id") where _run > 7"#);
    }

    #[test]
    fn two_types_have_the_one_in_common_that_the_engine_chooses() {
        let common = |one: &str, other: &str| Postgres.common_type(one, other);
        assert_eq!(common("integer", "bigint").as_deref(), Some("bigint"));
        assert_eq!(common("numeric(10,2)", "integer").as_deref(), Some("numeric"));
        assert_eq!(common("numeric(10,2)", "numeric(10,2)").as_deref(), Some("numeric(10,2)"));
        assert_eq!(common("text", "character varying(3)").as_deref(), Some("text"));
        assert_eq!(common("date", "timestamp with time zone").as_deref(), Some("timestamp with time zone"));
        assert_eq!((common("date", "integer"), common("text", "date")), (None, None));
        let cast = |expression: &str| Postgres.type_of_cast(expression);
        assert_eq!(cast("cast(length('') as varchar)").as_deref(), Some("character varying"));
        assert_eq!(cast("(x + 1)::int").as_deref(), Some("integer"));
        assert_eq!(cast("cast(x as decimal(10,2))").as_deref(), Some("numeric(10,2)"));
        assert_eq!((cast("cast(x as int) + 1"), cast("x"), cast("cast(x as varchar(3))")), (None, None, None));
    }

    #[test]
    fn lists_without_elements_are_not_null() {
        let same = |type_name| Postgres.same("a", "b", true, type_name);
        assert_eq!(same(Some("bigint")), "array[a] = array[b]");
        assert_eq!(same(Some("bigint[]")), "array[a] = array[b] and (a is null) = (b is null)");
        assert_eq!((same(Some("text")), same(Some("numeric"))), (same(Some("bigint")), same(Some("date"))));
        assert_eq!((same(None), same(Some("my_lists"))), (same(Some("text[]")), same(Some("bigint[]"))));
    }

    #[test]
    fn long_names_are_refused() {
        let name = "ä".repeat(32);
        assert_eq!(Postgres.quote_identifier(&name), Err(InvalidName::TooLong { name: name.clone(), longest: 63 }));
        assert!(Postgres.quote_identifier(&"a".repeat(63)).is_ok());
    }
}
