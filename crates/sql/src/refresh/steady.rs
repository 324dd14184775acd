//! What of a stored row need not be read: the columns whose values a change cannot have touched are in the new row of the same key.
//!
//! An engine that stores columns reads all of a column's blocks for a few rows of each, so that texts of a report that come from tables in
//! which nothing changed cost more than the rest of its refresh.

use std::collections::BTreeMap;

use super::relation::{ColumnId, InputTable, TreeTable};
use super::rule::Rule;
use super::shape::{Inputs, Shape};
use super::unique::{Changed, UniqueKey, unchanged, unique_keys};
use crate::dialect::{Dialect, InvalidName};
use crate::statement::relation::qualified;

/// What is asked about the changed rows of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Parts of the table's name.
    pub table: Vec<String>,
    /// One row of numbers: how many keys only went; 0 where each key has one row that went and one that came; then for each of `columns` in
    /// how many rows it differs.
    pub select: String,
    /// Where keys of this table went, rows of the output went with them, and nothing is there now to take their values from.
    pub takes_rows: bool,
    /// The columns.
    pub columns: Vec<String>,
}

/// What was found out about the changed rows of tables: the answers, by the names of tables.
pub type Answers = BTreeMap<Vec<String>, Vec<u64>>;

/// Columns of the output whose values a change does not touch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Steady {
    /// Columns of which no two rows have the same values: a row from before and one from now belong together by them.
    pub key: Vec<String>,
    /// Beside these, columns that are identical in two rows that belong together.
    pub columns: Vec<String>,
}

impl Shape {
    /// What must be known of a change to tell which columns of the output it does not touch; `None` where nothing can be told, whatever
    /// the answers.
    pub fn steady_questions(
        &self,
        dialect: &dyn Dialect,
        inputs: &Inputs,
    ) -> Result<Option<Vec<Question>>, InvalidName> {
        let Some(at_most) = self.steady_where(dialect, &|_, _| true, &|_| true).filter(|_| inputs.clock.is_empty())
        else {
            return Ok(None);
        };
        let mut questions: Vec<Question> = Vec::new();
        for table in &self.tree().tables {
            let Some(change) = inputs.changed.get(&table.name) else { continue };
            let known = questions.iter().any(|question| question.table == table.name);
            // Changed rows have no more for certain than what the text looks at.
            let mut read = self.columns_read(&table.name);
            let key = exact_key(dialect, &table.input);
            let has_key = key.iter().all(|place| read.remove(&table.input.columns[*place].0));
            if known || key.is_empty() || !has_key {
                continue;
            }
            let columns = table.input.columns.iter().map(|(name, _)| name).filter(|name| read.contains(*name));
            let columns: Vec<String> = columns.cloned().collect();
            let select = asked(dialect, table, &columns, (&change.before, &change.after))?;
            let takes_rows = self.homes(&at_most).contains(&table.name.as_slice());
            questions.push(Question { table: table.name.clone(), select, takes_rows, columns });
        }
        questions.sort_by_key(|question| !question.takes_rows);
        Ok(Some(questions))
    }

    /// The columns of the output that a change does not touch, by the answers to the questions about it; `None` where there are none.
    pub fn steady(
        &self,
        dialect: &dyn Dialect,
        inputs: &Inputs,
        questions: &[Question],
        answers: &Answers,
    ) -> Option<Steady> {
        let tables = &self.tree().tables;
        let answer = |table: usize| {
            let question = questions.iter().find(|question| question.table == tables[table].name)?;
            Some((question, answers.get(&question.table)?))
        };
        let changes = |table: usize| inputs.changed.contains_key(&tables[table].name);
        let same = |table: usize, place: usize| {
            let name = &tables[table].input.columns[place].0;
            let differ = answer(table).and_then(|(question, numbers)| {
                numbers.get(question.columns.iter().position(|column| column == name)? + 2)
            });
            !changes(table) || differ == Some(&0) || !self.switched_off().holds(Rule::ChangedColumns)
        };
        let stays = |table: usize| {
            !changes(table)
                || !self.switched_off().holds(Rule::PartnersThatCome)
                || answer(table).is_some_and(|(_, numbers)| numbers.get(..2) == Some(&[0, 0][..]))
        };
        self.steady_where(dialect, &same, &stays)
    }

    fn steady_where(
        &self,
        dialect: &dyn Dialect,
        same: &dyn Fn(usize, usize) -> bool,
        stays: &dyn Fn(usize) -> bool,
    ) -> Option<Steady> {
        let tree = self.tree();
        let keys = |table: usize| exact_key(dialect, &tree.tables[table].input);
        // Tables without keys may hold texts of a collation, which the names of types do not tell.
        let followed = !tree.text.to_lowercase().contains("collate")
            && (0..tree.tables.len()).all(|table| !keys(table).is_empty())
            && tree.clock.is_empty();
        if !followed {
            return None;
        }
        let exact = |name: &str| dialect.equals_exactly(name);
        let changed = Changed { same, stays, exact: &exact };
        let named = |id: &ColumnId| self.only_name(*id);
        let mut best: Option<Steady> = None;
        for key in unique_keys(&tree.root, &tree.text, &keys) {
            let Some(names) = key.iter().map(named).collect::<Option<Vec<String>>>() else { continue };
            if names.is_empty() || !self.are_exact(dialect, &key) {
                continue;
            }
            let known = unchanged(&tree.root, &key, &tree.text, &keys, changed);
            let columns: Vec<String> = tree
                .root
                .columns
                .iter()
                .map(|column| column.id)
                .filter(|id| known.contains(id) && !key.contains(id))
                .filter_map(|id| self.only_name(id))
                .collect();
            if !columns.is_empty() && best.as_ref().is_none_or(|best| best.columns.len() < columns.len()) {
                best = Some(Steady { key: names, columns });
            }
        }
        best
    }

    fn are_exact(&self, dialect: &dyn Dialect, key: &UniqueKey) -> bool {
        key.iter().all(|id| {
            self.columns().table_column(*id).is_some_and(|(table, place)| {
                let (_, engine_type) = &self.tree().tables[table].input.columns[place];
                dialect.equals_exactly(engine_type)
            })
        })
    }

    /// The tables whose columns tell the rows of the output apart.
    fn homes(&self, steady: &Steady) -> Vec<&[String]> {
        let tree = self.tree();
        let of_key = |name: &&String| steady.key.contains(name);
        let named = tree.names.iter().zip(&tree.root.columns).filter(|(name, _)| of_key(name));
        let tables = named.filter_map(|(_, column)| self.columns().table_column(column.id));
        tables.map(|(table, _)| tree.tables[table].name.as_slice()).collect()
    }

    /// The name of a column of the output, if it has one that no other has.
    fn only_name(&self, id: ColumnId) -> Option<String> {
        let tree = self.tree();
        let place = tree.root.columns.iter().position(|column| column.id == id)?;
        let name = tree.names.get(place).filter(|name| !name.is_empty())?;
        let alike = tree.names.iter().filter(|other| other.eq_ignore_ascii_case(name)).count();
        (alike == 1).then(|| name.clone())
    }
}

/// The places of a table's key, where equal values of it are identical; empty otherwise.
fn exact_key(dialect: &dyn Dialect, input: &InputTable) -> Vec<usize> {
    let key = input.key_places();
    let exact = key.iter().all(|place| dialect.equals_exactly(&input.columns[*place].1));
    if exact { key } else { Vec::new() }
}

fn asked(
    dialect: &dyn Dialect,
    table: &TreeTable,
    columns: &[String],
    (before, after): (&str, &str),
) -> Result<String, InvalidName> {
    let key = exact_key(dialect, &table.input);
    let mut on = Vec::with_capacity(key.len());
    let (mut gone, mut both) = (String::new(), String::new());
    for place in &key {
        let name = &table.input.columns[*place].0;
        let (old, new) = (qualified(dialect, "b", name)?, qualified(dialect, "a", name)?);
        gone = format!("count(*) filter (where {new} is null)");
        both = format!("{old} is not null and {new} is not null");
        on.push(format!("{old} = {new}"));
    }
    // Several changes in one run may name a key several times. As many rows of it came as went if it was there before and is now.
    let number = |relation: &str| format!("count(*) = (select count(*) from {relation} r)");
    let one_by_one = format!("case when {} and {} then 0 else 1 end", number(before), number(after));
    let mut counts = vec![gone, one_by_one];
    for (name, engine_type) in table.input.columns.iter().filter(|(name, _)| columns.contains(name)) {
        let (old, new) = (qualified(dialect, "b", name)?, qualified(dialect, "a", name)?);
        counts.push(format!(
            "count(*) filter (where {both} and {} is distinct from {})",
            dialect.identity_image(&old, engine_type),
            dialect.identity_image(&new, engine_type)
        ));
    }
    Ok(format!("select {} from {before} b full join {after} a on {}", counts.join(", "), on.join(" and ")))
}
