//! The content of one file: opened once, checked against what was discovered, hashed and decompressed as it is read.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use flate2::bufread::MultiGzDecoder;

use super::discover::Stamp;
use crate::{SourceError, SourceErrorKind};

/// Bytes read from a file at a time.
const READ_BYTES: usize = 256 << 10;

/// What went wrong with one file. The stream goes on with the others, unless it is no trouble of the file.
#[derive(Debug)]
pub(super) enum FileTrouble {
    /// The file cannot be read: told, left where it is.
    Failed(String),
    /// The file changed while it was being read: left for the next run.
    Changed,
    /// Trouble that stops the stream.
    Stop(SourceError),
}

impl From<SourceError> for FileTrouble {
    fn from(error: SourceError) -> Self {
        Self::Stop(error)
    }
}

/// An open file. Everything is asked of this handle, so that a name that changes hands meanwhile misleads nobody.
#[derive(Debug)]
pub(super) struct Content {
    file: File,
    path: PathBuf,
    name: String,
    stamp: Stamp,
    compressed: bool,
    /// The file may grow while it is being read; what counts is what it held when it was opened.
    growing: bool,
}

impl Content {
    /// Opens a discovered file and makes sure that it is the one that was discovered.
    pub(super) fn open(path: &Path, name: &str, stamp: Stamp) -> Result<Self, FileTrouble> {
        let file = File::open(path).map_err(|error| FileTrouble::Failed(describe_open_error(name, &error)))?;
        let content = Self {
            file,
            path: path.to_owned(),
            name: name.to_owned(),
            stamp,
            compressed: is_compressed(name),
            growing: false,
        };
        content.check_unchanged()?;
        Ok(content)
    }

    /// Opens a log that may be written to at the same time.
    pub(super) fn open_growing(path: &Path, name: &str) -> Result<Self, FileTrouble> {
        let failed = |error: io::Error| FileTrouble::Failed(describe_open_error(name, &error));
        let file = File::open(path).map_err(failed)?;
        let stamp = Stamp::of(&file.metadata().map_err(failed)?);
        let (path, name) = (path.to_owned(), name.to_owned());
        Ok(Self { file, path, compressed: is_compressed(&name), name, stamp, growing: true })
    }

    /// The state the file is read in.
    pub(super) fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// Whether the file is still as it was discovered.
    pub(super) fn check_unchanged(&self) -> Result<(), FileTrouble> {
        let metadata = self.file.metadata().map_err(|error| self.failed(&error))?;
        let now = Stamp::of(&metadata);
        let same = if self.growing { now.size >= self.stamp.size } else { now == self.stamp };
        if same { Ok(()) } else { Err(FileTrouble::Changed) }
    }

    /// Whether the name tells that it is compressed.
    pub(super) fn is_compressed(&self) -> bool {
        self.compressed
    }

    /// Name relative to the source.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// A second handle, for readers that jump about.
    pub(super) fn handle(&self) -> Result<File, FileTrouble> {
        let mut file = self.file.try_clone().map_err(|error| self.failed(&error))?;
        file.seek(SeekFrom::Start(0)).map_err(|error| self.failed(&error))?;
        Ok(file)
    }

    /// BLAKE3 of the file as delivered, hex, without reading it as records.
    pub(super) fn hash(&self, check: &dyn Fn() -> Result<(), SourceError>) -> Result<String, FileTrouble> {
        let (mut file, mut hasher) = (self.handle()?, blake3::Hasher::new());
        let mut buffer = vec![0; READ_BYTES];
        loop {
            check()?;
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => hasher.update(&buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.failed(&error)),
            };
        }
        self.check_unchanged()?;
        Ok(hasher.finalize().to_hex().to_string())
    }

    /// Starts reading at a place of the decompressed content: the bytes from there on, and the hash of the delivered bytes once all
    /// were read (of use only when reading starts at 0).
    pub(super) fn read_from(&self, offset: u64) -> Result<(Box<dyn Read + Send>, Hash), FileTrouble> {
        if self.compressed && offset > 0 {
            let (mut input, hash) = self.read_from(0)?;
            io::copy(&mut (&mut input).take(offset), &mut io::sink()).map_err(|error| self.failed(&error))?;
            return Ok((input, hash));
        }
        let hasher = Arc::new(Mutex::new(blake3::Hasher::new()));
        let mut file = self.handle()?;
        file.seek(SeekFrom::Start(offset)).map_err(|error| self.failed(&error))?;
        let left = if self.growing { self.stamp.size.saturating_sub(offset) } else { u64::MAX };
        let input = Hashing { file: file.take(left), hasher: Arc::clone(&hasher) };
        let input: Box<dyn Read + Send> = if self.compressed {
            Box::new(MultiGzDecoder::new(BufReader::with_capacity(READ_BYTES, input)))
        } else {
            Box::new(input)
        };
        Ok((input, Hash(hasher)))
    }

    /// An empty or very short file may have been cut.
    fn starts_like_gzip(&self) -> bool {
        let mut start = [0; 2];
        let read = self.handle().map(|mut file| file.read(&mut start).unwrap_or_default());
        read.is_ok_and(|read| start[..read] == [0x1F, 0x8B][..read])
    }

    /// A trouble of reading, in words.
    pub(super) fn failed(&self, error: &io::Error) -> FileTrouble {
        let name = &self.name;
        FileTrouble::Failed(match error.kind() {
            _ if self.compressed && !self.starts_like_gzip() => {
                format!(
                    "{name}: its name ends in .gz, but it is no gzip file; nothing of it was loaded: deliver it again"
                )
            }
            io::ErrorKind::UnexpectedEof if self.compressed => {
                format!("{name}: the gzip file is cut short; nothing of it was loaded: deliver it again in full")
            }
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData if self.compressed => {
                format!("{name}: no valid gzip file ({error}); nothing of it was loaded: deliver it again")
            }
            _ => format!("{name}: cannot be read ({}): {error}", self.path.display()),
        })
    }
}

fn is_compressed(name: &str) -> bool {
    name.to_ascii_lowercase().ends_with(".gz")
}

/// Why a file cannot be opened, and what to do.
fn describe_open_error(name: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            format!("{name}: no permission to read it: give the user that runs thalweg read permission (chmod +r)")
        }
        io::ErrorKind::NotFound => format!("{name}: it went away before it could be read"),
        _ => format!("{name}: cannot be opened: {error}"),
    }
}

/// The hash of the bytes read so far.
pub(super) struct Hash(Arc<Mutex<blake3::Hasher>>);

impl Hash {
    /// Hex.
    pub(super) fn hex(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).finalize().to_hex().to_string()
    }
}

struct Hashing {
    file: io::Take<File>,
    hasher: Arc<Mutex<blake3::Hasher>>,
}

impl Read for Hashing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.hasher.lock().unwrap_or_else(PoisonError::into_inner).update(&buffer[..read]);
        Ok(read)
    }
}

/// The trouble of a stream that may not go on.
pub(super) fn data_error(message: impl Into<String>) -> SourceError {
    SourceError::new(SourceErrorKind::Data, message)
}
