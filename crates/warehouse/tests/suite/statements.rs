//! Statements, their parameters, and what they cost others.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, Int64Array, ListArray, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use thalweg_project::ColumnType;
use thalweg_warehouse::{Value, WarehouseErrorKind};

use super::{Site, ask, kind, lines, run};

pub fn values_are_bound(site: &dyn Site) {
    let mut connection = site.connect();
    let values = [
        Value::Null,
        Value::Boolean(true),
        Value::BigInt(i64::MIN),
        Value::Double(0.1),
        Value::Text("'; drop table w.t; -- ü 🦀".to_owned()),
        Value::Timestamp(-1),
        Value::Text(String::new()),
    ];
    let rows = connection
        .query("select cast(? as varchar) is null, ?, ?, ?, ?, cast(? as varchar), ? = ''", &values)
        .expect("an answer");
    assert_eq!(
        lines(&rows),
        ["true|true|-9223372036854775808|0.1|'; drop table w.t; -- ü 🦀|1969-12-31 23:59:59.999999|true"]
    );
    assert_eq!(kind(connection.query("select ?", &[])), WarehouseErrorKind::Statement, "one is missing");
}

pub fn one_statement_at_a_time(site: &dyn Site) {
    let mut connection = site.connect();
    run(&mut *connection, "create table w.t as select 1 as i;");
    for sql in ["select 1; drop table w.t", "drop table w.t; select 1", "select 1); drop table w.t; select (2"] {
        assert_eq!(kind(connection.query(sql, &[])), WarehouseErrorKind::Statement, "{sql}");
        assert_eq!(kind(connection.describe(sql)), WarehouseErrorKind::Statement, "{sql}");
    }
    for sql in ["begin", "COMMIT", "rollback"] {
        assert_eq!(kind(connection.execute(sql, &[])), WarehouseErrorKind::Statement, "{sql}");
    }
    assert_eq!(ask(&mut *connection, "select i from w.t -- a comment"), ["1"]);
}

pub fn changes_are_counted(site: &dyn Site) {
    let mut connection = site.connect();
    assert_eq!(run(&mut *connection, "create table w.t (i bigint, s varchar)"), 0);
    assert_eq!(
        run(&mut *connection, "insert into w.t select i, 'x' from generate_series(0, 4999) as numbers(i)"),
        5000
    );
    assert_eq!(run(&mut *connection, "update w.t set s = 'y' where i < 10"), 10);
    assert_eq!(run(&mut *connection, "delete from w.t where i >= 4990"), 10);
    assert_eq!(run(&mut *connection, "create table w.u as select * from w.t"), 4990);
    let merged = "merge into w.u using (select 1 as i union all select -1) as s on u.i = s.i \
                  when matched then update set s = 'z' when not matched then insert values (s.i, 'new')";
    assert_eq!(run(&mut *connection, merged), 2);
    assert_eq!(run(&mut *connection, "drop table w.u"), 0);
}

pub fn a_query_is_described(site: &dyn Site) {
    let mut connection = site.connect();
    run(&mut *connection, "create table w.t (id bigint, amount decimal(18,3), names text[])");
    let columns = connection
        .describe(
            "with x as (select * from w.t) select *, cast(1.5 as decimal(2,1)) as \"a b\", id as id from x -- end",
        )
        .expect("columns");
    let columns: Vec<_> = columns.iter().map(|column| format!("{} {}", column.name, column.engine_type)).collect();
    let (bigint, text) = (site.type_name(&ColumnType::BigInt), "text".parse().expect("a type"));
    let expected = [
        format!("id {bigint}"),
        format!("amount {}", site.type_name(&ColumnType::Decimal(18, 3))),
        format!("names {}", site.type_name(&ColumnType::List(Box::new(text)))),
        format!("a b {}", site.type_name(&ColumnType::Decimal(2, 1))),
        format!("id {bigint}"),
    ];
    assert_eq!(columns, expected);
    let error = connection.describe("select id, amonut from w.t").expect_err("no such column");
    assert_eq!(error.kind, WarehouseErrorKind::Statement);
    assert_eq!(error.position, Some(11));
    assert!(error.message.contains("amonut") && error.message.contains("amount"), "{}", error.message);
}

pub fn tables_are_found(site: &dyn Site) {
    let mut connection = site.connect();
    run(&mut *connection, "create schema \"a b\"");
    run(&mut *connection, "create table \"a b\".\"t\"\"1\" (i bigint)");
    run(&mut *connection, "create view \"a b\".v as select 1 as i");
    for inside in [false, true] {
        if inside {
            connection.begin().expect("begin");
            run(&mut *connection, "create table w.kept as select 1 as i");
        }
        assert!(connection.has_table("a b", "t\"1").expect("an answer"));
        assert!(connection.has_table("a b", "v").expect("an answer"));
        assert!(!connection.has_table("a b", "w").expect("an answer"));
        assert!(!connection.has_table("nowhere", "v").expect("an answer"));
    }
    connection.commit().expect("the transaction is alive");
    assert_eq!(ask(&mut *connection, "select * from w.kept"), ["1"], "and was committed");
}

pub fn batches_are_appended(site: &dyn Site) {
    let mut connection = site.connect();
    run(
        &mut *connection,
        "create table w.t (id bigint, name varchar, ok boolean, amount decimal(38,10), seen timestamp, data json, list bigint[])",
    );
    let batch = |ids: Vec<i64>| {
        let count = ids.len();
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("id", Arc::new(Int64Array::from(ids))),
            ("name", Arc::new(StringArray::from(vec![Some(""); count]))),
            ("ok", Arc::new(BooleanArray::from(vec![None; count]))),
            (
                "amount",
                Arc::new(
                    Decimal128Array::from(vec![-99_999_999_999_999_999_999_999_999_999_999_999_999_i128; count])
                        .with_precision_and_scale(38, 10)
                        .expect("a decimal"),
                ),
            ),
            ("seen", Arc::new(TimestampMicrosecondArray::from(vec![253_402_300_799_999_999; count]))),
            ("data", Arc::new(StringArray::from(vec![Some("{\"a\": [1, \"ü\"]}"); count]))),
            (
                "list",
                Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(vec![Some(vec![Some(1), None]); count])),
            ),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))
            .expect("a batch")
    };
    let appended = connection.append("w", "t", &[batch((0..3000).collect()), batch(vec![-1])]).expect("appended");
    assert_eq!(appended, 3001);
    assert_eq!(
        ask(
            &mut *connection,
            "select id, name = '', ok, amount, cast(seen as varchar), data, list[1], list[2] from w.t where id = -1"
        ),
        ["-1|true|∅|-9999999999999999999999999999.9999999999|9999-12-31 23:59:59.999999|{\"a\": [1, \"ü\"]}|1|∅"]
    );
    assert_eq!(ask(&mut *connection, "select count(*) from w.t"), ["3001"]);
    assert_eq!(kind(connection.append("w", "nowhere", &[batch(vec![1])])), WarehouseErrorKind::Statement);
    connection.begin().expect("begin");
    connection.append("w", "t", &[batch(vec![7])]).expect("appended");
    connection.rollback().expect("rollback");
    assert_eq!(ask(&mut *connection, "select count(*) from w.t"), ["3001"]);
}

/// A batch that breaks a constraint leaves nothing of its fellows.
pub fn an_append_is_all_or_nothing(site: &dyn Site) {
    let mut connection = site.connect();
    run(&mut *connection, "create table w.t (i bigint not null)");
    let good: ArrayRef = Arc::new(Int64Array::from_iter_values(0..300_000));
    let bad: ArrayRef = Arc::new(Int64Array::from(vec![None, Some(1)]));
    let batch = |array: ArrayRef| RecordBatch::try_from_iter_with_nullable([("i", array, true)]).expect("a batch");
    assert_eq!(kind(connection.append("w", "t", &[batch(good), batch(bad)])), WarehouseErrorKind::Statement);
    assert_eq!(ask(&mut *connection, "select count(*) from w.t"), ["0"]);
    run(&mut *connection, "insert into w.t values (1)");
    assert_eq!(ask(&mut *connection, "select count(*) from w.t"), ["1"]);
}

pub fn a_statement_is_stopped_from_another_thread(site: &dyn Site) {
    let mut connection = site.connect();
    for sql in [
        "select sum(cast(a.i as bigint) * b.i) from generate_series(1, 10000000) as a(i), generate_series(1, 1000000) as b(i)",
        "create table w.big as select a.i + b.i as i from generate_series(1, 1000000) as a(i), generate_series(1, 1000000) as b(i) where (a.i + b.i) % 1000003 = 5",
    ] {
        let interrupter = connection.interrupter();
        let stopper = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(200));
            interrupter.interrupt();
        });
        connection.begin().expect("begin");
        let started = Instant::now();
        assert_eq!(kind(connection.execute(sql, &[])), WarehouseErrorKind::Interrupted, "{sql}");
        assert!(started.elapsed() < Duration::from_secs(5), "it took {:?}", started.elapsed());
        stopper.join().expect("the other thread");
        assert_eq!(kind(connection.commit()), WarehouseErrorKind::DeadTransaction);
        connection.rollback().expect("rollback");
        assert_eq!(ask(&mut *connection, "select 1"), ["1"]);
    }
    let interrupter = connection.interrupter();
    drop(connection);
    interrupter.interrupt();
}

/// A model is no way to the rest of the disk, to the net or to the program's settings.
pub fn statements_stay_inside(site: &dyn Site) {
    let mut connection = site.connect();
    for sql in [
        "select * from read_csv('/etc/passwd')",
        "select * from '/etc/passwd'",
        "select * from read_text('/proc/self/environ')",
        "copy (select 1) to '/tmp/thalweg-must-not-exist.csv'",
        "attach '/tmp/thalweg-must-not-exist.duckdb'",
        "load icu",
        "install httpfs",
        "set threads = 1",
        "set enable_external_access = true",
    ] {
        assert_eq!(kind(connection.execute(sql, &[])), WarehouseErrorKind::Statement, "{sql}");
    }
    assert!(!std::path::Path::new("/tmp/thalweg-must-not-exist.csv").exists());
}
