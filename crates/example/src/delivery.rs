//! What a generator put into a folder, and how it puts it there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// What a generator wrote, for tests that compare it with what arrived.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delivery {
    /// The files, in the order in which they were written.
    pub files: Vec<DeliveredFile>,
}

impl Delivery {
    /// The file of a table or log; `None` when this delivery has nothing for it.
    pub fn file(&self, stream: &str) -> Option<&DeliveredFile> {
        self.files.iter().find(|file| file.stream == stream)
    }
}

/// A file of a delivery and the records that came with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveredFile {
    /// Name of the stream it is meant for.
    pub stream: String,
    /// Where it lies.
    pub path: PathBuf,
    /// Records with a new key, or good lines of a log.
    pub inserted: usize,
    /// Records with a known key and other values.
    pub updated: usize,
    /// Records that mark their row as deleted.
    pub deleted: usize,
    /// Lines that cannot be read.
    pub malformed: usize,
}

impl DeliveredFile {
    pub(crate) fn new(stream: &str, path: PathBuf) -> Self {
        Self { stream: stream.to_owned(), path, inserted: 0, updated: 0, deleted: 0, malformed: 0 }
    }
}

/// Writes a file under a name that no project reads and moves it into place once it is whole.
///
/// An existing file is an error: a delivery never replaces another.
pub(crate) fn write_whole(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    if path.exists() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{} exists already", path.display())));
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    let part = PathBuf::from(name);
    let mut out = BufWriter::new(File::create(&part)?);
    write(&mut out)?;
    out.into_inner().map_err(io::IntoInnerError::into_error)?;
    fs::rename(part, path)
}

/// Adds to the end of a log, which may not exist yet.
pub(crate) fn append(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut out = BufWriter::new(OpenOptions::new().create(true).append(true).open(path)?);
    write(&mut out)?;
    out.flush()
}

/// Writes one CSV record, quoted only where it must be.
pub(crate) fn csv_record<'a>(out: &mut dyn Write, values: impl IntoIterator<Item = &'a str>) -> io::Result<()> {
    for (at, value) in values.into_iter().enumerate() {
        if at > 0 {
            out.write_all(b",")?;
        }
        if value.contains(['"', ',', '\n', '\r']) {
            write!(out, "\"{}\"", value.replace('"', "\"\""))?;
        } else {
            out.write_all(value.as_bytes())?;
        }
    }
    out.write_all(b"\n")
}
