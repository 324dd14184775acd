//! From the names in a query to the tables of the project.

use thalweg_project::diagnostic::nearest;
use thalweg_project::{Diagnostic, Location, Project, TableName};

use super::{Compiled, DATA_SCHEMA, Node, SYSTEM_SCHEMA, SYSTEM_TABLES, Text};
use crate::query::{Query, Reads, TableReference};

/// Who reads: what may be read depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    Model,
    Test,
    Report,
}

/// What a table reference of a query turned out to be, in the order of [`Query::tables`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resolved {
    /// A node of the graph.
    Node(usize),
    /// One of [`SYSTEM_TABLES`].
    System(usize),
}

/// Every name that can be meant.
pub(super) struct Names<'a> {
    nodes: Vec<Node>,
    full: Vec<String>,
    compiled: std::collections::HashMap<(String, String), usize>,
    schema_prefix: &'a str,
    project: &'a Project,
}

/// A mistake without its place.
pub(super) struct Mistake {
    code: &'static str,
    message: String,
    help: Option<String>,
}

impl Mistake {
    pub(super) fn at(self, location: Location) -> Diagnostic {
        let diagnostic = Diagnostic::error(self.code, self.message, location);
        match self.help {
            Some(help) => diagnostic.with_help(help),
            None => diagnostic,
        }
    }
}

impl<'a> Names<'a> {
    pub(super) fn new(project: &'a Project, compiled: &Compiled) -> Self {
        Self {
            nodes: compiled.nodes.clone(),
            full: compiled.nodes.iter().map(|node| node.id.to_string()).collect(),
            compiled: compiled.by_name.clone(),
            schema_prefix: &project.target.schema_prefix,
            project,
        }
    }

    fn find(&self, schema: &str, name: &str) -> Option<usize> {
        self.compiled.get(&(schema.to_lowercase(), name.to_lowercase())).copied()
    }

    /// The tables of this name in any schema.
    fn named(&self, name: &str) -> Vec<&str> {
        let same = |node: &Node| node.id.name.to_lowercase() == name.to_lowercase();
        self.nodes.iter().zip(&self.full).filter(|(node, _)| same(node)).map(|(_, full)| full.as_str()).collect()
    }

    /// A table that does not exist, with what may be meant. `None` when it is there and its own mistakes are reported already.
    pub(super) fn unknown(&self, what: &str, table: &TableName) -> Option<Mistake> {
        (!self.project.may_have(table)).then(|| self.unknown_to_all(what, table))
    }

    fn unknown_to_all(&self, what: &str, table: &TableName) -> Mistake {
        let message = format!("{what} reads {table}, which is no table of this project");
        let without_prefix = table
            .schema
            .strip_prefix(self.schema_prefix)
            .filter(|rest| !self.schema_prefix.is_empty() && !rest.is_empty());
        if let Some(found) = without_prefix.and_then(|schema| self.find(schema, &table.name)) {
            let help = format!("write `{}`: the target's schema prefix is added by itself", self.full[found]);
            return Mistake { code: "unknown-table", message, help: Some(help) };
        }
        let elsewhere = self.named(&table.name);
        let help = match nearest(&table.to_string(), self.full.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => match elsewhere.as_slice() {
                [one] => format!("did you mean `{one}`?"),
                _ => String::new(),
            },
        };
        let declare =
            format!("a table that this project does not build is declared in thalweg.yml: `external: [{table}]`");
        let help = if help.is_empty() { declare } else { format!("{help} ({declare})") };
        Mistake { code: "unknown-table", message, help: Some(help) }
    }

    fn resolve(
        &self,
        what: &str,
        table: &TableReference,
        query: &Query,
        reader: Reader,
    ) -> Result<Resolved, Option<Mistake>> {
        match table.name.as_slice() {
            [schema, name] => self.two_parts(what, schema, name, reader),
            [name] => Err(Some(self.one_part(what, name, query))),
            parts => {
                let (schema, name) = (&parts[parts.len() - 2], &parts[parts.len() - 1]);
                let help = match self.find(schema, name) {
                    Some(found) => format!("write `{}`", self.full[found]),
                    None => format!("write `{schema}.{name}`: all tables stand in the target's one database"),
                };
                Err(Some(Mistake {
                    code: "table-name",
                    message: format!(
                        "{what} names table {} with {} parts, expected `schema.table`",
                        parts.join("."),
                        parts.len()
                    ),
                    help: Some(help),
                }))
            }
        }
    }

    fn two_parts(&self, what: &str, schema: &str, name: &str, reader: Reader) -> Result<Resolved, Option<Mistake>> {
        if let Some(found) = self.find(schema, name) {
            return Ok(Resolved::Node(found));
        }
        if schema.eq_ignore_ascii_case(DATA_SCHEMA)
            || schema.eq_ignore_ascii_case(&format!("{}{DATA_SCHEMA}", self.schema_prefix))
        {
            return Err(Some(Mistake {
                code: "physical-table",
                message: format!("{what} reads {schema}.{name}, a physical table that only Thalweg may name"),
                help: Some(
                    "read the view in front of it: `store.orders`, or the model's own `schema.table`".to_owned(),
                ),
            }));
        }
        if schema.eq_ignore_ascii_case(SYSTEM_SCHEMA) {
            if reader == Reader::Model {
                return Err(Some(Mistake {
                    code: "system-table",
                    message: format!(
                        "{what} reads {schema}.{name}, which reports and tests may read but models may not"
                    ),
                    help: Some("a model would change with every run: ask for it in `reports/`".to_owned()),
                }));
            }
            if let Some(found) = SYSTEM_TABLES.iter().position(|table| table.eq_ignore_ascii_case(name)) {
                return Ok(Resolved::System(found));
            }
            let known: Vec<String> = SYSTEM_TABLES.iter().map(|table| format!("`{SYSTEM_SCHEMA}.{table}`")).collect();
            return Err(Some(Mistake {
                code: "unknown-table",
                message: format!("{what} reads {schema}.{name}, which is no table of Thalweg"),
                help: Some(format!("these can be read: {}", known.join(", "))),
            }));
        }
        Err(self.unknown(what, &TableName::new(schema, name)))
    }

    fn one_part(&self, what: &str, name: &str, query: &Query) -> Mistake {
        let help = match self.named(name).as_slice() {
            [one] => format!("did you mean `{one}`?"),
            [] => match nearest(name, query.ctes.iter().map(String::as_str)) {
                Some(cte) => format!("did you mean `{cte}`, which stands in WITH?"),
                None => match nearest(name, self.nodes.iter().map(|node| node.id.name.as_str())) {
                    Some(near) => match self.named(near).as_slice() {
                        [one] => format!("did you mean `{one}`?"),
                        _ => "write the schema before it".to_owned(),
                    },
                    None => "write the schema before it, as in `store.orders`".to_owned(),
                },
            },
            several => format!(
                "several tables have that name: {}",
                several.iter().map(|one| format!("`{one}`")).collect::<Vec<_>>().join(", ")
            ),
        };
        Mistake {
            code: "table-name",
            message: format!("{what} reads table `{name}` without its schema, expected `schema.table`"),
            help: Some(help),
        }
    }
}

/// Resolves every table of a query. `None` when one of them is a mistake; every mistake is reported.
pub(super) fn resolve(
    text: &Text<'_>,
    query: &Query,
    names: &Names<'_>,
    reader: Reader,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Vec<Resolved>> {
    let mut resolved = Vec::new();
    for table in &query.tables {
        match names.resolve(&text.what, table, query, reader) {
            Ok(found) => resolved.push(found),
            Err(None) => {}
            Err(Some(mistake)) => {
                let mut diagnostic = text.error(mistake.code, mistake.message, table.span.clone());
                diagnostic.help = mistake.help;
                diagnostics.push(diagnostic);
            }
        }
    }
    let before = diagnostics.len();
    // A report may look where it likes: nothing is kept up to date by what it reads.
    for function in query.functions.iter().filter(|_| reader != Reader::Report) {
        let (problem, help) = match function.reads {
            Reads::Arguments => continue,
            Reads::Files => (
                format!("reads files with `{}`, so that nobody can say when it changes", function.name),
                "declare a source of `type: files` in `sources/` and read its store table",
            ),
            Reads::HiddenTables => (
                format!("calls `{}`, which hides the tables it reads", function.name),
                "write the table's name in FROM; a name that varies can be put there with a template",
            ),
        };
        diagnostics.push(
            text.error("untracked-input", format!("{} {problem}", text.what), function.span.clone()).with_help(help),
        );
    }
    (resolved.len() == query.tables.len() && diagnostics.len() == before).then_some(resolved)
}

/// The nodes among the resolved tables, in order of first mention.
pub(super) fn inputs(resolved: &[Resolved]) -> Vec<usize> {
    let mut inputs = Vec::new();
    for found in resolved {
        if let Resolved::Node(node) = found
            && !inputs.contains(node)
        {
            inputs.push(*node);
        }
    }
    inputs
}
