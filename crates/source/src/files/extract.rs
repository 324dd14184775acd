//! The extract of one stream: file after file, oldest first.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use thalweg_project::{AfterLoad, FileFormat, FileMode, Ready, WriteDisposition};

use super::chunked::{Job, Loaded, Surroundings};
use super::columns::KnownColumns;
use super::confirm::confirmation;
use super::content::{Content, FileTrouble, data_error};
use super::discover::{Found, discover};
use super::output::SharedParts;
use super::position::Ledger;
use super::read::Reading;
use super::ready::keep_ready;
use super::rejects::RejectLimit;
use super::tail;
use crate::landing::unify;
use crate::{
    Column, Context, Extract, ExtractFile, FailedFile, Note, RejectedRecord, Sink, SourceError, SourceErrorKind,
    StreamRequest,
};

/// Extracts everything that is new in a stream.
pub(super) fn extract_stream(
    root: &Path,
    country_database: Option<&Path>,
    request: &StreamRequest<'_>,
    context: &Context,
    sink: &dyn Sink,
) -> Result<Extract, SourceError> {
    let discovery = discover(root, &request.stream.files)?;
    let mut ledger = Ledger::new(&request.position);
    ledger.forget_others(discovery.files.iter().map(|file| file.name.as_str()));
    let mut notes = Notes::default();
    notes.extend(discovery.notes);
    let tailed = request.stream.files.mode == FileMode::Tail;
    let paths = if tailed {
        discovery.files.iter().map(|file| (file.name.clone(), file.path.clone())).collect()
    } else {
        BTreeMap::new()
    };
    let (mut unchanged, changed): (Vec<_>, Vec<_>) =
        discovery.files.into_iter().partition(|file| ledger.is_unchanged(file) && !ledger.is_unended(file));
    let candidates = changed.len();
    // A log is never complete, and is read up to its last line end.
    let ready = if tailed { &Ready::Renamed } else { &request.stream.files.ready };
    let (mut files, waiting) = keep_ready(changed, ready, context)?;
    let replace = request.stream.write_disposition == WriteDisposition::Replace;
    let held_back = replace && files.len() < candidates;
    // What stays in the folder stays true: with one new delivery all that lie there are the whole truth.
    let all_present = replace && !tailed && request.stream.files.after == AfterLoad::Keep;
    if all_present {
        let (same, other) = files.into_iter().partition(|file| holds_the_same(file, &ledger, context));
        files = other;
        for file in &same {
            ledger.touch(file);
            if files.is_empty() {
                notes.push(not_again(file));
            }
        }
        unchanged.extend::<Vec<_>>(same);
    }
    let otherwise = ledger.was_read_otherwise(&request.stream.files);
    if otherwise && !all_present {
        let again = if request.stream.files.after == AfterLoad::Keep && !tailed {
            format!(
                "; to have the files that are there now read again, and nothing else, give the stream another name, with `as: {}`",
                request.stream.table.name
            )
        } else {
            String::new()
        };
        notes.push(Note::warning(format!(
            "its files are read by other settings than before: what was loaded stays as it was read{again}"
        )));
    }
    if all_present && (!files.is_empty() || otherwise && waiting.is_empty()) {
        files.extend(unchanged);
        files.sort_by(Found::oldest_first);
    }
    notes.extend(waiting);
    let mut extraction = Extraction {
        request,
        context,
        sink,
        reading: Reading::new(request.stream, country_database),
        known: known_columns(request, &ledger),
        sizes: if files.is_empty() { BTreeSet::new() } else { ledger.sizes() },
        all_present,
        paths,
        ledger,
        notes,
        says_something: false,
        extract: Extract { failed: discovery.failed, ..Extract::default() },
    };
    if held_back {
        extraction.notes.push(Note::info(
            "nothing is replaced while a new delivery is not complete: all are left for the next run",
        ));
    } else {
        extraction.files(&files)?;
    }
    if replace && let Some(failed) = extraction.extract.failed.first() {
        let message = format!("{}; the stream is replaced as a whole, so nothing of it is loaded", failed.message);
        return Err(data_error(message));
    }
    Ok(extraction.finish())
}

fn not_again(file: &Found) -> Note {
    Note::info(format!("{}: the same content was loaded before: not loaded again", file.name))
}

/// Whether a file was written anew with what it held before. One that cannot be read is read later, which says why.
fn holds_the_same(file: &Found, ledger: &Ledger<'_>, context: &Context) -> bool {
    let Some(hash) = ledger.content_of(file) else { return false };
    let read = Content::open(&file.path, &file.name, file.stamp).and_then(|content| {
        let read = content.hash(&|| context.check_cancelled())?;
        content.check_unchanged().map(|()| read)
    });
    read.is_ok_and(|read| read == hash)
}

/// Reads rejected records again. The extract has the files it was given, and no position.
pub(super) fn replay_stream(
    _root: &Path,
    country_database: Option<&Path>,
    request: &StreamRequest<'_>,
    files: &[ExtractFile],
    records: &[RejectedRecord],
    context: &Context,
    sink: &dyn Sink,
) -> Result<Extract, SourceError> {
    let ledger = Ledger::new(&request.position);
    let known = known_columns(request, &ledger);
    let mut reading = Reading::new(request.stream, country_database);
    super::replay::replay(&mut reading, known, files, records, &Surroundings { context, sink })
}

fn known_columns<'a>(request: &StreamRequest<'a>, ledger: &Ledger<'_>) -> KnownColumns<'a> {
    let undecided = ledger.undecided();
    let mark = |column: &Column| Column { undecided: undecided.contains(&column.name), ..column.clone() };
    KnownColumns {
        columns: request.known_columns.iter().map(mark).collect(),
        contract: !request.known_columns.is_empty(),
        stream: request.stream,
    }
}

/// Notes, each said once however many files it is true of.
#[derive(Default)]
struct Notes {
    notes: Vec<Note>,
    said: BTreeSet<String>,
}

impl Notes {
    fn push(&mut self, note: Note) {
        self.notes.push(note);
    }

    fn extend(&mut self, notes: Vec<Note>) {
        self.notes.extend(notes);
    }

    /// A note that begins with the file's name.
    fn of_file(&mut self, file: &str, note: Note) {
        let what = note.message.strip_prefix(file).unwrap_or(&note.message);
        if self.said.insert(what.to_owned()) {
            self.notes.push(note);
        }
    }
}

struct Extraction<'a> {
    request: &'a StreamRequest<'a>,
    context: &'a Context,
    sink: &'a dyn Sink,
    reading: Reading<'a>,
    known: KnownColumns<'a>,
    /// Sizes of contents loaded by earlier runs.
    sizes: BTreeSet<u64>,
    /// The files present are the whole truth: each is read, whether its content was loaded before or not.
    all_present: bool,
    /// Where the logs lie, by name.
    paths: BTreeMap<String, PathBuf>,
    ledger: Ledger<'a>,
    notes: Notes,
    /// A file that was loaded had columns, though perhaps no records, or was an empty JSON array.
    says_something: bool,
    extract: Extract,
}

impl Extraction<'_> {
    fn files(&mut self, files: &[Found]) -> Result<(), SourceError> {
        let mut shared = SharedParts::new(self.sink);
        for file in files {
            self.context.check_cancelled()?;
            let loaded = if self.request.stream.files.mode == FileMode::Tail {
                self.tail(file, &mut shared)
            } else {
                self.delivery(file, &mut shared)
            };
            match loaded {
                Ok(()) => {}
                Err(FileTrouble::Failed(message)) => {
                    self.extract.failed.push(FailedFile { name: file.name.clone(), message });
                }
                Err(FileTrouble::Changed) => {
                    let message = format!("{}: left for later, it changed while it was being read", file.name);
                    if self.request.stream.write_disposition == WriteDisposition::Replace {
                        return Err(SourceError::new(SourceErrorKind::Unavailable, message));
                    }
                    self.notes.push(Note::info(message));
                }
                Err(FileTrouble::Stop(error)) => return Err(name_file(error, &file.name)),
            }
        }
        if self.request.stream.files.mode == FileMode::Tail {
            tail::forget_old(&mut self.ledger);
        }
        shared.finish()
    }

    /// One file, one delivery.
    fn delivery<'s>(&mut self, file: &Found, shared: &mut SharedParts<'s>) -> Result<(), FileTrouble>
    where
        Self: 's,
    {
        let content = Content::open(&file.path, &file.name, file.stamp)?;
        // Parquet is read from the middle, so it is always hashed first; others only where they may be a repetition.
        let hash_first =
            self.sizes.contains(&file.stamp.size) || matches!(self.request.stream.files.format, FileFormat::Parquet);
        let mut hash = String::new();
        if hash_first {
            hash = content.hash(&|| self.context.check_cancelled())?;
            if self.is_repetition(file, &hash) {
                return Ok(());
            }
        }
        let index = i32::try_from(self.extract.files.len()).unwrap_or(i32::MAX);
        let limit = self.limit(file);
        let surroundings = Surroundings { context: self.context, sink: self.sink };
        let (surroundings, known) = (&surroundings, &self.known);
        let job = Job { surroundings, content: &content, index, known, limit: &limit };
        let (loaded, layout) = self.reading.file(job)?;
        if hash.is_empty() {
            hash.clone_from(&loaded.hash);
            if self.is_repetition(file, &hash) {
                return Ok(());
            }
        }
        let stream = self.request.stream;
        let stays = stream.files.after == AfterLoad::Keep;
        if stays && stream.write_disposition == WriteDisposition::Append && self.ledger.has_file(&file.name) {
            let grows = matches!(stream.files.format, FileFormat::AccessLog | FileFormat::Ndjson);
            let hint = if grows { "; `mode: tail` reads only what is new in a file that grows" } else { "" };
            let message =
                format!("{}: was loaded before with other content; all of its rows are appended{hint}", file.name);
            self.notes.push(Note::info(message));
        }
        self.take(file, loaded, Some(&hash), layout, shared)?;
        self.sizes.insert(file.stamp.size);
        self.ledger.record(file, &hash);
        self.ledger.keep_content(&hash);
        self.extract.confirmations.extend(confirmation(self.request.stream.files.after, file, &hash));
        Ok(())
    }

    /// New lines of a growing log.
    fn tail(&mut self, file: &Found, shared: &mut SharedParts<'_>) -> Result<(), FileTrouble> {
        let content = Content::open_growing(&file.path, &file.name)?;
        let file = Found { stamp: content.stamp(), ..file.clone() };
        let start = tail::find_start(&content, &file, &self.ledger, &tail::Others { paths: &self.paths })?;
        if let Some(note) = start.note.clone() {
            self.notes.push(note);
        }
        let index = i32::try_from(self.extract.files.len()).unwrap_or(i32::MAX);
        let limit = self.limit(&file);
        let surroundings = Surroundings { context: self.context, sink: self.sink };
        let place = (start.offset, start.record);
        let (surroundings, known) = (&surroundings, &self.known);
        let job = Job { surroundings, content: &content, index, known, limit: &limit };
        let live_name = start.live(&file);
        let live = self.paths.get(live_name).and_then(|path| Content::open_growing(path, live_name).ok());
        // What is compressed is not written to any more, nor is a log whose name another has taken: the last line is complete.
        let ended = content.is_compressed() || live.is_some_and(|live| start.is_rotated_away(&file, &live));
        let loaded = self.reading.lines(job, place, ended)?;
        let end = loaded.end;
        if loaded.read == 0 && self.ledger.is_unchanged(&file) {
            return Ok(());
        }
        if loaded.read > 0 {
            self.take(&file, loaded, None, None, shared)?;
        }
        tail::record(&mut self.ledger, &content, &file, &start, end, ended)?;
        Ok(())
    }

    fn limit(&self, file: &Found) -> RejectLimit {
        RejectLimit {
            stream: self.request.stream.name.clone(),
            file: file.name.clone(),
            max: self.request.stream.max_rejects,
            before: self.extract.rejected,
        }
    }

    /// The same content was loaded before: told, archived, not loaded.
    fn is_repetition(&mut self, file: &Found, hash: &str) -> bool {
        if self.all_present {
            return false;
        }
        let Some(loaded) = self.ledger.loaded_as(hash) else { return false };
        // A file that holds again what it held before it held something else says how things are now.
        let merges = self.request.stream.write_disposition == WriteDisposition::Merge;
        if merges && loaded == file.name && self.ledger.whole_of(file).is_some_and(|(_, last)| last != hash) {
            return false;
        }
        if loaded != file.name {
            let message = format!("{}: the same content was loaded before as {loaded}: not loaded again", file.name);
            self.notes.push(Note::info(message));
        } else {
            self.notes.push(not_again(file));
        }
        self.ledger.record(file, hash);
        self.extract.confirmations.extend(confirmation(self.request.stream.files.after, file, hash));
        true
    }

    /// A file that was read becomes part of the extract.
    fn take(
        &mut self,
        file: &Found,
        loaded: Loaded<'_>,
        hash: Option<&str>,
        layout: Option<serde_json::Value>,
        shared: &mut SharedParts<'_>,
    ) -> Result<(), FileTrouble> {
        let (read, rejected) = (loaded.read, loaded.rejected());
        for note in &loaded.notes {
            self.notes.of_file(&file.name, note.clone());
        }
        let columns = loaded.plan.landing_columns();
        let is_empty_array = matches!(self.request.stream.files.format, FileFormat::Json) && loaded.end.0 > 0;
        self.says_something |= !columns.is_empty() || is_empty_array;
        self.known.columns = unify([self.known.columns.as_slice(), columns.as_slice()]);
        loaded.commit(self.sink, shared)?;
        self.extract.read += read;
        self.extract.rejected += rejected;
        self.extract.files.push(ExtractFile {
            name: file.name.clone(),
            hash: hash.map(str::to_owned),
            bytes: file.stamp.size,
            read,
            rejected,
            // Only a reject is ever read again.
            layout: if rejected > 0 { layout } else { None },
        });
        Ok(())
    }

    fn finish(mut self) -> Extract {
        if !self.extract.files.is_empty() {
            let undecided = self.known.columns.iter().filter(|column| column.undecided);
            self.ledger.set_reading(&self.request.stream.files);
            self.ledger.set_undecided(&undecided.map(|column| column.name.clone()).collect());
        }
        self.extract.notes = self.notes.notes;
        self.extract.notes.extend(self.reading.take_notes());
        // A file without even a header is more likely an accident than the news that everything is gone.
        self.extract.complete =
            self.request.stream.write_disposition == WriteDisposition::Replace && self.says_something;
        if self.extract.complete {
            self.ledger.forget_replaced();
        }
        self.extract.position = self.ledger.into_change();
        self.extract
    }
}

/// Data trouble that stops the stream says in which file it was met.
fn name_file(error: SourceError, file: &str) -> SourceError {
    if error.kind == SourceErrorKind::Data && !error.message.contains(file) {
        return SourceError::new(error.kind, format!("{file}: {}", error.message));
    }
    error
}
