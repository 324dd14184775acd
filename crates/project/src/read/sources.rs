//! `sources/*.yml`.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::stream::{StreamContext, StreamRead};
use super::{Reader, settings};
use crate::catalog::{Known, KnownKind};
use crate::diagnostic::nearest;
use crate::forms::{FilesForm, SOURCES, SourceFile, StreamForm, UNBUILT_SOURCES};
use crate::input::InputFile;
use crate::name::is_plain;
use crate::yaml::{Content, Entry, Node};
use crate::{DatabaseKind, Location, Source, SourceConnection, TableName};

/// A source with what is needed to read its tests later, when all tables are known.
pub struct SourceRead {
    pub source: Source,
    pub streams: Vec<StreamRead>,
}

impl<'a> Reader<'a> {
    /// Reads the sources and makes their store tables known.
    pub(super) fn sources(&mut self, store_layer: &str, targets: &[String], target: &str) -> Vec<SourceRead> {
        let mut sources: Vec<SourceRead> = Vec::new();
        for file in self.files("sources") {
            if !file.is_yaml() {
                continue;
            }
            let name = file.stem();
            if file.folder() != "sources" {
                let message =
                    format!("`{}` is not read: sources stand in `sources/` itself, not in folders below", file.path);
                self.report("misplaced-file", message, &file.path, 0..0).help =
                    Some(format!("move it to `sources/{name}.yml`"));
                continue;
            }
            if !is_plain(name) {
                let message = format!("the source's name `{name}` must consist of letters, digits and `_`");
                self.report("bad-name", message, &file.path, 0..0).help = Some("rename the file".to_owned());
            }
            let twin = sources.iter().find(|other| other.source.name.eq_ignore_ascii_case(name));
            if let Some(twin) = twin.map(|other| other.source.location.file.clone()) {
                let message = format!("two files describe the source `{name}`: `{twin}` and `{}`", file.path);
                self.report("duplicate-source", message, &file.path, 0..0).help =
                    Some("keep one of the two".to_owned());
                continue;
            }
            let Some(node) = self.tree(file) else { continue };
            if let Some(source) = self.source(file, &node, store_layer, targets, target) {
                sources.push(source);
            }
        }
        sources
    }

    fn source(
        &mut self,
        file: &'a InputFile,
        node: &Node,
        store_layer: &str,
        targets: &[String],
        target: &str,
    ) -> Option<SourceRead> {
        let name = file.stem().to_owned();
        let is_supported = self.source_kind(file, node);
        let read = if is_supported { self.form::<SourceFile>(&file.path, node) } else { None };
        let no_defaults = Node::from_json(&Value::Null, &(0..0));
        let defaults = node.get("defaults").unwrap_or(&no_defaults);
        let place = SourcePlace { file, node, name: &name, defaults, store_layer, targets, target };
        let Some((form, value)) = read else {
            self.name_unreadable(&place, is_supported);
            return None;
        };
        let read = match form {
            SourceFile::Files(form) => self.files_source(&place, *form, &value),
            SourceFile::Mysql(form) => self.database_source(&place, DatabaseKind::Mysql, *form, &value),
            SourceFile::Mariadb(form) => self.database_source(&place, DatabaseKind::Mariadb, *form, &value),
            SourceFile::Postgres(form) => self.database_source(&place, DatabaseKind::Postgres, *form, &value),
        };
        if node.get("streams").is_none_or(|streams| streams.entries().is_empty()) {
            let message = format!("the source `{name}` has no streams");
            let span = settings::place(node, &["streams"]);
            let help = match read.source.connection {
                SourceConnection::Files { .. } => "add a stream: `orders: { files: \"orders_*.csv\" }`".to_owned(),
                SourceConnection::Database(_) => {
                    format!(
                        "`thalweg conns discover {name} --write` writes a stream for each table, `\"*\": {{}}` stands for all of them"
                    )
                }
            };
            self.diagnostics.push(
                crate::Diagnostic::warning("empty-source", message, Location::new(&file.path, span)).with_help(help),
            );
        }
        Some(read)
    }

    /// The tables of a source that cannot be read are known, so that references to them are no mistakes of their own.
    fn name_unreadable(&mut self, place: &SourcePlace<'_, '_>, is_supported: bool) {
        for entry in place.node.get("streams").map_or(&[][..], Node::entries) {
            if let Some((table, _)) = self.know_stream(place, entry, is_supported) {
                self.unreadable.push(table);
            }
        }
    }

    /// Makes the store table of a stream known; `None` for a wildcard. Whether the name was free.
    pub(super) fn know_stream(
        &mut self,
        place: &SourcePlace<'_, '_>,
        entry: &Entry,
        is_supported: bool,
    ) -> Option<(TableName, bool)> {
        if is_wildcard(&entry.key) {
            return None;
        }
        let file = place.file;
        let table_name = entry.value.get("as").and_then(Node::as_str).unwrap_or(&entry.key).to_owned();
        let table = TableName::new(place.store_layer, &table_name);
        if is_supported && !is_plain(&table_name) {
            let (shown, span) = match entry.value.get("as") {
                Some(node) => (node.shown().to_owned(), node.span.clone()),
                None => (entry.key.clone(), entry.key_span.clone()),
            };
            let message = format!("the table's name `{shown}` must consist of letters, digits and `_`");
            self.report("bad-name", message, &file.path, span).help =
                Some("rename the stream, or give its table a name with `as:`".to_owned());
        }
        let location = Location::new(&file.path, entry.key_span.clone());
        let kind = KnownKind::Stream { source: place.name.to_owned(), stream: entry.key.clone() };
        let is_new = self.know(Known { table: table.clone(), kind, location, disabled: false });
        Some((table, is_new))
    }

    fn files_source(&mut self, place: &SourcePlace<'_, 'a>, form: FilesForm, value: &Value) -> SourceRead {
        let file = place.file;
        let mut stream_reads = Vec::new();
        for entry in place.node.get("streams").map_or(&[][..], Node::entries) {
            let Some((table, is_new)) = self.know_stream(place, entry, true) else {
                let message = format!("the stream's name `{}` must consist of letters, digits and `_`", entry.key);
                self.report("bad-name", message, &file.path, entry.key_span.clone()).help =
                    Some("name the stream, and give the pattern of its files as `files:`".to_owned());
                continue;
            };
            if !is_new {
                continue;
            }
            let form = merged::<StreamForm>(&value["defaults"], &value["streams"][&entry.key]);
            let form = form.filter(|_| matches!(entry.value.content, Content::Map(_)));
            let Some(form) = form else {
                self.unreadable.push(table);
                continue;
            };
            let context = place.stream(entry, table);
            stream_reads.push(self.stream(context, form));
        }
        if settings::is_object_storage(&form.path) {
            let message =
                format!("the source `{}` lies in object storage, which this version does not read yet", place.name);
            let span = settings::place(place.node, &["path"]);
            self.report("unsupported-source", message, &file.path, span).help =
                Some("give a folder: `path: incoming`".to_owned());
        }
        let source = Source {
            name: place.name.to_owned(),
            connection: SourceConnection::Files { path: form.path, country_database: form.country_database },
            streams: stream_reads.iter().map(|read| read.stream.clone()).collect(),
            location: Location::file(&file.path),
        };
        SourceRead { source, streams: stream_reads }
    }

    /// Whether the source is of a kind this version reads. One that is not gets one message, not one for each of its keys.
    fn source_kind(&mut self, file: &InputFile, node: &Node) -> bool {
        let Some(kind) = node.get("type") else { return true };
        let Some(word) = kind.as_str().map(str::to_lowercase) else { return true };
        // A slip of the pen is told by the schema; anything else is a kind that is not built, or one we never heard of.
        if !UNBUILT_SOURCES.contains(&word.as_str()) && nearest(&word, SOURCES.iter().copied()).is_some() {
            return true;
        }
        let shown = kind.shown().to_owned();
        let message = format!("the source type `{shown}` is not supported by this version yet");
        let diagnostic = self.report("unsupported-source", message, &file.path, kind.span.clone());
        diagnostic.label = Some("supported: `files`, `mysql`, `mariadb`, `postgres`".to_owned());
        diagnostic.help =
            Some("deliver the data as files (CSV, NDJSON, JSON or Parquet) and write `type: files`".to_owned());
        false
    }
}

/// A source and what surrounds it.
pub struct SourcePlace<'r, 'a> {
    pub file: &'a InputFile,
    pub node: &'r Node,
    pub name: &'r str,
    pub defaults: &'r Node,
    pub store_layer: &'r str,
    pub targets: &'r [String],
    pub target: &'r str,
}

impl<'r, 'a: 'r> SourcePlace<'r, 'a> {
    /// What surrounds one of its streams.
    pub(super) fn stream(&self, entry: &'r Entry, table: TableName) -> StreamContext<'r> {
        StreamContext {
            file: self.file,
            source: self.name,
            entry,
            defaults: self.defaults,
            table,
            location: Location::new(&self.file.path, entry.key_span.clone()),
            targets: self.targets,
            target: self.target,
            is_wildcard: false,
        }
    }
}

/// Whether the name of a stream stands for several tables.
pub(super) fn is_wildcard(name: &str) -> bool {
    name.contains(['*', '?'])
}

/// A stream's settings over the source's defaults.
pub(super) fn merged<F: DeserializeOwned>(defaults: &Value, own: &Value) -> Option<F> {
    let mut settings = defaults.as_object().cloned().unwrap_or_default();
    // `as:` names one table; it cannot be inherited.
    settings.remove("as");
    for (key, value) in own.as_object()? {
        if !value.is_null() {
            settings.insert(key.clone(), value.clone());
        }
    }
    serde_json::from_value(Value::Object(settings)).ok()
}
