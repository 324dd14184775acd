//! Reading a file chunk by chunk, on several threads: speculate on the types, convert in one pass, and only when a value does not
//! fit look at the whole file and convert again. The result is that of inference over the whole file.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use arrow::record_batch::RecordBatch;

use super::chunk::{Boundaries, Chunk, ChunkReader};
use super::columns::{KnownColumns, Looked, Plan, plan};
use super::content::{Content, FileTrouble};
use super::output::SharedParts;
use super::rejects::{RejectLimit, Rejects, raw_text};
use super::rows::Counts;
use crate::values::Shape;
use crate::{Context, Note, Part, RejectedRecord, Sink, SourceError};

/// Where a worker puts its batches.
pub(super) type Output<'o> = dyn FnMut(RecordBatch) -> Result<(), SourceError> + 'o;

/// A format whose files are read in chunks of whole records.
pub(super) trait ChunkedFormat: Sync {
    /// Where records end.
    fn boundaries(&self) -> Box<dyn Boundaries>;

    /// Takes the values of a chunk into account.
    fn infer(&self, chunk: &Chunk, shapes: &mut Shapes);

    /// Converts a chunk. `false`: a value does not fit a guessed type, or a column is not among `columns`.
    fn convert(&self, chunk: &Chunk, work: &Work<'_>, output: &mut Output<'_>) -> Result<bool, FileTrouble>;

    /// A record that is too long costs the file: the format cannot find the next one.
    fn cannot_skip(&self) -> bool {
        false
    }

    /// The columns are fixed by the format: nothing is inferred.
    fn fixed_plan(&self, _known: &KnownColumns<'_>) -> Option<Plan> {
        None
    }
}

/// What the workers of one pass share.
pub(super) struct Work<'w> {
    pub(super) plan: &'w Plan,
    /// The columns of the file, by index.
    pub(super) columns: &'w [String],
    pub(super) file: i32,
    pub(super) rejects: &'w Rejects<'w>,
    pub(super) counts: &'w Counts,
}

impl Work<'_> {
    /// Keeps rejects that are no rows at all, and counts them as read.
    pub(super) fn reject(&self, rejected: Vec<RejectedRecord>) -> Result<(), SourceError> {
        self.counts.read.fetch_add(rejected.len() as u64, Ordering::Relaxed);
        self.rejects.push(rejected)
    }
}

/// The columns of a file with the shapes of their values, by name, each with the record it was first seen in.
#[derive(Debug, Default, Clone)]
pub(super) struct Shapes {
    columns: Vec<(String, (i64, usize), Shape)>,
    index: BTreeMap<String, usize>,
}

impl Shapes {
    /// With columns that are there from the start.
    pub(super) fn of(columns: &[String]) -> Self {
        let mut shapes = Self::default();
        columns.iter().enumerate().for_each(|(place, column)| _ = shapes.column(column, (0, place)));
        shapes
    }

    /// The shape of a column, first seen at this record and place.
    pub(super) fn column(&mut self, name: &str, seen: (i64, usize)) -> &mut Shape {
        let index = match self.index.get(name) {
            Some(index) => *index,
            None => {
                self.columns.push((name.to_owned(), seen, Shape::default()));
                self.index.insert(name.to_owned(), self.columns.len() - 1);
                self.columns.len() - 1
            }
        };
        let column = &mut self.columns[index];
        column.1 = column.1.min(seen);
        &mut column.2
    }

    fn join(&mut self, other: &Self) {
        for (name, seen, shape) in &other.columns {
            self.column(name, *seen).join(shape);
        }
    }

    /// Names and shapes, in the order first seen.
    pub(super) fn in_order(mut self) -> (Vec<String>, Vec<Shape>) {
        self.columns.sort_by_key(|(_, seen, _)| *seen);
        self.columns.into_iter().map(|(name, _, shape)| (name, shape)).unzip()
    }
}

/// A file that was read.
pub(super) struct Loaded<'s> {
    pub(super) hash: String,
    pub(super) plan: Plan,
    pub(super) read: u64,
    pub(super) notes: Vec<Note>,
    /// Where reading ended: bytes, and the number of the record that would come next.
    pub(super) end: (i64, i64),
    rejects: Rejects<'s>,
    rows: LoadedRows<'s>,
}

enum LoadedRows<'s> {
    /// All of a small file.
    Batches(Vec<RecordBatch>),
    /// The parts of a large one, not finished.
    Parts(Vec<Box<dyn Part + 's>>),
}

impl<'s> Loaded<'s> {
    pub(super) fn rejected(&self) -> u64 {
        self.rejects.count()
    }

    /// A file without columns.
    pub(super) fn empty(hash: String, note: Note, limit: &'s RejectLimit) -> Self {
        let plan = Plan { columns: Vec::new(), schema: crate::landing::arrow_schema(&[]), notes: Vec::new() };
        Self {
            hash,
            plan,
            read: 0,
            notes: vec![note],
            end: (0, 1),
            rejects: Rejects::new(limit),
            rows: LoadedRows::Batches(Vec::new()),
        }
    }

    /// A file that was read in another way.
    pub(super) fn of_parts(
        hash: String,
        plan: Plan,
        read: u64,
        rejects: Rejects<'s>,
        parts: Vec<Box<dyn Part + 's>>,
    ) -> Self {
        let notes = plan.notes.clone();
        Self { hash, plan, read, notes, end: (0, 1), rejects, rows: LoadedRows::Parts(parts) }
    }

    /// Hands the file over: from here on it counts.
    pub(super) fn commit(self, sink: &dyn Sink, shared: &mut SharedParts<'_>) -> Result<(), SourceError> {
        match self.rows {
            // Neither columns nor rows. Rows without columns there are: `{}` is a record.
            LoadedRows::Batches(batches) if self.plan.columns.is_empty() && batches.is_empty() => {}
            LoadedRows::Batches(batches) => shared.write(&self.plan.landing_columns(), &batches)?,
            // Each part waits for the disk: side by side that is one wait.
            LoadedRows::Parts(parts) => std::thread::scope(|scope| {
                let waits: Vec<_> = parts.into_iter().map(|part| scope.spawn(|| part.finish())).collect();
                waits.into_iter().try_for_each(|wait| match wait.join() {
                    Ok(finished) => finished,
                    Err(panic) => std::panic::resume_unwind(panic),
                })
            })?,
        }
        self.rejects.commit(sink)
    }
}

/// Everything that is the same for all files of an extract.
pub(super) struct Surroundings<'s> {
    pub(super) context: &'s Context,
    pub(super) sink: &'s dyn Sink,
}

/// One file to be read, and what it is read for.
#[derive(Clone, Copy)]
pub(super) struct Job<'j, 's, 'c> {
    pub(super) surroundings: &'j Surroundings<'s>,
    pub(super) content: &'c Content,
    /// Its index in [`crate::Extract::files`].
    pub(super) index: i32,
    pub(super) known: &'j KnownColumns<'j>,
    pub(super) limit: &'s RejectLimit,
}

/// How one file is begun: its columns as far as the format knows them, and a reader behind head matter.
pub(super) struct Begun<'c> {
    pub(super) reader: ChunkReader<'c>,
    pub(super) hash: super::content::Hash,
}

/// Reads one file. `begin` starts reading it from the front, and is called again for each pass; `columns` are the columns that are
/// known before any record is read.
pub(super) fn load<'s, 'c>(
    job: Job<'_, 's, 'c>,
    format: &dyn ChunkedFormat,
    columns: &[String],
    begin: &dyn Fn() -> Result<Begun<'c>, FileTrouble>,
) -> Result<Loaded<'s>, FileTrouble> {
    let (name, known) = (job.content.name(), job.known);
    let mut begun = begin()?;
    let first = begun.reader.next()?;
    let fixed = format.fixed_plan(known);
    let (guessed_columns, guess) = match &fixed {
        Some(fixed) => (columns.to_vec(), fixed.clone()),
        None => {
            let mut shapes = Shapes::of(columns);
            if let Some(first) = &first {
                format.infer(&head_of(first), &mut shapes);
            }
            let (columns, shapes) = shapes.in_order();
            let guess = plan(name, &columns, &Looked::head(&shapes), known)?;
            (columns, guess)
        }
    };
    if let Some(loaded) = convert(job, format, (&guessed_columns, guess), begun, first)? {
        return Ok(loaded);
    }
    let mut begun = begin()?;
    let shapes = Mutex::new(Shapes::of(columns));
    let first = begun.reader.next()?;
    for_each_chunk(
        job.surroundings.context,
        &mut begun.reader,
        first,
        &|| Ok(Shapes::default()),
        &|shapes: &mut Shapes, chunk| {
            if !chunk.oversize {
                format.infer(&chunk, shapes);
            }
            Ok(true)
        },
        &|found| {
            shapes.lock().unwrap_or_else(PoisonError::into_inner).join(&found);
            Ok(())
        },
    )?;
    let (columns, shapes) = shapes.into_inner().unwrap_or_else(PoisonError::into_inner).in_order();
    let exact = plan(name, &columns, &Looked::whole(&shapes), known)?;
    let mut begun = begin()?;
    let first = begun.reader.next()?;
    match convert(job, format, (&columns, exact), begun, first)? {
        Some(loaded) => Ok(loaded),
        // What was inferred over the whole file fits, unless it is not the same file any more.
        None => Err(FileTrouble::Changed),
    }
}

/// The first records of a chunk: enough for a guess.
fn head_of(chunk: &Chunk) -> Chunk {
    const HEAD_BYTES: usize = 128 << 10;
    let bytes = &chunk.bytes[..chunk.bytes.len().min(HEAD_BYTES)];
    // It is cut behind a line or an object; what is cut inside a record is no record, and is not looked at.
    let end = if bytes.len() < chunk.bytes.len() {
        memchr::memrchr3(b'\n', b'\r', b'}', bytes).map_or(0, |end| end + 1)
    } else {
        bytes.len()
    };
    Chunk { bytes: if chunk.oversize { Vec::new() } else { bytes[..end].to_vec() }, ..*chunk }
}

/// One conversion pass. `None`: a guess was wrong.
fn convert<'s>(
    job: Job<'_, 's, '_>,
    format: &dyn ChunkedFormat,
    (columns, plan): (&[String], Plan),
    mut begun: Begun<'_>,
    first: Option<Chunk>,
) -> Result<Option<Loaded<'s>>, FileTrouble> {
    let Job { surroundings, content, .. } = job;
    let (rejects, counts) = (Rejects::new(job.limit), Counts::default());
    let work = Work { plan: &plan, columns, file: job.index, rejects: &rejects, counts: &counts };
    let (sink, landing_columns) = (surroundings.sink, plan.landing_columns());
    let rows = if begun.reader.is_at_end() {
        let mut batches = Vec::new();
        if let Some(chunk) = first {
            let mut keep = |batch: RecordBatch| {
                sink.progress(batch.num_rows() as u64);
                batches.push(batch);
                Ok(())
            };
            if !convert_chunk(format, &chunk, &work, &mut keep)? {
                return Ok(None);
            }
        }
        LoadedRows::Batches(batches)
    } else {
        let parts = Mutex::new(Vec::new());
        let fits = for_each_chunk(
            surroundings.context,
            &mut begun.reader,
            first,
            &|| sink.part(&landing_columns),
            &|part: &mut Box<dyn Part + 's>, chunk| {
                convert_chunk(format, &chunk, &work, &mut |batch| {
                    sink.progress(batch.num_rows() as u64);
                    part.write(&batch)
                })
            },
            &|part| {
                parts.lock().unwrap_or_else(PoisonError::into_inner).push(part);
                Ok(())
            },
        )?;
        if !fits {
            return Ok(None);
        }
        LoadedRows::Parts(parts.into_inner().unwrap_or_else(PoisonError::into_inner))
    };
    content.check_unchanged()?;
    let mut notes = plan.notes.clone();
    let discarded = counts.discarded.load(Ordering::Relaxed);
    if discarded > 0 {
        let (noun, example) =
            (if discarded == 1 { "value" } else { "values" }, counts.example.get().map_or("", String::as_str));
        notes.push(Note::warning(format!(
            "{}: {discarded} {noun} became NULL (schema_contract: discard_value), the first: {example}",
            content.name()
        )));
    }
    let read = counts.read.load(Ordering::Relaxed);
    let end = begun.reader.place();
    Ok(Some(Loaded { hash: begun.hash.hex(), read, notes, end, rejects, rows, plan }))
}

fn convert_chunk(
    format: &dyn ChunkedFormat,
    chunk: &Chunk,
    work: &Work<'_>,
    output: &mut Output<'_>,
) -> Result<bool, FileTrouble> {
    if !chunk.oversize {
        return format.convert(chunk, work, output);
    }
    if format.cannot_skip() {
        return Err(FileTrouble::Failed(format!(
            "record {} at byte {} does not end within {} MiB: it is not closed, or too long; nothing of the file was loaded",
            chunk.record,
            chunk.offset,
            super::chunk::MAX_RECORD_BYTES >> 20
        )));
    }
    work.reject(vec![RejectedRecord {
        file: work.file,
        record: chunk.record,
        byte_offset: Some(chunk.offset),
        reason: format!(
            "the record is longer than {} MiB; only its start is kept",
            super::chunk::MAX_RECORD_BYTES >> 20
        ),
        raw: raw_text(&chunk.bytes),
    }])?;
    Ok(true)
}

/// Works on all chunks with as many threads as the context allows. Each worker has a state of its own, made by `make` and handed
/// to `done` at the end. `work` answers `false` to stop everything, and then so does this.
fn for_each_chunk<S: Send>(
    context: &Context,
    reader: &mut ChunkReader<'_>,
    first: Option<Chunk>,
    make: &(dyn Fn() -> Result<S, SourceError> + Sync),
    work: &(dyn Fn(&mut S, Chunk) -> Result<bool, FileTrouble> + Sync),
    done: &(dyn Fn(S) -> Result<(), SourceError> + Sync),
) -> Result<bool, FileTrouble> {
    let Some(first) = first else { return Ok(true) };
    if reader.is_at_end() {
        let mut state = make()?;
        let fits = work(&mut state, first)?;
        done(state)?;
        return Ok(fits);
    }
    let stopped = AtomicBool::new(false);
    let threads = context.threads.max(1);
    let (sender, receiver) = crossbeam_channel::bounded::<Chunk>(1);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                let (receiver, stopped) = (receiver.clone(), &stopped);
                scope.spawn(move || -> Result<bool, FileTrouble> {
                    let worked = (|| {
                        let mut state = make()?;
                        while let Ok(chunk) = receiver.recv() {
                            if stopped.load(Ordering::Relaxed) {
                                return Ok(false);
                            }
                            if !work(&mut state, chunk)? {
                                return Ok(false);
                            }
                        }
                        done(state)?;
                        Ok(true)
                    })();
                    if !matches!(worked, Ok(true)) {
                        stopped.store(true, Ordering::Relaxed);
                    }
                    worked
                })
            })
            .collect();
        drop(receiver);
        let (mut next, mut trouble) = (Some(first), None);
        while let Some(chunk) = next.take() {
            if stopped.load(Ordering::Relaxed) || sender.send(chunk).is_err() {
                break;
            }
            match context.check_cancelled().map_err(FileTrouble::Stop).and_then(|()| reader.next()) {
                Ok(following) => next = following,
                Err(error) => {
                    stopped.store(true, Ordering::Relaxed);
                    trouble = Some(error);
                }
            }
        }
        drop(sender);
        let mut fits = true;
        for worker in workers {
            match worker.join() {
                Ok(Ok(fitted)) => fits &= fitted,
                Ok(Err(error)) => trouble = trouble.or(Some(error)),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        match trouble {
            Some(trouble) => Err(trouble),
            None => Ok(fits),
        }
    })
}
