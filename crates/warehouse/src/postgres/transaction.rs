//! One connection: statements and transactions.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use arrow::record_batch::RecordBatch;
use fail::fail_point;
use thalweg_postgres::{Canceller, Encoder, Parameter, PostgresError, RowCutter, RowEncoder, Session, Unstorable};

use super::error::of_statement;
use super::marks::{Translated, first_word};
use super::rows::Layout;
use super::{export, stage, view};
use crate::contract::{
    Access, Connection, DescribedColumn, Interrupt, LeftOut, Rows, StagedColumn, StandingIndex, StandingPartition,
    Value, ViewDefinition, WarehouseError, WarehouseErrorKind,
};

/// Rows and bytes of a batch of [`Connection::read`] at most.
const BATCH_ROWS: usize = 16_384;
const BATCH_BYTES: usize = 4 << 20;

/// Bytes that are sent at once.
pub(super) const SENT_BYTES: usize = 1 << 20;

/// The schema by which callers name the temporary tables of the connection.
const TEMPORARY: &str = "temp";

/// Words with which no statement of ours begins: transactions have methods of their own, and settings of the session are not for models.
const REFUSED: [&str; 22] = [
    "begin",
    "start",
    "commit",
    "end",
    "rollback",
    "abort",
    "savepoint",
    "release",
    "prepare",
    "execute",
    "deallocate",
    "discard",
    "set",
    "reset",
    "copy",
    "load",
    "do",
    "call",
    "listen",
    "unlisten",
    "notify",
    "checkpoint",
];

/// How it stands with the transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// There is none.
    None,
    /// It is alive.
    Open,
    /// Something in it failed.
    Dead,
    /// The connection is gone, and with it whatever was not committed.
    Lost,
}

/// A connection to Postgres.
pub(super) struct PostgresConnection {
    session: Session,
    state: State,
    access: Access,
    folders: Vec<PathBuf>,
    /// What reads landing files, once one was staged.
    reader: Option<thalweg_duck::Connection>,
}

impl PostgresConnection {
    pub(super) fn new(session: Session, access: Access, folders: Vec<PathBuf>) -> Self {
        Self { session, state: State::None, access, folders, reader: None }
    }

    /// Whether a statement may be sent.
    fn check(&self) -> Result<(), WarehouseError> {
        match self.state {
            State::None | State::Open => Ok(()),
            State::Dead => Err(WarehouseError::new(
                WarehouseErrorKind::DeadTransaction,
                "a statement of this transaction failed: it has to be rolled back",
            )),
            State::Lost => Err(WarehouseError::new(
                WarehouseErrorKind::Lost,
                format!("{}: the connection is lost; run again", self.session.place()),
            )),
        }
    }

    /// Takes note of an outcome: an error kills the transaction.
    fn noted<T>(&mut self, outcome: Result<T, WarehouseError>) -> Result<T, WarehouseError> {
        if let Err(error) = &outcome {
            self.state = match self.state {
                _ if error.kind == WarehouseErrorKind::Lost || self.session.is_closed() => State::Lost,
                State::Open => State::Dead,
                state => state,
            };
        }
        outcome
    }

    /// Runs statements of our own.
    pub(super) fn run(&mut self, sql: &str) -> Result<(), WarehouseError> {
        let outcome = self.session.run(sql).map_err(|error| of_statement(&error, None));
        self.noted(outcome)
    }

    pub(super) fn is_in_transaction(&self) -> bool {
        self.state == State::Open
    }

    pub(super) fn is_in_dead_transaction(&self) -> bool {
        self.state == State::Dead
    }

    /// The answer of a query of our own, as texts.
    pub(super) fn ask(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>, WarehouseError> {
        self.check()?;
        let outcome = self.session.ask(sql).map_err(|error| of_statement(&error, None));
        self.noted(outcome)
    }

    /// Runs one statement, translated; `read` makes what it likes of it.
    fn statement<T>(
        &mut self,
        sql: &str,
        parameters: &[Value],
        run: impl FnOnce(&mut Session, &Translated<'_>, &[Parameter<'_>]) -> Result<T, WarehouseError>,
    ) -> Result<T, WarehouseError> {
        self.check()?;
        let begun = Instant::now();
        let outcome = refuse(sql).and_then(|()| {
            let translated = Translated::new(sql, parameters.len())?;
            run(&mut self.session, &translated, &bind(parameters))
        });
        tracing::trace!(milliseconds = begun.elapsed().as_secs_f64() * 1e3, sql);
        self.noted(outcome)
    }

    /// Runs something that a reader's session may not do by itself: temporary tables are made and dropped.
    fn writing<T>(&mut self, run: impl FnOnce(&mut Self) -> Result<T, WarehouseError>) -> Result<T, WarehouseError> {
        match (self.access, self.state) {
            (Access::Write, _) => run(self),
            // At its end, a subtransaction gives back whether it was read-only.
            (Access::Read, State::Open) => {
                self.run("release savepoint thalweg_reading")?;
                let done = run(self)?;
                self.run(READ_ONLY)?;
                Ok(done)
            }
            (Access::Read, _) => {
                self.run("set default_transaction_read_only = off")?;
                let done = run(self);
                self.run("set default_transaction_read_only = on")?;
                done
            }
        }
    }

    fn send(&mut self, sql: &str, parameters: &[Value]) -> Result<u64, WarehouseError> {
        self.statement(sql, parameters, |session, translated, bound| {
            let failed = |error: PostgresError| of_statement(&error, Some(translated));
            let prepared = session.prepare(&translated.sql, bound).map_err(failed)?;
            session.execute(&prepared, bound).map_err(failed)
        })
    }

    fn savepoint_statement(&mut self, verb: &str, name: &str) -> Result<(), WarehouseError> {
        if self.state == State::None {
            return Err(no_transaction());
        }
        let sql = format!("{verb} {}", quote(name));
        self.run(&sql)
    }
}

/// Inside a transaction: what follows changes nothing, until the savepoint is released.
const READ_ONLY: &str = "savepoint thalweg_reading; set local transaction_read_only = on";

impl Connection for PostgresConnection {
    fn begin(&mut self) -> Result<(), WarehouseError> {
        self.check()?;
        if self.state == State::Open {
            let error = WarehouseError::new(WarehouseErrorKind::Statement, "a transaction is open already");
            return self.noted(Err(error));
        }
        match self.access {
            Access::Write => self.run("begin")?,
            // Every statement sees what the first one saw.
            Access::Read => self.run(&format!("begin isolation level repeatable read, read write; {READ_ONLY}"))?,
        }
        self.state = State::Open;
        Ok(())
    }

    fn commit(&mut self) -> Result<(), WarehouseError> {
        self.check()?;
        if self.state == State::None {
            return Err(no_transaction());
        }
        fail_point!("warehouse::before-commit", |_| Err(WarehouseError::new(
            WarehouseErrorKind::Storage,
            "failpoint warehouse::before-commit"
        )));
        let begun = Instant::now();
        let committed = self.run("commit");
        tracing::trace!(milliseconds = begun.elapsed().as_secs_f64() * 1e3, sql = "commit");
        committed.map_err(|mut error| {
            if error.kind == WarehouseErrorKind::Lost {
                error.kind = WarehouseErrorKind::CommitUnknown;
                error.message = format!(
                    "the connection was lost while committing, which may or may not have happened: run again ({})",
                    error.message
                );
            }
            error
        })?;
        self.state = State::None;
        fail_point!("warehouse::after-commit", |_| Err(WarehouseError::new(
            WarehouseErrorKind::CommitUnknown,
            "failpoint warehouse::after-commit"
        )));
        Ok(())
    }

    fn rollback(&mut self) -> Result<(), WarehouseError> {
        if matches!(self.state, State::Open | State::Dead) {
            let outcome = self.session.run("rollback").map_err(|error| of_statement(&error, None));
            // Where the connection is gone, so is the transaction.
            self.state = if outcome.is_ok() { State::None } else { State::Lost };
        }
        Ok(())
    }

    fn savepoint(&mut self, name: &str) -> Result<(), WarehouseError> {
        self.check()?;
        self.savepoint_statement("savepoint", name)
    }

    fn rollback_to(&mut self, name: &str) -> Result<(), WarehouseError> {
        if self.state == State::Lost {
            return self.check();
        }
        self.savepoint_statement("rollback to savepoint", name)?;
        self.state = State::Open;
        Ok(())
    }

    fn release(&mut self, name: &str) -> Result<(), WarehouseError> {
        self.check()?;
        self.savepoint_statement("release savepoint", name)
    }

    fn execute(&mut self, sql: &str, parameters: &[Value]) -> Result<u64, WarehouseError> {
        fail_point!("warehouse::statement");
        if self.access == Access::Read && is_about_temporary(sql) {
            return self.writing(|connection| connection.send(sql, parameters));
        }
        self.send(sql, parameters)
    }

    fn query(&mut self, sql: &str, parameters: &[Value]) -> Result<Rows, WarehouseError> {
        self.statement(sql, parameters, |session, translated, bound| {
            let failed = |error: PostgresError| of_statement(&error, Some(translated));
            let prepared = session.prepare(&translated.sql, bound).map_err(failed)?;
            let (prepared, layout) = match Layout::new(prepared.columns()) {
                Ok(layout) => (prepared, layout),
                Err(unreadable) => {
                    let cast = with_texts(&translated.sql, prepared.columns().len(), &unreadable);
                    let again = session.prepare(&cast, bound).map_err(failed)?;
                    let layout = layout_of_texts(&again)?.named(prepared.columns());
                    (again, layout)
                }
            };
            let answer = session.answer(&prepared, bound).map_err(failed)?;
            layout.rows(&answer)
        })
    }

    fn read(
        &mut self,
        sql: &str,
        take: &mut dyn FnMut(&RecordBatch) -> Result<(), WarehouseError>,
    ) -> Result<(), WarehouseError> {
        self.statement(sql, &[], |session, translated, _| read(session, translated, take))
    }

    fn describe(&mut self, sql: &str) -> Result<Vec<DescribedColumn>, WarehouseError> {
        self.statement(sql, &[], |session, translated, _| {
            let failed = |error: PostgresError| of_statement(&error, Some(translated));
            let prepared = session.prepare(&translated.sql, &[]).map_err(failed)?;
            let mut columns = Vec::new();
            for column in prepared.columns() {
                let engine_type = match column.value_type.name() {
                    Some(name) => name,
                    None => {
                        let (number, modifier) = (column.value_type.number(), column.value_type.modifier());
                        let asked = session.ask(&format!("select pg_catalog.format_type({number}, {modifier})"));
                        let answer = asked.map_err(failed)?;
                        answer.into_iter().flatten().flatten().next().unwrap_or_default()
                    }
                };
                columns.push(DescribedColumn { name: column.name.clone(), engine_type });
            }
            Ok(columns)
        })
    }

    fn has_table(&mut self, schema: &str, table: &str) -> Result<bool, WarehouseError> {
        let condition = match schema {
            TEMPORARY => "n.oid = pg_catalog.pg_my_temp_schema() and n.nspname <> ?",
            _ => "n.nspname = ?",
        };
        let sql = format!(
            "select 1 from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
             where {condition} and c.relname = ? and c.relkind in ('r', 'p', 'v', 'm', 'f')"
        );
        let names = [Value::Text(schema.to_owned()), Value::Text(table.to_owned())];
        Ok(!self.query(&sql, &names)?.is_empty())
    }

    fn create_schema(&mut self, schema: &str) -> Result<(), WarehouseError> {
        // The server asks for the privilege before it looks whether there is anything to do.
        let sql = "select 1 from pg_catalog.pg_namespace where nspname = ?";
        if !self.query(sql, &[Value::Text(schema.to_owned())])?.is_empty() {
            return Ok(());
        }
        self.execute(&format!("create schema if not exists {}", quote(schema)), &[]).map(drop)
    }

    fn define_view(&mut self, schema: &str, name: &str, sql: &str) -> Result<(), WarehouseError> {
        view::define_one(self, schema, name, sql)
    }

    fn define_views(&mut self, views: &[ViewDefinition]) -> Result<(), WarehouseError> {
        view::define_all(self, views)
    }

    fn try_briefly(&mut self, statements: &[String]) -> Result<bool, WarehouseError> {
        self.begin()?;
        self.run(view::SHORT_PATIENCE)?;
        for sql in statements {
            if let Err(error) = self.execute(sql, &[]) {
                self.rollback()?;
                return if error.kind == WarehouseErrorKind::Conflict { Ok(false) } else { Err(error) };
            }
        }
        self.commit()?;
        Ok(true)
    }

    fn indexes(&mut self, schema: &str) -> Result<Vec<StandingIndex>, WarehouseError> {
        let found = self.ask(&format!(
            "select c.relname, t.relname, exists (select 1 from pg_catalog.pg_attribute a join pg_catalog.pg_am m on m.oid = c.relam \
             where a.attrelid = c.oid and m.amname = 'btree' and a.atttypid in (25, 1043)), i.indisunique \
             from pg_catalog.pg_index i join pg_catalog.pg_class c on c.oid = i.indexrelid \
             join pg_catalog.pg_class t on t.oid = i.indrelid join pg_catalog.pg_namespace n on n.oid = t.relnamespace \
             where n.nspname = '{}' and not c.relispartition",
            schema.replace('\'', "''")
        ))?;
        let index = |row: Vec<Option<String>>| {
            let mut cells = row.into_iter();
            let (name, table, holds_texts) = (cells.next()??, cells.next()??, cells.next()?? == "t");
            let unique = cells.next()?? == "t";
            Some(StandingIndex { name, table, holds_texts, unique })
        };
        Ok(found.into_iter().filter_map(index).collect())
    }

    fn partitions(&mut self, schema: &str) -> Result<Vec<StandingPartition>, WarehouseError> {
        let found = self.ask(&format!(
            "select c.relname, t.relname from pg_catalog.pg_inherits i join pg_catalog.pg_class c on c.oid = i.inhrelid \
             join pg_catalog.pg_class t on t.oid = i.inhparent join pg_catalog.pg_namespace n on n.oid = t.relnamespace \
             where n.nspname = '{}' and c.relispartition and t.relkind = 'p' order by 1",
            schema.replace('\'', "''")
        ))?;
        let partition = |row: Vec<Option<String>>| {
            let mut cells = row.into_iter();
            let (name, table) = (cells.next()??, cells.next()??);
            Some(StandingPartition { name, table })
        };
        Ok(found.into_iter().filter_map(partition).collect())
    }

    fn stage(
        &mut self,
        name: &str,
        files: &[PathBuf],
        columns: &[StagedColumn],
    ) -> Result<Vec<LeftOut>, WarehouseError> {
        self.check()?;
        let begun = Instant::now();
        self.writing(|connection| {
            let outcome = stage::create(&mut connection.session, name, columns);
            connection.noted(outcome)
        })?;
        let outcome = stage::fill(&mut self.session, &mut self.reader, &self.folders, name, files, columns);
        tracing::trace!(milliseconds = begun.elapsed().as_secs_f64() * 1e3, sql = format!("stage {name}"));
        let outcome = self.noted(outcome);
        if outcome.is_err() && self.state == State::None {
            // What is half full is nobody's.
            let _ = self.unstage(name);
        }
        outcome
    }

    fn unstage(&mut self, name: &str) -> Result<(), WarehouseError> {
        self.check()?;
        self.writing(|connection| connection.run(&stage::drop_statement(name)))
    }

    fn append(&mut self, schema: &str, table: &str, batches: &[RecordBatch]) -> Result<u64, WarehouseError> {
        fail_point!("warehouse::append");
        self.check()?;
        let begun = Instant::now();
        let schema = if schema == TEMPORARY { "pg_temp" } else { schema };
        let outcome = append(&mut self.session, &format!("{}.{}", quote(schema), quote(table)), batches);
        tracing::trace!(milliseconds = begun.elapsed().as_secs_f64() * 1e3, sql = format!("append {schema}.{table}"));
        let outcome = outcome.map_err(|mut error| {
            error.message = format!("cannot append to {schema}.{table}: {}", error.message);
            error
        });
        self.noted(outcome)
    }

    fn export_parquet(&mut self, sql: &str, file: &Path, metadata: &[(String, String)]) -> Result<u64, WarehouseError> {
        self.statement(sql, &[], |session, translated, _| export::export_parquet(session, translated, file, metadata))
    }

    fn settle(&mut self, _: bool) -> Result<(), WarehouseError> {
        fail_point!("warehouse::before-settle", |_| Err(WarehouseError::new(
            WarehouseErrorKind::Storage,
            "failpoint warehouse::before-settle"
        )));
        Ok(())
    }

    fn interrupter(&self) -> Arc<dyn Interrupt> {
        Arc::new(PostgresInterrupt(self.session.canceller()))
    }
}

struct PostgresInterrupt(Canceller);

impl Interrupt for PostgresInterrupt {
    fn interrupt(&self) {
        self.0.cancel();
    }
}

fn no_transaction() -> WarehouseError {
    WarehouseError::new(WarehouseErrorKind::Statement, "no transaction is open")
}

/// Whether a statement makes, drops or looks at a temporary table of the connection, which readers may do as well. Only such have names that
/// begin so.
fn is_about_temporary(sql: &str) -> bool {
    ["create temporary table ", "create temporary view "].iter().any(|begin| sql.starts_with(begin))
        || ["drop table if exists ", "drop view if exists ", "analyze "].iter().any(|begin| {
            sql.strip_prefix(begin).is_some_and(|name| name.trim_start_matches('"').starts_with("thalweg_"))
        }) && !sql.contains('.')
}

fn refuse(sql: &str) -> Result<(), WarehouseError> {
    let word = first_word(sql);
    if !REFUSED.contains(&word.as_str()) {
        return Ok(());
    }
    let mut error = WarehouseError::new(
        WarehouseErrorKind::Statement,
        format!("`{word}` is not for statements: transactions, settings and files are the program's"),
    );
    error.statement = Some(sql.into());
    Err(error)
}

fn bind(parameters: &[Value]) -> Vec<Parameter<'_>> {
    parameters
        .iter()
        .map(|value| match value {
            Value::Null => Parameter::Null,
            Value::Boolean(value) => Parameter::Boolean(*value),
            Value::BigInt(value) => Parameter::BigInt(*value),
            Value::Double(value) => Parameter::Double(*value),
            Value::Text(value) => Parameter::Text(value),
            Value::Timestamp(value) => Parameter::Timestamp(*value),
        })
        .collect()
}

/// A name in quotes.
pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A query with some of its columns cast to text, and its rows in its order.
fn with_texts(sql: &str, columns: usize, texts: &[usize]) -> String {
    let names: Vec<String> = (1..=columns).map(|number| format!("c{number}")).collect();
    let item = |(index, name): (usize, &String)| {
        if texts.contains(&index) { format!("cast({name} as pg_catalog.text)") } else { name.clone() }
    };
    let items: Vec<String> = names.iter().enumerate().map(item).collect();
    let sql = sql.trim_end().trim_end_matches(';');
    format!("select {} from (\n{sql}\n) as answer({})", items.join(", "), names.join(", "))
}

fn layout_of_texts(prepared: &thalweg_postgres::Prepared) -> Result<Layout, WarehouseError> {
    Layout::new(prepared.columns())
        .map_err(|_| WarehouseError::new(WarehouseErrorKind::Statement, "a column cannot be read as text"))
}

/// Runs a query and hands its rows over in batches.
pub(super) fn read(
    session: &mut Session,
    translated: &Translated<'_>,
    take: &mut dyn FnMut(&RecordBatch) -> Result<(), WarehouseError>,
) -> Result<(), WarehouseError> {
    let failed = |error: PostgresError| of_statement(&error, Some(translated));
    let prepared = session.prepare(&translated.sql, &[]).map_err(failed)?;
    let (sql, layout) = match Layout::new(prepared.columns()) {
        Ok(layout) => (translated.sql.trim_end().trim_end_matches(';').to_owned(), layout),
        Err(unreadable) => {
            let cast = with_texts(&translated.sql, prepared.columns().len(), &unreadable);
            let again = session.prepare(&cast, &[]).map_err(failed)?;
            (cast, layout_of_texts(&again)?.named(prepared.columns()))
        }
    };
    let mut cutter = RowCutter::new(layout.width());
    let mut handed_over = false;
    // The line break ends a comment the query may end with.
    let copied = session.copy_out(&format!("copy (\n{sql}\n) to stdout (format binary)"), |message| {
        cutter.push(message).map_err(|malformed| End::Told(malformed_rows(malformed.0)))?;
        if cutter.rows() >= BATCH_ROWS || cutter.size() >= BATCH_BYTES {
            handed_over = true;
            take(&layout.cut(&cutter)?)?;
            cutter.clear();
        }
        Ok::<_, End>(())
    });
    if let Err(end) = copied {
        return Err(match end {
            End::Postgres(error) => failed(error),
            End::Told(error) => {
                // Nobody wants the rest.
                session.canceller().cancel();
                let _ = session.run("select 1");
                error
            }
        });
    }
    if !cutter.is_complete() {
        return Err(malformed_rows("they end in the middle"));
    }
    if cutter.rows() > 0 || !handed_over {
        take(&layout.cut(&cutter)?)?;
    }
    Ok(())
}

fn malformed_rows(why: &str) -> WarehouseError {
    WarehouseError::new(WarehouseErrorKind::Statement, format!("rows cannot be read: {why}"))
}

/// What ends a read.
enum End {
    Postgres(PostgresError),
    Told(WarehouseError),
}

impl From<PostgresError> for End {
    fn from(error: PostgresError) -> Self {
        Self::Postgres(error)
    }
}

impl From<WarehouseError> for End {
    fn from(error: WarehouseError) -> Self {
        Self::Told(error)
    }
}

fn append(session: &mut Session, table: &str, batches: &[RecordBatch]) -> Result<u64, WarehouseError> {
    let Some(first) = batches.first() else { return Ok(0) };
    let failed = |error: PostgresError| of_statement(&error, None);
    let names: Vec<String> = first.schema().fields().iter().map(|field| quote(field.name())).collect();
    let names = names.join(", ");
    let mut encoder = encoder(session, &format!("select {names} from {table}"))?;
    let mut bytes = Vec::new();
    let mut copy = session.copy_in(&format!("copy {table} ({names}) from stdin (format binary)")).map_err(failed)?;
    for batch in batches {
        encoder.write(batch, &mut bytes).map_err(|unstorable| unstorable_value(batch, &unstorable))?;
        if bytes.len() >= SENT_BYTES {
            copy.send(std::mem::take(&mut bytes)).map_err(failed)?;
        }
    }
    encoder.finish(&mut bytes);
    copy.send(bytes).map_err(failed)?;
    copy.finish().map_err(failed)
}

/// How rows of what a query selects are written.
pub(super) fn encoder(session: &mut Session, query: &str) -> Result<RowEncoder, WarehouseError> {
    let prepared = session.prepare(query, &[]).map_err(|error| of_statement(&error, None))?;
    let mut encoders = Vec::with_capacity(prepared.columns().len());
    for column in prepared.columns() {
        encoders.push(Encoder::of(&column.value_type).ok_or_else(|| {
            let engine_type = column.value_type.name().unwrap_or_else(|| "of its type".to_owned());
            WarehouseError::new(
                WarehouseErrorKind::Statement,
                format!("column `{}`: values of {engine_type} cannot be written", column.name),
            )
        })?);
    }
    Ok(RowEncoder::new(encoders))
}

fn unstorable_value(batch: &RecordBatch, unstorable: &Unstorable) -> WarehouseError {
    let schema = batch.schema();
    let name = schema.fields().get(unstorable.column).map_or("?", |field| field.name().as_str());
    let place = unstorable.row.map_or_else(String::new, |row| format!(" in row {}", row + 1));
    WarehouseError::new(WarehouseErrorKind::Statement, format!("column `{name}`{place} {}", unstorable.reason))
}
