//! The validator: walks tree and schema together, gathers every mistake and yields the JSON value that the tree stands for.

use std::ops::Range;

use serde_json::{Map, Value};

use super::formats;
use super::words::{alternatives, choices, expected, found, one_of, resolve, types};
use crate::diagnostic::nearest;
use crate::yaml::{Content, Entry, Node, Scalar};
use crate::{Diagnostic, Location};

/// Checks one file against one schema.
///
/// Understands what `schemars` makes of our forms: `$ref`, `type`, `properties`, `required`, `additionalProperties`, `items`, `enum`,
/// `const`, `anyOf`, `oneOf`, `minimum`, `minItems`, `minProperties`, `maxProperties` and the `format` words of this crate.
pub struct Checker<'a> {
    root: &'a Value,
    file: &'a str,
    path: Vec<String>,
    diagnostics: Vec<Diagnostic>,
}

impl<'a> Checker<'a> {
    /// A checker of `file` against a root schema.
    pub fn new(root: &'a Value, file: &'a str) -> Self {
        Self { root, file, path: Vec::new(), diagnostics: Vec::new() }
    }

    /// Lets messages speak of the tree as part of something: `config.materialized`.
    #[must_use]
    pub fn within(mut self, name: &str) -> Self {
        self.path.push(name.to_owned());
        self
    }

    /// The JSON value of the tree, and everything that is wrong with it. The value fits the schema when nothing is wrong.
    pub fn check(mut self, node: &Node) -> (Value, Vec<Diagnostic>) {
        let value = self.value(node, self.root, &(0..0));
        (value, self.diagnostics)
    }

    /// What messages call the place: its path in the file, or the file.
    fn name(&self) -> String {
        if self.path.is_empty() { format!("`{}`", self.file) } else { format!("`{}`", self.path.join(".")) }
    }

    fn report(&mut self, code: &'static str, message: String, span: Range<usize>) -> &mut Diagnostic {
        self.diagnostics.push(Diagnostic::error(code, message, Location::new(self.file, span)));
        self.diagnostics.last_mut().expect("a diagnostic was just pushed")
    }

    /// `key` is where the name of the node stands, to mark what is missing in it.
    fn value(&mut self, node: &Node, schema: &Value, key: &Range<usize>) -> Value {
        let schema = resolve(self.root, schema);
        if let Some(words) = choices(self.root, schema) {
            return self.word(node, schema, &words);
        }
        if let Some(alternatives) = alternatives(schema) {
            return self.choice(node, schema, alternatives, key);
        }
        let accepted = types(self.root, schema);
        match &node.content {
            _ if accepted.is_empty() => plain(node),
            Content::Map(entries) if accepted.contains(&"object") => self.map(node, entries, schema, key),
            Content::List(items) if accepted.contains(&"array") => self.list(items, schema, key),
            Content::Scalar(scalar) => self.scalar(node, scalar, schema, &accepted),
            _ => self.wrong_type(node, schema),
        }
    }

    fn wrong_type(&mut self, node: &Node, schema: &Value) -> Value {
        let expected = expected(self.root, schema);
        let message = format!("{} must be {expected}, not {}", self.name(), found(node));
        let accepted = types(self.root, schema);
        let (accepts_text, accepts_flag) = (accepted.contains(&"string"), accepted.contains(&"boolean"));
        let is_flag = matches!(&node.content, Content::Scalar(scalar) if scalar.value.is_boolean());
        let diagnostic = self.report("wrong-type", message, node.span.clone());
        diagnostic.label = Some(format!("expected {expected}"));
        if accepts_text && is_flag {
            diagnostic.help = Some("put it in quotes where the text itself is meant".to_owned());
        } else if let Some(word) = node.as_str().and_then(truth_value).filter(|_| accepts_flag) {
            diagnostic.help = Some(format!("write `{word}`"));
        }
        stand_in(self.root, schema)
    }

    fn scalar(&mut self, node: &Node, scalar: &Scalar, schema: &Value, accepted: &[&str]) -> Value {
        if scalar.unknown {
            return stand_in(self.root, schema);
        }
        let value = match &scalar.value {
            Value::String(text) if accepted.contains(&"string") => {
                let is_good = self.check_format(node, scalar, schema, text);
                return if is_good { Value::String(text.clone()) } else { stand_in(self.root, schema) };
            }
            Value::String(text) if scalar.from_variable => from_variable(text, accepted),
            // A number where a text is expected is that text: `null_values: [0]`.
            Value::Number(number) if !accepted.contains(&"number") => {
                if accepted.contains(&"integer") && !number.is_f64() {
                    Some(scalar.value.clone())
                } else if accepted.contains(&"string") {
                    let is_good = self.check_format(node, scalar, schema, &scalar.text);
                    Some(if is_good { Value::String(scalar.text.clone()) } else { stand_in(self.root, schema) })
                } else {
                    None
                }
            }
            Value::Number(_) => Some(scalar.value.clone()),
            Value::Bool(_) if accepted.contains(&"boolean") => Some(scalar.value.clone()),
            Value::Null if accepted.contains(&"null") => Some(Value::Null),
            _ => None,
        };
        let Some(value) = value else { return self.wrong_type(node, schema) };
        if let (Some(number), Some(minimum)) = (value.as_f64(), schema.get("minimum").and_then(Value::as_f64))
            && number < minimum
        {
            let message = format!("{} must be at least {minimum}, not {}", self.name(), scalar.text);
            self.report("out-of-range", message, node.span.clone());
            return stand_in(self.root, schema);
        }
        value
    }

    /// Whether a text is of the format that the schema asks for; reports it where it is not.
    fn check_format(&mut self, node: &Node, scalar: &Scalar, schema: &Value, text: &str) -> bool {
        let Some(format) = schema.get("format").and_then(Value::as_str) else { return true };
        let Some(complaint) = formats::complaint(format, text) else { return true };
        let (expected, reason) = complaint.split_once("; ").unwrap_or((&complaint, ""));
        let message = format!("{} must be {expected}, not `{}`", self.name(), scalar.text);
        let from_variable = scalar.from_variable;
        let diagnostic = self.report("bad-value", message, node.span.clone());
        // The reason may quote the text, which is nobody's business when it comes from the environment.
        if !reason.is_empty() && !from_variable {
            diagnostic.label = Some(reason.to_owned());
        }
        false
    }

    /// A text that must be one of a few words.
    fn word(&mut self, node: &Node, schema: &Value, words: &[&str]) -> Value {
        let unknown = matches!(&node.content, Content::Scalar(scalar) if scalar.unknown);
        if unknown {
            return stand_in(self.root, schema);
        }
        if node.is_null() && self.accepts_null(schema) {
            return Value::Null;
        }
        if let Some(text) = node.as_str()
            && words.contains(&text)
        {
            return Value::String(text.to_owned());
        }
        let message = format!("{} must be {}, not {}", self.name(), one_of(words), found(node));
        let shown = node.shown().to_owned();
        let near = nearest(&shown, words.iter().copied()).map(|near| format!("did you mean `{near}`?"));
        let diagnostic = self.report("unknown-word", message, node.span.clone());
        diagnostic.label = Some(format!("expected {}", one_of(words)));
        diagnostic.help = near.or_else(|| foreign_word(&shown).map(str::to_owned));
        stand_in(self.root, schema)
    }

    fn accepts_null(&self, schema: &Value) -> bool {
        match alternatives(schema) {
            Some(alternatives) => alternatives.iter().any(|one| types(self.root, one).contains(&"null")),
            None => types(self.root, schema).contains(&"null"),
        }
    }

    fn choice(&mut self, node: &Node, schema: &Value, alternatives: &[Value], key: &Range<usize>) -> Value {
        let fitting: Vec<&Value> = alternatives.iter().filter(|one| self.fits(node, one)).collect();
        match fitting[..] {
            [] => self.wrong_type(node, schema),
            [one] => self.value(node, one, key),
            _ => match self.tag(&fitting) {
                Some(tag) => self.tagged(node, &fitting, &tag, key),
                None => self.first_that_fits(node, &fitting, key),
            },
        }
    }

    /// Whether the node's own type is one the schema accepts; what is inside does not matter yet.
    fn fits(&self, node: &Node, schema: &Value) -> bool {
        let accepted = types(self.root, schema);
        let kinds: &[&str] = match &node.content {
            Content::Map(_) => &["object"],
            Content::List(_) => &["array"],
            Content::Scalar(scalar) if scalar.from_variable => &["string", "integer", "number", "boolean"],
            Content::Scalar(scalar) => match &scalar.value {
                Value::Null => &["null"],
                Value::Bool(_) => &["boolean"],
                Value::Number(_) => &["integer", "number", "string"],
                _ => &["string"],
            },
        };
        accepted.is_empty() || kinds.iter().any(|kind| accepted.contains(kind))
    }

    fn first_that_fits(&mut self, node: &Node, fitting: &[&Value], key: &Range<usize>) -> Value {
        let before = self.diagnostics.len();
        let mut best: Option<(Vec<Diagnostic>, Value)> = None;
        for schema in fitting {
            let value = self.value(node, schema, key);
            let found = self.diagnostics.split_off(before);
            if found.is_empty() {
                return value;
            }
            if best.as_ref().is_none_or(|(fewest, _)| found.len() < fewest.len()) {
                best = Some((found, value));
            }
        }
        let Some((found, value)) = best else { return Value::Null };
        self.diagnostics.extend(found);
        value
    }

    /// The key whose word tells the alternatives apart.
    fn tag(&self, fitting: &[&Value]) -> Option<String> {
        let first: &Value = fitting.first()?;
        let first = resolve(self.root, first).get("properties").and_then(Value::as_object)?;
        let has_word = |schema: &Value, key: &str| {
            resolve(self.root, schema)
                .get("properties")
                .and_then(|all| all.get(key))
                .and_then(|one| one.get("const"))
                .is_some()
        };
        first.keys().find(|key| fitting.iter().all(|schema| has_word(schema, key))).cloned()
    }

    fn tagged(&mut self, node: &Node, fitting: &[&Value], tag: &str, key: &Range<usize>) -> Value {
        let word_of = |schema: &Value| -> Option<String> {
            let word = resolve(self.root, schema).get("properties")?.get(tag)?.get("const")?.as_str()?;
            Some(word.to_owned())
        };
        let words: Vec<String> = fitting.iter().filter_map(|schema| word_of(schema)).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let Some(given) = node.get(tag) else {
            let message = format!("{} needs `{tag}: {}`", self.name(), words.join(" | "));
            self.report("missing-key", message, self.place(node, key)).label = Some(format!("`{tag}` is missing"));
            return stand_in(self.root, fitting[0]);
        };
        let chosen = given.as_str().and_then(|word| words.iter().position(|candidate| *candidate == word));
        match chosen {
            Some(index) => self.value(node, fitting[index], key),
            None => {
                self.path.push(tag.to_owned());
                self.word(given, &Value::Null, &words);
                self.path.pop();
                stand_in(self.root, fitting[0])
            }
        }
    }

    /// Where to mark what a map lacks: its name, or its first line.
    fn place(&self, node: &Node, key: &Range<usize>) -> Range<usize> {
        match node.entries().first() {
            _ if !key.is_empty() => key.clone(),
            Some(first) if self.path.is_empty() => first.key_span.clone(),
            Some(first) => node.span.start..first.key_span.end.max(node.span.start),
            None => node.span.clone(),
        }
    }

    fn list(&mut self, items: &[Node], schema: &Value, key: &Range<usize>) -> Value {
        if let Some(least) = schema.get("minItems").and_then(Value::as_u64)
            && (items.len() as u64) < least
        {
            let message = format!("{} must not be empty", self.name());
            self.report("empty-list", message, key.clone());
        }
        let Some(item_schema) = schema.get("items") else { return Value::Array(items.iter().map(plain).collect()) };
        let values = items.iter().enumerate().map(|(index, item)| {
            let name = match item.get("name").map(Node::shown) {
                Some(name) => name.to_owned(),
                None => (index + 1).to_string(),
            };
            self.path.push(name);
            let value = self.value(item, item_schema, &(0..0));
            self.path.pop();
            value
        });
        Value::Array(values.collect())
    }

    fn map(&mut self, node: &Node, entries: &[Entry], schema: &Value, key: &Range<usize>) -> Value {
        let none = Map::new();
        let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
        let additional = schema.get("additionalProperties");
        let mut value = Map::new();
        let mut known = 0;
        for entry in entries {
            let entry_schema = match (properties.get(&entry.key), additional) {
                (Some(property), _) => property,
                (None, Some(Value::Bool(false))) => {
                    self.unknown_key(entry, properties);
                    continue;
                }
                (None, Some(additional @ Value::Object(_))) => additional,
                (None, _) => &Value::Bool(true),
            };
            known += 1;
            self.path.push(entry.key.clone());
            let entry_value = self.value(&entry.value, entry_schema, &entry.key_span);
            self.path.pop();
            value.insert(entry.key.clone(), entry_value);
        }
        for required in schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
        {
            if !value.contains_key(required) {
                let message = format!("{} needs `{required}`", self.name());
                let words = properties.get(required).map(|property| expected(self.root, property));
                let place = self.place(node, key);
                let diagnostic = self.report("missing-key", message, place);
                diagnostic.label = Some(format!("`{required}` is missing"));
                diagnostic.help = words.map(|words| format!("add `{required}:`, {words}"));
                let stand_in = properties.get(required).map_or(Value::Null, |property| stand_in(self.root, property));
                value.insert(required.to_owned(), stand_in);
            }
        }
        let limit = |name: &str| schema.get(name).and_then(Value::as_u64);
        let too_many = limit("maxProperties").is_some_and(|most| known as u64 > most);
        let too_few = limit("minProperties").is_some_and(|least| (known as u64) < least && known == entries.len());
        if too_many || too_few {
            let message = format!("{} must have exactly one key", self.name());
            let place = self.place(node, key);
            let diagnostic = self.report("one-key", message, place);
            diagnostic.help =
                Some("begin a new list item with `-` for each, and indent what belongs to one below it".to_owned());
        }
        Value::Object(value)
    }

    fn unknown_key(&mut self, entry: &Entry, properties: &Map<String, Value>) {
        let keys: Vec<&str> = properties.keys().map(String::as_str).collect();
        // `dbt_utils.accepted_range` is meant by its last part.
        let short = entry.key.rsplit('.').next().unwrap_or(&entry.key);
        let help = match nearest(short, keys.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if keys.contains(&"not_null") && matches!(entry.key.as_str(), "config" | "arguments" | "name") => {
                format!("indent `{}` so that it stands below the name of the test", entry.key)
            }
            None => match foreign_key(&entry.key) {
                Some(words) => words.to_owned(),
                None if keys.is_empty() => "remove it".to_owned(),
                None => format!("expected {}", one_of(&keys)),
            },
        };
        let message = format!("{} has no key `{}`", self.name(), entry.key);
        let diagnostic = self.report("unknown-key", message, entry.key_span.clone());
        diagnostic.label = Some("unknown key".to_owned());
        diagnostic.help = Some(help);
    }
}

/// What takes the place of a value that is wrong or not known: the least that the form accepts, so that reading can go on and find
/// the other mistakes.
fn stand_in(root: &Value, schema: &Value) -> Value {
    let schema = resolve(root, schema);
    let accepted = types(root, schema);
    if accepted.contains(&"null") {
        return Value::Null;
    }
    if let Some(word) = choices(root, schema).and_then(|words| words.first().copied()) {
        return Value::from(word);
    }
    if let Some(first) = alternatives(schema).and_then(|alternatives| alternatives.first()) {
        return stand_in(root, first);
    }
    match accepted.first() {
        Some(&"string") => Value::from(""),
        Some(&"integer" | &"number") => {
            schema.get("minimum").filter(|least| !least.is_f64()).cloned().unwrap_or(Value::from(0))
        }
        Some(&"boolean") => Value::from(false),
        Some(&"array") => Value::Array(Vec::new()),
        Some(&"object") => {
            let required =
                schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
            let property = |key: &str| Some(stand_in(root, schema.get("properties")?.get(key)?));
            Value::Object(required.filter_map(|key| Some((key.to_owned(), property(key)?))).collect())
        }
        _ => Value::Null,
    }
}

/// The truth value that YAML 1.1 saw in a word.
fn truth_value(word: &str) -> Option<bool> {
    match word.to_ascii_lowercase().as_str() {
        "yes" | "on" | "y" => Some(true),
        "no" | "off" | "n" => Some(false),
        _ => None,
    }
}

/// The number or truth value that a variable's text spells.
fn from_variable(text: &str, accepted: &[&str]) -> Option<Value> {
    let parsed: Value = serde_json::from_str(text.trim()).ok()?;
    match &parsed {
        Value::Number(number)
            if accepted.contains(&"number") || (accepted.contains(&"integer") && !number.is_f64()) =>
        {
            Some(parsed)
        }
        Value::Bool(_) if accepted.contains(&"boolean") => Some(parsed),
        _ => None,
    }
}

/// The JSON value of a tree whose form is free.
fn plain(node: &Node) -> Value {
    match &node.content {
        Content::Scalar(scalar) => scalar.value.clone(),
        Content::List(items) => Value::Array(items.iter().map(plain).collect()),
        Content::Map(entries) => {
            Value::Object(entries.iter().map(|entry| (entry.key.clone(), plain(&entry.value))).collect())
        }
    }
}

/// What to do about a key that people know from other tools.
fn foreign_key(key: &str) -> Option<&'static str> {
    Some(match key {
        "unique_key" => "write `primary_key`",
        "incremental_strategy" | "incremental_predicates" | "on_schema_change" | "full_refresh" => {
            "remove it: Thalweg decides by itself how a model is refreshed; `refresh:` pins it"
        }
        "sources" => "sources are described in `sources/NAME.yml`, one file each",
        "tests" => "write `data_tests`",
        "schema" | "alias" | "database" => "the folder of a model is its schema and the file its name",
        "profile" | "profiles" => "targets are described under `targets:` in `thalweg.yml`",
        "object" => "the name of a stream is the name of its table; `as:` gives it another",
        "mode" => "write `write_disposition: merge | append | replace`",
        _ => return None,
    })
}

/// What to do about a word that people know from other tools.
fn foreign_word(word: &str) -> Option<&'static str> {
    Some(match word {
        "incremental" => "write `table`: Thalweg decides by itself how a table is refreshed; `refresh:` pins it",
        "materialized_view" => "write `table`: it is kept up to date by each run",
        "jsonl" | "jsonlines" => "write `ndjson`",
        "tsv" => "write `csv`, with `csv: { delimiter: \"\\t\" }`",
        "skip" => "write `replace` or `append`",
        _ => return None,
    })
}
