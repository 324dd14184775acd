//! After publishing: files are moved to the archive, deleted, or kept.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thalweg_project::{AfterLoad, Ready, Stream};

use super::discover::{Found, Stamp};
use super::ready::marker;
use crate::{Confirmed, Note, SourceError, SourceErrorKind};

/// What is needed to act on one file later, possibly in another process.
#[derive(Debug, Serialize, Deserialize)]
struct Confirmation {
    name: String,
    #[serde(flatten)]
    stamp: Stamp,
    hash: String,
}

/// The confirmation of a loaded file; none where the file stays.
pub(super) fn confirmation(after: AfterLoad, file: &Found, hash: &str) -> Option<Value> {
    if after == AfterLoad::Keep {
        return None;
    }
    serde_json::to_value(Confirmation { name: file.name.clone(), stamp: file.stamp, hash: hash.to_owned() }).ok()
}

/// Acts on every file that is still what was loaded. A file that is gone was dealt with before.
pub(super) fn confirm(root: &Path, stream: &Stream, confirmations: &[Value]) -> Result<Confirmed, SourceError> {
    let mut confirmed = Confirmed::default();
    for value in confirmations {
        let confirmation: Confirmation = serde_json::from_value(value.clone()).map_err(|error| {
            SourceError::new(
                SourceErrorKind::Data,
                format!("a confirmation of stream {} cannot be read: {error}", stream.name),
            )
        })?;
        let name = &confirmation.name;
        match act(root, stream, &confirmation) {
            Ok(Some(note)) => confirmed.notes.push(note),
            Ok(None) => {}
            Err(error) => {
                let what = if stream.files.after == AfterLoad::Delete { "deleted" } else { "moved to the archive" };
                confirmed.again = true;
                confirmed.notes.push(Note::warning(format!(
                    "{name}: loaded, but it cannot be {what}: {error}; it stays where it is, and the next run tries again"
                )));
            }
        }
    }
    Ok(confirmed)
}

fn act(root: &Path, stream: &Stream, confirmation: &Confirmation) -> io::Result<Option<Note>> {
    let options = &stream.files;
    if options.after == AfterLoad::Keep {
        return Ok(None);
    }
    let path = root.join(&confirmation.name);
    let outside =
        !Path::new(&confirmation.name).components().all(|part| matches!(part, std::path::Component::Normal(_)));
    if outside {
        return Err(io::Error::other("its name leads out of the folder"));
    }
    let found = match fs::symlink_metadata(&path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            remove_marker(&path, &options.ready)?;
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    // A link is moved as a link: what counts is the file it leads to.
    let stamp = if found.is_symlink() { Stamp::of(&fs::metadata(&path)?) } else { Stamp::of(&found) };
    let same = (stamp.size, stamp.mtime_ns, stamp.inode)
        == (confirmation.stamp.size, confirmation.stamp.mtime_ns, confirmation.stamp.inode);
    if !same && hash_of(&path)? != confirmation.hash {
        let message =
            format!("{}: a new delivery came under this name meanwhile: left for the next run", confirmation.name);
        return Ok(Some(Note::info(message)));
    }
    fail::fail_point!("confirm::before-file");
    match options.after {
        AfterLoad::Keep => return Ok(None),
        AfterLoad::Delete => fs::remove_file(&path)?,
        AfterLoad::Archive => archive(root, &path, &root.join(&options.archive).join(&confirmation.name))?,
    }
    fail::fail_point!("confirm::after-file");
    remove_marker(&path, &options.ready)?;
    Ok(None)
}

/// Moves a file without ever overwriting another.
fn archive(root: &Path, from: &Path, to: &Path) -> io::Result<()> {
    let folder = to.parent().unwrap_or(root);
    fs::create_dir_all(folder)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", folder.display())))?;
    let free = free_name(to)?;
    match fs::rename(from, &free) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            // Under a temporary name first: a half copy must not look like an archived file.
            let temporary = free.with_file_name(format!(".{}.tmp", file_name(&free)));
            fs::copy(from, &temporary)?;
            File::open(&temporary)?.sync_all()?;
            fs::rename(&temporary, &free)?;
            File::open(folder)?.sync_all()?;
            fs::remove_file(from)?;
        }
        Err(error) => return Err(error),
    }
    File::open(folder)?.sync_all()
}

/// The name, or the first of `name-2.ext`, `name-3.ext`, ... that is free.
fn free_name(wanted: &Path) -> io::Result<PathBuf> {
    let name = file_name(wanted);
    let (stem, extension) = match name.find('.') {
        Some(dot) if dot > 0 => name.split_at(dot),
        _ => (name.as_str(), ""),
    };
    let mut candidate = wanted.to_owned();
    let mut number = 1u32;
    loop {
        // `try_exists` follows links, `symlink_metadata` sees a dangling one too.
        match fs::symlink_metadata(&candidate) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(candidate),
            Err(error) => return Err(error),
            Ok(_) => number += 1,
        }
        candidate = wanted.with_file_name(format!("{stem}-{number}{extension}"));
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// A marker that outlived its file would declare the next delivery complete.
fn remove_marker(path: &Path, ready: &Ready) -> io::Result<()> {
    let Ready::Marker(template) = ready else { return Ok(()) };
    if !template.contains("{name}") {
        return Ok(());
    }
    match marker(path, template).map(fs::remove_file) {
        Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn hash_of(path: &Path) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    io::copy(&mut File::open(path)?, &mut hasher)?;
    Ok(hasher.finalize().to_hex().to_string())
}
