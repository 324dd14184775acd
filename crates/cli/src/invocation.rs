//! One invocation of the program: how it prints, and the way into a project.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use thalweg_project::Diagnostic;
use thalweg_run::{AskSources, OpenOptions, Workbench};

use crate::arguments::{OutputOptions, ProjectOptions};
use crate::diagnostics::{self, ProjectFiles};
use crate::failure::Failure;
use crate::output::{self, Paint};
use crate::progress::{self, Progress};
use crate::{folder, stop, variables};

/// One invocation of the program.
#[derive(Debug)]
pub struct Invocation {
    /// `--json` and `--quiet`.
    pub output: OutputOptions,
    /// How stdout is painted.
    pub stdout: Paint,
    /// How stderr is painted.
    pub stderr: Paint,
    /// Set when the person asks to stop.
    pub cancelled: Arc<AtomicBool>,
}

impl Invocation {
    /// Looks at the terminal.
    pub fn new(output: OutputOptions) -> Self {
        Self { output, stdout: Paint::stdout(), stderr: Paint::stderr(), cancelled: Arc::new(AtomicBool::new(false)) }
    }

    /// Whether programs read the output.
    pub fn json(&self) -> bool {
        self.output.json
    }

    /// Says something on the way, unless nobody wants to hear it.
    pub fn say(&self, text: &str) {
        if !self.output.json && !self.output.quiet {
            output::talk(text);
        }
    }

    /// Tells why there is no answer.
    pub fn report(&self, failure: &Failure) {
        if self.output.json {
            output::answer(&failure.json());
        } else {
            output::talk(&failure.human(self.stderr));
        }
    }

    /// The project's folder and how it is to be opened.
    pub fn project(&self, options: &ProjectOptions) -> Result<(PathBuf, OpenOptions), Failure> {
        let current = std::env::current_dir()
            .map_err(|error| Failure::message(format!("the current folder cannot be read: {error}")))?;
        let folder = folder::find(options.project.as_deref(), &current)?;
        let vars = variables::read(&options.vars).map_err(Failure::message)?;
        Ok((folder, OpenOptions { target: options.target.clone(), vars, ask: AskSources::Remembered }))
    }

    /// Opens a project to look at it.
    pub fn open(&self, options: &ProjectOptions) -> Result<Workbench, Failure> {
        let (folder, open) = self.project(options)?;
        self.open_folder(&folder, &open).map(|(workbench, _)| workbench)
    }

    /// Opens a project to run it without reading its sources; its warnings are drawn at once.
    pub fn open_to_run(&self, options: &ProjectOptions) -> Result<Workbench, Failure> {
        self.open_and_warn(options, AskSources::Remembered)
    }

    /// Opens a project to read its sources; databases are asked for their tables.
    pub fn open_to_load(&self, options: &ProjectOptions) -> Result<Workbench, Failure> {
        self.open_and_warn(options, AskSources::Now)
    }

    fn open_and_warn(&self, options: &ProjectOptions, ask: AskSources) -> Result<Workbench, Failure> {
        let (folder, open) = self.project(options)?;
        let open = OpenOptions { ask, ..open };
        let (workbench, warnings) = self.open_folder(&folder, &open)?;
        self.warn(&warnings, &ProjectFiles::of(&warnings, &folder));
        Ok(workbench)
    }

    /// Opens the project of a folder; its warnings come along.
    pub fn open_folder(&self, folder: &Path, open: &OpenOptions) -> Result<(Workbench, Vec<Diagnostic>), Failure> {
        stop::listen(Arc::clone(&self.cancelled));
        Workbench::open(folder, open, Arc::clone(&self.cancelled)).map_err(|error| Failure::of(error, folder))
    }

    fn warn(&self, warnings: &[Diagnostic], files: &ProjectFiles) {
        if self.output.json {
            for warning in warnings {
                output::answer(&diagnostics::json(warning, files).to_string());
            }
        } else if !warnings.is_empty() {
            output::talk(&format!("{}\n", diagnostics::draw_all(warnings, files, self.stderr)));
        }
    }

    /// Who hears what happens during a run.
    pub fn progress(&self) -> Box<dyn Progress> {
        progress::choose(self.output, self.stderr)
    }
}
