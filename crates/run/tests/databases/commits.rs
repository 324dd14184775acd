//! What commits late, behind what was read.

use super::server::{Database, on_both};

fn table(database: &Database) {
    database.run("create table t (id bigint primary key, n integer, updated MOMENT)");
    database.run("insert into t values (1, 0, NOW), (2, 0, NOW), (3, 0, NOW)");
}

#[test]
fn a_transaction_open_over_three_runs() {
    on_both(|database| {
        table(&database);
        let reader = database.project("streams: { t: { cursor: updated, lag: 0s } }\n");
        reader.load();
        let mut slow = database.session();
        slow.run("begin");
        slow.run(&database.spelled("update t set n = 1, updated = NOW where id = 1"));
        for round in 0..3 {
            database.run(&format!("update t set n = {round} + 10, updated = NOW where id = 2"));
            reader.load();
        }
        slow.run("commit");
        reader.load();
        reader.assert_same("t", "id, n", "true");
    });
}

#[test]
fn numbers_that_commit_out_of_order() {
    on_both(|database| {
        database.run("create table log (id bigint primary key, what varchar(20))");
        database.run("insert into log values (1, 'a')");
        let reader = database.project(
            "streams: { log: { cursor: id, lag: 0s, write_disposition: append }, copy: { table: log, cursor: id, lag: 0s } }\n",
        );
        reader.load();
        let mut slow = database.session();
        slow.run("begin");
        slow.run("insert into log values (2, 'late')");
        database.run("insert into log values (3, 'early')");
        reader.load();
        database.run("insert into log values (4, 'more')");
        reader.load();
        slow.run("commit");
        let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while reader.stored("log", "id").len() < 4 && std::time::Instant::now() < end {
            reader.load();
        }
        reader.assert_same("log", "id, what", "true");
        assert_eq!(reader.stored("copy", "id, what"), reader.at_source("log", "id, what", "true"));
    });
}

#[test]
fn stamps_in_the_future_and_without_value() {
    on_both(|database| {
        table(&database);
        database.run("insert into t values (4, 4, null)");
        let future =
            if database.kind() == "postgres" { "now() + interval '1 year'" } else { "now(6) + interval 1 year" };
        database.run(&format!("insert into t values (5, 5, {future})"));
        let reader = database.project("streams: { t: { cursor: updated, lag: 0s } }\n");
        reader.load();
        database.run("update t set n = 40 where id = 4");
        database.run("update t set n = 50 where id = 5");
        database.run("update t set n = 10, updated = NOW where id = 1");
        reader.load();
        reader.assert_same("t", "id, n", "true");
    });
}

#[test]
fn a_prepared_transaction_is_an_open_one() {
    on_both(|database| {
        table(&database);
        let reader = database.project("streams: { t: { cursor: updated, lag: 0s } }\n");
        reader.load();
        let mut slow = database.session();
        let (begin, prepare, commit) = match database {
            Database::Postgres(_) => ("begin", "prepare transaction 'slow'", "commit prepared 'slow'"),
            Database::Mariadb(_) => ("xa start 'slow'", "xa end 'slow'; xa prepare 'slow'", "xa commit 'slow'"),
        };
        slow.run(begin);
        slow.run(&database.spelled("update t set n = 1, updated = NOW where id = 1"));
        for statement in prepare.split("; ") {
            slow.run(statement);
        }
        for round in 0..2 {
            database.run(&format!("update t set n = {round} + 10, updated = NOW where id = 2"));
            reader.load();
        }
        slow.run(commit);
        reader.load();
        reader.assert_same("t", "id, n", "true");
    });
}
