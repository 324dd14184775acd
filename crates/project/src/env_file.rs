//! `.env`: one `KEY=VALUE` a line. No message ever shows what stands in it: any part of a broken line may be that of a secret.

use std::collections::BTreeMap;

use crate::{Diagnostic, Location};

/// Name of the file in diagnostics.
const FILE: &str = ".env";

/// What is shown instead of a line.
const HIDDEN: &str = "***";

/// Reads the text of a `.env` file.
///
/// `export` before a name, empty lines and comment lines are allowed. A value may stand in single quotes (taken as it is) or double
/// quotes (`\n`, `\t`, `\"` and `\\` are replaced); without quotes it ends before ` #`. A quoted value may span lines.
pub fn parse(text: &str) -> (BTreeMap<String, String>, Vec<Diagnostic>) {
    let mut values = BTreeMap::new();
    let mut diagnostics = Vec::new();
    let hidden: Vec<&str> = text.lines().map(|line| if line.trim().is_empty() { "" } else { HIDDEN }).collect();
    let mut at = 0;
    while at < text.len() {
        let line_end = text[at..].find('\n').map_or(text.len(), |length| at + length);
        let line = &text[at..line_end];
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            at = line_end + 1;
            continue;
        }
        let mut report = |code, message: &str, help: &str| {
            let before = text[..at].matches('\n').count();
            let start = hidden[..before].iter().map(|line| line.len() + 1).sum();
            let location = Location::new(FILE, start..start + HIDDEN.len());
            let mut diagnostic = Diagnostic::error(code, message, location).with_help(help);
            diagnostic.rendered = Some(hidden.join("\n"));
            diagnostics.push(diagnostic);
        };
        let Some((name, rest)) = line.split_once('=') else {
            report("env-syntax", "a line of `.env` has no `=`", "write `NAME=value`, or `#` before a comment");
            at = line_end + 1;
            continue;
        };
        let name = name.trim();
        let name = name.strip_prefix("export ").map_or(name, str::trim);
        if !is_variable_name(name) {
            report(
                "env-syntax",
                "a name in `.env` must consist of letters, digits and `_`, and not begin with a digit",
                "write `NAME=value`",
            );
            at = line_end + 1;
            continue;
        }
        let leading = rest.len() - rest.trim_start().len();
        let value_at = line_end - rest.len() + leading;
        match text[value_at..].chars().next() {
            Some(quote @ ('"' | '\'')) if !rest.trim().is_empty() => match quoted(&text[value_at + 1..], quote) {
                Some((value, length)) => {
                    let end = value_at + 1 + length;
                    let next = text[end..].find('\n').map_or(text.len(), |length| end + length);
                    let after = text[end..next].trim();
                    if !after.is_empty() && !after.starts_with('#') {
                        report(
                            "env-syntax",
                            &format!("the value of `{name}` in `.env` goes on after its closing quote"),
                            "use the other kind of quote around the value, or `\\\"` inside double quotes",
                        );
                    }
                    values.insert(name.to_owned(), value);
                    at = next + 1;
                }
                None => {
                    report(
                        "env-syntax",
                        &format!("the value of `{name}` in `.env` has no closing quote"),
                        "close the quote; a value that holds a quote stands in quotes of the other kind",
                    );
                    at = line_end + 1;
                }
            },
            _ => {
                let value = rest.split(" #").next().unwrap_or(rest).trim();
                values.insert(name.to_owned(), value.to_owned());
                at = line_end + 1;
            }
        }
    }
    (values, diagnostics)
}

/// The value up to the closing quote, and the bytes it takes including that quote.
fn quoted(text: &str, quote: char) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' if quote == '"' => match characters.next()?.1 {
                'n' => value.push('\n'),
                't' => value.push('\t'),
                'r' => value.push('\r'),
                escaped @ ('"' | '\\' | '$') => value.push(escaped),
                other => value.extend(['\\', other]),
            },
            _ if character == quote => return Some((value, at + 1)),
            _ => value.push(character),
        }
    }
    None
}

/// Whether the text can be the name of an environment variable.
pub fn is_variable_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_in_every_form() {
        let text = "# comment\nA=1\nexport B = two words # note\nC='sin#gle $x'\nD=\"dou\\\"ble\\n\" # note\r\nE=\nF=a#b\n\nG='two\nlines'\nH=x=y\r\n";
        let (values, diagnostics) = parse(text);
        assert_eq!(diagnostics, []);
        let pairs: Vec<(&str, &str)> = values.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(
            pairs,
            [
                ("A", "1"),
                ("B", "two words"),
                ("C", "sin#gle $x"),
                ("D", "dou\"ble\n"),
                ("E", ""),
                ("F", "a#b"),
                ("G", "two\nlines"),
                ("H", "x=y")
            ]
        );
    }

    #[test]
    fn messages_never_show_values() {
        let (values, diagnostics) = parse("secret1\n2X=secret2\nA='secret3\nB=\"secret4\" secret5\nOK=1\n");
        assert_eq!(values.get("OK").map(String::as_str), Some("1"));
        assert_eq!(diagnostics.len(), 4);
        let shown = format!("{diagnostics:?}");
        assert!(!shown.contains("secret"), "{shown}");
        // Each is drawn at its line, and nothing of any line is.
        let rendered = diagnostics[3].rendered.clone().expect("a text to draw");
        assert_eq!(rendered, "***\n***\n***\n***\n***");
        assert_eq!(rendered[..diagnostics[3].location.span.start].lines().count(), 3);
    }
}
