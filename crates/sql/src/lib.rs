//! What SQL means: facts from a query's text, how a warehouse spells things, and the graph of a project's tables. No IO.
//!
//! - [`parser`] reads a query and answers with facts ([`Query`]), all of them as byte ranges of the text, or with its relational form
//!   ([`refresh::Tree`]).
//! - [`mod@splice`] puts other tables in the place of those a query names. SQL is never printed back from a syntax tree.
//! - [`dialect`] knows how an engine spells names, types and comparisons; one file an engine.
//! - [`statement`] holds the statements that change tables.
//! - [`graph`] reads every model, test and report of a project and says which table is made from which.

#![forbid(unsafe_code)]

pub mod dialect;
pub mod graph;
pub mod parser;
pub mod query;
pub mod refresh;
pub mod splice;
pub mod statement;

pub use dialect::duckdb::DuckDb;
pub use dialect::postgres::Postgres;
pub use dialect::{Dialect, InvalidName, NewIndex, dialect_of};
pub use graph::{Compiled, CompiledTest, Node, NodeKind, compile};
pub use parser::{parse_expression, parse_relation, parse_select};
pub use query::{Query, SchemaReference, SqlError, TableFunction, TableReference};
pub use splice::{Replacement, rewrite_tables, splice};
