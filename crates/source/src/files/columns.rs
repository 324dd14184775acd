//! From the columns of a file to the columns of the landing: names, selection, lists, types, and what the contract says.

use std::collections::{BTreeMap, BTreeSet};

use arrow::datatypes::SchemaRef;
use thalweg_project::column_name::{instead_of_reserved, snake_case};
use thalweg_project::{ColumnType, FileFormat, FileMode, SchemaAction, Stream, is_selected};

use super::content::{FileTrouble, data_error};
use crate::landing::{arrow_schema, widest};
use crate::values::{Shape, Strictness};
use crate::{Column, Note};

/// What happens to a value that does not fit the type of its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnMisfit {
    /// The type is widened, and the file read again.
    Widen,
    /// The record is rejected.
    Reject,
    /// The value becomes NULL, and is counted.
    Discard,
    /// Nothing of the stream is loaded.
    Fail,
}

/// Where the values of a column come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cells {
    /// One column of the file.
    Column(usize),
    /// Several columns, folded into a list.
    List(Vec<usize>),
    /// The file does not have it.
    Missing,
}

/// A column of the landing.
#[derive(Debug, Clone)]
pub(super) struct PlannedColumn {
    pub(super) column: Column,
    pub(super) cells: Cells,
    pub(super) strictness: Strictness,
    pub(super) on_misfit: OnMisfit,
    /// A record that has a value here is rejected: `schema_contract: { columns: discard_row }`.
    pub(super) reject_values: bool,
}

/// The columns of the landing for one file.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) columns: Vec<PlannedColumn>,
    pub(super) schema: SchemaRef,
    /// What a person should know.
    pub(super) notes: Vec<Note>,
}

impl Plan {
    /// The columns as the landing keeps them.
    pub(super) fn landing_columns(&self) -> Vec<Column> {
        self.columns.iter().filter(|planned| !planned.reject_values).map(|planned| planned.column.clone()).collect()
    }
}

/// What is known of a stream's columns before a file is read.
#[derive(Debug, Clone)]
pub(super) struct KnownColumns<'a> {
    /// Columns of the store and of files read earlier in this extract.
    pub(super) columns: Vec<Column>,
    /// The store had columns before this extract: the contract speaks.
    pub(super) contract: bool,
    /// The stream.
    pub(super) stream: &'a Stream,
}

/// The types of a file's columns, as far as its values were looked at; `None` where there was no value.
#[derive(Debug, Clone)]
pub(super) struct Looked {
    types: Vec<Option<ColumnType>>,
    strictness: Strictness,
}

impl Looked {
    /// Only the head was looked at: types are guesses.
    pub(super) fn head(shapes: &[Shape]) -> Self {
        Self { types: shapes.iter().map(Shape::column_type).collect(), strictness: Strictness::Speculative }
    }

    /// Every value was looked at.
    pub(super) fn whole(shapes: &[Shape]) -> Self {
        Self { types: shapes.iter().map(Shape::column_type).collect(), strictness: Strictness::Exact }
    }

    /// The file itself says the types of its columns.
    pub(super) fn declared(types: Vec<Option<ColumnType>>) -> Self {
        Self { types, strictness: Strictness::Exact }
    }
}

/// Plans a file. `source_columns` are the columns as the file names them, in its order; shapes are by the same index.
pub(super) fn plan(
    file: &str,
    source_columns: &[String],
    looked: &Looked,
    known: &KnownColumns<'_>,
) -> Result<Plan, FileTrouble> {
    let stream = known.stream;
    let mut notes = Vec::new();
    let mut named = name_columns(file, source_columns, known, &mut notes)?;
    named.retain(|(name, source_name, _)| is_selected(&stream.select, name, source_name));
    let mut columns = Vec::new();
    for (name, source_name, cells) in named {
        let given =
            stream.columns.iter().find(|column| column.name == name).and_then(|column| column.column_type.clone());
        let stored = known.columns.iter().find(|column| column.name == name);
        let is_new = known.contract && stored.is_none();
        let mut planned = PlannedColumn {
            column: Column::new(name, source_name, ColumnType::Text),
            strictness: looked.strictness,
            on_misfit: OnMisfit::Widen,
            reject_values: false,
            cells,
        };
        if is_new {
            match stream.schema_contract.columns {
                SchemaAction::Evolve => {
                    notes.push(Note::info(format!("{file}: new column {}", planned.column.name)));
                }
                SchemaAction::Freeze => {
                    return Err(FileTrouble::Stop(data_error(format!(
                        "{file}: column {} is new, and the schema of stream {} is frozen: nothing of the stream is loaded; add the \
                         column by setting `schema_contract: evolve`, or leave it out with `select: [-{}]`",
                        planned.column.name, stream.name, planned.column.name
                    ))));
                }
                SchemaAction::DiscardRow => planned.reject_values = true,
                SchemaAction::DiscardValue => {
                    notes.push(Note::warning(format!(
                        "{file}: column {} is new and was left out (schema_contract: discard_value)",
                        planned.column.name
                    )));
                    continue;
                }
            }
        }
        match (&planned.cells, given) {
            (_, Some(ColumnType::List(item))) if *item != ColumnType::Text => {
                return Err(FileTrouble::Stop(data_error(format!(
                    "stream {}: column {}: list({item}) cannot be read from a file: give it the type list(text) and cast it in a model",
                    stream.name, planned.column.name
                ))));
            }
            (_, Some(given)) => {
                planned.column.column_type = given;
                planned.strictness = Strictness::Given;
                planned.on_misfit = match stream.schema_contract.types {
                    SchemaAction::Freeze => OnMisfit::Fail,
                    SchemaAction::DiscardValue => OnMisfit::Discard,
                    SchemaAction::Evolve | SchemaAction::DiscardRow => OnMisfit::Reject,
                };
            }
            (Cells::List(_), None) => planned.column.column_type = ColumnType::List(Box::new(ColumnType::Text)),
            (Cells::Missing, None) => {}
            (Cells::Column(index), None) => {
                let inferred = looked.types.get(*index).cloned().flatten();
                decide_type(&mut planned, inferred, stored, known);
            }
        }
        columns.push(planned);
    }
    add_missing(file, known, &mut columns, &mut notes);
    let landing: Vec<Column> =
        columns.iter().filter(|planned| !planned.reject_values).map(|planned| planned.column.clone()).collect();
    Ok(Plan { columns, schema: arrow_schema(&landing), notes })
}

fn decide_type(
    planned: &mut PlannedColumn,
    inferred: Option<ColumnType>,
    stored: Option<&Column>,
    known: &KnownColumns<'_>,
) {
    let Some(stored) = stored.filter(|stored| !stored.undecided) else {
        planned.column.undecided = inferred.is_none();
        planned.column.column_type = inferred.unwrap_or(ColumnType::Text);
        return;
    };
    planned.column.column_type = stored.column_type.clone();
    let types = known.stream.schema_contract.types;
    match types {
        _ if !known.contract => {}
        SchemaAction::Evolve => {}
        SchemaAction::Freeze => planned.on_misfit = OnMisfit::Fail,
        SchemaAction::DiscardRow => planned.on_misfit = OnMisfit::Reject,
        SchemaAction::DiscardValue => planned.on_misfit = OnMisfit::Discard,
    }
    // Text takes everything, also where inference over the file would have said otherwise.
    if planned.on_misfit != OnMisfit::Widen || stored.column_type == ColumnType::Text {
        planned.strictness = Strictness::Exact;
        return;
    }
    // The store's type stays the guess; only a look at the whole file changes it.
    if planned.strictness == Strictness::Exact
        && let Some(inferred) = inferred
        && !holds(&stored.column_type, &inferred)
    {
        planned.column.column_type = widest(&stored.column_type, &inferred);
    }
}

/// Whether a type holds every value of another without loss.
fn holds(outer: &ColumnType, inner: &ColumnType) -> bool {
    *outer == ColumnType::Json || widest(outer, inner) == *outer
}

/// Columns that are known or given and not in the file.
fn add_missing(file: &str, known: &KnownColumns<'_>, columns: &mut Vec<PlannedColumn>, notes: &mut Vec<Note>) {
    let present: BTreeSet<String> = columns.iter().map(|planned| planned.column.name.clone()).collect();
    let missing: Vec<&str> = known
        .columns
        .iter()
        .filter(|column| !present.contains(&column.name))
        .filter(|column| is_selected(&known.stream.select, &column.name, &column.source_name))
        .map(|column| column.name.as_str())
        .collect();
    // A key that no object of a JSON file has is nothing unusual, least of all in the few new lines of a log.
    let quiet = known.stream.files.mode == FileMode::Tail || columns.is_empty();
    if !missing.is_empty() && !quiet {
        let (noun, verb) = if missing.len() == 1 { ("column", "is") } else { ("columns", "are") };
        let message = format!("{file}: {noun} {} {verb} missing: NULL", missing.join(", "));
        let is_json = matches!(known.stream.files.format, FileFormat::Json | FileFormat::Ndjson);
        notes.push(if is_json { Note::info(message) } else { Note::warning(message) });
    }
    for given in &known.stream.columns {
        let is_known = known.columns.iter().any(|column| column.name == given.name);
        if let Some(column_type) = &given.column_type
            && !present.contains(&given.name)
            && !is_known
        {
            notes.push(Note::warning(format!("{file}: column {} is declared and missing: NULL", given.name)));
            columns.push(PlannedColumn {
                column: Column::new(&given.name, &given.name, column_type.clone()),
                cells: Cells::Missing,
                strictness: Strictness::Given,
                on_misfit: OnMisfit::Reject,
                reject_values: false,
            });
        }
    }
}

type Named = (String, String, Cells);

/// Names the columns and folds lists.
fn name_columns(
    file: &str,
    source_columns: &[String],
    known: &KnownColumns<'_>,
    notes: &mut Vec<Note>,
) -> Result<Vec<Named>, FileTrouble> {
    let stream = known.stream;
    let mut folded: BTreeMap<usize, usize> = BTreeMap::new();
    let mut lists: Vec<(&String, &String, Vec<usize>)> = Vec::new();
    for (list, pattern) in &stream.files.lists {
        let mut members: Vec<(u64, usize)> = source_columns
            .iter()
            .enumerate()
            .filter_map(|(index, name)| list_number(pattern, name).map(|number| (number, index)))
            .filter(|(_, index)| !folded.contains_key(index))
            .collect();
        members.sort_unstable();
        if members.is_empty() {
            notes.push(Note::warning(format!("{file}: list {list}: no column is named like `{pattern}`")));
        }
        let members: Vec<usize> = members.into_iter().map(|(_, index)| index).collect();
        members.iter().for_each(|index| _ = folded.insert(*index, lists.len()));
        lists.push((list, pattern, members));
    }
    let mut named: Vec<Named> = Vec::new();
    let mut placed = BTreeSet::new();
    for (index, source_name) in source_columns.iter().enumerate() {
        if let Some(list) = folded.get(&index) {
            if placed.insert(*list) {
                let (name, pattern, members) = &lists[*list];
                named.push(((*name).clone(), (*pattern).clone(), Cells::List(members.clone())));
            }
            continue;
        }
        let mut name = snake_case(source_name);
        if name.is_empty() {
            name = numbered(source_name, index, source_columns, known, &named);
        }
        if let Some(free) = instead_of_reserved(&name) {
            notes.push(Note::warning(format!(
                "{file}: column {source_name} is called {free}, because {name} is thalweg's own"
            )));
            name = free;
        }
        named.push((name, source_name.clone(), Cells::Column(index)));
    }
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, source_name, _) in &named {
        if let Some(other) = seen.insert(name, source_name) {
            return Err(FileTrouble::Failed(format!(
                "{file}: columns \"{other}\" and \"{source_name}\" would both be called {name}: rename one of them at the source; \
                 nothing of the file was loaded"
            )));
        }
    }
    Ok(named)
}

/// The name of a column whose own name has no letter or digit: the one that it had before, or `column_N` with its place or the next number that
/// no other column has. A `%` stays the same column wherever it stands.
fn numbered(
    source_name: &str,
    index: usize,
    source_columns: &[String],
    known: &KnownColumns<'_>,
    named: &[Named],
) -> String {
    let before = |column: &&Column| column.source_name == source_name;
    if let Some(column) = known.columns.iter().find(before) {
        return column.name.clone();
    }
    let is_free = |name: &String| {
        known.columns.iter().all(|column| column.name != *name)
            && named.iter().all(|(other, ..)| other != name)
            && source_columns.iter().all(|other| snake_case(other) != *name)
    };
    let own = format!("column_{}", index + 1);
    std::iter::once(own).chain((1..).map(|number| format!("column_{number}"))).find(is_free).unwrap_or_default()
}

/// The number a column has in a list: pattern `top titles *` and name `Top Titles 12` give 12.
fn list_number(pattern: &str, name: &str) -> Option<u64> {
    let (pattern, name) = (pattern.to_lowercase(), name.to_lowercase());
    let (before, behind) = pattern.split_once('*')?;
    let number = name.strip_prefix(before)?.strip_suffix(behind)?;
    if number.bytes().all(|byte| byte.is_ascii_digit()) { number.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_patterns() {
        assert_eq!(list_number("top related titles *", "Top Related Titles 12"), Some(12));
        assert_eq!(list_number("top related titles *", "top related titles"), None);
        assert_eq!(list_number("tag*_name", "tag3_name"), Some(3));
        assert_eq!(list_number("tag*", "tags"), None);
        assert_eq!(list_number("tag*", "tag"), None);
    }
}
