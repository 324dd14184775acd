//! Marks for values: `?` becomes `$1`, `$2`... where it is one, and places in what is sent become places in what was given.

use std::borrow::Cow;

use crate::contract::{WarehouseError, WarehouseErrorKind};

/// A statement as the server reads it.
pub(super) struct Translated<'a> {
    /// As it was given.
    pub(super) original: &'a str,
    /// As it is sent.
    pub(super) sql: Cow<'a, str>,
    /// Characters sent before it.
    pub(super) prefix: usize,
    /// Byte offsets of the marks in the original.
    marks: Vec<usize>,
}

impl<'a> Translated<'a> {
    /// A statement without values: a `?` in it is an operator.
    pub(super) fn plain(sql: &'a str) -> Self {
        Self { original: sql, sql: Cow::Borrowed(sql), prefix: 0, marks: Vec::new() }
    }

    /// A statement with so many values.
    pub(super) fn new(sql: &'a str, values: usize) -> Result<Self, WarehouseError> {
        if values == 0 {
            return Ok(Self::plain(sql));
        }
        let marks = marks(sql);
        if marks.len() != values {
            let mut error = WarehouseError::new(
                WarehouseErrorKind::Statement,
                format!("the statement has {} marks for {values} values", marks.len()),
            );
            error.statement = Some(sql.into());
            return Err(error);
        }
        let (mut text, mut from) = (String::with_capacity(sql.len() + marks.len() * 2), 0);
        for (index, mark) in marks.iter().enumerate() {
            text.push_str(&sql[from..*mark]);
            text.push_str(&format!("${}", index + 1));
            from = mark + 1;
        }
        text.push_str(&sql[from..]);
        Ok(Self { original: sql, sql: Cow::Owned(text), prefix: 0, marks })
    }

    /// The byte offset in the original of the character of the sent text that has so many before it.
    pub(super) fn place(&self, characters: usize) -> Option<usize> {
        let characters = characters.checked_sub(self.prefix)?;
        let mut at = self.sql.char_indices().nth(characters).map_or(self.sql.len(), |(at, _)| at);
        for (index, mark) in self.marks.iter().enumerate() {
            if at <= *mark {
                break;
            }
            // `$12` stands for one byte.
            at = (at - (index + 1).to_string().len()).max(*mark);
        }
        (at <= self.original.len()).then_some(at)
    }
}

/// Where values go: each `?` outside of literals, quoted names and comments.
fn marks(sql: &str) -> Vec<usize> {
    let bytes = sql.as_bytes();
    let (mut marks, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        at = match bytes[at] {
            b'?' => {
                marks.push(at);
                at + 1
            }
            _ => skip(bytes, at),
        };
    }
    marks
}

/// Behind the literal, name, comment or other byte that begins here.
fn skip(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    match bytes[at] {
        b'\'' => {
            let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80;
            let escapes = at > 0 && matches!(bytes[at - 1], b'e' | b'E') && !(at > 1 && is_word(bytes[at - 2]));
            at + quoted(rest, b'\'', escapes)
        }
        b'"' => at + quoted(rest, b'"', false),
        b'-' if rest.starts_with(b"--") => {
            at + rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |end| end + 1)
        }
        b'/' if rest.starts_with(b"/*") => at + comment(rest),
        b'$' => at + dollars(rest, at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_')),
        _ => at + 1,
    }
}

/// Length of what stands in quotes; a doubled quote is two pieces that meet.
fn quoted(rest: &[u8], quote: u8, escapes: bool) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' if escapes => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// Length of a comment, which may hold others.
fn comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (1, 2);
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// Length of a literal in dollars; 1 where it is only a dollar.
fn dollars(rest: &[u8], in_word: bool) -> usize {
    if in_word {
        return 1;
    }
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte >= 0x80;
    let tag = rest[1..].iter().take_while(|byte| word(byte)).count();
    if rest.get(tag + 1) != Some(&b'$') || rest.get(1).is_some_and(u8::is_ascii_digit) {
        return 1;
    }
    let (tag, body) = rest.split_at(tag + 2);
    let end = body.windows(tag.len()).position(|window| window == tag);
    end.map_or(rest.len(), |end| tag.len() + end + tag.len())
}

/// The word a statement begins with, in lower case.
pub(super) fn first_word(sql: &str) -> String {
    let bytes = sql.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        match bytes[at] {
            b'-' if rest.starts_with(b"--") => at = skip(bytes, at),
            b'/' if rest.starts_with(b"/*") => at = skip(bytes, at),
            byte if byte.is_ascii_whitespace() || byte == b'(' || byte == b';' => at += 1,
            _ => break,
        }
    }
    sql[at..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_become_numbers_where_they_are_marks() {
        for (given, values, expected) in [
            ("select ?, ?", 2, "select $1, $2"),
            ("select '?', ?, 'it''s ?'", 1, "select '?', $1, 'it''s ?'"),
            ("select E'\\'?', ?", 1, "select E'\\'?', $1"),
            ("select made'\\', ?", 1, "select made'\\', $1"),
            ("select \"a?\"\"?\", ? -- ?\n, ?", 2, "select \"a?\"\"?\", $1 -- ?\n, $2"),
            ("select /* ? /* ? */ ? */ ?", 1, "select /* ? /* ? */ ? */ $1"),
            ("select $$ ? $$, $a$ ? $$ $a$, ?", 1, "select $$ ? $$, $a$ ? $$ $a$, $1"),
            ("select a$b, ?, c$d", 1, "select a$b, $1, c$d"),
            ("select data ? 'key'", 0, "select data ? 'key'"),
        ] {
            assert_eq!(Translated::new(given, values).expect("marks").sql, expected);
        }
        assert!(Translated::new("select ?, ?", 1).is_err());
    }

    #[test]
    fn places_are_those_of_what_was_given() {
        let given = "select 'ü?', ?, ?, amonut, ?";
        let translated = Translated::new(given, 3).expect("marks");
        let sent = translated.sql.chars().collect::<Vec<_>>();
        let place = sent.iter().collect::<String>().find("amonut").map(|at| translated.sql[..at].chars().count());
        assert_eq!(translated.place(place.expect("there")), given.find("amonut"));
        assert_eq!(translated.place(0), Some(0));
        assert_eq!(translated.place(1000), Some(given.len()));
    }

    #[test]
    fn first_words() {
        for (sql, expected) in
            [("  -- x\n/* y */ COMMIT;", "commit"), ("((select 1))", "select"), ("", ""), ("-- only", "")]
        {
            assert_eq!(first_word(sql), expected);
        }
    }
}
