//! Text for people. Each function takes values and answers with a text, without looking at the terminal.

pub mod connections;
pub mod explanation;
pub mod grid;
pub mod listing;
pub mod number;
pub mod plan;
pub mod rejects;
pub mod report;
pub mod runs;
pub mod status;
pub mod summary;
pub mod tests;
pub mod text_table;
pub mod verification;
pub mod why;

use jiff::tz::TimeZone;

use crate::output::Paint;

/// What a text is written for.
#[derive(Debug, Clone)]
pub struct Page {
    /// Colours or none.
    pub paint: Paint,
    /// Width of the terminal; unlimited when absent.
    pub width: Option<u16>,
    /// Whether times are shown as it is here, or in UTC.
    pub local_time: bool,
}

impl Page {
    /// For stdout as it is.
    pub fn stdout(paint: Paint) -> Self {
        Self { paint, width: comfy_table::Table::new().width(), local_time: true }
    }

    /// Without colours, width limit or local time: for files and tests.
    pub fn plain() -> Self {
        Self { paint: Paint::Plain, width: None, local_time: false }
    }

    /// Zone of the times shown. That of the machine is looked up among hundreds of files.
    pub fn zone(&self) -> TimeZone {
        if self.local_time { TimeZone::system() } else { TimeZone::UTC }
    }
}
