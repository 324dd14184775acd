//! Making what landed readable as rows of a store table.
//!
//! The types of a landing are those its records were read with. Where the project has since declared another type for a column, the
//! landed values are converted, and a row with a value that the type cannot hold exactly is rejected, as it is while reading.

use std::path::PathBuf;

use thalweg_project::{ColumnType, Stream, is_selected};
use thalweg_source::Column;
use thalweg_source::landing::{unify, widest};
use thalweg_sql::statement::RowCondition;
use thalweg_sql::statement::relation::{FILE_COLUMN, MATCHES_COLUMN, RECORD_COLUMN, qualified};
use thalweg_sql::{Dialect, InvalidName};
use thalweg_warehouse::{LeftOut, StagedColumn};

use crate::database::Database;
use crate::error::RunError;
use crate::publish::store::ExtractFiles;

/// The rows of an extract.
pub struct Staged {
    /// A quoted relation, or a query in parentheses, with the columns of the table, `_file` and `_record`.
    pub relation: String,
    /// What rows must satisfy, by the alias `s`, because of types that were declared since.
    pub conditions: Vec<RowCondition>,
    /// An expression, by the alias `s`, for a row as it landed, where values are converted.
    pub raw: Option<String>,
    /// Rows that the warehouse cannot hold, which are not in the relation.
    pub left_out: Vec<LeftOut>,
}

/// The columns a store table has when these landed for its stream: the selected ones, with the types that are declared now.
pub fn wanted_columns(stream: &Stream, landed: Vec<Column>) -> Vec<Column> {
    let selected = landed.into_iter().filter(|column| is_selected(&stream.select, &column.name, &column.source_name));
    selected
        .map(|mut column| {
            let declared = stream.columns.iter().find(|declared| declared.name == column.name);
            if let Some(declared) = declared.and_then(|declared| declared.column_type.clone()) {
                column.column_type = declared;
                column.undecided = false;
            }
            column
        })
        .collect()
}

/// Makes an extract readable with the columns of its table.
pub fn stage(database: &mut Database<'_>, columns: &[Column], extract: &ExtractFiles) -> Result<Staged, RunError> {
    let name = database.stage_name();
    let files: Vec<PathBuf> = extract.parts.iter().map(|(path, _)| path.clone()).collect();
    let mut converted = Vec::new();
    let mut staged: Vec<StagedColumn> = columns
        .iter()
        .map(|column| {
            let landed = landed_type(&column.name, extract);
            let column_type = match landed.filter(|landed| widest(landed, &column.column_type) != column.column_type) {
                Some(landed) => {
                    converted.push((column, landed.clone()));
                    landed
                }
                None => column.column_type.clone(),
            };
            StagedColumn {
                name: column.name.clone(),
                column_type,
                in_files: (0..extract.parts.len())
                    .filter(|&part| extract.parts[part].1.iter().any(|other| other.name == column.name))
                    .collect(),
            }
        })
        .collect();
    if extract.has_matches() {
        staged.push(StagedColumn {
            name: MATCHES_COLUMN.to_owned(),
            column_type: ColumnType::Boolean,
            in_files: (0..extract.parts.len())
                .filter(|&part| extract.parts[part].1.iter().any(|other| other.name == MATCHES_COLUMN))
                .collect(),
        });
    }
    let left_out = database.connection.stage(&name, &files, &staged).map_err(|error| database.error(error))?;
    if converted.is_empty() {
        return Ok(Staged { relation: name, conditions: Vec::new(), raw: None, left_out });
    }
    let staged = conversion(database.dialect, &name, columns, &converted, extract.has_matches())
        .map_err(|error| database.bad_name(error))?;
    Ok(Staged { left_out, ..staged })
}

/// The type of a column in the files of an extract, if it has values there.
fn landed_type(name: &str, extract: &ExtractFiles) -> Option<ColumnType> {
    let all = unify(extract.parts.iter().map(|(_, columns)| &columns[..]));
    all.into_iter().find(|column| column.name == name && !column.undecided).map(|column| column.column_type)
}

fn conversion(
    dialect: &dyn Dialect,
    stage: &str,
    columns: &[Column],
    converted: &[(&Column, ColumnType)],
    has_matches: bool,
) -> Result<Staged, InvalidName> {
    let mut selected = vec![format!("l.{FILE_COLUMN}"), format!("l.{RECORD_COLUMN}")];
    if has_matches {
        selected.push(format!("l.{MATCHES_COLUMN}"));
    }
    let mut conditions = Vec::new();
    for column in columns {
        let (value, name) = (qualified(dialect, "l", &column.name)?, dialect.quote_identifier(&column.name)?);
        let Some(index) = converted.iter().position(|(other, _)| other.name == column.name) else {
            selected.push(value);
            continue;
        };
        let landed = &converted[index].1;
        let converted = match (landed, &column.column_type) {
            // Engines read escapes in it; the bytes of the text are meant.
            (ColumnType::Text, ColumnType::Blob) => dialect.bytes_of_text(&value),
            (_, wanted) => dialect.try_convert(&value, &dialect.type_name(wanted)),
        };
        selected.push(format!("{converted} as {name}"));
        let exact = is_exact(dialect, &value, landed, &converted, &column.column_type);
        selected.push(format!(
            "({value} is null or ({converted} is not null and coalesce({exact}, true))) as _thalweg_fits_{index}"
        ));
        conditions.push(RowCondition {
            reason: format!("column {} was read as {landed}, and its value is no {}", column.name, column.column_type),
            sql: format!("s._thalweg_fits_{index}"),
        });
    }
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    selected.push(format!("{} as _thalweg_landed", dialect.row_as_json("l", &names)?));
    Ok(Staged {
        relation: format!("(select {} from {stage} l)", selected.join(", ")),
        conditions,
        raw: Some("s._thalweg_landed".to_owned()),
        left_out: Vec::new(),
    })
}

/// A condition that is false where a conversion rounds, cuts or leaves something out, which engines do without a word.
fn is_exact(dialect: &dyn Dialect, value: &str, landed: &ColumnType, converted: &str, wanted: &ColumnType) -> String {
    let through = |column_type: &ColumnType| {
        format!("{} = {converted}", dialect.try_convert(value, &dialect.type_name(column_type)))
    };
    let scale = match wanted {
        ColumnType::SmallInt | ColumnType::Integer | ColumnType::BigInt => Some(0),
        ColumnType::Decimal(_, scale) => Some(*scale),
        _ => None,
    };
    match (landed, wanted, scale) {
        (ColumnType::Text, _, Some(scale)) => {
            let (digits, as_double) = (fraction_fits(value, scale), through(&ColumnType::Double));
            format!("case when strpos(lower({value}), 'e') > 0 then {as_double} else {digits} end")
        }
        (_, _, Some(_)) => through(&ColumnType::Double),
        (ColumnType::Text, ColumnType::Date, _) => {
            format!("(trim({value}) like '____-__-__' and {})", only(value, "-"))
        }
        (ColumnType::Text, ColumnType::Time, _) => {
            format!("(trim({value}) like '__:__:__%' and {} and {})", only(value, ":."), fraction_fits(value, 6))
        }
        // What is not UTC would lose its zone.
        (ColumnType::Text, ColumnType::Timestamp, _) => {
            let utc = format!("replace({value}, '+00:00', 'Z')");
            let fraction = fraction_fits(&format!("replace({utc}, 'Z', '')"), 6);
            format!(
                "(trim({utc}) like '____-__-__%' and {} and {fraction})",
                only(&format!("substr(trim({utc}), 11)"), ":. TZ")
            )
        }
        (_, ColumnType::Date, _) => through(&ColumnType::Timestamp),
        _ => "true".to_owned(),
    }
}

/// Whether a text has no more than so many digits behind its point, zeros at the end aside.
fn fraction_fits(text: &str, digits: u8) -> String {
    format!(
        "(strpos({text}, '.') = 0 or length(rtrim(substr(trim({text}), strpos(trim({text}), '.') + 1), '0')) <= {digits})"
    )
}

/// Whether a text holds nothing but digits and these characters.
fn only(text: &str, others: &str) -> String {
    format!("translate(trim({text}), '0123456789{others}', '') = ''")
}
