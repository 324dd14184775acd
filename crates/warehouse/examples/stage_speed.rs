//! Measures what a warehouse costs: `cargo run --release -p thalweg-warehouse --example stage_speed [ROWS]`.

use std::time::{Duration, Instant};

use serde_json::json;
use thalweg_project::{ColumnType, Location, Target, TargetConnection};
use thalweg_sql::dialect::duckdb::DuckDb;
use thalweg_warehouse::ledger::{Ledger, Microseconds, StepRow, TableKind, TableRow};
use thalweg_warehouse::{Access, Connection, StagedColumn, Wait, Warehouse, WarehouseError};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let rows: u64 = std::env::args().nth(1).map_or(Ok(1_000_000), |rows| rows.parse())?;
    let folder = std::env::temp_dir().join(format!("thalweg-stage-speed-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let target = Target {
        name: "dev".to_owned(),
        schema_prefix: String::new(),
        connection: TargetConnection::Duckdb {
            path: "warehouse.duckdb".to_owned(),
            memory_limit: None,
            threads: None,
            published_copy: None,
        },
        location: Location::file("thalweg.yml"),
    };
    let warehouse = thalweg_warehouse::open(&target, &folder)?;
    let outcome = measure(&*warehouse, &folder, rows);
    std::fs::remove_dir_all(&folder)?;
    Ok(outcome?)
}

fn measure(warehouse: &dyn Warehouse, folder: &std::path::Path, rows: u64) -> Result<(), WarehouseError> {
    let ledger = Ledger::new("speed", &DuckDb);
    let mut connection = timed("create the file", || connect(warehouse, Access::Write))?;
    timed("prepare the ledger", || ledger.prepare(&mut *connection))?;

    let landing = folder.join("landing.parquet");
    let select = format!(
        "select range as interaction_id, hash(range) % 100000 as user_id, nullif(hash(range) % 500, 0)::bigint as product_id, \
         ['view', 'click', 'cart', 'buy'][1 + range % 4] as action, timestamp '2026-01-01' + interval (range) second as seen_at, \
         0::integer as _file, range + 1 as _record from range({rows})"
    );
    timed("write the landing", || connection.export_parquet(&select, &landing, &[]))?;
    let column = |name: &str, column_type| StagedColumn { name: name.to_owned(), column_type, in_files: vec![0] };
    let columns = [
        column("interaction_id", ColumnType::BigInt),
        column("user_id", ColumnType::BigInt),
        column("product_id", ColumnType::BigInt),
        column("action", ColumnType::Text),
        column("seen_at", ColumnType::Timestamp),
    ];
    let started = Instant::now();
    connection.begin()?;
    timed("stage", || connection.stage("stage", std::slice::from_ref(&landing), &columns))?;
    timed("create and insert", || {
        connection.execute(
            "create table thalweg_data.t (interaction_id bigint, user_id bigint, product_id bigint, action varchar, seen_at timestamp, \
             _run bigint, _origin bigint)",
            &[],
        )?;
        connection.execute("insert into thalweg_data.t select * exclude (_file, _record), 1, _file from stage", &[])
    })?;
    timed("commit", || connection.commit())?;
    timed("checkpoint", || connection.settle(true))?;
    println!("{:>34}  {:?}", "stage to checkpoint", started.elapsed());

    fill(&ledger, &mut *connection)?;
    timed("close", || {
        drop(connection);
        Ok(())
    })?;
    for _ in 0..3 {
        let started = Instant::now();
        let mut connection = timed("open for writing", || connect(warehouse, Access::Write))?;
        timed("load the ledger", || ledger.load(&mut *connection))?;
        timed("load it again", || ledger.load(&mut *connection))?;
        timed("close", || {
            drop(connection);
            Ok(())
        })?;
        println!("{:>34}  {:?}", "open, load twice, close", started.elapsed());
    }
    let mut reader = timed("open for reading", || connect(warehouse, Access::Read))?;
    timed("count", || reader.query("select count(*) from thalweg_data.t", &[]))?;
    timed("100 small queries", || {
        (0..100).try_for_each(|_| reader.query("select count(*) from thalweg.steps", &[]).map(drop))
    })?;
    timed("close", || {
        drop(reader);
        Ok(())
    })
}

/// A ledger of 200 models and 50 streams, 40 files each.
fn fill(ledger: &Ledger, connection: &mut dyn Connection) -> Result<(), WarehouseError> {
    connection.begin()?;
    ledger.acquire_lease(connection, "speed", Microseconds(0))?;
    let tables: Vec<TableRow> = (0..250)
        .map(|index| TableRow {
            table_name: format!("store.table_{index}"),
            kind: TableKind::Store,
            physical: format!("store__table_{index}__v1"),
            version: 1,
            fingerprint: "0123456789abcdef0123456789abcdef".to_owned(),
            columns: json!([{"name": "id", "type": "bigint"}, {"name": "name", "type": "text"}]),
            rows: 1,
            changed_run: 1,
            refreshed_run: 1,
            created_run: 1,
        })
        .collect();
    ledger.put_tables(connection, &tables)?;
    for stream in 0..50 {
        let entries =
            (0..40).map(|entry| (format!("file_{entry}.csv"), Some(json!({"hash": "0123456789abcdef"})))).collect();
        ledger.apply_positions(connection, "source", &format!("stream_{stream}"), &entries, 1)?;
    }
    let steps: Vec<StepRow> = (0..250)
        .map(|position| StepRow {
            run: 1,
            position,
            step: format!("store.table_{position}"),
            kind: "store".to_owned(),
            strategy: "merge".to_owned(),
            reason: "new records".to_owned(),
            read: 1,
            inserted: 1,
            updated: 0,
            unchanged: 0,
            deleted: 0,
            deleted_missing: 0,
            rejected: 0,
            duplicate: 0,
            rows_before: 0,
            rows_after: 1,
            seconds: 0.1,
        })
        .collect();
    timed("write 250 steps", || ledger.add_steps(connection, &steps))?;
    timed("commit the ledger", || connection.commit())
}

fn connect(warehouse: &dyn Warehouse, access: Access) -> Result<Box<dyn Connection>, WarehouseError> {
    warehouse.connect(access, &Wait { timeout: Duration::ZERO, tell: &|_| {} })
}

fn timed<T>(what: &str, run: impl FnOnce() -> Result<T, WarehouseError>) -> Result<T, WarehouseError> {
    let started = Instant::now();
    let outcome = run();
    println!("{what:>34}  {:?}", started.elapsed());
    outcome
}
