//! What can be measured, and how far it is from the work done without Thalweg: `cargo xtask bench`.
//!
//! The program and the reference run as processes of their own, one after the other on the same data, and the best of several
//! runs counts. The reference does the work and nothing else: no ledger, no landing, no change sets, no restart.

#![forbid(unsafe_code)]

mod access_log;
mod build_of_many;
mod comparison;
mod csv;
mod databases;
mod measure;
mod parser;
mod program;
mod reference;
mod refresh;
mod server;
mod start_up;
mod statements;
mod tpch;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask bench",
    about = "Benchmarks, each beside its reference in the same run",
    disable_help_subcommand = true
)]
struct Arguments {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// A CSV file with some missing values into a keyed store table.
    Csv {
        /// Rows of the file.
        #[arg(long, default_value_t = 1_000_000)]
        rows: usize,
        /// Load rows with missing values too, on both sides, instead of setting them aside.
        #[arg(long)]
        keep_missing: bool,
        #[command(flatten)]
        options: Options,
    },
    /// An access log with device and country into the store.
    AccessLog {
        /// Lines of the log.
        #[arg(long, default_value_t = 1_000_000)]
        lines: usize,
        #[command(flatten)]
        options: Options,
    },
    /// The parser of access logs alone, on one core.
    Parser {
        /// Lines of the log.
        #[arg(long, default_value_t = 1_000_000)]
        lines: usize,
    },
    /// Six tables of a MariaDB into the store: a first load, after a change, after none.
    Databases {
        /// 1 is 100,000 order lines.
        #[arg(long, default_value_t = 10.0)]
        scale: f64,
        /// Where the store lies.
        #[arg(long, value_enum, default_value = "duckdb")]
        warehouse: Warehouse,
        #[command(flatten)]
        options: Options,
    },
    /// A report and two summaries, refreshed in full and after changes.
    Refresh {
        /// Order lines.
        #[arg(long, default_value_t = 1_000_000)]
        lines: u64,
        /// How much changes, one refresh after the other.
        #[arg(long, value_delimiter = ',', default_value = "1,0.1,0.01")]
        percent: Vec<f64>,
        /// Which rows change: in DuckDB `every` when not given, in Postgres `lines`.
        #[arg(long, value_enum)]
        which: Option<refresh::Which>,
        /// Where the tables lie.
        #[arg(long, value_enum, default_value = "duckdb")]
        warehouse: Warehouse,
        /// In Postgres: how many of the slowest statements of a refresh are shown.
        #[arg(long, default_value_t = 0)]
        slowest: usize,
        #[command(flatten)]
        options: Options,
    },
    /// The queries of TPC-H over staging models, refreshed after a change beside all of them in full.
    Tpch {
        /// 1 is 6 million lines.
        #[arg(long, default_value_t = 1.0)]
        scale: f64,
        /// Where the tables lie.
        #[arg(long, value_enum, default_value = "duckdb")]
        warehouse: Warehouse,
        /// A folder for the project, which is left behind; a temporary one when not given.
        #[arg(long, value_name = "PATH")]
        folder: Option<PathBuf>,
        #[command(flatten)]
        options: Options,
    },
    /// `build` with nothing new, on 200 models and 50 streams.
    NothingNew(#[command(flatten)] Options),
    /// `validate`, on 200 models and 50 streams.
    Validate(#[command(flatten)] Options),
    /// `--help`: how long the program takes to start.
    Help(#[command(flatten)] Options),
    /// All of them, one after the other.
    All(#[command(flatten)] Options),
    /// The reference programs, which the others start.
    #[command(subcommand, hide = true)]
    Reference(reference::Reference),
}

/// Where the tables lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Warehouse {
    /// A file of DuckDB.
    Duckdb,
    /// A server of Postgres.
    Postgres,
}

/// What every benchmark is asked.
#[derive(Debug, Clone, Args)]
struct Options {
    /// The program; built in release mode when not given.
    #[arg(long, value_name = "PATH")]
    program: Option<PathBuf>,
    /// How often each side runs; the best run counts.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    runs: u32,
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().bench {
        Bench::Csv { rows, keep_missing, options } => csv::run(rows, keep_missing, &options),
        Bench::AccessLog { lines, options } => access_log::run(lines, &options),
        Bench::Parser { lines } => parser::run(lines),
        Bench::Databases { scale, warehouse: Warehouse::Duckdb, options } => databases::run(scale, &options),
        Bench::Databases { scale, warehouse: Warehouse::Postgres, options } => {
            databases::postgres::run(scale, &options)
        }
        Bench::Refresh { lines, percent, which, warehouse: Warehouse::Duckdb, slowest: _, options } => {
            refresh::run(lines, &percent, which.unwrap_or(refresh::Which::Every), &options)
        }
        Bench::Refresh { lines, percent, which, warehouse: Warehouse::Postgres, slowest, options } => {
            refresh::postgres::run(lines, &percent, which.unwrap_or(refresh::Which::Lines), slowest, &options)
        }
        Bench::Tpch { scale, warehouse, folder, options } => tpch::run(scale, warehouse, folder.as_deref(), &options),
        Bench::NothingNew(options) => build_of_many::nothing_new(&options),
        Bench::Validate(options) => build_of_many::validate(&options),
        Bench::Help(options) => start_up::run(&options),
        Bench::All(options) => {
            csv::run(1_000_000, false, &options)?;
            access_log::run(1_000_000, &options)?;
            parser::run(1_000_000)?;
            databases::run(10.0, &options)?;
            databases::postgres::run(10.0, &options)?;
            refresh::run(1_000_000, &[1.0, 0.01], refresh::Which::Every, &options)?;
            refresh::run(4_000_000, &[1.0, 0.1, 0.01], refresh::Which::Lines, &options)?;
            refresh::postgres::run(1_000_000, &[1.0, 0.1, 0.01], refresh::Which::Lines, 0, &options)?;
            build_of_many::nothing_new(&options)?;
            build_of_many::validate(&options)?;
            start_up::run(&options)
        }
        Bench::Reference(reference) => reference::run(&reference),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        super::Arguments::command().debug_assert();
    }
}
