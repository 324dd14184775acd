//! How fast a table of MySQL or MariaDB is read: decoded only, and written to a landing.
//!
//! ```text
//! cargo run --release -p thalweg-source --example mysql_speed -- HOST PORT USER PASSWORD DATABASE CONNECTIONS TABLE...
//! ```

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use thalweg_project::{DatabaseKind, DatabaseSettings, Secret};
use thalweg_source::database::{Engine, Read, Table, TableRef};
use thalweg_source::landing::Landing;
use thalweg_source::mysql::MysqlEngine;
use thalweg_source::{Column, Sink, SourceError};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [host, port, user, password, database, connections, tables @ ..] = arguments.as_slice() else {
        return Err("HOST PORT USER PASSWORD DATABASE CONNECTIONS TABLE... are wanted".into());
    };
    let settings = DatabaseSettings {
        host: host.clone(),
        password: Some(Secret::new(password)),
        connections: connections.parse()?,
        ..DatabaseSettings::local(DatabaseKind::Mariadb, port.parse()?, user, database)
    };
    let engine = MysqlEngine::new(settings, Path::new("."));
    let tables: Vec<TableRef> = tables.iter().map(|name| TableRef::new(database, name)).collect();
    for landed in [false, true] {
        let folder = tempfile::tempdir()?;
        let started = Instant::now();
        let rows = read_all(&engine, connections.parse()?, &tables, landed.then_some(folder.path()))?;
        let seconds = started.elapsed().as_secs_f64();
        let what = if landed { "decoded and landed" } else { "decoded" };
        println!("{what}: {rows} rows in {seconds:.2} s, {:.0} rows a second", rows as f64 / seconds);
    }
    let status = std::fs::read_to_string("/proc/self/status")?;
    println!("peak memory: {}", status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default());
    Ok(())
}

/// One part of a table: its condition.
struct Work<'a> {
    table: &'a Table,
    condition: String,
}

fn read_all(
    engine: &MysqlEngine,
    connections: usize,
    tables: &[TableRef],
    landing: Option<&Path>,
) -> Result<u64, SourceError> {
    let mut opened = engine.open(connections, tables)?;
    let described: Vec<Table> = opened.tables.drain(..).collect::<Result<_, _>>()?;
    let mut work = Vec::new();
    for table in &described {
        let key = table.primary_key.first().and_then(|name| table.column(name));
        let parts = if table.estimated_rows.unwrap_or(0) > 200_000 { connections } else { 1 };
        let boundaries = match key {
            Some(key) if parts > 1 => opened.connections[0].boundaries(table, key, parts)?,
            _ => Vec::new(),
        };
        let literals: Vec<String> =
            key.map_or_else(Vec::new, |key| boundaries.iter().map(|v| engine.dialect().literal(v, key)).collect());
        let name = key.map_or_else(String::new, |key| engine.dialect().select(key, ""));
        for part in 0..=literals.len() {
            let low = part.checked_sub(1).map(|at| format!("{name} >= {}", literals[at]));
            let high = literals.get(part).map(|high| format!("{name} < {high}"));
            let condition: Vec<String> = low.into_iter().chain(high).collect();
            let condition = if condition.is_empty() { "true".to_owned() } else { condition.join(" and ") };
            work.push(Work { table, condition });
        }
    }
    work.sort_by_key(|work| std::cmp::Reverse(work.table.estimated_rows));
    let (next, rows) = (AtomicU64::new(0), AtomicU64::new(0));
    let landing = landing.map(|folder| Landing::new(folder.to_owned(), "dev").stream("speed", "all").run(1));
    landing.as_ref().map_or(Ok(()), thalweg_source::landing::RunLanding::begin)?;
    std::thread::scope(|scope| {
        let threads: Vec<_> = opened
            .connections
            .iter_mut()
            .map(|connection| {
                let (next, rows, work, landing) = (&next, &rows, &work, &landing);
                scope.spawn(move || -> Result<(), SourceError> {
                    while let Some(one) = work.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                        let Work { table, condition } = one;
                        let columns: Vec<String> =
                            table.columns.iter().map(|column| engine.dialect().select(column, "")).collect();
                        let from = engine.dialect().table(&table.table);
                        let sql = format!("select {} from {from} where {condition}", columns.join(", "));
                        let landed: Vec<Column> = table
                            .columns
                            .iter()
                            .map(|c| Column::new(&c.name, &c.name, c.column_type.clone()))
                            .collect();
                        let mut part = landing.as_ref().map(|landing| landing.part(&landed)).transpose()?;
                        connection.read(&Read { sql: &sql, columns: &table.columns }, &mut |decoded| {
                            let count = decoded.batch.num_rows();
                            let before = rows.fetch_add(count as u64, Ordering::Relaxed);
                            if let Some(part) = &mut part {
                                part.write(&with_place(&decoded.batch, before, &landed))?;
                            }
                            Ok(())
                        })?;
                        part.map_or(Ok(()), |part| part.finish())?;
                    }
                    Ok(())
                })
            })
            .collect();
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or(Ok(())))
    })?;
    Ok(rows.into_inner())
}

fn with_place(batch: &arrow::array::RecordBatch, before: u64, columns: &[Column]) -> arrow::array::RecordBatch {
    use arrow::array::{Int32Array, Int64Array, RecordBatch};
    use std::sync::Arc;
    let rows = batch.num_rows();
    let mut arrays = batch.columns().to_vec();
    arrays.push(Arc::new(Int32Array::from_value(0, rows)));
    arrays.push(Arc::new(Int64Array::from_iter_values((0..rows as i64).map(|row| row + before as i64))));
    RecordBatch::try_new(thalweg_source::landing::arrow_schema(columns), arrays).expect("columns of equal length")
}
