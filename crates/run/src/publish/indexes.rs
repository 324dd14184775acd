//! Indexes, where an engine looks rows up by them.
//!
//! Which are wanted follows from the definitions alone: the key of a store table, the columns by which rows of a model or stage are replaced,
//! the columns by which refreshes look up rows of what they read, the run that wrote a row where somebody asks what came since, and what
//! people declare. They are compared with those that stand in runs that made or dropped a table, or where people ask for some, after
//! everything is loaded.
//!
//! A text may be longer than an entry of an index can be, which shows when the index is made or when such a text arrives. Then it is made
//! otherwise; in the second case the publication is begun again without the indexes that hold texts.

use std::collections::{BTreeMap, BTreeSet};

use thalweg_project::{ColumnType, Materialized, Project, TableName, WriteDisposition};
use thalweg_sql::refresh::{Inputs, Shape};
use thalweg_sql::statement::Merge;
use thalweg_sql::statement::relation::RUN_COLUMN;
use thalweg_sql::{NewIndex, NodeKind};
use thalweg_warehouse::{StandingIndex, WarehouseError, WarehouseErrorKind};

use crate::answer::PlannedIndex;
use crate::error::RunError;
use crate::publish::Publication;
use crate::publish::physical::DATA_SCHEMA;

/// The place to which a transaction is undone when an index cannot be made.
const SAVEPOINT: &str = "thalweg_index";

/// So few rows are read as fast as looked up.
const FEW_ROWS: u64 = 100;

/// Columns of an index, in order.
type Columns = Vec<String>;

/// An index of a physical table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wanted {
    /// The physical table.
    pub physical: String,
    /// Its columns.
    pub columns: Columns,
    /// People asked that no two rows have the same values there.
    pub unique: bool,
    /// Only rows that a later run than this one wrote.
    pub after_run: Option<i64>,
}

impl Wanted {
    /// Its name: another for other columns or another version of the table, with the columns for people.
    fn name(&self, longest: usize) -> String {
        let text = format!("{}\0{}\0{}\0{:?}", self.physical, self.columns.join("\0"), self.unique, self.after_run);
        let hash = &blake3::hash(text.as_bytes()).to_hex()[..16];
        let mut name = format!("i_{hash}_{}", self.columns.join("_"));
        while name.len() > longest {
            name.pop();
        }
        name
    }
}

/// What is to be made and dropped.
struct IndexChanges {
    /// Names and what they are to be.
    missing: Vec<(String, Wanted)>,
    /// Names and their physical tables.
    gone: BTreeMap<String, String>,
}

/// The indexes that a table has from its first build on, by its definition alone.
pub fn first_indexes(project: &Project) -> impl Iterator<Item = PlannedIndex> {
    let index = |table: &TableName, columns: &Columns, unique: bool| PlannedIndex {
        table: table.to_string(),
        columns: columns.clone(),
        unique,
        dropped: None,
    };
    let streams = project.sources.iter().flat_map(|source| &source.streams);
    let streams = streams.filter(|stream| stream.write_disposition != WriteDisposition::Append);
    let streams = streams.map(move |stream| index(&stream.table, &stream.primary_key, false));
    let models = project.models.iter().filter(|model| model.materialized == Materialized::Table);
    let models = models.flat_map(move |model| {
        let declared = model.indexes.iter().map(|declared| index(&model.table, &declared.columns, declared.unique));
        declared.chain([index(&model.table, &model.primary_key, false)]).collect::<Vec<_>>()
    });
    streams.chain(models).filter(|index| !index.columns.is_empty())
}

impl Publication<'_> {
    /// Makes the indexes that are missing, and drops those that nobody needs any more.
    pub fn keep_indexes(&mut self) -> Result<(), RunError> {
        let asked = self.project.models.iter().any(|model| !model.indexes.is_empty());
        if !self.database.dialect.has_indexes() || !(self.definitions_changed || asked) {
            return Ok(());
        }
        let IndexChanges { missing, gone } = self.index_changes()?;
        for (name, wanted) in missing {
            self.make_wanted(&wanted, &name)?;
        }
        for (name, _) in gone {
            let index = self.physical(&name)?;
            self.database.execute(&format!("drop index if exists {index}"))?;
        }
        Ok(())
    }

    /// Makes the indexes by which a model looks up rows of tables that this run made: the others come when everything is loaded, but
    /// without these a query that looks up row by row reads whole tables each time.
    pub fn index_inputs(&mut self, node: usize) -> Result<(), RunError> {
        let dialect = self.database.dialect;
        let shape = self.shape(node);
        let (true, Ok(shape)) = (dialect.has_indexes(), shape.as_ref()) else { return Ok(()) };
        let longest = dialect.longest_name().unwrap_or(usize::MAX);
        let mut wanted: BTreeSet<Wanted> = BTreeSet::new();
        for name in shape.tables() {
            let state = self.table_of_parts(name).and_then(|table| self.tables.get(&table));
            let Some(state) = state.filter(|state| state.created_run == self.run && !state.physical.is_empty()) else {
                continue;
            };
            for columns in shape.lookups(dialect, name) {
                wanted.insert(Wanted { physical: state.physical.clone(), columns, unique: false, after_run: None });
            }
        }
        let about = self.database.about_now();
        for wanted in without_covered(wanted) {
            let name = wanted.name(longest);
            if !self.indexed.contains(&name) && self.make_wanted(&wanted, &name)? {
                self.indexed.insert(name);
            }
        }
        self.database.about(about);
        Ok(())
    }

    /// Makes indexes of what went from tables that changed, by the columns by which a model's refresh looks up their rows: it looks there as
    /// it does in the table, and an engine looks up no row of a union by an index that only one side of it has.
    pub fn index_what_went(&mut self, shape: &Shape, inputs: &Inputs) -> Result<(), RunError> {
        let dialect = self.database.dialect;
        if !dialect.has_indexes() {
            return Ok(());
        }
        for (table, changed) in &inputs.changed {
            let went = &changed.before;
            if went.starts_with('(') {
                continue;
            }
            let types: BTreeMap<&str, &str> =
                shape.columns_of(table).iter().map(|(name, kind)| (name.as_str(), kind.as_str())).collect();
            let lookups = shape.lookups(dialect, table).into_iter();
            let wanted =
                lookups.map(|columns| Wanted { physical: went.clone(), columns, unique: false, after_run: None });
            for wanted in without_covered(wanted.collect()) {
                let typed = |column: &String| Some((column.clone(), (*types.get(column.as_str())?).to_owned()));
                if let Some(columns) = wanted.columns.iter().map(typed).collect::<Option<Vec<_>>>() {
                    self.index_temporary(went, &columns)?;
                }
            }
        }
        Ok(())
    }

    /// Makes an index of a temporary table once, where there can be one and rows are many. Whatever texts are there, they must fit.
    pub fn index_temporary(&mut self, table: &str, columns: &[(String, String)]) -> Result<(), RunError> {
        let dialect = self.database.dialect;
        if !dialect.has_indexes() || self.database.rows_of(table)? < FEW_ROWS {
            return Ok(());
        }
        let longest = dialect.longest_name().unwrap_or(usize::MAX);
        let names = columns.iter().map(|(name, _)| name.clone()).collect();
        let name = Wanted { physical: table.to_owned(), columns: names, unique: false, after_run: None }.name(longest);
        let index = NewIndex { name: &name, table, columns, unique: false, after_run: None };
        let statement = dialect.create_index(&index, true).map_err(|error| self.database.bad_name(error))?;
        if let (Some(statement), true) = (statement, self.indexed.insert(name.clone())) {
            self.database.execute(&statement)?;
        }
        Ok(())
    }

    fn make_wanted(&mut self, wanted: &Wanted, name: &str) -> Result<bool, RunError> {
        let mut types = self.column_types(&wanted.physical);
        types.insert(RUN_COLUMN.to_owned(), self.database.dialect.type_name(&ColumnType::BigInt));
        self.database.about(wanted.physical.clone());
        if let Some(missing) = wanted.columns.iter().find(|column| !types.contains_key(*column)) {
            return Err(self.database.error(WarehouseError::new(
                WarehouseErrorKind::Statement,
                format!("there is no column `{missing}` for an index: change `indexes` or `primary_key` of the model"),
            )));
        }
        let columns: Vec<(String, String)> =
            wanted.columns.iter().filter_map(|column| Some((column.clone(), types.get(column)?.clone()))).collect();
        let table = self.physical(&wanted.physical)?;
        let (unique, after_run) = (wanted.unique, wanted.after_run);
        self.make_index(&NewIndex { name, table: &table, columns: &columns, unique, after_run })
    }

    /// The index of the key of a store table that this run makes, and the statement that makes it, where that fails when two rows share a key.
    pub fn distinct_index(&self, merge: &Merge<'_>, physical: &str) -> Result<Option<(String, String)>, RunError> {
        let dialect = self.database.dialect;
        if self.physical_tables().any(|standing| standing == physical) {
            return Ok(None);
        }
        let typed = |name: &String| {
            let column = merge.columns.iter().find(|column| column.name == *name)?;
            Some((name.clone(), column.engine_type.clone()))
        };
        let columns: Option<Vec<(String, String)>> = merge.key.iter().map(typed).collect();
        let Some(columns) = columns.filter(|columns| dialect.index_finds_duplicates(columns)) else { return Ok(None) };
        // By its name it is the one that is wanted anyway.
        let wanted =
            Wanted { physical: physical.to_owned(), columns: merge.key.clone(), unique: false, after_run: None };
        let name = wanted.name(dialect.longest_name().unwrap_or(usize::MAX));
        let index = NewIndex { name: &name, table: &merge.target, columns: &columns, unique: true, after_run: None };
        let statement = self.database.name(dialect.create_index(&index, false))?;
        Ok(statement.map(|statement| (name, statement)).filter(|(name, _)| !self.indexed.contains(name)))
    }

    /// What is wanted and does not stand, and what stands and is not wanted.
    fn index_changes(&mut self) -> Result<IndexChanges, RunError> {
        let longest = self.database.dialect.longest_name().unwrap_or(usize::MAX);
        let standing = self.database.connection.indexes(DATA_SCHEMA).map_err(|error| self.database.error(error))?;
        let mut gone: BTreeMap<String, String> = standing.into_iter().map(|index| (index.name, index.table)).collect();
        let mut missing = Vec::new();
        for wanted in self.wanted_indexes() {
            let name = wanted.name(longest);
            if gone.remove(&name).is_none() {
                missing.push((name, wanted));
            }
        }
        let own: BTreeSet<&str> = self.physical_tables().collect();
        gone.retain(|name, table| is_ours(name, table, &own));
        Ok(IndexChanges { missing, gone })
    }

    /// The indexes that a run would make or drop, on the tables that stand; and, of those that were never built, on their keys and what
    /// people ask for: what refreshes look up there is known when they are built.
    pub fn planned_indexes(&mut self) -> Result<Vec<PlannedIndex>, RunError> {
        if !self.database.dialect.has_indexes() {
            return Ok(Vec::new());
        }
        let IndexChanges { missing, gone } = self.index_changes()?;
        let states = self.tables.iter().chain(self.stages.all());
        let names: BTreeMap<&str, String> =
            states.map(|(table, state)| (state.physical.as_str(), table.to_string())).collect();
        let name_of = |physical: &str| names.get(physical).cloned().unwrap_or_else(|| physical.to_owned());
        let mut planned: Vec<PlannedIndex> = missing
            .into_iter()
            .map(|(_, wanted)| PlannedIndex {
                table: name_of(&wanted.physical),
                columns: wanted.columns,
                unique: wanted.unique,
                dropped: None,
            })
            .collect();
        planned.extend(gone.into_iter().map(|(name, physical)| PlannedIndex {
            table: name_of(&physical),
            columns: Vec::new(),
            unique: false,
            dropped: Some(name),
        }));
        planned.extend(first_indexes(self.project).filter(|index| {
            let is_built = |table: &TableName| table.to_string() == index.table;
            !self.tables.keys().any(is_built)
        }));
        planned.sort();
        Ok(planned)
    }

    /// Makes an index; whether there can be one.
    fn make_index(&mut self, index: &NewIndex<'_>) -> Result<bool, RunError> {
        let dialect = self.database.dialect;
        let sql = |long: bool| dialect.create_index(index, long);
        let bad_name = |error| self.database.bad_name(error);
        let (short, long) = (sql(false).map_err(bad_name)?, sql(true).map_err(bad_name)?);
        let Some(statement) = short else { return Ok(false) };
        let otherwise = long.filter(|long| *long != statement);
        let Some(otherwise) = otherwise else { return self.database.execute(&statement).map(|_| true) };
        self.database.savepoint(SAVEPOINT)?;
        match self.database.execute(&statement) {
            Ok(_) => {}
            Err(error) if error.is_limit_exceeded() => {
                self.database.rollback_to(SAVEPOINT)?;
                self.database.execute(&otherwise)?;
            }
            Err(error) => return Err(error),
        }
        self.database.release(SAVEPOINT)?;
        Ok(true)
    }

    /// Drops the unique indexes of models that are not asked for any more, before rows are written that they would refuse.
    pub fn drop_unasked_unique_indexes(&mut self) -> Result<(), RunError> {
        let dialect = self.database.dialect;
        if !dialect.has_indexes() {
            return Ok(());
        }
        let longest = dialect.longest_name().unwrap_or(usize::MAX);
        let (mut models, mut asked) = (BTreeSet::new(), BTreeSet::new());
        for model in &self.project.models {
            let Some(state) = self.tables.get(&model.table).filter(|state| !state.physical.is_empty()) else {
                continue;
            };
            models.insert(state.physical.as_str());
            for declared in model.indexes.iter().filter(|declared| declared.unique) {
                let (physical, columns) = (state.physical.clone(), declared.columns.clone());
                asked.insert(Wanted { physical, columns, unique: true, after_run: None }.name(longest));
            }
        }
        if models.is_empty() {
            return Ok(());
        }
        let standing = self.database.connection.indexes(DATA_SCHEMA).map_err(|error| self.database.error(error))?;
        let unasked = |index: &&StandingIndex| {
            index.unique && is_ours(&index.name, &index.table, &models) && !asked.contains(&index.name)
        };
        for name in standing.iter().filter(unasked).map(|index| index.name.clone()).collect::<Vec<_>>() {
            let index = self.physical(&name)?;
            self.database.execute(&format!("drop index if exists {index}"))?;
        }
        Ok(())
    }

    /// Drops the indexes in which a text may be too long, to be made again as they can be when everything is there.
    pub fn drop_text_indexes(&mut self) -> Result<(), RunError> {
        let standing = self.database.connection.indexes(DATA_SCHEMA).map_err(|error| self.database.error(error))?;
        let own: BTreeSet<&str> = self.physical_tables().collect();
        let held = standing.into_iter().filter(|index| index.holds_texts && is_ours(&index.name, &index.table, &own));
        for name in held.map(|index| index.name).collect::<Vec<_>>() {
            let index = self.physical(&name)?;
            self.database.execute(&format!("drop index if exists {index}"))?;
        }
        self.definitions_changed = true;
        Ok(())
    }

    fn physical_tables(&self) -> impl Iterator<Item = &str> {
        let tables = self.tables.values().chain(self.stages.all().map(|(_, state)| state));
        tables.map(|state| state.physical.as_str()).filter(|physical| !physical.is_empty())
    }

    fn column_types(&self, physical: &str) -> BTreeMap<String, String> {
        let states = self.tables.values().chain(self.stages.all().map(|(_, state)| state));
        let of = states.filter(|state| state.physical == physical);
        of.flat_map(|state| state.typed_columns(self.database.dialect))
            .map(|column| (column.name, column.engine_type))
            .collect()
    }

    /// The indexes that refreshes and merges look rows up by.
    pub fn wanted_indexes(&mut self) -> BTreeSet<Wanted> {
        let mut wanted: BTreeSet<Wanted> = self.wanted_for_what_came();
        let mut want = |physical: &str, columns: Columns, unique: bool| {
            if !physical.is_empty() && !columns.is_empty() {
                wanted.insert(Wanted { physical: physical.to_owned(), columns, unique, after_run: None });
            }
        };
        for stream in self.project.sources.iter().flat_map(|source| &source.streams) {
            let Some(state) = self.tables.get(&stream.table) else { continue };
            if stream.write_disposition != WriteDisposition::Append {
                want(&state.physical, stream.primary_key.clone(), false);
            }
        }
        for node in 0..self.compiled.nodes.len() {
            let NodeKind::Model(index) = self.compiled.nodes[node].kind else { continue };
            let model = &self.project.models[index];
            let Some(state) = self.tables.get(&model.table) else { continue };
            let physical = state.physical.clone();
            // That a key is none of its columns is told where it is refreshed.
            let of_table = |name: &String| state.columns.iter().any(|column| column.name == *name);
            if model.primary_key.iter().all(of_table) {
                want(&physical, model.primary_key.clone(), false);
            }
            for declared in &model.indexes {
                want(&physical, declared.columns.clone(), declared.unique);
            }
            let mut shapes: Vec<(TableName, Shape)> = Vec::new();
            if let Ok(shape) = self.shape(node).as_ref() {
                shapes.push((model.table.clone(), shape.clone()));
            }
            let mut stages: BTreeMap<Vec<String>, TableName> = BTreeMap::new();
            if let Some(parts) = self.parts(node) {
                stages = parts.read.into_iter().map(|(name, id, _)| (name, id)).collect();
                for part in parts.stages.into_iter().chain([parts.rest]) {
                    shapes.extend(part.shape.ok().map(|shape| (part.table, shape)));
                }
            }
            for (own, shape) in shapes {
                if let Some(physical) = self.physical_of(&own) {
                    want(&physical, shape.key_columns().to_vec(), false);
                }
                for name in shape.tables() {
                    let id = match stages.get(name) {
                        Some(id) => Some(id.clone()),
                        None => self.table_of_parts(name),
                    };
                    let Some(physical) = id.and_then(|id| self.physical_of(&id)) else { continue };
                    for columns in shape.lookups(self.database.dialect, name) {
                        want(&physical, columns, false);
                    }
                }
            }
        }
        without_covered(wanted)
    }

    /// Indexes by which a reader that is behind finds the rows that came since: those of the first load are never asked for.
    fn wanted_for_what_came(&mut self) -> BTreeSet<Wanted> {
        let tables: Vec<(TableName, String, i64)> = self
            .tables
            .iter()
            .filter(|(_, state)| !state.physical.is_empty())
            .map(|(table, state)| (table.clone(), state.physical.clone(), state.created_run))
            .collect();
        let read = tables.into_iter().filter(|(table, ..)| !self.change_readers(table).is_empty());
        read.map(|(_, physical, created)| Wanted {
            physical,
            columns: vec![RUN_COLUMN.to_owned()],
            unique: false,
            after_run: Some(created),
        })
        .collect()
    }

    fn physical_of(&self, table: &TableName) -> Option<String> {
        let state = self.tables.get(table).or_else(|| self.stages.get(table))?;
        Some(state.physical.clone()).filter(|physical| !physical.is_empty())
    }

    /// See [`Publication::published_parts`].
    fn table_of_parts(&self, name: &[String]) -> Option<TableName> {
        self.tables.keys().find(|table| self.published_parts(table) == name).cloned()
    }
}

/// Whether an index was made here, on one of these tables: people may have made others on them by hand.
fn is_ours(name: &str, table: &str, own: &BTreeSet<&str>) -> bool {
    name.starts_with("i_") && own.contains(table)
}

/// Without those that another one begins with: it serves for them, too.
fn without_covered(wanted: BTreeSet<Wanted>) -> BTreeSet<Wanted> {
    let covered = |one: &Wanted| {
        wanted.iter().any(|other| {
            other != one
                && other.physical == one.physical
                && !one.unique
                && other.after_run == one.after_run
                && other.columns.starts_with(&one.columns)
                && (other.columns.len() > one.columns.len() || other.unique)
        })
    };
    wanted.iter().filter(|one| !covered(one)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(columns: &[&str], unique: bool) -> Wanted {
        let columns = columns.iter().map(|column| (*column).to_owned()).collect();
        Wanted { physical: "shop.store.lines.v1".to_owned(), columns, unique, after_run: None }
    }

    #[test]
    fn what_another_index_begins_with_is_not_made() {
        let all = BTreeSet::from([
            wanted(&["a", "b"], true),
            wanted(&["a"], false),
            wanted(&["b"], false),
            wanted(&["a", "b"], false),
        ]);
        assert_eq!(without_covered(all), BTreeSet::from([wanted(&["a", "b"], true), wanted(&["b"], false)]));
    }

    #[test]
    fn names_are_short_and_differ() {
        let long = "a".repeat(60);
        let name = wanted(&[&long], false).name(63);
        assert_eq!(name.len(), 63);
        assert_ne!(name, wanted(&[&long], true).name(63));
        assert!(wanted(&["company_id"], false).name(63).ends_with("_company_id"));
    }
}
