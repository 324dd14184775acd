//! A database as a source: how it is reached, and which tables its streams are.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Reader;
use super::connection::{ConnectionForm, ConnectionPlace};
use super::sources::{SourcePlace, SourceRead, is_wildcard, merged};
use super::stream::{StreamContext, StreamRead};
use crate::catalog::{Known, KnownKind};
use crate::column_name::snake_case;
use crate::diagnostic::nearest;
use crate::forms::{DatabaseForm, DatabaseStreamForm};
use crate::name::{is_plain, matches_wildcard};
use crate::yaml::{Content, Entry, Node};
use crate::{
    DatabaseConnection, DatabaseKind, Diagnostic, Location, Source, SourceConnection, Table, TableName, TableRef,
};

impl<'a> Reader<'a> {
    pub(super) fn database_source(
        &mut self,
        place: &SourcePlace<'_, 'a>,
        kind: DatabaseKind,
        mut form: DatabaseForm,
        value: &Value,
    ) -> SourceRead {
        let schema = form.schema.take();
        let mistakes = self.diagnostics.len();
        let what = format!("source `{}`", place.name);
        let at = ConnectionPlace { what: &what, file: &place.file.path, node: place.node, above: None };
        let form = ConnectionForm {
            url: form.url,
            host: form.host,
            port: form.port,
            user: form.user,
            password: form.password,
            database: form.database,
            sslmode: form.sslmode,
            sslrootcert: form.sslrootcert,
            sslcert: form.sslcert,
            sslkey: form.sslkey,
            connections: form.connections,
            connect_timeout: form.connect_timeout,
            statement_timeout: form.statement_timeout,
        };
        let settings = self.database_settings(&at, kind, form);
        let is_placed = self.diagnostics.len() == mistakes;
        let schema = schema.unwrap_or_else(|| match kind {
            DatabaseKind::Postgres => "public".to_owned(),
            DatabaseKind::Mysql | DatabaseKind::Mariadb => settings.database.clone(),
        });
        let input = self.input;
        let discovered = input.discovered.get(place.name).map(Vec::as_slice);
        let tables = Tables { schema: &schema, discovered };
        let (wildcards, named): (Vec<&Entry>, Vec<&Entry>) =
            place.node.get("streams").map_or(&[][..], Node::entries).iter().partition(|entry| is_wildcard(&entry.key));
        let mut streams = Vec::new();
        let mut taken = BTreeSet::new();
        for entry in named {
            let Some((table_name, is_new)) = self.know_stream(place, entry, true) else { continue };
            if !is_new {
                continue;
            }
            let Some(form) = stream_form(value, entry) else {
                self.unreadable.push(table_name);
                continue;
            };
            let context = place.stream(entry, table_name);
            let written = form.table.clone().unwrap_or_else(|| entry.key.clone());
            let (table, found) = tables.find(&written);
            if found.is_none() && is_placed {
                self.missing_table(place, entry, &tables, &table);
            }
            taken.insert(table.clone());
            streams.push(self.database_stream(&context, &entry.key, form, table, found));
        }
        for entry in &wildcards {
            let Some(form) = stream_form(value, entry) else { continue };
            self.only_for_one_table(place, entry);
            let matching: Vec<&Table> =
                tables.matching(&entry.key).into_iter().filter(|table| !taken.contains(&table.table)).collect();
            if matching.is_empty() && discovered.is_some() && is_placed {
                let message =
                    format!("no table is called like `{}`, or all of them have streams of their own", entry.key);
                let location = Location::new(&place.file.path, entry.key_span.clone());
                self.diagnostics.push(
                    Diagnostic::warning("empty-wildcard", message, location)
                        .with_help(format!("`thalweg conns discover {}` shows the tables", place.name)),
                );
            }
            for table in matching {
                let name = snake_case(&table.table.name);
                let store_table = TableName::new(place.store_layer, &name);
                if !is_plain(&name) || !self.know_wildcard(place, entry, &store_table, table) {
                    continue;
                }
                taken.insert(table.table.clone());
                let context = StreamContext { is_wildcard: true, ..place.stream(entry, store_table) };
                let form = DatabaseStreamForm { table: None, ..form.clone() };
                streams.push(self.database_stream(&context, &name, form, table.table.clone(), Some(table)));
            }
        }
        if discovered.is_none() && is_placed {
            let message = format!(
                "the database of the source `{}` was not asked for its tables yet, so keys and wildcards are not known",
                place.name
            );
            self.diagnostics.push(
                Diagnostic::warning("undiscovered-source", message, Location::file(&place.file.path))
                    .with_help(format!("run `thalweg conns discover {}`; a build asks by itself", place.name)),
            );
        }
        let connection = DatabaseConnection {
            settings,
            discovered: discovered.is_some(),
            wildcards: wildcards.iter().map(|entry| entry.key.clone()).collect(),
        };
        let source = Source {
            name: place.name.to_owned(),
            connection: SourceConnection::Database(Box::new(connection)),
            streams: streams.iter().map(|read: &StreamRead| read.stream.clone()).collect(),
            location: Location::file(&place.file.path),
        };
        SourceRead { source, streams }
    }

    fn know_wildcard(&mut self, place: &SourcePlace<'_, 'a>, entry: &Entry, name: &TableName, table: &Table) -> bool {
        let is_new = self.know(Known {
            table: name.clone(),
            kind: KnownKind::Stream { source: place.name.to_owned(), stream: name.name.clone() },
            location: Location::new(&place.file.path, entry.key_span.clone()),
            disabled: false,
        });
        if !is_new && let Some(diagnostic) = self.diagnostics.last_mut() {
            diagnostic.help =
                Some(format!("give the table a stream of its own: `another_name: {{ table: {} }}`", table.table));
        }
        is_new
    }

    /// A table that the database did not have when it was last asked. It may be there when the stream is read.
    fn missing_table(&mut self, place: &SourcePlace<'_, 'a>, entry: &Entry, tables: &Tables<'_>, table: &TableRef) {
        let Some(discovered) = tables.discovered else { return };
        let node = entry.value.get("table");
        let span = node.map_or_else(|| entry.key_span.clone(), |node| node.span.clone());
        let message = format!("the database of the source `{}` has no table `{table}`", place.name);
        let names: Vec<String> = discovered.iter().map(|table| tables.shown(&table.table)).collect();
        let near = nearest(&tables.shown(table), names.iter().map(String::as_str));
        let help = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("`thalweg conns discover {}` shows the tables", place.name),
        };
        self.diagnostics.push(
            Diagnostic::warning("unknown-source-table", message, Location::new(&place.file.path, span)).with_help(help),
        );
    }

    /// Settings that say something of one table have no meaning for a wildcard.
    fn only_for_one_table(&mut self, place: &SourcePlace<'_, 'a>, entry: &Entry) {
        for key in ["table", "as"] {
            let Some(found) = entry.value.entry(key).filter(|found| !found.value.is_null()) else { continue };
            let message = format!("`{key}` names one table, but the stream `{}` stands for several", entry.key);
            self.report("wildcard-setting", message, &place.file.path, found.key_span.clone()).help =
                Some(format!("remove `{key}`, or give the table a stream of its own"));
        }
    }
}

/// A stream's form with the defaults under it; `null`, which YAML takes for nothing, is a word of one setting.
fn stream_form(value: &Value, entry: &Entry) -> Option<DatabaseStreamForm> {
    if !matches!(entry.value.content, Content::Map(_)) && !entry.value.is_null() {
        return None;
    }
    let told = |settings: &Value| {
        let mut settings = if settings.is_null() { json!({}) } else { settings.clone() };
        if let Some(word) = settings.get_mut("on_unrepresentable").filter(|word| word.is_null()) {
            *word = json!("null");
        }
        settings
    };
    merged(&told(&value["defaults"]), &told(&value["streams"][&entry.key]))
}

/// The tables of a database, as far as they are known.
struct Tables<'t> {
    schema: &'t str,
    discovered: Option<&'t [Table]>,
}

impl<'t> Tables<'t> {
    /// The table that is written so, and what is known of it. Upper and lower case matter only where both are there.
    fn find(&self, written: &str) -> (TableRef, Option<&'t Table>) {
        let (schema, name) = written.split_once('.').unwrap_or((self.schema, written));
        // A name may hold a dot itself.
        let readings = [TableRef::new(self.schema, written), TableRef::new(schema, name)];
        let known = self.discovered.unwrap_or_default();
        let same = |a: &TableRef, b: &TableRef| {
            a.schema.eq_ignore_ascii_case(&b.schema) && a.name.eq_ignore_ascii_case(&b.name)
        };
        let found = readings
            .iter()
            .find_map(|reading| known.iter().find(|table| table.table == *reading))
            .or_else(|| readings.iter().find_map(|reading| known.iter().find(|table| same(&table.table, reading))));
        let [_, reading] = readings;
        (found.map_or(reading, |table| table.table.clone()), found)
    }

    /// The tables a pattern stands for: of the source's own schema, or of the one it names.
    fn matching(&self, pattern: &str) -> Vec<&'t Table> {
        let (schema, pattern) = pattern.split_once('.').unwrap_or((self.schema, pattern));
        let discovered = self.discovered.unwrap_or_default();
        discovered
            .iter()
            .filter(|table| table.table.schema == schema && matches_wildcard(pattern, &table.table.name))
            .collect()
    }

    /// A name as a file would have it: without the source's own schema.
    fn shown(&self, table: &TableRef) -> String {
        if table.schema == self.schema { table.name.clone() } else { table.to_string() }
    }
}
