//! The tree of a YAML file.

use std::ops::Range;

use serde_json::Value;

/// A value of a YAML file and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Bytes of the file it takes.
    pub span: Range<usize>,
    /// What it is.
    pub content: Content,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// A text, number, truth value or null.
    Scalar(Scalar),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order of the file. Keys are unique.
    Map(Vec<Entry>),
}

/// A value that is neither list nor map.
#[derive(Debug, Clone, PartialEq)]
pub struct Scalar {
    /// What it means: a JSON text, number, truth value or null.
    pub value: Value,
    /// The text as written, variables not replaced. This, never `value`, is what a message may show.
    pub text: String,
    /// Whether it was written with quotes or as a block, and is therefore a text whatever it looks like.
    pub quoted: bool,
    /// Whether `value` holds the content of an environment variable. Such a text also counts as the number or truth value it spells.
    pub from_variable: bool,
    /// Whether the variables it names are not known, so that nothing can be said of its value.
    pub unknown: bool,
}

/// A key of a map and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Bytes of the file the key takes.
    pub key_span: Range<usize>,
    /// The value.
    pub value: Node,
}

impl Node {
    /// The value of a key, when this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// Key and value, when this is a map that has the key.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The entries of a map; none for anything else.
    pub fn entries(&self) -> &[Entry] {
        match &self.content {
            Content::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list; none for anything else.
    pub fn items(&self) -> &[Node] {
        match &self.content {
            Content::List(items) => items,
            _ => &[],
        }
    }

    /// The text of a scalar that is one.
    pub fn as_str(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar(scalar) => scalar.value.as_str(),
            _ => None,
        }
    }

    /// What a message may show of a scalar: the text as written.
    pub fn shown(&self) -> &str {
        match &self.content {
            Content::Scalar(scalar) => &scalar.text,
            Content::List(_) => "[...]",
            Content::Map(_) => "{...}",
        }
    }

    /// Whether this is an explicit or implied null.
    pub fn is_null(&self) -> bool {
        matches!(&self.content, Content::Scalar(scalar) if scalar.value.is_null() && !scalar.unknown)
    }

    /// A tree without places of its own, for settings that stand in a template: every node takes `span`.
    pub fn from_json(value: &Value, span: &Range<usize>) -> Self {
        let content = match value {
            Value::Array(items) => Content::List(items.iter().map(|item| Self::from_json(item, span)).collect()),
            Value::Object(map) => Content::Map(
                map.iter()
                    .map(|(key, value)| Entry {
                        key: key.clone(),
                        key_span: span.clone(),
                        value: Self::from_json(value, span),
                    })
                    .collect(),
            ),
            scalar => Content::Scalar(Scalar {
                value: scalar.clone(),
                text: scalar.as_str().map_or_else(|| scalar.to_string(), str::to_owned),
                quoted: scalar.is_string(),
                from_variable: false,
                unknown: false,
            }),
        };
        Self { span: span.clone(), content }
    }
}
