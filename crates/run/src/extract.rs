//! Reading streams into the landing, several at the same time.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use thalweg_project::{Project, SourceConnection, Stream};
use thalweg_source::database::DatabaseSource;
use thalweg_source::files::FilesSource;
use thalweg_source::landing::{FORMAT_VERSION, Landing, Manifest, RunLanding};
use thalweg_source::{
    Column, Context, Extract, NoteLevel, Part, RejectedRecord, Sink, Snapshot, Source, SourceError, SourceErrorKind,
    StreamRequest, UnfinishedExtract,
};

use crate::event::{Event, Observer};

/// How often a source that is unavailable is tried, and how long is waited before each further try.
const PAUSES: [Duration; 2] = [Duration::from_millis(300), Duration::from_millis(1500)];

/// A stream to be read.
pub struct Job<'a> {
    /// The stream and what is known of it.
    pub request: StreamRequest<'a>,
    /// What the extract depends on besides the data: the stream's definition and the position it starts from.
    pub fingerprint: String,
}

/// What became of a stream.
pub enum Extracted {
    /// It was read, now or by the interrupted run that goes on.
    Landed(Box<Manifest>),
    /// It could not be read.
    Failed(SourceError),
}

/// Opens every source of a project.
pub fn open_sources(project: &Project, folder: &Path) -> Vec<Box<dyn Source>> {
    project
        .sources
        .iter()
        .map(|source| match &source.connection {
            SourceConnection::Files { .. } => Box::new(FilesSource::new(source, folder)) as Box<dyn Source>,
            SourceConnection::Database(database) => {
                Box::new(DatabaseSource::new(&source.name, &database.settings, folder))
            }
        })
        .collect()
}

/// `source.stream`
pub fn stream_name(stream: &Stream) -> String {
    format!("{}.{}", stream.source, stream.name)
}

/// Where and for what is extracted.
pub struct Extraction<'a> {
    /// The landing of the target.
    pub landing: &'a Landing,
    /// The run.
    pub run: i64,
    /// Epoch of its lease.
    pub epoch: i64,
    /// The run was interrupted before: what it finished is taken up. Otherwise nothing lies in the landing under its number.
    pub resumed: bool,
    /// What sources may use.
    pub context: &'a Context,
    /// Whom to tell.
    pub observer: &'a dyn Observer,
}

impl Extraction<'_> {
    /// Reads the streams of each source in one snapshot; the answers stand in the order of the jobs.
    pub fn extract(&self, groups: &[(&dyn Source, Vec<Job<'_>>)]) -> Vec<Vec<Extracted>> {
        let mut results: Vec<Vec<Mutex<Option<Extracted>>>> =
            groups.iter().map(|(_, jobs)| jobs.iter().map(|_| Mutex::new(None)).collect()).collect();
        let requests: Vec<Vec<StreamRequest<'_>>> =
            groups.iter().map(|(_, jobs)| jobs.iter().map(|job| job.request.clone()).collect()).collect();
        // What the interrupted run finished is not read again.
        for (group, (_, jobs)) in groups.iter().enumerate().filter(|_| self.resumed) {
            for (index, job) in jobs.iter().enumerate() {
                match self.landing_of(job.request.stream).find() {
                    Ok(Some(manifest)) if manifest.fingerprint == job.fingerprint => {
                        self.tell_finished(job.request.stream, &manifest, true);
                        results[group][index] = Mutex::new(Some(Extracted::Landed(Box::new(manifest))));
                    }
                    Ok(_) => {}
                    Err(error) => results[group][index] = Mutex::new(Some(Extracted::Failed(error))),
                }
            }
        }
        let snapshots: Vec<Option<Result<Box<dyn Snapshot + '_>, SourceError>>> = groups
            .iter()
            .enumerate()
            .map(|(group, (source, _))| {
                let open = results[group].iter_mut().any(|result| result.get_mut().is_ok_and(|it| it.is_none()));
                open.then(|| self.with_patience(|| source.open(&requests[group], self.context)))
            })
            .collect();
        let work: Vec<(usize, usize)> = results
            .iter_mut()
            .enumerate()
            .flat_map(|(group, results)| {
                results
                    .iter_mut()
                    .enumerate()
                    .filter_map(move |(index, result)| {
                        result.get_mut().is_ok_and(|result| result.is_none()).then_some((group, index))
                    })
                    .collect::<Vec<_>>()
            })
            .collect();
        let next = AtomicUsize::new(0);
        let worker = || {
            while let Some(&(group, index)) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                let job = &groups[group].1[index];
                let result = match &snapshots[group] {
                    Some(Ok(snapshot)) => self.extract_one(snapshot.as_ref(), index, job),
                    Some(Err(error)) => Err(SourceError::new(error.kind, error.message.clone())),
                    None => continue,
                };
                let extracted = match result {
                    Ok(manifest) => Extracted::Landed(Box::new(manifest)),
                    Err(error) => {
                        self.observer.event(&Event::ExtractFailed {
                            stream: stream_name(job.request.stream),
                            message: error.message.clone(),
                        });
                        Extracted::Failed(error)
                    }
                };
                if let Ok(mut slot) = results[group][index].lock() {
                    *slot = Some(extracted);
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..self.context.threads.min(work.len()) {
                scope.spawn(worker);
            }
            worker();
        });
        results
            .into_iter()
            .map(|results| {
                results
                    .into_iter()
                    .map(|result| {
                        result.into_inner().ok().flatten().unwrap_or_else(|| {
                            Extracted::Failed(SourceError::new(
                                SourceErrorKind::Unavailable,
                                "the stream was not read because reading another one went wrong",
                            ))
                        })
                    })
                    .collect()
            })
            .collect()
    }

    fn landing_of(&self, stream: &Stream) -> RunLanding {
        self.landing.stream(&stream.source, &stream.name).run(self.run)
    }

    fn extract_one(&self, snapshot: &dyn Snapshot, index: usize, job: &Job<'_>) -> Result<Manifest, SourceError> {
        let stream = job.request.stream;
        let name = stream_name(stream);
        self.context.check_cancelled()?;
        self.observer.event(&Event::ExtractStarted { stream: name.clone() });
        fail::fail_point!("run::before-extract");
        let mut takes_up = self.resumed;
        let manifest = self.with_patience(|| {
            let landing = self.landing_of(stream).under(self.epoch).in_units(&job.fingerprint, takes_up);
            // What this very process began may be gone on with.
            takes_up = true;
            landing.begin()?;
            let sink = ToldSink { landing: &landing, observer: self.observer, stream: &name };
            let extract = snapshot.extract(index, &sink)?;
            if extract.is_empty() && extract.confirmations.is_empty() {
                return Ok(nothing_landed(stream, self.run, self.epoch, &landing, extract));
            }
            landing.finish(extract, &job.fingerprint, self.epoch)
        })?;
        fail::fail_point!("run::after-extract");
        self.tell_finished(stream, &manifest, false);
        Ok(manifest)
    }

    /// Tries again what may succeed the next time.
    fn with_patience<T>(&self, mut act: impl FnMut() -> Result<T, SourceError>) -> Result<T, SourceError> {
        for pause in PAUSES {
            match act() {
                Err(error) if error.kind == SourceErrorKind::Unavailable => std::thread::sleep(pause),
                result => return result,
            }
            self.context.check_cancelled()?;
        }
        act()
    }

    fn tell_finished(&self, stream: &Stream, manifest: &Manifest, reused: bool) {
        let name = stream_name(stream);
        for note in &manifest.extract.notes {
            self.observer.event(&Event::Note {
                about: name.clone(),
                warning: note.level == NoteLevel::Warning,
                message: note.message.clone(),
            });
        }
        self.observer.event(&Event::ExtractFinished {
            stream: name,
            read: manifest.extract.read,
            rejected: manifest.extract.rejected,
            files: manifest.extract.files.len(),
            reused,
        });
    }
}

/// The manifest of an extract that found nothing. It is not written: a schedule that looks every minute would fill the landing
/// with empty folders.
fn nothing_landed(stream: &Stream, run: i64, epoch: i64, landing: &RunLanding, extract: Extract) -> Manifest {
    if let Err(error) = std::fs::remove_dir(landing.folder()) {
        tracing::debug!(%error, folder = %landing.folder().display(), "the empty landing folder stays");
    }
    Manifest {
        format_version: FORMAT_VERSION,
        target: String::new(),
        source: stream.source.clone(),
        stream: stream.name.clone(),
        run,
        epoch,
        fingerprint: String::new(),
        generation: 1,
        created_at: String::new(),
        columns: Vec::new(),
        parts: Vec::new(),
        keys: Vec::new(),
        rejects: None,
        extract,
    }
}

/// A landing whose progress is told.
struct ToldSink<'a> {
    landing: &'a RunLanding,
    observer: &'a dyn Observer,
    stream: &'a str,
}

impl Sink for ToldSink<'_> {
    fn part(&self, columns: &[Column]) -> Result<Box<dyn Part + '_>, SourceError> {
        self.landing.part(columns)
    }

    fn keys(&self, columns: &[Column]) -> Result<Box<dyn Part + '_>, SourceError> {
        self.landing.keys(columns)
    }

    fn plan_units(&self, plan: &serde_json::Value) -> Result<Option<UnfinishedExtract>, SourceError> {
        self.landing.plan_units(plan)
    }

    fn unit_part(&self, unit: usize, columns: &[Column]) -> Result<Box<dyn Part + '_>, SourceError> {
        self.landing.unit_part(unit, columns)
    }

    fn finish_unit(&self, unit: usize, outcome: Option<&serde_json::Value>) -> Result<(), SourceError> {
        self.landing.finish_unit(unit, outcome)
    }

    fn forget_units(&self) -> Result<(), SourceError> {
        self.landing.forget_units()
    }

    fn reject(&self, rejects: &[RejectedRecord]) -> Result<(), SourceError> {
        self.landing.reject(rejects)
    }

    fn progress(&self, records: u64) {
        self.landing.progress(records);
        self.observer
            .event(&Event::ExtractProgress { stream: self.stream.to_owned(), records: self.landing.records() });
    }
}
