//! Hand-made answers of the run, for the renderers.

use thalweg_run::*;

pub fn counts(read: u64, inserted: u64, updated: u64, unchanged: u64) -> Counts {
    Counts { read, inserted, updated, unchanged, ..Counts::default() }
}

pub fn step(table: &str, kind: &str, strategy: Strategy, counts: Counts, rows: (u64, u64)) -> StepOutcome {
    StepOutcome {
        table: table.into(),
        kind: kind.into(),
        strategy,
        reason: String::new(),
        counts,
        rows_before: rows.0,
        rows_after: rows.1,
        seconds: 0.12,
        refresh: None,
    }
}

pub fn unchanged(table: &str, rows: u64) -> StepOutcome {
    step(table, "table", Strategy::Unchanged, Counts::default(), (rows, rows))
}

pub fn test(name: &str, table: &str, state: TestState, failures: u64) -> TestOutcome {
    TestOutcome {
        test: name.into(),
        table: Some(table.into()),
        severity: if state == TestState::Warn { "warn" } else { "error" }.into(),
        state,
        failures,
        scope: "changes".into(),
        first_failures: Vec::new(),
        message: None,
        seconds: 0.01,
    }
}

pub fn row(cells: &[(&str, Option<&str>)]) -> Vec<(String, Option<String>)> {
    cells.iter().map(|(name, value)| ((*name).into(), value.map(Into::into))).collect()
}

/// A run in which much happened and all is well.
pub fn busy_run() -> RunOutcome {
    let mut merged = step("store.order_lines", "store", Strategy::Merge, counts(1_208, 12, 3, 1_185), (48_204, 48_212));
    merged.counts.deleted_by_mark = 4;
    merged.counts.rejected = 2;
    merged.counts.duplicate = 2;
    let log = step("store.access", "store", Strategy::Append, counts(1_234_567, 1_234_567, 0, 0), (0, 1_234_567));
    let mut by_keys = step("pres.by_month", "table", Strategy::Incremental, counts(0, 0, 2, 0), (96, 96));
    by_keys.refresh = Some(RefreshFigures { keys: Some(2), upstream: Some(19), ..RefreshFigures::default() });
    let mut full =
        step("pres.report_order_lines", "table", Strategy::FullDifference, counts(0, 12, 3, 0), (48_204, 48_212));
    full.counts.deleted_missing = 4;
    full.reason = "store.order_lines changed; random() gives another answer each time".into();
    full.seconds = 1.43;
    let mut anew = step("pres.monthly_sales", "table", Strategy::Full, counts(0, 120, 0, 0), (0, 120));
    anew.reason = "its definition changed".into();
    let view = step("staging.customers", "view", Strategy::View, Counts::default(), (0, 0));
    RunOutcome {
        run: 12,
        published_run: Some(12),
        state: RunState::Published,
        steps: vec![merged, log, full, by_keys, anew, view, unchanged("pres.product_popularity", 1_000)],
        tests: (0..12).map(|n| test(&format!("test_{n}"), "pres.monthly_sales", TestState::Pass, 0)).collect(),
        failed_streams: Vec::new(),
        stale: Vec::new(),
        removed: Vec::new(),
        reports: Vec::new(),
        failed_reports: Vec::new(),
        verified: Vec::new(),
        notes: Vec::new(),
        seconds: 2.04,
        message: None,
    }
}

/// A run with everything that can deserve attention, published nevertheless.
pub fn troubled_run() -> RunOutcome {
    let mut run = busy_run();
    run.steps.truncate(1);
    let mut kept = step("store.prices", "store", Strategy::Kept, Counts::default(), (90, 90));
    kept.reason = "its stream could not be read".into();
    run.steps.push(kept);
    run.failed_streams.push(FailedStream {
        stream: "shop.prices".into(),
        table: "store.prices".into(),
        message: "prices_20260301.csv.gz ends in the middle; deliver it again".into(),
    });
    run.stale.push(StaleTable { table: "pres.margins".into(), reason: "store.prices is ahead of it".into() });
    run.removed = vec!["pres.old".into(), "pres.older".into()];
    run.notes = vec![
        OutcomeNote {
            about: "shop.order_lines".into(),
            warning: true,
            message: "column discount is missing since orders_3.csv and reads as NULL".into(),
        },
        OutcomeNote {
            about: "shop.order_lines".into(),
            warning: false,
            message: "column channel is new and was taken in".into(),
        },
    ];
    let mut warned = test("relationships_report_order_lines_customer", "pres.report_order_lines", TestState::Warn, 31);
    warned.message = Some("31 values of customer_document_no are not in store.customers.document_number".into());
    warned.first_failures = vec![
        row(&[("order_no", Some("1007")), ("order_line_no", Some("2")), ("customer_document_no", Some("00412"))]),
        row(&[("order_no", Some("998")), ("order_line_no", Some("10")), ("customer_document_no", None)]),
    ];
    run.tests.push(warned);
    run
}

/// A run that a test stopped.
pub fn failed_run() -> RunOutcome {
    let mut run = busy_run();
    run.state = RunState::Failed;
    run.published_run = Some(11);
    run.steps.truncate(3);
    let mut failed = test("accepted_range_report_order_lines_amount", "pres.report_order_lines", TestState::Fail, 3);
    failed.message = Some("amount must be at least 0".into());
    failed.first_failures = vec![row(&[("order_no", Some("1007")), ("amount", Some("-12.50"))])];
    run.tests.push(failed);
    run.message = Some("1 test failed".into());
    run
}

pub fn report() -> ReportAnswer {
    ReportAnswer {
        report: "monthly_sales".into(),
        title: "Monthly sales by company".into(),
        run: 12,
        table: TextTable {
            columns: vec!["order_month".into(), "company".into(), "amount".into()],
            numeric: vec![false, false, true],
            rows: vec![
                vec![Some("2026-03-01".into()), Some("Łódź & Söhne".into()), Some("12034.50".into())],
                vec![Some("2026-03-01".into()), Some("日本商事".into()), Some("9.00".into())],
                vec![Some("2026-02-01".into()), None, Some("120.00".into())],
            ],
        },
        rows: 123,
        files: vec!["out/monthly_sales.csv".into()],
    }
}
