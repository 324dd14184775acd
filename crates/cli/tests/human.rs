//! Everything people read, from hand-made answers.

use thalweg_cli::output::Paint;
use thalweg_cli::render::human::number::{counted, grouped, seconds};
use thalweg_cli::render::human::summary;
use thalweg_cli::render::human::{Page, listing, plan, rejects, report, runs, status, tests, text_table, verification};
use thalweg_run::*;

use crate::check;
use crate::outcomes::{self, unchanged};

#[test]
fn a_run_that_went_well() {
    check("summary_busy", &summary::draw(&Page::plain(), &outcomes::busy_run()));
}

#[test]
fn a_run_in_colours() {
    let page = Page { paint: Paint::Coloured, ..Page::plain() };
    let text = summary::draw(&page, &outcomes::busy_run());
    check("summary_busy_colours", &text.replace('\u{1b}', "ESC"));
}

#[test]
fn a_run_with_trouble() {
    check("summary_troubled", &summary::draw(&Page::plain(), &outcomes::troubled_run()));
}

#[test]
fn a_run_with_trouble_told_quietly() {
    check("summary_troubled_quiet", &summary::draw_quiet(&Page::plain(), &outcomes::troubled_run()));
    assert_eq!(summary::draw_quiet(&Page::plain(), &outcomes::busy_run()), "");
}

#[test]
fn a_run_that_failed() {
    check("summary_failed", &summary::draw(&Page::plain(), &outcomes::failed_run()));
    let never = RunOutcome { published_run: None, ..outcomes::failed_run() };
    check("summary_failed_first", &summary::last_line(&Page::plain(), &never));
}

#[test]
fn unchanged_tables_are_folded() {
    let mut run = outcomes::busy_run();
    run.steps.truncate(1);
    run.steps.extend((0..198).map(|n| unchanged(&format!("pres.table_{n}"), n)));
    check("summary_folded", &summary::draw(&Page::plain(), &run));
}

#[test]
fn a_run_with_nothing_to_do() {
    let mut run = outcomes::busy_run();
    run.state = RunState::Nothing;
    run.steps = (0..200).map(|n| unchanged(&format!("pres.table_{n}"), n)).collect();
    run.seconds = 0.042;
    check("summary_nothing", &summary::draw(&Page::plain(), &run));
}

#[test]
fn a_narrow_terminal() {
    for width in [140, 80] {
        let page = Page { width: Some(width), ..Page::plain() };
        check(&format!("summary_width_{width}"), &summary::draw(&page, &outcomes::busy_run()));
    }
}

#[test]
fn reports() {
    check("report", &report::draw(&Page::plain(), &outcomes::report()));
    let empty = ReportAnswer { rows: 0, table: TextTable::default(), files: Vec::new(), ..outcomes::report() };
    check("report_empty", &report::draw(&Page::plain(), &empty));
}

#[test]
fn tests_alone() {
    let mut run = outcomes::failed_run();
    run.tests.extend(outcomes::troubled_run().tests.pop());
    check("tests_failed", &tests::draw_alone(&Page::plain(), &run.tests));
    check("tests_passed", &tests::draw_alone(&Page::plain(), &outcomes::busy_run().tests));
}

#[test]
fn rows_of_a_table() {
    let table = TextTable {
        columns: vec!["id".into(), "text".into()],
        numeric: vec![true, false],
        rows: vec![
            vec![Some("1".into()), Some("two\nlines\tand a tab".into())],
            vec![Some("20".into()), None],
            vec![Some("300".into()), Some(String::new())],
            vec![None, Some("\u{1b}[31mred".into())],
            vec![Some("5".into()), Some("x".repeat(200))],
            vec![Some("6".into()), Some("a \"quote\", a comma".into())],
        ],
    };
    check("rows", &text_table::draw(&Page::plain(), &table));
}

fn planned(table: &str, kind: &str, strategy: Strategy, depends: bool, reason: &str) -> PlanStep {
    PlanStep {
        table: table.into(),
        kind: kind.into(),
        strategy,
        depends_on_inputs: depends,
        reason: reason.into(),
        refresh: None,
        inputs: Vec::new(),
    }
}

#[test]
fn plans() {
    let mut steps = vec![
        planned("store.orders", "store", Strategy::Merge, true, "2 new files"),
        planned("pres.totals", "table", Strategy::FullDifference, true, "reads store.orders"),
        PlanStep {
            refresh: Some(RefreshFigures {
                upstream: Some(1_208),
                expected_incremental: Some(0.02),
                expected_full: Some(1.5),
                ..RefreshFigures::default()
            }),
            ..planned("pres.by_month", "table", Strategy::Incremental, false, "store.orders changed")
        },
        planned("pres.prices", "table", Strategy::Full, false, "its definition changed"),
    ];
    steps.extend(
        (0..12).map(|n| planned(&format!("pres.t{n}"), "table", Strategy::Unchanged, false, "nothing changed")),
    );
    let index = |columns: &[&str], unique, dropped: Option<&str>| thalweg_run::PlannedIndex {
        table: "pres.orders".into(),
        columns: columns.iter().map(|&column| column.into()).collect(),
        unique,
        dropped: dropped.map(Into::into),
    };
    let indexes = vec![
        index(&["customer_id", "day"], false, None),
        index(&["id"], true, None),
        index(&[], false, Some("i_0f_day")),
    ];
    let partition = |from: Option<&str>, until: Option<&str>, dropped: bool| thalweg_run::PlannedPartition {
        table: "pres.orders".into(),
        from: from.map(Into::into),
        until: until.map(Into::into),
        dropped,
    };
    let partitions = vec![
        partition(None, None, true),
        partition(Some("2023-11-01"), Some("2023-12-01"), true),
        partition(Some("2026-12-01"), Some("2027-01-01"), false),
    ];
    let plan = Plan { run: 13, resumes: false, steps, removed: vec!["pres.old".into()], indexes, partitions };
    check("plan", &plan::draw(&Page::plain(), &plan));
    let resumed = Plan {
        resumes: true,
        removed: Vec::new(),
        indexes: Vec::new(),
        partitions: Vec::new(),
        steps: plan.steps[2..5].to_vec(),
        ..plan
    };
    check("plan_resumed", &plan::draw(&Page::plain(), &resumed));
}

fn record(run: i64, state: RunState, message: Option<&str>) -> RunRecord {
    RunRecord {
        run,
        command: "build".into(),
        state,
        started_at: 1_772_373_600_000_000 + run * 3_600_000_000,
        finished_at: (state != RunState::Running).then_some(1_772_373_601_400_000 + run * 3_600_000_000),
        message: message.map(Into::into),
    }
}

#[test]
fn statuses() {
    let table = |table: &str, kind: &str, rows, runs: (Option<i64>, Option<i64>)| TableStatus {
        table: table.into(),
        kind: kind.into(),
        rows,
        changed_run: runs.0,
        refreshed_run: runs.1,
        stale: None,
        remarks: Vec::new(),
    };
    let mut stale = table("pres.totals", "table", Some(120), (Some(9), Some(11)));
    stale.stale = Some("store.orders is ahead of it since run 12".into());
    let mut unseen = table("store.orders", "store", Some(48_212), (Some(12), Some(12)));
    unseen.remarks = vec!["deletes not seen".into(), "2 open rejects".into()];
    let mut status = Status {
        project: "orders".into(),
        target: "dev".into(),
        warehouse: "warehouse.duckdb".into(),
        last_run: Some(record(12, RunState::Published, None)),
        published_run: Some(12),
        tables: vec![
            unseen,
            stale,
            table("staging.customers", "view", None, (Some(1), Some(1))),
            table("pres.new", "table", None, (None, None)),
        ],
        open_rejects: 2,
    };
    check("status", &status::draw(&Page::plain(), &status));
    status.last_run = Some(record(13, RunState::Failed, Some("1 test failed")));
    status.tables.truncate(1);
    check("status_after_failure", &status::draw(&Page::plain(), &status));
    let fresh = Status { last_run: None, published_run: None, tables: Vec::new(), open_rejects: 0, ..status };
    check("status_fresh", &status::draw(&Page::plain(), &fresh));
}

#[test]
fn past_runs() {
    let list = [
        record(13, RunState::Running, None),
        record(12, RunState::Failed, Some("1 test failed\nmore of it")),
        record(11, RunState::Nothing, None),
        record(10, RunState::Published, None),
    ];
    check("runs", &runs::draw(&Page::plain(), &list));
    check("runs_none", &runs::draw(&Page::plain(), &[]));
    let run = outcomes::failed_run();
    let detail = RunDetail {
        record: record(12, RunState::Failed, Some("1 test failed")),
        steps: run.steps,
        tests: run.tests,
        extracts: vec![ExtractRecord {
            id: 41,
            run: 12,
            stream: "shop.order_lines".into(),
            file: "order_lines_20260301.csv".into(),
            read: 1_208,
            rejected: 2,
        }],
    };
    check("run_detail", &runs::draw_detail(&Page::plain(), &detail));
}

#[test]
fn rejected_records() {
    let reject = |id, state: &str| RejectRecord {
        id,
        run: 12,
        stream: "shop.order_lines".into(),
        file: "order_lines_20260301.csv".into(),
        record: 1_204,
        byte_offset: Some(40_012),
        reason: "column amount: \"12,5\" is not a decimal(10,2)".into(),
        raw: "1007,2,\"12,5\"\n".into(),
        state: state.into(),
    };
    check("rejects", &rejects::draw(&Page::plain(), &[reject(1, "open"), reject(2, "open")], true));
    check("rejects_all", &rejects::draw(&Page::plain(), &[reject(1, "replayed"), reject(2, "open")], false));
    check("rejects_none", &rejects::draw(&Page::plain(), &[], false));
}

#[test]
fn verifications() {
    let outcome = |table: &str, equal, missing, unexpected| VerifyOutcome {
        table: table.into(),
        against: if table.starts_with("store") { "landing" } else { "its query" }.into(),
        equal,
        missing,
        unexpected,
        first: TextTable::default(),
        remark: None,
        rows: 48_212,
    };
    let mut differs = outcome("pres.totals", Some(false), 1, 2);
    differs.first = TextTable {
        columns: vec!["difference".into(), "customer".into(), "amount".into(), "_run".into()],
        numeric: vec![false, false, true, true],
        rows: vec![
            vec![Some("missing".into()), Some("Anna".into()), Some("12.50".into()), None],
            vec![Some("unexpected".into()), Some("Anna".into()), Some("12.00".into()), Some("9".into())],
        ],
    };
    let mut skipped = outcome("pres.now", None, 0, 0);
    skipped.remark = Some("its query asks for the time of day".into());
    let good = outcome("store.orders", Some(true), 0, 0);
    check("verify", &verification::draw(&Page::plain(), &[good.clone(), differs, skipped]));
    check("verify_equal", &verification::draw(&Page::plain(), &[good]));
}

#[test]
fn listings() {
    let node = |name: &str, kind: &str, inputs: &[&str]| Listed {
        name: name.into(),
        kind: kind.into(),
        file: format!("models/{}.sql", name.replace('.', "/")),
        tags: if kind == "model" { vec!["daily".into(), "sales".into()] } else { Vec::new() },
        inputs: inputs.iter().map(|input| (*input).into()).collect(),
    };
    let nodes = [
        node("store.orders", "store", &[]),
        node("seeds.country", "seed", &[]),
        node("staging.orders", "model", &["store.orders", "seeds.country"]),
        node("pres.totals", "model", &["staging.orders"]),
        node("best_customers", "report", &["pres.totals", "staging.orders"]),
    ];
    check("ls_names", &listing::names(&nodes));
    check("ls_table", &listing::draw(&Page::plain(), &nodes));
    check("ls_tree", &listing::tree(&Page::plain(), &nodes));
}

#[test]
fn numbers_and_words() {
    for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (48_212, "48,212"), (1_234_567, "1,234,567")] {
        assert_eq!(grouped(number), text);
    }
    assert_eq!(counted(1, "table"), "1 table");
    assert_eq!(counted(2_000, "table"), "2,000 tables");
    assert_eq!(counted(0, "query"), "0 queries");
    assert_eq!(counted(3, "day"), "3 days");
    for (time, text) in [
        (0.001, "0.00 s"),
        (0.124, "0.12 s"),
        (0.996, "1.0 s"),
        (1.43, "1.4 s"),
        (99.2, "99.2 s"),
        (125.0, "2 min 5 s"),
        (3_780.0, "1 h 3 min"),
    ] {
        assert_eq!(seconds(time), text);
    }
}
