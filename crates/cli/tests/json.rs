//! Everything programs read.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int64Array, ListArray, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::Int32Type;
use serde_json::Value;
use thalweg_cli::failure::Failure;
use thalweg_cli::render::json;
use thalweg_run::{Event, RunError, Strategy};
use thalweg_warehouse::{Rows, WarehouseError, WarehouseErrorKind};

use crate::check;
use crate::outcomes;

/// Each line one after the other, with indentation, for a snapshot that people can read.
fn pretty(lines: &str) -> String {
    lines
        .lines()
        .map(|line| {
            let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            format!("{}\n", serde_json::to_string_pretty(&value).unwrap())
        })
        .collect()
}

#[test]
fn every_event_is_one_object() {
    let run = outcomes::busy_run();
    let stream = || "shop.orders".to_owned();
    let events = [
        Event::RunStarted { run: 12, resumed: true, streams: 3, models: 5 },
        Event::Waiting { message: "run 11 holds it".into() },
        Event::ExtractStarted { stream: stream() },
        Event::ExtractProgress { stream: stream(), records: 1_000 },
        Event::ExtractFinished { stream: stream(), read: 1_208, rejected: 2, files: 1, reused: false },
        Event::ExtractFailed { stream: stream(), message: "no such folder".into() },
        Event::Note { about: stream(), warning: true, message: "column \"x\" is missing".into() },
        Event::StepStarted { table: "store.orders".into() },
        Event::StepFinished(run.steps[0].clone()),
        Event::TestFinished(run.tests[0].clone()),
        Event::Published { run: 12 },
        Event::ReportFinished(outcomes::report()),
    ];
    let lines: String = events.iter().map(|event| format!("{}\n", json::event(event))).collect();
    assert_eq!(lines.lines().count(), events.len());
    check("json_events", &lines);
}

#[test]
fn the_last_line_of_a_run() {
    let mut run = outcomes::troubled_run();
    run.steps.truncate(1);
    run.tests.truncate(1);
    run.reports.push(outcomes::report());
    assert_eq!(run.steps[0].strategy, Strategy::Merge);
    check("json_summary", &pretty(&json::summary(&run)));
}

#[test]
fn failures_are_objects() {
    let mut error = WarehouseError::new(WarehouseErrorKind::Statement, "column amont does not exist");
    error.statement = Some("select amont from store.orders".into());
    let failure = Failure::from(RunError::Table { table: "pres.totals".into(), error })
        .with_help("`thalweg compile pres.totals` prints its SQL; nothing was published");
    assert_eq!(failure.exit_code(), 1);
    check("json_failure", &pretty(&failure.json()));
}

#[test]
fn rows_are_exact() {
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1), None]), None]);
    let columns: [(&str, ArrayRef); 7] = [
        ("whole", Arc::new(Int64Array::from(vec![Some(i64::MAX), None]))),
        (
            "decimal",
            Arc::new(Decimal128Array::from(vec![Some(1250), Some(-5)]).with_precision_and_scale(12, 2).unwrap()),
        ),
        ("float", Arc::new(Float64Array::from(vec![0.5, f64::NAN]))),
        ("truth", Arc::new(BooleanArray::from(vec![true, false]))),
        ("a \"text\"", Arc::new(StringArray::from(vec![Some("two\nlines"), Some("")]))),
        ("time", Arc::new(TimestampMicrosecondArray::from(vec![1_772_373_600_123_456, 0]))),
        ("list", Arc::new(list)),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap();
    let rows = Rows { schema: batch.schema(), batches: vec![batch] };
    let lines = thalweg_run::rows::json_lines(&rows).unwrap();
    for line in lines.lines() {
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
    check("json_rows", &lines);
}
