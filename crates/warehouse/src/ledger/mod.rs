//! The ledger: what must agree with the data, and therefore lies beside it, in schema `thalweg`.
//!
//! Every row carries its project, so that several projects share a database. The tables are declared in [`rows`], one struct a
//! table; writing goes by Arrow append, reading by column position, so that both are fast and there is one place to change.
//!
//! Invariants:
//! * Writers work inside the caller's transaction and never end it.
//! * `thalweg.meta` is created last: where it stands, the other tables stand.
//! * A newer format than [`FORMAT`] is refused before anything else is read.

mod cell;
mod change_log;
mod clock;
mod extract;
mod position;
mod refresh;
mod reject;
pub mod rows;
mod run;
mod state;
mod step;
mod table;

use arrow::array::{Array, Int64Array};
use thalweg_project::ColumnType;
use thalweg_sql::Dialect;

pub use reject::{RejectFilter, RejectSource, RejectWithFile};
pub use rows::*;
pub use run::RunDetail;
pub use state::LedgerState;

use crate::contract::{Connection, Rows, Value, WarehouseError, WarehouseErrorKind};
use cell::Record;

/// Schema of the ledger.
pub const LEDGER_SCHEMA: &str = "thalweg";
/// Schema of the physical tables behind the published views.
pub const DATA_SCHEMA: &str = "thalweg_data";
/// Version of the ledger's tables that this program writes. A higher one is refused.
pub const FORMAT: i64 = 4;

/// What this program says of itself.
const WRITTEN_BY: &str = concat!("thalweg ", env!("CARGO_PKG_VERSION"));

/// The ledger of one project in one warehouse.
#[derive(Debug, Clone)]
pub struct Ledger {
    project: String,
    dialect: &'static dyn Dialect,
}

impl Ledger {
    /// The ledger of a project, in the words of a warehouse's dialect.
    pub fn new(project: impl Into<String>, dialect: &'static dyn Dialect) -> Self {
        Self { project: project.into(), dialect }
    }

    /// The project.
    pub fn project(&self) -> &str {
        &self.project
    }

    /// Whether a ledger stands in the warehouse, for whatever project. Errors with [`WarehouseErrorKind::Incompatible`] when a
    /// newer version of the program wrote it.
    pub fn is_prepared(&self, connection: &mut dyn Connection) -> Result<bool, WarehouseError> {
        Ok(self.format(connection)?.is_some())
    }

    /// The version of the tables that stand in the warehouse.
    fn format(&self, connection: &mut dyn Connection) -> Result<Option<i64>, WarehouseError> {
        if !connection.has_table(LEDGER_SCHEMA, "meta")? {
            return Ok(None);
        }
        let rows = connection.query(&format!("select max(format) from {LEDGER_SCHEMA}.meta"), &[])?;
        let format = one_number(&rows)?.unwrap_or(0);
        if format > FORMAT {
            return Err(WarehouseError::new(
                WarehouseErrorKind::Incompatible,
                format!(
                    "the warehouse was written by a newer version of Thalweg (ledger format {format}, this one knows {FORMAT}): \
                     use the newer version"
                ),
            ));
        }
        Ok(Some(format))
    }

    /// Creates the schemas and tables where they do not stand yet, in a transaction of its own. Whether it had to.
    pub fn prepare(&self, connection: &mut dyn Connection) -> Result<bool, WarehouseError> {
        let format = self.format(connection)?;
        if format == Some(FORMAT) {
            return Ok(false);
        }
        connection.begin()?;
        let created = match format {
            None => self.create(connection),
            Some(_) => self.extend(connection),
        };
        if let Err(error) = created {
            connection.rollback()?;
            return Err(error);
        }
        connection.commit()?;
        Ok(true)
    }

    fn create(&self, connection: &mut dyn Connection) -> Result<(), WarehouseError> {
        for schema in [LEDGER_SCHEMA, DATA_SCHEMA] {
            connection.create_schema(schema)?;
        }
        self.create_tables(connection)?;
        let (number, text) = (self.dialect.type_name(&ColumnType::BigInt), self.dialect.type_name(&ColumnType::Text));
        connection.execute(
            &format!("create table {LEDGER_SCHEMA}.meta (format {number} not null, written_by {text} not null)"),
            &[],
        )?;
        let version = Value::Text(WRITTEN_BY.to_owned());
        connection
            .execute(&format!("insert into {LEDGER_SCHEMA}.meta values (?, ?)"), &[Value::BigInt(FORMAT), version])?;
        Ok(())
    }

    /// Brings the tables of an older version to this one, which so far only ever added tables.
    fn extend(&self, connection: &mut dyn Connection) -> Result<(), WarehouseError> {
        self.create_tables(connection)?;
        let parameters = [Value::BigInt(FORMAT), Value::Text(WRITTEN_BY.to_owned())];
        connection.execute(&format!("update {LEDGER_SCHEMA}.meta set format = ?, written_by = ?"), &parameters)?;
        Ok(())
    }

    fn create_tables(&self, connection: &mut dyn Connection) -> Result<(), WarehouseError> {
        for statement in self.dialect.preparations() {
            connection.execute(&statement, &[])?;
        }
        for (table, columns) in rows::tables() {
            let mut definitions = vec![format!("project {} not null", self.dialect.type_name(&ColumnType::Text))];
            for column in columns {
                let null = if column.nullable { "" } else { " not null" };
                definitions.push(format!(
                    "{} {}{null}",
                    self.quoted(column.name)?,
                    self.dialect.type_name(&column.column_type)
                ));
            }
            connection.execute(
                &format!("create table if not exists {LEDGER_SCHEMA}.{table} ({})", definitions.join(", ")),
                &[],
            )?;
        }
        Ok(())
    }

    fn quoted(&self, name: &str) -> Result<String, WarehouseError> {
        self.dialect
            .quote_identifier(name)
            .map_err(|error| WarehouseError::new(WarehouseErrorKind::Statement, error.to_string()))
    }

    fn project_value(&self) -> Value {
        Value::Text(self.project.clone())
    }

    /// Appends rows to their table.
    fn append<R: Record>(&self, connection: &mut dyn Connection, rows: &[R]) -> Result<(), WarehouseError> {
        if rows.is_empty() {
            return Ok(());
        }
        let batch = cell::batch(&self.project, rows).map_err(|error| {
            WarehouseError::new(
                WarehouseErrorKind::Statement,
                format!("cannot write to {LEDGER_SCHEMA}.{}: {error}", R::TABLE),
            )
        })?;
        connection.append(LEDGER_SCHEMA, R::TABLE, &[batch])?;
        Ok(())
    }

    /// Reads rows of this project. `rest` follows `where project = ?`, with parameters of its own.
    fn select<R: Record>(
        &self,
        connection: &mut dyn Connection,
        rest: &str,
        parameters: &[Value],
    ) -> Result<Vec<R>, WarehouseError> {
        let names = R::columns().iter().map(|column| self.quoted(column.name)).collect::<Result<Vec<_>, _>>()?;
        let sql = format!("select {} from {LEDGER_SCHEMA}.{} where project = ? {rest}", names.join(", "), R::TABLE);
        let rows = connection.query(&sql, &self.with_project(parameters))?;
        cell::records(&rows)
    }

    fn with_project(&self, parameters: &[Value]) -> Vec<Value> {
        std::iter::once(self.project_value()).chain(parameters.iter().cloned()).collect()
    }
}

/// The number in the only row of an answer, `None` for NULL.
fn one_number(rows: &Rows) -> Result<Option<i64>, WarehouseError> {
    number_in(rows, 0)
}

/// The number in a column of the only row of an answer, `None` for NULL.
fn number_in(rows: &Rows, column: usize) -> Result<Option<i64>, WarehouseError> {
    let column = rows.batches.iter().find(|batch| batch.num_rows() > 0).map(|batch| batch.column(column));
    match column {
        None => Ok(None),
        Some(column) => match column.as_any().downcast_ref::<Int64Array>() {
            Some(numbers) => Ok(numbers.is_valid(0).then(|| numbers.value(0))),
            None => Err(WarehouseError::new(
                WarehouseErrorKind::Incompatible,
                format!("the ledger holds a {} where a bigint ought to be", column.data_type()),
            )),
        },
    }
}
