//! The engine as the other rooms see it.

use arrow::util::display::{ArrayFormatter, FormatOptions};
use thalweg_duck::{Access, Connection, Engine, ErrorKind, Settings, Value};

fn memory() -> Connection {
    Engine::open_in_memory(&Settings::default()).expect("an engine").connect().expect("a connection")
}

/// The first value of the answer as text.
fn ask(connection: &mut Connection, sql: &str) -> String {
    let answer = connection.query(sql, &[]).expect(sql);
    let options = FormatOptions::new().with_null("∅");
    ArrayFormatter::try_new(answer.batches[0].column(0), &options).expect("a type to print").value(0).to_string()
}

/// One spelling for DuckDB and Postgres, without DuckDB's ICU extension.
#[test]
fn times_have_zones() {
    let mut connection = memory();
    let cases = [
        // A UTC timestamp of the store, seen in Berlin: winter and summer.
        (
            "(timestamp '2024-01-01 12:00:00' at time zone 'UTC' at time zone 'Europe/Berlin')::varchar",
            "2024-01-01 13:00:00",
        ),
        (
            "(timestamp '2024-07-01 12:00:00' at time zone 'UTC' at time zone 'Europe/Berlin')::varchar",
            "2024-07-01 14:00:00",
        ),
        // A local time of Sydney as UTC.
        (
            "(timestamp '2024-01-01 12:00:00.123456' at time zone 'Australia/Sydney')::timestamp::varchar",
            "2024-01-01 01:00:00.123456",
        ),
        ("(timestamp '2024-01-01 12:00:00' at time zone 'Australia/Sydney')::varchar", "2024-01-01 01:00:00+00"),
        ("typeof(timestamp '2024-01-01' at time zone 'UTC')", "TIMESTAMP WITH TIME ZONE"),
        ("(date '2024-01-01' at time zone 'Europe/Berlin')::varchar", "2024-01-01 01:00:00"),
        ("(null::timestamp at time zone 'UTC') is null", "true"),
        ("(timestamp '2024-01-01' at time zone null) is null", "true"),
        ("timezone('Asia/Kathmandu', timestamptz '2024-01-01 00:00:00+00')::varchar", "2024-01-01 05:45:00"),
        (
            "strftime(timestamp '2024-07-01 23:30:00' at time zone 'UTC' at time zone 'Europe/Berlin', '%Y-%m-%d %H')",
            "2024-07-02 01",
        ),
        // What DuckDB had under the name before.
        ("timezone(timetz '12:00:00+02')", "7200"),
    ];
    for (expression, expected) in cases {
        assert_eq!(ask(&mut connection, &format!("select {expression}")), expected, "{expression}");
    }
    let mixed = "select count(*) from (select timestamp '2024-01-01' + interval (range) hour as t, range % 2 = 0 as east from range(10000)) \
                 where t at time zone case when east then 'Europe/Berlin' else 'America/New_York' end \
                 = case when east then t at time zone 'Europe/Berlin' else t at time zone 'America/New_York' end";
    assert_eq!(ask(&mut connection, mixed), "10000");
    let error =
        connection.query("select timestamp '2024-01-01' at time zone 'Europe/Berlim'", &[]).expect_err("no such zone");
    assert_eq!(error.kind, ErrorKind::Statement);
    assert!(error.message.contains("Europe/Berlim"), "{}", error.message);
}

#[test]
fn devices_and_browsers_are_told() {
    let mut connection = memory();
    let agent = "Mozilla/5.0 (Linux; Android 13; Pixel 7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/116.0.0.0 Mobile Safari/537.36";
    assert_eq!(ask(&mut connection, &format!("select device('{agent}')")), "Android");
    assert_eq!(ask(&mut connection, &format!("select browser('{agent}')")), "Chrome Mobile");
    assert_eq!(ask(&mut connection, "select device('nothing known')"), "Other");
    assert_eq!(ask(&mut connection, "select browser(null)"), "∅");
    assert_eq!(
        ask(
            &mut connection,
            &format!(
                "select count(*) from range(100000) where device(case when range % 3 = 0 then null else '{agent}' end) = 'Android'"
            )
        ),
        "66666"
    );
}

/// The engine's own words for one thing: `now()` has a zone, and without ICU not all can be done with it.
#[test]
fn the_present_can_be_stored() {
    let mut connection = memory();
    assert_eq!(ask(&mut connection, "select typeof(now()::timestamp)"), "TIMESTAMP");
    assert_eq!(ask(&mut connection, "select typeof(now() at time zone 'UTC')"), "TIMESTAMP");
    assert_eq!(ask(&mut connection, "select now()::timestamp = now() at time zone 'UTC'"), "true");
    assert_eq!(ask(&mut connection, "select current_date = now()::timestamp::date and current_date = today()"), "true");
    assert_eq!(ask(&mut connection, "select localtimestamp = now()::timestamp"), "true");
    assert_eq!(
        ask(
            &mut connection,
            "select typeof(current_date) || ' ' || typeof(localtimestamp) || ' ' || typeof(current_time)"
        ),
        "DATE TIMESTAMP TIME"
    );
    connection.execute("create view v as select current_date as d", &[]).expect("created");
    assert_eq!(ask(&mut connection, "select d = today() from v"), "true");
    // These few are not worth it.
    for sql in [
        "select age(now())",
        "select time_bucket(interval 1 hour, now())",
        "select date_sub('day', now(), now())",
        "select julian(now())",
        "select extract(epoch from now())",
        "select unnest(generate_series(now(), now(), interval 1 day))",
    ] {
        let error = connection.query(sql, &[]).expect_err(sql);
        assert!(
            error.message.contains("AT TIME ZONE 'UTC'") && !error.message.contains("INSTALL"),
            "{}",
            error.message
        );
    }
}

#[test]
fn files_close_when_the_last_connection_goes() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("w.duckdb");
    let engine = Engine::open(&file, Access::Write, &Settings::default()).expect("an engine");
    let mut connection = engine.connect().expect("a connection");
    drop(engine);
    assert_eq!(connection.execute("create table t as select 1 as i", &[]).expect("created"), 1);
    let again = Engine::open(&file, Access::Write, &Settings::default()).expect("the same engine");
    assert_eq!(ask(&mut again.connect().expect("a connection"), "select i from t"), "1");
    let touched = Engine::while_closed(&file, || ()).expect_err("it is open");
    assert_eq!(touched.kind, ErrorKind::Held);
    drop(connection);
    drop(again);
    assert!(Engine::while_closed(&file, || std::fs::read(&file).is_ok()).expect("it is closed"));
    assert!(!folder.path().join("w.duckdb.wal").exists(), "closing tidies up");
    Engine::open(&file, Access::Read, &Settings::default()).expect("for reading");
}

#[test]
fn two_connections_do_not_see_each_others_transactions() {
    let engine = Engine::open_in_memory(&Settings::default()).expect("an engine");
    let (mut one, mut other) = (engine.connect().expect("one"), engine.connect().expect("another"));
    one.execute("create table t (i bigint)", &[]).expect("created");
    one.begin().expect("begin");
    assert_eq!(one.execute("insert into t values (?), (?)", &[Value::BigInt(1), Value::Null]).expect("inserted"), 2);
    assert!(one.in_transaction() && !other.in_transaction());
    assert_eq!(ask(&mut other, "select count(*) from t"), "0");
    one.commit().expect("commit");
    assert_eq!(ask(&mut other, "select count(*) from t"), "2");
}

#[test]
fn errors_are_told_apart() {
    let mut connection = memory();
    connection.execute("create table t (i bigint primary key)", &[]).expect("created");
    connection.execute("insert into t values (1)", &[]).expect("inserted");
    let cases = [
        ("select * from nowhere", ErrorKind::Missing, Some(14)),
        ("select j from t", ErrorKind::Missing, Some(7)),
        ("select nothing_known(i) from t", ErrorKind::Missing, Some(7)),
        ("select ü from t where", ErrorKind::Statement, None),
        ("selec 1", ErrorKind::Statement, Some(0)),
        ("select 'x'::integer", ErrorKind::Statement, None),
        ("insert into t values (1)", ErrorKind::Constraint, None),
        ("select 1; select 2", ErrorKind::Statement, Some(9)),
    ];
    for (sql, kind, position) in cases {
        let error = connection.execute(sql, &[]).expect_err(sql);
        assert_eq!(error.kind, kind, "{sql}: {}", error.message);
        if position.is_some() {
            assert_eq!(error.position, position, "{sql}");
        }
        assert!(!error.message.contains("exception_type") && !error.message.contains("LINE 1"), "{}", error.message);
    }
    let error = connection.query("select amonut from (select 1 as amount)", &[]).expect_err("no such column");
    assert_eq!(error.candidates, ["amount"]);
}

/// Every type DuckDB has is answered, or refused with words; nothing panics.
#[test]
fn every_type_is_answered() {
    let mut connection = memory();
    let columns = connection.describe("select * from test_all_types()").expect("columns");
    assert!(columns.len() > 40, "{}", columns.len());
    for column in &columns {
        match connection.query(&format!("select \"{}\" from test_all_types()", column.name), &[]) {
            Ok(answer) => assert_eq!(answer.batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), 3),
            Err(error) => {
                assert_eq!(error.kind, ErrorKind::Statement, "{}", column.type_name);
                println!("{}: {}", column.type_name, error.message);
            }
        }
        let sql = format!("select \"{}\"::varchar from test_all_types()", column.name);
        if let Err(error) = connection.query(&sql, &[]) {
            println!("{}: {}", column.type_name, error.message);
        }
    }
}

#[test]
fn an_interrupt_between_statements_stops_nothing() {
    let mut connection = memory();
    connection.interrupter().interrupt();
    assert_eq!(ask(&mut connection, "select sum(range) from range(1000000)"), "499999500000");
    connection.begin().expect("begin");
    connection.interrupter().interrupt();
    assert_eq!(ask(&mut connection, "select sum(range) from range(1000000)"), "499999500000");
    connection.interrupter().interrupt();
    connection.commit().expect("commit");
}
