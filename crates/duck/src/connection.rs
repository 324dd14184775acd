//! Running statements.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use duckdb::params_from_iter;

use crate::engine::Handle;
use crate::error::{EngineError, ErrorKind};
use crate::statement::second_statement;
use crate::value::Value;

/// One connection, used by one thread at a time.
///
/// An error inside a transaction kills it. DuckDB itself is not to be trusted there: after a SELECT that failed it answers a later
/// COMMIT with success and throws everything away. So the connection remembers the death, and until [`Connection::rollback`]
/// every call fails with [`ErrorKind::DeadTransaction`].
pub struct Connection {
    // Declared before the handle: the connection must be gone before the last handle closes the database.
    inner: duckdb::Connection,
    transaction: Transaction,
    read_only: bool,
    _handle: Arc<Handle>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("transaction", &self.transaction).finish_non_exhaustive()
    }
}

/// DuckDB keeps these in its ICU extension, which is not part of this program. Here the present is UTC, and is that of the
/// transaction, as `now()` is.
const PRESENT: &str = "\
    create temp macro \"current_date\"() as cast(cast(now() as timestamp) as date);
    create temp macro today() as cast(cast(now() as timestamp) as date);
    create temp macro current_localtimestamp() as cast(now() as timestamp);
    create temp macro current_localtime() as cast(cast(now() as timestamp) as time);
    create temp macro get_current_time() as cast(cast(now() as timestamp) as time);";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transaction {
    None,
    Alive,
    Dead,
}

/// The answer of a query.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The columns.
    pub schema: SchemaRef,
    /// The rows, in batches of at most 2,048.
    pub batches: Vec<RecordBatch>,
}

/// A column of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type as DuckDB writes it: `DECIMAL(18,3)`. A bare `NULL` has the type `"NULL"`, with the quotes.
    pub type_name: String,
}

/// Stops the statement that runs on a connection, from any thread. Does nothing when none runs, or the connection is gone.
#[derive(Clone)]
pub struct Interrupter(Arc<duckdb::InterruptHandle>);

impl Interrupter {
    /// The statement fails with [`ErrorKind::Interrupted`].
    pub fn interrupt(&self) {
        self.0.interrupt();
    }
}

impl fmt::Debug for Interrupter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Interrupter")
    }
}

impl Connection {
    pub(crate) fn new(inner: duckdb::Connection, handle: Arc<Handle>, read_only: bool) -> Result<Self, EngineError> {
        inner.execute_batch(PRESENT)?;
        Ok(Self { inner, transaction: Transaction::None, read_only, _handle: handle })
    }

    /// Begins a transaction.
    pub fn begin(&mut self) -> Result<(), EngineError> {
        match self.transaction {
            Transaction::None => {}
            Transaction::Alive => return Err(EngineError::new(ErrorKind::Statement, "a transaction is already open")),
            Transaction::Dead => return Err(dead()),
        }
        self.inner.execute_batch(if self.read_only { "begin transaction read only" } else { "begin transaction" })?;
        self.transaction = Transaction::Alive;
        Ok(())
    }

    /// Commits it. After an error nothing was committed, except with [`ErrorKind::Fatal`], where nobody knows.
    pub fn commit(&mut self) -> Result<(), EngineError> {
        match self.transaction {
            Transaction::Alive => {}
            Transaction::None => {
                return Err(EngineError::new(ErrorKind::Statement, "there is no transaction to commit"));
            }
            Transaction::Dead => return Err(dead()),
        }
        let outcome = self.inner.execute_batch("commit");
        // A COMMIT that fails ends the transaction, too.
        self.transaction = Transaction::None;
        Ok(outcome?)
    }

    /// Undoes it. Does nothing outside a transaction.
    pub fn rollback(&mut self) -> Result<(), EngineError> {
        let before = std::mem::replace(&mut self.transaction, Transaction::None);
        match (before, self.inner.execute_batch("rollback")) {
            // DuckDB has thrown a dead transaction away by itself in some cases, and does not know it any more.
            (Transaction::None | Transaction::Dead, Err(_)) | (_, Ok(())) => Ok(()),
            (Transaction::Alive, Err(error)) => Err(error.into()),
        }
    }

    /// Whether a transaction is open, dead or alive.
    pub fn in_transaction(&self) -> bool {
        self.transaction != Transaction::None
    }

    /// Runs one statement; the number of rows it changed.
    pub fn execute(&mut self, sql: &str, parameters: &[Value<'_>]) -> Result<u64, EngineError> {
        self.guarded(sql, |inner| {
            let mut statement = inner.prepare(sql)?;
            Ok(statement.execute(params_from_iter(parameters))? as u64)
        })
    }

    /// Runs one query and reads its answer.
    pub fn query(&mut self, sql: &str, parameters: &[Value<'_>]) -> Result<Answer, EngineError> {
        self.guarded(sql, |inner| {
            let mut statement = inner.prepare(sql)?;
            let stream = statement.stream_arrow(params_from_iter(parameters))?;
            let schema = stream.get_schema();
            let batches = stream.collect::<Result<Vec<_>, _>>()?;
            Ok(Answer { schema, batches })
        })
    }

    /// Runs one query and hands its answer over batch by batch, which an error of `take` ends. In between, nothing else can be run.
    pub fn read<E>(
        &mut self,
        sql: &str,
        take: &mut dyn FnMut(&RecordBatch) -> Result<(), E>,
    ) -> Result<Result<(), E>, EngineError> {
        self.guarded(sql, |inner| {
            let mut statement = inner.prepare(sql)?;
            for batch in statement.stream_arrow([])? {
                if let Err(error) = take(&batch?) {
                    return Ok(Err(error));
                }
            }
            Ok(Ok(()))
        })
    }

    /// The columns a query would have, without running it. Errors have their position in `sql`.
    pub fn describe(&mut self, sql: &str) -> Result<Vec<Column>, EngineError> {
        const PREFIX: &str = "describe ";
        let described = format!("{PREFIX}{sql}");
        let answer = self.query(&described, &[]).map_err(|mut error| {
            error.position = error.position.map(|position| position.saturating_sub(PREFIX.len()));
            error
        })?;
        let mut columns = Vec::new();
        for batch in &answer.batches {
            let texts = |index: usize| batch.column(index).as_any().downcast_ref::<arrow::array::StringArray>();
            let (Some(names), Some(types)) = (texts(0), texts(1)) else {
                return Err(EngineError::new(
                    ErrorKind::Statement,
                    "DESCRIBE answered with other columns than expected",
                ));
            };
            columns.extend(names.iter().zip(types).map(|(name, type_name)| Column {
                name: name.unwrap_or_default().to_owned(),
                type_name: type_name.unwrap_or_default().to_owned(),
            }));
        }
        Ok(columns)
    }

    /// Whether a table or view exists. Never kills a transaction.
    pub fn has_table(&mut self, schema: &str, table: &str) -> Result<bool, EngineError> {
        if self.transaction == Transaction::None {
            // The catalog's own tables cost 15 ms at their first use, a statement that fails costs nothing but the transaction.
            let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
            return match self.query(&format!("select 1 from {}.{} limit 0", quoted(schema), quoted(table)), &[]) {
                Ok(_) => Ok(true),
                Err(error) if error.kind == ErrorKind::Missing => Ok(false),
                Err(error) => Err(error),
            };
        }
        let sql = "select 1 from duckdb_tables() where database_name = current_database() and schema_name = ? and table_name = ? \
                   union all \
                   select 1 from duckdb_views() where database_name = current_database() and schema_name = ? and view_name = ?";
        let (schema, table) = (Value::Text(schema), Value::Text(table));
        let answer = self.query(sql, &[schema, table, schema, table])?;
        Ok(answer.batches.iter().any(|batch| batch.num_rows() > 0))
    }

    /// Appends batches to a table; their columns are the table's, by position. All of them or none. The schema `temp` means
    /// the temporary tables of this connection.
    pub fn append(&mut self, schema: &str, table: &str, batches: &[RecordBatch]) -> Result<u64, EngineError> {
        let own = self.transaction == Transaction::None;
        if own {
            self.begin()?;
        }
        let outcome = self.guarded("", |inner| {
            let mut appender = match schema {
                "temp" => inner.appender_to_catalog_and_db(table, "temp", "main")?,
                _ => inner.appender_to_db(table, schema)?,
            };
            for batch in batches {
                appender.append_record_batch(batch.clone())?;
            }
            appender.flush()
        });
        match (outcome, own) {
            (Ok(()), true) => self.commit()?,
            (Ok(()), false) => {}
            (Err(error), own) => {
                if own {
                    self.rollback()?;
                }
                return Err(error);
            }
        }
        Ok(batches.iter().map(|batch| batch.num_rows() as u64).sum())
    }

    /// A handle by which another thread can stop the running statement.
    pub fn interrupter(&self) -> Interrupter {
        Interrupter(self.inner.interrupt_handle())
    }

    /// Runs something under the rules of the transaction.
    fn guarded<T>(
        &mut self,
        sql: &str,
        run: impl FnOnce(&duckdb::Connection) -> duckdb::Result<T>,
    ) -> Result<T, EngineError> {
        if self.transaction == Transaction::Dead {
            return Err(dead());
        }
        let outcome = match refuse(sql) {
            Some(error) => Err(error),
            None if self.read_only && self.transaction == Transaction::None => self.read_only(run),
            None => run(&self.inner).map_err(EngineError::from),
        };
        if outcome.is_err() && self.transaction == Transaction::Alive {
            self.transaction = Transaction::Dead;
        }
        outcome
    }

    /// A statement of its own on a connection that may only read, while others of this process write.
    fn read_only<T>(&self, run: impl FnOnce(&duckdb::Connection) -> duckdb::Result<T>) -> Result<T, EngineError> {
        self.inner.execute_batch("begin transaction read only")?;
        match run(&self.inner) {
            Ok(value) => {
                self.inner.execute_batch("commit")?;
                Ok(value)
            }
            Err(error) => {
                // The first error is the one to tell; a rollback of a transaction that died may fail.
                let _ = self.inner.execute_batch("rollback");
                Err(error.into())
            }
        }
    }
}

fn dead() -> EngineError {
    EngineError::new(
        ErrorKind::DeadTransaction,
        "a statement of this transaction failed, so nothing of it can be committed: roll it back",
    )
}

/// Statements this door does not let through: several at once, and transactions behind the connection's back.
fn refuse(sql: &str) -> Option<EngineError> {
    if let Some(position) = second_statement(sql) {
        let mut error = EngineError::new(ErrorKind::Statement, "more than one statement: give one at a time");
        error.position = Some(position);
        return Some(error);
    }
    let word: String =
        sql.trim_start().chars().take_while(char::is_ascii_alphabetic).collect::<String>().to_ascii_lowercase();
    matches!(word.as_str(), "begin" | "start" | "commit" | "end" | "rollback" | "abort").then(|| {
        EngineError::new(
            ErrorKind::Statement,
            format!("`{word}` is no statement for a query: transactions are begun and ended by the program"),
        )
    })
}
