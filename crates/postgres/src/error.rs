//! Troubles of the client and the server, in words.

use std::error::Error as _;
use std::io;

use tokio_postgres::error::{DbError, ErrorPosition, SqlState};

use crate::tls::handshake_advice;

/// Something went wrong. The message says what failed and where, and what to do unless the server refused: what that means depends on
/// what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PostgresError {
    /// What kind of trouble.
    pub kind: ErrorKind,
    /// In words.
    pub message: String,
    /// The server's code (SQLSTATE), where it was the server that refused.
    pub code: Option<String>,
    /// Characters of the statement before the place the server points at.
    pub position: Option<usize>,
}

/// Kinds of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The server refused, and told its code.
    Server,
    /// The network, or a server that is not there: it may pass. A connection that it befell is gone.
    Unavailable,
    /// A person must change something: certificates, a password, a setting.
    Denied,
}

impl PostgresError {
    /// An error that the server did not tell.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), code: None, position: None }
    }

    /// An error of the client or the server: `what` says what failed and where (`postgres shop at db:5432`).
    pub(crate) fn of(what: &str, error: &tokio_postgres::Error) -> Self {
        if let Some(told) = error.as_db_error() {
            let position = match told.position() {
                Some(ErrorPosition::Original(place)) => usize::try_from(*place).ok().and_then(|at| at.checked_sub(1)),
                _ => None,
            };
            let (message, code) = (format!("{what}: {}", words(told)), Some(told.code().code().to_owned()));
            return Self { kind: ErrorKind::Server, message, code, position };
        }
        if let Some(handshake) = handshake_error(error) {
            return Self::new(ErrorKind::Denied, format!("{what}: {}", handshake_advice(handshake)));
        }
        let cause = error.source().map_or_else(|| error.to_string(), ToString::to_string);
        let (kind, advice) = match error.source().and_then(|source| source.downcast_ref::<io::Error>()) {
            Some(trouble) => (ErrorKind::Unavailable, io_advice(trouble)),
            None if error.is_closed() => {
                (ErrorKind::Unavailable, "the connection is gone; see the server's log if it stays so")
            }
            // What remains is about TLS, passwords and the protocol; none of it passes by itself.
            None if is_about_encryption(error) => (ErrorKind::Denied, "check `sslmode`"),
            None => (ErrorKind::Denied, "check user, password and database"),
        };
        Self::new(kind, format!("{what}: {cause}; {advice}"))
    }
}

/// What was wrong with a handshake, out of the wrappings it comes in.
fn handshake_error(error: &tokio_postgres::Error) -> Option<&rustls::Error> {
    error.source()?.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref()
}

/// Whether no encrypted connection could be made, for whatever reason: another `sslmode` might do.
pub(crate) fn is_about_encryption(error: &tokio_postgres::Error) -> bool {
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

/// What the server says, with its code.
fn words(told: &DbError) -> String {
    let mut message = told.message().to_owned();
    for more in [told.detail(), told.hint()].into_iter().flatten() {
        message.push_str(" (");
        message.push_str(more.trim_end_matches('.'));
        message.push(')');
    }
    // Which row and column of a COPY it was.
    if let Some(place) = told.where_().and_then(|place| place.lines().next()).filter(|place| place.starts_with("COPY "))
    {
        message.push_str(&format!(" ({place})"));
    }
    format!("{message} [{}]", told.code().code())
}
