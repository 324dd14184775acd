//! The publishing transaction: store tables, seeds and models are brought up to date in order, then tested.
//!
//! Everything here happens inside one transaction that somebody else begins, commits or rolls back.

pub mod change_log;
pub mod coming;
pub mod difference;
pub mod indexes;
pub mod missing;
pub mod model;
pub mod partitions;
pub mod physical;
pub mod refresh;
pub mod staging;
pub mod store;
pub mod stream;
pub mod testing;
pub mod unstorable;

use std::collections::{BTreeMap, BTreeSet};

use thalweg_project::{Project, TableName};
use thalweg_sql::Compiled;
use thalweg_warehouse::ViewDefinition;
use thalweg_warehouse::ledger::Ledger;

use crate::change::Change;
use crate::database::Database;
use crate::error::RunError;
use crate::event::{Event, Observer};
use crate::outcome::{Counts, FailedStream, OutcomeNote, StepOutcome};
use crate::publish::change_log::{ChangeLogs, Retention};
use crate::publish::refresh::Refreshing;
use crate::publish::refresh::clock::ClockValues;
use crate::publish::refresh::stages::Stages;
use crate::table_state::TableState;

/// The work of one run inside its publishing transaction.
pub struct Publication<'a> {
    /// The connection.
    pub database: Database<'a>,
    /// The project.
    pub project: &'a Project,
    /// Its graph.
    pub compiled: &'a Compiled,
    /// The ledger.
    pub ledger: Ledger,
    /// The run.
    pub run: i64,
    /// The tables of the warehouse, as they are at this point of the run.
    pub tables: BTreeMap<TableName, TableState>,
    /// The stages of models.
    pub stages: Stages,
    /// Names of the tables whose state must be written to the ledger.
    pub touched: Vec<TableName>,
    /// What changed so far.
    pub changes: BTreeMap<TableName, Change>,
    /// What was replaced or deleted, by this run and earlier ones.
    pub logs: ChangeLogs,
    /// How long that is kept.
    pub retention: Retention,
    /// What refreshes by changes know.
    pub refreshing: Refreshing,
    /// Which run of each input a reader has consumed: (reader, input) → run.
    pub consumed: BTreeMap<(TableName, TableName), i64>,
    /// The same, for what this run consumed.
    pub consumed_now: BTreeMap<(TableName, TableName), i64>,
    /// What models read of the time when they were last refreshed.
    pub clocks: BTreeMap<TableName, ClockValues>,
    /// The same, for those that this run refreshed.
    pub clocks_now: BTreeMap<TableName, ClockValues>,
    /// Physical tables that are no longer needed once this is published.
    pub superseded: Vec<String>,
    /// What was done.
    pub steps: Vec<StepOutcome>,
    /// What a person should know.
    pub notes: Vec<OutcomeNote>,
    /// Streams of which rows are gone at the source that were not deleted, because they were too many.
    pub refused: Vec<FailedStream>,
    /// Names of the indexes that were made before everything was loaded.
    pub indexed: BTreeSet<String>,
    /// How many more partitions may be made in this transaction, once it was asked.
    pub partition_room: Option<usize>,
    /// Whether tables or views were created or dropped.
    pub definitions_changed: bool,
    /// The next free `thalweg.extracts.id`, once it was asked for.
    pub next_extract: Option<i64>,
    /// Whom to tell.
    pub observer: &'a dyn Observer,
}

impl Publication<'_> {
    /// What changed in a table so far.
    pub fn change_of(&self, table: &TableName) -> &Change {
        self.changes.get(table).unwrap_or(&Change::None)
    }

    /// Whether somebody may ask which rows of a table changed: a reader, a test, a person.
    pub fn is_watched(&self, node: usize) -> bool {
        let tested = |test: &thalweg_sql::CompiledTest| test.inputs.contains(&node);
        self.retention.every_table || !self.compiled.readers[node].is_empty() || self.compiled.tests.iter().any(tested)
    }

    /// What readers of a table may see changed: for a view, whether anything below it did, also in a run that leaves models out.
    pub fn effective_change(&self, table: &TableName) -> Change {
        let change = self.change_of(table);
        if change.any() {
            return change.clone();
        }
        let Some(node) = self.compiled.node(table) else { return Change::None };
        let below = model::tracked_inputs(self.project, self.compiled, node);
        let is_view = model::is_view(self.project, self.compiled, node);
        if is_view && below.iter().any(|&input| self.change_of(&self.compiled.nodes[input].id).any()) {
            return Change::Everything;
        }
        Change::None
    }

    /// Checks both equations of a step, then keeps and tells it.
    pub fn finish_step(&mut self, step: StepOutcome) -> Result<(), RunError> {
        check_balance(&step)?;
        self.observer.event(&Event::StepFinished(step.clone()));
        self.steps.push(step);
        Ok(())
    }

    /// Tells something that a person should know.
    pub fn note(&mut self, about: String, warning: bool, message: String) {
        self.observer.event(&Event::Note { about: about.clone(), warning, message: message.clone() });
        self.notes.push(OutcomeNote { about, warning, message });
    }

    /// Drops a table or view the project no longer has.
    pub fn drop_table(&mut self, table: &TableName) -> Result<(), RunError> {
        self.database.about(table.to_string());
        let state = self.tables.remove(table);
        let physical = state.map(|state| state.physical).filter(|physical| !physical.is_empty());
        if self.database.dialect.definitions_wait_for_readers() {
            let schema = format!("{}{}", self.project.target.schema_prefix, table.schema);
            self.postpone(table, ViewDefinition { schema, view: table.name.clone(), sql: None })?;
            self.superseded.extend(physical);
        } else {
            let view = self.published(table)?;
            self.database.execute(&format!("drop view if exists {view}"))?;
            if let Some(physical) = physical {
                self.drop_physical(&physical)?;
            }
        }
        self.drop_stages(table, |_| true)?;
        self.break_log(table)?;
        self.definitions_changed = true;
        Ok(())
    }

    /// Notes the state of a table for the ledger.
    pub fn put_table(&mut self, table: &TableName, state: TableState) {
        if let Some(old) = self.tables.insert(table.clone(), state) {
            self.logs.note_before(table, old.changed_run);
        }
        if !self.touched.contains(table) {
            self.touched.push(table.clone());
        }
    }
}

/// The two equations of law 3.
pub fn check_balance(step: &StepOutcome) -> Result<(), RunError> {
    let Counts { read, inserted, updated, unchanged, deleted_by_mark, deleted_missing, rejected, duplicate } =
        step.counts;
    let unbalanced = |equation: String| Err(RunError::Unbalanced { table: step.table.clone(), equation });
    let reads = matches!(step.kind.as_str(), "store" | "seed");
    if reads && read != inserted + updated + unchanged + deleted_by_mark + rejected + duplicate {
        return unbalanced(format!(
            "read {read} is not inserted {inserted} + updated {updated} + unchanged {unchanged} + deleted by mark {deleted_by_mark} \
             + rejected {rejected} + duplicate {duplicate}"
        ));
    }
    if step.kind != "view" && step.rows_after + deleted_by_mark + deleted_missing != step.rows_before + inserted {
        return unbalanced(format!(
            "rows after {} is not rows before {} + inserted {inserted} - deleted by mark {deleted_by_mark} - found missing {deleted_missing}",
            step.rows_after, step.rows_before
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(read: u64, inserted: u64, rows_after: u64) -> StepOutcome {
        StepOutcome {
            table: "store.x".into(),
            kind: "store".into(),
            counts: Counts { read, inserted, ..Counts::default() },
            rows_after,
            ..StepOutcome::default()
        }
    }

    #[test]
    fn rows_that_do_not_add_up_are_an_error() {
        assert!(check_balance(&step(2, 2, 2)).is_ok());
        let lost = check_balance(&step(3, 2, 2)).expect_err("a row was lost");
        assert!(lost.to_string().contains("read 3 is not inserted 2"), "{lost}");
        let invented = check_balance(&step(2, 2, 3)).expect_err("a row came from nowhere");
        assert!(invented.to_string().contains("rows after 3 is not rows before 0"), "{invented}");
    }
}
