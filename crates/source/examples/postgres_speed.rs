//! How fast a table of Postgres is read into Parquet, beside `psql -c "\copy (...) to file"` of the same query, in the same run.
//!
//! ```text
//! cargo run --release -p thalweg-source --example postgres_speed -- [rows] [times]
//! ```

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int32Array, Int64Array};
use arrow::record_batch::RecordBatch;
use thalweg_project::{DatabaseKind, DatabaseSettings};
use thalweg_source::database::{Engine, Read, SourceColumn, TableRef};
use thalweg_source::landing::{Landing, arrow_schema};
use thalweg_source::postgres::PostgresEngine;
use thalweg_source::{Column, Sink};
use thalweg_testkit::{PostgresDatabase, PostgresServer};

const TABLE: &str = "create table order_lines (order_no bigint not null, order_line_no int not null, product_code text, \
    company_id int, quantity int, price numeric(12,2), discount numeric(5,4), note text, is_deleted boolean not null, \
    delivered date, created_datetime timestamptz, updated_datetime timestamp, primary key (order_no, order_line_no))";

fn fill(rows: u64) -> String {
    format!(
        "{TABLE}; insert into order_lines select n / 4, n % 4, 'P' || (n::bigint * 7919 % 20000), n % 200, n % 17, (n % 100000) / 100.0, \
         (n % 10000) / 10000.0, case when n % 5 = 0 then 'please deliver to the back door, number ' || n end, n % 50 = 0, \
         date '2020-01-01' + (n % 1500)::int, timestamptz '2020-01-01' + n * interval '7 seconds', \
         timestamp '2020-01-01' + n * interval '11.123456 seconds' from generate_series(1, {rows}) n; \
         vacuum analyze order_lines; checkpoint"
    )
}

/// Reads the table, with or without writing it, and says how long it took.
fn read(engine: &PostgresEngine, landing: Option<&Path>) -> (Duration, u64) {
    let started = Instant::now();
    let mut opened = engine.open(1, &[TableRef::new("public", "order_lines")]).unwrap();
    let table = opened.tables.remove(0).unwrap();
    let dialect = engine.dialect();
    let selected: Vec<String> = table.columns.iter().map(|column| dialect.select(column, "")).collect();
    let sql = format!("select {} from {}", selected.join(", "), dialect.table(&table.table));
    let column = |column: &SourceColumn| Column::new(&column.name, &column.name, column.column_type.clone());
    let columns: Vec<Column> = table.columns.iter().map(column).collect();
    let schema = arrow_schema(&columns);
    let run = landing.map(|folder| Landing::new(folder.to_owned(), "speed").stream("shop", "order_lines").run(1));
    if let Some(run) = &run {
        run.begin().unwrap();
    }
    let mut part = run.as_ref().map(|run| run.part(&columns).unwrap());
    let mut rows = 0;
    opened.connections[0]
        .read(&Read { sql: &sql, columns: &table.columns }, &mut |decoded| {
            let count = decoded.batch.num_rows();
            let first = i64::try_from(rows).unwrap() + 1;
            rows += count as u64;
            if let Some(part) = &mut part {
                let mut arrays: Vec<ArrayRef> = decoded.batch.columns().to_vec();
                arrays.push(Arc::new(Int32Array::from(vec![0; count])));
                arrays.push(Arc::new(Int64Array::from_iter_values(first..first + i64::try_from(count).unwrap())));
                part.write(&RecordBatch::try_new(Arc::clone(&schema), arrays).unwrap())?;
            }
            Ok(())
        })
        .unwrap();
    if let Some(part) = part {
        part.finish().unwrap();
    }
    (started.elapsed(), rows)
}

fn psql(database: &PostgresDatabase<'_>, file: &Path) -> Duration {
    let started = Instant::now();
    let copy = format!("\\copy (select * from order_lines) to '{}'", file.display());
    assert!(database.psql().args(["-c", &copy]).status().unwrap().success());
    started.elapsed()
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64()
}

fn main() {
    let number = |index: usize, default: u64| std::env::args().nth(index).map_or(default, |text| text.parse().unwrap());
    let (rows, times) = (number(1, 1_000_000), number(2, 5));
    let server = PostgresServer::start(&["shared_buffers=1GB", "max_wal_size=4GB"]);
    let database = server.database();
    database.run(&fill(rows));
    let local = DatabaseSettings::local(DatabaseKind::Postgres, server.port(), "postgres", database.name());
    let settings = DatabaseSettings { connections: 1, ..local };
    let engine = PostgresEngine::new(settings, Path::new("/")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("copy.txt");
    let (mut copied, mut decoded, mut landed) = (Vec::new(), Vec::new(), Vec::new());
    // One of each that does not count, and then in turns, so that all of them meet the same machine.
    for turn in 0..=times {
        let copy = psql(&database, &file);
        let (decode, _) = read(&engine, None);
        let (land, read) = read(&engine, Some(folder.path()));
        assert_eq!(read, rows);
        if turn > 0 {
            copied.push(copy);
            decoded.push(decode);
            landed.push(land);
        }
    }
    let bytes = std::fs::metadata(&file).unwrap().len();
    let (copied, decoded, landed) = (median(copied), median(decoded), median(landed));
    println!("{rows} rows, {} MB as text; medians of {times}", bytes / 1_000_000);
    println!("psql \\copy to file   {copied:7.3} s");
    println!("decoded to Arrow     {decoded:7.3} s   {:.2} of its throughput", copied / decoded);
    println!("landed as Parquet    {landed:7.3} s   {:.2} of its throughput", copied / landed);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    for line in status.lines().filter(|line| line.starts_with("VmHWM")) {
        println!("peak memory {line}");
    }
}
