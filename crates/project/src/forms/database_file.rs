//! The form of `sources/NAME.yml` for databases.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::data_test::TestForm;
use super::source_file::{SchemaContractForm, StreamColumnForm};
use super::text::OneOrMany;
use crate::duration::Span;
use crate::{ReconcileWhat, SslMode, WriteDisposition};

/// A database, given by `url` or by its parts.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct DatabaseForm {
    /// Connection URL: `${ORDER_DB_URL}`, as in `mysql://user:password@host:3306/database?sslmode=require`.
    pub url: Option<String>,
    /// Host name or address; a path is a socket (MySQL, MariaDB) or the folder of one (Postgres). Default: `localhost`.
    pub host: Option<String>,
    /// Port. Default: 3306, or 5432 for Postgres.
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
    /// User name.
    pub user: Option<String>,
    /// Password; may hold any character: `${ORDER_DB_PASSWORD}`.
    pub password: Option<String>,
    /// Name of the database.
    pub database: Option<String>,
    /// The schema of tables whose name is given without one. Default: `public` for Postgres, the database for MySQL and MariaDB.
    pub schema: Option<String>,
    /// Whether the connection is encrypted and the server's certificate checked, as in libpq. Default: `prefer`.
    pub sslmode: Option<SslMode>,
    /// File with the certificates of the authorities to trust. Default: those of the system.
    pub sslrootcert: Option<String>,
    /// File with our own certificate.
    pub sslcert: Option<String>,
    /// File with the key of our own certificate.
    pub sslkey: Option<String>,
    /// Connections that a run may open at the same time. Default: 4.
    #[schemars(range(min = 1))]
    pub connections: Option<usize>,
    /// How long is waited for a connection. Default: `10s`.
    pub connect_timeout: Option<Span>,
    /// How long a statement about tables (not one that reads rows) may take. Default: `30s`.
    pub statement_timeout: Option<Span>,
    /// Settings that hold for every stream that does not give its own.
    #[expect(dead_code, reason = "merged under each stream as JSON")]
    pub defaults: Option<DatabaseStreamForm>,
    /// The streams, by name. A stream's rows go to the table of its name in the store. A name with `*` or `?`, such as `"ref_*"`, stands for
    /// every table of that name that no other stream reads. `thalweg conns discover SOURCE --write` writes them for a file without any.
    #[expect(dead_code, reason = "read one by one, with the defaults merged under it")]
    pub streams: Option<BTreeMap<String, Option<DatabaseStreamForm>>>,
}

/// A table, view or foreign table, whose rows go to one table of the store.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DatabaseStreamForm {
    /// The table, with its schema where it is not the source's: `log.audit_2026`. Default: the stream's name.
    pub table: Option<String>,
    /// The column or columns that identify a row, as named in the store. Default: the primary key of the table, or a unique key without NULL.
    pub primary_key: Option<OneOrMany>,
    /// How an extract becomes rows of the store. Default: `merge` with a primary key, `replace` without.
    pub write_disposition: Option<WriteDisposition>,
    /// The column that finds changed rows: a time of the last change, or a number that only grows. Without it the whole table is read.
    pub cursor: Option<String>,
    /// Where the first load starts; rows whose cursor is smaller are not read.
    pub initial_value: Option<String>,
    /// How far before its position each run reads again, for clocks that differ. Default: `1m`; `15m` where open transactions of others
    /// cannot be seen.
    pub lag: Option<Span>,
    /// The column that marks a row as deleted: a truth value, a number other than 0, or a time. Such rows leave the store, or stay in it
    /// with `{ column: x, keep: true }`.
    pub soft_delete: Option<SoftDeleteForm>,
    /// How rows are found that were deleted at the source: `compare_keys`, `none`, or `{ compare_keys: { every: 6h } }`. Keys are compared in
    /// ranges by checksums, and listed only where these differ. Default: `compare_keys` for merged streams.
    pub deletes: Option<DeletesForm>,
    /// A comparison of source and store that does not trust the cursor: `keys`, `rows`, or `{ rows: { every: 1d } }`. Rows are read again where
    /// counts or checksums differ. Without `every` it is done with `thalweg load --reconcile` only, which compares `rows` where nothing
    /// is said here.
    pub reconcile: Option<ReconcileForm>,
    /// A greater part of the table than this is not deleted without consent. Default: 0.5.
    #[schemars(range(min = 0, max = 1))]
    pub max_delete_ratio: Option<f64>,
    /// A condition in the database's own SQL: only rows that satisfy it are in the store.
    #[serde(rename = "where")]
    pub filter: Option<String>,
    /// What happens to a value that the store's type cannot hold: `reject` its row, or leave the value out: `null`. Default: `reject`.
    pub on_unrepresentable: Option<UnrepresentableWord>,
    /// What happens when columns or types differ from what the store holds: one word for both, or `columns:` and `types:`. Default: `evolve`.
    pub schema_contract: Option<SchemaContractForm>,
    /// The columns to take (`[a, b]`), or to leave out (`["-a"]`). Default: all.
    pub select: Option<OneOrMany>,
    /// More rejected rows than this in one run stop the run. Default: no limit.
    pub max_rejects: Option<u64>,
    /// What is said of single columns, as named in the store.
    pub columns: Option<Vec<StreamColumnForm>>,
    /// Tests of the store table.
    pub data_tests: Option<Vec<TestForm>>,
    /// The same as `data_tests`.
    pub tests: Option<Vec<TestForm>>,
    /// Tags, for selectors.
    pub tags: Option<OneOrMany>,
    /// Description, for people.
    pub description: Option<String>,
    /// Another name for the store table, where two streams have the same name.
    #[serde(rename = "as")]
    #[expect(dead_code, reason = "all tables are named before streams are read, and so read from the tree")]
    pub table_name: Option<String>,
}

/// The column that marks a row as deleted.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum SoftDeleteForm {
    /// Marked rows leave the store.
    Column(String),
    /// Marked rows may stay.
    Rule(SoftDeleteRule),
}

/// The column that marks a row as deleted, and what becomes of such rows.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SoftDeleteRule {
    /// The column.
    pub column: String,
    /// Whether marked rows stay in the store, with their mark. Default: `false`.
    pub keep: Option<bool>,
}

/// How rows are found that were deleted at the source.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum DeletesForm {
    /// In one word.
    Word(DeletesWord),
    /// With a setting.
    Rule(DeletesRule),
}

/// How rows are found that were deleted at the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeletesWord {
    /// The keys of source and store are compared in every run.
    CompareKeys,
    /// They are not found, and `status` says so.
    None,
}

/// `compare_keys` with a setting.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeletesRule {
    /// The keys of source and store are compared.
    pub compare_keys: Every,
}

/// How often.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Every {
    /// Not more often than this.
    pub every: Span,
}

/// A comparison of source and store that does not trust the cursor.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ReconcileForm {
    /// Only when asked for.
    Word(ReconcileWhat),
    /// Also by time.
    Rule(ReconcileRule),
}

/// A comparison with its time; exactly one of the two.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
pub struct ReconcileRule {
    /// Which keys there are.
    pub keys: Option<Every>,
    /// Keys and values.
    pub rows: Option<Every>,
}

/// What happens to a value that the store's type cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnrepresentableWord {
    /// Its row is rejected.
    Reject,
    /// It is left out; written `null` with or without quotes.
    Null,
}
