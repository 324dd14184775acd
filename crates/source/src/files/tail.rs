//! Logs that grow and rotate.
//!
//! A log is known by its first bytes, not by its name: the hash of its first kilobyte, or of as much as was read of it while it was
//! shorter. Where several logs begin alike, as with a banner, it is told from the others by the last kilobyte that was read of it. So it is recognised after a rotation by rename (`access.log` → `access.log.1`), as the copy that `copytruncate` makes,
//! and compressed (`access.log.2.gz`). The position remembers, for each beginning, the offset behind the last complete line and
//! the number of lines before it.
//!
//! A last line without an end is still being written, and is left alone. When the name under which a log grew belongs to another log
//! that has begun, nobody writes to the old one any more: it is read to its end then.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
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
    /// The hash of the last of them.
    #[serde(default)]
    end: Option<String>,
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
    /// Keys of other logs that begin alike.
    taken: Vec<String>,
}

impl TailStart {
    /// The name under which the log grew.
    pub(super) fn live<'a>(&'a self, file: &'a Found) -> &'a str {
        self.known.as_ref().map_or(&file.name, |known| known.live.as_ref().unwrap_or(&known.path))
    }

    /// Whether another log has begun where this one grew. While that place holds nothing, or a log with the same beginning (as a copy
    /// is that is being made), this one may still be written to.
    pub(super) fn is_rotated_away(&self, file: &Found, live: &Content) -> bool {
        let (Some(known), Some(key)) = (&self.known, &self.key) else { return false };
        if self.live(file) == file.name {
            return false;
        }
        let mut head = Vec::new();
        let read = live.read_from(0).ok().map(|(input, _)| input.take(known.head_bytes).read_to_end(&mut head));
        let begins_otherwise = || head_key(&head, head.len() as u64).is_none_or(|head| !is_key_of(key, &head));
        // One that begins alike is a copy of this one only as far as it holds what was read of it.
        let goes_on_otherwise = || match &known.end {
            Some(end) if !is_shorter(live, known) => {
                end_hash(live, known.offset).is_ok_and(|own| own.as_ref() != Some(end))
            }
            _ => false,
        };
        read.is_some_and(|read| read.is_ok()) && !head.is_empty() && (begins_otherwise() || goes_on_otherwise())
    }
}

/// Recognises a log and finds where it was left. `others` are all logs that are there.
pub(super) fn find_start(
    content: &Content,
    file: &Found,
    ledger: &Ledger<'_>,
    others: &Others<'_>,
) -> Result<TailStart, FileTrouble> {
    let mut head = Vec::new();
    let (input, _) = content.read_from(0)?;
    input.take(HEAD_BYTES).read_to_end(&mut head).map_err(|error| content.failed(&error))?;
    let entries: Vec<(String, TailEntry)> = ledger
        .entries("tail:")
        .into_iter()
        .filter_map(|(key, value)| Some((key, serde_json::from_value(value).ok()?)))
        .collect();
    let alike = |(key, entry): &&(String, TailEntry)| {
        head_key(&head, entry.head_bytes).is_some_and(|head| is_key_of(key, &head))
    };
    let mut alike: Vec<&(String, TailEntry)> = entries.iter().filter(alike).collect();
    // What can be made sure of comes first.
    alike.sort_by_key(|(_, entry)| {
        let is_shorter = is_shorter(content, entry);
        let is_own = is_shorter && entry.path == file.name;
        (is_shorter, is_own, std::cmp::Reverse((entry.head_bytes, entry.offset)))
    });
    let mut known = None;
    for one in &alike {
        if is_the_one(content, file, one, others)? {
            known = Some(*one);
            break;
        }
    }
    let taken: Vec<String> =
        entries.iter().map(|(key, _)| key.clone()).filter(|key| known.is_none_or(|(known, _)| known != key)).collect();
    let Some((key, entry)) = known else {
        if let Some((offset, record)) = behind_whole(content, file, ledger)? {
            return Ok(TailStart { offset, record, note: None, head, key: None, known: None, taken });
        }
        let was_other = entries.iter().any(|(_, entry)| entry.path == file.name);
        let note = was_other.then(|| {
            Note::info(format!("{}: it begins anew (rotated or truncated) and is read from its first line", file.name))
        });
        return Ok(TailStart { offset: 0, record: 1, note, head, key: None, known: None, taken });
    };
    // The size of a compressed log is not known; where it is shorter than expected, nothing is read of it.
    if is_shorter(content, entry) && entry.path == file.name {
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
            taken,
        });
    }
    Ok(TailStart {
        offset: entry.offset,
        record: entry.lines + 1,
        note: None,
        head,
        key: Some(key.clone()),
        known: Some(entry.clone()),
        taken,
    })
}

/// The logs that are there, by their names.
pub(super) struct Others<'a> {
    pub(super) paths: &'a BTreeMap<String, PathBuf>,
}

impl Others<'_> {
    fn open(&self, name: &str) -> Option<Content> {
        Content::open_growing(self.paths.get(name)?, name).ok()
    }

    /// Whether another log than this one holds all that was read of one.
    fn have(&self, (key, entry): &(String, TailEntry), file: &Found) -> bool {
        let end = entry.end.as_ref();
        self.paths.keys().filter(|name| **name != file.name).any(|name| {
            self.open(name).is_some_and(|other| {
                let mut head = Vec::new();
                let read = other.read_from(0).ok().map(|(input, _)| input.take(HEAD_BYTES).read_to_end(&mut head));
                read.is_some_and(|read| read.is_ok())
                    && head_key(&head, entry.head_bytes).is_some_and(|head| is_key_of(key, &head))
                    && end_hash(&other, entry.offset).is_ok_and(|own| own.is_some() && own.as_ref() == end)
            })
        })
    }
}

/// Whether a log that begins like one that was read is that one. One that is shorter than what was read is a copy of it that is being made, or
/// was truncated, if no other log goes on where that was left.
fn is_the_one(
    content: &Content,
    file: &Found,
    known: &(String, TailEntry),
    others: &Others<'_>,
) -> Result<bool, FileTrouble> {
    let entry = &known.1;
    if !is_shorter(content, entry) {
        let Some(end) = &entry.end else { return Ok(true) };
        return Ok(end_hash(content, entry.offset)?.as_ref() == Some(end));
    }
    if entry.path == file.name {
        return Ok(!others.have(known, file));
    }
    let Some(other) = others.open(&entry.path) else { return Ok(false) };
    let size = content.stamp().size;
    Ok(end_hash(content, size)? == end_hash(&other, size)?)
}

/// Whether a log has less than was read of one. The size of a compressed one is not known.
fn is_shorter(content: &Content, entry: &TailEntry) -> bool {
    !content.is_compressed() && content.stamp().size < entry.offset
}

/// The hash of the last bytes before a place in a log; `None` where it has not as many bytes.
fn end_hash(content: &Content, offset: u64) -> Result<Option<String>, FileTrouble> {
    let length = offset.min(HEAD_BYTES);
    let mut end = Vec::new();
    let (input, _) = content.read_from(offset - length)?;
    input.take(length).read_to_end(&mut end).map_err(|error| content.failed(&error))?;
    Ok((end.len() as u64 == length).then(|| blake3::hash(&end).to_hex().to_string()))
}

/// Whether a key is that of a log with this beginning: the first has its hash, others that begin alike a number behind it.
fn is_key_of(key: &str, head: &str) -> bool {
    key.strip_prefix(head).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
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
    content: &Content,
    file: &Found,
    start: &TailStart,
    (offset, record): (i64, i64),
    ended: bool,
) -> Result<(), FileTrouble> {
    let offset = u64::try_from(offset).unwrap_or_default();
    ledger.record_stamp(file, !ended && offset < file.stamp.size);
    let head_bytes = offset.min(start.head.len() as u64);
    // Until a line is complete there is nothing to recognise the log by.
    let Some(head) = head_key(&start.head, head_bytes) else { return Ok(()) };
    // A copy that is being made stands for nothing yet.
    let Some(end) = end_hash(content, offset)? else { return Ok(()) };
    let numbered = (2..).map(|number: u32| format!("{head}.{number}"));
    let free = std::iter::once(head.clone()).chain(numbered).find(|key| !start.taken.contains(key));
    let key = start.key.clone().filter(|key| is_key_of(key, &head)).or(free).unwrap_or(head);
    if let Some(before) = start.key.as_ref().filter(|before| **before != key) {
        ledger.set(before.clone(), None);
    }
    let live = Some(start.live(file).to_owned());
    let end = Some(end);
    let entry = TailEntry { path: file.name.clone(), live, head_bytes, offset, end, lines: record - 1, seen_at: now() };
    ledger.set(key, serde_json::to_value(entry).ok());
    Ok(())
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
