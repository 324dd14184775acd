//! The ledger of a stream of files, as entries of its position.
//!
//! | key | value |
//! |---|---|
//! | `file:<name>` | its [`Stamp`] and content hash when it was last dealt with: an unchanged file is not even opened |
//! | `content:<hash>` | name, size and time of the first load of this content: it is never loaded again (with `replace`: while it is the present one) |
//! | `tail:<hash>` | how far a log was read that begins with so many bytes of this hash (see [`super::tail`]) |
//! | `undecided` | names of columns that had no value in any file so far |
//! | `reading` | a hash of the settings by which files were read last: format, delimiters, lists |

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::json;
use thalweg_project::FileOptions;

use super::discover::{Found, Stamp};
use crate::{Position, PositionChange};

/// In the place of the hash of a log: its last line has no end, and was not read.
const UNENDED: &str = "unended";

#[derive(Debug, Serialize, Deserialize)]
struct FileEntry {
    #[serde(flatten)]
    stamp: Stamp,
    hash: String,
}

/// The ledger before an extract, and what the extract changes in it.
pub(super) struct Ledger<'p> {
    before: &'p Position,
    change: PositionChange,
}

impl<'p> Ledger<'p> {
    pub(super) fn new(before: &'p Position) -> Self {
        Self { before, change: PositionChange::new() }
    }

    /// Whether the file is as it was when it was dealt with.
    pub(super) fn is_unchanged(&self, file: &Found) -> bool {
        let Some(entry) = self.before.get(&file_key(&file.name)) else { return false };
        let number = |name: &str| entry.get(name).and_then(serde_json::Value::as_i64);
        // Compared field by field: ten thousand of these are looked at in every run.
        number("mtime_ns") == Some(file.stamp.mtime_ns)
            && number("size") == i64::try_from(file.stamp.size).ok()
            && number("ctime_ns") == Some(file.stamp.ctime_ns)
            && entry.get("inode").and_then(serde_json::Value::as_u64) == Some(file.stamp.inode)
    }

    /// Whether a log had a last line without an end that was not read: it is looked at again though it is unchanged.
    pub(super) fn is_unended(&self, file: &Found) -> bool {
        let entry = self.before.get(&file_key(&file.name));
        entry.and_then(|entry| entry.get("hash")?.as_str()) == Some(UNENDED)
    }

    /// The hash of what a file held when it was dealt with; `None` where it has another size now.
    pub(super) fn content_of(&self, file: &Found) -> Option<&str> {
        let entry = self.before.get(&file_key(&file.name))?;
        let size = entry.get("size").and_then(serde_json::Value::as_u64);
        if size == Some(file.stamp.size) { entry.get("hash")?.as_str() } else { None }
    }

    /// Size and hash of what a file of this name held when it was read as a whole.
    pub(super) fn whole_of(&self, file: &Found) -> Option<(u64, &str)> {
        let entry = self.before.get(&file_key(&file.name))?;
        let hash = entry.get("hash")?.as_str().filter(|hash| !hash.is_empty() && *hash != UNENDED)?;
        Some((entry.get("size")?.as_u64()?, hash))
    }

    /// A file was written anew, with what it held.
    pub(super) fn touch(&mut self, file: &Found) {
        if let Some(hash) = self.content_of(file).map(str::to_owned) {
            self.record(file, &hash);
        }
    }

    /// Under which name a content was loaded.
    pub(super) fn loaded_as(&self, hash: &str) -> Option<&str> {
        let key = format!("content:{hash}");
        let entry = match self.change.get(&key) {
            Some(changed) => changed.as_ref(),
            None => self.before.get(&key),
        };
        entry?.get("path")?.as_str()
    }

    /// Sizes of the contents that were loaded: only a file of one of these can be a repetition, and is hashed before it is read.
    pub(super) fn sizes(&self) -> BTreeSet<u64> {
        let range = self.before.range("content:".to_owned().."content;".to_owned());
        range.filter_map(|(_, entry)| entry.get("size")?.as_u64()).collect()
    }

    /// A file was dealt with: loaded, or found to be a repetition.
    pub(super) fn record(&mut self, file: &Found, hash: &str) {
        let entry = FileEntry { stamp: file.stamp, hash: hash.to_owned() };
        self.change.insert(file_key(&file.name), serde_json::to_value(entry).ok());
        if self.loaded_as(hash).is_none() {
            let loaded_at = jiff::Timestamp::now().to_string();
            let entry = json!({ "path": file.name, "size": file.stamp.size, "loaded_at": loaded_at });
            self.change.insert(format!("content:{hash}"), Some(entry));
        }
    }

    /// A content that was loaded before is part of this extract as well.
    pub(super) fn keep_content(&mut self, hash: &str) {
        let key = format!("content:{hash}");
        if let Some(entry) = self.before.get(&key) {
            self.change.entry(key).or_insert_with(|| Some(entry.clone()));
        }
    }

    /// Forgets every content but those of this extract: after a replacement, an older content is news again.
    pub(super) fn forget_replaced(&mut self) {
        for (key, _) in self.before.range("content:".to_owned().."content;".to_owned()) {
            self.change.entry(key.clone()).or_insert(None);
        }
    }

    /// Forgets the stamps of files that are gone. What they held stays known.
    pub(super) fn forget_others<'n>(&mut self, names: impl Iterator<Item = &'n str>) {
        let present: BTreeSet<&str> = names.collect();
        let range = self.before.range("file:".to_owned().."file;".to_owned());
        for key in range.map(|(key, _)| key).filter(|key| !present.contains(&key["file:".len()..])) {
            self.change.insert(key.clone(), None);
        }
    }

    /// Whether files were read by other settings before.
    pub(super) fn was_read_otherwise(&self, options: &FileOptions) -> bool {
        let before = self.before.get("reading").and_then(serde_json::Value::as_str);
        before.is_some_and(|before| before != reading(options))
    }

    /// Remembers by which settings files are read.
    pub(super) fn set_reading(&mut self, options: &FileOptions) {
        let now = json!(reading(options));
        if self.before.get("reading") != Some(&now) {
            self.change.insert("reading".to_owned(), Some(now));
        }
    }

    /// Columns without a value so far.
    pub(super) fn undecided(&self) -> BTreeSet<String> {
        let names = self.before.get("undecided").and_then(serde_json::Value::as_array);
        names.into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect()
    }

    /// Remembers the columns without a value.
    pub(super) fn set_undecided(&mut self, names: &BTreeSet<String>) {
        if *names == self.undecided() {
            return;
        }
        self.change.insert("undecided".to_owned(), if names.is_empty() { None } else { Some(json!(names)) });
    }

    /// Another entry, for logs that grow.
    pub(super) fn set(&mut self, key: String, value: Option<serde_json::Value>) {
        self.change.insert(key, value);
    }

    /// The entries whose keys begin so, as they are now.
    pub(super) fn entries(&self, prefix: &str) -> Vec<(String, serde_json::Value)> {
        let before = self.before.range(prefix.to_owned()..).take_while(|(key, _)| key.starts_with(prefix));
        let mut entries: Position = before.map(|(key, value)| (key.clone(), value.clone())).collect();
        for (key, value) in self.change.iter().filter(|(key, _)| key.starts_with(prefix)) {
            match value {
                Some(value) => _ = entries.insert(key.clone(), value.clone()),
                None => _ = entries.remove(key),
            }
        }
        entries.into_iter().collect()
    }

    /// Whether a file of this name is there.
    pub(super) fn has_file(&self, name: &str) -> bool {
        let key = file_key(name);
        match self.change.get(&key) {
            Some(change) => change.is_some(),
            None => self.before.contains_key(&key),
        }
    }

    /// The stamp of a file that has no content of its own to remember, and whether a last line without an end is still to be read.
    pub(super) fn record_stamp(&mut self, file: &Found, unended: bool) {
        let hash = if unended { UNENDED.to_owned() } else { String::new() };
        let entry = FileEntry { stamp: file.stamp, hash };
        self.change.insert(file_key(&file.name), serde_json::to_value(entry).ok());
    }

    /// What changed. An entry that is as before is no change.
    pub(super) fn into_change(self) -> PositionChange {
        let before = self.before;
        self.change.into_iter().filter(|(key, value)| before.get(key) != value.as_ref()).collect()
    }
}

fn file_key(name: &str) -> String {
    format!("file:{name}")
}

fn reading(options: &FileOptions) -> String {
    let settings = format!("{:?}\0{:?}", options.format, options.lists);
    blake3::hash(settings.as_bytes()).to_hex()[..16].to_owned()
}
