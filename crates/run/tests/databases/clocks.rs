//! Stamps that are equal, too old, or of a clock that goes back; rows that change while they are read.

use std::sync::atomic::{AtomicBool, Ordering};

use thalweg_run::{BuildOptions, Command};
use thalweg_testkit::{MariadbServer, PostgresServer};

use super::server::{Database, on_both};
use crate::site::options;

#[test]
fn many_rows_of_one_stamp_of_which_some_commit_late() {
    on_both(|database| {
        database.run("create table t (id bigint primary key, n integer, updated MOMENT)");
        let reader = database.project(
            "streams: { t: { cursor: updated, lag: 0s }, log: { table: t, cursor: updated, lag: 0s, write_disposition: append } }\n",
        );
        let mut slow = database.session();
        slow.run("begin");
        let now = if database.kind() == "postgres" { "now()::text" } else { "cast(now(6) as char)" };
        let stamp = slow.run(&format!("select {now}"));
        let rows = |from: u32| {
            let rows: Vec<String> = (from..from + 400).map(|id| format!("({id}, {id}, '{stamp}')")).collect();
            format!("insert into t values {}", rows.join(", "))
        };
        database.run(&rows(0));
        slow.run(&rows(1000));
        reader.load();
        reader.load();
        assert_eq!(reader.stored("t", "id").len(), 400);
        slow.run("commit");
        database.run(&rows(2000));
        reader.load();
        reader.assert_same("t", "id, n", "true");
        // What is appended comes once, and when no more of the same stamp can come.
        let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while reader.stored("log", "id").len() < 1200 && std::time::Instant::now() < end {
            std::thread::sleep(std::time::Duration::from_millis(200));
            reader.load();
        }
        assert_eq!(reader.stored("log", "id, n"), reader.at_source("t", "id, n", "true"));
    });
}

/// Stamps of a program whose clock goes wrong are not the server's to know: `lag` covers as much as one wishes, `--from` reads again what is
/// known to be wrong, and `--full-refresh` everything.
#[test]
fn stamps_older_than_the_position() {
    on_both(|database| {
        database.run("create table t (id bigint primary key, n integer, updated MOMENT)");
        database.run("insert into t values (1, 0, NOW), (2, 0, NOW), (3, 0, NOW)");
        let reader = database.project(
            "defaults: { cursor: updated, table: t }\nstreams: { strict: { lag: 0s }, patient: { lag: 3h }, asked: { lag: 0s } }\n",
        );
        reader.load();
        database.run("update t set n = 1, updated = NOW where id = 1");
        reader.load();
        let earlier =
            if database.kind() == "postgres" { "now() - interval '2 hours'" } else { "now(6) - interval 2 hour" };
        database.run(&format!("update t set n = 2, updated = {earlier} where id = 2"));
        reader.load();
        let source = reader.at_source("t", "id, n", "true");
        assert_eq!(reader.stored("patient", "id, n"), source);
        assert_ne!(reader.stored("strict", "id, n"), source);
        let from = BuildOptions {
            from: Some("2001-01-01".to_owned()),
            select: Some("store.asked".to_owned()),
            ..options(Command::Load)
        };
        reader.load_with(&from);
        assert_eq!(reader.stored("asked", "id, n"), source);
        reader.load_with(&BuildOptions { full_refresh: true, ..options(Command::Load) });
        assert_eq!(reader.stored("strict", "id, n"), source);
    });
}

/// A column without a zone, stamped by the server's own clock west of Greenwich, which goes back by an hour.
#[test]
fn summer_time_ends() {
    let check = |database: Database, column: &str, now: &str, set_zone: &dyn Fn(&Database, i32)| {
        set_zone(&database, -4);
        database.run(&format!("create table t (id bigint primary key, n integer, updated {column})"));
        let reader = database.project("streams: { t: { cursor: updated, lag: 0s, deletes: none } }\n");
        database.run(&format!("insert into t values (1, 0, {now}), (2, 0, {now}), (3, 0, {now})"));
        reader.load();
        database.run(&format!("update t set n = 1, updated = {now} where id = 1"));
        reader.load();
        let mut slow = database.session();
        slow.run("begin");
        slow.run(&format!("update t set n = 3, updated = {now} where id = 3"));
        database.run(&format!("update t set n = 10, updated = {now} where id = 1"));
        reader.load();
        set_zone(&database, -5);
        database.run(&format!("update t set n = 2, updated = {now} where id = 2"));
        reader.load();
        slow.run("commit");
        reader.load();
        reader.assert_same("t", "id, n", "true");
        // And begins again: clocks that jump ahead hide nothing.
        set_zone(&database, -4);
        database.run(&format!("update t set n = 20, updated = {now} where id = 2"));
        reader.load();
        database.run(&format!("update t set n = 21, updated = {now} where id = 2"));
        reader.load();
        reader.assert_same("t", "id, n", "true");
    };
    check(
        Database::Postgres(PostgresServer::shared().database()),
        "timestamp",
        "localtimestamp",
        &|database, hours| {
            let Database::Postgres(postgres) = database else { return };
            // The signs of these names are those of the old Unix.
            database.run(&format!("alter database {} set timezone = 'Etc/GMT+{}'", postgres.name(), -hours));
        },
    );
    // The zone is the whole server's.
    let server: &'static MariadbServer = Box::leak(Box::new(MariadbServer::start(&[])));
    check(Database::Mariadb(server.database()), "datetime(6)", "now(6)", &|database, hours| {
        database.run(&format!("set global time_zone = '-0{}:00'", -hours));
    });
}

#[test]
fn rows_change_while_a_large_table_is_read() {
    const ROWS: u64 = 300_000;
    on_both(|database| {
        database.run("create table big (id bigint primary key, n integer not null, updated MOMENT)");
        let rows = if database.kind() == "postgres" {
            format!("select i, 100, now() - interval '1 hour' from generate_series(0, {ROWS} - 1) i")
        } else {
            format!("select seq, 100, now(6) - interval 1 hour from seq_0_to_{}", ROWS - 1)
        };
        database.run(&format!("insert into big {rows}"));
        database.run("create index big_updated on big (updated)");
        database.run(if database.kind() == "postgres" { "analyze big" } else { "analyze table big" });
        let reader = database.project("streams: { big: { cursor: updated, lag: 0s } }\n");
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // Each transaction takes from one end of the table what it gives to the other: the sum never changes.
                let mut session = database.session();
                let mut round = 0;
                while !stop.load(Ordering::Relaxed) && round < 20_000 {
                    round += 1;
                    let (one, other) = (round * 7_919 % ROWS, ROWS - 1 - round * 104_729 % ROWS);
                    session.run("begin");
                    session
                        .run(&database.spelled(&format!("update big set n = n - 1, updated = NOW where id = {one}")));
                    session
                        .run(&database.spelled(&format!("update big set n = n + 1, updated = NOW where id = {other}")));
                    session.run("commit");
                }
            });
            struct Stop<'s>(&'s AtomicBool);
            impl Drop for Stop<'_> {
                fn drop(&mut self) {
                    self.0.store(true, Ordering::Relaxed);
                }
            }
            let _stop = Stop(&stop);
            for _ in 0..2 {
                reader.try_load(&options(Command::Load)).unwrap();
                let sums = reader.site.ask("select concat_ws(';', count(*), sum(n)) from store.big");
                assert_eq!(sums[0][0].as_deref(), Some(&*format!("{ROWS};{}", ROWS * 100)), "one snapshot");
            }
        });
        reader.try_load(&options(Command::Load)).unwrap();
        let sums = "select concat_ws(';', count(*), sum(n), sum(n * n * id)) from";
        let stored = reader.site.ask(&format!("{sums} store.big"));
        assert_eq!(stored[0][0].as_deref(), Some(&*database.run(&format!("{sums} big"))));
    });
}
