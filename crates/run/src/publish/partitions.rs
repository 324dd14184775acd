//! Tables in partitions, where an engine has some.
//!
//! A model's table is cut by ranges of time as `partition_by:` says. When it is made, its rows are computed first, and it gets the
//! partitions that they need and some ahead. From then on nothing that a run publishes needs a partition: what lies in no range lies in a
//! part of the table that takes everything. After the commit (`runner/cleaning.rs`) such rows are moved into partitions of their own, partitions
//! ahead are made as time goes on, and those that are empty and past are dropped, each in a transaction of moments or another time.

pub mod keeping;
pub mod planned;
pub mod ranges;

use jiff::civil::Date;
use thalweg_project::{Model, Partitioning};
use thalweg_sql::dialect::partitions::{PartitionedTable, Partitions, RangePartition};
use thalweg_sql::statement::TypedColumn;
use thalweg_sql::{Dialect, InvalidName};
use thalweg_warehouse::{WarehouseError, WarehouseErrorKind};

use crate::error::RunError;
use crate::publish::Publication;
use crate::publish::physical::physical_table;
use crate::table_state::TableState;

/// Label of the partition that holds all rows before the first range.
const PAST: &str = "past";

/// How the table of a model is to be laid out, as a part of its fingerprint; `None` where the engine has no partitions.
pub fn layout(dialect: &dyn Dialect, model: &Model) -> Option<String> {
    let partitioning = model.partitioning.as_ref().filter(|_| dialect.partitions().is_some())?;
    let text = format!("{}\0{}", partitioning.column, partitioning.unit.word());
    Some(blake3::hash(text.as_bytes()).to_hex()[..8].to_owned())
}

/// A table in partitions by its physical name, and how the engine has them.
pub struct Layout<'p> {
    /// How they are declared.
    pub partitioning: &'p Partitioning,
    /// The names of the table and of what is in no range.
    pub table: PartitionedTable,
    /// The engine's way.
    pub engine: &'static dyn Partitions,
    dialect: &'static dyn Dialect,
    /// What the names of its partitions begin with: no name of a physical table does, which has a dot.
    prefix: String,
}

impl<'p> Layout<'p> {
    /// Of a physical table; `None` where the engine has no partitions.
    pub fn new(
        dialect: &'static dyn Dialect,
        physical: &str,
        partitioning: &'p Partitioning,
    ) -> Result<Option<Self>, InvalidName> {
        let Some(engine) = dialect.partitions() else { return Ok(None) };
        let prefix = format!("p_{}_", &blake3::hash(physical.as_bytes()).to_hex()[..16]);
        let beside = |label: &str| physical_table(dialect, &format!("{prefix}{label}"));
        let table = PartitionedTable {
            table: physical_table(dialect, physical)?,
            column: partitioning.column.clone(),
            others: beside("others")?,
            without_value: beside("null")?,
            rest: beside("rest")?,
        };
        Ok(Some(Self { partitioning, table, engine, dialect, prefix }))
    }

    /// The partition of a range, by its first day; `None` beyond the calendar.
    pub fn range(&self, first: Date) -> Result<Option<RangePartition>, InvalidName> {
        let Some(until) = ranges::later(self.partitioning.unit, first, 1) else { return Ok(None) };
        let name = physical_table(self.dialect, &format!("{}{}", self.prefix, label(first)))?;
        Ok(Some(RangePartition { name, from: Some(first.to_string()), until: until.to_string() }))
    }

    /// The partition of all rows before a day.
    pub fn past(&self, until: Date) -> Result<RangePartition, InvalidName> {
        let name = physical_table(self.dialect, &format!("{}{PAST}", self.prefix))?;
        Ok(RangePartition { name, from: None, until: until.to_string() })
    }

    /// The first day of the range of a partition with this name, if it is one of this table.
    pub fn first_day(&self, name: &str) -> Option<Date> {
        name.strip_prefix(&self.prefix)?.replace('_', "-").parse().ok()
    }
}

fn label(first: Date) -> String {
    first.to_string().replace('-', "_")
}

impl Publication<'_> {
    /// Makes the table of a model and fills it with the answer of a query; the number of its rows.
    pub fn make_table(
        &mut self,
        physical: &str,
        model: &Model,
        select: &str,
        columns: &[TypedColumn],
    ) -> Result<u64, RunError> {
        let quoted = self.physical(physical)?;
        let layout = match &model.partitioning {
            Some(partitioning) => Layout::new(self.database.dialect, physical, partitioning),
            None => Ok(None),
        };
        let Some(layout) = layout.map_err(|error| self.database.bad_name(error))? else {
            return self.database.execute(&format!("create table {quoted} as {select}"));
        };
        self.check_partition_column(layout.partitioning, columns)?;
        let new = self.database.temporary("new");
        self.database.execute(&format!("create temporary table {new} as {select}"))?;
        let today = keeping::today(self.database.connection)?;
        let held = keeping::held(self.database.connection, &layout, &new)?;
        let room = match self.partition_room {
            Some(room) => room,
            None => keeping::room(self.database.connection, &layout)?,
        };
        let ranges = ranges::of_new_table(layout.partitioning, today, &held, room);
        self.partition_room = Some(room.saturating_sub(ranges.first_days.len()));
        if ranges.past.is_some() {
            let (all, own) = (held.len(), held.iter().filter(|day| ranges.first_days.contains(day)).count());
            let unit = layout.partitioning.unit.word();
            let message = format!(
                "its rows lie in {all} ranges of a {unit}, of which the {own} nearest to today have partitions of their own: that is what the \
                 server has locks for (`max_locks_per_transaction`), and at most {}; a longer unit needs fewer",
                ranges::MOST_RANGES
            );
            self.note(model.table.to_string(), false, message);
        }
        let created = layout.engine.create(&layout.table, &new).map_err(|error| self.database.bad_name(error))?;
        for sql in created {
            self.database.execute(&sql)?;
        }
        let mut partitions = Vec::with_capacity(ranges.first_days.len() + 1);
        if let Some(until) = ranges.past {
            partitions.push(self.database.name(layout.past(until))?);
        }
        for first in ranges.first_days {
            partitions.extend(self.database.name(layout.range(first))?);
        }
        for partition in &partitions {
            self.database.execute(&layout.engine.create_range(&layout.table, partition))?;
        }
        let rows = self.database.execute(&format!("insert into {quoted} select * from {new}"))?;
        self.database.forget_one(&new)?;
        Ok(rows)
    }

    /// Refuses a model with a retention whose column cannot say how old a row is.
    pub fn check_retention(&mut self, node: usize, model: &Model) -> Result<(), RunError> {
        let (Some(partitioning), Some(sql)) = (&model.partitioning, self.compiled.all_rows_sql(node)) else {
            return Ok(());
        };
        let columns = self.describe(&self.as_to_come(sql))?;
        self.check_partition_column(partitioning, &columns)
    }

    fn check_partition_column(&self, partitioning: &Partitioning, columns: &[TypedColumn]) -> Result<(), RunError> {
        let problem = match columns.iter().find(|column| column.name == partitioning.column) {
            None => format!("there is no column `{}` for its partitions", partitioning.column),
            Some(column) if !self.database.dialect.is_time(&column.engine_type) => {
                format!(
                    "its column `{}` is of type {}, and partitions are ranges of dates or points in time",
                    column.name, column.engine_type
                )
            }
            Some(_) => return Ok(()),
        };
        let message = format!("{problem}: change `partition_by` of the model");
        Err(self.database.error(WarehouseError::new(WarehouseErrorKind::Statement, message)))
    }

    /// Whether the table of a model stands as it is to be laid out, and so that partitions can still be made for what comes.
    pub fn is_laid_out(&mut self, model: &Model, state: &TableState) -> Result<bool, RunError> {
        if state.layout() != layout(self.database.dialect, model).as_deref() {
            return Ok(false);
        }
        let Some(partitioning) = &model.partitioning else { return Ok(true) };
        let layout = Layout::new(self.database.dialect, &state.physical, partitioning);
        match layout.map_err(|error| self.database.bad_name(error))? {
            Some(layout) => Ok(!keeping::holds_too_much(self.database.connection, &layout)?),
            None => Ok(true),
        }
    }
}
