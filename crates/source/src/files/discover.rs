//! Which files of a folder belong to a stream.

use std::cmp::Ordering;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};
use serde::{Deserialize, Serialize};
use thalweg_project::{FileOptions, Ready};

use crate::{FailedFile, Note, SourceError, SourceErrorKind};

/// What tells one state of a file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    /// Bytes.
    pub(super) size: u64,
    /// Last change of the content, nanoseconds since 1970.
    pub(super) mtime_ns: i64,
    /// Last change of the file's entry, nanoseconds since 1970; nobody can set it back.
    pub(super) ctime_ns: i64,
    /// The file itself, whatever its name.
    pub(super) inode: u64,
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        let nanoseconds = |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
        Self {
            size: metadata.len(),
            mtime_ns: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            ctime_ns: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
        }
    }
}

/// A file that belongs to a stream.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// Path below the source's folder, with `/`.
    pub(super) name: String,
    /// Where it lies.
    pub(super) path: PathBuf,
    pub(super) stamp: Stamp,
}

impl Found {
    /// The order in which files are loaded.
    pub(super) fn oldest_first(&self, other: &Self) -> Ordering {
        (self.stamp.mtime_ns, &self.name).cmp(&(other.stamp.mtime_ns, &other.name))
    }
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Discovery {
    /// Oldest first.
    pub(super) files: Vec<Found>,
    pub(super) notes: Vec<Note>,
    pub(super) failed: Vec<FailedFile>,
}

/// Finds the files of a stream. Never: dotfiles and what lies in dot folders, `.part`, `.tmp`, the archive, marker files. A link is
/// followed only to a file inside the folder; linked folders are not entered.
pub(super) fn discover(root: &Path, options: &FileOptions) -> Result<Discovery, SourceError> {
    let matcher = GlobBuilder::new(&options.pattern).literal_separator(true).build().map_err(|error| {
        let message = format!("the pattern `{}` cannot be understood: {error}", options.pattern);
        SourceError::new(SourceErrorKind::Denied, message)
    })?;
    let mut walk = Walk {
        root,
        matcher: matcher.compile_matcher(),
        deep: options.pattern.contains('/'),
        archive: options.archive.trim_start_matches("./").trim_end_matches('/'),
        ready: &options.ready,
        found: Discovery::default(),
    };
    walk.folder(root, "")?;
    let mut found = walk.found;
    found.files.sort_by(Found::oldest_first);
    Ok(found)
}

struct Walk<'a> {
    root: &'a Path,
    matcher: GlobMatcher,
    deep: bool,
    archive: &'a str,
    ready: &'a Ready,
    found: Discovery,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Path, prefix: &str) -> Result<(), SourceError> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if prefix.is_empty() => return Err(folder_error(folder, &error)),
            Err(error) => {
                self.failed(prefix.trim_end_matches('/'), format!("the folder {prefix} cannot be read: {error}"));
                return Ok(());
            }
        };
        for entry in entries {
            let entry = entry.map_err(|error| folder_error(folder, &error))?;
            let file_name = entry.file_name();
            let Some(file_name) = file_name.to_str() else {
                let shown = file_name.to_string_lossy();
                self.found
                    .notes
                    .push(Note::warning(format!("{prefix}{shown}: the file name is not UTF-8: left alone; rename it")));
                continue;
            };
            let name = format!("{prefix}{file_name}");
            if is_never_read(file_name) || name == self.archive || self.is_marker(file_name) {
                continue;
            }
            let file_type = match entry.file_type() {
                Ok(file_type) => file_type,
                Err(error) => {
                    self.failed(&name, format!("{name}: cannot be looked at: {error}"));
                    continue;
                }
            };
            if file_type.is_dir() {
                if self.matcher.is_match(&name) {
                    let note = format!(
                        "{name} is a folder, though its name matches `{}`: left alone",
                        self.matcher.glob().glob()
                    );
                    self.found.notes.push(Note::warning(note));
                }
                if self.deep {
                    self.folder(&entry.path(), &format!("{name}/"))?;
                }
            } else if self.matcher.is_match(&name) {
                self.file(name, entry.path());
            }
        }
        Ok(())
    }

    fn file(&mut self, name: String, path: PathBuf) {
        let metadata = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata,
            // It went away since the folder was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => return self.failed(&name, format!("{name}: cannot be looked at: {error}")),
        };
        let (path, metadata) = if metadata.is_symlink() {
            let target = match fs::canonicalize(&path) {
                Ok(target) => target,
                Err(error) => return self.failed(&name, format!("{name}: the link leads nowhere: {error}")),
            };
            if !target.starts_with(self.root) {
                let note = format!("{name} is a link that leads out of the folder of the source: left alone");
                return self.found.notes.push(Note::warning(note));
            }
            match fs::metadata(&target) {
                Ok(metadata) => (target, metadata),
                Err(error) => return self.failed(&name, format!("{name}: cannot be looked at: {error}")),
            }
        } else {
            (path, metadata)
        };
        if !metadata.is_file() {
            return self.found.notes.push(Note::warning(format!("{name} is no regular file: left alone")));
        }
        self.found.files.push(Found { name, path, stamp: Stamp::of(&metadata) });
    }

    fn failed(&mut self, name: &str, message: String) {
        self.found.failed.push(FailedFile { name: name.to_owned(), message });
    }

    fn is_marker(&self, file_name: &str) -> bool {
        let Ready::Marker(template) = self.ready else { return false };
        match template.split_once("{name}") {
            Some((before, behind)) => {
                file_name.len() > before.len() + behind.len()
                    && file_name.starts_with(before)
                    && file_name.ends_with(behind)
            }
            None => file_name == template,
        }
    }
}

fn is_never_read(file_name: &str) -> bool {
    let lower = file_name.to_ascii_lowercase();
    lower.starts_with('.') || lower.ends_with(".part") || lower.ends_with(".tmp")
}

/// The source's folder cannot be read.
pub(super) fn folder_error(folder: &Path, error: &io::Error) -> SourceError {
    let what = match error.kind() {
        io::ErrorKind::NotFound => "does not exist: create it, or correct `path:` of the source",
        io::ErrorKind::PermissionDenied => {
            "cannot be read: give the user that runs thalweg permission to read and enter it"
        }
        io::ErrorKind::NotADirectory => "is no folder: correct `path:` of the source",
        _ => {
            let message = format!("the folder {} cannot be read: {error}", folder.display());
            return SourceError::new(SourceErrorKind::Unavailable, message);
        }
    };
    SourceError::new(SourceErrorKind::Denied, format!("the folder {} {what}", folder.display()))
}
