//! Removing what failed runs left behind.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::error::landing_error;
use super::folder::{Landing, MANIFEST_FILE};
use crate::SourceError;

/// A run of which nothing was published.
#[derive(Debug, Clone, Copy)]
pub struct FailedRun {
    /// Its number.
    pub run: i64,
    /// When it began. What landed under its number before that is of another warehouse, whose only copy it may be.
    pub began: jiff::Timestamp,
}

impl Landing {
    /// Removes what these runs landed, of every stream, those that the project no longer has included; the folders that were removed.
    pub fn sweep(&self, runs: &[FailedRun]) -> Result<Vec<PathBuf>, SourceError> {
        let mut removed = Vec::new();
        if runs.is_empty() {
            return Ok(removed);
        }
        for source in folders(&self.target_folder())? {
            for stream in folders(&source)? {
                for failed in runs {
                    let folder = stream.join(format!("run={}", failed.run));
                    if folder.is_dir() && is_of(&folder, failed) {
                        fail::fail_point!("landing::sweep");
                        remove(&folder)?;
                        removed.push(folder);
                    }
                }
            }
        }
        Ok(removed)
    }
}

/// Whether a folder was landed by this run. One without a manifest was never finished, by whatever run.
fn is_of(folder: &Path, failed: &FailedRun) -> bool {
    let text = match fs::read(folder.join(MANIFEST_FILE)) {
        Ok(text) => text,
        Err(error) => return error.kind() == io::ErrorKind::NotFound,
    };
    let manifest = serde_json::from_slice::<serde_json::Value>(&text).ok();
    let created = manifest.as_ref().and_then(|manifest| manifest.get("created_at")?.as_str()?.parse().ok());
    created.is_some_and(|created: jiff::Timestamp| created >= failed.began)
}

/// The manifest goes first: a folder without one counts for nothing.
fn remove(folder: &Path) -> Result<(), SourceError> {
    let manifest = folder.join(MANIFEST_FILE);
    match fs::remove_file(&manifest) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(landing_error("remove", &manifest, &error));
        }
        _ => {}
    }
    fs::remove_dir_all(folder).map_err(|error| landing_error("remove", folder, &error))
}

fn folders(folder: &Path) -> Result<Vec<PathBuf>, SourceError> {
    let failed = |error: &io::Error| landing_error("list", folder, error);
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(&error)),
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut paths = paths.collect::<io::Result<Vec<_>>>().map_err(|error| failed(&error))?;
    paths.retain(|path| path.is_dir());
    paths.sort();
    Ok(paths)
}
