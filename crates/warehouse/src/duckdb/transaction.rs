//! One connection: statements and transactions.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use arrow::record_batch::RecordBatch;
use fail::fail_point;
use thalweg_duck::ErrorKind;

use super::error::of_statement;
use super::{export, stage};
use crate::contract::{
    Connection, DescribedColumn, Interrupt, LeftOut, Rows, StagedColumn, Value, WarehouseError, WarehouseErrorKind,
};

/// A connection to the DuckDB file. The file is closed when the last one is dropped.
#[derive(Debug)]
pub(super) struct DuckDbConnection {
    inner: thalweg_duck::Connection,
    display: String,
    /// The engine stopped, as a test asked for.
    stopped: bool,
}

impl DuckDbConnection {
    pub(super) fn new(inner: thalweg_duck::Connection, display: String) -> Self {
        Self { inner, display, stopped: false }
    }

    /// Does as an engine does that stops for good, once a statement with a certain text in it comes by.
    fn check_stopped(&mut self, sql: &str) -> Result<(), WarehouseError> {
        let wanted = fail::eval("warehouse::stopped", |text| text).flatten();
        self.stopped |= wanted.is_some_and(|text| sql.contains(&text));
        let message = "failpoint warehouse::stopped";
        if self.stopped { Err(WarehouseError::new(WarehouseErrorKind::Stopped, message)) } else { Ok(()) }
    }
}

impl Connection for DuckDbConnection {
    fn begin(&mut self) -> Result<(), WarehouseError> {
        self.check_stopped("begin")?;
        self.inner.begin().map_err(|error| of_statement(error, None))
    }

    fn commit(&mut self) -> Result<(), WarehouseError> {
        fail_point!("warehouse::before-commit", |_| Err(WarehouseError::new(
            WarehouseErrorKind::Storage,
            "failpoint warehouse::before-commit"
        )));
        let begun = Instant::now();
        let committed = self.inner.commit();
        told(begun, "commit");
        committed.map_err(|error| {
            if error.kind == ErrorKind::Fatal {
                // DuckDB writes its log first and may then fail to tidy it up: the data may well be there.
                return WarehouseError::new(
                    WarehouseErrorKind::CommitUnknown,
                    format!(
                        "`{}` failed while committing, and may or may not have done it: run again ({})",
                        self.display, error.message
                    ),
                );
            }
            of_statement(error, None)
        })?;
        fail_point!("warehouse::after-commit", |_| Err(WarehouseError::new(
            WarehouseErrorKind::CommitUnknown,
            "failpoint warehouse::after-commit"
        )));
        Ok(())
    }

    fn rollback(&mut self) -> Result<(), WarehouseError> {
        self.check_stopped("rollback")?;
        self.inner.rollback().map_err(|error| of_statement(error, None))
    }

    fn execute(&mut self, sql: &str, parameters: &[Value]) -> Result<u64, WarehouseError> {
        fail_point!("warehouse::statement");
        self.check_stopped(sql)?;
        let begun = Instant::now();
        let changed = self.inner.execute(sql, &bind(parameters)).map_err(|error| of_statement(error, Some(sql)));
        told(begun, sql);
        changed
    }

    fn query(&mut self, sql: &str, parameters: &[Value]) -> Result<Rows, WarehouseError> {
        self.check_stopped(sql)?;
        let begun = Instant::now();
        let answer = self.inner.query(sql, &bind(parameters)).map_err(|error| of_statement(error, Some(sql)))?;
        told(begun, sql);
        Ok(Rows { schema: answer.schema, batches: answer.batches })
    }

    fn read(
        &mut self,
        sql: &str,
        take: &mut dyn FnMut(&RecordBatch) -> Result<(), WarehouseError>,
    ) -> Result<(), WarehouseError> {
        self.inner.read(sql, take).map_err(|error| of_statement(error, Some(sql)))?
    }

    fn describe(&mut self, sql: &str) -> Result<Vec<DescribedColumn>, WarehouseError> {
        let begun = Instant::now();
        let columns = self.inner.describe(sql).map_err(|error| of_statement(error, Some(sql)))?;
        told(begun, sql);
        Ok(columns
            .into_iter()
            .map(|column| DescribedColumn { name: column.name, engine_type: column.type_name })
            .collect())
    }

    fn has_table(&mut self, schema: &str, table: &str) -> Result<bool, WarehouseError> {
        let begun = Instant::now();
        let found = self.inner.has_table(schema, table).map_err(|error| of_statement(error, None));
        told(begun, table);
        found
    }

    fn define_view(&mut self, schema: &str, view: &str, sql: &str) -> Result<(), WarehouseError> {
        let name = format!("{}.{}", stage::quote(schema)?, stage::quote(view)?);
        self.execute(&format!("create or replace view {name} as {sql}"), &[]).map(drop)
    }

    fn stage(
        &mut self,
        name: &str,
        files: &[PathBuf],
        columns: &[StagedColumn],
    ) -> Result<Vec<LeftOut>, WarehouseError> {
        stage::stage(&mut self.inner, name, files, columns)?;
        Ok(Vec::new())
    }

    fn unstage(&mut self, name: &str) -> Result<(), WarehouseError> {
        stage::unstage(&mut self.inner, name)
    }

    fn append(&mut self, schema: &str, table: &str, batches: &[RecordBatch]) -> Result<u64, WarehouseError> {
        fail_point!("warehouse::append");
        let begun = Instant::now();
        let appended = self.inner.append(schema, table, batches);
        told(begun, table);
        appended.map_err(|error| {
            let mut error = of_statement(error, None);
            error.message = format!("cannot append to {schema}.{table}: {}", error.message);
            error
        })
    }

    fn export_parquet(&mut self, sql: &str, file: &Path, metadata: &[(String, String)]) -> Result<u64, WarehouseError> {
        export::export_parquet(&mut self.inner, sql, file, metadata)
    }

    fn settle(&mut self, definitions_changed: bool) -> Result<(), WarehouseError> {
        fail_point!("warehouse::before-settle", |_| Err(WarehouseError::new(
            WarehouseErrorKind::Storage,
            "failpoint warehouse::before-settle"
        )));
        if !definitions_changed {
            // DuckDB checkpoints by itself: when its log grows, and when the file is closed.
            return Ok(());
        }
        match self.inner.execute("checkpoint", &[]) {
            Ok(_) => Ok(()),
            // Somebody else in this process is reading, or the run was asked to stop: the next one will do it.
            Err(error) if matches!(error.kind, ErrorKind::Statement | ErrorKind::Interrupted) => {
                tracing::debug!(error = %error, "no checkpoint this time");
                Ok(())
            }
            Err(error) => Err(of_statement(error, None)),
        }
    }

    fn interrupter(&self) -> Arc<dyn Interrupt> {
        Arc::new(DuckDbInterrupt(self.inner.interrupter()))
    }
}

/// Leaves in the log how long something took.
fn told(begun: Instant, sql: &str) {
    tracing::trace!(milliseconds = begun.elapsed().as_secs_f64() * 1e3, sql);
}

struct DuckDbInterrupt(thalweg_duck::Interrupter);

impl Interrupt for DuckDbInterrupt {
    fn interrupt(&self) {
        self.0.interrupt();
    }
}

fn bind(parameters: &[Value]) -> Vec<thalweg_duck::Value<'_>> {
    parameters
        .iter()
        .map(|value| match value {
            Value::Null => thalweg_duck::Value::Null,
            Value::Boolean(value) => thalweg_duck::Value::Boolean(*value),
            Value::BigInt(value) => thalweg_duck::Value::BigInt(*value),
            Value::Double(value) => thalweg_duck::Value::Double(*value),
            Value::Text(value) => thalweg_duck::Value::Text(value),
            Value::Timestamp(value) => thalweg_duck::Value::Timestamp(*value),
        })
        .collect()
}
