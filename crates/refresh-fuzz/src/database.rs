//! A database for tables of a few rows.

use thalweg_project::{DatabaseKind, DatabaseSettings};
use thalweg_sql::dialect::Dialect;

use crate::engine::{DuckDbEngine, Engine, PostgresEngine, Refusal};
use crate::schema::{Row, Table, quoted};

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

/// One database that is there for nothing else.
#[derive(Debug)]
pub struct Database {
    engine: Box<dyn Engine>,
    /// What `now()` is.
    time: String,
    /// One in which the same is done, to be asked for its answer.
    beside: Option<Box<dyn Engine>>,
    asked: Beside,
}

/// How often the engine beside was asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Beside {
    /// Answers that were compared.
    pub answered: usize,
    /// Questions it refused: that proves nothing.
    pub refused: usize,
}

impl Database {
    /// A new one of DuckDB, in memory.
    pub fn duckdb() -> Result<Self, Refusal> {
        Ok(Self::of(Box::new(DuckDbEngine::open()?)))
    }

    /// One of a Postgres server of this machine, for its superuser.
    pub fn postgres(port: u16, database: &str) -> Result<Self, Refusal> {
        let settings = DatabaseSettings::local(DatabaseKind::Postgres, port, "postgres", database);
        Ok(Self::of(Box::new(PostgresEngine::open(&settings)?)))
    }

    fn of(engine: Box<dyn Engine>) -> Self {
        Self { engine, time: "now()".to_owned(), beside: None, asked: Beside::default() }
    }

    /// How it is spoken to.
    pub fn dialect(&self) -> &'static dyn Dialect {
        self.engine.dialect()
    }

    /// Opens another in the place of one that an error inside the engine has stopped for good; whether it had.
    pub fn mend(&mut self) -> Result<bool, Refusal> {
        let stopped = self.engine.is_stopped() || self.beside.as_mut().is_some_and(|beside| beside.is_stopped());
        if stopped {
            self.engine = self.engine.another()?;
            "now()".clone_into(&mut self.time);
            if self.beside.is_some() {
                self.put_beside()?;
            }
        }
        Ok(stopped)
    }

    /// Sets the time that queries read with `now()`: a literal.
    pub fn at(&mut self, time: &str) {
        time.clone_into(&mut self.time);
    }

    /// Runs one statement.
    pub fn run(&mut self, sql: &str) -> Result<(), Refusal> {
        self.both(|engine| engine.run(sql))
    }

    /// Another one whose engine carries plans out as they are written; `None` where it cannot be told to.
    pub fn unoptimized(&self) -> Result<Option<Self>, Refusal> {
        Ok(self.engine.unoptimized()?.map(Self::of))
    }

    /// Puts such an engine beside this one: from now on whatever is done is done in both.
    pub fn put_beside(&mut self) -> Result<(), Refusal> {
        let Some(beside) = self.engine.unoptimized()? else {
            return Err(Refusal {
                message: "this engine cannot be told to carry plans out as they are written".to_owned(),
            });
        };
        self.beside = Some(beside);
        Ok(())
    }

    fn both(&mut self, act: impl Fn(&mut dyn Engine) -> Result<(), Refusal>) -> Result<(), Refusal> {
        act(self.engine.as_mut())?;
        if let Some(beside) = &mut self.beside {
            // What cannot be done in the one beside is found when that is asked, and counted.
            let _ = act(beside.as_mut());
        }
        Ok(())
    }

    /// How often that was asked.
    pub fn beside(&self) -> Beside {
        self.asked
    }

    /// What the engine beside answers instead of this; `None` where it agrees or there is none.
    pub(crate) fn contradicted(&mut self, query: &str, answer: &Rows) -> Option<Vec<Cells>> {
        let Ok(Rows { rows: mut other, .. }) = self.beside.as_mut()?.ask(&query.replace("now()", &self.time)) else {
            self.asked.refused += 1;
            return None;
        };
        self.asked.answered += 1;
        other.sort();
        (other != answer.rows).then_some(other)
    }

    /// Begins a case: all of it is one transaction, as a run of the program is.
    pub fn begin(&mut self) -> Result<(), Refusal> {
        self.both(|engine| engine.begin())
    }

    /// Takes away what a case has made.
    pub fn clear(&mut self) -> Result<(), Refusal> {
        self.both(|engine| engine.rollback())
    }

    /// Chooses the types that columns have where several will do.
    pub fn vary(&mut self, number: usize) {
        self.engine.vary(number);
    }

    /// The engine's name of a column's type.
    pub fn type_name(&self, engine_type: &str) -> String {
        self.engine.type_name(engine_type)
    }

    /// Makes an empty table.
    pub fn create(&mut self, name: &str, table: &Table) -> Result<(), Refusal> {
        let typed = |name: &str, engine_type: &str| format!("{} {}", quoted(name), self.type_name(engine_type));
        let columns: Vec<String> =
            table.columns.iter().map(|column| typed(&column.name, &column.engine_type)).collect();
        self.run(&format!("create table {name} ({})", columns.join(", ")))
    }

    /// Makes a table of a query, in the place of one of that name.
    pub fn make(&mut self, name: &str, query: &str) -> Result<(), Refusal> {
        self.both(|engine| engine.make(name, query, false))
    }

    /// Makes a temporary table of a query, in the place of one of that name.
    pub fn make_temporary(&mut self, name: &str, query: &str) -> Result<(), Refusal> {
        let query = query.replace("now()", &self.time);
        self.both(|engine| engine.make(name, &query, true))
    }

    /// Takes all rows out of a table.
    pub fn empty(&mut self, name: &str) -> Result<(), Refusal> {
        self.run(&format!("delete from {name}"))
    }

    /// Puts rows into a table.
    pub fn insert(&mut self, name: &str, table: &Table, rows: &[Row]) -> Result<(), Refusal> {
        let types = || table.columns.iter().map(|column| column.engine_type.as_str());
        let row = |row: &Row| {
            let first = row.first().map_or("", String::as_str);
            let literal = |(value, engine_type): (&String, &str)| self.engine.literal(value, engine_type, first);
            format!("({})", row.iter().zip(types()).map(literal).collect::<Vec<_>>().join(", "))
        };
        let rows: Vec<String> = rows.iter().map(row).collect();
        self.run(&format!("insert into {name} values {}", rows.join(", ")))
    }

    /// The engine's connection, where it takes rows in Arrow's form.
    pub(crate) fn arrow(&mut self) -> Option<&mut thalweg_duck::Connection> {
        // Rows for two are handed over as text.
        if self.beside.is_some() { None } else { self.engine.arrow() }
    }

    /// Names and types of the columns of a query.
    pub fn describe(&mut self, query: &str) -> Result<Vec<(String, String)>, Refusal> {
        self.engine.describe(query)
    }

    /// Answers a query.
    pub fn ask(&mut self, query: &str) -> Result<Rows, Refusal> {
        let mut answer = self.engine.ask(&query.replace("now()", &self.time))?;
        answer.rows.sort();
        Ok(answer)
    }
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
