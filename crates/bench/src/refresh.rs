//! Refreshing models after a change: a report of order lines joined with five other tables, and two summaries of it.
//!
//! Rows reach the store before anything is measured, by `thalweg load`; what is measured is `thalweg run`. The reference works on a
//! copy of the same store in the same build of DuckDB. In full it is three `create table as`. After a change it is told the keys of all
//! changed rows, works out which lines of the report they can reach, replaces exactly those and computes the summaries anew: what
//! somebody writes by hand who knows these tables. It keeps no change log, and nobody can ask it what it did.

pub mod postgres;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use thalweg_duck::{Access, Connection, Engine, Settings};

use crate::Options;
use crate::comparison::Comparison;
use crate::measure::{Cost, measure};
use crate::program::{command, program};
use crate::reference;

const TABLES: [(&str, &[&str]); 6] = [
    ("companies", &["company_id"]),
    ("customers", &["document_number"]),
    ("products", &["product_code", "supplier_id"]),
    ("product_prices", &["product_code", "company_id"]),
    ("order_headers", &["order_no"]),
    ("order_lines", &["order_no", "line_no"]),
];

const REPORT: &str = "\
select lines.order_no, lines.line_no, headers.order_date,
       date_trunc('month', headers.order_date)::date as order_month, headers.status,
       headers.company_id, companies.company_name, companies.tax_number,
       headers.customer_document_no, customers.full_name as customer_name, customers.email as customer_email,
       lines.product_code, lines.supplier_id, products.product_name, lines.quantity, lines.unit_price,
       coalesce(prices.price, products.default_price)::decimal(12,2) as list_price,
       (lines.quantity * lines.unit_price)::decimal(18,2) as amount
from {lines} as lines
join store.order_headers as headers on headers.order_no = lines.order_no
left join store.customers as customers on customers.document_number = headers.customer_document_no
left join store.companies as companies on companies.company_id = headers.company_id
left join store.products as products
    on products.product_code = lines.product_code and products.supplier_id = lines.supplier_id
left join store.product_prices as prices
    on prices.product_code = lines.product_code and prices.company_id = headers.company_id
";

/// A table over the report: name, key, text.
type Summary = (&'static str, &'static str, &'static str);

/// What only adds up.
const SUMS: [Summary; 2] = [
    (
        "monthly_sales",
        "order_month, company_id",
        "select order_month, company_id, max(company_name) as company_name, count(*) as lines, \
         sum(quantity)::bigint as quantity, sum(amount)::decimal(18,2) as amount \
         from {report} group by order_month, company_id",
    ),
    (
        "product_sales",
        "product_code, supplier_id",
        "select product_code, supplier_id, max(product_name) as product_name, count(*) as lines, \
         sum(quantity)::bigint as quantity, sum(amount)::decimal(18,2) as amount \
         from {report} group by product_code, supplier_id",
    ),
];

/// With distinct orders and customers, and a ranking of all products.
const DISTINCT: [Summary; 2] = [
    (
        "monthly_sales",
        "order_month, company_id",
        "select order_month, company_id, max(company_name) as company_name, count(*) as lines, \
         count(distinct order_no) as orders, sum(quantity)::bigint as quantity, sum(amount)::decimal(18,2) as amount \
         from {report} group by order_month, company_id",
    ),
    (
        "product_sales",
        "product_code, supplier_id",
        "select product_code, supplier_id, max(product_name) as product_name, count(*) as lines, \
         count(distinct customer_document_no) as customers, sum(quantity)::bigint as quantity, \
         sum(amount)::decimal(18,2) as amount, rank() over (order by sum(quantity) desc) as popularity \
         from {report} group by product_code, supplier_id",
    ),
];

/// Which rows change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Which {
    /// Some rows of each of the six tables.
    Every,
    /// Order lines, and a hundredth as many customers.
    Lines,
    /// The most recent order lines.
    Recent,
}

impl Which {
    fn summaries(self) -> &'static [Summary; 2] {
        match self {
            Self::Every => &DISTINCT,
            Self::Lines | Self::Recent => &SUMS,
        }
    }
}

/// Measures a first build, then one refresh for each of the percentages.
pub fn run(lines: u64, percents: &[f64], which: Which, options: &Options) -> anyhow::Result<()> {
    let program = program(options)?;
    let work = tempfile::tempdir()?;
    let talk = work.path().join("talk");
    let project = work.path().join("project");
    write_project(&project, "{ type: duckdb, path: warehouse.duckdb }", which.summaries())?;
    generate(&project, lines)?;
    measure(&mut command(&program, &project, &["load"]), &talk)?;
    let loaded = work.path().join("loaded.duckdb");
    fs::copy(project.join("warehouse.duckdb"), &loaded)?;

    let full = Comparison::new(format!("Report of {lines} order lines and two summaries, computed in full"));
    let plain = work.path().join("plain.duckdb");
    let (mut ours, mut theirs) = (None, None);
    for _ in 0..options.runs {
        fs::copy(&loaded, &plain)?;
        better(&mut theirs, measure(&mut reference::refresh("full", which, &plain)?, &talk)?);
        fs::copy(&loaded, project.join("warehouse.duckdb"))?;
        better(&mut ours, measure(&mut command(&program, &project, &["run"]), &talk)?);
    }
    let whole = print(&full, ours, theirs, 1.3)?;
    compare(&project, &plain)?;

    let kept = (project.join("kept.duckdb"), work.path().join("kept.duckdb"));
    for (number, percent) in percents.iter().enumerate() {
        let step = number as u64 + 1;
        change(&project, lines, *percent, which, step)?;
        measure(&mut command(&program, &project, &["load"]), &talk)?;
        bring_along(&plain, &project, step)?;
        let title = format!("the same after {percent} % changed ({which:?})").to_lowercase();
        let comparison = Comparison::new(title);
        fs::copy(project.join("warehouse.duckdb"), &kept.0)?;
        fs::copy(&plain, &kept.1)?;
        let (mut ours, mut theirs) = (None, None);
        for _ in 0..options.runs {
            fs::copy(&kept.1, &plain)?;
            better(&mut theirs, measure(&mut reference::refresh("changed", which, &plain)?, &talk)?);
            fs::copy(&kept.0, project.join("warehouse.duckdb"))?;
            better(&mut ours, measure(&mut command(&program, &project, &["run"]), &talk)?);
        }
        compare(&project, &plain)?;
        let cost = print(&comparison, ours, theirs, 1.3)?;
        let (wall, full) = (cost.wall.as_secs_f64(), whole.wall.as_secs_f64());
        println!("  {:<24} {:>8.1} times faster than in full", "thalweg run", full / wall);
        comparison.limit("of a full refresh + 20 ms", (wall - 0.02).max(0.0) / full, 1.2);
    }
    Ok(())
}

fn better(best: &mut Option<Cost>, cost: Cost) {
    *best = Some(best.map_or(cost, |best| best.best(cost)));
}

fn print(comparison: &Comparison, ours: Option<Cost>, theirs: Option<Cost>, limit: f64) -> anyhow::Result<Cost> {
    let (ours, theirs) = ours.zip(theirs).context("both sides were measured")?;
    comparison.side("thalweg run", ours);
    comparison.side("SQL by hand", theirs);
    comparison.ratio(ours, theirs);
    comparison.limit("times the reference", ours.wall.as_secs_f64() / theirs.wall.as_secs_f64(), limit);
    Ok(ours)
}

/// A project with a target.
fn write_project(project: &Path, target: &str, summaries: &[Summary]) -> anyhow::Result<()> {
    for folder in ["incoming", "sources", "models/mart"] {
        fs::create_dir_all(project.join(folder))?;
    }
    fs::write(project.join("thalweg.yml"), format!("name: bench\ntargets: {{ dev: {target} }}\n"))?;
    let mut source =
        "type: files\npath: incoming\ndefaults: { ready: renamed, sequence_by: changed_at, soft_delete: is_deleted }\nstreams:\n"
            .to_owned();
    for (table, key) in TABLES {
        source.push_str(&format!("  {table}: {{ files: \"{table}_*.parquet\", primary_key: [{}] }}\n", key.join(", ")));
    }
    fs::write(project.join("sources/shop.yml"), source)?;
    fs::write(project.join("models/mart/report.sql"), REPORT.replace("{lines}", "store.order_lines"))?;
    let mut described = "models:\n  - { name: report, config: { primary_key: [order_no, line_no] } }\n".to_owned();
    for (name, key, sql) in summaries {
        fs::write(project.join(format!("models/mart/{name}.sql")), sql.replace("{report}", "mart.report"))?;
        described.push_str(&format!("  - {{ name: {name}, config: {{ primary_key: [{key}] }} }}\n"));
    }
    Ok(fs::write(project.join("models/mart/mart.yml"), described)?)
}

/// A value that depends on the row and a purpose only, below `n`.
fn pick(row: &str, purpose: &str, n: &str) -> String {
    format!("(hash({row}, '{purpose}') % ({n})::ubigint)::bigint")
}

/// How a row of each table comes about from its number `i`, as it is at a `step`.
fn select(table: &str, lines: u64, step: u64) -> String {
    let (headers, customers) = (lines / 4, (lines / 20).max(1));
    let name = |kind: &str| format!("'{kind} ' || i || ' as of {step}'");
    let columns = match table {
        "companies" => format!(
            "i::integer as company_id, lpad(i::varchar, 11, '0') as tax_number, {} as company_name, i % 2 = 0 as is_supplier",
            name("Company")
        ),
        "customers" => format!(
            "'D' || lpad(i::varchar, 9, '0') as document_number, {} as full_name, \
             case when i % 7 > 0 then 'person' || i || '@example.org' end as email, \
             case when i % 5 > 0 then date '1950-01-01' + (i % 18000)::integer end as date_of_birth",
            name("Customer")
        ),
        "products" => format!(
            "'P' || lpad((i // 2)::varchar, 4, '0') as product_code, (i % 2)::integer as supplier_id, \
             {} as product_name, ((100 + (i * 37) % 9000 + {step}) / 100.0)::decimal(12,2) as default_price",
            name("Product")
        ),
        "product_prices" => format!(
            "'P' || lpad((i % 1000)::varchar, 4, '0') as product_code, ({} + i // 1000 * 25)::integer as company_id, \
             ((100 + (i * 53) % 9000 + {step}) / 100.0)::decimal(12,2) as price",
            pick("i % 1000", "company", "25")
        ),
        "order_headers" => format!(
            "i::bigint as order_no, {}::integer as company_id, 'D' || lpad({}::varchar, 9, '0') as customer_document_no, \
             date '2023-01-01' + (i * 730 // {headers})::integer as order_date, \
             ['new', 'paid', 'sent', 'returned'][1 + ((i + {step}) % 4)::integer] as status",
            pick("i", "company", "500"),
            pick("i", "customer", &customers.to_string())
        ),
        _ => format!(
            "(i // 4)::bigint as order_no, (i % 4)::integer as line_no, 'P' || lpad({}::varchar, 4, '0') as product_code, \
             {}::integer as supplier_id, (1 + (i * 7 + {step}) % 20)::integer as quantity, \
             ((100 + (i * 31) % 9000) / 100.0)::decimal(12,2) as unit_price",
            pick("i", "product", "1000"),
            pick("i", "supplier", "2")
        ),
    };
    format!("{columns}, timestamp '2026-01-01' + {step} * interval 1 hour as changed_at")
}

fn rows_of(table: &str, lines: u64) -> u64 {
    match table {
        "companies" => 500,
        "customers" => (lines / 20).max(1),
        "products" => 2_000,
        "product_prices" => 20_000,
        "order_headers" => lines / 4,
        _ => lines,
    }
}

fn generate(project: &Path, lines: u64) -> anyhow::Result<()> {
    let engine = Engine::open_in_memory(&Settings::default())?;
    let mut connection = engine.connect()?;
    for (table, _) in TABLES {
        let rows = rows_of(table, lines);
        let query = format!("select {}, false as is_deleted from range({rows}) as r(i)", select(table, lines, 0));
        write(&mut connection, project, table, 0, &query)?;
    }
    Ok(())
}

/// Of every hundred rows that are touched 45 are updated, 15 deleted and 40 new, but of lines and customers alone all are updated.
fn change(project: &Path, lines: u64, percent: f64, which: Which, step: u64) -> anyhow::Result<()> {
    let engine = Engine::open_in_memory(&Settings::default())?;
    let mut connection = engine.connect()?;
    for (table, _) in TABLES {
        let rows = rows_of(table, lines);
        let share = match (which, table) {
            (Which::Every, _) | (Which::Lines | Which::Recent, "order_lines") => percent / 100.0,
            (Which::Lines, "customers") => percent / 10_000.0 * lines as f64 / rows as f64,
            _ => continue,
        };
        let touched = ((rows as f64 * share).round() as u64).clamp(1, rows);
        let query = match which {
            Which::Every => {
                let new = (touched * 2 / 5).max(1);
                let first = rows + (step - 1) * rows;
                format!(
                    "select {columns}, hash(i, {step}, 'gone') % 4 = 0 as is_deleted from range({rows}) as r(i) \
                     where hash(i, {step}) % {rows} < {} union all select {columns}, false as is_deleted \
                     from range({first}, {}) as r(i)",
                    touched - touched * 2 / 5,
                    first + new,
                    columns = select(table, lines, step),
                )
            }
            Which::Lines => format!(
                "select {}, false as is_deleted from range({rows}) as r(i) where hash(i, {step}) % {rows} < {touched}",
                select(table, lines, step)
            ),
            Which::Recent => format!(
                "select {}, false as is_deleted from range({}, {rows}) as r(i)",
                select(table, lines, step),
                rows - touched
            ),
        };
        write(&mut connection, project, table, step, &query)?;
    }
    Ok(())
}

fn write(connection: &mut Connection, project: &Path, table: &str, step: u64, query: &str) -> anyhow::Result<()> {
    let file = delivered(project, table, step);
    connection.execute(&format!("copy ({query}) to '{}' (format parquet)", file.display()), &[])?;
    Ok(())
}

fn delivered(project: &Path, table: &str, step: u64) -> PathBuf {
    project.join(format!("incoming/{table}_{step:03}.parquet"))
}

/// Brings the reference's copy of the store to the state that `load` brought the store to, and notes the changed keys.
fn bring_along(plain: &Path, project: &Path, step: u64) -> anyhow::Result<()> {
    let engine = Engine::open(plain, Access::Write, &Settings::default())?;
    let mut connection = engine.connect()?;
    for (table, key) in TABLES {
        let physical = physical(&mut connection, table)?;
        let file = delivered(project, table, step);
        let keys = key.join(", ");
        let changed = if file.exists() {
            format!("select distinct {keys} from read_parquet('{}')", file.display())
        } else {
            format!("select {keys} from store.{table} limit 0")
        };
        connection.execute(&format!("create or replace table changed_{table} as {changed}"), &[])?;
        if !file.exists() {
            continue;
        }
        let same: Vec<String> = key.iter().map(|column| format!("r.{column} = c.{column}")).collect();
        connection
            .execute(&format!("delete from {physical} r using changed_{table} c where {}", same.join(" and ")), &[])?;
        connection.execute(
            &format!(
                "insert into {physical} by name select *, {step} as _run, {step} as _origin, 0 as _record from read_parquet('{}') \
                 where not is_deleted qualify row_number() over (partition by {keys}) = 1",
                file.display()
            ),
            &[],
        )?;
    }
    connection.execute("checkpoint", &[])?;
    Ok(())
}

fn physical(connection: &mut Connection, table: &str) -> anyhow::Result<String> {
    let answer = connection.query(
        &format!("select table_name from duckdb_tables() where schema_name = 'thalweg_data' and table_name like '%.store.{table}.v%' and table_name not like '%.changes'"),
        &[],
    )?;
    let batch = answer.batches.first().context("the store has the table")?;
    let names = arrow::array::AsArray::as_string_opt::<i32>(batch.column(0)).context("a name is a text")?;
    Ok(format!("thalweg_data.\"{}\"", names.value(0)))
}

/// Both sides must hold the same rows.
fn compare(project: &Path, plain: &Path) -> anyhow::Result<()> {
    let engine = Engine::open_in_memory(&Settings::default())?;
    let mut connection = engine.connect()?;
    connection.execute(&format!("attach '{}' as ours (read_only)", project.join("warehouse.duckdb").display()), &[])?;
    connection.execute(&format!("attach '{}' as theirs (read_only)", plain.display()), &[])?;
    for table in ["report", "monthly_sales", "product_sales"] {
        for (one, other) in [("ours.mart", "theirs.by_hand"), ("theirs.by_hand", "ours.mart")] {
            let answer = connection
                .query(&format!("select 1 from (from {one}.{table} except all from {other}.{table}) limit 1"), &[])?;
            let rows: usize = answer.batches.iter().map(arrow::array::RecordBatch::num_rows).sum();
            ensure!(rows == 0, "{table} differs: {one} has a row that {other} has not");
        }
    }
    Ok(())
}

/// The reference program: `full` or `changed`.
pub fn reference(what: &str, which: Which, database: &Path) -> anyhow::Result<()> {
    let engine = Engine::open(database, Access::Write, &Settings::default())?;
    let mut connection = engine.connect()?;
    connection.execute("create schema if not exists by_hand", &[])?;
    connection.begin()?;
    let statements = if what == "full" {
        vec![format!("create table by_hand.report as {}", REPORT.replace("{lines}", "store.order_lines"))]
    } else {
        let touched = "(select lines.* from touched join store.order_lines as lines \
                       on lines.order_no = touched.order_no and lines.line_no = touched.line_no)";
        vec![
            "create temp table touched_orders as select order_no from changed_order_headers \
             union select order_no from store.order_headers h semi join changed_customers c \
             on c.document_number = h.customer_document_no \
             union select order_no from store.order_headers h semi join changed_companies c on c.company_id = h.company_id"
                .to_owned(),
            "create temp table touched as select order_no, line_no from changed_order_lines \
             union select order_no, line_no from store.order_lines l semi join touched_orders o on o.order_no = l.order_no \
             union select order_no, line_no from by_hand.report l semi join touched_orders o on o.order_no = l.order_no \
             union select order_no, line_no from store.order_lines l semi join changed_products p \
             on p.product_code = l.product_code and p.supplier_id = l.supplier_id \
             union select l.order_no, l.line_no from changed_product_prices p \
             join store.order_headers h on h.company_id = p.company_id \
             join store.order_lines l on l.order_no = h.order_no and l.product_code = p.product_code"
                .to_owned(),
            "delete from by_hand.report r using touched t where r.order_no = t.order_no and r.line_no = t.line_no"
                .to_owned(),
            format!("insert into by_hand.report {}", REPORT.replace("{lines}", touched)),
        ]
    };
    for statement in statements {
        connection.execute(&statement, &[])?;
    }
    for (name, _, sql) in which.summaries() {
        let sql = sql.replace("{report}", "by_hand.report");
        connection.execute(&format!("create or replace table by_hand.{name} as {sql}"), &[])?;
    }
    connection.commit()?;
    Ok(())
}
