//! `models/**/*.sql` and the YAML files beside them.

use super::data_tests::{TestReader, TestedTable};
use super::{Document, Reader, first_duplicate, settings};
use crate::catalog::{Known, KnownKind};
use crate::diagnostic::nearest;
use crate::forms::{ColumnForm, ModelConfig, ModelFile, ModelForm, OneOrMany};
use crate::input::InputFile;
use crate::name::is_plain;
use crate::template::Templates;
use crate::yaml::Node;
use crate::{Diagnostic, Index, Location, Materialized, Model, ModelColumn, RefreshPin, TableName};

/// A file that is a model.
pub struct ModelSource<'a> {
    file: &'a InputFile,
    table: TableName,
}

/// What a YAML file says of a model.
struct Description<'d> {
    form: &'d ModelForm,
    node: &'d Node,
    file: &'d InputFile,
}

impl<'a> Reader<'a> {
    /// Finds the models and makes their tables known.
    pub(super) fn model_files(&mut self, store_layer: &str) -> Vec<ModelSource<'a>> {
        let mut models = Vec::new();
        for file in self.files("models").filter(|file| file.extension() == "sql") {
            let name = file.stem();
            let folders: Vec<&str> = file.folder().split('/').skip(1).collect();
            let Some(schema) = folders.first() else {
                let message = format!("the model `{}` stands directly in `models/`, so it has no schema", file.path);
                self.report("model-without-schema", message, &file.path, 0..0).help =
                    Some(format!("move it into a folder, which becomes its schema: `models/marts/{name}.sql`"));
                continue;
            };
            let table = TableName::new(*schema, name);
            if let Some(bad) = [*schema, name].iter().find(|part| !is_plain(part)) {
                let message = format!("`{bad}` in `{}` must consist of letters, digits and `_`", file.path);
                self.report("bad-name", message, &file.path, 0..0).help =
                    Some("rename it: folder and file are the names of schema and table".to_owned());
                self.unreadable.push(table);
                continue;
            }
            let is_store = schema.eq_ignore_ascii_case(store_layer);
            if is_store || settings::RESERVED_SCHEMAS.contains(&schema.to_lowercase().as_str()) {
                let message = format!("the model `{}` may not stand in the schema `{schema}`", file.path);
                let why = if is_store {
                    "that is the store, which holds one table per stream"
                } else {
                    "that schema is reserved"
                };
                let diagnostic = self.report("reserved-schema", message, &file.path, 0..0);
                diagnostic.help = Some(format!("{why}; move the model to another folder"));
                self.unreadable.push(table);
                continue;
            }
            let location = Location::file(&file.path);
            if self.know(Known { table: table.clone(), kind: KnownKind::Model, location, disabled: false }) {
                models.push(ModelSource { file, table });
            }
        }
        models
    }

    /// Reads the YAML files below `models/`.
    pub(super) fn model_documents(&mut self) -> Vec<Document<'a, ModelFile>> {
        let documents: Vec<Document<'a, ModelFile>> =
            self.files("models").filter(|file| file.is_yaml()).filter_map(|file| self.document(file)).collect();
        for document in &documents {
            if let Some(entry) = document.node.entry("unit_tests").filter(|entry| !entry.value.items().is_empty()) {
                let message = format!("the unit tests in `{}` are not run by this version", document.file.path);
                let location = Location::new(&document.file.path, entry.key_span.clone());
                self.diagnostics.push(Diagnostic::warning("unit-tests", message, location));
            }
        }
        documents
    }

    /// Renders the models and joins them with their descriptions.
    pub(super) fn models(
        &mut self,
        templates: &Templates,
        sources: Vec<ModelSource<'a>>,
        documents: &[Document<'a, ModelFile>],
        tests: &mut TestReader<'_>,
    ) -> Vec<Model> {
        let mut descriptions: Vec<Option<Description<'_>>> = sources.iter().map(|_| None).collect();
        for document in documents {
            let nodes = document.node.get("models").map_or(&[][..], Node::items);
            for (form, node) in document.form.models.iter().flatten().zip(nodes) {
                self.describe(&sources, &mut descriptions, Description { form, node, file: document.file });
            }
        }
        let mut is_enabled = Vec::new();
        for (source, description) in sources.iter().zip(&descriptions) {
            let in_yaml = description.as_ref().and_then(|description| description.form.config.as_ref()?.enabled);
            let in_file = if source.file.text.contains("enabled") {
                templates.config_of(source.file).get("enabled").and_then(serde_json::Value::as_bool)
            } else {
                None
            };
            let enabled = in_file.or(in_yaml).unwrap_or(true);
            if !enabled {
                templates.disable(&source.table);
            }
            is_enabled.push(enabled);
        }
        let mut models = Vec::new();
        for ((source, description), enabled) in sources.iter().zip(&descriptions).zip(is_enabled) {
            if enabled {
                match self.model(templates, source, description.as_ref()) {
                    Some(model) => models.push(model),
                    None => self.unreadable.push(source.table.clone()),
                }
                if let Some(description) = description {
                    let table = TestedTable { table: &source.table, file: &description.file.path, is_store: false };
                    let (form, node) = (description.form, description.node);
                    tests.lists(table, None, [(&form.data_tests, "data_tests"), (&form.tests, "tests")], node);
                    tests.columns(table, form.columns.as_deref(), node);
                }
            }
        }
        models
    }

    /// Finds the model a description is of.
    fn describe<'d>(
        &mut self,
        sources: &[ModelSource<'a>],
        descriptions: &mut [Option<Description<'d>>],
        description: Description<'d>,
    ) {
        let file = description.file;
        let name = description.form.name.as_str();
        let span = description.node.get("name").map_or_else(|| description.node.span.clone(), |node| node.span.clone());
        if name.is_empty() {
            return;
        }
        let is_named = |source: &ModelSource<'_>| {
            source.table.name.eq_ignore_ascii_case(name) || source.table.to_string().eq_ignore_ascii_case(name)
        };
        let named: Vec<usize> =
            sources.iter().enumerate().filter(|(_, source)| is_named(source)).map(|(index, _)| index).collect();
        let below = format!("{}/", file.folder());
        let beside = named.iter().copied().find(|index| sources[*index].file.folder() == file.folder());
        let below: Vec<usize> =
            named.iter().copied().filter(|index| sources[*index].file.path.starts_with(&below)).collect();
        let index = match (beside, &below[..], &named[..]) {
            (Some(index), _, _) => index,
            (None, [index], _) | (None, _, [index]) => *index,
            (None, _, []) => {
                // A model that has a name which cannot be used was reported as such.
                if self.unreadable.iter().any(|table| table.name.eq_ignore_ascii_case(name)) {
                    return;
                }
                let names = sources.iter().map(|source| source.table.name.as_str());
                let near = nearest(name, names);
                let message = format!("there is no model `{name}` to describe");
                self.report("unknown-model", message, &file.path, span).help = Some(match near {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("write it into `{}/{name}.sql`, or remove the entry", file.folder()),
                });
                return;
            }
            (None, _, several) => {
                let names: Vec<String> = several.iter().map(|index| format!("`{}`", sources[*index].table)).collect();
                let message = format!("`{name}` may be the model {}", names.join(" or "));
                self.report("ambiguous-reference", message, &file.path, span).help =
                    Some(format!("write {}, or move this file beside the model", names[0]));
                return;
            }
        };
        if let Some(first) = &descriptions[index] {
            let message = format!(
                "the model `{}` is described twice: in `{}` and in `{}`",
                sources[index].table, first.file.path, file.path
            );
            self.report("duplicate-description", message, &file.path, span).help =
                Some("join the two entries".to_owned());
            return;
        }
        descriptions[index] = Some(description);
    }

    fn model(
        &mut self,
        templates: &Templates,
        source: &ModelSource<'a>,
        description: Option<&Description<'_>>,
    ) -> Option<Model> {
        let file = source.file;
        let (rendered, diagnostics) = templates.render(file, Some(&source.table));
        self.diagnostics.extend(diagnostics);
        let rendered = rendered?;
        if rendered.sql.trim().is_empty() {
            let message = format!("the model `{}` is empty", source.table);
            self.report("empty-model", message, &file.path, 0..0).help = Some("write a SELECT into it".to_owned());
            return None;
        }
        let in_file: ModelConfig = self.config(file, &rendered.config);
        let in_yaml = description.and_then(|description| description.form.config.clone()).unwrap_or_default();
        let settings = ModelConfig {
            materialized: in_file.materialized.or(in_yaml.materialized),
            partition_by: in_file.partition_by.or(in_yaml.partition_by),
            partitions_ahead: in_file.partitions_ahead.or(in_yaml.partitions_ahead),
            retention: in_file.retention.or(in_yaml.retention),
            ..ModelConfig::default()
        };
        let mut tags = in_yaml.tags.map(OneOrMany::into_vec).unwrap_or_default();
        tags.extend(in_file.tags.map(OneOrMany::into_vec).unwrap_or_default());
        tags.sort();
        tags.dedup();
        let primary_key = in_file.primary_key.or(in_yaml.primary_key).map(OneOrMany::into_vec).unwrap_or_default();
        if first_duplicate(&primary_key).is_some() {
            let (at, span) = match description.and_then(|d| Some((d, d.node.get("config")?.entry("primary_key")?))) {
                Some((description, entry)) => (&description.file.path, entry.key_span.clone()),
                None => (&file.path, rendered.config.entry("primary_key").map_or(0..0, |entry| entry.key_span.clone())),
            };
            let message = format!("`primary_key` of the model `{}` names a column twice", source.table);
            self.report("duplicate-column", message, at, span).help = Some("name each column once".to_owned());
        }
        let indexes = in_file.indexes.or(in_yaml.indexes).unwrap_or_default();
        let indexes = indexes
            .into_iter()
            .map(|form| Index { columns: form.columns.into_vec(), unique: form.unique.unwrap_or(false) });
        let indexes: Vec<Index> = indexes.collect();
        let places = |name: &str| match (rendered.config.entry(name), description) {
            (Some(entry), _) => (file.path.clone(), entry.key_span.clone()),
            (None, Some(description)) => {
                let entry = description.node.get("config").and_then(|config| config.entry(name));
                (description.file.path.clone(), entry.map_or(0..0, |entry| entry.value.span.clone()))
            }
            (None, None) => (file.path.clone(), 0..0),
        };
        let partitioning = self.partitioning(&source.table, &settings, &indexes, &places);
        let location = match description {
            Some(description) => Location::new(
                &description.file.path,
                description.node.get("name").map_or_else(|| description.node.span.clone(), |node| node.span.clone()),
            ),
            None => Location::file(&file.path),
        };
        let refresh = in_file.refresh.or(in_yaml.refresh).unwrap_or(RefreshPin::Auto);
        let columns = description
            .and_then(|description| Some((description, description.form.columns.as_deref()?)))
            .map(|(description, forms)| self.columns(description.file, &source.table, forms, description.node))
            .unwrap_or_default();
        Some(Model {
            table: source.table.clone(),
            file: file.path.clone(),
            sql: rendered.sql,
            templated: rendered.templated,
            materialized: settings.materialized.unwrap_or(Materialized::Table),
            refresh,
            primary_key,
            indexes,
            partitioning,
            tags,
            description: description.and_then(|description| description.form.description.clone()),
            columns,
            location,
        })
    }

    /// Reads the `columns:` of a model or seed.
    pub(super) fn columns(
        &mut self,
        file: &InputFile,
        table: &TableName,
        forms: &[ColumnForm],
        node: &Node,
    ) -> Vec<ModelColumn> {
        let nodes = node.get("columns").map_or(&[][..], Node::items);
        let mut columns: Vec<ModelColumn> = Vec::new();
        for (form, node) in forms.iter().zip(nodes) {
            let span = node.get("name").map_or_else(|| node.span.clone(), |name| name.span.clone());
            if columns.iter().any(|other| other.name.eq_ignore_ascii_case(&form.name)) {
                let message = format!("`{table}` describes the column `{}` twice", form.name);
                self.report("duplicate-column", message, &file.path, span).help =
                    Some("join the two entries".to_owned());
                continue;
            }
            columns.push(ModelColumn {
                name: form.name.clone(),
                description: form.description.clone(),
                personal: form.personal.unwrap_or(false),
                subject: form.subject.clone(),
                location: Location::new(&file.path, span),
            });
        }
        columns
    }
}
