//! `thalweg validate`

use clap::Args;
use thalweg_project::Severity;
use thalweg_run::{Validation, Workbench};

use crate::arguments::{OutputOptions, ProjectOptions};
use crate::diagnostics::{self, ProjectFiles};
use crate::failure::{Failure, mistakes};
use crate::invocation::Invocation;
use crate::output::{self, Paint};
use crate::render::human::number::counted;
use crate::render::json;

/// Arguments of `thalweg validate`.
#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// Which project.
    #[command(flatten)]
    pub project: ProjectOptions,
    /// How is printed.
    #[command(flatten)]
    pub output: OutputOptions,
}

/// Does it.
pub fn run(arguments: &Arguments, invocation: &Invocation) -> Result<u8, Failure> {
    let (folder, options) = invocation.project(&arguments.project)?;
    let validation = Workbench::validate(&folder, &options).map_err(|error| Failure::of(error, &folder))?;
    let failed = validation.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
    let exit_code = if failed { 2 } else { 0 };
    if invocation.json() {
        output::answer(&json::validation(&validation, exit_code));
        return Ok(exit_code);
    }
    if !validation.diagnostics.is_empty() {
        let files = ProjectFiles(validation.files.clone());
        // Mistakes are what this verb was asked for, so they are its answer.
        output::answer(&format!("{}\n", diagnostics::draw_all(&validation.diagnostics, &files, invocation.stdout)));
    }
    if failed || !invocation.output.quiet {
        output::answer(&last_lines(&validation, invocation.stdout));
    }
    Ok(exit_code)
}

/// What could not be checked, and the result in one line.
pub fn last_lines(validation: &Validation, paint: Paint) -> String {
    let mut text = String::new();
    for unchecked in &validation.unchecked {
        text.push_str(&format!("{}: not checked: {unchecked}\n", paint.cyan("note")));
    }
    let parts = [
        (validation.streams, "stream"),
        (validation.models, "model"),
        (validation.seeds, "seed"),
        (validation.tests, "test"),
        (validation.reports, "report"),
    ];
    let understood: Vec<_> = parts
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, word)| counted(number as u64, word))
        .collect();
    let understood = if understood.is_empty() { "the project is empty".to_owned() } else { understood.join(", ") };
    let result = match validation.diagnostics.iter().map(|diagnostic| diagnostic.severity).max() {
        None => paint.green("no mistakes"),
        Some(Severity::Warning) => paint.yellow(mistakes(&validation.diagnostics)),
        Some(Severity::Error) => paint.red(mistakes(&validation.diagnostics)),
    };
    text.push_str(&format!("{result} ({understood})\n"));
    text
}
