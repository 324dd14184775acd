//! How a model is refreshed.

use thalweg_run::Explanation;

use super::Page;
use super::grid::{self, Side, Value, indent};
use super::number::seconds;

/// In which way, by which keys, how they are found; with the statements where they are wanted. `obstacle` is what stands in the way,
/// drawn.
pub fn draw(page: &Page, explanation: &Explanation, obstacle: &str, sql: bool) -> String {
    let paint = page.paint;
    let mut text = format!("{} ({})\n", paint.bold(&explanation.table), explanation.file);
    if !explanation.stages.is_empty() {
        text.push_str(&stages(page, explanation, sql));
    }
    if let Some(because) = &explanation.because {
        let anew = if explanation.stages.is_empty() { "computed anew at each change" } else { "the rest" };
        text.push_str(&format!("{}: {because}\n", paint.yellow(anew)));
        if !obstacle.is_empty() {
            text.push_str(&format!("\n{obstacle}"));
        }
    }
    if explanation.incremental {
        text.push_str(&format!("{}: only the keys that a change touches are computed\n", paint.green("incremental")));
        text.push_str(&format!("\nkey: {}\n", explanation.key.join(", ")));
        text.push_str(&format!("  {}\n", paint.faint(&explanation.key_reason)));
        if !explanation.how.is_empty() {
            text.push_str("\nhow a change finds its keys:\n");
            for line in &explanation.how {
                text.push_str(&format!("  {line}\n"));
            }
        }
        if !explanation.restrictions.is_empty() {
            text.push_str("\nwhat is read to compute them:\n");
            for line in &explanation.restrictions {
                text.push_str(&format!("  {line}\n"));
            }
        }
        if !explanation.ties.is_empty() {
            text.push_str("\norders left open:\n");
            for line in &explanation.ties {
                text.push_str(&format!("  {line}\n"));
            }
        }
    }
    for change in &explanation.changes {
        if let Some(remark) = &change.remark {
            text.push_str(&format!("\n{}: {remark}\n", change.table));
        } else if sql {
            text.push_str(&format!("\nwhen {} changes:\n", paint.bold(&change.table)));
            for statement in &change.statements {
                text.push_str(&indent(&format!("{};\n", statement.trim_end()), 2));
            }
        }
    }
    if let (Some(restricted), true) = (&explanation.restricted, sql) {
        text.push_str("\nthe rows of the affected keys:\n");
        text.push_str(&indent(&format!("{};\n", restricted.trim_end()), 2));
    }
    if !explanation.past.is_empty() {
        text.push_str("\nlast refreshes:\n");
        text.push_str(&indent(&past(page, explanation), 2));
    }
    text
}

/// The parts of its query that are kept as tables.
fn stages(page: &Page, explanation: &Explanation, sql: bool) -> String {
    let paint = page.paint;
    let mut text = format!("{}: parts of its query are kept as tables that nobody sees\n", paint.green("stages"));
    for stage in &explanation.stages {
        text.push_str(&format!("\n{}: kept as a table of its own: {}\n", paint.bold(&stage.table), stage.reason));
        match &stage.because {
            _ if stage.added.is_some() => text.push_str("  what came is added to it, what went is subtracted\n"),
            Some(because) => text.push_str(&format!("  computed anew when what it reads changes: {because}\n")),
            None => text
                .push_str(&format!("  only the keys that a change touches are computed: {}\n", stage.key.join(", "))),
        }
        if sql {
            text.push_str(&indent(&format!("{};\n", stage.sql.trim_end()), 2));
            if let Some(added) = &stage.added {
                text.push_str(&indent(&format!("-- what is added\n{};\n", added.trim_end()), 2));
            }
        }
    }
    text.push('\n');
    text
}

fn past(page: &Page, explanation: &Explanation) -> String {
    let columns = [
        ("run", Side::Right),
        ("refreshed", Side::Left),
        ("changed rows", Side::Right),
        ("keys", Side::Right),
        ("read", Side::Right),
        ("written", Side::Right),
        ("time", Side::Right),
        ("expected", Side::Right),
        ("in full", Side::Right),
        ("why", Side::Left),
    ];
    let count = |number: Option<u64>| number.map_or(Value::Empty, Value::Count);
    let time = |number: Option<f64>| number.map_or(Value::Empty, |number| Value::text(seconds(number)));
    let rows = explanation
        .past
        .iter()
        .map(|past| {
            vec![
                Value::text(past.run.to_string()),
                Value::text(past.strategy.replace("full_difference", "full, by difference")),
                count(past.figures.upstream),
                count(past.figures.keys),
                Value::Count(past.figures.rows_read),
                Value::Count(past.figures.rows_written),
                Value::text(seconds(past.seconds)),
                time(past.figures.expected_incremental),
                time(past.figures.expected_full),
                Value::Faint(past.reason.clone()),
            ]
        })
        .collect();
    grid::draw(page, &columns, rows)
}
