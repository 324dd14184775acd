//! Troubles of Postgres, in words, and which of them may pass.

use std::error::Error as _;
use std::io;

use tokio_postgres::error::{DbError, SqlState};

use crate::database::tls::handshake_advice;
use crate::{SourceError, SourceErrorKind};

/// An error of the client or the server: `what` says what failed and where (`reading public.orders`).
pub(super) fn source_error(what: &str, error: &tokio_postgres::Error) -> SourceError {
    if let Some(told) = error.as_db_error() {
        return server_error(what, told);
    }
    if let Some(handshake) = handshake_error(error) {
        return SourceError::new(SourceErrorKind::Denied, format!("{what}: {}", handshake_advice(handshake)));
    }
    let cause = error.source().map_or_else(|| error.to_string(), ToString::to_string);
    let (kind, advice) = match error.source().and_then(|source| source.downcast_ref::<io::Error>()) {
        Some(trouble) => (SourceErrorKind::Unavailable, io_advice(trouble)),
        None if error.is_closed() => {
            (SourceErrorKind::Unavailable, "the connection is gone; see the server's log if it stays so")
        }
        // What remains is about TLS, passwords and the protocol; none of it passes by itself.
        None if is_about_encryption(error) => (SourceErrorKind::Denied, "check `sslmode`"),
        None => (SourceErrorKind::Denied, "check user, password and database"),
    };
    SourceError::new(kind, format!("{what}: {cause}; {advice}"))
}

/// What was wrong with a handshake, out of the wrappings it comes in.
fn handshake_error(error: &tokio_postgres::Error) -> Option<&rustls::Error> {
    error.source()?.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref()
}

/// Whether no encrypted connection could be made, for whatever reason: another `sslmode` might do.
pub(super) fn is_about_encryption(error: &tokio_postgres::Error) -> bool {
    match error.as_db_error() {
        // `pg_hba.conf` may demand encryption or forbid it.
        Some(told) => told.code() == &SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
        None => handshake_error(error).is_some() || error.to_string().contains("TLS"),
    }
}

fn io_advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "nothing listens there: check host and port, and that the server runs",
        io::ErrorKind::TimedOut => "no answer: check host, port and firewall, or raise `connect_timeout`",
        io::ErrorKind::NotFound => "there is no such socket: check `host`",
        _ => "check host, port and the network",
    }
}

/// What the server says, with its code, and what to do.
fn server_error(what: &str, told: &DbError) -> SourceError {
    let (kind, advice) = decide(told.code().code());
    let mut message = format!("{what}: {}", told.message());
    for more in [told.detail(), told.hint()].into_iter().flatten() {
        message.push_str(" (");
        message.push_str(more.trim_end_matches('.'));
        message.push(')');
    }
    SourceError::new(kind, format!("{message} [{}]; {advice}", told.code().code()))
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
