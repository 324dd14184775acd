//! Transactions of others that the user may not look into.

use thalweg_run::RunOutcome;

use super::server::{Database, Reader, on_both};

fn table(database: &Database) {
    database.run("create table t (id bigint primary key, n integer, updated MOMENT)");
    database.run("create index t_updated on t (updated)");
    database.run("insert into t values (1, 0, NOW), (2, 0, NOW), (3, 0, NOW)");
}

fn is_told(outcome: &RunOutcome, what: &str) -> bool {
    outcome.notes.iter().any(|note| note.message.contains(what))
}

fn remarks(reader: &Reader<'_>) -> Vec<String> {
    let status = reader.open().unwrap().status().unwrap();
    status.tables.into_iter().find(|table| table.table == "store.t").unwrap().remarks
}

#[test]
fn rows_that_commit_late_are_found_by_their_transactions() {
    let database = Database::Postgres(thalweg_testkit::PostgresServer::shared().database());
    table(&database);
    let reader = database.project_without_privileges("streams: { t: { cursor: updated, lag: 0s } }\n");
    // Open before the first load, over it and the next ones.
    let mut early = database.session();
    early.run("begin");
    early.run("update t set n = 1, updated = now() where id = 1");
    reader.load();
    let mut slow = database.session();
    slow.run("begin");
    // Begun, and stamped so, before anything of it is written.
    slow.run("select now()");
    let what = "found by the transactions that wrote them";
    for round in 0..3 {
        database.run(&format!("update t set n = {round} + 10, updated = NOW where id = 2"));
        let outcome = reader.load();
        assert!(is_told(&outcome, what), "{:?}", outcome.notes);
        reader.assert_same("t", "id, n", "true");
        assert!(remarks(&reader).iter().any(|remark| remark.contains(what) && remark.contains("pg_read_all_stats")));
    }
    early.run("commit");
    reader.load();
    reader.assert_same("t", "id, n", "true");
    slow.run("insert into t values (4, 4, now())");
    slow.run("commit");
    // Nothing is open now; what was not seen before is looked for all the same.
    let outcome = reader.load();
    reader.assert_same("t", "id, n", "true");
    assert!(!is_told(&outcome, "only covered by the lag"), "{:?}", outcome.notes);
    database.run("update t set n = 30, updated = NOW where id = 3");
    let outcome = reader.load();
    assert!(!is_told(&outcome, what), "{:?}", outcome.notes);
    reader.assert_same("t", "id, n", "true");
    assert!(remarks(&reader).iter().all(|remark| !remark.contains("commit late")), "{:?}", remarks(&reader));
}

#[test]
fn only_the_lag_protects_where_rows_do_not_tell() {
    let late = |database: &Database, streams: &str| {
        table(database);
        database.run("create view seen as select id, n, updated from t");
        let reader = database.project_without_privileges(streams);
        reader.load();
        let mut slow = database.session();
        slow.run("begin");
        slow.run(&database.spelled("update t set n = 1, updated = NOW where id = 1"));
        database.run("update t set n = 10, updated = NOW where id = 2");
        let outcome = reader.load();
        assert!(is_told(&outcome, "only covered by the lag"), "{:?}", outcome.notes);
        slow.run("commit");
        database.run("update t set n = 20, updated = NOW where id = 2");
        reader.load();
        reader.assert_same("t", "id, n", "true");
        let remarks = remarks(&reader);
        // On Postgres all is certain again as soon as nothing is open.
        assert!(
            database.kind() == "postgres" || remarks.iter().any(|remark| remark.contains("only covered by the lag")),
            "{remarks:?}"
        );
    };
    on_both(|database| {
        let table = if database.kind() == "postgres" { "table: seen, primary_key: id, " } else { "" };
        late(&database, &format!("streams: {{ t: {{ {table}cursor: updated, lag: 1h }} }}\n"));
    });
}
