//! What `verify` found.

use thalweg_run::VerifyOutcome;

use super::grid::{self, Side, Value, indent};
use super::number::{counted, grouped};
use super::{Page, text_table};

/// Every table, then the first differing rows of those that differ, then one last line.
pub fn draw(page: &Page, outcomes: &[VerifyOutcome]) -> String {
    if outcomes.is_empty() {
        return "there is nothing to verify\n".to_owned();
    }
    let columns = [
        ("table", Side::Left),
        ("compared with", Side::Left),
        ("result", Side::Left),
        ("rows", Side::Right),
        ("missing", Side::Right),
        ("unexpected", Side::Right),
        ("remark", Side::Left),
    ];
    let rows = outcomes
        .iter()
        .map(|outcome| {
            vec![
                Value::text(&outcome.table),
                Value::text(&outcome.against),
                match outcome.equal {
                    Some(true) => Value::Good("equal".into()),
                    Some(false) => Value::Bad("differs".into()),
                    None => Value::Attention("not compared".into()),
                },
                Value::Count(outcome.rows),
                Value::AlarmingCount(outcome.missing),
                Value::AlarmingCount(outcome.unexpected),
                outcome.remark.clone().map_or(Value::Empty, Value::Faint),
            ]
        })
        .collect();
    let mut text = grid::draw(page, &columns, rows);
    for outcome in outcomes.iter().filter(|outcome| outcome.equal == Some(false) && !outcome.first.rows.is_empty()) {
        text.push_str(&format!("\n{} differs from {}:\n", page.paint.red(&outcome.table), outcome.against));
        text.push_str(&indent(&text_table::draw(page, &outcome.first), 2));
        let more = (outcome.missing + outcome.unexpected).saturating_sub(outcome.first.rows.len() as u64);
        if more > 0 {
            text.push_str(&format!("  {}\n", page.paint.faint(format!("… and {} more", grouped(more)))));
        }
    }
    let count = |equal| outcomes.iter().filter(|outcome| outcome.equal == equal).count() as u64;
    let (same, differing, skipped) = (count(Some(true)), count(Some(false)), count(None));
    let mut parts = Vec::new();
    if differing > 0 {
        let verb = if differing == 1 { "differs" } else { "differ" };
        parts.push(
            page.paint
                .red(format!("{} {verb}; `thalweg build --full-refresh` makes them anew", counted(differing, "table"))),
        );
    }
    if same > 0 {
        let verb = if same == 1 { "is as it ought" } else { "are as they ought" };
        parts.push(page.paint.green(format!("{} {verb} to be", counted(same, "table"))));
    }
    if skipped > 0 {
        parts.push(page.paint.yellow(format!("{} not compared", counted(skipped, "table"))));
    }
    text.push_str(&format!("\n{}\n", parts.join(", ")));
    if differing > 0 {
        text.push_str(&format!("{}: `thalweg build --full-refresh` computes tables anew\n", page.paint.cyan("help")));
    }
    text
}
