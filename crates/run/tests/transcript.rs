//! What a run did, as lines of a case.

use thalweg_run::{
    Counts, Explanation, Plan, RowOrigin, RunError, RunOutcome, StepOutcome, Strategy, TestOutcome, TestState, Why,
};

use crate::site::{Rows, described};

/// A run that ended.
pub fn outcome(outcome: &RunOutcome) -> String {
    let mut lines = vec![format!("run {} {}", outcome.run, word(&outcome.state))];
    if let Some(message) = &outcome.message {
        lines[0].push_str(&format!(": {message}"));
    }
    lines.extend(outcome.steps.iter().filter(|step| step.strategy != Strategy::Unchanged).map(step));
    lines.extend(outcome.tests.iter().map(test));
    for failed in &outcome.failed_streams {
        lines.push(format!("  failed {}: {}", failed.stream, failed.message));
    }
    for stale in &outcome.stale {
        lines.push(format!("  stale {}: {}", stale.table, stale.reason));
    }
    for table in &outcome.removed {
        lines.push(format!("  removed {table}"));
    }
    for note in &outcome.notes {
        lines.push(format!("  {} {}: {}", if note.warning { "warning" } else { "note" }, note.about, note.message));
    }
    for report in &outcome.reports {
        lines.push(format!("  report {}: {} rows", report.report, report.rows));
    }
    for failed in &outcome.failed_reports {
        lines.push(format!("  failed report {}: {}", failed.report, failed.message));
    }
    if outcome.exit_code() != 0 {
        lines.push(format!("  exit code {}", outcome.exit_code()));
    }
    lines.join("\n")
}

/// What a build would do.
pub fn plan(plan: &Plan) -> String {
    let lines =
        plan.steps.iter().filter(|step| step.strategy != Strategy::Unchanged || step.depends_on_inputs).map(|step| {
            let depends = if step.depends_on_inputs { "perhaps " } else { "" };
            let upstream = step.refresh.as_ref().and_then(|refresh| refresh.upstream);
            let upstream = upstream.map(|rows| format!(", changed rows upstream {rows}")).unwrap_or_default();
            format!("  {} {depends}{} ({}){upstream}", step.table, word(&step.strategy), step.reason)
        });
    let indexes = plan.indexes.iter().map(|index| match &index.dropped {
        // Its name holds a hash of the table's.
        Some(name) => format!("  index of {}: drop the one of {}", index.table, &name["i_0123456789abcdef_".len()..]),
        None => format!(
            "  index of {}: {}({})",
            index.table,
            if index.unique { "unique " } else { "" },
            index.columns.join(", ")
        ),
    });
    lines.chain(indexes).collect::<Vec<_>>().join("\n")
}

/// How a model is refreshed.
pub fn explanation(explanation: &Explanation) -> String {
    let mut lines = Vec::new();
    for stage in &explanation.stages {
        let added = stage.added.as_ref().map(|_| "added and subtracted".to_owned());
        let how = stage.because.clone().or(added).unwrap_or_else(|| format!("by {}", stage.key.join(", ")));
        lines.push(format!("  stage {} ({}): {how}", stage.table, stage.reason));
    }
    if let Some(because) = &explanation.because {
        lines.push(format!("  in full: {because}"));
    }
    if let Some(obstacle) = &explanation.obstacle {
        lines.push(format!("  at {}:{:?}", obstacle.location.file, obstacle.location.span));
    }
    if let Some(instead) = &explanation.instead {
        lines.push(format!("  instead: {instead}"));
    }
    if explanation.incremental {
        lines.push(format!("  by {}: {}", explanation.key.join(", "), explanation.key_reason));
    }
    lines.extend(explanation.how.iter().map(|line| format!("  {line}")));
    lines.extend(explanation.restrictions.iter().map(|line| format!("  {line}")));
    lines.join("\n")
}

/// Where a row comes from.
pub fn why(why: &Why) -> String {
    let mut lines = Vec::new();
    for row in &why.rows {
        origin(row, 1, &mut lines);
    }
    for version in why.history.iter().flatten() {
        lines.push(format!("  was {} from run {} until run {}", cells(&version.row), version.run, version.until));
    }
    lines.extend(why.remark.iter().map(|remark| format!("  {remark}")));
    lines.join("\n")
}

fn cells(row: &[(String, Option<String>)]) -> String {
    let cells = row.iter().map(|(name, value)| format!("{name}={}", value.as_deref().unwrap_or("NULL")));
    cells.collect::<Vec<_>>().join(" ")
}

fn origin(row: &RowOrigin, depth: usize, lines: &mut Vec<String>) {
    let mut line = format!("{}{} [{}] of run {}", "  ".repeat(depth), row.table, cells(&row.row), row.run);
    if let Some(refreshed) = &row.refreshed {
        line.push_str(&format!(", {refreshed}"));
    }
    if let Some(place) = &row.place {
        line.push_str(&format!(", {} record {}", place.file, place.record));
    }
    if let Some(gone) = row.gone_in {
        line.push_str(&format!(", gone in run {gone}"));
    }
    if let Some(remark) = &row.remark {
        line.push_str(&format!(" ({remark})"));
    }
    lines.push(line);
    for below in &row.from {
        origin(below, depth + 1, lines);
    }
}

/// A run that could not be done.
pub fn error(error: &RunError) -> String {
    format!("error: {}\n  exit code {}", described(error), error.exit_code())
}

fn step(step: &StepOutcome) -> String {
    let Counts { read, inserted, updated, unchanged, deleted_by_mark, deleted_missing, rejected, duplicate } =
        step.counts;
    let mut text = format!("  {} {} ({})", step.table, word(&step.strategy), step.reason);
    for (name, number) in [
        ("read", read),
        ("inserted", inserted),
        ("updated", updated),
        ("unchanged", unchanged),
        ("deleted by mark", deleted_by_mark),
        ("missing", deleted_missing),
        ("rejected", rejected),
        ("duplicate", duplicate),
    ] {
        if number > 0 {
            text.push_str(&format!(", {name} {number}"));
        }
    }
    if let Some(keys) = step.refresh.as_ref().and_then(|refresh| refresh.keys) {
        text.push_str(&format!(", keys {keys}"));
    }
    if step.strategy != Strategy::Kept && step.kind != "view" {
        text.push_str(&format!(", rows {} -> {}", step.rows_before, step.rows_after));
    }
    text
}

/// A test that was run.
pub fn test(test: &TestOutcome) -> String {
    let mut text = format!("  test {} {} ({})", test.test, word(&test.state), test.scope);
    if test.state != TestState::Pass {
        text.push_str(&format!(": {}", test.message.as_deref().unwrap_or("no message")));
        for row in &test.first_failures {
            let row: Vec<_> =
                row.iter().map(|(name, value)| format!("{name}={}", value.as_deref().unwrap_or("NULL"))).collect();
            text.push_str(&format!("\n    {}", row.join(" ")));
        }
    }
    text
}

/// Rows, in the order of their texts.
pub fn rows(rows: &Rows) -> String {
    let mut lines: Vec<String> = rows
        .iter()
        .map(|row| {
            let cells: Vec<&str> = row.iter().map(|cell| cell.as_deref().unwrap_or("NULL")).collect();
            format!("  {}", cells.join(" | "))
        })
        .collect();
    lines.sort();
    if lines.is_empty() { "  no rows".to_owned() } else { lines.join("\n") }
}

/// The word of a value that serialises as one.
fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).unwrap().as_str().unwrap().to_owned()
}
