//! The six tables of the shop from a MariaDB into the store: a first load, runs after a change, runs after none.
//!
//! The reference is what somebody would write who wants nothing but the rows: the server's own client, piped into a file that DuckDB
//! reads. After a change it asks for rows above the highest stamp it holds, replaces them by key, lists all keys and deletes the others.

pub mod postgres;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};
use thalweg_duck::{Access, Connection, Engine, Settings};
use thalweg_example::database::{Change, Server, change, fill};
use thalweg_testkit::MariadbDatabase;

use crate::Options;
use crate::comparison::Comparison;
use crate::measure::{Cost, measure};
use crate::program::{command, program};
use crate::{reference, server};

/// A table: its name, the columns of its key, its other columns with how the client has to print them.
struct Table {
    name: &'static str,
    key: &'static [(&'static str, &'static str)],
    columns: &'static [(&'static str, &'static str)],
}

const STAMPS: &[(&str, &str)] =
    &[("created_datetime", "timestamp"), ("updated_datetime", "timestamp"), ("is_deleted", "tinyint")];

const TABLES: &[Table] = &[
    Table {
        name: "companies",
        key: &[("company_id", "integer")],
        columns: &[("tax_number", "varchar"), ("company_name", "varchar"), ("is_supplier", "tinyint")],
    },
    Table {
        name: "customers",
        key: &[("document_number", "varchar")],
        columns: &[
            ("full_name", "varchar"),
            ("date_of_birth", "date"),
            ("email", "varchar"),
            ("user_name", "varchar"),
            ("country_code", "varchar"),
        ],
    },
    Table {
        name: "products",
        key: &[("product_code", "varchar"), ("supplier_id", "integer")],
        columns: &[("product_name", "varchar"), ("default_price", "decimal(12,2)")],
    },
    Table {
        name: "product_prices",
        key: &[("product_code", "varchar"), ("company_id", "integer")],
        columns: &[("price", "decimal(12,2)")],
    },
    Table {
        name: "order_headers",
        key: &[("order_no", "bigint")],
        columns: &[
            ("company_id", "integer"),
            ("customer_document_no", "varchar"),
            ("order_date", "date"),
            ("status", "varchar"),
        ],
    },
    Table {
        name: "order_lines",
        key: &[("order_no", "bigint"), ("order_line_no", "integer")],
        columns: &[
            ("product_code", "varchar"),
            ("supplier_id", "integer"),
            ("quantity", "integer"),
            ("unit_price", "decimal(12,2)"),
        ],
    },
];

/// What the client prints for NULL, which no value of the shop is.
const NULL: &str = "\\\\N";

/// Measures all of it at a scale of 100,000 order lines.
pub fn run(scale: f64, options: &Options) -> anyhow::Result<()> {
    let program = program(options)?;
    let work = tempfile::tempdir()?;
    let server = server::mariadb();
    let database = server.database();
    let rows = filled(&database, scale, work.path())?;
    let target = "{ type: duckdb, path: warehouse.duckdb }";
    let talk = work.path().join("talk");

    let first = Comparison::new(format!("MariaDB into DuckDB, first load of six tables with {rows} rows"));
    let mut sides = Sides::default();
    let (mut project, mut plain) = (PathBuf::new(), PathBuf::new());
    for run in 0..options.runs {
        plain = work.path().join(format!("plain{run}.duckdb"));
        sides.theirs(measure(&mut reference::tables("first", &server, &database, &plain)?, &talk)?);
        project = work.path().join(format!("project{run}"));
        write_project(&project, &database, "compare_keys", target)?;
        sides.ours(measure(&mut command(&program, &project, &["load"]), &talk)?);
        compare(&project, &plain)?;
    }
    sides.print(&first, "thalweg load", "client and DuckDB", 1.6);

    let changed = Comparison::new("the same after 1 % of every table changed, deleted rows found");
    let mut sides = Sides::default();
    for step in 1..=options.runs {
        change_rows(&database, step, work.path())?;
        sides.theirs(measure(&mut reference::tables("changed", &server, &database, &plain)?, &talk)?);
        sides.ours(measure(&mut command(&program, &project, &["load"]), &talk)?);
        compare(&project, &plain)?;
    }
    sides.print(&changed, "thalweg load", "client and DuckDB", 1.6);

    for (deletes, limit) in [("compare_keys", 0.8), ("none", 0.4)] {
        let nothing = Comparison::new(format!("the same with nothing changed, `deletes: {deletes}`"));
        write_project(&project, &database, deletes, target)?;
        let mut sides = Sides::default();
        for _ in 0..=options.runs {
            sides.ours(measure(&mut command(&program, &project, &["load"]), &talk)?);
        }
        let ours = sides.ours.context("it was measured")?;
        nothing.side("thalweg load", ours);
        nothing.limit("seconds", ours.wall.as_secs_f64(), limit);
    }
    Ok(())
}

/// Makes and fills the tables; how many rows there are.
fn filled(database: &MariadbDatabase<'_>, scale: f64, work: &Path) -> anyhow::Result<u64> {
    let settings = thalweg_example::Settings { scale, seed: 42, last_day: jiff::civil::date(2026, 6, 30) };
    let script = work.join("fill.sql");
    let mut out = std::io::BufWriter::new(File::create(&script)?);
    let rows = fill(&settings, Server::Mariadb, &mut out)?.iter().map(|(_, rows)| rows).sum();
    std::io::Write::flush(&mut out)?;
    feed(database, &script)?;
    Ok(rows)
}

/// Changes 1 % of every table.
fn change_rows(database: &MariadbDatabase<'_>, step: u32, work: &Path) -> anyhow::Result<()> {
    let script = work.join("change.sql");
    change(Change { percent: 1.0, step }, Server::Mariadb, &mut File::create(&script)?)?;
    feed(database, &script)
}

/// The best of both sides.
#[derive(Default)]
struct Sides {
    ours: Option<Cost>,
    theirs: Option<Cost>,
}

impl Sides {
    fn ours(&mut self, cost: Cost) {
        self.ours = Some(self.ours.map_or(cost, |best| best.best(cost)));
    }

    fn theirs(&mut self, cost: Cost) {
        self.theirs = Some(self.theirs.map_or(cost, |best| best.best(cost)));
    }

    /// The same where a server does the work, whose memory nobody looks at.
    fn print_walls(
        &self,
        comparison: &Comparison,
        ours_name: &str,
        theirs_name: &str,
        limit: f64,
    ) -> anyhow::Result<()> {
        let (ours, theirs) = self.ours.zip(self.theirs).context("both sides were measured")?;
        comparison.wall(ours_name, ours);
        comparison.wall(theirs_name, theirs);
        comparison.limit("times the reference", ours.over(theirs), limit);
        Ok(())
    }

    fn print(&self, comparison: &Comparison, ours_name: &str, theirs_name: &str, limit: f64) {
        if let (Some(ours), Some(theirs)) = (self.ours, self.theirs) {
            comparison.side(ours_name, ours);
            comparison.side(theirs_name, theirs);
            comparison.ratio(ours, theirs);
            comparison.limit("times the reference", ours.wall.as_secs_f64() / theirs.wall.as_secs_f64(), limit);
        }
    }
}

/// Runs a script by the server's own client.
fn feed(database: &MariadbDatabase<'_>, script: &Path) -> anyhow::Result<()> {
    let status = database.client().stdin(File::open(script)?).stdout(Stdio::null()).status()?;
    ensure!(status.success(), "the server's client refuses {}", script.display());
    Ok(())
}

fn write_project(project: &Path, database: &MariadbDatabase<'_>, deletes: &str, target: &str) -> anyhow::Result<()> {
    fs::create_dir_all(project.join("sources"))?;
    fs::write(project.join("thalweg.yml"), format!("name: bench\ntargets: {{ dev: {target} }}\n"))?;
    fs::write(project.join(".env"), format!("SHOP_URL={}\n", database.url()))?;
    let streams: String = TABLES.iter().map(|table| format!("  {}: {{}}\n", table.name)).collect();
    let source = format!(
        "type: mariadb\nurl: ${{SHOP_URL}}\ndefaults: {{ cursor: updated_datetime, soft_delete: is_deleted, deletes: {deletes} }}\n\
         streams:\n{streams}"
    );
    Ok(fs::write(project.join("sources/shop.yml"), source)?)
}

/// Both sides must hold the same rows; the reference keeps those that are marked as deleted.
fn compare(project: &Path, plain: &Path) -> anyhow::Result<()> {
    for table in TABLES {
        let ours = reference::count(&project.join("warehouse.duckdb"), &format!("store.{}", table.name))?;
        let theirs = reference::count(plain, &format!("raw.{} where is_deleted = 0", table.name))?;
        ensure!(ours == theirs, "{}: the program has {ours} rows and the reference {theirs}", table.name);
    }
    Ok(())
}

/// The reference program: `first` or `changed`, from a server's socket into a DuckDB file.
pub fn reference(what: &str, socket: &Path, database: &str, file: &Path) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let settings = Settings::default();
    let engine = Engine::open(file, Access::Write, &settings)?;
    let mut connection = engine.connect()?;
    if what == "first" {
        connection.execute("create schema raw", &[])?;
    }
    for table in TABLES {
        let rows = folder.path().join(format!("{}.tsv", table.name));
        let keys = folder.path().join(format!("{}.keys.tsv", table.name));
        let columns: Vec<(&str, &str)> = table.key.iter().chain(table.columns).chain(STAMPS).copied().collect();
        let name = table.name;
        if what == "first" {
            export(socket, database, &selected(&columns, name, ""), &rows)?;
            let typed: Vec<String> = columns.iter().map(|(column, kind)| format!("{column} {kind}")).collect();
            connection.execute(&format!("create table raw.{name} ({})", typed.join(", ")), &[])?;
            connection.execute(&format!("insert into raw.{name} {}", read(&rows, &columns)), &[])?;
            continue;
        }
        let highest = text(&mut connection, &format!("select max(updated_datetime)::varchar from raw.{name}"))?;
        let condition = format!(" where updated_datetime > '{highest}'");
        export(socket, database, &selected(&columns, name, &condition), &rows)?;
        export(socket, database, &selected(table.key, name, ""), &keys)?;
        let same: Vec<String> = table.key.iter().map(|(column, _)| format!("r.{column} = n.{column}")).collect();
        let same = same.join(" and ");
        connection.begin()?;
        connection.execute(&format!("create or replace temp table n as {}", read(&rows, &columns)), &[])?;
        connection.execute(&format!("delete from raw.{name} r using n where {same}"), &[])?;
        connection.execute(&format!("insert into raw.{name} select * from n"), &[])?;
        connection.execute(&format!("create or replace temp table n as {}", read(&keys, table.key)), &[])?;
        connection
            .execute(&format!("delete from raw.{name} r where not exists (select 1 from n where {same})"), &[])?;
        connection.commit()?;
    }
    Ok(())
}

fn selected(columns: &[(&str, &str)], table: &str, condition: &str) -> String {
    let columns: Vec<String> = columns.iter().map(|(column, _)| printed(column)).collect();
    format!("select {} from {table}{condition}", columns.join(", "))
}

/// What may be NULL is printed so that it reads back as NULL.
fn printed(column: &str) -> String {
    match column {
        "email" | "date_of_birth" => format!("ifnull({column}, '{NULL}')"),
        _ => column.to_owned(),
    }
}

fn read(file: &Path, columns: &[(&str, &str)]) -> String {
    let typed: Vec<String> = columns.iter().map(|(column, kind)| format!("'{column}': '{kind}'")).collect();
    format!(
        "select * from read_csv('{}', header = false, auto_detect = false, delim = '\\t', quote = '', escape = '', nullstr = '\\N', \
         columns = {{{}}})",
        file.display().to_string().replace('\'', "''"),
        typed.join(", ")
    )
}

fn export(socket: &Path, database: &str, query: &str, to: &Path) -> anyhow::Result<()> {
    let status = Command::new("mariadb")
        .args(["--no-defaults", "--batch", "--raw", "--skip-column-names", "--quick", "--user=tester"])
        .args(["--default-character-set=utf8mb4", "--execute", query, database])
        .arg(format!("--socket={}", socket.display()))
        .stdout(File::create(to)?)
        .status()
        .context("the server's client could not be started")?;
    if !status.success() {
        bail!("the server's client refuses {query}");
    }
    Ok(())
}

fn text(connection: &mut Connection, query: &str) -> anyhow::Result<String> {
    let answer = connection.query(query, &[])?;
    let batch = answer.batches.first().context("one row")?;
    let values = arrow::array::AsArray::as_string_opt::<i32>(batch.column(0)).context("a text")?;
    Ok(values.value(0).to_owned())
}
