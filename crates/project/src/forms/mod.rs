//! The forms of the YAML files: what may be written, with its documentation.
//!
//! The doc comments here are the user's reference: they become the descriptions of the JSON schemas, which editors show. A form knows
//! nothing of places; the reader walks the YAML tree beside it.

mod data_test;
mod database_file;
mod model_file;
mod project_file;
mod report_file;
mod seed_file;
mod source_file;
mod text;

use std::sync::LazyLock;

use schemars::JsonSchema;
use serde_json::Value;

pub use data_test::{Bound, TestConfig, TestForm, TestMap, TestSettings, TestWord};
pub use database_file::{
    DatabaseForm, DatabaseStreamForm, DeletesForm, DeletesWord, ReconcileForm, SoftDeleteForm, UnrepresentableWord,
};
pub use model_file::{ColumnForm, ModelConfig, ModelFile, ModelForm};
pub use project_file::{OnSourceErrorWord, ProjectFile, TargetForm};
pub use report_file::{ReportConfig, ReportFile};
pub use seed_file::SeedFile;
pub use source_file::{
    AfterForm, AfterWord, FilesForm, FormatWord, ReadyForm, SOURCES, SchemaContractForm, SourceFile, StreamColumnForm,
    StreamForm, UNBUILT_SOURCES,
};
pub use text::OneOrMany;

/// A form that has a JSON schema of its own.
pub trait Form: serde::de::DeserializeOwned {
    /// The JSON schema, made once.
    fn schema() -> &'static Value;
}

macro_rules! forms {
    ($($form:ty),+ $(,)?) => {$(
        impl Form for $form {
            fn schema() -> &'static Value {
                static SCHEMA: LazyLock<Value> = LazyLock::new(schema_of::<$form>);
                &SCHEMA
            }
        }
    )+};
}

forms!(ProjectFile, SourceFile, ModelFile, SeedFile, ReportFile, ModelConfig, ReportConfig, TestSettings);

fn schema_of<T: JsonSchema>() -> Value {
    schemars::schema_for!(T).to_value()
}

/// The JSON schemas of all kinds of YAML files, with their file names, for editors.
pub fn json_schemas() -> Vec<(&'static str, Value)> {
    vec![
        ("thalweg.schema.json", ProjectFile::schema().clone()),
        ("source.schema.json", SourceFile::schema().clone()),
        ("models.schema.json", ModelFile::schema().clone()),
        ("seeds.schema.json", SeedFile::schema().clone()),
        ("reports.schema.json", ReportFile::schema().clone()),
    ]
}
