//! What a stage of sums becomes by what is added to it.
//!
//! One table holds for each group that changes its row as it was and as it is then: what goes, what comes and what readers are told are
//! looked up in it, and the stage is read once.

use super::summed::{ROWS, Summing};
use crate::dialect::{Dialect, InvalidName};
use crate::statement::relation::{RUN_COLUMN, column_list};
use crate::statement::row::ROW_COLUMN;

/// How the columns begin that hold what a row was.
const WAS: &str = "_thalweg_was_";

/// The run that had written it.
const WAS_RUN: &str = "_thalweg_was_written";

/// Whether the group is still there.
const KEPT: &str = "_thalweg_kept";

impl Summing {
    /// The rows of the groups that change: as they are then, with the stage's columns and types, and the run; as they were, and which row of
    /// the stage that was. A group without rows is not kept, a total always is. `table` is the stage's, `delta` one with what is to be added.
    pub fn merged(
        &self,
        dialect: &dyn Dialect,
        table: &str,
        delta: &str,
        columns: &[(String, String)],
        run: i64,
    ) -> Result<String, InvalidName> {
        let mut list = Vec::with_capacity(2 * columns.len() + 4);
        let sum_of = |name: &str| -> Result<String, InvalidName> {
            let name = dialect.quote_identifier(name)?;
            Ok(format!("coalesce(t.{name}, 0) + d.{name}"))
        };
        for (name, engine_type) in columns {
            let quoted = dialect.quote_identifier(name)?;
            let kept = self.sums.iter().find(|sum| sum.name == *name);
            list.push(if self.keys.contains(name) {
                format!("d.{quoted}")
            } else if let Some(kept) = kept {
                let mut sum = sum_of(name)?;
                if let Some(scale) = &kept.scale {
                    // Of what cannot be taken away again, as often as it is there, the sum is itself.
                    let is_scale = dialect.is_scale(&format!("d.{}", dialect.quote_identifier(scale)?));
                    sum = format!("case when {is_scale} then {sum} else d.{quoted} end");
                }
                format!("case when {} <> 0 then cast({sum} as {engine_type}) end as {quoted}", sum_of(&kept.count)?)
            } else {
                format!("cast({} as {engine_type}) as {quoted}", sum_of(name)?)
            });
        }
        list.push(format!("cast({run} as bigint) as {RUN_COLUMN}"));
        for (index, (name, _)) in columns.iter().enumerate() {
            list.push(format!("t.{} as {WAS}{index}", dialect.quote_identifier(name)?));
        }
        list.push(format!("t.{RUN_COLUMN} as {WAS_RUN}"));
        list.push(format!("t.{} as {ROW_COLUMN}", dialect.row_identifier()));
        let mut same = Vec::with_capacity(self.keys.len());
        for key in &self.keys {
            let quoted = dialect.quote_identifier(key)?;
            let type_name = columns.iter().find(|(name, _)| name == key).map(|(_, engine_type)| engine_type.as_str());
            same.push(dialect.same(&format!("t.{quoted}"), &format!("d.{quoted}"), true, type_name));
        }
        let kept = if self.keys.is_empty() { "true".to_owned() } else { format!("{} <> 0", sum_of(ROWS)?) };
        list.push(format!("{kept} as {KEPT}"));
        let same = if same.is_empty() { "true".to_owned() } else { same.join(" and ") };
        Ok(format!("select {} from {delta} d left join {table} t on {same}", list.join(", ")))
    }

    /// One row about a table of [`Summing::merged`]: how many rows cannot be, since their groups have less than no rows; how many rows go, how
    /// many come, how many do both.
    pub fn count_merged(&self, dialect: &dyn Dialect, merged: &str) -> Result<String, InvalidName> {
        let mut conditions = Vec::new();
        for count in self.all_counts() {
            conditions.push(format!("m.{} < 0", dialect.quote_identifier(count)?));
        }
        Ok(format!(
            "select count(*) filter (where {}), count(m.{ROW_COLUMN}), count(*) filter (where m.{KEPT}), \
             count(m.{ROW_COLUMN}) filter (where m.{KEPT}) from {merged} m",
            conditions.join(" or ")
        ))
    }

    /// The rows that go: the stage's columns, and the run that had written them.
    pub fn gone(dialect: &dyn Dialect, merged: &str, columns: &[(String, String)]) -> Result<String, InvalidName> {
        let mut list = Vec::with_capacity(columns.len() + 1);
        for (index, (name, _)) in columns.iter().enumerate() {
            list.push(format!("m.{WAS}{index} as {}", dialect.quote_identifier(name)?));
        }
        list.push(format!("m.{WAS_RUN} as {RUN_COLUMN}"));
        Ok(format!("select {} from {merged} m where m.{ROW_COLUMN} is not null", list.join(", ")))
    }

    /// The rows that come: the stage's columns, and the run.
    pub fn came(dialect: &dyn Dialect, merged: &str, columns: &[(String, String)]) -> Result<String, InvalidName> {
        let list = column_list(dialect, "m", columns.iter().map(|(name, _)| name.as_str()))?;
        Ok(format!("select {list}, m.{RUN_COLUMN} from {merged} m where m.{KEPT}"))
    }

    /// Deletes the rows that go from the stage's table.
    pub fn delete_gone(dialect: &dyn Dialect, table: &str, merged: &str) -> String {
        let row = dialect.row_identifier();
        format!(
            "delete from {table} where {row} in (select m.{ROW_COLUMN} from {merged} m where m.{ROW_COLUMN} is not null)"
        )
    }

    /// Inserts the rows that come into the stage's table.
    pub fn insert_came(
        dialect: &dyn Dialect,
        table: &str,
        merged: &str,
        columns: &[(String, String)],
    ) -> Result<String, InvalidName> {
        let list = column_list(dialect, "", columns.iter().map(|(name, _)| name.as_str()))?;
        Ok(format!("insert into {table} ({list}, {RUN_COLUMN}) {}", Self::came(dialect, merged, columns)?))
    }
}
