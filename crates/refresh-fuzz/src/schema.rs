//! Tables and values: few different ones, so that everything meets everything.

use crate::choice::Choices;

/// Families of types an expression can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// Integers of any width.
    Integer,
    /// Exact decimals.
    Decimal,
    /// Texts.
    Text,
    /// Dates.
    Date,
    /// Timestamps.
    Timestamp,
    /// Truth values.
    Boolean,
    /// Floating-point numbers of a table, `-0.0` among them: equal values that are not identical, so nothing is ordered or grouped by them.
    Double,
    /// Computed floating-point numbers: handed on only.
    Inexact,
    /// Lists of integers.
    List,
}

impl Family {
    /// Whether equal values are identical, so that grouping, ordering and comparing by it has one answer.
    pub fn is_exact(self) -> bool {
        !matches!(self, Self::Double | Self::Inexact)
    }
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name, unquoted.
    pub name: String,
    /// The engine's type.
    pub engine_type: String,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its schema, or empty.
    pub schema: String,
    /// Its name, unquoted.
    pub name: String,
    /// Its columns.
    pub columns: Vec<Column>,
    /// Columns that identify a row; empty without.
    pub key: Vec<String>,
}

/// A row: each value as an SQL literal.
pub type Row = Vec<String>;

/// The family of an engine's type.
pub fn family(engine_type: &str) -> Family {
    match engine_type.to_ascii_uppercase().as_str() {
        "SMALLINT" | "INTEGER" | "BIGINT" => Family::Integer,
        "VARCHAR" => Family::Text,
        "DATE" => Family::Date,
        "TIMESTAMP" => Family::Timestamp,
        "BOOLEAN" => Family::Boolean,
        "DOUBLE" => Family::Double,
        "INTEGER[]" => Family::List,
        _ => Family::Decimal,
    }
}

/// A name in quotes where it needs them.
pub fn quoted(name: &str) -> String {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    let plain = name.bytes().all(|byte| letter(byte) || byte.is_ascii_digit());
    if plain && name.bytes().next().is_some_and(letter) {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

impl Table {
    /// The name as SQL writes it.
    pub fn sql_name(&self) -> String {
        if self.schema.is_empty() {
            quoted(&self.name)
        } else {
            format!("{}.{}", quoted(&self.schema), quoted(&self.name))
        }
    }
}

const NAMES: [&str; 6] = ["orders", "customers", "lines", "events", "Odd name", "prices"];

const MORE: [(&str, &str); 9] = [
    ("amount", "DECIMAL(10,2)"),
    ("name", "VARCHAR"),
    ("day", "DATE"),
    ("big", "BIGINT"),
    ("flag", "BOOLEAN"),
    ("moment", "TIMESTAMP"),
    ("weight", "DOUBLE"),
    ("tags", "INTEGER[]"),
    ("Größe", "INTEGER"),
];

/// Two to four tables that share column names.
pub fn tables(choices: &mut Choices) -> Vec<Table> {
    let count = 2 + choices.below(3);
    let names = choices.sample(&NAMES, count);
    names
        .into_iter()
        .map(|name| {
            let mut columns: Vec<Column> = ["id", "k", "g", "v"]
                .map(|name| Column { name: name.to_owned(), engine_type: "INTEGER".to_owned() })
                .to_vec();
            let more = choices.below(4);
            for (name, engine_type) in choices.sample(&MORE, more) {
                columns.push(Column { name: name.to_owned(), engine_type: engine_type.to_owned() });
            }
            let key = match choices.below(5) {
                0..=2 => vec!["id".to_owned()],
                3 => vec![],
                _ => vec!["k".to_owned(), "id".to_owned()],
            };
            Table {
                schema: if name == "prices" { String::new() } else { "store".to_owned() },
                name: name.to_owned(),
                columns,
                key,
            }
        })
        .collect()
}

/// A random literal of an engine's type.
pub fn literal(choices: &mut Choices, engine_type: &str) -> String {
    let list: &[&str] = match family(engine_type) {
        Family::Integer => &["0", "1", "2", "1", "3", "2"],
        Family::Decimal => &["0.00", "1.50", "2.25", "-1.00"],
        Family::Text => &["'a'", "'B'", "''", "'b '", "'it''s'", "'7'"],
        Family::Date => &["date '2024-01-31'", "date '2024-02-01'", "date '2023-12-31'"],
        Family::Timestamp => {
            &["timestamp '2024-01-31 23:30:00'", "timestamp '2024-02-01 00:00:00'", "timestamp '2024-02-01 00:20:00'"]
        }
        Family::Boolean => &["false", "true"],
        Family::Double | Family::Inexact => &["0.0", "-0.0", "0.5", "1.5"],
        Family::List => &["[1]", "[]", "[1, 2]", "[2, null]"],
    };
    (*choices.pick(list)).to_owned()
}

/// Words that columns of the models hold.
const WORDS: [(&str, &[&str]); 4] = [
    ("status", &["'placed'", "'paid'", "'returned'", "'cancelled'"]),
    ("method", &["'card'", "'voucher'", "'transfer'"]),
    ("kind", &["'view'", "'cart'", "'purchase'"]),
    ("country", &["'de'", "'fr'"]),
];

/// A random literal for a column.
fn value(choices: &mut Choices, column: &Column) -> String {
    match WORDS.iter().find(|(name, _)| *name == column.name) {
        Some((_, words)) => (*choices.pick(words)).to_owned(),
        None => literal(choices, &column.engine_type),
    }
}

/// A random row; key columns hold no NULL.
pub fn row(choices: &mut Choices, table: &Table, id: usize) -> Row {
    table
        .columns
        .iter()
        .map(|column| {
            if column.name == "id" && !table.key.is_empty() {
                return id.to_string();
            }
            if !table.key.contains(&column.name) && choices.chance(18) {
                return "null".to_owned();
            }
            value(choices, column)
        })
        .collect()
}
