//! Putting the rows of some keys in the place of those that are stored.

use thalweg_sql::statement::relation::{RUN_COLUMN, column_list, found_keys};
use thalweg_sql::statement::{RowIdentifier, Sameness, TypedColumn};

use super::Refreshed;
use crate::error::RunError;
use crate::outcome::StepOutcome;
use crate::publish::Publication;
use crate::publish::difference::NewContents;
use crate::publish::model::ModelFacts;
use crate::table_state::TableState;

impl Publication<'_> {
    /// Computes the rows of the affected keys, compares them with those that are stored and writes what differs.
    #[expect(clippy::too_many_arguments, reason = "one refresh is made of these")]
    pub(super) fn replace_keys(
        &mut self,
        facts: &ModelFacts<'_>,
        old: &TableState,
        columns: &[TypedColumn],
        select: &str,
        key: &[String],
        affected: &str,
        nulls: &[bool],
        step: &mut StepOutcome,
    ) -> Result<Refreshed, RunError> {
        let dialect = self.database.dialect;
        let new = self.database.temporary("new");
        let computed = self
            .database
            .make_counted(&new, &format!("select q.*, {}::bigint as {RUN_COLUMN} from ({select}\n) q", self.run))?;
        fail::fail_point!("run::refresh-computed", |_| Err(RunError::failed_at("run::refresh-computed")));
        let same = self.database.name(found_keys(dialect, ("a", "t"), key, nulls, columns))?;
        let physical = self.physical(&old.physical)?;
        let names = columns.iter().map(|column| column.name.as_str());
        let declared = self.database.name(column_list(dialect, "t", names))?;
        let rows = RowIdentifier::of_table(dialect, old.layout().is_some());
        let affects = format!("exists (select 1 from {affected} a where {same})");
        // The rows are found by their key columns first and fetched by their identifiers then: an engine that stores columns would
        // otherwise read all columns of all rows. One with partitions would look for each row in every partition.
        let find = format!("select {} from {physical} t where {affects}", rows.selected("t"));
        let (found, chosen) = match rows.partitions() {
            Some(_) => (None, affects),
            // An engine that looks rows up must know before how few they are.
            None if dialect.has_indexes() => {
                let found = self.database.make_named("found", &find)?;
                let chosen = rows.is_in("t", &found);
                (Some(found), chosen)
            }
            None => (None, rows.is_in("t", &format!("({find})"))),
        };
        let stored = self.database.temporary("stored");
        let compared = self.database.make_counted(
            &stored,
            &format!("select {declared}, t.{RUN_COLUMN}, {} from {physical} t where {chosen}", rows.selected("t")),
        )?;
        if let Some(found) = &found {
            self.database.forget_one(found)?;
        }
        fail::fail_point!("run::refresh-stored", |_| Err(RunError::failed_at("run::refresh-stored")));
        let (counts, change) = self.apply_difference(NewContents {
            old: physical,
            old_rows: rows,
            part: Some(stored),
            new,
            rows: computed,
            compared: Some(compared),
            columns: columns.to_vec(),
            bookkeeping: vec![RUN_COLUMN],
            key: facts.model.primary_key.clone(),
            sameness: Sameness::Computed,
            watched: true,
        })?;
        fail::fail_point!("run::refresh-applied", |_| Err(RunError::failed_at("run::refresh-applied")));
        if let Some(figures) = &mut step.refresh {
            figures.rows_read = computed + compared;
            figures.rows_written = counts.inserted + counts.updated + counts.replaced();
        }
        Ok(Refreshed { counts, change })
    }
}
