//! Writers that commit out of order and late, while the store is loaded again and again.
//!
//! `THALWEG_RACE_SECONDS` makes it as long as one likes (default 6), `THALWEG_RACE_HOLD` sets for how many milliseconds a transaction
//! is held open at most (default 400).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use thalweg_testkit::{MariadbServer, PostgresServer};

use super::server::Database;
use crate::site::on_postgres;

const WRITERS: u64 = 6;
const ROWS: u64 = 2_000;

/// Numbers without a pattern (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Each writer owns the rows whose number leaves its own remainder, so that writers never wait for one another.
fn write(database: &Database, writer: u64, stop: &AtomicBool, changes: &AtomicU64, hold: u64) {
    let mut session = database.session();
    let mut numbers = Numbers(0x9E37_79B9_7F4A_7C15 ^ (writer + 1));
    let mut next = ROWS + writer;
    while !stop.load(Ordering::Relaxed) {
        session.run("begin");
        let statements = 1 + numbers.below(24);
        for _ in 0..statements {
            let id = numbers.below(ROWS / WRITERS) * WRITERS + writer;
            let statement = match numbers.below(10) {
                0 => {
                    next += WRITERS;
                    format!("insert into t (id, n, updated) values ({next}, 0, NOW)")
                }
                1 => format!("delete from t where id = {id}"),
                2 => format!("update t set is_deleted = 1 - is_deleted, updated = NOW where id = {id}"),
                _ => format!("update t set n = n + 1, updated = NOW where id = {id}"),
            };
            session.run(&database.spelled(&statement));
        }
        // Most commit at once, some hold their stamps for long.
        if numbers.below(8) == 0 {
            std::thread::sleep(Duration::from_millis(numbers.below(hold.max(1))));
        }
        if numbers.below(20) == 0 {
            session.run("rollback");
        } else {
            session.run("commit");
            changes.fetch_add(statements, Ordering::Relaxed);
        }
    }
}

struct StopWriters<'s>(&'s AtomicBool);

impl Drop for StopWriters<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn race(database: &Database, seconds: u64) {
    let seconds = setting("THALWEG_RACE_SECONDS", seconds);
    let hold = setting("THALWEG_RACE_HOLD", 400);
    database.run(
        "create table t (id bigint primary key, n integer, updated MOMENT, is_deleted smallint not null default 0)",
    );
    database.run("create index t_updated on t (updated)");
    let rows: Vec<String> = (0..ROWS).map(|id| format!("({id}, 0, NOW)")).collect();
    database.run(&format!("insert into t (id, n, updated) values {}", rows.join(", ")));
    let reader = database
        .project("streams: { t: { cursor: updated, lag: 0s, soft_delete: is_deleted, max_delete_ratio: 1 } }\n");
    let (stop, changes) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut loads = 0;
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (stop, changes) = (&stop, &changes);
            scope.spawn(move || write(database, writer, stop, changes, hold));
        }
        // Writers end also when a load panics.
        let _end = StopWriters(&stop);
        let end = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < end {
            reader.load();
            loads += 1;
        }
    });
    reader.load();
    println!(
        "{}: {} changes by {WRITERS} writers, held open up to {hold} ms, {loads} loads beside them",
        database.kind(),
        changes.load(Ordering::Relaxed)
    );
    reader.assert_same("t", "id, n", "is_deleted = 0");
}

#[test]
fn nothing_is_lost_on_postgres() {
    race(&Database::Postgres(PostgresServer::shared().database()), 6);
}

#[test]
fn nothing_is_lost_on_mariadb() {
    race(&Database::Mariadb(MariadbServer::shared().database()), 6);
}

#[test]
fn nothing_is_lost_between_postgres_and_postgres() {
    on_postgres(|| race(&Database::Postgres(PostgresServer::shared().database()), 3));
}

#[test]
fn nothing_is_lost_between_mariadb_and_postgres() {
    on_postgres(|| race(&Database::Mariadb(MariadbServer::shared().database()), 3));
}
