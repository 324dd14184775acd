//! A JSON schema in words: what a person reads after "must be".

use serde_json::Value;

use crate::yaml::{Content, Node};

/// Follows a `$ref` into `$defs`.
pub fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let mut schema = schema;
    // A chain of references is as long as the types are nested; a circle of bare references cannot come from types.
    for _ in 0..16 {
        let Some(reference) = schema.get("$ref").and_then(Value::as_str) else { return schema };
        let Some(name) = reference.strip_prefix("#/$defs/") else { return schema };
        let Some(target) = root.get("$defs").and_then(|definitions| definitions.get(name)) else { return schema };
        schema = target;
    }
    schema
}

/// The alternatives of a choice.
pub fn alternatives(schema: &Value) -> Option<&Vec<Value>> {
    schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array)
}

/// The words a text may be, when the schema says exactly which.
pub fn choices<'a>(root: &'a Value, schema: &'a Value) -> Option<Vec<&'a str>> {
    let schema = resolve(root, schema);
    if let Some(word) = schema.get("const").and_then(Value::as_str) {
        return Some(vec![word]);
    }
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        return words.iter().filter(|word| !word.is_null()).map(Value::as_str).collect();
    }
    let mut words = Vec::new();
    for alternative in alternatives(schema)? {
        if types(root, alternative) == ["null"] {
            continue;
        }
        words.extend(choices(root, alternative)?);
    }
    Some(words)
}

/// The JSON types a schema accepts: `string`, `integer`, `number`, `boolean`, `array`, `object`, `null`. Empty: anything.
pub fn types<'a>(root: &'a Value, schema: &'a Value) -> Vec<&'a str> {
    let schema = resolve(root, schema);
    match schema.get("type") {
        Some(Value::String(word)) => vec![word],
        Some(Value::Array(words)) => words.iter().filter_map(Value::as_str).collect(),
        _ => {
            if let Some(alternatives) = alternatives(schema) {
                let mut all: Vec<&str> = Vec::new();
                for alternative in alternatives {
                    let accepted = types(root, alternative);
                    if accepted.is_empty() {
                        return accepted;
                    }
                    all.extend(accepted.iter().filter(|word| !all.contains(word)).copied().collect::<Vec<_>>());
                }
                all
            } else if schema.get("const").or_else(|| schema.get("enum")).is_some() {
                vec!["string"]
            } else {
                Vec::new()
            }
        }
    }
}

/// What a schema expects: ``a text``, ``a list of texts``, `` `keep` or `delete` ``.
pub fn expected(root: &Value, schema: &Value) -> String {
    let schema = resolve(root, schema);
    if let Some(words) = choices(root, schema) {
        return one_of(&words);
    }
    if let Some(alternatives) = alternatives(schema) {
        let all: Vec<String> = alternatives
            .iter()
            .filter(|alternative| types(root, alternative) != ["null"])
            .map(|alternative| expected(root, alternative))
            .collect();
        return all.join(", or ");
    }
    let words: Vec<String> = types(root, schema)
        .iter()
        .filter(|word| **word != "null")
        .map(|word| match *word {
            "string" => match schema.get("format").and_then(Value::as_str) {
                Some("thalweg-duration") => "a duration such as `5s`".to_owned(),
                _ => "a text".to_owned(),
            },
            "integer" => "a whole number".to_owned(),
            "number" => "a number".to_owned(),
            "boolean" => "`true` or `false`".to_owned(),
            "array" => match schema.get("items") {
                Some(items) => format!("a list whose items are {}", expected(root, items)),
                None => "a list".to_owned(),
            },
            _ => map(schema),
        })
        .collect();
    if words.is_empty() { "any value".to_owned() } else { words.join(" or ") }
}

fn map(schema: &Value) -> String {
    let keys: Vec<&str> = schema
        .get("properties")
        .and_then(Value::as_object)
        .map(|properties| properties.keys().map(String::as_str).collect())
        .unwrap_or_default();
    match keys.len() {
        0 => "a map".to_owned(),
        1..=4 => format!("a map with {}", keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")),
        _ => format!("a map with keys such as `{}` and `{}`", keys[0], keys[1]),
    }
}

/// `` `a`, `b` or `c` ``
pub fn one_of(words: &[&str]) -> String {
    match words {
        [] => "nothing".to_owned(),
        [one] => format!("`{one}`"),
        [first @ .., last] => {
            let first: Vec<String> = first.iter().map(|word| format!("`{word}`")).collect();
            format!("{} or `{last}`", first.join(", "))
        }
    }
}

/// What a node is, for "not ...".
pub fn found(node: &Node) -> String {
    match &node.content {
        Content::List(_) => "a list".to_owned(),
        Content::Map(_) => "a map".to_owned(),
        Content::Scalar(scalar) => match &scalar.value {
            Value::Null => "empty".to_owned(),
            Value::Bool(_) => format!("`{}`", scalar.text),
            Value::Number(_) => format!("the number `{}`", scalar.text),
            _ => format!("the text `{}`", shortened(&scalar.text)),
        },
    }
}

fn shortened(text: &str) -> String {
    let line = text.lines().next().unwrap_or("");
    if line.chars().count() > 40 || line.len() < text.trim_end().len() {
        format!("{}...", line.chars().take(40).collect::<String>())
    } else {
        line.to_owned()
    }
}
