//! A database as a source: how it is reached, and which tables its streams are.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::database_url::{self, UrlParts};
use super::sources::{SourcePlace, SourceRead, is_wildcard, merged};
use super::stream::{StreamContext, StreamRead};
use super::{Reader, settings};
use crate::catalog::{Known, KnownKind};
use crate::column_name::snake_case;
use crate::diagnostic::nearest;
use crate::forms::{DatabaseForm, DatabaseStreamForm};
use crate::name::{is_plain, matches_wildcard};
use crate::yaml::{Content, Entry, Node};
use crate::{
    DatabaseConnection, DatabaseKind, DatabaseSettings, Diagnostic, Location, Secret, Source, SourceConnection,
    SslMode, Table, TableName, TableRef,
};

/// Connections of a run when the source does not say.
const CONNECTIONS: usize = 4;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);

/// Words that a URL may have behind `?`.
const PARAMETERS: &[&str] = &["sslmode", "sslrootcert", "sslcert", "sslkey", "connect_timeout"];

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
        let settings = self.database_settings(place, kind, form);
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

    fn database_settings(
        &mut self,
        place: &SourcePlace<'_, 'a>,
        kind: DatabaseKind,
        form: DatabaseForm,
    ) -> DatabaseSettings {
        let file = place.file.path.as_str();
        let parts_given =
            ["host", "port", "user", "password", "database"].into_iter().find(|key| is_given(place.node, key));
        let url = form.url.as_deref().filter(|_| !is_unknown(place.node.get("url")));
        let mut parts = UrlParts::default();
        if let (Some(_), Some(key)) = (&form.url, parts_given) {
            let message = format!("the source `{}` has both `url` and `{key}`", place.name);
            self.report("conflicting-keys", message, file, settings::place(place.node, &["url"])).help =
                Some("keep either `url`, or `host`, `port`, `user`, `password` and `database`".to_owned());
        } else if let Some(url) = url {
            parts = self.database_url(place, kind, url);
        }
        let mut sslmode = form.sslmode;
        let mut connect_timeout = form.connect_timeout.map(|span| span.0);
        let mut files = [form.sslrootcert, form.sslcert, form.sslkey];
        for (name, value) in std::mem::take(&mut parts.parameters) {
            let number = ["sslrootcert", "sslcert", "sslkey"].iter().position(|known| *known == name);
            match name.as_str() {
                "sslmode" => match serde_json::from_value::<SslMode>(json!(value.to_lowercase())) {
                    Ok(mode) => sslmode = sslmode.or(Some(mode)),
                    Err(_) => {
                        let message =
                            format!("`sslmode` in the `url` of the source `{}` is none of its words", place.name);
                        self.report("bad-url", message, file, settings::place(place.node, &["url"])).help = Some(
                            "write `disable`, `allow`, `prefer`, `require`, `verify-ca` or `verify-full`".to_owned(),
                        );
                    }
                },
                "connect_timeout" => {
                    connect_timeout = connect_timeout.or(value.parse().ok().map(Duration::from_secs));
                }
                _ => {
                    if let Some(number) = number {
                        files[number] = files[number].take().or(Some(value));
                    }
                }
            }
        }
        let [sslrootcert, sslcert, sslkey] = files;
        let host = form.host.or(parts.host).unwrap_or_else(|| "localhost".to_owned());
        let user = form.user.or(parts.user);
        let database = form.database.or(parts.database);
        let told = form.url.is_some() && url.is_none();
        for (key, value) in [("user", &user), ("database", &database)] {
            if value.is_none() && !told && !self.has_error_at(file, place.node, "url") {
                let message = format!("the source `{}` needs `{key}`", place.name);
                let span = settings::place(place.node, &[if form.url.is_some() { "url" } else { "type" }]);
                self.report("missing-key", message, file, span).help = Some(match form.url {
                    Some(_) => format!("write the URL like `{}://user:password@host/database`", kind.word()),
                    None => "add `url: ${DATABASE_URL}`, or `host`, `user`, `password` and `database`".to_owned(),
                });
            }
        }
        DatabaseSettings {
            kind,
            host,
            port: form.port.or(parts.port).unwrap_or_else(|| kind.default_port()),
            user: user.unwrap_or_default(),
            password: form.password.or(parts.password).map(Secret::new),
            database: database.unwrap_or_default(),
            sslmode: sslmode.unwrap_or_default(),
            sslrootcert,
            sslcert,
            sslkey,
            connections: form.connections.unwrap_or(CONNECTIONS),
            connect_timeout: connect_timeout.unwrap_or(CONNECT_TIMEOUT),
            statement_timeout: form.statement_timeout.map_or(STATEMENT_TIMEOUT, |span| span.0),
        }
    }

    /// Whether something was reported at a key of the source already.
    fn has_error_at(&self, file: &str, node: &Node, key: &str) -> bool {
        let span = settings::place(node, &[key]);
        !span.is_empty()
            && self
                .diagnostics
                .iter()
                .any(|diagnostic| diagnostic.location.file == file && diagnostic.location.span.start == span.start)
    }

    fn database_url(&mut self, place: &SourcePlace<'_, 'a>, kind: DatabaseKind, url: &str) -> UrlParts {
        let span = settings::place(place.node, &["url"]);
        let file = place.file.path.as_str();
        let parts = match database_url::parse(url) {
            Ok(parts) => parts,
            Err(complaint) => {
                let message = format!("`url` of the source `{}` is no connection URL: {complaint}", place.name);
                self.report("bad-url", message, file, span).help =
                    Some(format!("write it like `{}://user:password@host/database`", kind.word()));
                return UrlParts::default();
            }
        };
        let (schemes, word): (&[&str], _) = match kind {
            DatabaseKind::Postgres => (&["postgres", "postgresql"], "postgres"),
            DatabaseKind::Mysql | DatabaseKind::Mariadb => (&["mysql", "mariadb"], "mysql"),
        };
        if !schemes.contains(&parts.scheme.as_str()) {
            let message =
                format!("`url` of the source `{}` does not begin with `{word}://`, as its type says", place.name);
            self.report("bad-url", message, file, span.clone()).help = Some("change `url` or `type`".to_owned());
        }
        if let Some((name, _)) = parts.parameters.iter().find(|(name, _)| !PARAMETERS.contains(&name.as_str())) {
            let help = match nearest(name, PARAMETERS.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known are `{}`", PARAMETERS.join("`, `")),
            };
            // The name stands in the URL, which may come from the environment.
            let message = format!("`url` of the source `{}` has a setting behind `?` that is not known", place.name);
            self.report("bad-url", message, file, span).help = Some(help);
        }
        parts
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

fn is_given(node: &Node, key: &str) -> bool {
    node.get(key).is_some_and(|value| !value.is_null())
}

/// Whether a value is not known because its variable is not set.
fn is_unknown(node: Option<&Node>) -> bool {
    matches!(node.map(|node| &node.content), Some(Content::Scalar(scalar)) if scalar.unknown)
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
