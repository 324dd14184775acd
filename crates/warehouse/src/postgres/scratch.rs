//! Trying statements out: in a transaction that never ends well, each in a savepoint, so that one that fails is forgotten.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::record_batch::RecordBatch;

use super::transaction::PostgresConnection;
use crate::contract::{
    Connection, DescribedColumn, Interrupt, LeftOut, Rows, StagedColumn, Value, WarehouseError, WarehouseErrorKind,
};

const SAVEPOINT: &str = "thalweg_trial";

/// A connection whose work is undone when it is dropped.
pub(super) struct Trial(PostgresConnection);

impl Trial {
    pub(super) fn new(mut connection: PostgresConnection) -> Result<Self, WarehouseError> {
        connection.begin()?;
        Ok(Self(connection))
    }

    fn tried<T>(
        &mut self,
        run: impl FnOnce(&mut PostgresConnection) -> Result<T, WarehouseError>,
    ) -> Result<T, WarehouseError> {
        self.0.savepoint(SAVEPOINT)?;
        let outcome = run(&mut self.0);
        if outcome.is_err() {
            self.0.rollback_to(SAVEPOINT)?;
        }
        self.0.release(SAVEPOINT)?;
        outcome
    }
}

fn refused() -> WarehouseError {
    WarehouseError::new(WarehouseErrorKind::Statement, "nothing is kept of what is tried out")
}

impl Connection for Trial {
    fn begin(&mut self) -> Result<(), WarehouseError> {
        Err(refused())
    }

    fn commit(&mut self) -> Result<(), WarehouseError> {
        Err(refused())
    }

    fn rollback(&mut self) -> Result<(), WarehouseError> {
        Err(refused())
    }

    fn execute(&mut self, sql: &str, parameters: &[Value]) -> Result<u64, WarehouseError> {
        self.tried(|connection| connection.execute(sql, parameters))
    }

    fn query(&mut self, sql: &str, parameters: &[Value]) -> Result<Rows, WarehouseError> {
        self.tried(|connection| connection.query(sql, parameters))
    }

    fn read(
        &mut self,
        sql: &str,
        take: &mut dyn FnMut(&RecordBatch) -> Result<(), WarehouseError>,
    ) -> Result<(), WarehouseError> {
        self.tried(|connection| connection.read(sql, take))
    }

    fn describe(&mut self, sql: &str) -> Result<Vec<DescribedColumn>, WarehouseError> {
        self.tried(|connection| connection.describe(sql))
    }

    fn has_table(&mut self, schema: &str, table: &str) -> Result<bool, WarehouseError> {
        self.0.has_table(schema, table)
    }

    fn define_view(&mut self, schema: &str, view: &str, sql: &str) -> Result<(), WarehouseError> {
        self.tried(|connection| connection.define_view(schema, view, sql))
    }

    fn stage(
        &mut self,
        name: &str,
        files: &[PathBuf],
        columns: &[StagedColumn],
    ) -> Result<Vec<LeftOut>, WarehouseError> {
        self.tried(|connection| connection.stage(name, files, columns))
    }

    fn unstage(&mut self, name: &str) -> Result<(), WarehouseError> {
        self.tried(|connection| connection.unstage(name))
    }

    fn append(&mut self, schema: &str, table: &str, batches: &[RecordBatch]) -> Result<u64, WarehouseError> {
        self.tried(|connection| connection.append(schema, table, batches))
    }

    fn export_parquet(&mut self, sql: &str, file: &Path, metadata: &[(String, String)]) -> Result<u64, WarehouseError> {
        self.tried(|connection| connection.export_parquet(sql, file, metadata))
    }

    fn settle(&mut self, _: bool) -> Result<(), WarehouseError> {
        Ok(())
    }

    fn interrupter(&self) -> Arc<dyn Interrupt> {
        self.0.interrupter()
    }
}
