//! What a driver does.

use arrow::record_batch::RecordBatch;

use super::{Dialect, SourceColumn, Table, TableRef, Value};
use crate::SourceError;

/// A database server of one kind, with the settings to reach it. Nothing is touched before a method is called.
///
/// Errors say what failed, on which object and what to do; never a password. Their kind decides what happens next:
/// [`Unavailable`](crate::SourceErrorKind::Unavailable) for what may succeed when tried again (a lost or refused connection, too many
/// connections, a server that starts, a deadlock, a table whose definition changed after the snapshot),
/// [`Denied`](crate::SourceErrorKind::Denied) for what a person must change (a password, a privilege, a certificate, a table that does
/// not exist), [`Data`](crate::SourceErrorKind::Data) for data that is not as it must be. A driver does not try again itself.
///
/// The methods block; a driver with an asynchronous client drives it on its own.
pub trait Engine: Send + Sync {
    /// How it spells things.
    fn dialect(&self) -> &dyn Dialect;

    /// A connection for metadata: read-only, with a short limit for statements.
    fn connect(&self) -> Result<Box<dyn Connection>, SourceError>;

    /// Opens at most `connections` (at least one) connections that all see one snapshot, in read-only transactions that live as long
    /// as the connections.
    ///
    /// The order is part of the contract: (1) the definitions of `tables` are held, where the engine can do so, so that none changes
    /// until the end; (2) the clock and the start of the oldest open transaction are read; (3) the snapshot is taken; (4) the tables are
    /// described as they stand in it. Where several connections cannot be brought to one snapshot (a privilege is missing), there is
    /// one connection.
    ///
    /// A table that does not exist, or may not be read, is an error in its place in [`OpenSnapshot::tables`], not of the whole.
    fn open(&self, connections: usize, tables: &[TableRef]) -> Result<OpenSnapshot, SourceError>;
}

/// A consistent snapshot.
pub struct OpenSnapshot {
    /// The server.
    pub server: Server,
    /// The server's clock, in microseconds UTC, when `oldest_open` was read, before the snapshot was taken.
    pub now: i64,
    /// Start of the oldest transaction that may still write (microseconds UTC), not later than the start of any statement that runs in
    /// it, prepared transactions included, our own not; `now` when there is none, or when others cannot be seen. Never later than the
    /// truth: a clock of whole seconds is rounded down.
    pub oldest_open: i64,
    /// How sure `oldest_open` is.
    pub safety: Safety,
    /// Offset from UTC in seconds that sessions of other programs have by default: the clock of columns without a time zone.
    pub server_offset: i32,
    /// Something that identifies the state of the database and grows with it, in words for the log: a log position, a transaction
    /// number.
    pub mark: Option<String>,
    /// The tables asked for, in order.
    pub tables: Vec<Result<Table, SourceError>>,
    /// For each of the tables, where its rows tell who wrote them: every transaction that is not visible in this snapshot writes rows whose
    /// version is this one or a later one ([`Dialect::written_since`]).
    pub versions: Vec<Option<i64>>,
    /// The connections, all with the same snapshot.
    pub connections: Vec<Box<dyn Connection>>,
}

/// How sure it is that nothing commits behind a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Safety {
    /// All open transactions are known.
    Certain,
    /// Transactions of other users cannot be seen: only the stream's `lag` protects. Why, and what privilege to grant.
    LagOnly(String),
}

/// A server in a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// `MariaDB 10.11.6`, `PostgreSQL 15.8`.
    pub version: String,
    /// Database and user: `orders as reader`.
    pub database: String,
    /// How the connection is protected: `TLS 1.3, certificate verified`, `not encrypted`.
    pub protection: String,
}

/// A connection; with a snapshot, all its reads see it.
pub trait Connection: Send {
    /// The server.
    fn server(&mut self) -> Result<Server, SourceError>;

    /// Describes tables: these, or all that the user may read and that belong to people (no system schemas). What does not exist is
    /// left out. In order of schema and name.
    fn describe(&mut self, tables: Option<&[TableRef]>) -> Result<Vec<Table>, SourceError>;

    /// Runs a read and hands its rows over in batches, in the order in which they come. Memory is bounded whatever the number and width
    /// of rows: a batch has at most [`Read::ROWS`] rows and is handed over when it holds about [`Read::BYTES`].
    ///
    /// An error of `take` ends the read and is returned. After any error the connection may be unusable.
    fn read(
        &mut self,
        read: &Read<'_>,
        take: &mut dyn FnMut(DecodedRows) -> Result<(), SourceError>,
    ) -> Result<(), SourceError>;

    /// Runs a small query; values as texts.
    fn query(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>, SourceError>;

    /// Values of a key's leading column, ascending in the engine's own order and without repetition, that divide a table into about
    /// `parts` parts of about equal size, cheaply (from statistics, a sample, or the smallest and greatest number). Fewer, or none,
    /// where that is not possible.
    fn boundaries(&mut self, table: &Table, column: &SourceColumn, parts: usize) -> Result<Vec<Value>, SourceError>;
}

/// One read: a `SELECT` and what it selects.
#[derive(Debug, Clone, Copy)]
pub struct Read<'a> {
    /// The statement. Its select list was spelled by [`Dialect::select`], [`Dialect::flag`] and [`Dialect::bigint`].
    pub sql: &'a str,
    /// What the select list holds, in order.
    pub columns: &'a [SourceColumn],
}

impl Read<'_> {
    /// Rows of a batch at most.
    pub const ROWS: usize = 16_384;
    /// Bytes of values at which a batch is handed over.
    pub const BYTES: usize = 4 << 20;
}

/// Decoded rows.
#[derive(Debug)]
pub struct DecodedRows {
    /// The columns of the read, in order, with the Arrow types of [`crate::landing::arrow_schema`].
    pub batch: RecordBatch,
    /// Values that do not fit; they are NULL in the batch. In order of row, then column.
    pub misfits: Vec<Misfit>,
}

/// A value that the column's type cannot hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// Row in the batch.
    pub row: usize,
    /// Column in the batch.
    pub column: usize,
    /// The value, as the engine writes it.
    pub raw: String,
    /// Why it does not fit, to be put after the value: `is no date`, `has two dimensions`.
    pub reason: String,
}
