//! What is known of a model before any data is looked at, and the statements of one refresh.

use std::collections::{BTreeMap, BTreeSet};

use super::clock::{self, ClockChanges, clock_name};
use super::columns::Columns;
use super::discover::Finder;
use super::filters::{filters, in_subqueries};
use super::found::{Found, FoundKind, FoundRef, Which};
use super::key::{self, Key};
use super::push::{Member, Pusher, Term};
use super::regroup::regrouped;
use super::relation::{ColumnId, InputTables, Obstacle, Tree, TreeTable};
use super::render::{self, TableSql, Writer};
use super::restricted::Restricted;
use super::rule::SwitchedOff;
use super::ties::{read_settled, split_tie};
use super::used::used;
use crate::dialect::{Dialect, InvalidName};

/// A change of a table: two bags of rows. Several runs that have not been consumed are simply put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedInput {
    /// The rows that were and are no more: a quoted relation with at least the declared columns.
    pub before: String,
    /// The rows that were not and are now: a quoted relation with at least the declared columns.
    pub after: String,
    /// The whole table as it was before: a quoted relation with at least the declared columns. Only sums ask for it.
    pub old: Option<String>,
}

/// The tables of one refresh, by the parts of their names as the model's text writes them. All of one snapshot.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    /// Each table as it is now: a quoted relation with at least the declared columns. A table that is left out is read by the name
    /// the text gives it.
    pub current: BTreeMap<Vec<String>, String>,
    /// The tables that changed since the model consumed them. The others did not.
    pub changed: BTreeMap<Vec<String>, ChangedInput>,
    /// The tables of which reading all rows is cheaper than finding those that are needed, or as cheap.
    pub small: BTreeSet<Vec<String>>,
    /// Relations with changed rows that are known to hold none.
    pub empty: BTreeSet<String>,
    /// What the time of the run answers otherwise than at the last refresh.
    pub clock: ClockChanges,
}

/// A temporary table to make: `create temporary table {creates} as {select}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Its name, quoted.
    pub creates: String,
    /// Its rows.
    pub select: String,
    /// Lists of columns, with their types, by which a subquery that looks at each row on its own looks up rows of it.
    pub looked_up: Vec<Vec<(String, String)>>,
}

/// How the keys that a change can touch are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Discovery {
    /// No row can differ.
    Nothing,
    /// Statements in order. The last makes the table of affected keys: [`Shape::key_columns`] in their order and under their names,
    /// each combination once.
    Keys(Vec<Statement>),
    /// Every row may differ.
    Everything(Obstacle),
}

/// The new rows of the affected keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fresh {
    /// Temporary tables to make first, in order.
    pub before: Vec<Statement>,
    /// The model's own text, restricted: its columns in order and under their names, and exactly the rows whose K is affected.
    pub select: String,
    /// Each place where the text names a table, and what was done there.
    pub restrictions: Vec<Restriction>,
}

/// What was done at one place where the text names a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restriction {
    /// Parts of the table's name.
    pub table: Vec<String>,
    /// By which columns its rows are chosen: one list for each use of the place, and of each list one entry for each choice that
    /// must hold. Empty when all rows are read.
    pub uses: Vec<Vec<Vec<String>>>,
    /// Why all rows are read; `None` when they are not.
    pub whole: Option<String>,
}

/// A model as refresh sees it.
#[derive(Debug, Clone)]
pub struct Shape {
    tree: Tree,
    columns: Columns,
    key: Key,
    key_columns: Vec<String>,
    off: SwitchedOff,
    notes: Vec<String>,
    settled: bool,
}

impl Shape {
    /// Reads a model's text, in which views and ephemeral models already stand in the places of their names.
    ///
    /// Ties are settled where they can be: [`Shape::text`] is then another text. `declared_key` is the model's primary key as declared,
    /// empty without.
    pub fn read(
        sql: &str,
        dialect: &dyn Dialect,
        inputs: &dyn InputTables,
        declared_key: &[String],
    ) -> Result<Self, Obstacle> {
        let settled = read_settled(sql, dialect, inputs)?;
        // What stands in the way is shown in the text as it is written.
        let shown = |obstacle: Obstacle| Obstacle { span: settled.as_written(&obstacle.span), ..obstacle };
        let mut shape = Self::of(settled.tree.clone(), declared_key).map_err(shown)?;
        if let Some(obstacle) = split_tie(&settled.open, &shape.key_ids(), &shape.tree) {
            return Err(shown(obstacle));
        }
        shape.notes = settled.notes;
        shape.settled = settled.open.is_empty();
        Ok(shape)
    }

    /// Reads a query in relational form. `declared_key` is the model's primary key as declared, empty without.
    pub fn of(tree: Tree, declared_key: &[String]) -> Result<Self, Obstacle> {
        if let Some(obstacle) = clock::obstacle(&tree) {
            return Err(obstacle);
        }
        let columns = Columns::of(&tree);
        let key = key::choose(&tree, &columns, declared_key)?;
        let key_columns = key.positions.iter().map(|position| tree.names[*position].clone()).collect();
        Ok(Self { tree, columns, key, key_columns, off: SwitchedOff::default(), notes: Vec::new(), settled: true })
    }

    /// The same with other columns as K, by position in the output; `None` when one of them is not known in discovery.
    pub fn with_key(mut self, positions: &[usize]) -> Option<Self> {
        let known = |position: &usize| {
            self.tree.root.columns.get(*position).is_some_and(|column| self.columns.is_known(column.id))
        };
        if positions.is_empty() || !positions.iter().all(known) {
            return None;
        }
        self.key = Key { positions: positions.to_vec(), reason: "as asked for".to_owned() };
        self.key_columns = positions.iter().map(|position| self.tree.names[*position].clone()).collect();
        Some(self)
    }

    /// The same with fewer columns as K, if these are among them: these, and what their tables have beside them. A change of another table
    /// finds these by what it shares with them, and would have to look up the others row by row.
    #[must_use]
    pub fn found_by(self, names: &[String]) -> Self {
        let homes = |position: &usize| self.columns.homes(self.tree.root.columns[*position].id);
        let wanted = |position: &&usize| names.contains(&self.tree.names[**position]);
        let at_hand: BTreeSet<ColumnId> = self.key.positions.iter().filter(wanted).flat_map(homes).collect();
        let has = |position: &&usize| homes(position).is_subset(&at_hand);
        let positions: Vec<usize> = self.key.positions.iter().filter(has).copied().collect();
        let reason = "what its subqueries look for".to_owned();
        match self.clone().with_key(&positions) {
            Some(shape) if positions.len() < self.key.positions.len() => {
                Self { key: Key { positions, reason }, ..shape }
            }
            _ => self,
        }
    }

    /// The same with only these columns as K, if some are among them: all rows of theirs are replaced.
    #[must_use]
    pub fn keyed_by(self, names: &[String]) -> Self {
        let wanted = |position: &&usize| names.contains(&self.tree.names[**position]);
        let positions: Vec<usize> = self.key.positions.iter().filter(wanted).copied().collect();
        let reason = self.key.reason.clone();
        match self.clone().with_key(&positions) {
            Some(shape) if !positions.is_empty() && positions.len() < self.key.positions.len() => {
                Self { key: Key { positions, reason }, ..shape }
            }
            _ => self,
        }
    }

    /// The same without some rules: wrong, and only for tests that show that it would be noticed.
    #[must_use]
    pub fn without(mut self, rules: SwitchedOff) -> Self {
        self.off = rules;
        self
    }

    /// The rules it goes without.
    pub fn switched_off(&self) -> &SwitchedOff {
        &self.off
    }

    /// The columns of the model by which its rows are replaced: K. They may repeat and hold NULL.
    pub fn key_columns(&self) -> &[String] {
        &self.key_columns
    }

    /// Why these: `the columns it groups by`.
    pub fn key_reason(&self) -> &str {
        &self.key.reason
    }

    /// The text whose answer a refresh keeps: the user's own, with what settles its ties.
    pub fn text(&self) -> &str {
        &self.tree.text
    }

    /// Whether no order of rows that is left open decides about its answer.
    pub fn is_settled(&self) -> bool {
        self.settled
    }

    /// Where the user's text leaves an order open and what was done about it, for a person.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// What it reads of the time of the run, each once, by [`clock_name`]: expressions without columns.
    pub fn clock(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for (place, _) in &self.tree.clock {
            let name = clock_name(self.tree.text.get(place.clone()).unwrap_or_default());
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// The tables the model reads, by the parts of their names as the text writes them, each once.
    pub fn tables(&self) -> Vec<&[String]> {
        let mut names: Vec<&[String]> = Vec::new();
        for table in &self.tree.tables {
            if !names.iter().any(|name| *name == table.name) {
                names.push(&table.name);
            }
        }
        names
    }

    /// The columns of a table that the text names, with their types; none of a table that it does not.
    pub fn columns_of(&self, table: &[String]) -> &[(String, String)] {
        let named = self.tree.tables.iter().find(|named| named.name == table);
        named.map(|named| named.input.columns.as_slice()).unwrap_or_default()
    }

    /// The columns of a table that the text may look at; a superset. A change of the others alone touches nothing.
    pub fn columns_read(&self, table: &[String]) -> BTreeSet<String> {
        let mut columns = BTreeSet::new();
        for (named, places) in self.tree.tables.iter().zip(used(&self.tree)) {
            if named.name == table && named.fixed.is_some() {
                columns.extend(named.input.columns.iter().map(|(name, _)| name.clone()));
            } else if named.name == table {
                columns.extend(places.into_iter().map(|place| named.input.columns[place].0.clone()));
            }
        }
        columns
    }

    /// The statements that find the keys a change can touch. `prefix` begins the names of all temporary tables; it must be one that
    /// no query uses.
    pub fn discover(&self, dialect: &dyn Dialect, inputs: &Inputs, prefix: &str) -> Result<Discovery, InvalidName> {
        let changed: Vec<bool> =
            self.tree.tables.iter().map(|table| inputs.changed.contains_key(&table.name)).collect();
        let near = |table: &TreeTable| dialect.has_indexes() || inputs.small.contains(&table.name);
        let near: Vec<bool> = self.tree.tables.iter().map(near).collect();
        let finder = Finder { near: &near, ..self.finder(&changed, &inputs.clock) };
        let found = match finder.touched_keys(&self.key_ids()) {
            Ok(found) if found.is_nothing() => return Ok(Discovery::Nothing),
            Ok(found) => regrouped(&found),
            Err(obstacle) => return Ok(Discovery::Everything(obstacle)),
        };
        let tables = self.table_texts(dialect, inputs)?;
        let writer = Writer {
            dialect,
            tree: &self.tree,
            columns: &self.columns,
            tables: &tables,
            off: &self.off,
            chosen: &|_, _| Err(InvalidName::Empty),
        };
        let mut selected = Vec::with_capacity(self.key.positions.len());
        for (column, name) in self.key_ids().iter().zip(&self.key_columns) {
            selected.push(format!("{} as {}", render::name(*column), dialect.quote_identifier(name)?));
        }
        let select = writer.distinct(&found, &selected.join(", "), "")?;
        let creates = dialect.quote_identifier(&format!("{prefix}_affected"))?;
        Ok(Discovery::Keys(vec![Statement { creates, select, looked_up: Vec::new() }]))
    }

    /// The model's rows of the affected keys.
    ///
    /// `affected` is the table that the last statement of discovery made, quoted; `nulls` says for each column of K whether it holds
    /// a NULL there.
    pub fn restrict(
        &self,
        dialect: &dyn Dialect,
        inputs: &Inputs,
        prefix: &str,
        affected: &str,
        nulls: &[bool],
    ) -> Result<Fresh, InvalidName> {
        let tables = self.table_texts(dialect, inputs)?;
        let mut terms = Vec::with_capacity(self.key.positions.len());
        for (index, (column, name)) in self.key_ids().into_iter().zip(&self.key_columns).enumerate() {
            let never_null = nulls.get(index) == Some(&false);
            terms.push(Term { column, source: dialect.quote_identifier(name)?, of: column, never_null });
        }
        // Digits after a valid prefix are a valid name.
        dialect.quote_identifier(prefix)?;
        let wave_name =
            |number: usize| dialect.quote_identifier(&format!("{prefix}_wave_{number}")).unwrap_or_default();
        let small: Vec<bool> = self.tree.tables.iter().map(|table| inputs.small.contains(&table.name)).collect();
        let mut pusher = Pusher {
            tree: &self.tree,
            columns: &self.columns,
            off: &self.off,
            name: &wave_name,
            uses: Vec::new(),
            waves: Vec::new(),
            in_text: true,
            small: &small,
        };
        pusher.push(&self.tree.root, &[Member { table: affected.to_owned(), terms }]);
        let (uses, waves) = (pusher.uses, pusher.waves);
        Restricted {
            tree: &self.tree,
            columns: &self.columns,
            off: &self.off,
            dialect,
            tables: &tables,
            prefix,
            uses,
            waves,
            small: &small,
            used: used(&self.tree),
            filters: filters(&self.tree),
            in_subqueries: in_subqueries(&self.tree),
        }
        .write(affected, &self.key, nulls)
    }

    /// For each table the model reads, how a change of it finds its keys: a line for a person.
    pub fn explain(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for name in self.tables() {
            let shown = name.join(".");
            let changed: Vec<bool> = self.tree.tables.iter().map(|table| table.name == name).collect();
            lines.push(match self.finder(&changed, &ClockChanges::new()).touched_keys(&self.key_ids()) {
                Err(obstacle) => format!("{shown}: a change touches every row: {}", obstacle.reason),
                Ok(found) if found.is_nothing() => format!("{shown}: no change of it touches a row"),
                Ok(found) => {
                    let mut read: Vec<usize> = Vec::new();
                    whole_tables(&found, &mut read);
                    let mut read: Vec<String> =
                        read.iter().map(|table| self.tree.tables[*table].name.join(".")).collect();
                    read.sort();
                    read.dedup();
                    if read.is_empty() {
                        format!("{shown}: its changed rows name the keys")
                    } else {
                        format!("{shown}: its changed rows find the keys by way of {}", read.join(", "))
                    }
                }
            });
        }
        lines
    }

    /// Why a change of a table touches every row; `None` where it does not.
    pub fn obstacle(&self, table: &[String]) -> Option<Obstacle> {
        let changed: Vec<bool> = self.tree.tables.iter().map(|one| one.name == table).collect();
        self.finder(&changed, &ClockChanges::new()).touched_keys(&self.key_ids()).err()
    }

    /// Whether the keys that a change can touch are found for every table.
    pub fn is_followed(&self) -> bool {
        super::weight::obstructed(self).0.is_empty()
    }

    pub(super) fn tree(&self) -> &Tree {
        &self.tree
    }

    pub(super) fn columns(&self) -> &Columns {
        &self.columns
    }

    /// What a change finds of the columns of K.
    pub(super) fn touched(&self, changed: &[bool], clock: &ClockChanges) -> Result<FoundRef, Obstacle> {
        self.finder(changed, clock).touched_keys(&self.key_ids())
    }

    fn finder<'a>(&'a self, changed: &'a [bool], clock: &'a ClockChanges) -> Finder<'a> {
        Finder { tree: &self.tree, columns: &self.columns, changed, off: &self.off, clock, chosen: None, near: &[] }
    }

    fn key_ids(&self) -> Vec<ColumnId> {
        self.key.positions.iter().map(|position| self.tree.root.columns[*position].id).collect()
    }

    fn table_texts(&self, dialect: &dyn Dialect, inputs: &Inputs) -> Result<Vec<TableSql>, InvalidName> {
        let mut texts = Vec::with_capacity(self.tree.tables.len());
        for table in &self.tree.tables {
            let current = match inputs.current.get(&table.name) {
                Some(relation) => relation.clone(),
                None => {
                    let parts: Result<Vec<_>, _> =
                        table.name.iter().map(|part| dialect.quote_identifier(part)).collect();
                    parts?.join(".")
                }
            };
            let changed = inputs.changed.get(&table.name).map(|change| (change.before.clone(), change.after.clone()));
            texts.push(TableSql { current, changed });
        }
        Ok(texts)
    }
}

fn whole_tables(found: &Found, read: &mut Vec<usize>) {
    if let FoundKind::Rows { table, which: Which::All, .. } = &found.kind {
        read.push(*table);
    }
    found.parts().into_iter().for_each(|part| whole_tables(part, read));
}
