//! Which partitions a build would make or drop, as far as that is known before it.

use std::collections::BTreeMap;

use jiff::civil::Date;
use thalweg_project::{Materialized, Project, TableName};
use thalweg_sql::Dialect;

use super::keeping::{partition_changes, today};
use super::{layout, ranges};
use crate::answer::PlannedPartition;
use crate::error::RunError;
use crate::publish::Publication;
use crate::table_state::TableState;

/// The partitions that tables are sure to get when they are made: today's and those ahead. Which their rows need is seen then.
pub fn first_partitions(
    project: &Project,
    dialect: &dyn Dialect,
    tables: &BTreeMap<TableName, TableState>,
    today: Date,
) -> Vec<PlannedPartition> {
    let mut planned = Vec::new();
    for model in project.models.iter().filter(|model| model.materialized == Materialized::Table) {
        let (Some(partitioning), Some(wanted)) = (&model.partitioning, layout(dialect, model)) else { continue };
        if tables.get(&model.table).and_then(TableState::layout) == Some(&*wanted) {
            continue;
        }
        planned.extend(ranges::of_new_table(partitioning, today, &[], 0).first_days.into_iter().filter_map(|from| {
            let until = ranges::later(partitioning.unit, from, 1)?;
            Some(PlannedPartition {
                table: model.table.to_string(),
                from: Some(from.to_string()),
                until: Some(until.to_string()),
                dropped: false,
            })
        }));
    }
    planned
}

impl Publication<'_> {
    /// The partitions that a run would make or drop as its tables stand.
    pub fn planned_partitions(&mut self) -> Result<Vec<PlannedPartition>, RunError> {
        let dialect = self.database.dialect;
        let asked = self.project.models.iter().any(|model| layout(dialect, model).is_some());
        if !asked {
            return Ok(Vec::new());
        }
        let changes = partition_changes(self.database.connection, dialect, self.project, &self.tables)?;
        let mut planned = first_partitions(self.project, dialect, &self.tables, today(self.database.connection)?);
        for change in changes {
            let table = change.table.to_string();
            let made = change.missing.into_iter().map(|range| (Some(range), false));
            let dropped = change.empty.into_iter().map(|(_, range)| (range, true));
            planned.extend(made.chain(dropped).map(|(range, dropped)| PlannedPartition {
                table: table.clone(),
                from: range.as_ref().and_then(|range| range.from.clone()),
                until: range.map(|range| range.until),
                dropped,
            }));
        }
        planned.sort();
        Ok(planned)
    }
}
