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
            compressed: name.to_ascii_lowercase().ends_with(".gz"),
        };
        content.check_unchanged()?;
        Ok(content)
    }

    /// Whether the file is still as it was discovered.
    pub(super) fn check_unchanged(&self) -> Result<(), FileTrouble> {
        let metadata = self.file.metadata().map_err(|error| self.failed(&error))?;
        if Stamp::of(&metadata) == self.stamp { Ok(()) } else { Err(FileTrouble::Changed) }
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

    /// Starts reading at the beginning: the decompressed bytes, and the hash of the delivered ones once all were read.
    pub(super) fn read(&self) -> Result<(Box<dyn Read + Send>, Hash), FileTrouble> {
        let hasher = Arc::new(Mutex::new(blake3::Hasher::new()));
        let input = Hashing { file: self.handle()?, hasher: Arc::clone(&hasher) };
        let input: Box<dyn Read + Send> = if self.compressed {
            Box::new(MultiGzDecoder::new(BufReader::with_capacity(READ_BYTES, input)))
        } else {
            Box::new(input)
        };
        Ok((input, Hash(hasher)))
    }

    /// A trouble of reading, in words.
    pub(super) fn failed(&self, error: &io::Error) -> FileTrouble {
        let name = &self.name;
        FileTrouble::Failed(match error.kind() {
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
    file: File,
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
