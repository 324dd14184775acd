//! Units of an extract that survive an interruption: large tables are read in ranges, and a range that is on disk is not read again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::landing_error;
use super::manifest::PartFile;
use crate::{SourceError, UnfinishedExtract};

/// Name of the file.
pub(super) const UNITS_FILE: &str = "units.json";

/// The plan of an extract and what of it is finished; on disk after each unit.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Units {
    /// Fingerprint of the extract; units of another are not taken up.
    fingerprint: String,
    plan: serde_json::Value,
    finished: BTreeMap<usize, FinishedUnit>,
    /// Parts of units that are not finished yet; not on disk.
    #[serde(skip)]
    open: BTreeMap<usize, Vec<PartFile>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct FinishedUnit {
    parts: Vec<PartFile>,
    outcome: serde_json::Value,
}

impl Units {
    /// What an interrupted extract left in a folder: its plan and its finished units, as far as their files are there and of the size they
    /// should have.
    pub(super) fn find(folder: &Path, fingerprint: &str) -> Option<Self> {
        let text = fs::read(folder.join(UNITS_FILE)).ok()?;
        let mut units: Self = serde_json::from_slice(&text).ok()?;
        if units.fingerprint != fingerprint {
            return None;
        }
        let is_there =
            |part: &PartFile| fs::metadata(folder.join(&part.file)).is_ok_and(|found| found.len() == part.bytes);
        units.finished.retain(|_, unit| unit.parts.iter().all(is_there));
        Some(units)
    }

    /// A plan of which nothing is done.
    pub(super) fn new(fingerprint: &str, plan: serde_json::Value) -> Self {
        Self { fingerprint: fingerprint.to_owned(), plan, ..Self::default() }
    }

    /// What the source is told.
    pub(super) fn unfinished(&self) -> UnfinishedExtract {
        let finished = self.finished.iter().map(|(unit, done)| (*unit, done.outcome.clone()));
        UnfinishedExtract { plan: self.plan.clone(), finished: finished.collect() }
    }

    /// Parts of finished units.
    pub(super) fn parts(&self) -> impl Iterator<Item = &PartFile> {
        self.finished.values().flat_map(|unit| &unit.parts)
    }

    /// Notes a part of a unit.
    pub(super) fn add_part(&mut self, unit: usize, part: PartFile) {
        self.open.entry(unit).or_default().push(part);
    }

    /// Parts of a unit that would be read again after an interruption.
    pub(super) fn take_parts(&mut self, unit: usize) -> Vec<PartFile> {
        self.open.remove(&unit).unwrap_or_default()
    }

    /// Notes that a unit is finished.
    pub(super) fn finish(&mut self, unit: usize, outcome: serde_json::Value) {
        let parts = self.open.remove(&unit).unwrap_or_default();
        self.finished.insert(unit, FinishedUnit { parts, outcome });
    }

    /// Puts it on disk.
    pub(super) fn write(&self, folder: &Path) -> Result<(), SourceError> {
        let (path, temporary) = (folder.join(UNITS_FILE), folder.join("units.json.tmp"));
        let text =
            serde_json::to_vec(self).map_err(|error| landing_error("write", &path, &std::io::Error::other(error)))?;
        let write = || -> std::io::Result<()> {
            let mut file = fs::File::create(&temporary)?;
            std::io::Write::write_all(&mut file, &text)?;
            file.sync_data()?;
            fs::rename(&temporary, &path)
        };
        write().map_err(|error| landing_error("write", &path, &error))
    }
}

/// Removes everything from a folder but the files to keep. Nothing of them is in folders below.
pub(super) fn remove_others(folder: &Path, keep: &[PathBuf]) -> Result<(), SourceError> {
    let failed = |error: &std::io::Error| landing_error("clear", folder, error);
    for entry in fs::read_dir(folder).map_err(|error| failed(&error))? {
        let path = entry.map_err(|error| failed(&error))?.path();
        if !keep.contains(&path) {
            fs::remove_file(&path).map_err(|error| failed(&error))?;
        }
    }
    Ok(())
}
