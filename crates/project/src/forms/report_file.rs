//! The form of `reports/**/*.yml`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::text::OneOrMany;
use crate::ReportFormat;

/// `reports/**/*.yml`: settings of the reports, which are the SQL files below `reports/`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "reports/**/*.yml")]
pub struct ReportFile {
    /// The reports that are described.
    pub reports: Option<Vec<ReportForm>>,
}

/// What is said of a report.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReportForm {
    /// The file name without `.sql`.
    pub name: String,
    /// Settings; `{{ config(...) }}` in the report's file wins over them.
    pub config: Option<ReportConfig>,
}

/// Settings of a report, in YAML or in `{{ config(...) }}`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ReportConfig {
    /// Title on the terminal. Default: the name.
    pub title: Option<String>,
    /// The files that are written under `out/`. Default: none.
    pub formats: Option<OneOrManyFormats>,
    /// The same as `formats`, for one.
    pub format: Option<ReportFormat>,
    /// Rows shown on the terminal at most. Default: 20.
    pub limit: Option<usize>,
    /// Tags, for selectors.
    pub tags: Option<OneOrMany>,
}

/// One format, or a list of them.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum OneOrManyFormats {
    /// One.
    One(ReportFormat),
    /// Several.
    Many(Vec<ReportFormat>),
}

impl ReportConfig {
    /// The formats, each once, in order.
    pub fn all_formats(&self) -> Vec<ReportFormat> {
        let mut formats: Vec<ReportFormat> = match &self.formats {
            Some(OneOrManyFormats::One(format)) => vec![*format],
            Some(OneOrManyFormats::Many(formats)) => formats.clone(),
            None => Vec::new(),
        };
        formats.extend(self.format);
        formats.sort_unstable();
        formats.dedup();
        formats
    }
}
