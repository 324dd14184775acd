//! `thalweg.yml`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::Reader;
use super::connection::{ConnectionForm, ConnectionPlace};
use crate::diagnostic::nearest;
use crate::forms::{OnSourceErrorWord, ProjectFile, TargetForm};
use crate::input::InputFile;
use crate::name::is_plain;
use crate::variables::leave_unknown;
use crate::yaml::{self, Content, Node};
use crate::{
    ChangeLogSettings, DatabaseKind, Diagnostic, Location, OnSourceError, PostgresTarget, Schedule, TableName, Target,
    TargetConnection,
};

/// The file that makes a folder a project.
pub const FILE: &str = "thalweg.yml";

/// Where the warehouse is when a target does not say.
const DEFAULT_PATH: &str = "warehouse.duckdb";

/// How long a statement of a Postgres target waits for a lock.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);

/// How long before images are kept for a model that is left out.
const READERS: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Schemas that Thalweg or the engines keep for themselves.
pub const RESERVED_SCHEMAS: &[&str] =
    &["thalweg", "thalweg_data", "information_schema", "main", "pg_catalog", "system", "temp"];

/// What `thalweg.yml` says.
pub struct Settings {
    pub name: String,
    pub store_layer: String,
    pub landing: String,
    pub target: Target,
    pub target_names: Vec<String>,
    pub vars: BTreeMap<String, Value>,
    pub external: Vec<(TableName, Location)>,
    pub schedules: Vec<Schedule>,
    pub on_source_error: OnSourceError,
    pub change_log: ChangeLogSettings,
}

impl<'a> Reader<'a> {
    /// Reads `thalweg.yml`. `None` where it is absent or cannot be understood; mistakes in it that leave it readable do not stop the rest.
    pub(super) fn settings(&mut self) -> Option<Settings> {
        let Some(file) = self.input.files.iter().find(|file| file.path == FILE) else {
            let other = self.input.files.iter().find(|file| file.path == "thalweg.yaml");
            let location = Location::file(other.map_or(FILE, |file| &file.path));
            let diagnostic =
                Diagnostic::error("no-project", "there is no `thalweg.yml` in the project folder", location);
            self.diagnostics.push(diagnostic.with_help(match other {
                Some(_) => "rename `thalweg.yaml` to `thalweg.yml`",
                None => "run `thalweg init` to begin a project here, or name the folder of one with `--project DIR`",
            }));
            return None;
        };
        let (node, diagnostics) = yaml::parse(&file.path, &file.text);
        self.diagnostics.extend(diagnostics);
        let mut node = node?;
        let chosen = self.expand_chosen(file, &mut node);
        let (form, _) = self.form::<ProjectFile>(FILE, &node)?;

        let place = |path: &[&str]| place(&node, path);
        if !form.name.is_empty() && !form.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') {
            let shown = node.get("name").map_or("", Node::shown).to_owned();
            let message = format!("the project's name `{shown}` must consist of letters, digits, `_` and `-`");
            self.report("bad-name", message, FILE, place(&["name"])).help =
                Some("write it like `orders` or `web-shop`".to_owned());
        }
        let store_layer = form.layers.and_then(|layers| layers.store).unwrap_or_else(|| "store".to_owned());
        if !is_plain(&store_layer) || RESERVED_SCHEMAS.contains(&store_layer.to_lowercase().as_str()) {
            let shown = node.get("layers").and_then(|layers| layers.get("store")).map_or("", Node::shown).to_owned();
            let reserved = RESERVED_SCHEMAS.contains(&store_layer.to_lowercase().as_str());
            let why = if reserved { "is reserved" } else { "must consist of letters, digits and `_`" };
            let message = format!("the store layer's schema `{shown}` {why}");
            self.report("bad-name", message, FILE, place(&["layers", "store"])).help =
                Some("write it like `store` or `bronze`".to_owned());
        }

        let target_names: Vec<String> = match node.get("targets") {
            Some(targets) if !targets.entries().is_empty() => {
                targets.entries().iter().map(|entry| entry.key.clone()).collect()
            }
            _ => vec!["dev".to_owned()],
        };
        self.distinct_targets(&node);
        let name = self.chosen_target(&node, chosen, &target_names);
        let mut forms = form.targets.unwrap_or_default();
        let target = self.target(&node, &name, forms.remove(&name));

        let mut vars: BTreeMap<String, Value> = form.vars.unwrap_or_default().into_iter().collect();
        vars.extend(self.input.vars.iter().map(|(name, value)| (name.clone(), value.clone())));
        let external_nodes = node.get("external").map_or(&[][..], Node::items);
        let external = form.external.unwrap_or_default().into_iter().zip(external_nodes);
        let external = external
            .filter_map(|(text, node)| Some((text.0.parse().ok()?, Location::new(FILE, node.span.clone()))))
            .collect();
        let schedules = form.schedules.unwrap_or_default().into_iter().map(|(name, schedule)| Schedule {
            name,
            cron: schedule.cron,
            timezone: schedule.timezone.unwrap_or_else(|| "UTC".to_owned()),
            select: schedule.select,
        });
        let landing = form.landing.unwrap_or_else(|| "landing".to_owned());
        if is_object_storage(&landing) {
            let message = "object storage as landing is not supported by this version yet".to_owned();
            self.report("unsupported-landing", message, FILE, place(&["landing"])).help =
                Some("give a folder: `landing: landing`".to_owned());
        }
        Some(Settings {
            name: form.name,
            store_layer,
            landing,
            target,
            target_names,
            vars,
            external,
            schedules: schedules.collect(),
            change_log: ChangeLogSettings {
                history: form.change_log.as_ref().and_then(|log| log.history).map(|span| span.0),
                readers: form.change_log.and_then(|log| log.readers).map_or(READERS, |span| span.0),
            },
            on_source_error: match form.on_source_error {
                Some(OnSourceErrorWord::Stop) => OnSourceError::Stop,
                Some(OnSourceErrorWord::Continue) | None => OnSourceError::Continue,
            },
        })
    }

    /// Fills in the variables of everything but the targets that are not chosen, whose secrets may be absent here. Gives the name that was
    /// chosen, if any.
    fn expand_chosen(&mut self, file: &InputFile, node: &mut Node) -> Option<String> {
        let Content::Map(entries) = &mut node.content else { return None };
        for entry in entries.iter_mut().filter(|entry| entry.key != "targets") {
            self.variables.expand(&file.path, &file.text, &mut entry.value, &mut self.diagnostics);
        }
        let default = entries.iter().find(|entry| entry.key == "default_target");
        let default = default.and_then(|entry| entry.value.as_str()).map(str::to_owned);
        let chosen = self.input.target.clone().or(default);
        let targets = entries.iter_mut().find(|entry| entry.key == "targets")?;
        let only = targets.value.entries().len() == 1;
        if let Content::Map(targets) = &mut targets.value.content {
            for target in targets {
                if only || chosen.as_ref() == Some(&target.key) {
                    self.variables.expand(&file.path, &file.text, &mut target.value, &mut self.diagnostics);
                } else {
                    leave_unknown(&mut target.value);
                }
            }
        }
        chosen
    }

    /// The name of the target to use; where the choice is wrong, the first one, so that reading can go on.
    fn chosen_target(&mut self, node: &Node, chosen: Option<String>, names: &[String]) -> String {
        let first = names.first().cloned().unwrap_or_default();
        let help = |name: &str| match nearest(name, names.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!(
                "the project has {}",
                names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
            ),
        };
        if let Some(default) = node.get("default_target")
            && let Some(name) = default.as_str()
            && !names.iter().any(|known| known == name)
        {
            let (shown, help) = (default.shown().to_owned(), help(name));
            let message = format!("`default_target` names `{shown}`, which is not a target of the project");
            self.report("unknown-target", message, FILE, default.span.clone()).help = Some(help);
            if self.input.target.is_none() {
                return first;
            }
        }
        match (&self.input.target, chosen) {
            (Some(given), _) if !names.contains(given) => {
                let help = help(given);
                let message = format!("`--target {given}` is not a target of the project");
                self.report("unknown-target", message, FILE, place(node, &["targets"])).help = Some(help);
                first
            }
            (_, Some(chosen)) => chosen,
            (_, None) if names.len() == 1 => first,
            (_, None) => {
                let message = "the project has several targets and no `default_target`";
                let help = format!("add `default_target: {first}`, or choose with `--target`");
                self.report("no-default-target", message, FILE, place(node, &["targets"])).help = Some(help);
                first
            }
        }
    }

    /// Reports files of a DuckDB target that are called like a schema in them: DuckDB calls the whole file so, too, and could not tell which of
    /// the two a name means.
    pub(super) fn distinct_from_schemas<'s>(&mut self, settings: &Settings, schemas: impl Iterator<Item = &'s str>) {
        let TargetConnection::Duckdb { path, published_copy, .. } = &settings.target.connection else { return };
        let prefix = &settings.target.schema_prefix;
        let schemas = schemas.map(|schema| format!("{prefix}{schema}").to_lowercase());
        let schemas: BTreeSet<String> = schemas.chain(RESERVED_SCHEMAS.iter().map(|name| (*name).to_owned())).collect();
        for file in [Some(path), published_copy.as_ref()].into_iter().flatten() {
            let name = Path::new(file).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            if schemas.contains(&name.to_lowercase()) {
                let message = format!("the DuckDB file `{file}` is called like the schema `{name}` in it");
                let Location { file, span } = settings.target.location.clone();
                self.report("bad-path", message, &file, span).help = Some(
                    "give the file another name, `warehouse.duckdb` for one: DuckDB could not tell the two apart"
                        .to_owned(),
                );
            }
        }
    }

    /// Reports targets that would write to the same tables of the same DuckDB file.
    fn distinct_targets(&mut self, node: &Node) {
        let targets = node.get("targets").map_or(&[][..], Node::entries);
        let mut seen: Vec<(&str, String, String)> = Vec::new();
        for target in targets {
            let Some("duckdb") = target.value.get("type").and_then(Node::as_str) else { continue };
            let path = written(target.value.get("path"), DEFAULT_PATH);
            let path = path.trim_start_matches("./").to_owned();
            let prefix = written(target.value.get("schema_prefix"), "").to_lowercase();
            match seen.iter().find(|(_, other_path, other_prefix)| *other_path == path && *other_prefix == prefix) {
                Some((first, ..)) => {
                    let message = format!(
                        "the targets `{first}` and `{}` are the same tables of the same DuckDB file `{path}`",
                        target.key
                    );
                    self.report("same-target", message, FILE, target.key_span.clone()).help =
                        Some(format!("give one of them another `path`, or `schema_prefix: {}_`", target.key));
                }
                None => seen.push((&target.key, path, prefix)),
            }
        }
    }

    fn target(&mut self, node: &Node, name: &str, form: Option<TargetForm>) -> Target {
        let default_path = || DEFAULT_PATH.to_owned();
        let (schema_prefix, connection) = match form {
            None => {
                let path = default_path();
                (None, TargetConnection::Duckdb { path, memory_limit: None, threads: None, published_copy: None })
            }
            Some(TargetForm::Duckdb { path, memory_limit, threads, published_copy, schema_prefix }) => {
                let path = path.unwrap_or_else(default_path);
                (schema_prefix, TargetConnection::Duckdb { path, memory_limit, threads, published_copy })
            }
            Some(TargetForm::Postgres {
                url,
                host,
                port,
                user,
                password,
                database,
                sslmode,
                sslrootcert,
                sslcert,
                sslkey,
                role,
                connect_timeout,
                lock_timeout,
                schema_prefix,
            }) => {
                let what = format!("target `{name}`");
                let keys = node.get("targets").and_then(|targets| targets.get(name)).unwrap_or(node);
                let above = Some(place(node, &["targets", name]));
                let at = ConnectionPlace { what: &what, file: FILE, node: keys, above };
                let form = ConnectionForm {
                    url,
                    host,
                    port,
                    user,
                    password,
                    database,
                    sslmode,
                    sslrootcert,
                    sslcert,
                    sslkey,
                    connections: None,
                    connect_timeout,
                    statement_timeout: None,
                };
                let settings = self.database_settings(&at, DatabaseKind::Postgres, form);
                let lock_timeout = lock_timeout.map_or(LOCK_TIMEOUT, |span| span.0);
                (schema_prefix, TargetConnection::Postgres(Box::new(PostgresTarget { settings, role, lock_timeout })))
            }
        };
        let schema_prefix = schema_prefix.unwrap_or_default();
        if !schema_prefix.is_empty() && !is_plain(&schema_prefix) {
            let span = place(node, &["targets", name, "schema_prefix"]);
            let message = format!("`schema_prefix` of the target `{name}` must consist of letters, digits and `_`");
            self.report("bad-name", message, FILE, span).help = Some("write it like `dev_ana_`".to_owned());
        }
        let location = Location::new(FILE, place(node, &["targets", name]));
        Target { name: name.to_owned(), schema_prefix, connection, location }
    }
}

/// A text as the file has it: the variables of a target that was not chosen are not known, and no message shows any.
fn written(node: Option<&Node>, default: &str) -> String {
    match node.map(|node| &node.content) {
        Some(Content::Scalar(scalar)) if scalar.from_variable => scalar.text.clone(),
        Some(Content::Scalar(_)) => node.and_then(Node::as_str).unwrap_or(default).to_owned(),
        _ => default.to_owned(),
    }
}

/// The place of a path of keys: the value of the last one, or of the deepest that is there; for a map or list, its key.
pub fn place(node: &Node, path: &[&str]) -> std::ops::Range<usize> {
    let mut span = 0..0;
    let mut node = node;
    for key in path {
        let Some(entry) = node.entry(key) else { break };
        span = match &entry.value.content {
            Content::Scalar(_) if !entry.value.span.is_empty() => entry.value.span.clone(),
            _ => entry.key_span.clone(),
        };
        node = &entry.value;
    }
    span
}

/// Whether a path is an address of object storage: `s3://bucket/prefix`.
pub(super) fn is_object_storage(path: &str) -> bool {
    path.contains("://")
}
