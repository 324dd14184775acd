//! Records and fields of CSV text, after RFC 4180.
//!
//! A quote opens a quoted field only at the start of a field; elsewhere it is a character like others. A quoted field ends at a
//! quote that is not doubled, and behind it must come a delimiter or the end of the record. Where that is not so, or the quote is
//! never closed, the record is malformed: its *first line* is rejected and reading resumes at the line after it, so that one
//! forgotten quote costs one line and never the rest of the file.

use memchr::memchr;

use crate::files::chunk::{Boundaries, MAX_RECORD_BYTES};

/// How the text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::files) struct Dialect {
    /// Between fields.
    pub(in crate::files) delimiter: u8,
    /// Around fields.
    pub(in crate::files) quote: u8,
    /// Ends a record: `\n` (a `\r` before it belongs to it), or `\r` in files that have no `\n`.
    pub(in crate::files) terminator: u8,
}

/// A field: where its text lies in the chunk, without the quotes around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::files) struct Field {
    start: u32,
    /// Length in the low 30 bits.
    length: u32,
}

const QUOTED: u32 = 1 << 31;
const DOUBLED: u32 = 1 << 30;

impl Field {
    fn new(start: usize, end: usize, flags: u32) -> Self {
        // Chunks are bounded far below 2^30 bytes.
        Self { start: start as u32, length: (end - start) as u32 | flags }
    }

    /// Where its text lies.
    pub(in crate::files) fn range(self) -> std::ops::Range<usize> {
        let start = self.start as usize;
        start..start + (self.length & !(QUOTED | DOUBLED)) as usize
    }

    /// It stood in quotes: empty is a text, not NULL.
    pub(in crate::files) fn is_quoted(self) -> bool {
        self.length & QUOTED != 0
    }

    /// It holds doubled quotes, which stand for one.
    pub(in crate::files) fn has_doubled_quotes(self) -> bool {
        self.length & DOUBLED != 0
    }
}

/// A record, or a line that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::files) struct Token {
    /// Where it starts in the chunk.
    pub(in crate::files) start: usize,
    /// Where it ends, line end excluded.
    pub(in crate::files) end: usize,
    /// Lines before it in the chunk.
    pub(in crate::files) line: i64,
    /// Why it is no record.
    pub(in crate::files) malformed: Option<&'static str>,
}

/// Reads record after record.
#[derive(Debug)]
pub(in crate::files) struct Tokenizer<'b> {
    bytes: &'b [u8],
    dialect: Dialect,
    at: usize,
    line: i64,
}

/// How a quoted field ended.
enum Quoted {
    /// Its text ends here and the next byte to look at is there.
    Closed { end: usize, next: usize, doubled: bool },
    /// It is never closed, or text follows the closing quote.
    Malformed,
}

/// One reason for both ways of being malformed: which of them a line shows depends on how far one reads on.
const MALFORMED: &str = "a quoted field is never closed, or text follows its closing quote";

impl<'b> Tokenizer<'b> {
    pub(in crate::files) fn new(bytes: &'b [u8], dialect: Dialect) -> Self {
        Self { bytes, dialect, at: 0, line: 0 }
    }

    /// Where the next record starts.
    pub(in crate::files) fn place(&self) -> usize {
        self.at
    }

    /// The next record; its fields are appended. Blank lines are skipped. A malformed record appends nothing.
    pub(in crate::files) fn next(&mut self, fields: &mut Vec<Field>) -> Option<Token> {
        self.skip_blank_lines();
        if self.at >= self.bytes.len() {
            return None;
        }
        let (start, line, before) = (self.at, self.line, fields.len());
        let Dialect { delimiter, quote, terminator } = self.dialect;
        let mut at = start;
        loop {
            if self.bytes.get(at) == Some(&quote) {
                match self.quoted(start, at + 1) {
                    Quoted::Closed { end, next, doubled } => {
                        let flags = if doubled { QUOTED | DOUBLED } else { QUOTED };
                        fields.push(Field::new(at + 1, end, flags));
                        if memchr(terminator, &self.bytes[at..end]).is_some() {
                            let lines = memchr::memchr_iter(terminator, &self.bytes[at..end]).count();
                            self.line += i64::try_from(lines).unwrap_or(i64::MAX);
                        }
                        at = next;
                    }
                    Quoted::Malformed => {
                        fields.truncate(before);
                        self.line = line;
                        return Some(self.malformed(start));
                    }
                }
            } else {
                let end = find_either(self.bytes, at, delimiter, terminator);
                let mut text_end = end;
                if terminator == b'\n'
                    && self.bytes.get(end) != Some(&delimiter)
                    && text_end > at
                    && self.bytes[text_end - 1] == b'\r'
                {
                    text_end -= 1;
                }
                fields.push(Field::new(at, text_end, 0));
                at = end;
            }
            match self.bytes.get(at) {
                Some(byte) if *byte == delimiter => at += 1,
                Some(_) => {
                    self.at = at + 1;
                    self.line += 1;
                    return Some(Token { start, end: self.trim_end(start, at), line, malformed: None });
                }
                None => {
                    self.at = at;
                    return Some(Token { start, end: self.trim_end(start, at), line, malformed: None });
                }
            }
        }
    }

    /// From behind the opening quote to behind the closing one.
    fn quoted(&self, record: usize, from: usize) -> Quoted {
        let limit = self.bytes.len().min(record.saturating_add(MAX_RECORD_BYTES));
        let (mut at, mut doubled) = (from, false);
        loop {
            let Some(found) = self.bytes.get(at..limit).and_then(|rest| memchr(self.dialect.quote, rest)) else {
                return Quoted::Malformed;
            };
            let end = at + found;
            let next = match after_quote(self.bytes, end + 1, self.dialect) {
                AfterQuote::Quote => {
                    doubled = true;
                    at = end + 2;
                    continue;
                }
                AfterQuote::Ends(next) => next,
                AfterQuote::Text => return Quoted::Malformed,
            };
            return Quoted::Closed { end, next, doubled };
        }
    }

    /// Rejects the first line of a record and resumes behind it.
    fn malformed(&mut self, start: usize) -> Token {
        let line = self.line;
        let end = match memchr(self.dialect.terminator, &self.bytes[start..]) {
            Some(length) => {
                self.at = start + length + 1;
                self.line += 1;
                start + length
            }
            None => {
                self.at = self.bytes.len();
                self.at
            }
        };
        Token { start, end: self.trim_end(start, end), line, malformed: Some(MALFORMED) }
    }

    fn trim_end(&self, start: usize, end: usize) -> usize {
        let returns = self.dialect.terminator == b'\n' && end > start && self.bytes[end - 1] == b'\r';
        end - usize::from(returns)
    }

    fn skip_blank_lines(&mut self) {
        let terminator = self.dialect.terminator;
        loop {
            match &self.bytes[self.at..] {
                [byte, ..] if *byte == terminator => self.at += 1,
                [b'\r', b'\n', ..] if terminator == b'\n' => self.at += 2,
                [b'\r'] => {
                    self.at += 1;
                    return;
                }
                _ => return,
            }
            self.line += 1;
        }
    }
}

/// What comes behind a quote inside a quoted field.
enum AfterQuote {
    /// Another quote: both stand for one.
    Quote,
    /// The field ends; go on there (at the delimiter, the terminator, or the end).
    Ends(usize),
    /// Something that may not be there.
    Text,
}

fn after_quote(bytes: &[u8], at: usize, dialect: Dialect) -> AfterQuote {
    match bytes.get(at) {
        None => AfterQuote::Ends(at),
        Some(byte) if *byte == dialect.quote => AfterQuote::Quote,
        Some(byte) if *byte == dialect.delimiter || *byte == dialect.terminator => AfterQuote::Ends(at),
        Some(b'\r') if dialect.terminator == b'\n' => match bytes.get(at + 1) {
            Some(b'\n') | None => AfterQuote::Ends(at + 1),
            Some(_) => AfterQuote::Text,
        },
        Some(_) => AfterQuote::Text,
    }
}

/// The place of the first of two bytes at or behind `from`, or the end. Fields are short, so eight bytes are looked at in one
/// step without the set-up that a longer search pays.
#[inline]
fn find_either(bytes: &[u8], from: usize, one: u8, other: u8) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = ONES << 7;
    let (ones, others) = (ONES * u64::from(one), ONES * u64::from(other));
    let mut at = from;
    while let Some(word) = bytes.get(at..at + 8) {
        let word = u64::from_le_bytes([word[0], word[1], word[2], word[3], word[4], word[5], word[6], word[7]]);
        let (a, b) = (word ^ ones, word ^ others);
        // The lowest marked byte is exact; only bytes above it may be marked in error.
        let found = ((a.wrapping_sub(ONES) & !a) | (b.wrapping_sub(ONES) & !b)) & HIGHS;
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while at < bytes.len() && bytes[at] != one && bytes[at] != other {
        at += 1;
    }
    at
}

/// Where records end in CSV text: the rules of [`Tokenizer`], looking at nothing but quotes, so that a file is cut into chunks much
/// faster than it is read.
#[derive(Debug)]
pub(in crate::files) struct CsvBoundaries {
    pub(in crate::files) dialect: Dialect,
    pub(in crate::files) max_record_bytes: usize,
}

impl CsvBoundaries {
    pub(in crate::files) fn new(dialect: Dialect) -> Self {
        Self { dialect, max_record_bytes: MAX_RECORD_BYTES }
    }
}

impl Boundaries for CsvBoundaries {
    fn whole_records(&mut self, buffer: &[u8]) -> usize {
        let Dialect { delimiter, quote, terminator } = self.dialect;
        // `record` is the start of the present record, `at` the first byte not looked at, outside of quotes.
        let (mut record, mut at) = (0, 0);
        'outside: loop {
            let Some(found) = memchr(quote, &buffer[at..]) else {
                return memchr::memrchr(terminator, &buffer[at..]).map_or(record, |end| at + end + 1);
            };
            let opening = at + found;
            if let Some(end) = memchr::memrchr(terminator, &buffer[at..opening]) {
                record = at + end + 1;
            }
            if opening != record && !(opening > at && buffer[opening - 1] == delimiter) {
                at = opening + 1;
                continue;
            }
            let limit = buffer.len().min(record + self.max_record_bytes);
            let mut inside = opening + 1;
            let malformed = loop {
                let Some(found) = buffer.get(inside..limit).and_then(|rest| memchr(quote, rest)) else {
                    if limit < buffer.len() {
                        break true;
                    }
                    return record;
                };
                let closing = inside + found;
                // What follows the quote is needed to judge it.
                let decided = match buffer.get(closing + 1) {
                    None => false,
                    Some(b'\r') => closing + 2 < buffer.len(),
                    Some(_) => true,
                };
                if !decided {
                    return record;
                }
                match after_quote(buffer, closing + 1, self.dialect) {
                    AfterQuote::Quote => inside = closing + 2,
                    AfterQuote::Ends(_) => {
                        at = closing + 1;
                        break false;
                    }
                    AfterQuote::Text => break true,
                }
            };
            if malformed {
                match memchr(terminator, &buffer[record..]) {
                    Some(length) => {
                        record += length + 1;
                        at = record;
                        continue 'outside;
                    }
                    None => return record,
                }
            }
        }
    }

    fn skip_oversize(&mut self, buffer: &[u8]) -> Option<usize> {
        memchr(self.dialect.terminator, buffer).map(|end| end + 1)
    }

    fn records_in(&mut self, chunk: &[u8]) -> i64 {
        i64::try_from(memchr::memchr_iter(self.dialect.terminator, chunk).count()).unwrap_or(i64::MAX)
    }
}
