//! One snapshot, and the bound behind which nothing commits, with real sessions beside.

use thalweg_source::SourceErrorKind;
use thalweg_source::database::{Connection, Engine, OpenSnapshot, Safety, TableRef};
use thalweg_source::postgres::PostgresEngine;
use thalweg_testkit::{PostgresDatabase, PostgresServer};

use crate::support::{as_role, engine, engine_of, settings};

const TABLE: &str = "create table t (id int primary key, updated_at timestamptz not null default now());";

fn open(engine: &PostgresEngine) -> OpenSnapshot {
    engine.open(2, &[TableRef::new("public", "t")]).unwrap()
}

fn count(connection: &mut dyn Connection) -> i64 {
    connection.query("select count(*) from t").unwrap()[0][0].as_ref().unwrap().parse().unwrap()
}

/// Microseconds of a timestamp at the server.
fn micros(database: &PostgresDatabase<'_>, expression: &str) -> i64 {
    database.run(&format!("select (extract(epoch from {expression}) * 1000000)::bigint")).parse().unwrap()
}

#[test]
fn all_connections_see_one_snapshot() {
    let server = PostgresServer::shared();
    let database = server.database();
    database.run(TABLE);
    database.run("insert into t (id) values (1)");
    let engine = engine_of(server, &database);
    let mut opened = engine.open(3, &[TableRef::new("public", "t")]).unwrap();
    assert_eq!(opened.connections.len(), 3);
    assert!(opened.mark.as_ref().unwrap().starts_with("log position "));
    assert_eq!(opened.server_offset, 0);
    database.run("insert into t (id) values (2)");
    for connection in &mut opened.connections {
        assert_eq!(count(connection.as_mut()), 1);
    }
    // Nobody alters or empties the table beneath it.
    for statement in ["alter table t add column x int", "truncate t"] {
        let waited = database.run(&format!(
            "set lock_timeout = '100ms'; do $$ begin {statement}; raise 'done'; \
             exception when lock_not_available then null; end $$; select 'waited'"
        ));
        assert_eq!(waited, "waited");
    }
    drop(opened);
    database.run("alter table t add column x int");
    assert_eq!(open(&engine).tables[0].as_ref().unwrap().columns.len(), 3);
}

/// A table that somebody alters is told of, and the others are read.
#[test]
fn a_table_in_somebodys_hands_does_not_hold_up_the_others() {
    let server = PostgresServer::shared();
    let database = server.database();
    database.run(TABLE);
    database.run("create table busy (a int); create view seen as select * from t");
    let mut session = database.session();
    session.run("begin; lock table busy in access exclusive mode");
    let names = ["t", "busy", "seen"].map(|name| TableRef::new("public", name));
    let opened = engine_of(server, &database).open(1, &names).unwrap();
    assert!(opened.tables[0].is_ok() && opened.tables[2].is_ok());
    let error = opened.tables[1].as_ref().unwrap_err();
    assert!(
        error.kind == SourceErrorKind::Unavailable && error.message.contains("somebody holds the table"),
        "{}",
        error.message
    );
}

#[test]
fn the_bound_is_the_oldest_open_transaction() {
    let server = PostgresServer::start(&[]);
    let database = server.database();
    database.run(TABLE);
    let engine = engine_of(&server, &database);
    let quiet = open(&engine);
    assert_eq!(quiet.safety, Safety::Certain);
    assert!(quiet.oldest_open < quiet.now && quiet.oldest_open >= quiet.now - 2_000_000);
    drop(quiet);

    let mut session = database.session();
    session.run("begin; insert into t (id) values (1)");
    let stamp: i64 =
        session.run("select (extract(epoch from updated_at) * 1000000)::bigint from t where id = 1").parse().unwrap();
    // Over three reads, with others that come and go.
    for id in 2..5 {
        std::thread::sleep(std::time::Duration::from_millis(1100));
        database.run(&format!("insert into t (id) values ({id})"));
        let mut opened = open(&engine);
        assert_eq!((opened.safety.clone(), count(opened.connections[0].as_mut())), (Safety::Certain, id - 1));
        assert_eq!(opened.oldest_open, stamp, "read {id}");
    }
    session.run("commit");
    let opened = open(&engine);
    assert!(opened.oldest_open > stamp);

    // Another database's transactions do not matter.
    let other = server.database();
    let mut elsewhere = other.session();
    elsewhere.run("begin; select 1");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let opened = open(&engine);
    assert!(opened.oldest_open >= opened.now - 1_100_000);
}

#[test]
fn prepared_transactions_count() {
    let server = PostgresServer::start(&[]);
    let database = server.database();
    database.run(TABLE);
    let engine = engine_of(&server, &database);
    let mut session = database.session();
    session.run("begin; insert into t (id) values (1)");
    let stamp: i64 = session.run("select (extract(epoch from updated_at) * 1000000)::bigint from t").parse().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1500));
    session.run("prepare transaction 'later'");
    drop(session);
    let opened = open(&engine);
    assert!(opened.oldest_open <= stamp, "{} is after {stamp}", opened.oldest_open);
    assert_eq!(opened.safety, Safety::Certain);
    drop(opened);
    database.run("commit prepared 'later'");
    let opened = open(&engine);
    assert!(opened.oldest_open > stamp);
}

#[test]
fn without_privilege_what_is_short_is_waited_for() {
    let server = PostgresServer::start(&[]);
    let database = server.database();
    database.run(TABLE);
    database.run(
        "create role reader login; grant select on t to reader; create role writer login; grant all on t to writer",
    );
    let base = settings(&server, &database);
    let reader = engine(as_role(&base, "reader", None));
    assert_eq!(open(&reader).safety, Safety::Certain);

    // A session that is in no transaction is no reason to doubt.
    let mut session = database.session();
    session.run("select 1");
    assert_eq!(open(&reader).safety, Safety::Certain);

    // One whose transaction ends soon is waited for; its change is then seen.
    session.run("begin; insert into t (id) values (1)");
    let stamp: i64 = session.run("select (extract(epoch from updated_at) * 1000000)::bigint from t").parse().unwrap();
    let mut opened = std::thread::scope(|scope| {
        let opening = scope.spawn(|| open(&reader));
        std::thread::sleep(std::time::Duration::from_millis(60));
        session.run("commit");
        opening.join().unwrap()
    });
    assert_eq!((opened.safety.clone(), count(opened.connections[0].as_mut())), (Safety::Certain, 1));
    assert!(opened.oldest_open <= opened.now && opened.now < stamp + 60_000_000);
    drop(opened);

    // One that stays is not: only a lag protects, and who reads it knows what to grant.
    session.run("begin; insert into t (id) values (2)");
    let began: i64 = session.run("select (extract(epoch from now()) * 1000000)::bigint").parse().unwrap();
    let opened = open(&reader);
    let Safety::LagOnly(reason) = &opened.safety else { panic!("{:?}", opened.safety) };
    assert!(reason.contains("grant pg_read_all_stats to \"reader\""), "{reason}");
    drop(opened);
    database.run("grant pg_read_all_stats to reader");
    let opened = open(&reader);
    assert_eq!(opened.safety, Safety::Certain);
    assert!(opened.oldest_open <= began, "the open transaction counts");
}

#[test]
fn a_replica_says_what_it_cannot_know() {
    let server = PostgresServer::start(&[]);
    let database = server.database();
    database.run(TABLE);
    database.run("insert into t (id) values (1)");
    let replica = server.start_replica(&[]);
    database.run("insert into t (id) values (2)");
    let wanted = database.run("select pg_current_wal_insert_lsn()");
    let there = replica.database_named(database.name());
    while there.run(&format!("select pg_last_wal_replay_lsn() >= '{wanted}'")) != "t" {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let engine = engine_of(&replica, &there);
    let mut opened = open(&engine);
    assert_eq!(opened.connections.len(), 2);
    assert!(opened.server.version.contains("replica"));
    assert!(matches!(&opened.safety, Safety::LagOnly(reason) if reason.contains("primary")), "{:?}", opened.safety);
    for connection in &mut opened.connections {
        assert_eq!(count(connection.as_mut()), 2);
    }
    // What has not arrived yet is behind the bound, however far behind the replica is.
    there.run("select pg_wal_replay_pause()");
    std::thread::sleep(std::time::Duration::from_millis(1500));
    database.run("insert into t (id) values (3)");
    let stamp = micros(&database, "(select updated_at from t where id = 3)");
    let opened = open(&engine);
    assert!(opened.oldest_open < stamp && opened.now > stamp);
}

/// A session as it was left by the driver is what others can see of it: nothing stays behind.
#[test]
fn nothing_stays_behind() {
    let server = PostgresServer::start(&[]);
    let database = server.database();
    database.run(TABLE);
    let engine = engine_of(&server, &database);
    drop(open(&engine));
    let sessions = || database.run("select count(*) from pg_stat_activity where application_name = 'thalweg source'");
    for _ in 0..100 {
        if sessions() == "0" {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("{} sessions are left", sessions());
}
