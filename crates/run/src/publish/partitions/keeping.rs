//! What is to be done about the partitions of tables that stand.

use std::collections::BTreeMap;

use jiff::civil::Date;
use thalweg_project::{Project, TableName};
use thalweg_sql::Dialect;
use thalweg_sql::dialect::partitions::RangePartition;
use thalweg_warehouse::{Connection, WarehouseError, WarehouseErrorKind};

use super::{Layout, PAST, layout, ranges};
use crate::error::RunError;
use crate::publish::physical::{DATA_SCHEMA, physical_table};
use crate::table_state::TableState;
use crate::text::text_table;

/// What is to be done about the partitions of a table.
pub struct PartitionChanges<'p> {
    /// The table.
    pub table: TableName,
    /// How it is laid out.
    pub layout: Layout<'p>,
    /// Partitions that it lacks.
    pub missing: Vec<RangePartition>,
    /// Quoted names of partitions that are past and hold nothing, each with its first and last day where it has some.
    pub empty: Vec<(String, Option<RangePartition>)>,
    /// What is in no range is so much that no partition can be made without keeping readers waiting.
    pub too_much: bool,
}

/// The first column of an answer.
fn texts(connection: &mut dyn Connection, sql: &str) -> Result<Vec<String>, RunError> {
    let found = connection.query(sql, &[])?;
    let found = text_table(&found, None)?;
    Ok(found.rows.into_iter().filter_map(|row| row.into_iter().next()?).collect())
}

/// The date of the run.
pub fn today(connection: &mut dyn Connection) -> Result<Date, RunError> {
    let found = texts(connection, "select cast(current_date as varchar) as today")?;
    let today = found.first().and_then(|text| text.parse().ok());
    today.ok_or_else(|| {
        let message = "the warehouse does not say what day it is: its `current_date` is no date of four-digit years";
        RunError::Warehouse(WarehouseError::new(WarehouseErrorKind::Statement, message))
    })
}

/// The first days of the ranges in which a relation with the columns of a table holds rows.
pub fn held(connection: &mut dyn Connection, layout: &Layout<'_>, relation: &str) -> Result<Vec<Date>, RunError> {
    let partitioning = layout.partitioning;
    let sql = layout.engine.first_days(relation, &partitioning.column, partitioning.unit).map_err(bad_name)?;
    Ok(texts(connection, &sql)?.iter().filter_map(|text| text.parse().ok()).collect())
}

/// How many partitions a transaction may make.
pub fn room(connection: &mut dyn Connection, layout: &Layout<'_>) -> Result<usize, RunError> {
    let found = texts(connection, layout.engine.room())?;
    Ok(found.first().and_then(|text| text.parse().ok()).unwrap_or(0))
}

/// See [`PartitionChanges::too_much`].
pub fn holds_too_much(connection: &mut dyn Connection, layout: &Layout<'_>) -> Result<bool, RunError> {
    Ok(!texts(connection, &layout.engine.find_too_large(&layout.table.rest))?.is_empty())
}

/// A name that the engine does not take.
pub fn bad_name(error: thalweg_sql::InvalidName) -> RunError {
    RunError::Warehouse(WarehouseError::new(WarehouseErrorKind::Statement, error.to_string()))
}

/// What is to be done about the partitions of a project's tables, as they stand.
pub fn partition_changes<'p>(
    connection: &mut dyn Connection,
    dialect: &'static dyn Dialect,
    project: &'p Project,
    tables: &BTreeMap<TableName, TableState>,
) -> Result<Vec<PartitionChanges<'p>>, RunError> {
    let mut found = Vec::new();
    for model in &project.models {
        let (Some(partitioning), Some(state)) = (&model.partitioning, tables.get(&model.table)) else { continue };
        // What stands in another way will be made anew.
        if state.layout().is_none() || state.layout() != layout(dialect, model).as_deref() {
            continue;
        }
        if let Some(layout) = Layout::new(dialect, &state.physical, partitioning).map_err(bad_name)? {
            found.push((model.table.clone(), layout, state.physical.clone()));
        }
    }
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let today = today(connection)?;
    let standing = connection.partitions(DATA_SCHEMA)?;
    let mut changes = Vec::with_capacity(found.len());
    for (table, layout, physical) in found {
        let names = standing.iter().filter(|partition| partition.table == physical);
        let names: Vec<&str> = names.map(|partition| partition.name.as_str()).collect();
        changes.push(of_table(connection, dialect, table, layout, &names, today)?);
    }
    Ok(changes)
}

fn of_table<'p>(
    connection: &mut dyn Connection,
    dialect: &'static dyn Dialect,
    table: TableName,
    layout: Layout<'p>,
    standing: &[&str],
    today: Date,
) -> Result<PartitionChanges<'p>, RunError> {
    let by_day: BTreeMap<Date, &str> =
        standing.iter().filter_map(|name| Some((layout.first_day(name)?, *name))).collect();
    let past = format!("{}{PAST}", layout.prefix);
    let past = standing.iter().copied().find(|name| *name == past);
    let mut looks = Vec::with_capacity(by_day.len() + 1);
    for name in by_day.values().copied().chain(past) {
        let quoted = physical_table(dialect, name).map_err(bad_name)?;
        looks.push(format!("select '{name}' as name where exists (select 1 from {quoted})"));
    }
    let filled = if looks.is_empty() { Vec::new() } else { texts(connection, &looks.join(" union all "))? };
    let is_filled = |name: &str| filled.iter().any(|filled| filled == name);
    let newest = by_day.iter().rev().find(|(_, name)| is_filled(name)).map(|(day, _)| *day);
    let current = ranges::first_day(layout.partitioning.unit, today);
    let mut empty = Vec::new();
    for (day, name) in by_day.range(..current).filter(|(_, name)| !is_filled(name)) {
        empty.push((physical_table(dialect, name).map_err(bad_name)?, layout.range(*day).map_err(bad_name)?));
    }
    if let Some(name) = past.filter(|name| !is_filled(name)) {
        empty.push((physical_table(dialect, name).map_err(bad_name)?, None));
    }
    let too_much = holds_too_much(connection, &layout)?;
    let mut missing = Vec::new();
    if !too_much {
        let waiting = held(connection, &layout, &layout.table.rest)?;
        let days: Vec<Date> = by_day.keys().copied().collect();
        for day in ranges::missing(layout.partitioning, today, &days, newest, &waiting) {
            missing.extend(layout.range(day).map_err(bad_name)?);
        }
    }
    Ok(PartitionChanges { table, layout, missing, empty, too_much })
}
