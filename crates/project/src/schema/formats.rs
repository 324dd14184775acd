//! What a text must be beyond being a text: the `format` words of our schemas.

use crate::duration::Span;
use crate::selection::Selection;
use crate::{ColumnType, TableName};

/// Why a text is not of a format, in words that follow "X must be": `None` when it is, or when the format is not one of ours.
pub fn complaint(format: &str, text: &str) -> Option<String> {
    match format {
        "thalweg-duration" => {
            text.parse::<Span>().err().map(|_| "a duration such as `500ms`, `5s`, `10m`, `6h` or `2d`".to_owned())
        }
        "thalweg-column-type" => text.parse::<ColumnType>().err().map(|_| {
            "a type: boolean, smallint, integer, bigint, decimal(p,s), real, double, date, time, timestamp, text, json, blob or \
             list(type)"
                .to_owned()
        }),
        "thalweg-table" => {
            text.parse::<TableName>().err().map(|_| "the name of a table with its schema, `schema.table`".to_owned())
        }
        "thalweg-cron" => cron(text),
        "thalweg-time-zone" => {
            jiff::tz::TimeZone::get(text).err().map(|_| "an IANA time zone such as `Europe/Zurich` or `UTC`".to_owned())
        }
        "thalweg-glob" => glob(text),
        "thalweg-character" => {
            let single = text == "\\t" || (text.len() == 1 && text.is_ascii());
            (!single).then(|| "one ASCII character, such as `;` or `\"\\t\"`".to_owned())
        }
        "thalweg-selector" => {
            Selection::parse(text).err().map(|error| format!("a selector such as `+pres.* tag:daily`; {error}"))
        }
        _ => None,
    }
}

fn cron(text: &str) -> Option<String> {
    let expected = "a cron expression of five fields (minute hour day month weekday), such as `0 6 * * *`";
    if text.split_whitespace().count() != 5 && !text.starts_with('@') {
        return Some(expected.to_owned());
    }
    let parser = croner::parser::CronParser::builder().seconds(croner::parser::Seconds::Disallowed).build();
    parser.parse(text).err().map(|error| format!("{expected}; {}", error.to_string().trim_end_matches('.')))
}

fn glob(text: &str) -> Option<String> {
    let below = "a pattern below the source's folder: neither absolute nor with `..`";
    if text.starts_with('/') || text.split('/').any(|part| part == "..") {
        return Some(below.to_owned());
    }
    if text.trim().is_empty() {
        return Some("a file pattern such as `*.csv`".to_owned());
    }
    let error = globset::GlobBuilder::new(text).literal_separator(true).build().err()?;
    Some(format!("a file pattern such as `*.csv`; {}", error.kind()))
}
