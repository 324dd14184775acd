//! Troubles of the landing, in words.

use std::io;
use std::path::Path;

use crate::{SourceError, SourceErrorKind};

/// The landing could not be written or read.
pub(super) fn landing_error(what: &str, path: &Path, error: &io::Error) -> SourceError {
    let advice = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "the disk is full: make room or set `landing:` to another place, then build again"
        }
        io::ErrorKind::PermissionDenied => "no permission: check the owner of the folder",
        io::ErrorKind::ReadOnlyFilesystem => "the file system is read-only: set `landing:` to another place",
        _ => "check the disk and the setting `landing:`",
    };
    SourceError::new(SourceErrorKind::Landing, format!("landing: cannot {what} {}: {error}; {advice}", path.display()))
}

/// Parquet wraps the trouble of the disk below it: it is dug out, so that a full disk is called a full disk.
pub(super) fn parquet_error(what: &str, path: &Path, error: parquet::errors::ParquetError) -> SourceError {
    match error {
        parquet::errors::ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(inner) => landing_error(what, path, &inner),
            Err(inner) => landing_error(what, path, &io::Error::other(inner.to_string())),
        },
        other => landing_error(what, path, &io::Error::other(other.to_string())),
    }
}
