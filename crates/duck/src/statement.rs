//! Telling one statement from several.
//!
//! DuckDB's binding *executes* all statements of a text but the last when the text is prepared. Nobody here means that, so a text
//! with more than one statement is refused before DuckDB sees it.

/// Where a second statement begins: the byte after a `;` that more than spaces and comments follow.
pub(crate) fn second_statement(sql: &str) -> Option<usize> {
    let bytes = sql.as_bytes();
    let mut end_of_first = None;
    let mut at = 0;
    while at < bytes.len() {
        let next = match bytes[at] {
            b';' => {
                end_of_first = end_of_first.or(Some(at + 1));
                at += 1;
                continue;
            }
            byte if byte.is_ascii_whitespace() => {
                at += 1;
                continue;
            }
            b'-' if bytes.get(at + 1) == Some(&b'-') => {
                at = find(bytes, at, b"\n").unwrap_or(bytes.len());
                continue;
            }
            b'/' if bytes.get(at + 1) == Some(&b'*') => {
                at = end_of_comment(bytes, at);
                continue;
            }
            b'\'' => end_of_quotes(bytes, at, b'\'', is_escape_string(bytes, at)),
            b'"' => end_of_quotes(bytes, at, b'"', false),
            b'$' => end_of_dollar_quotes(sql, at).unwrap_or(at + 1),
            _ => at + 1,
        };
        if end_of_first.is_some() {
            return end_of_first;
        }
        at = next;
    }
    None
}

/// Position after the first `needle` at or after `from`.
fn find(bytes: &[u8], from: usize, needle: &[u8]) -> Option<usize> {
    bytes
        .get(from..)?
        .windows(needle.len())
        .position(|window| window == needle)
        .map(|found| from + found + needle.len())
}

/// Comments nest.
fn end_of_comment(bytes: &[u8], start: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = start;
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => {
                depth += 1;
                at += 2;
            }
            b"*/" => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    bytes.len()
}

/// `E'...'`: a backslash escapes the quote there.
fn is_escape_string(bytes: &[u8], quote: usize) -> bool {
    quote > 0
        && matches!(bytes[quote - 1], b'e' | b'E')
        && (quote == 1
            || !(bytes[quote - 2].is_ascii_alphanumeric() || bytes[quote - 2] == b'_' || bytes[quote - 2] >= 0x80))
}

fn end_of_quotes(bytes: &[u8], start: usize, quote: u8, escapes: bool) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        let escaped = escapes && bytes[at] == b'\\';
        if escaped || (bytes[at] == quote && bytes.get(at + 1) == Some(&quote)) {
            at += 2;
        } else if bytes[at] == quote {
            return at + 1;
        } else {
            at += 1;
        }
    }
    bytes.len()
}

/// `$tag$ ... $tag$`; `$1` is a parameter and no quote.
fn end_of_dollar_quotes(sql: &str, start: usize) -> Option<usize> {
    let rest = &sql.as_bytes()[start + 1..];
    let tag = rest.iter().position(|byte| !(byte.is_ascii_alphanumeric() || *byte == b'_' || *byte >= 0x80))?;
    if rest[tag] != b'$' || rest[0].is_ascii_digit() {
        return None;
    }
    let mark = &sql.as_bytes()[start..start + tag + 2];
    Some(find(sql.as_bytes(), start + mark.len(), mark).unwrap_or(sql.len()))
}

#[cfg(test)]
mod tests {
    use super::second_statement;

    #[test]
    fn one_statement_in_all_its_clothes() {
        for sql in [
            "select 1",
            "select 1;",
            "select 1; -- done\n /* truly; */ ;",
            "select ';' as \"a;b\"",
            "select 'it''s;' /* ; /* nested; */ ; */ from t -- ;",
            "select e'\\';', $1, $x$ ; $x$, $$;$$",
        ] {
            assert_eq!(second_statement(sql), None, "{sql}");
        }
    }

    #[test]
    fn several_are_found() {
        for (sql, at) in [
            ("select 1; drop table t", 9),
            ("select ''; select 2;", 10),
            ("select name'\\'; select 2 --'", 15),
            ("select $1; select 2", 10),
            ("select 1; 'x'", 9),
        ] {
            assert_eq!(second_statement(sql), Some(at), "{sql}");
        }
    }
}
