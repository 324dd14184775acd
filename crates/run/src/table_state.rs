//! What is known of a table of the warehouse.

use serde::{Deserialize, Serialize};
use thalweg_project::ColumnType;
use thalweg_source::Column;
use thalweg_sql::Dialect;
use thalweg_sql::statement::TypedColumn;

/// What a table of the warehouse is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableKind {
    /// Rows of a stream.
    Store,
    /// Rows of a seed.
    Seed,
    /// A model's rows.
    Table,
    /// A model's `SELECT`.
    View,
    /// A part of a model's query, kept for its refreshes.
    Stage,
}

impl TableKind {
    /// As written in the ledger and in answers.
    pub fn word(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Seed => "seed",
            Self::Table => "table",
            Self::View => "view",
            Self::Stage => "stage",
        }
    }
}

/// A table as the ledger knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableState {
    /// What it is.
    pub kind: TableKind,
    /// Name of the physical table in `thalweg_data`; empty for views.
    pub physical: String,
    /// What it was made by; when that changes it is made anew.
    pub fingerprint: String,
    /// Its declared columns.
    pub columns: Vec<StateColumn>,
    /// Its rows; 0 for views.
    pub rows: u64,
    /// The run that last changed it.
    pub changed_run: i64,
    /// The run that last brought it up to date.
    pub refreshed_run: i64,
    /// The run that made the physical table.
    pub created_run: i64,
}

/// A column as the ledger knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateColumn {
    /// Its name.
    pub name: String,
    /// Its type: a [`ColumnType`] for store tables and seeds, the engine's word for models.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Its name at the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_name: Option<String>,
    /// No value was seen yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub undecided: bool,
}

impl StateColumn {
    /// A column of a store table or seed.
    pub fn from_column(column: &Column) -> Self {
        Self {
            name: column.name.clone(),
            type_name: column.column_type.to_string(),
            source_name: Some(column.source_name.clone()),
            undecided: column.undecided,
        }
    }

    /// The column of a store table or seed; what cannot be read counts as text.
    pub fn to_column(&self) -> Column {
        Column {
            name: self.name.clone(),
            source_name: self.source_name.clone().unwrap_or_else(|| self.name.clone()),
            column_type: self.type_name.parse().unwrap_or(ColumnType::Text),
            undecided: self.undecided,
        }
    }
}

impl TableState {
    /// How the table of a model is cut into partitions: a part of its fingerprint. `None` where it is not.
    pub fn layout(&self) -> Option<&str> {
        (self.kind == TableKind::Table).then(|| self.fingerprint.split('-').nth(2)).flatten()
    }

    /// The columns of a store table or seed.
    pub fn source_columns(&self) -> Vec<Column> {
        self.columns.iter().map(StateColumn::to_column).collect()
    }

    /// The declared columns with the engine's types.
    pub fn typed_columns(&self, dialect: &dyn Dialect) -> Vec<TypedColumn> {
        self.columns
            .iter()
            .map(|column| TypedColumn {
                name: column.name.clone(),
                engine_type: match self.kind {
                    TableKind::Store | TableKind::Seed => dialect.type_name(&column.to_column().column_type),
                    TableKind::Table | TableKind::View | TableKind::Stage => column.type_name.clone(),
                },
            })
            .collect()
    }
}

/// The columns of an extract with the engine's types.
pub fn typed(dialect: &dyn Dialect, columns: &[Column]) -> Vec<TypedColumn> {
    columns
        .iter()
        .map(|column| TypedColumn { name: column.name.clone(), engine_type: dialect.type_name(&column.column_type) })
        .collect()
}
