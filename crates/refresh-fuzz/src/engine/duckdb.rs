//! DuckDB, in memory.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use thalweg_duck::{Connection, EngineError, ErrorKind, Settings};
use thalweg_sql::dialect::Dialect;
use thalweg_sql::dialect::duckdb::DuckDb;
use thalweg_sql::refresh::split::STAGE_SCHEMA;

use super::{Engine, Refusal, image};
use crate::database::{Cells, Rows};

impl From<EngineError> for Refusal {
    fn from(error: EngineError) -> Self {
        Self { message: error.message }
    }
}

/// A database in memory.
#[derive(Debug)]
pub struct DuckDbEngine(Connection);

impl DuckDbEngine {
    /// A new one.
    pub fn open() -> Result<Self, Refusal> {
        Self::of(false)
    }

    fn of(unoptimized: bool) -> Result<Self, Refusal> {
        // Some queries ask for DISTINCT ON or sum over outer joins and grouping sets; against their faults the program takes the same
        // precautions.
        let settings =
            Settings { threads: Some(1), distinct_on: true, undercounted: true, unoptimized, ..Settings::default() };
        let mut connection = thalweg_duck::Engine::open_in_memory(&settings)?.connect()?;
        for schema in ["store", "changes", STAGE_SCHEMA] {
            connection.execute(&format!("create schema {schema}"), &[])?;
        }
        Ok(Self(connection))
    }
}

impl Engine for DuckDbEngine {
    fn dialect(&self) -> &'static dyn Dialect {
        &DuckDb
    }

    fn run(&mut self, sql: &str) -> Result<(), Refusal> {
        self.0.execute(sql, &[])?;
        Ok(())
    }

    fn ask(&mut self, query: &str) -> Result<Rows, Refusal> {
        let answer = self.0.query(query, &[])?;
        let mut rows = Vec::new();
        for batch in &answer.batches {
            let columns: Vec<Vec<Option<String>>> =
                batch.columns().iter().map(|column| images(column.as_ref())).collect();
            rows.extend(
                (0..batch.num_rows())
                    .map(|row| columns.iter().map(|column| column.get(row).cloned().flatten()).collect::<Cells>()),
            );
        }
        let fields = answer.schema.fields();
        Ok(Rows {
            names: fields.iter().map(|field| field.name().clone()).collect(),
            types: fields.iter().map(|field| field.data_type().to_string()).collect(),
            rows,
        })
    }

    fn describe(&mut self, query: &str) -> Result<Vec<(String, String)>, Refusal> {
        let columns = self.0.describe(query)?;
        Ok(columns.into_iter().map(|column| (column.name, column.type_name)).collect())
    }

    fn begin(&mut self) -> Result<(), Refusal> {
        Ok(self.0.begin()?)
    }

    fn rollback(&mut self) -> Result<(), Refusal> {
        Ok(self.0.rollback()?)
    }

    fn make(&mut self, name: &str, query: &str, temporary: bool) -> Result<(), Refusal> {
        let temporary = if temporary { "temporary " } else { "" };
        self.run(&format!("create or replace {temporary}table {name} as {query}"))
    }

    fn type_name(&self, engine_type: &str) -> String {
        engine_type.to_owned()
    }

    fn literal(&self, literal: &str, _engine_type: &str, _row: &str) -> String {
        literal.to_owned()
    }

    fn is_stopped(&mut self) -> bool {
        self.0.execute("select 1", &[]).is_err_and(|error| error.kind == ErrorKind::Fatal)
    }

    fn another(&self) -> Result<Box<dyn Engine>, Refusal> {
        Ok(Box::new(Self::open()?))
    }

    fn unoptimized(&self) -> Result<Option<Box<dyn Engine>>, Refusal> {
        Ok(Some(Box::new(Self::of(true)?)))
    }

    fn arrow(&mut self) -> Option<&mut Connection> {
        Some(&mut self.0)
    }
}

/// Texts by which values are compared.
fn images(column: &dyn Array) -> Vec<Option<String>> {
    let value = |row: usize| -> Option<String> {
        // Of a column whose type is that of NULL itself no row counts as one.
        if column.is_null(row) || column.data_type() == &DataType::Null {
            return None;
        }
        match column.data_type() {
            DataType::Float64 => return Some(image(column.as_primitive::<Float64Type>().value(row))),
            DataType::Float32 => return Some(image(f64::from(column.as_primitive::<Float32Type>().value(row)))),
            _ => {}
        }
        let options = FormatOptions::new().with_null("null");
        Some(match ArrayFormatter::try_new(column, &options) {
            Ok(formatter) => formatter.value(row).to_string(),
            Err(error) => error.to_string(),
        })
    };
    (0..column.len()).map(value).collect()
}
