//! What refresh makes of a model's text, before any data is looked at.

use std::collections::BTreeMap;
use std::rc::Rc;

use thalweg_project::{Project, RefreshPin, TableName, WriteDisposition};
use thalweg_sql::refresh::{InputTable, InputTables, Obstacle, Shape, Split, may_tie, read_settled};
use thalweg_sql::{Compiled, Dialect, NodeKind, dialect_of};

use crate::publish::Publication;
use crate::publish::model::facts;
use crate::publish::refresh::clock::clock_names;
use crate::table_state::{TableKind, TableState};

/// Why a model is always computed anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Full {
    /// In words.
    pub reason: String,
    /// What stands in the way, with its place in the text of the refresh; `None` for what is no matter of the text.
    pub obstacle: Option<Obstacle>,
}

impl Full {
    /// What stands in the way in a text.
    pub fn of(obstacle: Obstacle) -> Self {
        Self { reason: obstacle.reason.clone(), obstacle: Some(obstacle) }
    }

    fn because(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), obstacle: None }
    }
}

impl Publication<'_> {
    /// What refresh makes of a model; read once.
    pub fn shape(&mut self, node: usize) -> Rc<Result<Shape, Full>> {
        if let Some(shape) = self.refreshing.shapes.get(&node) {
            return Rc::clone(shape);
        }
        let shape = Rc::new(read_shape(self.project, self.compiled, &self.tables, self.database.dialect, node));
        self.refreshing.shapes.insert(node, Rc::clone(&shape));
        shape
    }

    /// Whether a model, or a stage of it, is ever refreshed by the changes of its inputs.
    pub fn is_incremental(&mut self, node: usize) -> bool {
        self.shape(node).is_ok() || !self.split(node).is_whole()
    }

    /// The parts of a model; read once.
    pub fn split(&mut self, node: usize) -> Rc<Split> {
        if let Some(split) = self.refreshing.splits.get(&node) {
            return Rc::clone(split);
        }
        let (split, may_have_sums) = self.split_without_sums(node);
        let split = if may_have_sums { self.with_standing_sums(node, split) } else { split };
        let split = Rc::new(split);
        self.refreshing.splits.insert(node, Rc::clone(&split));
        split
    }

    /// Whether a model is one that may have stages at all.
    pub(super) fn may_have_stages(&mut self, node: usize) -> bool {
        // What a part reads of the time is not followed.
        self.shape(node).as_ref().as_ref().err().is_none_or(|full| full.obstacle.is_some())
            && clock_names(self.compiled, self.database.dialect, node).is_empty()
    }

    /// The parts of a model without sums, and whether it may have some.
    pub(super) fn split_without_sums(&mut self, node: usize) -> (Split, bool) {
        if !self.may_have_stages(node) {
            return (Split::default(), false);
        }
        match self.shape(node).as_ref() {
            Ok(shape) if shape.is_followed() => (Split::default(), true),
            _ => (read_split(self.project, self.compiled, &self.tables, self.database.dialect, node), true),
        }
    }

    /// The name under which a table stands in compiled texts, in parts.
    pub fn published_parts(&self, table: &TableName) -> Vec<String> {
        vec![format!("{}{}", self.project.target.schema_prefix, table.schema), table.name.clone()]
    }
}

/// See [`Publication::shape`].
pub fn read_shape(
    project: &Project,
    compiled: &Compiled,
    tables: &BTreeMap<TableName, TableState>,
    dialect: &dyn Dialect,
    node: usize,
) -> Result<Shape, Full> {
    let Some(facts) = facts(project, compiled, tables, node) else {
        return Err(Full::because("it has no table of its own"));
    };
    if facts.model.refresh == RefreshPin::Full {
        return Err(Full::because("pinned to `refresh: full`"));
    }
    if let Some(external) = facts.external.first() {
        return Err(Full::because(format!("reads {external}, whose changes are not seen")));
    }
    if let Some(missing) = facts.inputs.iter().find(|input| !tables.contains_key(input)) {
        return Err(Full::because(format!("{missing} does not exist yet")));
    }
    let Some(text) = compiled.refresh_sql(node) else {
        return Err(Full::because("its text cannot be put together"));
    };
    if let Some(reason) = unfollowed(text, tables, dialect, &facts.inputs, &facts.model.table) {
        return Err(Full::because(reason));
    }
    let known = KnownTables { project, tables, dialect };
    Shape::read(text, dialect, &known, &facts.model.primary_key).map_err(Full::of)
}

/// What only Postgres has and refreshes do not follow: literals that are the time, and values of `citext`, which are grouped without regard to
/// case and compared as texts, since their schema is not searched.
fn unfollowed(
    text: &str,
    tables: &BTreeMap<TableName, TableState>,
    dialect: &dyn Dialect,
    inputs: &[TableName],
    table: &TableName,
) -> Option<String> {
    const TYPE: &str = "citext";
    if dialect.name() != "postgres" {
        return None;
    }
    if let Some(word) = time_in_words(text) {
        return Some(format!(
            "'{word}' is a time that is another each day, and is not seen to change: write current_date or now() instead"
        ));
    }
    let is_meant = |name: &str| name.to_lowercase().contains(TYPE);
    let states = inputs.iter().chain([table]).filter_map(|table| tables.get(table));
    let mut columns = states.flat_map(|state| state.typed_columns(dialect));
    let has_one = is_meant(text) || columns.any(|column| is_meant(&column.engine_type));
    has_one.then(|| {
        format!("it reads values of the type {TYPE}, which Postgres groups otherwise than it compares them here")
    })
}

fn read_split(
    project: &Project,
    compiled: &Compiled,
    tables: &BTreeMap<TableName, TableState>,
    dialect: &dyn Dialect,
    node: usize,
) -> Split {
    let (Some(text), NodeKind::Model(index)) = (compiled.refresh_sql(node), compiled.nodes[node].kind) else {
        return Split::default();
    };
    let known = KnownTables { project, tables, dialect };
    // Parts of the text whose ties are settled, as they are in full builds.
    let settled = settled_text(project, compiled, tables, node);
    Split::of(settled.as_deref().unwrap_or(text), dialect, &known, &project.models[index].primary_key)
}

/// A model's text with what settles its ties; `None` where it has none that can be settled. Full builds and refreshes take the same.
pub fn settled_text(
    project: &Project,
    compiled: &Compiled,
    tables: &BTreeMap<TableName, TableState>,
    node: usize,
) -> Option<String> {
    let text = compiled.refresh_sql(node).filter(|text| may_tie(text))?;
    let dialect = dialect_of(&project.target.connection);
    let settled = read_settled(text, dialect, &KnownTables { project, tables, dialect }).ok()?;
    settled.changed.then_some(settled.tree.text)
}

/// The stored tables of a warehouse, by the names compiled texts give them.
pub struct KnownTables<'a> {
    /// The project.
    pub project: &'a Project,
    /// Its tables.
    pub tables: &'a BTreeMap<TableName, TableState>,
    /// How the engine spells types.
    pub dialect: &'a dyn Dialect,
}

impl InputTables for KnownTables<'_> {
    fn table(&self, name: &[String]) -> Option<InputTable> {
        let [schema, table] = name else { return None };
        let schema = schema.strip_prefix(self.project.target.schema_prefix.as_str())?;
        let id = TableName::new(schema, table);
        let state = self.tables.get(&id).filter(|state| state.kind != TableKind::View)?;
        let columns = state.typed_columns(self.dialect);
        Some(InputTable {
            columns: columns.into_iter().map(|column| (column.name, column.engine_type)).collect(),
            key: enforced_key(self.project, &id),
        })
    }
}

/// The columns that identify a row of a table because writing it makes sure of that.
pub fn enforced_key(project: &Project, table: &TableName) -> Vec<String> {
    let mut streams = project.sources.iter().flat_map(|source| &source.streams);
    match streams.find(|stream| stream.table == *table) {
        Some(stream) if stream.write_disposition != WriteDisposition::Append => stream.primary_key.clone(),
        _ => Vec::new(),
    }
}

/// A literal that Postgres takes for the time at which the query runs.
fn time_in_words(text: &str) -> Option<&'static str> {
    let text: String = text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
    let is_time = |word: &str| {
        text.match_indices(&format!("'{word}'")).any(|(at, literal)| {
            let (before, behind) = (text[..at].trim_end(), text[at + literal.len()..].trim_start());
            let kinds = ["date", "time", "timestamp", "timestamptz", "timetz"];
            kinds.iter().any(|kind| {
                let cast = behind.strip_prefix("::").or_else(|| behind.strip_prefix("as "));
                before.ends_with(kind) || cast.is_some_and(|cast| cast.trim_start().starts_with(kind))
            })
        })
    };
    ["now", "today", "tomorrow", "yesterday"].into_iter().find(|word| is_time(word))
}

#[cfg(test)]
mod tests {
    use thalweg_sql::{DuckDb, Postgres};

    use super::*;

    #[test]
    fn what_only_postgres_has_is_not_followed() {
        let reason = |text: &str, dialect: &dyn Dialect| {
            unfollowed(text, &BTreeMap::new(), dialect, &[], &TableName::new("pres", "m"))
        };
        assert!(reason("select c::public.citext, count(*) from store.a group by 1", &Postgres).is_some());
        assert!(reason("select c::text, count(*) from store.a group by 1", &Postgres).is_none());
        assert!(reason("select c as citext from store.a", &DuckDb).is_none());
        for time in
            ["d > 'today'::date - 5", "d > DATE 'yesterday'", "cast('now' as timestamp) > d", "t = timestamptz\n'now'"]
        {
            assert!(reason(&format!("select 1 from store.a where {time}"), &Postgres).is_some(), "{time}");
        }
        assert!(reason("select 1 from store.a where state = 'today' and due = 'now'", &Postgres).is_none());
    }
}
