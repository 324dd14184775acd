//! From the text of a YAML file to its tree.

use std::collections::HashMap;
use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};
use serde_json::Value;

use super::{Content, Entry, Node, Scalar};
use crate::{Diagnostic, Location};

/// Deeper nesting than this is a mistake, and would exhaust the stack of whoever walks the tree.
const DEEPEST: usize = 64;

/// More nodes than this come from aliases of aliases ("billion laughs"), not from a person.
const MOST_NODES: usize = 200_000;

/// Reads one YAML file.
///
/// The tree is `None` where the text is not YAML. Keys that stand twice in a map are reported and the first one is kept. An empty
/// file is an empty map.
pub fn parse(file: &str, text: &str) -> (Option<Node>, Vec<Diagnostic>) {
    let mut builder = Builder::new(file, text);
    match builder.build() {
        Ok(root) => (Some(root), builder.diagnostics),
        Err(diagnostic) => {
            builder.diagnostics.push(*diagnostic);
            (None, builder.diagnostics)
        }
    }
}

type Stopped = Box<Diagnostic>;

/// A collection whose end has not come yet.
struct Open {
    start: usize,
    end: usize,
    anchor: usize,
    kind: OpenKind,
}

enum OpenKind {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, key: Option<(String, Range<usize>)> },
}

struct Builder<'a> {
    file: &'a str,
    text: &'a str,
    /// Byte offset of each character, for texts that are not ASCII: the parser counts in characters.
    offsets: Option<Vec<usize>>,
    diagnostics: Vec<Diagnostic>,
    anchors: HashMap<usize, Node>,
    open: Vec<Open>,
    root: Option<Node>,
    nodes: usize,
}

impl<'a> Builder<'a> {
    fn new(file: &'a str, text: &'a str) -> Self {
        let offsets = (!text.is_ascii()).then(|| text.char_indices().map(|(offset, _)| offset).collect());
        Self {
            file,
            text,
            offsets,
            diagnostics: Vec::new(),
            anchors: HashMap::new(),
            open: Vec::new(),
            root: None,
            nodes: 0,
        }
    }

    fn byte(&self, character: usize) -> usize {
        match &self.offsets {
            Some(offsets) => offsets.get(character).copied().unwrap_or(self.text.len()),
            None => character.min(self.text.len()),
        }
    }

    fn range(&self, span: Span) -> Range<usize> {
        let start = self.byte(span.start.index());
        start..self.byte(span.end.index()).max(start)
    }

    fn location(&self, span: Range<usize>) -> Location {
        Location::new(self.file, span)
    }

    fn error(&self, code: &'static str, message: impl Into<String>, span: Range<usize>) -> Diagnostic {
        Diagnostic::error(code, message, self.location(span))
    }

    fn build(&mut self) -> Result<Node, Stopped> {
        let mut documents = 0;
        let mut parser = Parser::new_from_str(self.text);
        while let Some(event) = parser.next_event() {
            let (event, span) = event.map_err(|error| {
                let at = self.byte(error.marker().index());
                Box::new(
                    self.error("yaml-syntax", format!("`{}` is not valid YAML: {}", self.file, error.info()), at..at)
                        .with_label("the reader stopped here")
                        .with_help("check indentation, quotes and brackets here and in the lines above"),
                )
            })?;
            let range = self.range(span);
            match event {
                Event::DocumentStart(_) => {
                    documents += 1;
                    if documents > 1 {
                        let message = format!("`{}` holds more than one YAML document", self.file);
                        return Err(Box::new(
                            self.error("yaml-documents", message, range)
                                .with_help("remove the `---` or split the file"),
                        ));
                    }
                }
                Event::Scalar(value, style, anchor, tag) => {
                    let node = self.scalar(&value, style, tag.as_deref(), range);
                    self.finish(node, anchor)?;
                }
                Event::SequenceStart(anchor, tag) => {
                    self.refuse_tag(tag.as_deref(), &range);
                    self.push(OpenKind::List(Vec::new()), range, anchor)?;
                }
                Event::MappingStart(anchor, tag) => {
                    self.refuse_tag(tag.as_deref(), &range);
                    self.push(OpenKind::Map { entries: Vec::new(), key: None }, range, anchor)?;
                }
                Event::SequenceEnd | Event::MappingEnd => self.close(range)?,
                Event::Alias(anchor) => self.alias(anchor, range)?,
                Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            }
        }
        let empty = Node { span: 0..0, content: Content::Map(Vec::new()) };
        Ok(self.root.take().filter(|root| !root.is_null()).unwrap_or(empty))
    }

    fn push(&mut self, kind: OpenKind, range: Range<usize>, anchor: usize) -> Result<(), Stopped> {
        if self.open.len() >= DEEPEST {
            let message = format!("`{}` is nested more than {DEEPEST} levels deep", self.file);
            return Err(Box::new(self.error("yaml-too-deep", message, range)));
        }
        self.open.push(Open { start: range.start, end: range.end, anchor, kind });
        Ok(())
    }

    fn close(&mut self, range: Range<usize>) -> Result<(), Stopped> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        // The end event of a block collection stands where the next thing begins; the last child's end is the true end.
        let end = if range.is_empty() { open.end } else { range.end };
        let end = open.start + self.text.get(open.start..end).map_or(0, |text| text.trim_end().len());
        let content = match open.kind {
            OpenKind::List(items) => Content::List(items),
            OpenKind::Map { entries, .. } => Content::Map(self.merged(entries)),
        };
        self.finish(Node { span: open.start..end.max(open.start), content }, open.anchor)
    }

    /// Hands a complete node to the collection it stands in.
    fn finish(&mut self, node: Node, anchor: usize) -> Result<(), Stopped> {
        self.nodes += 1;
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        open.end = open.end.max(node.span.end);
        match &mut open.kind {
            OpenKind::List(items) => items.push(node),
            OpenKind::Map { entries, key } => match key.take() {
                None => match node.content {
                    Content::Scalar(scalar) => *key = Some((scalar.text, node.span)),
                    _ => {
                        let message = "a key must be a plain word, not a list or a map";
                        return Err(Box::new(
                            self.error("yaml-key", message, node.span)
                                .with_help("put a value that begins with `{` or `[` in quotes"),
                        ));
                    }
                },
                Some((key, key_span)) => {
                    let first = entries.iter().find(|entry| entry.key == key).map(|entry| entry.key_span.clone());
                    match first {
                        Some(first) if key != "<<" => {
                            let line = 1 + self.text[..first.start].matches('\n').count();
                            let diagnostic = self
                                .error("duplicate-key", format!("the key `{key}` stands twice in one map"), key_span)
                                .with_label(format!("first in line {line}"))
                                .with_help("keep one of the two");
                            self.diagnostics.push(diagnostic);
                        }
                        _ => entries.push(Entry { key, key_span, value: node }),
                    }
                }
            },
        }
        Ok(())
    }

    fn alias(&mut self, anchor: usize, range: Range<usize>) -> Result<(), Stopped> {
        let Some(mut node) = self.anchors.get(&anchor).cloned() else {
            let message = "an alias refers to an anchor that is not complete here";
            return Err(Box::new(self.error("yaml-alias", message, range)));
        };
        self.nodes += count(&node);
        if self.nodes > MOST_NODES {
            let message = format!("the aliases of `{}` unfold to more than {MOST_NODES} values", self.file);
            return Err(Box::new(self.error("yaml-alias", message, range)));
        }
        node.span = range;
        self.finish(node, 0)
    }

    /// Applies merge keys: `<<: *defaults` gives the keys of another map that this one does not set itself.
    fn merged(&mut self, entries: Vec<Entry>) -> Vec<Entry> {
        if entries.iter().all(|entry| entry.key != "<<") {
            return entries;
        }
        let (merges, mut own): (Vec<_>, Vec<_>) = entries.into_iter().partition(|entry| entry.key == "<<");
        for merge in merges {
            let maps = match merge.value.content {
                Content::List(items) => items,
                content => vec![Node { span: merge.value.span, content }],
            };
            for map in maps {
                let Content::Map(inherited) = map.content else {
                    let diagnostic = self
                        .error("yaml-merge", "the merge key `<<` expects a map or a list of maps", map.span)
                        .with_help("refer to an anchored map: `<<: *defaults`");
                    self.diagnostics.push(diagnostic);
                    continue;
                };
                for entry in inherited {
                    if own.iter().all(|existing| existing.key != entry.key) {
                        own.push(entry);
                    }
                }
            }
        }
        own
    }

    fn refuse_tag(&mut self, tag: Option<&Tag>, range: &Range<usize>) {
        if let Some(tag) = tag
            && !tag.is_yaml_core_schema()
        {
            let diagnostic = self
                .error("yaml-tag", format!("the YAML tag `{tag}` has no meaning here"), range.clone())
                .with_help("remove the tag, or put the text in quotes");
            self.diagnostics.push(diagnostic);
        }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>, range: Range<usize>) -> Node {
        self.refuse_tag(tag, &range);
        let is_text_tag = tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
        let quoted = style != ScalarStyle::Plain || is_text_tag;
        let value = if quoted { Value::String(text.to_owned()) } else { resolve(text) };
        let scalar = Scalar { value, text: text.to_owned(), quoted, from_variable: false, unknown: false };
        // A block scalar's span ends with its line end.
        let end = range.start + self.text[range.clone()].trim_end().len();
        Node { span: range.start..end, content: Content::Scalar(scalar) }
    }
}

fn count(node: &Node) -> usize {
    let children: usize = match &node.content {
        Content::Scalar(_) => 0,
        Content::List(items) => items.iter().map(count).sum(),
        Content::Map(entries) => entries.iter().map(|entry| count(&entry.value)).sum(),
    };
    1 + children
}

/// The value of a plain scalar by the core schema of YAML 1.2, except that a number with leading zeros stays a text: it is a
/// postcode or an article number.
fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let number_like = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && digits.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-'));
    let leading_zero = digits.len() > 1 && digits.starts_with('0') && digits.as_bytes()[1].is_ascii_digit();
    if !number_like || leading_zero {
        return Value::String(text.to_owned());
    }
    if let Ok(number) = text.parse::<i64>() {
        return Value::from(number);
    }
    if let Ok(number) = text.parse::<u64>() {
        return Value::from(number);
    }
    match text.parse::<f64>() {
        // A whole number too large for 64 bits stays a text, exact.
        Ok(number) if number.is_finite() && digits.contains(['.', 'e', 'E']) => Value::from(number),
        _ => Value::String(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str) -> Node {
        let (node, diagnostics) = parse("x.yml", text);
        assert_eq!(diagnostics, [], "{text}");
        node.expect("valid")
    }

    #[test]
    fn spans_count_bytes_even_where_the_parser_counts_characters() {
        let text = "größe: 1\nname: 'Ä b'\nlist:\n  - x\n  - y\nend: 2\n";
        let node = tree(text);
        let name = node.get("name").expect("name");
        assert_eq!(&text[name.span.clone()], "'Ä b'");
        assert_eq!(&text[node.entry("end").expect("end").key_span.clone()], "end");
        assert_eq!(&text[node.get("list").expect("list").span.clone()], "- x\n  - y");
    }

    #[test]
    fn plain_scalars_have_the_types_of_yaml_1_2() {
        for (text, value) in [
            ("1", Value::from(1)),
            ("-1.5", Value::from(-1.5)),
            ("007", Value::from("007")),
            ("yes", Value::from("yes")),
            ("true", Value::from(true)),
            ("~", Value::Null),
            ("1.2.3", Value::from("1.2.3")),
            ("2026-01-01", Value::from("2026-01-01")),
            ("123456789012345678901", Value::from("123456789012345678901")),
        ] {
            assert_eq!(resolve(text), value, "{text}");
        }
    }

    #[test]
    fn aliases_and_merge_keys_work() {
        let node = tree("a: &d { x: 1, y: 2 }\nb: { <<: *d, y: 3 }\nc: *d\n");
        let b = node.get("b").expect("b");
        assert_eq!(b.get("x").expect("x").shown(), "1");
        assert_eq!(b.get("y").expect("y").shown(), "3");
        assert_eq!(node.get("c").expect("c").get("y").expect("y").shown(), "2");
    }

    #[test]
    fn laughs_and_depth_are_refused() {
        let mut laughs = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for level in 1..9 {
            let previous = format!("*a{}", level - 1);
            laughs += &format!("a{level}: &a{level} [{}]\n", [previous.as_str(); 10].join(","));
        }
        assert_eq!(parse("x.yml", &laughs).1[0].code, "yaml-alias");
        assert_eq!(parse("x.yml", &"[".repeat(100)).1[0].code, "yaml-too-deep");
    }
}
