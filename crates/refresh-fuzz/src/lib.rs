//! The proof of incremental refresh: random schemas, random queries over the whole grammar, dense histories, and after each refresh the
//! full answer beside it.
//!
//! Needs text and an engine only, DuckDB or Postgres: change sets are written by hand, keys are discovered and rows recomputed by `thalweg-sql`, and what
//! they must be is told by running the query.

#![forbid(unsafe_code)]

pub mod case;
pub mod check;
pub mod choice;
pub mod database;
pub mod engine;
pub mod fuzz;
pub mod history;
pub mod judge;
pub mod query;
mod refresh;
pub mod schema;
pub mod shrink;
mod stock;
mod sums;
pub mod tally;
