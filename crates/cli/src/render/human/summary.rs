//! The end of a run: what moved, what failed, what to look at, and one last line.

use thalweg_run::{Counts, RunOutcome, RunState, StepOutcome, Strategy};

use super::grid::{self, Side, Value};
use super::number::{counted, grouped, seconds};
use super::{Page, tests, verification};
use crate::output::Paint;

/// More unchanged tables than this are folded into one line.
const FOLD_BEYOND: usize = 10;
/// At most so many remarks that are no warnings.
const MOST_REMARKS: usize = 10;

/// The whole summary.
pub fn draw(page: &Page, outcome: &RunOutcome) -> String {
    let mut sections = vec![steps(page, &outcome.steps)];
    sections.push(tests::draw(page, &outcome.tests));
    sections.push(attention(page, outcome, Talk::Everything));
    if !outcome.verified.is_empty() {
        sections.push(verification::draw(page, &outcome.verified));
    }
    sections.push(last_line(page, outcome));
    sections.retain(|section| !section.is_empty());
    sections.join("\n")
}

/// What is left of the summary with `--quiet`: failures and warnings, nothing when all is well.
pub fn draw_quiet(page: &Page, outcome: &RunOutcome) -> String {
    let mut sections = vec![tests::draw_failures(page, &outcome.tests), attention(page, outcome, Talk::Warnings)];
    if outcome.verified.iter().any(|verified| verified.equal == Some(false)) {
        sections.push(verification::draw(page, &outcome.verified));
    }
    if outcome.exit_code() != 0 {
        sections.push(last_line(page, outcome));
    }
    sections.retain(|section| !section.is_empty());
    sections.join("\n")
}

/// Every table with its counts; both equations of a table can be checked by eye.
pub fn steps(page: &Page, steps: &[StepOutcome]) -> String {
    let unchanged = steps.iter().filter(|step| is_quiet(step)).count();
    let fold = unchanged > FOLD_BEYOND;
    let shown: Vec<_> = steps.iter().filter(|step| !(fold && is_quiet(step))).collect();
    let mut text = if shown.is_empty() { String::new() } else { counted_steps(page, &shown) };
    if fold {
        text.push_str(&format!("{}\n", page.paint.faint(format!("{} unchanged", counted(unchanged as u64, "table")))));
    }
    text
}

/// A column for each count, or, where the terminal is too narrow for that, the counts that are not zero in words.
fn counted_steps(page: &Page, shown: &[&StepOutcome]) -> String {
    let reasons = shown.iter().any(|step| has_reason(step));
    let duplicates = shown.iter().any(|step| step.counts.duplicate > 0);
    let mut columns = vec![("table", Side::Left), ("refreshed", Side::Left), ("read", Side::Right)];
    columns.extend(["inserted", "updated", "unchanged", "deleted", "rejected"].map(|name| (name, Side::Right)));
    if duplicates {
        columns.push(("duplicate", Side::Right));
    }
    columns.extend([("rows", Side::Right), ("time", Side::Right)]);
    let narrow = page.width.is_some_and(|width| {
        let plain = Page { width: None, paint: Paint::Plain, ..page.clone() };
        let rows = shown.iter().map(|step| row(step, duplicates, false)).collect();
        grid::width(&grid::draw(&plain, &columns, rows)) > usize::from(width)
    });
    if narrow {
        let columns = [("table", Side::Left), ("rows", Side::Right), ("refreshed", Side::Left)];
        return grid::draw(page, &columns, shown.iter().map(|step| short_row(step)).collect());
    }
    if reasons {
        columns.push(("why", Side::Left));
    }
    grid::draw(page, &columns, shown.iter().map(|step| row(step, duplicates, reasons)).collect())
}

fn short_row(step: &StepOutcome) -> Vec<Value> {
    let counts = &step.counts;
    let mut words = step.strategy.words().to_owned();
    let parts: Vec<_> = [
        (counts.read, "read"),
        (counts.inserted, "inserted"),
        (counts.updated, "updated"),
        (counts.unchanged, "unchanged"),
        (counts.deleted_by_mark + counts.deleted_missing, "deleted"),
        (counts.rejected, "rejected"),
        (counts.duplicate, "duplicate"),
    ]
    .into_iter()
    .filter(|(number, _)| *number > 0)
    .map(|(number, word)| format!("{} {word}", grouped(number)))
    .collect();
    if !parts.is_empty() {
        words.push_str(&format!(": {}", parts.join(", ")));
    }
    vec![
        Value::text(&step.table),
        if step.kind == "view" { Value::Empty } else { Value::Count(step.rows_after) },
        Value::Text(words),
    ]
}

fn row(step: &StepOutcome, duplicates: bool, reasons: bool) -> Vec<Value> {
    let Counts { read, inserted, updated, unchanged, deleted_by_mark, deleted_missing, rejected, duplicate } =
        step.counts;
    let words = step.strategy.words().to_owned();
    let mut row = vec![
        Value::text(step.table.as_str()),
        match step.strategy {
            Strategy::Unchanged => Value::Faint(words),
            Strategy::Kept => Value::Attention(words),
            _ => Value::Text(words),
        },
        Value::Count(read),
        Value::Count(inserted),
        Value::Count(updated),
        Value::Count(unchanged),
        Value::Count(deleted_by_mark + deleted_missing),
        Value::AlarmingCount(rejected),
    ];
    if duplicates {
        row.push(Value::Count(duplicate));
    }
    row.push(if step.kind == "view" { Value::Empty } else { Value::Count(step.rows_after) });
    row.push(if step.strategy == Strategy::Unchanged { Value::Empty } else { Value::text(seconds(step.seconds)) });
    if reasons {
        row.push(match looked_at(step) {
            Some(words) => Value::Faint(words),
            None if has_reason(step) => Value::Faint(step.reason.clone()),
            None => Value::Empty,
        });
    }
    row
}

/// What a refresh by changes looked at, in words.
fn looked_at(step: &StepOutcome) -> Option<String> {
    let figures = step.refresh.as_ref().filter(|_| step.strategy == Strategy::Incremental)?;
    let keys = figures.keys.map(|keys| format!("{} touched", counted(keys, "key")));
    let upstream = figures.upstream.map(|upstream| counted(upstream, "changed row"));
    match (keys, upstream) {
        (Some(keys), Some(upstream)) => Some(format!("{keys} by {upstream}")),
        (keys, upstream) => keys.or(upstream),
    }
}

/// Whether the strategy raises the question why. Of a table that was kept, the lines below the summary tell more.
fn has_reason(step: &StepOutcome) -> bool {
    !step.reason.is_empty()
        && !matches!(
            step.strategy,
            Strategy::Unchanged | Strategy::Merge | Strategy::Append | Strategy::View | Strategy::Kept
        )
}

/// Nothing happened to it and nothing was read for it.
fn is_quiet(step: &StepOutcome) -> bool {
    step.strategy == Strategy::Unchanged && step.counts.read == 0 && !step.counts.changed()
}

/// How much is told beside failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Talk {
    /// What deserves attention.
    Warnings,
    /// Remarks as well.
    Everything,
}

/// Failed streams, stale and removed tables, warnings and remarks.
fn attention(page: &Page, outcome: &RunOutcome, talk: Talk) -> String {
    let paint = page.paint;
    let mut text = String::new();
    for failed in &outcome.failed_streams {
        text.push_str(&format!(
            "{}: {} could not be read, {} keeps what it has: {}\n",
            paint.red("failed"),
            failed.stream,
            failed.table,
            failed.message
        ));
    }
    for failed in &outcome.failed_reports {
        text.push_str(&format!(
            "{}: report {} could not be answered: {}\n",
            paint.red("failed"),
            failed.report,
            failed.message
        ));
    }
    let told = |table: &str| outcome.failed_streams.iter().any(|failed| failed.table == table);
    for stale in outcome.stale.iter().filter(|stale| !told(&stale.table)) {
        text.push_str(&format!("{}: {}: {}\n", paint.yellow("stale"), stale.table, stale.reason));
    }
    for note in outcome.notes.iter().filter(|note| note.warning) {
        text.push_str(&format!("{}: {}: {}\n", paint.yellow("warning"), note.about, note.message));
    }
    if !outcome.removed.is_empty() {
        let (subject, drop) = match outcome.removed.as_slice() {
            [_] => ("is", "drop it"),
            _ => ("are", "drop them"),
        };
        text.push_str(&format!(
            "{}: {} {subject} no longer in the project; {drop} with `--drop-removed`\n",
            paint.yellow("removed"),
            outcome.removed.join(", "),
        ));
    }
    if talk == Talk::Warnings {
        return text;
    }
    let remarks: Vec<_> = outcome.notes.iter().filter(|note| !note.warning).collect();
    for note in remarks.iter().take(MOST_REMARKS) {
        text.push_str(&format!("{}: {}: {}\n", paint.cyan("note"), note.about, note.message));
    }
    if remarks.len() > MOST_REMARKS {
        let more = counted((remarks.len() - MOST_REMARKS) as u64, "more note");
        text.push_str(&format!("{}\n", paint.faint(format!("… and {more}"))));
    }
    text
}

/// `run 12 published in 1.4 s: 3 tables changed, 12 tests passed, 2 rejects`.
pub fn last_line(page: &Page, outcome: &RunOutcome) -> String {
    let paint = page.paint;
    let run = outcome.run;
    match outcome.state {
        RunState::Failed | RunState::Running => {
            let readers = match outcome.published_run {
                Some(published) => format!("readers still see run {published}"),
                None => "there is nothing to read yet".to_owned(),
            };
            let mut text = format!("{}: nothing was published; {readers}\n", paint.red(format!("run {run} failed")));
            if let Some(message) = &outcome.message {
                text.insert_str(0, &format!("{}: {message}\n", paint.red("error")));
            }
            text
        }
        RunState::Nothing => {
            let mut parts = vec!["nothing new".to_owned()];
            parts.extend(test_count(outcome));
            parts.extend(failed_streams(outcome));
            parts.extend(failed_reports(outcome));
            let head = finish_word(page, outcome, &format!("run {run} finished in {}", seconds(outcome.seconds)));
            format!("{head}: {}\n", parts.join(", "))
        }
        RunState::Published => {
            let changed = outcome.steps.iter().filter(|step| moved(step)).count() as u64;
            let mut parts = vec![if changed == 0 {
                "no table changed".to_owned()
            } else {
                format!("{} changed", counted(changed, "table"))
            }];
            parts.extend(test_count(outcome));
            let rejected: u64 = outcome.steps.iter().map(|step| step.counts.rejected).sum();
            if rejected > 0 {
                parts.push(format!("{} (see `thalweg rejects`)", counted(rejected, "reject")));
            }
            parts.extend(failed_streams(outcome));
            parts.extend(failed_reports(outcome));
            let head = finish_word(page, outcome, &format!("run {run} published in {}", seconds(outcome.seconds)));
            format!("{head}: {}\n", parts.join(", "))
        }
    }
}

fn finish_word(page: &Page, outcome: &RunOutcome, words: &str) -> String {
    if outcome.exit_code() == 0 { page.paint.green(words) } else { page.paint.yellow(words) }
}

fn moved(step: &StepOutcome) -> bool {
    step.counts.changed() || matches!(step.strategy, Strategy::View)
}

fn test_count(outcome: &RunOutcome) -> Option<String> {
    (!outcome.tests.is_empty()).then(|| tests::count_line(&outcome.tests))
}

fn failed_streams(outcome: &RunOutcome) -> Option<String> {
    match outcome.failed_streams.len() {
        0 => None,
        1 => Some("1 stream could not be read".to_owned()),
        number => Some(format!("{} streams could not be read", grouped(number as u64))),
    }
}

fn failed_reports(outcome: &RunOutcome) -> Option<String> {
    match outcome.failed_reports.len() {
        0 => None,
        1 => Some("1 report could not be answered".to_owned()),
        number => Some(format!("{} reports could not be answered", grouped(number as u64))),
    }
}
