//! What a warehouse is asked, and what it answers.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use thalweg_project::ColumnType;

/// Column of a landing file and of a staged relation: index of the record's file in its extract, 32 bits.
pub const FILE_COLUMN: &str = "_file";
/// Column of a landing file and of a staged relation: place of the record in its file, 64 bits.
pub const RECORD_COLUMN: &str = "_record";

/// A place data goes to.
pub trait Warehouse: Send + Sync {
    /// What it can do. The code above branches on these answers, never on the warehouse's name.
    fn capabilities(&self) -> Capabilities;

    /// Where it is, for messages, without secrets: `warehouse.duckdb`.
    fn display(&self) -> String;

    /// Whether the warehouse was ever written to. Reading commands answer "nothing built yet" instead of creating it.
    fn exists(&self) -> Result<bool, WarehouseError>;

    /// Takes the right to run: at most one holder per project and target, across processes. Does not open the warehouse for
    /// longer than it needs. Refused with [`WarehouseErrorKind::Busy`] and the holder in words.
    fn lock(&self, project: &str, holder: &str) -> Result<Box<dyn RunLock>, WarehouseError>;

    /// Told after a run, when no connection is open and before the lock is given up: makes what was published available to others
    /// where that takes an act of its own (a copy of the file). Does nothing where that was done since a moment (microseconds since
    /// 1970 UTC). What was done, in words.
    fn share(&self, since: Option<i64>) -> Result<Option<String>, WarehouseError> {
        let _ = since;
        Ok(None)
    }

    /// Told of the SQL of people that will be run, and of that which any of it might be put together with (views, names), before a
    /// connection is opened: time for precautions against faults of the engine.
    fn expect(&mut self, run: &[&str], within: &[&str]) {
        let _ = (run, within);
    }

    /// Opens a connection. An embedded warehouse that is held by another program is waited for as `wait` says.
    fn connect(&self, access: Access, wait: &Wait<'_>) -> Result<Box<dyn Connection>, WarehouseError>;
}

/// The right to run. Given up when dropped, also by the death of the process.
pub trait RunLock: Send {
    /// Tells others what the holder is doing: shown to who is refused.
    fn describe(&mut self, what: &str) -> Result<(), WarehouseError>;

    /// Makes sure that it is still held, and takes it again where it was lost with a connection. [`WarehouseErrorKind::Busy`] where somebody
    /// else has it by now; who held it meanwhile is told by the lease.
    fn keep(&mut self) -> Result<(), WarehouseError> {
        Ok(())
    }
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading only.
    Read,
    /// Reading and writing; creates the warehouse when it does not exist.
    Write,
}

/// How long to wait for a warehouse that somebody else holds, and whom to tell.
pub struct Wait<'a> {
    /// At most this long.
    pub timeout: Duration,
    /// Called once, when waiting begins, with a sentence that says who is waited for.
    pub tell: &'a dyn Fn(&str),
}

/// What a warehouse can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// One transaction covers many tables.
    pub transactions: bool,
    /// Tables and views can be created and dropped inside a transaction.
    pub transactional_ddl: bool,
    /// A failed statement can be undone without the rest of the transaction.
    pub savepoints: bool,
    /// A staged relation reads the files anew at each use, instead of holding a copy.
    pub stages_in_place: bool,
}

/// One connection. Used by one thread at a time.
///
/// After an error inside a transaction the transaction is dead: every further statement, and `commit` too, fails with
/// [`WarehouseErrorKind::DeadTransaction`] until `rollback`, whatever the engine itself would say.
pub trait Connection: Send {
    /// Begins a transaction.
    fn begin(&mut self) -> Result<(), WarehouseError>;

    /// Commits it. When the connection is lost meanwhile, the error is [`WarehouseErrorKind::CommitUnknown`]: read the ledger.
    fn commit(&mut self) -> Result<(), WarehouseError>;

    /// Undoes it. Does nothing outside a transaction.
    fn rollback(&mut self) -> Result<(), WarehouseError>;

    /// Marks a place in the transaction to which it can be undone. Only where [`Capabilities::savepoints`] says so, as the next two.
    fn savepoint(&mut self, name: &str) -> Result<(), WarehouseError> {
        Err(no_savepoints(name))
    }

    /// Undoes what happened since a savepoint, which stays; a dead transaction is alive again.
    fn rollback_to(&mut self, name: &str) -> Result<(), WarehouseError> {
        Err(no_savepoints(name))
    }

    /// Forgets a savepoint and keeps what happened since.
    fn release(&mut self, name: &str) -> Result<(), WarehouseError> {
        Err(no_savepoints(name))
    }

    /// Runs one statement; the number of rows it changed. Values are marked by `?`; in a statement without values a `?` is whatever
    /// the engine takes it for.
    fn execute(&mut self, sql: &str, parameters: &[Value]) -> Result<u64, WarehouseError>;

    /// Runs one query and reads its answer.
    fn query(&mut self, sql: &str, parameters: &[Value]) -> Result<Rows, WarehouseError>;

    /// Runs one query and hands its rows over in batches, so that memory is bounded however many there are. An error of `take` ends the query
    /// and is returned.
    fn read(
        &mut self,
        sql: &str,
        take: &mut dyn FnMut(&RecordBatch) -> Result<(), WarehouseError>,
    ) -> Result<(), WarehouseError>;

    /// The columns a query would have, without running it.
    fn describe(&mut self, sql: &str) -> Result<Vec<DescribedColumn>, WarehouseError>;

    /// Whether a table or view exists. Also inside a transaction, which it never kills.
    fn has_table(&mut self, schema: &str, table: &str) -> Result<bool, WarehouseError>;

    /// Makes a schema where there is none of that name. Needs no privilege for one that is there.
    fn create_schema(&mut self, schema: &str) -> Result<(), WarehouseError> {
        self.execute(&format!("create schema if not exists \"{}\"", schema.replace('"', "\"\"")), &[]).map(drop)
    }

    /// Defines a view by a query, or defines it anew. Privileges on it and views of others that read it stay; where they cannot, the error
    /// names them, and the transaction is to be undone.
    fn define_view(&mut self, schema: &str, view: &str, sql: &str) -> Result<(), WarehouseError>;

    /// Defines several views, in order, and then drops those that are to go: all of it, or the error is of the first that cannot be. Where
    /// definitions wait for readers, new readers wait for no more than moments at a time meanwhile.
    fn define_views(&mut self, views: &[ViewDefinition]) -> Result<(), WarehouseError> {
        for view in views {
            if let Some(sql) = &view.sql {
                self.define_view(&view.schema, &view.view, sql)?;
            }
        }
        for view in views.iter().filter(|view| view.sql.is_none()) {
            let [schema, name] = [&view.schema, &view.view].map(|name| name.replace('"', "\"\""));
            self.execute(&format!("drop view if exists \"{schema}\".\"{name}\""), &[])?;
        }
        Ok(())
    }

    /// Runs statements in a transaction of their own; whether that could be done without waiting for readers, or having them wait, for more
    /// than a moment. Where not, nothing happened.
    fn try_briefly(&mut self, statements: &[String]) -> Result<bool, WarehouseError> {
        self.begin()?;
        for sql in statements {
            self.execute(sql, &[])?;
        }
        self.commit()?;
        Ok(true)
    }

    /// The indexes of a schema; none where the warehouse has no indexes.
    fn indexes(&mut self, schema: &str) -> Result<Vec<StandingIndex>, WarehouseError> {
        let _ = schema;
        Ok(Vec::new())
    }

    /// The partitions of the tables of a schema; none where the warehouse has no partitions.
    fn partitions(&mut self, schema: &str) -> Result<Vec<StandingPartition>, WarehouseError> {
        let _ = schema;
        Ok(Vec::new())
    }

    /// Makes the rows of landing files readable under a temporary name, as often as wished, until [`Connection::unstage`] or the
    /// end of the connection. A column that a file does not have is NULL there; each value is cast to the given type. The relation
    /// has the given columns in the given order, then [`FILE_COLUMN`] and [`RECORD_COLUMN`]. Rows with a value
    /// that the warehouse cannot hold are left out of it and handed back.
    fn stage(
        &mut self,
        name: &str,
        files: &[PathBuf],
        columns: &[StagedColumn],
    ) -> Result<Vec<LeftOut>, WarehouseError>;

    /// Forgets a staged relation.
    fn unstage(&mut self, name: &str) -> Result<(), WarehouseError>;

    /// Appends batches to a table whose columns have the batches' names, in order.
    fn append(&mut self, schema: &str, table: &str, batches: &[RecordBatch]) -> Result<u64, WarehouseError>;

    /// Writes the answer of a query to a Parquet file, with one pair of key-value metadata for each entry.
    fn export_parquet(
        &mut self,
        sql: &str,
        file: &std::path::Path,
        metadata: &[(String, String)],
    ) -> Result<u64, WarehouseError>;

    /// Told after a commit: what the engine needs now and then (a checkpoint after definitions changed).
    fn settle(&mut self, definitions_changed: bool) -> Result<(), WarehouseError>;

    /// A handle by which another thread can stop the running statement.
    fn interrupter(&self) -> Arc<dyn Interrupt>;
}

fn no_savepoints(name: &str) -> WarehouseError {
    WarehouseError::new(
        WarehouseErrorKind::Statement,
        format!("savepoint `{name}`: the warehouse has no savepoints, which its capabilities say"),
    )
}

/// Stops the running statement of a connection, from another thread.
pub trait Interrupt: Send + Sync {
    /// The statement fails with [`WarehouseErrorKind::Interrupted`].
    fn interrupt(&self);
}

/// A parameter of a statement. Values are bound, never written into the SQL.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// NULL
    Null,
    /// A truth value.
    Boolean(bool),
    /// A 64-bit integer.
    BigInt(i64),
    /// A floating-point number.
    Double(f64),
    /// A text.
    Text(String),
    /// Microseconds since 1970-01-01 UTC.
    Timestamp(i64),
}

/// The answer of a query.
#[derive(Debug, Clone)]
pub struct Rows {
    /// The columns.
    pub schema: SchemaRef,
    /// The rows.
    pub batches: Vec<RecordBatch>,
}

impl Rows {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A column of a query, as the engine sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedColumn {
    /// Its name.
    pub name: String,
    /// Its type in the engine's own words.
    pub engine_type: String,
}

/// A view to be defined, or dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewDefinition {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub view: String,
    /// Its query; `None` where it is to be dropped, if it is there.
    pub sql: Option<String>,
}

/// An index that stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandingIndex {
    /// Its name.
    pub name: String,
    /// The table it is of.
    pub table: String,
    /// Whether whole texts are in it, which may be too long for it one day.
    pub holds_texts: bool,
    /// Whether it refuses rows that are alike in its columns.
    pub unique: bool,
}

/// A partition that stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandingPartition {
    /// Its name.
    pub name: String,
    /// The table it is a part of.
    pub table: String,
}

/// A column of a staged relation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedColumn {
    /// Its name, in the files and in the relation.
    pub name: String,
    /// Its type in the relation.
    pub column_type: ColumnType,
    /// Indexes of the files that have it.
    pub in_files: Vec<usize>,
}

/// A record that was not staged, because it holds what the warehouse cannot: a NUL character in a text, for instance.
#[derive(Debug, Clone)]
pub struct LeftOut {
    /// Its [`FILE_COLUMN`].
    pub file: i32,
    /// Its [`RECORD_COLUMN`].
    pub record: i64,
    /// Which value, and why.
    pub reason: String,
    /// The record: one row with the columns that were to be staged.
    pub row: RecordBatch,
}

/// Something went wrong in the warehouse: what failed, on which object, what to do.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct WarehouseError {
    /// What kind of trouble.
    pub kind: WarehouseErrorKind,
    /// What failed, on which object, and what to do.
    pub message: String,
    /// The statement, where there was one. Holds no values that were bound.
    pub statement: Option<Box<str>>,
    /// Byte offset into the statement, where the engine knows the place.
    pub position: Option<usize>,
}

impl WarehouseError {
    /// An error of a kind.
    pub fn new(kind: WarehouseErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), statement: None, position: None }
    }
}

/// Kinds of trouble in a warehouse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WarehouseErrorKind {
    /// Another run holds the project and target.
    Busy,
    /// Another program holds the warehouse.
    Locked,
    /// The statement is wrong or failed on its data.
    Statement,
    /// A statement failed before, and the transaction was not rolled back yet.
    DeadTransaction,
    /// The lease was taken over by another run.
    Fenced,
    /// Somebody else worked on the same tables (a deadlock, a lock that was waited for too long, a serialisation failure): nothing is
    /// wrong, and the transaction may be done again as a whole.
    Conflict,
    /// A limit of the engine was passed. Where a statement writes rows or makes an index, that is most likely a text longer than an entry of
    /// the index can be, and the index has to be another.
    LimitExceeded,
    /// Two rows would have the same values where an index allows that once.
    Duplicate,
    /// There is no such function or operator for values of these types.
    Undefined,
    /// The connection is lost, and the transaction with it: nothing of it happened.
    Lost,
    /// Nobody knows whether the commit happened: read the ledger.
    CommitUnknown,
    /// The running statement was stopped.
    Interrupted,
    /// The warehouse was written by a newer version, or is no warehouse.
    Incompatible,
    /// The engine stopped for good by an error inside it, and the transaction with it: nothing of it happened. Another connection has
    /// another engine.
    Stopped,
    /// The disk is full or the file cannot be read or written.
    Storage,
}

impl WarehouseErrorKind {
    /// Whether a statement, or the data it met, is at fault.
    pub fn is_of_statement(self) -> bool {
        matches!(self, Self::Statement | Self::LimitExceeded | Self::Duplicate | Self::Undefined)
    }
}
