//! The form of `thalweg.yml`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::text::TableText;
use crate::SslMode;
use crate::duration::Span;

/// `thalweg.yml`: what concerns the project as a whole.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "thalweg.yml")]
pub struct ProjectFile {
    /// Name of the project: letters, digits, `_` and `-`. The project's runs are filed under it in every warehouse, so it should not change.
    pub name: String,
    /// Names of the layers that Thalweg itself builds.
    pub layers: Option<LayersForm>,
    /// Where raw extracts are kept: a folder, relative to the project. Default: `landing`.
    pub landing: Option<String>,
    /// The target that is used when the command line names none. Needed when there are several targets.
    #[expect(dead_code, reason = "needed before the file is checked, and so read from the tree")]
    pub default_target: Option<String>,
    /// The warehouses of the project, by name. Default: one target `dev`, a DuckDB file `warehouse.duckdb`.
    pub targets: Option<BTreeMap<String, TargetForm>>,
    /// Variables for `{{ var('name') }}`; `--vars` overrides them.
    pub vars: Option<Map<String, Value>>,
    /// Tables that exist in the warehouse and are not built by this project, as `schema.table`.
    pub external: Option<Vec<TableText>>,
    /// How long it is remembered what rows were before they changed.
    pub change_log: Option<ChangeLogForm>,
    /// When `thalweg serve` builds what, by name.
    pub schedules: Option<BTreeMap<String, ScheduleForm>>,
    /// What happens to the rest of a run when a source cannot be reached. Default: `continue`.
    pub on_source_error: Option<OnSourceErrorWord>,
}

/// Names of the layers that Thalweg itself builds.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LayersForm {
    /// Schema of the store tables, one per stream. Default: `store`; medallion people write `bronze`.
    pub store: Option<String>,
}

/// A warehouse.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum TargetForm {
    /// An embedded DuckDB file.
    Duckdb {
        /// The file, relative to the project folder. Default: `warehouse.duckdb`.
        path: Option<String>,
        /// DuckDB's memory limit, such as `1GB`. Default: DuckDB's own.
        memory_limit: Option<String>,
        /// Number of DuckDB's threads. Default: all cores.
        #[schemars(range(min = 1))]
        threads: Option<usize>,
        /// A copy of the warehouse for other readers, replaced by rename after each run.
        published_copy: Option<String>,
        /// Put before the name of every schema, for a personal target: `dev_ana_`.
        schema_prefix: Option<String>,
    },
    /// A Postgres database, given by `url` or by its parts.
    Postgres {
        /// Connection URL: `${WAREHOUSE_URL}`, as in `postgres://user:password@host:5432/database?sslmode=require`.
        url: Option<String>,
        /// Host name or address; a path is the folder of a socket. Default: `localhost`.
        host: Option<String>,
        /// Port. Default: 5432.
        #[schemars(range(min = 1))]
        port: Option<u16>,
        /// User name.
        user: Option<String>,
        /// Password; may hold any character: `${WAREHOUSE_PASSWORD}`.
        password: Option<String>,
        /// Name of the database.
        database: Option<String>,
        /// Whether the connection is encrypted and the server's certificate checked, as in libpq. Default: `prefer`.
        sslmode: Option<SslMode>,
        /// File with the certificates of the authorities to trust. Default: those of the system.
        sslrootcert: Option<String>,
        /// File with our own certificate.
        sslcert: Option<String>,
        /// File with the key of our own certificate.
        sslkey: Option<String>,
        /// A role to assume once connected, which owns what is made.
        role: Option<String>,
        /// How long is waited for a connection. Default: `10s`.
        connect_timeout: Option<Span>,
        /// How long a statement waits for readers or other programs that hold a table, before the run is tried again. Default: `30s`.
        lock_timeout: Option<Span>,
        /// Put before the name of every schema, for a personal target: `dev_ana_`.
        schema_prefix: Option<String>,
    },
}

/// How long it is remembered what rows were before they changed. What the models that read a table have all seen is forgotten, unless
/// `history` says otherwise.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeLogForm {
    /// Keep earlier versions of the rows of every table at least this long, for `thalweg why --history`: `30d`. Default: not at all.
    pub history: Option<Span>,
    /// Keep them at most this long for a model that is left out of builds; after that it is computed anew. Default: `30d`.
    pub readers: Option<Span>,
}

/// A time at which `thalweg serve` builds.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleForm {
    /// Cron expression of five fields: minute, hour, day of month, month, day of week.
    #[schemars(extend("format" = "thalweg-cron"))]
    pub cron: String,
    /// IANA time zone the expression is meant in, such as `Europe/Zurich`. Default: `UTC`.
    #[schemars(extend("format" = "thalweg-time-zone"))]
    pub timezone: Option<String>,
    /// Selector of what is built, such as `+pres.* tag:daily`. Default: everything.
    #[schemars(extend("format" = "thalweg-selector"))]
    pub select: Option<String>,
}

/// What happens to the rest of a run when a source cannot be reached.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnSourceErrorWord {
    /// Its streams keep what they have and are shown as stale; everything else is published.
    Continue,
    /// Nothing is published.
    Stop,
}
