//! What the proof asks of an engine. One file an engine.

mod duckdb;
mod postgres;

use std::fmt::Debug;

use thalweg_sql::dialect::Dialect;

pub use self::duckdb::DuckDbEngine;
pub use self::postgres::PostgresEngine;
use crate::database::Rows;

/// What an engine says instead of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Its words.
    pub message: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}

/// Values are compared as texts by which identity is told: floating-point numbers by 12 significant digits and their sign.
pub(crate) fn image(number: f64) -> String {
    format!("{number:.11e}")
}

/// One connection, with schemas for what cases make.
pub trait Engine: Debug {
    /// How it is spoken to.
    fn dialect(&self) -> &'static dyn Dialect;

    /// Runs one statement.
    fn run(&mut self, sql: &str) -> Result<(), Refusal>;

    /// Answers a query; the rows in any order.
    fn ask(&mut self, query: &str) -> Result<Rows, Refusal>;

    /// Names and types of the columns of a query.
    fn describe(&mut self, query: &str) -> Result<Vec<(String, String)>, Refusal>;

    /// Begins a transaction.
    fn begin(&mut self) -> Result<(), Refusal>;

    /// Undoes it; nothing outside of one.
    fn rollback(&mut self) -> Result<(), Refusal>;

    /// Makes a table of a query, in the place of one of that name; a temporary one, if it is to be.
    fn make(&mut self, name: &str, query: &str, temporary: bool) -> Result<(), Refusal>;

    /// Chooses the types that columns of the next case have, where several will do: the same ones for a number.
    fn vary(&mut self, number: usize) {
        let _ = number;
    }

    /// The engine's name of a type of [`crate::schema`].
    fn type_name(&self, engine_type: &str) -> String;

    /// A literal of [`crate::schema`], of such a type, in the engine's words. Of values that are equal and not identical it is the same one for a
    /// row, which is known by its first literal.
    fn literal(&self, literal: &str, engine_type: &str, row: &str) -> String;

    /// Whether an error inside it has stopped it for good.
    fn is_stopped(&mut self) -> bool;

    /// Another one in its place.
    fn another(&self) -> Result<Box<dyn Engine>, Refusal>;

    /// Another one that carries plans out as they are written; `None` where the engine cannot be told to.
    fn unoptimized(&self) -> Result<Option<Box<dyn Engine>>, Refusal> {
        Ok(None)
    }

    /// The connection, where it takes rows in Arrow's form, which is quicker than their text.
    fn arrow(&mut self) -> Option<&mut thalweg_duck::Connection> {
        None
    }
}
