//! `seeds/**/*.csv` and the YAML files beside them.

use std::collections::BTreeMap;

use super::data_tests::{TestReader, TestedTable};
use super::{Document, Reader};
use crate::catalog::{Known, KnownKind};
use crate::diagnostic::nearest;
use crate::forms::{OneOrMany, SeedFile};
use crate::name::is_plain;
use crate::yaml::Node;
use crate::{ColumnType, Location, Seed, TableName};

/// Schema of the seeds.
const SCHEMA: &str = "seeds";

impl<'a> Reader<'a> {
    /// Reads the YAML files below `seeds/`.
    pub(super) fn seed_documents(&mut self) -> Vec<Document<'a, SeedFile>> {
        self.files("seeds").filter(|file| file.is_yaml()).filter_map(|file| self.document(file)).collect()
    }

    /// Finds the seeds, makes their tables known and joins them with their descriptions.
    pub(super) fn seeds(&mut self, documents: &[Document<'a, SeedFile>]) -> Vec<Seed> {
        let mut seeds: Vec<Seed> = Vec::new();
        for file in self.files("seeds").filter(|file| file.extension() == "csv") {
            let table = TableName::new(SCHEMA, file.stem());
            if !is_plain(file.stem()) {
                let message = format!("the seed's name `{}` must consist of letters, digits and `_`", file.stem());
                self.report("bad-name", message, &file.path, 0..0).help = Some("rename the file".to_owned());
                self.unreadable.push(table);
                continue;
            }
            let location = Location::file(&file.path);
            if !self.know(Known { table: table.clone(), kind: KnownKind::Seed, location, disabled: false }) {
                continue;
            }
            if file.text.trim().is_empty() {
                let message = format!("the seed `{}` is empty", file.path);
                self.report("empty-seed", message, &file.path, 0..0).help =
                    Some("give it a line of column names, or remove it".to_owned());
            }
            seeds.push(Seed {
                table,
                file: file.path.clone(),
                text: file.text.clone(),
                column_types: BTreeMap::new(),
                tags: Vec::new(),
                description: None,
                columns: Vec::new(),
            });
        }
        let mut described: Vec<(String, String)> = Vec::new();
        for document in documents {
            let nodes = document.node.get("seeds").map_or(&[][..], Node::items);
            for (form, node) in document.form.seeds.iter().flatten().zip(nodes) {
                let span = node.get("name").map_or_else(|| node.span.clone(), |name| name.span.clone());
                let Some(index) = seeds.iter().position(|seed| seed.table.name.eq_ignore_ascii_case(&form.name)) else {
                    if !form.name.is_empty() && is_plain(&form.name) {
                        let near =
                            nearest(&form.name, seeds.iter().map(|seed| seed.table.name.as_str())).map(str::to_owned);
                        let message = format!("there is no seed `{}` to describe", form.name);
                        self.report("unknown-seed", message, &document.file.path, span).help = Some(match near {
                            Some(near) => format!("did you mean `{near}`?"),
                            None => format!("add `seeds/{}.csv`, or remove the entry", form.name),
                        });
                    }
                    continue;
                };
                let key = form.name.to_lowercase();
                if let Some((_, first)) = described.iter().find(|(name, _)| *name == key) {
                    let message = format!(
                        "the seed `{}` is described twice: in `{first}` and in `{}`",
                        form.name, document.file.path
                    );
                    self.report("duplicate-description", message, &document.file.path, span).help =
                        Some("join the two entries".to_owned());
                    continue;
                }
                described.push((key, document.file.path.clone()));
                let table = seeds[index].table.clone();
                let columns = form.columns.as_deref().unwrap_or_default();
                seeds[index].columns = self.columns(document.file, &table, columns, node);
                seeds[index].description.clone_from(&form.description);
                let inner = form.config.as_ref();
                let types = inner
                    .and_then(|config| config.column_types.as_ref())
                    .into_iter()
                    .chain(&form.column_types)
                    .flatten();
                seeds[index].column_types =
                    types.filter_map(|(name, text)| Some((name.clone(), text.0.parse::<ColumnType>().ok()?))).collect();
                let tags = inner.and_then(|config| config.tags.clone()).into_iter().chain(form.tags.clone());
                seeds[index].tags = tags.flat_map(OneOrMany::into_vec).collect();
            }
        }
        seeds
    }

    /// Reads the tests of the seeds, once all tables are known.
    pub(super) fn seed_tests(
        &mut self,
        documents: &[Document<'a, SeedFile>],
        seeds: &[Seed],
        tests: &mut TestReader<'_>,
    ) {
        for document in documents {
            let nodes = document.node.get("seeds").map_or(&[][..], Node::items);
            for (form, node) in document.form.seeds.iter().flatten().zip(nodes) {
                let Some(seed) = seeds.iter().find(|seed| seed.table.name.eq_ignore_ascii_case(&form.name)) else {
                    continue;
                };
                let table = TestedTable { table: &seed.table, file: &document.file.path, is_store: false };
                tests.lists(table, None, [(&form.data_tests, "data_tests"), (&form.tests, "tests")], node);
                tests.columns(table, form.columns.as_deref(), node);
            }
        }
    }
}
