//! Putting the rows of some keys in the place of those that are stored.

use thalweg_sql::refresh::Steady;
use thalweg_sql::statement::relation::{RUN_COLUMN, column_list, found_keys};
use thalweg_sql::statement::{RowIdentifier, Sameness, TypedColumn};

use super::Refreshed;
use super::steady::StoredRows;
use crate::change::Change;
use crate::error::RunError;
use crate::outcome::{Counts, StepOutcome};
use crate::publish::Publication;
use crate::publish::difference::NewContents;
use crate::publish::model::ModelFacts;
use crate::table_state::TableState;

/// The affected keys.
#[derive(Clone, Copy)]
pub(super) struct Keyed<'a> {
    /// The columns of K.
    pub key: &'a [String],
    /// The table that holds them, quoted.
    pub affected: &'a str,
    /// For each column of K whether it holds a NULL there.
    pub nulls: &'a [bool],
}

impl Publication<'_> {
    /// Computes the rows of the affected keys, compares them with those that are stored and writes what differs.
    #[expect(clippy::too_many_arguments, reason = "one refresh is made of these")]
    pub(super) fn replace_keys(
        &mut self,
        facts: &ModelFacts<'_>,
        old: &TableState,
        columns: &[TypedColumn],
        select: &str,
        keys: Keyed<'_>,
        steady: Option<&Steady>,
        step: &mut StepOutcome,
    ) -> Result<Refreshed, RunError> {
        let dialect = self.database.dialect;
        let new = self.database.temporary("new");
        let computed = self
            .database
            .make_counted(&new, &format!("select q.*, {}::bigint as {RUN_COLUMN} from ({select}\n) q", self.run))?;
        fail::fail_point!("run::refresh-computed", |_| Err(RunError::failed_at("run::refresh-computed")));
        let physical = self.physical(&old.physical)?;
        let rows = RowIdentifier::of_table(dialect, old.layout().is_some());
        let same = self.database.name(found_keys(dialect, ("a", "t"), keys.key, keys.nulls, columns))?;
        let affects = format!("exists (select 1 from {} a where {same})", keys.affected);
        let key = facts.key_among(columns);
        let has_key = !key.is_empty();
        let stored = StoredRows { physical: &physical, rows, columns, affects: &affects, new: &new, computed, has_key };
        let replaced = match steady {
            Some(steady) => self.replace_in_part(&stored, steady)?,
            None => None,
        };
        let (compared, counts, change) = match replaced {
            Some(replaced) => replaced,
            None => self.replace_whole(&stored, key)?,
        };
        fail::fail_point!("run::refresh-applied", |_| Err(RunError::failed_at("run::refresh-applied")));
        if let Some(figures) = &mut step.refresh {
            figures.rows_read = computed + compared;
            figures.rows_written = counts.inserted + counts.updated + counts.replaced();
        }
        Ok(Refreshed { counts, change })
    }

    /// The same with all columns of the stored rows. Also how many rows were read.
    fn replace_whole(&mut self, stored: &StoredRows<'_>, key: Vec<String>) -> Result<(u64, Counts, Change), RunError> {
        let (select, found) = self.all_columns(stored)?;
        let part = self.database.temporary("stored");
        let compared = self.database.make_counted(&part, &select)?;
        if let Some(found) = &found {
            self.database.forget_one(found)?;
        }
        fail::fail_point!("run::refresh-stored", |_| Err(RunError::failed_at("run::refresh-stored")));
        let (counts, change) = self.apply_difference(NewContents {
            old: stored.physical.to_owned(),
            old_rows: stored.rows,
            part: Some(part),
            new: stored.new.to_owned(),
            rows: stored.computed,
            compared: Some(compared),
            columns: stored.columns.to_vec(),
            bookkeeping: vec![RUN_COLUMN],
            key,
            sameness: Sameness::Computed,
            watched: true,
        })?;
        Ok((compared, counts, change))
    }

    /// A query for the stored rows of affected keys, and the temporary table that it reads.
    fn all_columns(&mut self, stored: &StoredRows<'_>) -> Result<(String, Option<String>), RunError> {
        let dialect = self.database.dialect;
        let StoredRows { physical, rows, columns, affects, .. } = stored;
        let names = columns.iter().map(|column| column.name.as_str());
        let declared = self.database.name(column_list(dialect, "t", names))?;
        // The rows are found by their key columns first and fetched by their identifiers then: an engine that stores columns would
        // otherwise read all columns of all rows. One with partitions would look for each row in every partition.
        let find = format!("select {} from {physical} t where {affects}", rows.selected("t"));
        let (found, chosen) = match rows.partitions() {
            Some(_) => (None, (*affects).to_owned()),
            // An engine that looks rows up must know before how few they are.
            None if dialect.has_indexes() => {
                let found = self.database.make_named("found", &find)?;
                let chosen = rows.is_in("t", &found);
                (Some(found), chosen)
            }
            None => (None, rows.is_in("t", &format!("({find})"))),
        };
        Ok((
            format!("select {declared}, t.{RUN_COLUMN}, {} from {physical} t where {chosen}", rows.selected("t")),
            found,
        ))
    }
}
