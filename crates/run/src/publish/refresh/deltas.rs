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
    /// How many there are of both, where they were counted.
    pub number: Option<u64>,
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
            let Some(change) = given.inputs.changed.get(name) else { continue };
            let (before, after) = (change.before.clone(), change.after.clone());
            let number = given.numbers.get(name).copied();
            let rows = Rows { before, after, old: change.old.clone().unwrap_or_default(), number };
            let (rows, number) = self.differing(shape, name, rows)?;
            upstream += number;
            if number == 0 {
                inputs.changed.remove(name);
            } else {
                let old = change.old.clone();
                inputs.changed.insert(name.clone(), ChangedInput { before: rows.before, after: rows.after, old });
            }
        }
        Ok((inputs, upstream))
    }

    fn differing(&mut self, shape: &Shape, name: &[String], rows: Rows) -> Result<(Rows, u64), RunError> {
        let (all, read) = (shape.columns_of(name), shape.columns_read(name));
        let by_all = read.is_empty() || read.len() == all.len();
        match rows.number {
            Some(number) => {
                // What only came, or only went, is seen by whatever column.
                let one_way = number > COMPARED
                    || by_all
                    || self.database.rows_of(&rows.before)? == 0
                    || self.database.rows_of(&rows.after)? == 0;
                if one_way {
                    return Ok((rows, number));
                }
            }
            None if by_all => {
                let columns = all.iter().map(|(name, _)| name.as_str());
                return self.copied(rows, columns.collect(), None);
            }
            None => {}
        }
        let columns: Vec<TypedColumn> = all
            .iter()
            .filter(|(name, _)| read.contains(name))
            .map(|(name, engine_type)| TypedColumn { name: name.clone(), engine_type: engine_type.clone() })
            .collect();
        let dialect = self.database.dialect;
        let select = self.database.name(changed_values(dialect, &rows.before, &rows.after, &columns, GONE))?;
        if let Some((seen, number)) = self.refreshing.seen.get(&select) {
            return Ok((seen.clone(), *number));
        }
        let seen = self.database.temporary("seen");
        let number = self.database.make_counted(&seen, &select)?;
        let names = self.database.name(column_list(dialect, "s", columns.iter().map(|column| column.name.as_str())))?;
        let of = |gone: bool| format!("select {names} from {seen} s where s.{GONE} = {gone}");
        let rows = if rows.number == Some(number) {
            rows
        } else if dialect.has_indexes() {
            // A table by which rows are looked up.
            let before = self.database.make_named("gone", &of(true))?;
            let after = self.database.make_named("came", &of(false))?;
            Rows { before, after, number: Some(number), ..rows }
        } else {
            let [before, after] = [true, false].map(|gone| format!("({})", of(gone)));
            Rows { before, after, number: Some(number), ..rows }
        };
        self.refreshing.seen.insert(select, (rows.clone(), number));
        Ok((rows, number))
    }

    /// The same rows in tables of their own, where they are none yet and it helps; how many there are.
    fn copied(&mut self, mut rows: Rows, columns: Vec<&str>, readers: Option<usize>) -> Result<(Rows, u64), RunError> {
        let worth_it = readers.is_some_and(|readers| readers >= MANY_READERS);
        let worth_it = worth_it || !self.database.dialect.knows_row_counts();
        let mut number = 0;
        for (relation, what) in [(&mut rows.before, "gone"), (&mut rows.after, "came")] {
            let is_inlined = self.database.is_inlined(relation);
            // A query is computed at each of its uses, and no engine guesses how few rows it has.
            let copies = if is_inlined {
                worth_it && self.database.rows_of(relation)? <= COPIED
            } else {
                relation.starts_with('(')
            };
            if !copies {
                number += self.database.rows_of(relation)?;
                continue;
            }
            let own = (is_inlined && what == "gone").then_some(RUN_COLUMN);
            let names = columns.iter().copied().chain(own);
            let list = self.database.name(column_list(self.database.dialect, "d", names))?;
            let name = self.database.temporary(what);
            number += self.database.make_counted(&name, &format!("select {list} from {relation} d"))?;
            *relation = name;
        }
        rows.number = Some(number);
        Ok((rows, number))
    }

    /// What changed in a table since a reader consumed it: nothing (`None`), rows, or why that is not known. The rows may be left as a query
    /// and not be counted where the reader is `by_one_text`, which [`Publication::seen_by`] looks at.
    pub fn changed_rows(
        &mut self,
        table: &TableName,
        consumed: Option<i64>,
        by_one_text: bool,
    ) -> Result<Result<Option<Rows>, String>, RunError> {
        self.prepare_log(table, consumed)?;
        let (before, after) = match self.delta_since(table, consumed)? {
            Delta::None => return Ok(Ok(None)),
            Delta::Unknown(reason) => return Ok(Err(reason)),
            Delta::Rows { before, after } => (before, after),
        };
        let key = (table.clone(), consumed.unwrap_or_default());
        if let Some(rows) = self.refreshing.deltas.get(&key).filter(|rows| by_one_text || rows.number.is_some()) {
            return Ok(Ok(Some(rows.clone())));
        }
        // What stands in the log was there then; what this run replaced it may have written itself.
        let seen = consumed.unwrap_or_default();
        let was_there = before.starts_with('(') && !self.database.is_inlined(&before);
        let mut rows = Rows { before, after, old: String::new(), number: None };
        let readers = self.compiled.node(table).map_or(0, |node| self.compiled.readers[node].len());
        let columns = self.tables.get(table).map(|state| state.columns.clone()).unwrap_or_default();
        // What one text reads is looked at once, by the columns that it reads.
        if !(was_there && by_one_text && readers == 1) {
            let columns = columns.iter().map(|column| column.name.as_str()).collect();
            rows = self.copied(rows, columns, Some(readers))?.0;
        }
        rows.old.clone_from(&rows.before);
        if let Some(state) = self.tables.get(table) {
            let names = columns.iter().map(|column| column.name.as_str());
            let columns = self.database.name(column_list(self.database.dialect, "d", names))?;
            let written = if was_there { format!("cast({seen} as bigint)") } else { format!("d.{RUN_COLUMN}") };
            // With the condition on both sides at once, engines look up rows on each by indexes.
            rows.old = format!(
                "(select {columns} from (select {columns}, d.{RUN_COLUMN} from {} d \
                 union all select {columns}, {written} as {RUN_COLUMN} from {before} d) d where d.{RUN_COLUMN} <= {seen})",
                self.physical(&state.physical)?,
                before = rows.before,
            );
        }
        self.refreshing.deltas.insert(key, rows.clone());
        Ok(Ok(Some(rows)))
    }
}
