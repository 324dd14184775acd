//! The server's trouble in the words of the contract, by SQLSTATE.

use thalweg_postgres::{ErrorKind, PostgresError};

use super::marks::Translated;
use crate::contract::{WarehouseError, WarehouseErrorKind};

/// An error of a statement, or of the transaction around it (`sql` is `None`).
pub(super) fn of_statement(error: &PostgresError, sql: Option<&Translated<'_>>) -> WarehouseError {
    let (kind, advice) = match error.kind {
        // What the client itself refuses (a value it cannot send) is the statement's fault.
        ErrorKind::Denied => (WarehouseErrorKind::Statement, None),
        ErrorKind::Unavailable => (WarehouseErrorKind::Lost, None),
        ErrorKind::Server => decide(error.code.as_deref().unwrap_or_default()),
    };
    // Which server it was needs no saying where a statement is at fault.
    let told = error.message.strip_prefix("postgres ").and_then(|told| told.split_once(": ")).map(|(_, told)| told);
    let message = match kind {
        WarehouseErrorKind::Interrupted => "the statement was stopped".to_owned(),
        kind if kind.is_of_statement() && advice.is_none() => told.unwrap_or(&error.message).to_owned(),
        _ => advice.map_or_else(|| error.message.clone(), |advice| format!("{}; {advice}", error.message)),
    };
    WarehouseError {
        kind,
        message,
        statement: sql.map(|sql| Box::from(sql.original)),
        position: sql.and_then(|sql| sql.place(error.position?)),
    }
}

/// An error of opening a session.
pub(super) fn of_opening(error: &PostgresError) -> WarehouseError {
    let code = error.code.as_deref().unwrap_or_default();
    let (kind, advice) = match (error.kind, code) {
        (_, "53300") => (
            WarehouseErrorKind::Locked,
            "the server has no connection left: wait longer with `--lock-timeout`, or raise `max_connections` there",
        ),
        (_, "57P03") => (WarehouseErrorKind::Locked, "wait longer with `--lock-timeout`"),
        (_, "28P01") => (WarehouseErrorKind::Incompatible, "check the password of the target"),
        (_, "3D000") => (WarehouseErrorKind::Incompatible, "create the database, or check `database` of the target"),
        (ErrorKind::Server, _) => {
            (WarehouseErrorKind::Incompatible, "check the target's settings, and `pg_hba.conf` at the server")
        }
        (ErrorKind::Unavailable, _) => return WarehouseError::new(WarehouseErrorKind::Lost, &error.message),
        (ErrorKind::Denied, _) => return WarehouseError::new(WarehouseErrorKind::Incompatible, &error.message),
    };
    WarehouseError::new(kind, format!("{}; {advice}", error.message))
}

/// What a code means for the run, and what to do, the most exact rule first.
fn decide(code: &str) -> (WarehouseErrorKind, Option<&'static str>) {
    use WarehouseErrorKind as Kind;
    match code {
        "57014" => (Kind::Interrupted, None),
        "25P02" => (Kind::DeadTransaction, None),
        "40001" | "40P01" | "55P03" => {
            (Kind::Conflict, Some("somebody else works on the same tables: the run has to be done again as a whole"))
        }
        "57P01" | "57P02" | "57P03" | "57P05" | "25P03" => (Kind::Lost, Some("run again")),
        "53100" => (Kind::Storage, Some("the server's disk is full: make room and run again")),
        "54000" => (Kind::LimitExceeded, None),
        "23505" => (Kind::Duplicate, None),
        "42883" => (Kind::Undefined, None),
        "53200" => (Kind::Storage, Some("the server lacks memory: lower its `work_mem`, and run again")),
        "42501" => (Kind::Statement, Some("grant the role what is missing: `thalweg grants` writes a script")),
        _ => match code.get(..2) {
            Some("08") => (Kind::Lost, Some("run again")),
            Some("58" | "XX") => (Kind::Storage, Some("see the server's log")),
            _ => (Kind::Statement, None),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_kinds() {
        for (code, expected) in [
            ("42601", WarehouseErrorKind::Statement),
            ("23505", WarehouseErrorKind::Duplicate),
            ("42883", WarehouseErrorKind::Undefined),
            ("25006", WarehouseErrorKind::Statement),
            ("40001", WarehouseErrorKind::Conflict),
            ("40P01", WarehouseErrorKind::Conflict),
            ("55P03", WarehouseErrorKind::Conflict),
            ("57P01", WarehouseErrorKind::Lost),
            ("08006", WarehouseErrorKind::Lost),
            ("53100", WarehouseErrorKind::Storage),
            ("54000", WarehouseErrorKind::LimitExceeded),
            ("", WarehouseErrorKind::Statement),
        ] {
            assert_eq!(decide(code).0, expected, "{code}");
        }
    }
}
