//! Where the elements of an array begin and end, without understanding them.

use crate::files::chunk::Boundaries;

/// Bytes up to and with the `[` that opens the array; `None` when something else comes first, `Some(0)` when there is nothing.
pub(in crate::files) fn array_start(head: &[u8]) -> Option<usize> {
    match head.iter().position(|byte| !byte.is_ascii_whitespace()) {
        None => Some(0),
        Some(place) if head[place] == b'[' => Some(place + 1),
        Some(_) => None,
    }
}

/// Where an element ends.
pub(super) enum ElementEnd {
    /// At a comma: another element follows.
    Comma(usize),
    /// At the bracket that closes the array.
    Closing(usize),
    /// Not in these bytes.
    Open,
}

/// Finds the end of the element that begins at `from`.
pub(super) fn element_end(bytes: &[u8], from: usize) -> ElementEnd {
    let (mut depth, mut at) = (0usize, from);
    while at < bytes.len() {
        match bytes[at] {
            b'"' => match string_end(bytes, at + 1) {
                Some(end) => at = end,
                None => return ElementEnd::Open,
            },
            b'{' | b'[' => depth += 1,
            b',' if depth == 0 => return ElementEnd::Comma(at),
            b']' if depth == 0 => return ElementEnd::Closing(at),
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    ElementEnd::Open
}

/// The place of the quote that closes a string.
fn string_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        let found = at + memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[found] == b'"' {
            return Some(found);
        }
        at = found + 2;
    }
}

/// Chunks end behind a comma between two elements.
#[derive(Debug, Default)]
pub(super) struct ArrayBoundaries;

impl Boundaries for ArrayBoundaries {
    fn whole_records(&mut self, buffer: &[u8]) -> usize {
        let mut at = 0;
        while let ElementEnd::Comma(end) = element_end(buffer, at) {
            at = end + 1;
        }
        at
    }

    fn skip_oversize(&mut self, _buffer: &[u8]) -> Option<usize> {
        None
    }

    fn has_end(&self) -> bool {
        true
    }

    fn records_in(&mut self, chunk: &[u8]) -> i64 {
        let (mut at, mut elements) = (0, 0);
        while let ElementEnd::Comma(end) = element_end(chunk, at) {
            at = end + 1;
            elements += 1;
        }
        elements
    }
}
