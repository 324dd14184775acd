//! Past runs.

use thalweg_run::{RunDetail, RunRecord, RunState, TestState};

use super::grid::{self, Side, Value};
use super::number::{counted, seconds, time};
use super::{Page, summary, tests};

/// Past runs, one a line.
pub fn draw(page: &Page, runs: &[RunRecord]) -> String {
    if runs.is_empty() {
        return "there were no runs yet; `thalweg build` does the first\n".to_owned();
    }
    let columns = [
        ("run", Side::Right),
        ("command", Side::Left),
        ("started", Side::Left),
        ("time", Side::Right),
        ("state", Side::Left),
        ("message", Side::Left),
    ];
    let zone = page.zone();
    let rows = runs
        .iter()
        .map(|run| {
            vec![
                Value::text(run.run.to_string()),
                Value::text(&run.command),
                Value::text(time(run.started_at, &zone)),
                duration(run).map_or(Value::Empty, Value::Text),
                state(run.state),
                Value::text(run.message.as_deref().and_then(|message| message.lines().next()).unwrap_or_default()),
            ]
        })
        .collect();
    grid::draw(page, &columns, rows)
}

/// Everything known of one run.
pub fn draw_detail(page: &Page, detail: &RunDetail) -> String {
    let record = &detail.record;
    let (words, _) = state_words(record.state);
    let mut text = format!("{}: `{}`, {words}\n", page.paint.bold(format!("run {}", record.run)), record.command);
    text.push_str(&format!("started {}", time(record.started_at, &page.zone())));
    text.push_str(&duration(record).map_or("\n".to_owned(), |time| format!(", took {time}\n")));
    if let Some(message) = &record.message {
        text.push_str(&format!("{message}\n"));
    }
    let steps = summary::steps(page, &detail.steps);
    if !steps.is_empty() {
        text.push_str(&format!("\n{steps}"));
    }
    if !detail.extracts.is_empty() {
        let columns = [
            ("origin", Side::Right),
            ("stream", Side::Left),
            ("file", Side::Left),
            ("read", Side::Right),
            ("rejected", Side::Right),
        ];
        let rows = detail
            .extracts
            .iter()
            .map(|extract| {
                vec![
                    Value::text(extract.id.to_string()),
                    Value::text(&extract.stream),
                    Value::text(&extract.file),
                    Value::Count(extract.read),
                    Value::AlarmingCount(extract.rejected),
                ]
            })
            .collect();
        text.push_str(&format!("\n{}", grid::draw(page, &columns, rows)));
    }
    if !detail.tests.is_empty() {
        let failures = tests::draw_failures(page, &detail.tests);
        if !failures.is_empty() {
            text.push_str(&format!("\n{failures}"));
        }
        text.push_str(&format!("\n{}\n", tests::count_line(&detail.tests)));
    }
    let failed = detail.tests.iter().any(|test| test.state == TestState::Fail);
    if detail.steps.is_empty() && !failed {
        text.push_str(&format!("\n{}\n", page.paint.faint(format!("{} touched", counted(0, "table")))));
    }
    text
}

/// How a run ended, in words, and how good that is.
pub(crate) fn state_words(state: RunState) -> (&'static str, fn(String) -> Value) {
    match state {
        RunState::Running => ("running or interrupted", Value::Attention),
        RunState::Published => ("published", Value::Good),
        RunState::Nothing => ("nothing new", Value::Faint),
        RunState::Failed => ("failed", Value::Bad),
    }
}

fn state(state: RunState) -> Value {
    let (words, value) = state_words(state);
    value(words.to_owned())
}

fn duration(run: &RunRecord) -> Option<String> {
    let finished = run.finished_at?;
    Some(seconds((finished - run.started_at).max(0) as f64 / 1e6))
}
