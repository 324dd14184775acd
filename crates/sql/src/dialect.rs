//! How an engine spells names, literals, types and comparisons. One file an engine.

pub mod duckdb;
pub mod partitions;
mod portable;
pub mod postgres;

use std::fmt::Debug;

use thalweg_project::{ColumnType, TableName, TargetConnection};

use self::partitions::Partitions;

/// An index that is to be made.
#[derive(Debug, Clone, Copy)]
pub struct NewIndex<'i> {
    /// Its name, in the schema of the table.
    pub name: &'i str,
    /// The table, quoted.
    pub table: &'i str,
    /// Names and types of the columns, in order.
    pub columns: &'i [(String, String)],
    /// No two rows have the same values there.
    pub unique: bool,
    /// Only rows that a later run than this one wrote are looked up by it.
    pub after_run: Option<i64>,
}

/// What can be said about an engine without talking to it.
///
/// The provided methods are what standard SQL says. An engine that descends from another holds its parent and hands on what it
/// does not change.
pub trait Dialect: Debug + Send + Sync {
    /// The engine's name as in `type:` of a target.
    fn name(&self) -> &'static str;

    /// The grammar its queries are read with.
    fn grammar(&self) -> Grammar;

    /// An identifier in quotes, whatever it holds. The one place where identifiers are quoted.
    fn quote_identifier(&self, name: &str) -> Result<String, InvalidName> {
        if name.is_empty() {
            return Err(InvalidName::Empty);
        }
        if name.contains('\0') {
            return Err(InvalidName::Nul(name.replace('\0', "\u{2400}")));
        }
        if let Some(longest) = self.longest_name().filter(|longest| name.len() > *longest) {
            return Err(InvalidName::TooLong { name: name.to_owned(), longest });
        }
        Ok(format!("\"{}\"", name.replace('"', "\"\"")))
    }

    /// The longest name the engine takes, in bytes; `None` where it takes any.
    fn longest_name(&self) -> Option<usize> {
        None
    }

    /// A text as a literal expression.
    fn literal_text(&self, text: &str) -> String;

    /// The engine's name of a column type.
    fn type_name(&self, column_type: &ColumnType) -> String;

    /// The column type that holds every value of the engine's type, if there is one.
    fn column_type(&self, type_name: &str) -> Option<ColumnType>;

    /// Statements that make what [`Dialect::try_convert`] asks for, in the schema of the ledger; they may be sent again.
    fn preparations(&self) -> Vec<String> {
        Vec::new()
    }

    /// The value of an expression as the engine's type `type_name`, NULL where it cannot be one.
    fn try_convert(&self, expression: &str, type_name: &str) -> String;

    /// A condition to join by that is true when two expressions are equal, and where both may be NULL also when both are. Not true
    /// otherwise, but perhaps NULL. Both have the engine's type `type_name`, where it is known.
    fn same(&self, left: &str, right: &str, may_be_null: bool, type_name: Option<&str>) -> String {
        let _ = type_name;
        format!("{left} {} {right}", if may_be_null { "is not distinct from" } else { "=" })
    }

    /// Whether types have to be said where columns meet: a NULL that is selected is a text otherwise, and lists of two types are not compared.
    fn needs_types(&self) -> bool {
        false
    }

    /// The type that values of two types are brought to where they are compared or stand in one column; `None` where nothing can be said.
    fn common_type(&self, one: &str, other: &str) -> Option<String> {
        (one == other).then(|| one.to_owned())
    }

    /// The type of an expression that is a cast; `None` for others, and where nobody asks for types.
    fn type_of_cast(&self, expression: &str) -> Option<String> {
        let _ = expression;
        None
    }

    /// A condition that is true when two expressions of the engine's type `type_name` hold the identical value, and false
    /// otherwise, never NULL.
    ///
    /// Identity, not the engine's `=`: two NULLs are the same, `-0.0` and `0.0` are not, `1 month` and `30 days` are not.
    fn is_same(&self, left: &str, right: &str, type_name: &str) -> String;

    /// An expression whose equality (`is not distinct from`) means that two values of the engine's type count as the same in the
    /// difference of two results. As [`Dialect::is_same`], but floating-point numbers, which depend on the order of addition, are
    /// compared by 12 significant digits.
    fn comparison_image(&self, expression: &str, type_name: &str) -> String;

    /// An expression whose equality (`is not distinct from`) means that two values of the engine's type are identical: as
    /// [`Dialect::is_same`], for comparing each side on its own.
    fn identity_image(&self, expression: &str, type_name: &str) -> String;

    /// The type of a sum of values of an engine's type that are added without rounding, so that a sum does not depend on the order of
    /// addition; `None` for other types.
    fn sum_type(&self, type_name: &str) -> Option<String>;

    /// Whether a value of a type is written in one way or another that the engine reads: numbers and times.
    fn is_written_simply(&self, type_name: &str) -> bool {
        let name = type_name.trim().to_ascii_lowercase();
        let simple = ["timestamp", "date", "time", "interval", "numeric", "decimal", "double", "real", "float", "uuid"];
        !name.ends_with(']') && simple.iter().any(|word| name.starts_with(word))
    }

    /// A query for schema and name of every view that is no engine's own.
    fn list_views(&self) -> &'static str {
        "select schema_name, view_name from duckdb_views() where not internal"
    }

    /// The bytes of a text in UTF-8.
    fn bytes_of_text(&self, expression: &str) -> String {
        format!("encode({expression})")
    }

    /// Whether there are types of which values come out of the engine as bytes, or not at all.
    fn has_illegible_types(&self) -> bool {
        false
    }

    /// Whether values of an engine's type are such, so that who shows them asks for texts.
    fn is_illegible(&self, type_name: &str) -> bool {
        let _ = type_name;
        false
    }

    /// Whether values of a type can be put in order.
    fn is_ordered(&self, type_name: &str) -> bool {
        let _ = type_name;
        true
    }

    /// Whether values of an engine's type have a scale each, which the sum of them shows, and some are special: not finite, so that
    /// nothing can be subtracted from them.
    fn has_scales(&self, type_name: &str) -> bool {
        let _ = type_name;
        false
    }

    /// Of an expression of a type with scales: its scale, or something else for each special value. `None` where the engine has no such types.
    fn scale(&self, expression: &str) -> Option<String> {
        let _ = expression;
        None
    }

    /// A condition that holds where what [`Dialect::scale`] says is a scale.
    fn is_scale(&self, expression: &str) -> String {
        format!("{expression} is not null")
    }

    /// What `avg` answers, from the sum of all values that are not NULL and their number.
    fn average(&self, sum: &str, count: &str) -> String {
        format!("(cast({sum} as double precision) / nullif({count}, 0))")
    }

    /// So many rows of a table are grouped anew about as quickly as sums over it are changed by adding and subtracting, which costs some 27 ms
    /// in statements, whatever changed: a million rows are grouped in 13 ms by a columnar engine on two cores.
    fn rows_grouped_quickly(&self) -> u64 {
        2_000_000
    }

    /// Whether two values of an engine's type that are equal to the engine are identical.
    fn equals_exactly(&self, type_name: &str) -> bool;

    /// How the engine has tables in partitions; `None` where it has none.
    fn partitions(&self) -> Option<&'static dyn Partitions> {
        None
    }

    /// Whether values of an engine's type are dates or points in time.
    fn is_time(&self, type_name: &str) -> bool {
        let name = type_name.trim().to_ascii_lowercase();
        name == "date" || name.starts_with("timestamp") && !name.ends_with(']')
    }

    /// The name of the hidden column that identifies a row of a table within a transaction, or of one partition of it.
    fn row_identifier(&self) -> &'static str;

    /// The engine's type of an expression, as a text.
    fn type_of(&self, expression: &str) -> String {
        format!("typeof({expression})")
    }

    /// What to write instead of what the engine says it does not have, for a person.
    fn instead(&self, message: &str) -> Option<String> {
        let _ = message;
        None
    }

    /// Whether the engine looks rows up by indexes.
    fn has_indexes(&self) -> bool {
        false
    }

    /// Whether a unique index of columns (names and types) finds out, while it is made, that two rows have the same values there.
    fn index_finds_duplicates(&self, columns: &[(String, String)]) -> bool {
        let _ = columns;
        false
    }

    /// A statement that makes an index, as good as can be; `None` where there can be none. With `long`, texts in it may be longer than an
    /// entry of an index is otherwise.
    fn create_index(&self, index: &NewIndex<'_>, long: bool) -> Result<Option<String>, InvalidName> {
        let _ = (index, long);
        Ok(None)
    }

    /// The statements that tell the engine what a table holds, where queries are planned by that; to be sent when many rows came. Of a
    /// table that one run makes and drops a rough picture is enough.
    fn analyze(&self, table: &str, temporary: bool) -> Vec<String> {
        let _ = (table, temporary);
        Vec::new()
    }

    /// Whether the engine knows how many rows a table has, without reading it.
    fn knows_row_counts(&self) -> bool {
        true
    }

    /// Whether a view or table is defined anew or dropped only when nobody reads it any more, and nobody can read it from then to the
    /// end of the transaction.
    fn definitions_wait_for_readers(&self) -> bool {
        false
    }

    /// Whether the scan of a table is filtered by the values of single columns that a join with it has read on its other side.
    fn filters_scans_by_joins(&self) -> bool {
        true
    }

    /// A row's identifier as a literal, from its text.
    fn row_literal(&self, text: &str) -> String {
        self.literal_text(text)
    }

    /// A row's columns as one JSON text, `{"name": value, ...}`.
    fn row_as_json(&self, alias: &str, columns: &[&str]) -> Result<String, InvalidName>;

    /// A query for about how many different rows of these columns (a list, alias `t`) a relation has.
    fn count_distinct(&self, relation: &str, columns: &str) -> String {
        format!("select count(*) from (select distinct {columns} from {relation} t) d")
    }

    /// How often a positive number goes into a whole one that is not negative, as an integer of 32 bits.
    fn quotient(&self, number: &str, divisor: i64) -> String {
        format!("cast({number} / {divisor} as integer)")
    }

    /// A condition that holds where the digit at a place is `1`; `digits` are zeros and ones, the first of which is at place 0, and the
    /// place is an expression that is never beyond the last.
    fn has_bit(&self, digits: &str, place: &str) -> String {
        format!("get_bit(cast('{digits}' as bit varying), {place}) = 1")
    }

    /// A condition that holds for so many of a million different values of some expressions (a list), always for the same ones with
    /// the same seed.
    fn is_sampled(&self, expressions: &str, seed: i64, per_million: u64) -> String;

    /// Two aggregates over rows, given by some expressions that are `NULL` or not: two bags of rows that are not the same answer otherwise,
    /// as far as two hashes of 64 bits for each row can tell. Identical rows have identical hashes; equal ones need not.
    fn digests(&self, expressions: &[String]) -> [String; 2];

    /// A query for about so many of a million rows of a table, always the same ones with the same seed, where the engine has a way that
    /// is quicker than [`Dialect::is_sampled`] and better reads them from a temporary table.
    fn sample(&self, _table: &str, _seed: i64, _per_million: u64) -> Option<String> {
        None
    }

    /// The quoted name under which people read a table, with the schema prefix of a personal target.
    fn published_table(&self, table: &TableName, schema_prefix: &str) -> Result<String, InvalidName> {
        let schema = self.quote_identifier(&format!("{schema_prefix}{}", table.schema))?;
        Ok(format!("{schema}.{}", self.quote_identifier(&table.name)?))
    }
}

/// The grammars the parser knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grammar {
    /// DuckDB's.
    DuckDb,
    /// Postgres'.
    Postgres,
}

/// A name that no engine takes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Names have at least one character.
    #[error("a name of a table or column is empty: give it at least one character")]
    Empty,
    /// Shown with the NUL made visible.
    #[error("the name `{0}` holds a NUL character: rename it")]
    Nul(String),
    /// Longer than the engine takes.
    #[error("the name `{name}` has {} bytes, and the warehouse takes {longest}: shorten it", name.len())]
    TooLong {
        /// The name.
        name: String,
        /// The longest that is taken, in bytes.
        longest: usize,
    },
}

/// The dialect of a target's warehouse.
pub fn dialect_of(connection: &TargetConnection) -> &'static dyn Dialect {
    match connection {
        TargetConnection::Duckdb { .. } => &duckdb::DuckDb,
        TargetConnection::Postgres(_) => &postgres::Postgres,
    }
}
