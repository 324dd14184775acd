//! Which columns of a table are read, what they are called in the store, and what the contract says of changes.

use thalweg_project::column_name::{instead_of_reserved, snake_case, store_name};
use thalweg_project::{ColumnType, SchemaAction, SourceColumn, Stream, Table, is_selected};

use super::Dialect;
use crate::landing::widest;
use crate::{Column, Note, SourceError, SourceErrorKind};

/// The columns of one read.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnPlan {
    /// The columns that are loaded, in the order of the table.
    pub columns: Vec<PlannedColumn>,
    /// Columns that are read only because a row with a value in them is rejected (`schema_contract: discard_row`).
    pub refused: Vec<PlannedColumn>,
    /// Columns that the store does not have yet.
    pub added: Vec<String>,
    /// What a person should know.
    pub notes: Vec<Note>,
}

/// A column at the source and in the store.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedColumn {
    /// In the store.
    pub column: Column,
    /// At the source, with the type it is read as.
    pub source: SourceColumn,
}

impl ColumnPlan {
    /// The column of this name in the store.
    pub fn find(&self, name: &str) -> Option<&PlannedColumn> {
        self.columns.iter().find(|planned| planned.column.name == name)
    }

    /// The columns as the landing keeps them.
    pub fn landing_columns(&self) -> Vec<Column> {
        self.columns.iter().map(|planned| planned.column.clone()).collect()
    }
}

/// Plans the columns. `known` are the store's; empty before the first load.
pub fn plan(
    table: &Table,
    stream: &Stream,
    known: &[Column],
    dialect: &dyn Dialect,
) -> Result<ColumnPlan, SourceError> {
    let mut plan = ColumnPlan { columns: Vec::new(), refused: Vec::new(), added: Vec::new(), notes: Vec::new() };
    let mut named: Vec<(String, &SourceColumn)> = Vec::new();
    for (source, place) in table.columns.iter().zip(1..) {
        let name = store_name(&source.name, place);
        if !is_selected(&stream.select, &name, &source.name) {
            continue;
        }
        if let Some((_, other)) = named.iter().find(|(other, _)| *other == name) {
            return Err(data_error(format!(
                "table {}: the columns \"{}\" and \"{}\" would both be called {name}: leave one of them out with `select:`",
                table.table, other.name, source.name
            )));
        }
        if instead_of_reserved(&snake_case(&source.name)).is_some() {
            plan.notes.push(Note::info(format!("column {} is called {name}: its own name is thalweg's", source.name)));
        }
        named.push((name, source));
    }
    for (name, source) in named {
        let stored = known.iter().find(|column| column.name == name);
        let source = typed(source, &name, stream, stored, dialect)?;
        let column = Column::new(&name, &source.name, source.column_type.clone());
        let planned = PlannedColumn { column, source };
        if !known.is_empty() && stored.is_none() {
            match stream.schema_contract.columns {
                SchemaAction::Evolve => {
                    plan.notes.push(Note::info(format!("new column {name}")));
                    plan.added.push(name);
                }
                SchemaAction::Freeze => {
                    return Err(data_error(format!(
                        "column {name} is new, and the schema of stream {} is frozen: nothing of the stream is loaded; add the column by \
                         setting `schema_contract: evolve`, or leave it out with `select: [-{name}]`",
                        stream.name
                    )));
                }
                SchemaAction::DiscardRow => {
                    plan.refused.push(planned);
                    continue;
                }
                SchemaAction::DiscardValue => {
                    plan.notes.push(Note::warning(format!(
                        "column {name} is new and was left out (schema_contract: discard_value)"
                    )));
                    continue;
                }
            }
        }
        plan.columns.push(planned);
    }
    let gone: Vec<&str> = known
        .iter()
        .filter(|column| {
            plan.find(&column.name).is_none() && is_selected(&stream.select, &column.name, &column.source_name)
        })
        .map(|column| column.name.as_str())
        .collect();
    if !gone.is_empty() {
        let (noun, verb) = if gone.len() == 1 { ("column", "is") } else { ("columns", "are") };
        plan.notes.push(Note::warning(format!(
            "{noun} {} {verb} gone at the source: NULL in rows read from now on",
            gone.join(", ")
        )));
    }
    Ok(plan)
}

/// The column with the type its values are read as: the natural one, the one the stream gives, or, where the contract does not allow
/// another, the store's.
fn typed(
    source: &SourceColumn,
    name: &str,
    stream: &Stream,
    stored: Option<&Column>,
    dialect: &dyn Dialect,
) -> Result<SourceColumn, SourceError> {
    let given = stream.columns.iter().find(|column| column.name == name).and_then(|column| column.column_type.as_ref());
    if let Some(given) = given {
        return read_as(source, name, given, dialect);
    }
    let Some(stored) = stored.filter(|stored| !holds(&stored.column_type, &source.column_type)) else {
        return Ok(source.clone());
    };
    match stream.schema_contract.types {
        SchemaAction::Evolve => Ok(source.clone()),
        SchemaAction::Freeze => Err(data_error(format!(
            "column {name} is now {} ({}), which {} in the store does not hold, and the schema of stream {} is frozen: nothing of the \
             stream is loaded; let the type widen with `schema_contract: evolve`",
            source.engine_type, source.column_type, stored.column_type, stream.name
        ))),
        SchemaAction::DiscardRow | SchemaAction::DiscardValue => read_as(source, name, &stored.column_type, dialect),
    }
}

fn read_as(
    source: &SourceColumn,
    name: &str,
    wanted: &ColumnType,
    dialect: &dyn Dialect,
) -> Result<SourceColumn, SourceError> {
    if source.column_type == *wanted || dialect.can_read_as(source, wanted) {
        return Ok(SourceColumn { column_type: wanted.clone(), ..source.clone() });
    }
    Err(data_error(format!(
        "column {name} is {} and cannot be read as {wanted}: take its own type, {}, or text, and cast it in a model",
        source.engine_type, source.column_type
    )))
}

/// Whether a type holds every value of another without loss.
fn holds(outer: &ColumnType, inner: &ColumnType) -> bool {
    widest(outer, inner) == *outer
}

fn data_error(message: String) -> SourceError {
    SourceError::new(SourceErrorKind::Data, message)
}
