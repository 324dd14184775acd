//! A copy of the file for other readers.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::contract::{WarehouseError, WarehouseErrorKind};

/// Copies the file beside the place of the copy and renames it there, so that readers of the copy see whole runs only.
///
/// DuckDB writes its log into the file when the last connection closes. While a log is still there the file is not whole, and the
/// copy is left as it is.
///
/// Copying opens the file beside the engine, which would cost an open engine its lock: where another part of this program has the
/// file open, the copy is left as it is, too.
pub(super) fn copy(file: &Path, display: &str, copy: &Path) -> Result<(), WarehouseError> {
    thalweg_duck::Engine::while_closed(file, || copy_closed(file, display, copy)).map_err(|_| {
        WarehouseError::new(
            WarehouseErrorKind::Storage,
            format!(
                "the run is published, but `{display}` could not be copied to `{}`: another part of this program has it open; \
                 the next run copies it",
                copy.display()
            ),
        )
    })?
}

/// Whether a copy was made since a moment, in microseconds since 1970 UTC.
pub(super) fn is_younger(copy: &Path, since: i64) -> bool {
    let Ok(made) = fs::metadata(copy).and_then(|copy| copy.modified()) else { return false };
    jiff::Timestamp::try_from(made).is_ok_and(|made| made.as_microsecond() >= since)
}

fn copy_closed(file: &Path, display: &str, copy: &Path) -> Result<(), WarehouseError> {
    let failed = |error: io::Error| {
        WarehouseError::new(
            WarehouseErrorKind::Storage,
            format!("the run is published, but `{display}` could not be copied to `{}`: {error}", copy.display()),
        )
    };
    let mut log = file.as_os_str().to_owned();
    log.push(".wal");
    if fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
        return Err(failed(io::Error::other("its write-ahead log was not written back yet; the next run copies it")));
    }
    if let Some(folder) = copy.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut unfinished = copy.as_os_str().to_owned();
    unfinished.push(".unfinished");
    let unfinished = PathBuf::from(unfinished);
    fs::copy(file, &unfinished).map_err(failed)?;
    fs::File::open(&unfinished).and_then(|file| file.sync_all()).map_err(failed)?;
    fail::fail_point!("share::unnamed");
    fs::rename(&unfinished, copy).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_replaced_as_a_whole_and_never_made_beside_a_log() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, to) = (folder.path().join("a.duckdb"), folder.path().join("out/b.duckdb"));
        fs::write(&file, "one").expect("writes");
        copy(&file, "a.duckdb", &to).expect("copies");
        fs::write(&file, "two").expect("writes");
        copy(&file, "a.duckdb", &to).expect("copies again");
        assert_eq!(fs::read_to_string(&to).expect("reads"), "two");
        fs::write(folder.path().join("a.duckdb.wal"), "x").expect("writes");
        let refused = copy(&file, "a.duckdb", &to).expect_err("a log is there");
        assert!(refused.message.contains("the run is published"), "{refused}");
        assert_eq!(fs::read_dir(folder.path().join("out")).expect("lists").count(), 1);
    }
}
