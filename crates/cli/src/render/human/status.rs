//! How the warehouse stands.

use thalweg_run::Status;

use super::grid::{self, Side, Value};
use super::number::{counted, time};
use super::{Page, runs};

/// The warehouse, its last run, and every table.
pub fn draw(page: &Page, status: &Status) -> String {
    let mut text = format!(
        "{} on target {} ({})\n",
        page.paint.bold(&status.project),
        page.paint.bold(&status.target),
        status.warehouse
    );
    match (&status.last_run, status.published_run) {
        (None, _) => {
            text.push_str("nothing was built yet; `thalweg build` does it\n");
            return text;
        }
        (Some(last), published) => {
            match published {
                Some(run) => text.push_str(&format!("readers see run {run}\n")),
                None => text.push_str("nothing was published yet\n"),
            }
            if published != Some(last.run) {
                let (state, _) = runs::state_words(last.state);
                text.push_str(&format!(
                    "the last run was run {} (`{}`, {}): {state}\n",
                    last.run,
                    last.command,
                    time(last.started_at, &page.zone())
                ));
                if let Some(message) = &last.message {
                    text.push_str(&format!("  {message}\n"));
                }
            }
        }
    }
    if !status.tables.is_empty() {
        let columns = [
            ("table", Side::Left),
            ("kind", Side::Left),
            ("rows", Side::Right),
            ("changed in run", Side::Right),
            ("refreshed in run", Side::Right),
            ("remarks", Side::Left),
        ];
        let number = |run: Option<i64>| run.map_or(Value::Faint("never".into()), |run| Value::text(run.to_string()));
        let rows = status
            .tables
            .iter()
            .map(|table| {
                let mut remarks: Vec<_> = table.stale.iter().map(|reason| format!("stale: {reason}")).collect();
                remarks.extend(table.remarks.iter().cloned());
                vec![
                    Value::text(&table.table),
                    Value::Faint(table.kind.clone()),
                    table.rows.map_or(Value::Empty, Value::Count),
                    number(table.changed_run),
                    number(table.refreshed_run),
                    match (&table.stale, remarks.is_empty()) {
                        (_, true) => Value::Empty,
                        (Some(_), _) => Value::Attention(remarks.join("; ")),
                        (None, _) => Value::Text(remarks.join("; ")),
                    },
                ]
            })
            .collect();
        text.push('\n');
        text.push_str(&grid::draw(page, &columns, rows));
    }
    let stale = status.tables.iter().filter(|table| table.stale.is_some()).count() as u64;
    let mut last = vec![counted(status.tables.len() as u64, "table")];
    if stale > 0 {
        last.push(page.paint.yellow(format!("{stale} stale")));
    }
    if status.open_rejects > 0 {
        last.push(format!("{} (see `thalweg rejects`)", counted(status.open_rejects, "open reject")));
    }
    text.push_str(&format!("\n{}\n", last.join(", ")));
    text
}
