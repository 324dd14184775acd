//! `${VAR}` in the values of YAML files.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::diagnostic::nearest;
use crate::env_file::is_variable_name;
use crate::yaml::{Content, Node};
use crate::{Diagnostic, Location};

/// Shorter contents would be found in any sentence.
pub const SHORTEST_SECRET: usize = 6;

/// The environment a project is read in: that of the process over `.env`.
#[derive(Debug)]
pub struct Variables {
    values: BTreeMap<String, String>,
    /// The names that were replaced in a YAML file; those hold connections and secrets.
    used: BTreeSet<String>,
}

impl Variables {
    /// Joins `.env` and the environment; the environment wins.
    pub fn new(env_file: BTreeMap<String, String>, environment: &BTreeMap<String, String>) -> Self {
        let mut values = env_file;
        values.extend(environment.iter().map(|(name, value)| (name.clone(), value.clone())));
        Self { values, used: BTreeSet::new() }
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Whether a YAML file uses the variable, so that it may hold a secret.
    pub fn is_used_in_yaml(&self, name: &str) -> bool {
        self.used.contains(name)
    }

    /// Names and contents of the variables that YAML files use, as far as they are long enough to be told from other words.
    pub fn used_in_yaml(&self) -> Vec<(String, String)> {
        let contents = self.used.iter().filter_map(|name| Some((name.clone(), self.values.get(name)?.clone())));
        contents.filter(|(_, content)| content.len() >= SHORTEST_SECRET).collect()
    }

    /// What to do about a variable that is not set.
    pub fn help(&self, name: &str) -> String {
        match nearest(name, self.values.keys().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`? Otherwise set `{name}` in the environment or in `.env`"),
            None => format!("set `{name}` in the environment, or write `{name}=...` into `.env` beside `thalweg.yml`"),
        }
    }

    /// Replaces the variables of a whole tree.
    ///
    /// `text` is the file's, for the exact place. `$${X}` stands for the text `${X}`.
    pub fn expand(&mut self, file: &str, text: &str, node: &mut Node, diagnostics: &mut Vec<Diagnostic>) {
        match &mut node.content {
            Content::List(items) => {
                for item in items {
                    self.expand(file, text, item, diagnostics);
                }
            }
            Content::Map(entries) => {
                for entry in entries {
                    self.expand(file, text, &mut entry.value, diagnostics);
                }
            }
            Content::Scalar(scalar) => {
                if !scalar.text.contains("${") {
                    return;
                }
                let original = scalar.text.clone();
                let mut value = String::with_capacity(original.len());
                let mut rest = original.as_str();
                let mut search_from = node.span.start;
                while let Some(at) = rest.find("${") {
                    if rest[..at].ends_with('$') {
                        value.push_str(&rest[..at]);
                        value.push('{');
                        rest = &rest[at + 2..];
                        continue;
                    }
                    value.push_str(&rest[..at]);
                    let after = &rest[at + 2..];
                    let close = after.find('}');
                    let name = &after[..close.unwrap_or(after.len())];
                    let written = &rest[at..at + 2 + name.len() + usize::from(close.is_some())];
                    let span = match text.get(search_from..node.span.end).and_then(|part| part.find(written)) {
                        Some(offset) => search_from + offset..search_from + offset + written.len(),
                        None => node.span.clone(),
                    };
                    search_from = span.end.min(node.span.end);
                    rest = &rest[at + written.len()..];
                    scalar.from_variable = true;
                    match self.values.get(name) {
                        Some(content) if close.is_some() => {
                            value.push_str(content);
                            self.used.insert(name.to_owned());
                        }
                        _ => {
                            scalar.unknown = true;
                            diagnostics.push(self.complaint(name, close.is_some(), Location::new(file, span)));
                        }
                    }
                }
                value.push_str(rest);
                scalar.value = Value::String(value);
            }
        }
    }

    fn complaint(&self, name: &str, closed: bool, location: Location) -> Diagnostic {
        if closed && is_variable_name(name) {
            return Diagnostic::error(
                "missing-variable",
                format!("the environment has no variable `{name}`"),
                location,
            )
            .with_label("used here")
            .with_help(self.help(name));
        }
        let message = "`${` must be followed by the name of an environment variable and `}`";
        Diagnostic::error("variable-syntax", message, location)
            .with_label("letters, digits and `_`, as in `${ORDER_DB_PASSWORD}`")
            .with_help("write `$${` where the characters themselves are meant")
    }
}

/// Marks every value of a tree that refers to variables as not known, without looking at the environment: what belongs to a target
/// that was not chosen.
pub fn leave_unknown(node: &mut Node) {
    match &mut node.content {
        Content::List(items) => items.iter_mut().for_each(leave_unknown),
        Content::Map(entries) => entries.iter_mut().for_each(|entry| leave_unknown(&mut entry.value)),
        Content::Scalar(scalar) => {
            if scalar.text.contains("${") {
                scalar.from_variable = true;
                scalar.unknown = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> (Vec<String>, Vec<(String, String)>) {
        let mut node = crate::yaml::parse("x.yml", text).0.expect("valid");
        let environment = [("A", "1"), ("PASS_WORD", "s3cret")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        let mut variables = Variables::new(BTreeMap::new(), &environment.into());
        let mut diagnostics = Vec::new();
        variables.expand("x.yml", text, &mut node, &mut diagnostics);
        let values = node.entries().iter().map(|entry| entry.value.as_str().unwrap_or("?").to_owned()).collect();
        let marked = diagnostics
            .into_iter()
            .map(|diagnostic| (text[diagnostic.location.span].to_owned(), diagnostic.help.unwrap_or_default()))
            .collect();
        (values, marked)
    }

    #[test]
    fn variables_are_replaced_and_escapes_kept() {
        let (values, marked) = expanded("a: ${A}\nb: \"x${A}${PASS_WORD}y\"\nc: $${A} $5 $$\nd: $.a\n");
        assert_eq!(values, ["1", "x1s3crety", "${A} $5 $$", "$.a"]);
        assert_eq!(marked, []);
    }

    #[test]
    fn each_missing_variable_is_marked_where_it_stands() {
        let (_, marked) = expanded("a: ${A} ${B} ${PASWORD}\nb: ${not closed\nc: ${PASS WORD}\n");
        let places: Vec<&str> = marked.iter().map(|(place, _)| place.as_str()).collect();
        assert_eq!(places, ["${B}", "${PASWORD}", "${not closed", "${PASS WORD}"]);
        assert!(marked[1].1.contains("did you mean `PASS_WORD`"));
        assert!(!format!("{marked:?}").contains("s3cret"));
    }
}
