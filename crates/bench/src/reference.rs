//! The same work in plain DuckDB, with the same build of DuckDB and nothing around it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use clap::{Subcommand, ValueEnum};
use thalweg_duck::{Access, Engine, Settings};
use thalweg_testkit::{MariadbDatabase, MariadbServer};

use crate::{databases, refresh};

/// A reference program, run as a child of the benchmark.
#[derive(Debug, Subcommand)]
pub enum Reference {
    /// CSV into a table.
    Csv {
        /// The file.
        file: PathBuf,
        /// The database.
        database: PathBuf,
        /// Whether rows with missing values are loaded.
        #[arg(long)]
        keep_missing: bool,
    },
    /// Access log into a table.
    AccessLog {
        /// The log.
        log: PathBuf,
        /// Ranges of addresses with their countries.
        countries: PathBuf,
        /// The database.
        database: PathBuf,
    },
    /// A report and two summaries.
    Refresh {
        /// `full` or `changed`.
        what: String,
        /// Which rows change.
        #[arg(value_enum)]
        which: refresh::Which,
        /// The database.
        database: PathBuf,
    },
    /// Tables of a MariaDB into tables.
    Tables {
        /// `first` or `changed`.
        what: String,
        /// The server's socket.
        socket: PathBuf,
        /// Name of the database there.
        from: String,
        /// The database.
        database: PathBuf,
    },
}

/// The command that computes a report and two summaries.
pub fn refresh(what: &str, which: refresh::Which, database: &Path) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    let which = which.to_possible_value().context("every choice has a name")?;
    command.args(["reference", "refresh", what, which.get_name()]).arg(database);
    Ok(command)
}

/// The command that loads tables of a MariaDB.
pub fn tables(
    what: &str,
    server: &MariadbServer,
    from: &MariadbDatabase<'_>,
    database: &Path,
) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["reference", "tables", what]).arg(server.socket()).arg(from.name()).arg(database);
    Ok(command)
}

/// The command that loads the CSV.
pub fn csv(file: &Path, database: &Path, keep_missing: bool) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["reference", "csv"]).arg(file).arg(database).args(keep_missing.then_some("--keep-missing"));
    Ok(command)
}

/// The command that loads the log.
pub fn access_log(log: &Path, countries: &Path, database: &Path) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["reference", "access-log"]).arg(log).arg(countries).arg(database);
    Ok(command)
}

/// Does what the command says.
pub fn run(reference: &Reference) -> anyhow::Result<()> {
    let (database, statements) = match reference {
        Reference::Csv { file, database, keep_missing } => (database, vec![csv_statement(file, *keep_missing)]),
        Reference::AccessLog { log, countries, database } => (database, access_log_statements(log, countries)),
        Reference::Refresh { what, which, database } => return refresh::reference(what, *which, database),
        Reference::Tables { what, socket, from, database } => {
            return databases::reference(what, socket, from, database);
        }
    };
    let engine = Engine::open(database, Access::Write, &Settings::default())?;
    let mut connection = engine.connect()?;
    for statement in statements {
        connection.execute(&statement, &[])?;
    }
    Ok(())
}

/// How many rows a table has.
pub fn count(database: &Path, table: &str) -> anyhow::Result<i64> {
    let engine = Engine::open(database, Access::Read, &Settings::default())?;
    let answer = engine.connect()?.query(&format!("select count(*) from {table}"), &[])?;
    let batch = answer.batches.first().context("a count has one row")?;
    let column = batch.column(0).as_primitive_opt::<Int64Type>().filter(|column| column.len() == 1);
    Ok(column.context("a count is one number")?.value(0))
}

fn csv_statement(file: &Path, keep_missing: bool) -> String {
    let complete = if keep_missing {
        "true"
    } else {
        "user_id is not null and product_id is not null and action is not null and timestamp is not null"
    };
    format!(
        "create table interactions as
         select *
         from read_csv({file}, header = true, columns = {{
             'interaction_id': 'bigint', 'user_id': 'bigint', 'product_id': 'bigint',
             'action': 'varchar', 'timestamp': 'timestamp'}})
         where {complete}
         qualify row_number() over (partition by interaction_id order by timestamp desc) = 1",
        file = literal(file)
    )
}

fn access_log_statements(log: &Path, countries: &Path) -> Vec<String> {
    vec![format!(
        r#"create table access as
               with parts as (
                   select regexp_extract(
                       line,
                       '^((\d+)\.(\d+)\.(\d+)\.(\d+)) \S+ (\S+) \[([^\]]+ [+-]\d{{4}})\] "(\S+) (\S+) (\S+)" (\d{{3}}) (\d+|-) "((?:[^"\\]|\\.)*)" "([^"]*)"$',
                       ['ip', 'a', 'b', 'c', 'd', 'username', 'at', 'method', 'path', 'protocol', 'status', 'bytes',
                        'referrer', 'user_agent']
                   ) as p
                   from read_csv({log}, columns = {{'line': 'varchar'}}, header = false, delim = chr(1), quote = '',
                                 escape = '', auto_detect = false)
               ),
               requests as (
                   select
                       p.ip as ip,
                       nullif(p.username, '-') as username,
                       strptime(p.at, '%d/%b/%Y:%H:%M:%S %z')::timestamp as requested_at,
                       p.method as method, p.path as path, p.protocol as protocol,
                       p.status::integer as status,
                       nullif(p.bytes, '-')::bigint as bytes,
                       nullif(p.referrer, '-') as referrer,
                       nullif(p.user_agent, '-') as user_agent,
                       case
                           when p.user_agent like '%bot%' or p.user_agent like '%Bot%' then 'bot'
                           when p.user_agent like '%iPad%' then 'iPad'
                           when p.user_agent like '%iPhone%' then 'iPhone'
                           when p.user_agent like '%Android%' then 'Android'
                           when p.user_agent like '%Windows%' then 'Windows'
                           when p.user_agent like '%Macintosh%' then 'Macintosh'
                           when p.user_agent like '%Linux%' then 'Linux'
                           else 'Other'
                       end as device,
                       p.a::bigint * 16777216 + p.b::bigint * 65536 + p.c::bigint * 256 + p.d::bigint as address
                   from parts
                   where p.ip <> ''
               )
               select r.* exclude (address), c.country
               from requests as r
               left join read_csv({countries}, header = true,
                   columns = {{'first': 'bigint', 'last': 'bigint', 'country': 'varchar'}}) as c
                   on r.address between c.first and c.last"#,
        log = literal(log),
        countries = literal(countries)
    )]
}

fn literal(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "''"))
}
