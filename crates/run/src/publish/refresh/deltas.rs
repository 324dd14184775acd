//! What changed in the inputs, as relations that are cheap to read several times.

use std::collections::BTreeSet;

use thalweg_project::TableName;
use thalweg_sql::refresh::{ChangedInput, Inputs, Shape};
use thalweg_sql::statement::TypedColumn;
use thalweg_sql::statement::difference::changed_values;
use thalweg_sql::statement::relation::{RUN_COLUMN, column_list};

use crate::error::RunError;
use crate::publish::Publication;
use crate::publish::change_log::Delta;
use crate::publish::refresh::stages::GivenInputs;

/// What changed in a table since a run of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows {
    /// Relation with the rows that are gone.
    pub before: String,
    /// Relation with the rows that came.
    pub after: String,
    /// Relation with the whole table as it was.
    pub old: String,
    /// How many there are of both.
    pub number: u64,
}

/// So many changed rows are compared by the columns that a reader looks at.
const COMPARED: u64 = 20_000;

/// So many changed rows are copied, so that reading them again costs nothing and their number is plain to see: where so many models read
/// them that this is cheaper than to compute them each time, of which only the columns that are read are computed, or where the engine plans
/// badly without their number.
const COPIED: u64 = 200_000;
const MANY_READERS: usize = 3;

/// Tells rows that are gone from those that came.
const GONE: &str = "_thalweg_gone";

impl Publication<'_> {
    /// What a text reads, as it is given, with of the changed rows those that differ in columns the text looks at, as bags: all of them
    /// where that is not worth the question. Also how many rows those are.
    pub fn seen_by(&mut self, shape: &Shape, given: &GivenInputs<'_>) -> Result<(Inputs, u64), RunError> {
        let mut inputs = given.inputs.clone();
        let read: BTreeSet<Vec<String>> = shape.tables().into_iter().map(<[String]>::to_vec).collect();
        let mut upstream = 0;
        for name in &read {
            let (Some(change), Some(number)) = (given.inputs.changed.get(name), given.numbers.get(name)) else {
                continue;
            };
            let (before, after) = (change.before.clone(), change.after.clone());
            let rows = Rows { before, after, old: change.old.clone().unwrap_or_default(), number: *number };
            let rows = self.differing(shape, name, rows)?;
            upstream += rows.number;
            if rows.number == 0 {
                inputs.changed.remove(name);
            } else {
                let old = change.old.clone();
                inputs.changed.insert(name.clone(), ChangedInput { before: rows.before, after: rows.after, old });
            }
        }
        Ok((inputs, upstream))
    }

    fn differing(&mut self, shape: &Shape, name: &[String], rows: Rows) -> Result<Rows, RunError> {
        let (all, read) = (shape.columns_of(name), shape.columns_read(name));
        if rows.number > COMPARED || read.is_empty() || read.len() == all.len() {
            return Ok(rows);
        }
        // What only came, or only went, is seen by whatever column.
        if self.database.rows_of(&rows.before)? == 0 || self.database.rows_of(&rows.after)? == 0 {
            return Ok(rows);
        }
        let columns: Vec<TypedColumn> = all
            .iter()
            .filter(|(name, _)| read.contains(name))
            .map(|(name, engine_type)| TypedColumn { name: name.clone(), engine_type: engine_type.clone() })
            .collect();
        let dialect = self.database.dialect;
        let select = self.database.name(changed_values(dialect, &rows.before, &rows.after, &columns, GONE))?;
        if let Some(seen) = self.refreshing.seen.get(&select) {
            return Ok(seen.clone());
        }
        let seen = self.database.temporary("seen");
        let number = self.database.make_counted(&seen, &select)?;
        let names = self.database.name(column_list(dialect, "s", columns.iter().map(|column| column.name.as_str())))?;
        let of = |gone: bool| format!("select {names} from {seen} s where s.{GONE} = {gone}");
        let rows = if number == rows.number {
            rows
        } else if dialect.has_indexes() {
            // A table by which rows are looked up.
            let before = self.database.make_named("gone", &of(true))?;
            let after = self.database.make_named("came", &of(false))?;
            Rows { before, after, number, ..rows }
        } else {
            Rows { before: format!("({})", of(true)), after: format!("({})", of(false)), number, ..rows }
        };
        self.refreshing.seen.insert(select, rows.clone());
        Ok(rows)
    }

    /// What changed in a table since a reader consumed it: nothing (`None`), rows, or why that is not known.
    pub fn changed_rows(
        &mut self,
        table: &TableName,
        consumed: Option<i64>,
    ) -> Result<Result<Option<Rows>, String>, RunError> {
        self.prepare_log(table, consumed)?;
        let (before, after) = match self.delta_since(table, consumed)? {
            Delta::None => return Ok(Ok(None)),
            Delta::Unknown(reason) => return Ok(Err(reason)),
            Delta::Rows { before, after } => (before, after),
        };
        let key = (table.clone(), consumed.unwrap_or_default());
        if let Some(rows) = self.refreshing.deltas.get(&key) {
            return Ok(Ok(Some(rows.clone())));
        }
        let mut number = 0;
        // What stands in the log was there then; what this run replaced it may have written itself.
        let seen = consumed.unwrap_or_default();
        let was_there = before.starts_with('(');
        let readers = self.compiled.node(table).map_or(0, |node| self.compiled.readers[node].len());
        let worth_it = readers >= MANY_READERS || !self.database.dialect.knows_row_counts();
        let mut relations = [before, after];
        for (relation, what) in relations.iter_mut().zip(["gone", "came"]) {
            // A subquery would be computed at each of its uses, and so would a view, of which no engine guesses how few rows it has.
            let is_view = self.database.is_view(relation);
            if relation.starts_with('(') || (is_view && worth_it && self.database.rows_of(relation)? <= COPIED) {
                let columns = self.tables.get(table).map(|state| state.columns.clone()).unwrap_or_default();
                let names = columns.iter().map(|column| column.name.as_str());
                let own = (is_view && what == "gone").then_some(RUN_COLUMN);
                let columns = self.database.name(column_list(self.database.dialect, "d", names.chain(own)))?;
                let name = self.database.temporary(what);
                number += self.database.make_counted(&name, &format!("select {columns} from {relation} d"))?;
                *relation = name;
            } else {
                number += self.database.rows_of(relation)?;
            }
        }
        let [before, after] = relations;
        let mut old = before.clone();
        if let Some(state) = self.tables.get(table) {
            let names = state.columns.iter().map(|column| column.name.as_str());
            let columns = self.database.name(column_list(self.database.dialect, "d", names))?;
            let written = if was_there { format!("cast({seen} as bigint)") } else { format!("d.{RUN_COLUMN}") };
            // With the condition on both sides at once, engines look up rows on each by indexes.
            old = format!(
                "(select {columns} from (select {columns}, d.{RUN_COLUMN} from {} d \
                 union all select {columns}, {written} as {RUN_COLUMN} from {before} d) d where d.{RUN_COLUMN} <= {seen})",
                self.physical(&state.physical)?
            );
        }
        let rows = Rows { before, after, old, number };
        self.refreshing.deltas.insert(key, rows.clone());
        Ok(Ok(Some(rows)))
    }
}
