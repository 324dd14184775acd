//! Every table the files name, whether it can be built or not: what references are looked up in.

use std::collections::HashMap;

use crate::diagnostic::nearest;
use crate::{Location, TableName};

/// A table that the project knows.
#[derive(Debug, Clone)]
pub struct Known {
    /// Its name.
    pub table: TableName,
    /// What it is.
    pub kind: KnownKind,
    /// Where it is declared.
    pub location: Location,
    /// Whether the project leaves it out (`enabled: false`).
    pub disabled: bool,
}

/// What a known table is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KnownKind {
    /// The store table of a stream.
    Stream {
        /// Name of the source.
        source: String,
        /// Name of the stream.
        stream: String,
    },
    /// A model.
    Model,
    /// A seed.
    Seed,
    /// A table that is not built by the project.
    External,
}

impl KnownKind {
    /// What messages call it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Stream { .. } => "stream",
            Self::Model => "model",
            Self::Seed => "seed",
            Self::External => "external table",
        }
    }
}

/// Why a reference leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unresolved {
    /// Code of the diagnostic.
    pub code: &'static str,
    /// The sentence.
    pub message: String,
    /// What to do.
    pub help: String,
}

/// The tables of a project, by name. Names are compared without regard to case, as SQL does.
#[derive(Debug, Default)]
pub struct Catalog {
    known: Vec<Known>,
    by_table: HashMap<String, usize>,
    by_name: HashMap<String, Vec<usize>>,
}

impl Catalog {
    /// Adds a table; answers with the one that already has its name.
    pub fn insert(&mut self, known: Known) -> Result<(), &Known> {
        let key = known.table.to_string().to_lowercase();
        if let Some(index) = self.by_table.get(&key) {
            return Err(&self.known[*index]);
        }
        let index = self.known.len();
        self.by_table.insert(key, index);
        self.by_name.entry(known.table.name.to_lowercase()).or_default().push(index);
        self.known.push(known);
        Ok(())
    }

    /// The table of a name.
    pub fn get(&self, table: &TableName) -> Option<&Known> {
        self.by_table.get(&table.to_string().to_lowercase()).map(|index| &self.known[*index])
    }

    /// Marks a table as left out.
    pub fn disable(&mut self, table: &TableName) {
        if let Some(index) = self.by_table.get(&table.to_string().to_lowercase()) {
            self.known[*index].disabled = true;
        }
    }

    /// What `ref('name')` or `ref('schema.name')` means. A bare name means a model or seed before it means a store table.
    pub fn reference(&self, text: &str) -> Result<&TableName, Unresolved> {
        let text = text.trim();
        let candidates: Vec<&Known> = match text.parse::<TableName>() {
            Ok(table) => self.get(&table).into_iter().collect(),
            Err(_) => {
                let indexes = self.by_name.get(&text.to_lowercase()).map(Vec::as_slice).unwrap_or_default();
                indexes.iter().map(|index| &self.known[*index]).collect()
            }
        };
        let mut enabled: Vec<&Known> = candidates.iter().filter(|known| !known.disabled).copied().collect();
        // As in dbt, where `ref` speaks of models and seeds and `source` of the rest: a model hides a store table of its name.
        if enabled.len() > 1 && enabled.iter().any(|known| matches!(known.kind, KnownKind::Model | KnownKind::Seed)) {
            enabled.retain(|known| matches!(known.kind, KnownKind::Model | KnownKind::Seed));
        }
        match (&enabled[..], &candidates[..]) {
            ([one], _) => Ok(&one.table),
            ([], [disabled, ..]) => Err(Unresolved {
                code: "disabled-reference",
                message: format!(
                    "the {} `{}` is referred to, but is not enabled",
                    disabled.kind.word(),
                    disabled.table
                ),
                help: "remove the reference, or the model's `enabled: false`".to_owned(),
            }),
            ([], []) => Err(self.nothing_called(text)),
            (several, _) => {
                let mut names: Vec<String> = several.iter().map(|known| format!("`{}`", known.table)).collect();
                names.sort();
                Err(Unresolved {
                    code: "ambiguous-reference",
                    message: format!("the reference `{text}` may mean {}", names.join(" or ")),
                    help: format!("name the schema too: `ref('{}')`", several[0].table),
                })
            }
        }
    }

    fn nothing_called(&self, text: &str) -> Unresolved {
        let names: Vec<String> = if text.contains('.') {
            self.known.iter().map(|known| known.table.to_string()).collect()
        } else {
            self.known.iter().map(|known| known.table.name.clone()).collect()
        };
        let bare = text.rsplit('.').next().unwrap_or(text).to_lowercase();
        let elsewhere = self.by_name.get(&bare).map(|indexes| self.known[indexes[0]].table.to_string());
        let near = nearest(text, names.iter().map(String::as_str)).map(str::to_owned).or(elsewhere);
        Unresolved {
            code: "unknown-reference",
            message: format!("no model, stream, seed or external table is called `{text}`"),
            help: match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => "add a model or stream of that name, or list the table under `external:` in `thalweg.yml`"
                    .to_owned(),
            },
        }
    }

    /// What `source('source', 'stream')` means.
    pub fn stream(&self, source: &str, stream: &str) -> Result<&TableName, Unresolved> {
        let streams = || {
            self.known.iter().filter_map(|known| match &known.kind {
                KnownKind::Stream { source, stream } => Some((source.as_str(), stream.as_str(), &known.table)),
                _ => None,
            })
        };
        if let Some((_, _, table)) =
            streams().find(|(a, b, _)| a.eq_ignore_ascii_case(source) && b.eq_ignore_ascii_case(stream))
        {
            return Ok(table);
        }
        let of_source: Vec<&str> =
            streams().filter(|(a, _, _)| a.eq_ignore_ascii_case(source)).map(|(_, b, _)| b).collect();
        if of_source.is_empty() {
            let mut sources: Vec<&str> = streams().map(|(a, _, _)| a).collect();
            sources.dedup();
            let near = nearest(source, sources.iter().copied());
            return Err(Unresolved {
                code: "unknown-reference",
                message: format!("no source is called `{source}`"),
                help: near.map_or_else(
                    || format!("describe it in `sources/{source}.yml`"),
                    |near| format!("did you mean `{near}`?"),
                ),
            });
        }
        let near = nearest(stream, of_source.iter().copied());
        Err(Unresolved {
            code: "unknown-reference",
            message: format!("the source `{source}` has no stream `{stream}`"),
            help: near.map_or_else(
                || {
                    format!(
                        "it has {}",
                        of_source.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
                    )
                },
                |near| format!("did you mean `{near}`?"),
            ),
        })
    }
}
