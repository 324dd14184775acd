//! Why something could not be done.

use thalweg_project::{Diagnostic, TableName};
use thalweg_source::SourceError;
use thalweg_warehouse::{WarehouseError, WarehouseErrorKind};

/// Why a command could not do its work. A run that finished with failures is no error but a [`crate::RunOutcome`].
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The project has mistakes.
    #[error("the project has {} mistake(s)", .0.len())]
    Project(Vec<Diagnostic>),
    /// The folder cannot be read.
    #[error("{0}")]
    Folder(String),
    /// A selector is wrong or finds nothing.
    #[error("{0}")]
    Selection(String),
    /// A source failed and the project says to stop then, or the command is about that source alone.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The warehouse failed.
    #[error(transparent)]
    Warehouse(#[from] WarehouseError),
    /// The warehouse failed at one table.
    #[error("{table}: {error}")]
    Table {
        /// The table, model, test or report.
        table: String,
        /// What happened.
        error: WarehouseError,
    },
    /// A statement that was made to refresh a model by changes failed: no fault of the model. The run begins again and computes it anew.
    #[error("{table}: a statement of its incremental refresh failed: {reason}")]
    Incremental {
        /// The model.
        table: TableName,
        /// What the warehouse said.
        reason: String,
    },
    /// The rows do not add up: a fault in Thalweg itself, or somebody wrote to its tables. Nothing was published.
    #[error("the rows of {table} do not add up: {equation}; nothing was published")]
    Unbalanced {
        /// The table.
        table: String,
        /// The equation with its numbers.
        equation: String,
    },
    /// A source failed in a way that stops the run, or the project says to stop then.
    #[error("{0}; nothing was published")]
    Stopped(String),
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// The run was asked to stop; nothing was published.
    #[error("stopped as asked; nothing was published, and the next build goes on from here")]
    Cancelled,
    /// The run was asked to stop when it had ended already, but not yet done what comes after it.
    #[error(
        "stopped as asked; run {0} itself has ended, and the next build does what comes after it: files of sources, reports"
    )]
    CancelledAfter(i64),
    /// A file of the project could not be written.
    #[error("{0}")]
    Output(String),
}

impl RunError {
    /// The error that a test asks for at a failpoint: as if a statement had failed.
    pub fn failed_at(failpoint: &str) -> Self {
        Self::Warehouse(WarehouseError::new(WarehouseErrorKind::Statement, format!("failpoint {failpoint}")))
    }

    /// Whether others worked on the same tables, and nothing is wrong.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Warehouse(error) | Self::Table { error, .. } if error.kind == WarehouseErrorKind::Conflict)
    }

    /// Whether the warehouse refused a statement.
    pub fn is_of_statement(&self) -> bool {
        matches!(self, Self::Warehouse(error) | Self::Table { error, .. } if error.kind.is_of_statement())
    }

    /// Whether a limit of the engine was passed: most likely, a text is longer than an entry of an index can be.
    pub fn is_limit_exceeded(&self) -> bool {
        use WarehouseErrorKind::LimitExceeded;
        matches!(self, Self::Warehouse(error) | Self::Table { error, .. } if error.kind == LimitExceeded)
    }

    /// Whether two rows would have had the same values where an index allows that once.
    pub fn is_duplicate(&self) -> bool {
        use WarehouseErrorKind::Duplicate;
        matches!(self, Self::Warehouse(error) | Self::Table { error, .. } if error.kind == Duplicate)
    }

    /// Whether there is no such function or operator for values of these types.
    pub fn is_undefined(&self) -> bool {
        use WarehouseErrorKind::Undefined;
        matches!(self, Self::Warehouse(error) | Self::Table { error, .. } if error.kind == Undefined)
    }

    /// Whether the connection to the warehouse is lost.
    pub fn is_lost(&self) -> bool {
        use WarehouseErrorKind::{CommitUnknown, Lost, Stopped};
        match self {
            // At a table, a statement of it is the cause, and would be again.
            Self::Warehouse(error) => matches!(error.kind, Lost | CommitUnknown | Stopped),
            Self::Table { error, .. } => matches!(error.kind, Lost | CommitUnknown),
            _ => false,
        }
    }

    /// Exit code of the command: 2 when it could not run, 1 when it ran and failed.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Table { .. } | Self::Incremental { .. } | Self::Unbalanced { .. } | Self::Stopped(_) => 1,
            Self::Warehouse(error) => match error.kind {
                WarehouseErrorKind::Fenced => 1,
                kind if kind.is_of_statement() => 1,
                _ => 2,
            },
            _ => 2,
        }
    }
}
