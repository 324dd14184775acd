//! From the parser's places (line and column, counted in characters from 1) to byte ranges.

use std::ops::Range;

use sqlparser::tokenizer::{Location, Span};

/// A text with the offsets of its lines.
pub(super) struct Positions<'a> {
    text: &'a str,
    /// Where each line begins, and whether it is ASCII.
    lines: Vec<(usize, bool)>,
}

impl<'a> Positions<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        // Only a line feed ends a line for the tokenizer; a carriage return is a character like any other.
        let mut start = 0;
        let mut lines = Vec::new();
        for line in text.split('\n') {
            lines.push((start, line.is_ascii()));
            start += line.len() + 1;
        }
        Self { text, lines }
    }

    /// Length of the text.
    pub(super) fn end(&self) -> usize {
        self.text.len()
    }

    /// The byte offset of a location; the end of the text for places beyond it.
    pub(super) fn offset(&self, location: Location) -> usize {
        let line = usize::try_from(location.line).unwrap_or(0).saturating_sub(1);
        let column = usize::try_from(location.column).unwrap_or(0).saturating_sub(1);
        let Some(&(start, ascii)) = self.lines.get(line) else { return self.text.len() };
        let rest = &self.text[start..];
        // A place beyond its line counts into the next one.
        if ascii
            && rest
                .as_bytes()
                .get(..column)
                .is_some_and(|_| self.lines.get(line + 1).is_none_or(|(next, _)| start + column <= *next))
        {
            return start + column;
        }
        rest.char_indices().nth(column).map_or(self.text.len(), |(at, _)| start + at)
    }

    /// The byte range of a span.
    pub(super) fn range(&self, span: Span) -> Range<usize> {
        let start = self.offset(span.start);
        start..self.offset(span.end).max(start)
    }
}

/// Splits the ` at Line: 1, Column: 5` from the end of the parser's messages.
pub(super) fn split_location(message: &str) -> (&str, Option<Location>) {
    let Some((before, place)) = message.rsplit_once(" at Line: ") else { return (message, None) };
    let numbers =
        place.split_once(", Column: ").and_then(|(line, column)| Some((line.parse().ok()?, column.parse().ok()?)));
    match numbers {
        Some((line, column)) => (before, Some(Location::new(line, column))),
        None => (message, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_characters() {
        let positions = Positions::new("é x\r\n\tü y\n");
        assert_eq!(positions.offset(Location::new(1, 3)), 3);
        assert_eq!(positions.offset(Location::new(2, 1)), 6);
        assert_eq!(positions.offset(Location::new(2, 4)), 10);
        assert_eq!(positions.offset(Location::new(9, 1)), 12);
        assert_eq!(positions.offset(Location::new(2, 99)), 12);
    }

    #[test]
    fn messages_end_with_a_place() {
        assert_eq!(split_location("no at Line: 3, Column: 14"), ("no", Some(Location::new(3, 14))));
        assert_eq!(split_location("no place"), ("no place", None));
    }
}
