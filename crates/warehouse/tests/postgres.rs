//! What is particular to Postgres: connections that are lost, others who work on the same tables, and types that only it has.

mod suite;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use suite::{PostgresSite, Site, ask, connect, kind, run};
use thalweg_testkit::PostgresServer;
use thalweg_warehouse::{Access, WarehouseErrorKind};

/// URL of the database whose lock the other process is to take.
const TASK: &str = "THALWEG_TEST_TASK";

/// Not a test: what the other process does.
#[test]
#[ignore = "run by the other tests in a process of its own"]
fn other_process() {
    let Ok(task) = std::env::var(TASK) else { return };
    let (port, database) = task.split_once(' ').expect("a port and a database");
    let warehouse = suite::postgres_warehouse(port.parse().expect("a port"), database, std::path::Path::new("/"));
    let mut lock = warehouse.lock("orders", "run 12").expect("the lock");
    lock.describe("extracting").expect("described");
    println!("ready");
    std::thread::sleep(Duration::from_secs(60));
    drop(lock);
}

/// Starts a process that holds the lock of a warehouse.
fn other_holder(site: &PostgresSite) -> Child {
    let mut process = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "other_process", "--ignored", "--nocapture"])
        .env(TASK, format!("{} {}", site.server().port(), site.database().name()))
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process");
    let mut output = BufReader::new(process.stdout.take().expect("its output")).lines();
    assert!(output.by_ref().map_while(Result::ok).any(|line| line.ends_with("ready")), "the other process failed");
    process
}

#[test]
fn a_second_run_is_told_who_is_first_and_the_dead_hold_nothing() {
    let site = PostgresSite::new();
    let mut other = other_holder(&site);
    let Err(refused) = site.warehouse().lock("orders", "run 13") else { panic!("the lock is held") };
    assert_eq!(refused.kind, WarehouseErrorKind::Busy);
    for part in
        ["run 12 of project orders", "target prod", &format!("process {}", other.id()), "since 20", "(extracting)"]
    {
        assert!(refused.message.contains(part), "{part} is not in: {}", refused.message);
    }
    drop(site.warehouse().lock("customers", "run 1").expect("another project"));
    other.kill().expect("killed");
    other.wait().expect("gone");
    let started = Instant::now();
    loop {
        match site.warehouse().lock("orders", "run 13") {
            Ok(_) => break,
            Err(error) => assert!(started.elapsed() < Duration::from_secs(10), "{}", error.message),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_connection_killed_in_a_transaction_is_lost_with_it() {
    let site = PostgresSite::new();
    let mut connection = site.connect();
    run(&mut *connection, "create table w.t (i bigint)");
    connection.begin().expect("begin");
    run(&mut *connection, "insert into w.t values (1)");
    let killed = site.database().run(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = 'thalweg' \
         and state = 'idle in transaction'",
    );
    assert_eq!(killed, "1");
    assert_eq!(kind(connection.execute("insert into w.t values (2)", &[])), WarehouseErrorKind::Lost);
    assert_eq!(kind(connection.query("select 1", &[])), WarehouseErrorKind::Lost);
    assert_eq!(kind(connection.commit()), WarehouseErrorKind::Lost, "it is known that nothing happened");
    connection.rollback().expect("there is nothing to undo");
    assert_eq!(kind(connection.begin()), WarehouseErrorKind::Lost);
    assert_eq!(ask(&mut *site.connect(), "select count(*) from w.t"), ["0"]);
}

/// A trigger that waits until the end of the transaction keeps COMMIT busy for as long as the test needs.
#[test]
fn a_connection_killed_while_it_commits_leaves_the_question_open() {
    let site = PostgresSite::new();
    site.database().run(
        "create schema w; create table w.t (i bigint); \
         create function w.wait() returns trigger language plpgsql as $$ begin perform pg_sleep(30); return null; end $$; \
         create constraint trigger wait after insert on w.t deferrable initially deferred for each row execute function w.wait()",
    );
    let mut connection = site.connect();
    connection.begin().expect("begin");
    run(&mut *connection, "insert into w.t values (1)");
    let (url, port) = (site.database().name().to_owned(), site.server().port());
    let killer = std::thread::spawn(move || {
        let server = suite::postgres_warehouse(port, &url, std::path::Path::new("/"));
        let mut other = connect(&*server, Access::Write);
        let kill =
            "select count(pg_terminate_backend(pid)) from pg_stat_activity where query = 'commit' and state = 'active'";
        let started = Instant::now();
        while ask(&mut *other, kill) != ["1"] {
            assert!(started.elapsed() < Duration::from_secs(20), "nobody commits");
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    assert_eq!(kind(connection.commit()), WarehouseErrorKind::CommitUnknown);
    killer.join().expect("the other thread");
    assert_eq!(kind(connection.commit()), WarehouseErrorKind::Lost);
    assert_eq!(ask(&mut *site.connect(), "select count(*) from w.t"), ["0"]);
}

/// Dropping the server stops it at once, as `pg_ctl stop -m immediate` does.
#[test]
fn a_server_that_stops_at_once_is_lost() {
    let server = PostgresServer::start(&[]);
    let (port, name) = (server.port(), server.database().name().to_owned());
    let warehouse = suite::postgres_warehouse(port, &name, std::path::Path::new("/"));
    let mut connection = connect(&*warehouse, Access::Write);
    let mut idle = connect(&*warehouse, Access::Write);
    let lock = warehouse.lock("orders", "run 1").expect("the lock");
    connection.begin().expect("begin");
    run(&mut *connection, "create schema w");
    drop(server);
    assert_eq!(kind(connection.execute("create table w.t (i bigint)", &[])), WarehouseErrorKind::Lost);
    connection.rollback().expect("there is nothing to undo");
    assert_eq!(kind(idle.query("select 1", &[])), WarehouseErrorKind::Lost);
    let Err(gone) = warehouse.exists() else { panic!("the server is gone") };
    assert_eq!(gone.kind, WarehouseErrorKind::Lost, "{}", gone.message);
    drop(lock);
}

#[test]
fn who_gives_way_to_others_may_begin_anew() {
    let site = PostgresSite::new();
    let (mut one, mut other) = (site.connect(), site.connect());
    run(&mut *one, "create table w.t as select i from generate_series(1, 2) as numbers(i)");
    one.begin().expect("begin");
    run(&mut *one, "update w.t set i = i where i = 1");
    // A lock that is held too long.
    other.begin().expect("begin");
    assert_eq!(kind(other.execute("update w.t set i = i where i = 1", &[])), WarehouseErrorKind::Conflict);
    assert_eq!(kind(other.commit()), WarehouseErrorKind::DeadTransaction);
    other.rollback().expect("rollback");
    one.rollback().expect("rollback");
    // A deadlock: the server finds it before anybody's patience ends.
    for connection in [&mut one, &mut other] {
        connection.begin().expect("begin");
    }
    run(&mut *one, "select pg_catalog.set_config('lock_timeout', '20s', true)");
    run(&mut *other, "select pg_catalog.set_config('lock_timeout', '20s', true)");
    run(&mut *one, "update w.t set i = i where i = 1");
    run(&mut *other, "update w.t set i = i where i = 2");
    let thread = std::thread::spawn(move || {
        let outcome = one.execute("update w.t set i = i where i = 2", &[]).map_err(|error| error.kind);
        one.rollback().expect("rollback");
        outcome
    });
    let second = other.execute("update w.t set i = i where i = 1", &[]).map_err(|error| error.kind);
    other.rollback().expect("rollback");
    let outcomes = [thread.join().expect("the other thread"), second];
    assert!(outcomes.contains(&Err(WarehouseErrorKind::Conflict)), "{outcomes:?}");
    assert!(outcomes.contains(&Ok(1)), "{outcomes:?}");
}

#[test]
fn a_savepoint_undoes_a_statement_and_keeps_the_rest() {
    let site = PostgresSite::new();
    assert!(site.warehouse().capabilities().savepoints);
    let mut connection = site.connect();
    assert_eq!(kind(connection.savepoint("early")), WarehouseErrorKind::Statement, "there is no transaction");
    connection.begin().expect("begin");
    run(&mut *connection, "create table w.t (i bigint not null)");
    connection.savepoint("a \"b\"").expect("marked");
    run(&mut *connection, "insert into w.t values (1)");
    assert_eq!(kind(connection.execute("insert into w.t values (null)", &[])), WarehouseErrorKind::Statement);
    assert_eq!(kind(connection.query("select 1", &[])), WarehouseErrorKind::DeadTransaction);
    connection.rollback_to("a \"b\"").expect("undone");
    run(&mut *connection, "insert into w.t values (2)");
    connection.release("a \"b\"").expect("forgotten");
    connection.commit().expect("commit");
    assert_eq!(ask(&mut *connection, "select i from w.t"), ["2"]);
}

#[test]
fn types_that_only_postgres_has_are_exact() {
    let site = PostgresSite::new();
    let mut connection = site.connect();
    run(&mut *connection, "create type w.mood as enum ('sad', 'glad')");
    let sql = "select sum(i)::text || '' as t, sum(i) as n, 'glad'::w.mood as m, int4range(1, 5) as r, \
               '6a2f41a3-c54c-fce8-32d2-0324e1c32e22'::uuid as u, timestamptz '2024-01-01 01:00+01' as z, \
               array['sad']::w.mood[] as l, point(1, 2) as p, 'x'::char(3) as c, null::numeric as e, 'NaN'::numeric as q \
               from (values (9223372036854775807), (1)) as numbers(i)";
    let expected = "9223372036854775808|9223372036854775808|glad|[1,5)|6a2f41a3-c54c-fce8-32d2-0324e1c32e22|\
                    2024-01-01T00:00:00Z|[sad]|(1,2)|x|∅|NaN";
    assert_eq!(ask(&mut *connection, sql), [expected]);
    let types: Vec<String> =
        connection.describe(sql).expect("columns").into_iter().map(|column| column.engine_type).collect();
    let named = [
        "text",
        "numeric",
        "w.mood",
        "int4range",
        "uuid",
        "timestamp with time zone",
        "w.mood[]",
        "point",
        "character(3)",
        "numeric",
        "numeric",
    ];
    assert_eq!(types, named);
    let mut batches = Vec::new();
    let read = connection.read(
        "select i, i * 0.1 as n from generate_series(1, 40000) as g(i) order by i -- end",
        &mut |batch| {
            batches.push(batch.clone());
            Ok(())
        },
    );
    read.expect("rows");
    assert!(batches.len() > 1 && batches.iter().all(|batch| batch.schema() == batches[0].schema()));
    assert_eq!(batches.iter().map(arrow::record_batch::RecordBatch::num_rows).sum::<usize>(), 40_000);
    // Nobody wants the rest: the connection is of use again.
    let stopped = connection.read("select i from generate_series(1, 2000000) as g(i)", &mut |_| {
        Err(thalweg_warehouse::WarehouseError::new(WarehouseErrorKind::Interrupted, "enough"))
    });
    assert_eq!(kind(stopped), WarehouseErrorKind::Interrupted);
    assert_eq!(ask(&mut *connection, "select 1"), ["1"]);
}

/// A reader stages, too, and still cannot write.
#[test]
fn a_reader_stages_what_it_compares() {
    let site = PostgresSite::new();
    run(&mut *site.connect(), "create table w.t (i bigint)");
    let file = site.landing("a.parquet", "select 7::bigint as i, 0::integer as _file, 1::bigint as _record");
    let columns = [thalweg_warehouse::StagedColumn {
        name: "i".to_owned(),
        column_type: thalweg_project::ColumnType::BigInt,
        in_files: vec![0],
    }];
    let mut reader = connect(&*site.warehouse(), Access::Read);
    for inside in [false, true] {
        if inside {
            reader.begin().expect("begin");
        }
        reader.stage("landed", std::slice::from_ref(&file), &columns).expect("staged");
        assert_eq!(ask(&mut *reader, "select i from landed"), ["7"]);
        reader.unstage("landed").expect("unstaged");
    }
    assert_eq!(kind(reader.execute("insert into w.t values (1)", &[])), WarehouseErrorKind::Statement);
    reader.rollback().expect("rollback");
}

#[test]
fn nothing_is_made_by_looking() {
    let site = PostgresSite::new();
    assert!(!site.warehouse().exists().expect("an answer"));
    drop(connect(&*site.warehouse(), Access::Read));
    assert!(!site.warehouse().exists().expect("an answer"));
    thalweg_warehouse::Ledger::new("p", site.dialect()).prepare(&mut *site.connect()).expect("prepared");
    assert!(site.warehouse().exists().expect("an answer"));
}

/// The loader builds with what the script grants and no more; a reader reads its schema only.
#[test]
fn granted_roles_may_do_what_they_must_and_no_more() {
    let server = PostgresServer::start(&[]);
    let database = server.database();
    let script =
        thalweg_warehouse::grants("it's", database.name(), &["a \"b\"".to_owned(), "c".to_owned()]).expect("a script");
    database.run(&script);
    database.run(&script);
    database.run("create role ana login in role \"it's_loader\"; create role ben login in role \"a \"\"b\"\"_reader\"");
    let warehouse = |user, role: Option<&str>| {
        suite::postgres_warehouse_as(server.port(), database.name(), std::path::Path::new("/"), user, role)
    };
    let mut loader = connect(&*warehouse("ana", Some("it's_loader")), Access::Write);
    let ledger = thalweg_warehouse::Ledger::new("it's", &thalweg_sql::dialect::postgres::Postgres);
    ledger.prepare(&mut *loader).expect("schemas that are there need no privilege");
    run(&mut *loader, "create table thalweg_data.t as select 1 as i");
    run(&mut *loader, "create view \"a \"\"b\"\"\".v as select * from thalweg_data.t");
    run(&mut *loader, "create view c.v as select * from thalweg_data.t");
    let denied = loader.execute("create schema other", &[]).expect_err("not the loader's");
    assert!(denied.message.contains("thalweg grants"), "{}", denied.message);
    let mut reader = connect(&*warehouse("ben", None), Access::Write);
    assert_eq!(ask(&mut *reader, "select i from \"a \"\"b\"\"\".v"), ["1"]);
    for sql in [
        "select * from c.v",
        "select * from thalweg_data.t",
        "select * from thalweg.runs",
        "create view c.w as select 1",
    ] {
        assert_eq!(kind(reader.execute(sql, &[])), WarehouseErrorKind::Statement, "{sql}");
    }
    // Another project keeps its ledger in the same tables.
    database.run(&thalweg_warehouse::grants("other", database.name(), &["d".to_owned()]).expect("a script"));
    database.run("create role cas login in role other_loader");
    let mut other = connect(&*warehouse("cas", Some("other_loader")), Access::Write);
    let ledger = thalweg_warehouse::Ledger::new("other", &thalweg_sql::dialect::postgres::Postgres);
    ledger.prepare(&mut *other).expect("its tables are there");
    other.begin().expect("a transaction");
    ledger.take_lease(&mut *other, 0, "cas", thalweg_warehouse::ledger::rows::Microseconds(0)).expect("a lease");
    other.commit().expect("committed");
}

#[test]
fn a_view_defined_anew_keeps_those_who_use_it() {
    let site = PostgresSite::new();
    let database = site.database();
    database.run(
        "create role analyst; create schema d; create schema pres; create schema people;
         create table d.t (a int, b text); insert into d.t values (1, 'x');
         create view pres.v as select a, b from d.t; grant select on pres.v to analyst; grant select (a) on pres.v to public;
         comment on view pres.v is 'for all';
         create view people.own as select a + 1 as next from pres.v; grant select on people.own to analyst;
         create view people.upon as select next from people.own",
    );
    let mut connection = site.connect();
    connection.begin().expect("a transaction");
    // More columns at the end, other ones, and another type: the last two make all the views anew.
    connection.define_view("pres", "v", "select a, b, a * 2 as c from d.t").expect("one more column");
    connection.define_view("pres", "v", "select b, cast(a as numeric(9,2)) as a from d.t").expect("other columns");
    connection.commit().expect("committed");
    assert_eq!(ask(&mut *connection, "select a::text from pres.v"), ["1.00"]);
    assert_eq!(ask(&mut *connection, "select next::text from people.upon"), ["2.00"]);
    let told = database.run(
        "select has_table_privilege('analyst', 'pres.v', 'select'), has_table_privilege('analyst', 'people.own', 'select'),
           has_column_privilege('needs_password', 'pres.v', 'a', 'select'), has_column_privilege('needs_password', 'pres.v', 'b', 'select'),
           obj_description('pres.v'::regclass)",
    );
    assert_eq!(told, "t|t|t|f|for all");

    // What cannot be made again is named, and nothing happened.
    connection.begin().expect("a transaction");
    let refused = connection.define_view("pres", "v", "select b from d.t").expect_err("a is granted");
    assert!(refused.message.contains("grant SELECT (a)"), "{}", refused.message);
    connection.rollback().expect("undone");
    database.run("revoke select (a) on pres.v from public");
    connection.begin().expect("a transaction");
    let refused = connection.define_view("pres", "v", "select b from d.t").expect_err("people.own reads a");
    assert!(refused.message.contains("people.own") && refused.message.contains("pres"), "{}", refused.message);
    connection.rollback().expect("undone");
    assert_eq!(ask(&mut *connection, "select next::text from people.upon"), ["2.00"]);
    database.run("create materialized view people.kept as select a from pres.v");
    connection.begin().expect("a transaction");
    let refused = connection.define_view("pres", "v", "select a from d.t").expect_err("a materialized view reads it");
    assert!(refused.message.contains("people.kept"), "{}", refused.message);
    connection.rollback().expect("undone");
    database.run("drop owned by analyst; drop role analyst");
}
