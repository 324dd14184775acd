//! What tests found.

use thalweg_run::{TestOutcome, TestState, TextTable};

use super::grid::indent;
use super::number::{counted, grouped};
use super::{Page, text_table};

/// A count of what passed and failed, then every failure with its first rows. Empty when there are no tests.
pub fn draw(page: &Page, tests: &[TestOutcome]) -> String {
    if tests.is_empty() || tests.iter().all(|test| test.state == TestState::Pass) {
        // The last line of a run says how many passed.
        return String::new();
    }
    draw_failures(page, tests)
}

/// Every failure and warning with its first rows.
pub fn draw_failures(page: &Page, tests: &[TestOutcome]) -> String {
    let failures = tests.iter().filter(|test| test.state == TestState::Fail);
    let warnings = tests.iter().filter(|test| test.state == TestState::Warn);
    failures.chain(warnings).map(|test| failure(page, test)).collect::<Vec<_>>().join("\n")
}

/// `11 tests passed, 1 failed`.
pub fn count_line(tests: &[TestOutcome]) -> String {
    let count = |state| tests.iter().filter(|test| test.state == state).count() as u64;
    let (passed, warned, failed) = (count(TestState::Pass), count(TestState::Warn), count(TestState::Fail));
    let parts = [(passed, "passed"), (warned, "warned"), (failed, "failed")];
    let mut words = Vec::new();
    for (number, word) in parts.into_iter().filter(|(number, _)| *number > 0) {
        // The first says what is counted.
        let number = if words.is_empty() { counted(number, "test") } else { grouped(number) };
        words.push(format!("{number} {word}"));
    }
    words.join(", ")
}

/// The last lines of `thalweg test`.
pub fn draw_alone(page: &Page, tests: &[TestOutcome]) -> String {
    if tests.is_empty() {
        return "no tests were selected\n".to_owned();
    }
    let mut sections = vec![draw(page, tests)];
    let line = count_line(tests);
    sections.push(format!(
        "{}\n",
        match tests.iter().map(|test| test.state).max_by_key(|state| badness(*state)) {
            Some(TestState::Fail) => page.paint.red(line),
            Some(TestState::Warn) => page.paint.yellow(line),
            _ => page.paint.green(line),
        }
    ));
    sections.retain(|section| !section.is_empty());
    sections.join("\n")
}

fn badness(state: TestState) -> u8 {
    match state {
        TestState::Pass => 0,
        TestState::Warn => 1,
        TestState::Fail => 2,
    }
}

fn failure(page: &Page, test: &TestOutcome) -> String {
    let word = match test.state {
        TestState::Fail => page.paint.red("failed test"),
        _ => page.paint.yellow("warning"),
    };
    let about = test.table.as_ref().map_or(String::new(), |table| format!(" on {table}"));
    let mut text = format!("{word}: {}{about}: {}\n", test.test, counted(test.failures, "failing row"));
    if let Some(message) = &test.message {
        text.push_str(&indent(message, 2));
    }
    let rows = first_rows(test);
    if !rows.rows.is_empty() {
        text.push_str(&indent(&text_table::draw(page, &rows), 2));
        let more = test.failures.saturating_sub(rows.rows.len() as u64);
        if more > 0 {
            text.push_str(&format!("  {}\n", page.paint.faint(format!("… and {} more", grouped(more)))));
        }
    }
    text
}

/// The first failing rows as a table: the columns are those of the first row.
fn first_rows(test: &TestOutcome) -> TextTable {
    let Some(first) = test.first_failures.first() else { return TextTable::default() };
    let columns: Vec<_> = first.iter().map(|(name, _)| name.clone()).collect();
    let rows: Vec<Vec<_>> =
        test.first_failures.iter().map(|row| row.iter().map(|(_, value)| value.clone()).collect()).collect();
    let numeric = (0..columns.len())
        .map(|index| {
            let mut values = rows.iter().filter_map(|row| row.get(index)?.as_deref()).peekable();
            values.peek().is_some() && values.all(|value| value.parse::<f64>().is_ok())
        })
        .collect();
    TextTable { columns, numeric, rows }
}
