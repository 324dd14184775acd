//! The form of `seeds/**/*.yml`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::data_test::TestForm;
use super::model_file::ColumnForm;
use super::text::{ColumnTypeText, OneOrMany};

/// `seeds/**/*.yml`: types, descriptions and tests of the seeds, which are the CSV files below `seeds/`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "seeds/**/*.yml")]
pub struct SeedFile {
    /// dbt's version of the format; has no meaning here.
    #[expect(dead_code, reason = "accepted because every dbt project has it")]
    pub version: Option<Value>,
    /// The seeds that are described.
    pub seeds: Option<Vec<SeedForm>>,
}

/// What is said of a seed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SeedForm {
    /// The file name without `.csv`.
    pub name: String,
    /// Description, for people.
    pub description: Option<String>,
    /// Types of columns, by name; the others are inferred.
    pub column_types: Option<BTreeMap<String, ColumnTypeText>>,
    /// Settings, as dbt has them.
    pub config: Option<SeedConfig>,
    /// Tags, for selectors.
    pub tags: Option<OneOrMany>,
    /// What is said of its columns.
    pub columns: Option<Vec<ColumnForm>>,
    /// Tests of the seed as a whole.
    pub data_tests: Option<Vec<TestForm>>,
    /// The same as `data_tests`.
    pub tests: Option<Vec<TestForm>>,
}

/// Settings of a seed.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SeedConfig {
    /// Types of columns, by name; the others are inferred.
    pub column_types: Option<BTreeMap<String, ColumnTypeText>>,
    /// Tags, for selectors.
    pub tags: Option<OneOrMany>,
}
