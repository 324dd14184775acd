//! Which table is made from which: every model, test and report read, every name resolved.

mod cycle;
mod resolve;
mod rewrite;

use std::collections::HashMap;

use thalweg_project::{Diagnostic, Location, Materialized, Project, TableName, TestKind};

use crate::dialect::{Dialect, dialect_of};
use crate::parser::{parse_expression, parse_select};
use crate::query::{Query, SqlError};
use resolve::{Names, Reader, Resolved};
use rewrite::Views;

/// The schema of the ledger, whose [`SYSTEM_TABLES`] reports and tests may read.
pub const SYSTEM_SCHEMA: &str = "thalweg";
/// The schema of the physical tables, which nobody reads by name.
pub const DATA_SCHEMA: &str = "thalweg_data";
/// Tables of the ledger that reports and tests may read.
pub const SYSTEM_TABLES: &[&str] = &["rejects", "runs"];

/// Bytes of the longest text that is looked at for an incremental refresh: views over views that are used several times double it at
/// each level.
const LONGEST_REFRESH_TEXT: usize = 1 << 20;

/// A table of the project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its logical name.
    pub id: TableName,
    /// What it is.
    pub kind: NodeKind,
    /// Nodes it reads, in order of first mention, each once.
    pub inputs: Vec<usize>,
}

/// What a node is. The numbers are indices into the [`Project`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeKind {
    /// A store table: index of the source and of its stream.
    Stream(usize, usize),
    /// Index into `project.seeds`.
    Seed(usize),
    /// Index into `project.models`.
    Model(usize),
    /// Index into `project.external`.
    External(usize),
}

/// The tables of a project and what reads them.
///
/// Usable as a whole only when no diagnostic is an error; until then the missing parts are empty.
#[derive(Debug, Clone, Default)]
pub struct Compiled {
    /// Store tables, seeds, models, external tables, each group in the project's order.
    pub nodes: Vec<Node>,
    /// All nodes, inputs before readers; the same for the same project.
    pub order: Vec<usize>,
    /// For each node, the nodes that read it, in ascending order.
    pub readers: Vec<Vec<usize>>,
    /// For each of `project.tests`, what it reads and its SQL.
    pub tests: Vec<CompiledTest>,
    /// For each of `project.reports`, the nodes it reads.
    pub report_inputs: Vec<Vec<usize>>,
    by_name: HashMap<(String, String), usize>,
    /// For each node the facts of a model that could be read.
    queries: Vec<Option<Query>>,
    model_sql: Vec<Option<String>>,
    refresh_sql: Vec<Option<String>>,
    all_rows_sql: Vec<Option<String>>,
    report_sql: Vec<Option<String>>,
}

/// What a test reads, and its SQL with published names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CompiledTest {
    /// The tested table first, if there is one.
    pub inputs: Vec<usize>,
    /// The query of a test in `tests/`, or the expression of `expression_is_true`.
    pub sql: Option<String>,
    /// `DataTest::filter`.
    pub filter: Option<String>,
}

impl Compiled {
    /// The node of a table, whatever the case of its name.
    pub fn node(&self, table: &TableName) -> Option<usize> {
        self.by_name.get(&folded(table)).copied()
    }

    /// The facts of a model's query. `None` for what is no model, and for a model with a mistake.
    pub fn query(&self, node: usize) -> Option<&Query> {
        self.queries.get(node)?.as_ref()
    }

    /// A model's query for the engine: ephemeral models put in their places, tables under their published names with the target's
    /// schema prefix, without a final semicolon. `None` for what is no model, and for a model with a mistake.
    pub fn compiled_sql(&self, node: usize) -> Option<&str> {
        self.model_sql.get(node)?.as_deref()
    }

    /// The text that a model's incremental refresh works on: as [`Compiled::compiled_sql`], with views put in their places, too, so that
    /// every table it names is a stored one. Its tables are those of [`Compiled::refresh_inputs`]. `None` also where that is
    /// too long.
    pub fn refresh_sql(&self, node: usize) -> Option<&str> {
        self.refresh_sql.get(node)?.as_deref()
    }

    /// A model's query as [`Compiled::compiled_sql`] without the condition that `retention:` is; `None` for a model without one.
    pub fn all_rows_sql(&self, node: usize) -> Option<&str> {
        self.all_rows_sql.get(node)?.as_deref()
    }

    /// [`Compiled::compiled_sql`] for a report, by its index in `project.reports`.
    pub fn report_sql(&self, report: usize) -> Option<&str> {
        self.report_sql.get(report)?.as_deref()
    }

    /// The tables a node's query reads once ephemeral models stand in their places, ascending. Views are not looked through.
    pub fn stored_inputs(&self, project: &Project, node: usize) -> Vec<usize> {
        self.inputs_through(node, |node| materialized(project, node) == Some(Materialized::Ephemeral))
    }

    /// The tables that [`Compiled::refresh_sql`] names, ascending: those the query reads once ephemeral models and views stand in their
    /// places.
    pub fn refresh_inputs(&self, project: &Project, node: usize) -> Vec<usize> {
        let inlined = [Some(Materialized::Ephemeral), Some(Materialized::View)];
        self.inputs_through(node, |node| inlined.contains(&materialized(project, node)))
    }

    fn inputs_through(&self, node: usize, inlined: impl Fn(&Node) -> bool) -> Vec<usize> {
        let mut found = std::collections::BTreeSet::new();
        let mut seen = std::collections::BTreeSet::new();
        let mut waiting = self.nodes.get(node).map(|node| node.inputs.clone()).unwrap_or_default();
        while let Some(input) = waiting.pop() {
            if !seen.insert(input) {
                continue;
            }
            if inlined(&self.nodes[input]) {
                waiting.extend(&self.nodes[input].inputs);
            } else {
                found.insert(input);
            }
        }
        found.into_iter().collect()
    }
}

/// Reads every model, test and report of a project. Answers with every mistake, not only the first.
pub fn compile(project: &Project) -> (Compiled, Vec<Diagnostic>) {
    let dialect = dialect_of(&project.target.connection);
    let mut compiled = Compiled::default();
    let mut diagnostics = Vec::new();
    collect_nodes(project, &mut compiled, &mut diagnostics);
    let names = Names::new(project, &compiled);

    let mut resolved: Vec<Option<Vec<Resolved>>> = vec![None; compiled.nodes.len()];
    compiled.queries = vec![None; compiled.nodes.len()];
    for (node, tables_of_node) in resolved.iter_mut().enumerate() {
        let NodeKind::Model(index) = compiled.nodes[node].kind else { continue };
        let model = &project.models[index];
        let text = Text {
            file: &model.file,
            sql: &model.sql,
            templated: model.templated,
            what: format!("model {}", model.table),
        };
        let Some((query, tables)) = read(&text, &names, Reader::Model, dialect, &mut diagnostics) else { continue };
        compiled.nodes[node].inputs = resolve::inputs(&tables);
        compiled.queries[node] = Some(query);
        *tables_of_node = Some(tables);
    }
    compiled.readers = vec![Vec::new(); compiled.nodes.len()];
    for node in 0..compiled.nodes.len() {
        for input in compiled.nodes[node].inputs.clone() {
            compiled.readers[input].push(node);
        }
    }
    let (order, cycles) = cycle::order(&compiled.nodes);
    compiled.order = order;
    for path in &cycles {
        diagnostics.push(cycle::diagnostic(project, &compiled, &resolved, path));
    }

    let nodes = compiled.nodes.clone();
    let queries = std::mem::take(&mut compiled.queries);
    let rewriter = rewrite::Rewriter { project, dialect, nodes: &nodes, queries: &queries, resolved: &resolved };
    let mut model_sql = vec![None; compiled.nodes.len()];
    let mut refresh_sql = vec![None; compiled.nodes.len()];
    let mut all_rows_sql = vec![None; compiled.nodes.len()];
    // Inputs first, so that an ephemeral model's SQL is there when it is wanted. What lies on a cycle has none.
    for &node in compiled.order.iter().filter(|node| !cycles.iter().flatten().any(|on| on == *node)) {
        let texts = || {
            let named = rewriter.model(node, Views::Named, &model_sql)?;
            let inlined = rewriter.model(node, Views::Inlined, &refresh_sql)?;
            let (all, named) = with_retention(&rewriter, node, named)?;
            Ok((all, named, with_retention(&rewriter, node, inlined)?.1))
        };
        match texts() {
            Ok((all, named, inlined)) => {
                all_rows_sql[node] = all;
                model_sql[node] = named;
                refresh_sql[node] = inlined.filter(|text| text.len() <= LONGEST_REFRESH_TEXT);
            }
            Err(error) => diagnostics.push(invalid_name(
                &compiled.nodes[node].id.to_string(),
                &error,
                node_location(project, &compiled.nodes[node]),
            )),
        }
    }
    compile_tests(project, &names, &mut compiled, &rewriter, &model_sql, &mut diagnostics);
    for report in &project.reports {
        let text = Text {
            file: &report.file,
            sql: &report.sql,
            templated: report.templated,
            what: format!("report {}", report.name),
        };
        let (inputs, sql) = match read(&text, &names, Reader::Report, dialect, &mut diagnostics) {
            Some((query, tables)) => {
                let sql = rewriter.text(&report.sql, &query, &tables, &model_sql);
                (resolve::inputs(&tables), or_report(sql, &text.what, Location::file(&report.file), &mut diagnostics))
            }
            None => (Vec::new(), None),
        };
        compiled.report_inputs.push(inputs);
        compiled.report_sql.push(sql.flatten());
    }
    compiled.model_sql = model_sql;
    compiled.refresh_sql = refresh_sql;
    compiled.all_rows_sql = all_rows_sql;
    compiled.queries = queries;
    diagnostics.sort_by(|left, right| {
        (&left.location.file, left.location.span.start).cmp(&(&right.location.file, right.location.span.start))
    });
    (compiled, diagnostics)
}

/// A model's text without the condition of its retention, where it has one, and with it.
fn with_retention(
    rewriter: &rewrite::Rewriter<'_>,
    node: usize,
    text: Option<String>,
) -> Result<(Option<String>, Option<String>), crate::splice::SpliceError> {
    let Some(text) = text else { return Ok((None, None)) };
    Ok(match rewriter.without_old_rows(node, &text)? {
        Some(kept) => (Some(text), Some(kept)),
        None => (None, Some(text)),
    })
}

fn collect_nodes(project: &Project, compiled: &mut Compiled, diagnostics: &mut Vec<Diagnostic>) {
    let streams = project.sources.iter().enumerate().flat_map(|(source, declared)| {
        declared.streams.iter().enumerate().map(move |(stream, found)| (&found.table, NodeKind::Stream(source, stream)))
    });
    let seeds = project.seeds.iter().enumerate().map(|(index, seed)| (&seed.table, NodeKind::Seed(index)));
    let models = project.models.iter().enumerate().map(|(index, model)| (&model.table, NodeKind::Model(index)));
    let external = project.external.iter().enumerate().map(|(index, (table, _))| (table, NodeKind::External(index)));
    for (table, kind) in streams.chain(seeds).chain(models).chain(external) {
        let index = compiled.nodes.len();
        let node = Node { id: table.clone(), kind, inputs: Vec::new() };
        match compiled.by_name.get(&folded(table)) {
            None => {
                compiled.by_name.insert(folded(table), index);
            }
            // Names that are equal letter by letter are the project reader's business.
            Some(&first) if compiled.nodes[first].id == *table => {}
            Some(&first) => diagnostics.push(
                Diagnostic::error(
                    "duplicate-table",
                    format!("table {table} differs from {} only in upper and lower case", compiled.nodes[first].id),
                    node_location(project, &node),
                )
                .with_help("rename one of them: SQL does not tell them apart"),
            ),
        }
        compiled.nodes.push(node);
    }
}

/// One text with SQL, and what to call it.
struct Text<'a> {
    file: &'a str,
    sql: &'a str,
    templated: bool,
    what: String,
}

impl Text<'_> {
    fn error(&self, code: &'static str, message: String, span: std::ops::Range<usize>) -> Diagnostic {
        let mut diagnostic = Diagnostic::error(code, message, Location::new(self.file, span));
        diagnostic.rendered = self.templated.then(|| self.sql.to_owned());
        diagnostic
    }
}

/// Reads a query and resolves its tables. `None` when anything is wrong with it, which is then reported.
fn read(
    text: &Text<'_>,
    names: &Names<'_>,
    reader: Reader,
    dialect: &dyn Dialect,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<(Query, Vec<Resolved>)> {
    match parse_select(text.sql, dialect) {
        Ok(query) => {
            let tables = resolve::resolve(text, &query, names, reader, diagnostics)?;
            Some((query, tables))
        }
        Err(error) => {
            diagnostics.push(syntax_error(text, error));
            None
        }
    }
}

fn syntax_error(text: &Text<'_>, error: SqlError) -> Diagnostic {
    text.error("sql-syntax", format!("{}: {}", text.what, error.message), error.span).with_label("here")
}

#[derive(Clone, Copy, PartialEq)]
enum Piece {
    Query,
    Expression,
}

fn compile_tests(
    project: &Project,
    names: &Names<'_>,
    compiled: &mut Compiled,
    rewriter: &rewrite::Rewriter<'_>,
    model_sql: &[Option<String>],
    diagnostics: &mut Vec<Diagnostic>,
) {
    for test in &project.tests {
        let what = format!("test {}", test.name);
        let mut result = CompiledTest::default();
        let mut mentioned: Vec<&TableName> = test.table.iter().collect();
        if let TestKind::Relationships { to, .. } = &test.kind {
            mentioned.push(to);
        }
        for table in mentioned {
            match compiled.node(table) {
                Some(node) if !result.inputs.contains(&node) => result.inputs.push(node),
                Some(_) => {}
                None => {
                    diagnostics.extend(names.unknown(&what, table).map(|mistake| mistake.at(test.location.clone())))
                }
            }
        }
        let mut piece = |sql: &str, kind: Piece, part: &str| -> Option<String> {
            let text = Text { file: &test.location.file, sql, templated: true, what: format!("{what}{part}") };
            let mut found = Vec::new();
            let parsed = match kind {
                Piece::Query => parse_select(sql, rewriter.dialect),
                Piece::Expression => parse_expression(sql, rewriter.dialect),
            };
            let compiled = match parsed {
                Ok(query) => resolve::resolve(&text, &query, names, Reader::Test, &mut found).and_then(|tables| {
                    for input in resolve::inputs(&tables) {
                        if !result.inputs.contains(&input) {
                            result.inputs.push(input);
                        }
                    }
                    let sql = rewriter.text(sql, &query, &tables, model_sql);
                    or_report(sql, &what, test.location.clone(), &mut found).flatten()
                }),
                Err(error) => {
                    found.push(syntax_error(&text, error));
                    None
                }
            };
            // A piece of SQL in YAML has no places of its own in the file; that of the test leads to it.
            if kind == Piece::Expression {
                for diagnostic in &mut found {
                    diagnostic.location = test.location.clone();
                    diagnostic.rendered = None;
                    diagnostic.label = None;
                }
            }
            diagnostics.append(&mut found);
            compiled
        };
        let sql = match &test.kind {
            TestKind::Sql { sql } => piece(sql, Piece::Query, ""),
            TestKind::ExpressionIsTrue { expression, column: None } => {
                piece(expression, Piece::Expression, ", expression")
            }
            // What stands after a column is no expression: a column is put before it for the parser and taken away again.
            TestKind::ExpressionIsTrue { expression, column: Some(_) } => {
                piece(&format!("x {expression}"), Piece::Expression, ", expression")
                    .and_then(|sql| sql.strip_prefix("x ").map(str::to_owned))
            }
            _ => None,
        };
        let filter = test.filter.as_ref().and_then(|filter| piece(filter, Piece::Expression, ", where"));
        result.sql = sql;
        result.filter = filter;
        compiled.tests.push(result);
    }
}

fn or_report<T>(
    result: Result<T, crate::splice::SpliceError>,
    what: &str,
    location: Location,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<T> {
    result.map_err(|error| diagnostics.push(invalid_name(what, &error, location))).ok()
}

fn invalid_name(what: &str, error: &crate::splice::SpliceError, location: Location) -> Diagnostic {
    Diagnostic::error("invalid-name", format!("{what}: {error}"), location)
}

fn node_location(project: &Project, node: &Node) -> Location {
    match node.kind {
        NodeKind::Stream(source, stream) => project.sources[source].streams[stream].location.clone(),
        NodeKind::Seed(index) => Location::file(&project.seeds[index].file),
        NodeKind::Model(index) => Location::file(&project.models[index].file),
        NodeKind::External(index) => project.external[index].1.clone(),
    }
}

/// How a model is stored; `None` for what is no model.
fn materialized(project: &Project, node: &Node) -> Option<Materialized> {
    match node.kind {
        NodeKind::Model(index) => Some(project.models[index].materialized),
        _ => None,
    }
}

fn folded(table: &TableName) -> (String, String) {
    (table.schema.to_lowercase(), table.name.to_lowercase())
}
