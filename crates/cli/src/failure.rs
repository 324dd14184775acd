//! Why a command ends without its answer, as people and programs read it.

use std::path::Path;

use serde_json::json;
use thalweg_project::{Diagnostic, Severity};
use thalweg_run::{RunError, Workbench};
use thalweg_warehouse::WarehouseErrorKind;

use crate::diagnostics::{self, ProjectFiles};
use crate::output::Paint;

/// Why a command ends without its answer.
#[derive(Debug)]
pub enum Failure {
    /// The project has mistakes.
    Project {
        /// All of them.
        diagnostics: Vec<Diagnostic>,
        /// The texts they point into.
        files: ProjectFiles,
    },
    /// The run could not be done.
    Run {
        /// Why.
        error: RunError,
        /// What to do, where more is known than the error tells.
        help: Option<String>,
    },
    /// Something of the command line itself.
    Message {
        /// What failed, on what.
        message: String,
        /// What to do.
        help: Option<String>,
        /// The exit code: 2 where the command could not be done at all.
        exit_code: u8,
    },
}

impl Failure {
    /// A failure of the command line itself.
    pub fn message(message: impl Into<String>) -> Self {
        Self::Message { message: message.into(), help: None, exit_code: 2 }
    }

    /// Adds what to do.
    #[must_use]
    pub fn with_help(self, text: impl Into<String>) -> Self {
        match self {
            Self::Message { message, exit_code, .. } => Self::Message { message, help: Some(text.into()), exit_code },
            Self::Run { error, .. } => Self::Run { error, help: Some(text.into()) },
            other @ Self::Project { .. } => other,
        }
    }

    /// Says that the command was done and failed, or that it could not be done.
    #[must_use]
    pub fn with_exit_code(self, code: u8) -> Self {
        match self {
            Self::Message { message, help, .. } => Self::Message { message, help, exit_code: code },
            other => other,
        }
    }

    /// The exit code of the command.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Run { error, .. } => error.exit_code(),
            Self::Message { exit_code, .. } => *exit_code,
            Self::Project { .. } => 2,
        }
    }

    /// What failed.
    fn text(&self) -> String {
        match self {
            Self::Project { diagnostics, .. } => mistakes(diagnostics),
            Self::Run { error, .. } => error.to_string(),
            Self::Message { message, .. } => message.clone(),
        }
    }

    /// What to do, where the message does not say it already.
    fn help(&self) -> Option<String> {
        match self {
            Self::Project { .. } => {
                Some("nothing was run; correct the project and look again with `thalweg validate`".into())
            }
            Self::Message { help, .. } => help.clone(),
            Self::Run { error, help } => help.clone().or_else(|| run_help(error)),
        }
    }

    /// For people: every diagnostic drawn, then `error: ...` and `help: ...`.
    pub fn human(&self, paint: Paint) -> String {
        let mut text = String::new();
        if let Self::Project { diagnostics, files } = self {
            text.push_str(&diagnostics::draw_all(diagnostics, files, paint));
            text.push('\n');
        }
        text.push_str(&format!("{}: {}\n", paint.red("error"), self.text()));
        if let Some(help) = self.help() {
            text.push_str(&format!("{}: {help}\n", paint.cyan("help")));
        }
        text
    }

    /// For programs: one line for each diagnostic, then one for the failure.
    pub fn json(&self) -> String {
        let mut lines = String::new();
        if let Self::Project { diagnostics, files } = self {
            for diagnostic in diagnostics {
                lines.push_str(&format!("{}\n", diagnostics::json(diagnostic, files)));
            }
        }
        let statement = match self {
            Self::Run { error: RunError::Warehouse(error) | RunError::Table { error, .. }, .. } => {
                error.statement.clone()
            }
            _ => None,
        };
        let mut object = json!({ "event": "error", "message": self.text(), "help": self.help() });
        if let Some(statement) = statement {
            object["statement"] = String::from(statement).into();
        }
        object["exit_code"] = self.exit_code().into();
        lines.push_str(&format!("{object}\n"));
        lines
    }
}

fn place(diagnostic: &Diagnostic) -> (&str, usize) {
    (&diagnostic.location.file, diagnostic.location.span.start)
}

/// `2 errors and 1 warning in the project`.
pub fn mistakes(diagnostics: &[Diagnostic]) -> String {
    use crate::render::human::number::counted;
    let errors = diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count() as u64;
    let warnings = diagnostics.len() as u64 - errors;
    match (errors, warnings) {
        (0, warnings) => format!("{} in the project", counted(warnings, "warning")),
        (errors, 0) => format!("{} in the project", counted(errors, "error")),
        (errors, warnings) => {
            format!("{} and {} in the project", counted(errors, "error"), counted(warnings, "warning"))
        }
    }
}

fn run_help(error: &RunError) -> Option<String> {
    match error {
        RunError::Selection(_) => Some("`thalweg ls` lists what can be selected".into()),
        RunError::Unbalanced { .. } => {
            Some("`thalweg verify` shows whether the tables are right; please report this with its output".into())
        }
        RunError::Warehouse(error) => match error.kind {
            WarehouseErrorKind::CommitUnknown => {
                Some("`thalweg status` shows which run readers see; the next build goes on from there".into())
            }
            WarehouseErrorKind::Fenced => Some("another run took over; look with `thalweg runs` what it did".into()),
            _ => None,
        },
        _ => None,
    }
}

impl Failure {
    /// Why a run could not be done; the mistakes of the project are drawn with the texts of its files.
    pub fn of(error: RunError, folder: &Path) -> Self {
        match error {
            RunError::Project(mut diagnostics) => {
                diagnostics.sort_by(|left, right| place(left).cmp(&place(right)));
                let files = ProjectFiles::of(&diagnostics, folder);
                Self::Project { diagnostics, files }
            }
            other => Self::Run { error: other, help: None },
        }
    }

    /// Why a build could not be done. Of a model that the engine refuses the SQL can be shown; that of store tables nobody wrote.
    pub fn of_build(error: RunError, workbench: &Workbench) -> Self {
        let models = &workbench.project().models;
        let help = match &error {
            RunError::Table { table, error } if error.kind.is_of_statement() => models
                .iter()
                .any(|model| model.table.to_string() == *table)
                .then(|| format!("`thalweg compile {table}` prints its SQL; nothing was published")),
            _ => None,
        };
        let failure = Self::of(error, workbench.folder());
        match help {
            Some(help) => failure.with_help(help),
            None => failure,
        }
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Project(diagnostics) => Self::Project { diagnostics, files: ProjectFiles::default() },
            other => Self::Run { error: other, help: None },
        }
    }
}
