//! Answered reports.

use thalweg_run::ReportAnswer;

use super::number::{counted, grouped};
use super::{Page, text_table};

/// Title, the run it shows, the rows, the files written.
pub fn draw(page: &Page, report: &ReportAnswer) -> String {
    let mut text = format!(
        "{}\n{}\n\n",
        page.paint.bold(&report.title),
        page.paint.faint(format!("as of run {}, {}", report.run, counted(report.rows, "row")))
    );
    if report.table.columns.is_empty() || report.rows == 0 {
        text.push_str("(no rows)\n");
    } else {
        text.push_str(&text_table::draw(page, &report.table));
        let more = report.rows.saturating_sub(report.table.rows.len() as u64);
        if more > 0 {
            let rows = if more == 1 { "row" } else { "rows" };
            text.push_str(&format!("{}\n", page.paint.faint(format!("… and {} more {rows}", grouped(more)))));
        }
    }
    if !report.files.is_empty() {
        text.push_str(&format!("{}\n", page.paint.faint(format!("written to {}", report.files.join(", ")))));
    }
    text
}
