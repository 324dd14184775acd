//! The form of data tests: dbt's.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::text::OneOrMany;
use crate::duration::Span;
use crate::{OnFailure, TestSeverity};

/// A test: its name alone, or its name with arguments.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum TestForm {
    /// A test that needs no arguments.
    Word(TestWord),
    /// A test with arguments.
    Map(Box<TestMap>),
}

/// Settings of every test.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TestConfig {
    /// Whether a failure fails the run. Default: `error`.
    pub severity: Option<TestSeverity>,
    /// Only rows that satisfy this SQL condition are looked at.
    #[serde(rename = "where")]
    pub filter: Option<String>,
    /// What happens to the rows that fail; `quarantine` for row conditions on store tables only. Default: `fail`.
    pub on_failure: Option<OnFailure>,
    /// Tags, for selectors.
    pub tags: Option<OneOrMany>,
    /// Whether the test is run at all. Default: `true`.
    pub enabled: Option<bool>,
}

/// Settings in the `{{ config(...) }}` of a file in `tests/`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TestSettings {
    /// Whether a failure fails the run. Default: `error`.
    pub severity: Option<TestSeverity>,
    /// Tags, for selectors.
    pub tags: Option<OneOrMany>,
    /// Whether the test is run at all. Default: `true`.
    pub enabled: Option<bool>,
}

/// A bound: a number, or a text put into the SQL as it is.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub enum Bound {
    /// A number.
    Number(serde_json::Number),
    /// SQL: `'2020-01-01'`, `current_date`.
    Text(String),
}

impl From<Bound> for Value {
    fn from(bound: Bound) -> Self {
        match bound {
            Bound::Number(number) => Self::Number(number),
            Bound::Text(text) => Self::String(text),
        }
    }
}

/// Declares each test once: its key, its arguments in `arguments:` (dbt since 1.10) and beside the settings (before).
macro_rules! tests {
    ($(
        $(#[doc = $doc:literal])+
        $key:ident $form:ident $arguments:ident $word:ident {
            $($(#[doc = $argument_doc:literal])+ $argument:ident: $type:ty,)*
        }
    )+) => {
        /// The name of a test.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum TestWord {
            $($(#[doc = $doc])+ $word,)+
        }

        impl TestWord {
            /// The test of a name.
            pub fn named(name: &str) -> Option<Self> {
                $(if name == stringify!($key) { return Some(Self::$word); })+
                None
            }

            /// The name of the test.
            pub fn name(self) -> &'static str {
                match self { $(Self::$word => stringify!($key),)+ }
            }
        }

        /// A test with arguments: exactly one key, the name of the test.
        #[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
        #[serde(default, deny_unknown_fields)]
        #[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
        pub struct TestMap {
            $($(#[doc = $doc])+ pub $key: Option<$form>,)+
        }

        $(
            $(#[doc = $doc])+
            #[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
            #[serde(default, deny_unknown_fields)]
            pub struct $form {
                /// Name of the test, in the place of the one made of table and column.
                pub name: Option<String>,
                /// Description, for people.
                pub description: Option<String>,
                /// What the test needs to know.
                pub arguments: Option<$arguments>,
                /// Settings of the test.
                pub config: Option<TestConfig>,
                /// The same as in `config`.
                pub severity: Option<TestSeverity>,
                /// The same as in `config`.
                #[serde(rename = "where")]
                pub filter: Option<String>,
                /// The same as in `config`.
                pub on_failure: Option<OnFailure>,
                /// The same as in `config`.
                pub tags: Option<OneOrMany>,
                $($(#[doc = $argument_doc])+ pub $argument: Option<$type>,)*
            }

            impl $form {
                /// Name, settings and arguments, wherever they were written.
                pub fn into_parts(self) -> (Option<String>, TestConfig, $arguments) {
                    #[allow(unused_mut, reason = "a test without arguments")]
                    let mut arguments = self.arguments.unwrap_or_default();
                    $(arguments.$argument = arguments.$argument.or(self.$argument);)*
                    let mut config = self.config.unwrap_or_default();
                    config.severity = config.severity.or(self.severity);
                    config.filter = config.filter.or(self.filter);
                    config.on_failure = config.on_failure.or(self.on_failure);
                    config.tags = config.tags.or(self.tags);
                    (self.name, config, arguments)
                }
            }

            /// Arguments of the test.
            #[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
            #[serde(default, deny_unknown_fields)]
            pub struct $arguments {
                $($(#[doc = $argument_doc])+ pub $argument: Option<$type>,)*
            }
        )+
    };
}

tests! {
    /// No NULL in the column.
    not_null NotNullForm NotNullArguments NotNull {}
    /// No two rows with the same value in the column, or in `columns`; rows with a NULL among them are not compared.
    unique UniqueForm UniqueArguments Unique {
        /// The columns that are unique together, for a test of the whole table.
        columns: OneOrMany,
    }
    /// Only these values, or NULL.
    accepted_values AcceptedValuesForm AcceptedValuesArguments AcceptedValues {
        /// The values.
        values: Vec<Value>,
    }
    /// Every value that is not NULL stands in a column of another table.
    relationships RelationshipsForm RelationshipsArguments Relationships {
        /// The other table: `ref('companies')`, `source('order_db', 'companies')` or `store.companies`.
        to: String,
        /// Its column.
        field: String,
    }
    /// The value lies in a range, or is NULL.
    accepted_range AcceptedRangeForm AcceptedRangeArguments AcceptedRange {
        /// Lower bound: a number, or SQL such as `'2020-01-01'`.
        min_value: Bound,
        /// Upper bound.
        max_value: Bound,
        /// Whether the bounds themselves are accepted. Default: `true`.
        inclusive: bool,
    }
    /// An SQL expression holds for every row; NULL counts as a failure.
    expression_is_true ExpressionIsTrueForm ExpressionIsTrueArguments ExpressionIsTrue {
        /// The expression; below a column it is put after the column's name (`>= 0`).
        expression: String,
    }
    /// The table has at least and at most so many rows.
    row_count RowCountForm RowCountArguments RowCount {
        /// At least.
        min: u64,
        /// At most.
        max: u64,
    }
    /// The newest value of a timestamp column is not older than this.
    freshness FreshnessForm FreshnessArguments Freshness {
        /// The greatest age, such as `24h`.
        max_age: Span,
        /// The timestamp column, UTC, for a test of the whole table.
        column: String,
    }
}
