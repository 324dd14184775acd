//! Rows of a table, query or report.

use thalweg_run::TextTable;

use super::Page;
use super::grid::{self, Side, Value};

/// A cell longer than this is cut on the terminal; `--format csv` has it whole.
const LONGEST_CELL: usize = 120;

/// Draws rows; NULL is shown as a faint `NULL`, line breaks and tabs within a value as `\n` and `\t`.
pub fn draw(page: &Page, table: &TextTable) -> String {
    let columns: Vec<_> = table
        .columns
        .iter()
        .enumerate()
        .map(|(index, name)| {
            let numeric = table.numeric.get(index).copied().unwrap_or_default();
            (name.as_str(), if numeric { Side::Right } else { Side::Left })
        })
        .collect();
    let rows = table
        .rows
        .iter()
        .map(|row| {
            row.iter()
                .map(|cell| match cell {
                    Some(text) => Value::Text(one_line(text)),
                    None => Value::Faint("NULL".into()),
                })
                .collect()
        })
        .collect();
    grid::draw(page, &columns, rows)
}

/// A value on one line, without control characters, cut when very long.
pub fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for (count, letter) in text.chars().enumerate() {
        if count == LONGEST_CELL {
            line.push('…');
            break;
        }
        match letter {
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            // Data must not be able to drive the terminal.
            control if control.is_control() => line.extend(control.escape_unicode()),
            other => line.push(other),
        }
    }
    line
}
