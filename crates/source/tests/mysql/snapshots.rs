//! One snapshot, and the bound behind which nothing commits, with real sessions beside.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use thalweg_source::SourceErrorKind;
use thalweg_source::database::{Connection, Engine, OpenSnapshot, Safety, TableRef};
use thalweg_source::mysql::MysqlEngine;
use thalweg_testkit::{MariadbDatabase, MariadbServer};

use crate::{engine, settings, with_user};

const TABLE: &str = "create table t (id int primary key, updated_at datetime(6) not null default current_timestamp(6) on update current_timestamp(6))";

fn open(engine: &MysqlEngine, database: &MariadbDatabase<'_>) -> OpenSnapshot {
    engine.open(1, &[TableRef::new(database.name(), "t")]).unwrap()
}

fn number(connection: &mut dyn Connection, sql: &str) -> i64 {
    connection.query(sql).unwrap()[0][0].as_ref().unwrap().parse().unwrap()
}

fn count(connection: &mut dyn Connection) -> i64 {
    number(connection, "select count(*) from t")
}

/// Microseconds of a column of one row, as the server has it.
const STAMP: &str = "select timestampdiff(microsecond, '1970-01-01', updated_at) from t where id = ";

#[test]
fn all_connections_see_one_snapshot() {
    let server = MariadbServer::start(&[]);
    let database = server.database();
    database.run(TABLE);
    database.run("insert into t (id) values (0)");
    let engine = engine(&settings(&server, &database));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Writers that commit all the time, each transaction two rows.
        for writer in 0..3 {
            let (done, database) = (&done, &database);
            scope.spawn(move || {
                let mut session = database.session();
                let mut id = 1 + writer * 10_000_000;
                while !done.load(Ordering::Relaxed) {
                    session.run(&format!(
                        "begin; insert into t (id) values ({id}); insert into t (id) values ({}); commit",
                        id + 1
                    ));
                    id += 2;
                }
            });
        }
        let mut seen = Vec::new();
        for _ in 0..20 {
            // A failure must not leave the writers writing.
            let Ok(mut opened) = engine.open(3, &[TableRef::new(database.name(), "t")]) else { break };
            let mut counts: Vec<i64> = opened.connections.iter_mut().map(|one| count(one.as_mut())).collect();
            std::thread::sleep(Duration::from_millis(5));
            counts.extend(opened.connections.iter_mut().map(|one| count(one.as_mut())));
            seen.push(counts);
        }
        done.store(true, Ordering::Relaxed);
        assert_eq!(seen.len(), 20);
        for counts in &seen {
            assert!(counts.iter().all(|count| *count == counts[0] && count % 2 == 1), "{counts:?}");
        }
        let several = seen.iter().filter(|counts| counts.len() == 6).count();
        assert!(several >= 15, "{several} of 20 had all connections");
    });
}

#[test]
fn definitions_are_held_until_the_end() {
    let server = MariadbServer::shared();
    let database = server.database();
    database.run(TABLE);
    let engine = engine(&settings(server, &database));
    let missing = TableRef::new(database.name(), "missing");
    let opened = engine.open(1, &[TableRef::new(database.name(), "t"), missing]).unwrap();
    assert_eq!(opened.tables[0].as_ref().unwrap().columns.len(), 2);
    let error = opened.tables[1].as_ref().unwrap_err();
    assert_eq!(error.kind, SourceErrorKind::Denied);
    assert!(error.message.contains("the table is not there"), "{}", error.message);

    let waited = database.run_all("set lock_wait_timeout = 1; alter table t add column x int");
    assert!(waited.iter().any(|line| line.contains("Lock wait timeout")), "{waited:?}");
    drop(opened);
    database.run("alter table t add column x int");
    assert_eq!(open(&engine, &database).tables[0].as_ref().unwrap().columns.len(), 3);
}

#[test]
fn the_bound_is_the_oldest_open_transaction() {
    let server = MariadbServer::start(&["--default-time-zone=+05:30"]);
    let database = server.database();
    database.run(TABLE);
    let engine = engine(&settings(&server, &database));
    let quiet = open(&engine, &database);
    assert_eq!(quiet.safety, Safety::Certain);
    assert_eq!(quiet.server_offset, 19_800);
    // Threads of the server have transactions, too.
    assert!(quiet.oldest_open <= quiet.now && quiet.oldest_open > quiet.now - 5_000_000);
    drop(quiet);

    let mut session = database.session();
    session.run("set time_zone = '+00:00'; begin; insert into t (id) values (1)");
    let stamp: i64 = session.run(&format!("{STAMP} 1")).parse().unwrap();
    // Over three reads, with others that come and go.
    for id in 2..5 {
        std::thread::sleep(Duration::from_millis(700));
        database.run(&format!("insert into t (id) values ({id})"));
        let mut opened = open(&engine, &database);
        assert_eq!((opened.safety.clone(), count(opened.connections[0].as_mut())), (Safety::Certain, id - 1));
        assert!(
            opened.oldest_open <= stamp && opened.oldest_open > stamp - 2_100_000,
            "read {id}: {} for {stamp}",
            opened.oldest_open
        );
    }
    session.run("commit");
    let opened = open(&engine, &database);
    assert!(opened.oldest_open > stamp);
}

/// A statement has its time before its transaction is begun.
#[test]
fn the_bound_is_not_after_a_running_statement() {
    let server = MariadbServer::start(&[]);
    let database = server.database();
    database.run(TABLE);
    let engine = engine(&settings(&server, &database));
    let mut session = database.session();
    session.run("set time_zone = '+00:00'");
    session.send("insert into t (id) select 7 + sleep(2)");
    std::thread::sleep(Duration::from_millis(1200));
    let opened = open(&engine, &database);
    session.answer();
    let stamp: i64 = session.run(&format!("{STAMP} 7")).parse().unwrap();
    assert!(
        opened.oldest_open <= stamp && opened.oldest_open > stamp - 2_000_000,
        "{} for {stamp}",
        opened.oldest_open
    );
    assert!(opened.now > stamp + 900_000, "it was running when it was looked at");
    drop(opened);

    // A long query that only reads holds nothing back.
    session.send("select sleep(2)");
    std::thread::sleep(Duration::from_millis(1200));
    let opened = open(&engine, &database);
    assert!(opened.oldest_open > opened.now - 900_000, "{} for {}", opened.oldest_open, opened.now);
    session.answer();
}

#[test]
fn prepared_transactions_count() {
    let server = MariadbServer::start(&[]);
    let database = server.database();
    database.run(TABLE);
    let engine = engine(&settings(&server, &database));
    let mut session = database.session();
    session.run("set time_zone = '+00:00'; xa start 'later'; insert into t (id) values (1)");
    let stamp: i64 = session.run(&format!("{STAMP} 1")).parse().unwrap();
    session.run("xa end 'later'; xa prepare 'later'");
    drop(session);
    std::thread::sleep(Duration::from_millis(1500));
    let mut opened = open(&engine, &database);
    assert!(opened.oldest_open <= stamp, "{} is after {stamp}", opened.oldest_open);
    assert_eq!((opened.safety.clone(), count(opened.connections[0].as_mut())), (Safety::Certain, 0));
    drop(opened);
    database.run("xa commit 'later'");
    std::thread::sleep(Duration::from_millis(1100));
    assert!(open(&engine, &database).oldest_open > stamp);
}

/// The list of transactions is a copy that is renewed only when nobody has just read it.
#[test]
fn an_old_list_of_transactions_is_not_believed() {
    let server = MariadbServer::start(&[]);
    let database = server.database();
    database.run(TABLE);
    let engine = engine(&settings(&server, &database));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut monitor = database.session();
            while !done.load(Ordering::Relaxed) {
                monitor.run("select count(*) from information_schema.innodb_trx");
                std::thread::sleep(Duration::from_millis(60));
            }
        });
        std::thread::sleep(Duration::from_millis(200));
        let mut session = database.session();
        session.run("set time_zone = '+00:00'; begin; insert into t (id) values (1)");
        let stamp: i64 = session.run(&format!("{STAMP} 1")).parse().unwrap();
        std::thread::sleep(Duration::from_millis(1100));
        let answer = engine.open(1, &[TableRef::new(database.name(), "t")]);
        done.store(true, Ordering::Relaxed);
        match answer {
            Ok(opened) => assert!(opened.oldest_open <= stamp, "{} is after {stamp}", opened.oldest_open),
            Err(error) => assert_eq!(error.kind, SourceErrorKind::Unavailable, "{}", error.message),
        }
    });
}

#[test]
fn without_the_privilege_only_the_lag_protects() {
    let server = MariadbServer::start(&["--log-bin=log", "--server-id=1"]);
    let database = server.database();
    database.run(TABLE);
    database.run(&format!("create user reader@'%'; grant select on {}.* to reader@'%'", database.name()));
    let engine = engine(&with_user(&settings(&server, &database), "reader", ""));
    let opened = open(&engine, &database);
    let Safety::LagOnly(why) = &opened.safety else { panic!("{:?}", opened.safety) };
    assert!(why.contains("GRANT PROCESS"), "{why}");
    assert_eq!(opened.oldest_open, opened.now);
    drop(opened);
    // The binary log still tells that two snapshots are the same.
    let opened = engine.open(3, &[TableRef::new(database.name(), "t")]).unwrap();
    assert_eq!(opened.connections.len(), 3);
    drop(opened);
    let started = Instant::now();
    database.run("insert into t (id) values (1)");
    assert!(started.elapsed() < Duration::from_secs(5), "nobody is held up");
}

#[test]
fn without_privilege_and_log_there_is_one_connection() {
    let server = MariadbServer::shared();
    let database = server.database();
    database.run(TABLE);
    let user = format!("reader_{}", database.name());
    database.run(&format!("create user {user}@'%'; grant select on {}.* to {user}@'%'", database.name()));
    let engine = engine(&with_user(&settings(server, &database), &user, ""));
    let opened = engine.open(3, &[TableRef::new(database.name(), "t")]).unwrap();
    assert_eq!(opened.connections.len(), 1);
}
