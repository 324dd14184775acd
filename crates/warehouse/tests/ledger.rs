//! The ledger, on a DuckDB file.

mod suite;

use std::collections::BTreeMap;

use serde_json::json;
use suite::{DuckDbSite, PostgresSite, Site, ask, connect, kind, run};
use thalweg_warehouse::ledger::{
    ChangeLogRow, ClockRow, ConsumedRow, ExtractRow, FORMAT, KnownTestRow, LandingRow, Ledger, LedgerState,
    Microseconds, RefreshRow, RejectFilter, RejectKind, RejectRow, RejectSource, RejectState, RunRow, RunState,
    StepRow, TableKind, TableRow, TestFailureRow, TestResultRow, TestState, TroubleRow,
};
use thalweg_warehouse::{Access, Connection, WarehouseErrorKind};

fn ledger(site: &dyn Site, project: &str) -> Ledger {
    Ledger::new(project, site.dialect())
}

fn run_row(run: i64) -> RunRow {
    RunRow {
        run,
        epoch: 1,
        command: "build".to_owned(),
        state: RunState::Running,
        started_at: Microseconds(1_700_000_000_000_000),
        finished_at: None,
        summary: None,
        message: None,
    }
}

fn table_row(name: &str) -> TableRow {
    TableRow {
        table_name: name.to_owned(),
        kind: TableKind::Store,
        physical: format!("{name}__v1"),
        version: 1,
        fingerprint: "f00".to_owned(),
        columns: json!([{"name": "id", "type": "bigint", "source_name": "Id"}]),
        rows: 12,
        changed_run: 1,
        refreshed_run: 1,
        created_run: 1,
    }
}

fn reject_row(reason: &str) -> RejectRow {
    RejectRow {
        id: 0,
        run: 1,
        source: "web".to_owned(),
        stream: "access".to_owned(),
        table_name: "store.access".to_owned(),
        origin: 1,
        record: 7,
        byte_offset: Some(1234),
        kind: RejectKind::Read,
        reason: reason.to_owned(),
        raw: "\"'; drop\n\t\u{1}ü".to_owned(),
        state: RejectState::Open,
        replayed_run: None,
    }
}

fn prepared(site: &dyn Site) -> Box<dyn Connection> {
    let mut connection = site.connect();
    assert!(ledger(site, "p").prepare(&mut *connection).expect("prepared"));
    connection
}

fn an_empty_warehouse_has_an_empty_ledger(site: &dyn Site) {
    let mut connection = site.connect();
    let empty = LedgerState::default();
    assert_eq!(ledger(site, "p").load(&mut *connection).expect("loaded"), empty);
    assert!(ledger(site, "p").prepare(&mut *connection).expect("prepared"));
    assert!(!ledger(site, "p").prepare(&mut *connection).expect("prepared"), "once is enough");
    assert_eq!(ledger(site, "p").load(&mut *connection).expect("loaded"), empty);
    assert_eq!(ledger(site, "p").next_extract(&mut *connection).expect("a number"), 1);
}

fn what_is_written_is_read(site: &dyn Site) {
    let mut connection = prepared(site);
    let connection = &mut *connection;
    let ledger = ledger(site, "p");
    connection.begin().expect("begin");
    assert_eq!(ledger.acquire_lease(connection, "run 1", Microseconds(1)).expect("lease"), 1);
    ledger.begin_run(connection, &run_row(1), false).expect("begun");
    let tables = [table_row("store.a"), table_row("store.b")];
    ledger.put_tables(connection, &tables).expect("tables");
    ledger
        .set_consumed(connection, &[ConsumedRow { reader: "pres.x".to_owned(), input: "store.a".to_owned(), run: 1 }])
        .expect("consumed");
    let clock = |expression: &str, value: &str| ClockRow {
        table_name: "pres.x".to_owned(),
        expression: expression.to_owned(),
        value: value.to_owned(),
    };
    ledger.put_clocks(connection, &[clock("now()", "then"), clock("current_date", "yesterday's")]).expect("clocks");
    ledger.put_clocks(connection, &[clock("current_date", "today's")]).expect("clocks");
    let extract = ExtractRow {
        id: 1,
        run: 1,
        source: "web".to_owned(),
        stream: "access".to_owned(),
        file: "it's.log".to_owned(),
        hash: None,
        read: 10,
        rejected: 1,
        landing: "web/access/run=1".to_owned(),
        file_index: 0,
    };
    ledger.add_extracts(connection, std::slice::from_ref(&extract)).expect("extracts");
    let landing = LandingRow {
        run: 1,
        source: "web".to_owned(),
        stream: "access".to_owned(),
        manifest: "web/access/run=1".to_owned(),
        origin_base: 1,
        state: "published".to_owned(),
        confirmed: false,
        confirmations: json!([{"file": "it's.log"}]),
    };
    ledger.add_landings(connection, std::slice::from_ref(&landing)).expect("landings");
    let known = KnownTestRow { test: "unique".to_owned(), fingerprint: "f".to_owned(), passed: true, run: 1 };
    ledger.put_known_tests(connection, std::slice::from_ref(&known)).expect("tests");
    let trouble =
        |table: &str| TroubleRow { table_name: table.to_owned(), run: 1, message: "it's cut short".to_owned() };
    let troubles = [trouble("store.a"), trouble("store.c")];
    ledger.set_troubles(connection, ["store.a", "store.b", "store.c"], &troubles).expect("troubles");
    let summary = json!({"inserted": 10});
    ledger
        .finish_run(connection, 1, RunState::Published, Microseconds(2), Some(&summary), Some("it's \"done\""))
        .expect("finished");
    connection.commit().expect("commit");

    let state = ledger.load(connection).expect("loaded");
    let finished = RunRow {
        state: RunState::Published,
        finished_at: Some(Microseconds(2)),
        summary: Some(summary),
        message: Some("it's \"done\"".to_owned()),
        ..run_row(1)
    };
    assert_eq!(
        state,
        LedgerState {
            last_run: Some(finished.clone()),
            published_run: Some(1),
            epoch: 1,
            tables: tables.iter().map(|table| (table.table_name.clone(), table.clone())).collect(),
            consumed: BTreeMap::from([(("pres.x".to_owned(), "store.a".to_owned()), 1)]),
            change_logs: BTreeMap::new(),
            clocks: BTreeMap::from([(("pres.x".to_owned(), "current_date".to_owned()), "today's".to_owned())]),
            positions: BTreeMap::new(),
            tests: BTreeMap::from([("unique".to_owned(), known)]),
            troubles: troubles.iter().map(|trouble| (trouble.table_name.clone(), trouble.clone())).collect(),
            unconfirmed: vec![landing.clone()],
        }
    );
    assert_eq!(ledger.load_prepared(connection).expect("loaded"), ledger.load(connection).expect("loaded"));
    assert_eq!(ledger.next_extract(connection).expect("a number"), 2);
    assert_eq!(ledger.extract(connection, 1).expect("an answer"), Some(extract));
    assert_eq!(ledger.extract(connection, 2).expect("an answer"), None);
    assert_eq!(ledger.runs(connection, Some(5)).expect("runs"), [finished]);
    ledger.mark_confirmed(connection, &landing).expect("confirmed");
    assert_eq!(ledger.unconfirmed(connection).expect("landings"), []);
    assert_eq!(ledger.landings(connection, Some(("web", "access"))).expect("landings").len(), 1);
    assert_eq!(ledger.landings(connection, Some(("web", "other"))).expect("landings"), []);

    let changed = TableRow { rows: 13, changed_run: 2, ..table_row("store.a") };
    ledger.put_table(connection, &changed).expect("changed");
    ledger.drop_table(connection, "store.b").expect("dropped");
    assert_eq!(ledger.load(connection).expect("loaded").tables, BTreeMap::from([("store.a".to_owned(), changed)]));
    ledger.drop_table(connection, "store.a").expect("dropped");
    let state = ledger.load(connection).expect("loaded");
    assert_eq!(state.consumed, BTreeMap::new());
    assert_eq!(state.troubles.keys().collect::<Vec<_>>(), ["store.c"]);
    // What was tried again and went well is no trouble any more; what was not tried stays.
    ledger.set_troubles(connection, ["store.a", "store.b"], &[]).expect("nothing");
    assert_eq!(ledger.load(connection).expect("loaded").troubles.len(), 1);
    ledger.set_troubles(connection, ["store.c"], &[]).expect("gone");
    assert_eq!(ledger.load(connection).expect("loaded").troubles, BTreeMap::new());
}

fn an_older_ledger_is_brought_up_to_date(site: &dyn Site) {
    let mut connection = prepared(site);
    let connection = &mut *connection;
    ledger(site, "p").begin_run(connection, &run_row(7), false).expect("begun");
    // As the first version left it.
    run(connection, "drop table thalweg.troubles");
    run(connection, "update thalweg.meta set format = 1");
    let before = ledger(site, "p").load(connection).expect("readable before that");
    assert!(ledger(site, "p").prepare(connection).expect("extended"));
    assert!(!ledger(site, "p").prepare(connection).expect("once is enough"));
    assert_eq!(ledger(site, "p").load(connection).expect("loaded"), before);
    assert_eq!(before.last_run.map(|run| run.run), Some(7));
}

fn projects_do_not_see_each_other(site: &dyn Site) {
    let mut connection = prepared(site);
    let connection = &mut *connection;
    ledger(site, "p").begin_run(connection, &run_row(7), false).expect("begun");
    ledger(site, "p").put_table(connection, &table_row("store.a")).expect("table");
    ledger(site, "p").acquire_lease(connection, "run 7", Microseconds(1)).expect("lease");
    assert_eq!(ledger(site, "q").load(connection).expect("loaded").last_run, None);
    assert_eq!(ledger(site, "q").acquire_lease(connection, "run 1", Microseconds(1)).expect("lease"), 1);
    ledger(site, "q").drop_table(connection, "store.a").expect("dropped");
    assert_eq!(ledger(site, "p").load(connection).expect("loaded").tables.len(), 1);
}

fn positions_are_replaced_and_forgotten(site: &dyn Site) {
    let mut connection = prepared(site);
    let connection = &mut *connection;
    let ledger = ledger(site, "p");
    let change = |entries: &[(&str, Option<i64>)]| -> BTreeMap<String, Option<serde_json::Value>> {
        entries
            .iter()
            .map(|(entry, value)| ((*entry).to_owned(), value.map(|value| json!({"offset": value}))))
            .collect()
    };
    ledger
        .apply_positions(connection, "s", "a", &change(&[("x", Some(1)), ("y", Some(2)), ("z", None)]), 1)
        .expect("applied");
    ledger.apply_positions(connection, "s", "b", &change(&[("x", Some(9))]), 1).expect("applied");
    ledger
        .apply_positions(connection, "s", "a", &change(&[("x", Some(3)), ("y", None), ("w", Some(4))]), 2)
        .expect("applied");
    let positions = ledger.load(connection).expect("loaded").positions;
    assert_eq!(
        positions[&("s".to_owned(), "a".to_owned())],
        BTreeMap::from([("w".to_owned(), json!({"offset": 4})), ("x".to_owned(), json!({"offset": 3}))])
    );
    assert_eq!(positions[&("s".to_owned(), "b".to_owned())], BTreeMap::from([("x".to_owned(), json!({"offset": 9}))]));
    assert_eq!(ask(connection, "select run from thalweg.positions where stream = 'a' order by entry"), ["2", "2"]);
}

fn rejects_are_kept_and_replayed(site: &dyn Site) {
    let mut connection = prepared(site);
    let connection = &mut *connection;
    let ledger = ledger(site, "p");
    let mut rows = [reject_row("first"), reject_row("second")];
    ledger.add_rejects(connection, &mut rows).expect("kept");
    assert_eq!(rows.each_ref().map(|row| row.id), [1, 2]);
    let source = RejectSource {
        run: 2,
        source: "web",
        stream: "titles",
        table_name: "store.titles",
        origin_base: 10,
        kind: RejectKind::Merge,
    };
    let relation = "(select i::integer as _file, i as _record, null::bigint as byte_offset, 'NULL in the key' as reason, \
                    '{\"i\": ' || i || '}' as raw from generate_series(0, 2) as t(i))";
    assert_eq!(ledger.add_rejects_from(connection, relation, &source).expect("kept"), 3);
    let all = ledger.rejects(connection, &RejectFilter::default()).expect("rejects");
    assert_eq!(all.iter().map(|row| row.reject.id).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert_eq!(all[0].reject, rows[0]);
    assert_eq!((all[4].reject.origin, all[4].reject.record, all[4].reject.raw.as_str()), (12, 2, "{\"i\": 2}"));
    assert_eq!(all[4].reject.kind, RejectKind::Merge);
    assert_eq!(
        ledger.open_rejects(connection).expect("counts"),
        [("store.access".to_owned(), 2), ("store.titles".to_owned(), 3)]
    );
    assert_eq!(ledger.set_reject_state(connection, &[3, 4, 99], RejectState::Replayed, Some(3)).expect("changed"), 2);
    let open = RejectFilter {
        stream: Some("web.titles".to_owned()),
        state: Some(RejectState::Open),
        ..RejectFilter::default()
    };
    let open = ledger.rejects(connection, &open).expect("rejects");
    assert_eq!(open.iter().map(|row| row.reject.id).collect::<Vec<_>>(), [5]);
    let some = RejectFilter { ids: vec![1, 4], run: Some(2), limit: Some(1), ..RejectFilter::default() };
    let some = ledger.rejects(connection, &some).expect("rejects");
    assert_eq!(some.iter().map(|row| (row.reject.id, row.reject.replayed_run)).collect::<Vec<_>>(), [(4, Some(3))]);
    assert_eq!(ledger.forget_rejects(connection, 10..12, RejectKind::Merge).expect("forgotten"), 2);
    assert_eq!(ledger.rejects(connection, &RejectFilter::default()).expect("rejects").len(), 3);
}

fn a_run_is_remembered_in_detail(site: &dyn Site) {
    let mut connection = prepared(site);
    let connection = &mut *connection;
    let ledger = ledger(site, "p");
    ledger.begin_run(connection, &run_row(1), false).expect("begun");
    let steps: Vec<StepRow> = (0..3).rev().map(|position| step(1, position)).collect();
    ledger.add_steps(connection, &steps).expect("steps");
    let result = TestResultRow {
        run: 1,
        test: "t".to_owned(),
        table_name: None,
        severity: "error".to_owned(),
        state: TestState::Fail,
        failures: 1,
        scope: "changes".to_owned(),
        seconds: 0.5,
        message: None,
    };
    let failure = TestFailureRow { run: 1, test: "t".to_owned(), row_number: 1, row: json!({"b": null, "a": "ü"}) };
    ledger.add_tests(connection, std::slice::from_ref(&result), std::slice::from_ref(&failure)).expect("tests");
    let detail = ledger.run_detail(connection, 1).expect("an answer").expect("a run");
    assert_eq!(detail.steps.iter().map(|step| step.position).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(detail.tests, [result]);
    assert_eq!(detail.failures, [failure]);
    assert_eq!(ledger.run_detail(connection, 2).expect("an answer"), None);
    // What a run did is written once, with its end.
    ledger.finish_run(connection, 1, RunState::Failed, Microseconds(0), None, None).expect("finished");
    assert_eq!(
        kind(ledger.finish_run(connection, 1, RunState::Published, Microseconds(0), None, None)),
        WarehouseErrorKind::Statement
    );
    assert_eq!(
        kind(ledger.finish_run(connection, 2, RunState::Failed, Microseconds(0), None, None)),
        WarehouseErrorKind::Statement
    );
}

fn step(run: i64, position: i64) -> StepRow {
    StepRow {
        run,
        position,
        step: format!("store.table_{position}"),
        kind: "store".to_owned(),
        strategy: "merge".to_owned(),
        reason: "new records".to_owned(),
        read: 10,
        inserted: 1,
        updated: 2,
        unchanged: 3,
        deleted: 1,
        deleted_missing: 0,
        rejected: 1,
        duplicate: 2,
        rows_before: 10,
        rows_after: 10,
        seconds: 0.25,
    }
}

fn a_lost_lease_fences(site: &dyn Site) {
    let mut connection = prepared(site);
    let connection = &mut *connection;
    let ledger = ledger(site, "p");
    assert_eq!(kind(ledger.check_lease(connection, 1)), WarehouseErrorKind::Fenced, "there is no lease at all");
    assert_eq!(ledger.acquire_lease(connection, "run 1", Microseconds(1)).expect("lease"), 1);
    ledger.check_lease(connection, 1).expect("held");
    assert_eq!(ledger.acquire_lease(connection, "run 2", Microseconds(2)).expect("lease"), 2);
    let error = ledger.check_lease(connection, 1).expect_err("fenced");
    assert_eq!(error.kind, WarehouseErrorKind::Fenced);
    assert!(error.message.contains("`run 2`"), "{}", error.message);
    ledger.check_lease(connection, 2).expect("held");
}

/// Two transactions that both found their lease good cannot both be committed.
fn a_lease_cannot_be_taken_from_under_a_commit(site: &dyn Site) {
    let mut one = prepared(site);
    let ledger = ledger(site, "p");
    ledger.acquire_lease(&mut *one, "run 1", Microseconds(1)).expect("lease");
    let mut other = connect(&*site.warehouse(), Access::Write);
    one.begin().expect("begin");
    other.begin().expect("begin");
    ledger.check_lease(&mut *one, 1).expect("held");
    let taken = ledger.acquire_lease(&mut *other, "run 2", Microseconds(2)).and_then(|_| other.commit());
    // Refused at once, or when it has waited long enough.
    let refused = [WarehouseErrorKind::Statement, WarehouseErrorKind::Conflict];
    assert!(refused.contains(&kind(taken)), "the first one is about to commit");
    other.rollback().expect("rollback");
    one.commit().expect("commit");
}

fn a_newer_ledger_is_refused(site: &dyn Site) {
    let mut connection = prepared(site);
    run(&mut *connection, &format!("update thalweg.meta set format = {}", FORMAT + 1));
    let error = ledger(site, "p").load(&mut *connection).expect_err("newer");
    assert_eq!(error.kind, WarehouseErrorKind::Incompatible);
    assert!(error.message.contains("newer version"), "{}", error.message);
    assert_eq!(kind(ledger(site, "p").prepare(&mut *connection)), WarehouseErrorKind::Incompatible);
}

fn logs_and_refreshes_are_kept_also_in_an_older_ledger(site: &dyn Site) {
    let mut connection = prepared(site);
    let connection = &mut *connection;
    let ledger = ledger(site, "p");
    run(connection, "drop table thalweg.change_logs");
    run(connection, "drop table thalweg.refreshes");
    run(connection, "update thalweg.meta set format = 1");
    assert_eq!(ledger.load(connection).expect("loaded").change_logs, BTreeMap::new());
    assert_eq!(ledger.past_refreshes(connection).expect("refreshes"), []);
    assert!(ledger.prepare(connection).expect("brought up to date"));
    assert!(!ledger.prepare(connection).expect("prepared"), "once is enough");

    let log =
        |table: &str, since| ChangeLogRow { table_name: table.to_owned(), physical: format!("{table}.v1"), since };
    ledger.put_change_logs(connection, &[log("store.a", 1), log("store.b", 1)], &[]).expect("logs");
    ledger.put_change_logs(connection, &[log("store.a", 2)], &["store.b".to_owned()]).expect("logs");
    let expected = BTreeMap::from([("store.a".to_owned(), log("store.a", 2))]);
    assert_eq!(ledger.load(connection).expect("loaded").change_logs, expected);
    ledger.drop_table(connection, "store.a").expect("dropped");
    assert_eq!(ledger.load(connection).expect("loaded").change_logs, BTreeMap::new());

    let refresh = |run, keys| RefreshRow {
        run,
        table_name: "pres.x".to_owned(),
        strategy: "incremental".to_owned(),
        reason: "store.a changed".to_owned(),
        shape: "s".to_owned(),
        keys,
        upstream: None,
        rows_read: 4,
        rows_written: 2,
        rows_after: 10,
        seconds: 0.5,
        expected_incremental: Some(0.25),
        expected_full: None,
    };
    ledger.add_refreshes(connection, &[refresh(1, Some(3))]).expect("refreshes");
    ledger.add_refreshes(connection, &[refresh(30, None)]).expect("refreshes");
    assert_eq!(ledger.past_refreshes(connection).expect("refreshes"), [refresh(30, None), refresh(1, Some(3))]);
    // Before a run that may refresh a thousand models, twenty runs are looked at.
    assert_eq!(ledger.past_refreshes_before(connection, 31, 1000).expect("refreshes"), [refresh(30, None)]);
    let all = [refresh(30, None), refresh(1, Some(3))];
    assert_eq!(ledger.past_refreshes_before(connection, 31, 2).expect("refreshes"), all);
    assert_eq!(ledger.refreshes(connection, 1).expect("refreshes"), [refresh(1, Some(3))]);
}

/// 200 models, 50 streams, 20,000 entries of positions: how long it takes is the benchmark `build`'s to say.
fn a_large_ledger_is_read_whole(site: &dyn Site) {
    let mut connection = prepared(site);
    let connection = &mut *connection;
    let ledger = ledger(site, "p");
    let tables: Vec<TableRow> = (0..250).map(|index| table_row(&format!("store.table_{index}"))).collect();
    let steps: Vec<StepRow> = (0..250).map(|position| step(1, position)).collect();
    connection.begin().expect("begin");
    ledger.put_tables(connection, &tables).expect("tables");
    for stream in 0..50 {
        let entries = (0..400)
            .map(|entry| (format!("file_{entry}.csv"), Some(json!({"hash": "0123456789abcdef", "bytes": 1}))))
            .collect();
        ledger.apply_positions(connection, "s", &format!("stream_{stream}"), &entries, 1).expect("positions");
    }
    ledger.add_steps(connection, &steps).expect("steps");
    connection.commit().expect("commit");
    let state = ledger.load(connection).expect("loaded");
    assert_eq!((state.tables.len(), ledger.steps(connection, 1).expect("steps").len()), (250, 250));
    assert_eq!(state.positions.values().map(BTreeMap::len).sum::<usize>(), 20_000);
}

/// Runs every test of the ledger in a new warehouse of each kind.
macro_rules! ledgers {
    ($($test:ident),* $(,)?) => {
        mod duckdb {
            $(#[test] fn $test() { super::$test(&super::DuckDbSite::new()); })*
        }
        mod postgres {
            $(#[test] fn $test() { super::$test(&super::PostgresSite::new()); })*
        }
    };
}

ledgers!(
    an_empty_warehouse_has_an_empty_ledger,
    what_is_written_is_read,
    an_older_ledger_is_brought_up_to_date,
    projects_do_not_see_each_other,
    positions_are_replaced_and_forgotten,
    rejects_are_kept_and_replayed,
    a_run_is_remembered_in_detail,
    a_lost_lease_fences,
    a_lease_cannot_be_taken_from_under_a_commit,
    a_newer_ledger_is_refused,
    logs_and_refreshes_are_kept_also_in_an_older_ledger,
    a_large_ledger_is_read_whole,
);
