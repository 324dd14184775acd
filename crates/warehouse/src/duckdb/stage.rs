//! Making landing files readable under a name.
//!
//! A staged relation is a temporary view: the files are read anew at each use, nothing is copied. Files whose columns have
//! the same physical types are read together; groups are cast each for itself and joined by `union all`, so that what one file
//! holds never decides how another is read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow::array::{Array, StringArray};
use thalweg_duck::Connection;
use thalweg_sql::dialect::Dialect;
use thalweg_sql::dialect::duckdb::DuckDb;

use super::error::of_statement;
use crate::contract::{FILE_COLUMN, RECORD_COLUMN, StagedColumn, WarehouseError, WarehouseErrorKind};

pub(crate) fn stage(
    connection: &mut Connection,
    name: &str,
    files: &[PathBuf],
    columns: &[StagedColumn],
) -> Result<(), WarehouseError> {
    let paths = files.iter().map(|file| path_text(file)).collect::<Result<Vec<_>, _>>()?;
    let mut selects = Vec::new();
    for group in groups(connection, name, &paths, columns)? {
        selects.push(select(&paths, &group, columns)?);
    }
    if selects.is_empty() {
        selects.push(empty(columns)?);
    }
    let sql = format!("create or replace temporary view {} as\n{}", quote(name)?, selects.join("\nunion all\n"));
    connection.execute(&sql, &[]).map(drop).map_err(|error| failed(name, of_statement(error, Some(&sql))))
}

pub(crate) fn unstage(connection: &mut Connection, name: &str) -> Result<(), WarehouseError> {
    let sql = format!("drop view if exists temp.main.{}", quote(name)?);
    connection.execute(&sql, &[]).map(drop).map_err(|error| of_statement(error, Some(&sql)))
}

/// Indexes of the files whose columns have the same physical types, in order of their first file.
fn groups(
    connection: &mut Connection,
    name: &str,
    paths: &[String],
    columns: &[StagedColumn],
) -> Result<Vec<Vec<usize>>, WarehouseError> {
    if paths.len() < 2 {
        return Ok((0..paths.len()).map(|index| vec![index]).collect());
    }
    let physical = physical_types(connection, name, paths)?;
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut by_layout: BTreeMap<(&str, Vec<bool>), usize> = BTreeMap::new();
    for (index, path) in paths.iter().enumerate() {
        let present = columns.iter().map(|column| column.in_files.contains(&index)).collect();
        let layout = (physical.get(path).map_or("", String::as_str), present);
        let group = *by_layout.entry(layout).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[group].push(index);
    }
    Ok(groups)
}

/// One text a file that says names and types of everything in it.
fn physical_types(
    connection: &mut Connection,
    name: &str,
    paths: &[String],
) -> Result<BTreeMap<String, String>, WarehouseError> {
    let sql = format!(
        "select file_name, md5(string_agg(concat_ws('\u{1}', name, type, coalesce(num_children, 0), coalesce(converted_type, ''), \
         coalesce(scale, 0), coalesce(precision, 0), coalesce(logical_type, '')), '\u{2}' order by column_id)) \
         from parquet_schema({}) group by file_name",
        list(paths)
    );
    let answer = connection.query(&sql, &[]).map_err(|error| failed(name, of_statement(error, Some(&sql))))?;
    let mut types = BTreeMap::new();
    for batch in &answer.batches {
        let text = |index: usize| batch.column(index).as_any().downcast_ref::<StringArray>();
        let (Some(files), Some(layouts)) = (text(0), text(1)) else {
            return Err(WarehouseError::new(
                WarehouseErrorKind::Statement,
                "parquet_schema answered with other types than expected",
            ));
        };
        types.extend(
            files
                .iter()
                .zip(layouts)
                .map(|(file, layout)| (file.unwrap_or_default().to_owned(), layout.unwrap_or_default().to_owned())),
        );
    }
    Ok(types)
}

fn select(paths: &[String], group: &[usize], columns: &[StagedColumn]) -> Result<String, WarehouseError> {
    let mut items = Vec::new();
    for column in columns {
        let name = quote(&column.name)?;
        let type_name = DuckDb.type_name(&column.column_type);
        // All files of a group have the same columns.
        let value = if group.iter().all(|file| column.in_files.contains(file)) { name.as_str() } else { "null" };
        items.push(format!("cast({value} as {type_name}) as {name}"));
    }
    items.push(format!("cast({FILE_COLUMN} as integer) as {FILE_COLUMN}"));
    items.push(format!("cast({RECORD_COLUMN} as bigint) as {RECORD_COLUMN}"));
    let files: Vec<String> = group.iter().map(|index| paths[*index].clone()).collect();
    // Landing folders are named `run=12`: without hive_partitioning off, DuckDB would make columns of them.
    Ok(format!("select {} from read_parquet({}, hive_partitioning = false)", items.join(", "), list(&files)))
}

fn empty(columns: &[StagedColumn]) -> Result<String, WarehouseError> {
    let mut items = Vec::new();
    for column in columns {
        items.push(format!("cast(null as {}) as {}", DuckDb.type_name(&column.column_type), quote(&column.name)?));
    }
    items.push(format!("cast(null as integer) as {FILE_COLUMN}"));
    items.push(format!("cast(null as bigint) as {RECORD_COLUMN}"));
    Ok(format!("select {} where false", items.join(", ")))
}

/// Paths as literals of a list. DuckDB takes `*`, `?` and `[` in a path for a pattern and has no escape for them except a class of
/// the one character.
fn list(paths: &[String]) -> String {
    let items: Vec<String> = paths
        .iter()
        .map(|path| {
            let mut exact = String::with_capacity(path.len());
            for character in path.chars() {
                match character {
                    '*' | '?' | '[' => exact.extend(['[', character, ']']),
                    other => exact.push(other),
                }
            }
            DuckDb.literal_text(&exact)
        })
        .collect();
    format!("[{}]", items.join(", "))
}

/// DuckDB's paths are text.
pub(super) fn path_text(path: &Path) -> Result<String, WarehouseError> {
    path.to_str().map(str::to_owned).ok_or_else(|| {
        WarehouseError::new(
            WarehouseErrorKind::Storage,
            format!("the path `{}` is not UTF-8, which the warehouse cannot open: rename it", path.display()),
        )
    })
}

pub(super) fn quote(name: &str) -> Result<String, WarehouseError> {
    DuckDb.quote_identifier(name).map_err(|error| WarehouseError::new(WarehouseErrorKind::Statement, error.to_string()))
}

fn failed(name: &str, mut error: WarehouseError) -> WarehouseError {
    error.message = format!("cannot stage `{name}`: {}", error.message);
    error
}
