//! The rejects of one file, kept back until it is certain that the file is loaded at all.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{RejectedRecord, Sink, SourceError, SourceErrorKind};

/// Bytes of rejects kept in memory; what is more goes to a temporary file.
const IN_MEMORY_BYTES: usize = 16 << 20;
/// Bytes of a raw record that are kept.
const RAW_BYTES: usize = 1 << 20;
/// Rejects that are named when there are too many.
const NAMED: usize = 3;

/// The rejects of one file.
pub(super) struct Rejects<'l> {
    /// The limit of the stream, and how many were rejected in files before this one.
    limit: &'l RejectLimit,
    count: AtomicU64,
    kept: Mutex<Kept>,
}

/// `max_rejects` of a stream, over all files of an extract.
#[derive(Debug)]
pub(super) struct RejectLimit {
    pub(super) stream: String,
    pub(super) file: String,
    pub(super) max: Option<u64>,
    pub(super) before: u64,
}

#[derive(Default)]
struct Kept {
    memory: Vec<RejectedRecord>,
    bytes: usize,
    spilled: Option<BufWriter<File>>,
    first: Vec<String>,
}

impl<'l> Rejects<'l> {
    pub(super) fn new(limit: &'l RejectLimit) -> Self {
        Self { limit, count: AtomicU64::new(0), kept: Mutex::new(Kept::default()) }
    }

    /// Keeps rejects. An error when there are more than the stream allows.
    pub(super) fn push(&self, rejects: Vec<RejectedRecord>) -> Result<(), SourceError> {
        if rejects.is_empty() {
            return Ok(());
        }
        let count = self.count.fetch_add(rejects.len() as u64, Ordering::Relaxed) + rejects.len() as u64;
        let mut kept = self.kept();
        for reject in rejects {
            if kept.first.len() < NAMED {
                kept.first.push(format!("record {}: {}", reject.record, reject.reason));
            }
            kept.bytes += reject.raw.len() + reject.reason.len() + 64;
            kept.memory.push(reject);
        }
        if let Some(max) = self.limit.max
            && self.limit.before + count > max
        {
            return Err(SourceError::new(
                SourceErrorKind::TooManyRejects,
                format!(
                    "stream {}: more than {max} records were rejected (max_rejects), so nothing is loaded; first in {}: {}",
                    self.limit.stream,
                    self.limit.file,
                    kept.first.join("; ")
                ),
            ));
        }
        if kept.bytes > IN_MEMORY_BYTES {
            kept.spill().map_err(|error| temporary_error(&error))?;
        }
        Ok(())
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Hands everything to the sink, in order of record as far as it was kept in memory.
    pub(super) fn commit(self, sink: &dyn Sink) -> Result<(), SourceError> {
        let mut kept = self.kept.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(spilled) = kept.spilled.take() {
            let mut file = spilled.into_inner().map_err(|error| temporary_error(error.error()))?;
            file.seek(SeekFrom::Start(0)).map_err(|error| temporary_error(&error))?;
            let mut batch = Vec::new();
            for line in BufReader::new(file).lines() {
                let line = line.map_err(|error| temporary_error(&error))?;
                batch.push(serde_json::from_str(&line).map_err(|error| temporary_error(&io::Error::other(error)))?);
                if batch.len() == 1024 {
                    sink.reject(&batch)?;
                    batch.clear();
                }
            }
            sink.reject(&batch)?;
        }
        kept.memory.sort_by_key(|reject| reject.record);
        sink.reject(&kept.memory)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn spill(&mut self) -> io::Result<()> {
        let mut file = match self.spilled.take() {
            Some(file) => file,
            None => BufWriter::new(tempfile::tempfile()?),
        };
        for reject in self.memory.drain(..) {
            serde_json::to_writer(&mut file, &reject)?;
            file.write_all(b"\n")?;
        }
        self.bytes = 0;
        self.spilled = Some(file);
        Ok(())
    }
}

fn temporary_error(error: &io::Error) -> SourceError {
    SourceError::new(
        SourceErrorKind::Landing,
        format!(
            "the rejects cannot be kept in the temporary folder {}: {error}; make room there or set TMPDIR",
            std::env::temp_dir().display()
        ),
    )
}

/// A raw record as text: bytes that are no UTF-8 become `\xNN`; beyond a megabyte it is cut.
pub(super) fn raw_text(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(RAW_BYTES)];
    let mut text = String::with_capacity(cut.len());
    for chunk in cut.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02X}"));
        }
    }
    if cut.len() < bytes.len() {
        text.push_str(&format!("… (cut: the record has {} bytes)", bytes.len()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_text_is_always_readable() {
        assert_eq!(raw_text("né".as_bytes()), "né");
        assert_eq!(raw_text(b"a\xFFb\xC3"), "a\\xFFb\\xC3");
    }
}
