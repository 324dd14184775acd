//! Reading one file in its format.

use std::io::Read;
use std::path::Path;

use serde_json::Value;
use thalweg_project::{CsvOptions, FileFormat, Stream};

use super::access_log::AccessLogFormat;
use super::chunk::{CHUNK_BYTES, ChunkReader};
use super::chunked::{Begun, ChunkedFormat, Job, Loaded, load};
use super::columns::KnownColumns;
use super::content::{Content, FileTrouble, Hash};
use super::csv::{CsvFormat, CsvLayout, detect};
use super::json::{JsonFormat, Writing, array_start};
use super::parquet;
use crate::{Note, SourceError, SourceErrorKind};

/// Bytes at the start of a file that its layout is found from.
const HEAD_BYTES: usize = 1 << 20;

/// Reads the files of one stream.
pub(super) struct Reading<'a> {
    stream: &'a Stream,
    country_database: Option<&'a Path>,
    access_log: Option<AccessLogFormat>,
    chunk_bytes: usize,
}

impl<'a> Reading<'a> {
    pub(super) fn new(stream: &'a Stream, country_database: Option<&'a Path>) -> Self {
        Self { stream, country_database, access_log: None, chunk_bytes: CHUNK_BYTES }
    }

    /// With chunks of another size, for tests.
    #[cfg(test)]
    pub(super) fn with_chunk_bytes(self, chunk_bytes: usize) -> Self {
        Self { chunk_bytes, ..self }
    }

    /// What was noticed that is true of the stream and not of one file.
    pub(super) fn take_notes(&mut self) -> Vec<Note> {
        self.access_log.as_mut().map(AccessLogFormat::take_notes).unwrap_or_default()
    }

    /// Reads a file; the value is what a single record of it needs to be read again.
    pub(super) fn file<'s>(&mut self, job: Job<'_, 's, '_>) -> Result<(Loaded<'s>, Option<Value>), FileTrouble> {
        let (content, chunk_bytes) = (job.content, self.chunk_bytes);
        let whole = |format: &dyn ChunkedFormat, columns: &[String]| {
            let begin = || begin(content, format, chunk_bytes, 0);
            load(job, format, columns, &begin)
        };
        match &self.stream.files.format {
            FileFormat::Csv(options) => csv(job, options, chunk_bytes),
            FileFormat::AccessLog => Ok((whole(self.access_log(), &[])?, None)),
            FileFormat::Ndjson => {
                let format = JsonFormat { writing: Writing::Lines, file: content.name().to_owned() };
                Ok((whole(&format, &[])?, None))
            }
            FileFormat::Json => Ok((json_array(job, chunk_bytes)?, None)),
            FileFormat::Parquet => Ok((parquet::load(job)?, None)),
        }
    }

    /// Reads the complete lines of a log from a place on; of one that has `ended` the last line too, however it ends.
    pub(super) fn lines<'s>(
        &mut self,
        job: Job<'_, 's, '_>,
        (offset, record): (u64, i64),
        ended: bool,
    ) -> Result<Loaded<'s>, FileTrouble> {
        let (content, chunk_bytes) = (job.content, self.chunk_bytes);
        let json = JsonFormat { writing: Writing::Lines, file: content.name().to_owned() };
        let format: &dyn ChunkedFormat = match self.stream.files.format {
            FileFormat::AccessLog => self.access_log(),
            FileFormat::Ndjson => &json,
            FileFormat::Csv(_) | FileFormat::Json | FileFormat::Parquet => {
                let message =
                    "`mode: tail` reads lines: only the formats access_log and ndjson can grow; remove `mode: tail`";
                return Err(FileTrouble::Stop(SourceError::new(SourceErrorKind::Denied, message)));
            }
        };
        let begin = || {
            let (input, hash) = content.read_from(offset)?;
            let offset = i64::try_from(offset).unwrap_or(i64::MAX);
            let reader = ChunkReader::new(content, input, format.boundaries(), chunk_bytes)
                .starting_at(offset, record)
                .only_complete(!ended);
            Ok(Begun { reader, hash })
        };
        load(job, format, &[], &begin)
    }

    /// The format of access logs, which remembers agents and addresses over all files.
    pub(super) fn access_log(&mut self) -> &AccessLogFormat {
        self.access_log.get_or_insert_with(|| AccessLogFormat::new(self.stream, self.country_database))
    }
}

fn json_array<'s>(job: Job<'_, 's, '_>, chunk_bytes: usize) -> Result<Loaded<'s>, FileTrouble> {
    let content = job.content;
    let start = Start::open(content, HEAD_BYTES)?;
    let skipped = match array_start(&start.head) {
        Some(0) => {
            let note = Note::warning(format!("{}: the file is empty", content.name()));
            return Ok(Loaded::empty(content.hash(&|| job.surroundings.context.check_cancelled())?, note, job.limit));
        }
        Some(skipped) => skipped,
        None => {
            return Err(FileTrouble::Failed(format!(
                "{}: expected an array of objects, `[{{...}}, ...]`; for one object a line set `format: ndjson`; nothing of the file \
                 was loaded",
                content.name()
            )));
        }
    };
    let format = JsonFormat { writing: Writing::Array, file: content.name().to_owned() };
    let begin = || begin(content, &format, chunk_bytes, skipped);
    load(job, &format, &[], &begin)
}

fn csv<'s>(
    job: Job<'_, 's, '_>,
    options: &CsvOptions,
    chunk_bytes: usize,
) -> Result<(Loaded<'s>, Option<Value>), FileTrouble> {
    let content = job.content;
    let layout = csv_layout(content, job.known, options)?;
    if layout.columns.is_empty() {
        let note = Note::warning(format!("{}: the file is empty", content.name()));
        let hash = content.hash(&|| job.surroundings.context.check_cancelled())?;
        return Ok((Loaded::empty(hash, note, job.limit), None));
    }
    let (columns, header_bytes) = (layout.columns.clone(), layout.header_bytes);
    let kept = serde_json::to_value(&layout).ok();
    let format = CsvFormat::new(layout, options.null_values.as_ref());
    let begin = || begin(content, &format, chunk_bytes, header_bytes);
    Ok((load(job, &format, &columns, &begin)?, kept))
}

fn csv_layout(content: &Content, known: &KnownColumns<'_>, options: &CsvOptions) -> Result<CsvLayout, FileTrouble> {
    let start = Start::open(content, HEAD_BYTES)?;
    let mut head = start.head.as_slice();
    if head.len() >= HEAD_BYTES
        && let Some(end) = memchr::memrchr2(b'\n', b'\r', head)
    {
        head = &head[..=end];
    }
    let known: Vec<&str> = known.columns.iter().map(|column| column.source_name.as_str()).collect();
    detect(head, options, &known)
        .map_err(|why| FileTrouble::Failed(format!("{}: {why}; nothing of the file was loaded", content.name())))
}

/// Starts reading chunks behind a byte order mark and so many bytes of head matter.
pub(super) fn begin<'c>(
    content: &'c Content,
    format: &dyn ChunkedFormat,
    chunk_bytes: usize,
    skipped: usize,
) -> Result<Begun<'c>, FileTrouble> {
    let mut start = Start::open(content, chunk_bytes.max(skipped))?;
    let mut boundaries = format.boundaries();
    let rest = start.head.split_off(skipped.min(start.head.len()));
    let record = 1 + boundaries.records_in(&start.head);
    let offset = i64::try_from(start.mark + skipped).unwrap_or(i64::MAX);
    let reader =
        ChunkReader::new(content, start.input, boundaries, chunk_bytes).with_head(rest).starting_at(offset, record);
    Ok(Begun { reader, hash: start.hash })
}

/// The start of a text file.
struct Start {
    input: Box<dyn Read + Send>,
    hash: Hash,
    /// Bytes behind the byte order mark.
    head: Vec<u8>,
    /// Bytes of the byte order mark.
    mark: usize,
}

impl Start {
    fn open(content: &Content, bytes: usize) -> Result<Self, FileTrouble> {
        let (mut input, hash) = content.read_from(0)?;
        let mut head = Vec::new();
        (&mut input).take(bytes.max(4) as u64).read_to_end(&mut head).map_err(|error| content.failed(&error))?;
        let mark = match head.as_slice() {
            [0xEF, 0xBB, 0xBF, ..] => 3,
            [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => {
                return Err(FileTrouble::Failed(format!(
                    "{}: the file is UTF-16; only UTF-8 is read: convert it, for example with iconv -f UTF-16 -t UTF-8; nothing of \
                     it was loaded",
                    content.name()
                )));
            }
            _ => 0,
        };
        head.drain(..mark);
        Ok(Self { input, hash, head, mark })
    }
}
