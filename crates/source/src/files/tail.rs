//! Logs that grow and rotate.
//!
//! A log is known by its first bytes, not by its name: the hash of its first kilobyte, or of as much as was read of it while it was
//! shorter. So it is recognised after a rotation by rename (`access.log` → `access.log.1`), as the copy that `copytruncate` makes,
//! and compressed (`access.log.2.gz`). The position remembers, for each beginning, the offset behind the last complete line and
//! the number of lines before it.
//!
//! A last line without an end is still being written, and is left alone. When the name under which a log grew belongs to another log
//! that has begun, nobody writes to the old one any more: it is read to its end then.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::content::{Content, FileTrouble};
use super::discover::Found;
use super::position::Ledger;
use crate::Note;

/// Bytes a log is recognised by.
const HEAD_BYTES: u64 = 1024;
/// How long a beginning is remembered after its log was last seen: longer than any rotation takes to compress a file.
const REMEMBERED: Duration = Duration::from_secs(30 * 24 * 3600);

/// How far a log was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct TailEntry {
    /// Name it was last seen under.
    path: String,
    /// Name it was first seen under: the one it grew under.
    #[serde(default)]
    live: Option<String>,
    /// Bytes of the beginning that the key is the hash of.
    head_bytes: u64,
    /// Bytes read, up to a line end, in the uncompressed log.
    offset: u64,
    /// Lines read.
    lines: i64,
    /// Seconds since 1970.
    seen_at: u64,
}

/// Where reading starts.
pub(super) struct TailStart {
    /// First byte to read.
    pub(super) offset: u64,
    /// Number of the first line to read.
    pub(super) record: i64,
    /// What a person should know.
    pub(super) note: Option<Note>,
    head: Vec<u8>,
    key: Option<String>,
    known: Option<TailEntry>,
}

impl TailStart {
    /// The name under which the log grew.
    pub(super) fn live<'a>(&'a self, file: &'a Found) -> &'a str {
        self.known.as_ref().map_or(&file.name, |known| known.live.as_ref().unwrap_or(&known.path))
    }

    /// Whether another log has begun where this one grew. While that place holds nothing, or a log with the same beginning (as a copy
    /// is that is being made), this one may still be written to.
    pub(super) fn is_rotated_away(&self, file: &Found, live: &Path) -> bool {
        let (Some(known), Some(key)) = (&self.known, &self.key) else { return false };
        if self.live(file) == file.name {
            return false;
        }
        let mut head = Vec::new();
        let read = File::open(live).and_then(|live| live.take(known.head_bytes).read_to_end(&mut head));
        read.is_ok() && !head.is_empty() && head_key(&head, head.len() as u64).as_ref() != Some(key)
    }
}

/// Recognises a log and finds where it was left.
pub(super) fn find_start(content: &Content, file: &Found, ledger: &Ledger<'_>) -> Result<TailStart, FileTrouble> {
    let mut head = Vec::new();
    let (input, _) = content.read_from(0)?;
    input.take(HEAD_BYTES).read_to_end(&mut head).map_err(|error| content.failed(&error))?;
    let entries: Vec<(String, TailEntry)> = ledger
        .entries("tail:")
        .into_iter()
        .filter_map(|(key, value)| Some((key, serde_json::from_value(value).ok()?)))
        .collect();
    let known = entries
        .iter()
        .filter(|(key, entry)| head_key(&head, entry.head_bytes).as_ref() == Some(key))
        .max_by_key(|(_, entry)| entry.head_bytes);
    let Some((key, entry)) = known else {
        if let Some((offset, record)) = behind_whole(content, file, ledger)? {
            return Ok(TailStart { offset, record, note: None, head, key: None, known: None });
        }
        let was_other = entries.iter().any(|(_, entry)| entry.path == file.name);
        let note = was_other.then(|| {
            Note::info(format!("{}: it begins anew (rotated or truncated) and is read from its first line", file.name))
        });
        return Ok(TailStart { offset: 0, record: 1, note, head, key: None, known: None });
    };
    // The size of a compressed log is not known; where it is shorter than expected, nothing is read of it.
    if !content.is_compressed() && content.stamp().size < entry.offset && entry.path == file.name {
        let note = Note::warning(format!(
            "{}: it was truncated: {} bytes had been read, it has {}; it is read from its first line",
            file.name,
            entry.offset,
            content.stamp().size
        ));
        return Ok(TailStart {
            offset: 0,
            record: 1,
            note: Some(note),
            head,
            key: Some(key.clone()),
            known: Some(entry.clone()),
        });
    }
    Ok(TailStart {
        offset: entry.offset,
        record: entry.lines + 1,
        note: None,
        head,
        key: Some(key.clone()),
        known: Some(entry.clone()),
    })
}

/// Where what is new begins in a log that was read as a whole file before, and the number of the first line there.
fn behind_whole(content: &Content, file: &Found, ledger: &Ledger<'_>) -> Result<Option<(u64, i64)>, FileTrouble> {
    let Some((size, hash)) = ledger.whole_of(file).filter(|(size, _)| *size <= content.stamp().size) else {
        return Ok(None);
    };
    if content.is_compressed() {
        return Ok(None);
    }
    let (mut input, mut read, mut lines, mut last) =
        (content.read_from(0)?.0.take(size), blake3::Hasher::new(), 0, b'\n');
    let mut buffer = vec![0; 64 << 10];
    loop {
        let length = input.read(&mut buffer).map_err(|error| content.failed(&error))?;
        let Some(bytes) = buffer.get(..length).filter(|bytes| !bytes.is_empty()) else { break };
        read.update(bytes);
        lines += i64::try_from(memchr::memchr_iter(b'\n', bytes).count()).unwrap_or(i64::MAX);
        last = bytes.last().copied().unwrap_or(last);
    }
    // A last line without an end was read as it stood.
    let next = if last == b'\n' { lines + 1 } else { lines + 2 };
    Ok((read.finalize().to_hex().as_str() == hash).then_some((size, next)))
}

/// Remembers how far a log was read.
pub(super) fn record(
    ledger: &mut Ledger<'_>,
    file: &Found,
    start: &TailStart,
    (offset, record): (i64, i64),
    ended: bool,
) {
    let offset = u64::try_from(offset).unwrap_or_default();
    ledger.record_stamp(file, !ended && offset < file.stamp.size);
    let head_bytes = offset.min(start.head.len() as u64);
    // Until a line is complete there is nothing to recognise the log by.
    let Some(key) = head_key(&start.head, head_bytes) else { return };
    if let Some(before) = start.key.as_ref().filter(|before| **before != key) {
        ledger.set(before.clone(), None);
    }
    let live = Some(start.live(file).to_owned());
    let entry = TailEntry { path: file.name.clone(), live, head_bytes, offset, lines: record - 1, seen_at: now() };
    ledger.set(key, serde_json::to_value(entry).ok());
}

/// Forgets logs that were not seen for a long time.
pub(super) fn forget_old(ledger: &mut Ledger<'_>) {
    let oldest = now().saturating_sub(REMEMBERED.as_secs());
    for (key, value) in ledger.entries("tail:") {
        let Ok(entry) = serde_json::from_value::<TailEntry>(value) else { continue };
        // A log that lies there unchanged is not looked at, and still there.
        if entry.seen_at < oldest && !ledger.has_file(&entry.path) {
            ledger.set(key, None);
        }
    }
}

fn head_key(head: &[u8], bytes: u64) -> Option<String> {
    let head = head.get(..usize::try_from(bytes).ok()?).filter(|head| !head.is_empty())?;
    Some(format!("tail:{}", blake3::hash(head).to_hex()))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
