//! Rendering one text, with every mistake in it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value, context};
use serde_json::Map;

use super::relation::Relation;
use super::{functions, macros};
use crate::catalog::Catalog;
use crate::diagnostic::nearest;
use crate::input::InputFile;
use crate::variables::{SHORTEST_SECRET, Variables};
use crate::yaml::{Content, Node};
use crate::{Diagnostic, Location, TableName, Target};

/// One text is rendered again at most so often to find more mistakes.
const MOST_MISTAKES: usize = 50;

/// What templates may ask for.
#[derive(Debug)]
pub struct TemplateContext<'a> {
    /// The tables.
    pub catalog: Catalog,
    /// The project's variables.
    pub vars: BTreeMap<String, serde_json::Value>,
    /// The environment.
    pub variables: Variables,
    /// The chosen target.
    pub target: &'a Target,
}

/// What a function of a template has to complain about.
#[derive(Debug, Clone)]
pub struct Complaint {
    /// Code of the diagnostic.
    pub code: &'static str,
    /// The sentence.
    pub message: String,
    /// What to do.
    pub help: String,
}

/// What the functions of all templates share.
pub struct Shared {
    catalog: RwLock<Catalog>,
    /// The project's variables.
    pub vars: BTreeMap<String, serde_json::Value>,
    /// The environment.
    pub variables: Variables,
    collected: Mutex<Collected>,
    /// Names and contents of the environment variables that any text has seen.
    read: Mutex<BTreeMap<String, String>>,
}

/// What one rendering leaves behind.
#[derive(Default)]
struct Collected {
    config: Map<String, serde_json::Value>,
    incremental: bool,
    depth: usize,
    /// Complaints already reported; the next rendering goes on after them.
    tolerated: BTreeSet<String>,
    pending: Option<(String, Complaint)>,
}

impl Shared {
    /// The tables.
    pub fn catalog(&self) -> RwLockReadGuard<'_, Catalog> {
        self.catalog.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn collected(&self) -> MutexGuard<'_, Collected> {
        self.collected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reports a mistake once; the next time the same call gives `instead`.
    pub fn complain(&self, key: &str, complaint: Complaint, instead: Value) -> Result<Value, Error> {
        let mut collected = self.collected();
        if collected.tolerated.contains(key) {
            return Ok(instead);
        }
        let message = complaint.message.clone();
        collected.pending = Some((key.to_owned(), complaint));
        Err(Error::new(ErrorKind::InvalidOperation, message))
    }

    /// Takes in the settings of `config(...)`.
    pub fn collect(&self, settings: serde_json::Value) {
        if let serde_json::Value::Object(settings) = settings {
            self.collected().config.extend(settings);
        }
    }

    /// Keeps the content of an environment variable out of messages.
    pub fn remember(&self, name: &str, value: &str) {
        if value.len() >= SHORTEST_SECRET {
            self.read.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), value.to_owned());
        }
    }

    /// Notes that `is_incremental()` was called.
    pub fn note_incremental(&self) {
        self.collected().incremental = true;
    }

    /// One call of a macro deeper; `false` where it is too deep.
    pub fn enter(&self, deepest: usize) -> bool {
        let mut collected = self.collected();
        if collected.depth >= deepest {
            return false;
        }
        collected.depth += 1;
        true
    }

    /// Back from a call of a macro.
    pub fn leave(&self) {
        let mut collected = self.collected();
        collected.depth = collected.depth.saturating_sub(1);
    }
}

/// The templates of a project.
pub struct Templates {
    environment: Environment<'static>,
    shared: Arc<Shared>,
    /// Texts of the macro files, for the places of mistakes in them.
    macro_texts: BTreeMap<String, String>,
    macro_names: Vec<String>,
}

/// What a template made.
#[derive(Debug)]
pub struct Rendered {
    /// The SQL.
    pub sql: String,
    /// Whether a template was rendered at all.
    pub templated: bool,
    /// The settings given in `config(...)`, with the places of their keys. Empty when there are none.
    pub config: Node,
}

impl Templates {
    /// Reads the macro files and prepares the functions.
    pub fn new(context: TemplateContext<'_>, macro_files: &[&InputFile], diagnostics: &mut Vec<Diagnostic>) -> Self {
        let shared = Arc::new(Shared {
            catalog: RwLock::new(context.catalog),
            vars: context.vars,
            variables: context.variables,
            collected: Mutex::default(),
            read: Mutex::default(),
        });
        let mut environment = Environment::new();
        environment.set_debug(true);
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        if let Ok(syntax) = SyntaxConfig::builder().keep_trailing_newline(true).build() {
            environment.set_syntax(syntax);
        }
        functions::add(&mut environment, &shared);
        let target = context.target;
        environment.add_global(
            "target",
            context! { name => target.name.as_str(), type => target.connection.kind(), schema_prefix => target.schema_prefix.as_str() },
        );
        let mut templates = Self { environment, shared, macro_texts: BTreeMap::new(), macro_names: Vec::new() };
        let mut declared: BTreeMap<String, String> = BTreeMap::new();
        for file in macro_files {
            templates.macro_texts.insert(file.path.clone(), file.text.clone());
            if let Some(diagnostic) = generic_test(file) {
                diagnostics.push(diagnostic);
                continue;
            }
            if let Err(error) = templates.environment.add_template_owned(file.path.clone(), file.text.clone()) {
                diagnostics.push(templates.explain(&file.path, &file.text, &error));
                continue;
            }
            for (name, at) in macros::declared(&file.text) {
                let location = Location::new(&file.path, at..at + name.len());
                if functions::BUILT_IN.contains(&name.as_str()) {
                    let message = format!("the macro `{name}` has the name of a built-in function");
                    let diagnostic = Diagnostic::error("duplicate-macro", message, location);
                    diagnostics.push(diagnostic.with_help("give the macro another name"));
                } else if let Some(first) = declared.get(&name) {
                    let message = format!("the macro `{name}` stands in `{first}` and in `{}`", file.path);
                    let diagnostic = Diagnostic::error("duplicate-macro", message, location);
                    diagnostics.push(diagnostic.with_help("keep one of the two, or give one another name"));
                } else {
                    macros::expose(&mut templates.environment, &templates.shared, &file.path, &name);
                    declared.insert(name, file.path.clone());
                }
            }
        }
        templates.macro_names = declared.into_keys().collect();
        templates
    }

    /// The tables.
    pub fn catalog(&self) -> RwLockReadGuard<'_, Catalog> {
        self.shared.catalog()
    }

    /// Names and contents of the environment variables that went into texts, as far as they are long enough to be told from other words.
    pub fn variables_read(&self) -> Vec<(String, String)> {
        let read = self.shared.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// Marks a model as left out, so that references to it are mistakes.
    pub fn disable(&self, table: &TableName) {
        self.shared.catalog.write().unwrap_or_else(PoisonError::into_inner).disable(table);
    }

    /// Renders a text. The answer is `None` where it could not be rendered to the end.
    pub fn render(&self, file: &InputFile, this: Option<&TableName>) -> (Option<Rendered>, Vec<Diagnostic>) {
        let text = &file.text;
        let nothing = Node { span: 0..0, content: Content::Map(Vec::new()) };
        if !["{{", "{%", "{#"].iter().any(|mark| text.contains(mark)) {
            return (Some(Rendered { sql: text.clone(), templated: false, config: nothing }), Vec::new());
        }
        if let Some(diagnostic) = generic_test(file) {
            return (None, vec![diagnostic]);
        }
        let mut diagnostics = Vec::new();
        *self.shared.collected() = Collected::default();
        let this = this.map(|table| Relation::value(table.clone())).unwrap_or_default();
        let sql = loop {
            {
                let mut collected = self.shared.collected();
                collected.config = Map::new();
                collected.depth = 0;
                collected.pending = None;
            }
            let answer = self.environment.render_named_str(&file.path, text, context! { this => this.clone() });
            let error = match answer {
                Ok(sql) => break Some(sql),
                Err(error) => error,
            };
            let mut diagnostic = self.explain(&file.path, text, &error);
            let pending = self.shared.collected().pending.take();
            let goes_on = match pending {
                Some((key, complaint)) => {
                    diagnostic.code = complaint.code;
                    diagnostic.message = complaint.message;
                    diagnostic.label = None;
                    diagnostic.help = Some(complaint.help);
                    self.shared.collected().tolerated.insert(key)
                }
                None => false,
            };
            diagnostics.push(diagnostic);
            if !goes_on || diagnostics.len() >= MOST_MISTAKES {
                break None;
            }
        };
        let collected = std::mem::take(&mut *self.shared.collected());
        if collected.incremental {
            let span = call_of(text, "is_incremental").unwrap_or(0..0);
            let message = format!("`{}` asks `is_incremental()`, which is always false here", file.path);
            let diagnostic = Diagnostic::warning("is-incremental", message, Location::new(&file.path, span));
            diagnostics.push(
                diagnostic.with_help(
                    "write the plain SELECT over everything: Thalweg works out the incremental refresh itself",
                ),
            );
        }
        // A text with unknown names is of no use, but its settings are.
        let sql =
            if diagnostics.iter().any(|diagnostic| diagnostic.severity == crate::Severity::Error) { None } else { sql };
        let rendered = sql.map(|sql| Rendered { sql, templated: true, config: config_node(text, collected.config) });
        (rendered, diagnostics)
    }

    /// The settings in a text's `config(...)`, whatever else is wrong with it.
    pub fn config_of(&self, file: &InputFile) -> Map<String, serde_json::Value> {
        *self.shared.collected() = Collected::default();
        // The answer does not matter: `config` comes first in a file, and mistakes are reported when the text is rendered in earnest.
        let _ = self.environment.render_named_str(&file.path, &file.text, context! { this => "" });
        std::mem::take(&mut self.shared.collected().config)
    }

    /// A diagnostic from an error of the template engine.
    fn explain(&self, file: &str, text: &str, error: &Error) -> Diagnostic {
        let at_file = error.name().filter(|name| *name == file || self.macro_texts.contains_key(*name)).unwrap_or(file);
        let at_text = if at_file == file { text } else { self.macro_texts.get(at_file).map_or("", String::as_str) };
        let span = error.range().filter(|range| at_text.get(range.clone()).is_some()).unwrap_or_else(|| {
            let line = error.line().unwrap_or(1);
            line_span(at_text, line)
        });
        let marked = at_text.get(span.clone()).unwrap_or_default();
        let detail = match (error.kind(), error.detail()) {
            (ErrorKind::UndefinedError, None | Some("undefined value")) => format!("`{marked}` is undefined"),
            (ErrorKind::UnknownFunction, _) => {
                format!("no function or macro is called `{}`", marked.split('(').next().unwrap_or(marked).trim())
            }
            (kind, detail) => detail.map_or_else(|| kind.to_string(), str::to_owned),
        };
        let place = if at_file == file { String::new() } else { format!(", in `{at_file}`") };
        let message = format!("the template of `{file}` cannot be rendered{place}: {detail}");
        let mut diagnostic =
            Diagnostic::error(template_code(error.kind()), message, Location::new(at_file, span.clone()));
        if matches!(error.kind(), ErrorKind::UnknownFunction | ErrorKind::UndefinedError) {
            let word: String =
                marked.trim_start().chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            let names = functions::BUILT_IN.iter().copied().chain(self.macro_names.iter().map(String::as_str));
            diagnostic.help =
                nearest(&word, names.filter(|name| *name != word)).map(|near| format!("did you mean `{near}`?"));
            if error.kind() == ErrorKind::UnknownFunction && diagnostic.help.is_none() {
                diagnostic.help = Some("write the macro in a file below `macros/`".to_owned());
            }
        }
        diagnostic
    }
}

fn template_code(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::SyntaxError => "template-syntax",
        ErrorKind::UndefinedError | ErrorKind::UnknownFunction | ErrorKind::UnknownFilter | ErrorKind::UnknownTest => {
            "template-unknown-name"
        }
        _ => "template-error",
    }
}

/// dbt's own kinds of blocks that minijinja would call a syntax error.
fn generic_test(file: &InputFile) -> Option<Diagnostic> {
    let at = file.text.match_indices("{%").find_map(|(at, _)| {
        let rest = file.text[at + 2..].trim_start_matches(['-', '+']).trim_start();
        let word: String = rest.chars().take_while(char::is_ascii_alphabetic).collect();
        let is_block = matches!(word.as_str(), "test" | "snapshot" | "materialization" | "data_test");
        is_block.then(|| (word.clone(), file.text.len() - rest.len()))
    });
    let (word, at) = at?;
    let message = format!("`{}` holds a dbt `{word}` block, which is not supported", file.path);
    let diagnostic = Diagnostic::error("unsupported-block", message, Location::new(&file.path, at..at + word.len()));
    Some(diagnostic.with_help(match word.as_str() {
        "test" | "data_test" => "write a SELECT that must return no rows in `tests/`, or use `expression_is_true`",
        _ => "remove it: stores keep keyed current rows, and models are refreshed incrementally without it",
    }))
}

fn line_span(text: &str, line: usize) -> Range<usize> {
    let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let length = text[start..].find('\n').unwrap_or(text.len() - start);
    start..start + length
}

/// Where a function is called: the span of its name.
fn call_of(text: &str, function: &str) -> Option<Range<usize>> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    text.match_indices(function)
        .map(|(at, name)| at..at + name.len())
        .find(|span| !text[..span.start].ends_with(is_name) && text[span.end..].trim_start().starts_with('('))
}

/// The settings of `config(...)` as a tree with the places of the keys.
fn config_node(text: &str, config: Map<String, serde_json::Value>) -> Node {
    let call = call_of(text, "config").unwrap_or(0..0);
    let mut node = Node::from_json(&serde_json::Value::Object(config), &call);
    if let Content::Map(entries) = &mut node.content {
        for entry in entries {
            let place = text[call.end..]
                .match_indices(&entry.key)
                .map(|(at, key)| call.end + at..call.end + at + key.len())
                .find(|span| {
                    let before = text[..span.start].chars().next_back();
                    let after = text[span.end..].trim_start().chars().next();
                    !before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_')
                        && matches!(after, Some('=' | '\'' | '"' | ':'))
                });
            if let Some(place) = place {
                entry.key_span = place.clone();
                entry.value = Node::from_json(&json_of(&entry.value), &place);
            }
        }
    }
    node
}

fn json_of(node: &Node) -> serde_json::Value {
    match &node.content {
        Content::Scalar(scalar) => scalar.value.clone(),
        Content::List(items) => items.iter().map(json_of).collect(),
        Content::Map(entries) => entries.iter().map(|entry| (entry.key.clone(), json_of(&entry.value))).collect(),
    }
}
