//! The engine, for tables of a few rows.

use arrow::array::{Array, Float32Array, Float64Array};
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use thalweg_duck::{Connection, Engine, EngineError, ErrorKind, Settings};
use thalweg_sql::refresh::split::STAGE_SCHEMA;

use crate::schema::{Table, quoted};

/// A row of an answer: each value as text by which identity is told; `None` is NULL.
pub type Cells = Vec<Option<String>>;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows {
    /// Names of the columns.
    pub names: Vec<String>,
    /// Types of the columns.
    pub types: Vec<String>,
    /// The rows, sorted.
    pub rows: Vec<Cells>,
}

/// One database in memory.
#[derive(Debug)]
pub struct Database {
    connection: Connection,
    /// What `now()` is.
    time: String,
}

impl Database {
    /// A new one.
    pub fn open() -> Result<Self, EngineError> {
        // Some queries ask for DISTINCT ON; against its fault the program takes the same precaution.
        let settings = Settings { threads: Some(1), distinct_on: true, ..Settings::default() };
        let mut connection = Engine::open_in_memory(&settings)?.connect()?;
        connection.execute("create schema store", &[])?;
        connection.execute("create schema changes", &[])?;
        connection.execute(&format!("create schema {STAGE_SCHEMA}"), &[])?;
        Ok(Self { connection, time: "now()".to_owned() })
    }

    /// Opens another in the place of one that an error inside the engine has stopped for good; whether it had.
    pub fn mend(&mut self) -> Result<bool, EngineError> {
        match self.run("select 1") {
            Err(error) if error.kind == ErrorKind::Fatal => {
                *self = Self::open()?;
                Ok(true)
            }
            other => other.map(|()| false),
        }
    }

    /// Sets the time that queries read with `now()`: a literal.
    pub fn at(&mut self, time: &str) {
        time.clone_into(&mut self.time);
    }

    /// Runs one statement.
    pub fn run(&mut self, sql: &str) -> Result<(), EngineError> {
        self.connection.execute(sql, &[]).map(|_| ())
    }

    /// Whether the engine rewrites plans, as it does unless told otherwise.
    pub fn optimize(&mut self, optimize: bool) -> Result<(), EngineError> {
        self.run(if optimize { "pragma enable_optimizer" } else { "pragma disable_optimizer" })
    }

    /// Begins a case: all of it is one transaction, as a run of the program is.
    pub fn begin(&mut self) -> Result<(), EngineError> {
        self.connection.begin()
    }

    /// Takes away what a case has made.
    pub fn clear(&mut self) -> Result<(), EngineError> {
        self.connection.rollback()
    }

    /// Makes a table, in the place of one of that name.
    pub fn create(&mut self, name: &str, table: &Table) -> Result<(), EngineError> {
        let columns: Vec<String> =
            table.columns.iter().map(|column| format!("{} {}", quoted(&column.name), column.engine_type)).collect();
        self.run(&format!("create or replace table {name} ({})", columns.join(", ")))
    }

    /// Makes a temporary table of a query.
    pub fn create_as(&mut self, name: &str, query: &str) -> Result<(), EngineError> {
        let query = query.replace("now()", &self.time);
        self.run(&format!("create or replace temporary table {name} as {query}"))
    }

    /// Takes all rows out of a table.
    pub fn empty(&mut self, name: &str) -> Result<(), EngineError> {
        self.run(&format!("delete from {name}"))
    }

    /// Puts rows into a table.
    pub fn append(&mut self, name: &str, batch: RecordBatch) -> Result<(), EngineError> {
        let (schema, table) = name.split_once('.').unwrap_or(("main", name));
        self.connection.append(schema, table.trim_matches('"'), &[batch]).map(|_| ())
    }

    /// The rows of a query in their order.
    pub fn batches(&mut self, query: &str) -> Result<Vec<RecordBatch>, EngineError> {
        Ok(self.connection.query(query, &[])?.batches)
    }

    /// Names and types of the columns of a query.
    pub fn describe(&mut self, query: &str) -> Result<Vec<(String, String)>, EngineError> {
        let columns = self.connection.describe(query)?;
        Ok(columns.into_iter().map(|column| (column.name, column.type_name)).collect())
    }

    /// Answers a query.
    pub fn ask(&mut self, query: &str) -> Result<Rows, EngineError> {
        let answer = self.connection.query(&query.replace("now()", &self.time), &[])?;
        let mut rows = Vec::new();
        for batch in &answer.batches {
            let columns: Vec<Vec<Option<String>>> =
                batch.columns().iter().map(|column| images(column.as_ref())).collect();
            rows.extend(
                (0..batch.num_rows())
                    .map(|row| columns.iter().map(|column| column.get(row).cloned().flatten()).collect::<Cells>()),
            );
        }
        rows.sort();
        let fields = answer.schema.fields();
        Ok(Rows {
            names: fields.iter().map(|field| field.name().clone()).collect(),
            types: fields.iter().map(|field| field.data_type().to_string()).collect(),
            rows,
        })
    }

    /// Stops what runs, from another thread.
    pub fn interrupter(&self) -> thalweg_duck::Interrupter {
        self.connection.interrupter()
    }
}

/// Texts by which values are compared: floating-point numbers by 12 significant digits and their sign.
fn images(column: &dyn Array) -> Vec<Option<String>> {
    let all = 0..column.len();
    let value = |row: usize| -> Option<String> {
        // Of a column whose type is that of NULL itself no row counts as one.
        if column.is_null(row) || column.data_type() == &DataType::Null {
            return None;
        }
        let number = match column.data_type() {
            DataType::Float64 => column.as_any().downcast_ref::<Float64Array>().map(|column| column.value(row)),
            DataType::Float32 => {
                column.as_any().downcast_ref::<Float32Array>().map(|column| f64::from(column.value(row)))
            }
            _ => None,
        };
        if let Some(number) = number {
            return Some(format!("{number:.11e}"));
        }
        let options = FormatOptions::new().with_null("null");
        Some(match ArrayFormatter::try_new(column, &options) {
            Ok(formatter) => formatter.value(row).to_string(),
            Err(error) => error.to_string(),
        })
    };
    all.map(value).collect()
}

/// What is in one bag and not in the other.
pub fn except_all(left: &[Cells], right: &[Cells]) -> Vec<Cells> {
    let mut counts = std::collections::HashMap::<&Cells, usize>::new();
    for row in right {
        *counts.entry(row).or_default() += 1;
    }
    left.iter()
        .filter(|row| match counts.get_mut(row) {
            Some(count) if *count > 0 => {
                *count -= 1;
                false
            }
            _ => true,
        })
        .cloned()
        .collect()
}
