//! What the reader is handed: texts and settings, no files.

use std::collections::BTreeMap;

use crate::Table;

/// Everything a project is read from. Whoever has the file system fills it in.
#[derive(Debug, Clone, Default)]
pub struct ProjectInput {
    /// The text of every file of the project folder that has a meaning: `thalweg.yml` and whatever lies below `sources/`,
    /// `models/`, `tests/`, `macros/`, `reports/` and `seeds/`. Others are ignored.
    pub files: Vec<InputFile>,
    /// The text of `.env`, if there is one.
    pub env_file: Option<String>,
    /// The environment of the process; wins over `.env`.
    pub environment: BTreeMap<String, String>,
    /// The target chosen on the command line; `default_target` when absent.
    pub target: Option<String>,
    /// Variables given on the command line; win over `vars:`.
    pub vars: serde_json::Map<String, serde_json::Value>,
    /// What databases said of their tables when they were last asked, by the name of the source.
    pub discovered: BTreeMap<String, Vec<Table>>,
}

/// One file of the project folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputFile {
    /// Path relative to the project folder, with `/`.
    pub path: String,
    /// The whole text.
    pub text: String,
}

impl InputFile {
    /// A file.
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self { path: path.into(), text: text.into() }
    }

    /// The first folder of the path: `models`. Empty for a file of the project folder itself.
    pub(crate) fn room(&self) -> &str {
        self.path.split_once('/').map_or("", |(room, _)| room)
    }

    /// The file name without its last extension.
    pub(crate) fn stem(&self) -> &str {
        let name = self.path.rsplit('/').next().unwrap_or(&self.path);
        name.rsplit_once('.').map_or(name, |(stem, _)| stem)
    }

    /// The last extension in lower case: `yml`. Empty when there is none.
    pub(crate) fn extension(&self) -> String {
        let name = self.path.rsplit('/').next().unwrap_or(&self.path);
        name.rsplit_once('.').map_or(String::new(), |(_, extension)| extension.to_ascii_lowercase())
    }

    /// Everything before the file name, without the final `/`.
    pub(crate) fn folder(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    /// Whether it is a YAML file.
    pub(crate) fn is_yaml(&self) -> bool {
        matches!(self.extension().as_str(), "yml" | "yaml")
    }
}
