//! The door to everything that can be done with a project.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use thalweg_project::{Diagnostic, Project};

use crate::answer::*;
use crate::error::RunError;
use crate::event::Observer;
use crate::options::{BuildOptions, OpenOptions};
use crate::outcome::{RunOutcome, TestOutcome};

/// A project, opened for one target.
pub struct Workbench {
    folder: PathBuf,
    project: Project,
    cancelled: Arc<AtomicBool>,
}

impl Workbench {
    /// Reads a project and refuses it with all its mistakes ([`RunError::Project`]); the warnings come back with the workbench.
    /// `cancelled` may be set at any time by another thread (Ctrl-C): the command then stops cleanly with [`RunError::Cancelled`].
    pub fn open(
        folder: &Path,
        options: &OpenOptions,
        cancelled: Arc<AtomicBool>,
    ) -> Result<(Self, Vec<Diagnostic>), RunError> {
        todo!()
    }

    /// Everything that can be checked without running: files, names, SQL, columns as the engine sees them.
    pub fn validate(folder: &Path, options: &OpenOptions) -> Result<Validation, RunError> {
        todo!()
    }

    /// The project.
    pub fn project(&self) -> &Project {
        &self.project
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Does a run: `build`, `load` or `run`.
    pub fn build(&self, options: &BuildOptions, observer: &dyn Observer) -> Result<RunOutcome, RunError> {
        todo!()
    }

    /// What a build would do.
    pub fn plan(&self, options: &BuildOptions) -> Result<Plan, RunError> {
        todo!()
    }

    /// Runs data tests alone, over everything that is published.
    pub fn test(&self, options: &BuildOptions, observer: &dyn Observer) -> Result<Vec<TestOutcome>, RunError> {
        todo!()
    }

    /// How the warehouse stands.
    pub fn status(&self) -> Result<Status, RunError> {
        todo!()
    }

    /// The last runs, newest first.
    pub fn runs(&self, limit: usize) -> Result<Vec<RunRecord>, RunError> {
        todo!()
    }

    /// One run.
    pub fn run_detail(&self, run: i64) -> Result<RunDetail, RunError> {
        todo!()
    }

    /// A table's rows or a query's answer, as published. `limit` of `None`: everything.
    pub fn show(&self, what: &str, limit: Option<usize>) -> Result<Shown, RunError> {
        todo!()
    }

    /// Rejected records.
    pub fn rejects(&self, filter: &RejectFilter) -> Result<Vec<RejectRecord>, RunError> {
        todo!()
    }

    /// Reads rejected records again, in a run of its own, models and tests included.
    pub fn replay(
        &self,
        filter: &RejectFilter,
        options: &BuildOptions,
        observer: &dyn Observer,
    ) -> Result<RunOutcome, RunError> {
        todo!()
    }

    /// Compares every table with what it ought to be.
    pub fn verify(&self, options: &BuildOptions, observer: &dyn Observer) -> Result<Vec<VerifyOutcome>, RunError> {
        todo!()
    }

    /// The SQL that is sent to the warehouse.
    pub fn compile(&self, select: Option<&str>, exclude: Option<&str>) -> Result<Vec<CompiledTable>, RunError> {
        todo!()
    }

    /// The nodes of the graph, in order of dependency.
    pub fn list(&self, select: Option<&str>, exclude: Option<&str>) -> Result<Vec<Listed>, RunError> {
        todo!()
    }
}
