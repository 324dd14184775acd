//! Rejected records.

use thalweg_run::RejectRecord;

use super::Page;
use super::grid::{self, Side, Value};
use super::number::counted;
use super::text_table::one_line;

/// Rejected records, one a line. `cut` says that there are more than these.
pub fn draw(page: &Page, rejects: &[RejectRecord], cut: bool) -> String {
    if rejects.is_empty() {
        return "there are no rejects\n".to_owned();
    }
    let with_state = rejects.iter().any(|reject| reject.state != "open");
    let mut columns = vec![
        ("id", Side::Right),
        ("run", Side::Right),
        ("stream", Side::Left),
        ("file", Side::Left),
        ("record", Side::Right),
        ("reason", Side::Left),
        ("raw", Side::Left),
    ];
    if with_state {
        columns.insert(2, ("state", Side::Left));
    }
    let rows = rejects
        .iter()
        .map(|reject| {
            let mut row = vec![
                Value::text(reject.id.to_string()),
                Value::text(reject.run.to_string()),
                Value::text(&reject.stream),
                Value::text(&reject.file),
                Value::text(reject.record.to_string()),
                Value::text(one_line(&reject.reason)),
                Value::Faint(one_line(&reject.raw)),
            ];
            if with_state {
                row.insert(2, Value::text(&reject.state));
            }
            row
        })
        .collect();
    let mut text = grid::draw(page, &columns, rows);
    if cut {
        text.push_str(&format!("{}\n", page.paint.faint("… and more; `--limit` shows them")));
    }
    let open = rejects.iter().filter(|reject| reject.state == "open").count() as u64;
    if open > 0 {
        text.push_str(&format!(
            "\n{} shown; correct the stream's definition, then `thalweg rejects replay` reads them again\n",
            counted(open, "open reject")
        ));
    }
    text
}
