//! The values of `--vars`.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Number, Value};

/// Reads the values of `--vars`: each a YAML or JSON mapping (dbt's way), or a list of `key=value`, separated by commas or spaces.
/// Values are YAML in both, so that `day=2026-01-01` is a text and `limit=5` a number. Later ones win.
pub fn read(given: &[String]) -> Result<BTreeMap<String, Value>, String> {
    let mut variables = BTreeMap::new();
    for text in given {
        let trimmed = text.trim();
        if trimmed.is_empty() {
            continue;
        }
        if pair_start(trimmed) {
            for (key, value) in pairs(trimmed) {
                let value =
                    yaml(value).map_err(|error| format!("the value of `{key}` in --vars cannot be read: {error}"))?;
                variables.insert(key.to_owned(), value);
            }
            continue;
        }
        match yaml(trimmed) {
            Ok(Value::Object(map)) => variables.extend(map),
            Ok(_) => {
                return Err(format!(
                    "--vars `{trimmed}` names no variable: expected `key=value`, or a mapping such as `{{key: value}}`"
                ));
            }
            Err(error) => return Err(format!("--vars `{trimmed}` cannot be read: {error}")),
        }
    }
    Ok(variables)
}

/// Whether the text begins with `name=`.
fn pair_start(text: &str) -> bool {
    let name = text.split('=').next().unwrap_or_default();
    name.len() < text.len()
        && name.starts_with(|first: char| first.is_alphabetic() || first == '_')
        && name.chars().all(|letter| letter.is_alphanumeric() || letter == '_')
}

/// The pairs of `a=1,b=x y c=2`. A new pair begins after a comma or space that is followed by `name=`.
fn pairs(text: &str) -> Vec<(&str, &str)> {
    let mut pairs = Vec::new();
    let mut start = 0;
    let mut places = text.match_indices([',', ' ', '\n', '\t']).map(|(place, _)| place).peekable();
    loop {
        let next = places.by_ref().find(|&place| pair_start(text[place + 1..].trim_start()));
        let pair = text[start..next.unwrap_or(text.len())].trim();
        if let Some((key, value)) = pair.split_once('=') {
            pairs.push((key.trim(), value.trim().trim_end_matches(',')));
        }
        match next {
            Some(place) => start = place + 1,
            None => return pairs,
        }
    }
}

/// One YAML document as a JSON value.
fn yaml(text: &str) -> Result<Value, String> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, _) = event.map_err(|error| error.to_string())?;
        builder.take(event)?;
    }
    Ok(builder.answer.unwrap_or(Value::Null))
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    answer: Option<Value>,
}

enum Open {
    List(Vec<Value>),
    Map(Map<String, Value>, Option<String>),
}

impl Builder {
    fn take(&mut self, event: Event<'_>) -> Result<(), String> {
        match event {
            Event::Alias(_) => return Err("aliases (`*name`) are not read here".into()),
            Event::Scalar(text, style, _, _) => {
                let plain = style == ScalarStyle::Plain;
                if let Some(Open::Map(_, key @ None)) = self.open.last_mut() {
                    *key = Some(text.into_owned());
                } else {
                    self.put(if plain { plain_scalar(&text) } else { Value::String(text.into_owned()) });
                }
            }
            Event::SequenceStart(..) | Event::MappingStart(..) if self.wants_key() => {
                return Err("a key must be a plain name".into());
            }
            Event::SequenceStart(..) => self.open.push(Open::List(Vec::new())),
            Event::MappingStart(..) => self.open.push(Open::Map(Map::new(), None)),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open::List(list)) => self.put(Value::Array(list)),
                Some(Open::Map(map, _)) => self.put(Value::Object(map)),
                None => {}
            },
            _ => {}
        }
        Ok(())
    }

    fn wants_key(&self) -> bool {
        matches!(self.open.last(), Some(Open::Map(_, None)))
    }

    fn put(&mut self, value: Value) {
        match self.open.last_mut() {
            None => self.answer = Some(value),
            Some(Open::List(list)) => list.push(value),
            Some(Open::Map(map, key)) => {
                if let Some(key) = key.take() {
                    map.insert(key, value);
                }
            }
        }
    }
}

/// YAML 1.2's core schema, except that hexadecimal and octal numbers and infinities stay texts.
fn plain_scalar(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => {
            if let Ok(whole) = text.parse::<i64>() {
                // A leading zero is a code, not a number: 007 stays as it is.
                let digits = text.trim_start_matches(['-', '+']);
                if digits.len() == 1 || !digits.starts_with('0') {
                    return Value::Number(whole.into());
                }
            } else if text.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first))
                && let Some(number) = text.parse::<f64>().ok().filter(|n| n.is_finite()).and_then(Number::from_f64)
            {
                return Value::Number(number);
            }
            Value::String(text.to_owned())
        }
    }
}
