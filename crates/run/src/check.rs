//! Everything that can be checked of a project without running it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thalweg_project::diagnostic::nearest;
use thalweg_project::{
    Diagnostic, Location, Materialized, Partitioning, Project, RefreshPin, Severity, TableName, TestKind, locate,
};
use thalweg_sql::refresh::{InputTable, InputTables, Shape};
use thalweg_sql::{Compiled, Dialect, NodeKind, dialect_of};
use thalweg_warehouse::{Connection, DescribedColumn, WarehouseError};

use crate::answer::Validation;
use crate::error::RunError;
use crate::explain::place;
use crate::options::OpenOptions;
use crate::publish::model::{column_problem, tracked_inputs};
use crate::publish::refresh::shapes::enforced_key;
use crate::table_state::{StateColumn, TableKind, TableState};
use crate::{discovered, folder};

/// Columns of store tables and seeds as last seen, kept beside the project so that checking needs no warehouse. May be deleted.
#[derive(Debug, Default, Serialize, Deserialize)]
struct SeenColumns {
    tables: BTreeMap<TableName, Vec<StateColumn>>,
}

fn cache_path(folder: &Path, target: &str) -> PathBuf {
    folder.join(".thalweg").join(format!("columns.{target}.json"))
}

/// Remembers the columns of the store tables and seeds of a warehouse. A failure to do so is no failure of the run.
pub fn remember_columns(folder: &Path, target: &str, tables: &BTreeMap<TableName, TableState>) {
    let tables = tables
        .iter()
        .filter(|(_, state)| matches!(state.kind, TableKind::Store | TableKind::Seed))
        .map(|(name, state)| (name.clone(), state.columns.clone()))
        .collect();
    let path = cache_path(folder, target);
    let write = || -> std::io::Result<()> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let unfinished = path.with_extension("unfinished");
        std::fs::write(&unfinished, serde_json::to_vec(&SeenColumns { tables })?)?;
        std::fs::rename(&unfinished, &path)
    };
    if let Err(error) = write() {
        tracing::warn!(%error, path = %path.display(), "cannot remember the columns of the store");
    }
}

fn seen_columns(folder: &Path, target: &str) -> SeenColumns {
    std::fs::read(cache_path(folder, target))
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok())
        .unwrap_or_default()
}

/// See [`crate::Workbench::validate`].
pub fn validate(folder: &Path, options: &OpenOptions) -> Result<Validation, RunError> {
    let mut input = folder::read(folder, options)?;
    let (project, mut diagnostics, _) = discovered::read_project(folder, &mut input, options.ask)?;
    let files: BTreeMap<String, String> =
        input.files.iter().map(|file| (file.path.clone(), file.text.clone())).collect();
    let mut validation = Validation { files, ..Validation::default() };
    if let Some(project) = &project {
        let (compiled, more) = thalweg_sql::compile(project);
        diagnostics.extend(more);
        validation.streams = project.sources.iter().map(|source| source.streams.len()).sum();
        validation.models = project.models.len();
        validation.tests = project.tests.len();
        validation.reports = project.reports.len();
        validation.seeds = project.seeds.len();
        // What is tried out at a server stands in schemas of other names than what people read.
        let mut scratch = match thalweg_warehouse::scratch(&project.target, folder) {
            Ok(scratch) => Some(scratch),
            Err(error) if project.target.connection.kind() != "duckdb" => {
                validation.unchecked.push(format!("models, tests and reports: {error}"));
                None
            }
            Err(error) => return Err(error.into()),
        };
        let mut elsewhere = None;
        if let Some(prefix) = scratch.as_ref().and_then(|scratch| scratch.schema_prefix.clone()) {
            let mut other = project.clone();
            other.target.schema_prefix = format!("{prefix}{}", other.target.schema_prefix);
            let compiled = thalweg_sql::compile(&other).0;
            elsewhere = Some((other, compiled));
        }
        let (checked, compiled) = match &elsewhere {
            Some((project, compiled)) => (project, compiled),
            None => (project, &compiled),
        };
        if let Some(scratch) = &mut scratch {
            let mut checker = Checker {
                project: checked,
                compiled,
                dialect: dialect_of(&project.target.connection),
                hidden_prefix: scratch.schema_prefix.clone().unwrap_or_default(),
                connection: scratch.connection.as_mut(),
                files: &validation.files,
                columns: vec![None; compiled.nodes.len()],
                diagnostics: Vec::new(),
                unchecked: Vec::new(),
            };
            let mut seen = seen_columns(folder, &project.target.name);
            for (table, columns) in discovered::columns(project, &input.discovered, folder) {
                seen.tables.entry(table).or_insert_with(|| columns.iter().map(StateColumn::from_column).collect());
            }
            checker.check(&seen)?;
            diagnostics.extend(checker.diagnostics);
            validation.unchecked = checker.unchecked;
        }
        project.conceal(&mut diagnostics);
    }
    diagnostics.sort_by(|a, b| {
        (&a.location.file, a.location.span.start, a.code).cmp(&(&b.location.file, b.location.span.start, b.code))
    });
    diagnostics.dedup();
    validation.diagnostics = diagnostics;
    Ok(validation)
}

/// Asks an empty engine what it thinks of every query.
struct Checker<'a> {
    project: &'a Project,
    compiled: &'a Compiled,
    dialect: &'static dyn Dialect,
    connection: &'a mut dyn Connection,
    /// What names of schemas begin with while they are tried out, and nobody should read.
    hidden_prefix: String,
    files: &'a BTreeMap<String, String>,
    /// For each node its column names, as far as they are known.
    columns: Vec<Option<Vec<String>>>,
    diagnostics: Vec<Diagnostic>,
    unchecked: Vec<String>,
}

impl Checker<'_> {
    fn check(&mut self, seen: &SeenColumns) -> Result<(), RunError> {
        let schemas: std::collections::BTreeSet<String> =
            self.compiled.nodes.iter().map(|node| node.id.schema.clone()).collect();
        for schema in schemas {
            let name = format!("{}{schema}", self.project.target.schema_prefix);
            if let Ok(name) = self.dialect.quote_identifier(&name) {
                // A role that may work in the schemas that there are need not be one that makes others.
                if let Err(error) = self.connection.execute(&format!("create schema if not exists {name}"), &[]) {
                    if self.dialect.name() == "duckdb" {
                        return Err(error.into());
                    }
                    self.unchecked.push(format!("models, tests and reports: trying them out needs a schema: {error}"));
                    return Ok(());
                }
            }
        }
        for &node in &self.compiled.order {
            match self.compiled.nodes[node].kind {
                NodeKind::Stream(source, stream) => {
                    let stream = &self.project.sources[source].streams[stream];
                    self.check_stored(node, seen, &stream.location);
                }
                NodeKind::Seed(index) => {
                    let location = Location::file(&self.project.seeds[index].file);
                    self.check_stored(node, seen, &location);
                }
                NodeKind::Model(index) => self.check_model(node, index),
                NodeKind::External(_) => {}
            }
        }
        self.check_tests();
        for (index, report) in self.project.reports.iter().enumerate() {
            if !self.known(&self.compiled.report_inputs[index]) {
                self.unchecked.push(format!("report {}: a table it reads was never loaded", report.name));
                continue;
            }
            if let Some(sql) = self.compiled.report_sql(index)
                && let Err(error) = self.connection.describe(sql)
            {
                let what = format!("report {}", report.name);
                self.complain(&what, &report.file, &report.sql, report.templated, &error);
            }
        }
        Ok(())
    }

    fn known(&self, nodes: &[usize]) -> bool {
        nodes.iter().all(|&node| self.columns[node].is_some())
    }

    /// A store table or seed: its columns are those last seen, or those declared with types.
    fn check_stored(&mut self, node: usize, seen: &SeenColumns, location: &Location) {
        let id = &self.compiled.nodes[node].id;
        let Some(columns) = seen.tables.get(id) else {
            self.unchecked.push(format!("{id}: its columns are known once it was loaded"));
            return;
        };
        let definitions: Result<Vec<String>, _> = columns
            .iter()
            .map(|column| {
                let name = self.dialect.quote_identifier(&column.name)?;
                Ok::<_, thalweg_sql::InvalidName>(format!(
                    "{name} {}",
                    self.dialect.type_name(&column.to_column().column_type)
                ))
            })
            .collect();
        let table = self.dialect.published_table(id, &self.project.target.schema_prefix);
        if let (Ok(definitions), Ok(table)) = (definitions, table) {
            let sql = format!("create table {table} ({})", definitions.join(", "));
            match self.connection.execute(&sql, &[]) {
                Ok(_) => self.columns[node] = Some(columns.iter().map(|column| column.name.clone()).collect()),
                Err(error) => {
                    let message = format!("{id}: {error}");
                    self.diagnostics.push(Diagnostic::error("bad-columns", message, location.clone()));
                }
            }
        }
    }

    fn check_model(&mut self, node: usize, index: usize) {
        let model = &self.project.models[index];
        // The condition of a retention is ours, and what is wrong with its column is told of `partition_by`.
        let sql = self.compiled.all_rows_sql(node).or(self.compiled.compiled_sql(node));
        let Some(sql) = sql else { return };
        if !self.known(&self.compiled.stored_inputs(self.project, node)) {
            self.unchecked.push(format!("{}: a table it reads was never loaded", model.table));
            return;
        }
        let columns = match self.connection.describe(sql) {
            Ok(columns) => columns,
            Err(error) => {
                let what = format!("model {}", model.table);
                self.complain(&what, &model.file, &model.sql, model.templated, &error);
                return;
            }
        };
        let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
        if let Some(problem) = column_problem(names.iter().map(String::as_str)) {
            let message = format!("model {}: {problem}", model.table);
            self.diagnostics.push(Diagnostic::error("bad-columns", message, Location::file(&model.file)));
            return;
        }
        for column in &model.columns {
            self.check_column(&model.table, &names, &column.name, &column.location);
        }
        for name in model.primary_key.iter().chain(model.indexes.iter().flat_map(|index| &index.columns)) {
            self.check_column(&model.table, &names, name, &model.location);
        }
        if let Some(partitioning) = &model.partitioning {
            self.check_partitions(&model.table, &columns, partitioning);
        }
        let stands = !self.is_asked_for(node)
            || self
                .dialect
                .published_table(&model.table, &self.project.target.schema_prefix)
                .is_ok_and(|name| self.stand_in(&name, sql, &columns));
        if stands {
            self.columns[node] = Some(names);
        }
        if model.refresh == RefreshPin::Incremental && model.materialized == Materialized::Table {
            self.check_pin(node, model);
        }
    }

    /// What a table is cut into partitions by must be one of its columns, with dates or points in time.
    fn check_partitions(&mut self, table: &TableName, columns: &[DescribedColumn], partitioning: &Partitioning) {
        let names = || columns.iter().map(|column| column.name.as_str());
        let (code, message, help) = match columns.iter().find(|column| column.name == partitioning.column) {
            Some(column) if self.dialect.is_time(&column.engine_type) => return,
            Some(column) => (
                "bad-partitions",
                format!(
                    "{table} cannot be cut into ranges of `{}`, which is of type {}",
                    column.name, column.engine_type
                ),
                "name a column with dates or points in time".to_owned(),
            ),
            None => (
                "unknown-column",
                format!("{table} has no column `{}`", partitioning.column),
                match nearest(&partitioning.column, names()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("its columns are {}", names().collect::<Vec<_>>().join(", ")),
                },
            ),
        };
        self.diagnostics.push(Diagnostic::error(code, message, partitioning.location.clone()).with_help(help));
    }

    /// A model that is pinned to incremental refreshes must be one that can be refreshed so.
    fn check_pin(&mut self, node: usize, model: &thalweg_project::Model) {
        let Some(text) = self.compiled.refresh_sql(node) else { return };
        let mut tables = BTreeMap::new();
        for input in tracked_inputs(self.project, self.compiled, node) {
            let id = &self.compiled.nodes[input].id;
            let Ok(name) = self.dialect.published_table(id, &self.project.target.schema_prefix) else { continue };
            let columns = self.connection.describe(&format!("select * from {name}")).unwrap_or_default();
            let schema = format!("{}{}", self.project.target.schema_prefix, id.schema);
            let columns = columns.into_iter().map(|column| (column.name, column.engine_type)).collect();
            tables.insert(vec![schema, id.name.clone()], InputTable { columns, key: enforced_key(self.project, id) });
        }
        if let Err(obstacle) = Shape::read(text, self.dialect, &Described(tables), &model.primary_key) {
            let file = |path: &str| self.files.get(path).cloned();
            let mut diagnostic = place(self.project, self.compiled, &file, node, &obstacle);
            diagnostic.severity = Severity::Error;
            diagnostic.code = "pinned-refresh";
            diagnostic.message = format!(
                "{} is pinned to `refresh: incremental` and can only be computed anew: {}",
                model.table, obstacle.reason
            );
            self.diagnostics.push(diagnostic);
        }
    }

    /// Whether a query of the project names this table, so that something must stand in its place.
    fn is_asked_for(&self, node: usize) -> bool {
        let of_tests = self.project.tests.iter().zip(&self.compiled.tests).any(|(test, compiled)| {
            matches!(test.kind, TestKind::Sql { .. } | TestKind::ExpressionIsTrue { .. })
                && compiled.inputs.contains(&node)
        });
        of_tests
            || !self.compiled.readers[node].is_empty()
            || self.compiled.report_inputs.iter().any(|inputs| inputs.contains(&node))
    }

    /// Puts something with a model's columns in its place, for the queries that read it. An empty table is looked at more quickly
    /// than a view upon views; a view serves where a type cannot be written down.
    fn stand_in(&mut self, name: &str, sql: &str, columns: &[DescribedColumn]) -> bool {
        let definitions: Result<Vec<String>, _> = columns
            .iter()
            .map(|column| Ok(format!("{} {}", self.dialect.quote_identifier(&column.name)?, column.engine_type)))
            .collect::<Result<_, thalweg_sql::InvalidName>>();
        let table = definitions.is_ok_and(|definitions| {
            self.connection.execute(&format!("create table {name} ({})", definitions.join(", ")), &[]).is_ok()
        });
        table || self.connection.execute(&format!("create view {name} as {sql}"), &[]).is_ok()
    }

    fn check_column(&mut self, table: &TableName, names: &[String], name: &str, location: &Location) {
        // Of a model with a mistake in its text no column is known.
        if names.is_empty() || names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            return;
        }
        let mut diagnostic =
            Diagnostic::error("unknown-column", format!("{table} has no column `{name}`"), location.clone());
        diagnostic.help = Some(match nearest(name, names.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("its columns are {}", names.join(", ")),
        });
        self.diagnostics.push(diagnostic);
    }

    fn check_tests(&mut self) {
        for (index, test) in self.project.tests.iter().enumerate() {
            let compiled = &self.compiled.tests[index];
            if !self.known(&compiled.inputs) {
                continue;
            }
            if let TestKind::Sql { sql: written } = &test.kind {
                if let Some(sql) = &compiled.sql
                    && let Err(error) = self.connection.describe(sql)
                {
                    let templated = self.files.get(&test.location.file).is_some_and(|text| text != written);
                    let what = format!("test {}", test.name);
                    self.complain(&what, &test.location.file, written, templated, &error);
                }
                continue;
            }
            let Some(table) = &test.table else { continue };
            let names = self.compiled.node(table).and_then(|node| self.columns[node].clone()).unwrap_or_default();
            for column in test.kind.columns() {
                self.check_column(table, &names, column, &test.location);
            }
            if let TestKind::Relationships { to, field, .. } = &test.kind {
                let names = self.compiled.node(to).and_then(|node| self.columns[node].clone());
                if let Some(names) = names {
                    self.check_column(to, &names, field, &test.location);
                }
            }
            if let (TestKind::ExpressionIsTrue { expression, column }, Ok(name)) =
                (&test.kind, self.dialect.published_table(table, &self.project.target.schema_prefix))
            {
                let expression = compiled.sql.as_ref().unwrap_or(expression);
                let subject =
                    column.as_ref().and_then(|column| self.dialect.quote_identifier(column).ok()).unwrap_or_default();
                let sql = format!("select * from {name} t where ({subject} {expression})");
                if let Err(error) = self.connection.describe(&sql) {
                    let message = format!("test {}: {}", test.name, self.shown(&error));
                    self.diagnostics.push(Diagnostic::error("bad-test", message, test.location.clone()));
                }
            }
        }
    }

    fn shown(&self, error: &WarehouseError) -> String {
        match self.hidden_prefix.as_str() {
            "" => error.to_string(),
            prefix => error.to_string().replace(prefix, ""),
        }
    }

    /// Turns the engine's words into a diagnostic at the place they speak of, if that can be found.
    fn complain(&mut self, what: &str, file: &str, sql: &str, templated: bool, error: &WarehouseError) {
        let span = named_in(&error.message).and_then(|name| word_in(sql, name));
        let original = self.files.get(file).map_or("", String::as_str);
        let message = self.shown(error);
        let mut diagnostic = Diagnostic::error("bad-query", format!("{what}: {message}"), Location::file(file));
        diagnostic.help = self.dialect.instead(&error.message);
        match span {
            Some(span) if !templated => diagnostic.location.span = span,
            Some(span) => match locate(original, sql, span.clone()) {
                Some(span) => diagnostic.location.span = span,
                None => {
                    diagnostic.location.span = span;
                    diagnostic.rendered = Some(sql.to_owned());
                }
            },
            None => {}
        }
        diagnostic.severity = Severity::Error;
        self.diagnostics.push(diagnostic);
    }
}

/// Tables as the engine describes them.
struct Described(BTreeMap<Vec<String>, InputTable>);

impl InputTables for Described {
    fn table(&self, name: &[String]) -> Option<InputTable> {
        self.0.get(name).cloned()
    }
}

/// The first name in quotes of an engine's message.
fn named_in(message: &str) -> Option<&str> {
    let (quote, start) = message
        .char_indices()
        .find_map(|(at, character)| (character == '"' || character == '`').then_some((character, at + 1)))?;
    let length = message[start..].find(quote)?;
    let name = &message[start..start + length];
    Some(name.rsplit('.').next().unwrap_or(name))
}

/// Where a name stands as a whole word in a text, whatever its case.
fn word_in(text: &str, name: &str) -> Option<std::ops::Range<usize>> {
    if name.is_empty() || !text.is_ascii() {
        // Lower-casing may move bytes in other texts; an exact match is found all the same.
        return text.find(name).filter(|_| !name.is_empty()).map(|start| start..start + name.len());
    }
    let (lower, name) = (text.to_ascii_lowercase(), name.to_ascii_lowercase());
    let is_word = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    let mut from = 0;
    while let Some(found) = lower[from..].find(&name) {
        let (start, end) = (from + found, from + found + name.len());
        let before = start.checked_sub(1).and_then(|at| lower.as_bytes().get(at));
        if !is_word(before) && !is_word(lower.as_bytes().get(end)) {
            return Some(start..end);
        }
        from = end;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_a_message_speaks_of() {
        let sql = "select amount, amounts from store.x";
        assert_eq!(named_in("Referenced column \"x.Amounts\" not found"), Some("Amounts"));
        assert_eq!(word_in(sql, "Amounts"), Some(15..22));
        assert_eq!(word_in(sql, "amount"), Some(7..13));
        assert_eq!(word_in(sql, "moun"), None);
    }
}
