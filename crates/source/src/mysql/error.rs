//! Troubles with a server: one `match` from its error number to what happens next and what a person should do.

use std::fmt;
use std::io;

use crate::SourceErrorKind::{self, Data, Denied, Unavailable};
use thalweg_postgres::tls::handshake_advice;

use crate::SourceError;

/// What went wrong, before it is known what was being done.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The server answered with an error.
    Server(ServerError),
    /// The connection failed.
    Io(io::Error),
    /// The server said something we do not understand.
    Protocol(String),
    /// Not the server's: what took the rows failed, or a file of the settings.
    Other(SourceError),
}

/// An error of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServerError {
    /// Its number.
    pub(super) code: u16,
    /// Its words.
    pub(super) message: String,
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (error {})", self.message, self.code)
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<SourceError> for Trouble {
    fn from(error: SourceError) -> Self {
        Self::Other(error)
    }
}

impl Trouble {
    /// The number of the server's error, if it is one.
    pub(super) fn code(&self) -> Option<u16> {
        match self {
            Self::Server(error) => Some(error.code),
            _ => None,
        }
    }

    /// The same as an error of the source: `doing` is what failed and on which object (`reading orders.lines`).
    pub(super) fn while_doing(self, doing: &str) -> SourceError {
        match self {
            Self::Server(error) => {
                let (kind, advice) = advice(error.code);
                SourceError::new(kind, format!("{doing}: {error}; {advice}"))
            }
            Self::Io(error) => io_error(doing, &error),
            Self::Protocol(what) => {
                let advice = "check that this is a MySQL or MariaDB server and nothing between changes what it says";
                SourceError::new(Denied, format!("{doing}: {what}; {advice}"))
            }
            Self::Other(error) => error,
        }
    }
}

fn io_error(doing: &str, error: &io::Error) -> SourceError {
    if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return SourceError::new(Denied, format!("{doing}: {}", handshake_advice(tls)));
    }
    let (kind, what) = match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            (Unavailable, "nobody listens there: check `host` and `port`, and that the server runs")
        }
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => (
            Unavailable,
            "no answer in time: check the network and the firewall, or give more time with `connect_timeout`",
        ),
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => {
            (Unavailable, "the server closed the connection: look into its log; the next run tries again")
        }
        io::ErrorKind::NotFound => (Denied, "check `host`"),
        io::ErrorKind::PermissionDenied => (Denied, "check who may use the socket"),
        io::ErrorKind::InvalidData => (Denied, "check that this is a MySQL or MariaDB server"),
        // Names that cannot be resolved have no kind of their own.
        _ => (Unavailable, "check the name of the host and the network"),
    };
    SourceError::new(kind, format!("{doing}: {error}; {what}"))
}

/// What happens after an error of the server, and what a person should do. Numbers are those of MySQL's and MariaDB's own lists.
fn advice(code: u16) -> (SourceErrorKind, &'static str) {
    match code {
        1040 | 1203 | 1226 | 1461 => {
            (Unavailable, "it is busy: lower `connections` of the source, or raise the limit at the server")
        }
        1205 | 1213 | 1637 => (Unavailable, "it waited for others: the next run tries again"),
        1412 | 1615 | 1684 => (Unavailable, "the table was changed while it was read: the next run tries again"),
        1053 | 1077 | 1078 | 1079 | 1152 | 1158..=1161 | 1184 | 1317 | 1927 | 3169 | 4031 => {
            (Unavailable, "the server stopped, or somebody ended the connection: the next run tries again")
        }
        1021 | 1114 | 1041 | 1037 | 1038 | 1135 => {
            (Unavailable, "the server is short of memory or of room on its disk: look after it there")
        }
        1969 | 3024 => (Unavailable, "it took too long: raise `statement_timeout`, or look why the server is slow"),
        1044 | 1142 | 1143 | 1227 | 1370 | 1419 => (
            Denied,
            "grant the user what is missing: `GRANT SELECT ON database.* TO user`, and `GRANT PROCESS ON *.* TO user`",
        ),
        1045 | 1698 => (Denied, "check `user` and `password`, and from which hosts the user may connect"),
        1129 | 1130 => {
            (Denied, "the server does not let this machine in: create the user for this host, or `FLUSH HOSTS` there")
        }
        1049 => (Denied, "check `database`"),
        1820 | 1862 => (Denied, "the password has expired: set a new one at the server"),
        3118 | 4151 => (Denied, "the account is locked: unlock it at the server"),
        1251 | 1524 | 2059 => (
            Denied,
            "the account logs in in a way that is not known here: use caching_sha2_password, ed25519 or mysql_native_password",
        ),
        3159 => (Denied, "the server wants an encrypted connection: set `sslmode: require`"),
        1146 | 1051 | 1109 => (Denied, "the table is not there: check the stream's `table`, or remove the stream"),
        1054 | 1166 => (Denied, "the column is not there: check `where`, `cursor` and `primary_key` of the stream"),
        1064 | 1149 | 1305 => (Denied, "check `where` of the stream: it is put into the statement as it stands"),
        1356 | 1449 => (Denied, "the view cannot be read: mend it, or whom it runs as, at the server"),
        1153 | 1301 => (Denied, "a value is greater than the server sends: raise `max_allowed_packet` there"),
        126 | 127 | 134 | 144 | 145 | 1034 | 1035 | 1194 | 1195 | 1712 | 1932 | 1877 => {
            (Data, "the table is damaged: `CHECK TABLE` and `REPAIR TABLE` at the server")
        }
        _ => (Data, "look the number up in the server's documentation"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(trouble: Trouble) -> (SourceErrorKind, String) {
        let error = trouble.while_doing("reading shop.orders");
        (error.kind, error.message)
    }

    #[test]
    fn numbers_decide_what_happens_next() {
        for (code, kind) in [
            (1040, Unavailable),
            (1213, Unavailable),
            (1412, Unavailable),
            (1317, Unavailable),
            (1969, Unavailable),
            (1045, Denied),
            (1142, Denied),
            (1862, Denied),
            (3159, Denied),
            (1146, Denied),
            (1194, Data),
            (1690, Data),
        ] {
            let (found, message) = told(Trouble::Server(ServerError { code, message: "no".to_owned() }));
            assert_eq!(found, kind, "{code}");
            assert!(message.starts_with(&format!("reading shop.orders: no (error {code}); ")), "{message}");
        }
    }

    #[test]
    fn lost_connections_may_be_tried_again() {
        assert_eq!(told(Trouble::Io(io::ErrorKind::ConnectionReset.into())).0, Unavailable);
        assert_eq!(told(Trouble::Io(io::ErrorKind::ConnectionRefused.into())).0, Unavailable);
        assert_eq!(told(Trouble::Io(io::Error::other(rustls::Error::DecryptError))).0, Denied);
        assert_eq!(told(Trouble::Protocol("packet of an odd kind".to_owned())).0, Denied);
    }
}
