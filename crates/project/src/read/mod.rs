//! From texts to a project: the order in which things are read, and what the readers share.

mod connection;
mod data_tests;
mod database;
mod database_stream;
mod database_url;
mod models;
mod partitioning;
mod reports;
mod seeds;
mod settings;
mod sources;
mod sql_tests;
mod stream;
mod written_passwords;

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::Value;

use crate::catalog::{Catalog, Known, KnownKind};
use crate::env_file;
use crate::forms::Form;
use crate::input::{InputFile, ProjectInput};
use crate::schema::Checker;
use crate::template::{TemplateContext, Templates};
use crate::variables::Variables;
use crate::yaml::{self, Node};
use crate::{Diagnostic, Location, Project, Secret, Severity, TableName};

use data_tests::TestReader;

/// Reads a project: everything that can be found out without looking at data or the SQL's meaning.
///
/// The project is there, as far as it could be understood, whenever `thalweg.yml` could be read; it must not be run while a diagnostic
/// is an error. Diagnostics come in order of file and place. No secret is ever part of one.
pub fn read(input: &ProjectInput) -> (Option<Project>, Vec<Diagnostic>) {
    let (env_values, env_diagnostics) = input.env_file.as_deref().map(env_file::parse).unwrap_or_default();
    let mut reader = Reader {
        input,
        variables: Variables::new(env_values, &input.environment),
        diagnostics: env_diagnostics,
        catalog: Catalog::default(),
        unreadable: Vec::new(),
        secrets: Vec::new(),
    };
    let project = reader.project();
    let mut diagnostics = reader.diagnostics;
    // The longest first: one content may be part of another.
    reader.secrets.sort_by_key(|(_, secret)| std::cmp::Reverse(secret.len()));
    // Messages quote files as written, never values; this is the second lock on the same door.
    for (name, secret) in &reader.secrets {
        for diagnostic in &mut diagnostics {
            diagnostic.replace_text(secret, &format!("${{{name}}}"));
        }
    }
    for diagnostic in &mut diagnostics {
        let file = input.files.iter().find(|file| file.path == diagnostic.location.file);
        if let Some(file) = file.filter(|file| matches!(file.extension().as_str(), "yml" | "yaml")) {
            written_passwords::hide(diagnostic, &file.text);
        }
    }
    diagnostics.sort_by(|a, b| {
        let key = |d: &Diagnostic| (d.location.file != settings::FILE, d.location.file.clone(), d.location.span.start);
        key(a).cmp(&key(b))
    });
    diagnostics.dedup();
    (project, diagnostics)
}

/// What the readers of all kinds of files share.
struct Reader<'a> {
    input: &'a ProjectInput,
    variables: Variables,
    diagnostics: Vec<Diagnostic>,
    catalog: Catalog,
    unreadable: Vec<TableName>,
    /// Names and contents of the environment variables that YAML files use.
    secrets: Vec<(String, String)>,
}

/// A YAML file that was read.
struct Document<'a, F> {
    file: &'a InputFile,
    node: Node,
    form: F,
}

impl<'a> Reader<'a> {
    fn project(&mut self) -> Option<Project> {
        let settings = self.settings();
        let store_layer = settings.as_ref().map_or_else(|| "store".to_owned(), |settings| settings.store_layer.clone());
        let target_names = settings.as_ref().map_or_else(Vec::new, |settings| settings.target_names.clone());
        let target_name = settings.as_ref().map_or_else(String::new, |settings| settings.target.name.clone());

        let sources = self.sources(&store_layer, &target_names, &target_name);
        let seed_documents = self.seed_documents();
        let seeds = self.seeds(&seed_documents);
        let model_files = self.model_files(&store_layer);
        let model_documents = self.model_documents();
        let report_documents = self.report_documents();
        self.secrets = self.variables.used_in_yaml();
        // Without `thalweg.yml` neither layers nor variables are known, and most further findings would be wrong.
        let settings = settings?;
        for (table, location) in &settings.external {
            self.know(Known {
                table: table.clone(),
                kind: KnownKind::External,
                location: location.clone(),
                disabled: false,
            });
        }

        let macro_files: Vec<&InputFile> =
            self.files("macros").filter(|file| file.extension() == "sql" || file.extension() == "jinja").collect();
        let context = TemplateContext {
            catalog: std::mem::take(&mut self.catalog),
            vars: settings.vars.clone(),
            variables: std::mem::replace(&mut self.variables, Variables::new(BTreeMap::new(), &BTreeMap::new())),
            target: &settings.target,
        };
        let templates = Templates::new(context, &macro_files, &mut self.diagnostics);

        let mut tests = TestReader::new(&templates, &store_layer);
        let models = self.models(&templates, model_files, &model_documents, &mut tests);
        self.seed_tests(&seed_documents, &seeds, &mut tests);
        for source in &sources {
            for stream in &source.streams {
                tests.stream(stream);
            }
        }
        self.sql_tests(&templates, &mut tests);
        let reports = self.reports(&templates, &report_documents);
        let (tests, test_diagnostics) = tests.finish();
        self.diagnostics.extend(test_diagnostics);
        let read = templates.variables_read();
        self.secrets.extend(read.iter().cloned());

        let sources: Vec<_> = sources.into_iter().map(|source| source.source).collect();
        let tables = sources.iter().flat_map(|source| &source.streams).map(|stream| &stream.table);
        let tables = tables.chain(models.iter().map(|model| &model.table)).chain(seeds.iter().map(|seed| &seed.table));
        self.distinct_from_schemas(&settings, tables.map(|table| table.schema.as_str()));
        let streams: usize = sources.iter().map(|source| source.streams.len()).sum();
        if streams == 0 && models.is_empty() && seeds.is_empty() && !self.has_errors() {
            let message =
                format!("the project `{}` has neither streams nor models, so there is nothing to build", settings.name);
            self.diagnostics.push(
                Diagnostic::warning("empty-project", message, Location::file(settings::FILE)).with_help(
                    "describe a source in `sources/NAME.yml` and write a SELECT into `models/SCHEMA/NAME.sql`",
                ),
            );
        }
        Some(Project {
            name: settings.name,
            store_layer,
            landing: settings.landing,
            target: settings.target,
            target_names: settings.target_names,
            vars: settings.vars,
            sources,
            models,
            seeds,
            tests,
            reports,
            external: settings.external,
            schedules: settings.schedules,
            on_source_error: settings.on_source_error,
            change_log: settings.change_log,
            unreadable: std::mem::take(&mut self.unreadable),
            variables_read: read.into_iter().map(|(name, content)| (name, Secret::new(content))).collect(),
        })
    }

    fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// The files of one of the project's folders, in order of path.
    fn files(&self, room: &'static str) -> impl Iterator<Item = &'a InputFile> + use<'a> {
        let mut files: Vec<&InputFile> = self.input.files.iter().filter(|file| file.room() == room).collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        files.into_iter()
    }

    fn report(
        &mut self,
        code: &'static str,
        message: impl Into<String>,
        file: &str,
        span: Range<usize>,
    ) -> &mut Diagnostic {
        self.diagnostics.push(Diagnostic::error(code, message, Location::new(file, span)));
        self.diagnostics.last_mut().expect("a diagnostic was just pushed")
    }

    /// Parses a YAML file and fills in its variables.
    fn tree(&mut self, file: &InputFile) -> Option<Node> {
        let (node, diagnostics) = yaml::parse(&file.path, &file.text);
        self.diagnostics.extend(diagnostics);
        let mut node = node?;
        self.variables.expand(&file.path, &file.text, &mut node, &mut self.diagnostics);
        Some(node)
    }

    /// Reads a whole YAML file as a form.
    fn document<F: Form>(&mut self, file: &'a InputFile) -> Option<Document<'a, F>> {
        let node = self.tree(file)?;
        let (form, _) = self.form(&file.path, &node)?;
        Some(Document { file, node, form })
    }

    /// Checks a tree and turns it into a form; also gives the JSON value it was made of.
    fn form<F: Form>(&mut self, file: &str, node: &Node) -> Option<(F, Value)> {
        self.checked(file, node, Checker::new(F::schema(), file))
    }

    /// The settings of a template's `config(...)`; the defaults where there are none or they cannot be read.
    fn config<F: Form + Default>(&mut self, file: &InputFile, node: &Node) -> F {
        if node.entries().is_empty() {
            return F::default();
        }
        let checker = Checker::new(F::schema(), &file.path).within("config");
        self.checked(&file.path, node, checker).map(|(form, _)| form).unwrap_or_default()
    }

    fn checked<F: Form>(&mut self, file: &str, node: &Node, checker: Checker<'_>) -> Option<(F, Value)> {
        let (value, diagnostics) = checker.check(node);
        let is_checked = diagnostics.iter().all(|diagnostic| diagnostic.severity != Severity::Error);
        self.diagnostics.extend(diagnostics);
        match F::deserialize(&value) {
            Ok(form) => Some((form, value)),
            // A mistake that was reported at its place needs no second message.
            Err(_) if !is_checked || self.has_errors() => None,
            Err(error) => {
                // The schema should have found it; a form and its schema disagree. The text of the error may show values.
                let kind = error.classify();
                self.report("invalid-value", format!("`{file}` cannot be read ({kind:?})"), file, 0..0);
                None
            }
        }
    }

    /// Adds a table to the catalog, or reports that its name is taken.
    fn know(&mut self, known: Known) -> bool {
        let Err(first) = self.catalog.insert(known.clone()) else { return true };
        let first = first.clone();
        let message = format!(
            "two tables are called `{}`: the {} in `{}` and the {} in `{}`",
            known.table,
            first.kind.word(),
            first.location.file,
            known.kind.word(),
            known.location.file,
        );
        let help = match (&first.kind, &known.kind) {
            (KnownKind::Stream { .. }, KnownKind::Stream { source, stream }) => {
                format!("give one of them another table with `as:`, such as `as: {source}_{stream}`")
            }
            (_, KnownKind::External) => "remove it from `external:`: the project builds it".to_owned(),
            _ => "rename one of them; names that differ only in case are the same to SQL".to_owned(),
        };
        self.diagnostics.push(Diagnostic::error("duplicate-table", message, known.location).with_help(help));
        false
    }
}

/// The values of a list, each text once; a text that stands twice is reported by whoever reads the list.
fn first_duplicate(texts: &[String]) -> Option<&String> {
    texts
        .iter()
        .enumerate()
        .find(|(index, text)| texts[..*index].iter().any(|other| other.eq_ignore_ascii_case(text)))
        .map(|(_, text)| text)
}
