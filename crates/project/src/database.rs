//! How a database that is a source is reached.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Secret, TableRef};

/// How a database is reached. Everything is resolved: defaults are filled in, a URL is taken apart.
#[derive(Debug, Clone)]
pub struct DatabaseSettings {
    /// Which kind of server.
    pub kind: DatabaseKind,
    /// Host name or address; a path (`/run/mysqld/mysqld.sock`, `/run/postgresql`) is a socket, or the folder of one, as in libpq.
    pub host: String,
    /// Port.
    pub port: u16,
    /// User.
    pub user: String,
    /// Password, if there is one.
    pub password: Option<Secret>,
    /// The database.
    pub database: String,
    /// Whether the connection is encrypted, and the server's certificate checked.
    pub sslmode: SslMode,
    /// File with the certificates (PEM) of the authorities to trust, absolute or relative to the project folder; those of the system
    /// when absent.
    pub sslrootcert: Option<String>,
    /// File with our own certificate (PEM).
    pub sslcert: Option<String>,
    /// File with the key of our own certificate (PEM).
    pub sslkey: Option<String>,
    /// Connections that may be open at the same time, at least 1.
    pub connections: usize,
    /// How long is waited for a connection.
    pub connect_timeout: Duration,
    /// How long a statement on metadata may take. Reads have no limit.
    pub statement_timeout: Duration,
}

impl DatabaseSettings {
    /// Connections that may be open at the same time, unless a project says otherwise.
    pub const CONNECTIONS: usize = 4;
    /// How long is waited for a connection.
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
    /// How long a statement on metadata may take.
    pub const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);

    /// A database and a user of a server of this machine, with what holds unless a project says otherwise.
    pub fn local(kind: DatabaseKind, port: u16, user: &str, database: &str) -> Self {
        Self {
            kind,
            host: "127.0.0.1".to_owned(),
            port,
            user: user.to_owned(),
            password: None,
            database: database.to_owned(),
            sslmode: SslMode::default(),
            sslrootcert: None,
            sslcert: None,
            sslkey: None,
            connections: Self::CONNECTIONS,
            connect_timeout: Self::CONNECT_TIMEOUT,
            statement_timeout: Self::STATEMENT_TIMEOUT,
        }
    }
}

/// Kinds of database servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DatabaseKind {
    /// MySQL.
    Mysql,
    /// MariaDB.
    Mariadb,
    /// Postgres.
    Postgres,
}

impl DatabaseKind {
    /// `type:` in the file.
    pub fn word(self) -> &'static str {
        match self {
            Self::Mysql => "mysql",
            Self::Mariadb => "mariadb",
            Self::Postgres => "postgres",
        }
    }

    /// The port its servers listen on when nobody says otherwise.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Mysql | Self::Mariadb => 3306,
            Self::Postgres => 5432,
        }
    }
}

/// Whether a connection is encrypted, and the server's certificate checked; the words and meanings of libpq.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SslMode {
    /// Never encrypted.
    Disable,
    /// Encrypted when the server insists.
    Allow,
    /// Encrypted when the server can.
    #[default]
    Prefer,
    /// Always encrypted; the certificate is not checked.
    Require,
    /// Always encrypted; the certificate must be signed by a trusted authority.
    VerifyCa,
    /// The same, and it must be made out to the host.
    VerifyFull,
}

/// Options of a stream of a database.
#[derive(Debug, Clone, PartialEq)]
pub struct DatabaseOptions {
    /// The table, view or foreign table.
    pub table: TableRef,
    /// The column that finds changed rows, as named in the store.
    pub cursor: Option<String>,
    /// Where the first load starts, as written; it is read in the cursor's type.
    pub initial_value: Option<String>,
    /// How far before the position each run reads again; the default depends on what the source can tell of open transactions.
    pub lag: Option<Duration>,
    /// How rows are found that were deleted at the source.
    pub deletes: Deletes,
    /// What is compared in full from time to time, whatever the cursor says.
    pub reconcile: Option<Reconcile>,
    /// A greater part of a table than this is not deleted without consent, from 0 to 1.
    pub max_delete_ratio: f64,
    /// A condition in the database's own SQL: only rows that satisfy it are in the store.
    pub filter: Option<String>,
    /// What happens to a value that the store's type cannot hold.
    pub on_unrepresentable: OnUnrepresentable,
}

/// How rows are found that were deleted at the source without a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletes {
    /// The keys of source and store are compared.
    CompareKeys {
        /// Not more often than this; in every run without it.
        every: Option<Duration>,
    },
    /// They are not: such rows stay, and `status` says so.
    None,
}

/// A comparison of source and store that does not trust the cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reconcile {
    /// What is compared.
    pub what: ReconcileWhat,
    /// Not more often than this; only with `--reconcile` without it.
    pub every: Option<Duration>,
}

/// What a reconciliation compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReconcileWhat {
    /// Which keys there are.
    Keys,
    /// Keys and values.
    Rows,
}

/// What happens to a value that the store's type cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnUnrepresentable {
    /// Its row is rejected, with the reason.
    Reject,
    /// It is NULL in the store, and counted.
    Null,
}
