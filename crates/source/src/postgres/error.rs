//! Troubles of Postgres, in words, and which of them may pass.

use thalweg_postgres::{ErrorKind, PostgresError};

use crate::{SourceError, SourceErrorKind};

impl From<PostgresError> for SourceError {
    fn from(error: PostgresError) -> Self {
        source_error(&error)
    }
}

/// An error of the client or the server.
pub(super) fn source_error(error: &PostgresError) -> SourceError {
    match (error.kind, &error.code) {
        (ErrorKind::Unavailable, _) => SourceError::new(SourceErrorKind::Unavailable, &error.message),
        (ErrorKind::Denied, _) => SourceError::new(SourceErrorKind::Denied, &error.message),
        (ErrorKind::Server, code) => {
            let (kind, advice) = decide(code.as_deref().unwrap_or_default());
            SourceError::new(kind, format!("{}; {advice}", error.message))
        }
    }
}

/// Again, ask a person, or never: by SQLSTATE, the most exact rule first.
fn decide(code: &str) -> (SourceErrorKind, &'static str) {
    use SourceErrorKind::{Data, Denied, Unavailable};
    match code {
        "28P01" => (Denied, "check the password"),
        "3D000" => (Denied, "check `database`"),
        "42501" => (
            Denied,
            "grant the user what is missing: `grant select on ... to ...`, and `grant usage on schema ... to ...`",
        ),
        "42P01" | "3F000" => (Denied, "check the name: it may have been dropped or renamed"),
        "42703" => (Denied, "check the columns the stream names, in `where` too"),
        "53300" => {
            (Unavailable, "the server has no connection left: lower `connections`, or raise `max_connections` there")
        }
        "53400" | "53100" | "53200" => (Unavailable, "the server lacks disk or memory"),
        "55P03" => (Unavailable, "somebody holds the table, to alter it for instance: wait until that is done"),
        "57014" => (Unavailable, "it took longer than `statement_timeout`, or was cancelled at the server"),
        "57P03" => (Unavailable, "the server starts or stops: wait"),
        "57P04" => (Denied, "the database was dropped"),
        "40001" => (
            Unavailable,
            "where the server is a replica, raise `max_standby_streaming_delay` or switch `hot_standby_feedback` on",
        ),
        "72000" => (Unavailable, "raise `old_snapshot_threshold` at the server"),
        "XX001" | "XX002" => (Denied, "the database is damaged: its administrator must look"),
        _ => match &code[..2.min(code.len())] {
            "08" | "40" | "53" | "55" | "57" | "58" | "25" => {
                (Unavailable, "it may pass: see the server's log if it stays so")
            }
            "28" => (Denied, "check user and password, and `pg_hba.conf` at the server"),
            "22" => (
                Data,
                "the view or the condition cannot be computed for some row: mend it there, or leave the row out with `where`",
            ),
            _ => (Denied, "see the server's log"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_trouble() {
        for (code, expected) in [
            ("57P01", SourceErrorKind::Unavailable),
            ("40P01", SourceErrorKind::Unavailable),
            ("53300", SourceErrorKind::Unavailable),
            ("28000", SourceErrorKind::Denied),
            ("42601", SourceErrorKind::Denied),
            ("22012", SourceErrorKind::Data),
            ("", SourceErrorKind::Denied),
        ] {
            assert_eq!(decide(code).0, expected, "{code}");
        }
    }
}
