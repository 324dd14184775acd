//! What tests of the whole program share: projects in temporary folders, the program run on them, comparison with what is
//! expected, and database servers.
//!
//! ```no_run
//! use thalweg_testkit::{Program, TestProject};
//!
//! let project = TestProject::new()
//!     .file("thalweg.yml", "name: shop\n")
//!     .file("seeds/country.csv", "code,name\nAU,Australia\n")
//!     .write();
//! // In a test of the binary's crate: env!("CARGO_BIN_EXE_thalweg").
//! let thalweg = Program::new("target/debug/thalweg");
//! let answer = thalweg.run(&project, ["build"]);
//! assert_eq!(answer.code, Some(0), "{answer}");
//! ```

#![forbid(unsafe_code)]
// Its callers are tests: a panic is how it speaks.
#![allow(clippy::unwrap_used)]

mod expect;
mod filter;
#[cfg(unix)]
mod mariadb;
#[cfg(unix)]
mod postgres;
mod program;
mod project;
#[cfg(unix)]
mod server;
mod tpch;

pub use expect::{expect, expect_text};
pub use filter::Filter;
#[cfg(unix)]
pub use mariadb::{MariadbDatabase, MariadbServer, MariadbSession};
#[cfg(unix)]
pub use postgres::{PostgresDatabase, PostgresServer, PostgresSession};
pub use program::{Answer, Program};
pub use project::{TestProject, WrittenProject};
pub use tpch::{TpchTable, tpch_queries, tpch_tables};
