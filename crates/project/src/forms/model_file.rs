//! The form of `models/**/*.yml`: dbt's.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::data_test::TestForm;
use super::text::OneOrMany;
use crate::{Materialized, RefreshPin};

/// `models/**/*.yml`: descriptions, keys, tests and privacy of the models beside it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "models/**/*.yml")]
pub struct ModelFile {
    /// dbt's version of the format; has no meaning here.
    #[expect(dead_code, reason = "accepted because every dbt project has it")]
    pub version: Option<Value>,
    /// The models that are described.
    pub models: Option<Vec<ModelForm>>,
    /// dbt's unit tests. They are accepted, and not run by this version.
    #[expect(dead_code, reason = "reported from the tree")]
    pub unit_tests: Option<Vec<Value>>,
}

/// What is said of a model.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelForm {
    /// The model's file name without `.sql`; with its schema (`pres.sales`) where two models have the same.
    pub name: String,
    /// Description, for people.
    pub description: Option<String>,
    /// Settings; `{{ config(...) }}` in the model's file wins over them.
    pub config: Option<ModelConfig>,
    /// What is said of its columns.
    pub columns: Option<Vec<ColumnForm>>,
    /// Tests of the model as a whole.
    pub data_tests: Option<Vec<TestForm>>,
    /// The same as `data_tests`.
    pub tests: Option<Vec<TestForm>>,
    /// Anything; Thalweg does not look at it.
    #[expect(dead_code, reason = "for the user's own use")]
    pub meta: Option<Value>,
}

/// Settings of a model, in YAML or in `{{ config(...) }}`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ModelConfig {
    /// How it stands in the warehouse. Default: `table`.
    pub materialized: Option<Materialized>,
    /// Whether refreshes may be incremental. Default: `auto`, the tool decides and explains.
    pub refresh: Option<RefreshPin>,
    /// The column or columns that identify a row.
    pub primary_key: Option<OneOrMany>,
    /// Indexes beside those that refreshes need, where the warehouse has indexes: `[{ columns: [order_date], unique: false }]`.
    pub indexes: Option<Vec<IndexForm>>,
    /// Cuts its table into partitions, where the warehouse has some: `range(order_date, month)`, a column with a date or a point in time
    /// and `day`, `week`, `month`, `quarter` or `year`.
    pub partition_by: Option<String>,
    /// How many partitions stand ready beyond the one of today and the one of the newest row. Default: 3.
    pub partitions_ahead: Option<u32>,
    /// How long rows are kept: `36 months`. Rows whose `partition_by` column lies before the partition of so long ago are not in
    /// the table, in any warehouse; rows without a value there stay. Default: all are kept.
    pub retention: Option<String>,
    /// Tags, for selectors. Those of file and YAML add up.
    pub tags: Option<OneOrMany>,
    /// Whether it is part of the project at all. Default: `true`.
    pub enabled: Option<bool>,
    /// Anything; Thalweg does not look at it.
    pub meta: Option<Value>,
}

/// An index of a model's table.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IndexForm {
    /// Its columns, in order.
    pub columns: OneOrMany,
    /// Whether no two rows may have the same values there. Default: `false`.
    pub unique: Option<bool>,
}

/// What is said of one column of a model or seed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ColumnForm {
    /// Name of the column.
    pub name: String,
    /// Description, for people.
    pub description: Option<String>,
    /// Tests of the column.
    pub data_tests: Option<Vec<TestForm>>,
    /// The same as `data_tests`.
    pub tests: Option<Vec<TestForm>>,
    /// It tells something of a person.
    pub personal: Option<bool>,
    /// It identifies a person of this kind: `customer`.
    pub subject: Option<String>,
    /// Anything; Thalweg does not look at it.
    #[expect(dead_code, reason = "for the user's own use")]
    pub meta: Option<Value>,
}
