//! The landing in a folder.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use arrow::record_batch::RecordBatch;

use super::arrow_schema::arrow_schema;
use super::error::landing_error;
use super::manifest::{FORMAT_VERSION, Manifest, PartFile};
use super::part::ParquetFile;
use super::rejects::RejectsWriter;
use super::unify::unify;
use super::units::{UNITS_FILE, Units, remove_others};
use crate::{
    Column, Extract, MATCHES_COLUMN, Part, RejectedRecord, Sink, SourceError, SourceErrorKind, UnfinishedExtract,
};

/// Name of the manifest's file.
pub(super) const MANIFEST_FILE: &str = "manifest.json";

/// The landing of one target.
#[derive(Debug, Clone)]
pub struct Landing {
    root: PathBuf,
    target: String,
}

impl Landing {
    /// The landing of a target below an absolute root folder, which need not exist yet.
    pub fn new(root: PathBuf, target: impl Into<String>) -> Self {
        Self { root, target: target.into() }
    }

    pub(super) fn target_folder(&self) -> PathBuf {
        self.root.join(path_name(&self.target))
    }

    /// The landing of one stream.
    pub fn stream(&self, source: &str, stream: &str) -> StreamLanding {
        let folder = self.target_folder().join(path_name(source)).join(path_name(stream));
        StreamLanding { folder, target: self.target.clone(), source: source.to_owned(), stream: stream.to_owned() }
    }
}

/// The landing of one stream of a target.
#[derive(Debug, Clone)]
pub struct StreamLanding {
    folder: PathBuf,
    target: String,
    source: String,
    stream: String,
}

impl StreamLanding {
    /// The landing of one run.
    pub fn run(&self, run: i64) -> RunLanding {
        let folder = self.folder.join(format!("run={run}"));
        RunLanding {
            stream: self.clone(),
            run,
            fingerprint: None,
            takes_up: false,
            epoch: i64::MAX,
            written: Mutex::new(Written {
                parts: Vec::new(),
                keys: Vec::new(),
                rejects: RejectsWriter::new(folder.clone()),
                units: None,
            }),
            folder,
            opened: AtomicU64::new(0),
            finished: AtomicU64::new(0),
            finished_keys: AtomicU64::new(0),
            records: AtomicU64::new(0),
        }
    }

    /// The runs of which a finished extract lies here, oldest first.
    pub fn list_runs(&self) -> Result<Vec<i64>, SourceError> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(landing_error("list", &self.folder, &error)),
        };
        let mut runs = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| landing_error("list", &self.folder, &error))?;
            let name = entry.file_name();
            let run = name.to_str().and_then(|name| name.strip_prefix("run=")).and_then(|run| run.parse().ok());
            if let Some(run) = run
                && entry.path().join(MANIFEST_FILE).exists()
            {
                runs.push(run);
            }
        }
        runs.sort_unstable();
        Ok(runs)
    }
}

/// The landing of one run of a stream: the [`Sink`] of its extract, then its manifest.
pub struct RunLanding {
    stream: StreamLanding,
    run: i64,
    /// Fingerprint of the extract, if its units are kept; see [`RunLanding::in_units`].
    fingerprint: Option<String>,
    /// Whether units are taken up that lie there.
    takes_up: bool,
    /// Lease the writer works under; see [`RunLanding::under`].
    epoch: i64,
    folder: PathBuf,
    /// Parts ever opened, for temporary names.
    opened: AtomicU64,
    /// Parts finished, for their names.
    finished: AtomicU64,
    /// Parts with keys finished, for their names.
    finished_keys: AtomicU64,
    /// Records told to [`Sink::progress`].
    records: AtomicU64,
    written: Mutex<Written>,
}

struct Written {
    parts: Vec<PartFile>,
    keys: Vec<PartFile>,
    rejects: RejectsWriter,
    units: Option<Units>,
}

impl RunLanding {
    /// The folder everything lies in; file names of the manifest are relative to it.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether a finished extract lies here.
    pub fn is_finished(&self) -> bool {
        self.folder.join(MANIFEST_FILE).exists()
    }

    /// Records read so far, as told by the source; for progress bars.
    pub fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }

    /// The same for a writer that works under a lease: what somebody landed under a later one is never touched. So a process that was
    /// paused, thought dead and overtaken does no harm here when it comes back.
    pub fn under(self, epoch: i64) -> Self {
        Self { epoch, ..self }
    }

    /// The same for an extract whose finished units survive an interruption. `takes_up` says whether it may go on where one of this
    /// fingerprint was interrupted.
    pub fn in_units(self, fingerprint: &str, takes_up: bool) -> Self {
        Self { fingerprint: Some(fingerprint.to_owned()), takes_up, ..self }
    }

    /// Fails when a manifest of a later lease than `epoch` is there.
    fn refuse_overtaken(&self, epoch: i64) -> Result<(), SourceError> {
        let landed = fs::read(self.folder.join(MANIFEST_FILE)).ok();
        let landed = landed.and_then(|text| serde_json::from_slice::<serde_json::Value>(&text).ok());
        match landed.and_then(|manifest| manifest.get("epoch")?.as_i64()) {
            Some(theirs) if theirs > epoch => Err(SourceError::new(
                SourceErrorKind::Landing,
                format!(
                    "landing: {} was finished by another process that took over run {}: this one must stop",
                    self.folder.display(),
                    self.run
                ),
            )),
            _ => Ok(()),
        }
    }

    /// Begins an extract: creates the folder, and removes what an unfinished (or no longer wanted) extract left in it, finished units
    /// aside where it may go on ([`RunLanding::in_units`]). Whoever wants to go on with a finished extract asks [`RunLanding::find`] first.
    pub fn begin(&self) -> Result<(), SourceError> {
        let failed = |what: &str, error: &io::Error| landing_error(what, &self.folder, error);
        self.refuse_overtaken(self.epoch)?;
        // The manifest goes first: without it, what remains after a crash here is an unfinished extract again.
        let manifest = self.folder.join(MANIFEST_FILE);
        match fs::remove_file(&manifest) {
            Ok(()) => sync_folder(&self.folder)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(landing_error("remove", &manifest, &error)),
        }
        let fingerprint = self.fingerprint.as_ref().filter(|_| self.takes_up);
        let units = fingerprint.and_then(|fingerprint| Units::find(&self.folder, fingerprint));
        match &units {
            Some(units) => {
                let kept = units.parts().map(|part| self.folder.join(&part.file));
                let kept: Vec<PathBuf> = kept.chain([self.folder.join(UNITS_FILE)]).collect();
                remove_others(&self.folder, &kept)?;
            }
            None => match fs::remove_dir_all(&self.folder) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed("clear", &error)),
            },
        }
        fail::fail_point!("landing::cleared");
        fs::create_dir_all(&self.folder).map_err(|error| failed("create", &error))?;
        let next = units.iter().flat_map(Units::parts).filter_map(|part| part_number(&part.file)).max();
        self.finished.store(next.map_or(0, |last| last + 1), Ordering::Relaxed);
        self.finished_keys.store(0, Ordering::Relaxed);
        let mut written = self.written();
        written.parts.clear();
        written.keys.clear();
        written.rejects = RejectsWriter::new(self.folder.clone());
        written.units = units;
        Ok(())
    }

    /// Ends an extract: closes the rejects, checks law 3 (read = rows + rejected), and writes the manifest, after which the
    /// extract counts.
    pub fn finish(&self, extract: Extract, fingerprint: &str, epoch: i64) -> Result<Manifest, SourceError> {
        self.refuse_overtaken(self.epoch.min(epoch))?;
        let mut written = self.written();
        let rejects = written.rejects.close()?;
        let mut parts = std::mem::take(&mut written.parts);
        if let Some(units) = written.units.take() {
            parts.extend(units.parts().cloned());
        }
        parts.sort_by(|a, b| a.file.cmp(&b.file));
        let mut keys = std::mem::take(&mut written.keys);
        keys.sort_by(|a, b| a.file.cmp(&b.file));
        let manifest = Manifest {
            format_version: FORMAT_VERSION,
            target: self.stream.target.clone(),
            source: self.stream.source.clone(),
            stream: self.stream.stream.clone(),
            run: self.run,
            epoch,
            fingerprint: fingerprint.to_owned(),
            generation: 1,
            created_at: jiff::Timestamp::now().to_string(),
            columns: store_columns(&parts),
            parts,
            keys,
            rejects,
            extract,
        };
        self.check_counts(&manifest)?;
        fail::fail_point!("landing::before-manifest");
        self.write_manifest(&manifest)?;
        fail::fail_point!("landing::after-manifest");
        Ok(manifest)
    }

    /// The manifest of a finished extract, after making sure that everything it names is there.
    pub fn find(&self) -> Result<Option<Manifest>, SourceError> {
        let path = self.folder.join(MANIFEST_FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(landing_error("read", &path, &error)),
        };
        let damaged = |what: String| self.damaged(&path, &what);
        // The version is read first: a newer manifest may not even have the shape of ours.
        let value: serde_json::Value =
            serde_json::from_slice(&text).map_err(|error| damaged(format!("the manifest cannot be read: {error}")))?;
        let version = value.get("format_version").and_then(serde_json::Value::as_u64).unwrap_or(0);
        if version > u64::from(FORMAT_VERSION) {
            return Err(SourceError::new(
                SourceErrorKind::Landing,
                format!(
                    "landing: {} was written by a newer version of thalweg (format {version}, this one knows {FORMAT_VERSION}): \
                     use that version",
                    path.display()
                ),
            ));
        }
        let manifest: Manifest =
            serde_json::from_value(value).map_err(|error| damaged(format!("the manifest cannot be read: {error}")))?;
        let parts = manifest.parts.iter().map(|part| (&part.file, part.bytes));
        let keys = manifest.keys.iter().map(|part| (&part.file, part.bytes));
        let rejects = manifest.rejects.iter().map(|rejects| (&rejects.file, rejects.bytes));
        for (file, bytes) in parts.chain(keys).chain(rejects) {
            match fs::metadata(self.folder.join(file)) {
                Ok(found) if found.len() == bytes => {}
                Ok(found) => {
                    return Err(damaged(format!("{file} has {} bytes, the manifest says {bytes}", found.len())));
                }
                Err(error) => return Err(damaged(format!("{file} is missing: {error}"))),
            }
        }
        Ok(Some(manifest))
    }

    /// Makes sure that the rows and keys of a finished extract are those that were landed: their files are read from end to end.
    pub fn check_content(&self, manifest: &Manifest) -> Result<(), SourceError> {
        for part in manifest.parts.iter().chain(&manifest.keys) {
            let path = self.folder.join(&part.file);
            let mut hasher = blake3::Hasher::new();
            let read = File::open(&path).and_then(|mut file| io::copy(&mut file, &mut hasher));
            read.map_err(|error| landing_error("read", &path, &error))?;
            if hasher.finalize().to_hex().as_str() != part.hash {
                return Err(self.damaged(&path, "it does not hold what was landed any more"));
            }
        }
        Ok(())
    }

    fn damaged(&self, path: &Path, what: &str) -> SourceError {
        let message = format!(
            "landing: {}: {what}; put it back from a backup, or, if run {} was never published, remove the folder of this run and build again",
            path.display(),
            self.run
        );
        SourceError::new(SourceErrorKind::Landing, message)
    }

    fn check_counts(&self, manifest: &Manifest) -> Result<(), SourceError> {
        let rejected = manifest.rejects.as_ref().map_or(0, |rejects| rejects.rows);
        let extract = &manifest.extract;
        if extract.read == manifest.rows() + rejected && extract.rejected == rejected {
            return Ok(());
        }
        Err(SourceError::new(
            SourceErrorKind::Landing,
            format!(
                "landing of {}.{}: {} records were read, but {} rows and {rejected} rejects ({} told) lie in {}: this is a fault in \
                 thalweg, please report it",
                self.stream.source,
                self.stream.stream,
                extract.read,
                manifest.rows(),
                extract.rejected,
                self.folder.display()
            ),
        ))
    }

    fn write_manifest(&self, manifest: &Manifest) -> Result<(), SourceError> {
        let (path, temporary) = (self.folder.join(MANIFEST_FILE), self.folder.join("manifest.json.tmp"));
        let mut text = serde_json::to_vec_pretty(manifest)
            .map_err(|error| landing_error("write", &path, &io::Error::other(error)))?;
        text.push(b'\n');
        let write = || -> io::Result<()> {
            let mut file = File::create(&temporary)?;
            file.write_all(&text)?;
            file.sync_all()?;
            // Parts were renamed before: their names must be on disk before the manifest that names them.
            File::open(&self.folder)?.sync_all()?;
            fail::fail_point!("landing::manifest-unnamed");
            fs::rename(&temporary, &path)
        };
        write().map_err(|error| landing_error("write", &path, &error))?;
        sync_folder(&self.folder)?;
        match self.folder.parent() {
            Some(parent) => sync_folder(parent),
            None => Ok(()),
        }
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        // A thread that panicked while holding the lock left complete entries only.
        self.written.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Sink for RunLanding {
    fn part(&self, columns: &[Column]) -> Result<Box<dyn Part + '_>, SourceError> {
        self.open_part(columns, Holds::Rows)
    }

    fn plan_units(&self, plan: &serde_json::Value) -> Result<Option<UnfinishedExtract>, SourceError> {
        let mut written = self.written();
        if let Some(units) = &written.units {
            return Ok(Some(units.unfinished()));
        }
        if let Some(fingerprint) = &self.fingerprint {
            let units = Units::new(fingerprint, plan.clone());
            units.write(&self.folder)?;
            written.units = Some(units);
        }
        Ok(None)
    }

    fn unit_part(&self, unit: usize, columns: &[Column]) -> Result<Box<dyn Part + '_>, SourceError> {
        let holds = if self.written().units.is_some() { Holds::Unit(unit) } else { Holds::Rows };
        self.open_part(columns, holds)
    }

    fn finish_unit(&self, unit: usize, outcome: Option<&serde_json::Value>) -> Result<(), SourceError> {
        let mut written = self.written();
        let Written { parts, units: Some(units), .. } = &mut *written else { return Ok(()) };
        match outcome {
            Some(outcome) => {
                units.finish(unit, outcome.clone());
                units.write(&self.folder)?;
            }
            None => parts.extend(units.take_parts(unit)),
        }
        fail::fail_point!("landing::unit-finished");
        Ok(())
    }

    fn forget_units(&self) -> Result<(), SourceError> {
        if self.written().units.take().is_some() {
            remove_others(&self.folder, &[])?;
        }
        Ok(())
    }

    fn keys(&self, columns: &[Column]) -> Result<Box<dyn Part + '_>, SourceError> {
        self.open_part(columns, Holds::Keys)
    }

    fn reject(&self, rejects: &[RejectedRecord]) -> Result<(), SourceError> {
        self.written().rejects.write(rejects)
    }

    fn progress(&self, records: u64) {
        self.records.fetch_add(records, Ordering::Relaxed);
    }
}

/// What a part holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    Rows,
    /// Rows of a unit.
    Unit(usize),
    Keys,
}

/// The number in the name of a part with rows.
fn part_number(file: &str) -> Option<u64> {
    file.strip_prefix("part-")?.strip_suffix(".parquet")?.parse().ok()
}

/// The columns that go to the store out of the columns of parts.
fn store_columns(parts: &[PartFile]) -> Vec<Column> {
    let mut columns = unify(parts.iter().map(|part| part.columns.as_slice()));
    columns.retain(|column| column.name != MATCHES_COLUMN);
    columns
}

impl RunLanding {
    fn open_part(&self, columns: &[Column], holds: Holds) -> Result<Box<dyn Part + '_>, SourceError> {
        let number = self.opened.fetch_add(1, Ordering::Relaxed);
        let temporary = self.folder.join(format!("open-{number:05}.parquet.tmp"));
        let file = ParquetFile::create(temporary, &arrow_schema(columns))?;
        Ok(Box::new(LandingPart { landing: self, columns: columns.to_vec(), holds, file }))
    }
}

struct LandingPart<'a> {
    landing: &'a RunLanding,
    columns: Vec<Column>,
    holds: Holds,
    file: ParquetFile,
}

impl Part for LandingPart<'_> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), SourceError> {
        self.file.write(batch)
    }

    fn finish(self: Box<Self>) -> Result<(), SourceError> {
        let (finished, word) = match self.holds {
            Holds::Rows | Holds::Unit(_) => (&self.landing.finished, "part"),
            Holds::Keys => (&self.landing.finished_keys, "keys"),
        };
        let number = finished.fetch_add(1, Ordering::Relaxed);
        let name = format!("{word}-{number:05}.parquet");
        self.landing.refuse_overtaken(self.landing.epoch)?;
        let closed = self.file.close(&self.landing.folder.join(&name))?;
        fail::fail_point!("landing::part-written");
        let part =
            PartFile { file: name, rows: closed.rows, bytes: closed.bytes, hash: closed.hash, columns: self.columns };
        let mut written = self.landing.written();
        match self.holds {
            Holds::Keys => written.keys.push(part),
            Holds::Unit(unit) => match &mut written.units {
                Some(units) => units.add_part(unit, part),
                None => written.parts.push(part),
            },
            Holds::Rows => written.parts.push(part),
        }
        Ok(())
    }
}

/// Waits until the names in a folder are on disk.
fn sync_folder(folder: &Path) -> Result<(), SourceError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| landing_error("sync", folder, &error))
}

/// A name as one part of a path: what is not a letter, digit, `_`, `-` or `.` is written `%XX`, and so is a leading dot, so that
/// two names never meet in one folder and none leads out of it.
fn path_name(name: &str) -> String {
    let mut path = String::with_capacity(name.len());
    for (place, byte) in name.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => path.push(char::from(byte)),
            b'.' if place > 0 => path.push('.'),
            _ => path.push_str(&format!("%{byte:02X}")),
        }
    }
    path
}
