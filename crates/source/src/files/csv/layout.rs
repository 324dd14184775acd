//! How a CSV file is laid out: delimiter, quote, line ends, header. What is not given is found out from the head of the file by a
//! fixed rule, so that the same head always gives the same layout.

use serde::{Deserialize, Serialize};
use thalweg_project::{ColumnType, CsvOptions};

use super::tokenizer::{Dialect, Field, Tokenizer};
use crate::values::{Cell, Shape};

/// Records of the head that are looked at.
const HEAD_RECORDS: usize = 200;
/// Delimiters that are tried, in order of preference.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// The layout of one file. Kept with its rejects, so that a single record can be read again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::files) struct CsvLayout {
    pub(in crate::files) delimiter: u8,
    pub(in crate::files) quote: u8,
    pub(in crate::files) terminator: u8,
    /// The columns as the header names them, each once; `column_1`, `column_2`, ... without a header or where it leaves a name out.
    pub(in crate::files) columns: Vec<String>,
    /// Bytes of the header record in the file, behind the byte order mark.
    #[serde(skip)]
    pub(in crate::files) header_bytes: usize,
}

impl CsvLayout {
    pub(in crate::files) fn dialect(&self) -> Dialect {
        Dialect { delimiter: self.delimiter, quote: self.quote, terminator: self.terminator }
    }
}

/// Finds the layout from the first whole records of a file. `known` are the source names of the store's columns.
///
/// * Delimiter: the one that splits most of the first 200 records into the number of fields the first record has, if that is more
///   than one; of equals the one with more fields, then the first of `,` `;` tab `|`.
/// * Header: the first record is one if it holds a column name the store knows. If the store's columns have no names of their own
///   (`column_1`), it is none. Otherwise columns vote: a text above numbers, dates, times or booleans speaks for a header, a number,
///   date, time or boolean in the first record against it. It is one unless there are more votes against than for it.
pub(in crate::files) fn detect(head: &[u8], options: &CsvOptions, known: &[&str]) -> Result<CsvLayout, String> {
    let quote = options.quote.unwrap_or(b'"');
    let terminator =
        if memchr::memchr(b'\n', head).is_none() && memchr::memchr(b'\r', head).is_some() { b'\r' } else { b'\n' };
    let dialect = |delimiter| Dialect { delimiter, quote, terminator };
    let delimiter = options.delimiter.unwrap_or_else(|| {
        let mut best = (0, 0, b',');
        for delimiter in DELIMITERS {
            let (agreeing, fields) = score(head, dialect(delimiter));
            if (agreeing, fields) > (best.0, best.1) {
                best = (agreeing, fields, delimiter);
            }
        }
        best.2
    });
    let mut fields = Vec::new();
    let mut tokenizer = Tokenizer::new(head, dialect(delimiter));
    let Some(first) = tokenizer.next(&mut fields) else {
        return Ok(CsvLayout { delimiter, quote, terminator, columns: Vec::new(), header_bytes: 0 });
    };
    if let Some(why) = first.malformed {
        let line = String::from_utf8_lossy(&head[first.start..first.end.min(first.start + 200)]);
        return Err(format!("the first line cannot be read as a header: {why}: {line}"));
    }
    let mut names = Vec::with_capacity(fields.len());
    for field in &fields {
        let Ok(name) = std::str::from_utf8(&head[field.range()]) else {
            return Err("the first line is not UTF-8: convert the file, for example with iconv -t UTF-8".to_owned());
        };
        names.push(unquote(name, *field, quote));
    }
    let is_header = options.header.unwrap_or_else(|| {
        let numbered = |name: &&str| name.strip_prefix("column_").is_some_and(|number| number.parse::<u32>().is_ok());
        if known.iter().any(|known| !numbered(known) && names.iter().any(|name| name == known)) {
            return true;
        }
        if !known.is_empty() && known.iter().all(numbered) {
            return false;
        }
        votes_for_header(head, dialect(delimiter), &names)
    });
    let header_bytes = if is_header { tokenizer.place() } else { 0 };
    for (name, number) in names.iter_mut().zip(1..).filter(|(name, _)| !is_header || name.trim().is_empty()) {
        *name = format!("column_{number}");
    }
    if let Some(twice) = (1..names.len()).find(|&place| names[..place].contains(&names[place])) {
        return Err(format!("two columns are called \"{}\": rename one of them at the source", names[twice]));
    }
    Ok(CsvLayout { delimiter, quote, terminator, columns: names, header_bytes })
}

/// How many of the first records have as many fields as the first, and how many those are. No records where that is one field.
fn score(head: &[u8], dialect: Dialect) -> (usize, usize) {
    let mut tokenizer = Tokenizer::new(head, dialect);
    let (mut fields, mut first, mut agreeing): (Vec<Field>, usize, usize) = (Vec::new(), 0, 0);
    for _ in 0..HEAD_RECORDS {
        fields.clear();
        let Some(token) = tokenizer.next(&mut fields) else { break };
        if token.malformed.is_some() {
            continue;
        }
        if first == 0 {
            first = fields.len();
        }
        agreeing += usize::from(fields.len() == first);
    }
    if first < 2 { (0, 0) } else { (agreeing, first) }
}

/// The text of a field, doubled quotes made single.
pub(super) fn unquote(text: &str, field: Field, quote: u8) -> String {
    if !field.has_doubled_quotes() {
        return text.to_owned();
    }
    let quote = char::from(quote);
    text.replace(&format!("{quote}{quote}"), &quote.to_string())
}

fn votes_for_header(head: &[u8], dialect: Dialect, first: &[String]) -> bool {
    let mut shapes = vec![Shape::default(); first.len()];
    let (mut tokenizer, mut fields) = (Tokenizer::new(head, dialect), Vec::new());
    let _ = tokenizer.next(&mut fields);
    for _ in 0..HEAD_RECORDS {
        fields.clear();
        let Some(token) = tokenizer.next(&mut fields) else { break };
        if token.malformed.is_some() || fields.len() != first.len() {
            continue;
        }
        for (shape, field) in shapes.iter_mut().zip(&fields) {
            match std::str::from_utf8(&head[field.range()]) {
                Ok("") | Err(_) => {}
                Ok(text) => shape.add(Cell::Plain(text)),
            }
        }
    }
    let is_text = |shape: &Shape| shape.column_type().map(|column_type| column_type == ColumnType::Text);
    let (mut against, mut for_it) = (0, 0);
    for (name, body) in first.iter().zip(&shapes) {
        if name.is_empty() {
            continue;
        }
        let mut shape = Shape::default();
        shape.add(Cell::Plain(name));
        if is_text(&shape) == Some(false) {
            against += 1;
        } else if is_text(body) == Some(false) {
            for_it += 1;
        }
    }
    for_it >= against
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(head: &str) -> (char, Vec<String>, bool) {
        let layout = detect(head.as_bytes(), &CsvOptions::default(), &[]).expect("a layout");
        (char::from(layout.delimiter), layout.columns, layout.header_bytes > 0)
    }

    #[test]
    fn delimiters_and_headers() {
        assert_eq!(found("a,b\n1,2\n"), (',', vec!["a".into(), "b".into()], true));
        assert_eq!(found("a;b\n1,5;2,5\n"), (';', vec!["a".into(), "b".into()], true));
        assert_eq!(found("name\tremark\nx\ta, b; c\n"), ('\t', vec!["name".into(), "remark".into()], true));
        assert_eq!(found("1|x\n2|y\n"), ('|', vec!["column_1".into(), "column_2".into()], false));
        assert_eq!(found("title\nowner, boss\n"), (',', vec!["title".into()], true));
        assert_eq!(found("\"a \"\"x\"\"\",b\r\n").1[0], "a \"x\"");
        assert!(found("a,b\r1,2\r").2);
    }

    #[test]
    fn names_are_given_once() {
        assert_eq!(found("id,, ,z\n1,2,3,4\n").1, ["id", "column_2", "column_3", "z"]);
        let twice = |head: &str| detect(head.as_bytes(), &CsvOptions::default(), &[]).unwrap_err();
        assert!(twice("id,n,n\n1,2,3\n").contains("two columns are called \"n\""));
        assert!(twice("id,column_3,\n1,2,3\n").contains("two columns are called \"column_3\""));
    }

    #[test]
    fn a_year_may_be_a_column_name() {
        assert!(found("id,2024\n1,x\n").2);
        assert!(!found("3,alice,2024-01-01\n1,bob,2024-01-02\n").2);
    }

    #[test]
    fn the_store_decides_on_the_header() {
        let layout =
            |head: &str, known: &[&str]| detect(head.as_bytes(), &CsvOptions::default(), known).expect("a layout");
        assert_eq!(layout("product,2024\nx,1\n", &["product", "2023"]).header_bytes, 13);
        assert_eq!(layout(",alice\n1,bob\n", &["column_1", "column_2"]).header_bytes, 0);
    }
}
