//! Lines told while a run goes on.

use thalweg_cli::progress::line;
use thalweg_run::{Event, TestState};

use crate::check;
use crate::outcomes;

#[test]
fn a_line_for_what_matters() {
    let run = outcomes::troubled_run();
    let stream = || "shop.orders".to_owned();
    let events = [
        Event::RunStarted { run: 12, resumed: false, streams: 1, models: 1_200 },
        Event::RunStarted { run: 12, resumed: true, streams: 3, models: 5 },
        Event::Waiting { message: "warehouse.duckdb is held by process 4711 (duckdb)".into() },
        Event::ExtractStarted { stream: stream() },
        Event::ExtractProgress { stream: stream(), records: 1_000 },
        Event::ExtractFinished { stream: stream(), read: 1_208, rejected: 2, files: 1, reused: true },
        Event::ExtractFinished { stream: stream(), read: 0, rejected: 0, files: 0, reused: false },
        Event::ExtractFailed { stream: stream(), message: "no such folder".into() },
        Event::Note { about: stream(), warning: true, message: "column x is missing".into() },
        Event::StepStarted { table: "store.orders".into() },
        Event::StepFinished(run.steps[0].clone()),
        Event::StepFinished(outcomes::unchanged("pres.x", 5)),
        Event::TestFinished(outcomes::test("passes", "pres.x", TestState::Pass, 0)),
        Event::TestFinished(outcomes::test("fails", "pres.x", TestState::Fail, 1)),
        Event::Published { run: 12 },
    ];
    let lines: String = events.iter().filter_map(line).map(|line| format!("{line}\n")).collect();
    check("progress_lines", &lines);
}
