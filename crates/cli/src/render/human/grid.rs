//! Aligned columns under a ruled header: the one shape of all tables on the terminal.

use comfy_table::{
    Attribute, Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, ContentLineStyle, LineStyle, Table,
    TableStyle, Width,
};

use super::Page;
use super::number::grouped;

/// Two blanks between columns, a line under the header, nothing else: fits narrow terminals and can be cut with `awk`.
const STYLE: TableStyle = TableStyle::new()
    .header_lines(ContentLineStyle::none())
    .header_separator(LineStyle::none().fill('-').junction('-'))
    .content_lines(ContentLineStyle::none());

/// A value in a grid.
#[derive(Debug, Clone)]
pub enum Value {
    /// A text.
    Text(String),
    /// A text that the eye may skip.
    Faint(String),
    /// A text that is good news.
    Good(String),
    /// A text that deserves attention.
    Attention(String),
    /// A text that is bad news.
    Bad(String),
    /// A number; zero becomes a faint dot so that the eye finds what moved.
    Count(u64),
    /// A number that deserves attention unless it is zero.
    AlarmingCount(u64),
    /// Nothing.
    Empty,
}

impl Value {
    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    fn cell(self) -> Cell {
        match self {
            Self::Text(text) => Cell::new_owned(text),
            Self::Faint(text) => Cell::new_owned(text).add_attribute(Attribute::Dim),
            Self::Good(text) => Cell::new_owned(text).fg(Color::Green),
            Self::Attention(text) => Cell::new_owned(text).fg(Color::Yellow),
            Self::Bad(text) => Cell::new_owned(text).fg(Color::Red),
            Self::Count(0) | Self::AlarmingCount(0) => Cell::new("·").add_attribute(Attribute::Dim),
            Self::Count(number) => Cell::new_owned(grouped(number)),
            Self::AlarmingCount(number) => Cell::new_owned(grouped(number)).fg(Color::Yellow),
            Self::Empty => Cell::new(""),
        }
    }
}

/// Which side of its column a value keeps to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Texts.
    Left,
    /// Numbers.
    Right,
}

/// A last column of texts may be broken into lines of this width, not into narrower ones.
const NARROWEST: u16 = 20;

/// Draws a grid. Every line ends with a line break, none with blanks.
///
/// Where the terminal is too narrow, a last column of texts is broken into lines. Nothing else is: broken numbers and names are
/// worse than a line that the terminal breaks.
pub fn draw(page: &Page, columns: &[(&str, Side)], rows: Vec<Vec<Value>>) -> String {
    let mut table = Table::new();
    table.load_style(STYLE).set_content_arrangement(ContentArrangement::Disabled);
    if page.paint.is_coloured() {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    table.set_header(columns.iter().map(|(name, _)| Cell::new(name)));
    for row in rows {
        table.add_row(row.into_iter().map(Value::cell));
    }
    for (index, (_, side)) in columns.iter().enumerate() {
        if let Some(column) = table.column_mut(index) {
            column.set_padding((0, u16::from(index + 1 != columns.len())));
            if *side == Side::Right {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    if let (Some(width), Some((_, Side::Left))) = (page.width, columns.last()) {
        let widths = table.column_max_content_widths();
        let before: u16 = widths.iter().rev().skip(1).map(|width| width + 2).sum();
        let room = width.saturating_sub(before);
        if room >= NARROWEST && widths.last().is_some_and(|last| *last > room) {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
            let exact = widths.iter().rev().skip(1).rev().map(|width| Width::Fixed(width + 1));
            let constraints = exact.chain([Width::Fixed(room)]).map(ColumnConstraint::Absolute);
            table.set_constraints(constraints.collect::<Vec<_>>());
        }
    }
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// The width of a drawn grid.
pub fn width(text: &str) -> usize {
    text.lines().map(|line| line.chars().count()).max().unwrap_or_default()
}

/// Moves every line to the right.
pub fn indent(text: &str, blanks: usize) -> String {
    let margin = " ".repeat(blanks);
    text.lines().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("{margin}{line}\n") }).collect()
}
