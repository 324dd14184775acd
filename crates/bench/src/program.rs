//! The program that is measured.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use crate::Options;

/// The path of the program: as given, or built.
pub fn program(options: &Options) -> anyhow::Result<PathBuf> {
    if let Some(path) = &options.program {
        return path.canonicalize().with_context(|| format!("{} is not there", path.display()));
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).context("the workspace")?;
    let status =
        Command::new(cargo).current_dir(root).args(["build", "--quiet", "--release", "-p", "thalweg-cli"]).status()?;
    ensure!(status.success(), "the program could not be built");
    // Cargo put it beside the program that runs here, which is a release build too when it comes from `cargo xtask`.
    let here = std::env::current_exe()?;
    let target = here.parent().and_then(Path::parent).context("the target folder")?;
    let built = target.join("release").join("thalweg");
    ensure!(built.exists(), "{} was not built; say where the program is with --program", built.display());
    Ok(built)
}

/// A command of the program in a project folder.
pub fn command(program: &Path, project: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.current_dir(project).args(arguments);
    command
}
