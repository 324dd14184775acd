//! Where a row comes from.

use thalweg_run::{RowOrigin, Why};

use super::Page;
use super::grid::{self, Side, Value, indent};
use super::number::time;
use super::text_table::one_line;

/// Every row of the key with what it was made of, then its earlier versions.
pub fn draw(page: &Page, why: &Why) -> String {
    let mut text = String::new();
    for row in &why.rows {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&origin(page, row));
    }
    if why.more {
        text.push_str(&format!("{}\n", page.paint.faint("… and more rows of this key")));
    }
    if let Some(history) = why.history.as_ref().filter(|history| !history.is_empty()) {
        text.push_str(&format!("\nearlier versions of {}:\n", why.table));
        let names: Vec<&str> = history
            .first()
            .map(|version| version.row.iter().map(|(name, _)| name.as_str()).collect())
            .unwrap_or_default();
        let mut columns = vec![("from run", Side::Right), ("until run", Side::Right)];
        columns.extend(names.iter().map(|name| (*name, Side::Left)));
        let rows = history
            .iter()
            .map(|version| {
                let mut row = vec![Value::text(version.run.to_string()), Value::text(version.until.to_string())];
                row.extend(version.row.iter().map(|(_, value)| match value {
                    Some(value) => Value::Text(one_line(value)),
                    None => Value::Faint("NULL".into()),
                }));
                row
            })
            .collect();
        text.push_str(&indent(&grid::draw(page, &columns, rows), 2));
    }
    if let Some(remark) = &why.remark {
        text.push_str(&format!("{remark}\n"));
    }
    text
}

/// A row, the run that wrote it, and indented below what it was made of.
fn origin(page: &Page, row: &RowOrigin) -> String {
    let paint = page.paint;
    let values: Vec<String> = row
        .row
        .iter()
        .map(|(name, value)| format!("{name}={}", value.as_deref().map_or("NULL".to_owned(), one_line)))
        .collect();
    let mut text = format!("{}  {}\n", paint.bold(&row.table), paint.faint(values.join(" ")));
    let mut line = format!("written by run {}", row.run);
    if let Some(started) = row.run_started_at {
        line.push_str(&format!(" of {}", time(started, &page.zone())));
    }
    if let Some(refreshed) = &row.refreshed {
        line.push_str(&format!(", {refreshed}"));
    }
    if let Some(place) = &row.place {
        line.push_str(&format!(", read from {}, record {}, of {}", place.file, place.record, place.stream));
    }
    if let Some(gone) = row.gone_in {
        line.push_str(&format!(", replaced or deleted by run {gone}"));
    }
    text.push_str(&format!("  {line}\n"));
    if let Some(remark) = &row.remark {
        text.push_str(&format!("  {}\n", paint.faint(remark)));
    }
    for below in &row.from {
        text.push_str(&indent(&origin(page, below), 4));
    }
    text
}
