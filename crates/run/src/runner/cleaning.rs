//! After a commit: what is superseded is dropped, partitions that are missing are made, and those that are past and empty are dropped.
//!
//! Each in a transaction of its own, which readers wait for no more than moments. What somebody's long query stands in the way of is done by
//! the next run; until then rows without a partition lie where everything has a place.

use std::collections::BTreeMap;
use std::time::Duration;

use thalweg_project::TableName;
use thalweg_warehouse::Connection;

use super::Run;
use crate::error::RunError;
use crate::outcome::{OutcomeNote, RunOutcome};
use crate::publish::partitions::keeping::{PartitionChanges, bad_name, partition_changes};
use crate::publish::physical;
use crate::table_state::TableState;

/// How often something is tried that readers stand in the way of, and how long they are left alone before it is tried again.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(200);

impl Run<'_> {
    /// Drops the physical tables that nothing leads to any more: what this run superseded, and what earlier ones could not drop because
    /// somebody read it or they died. What cannot be dropped now waits for the next run.
    pub(super) fn clean(&self, connection: &mut dyn Connection) {
        let project = self.bench.project();
        let dialect = thalweg_sql::dialect_of(&project.target.connection);
        if !dialect.definitions_wait_for_readers() {
            return;
        }
        let cleaned = physical::unused(connection, &project.name).and_then(|unused| {
            for name in unused {
                let sql = physical::physical_table(dialect, &name).map(|table| format!("drop table if exists {table}"));
                let Ok(sql) = sql else { continue };
                if !connection.try_briefly(&[sql])? {
                    tracing::info!(table = name, "somebody reads what is superseded: the next run drops it");
                }
            }
            Ok(())
        });
        if let Err(error) = cleaned {
            tracing::info!(%error, "what is superseded stays for now");
        }
    }

    /// Makes and drops partitions as far as nobody is in the way. A failure is none of the run, which is published.
    pub(super) fn keep_partitions(
        &self,
        connection: &mut dyn Connection,
        tables: &BTreeMap<TableName, TableState>,
        outcome: &mut RunOutcome,
    ) {
        let project = self.bench.project();
        let dialect = thalweg_sql::dialect_of(&project.target.connection);
        if dialect.partitions().is_none() || project.models.iter().all(|model| model.partitioning.is_none()) {
            return;
        }
        let changes = match partition_changes(connection, dialect, project, tables) {
            Ok(changes) => changes,
            Err(error) => {
                tracing::info!(%error, "the partitions stay as they are for now");
                return;
            }
        };
        for change in changes {
            if change.too_much {
                outcome.notes.push(OutcomeNote {
                    about: change.table.to_string(),
                    warning: true,
                    message: "so many of its rows lie in no partition of their own that none can be made any more while it is read: \
                              `thalweg build --full-refresh` makes it anew"
                        .to_owned(),
                });
            }
            if let Err(error) = keep(connection, &change) {
                outcome.notes.push(OutcomeNote {
                    about: change.table.to_string(),
                    warning: true,
                    message: format!("its partitions stay as they are: {error}"),
                });
            }
        }
    }
}

/// Makes and drops the partitions of one table. Nothing is wrong where readers are in the way.
fn keep(connection: &mut dyn Connection, change: &PartitionChanges<'_>) -> Result<(), RunError> {
    let layout = &change.layout;
    for range in &change.missing {
        let statements = layout.engine.add_range(&layout.table, range);
        let statements = statements.map_err(bad_name)?;
        if !attempt(connection, &statements)? {
            tracing::info!(table = %change.table, partition = range.name, "somebody reads what a partition takes rows from");
            return Ok(());
        }
    }
    for (name, _) in &change.empty {
        if !attempt(connection, &[format!("drop table if exists {name}")])? {
            tracing::info!(table = %change.table, partition = name, "somebody reads an empty partition");
            return Ok(());
        }
    }
    Ok(())
}

fn attempt(connection: &mut dyn Connection, statements: &[String]) -> Result<bool, RunError> {
    for number in 1..=ATTEMPTS {
        if connection.try_briefly(statements)? {
            return Ok(true);
        }
        if number < ATTEMPTS {
            std::thread::sleep(PAUSE);
        }
    }
    Ok(false)
}
