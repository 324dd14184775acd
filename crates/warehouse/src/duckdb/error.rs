//! The engine's trouble in the words of the contract.

use thalweg_duck::{EngineError, ErrorKind};

use crate::contract::{WarehouseError, WarehouseErrorKind};

/// An error of a statement, or of the transaction around it (`sql` is `None`).
pub(super) fn of_statement(error: EngineError, sql: Option<&str>) -> WarehouseError {
    let kind = match error.kind {
        ErrorKind::Interrupted => WarehouseErrorKind::Interrupted,
        ErrorKind::DeadTransaction => WarehouseErrorKind::DeadTransaction,
        ErrorKind::Held => WarehouseErrorKind::Locked,
        ErrorKind::NotADatabase | ErrorKind::OtherVersion => WarehouseErrorKind::Incompatible,
        ErrorKind::Fatal => WarehouseErrorKind::Stopped,
        ErrorKind::DiskFull | ErrorKind::File => WarehouseErrorKind::Storage,
        ErrorKind::Memory | ErrorKind::Constraint | ErrorKind::Missing | ErrorKind::Statement => {
            WarehouseErrorKind::Statement
        }
    };
    let message = match error.kind {
        ErrorKind::Interrupted => "the statement was stopped".to_owned(),
        ErrorKind::DiskFull => format!("the disk is full: make room and run again ({})", error.message),
        ErrorKind::Memory => format!(
            "the statement needs more memory than the warehouse may use: raise `memory_limit` of the target ({})",
            error.message
        ),
        ErrorKind::Fatal => {
            format!("an error inside the engine stopped it: ask for the same in another way ({})", error.message)
        }
        _ => error.message,
    };
    WarehouseError { kind, message, statement: sql.map(Box::from), position: error.position }
}

/// An error of opening the warehouse.
pub(super) fn of_opening(error: &EngineError, display: &str) -> WarehouseError {
    let (kind, message) = match error.kind {
        ErrorKind::NotADatabase => (
            WarehouseErrorKind::Incompatible,
            format!("`{display}` is not a DuckDB file: give the target another `path`, or move the file away"),
        ),
        ErrorKind::OtherVersion => (
            WarehouseErrorKind::Incompatible,
            format!(
                "`{display}` was written by another version of DuckDB: use the Thalweg that wrote it, or a newer one ({})",
                error.message
            ),
        ),
        ErrorKind::DiskFull => {
            (WarehouseErrorKind::Storage, format!("cannot open `{display}`: the disk is full, make room and run again"))
        }
        _ => (WarehouseErrorKind::Storage, format!("cannot open `{display}`: {}", error.message)),
    };
    WarehouseError::new(kind, message)
}
