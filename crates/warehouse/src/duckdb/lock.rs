//! The right to run: a lock of the operating system on a file beside the warehouse, which the death of the holder gives up.
//!
//! The lock is on `<warehouse>.lock`, never on the warehouse itself: DuckDB's own lock is lost when anybody in the process closes
//! a handle of its file. The lock file stays where it is; removing it would let two runs hold two files of one name.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::connect::create_folder;
use crate::contract::{RunLock, WarehouseError, WarehouseErrorKind};

/// What the holder writes of itself. For people only: the lock is what counts.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Holder {
    process: u32,
    host: String,
    holder: String,
    project: String,
    target: String,
    since: jiff::Timestamp,
    doing: String,
}

#[derive(Debug)]
pub(super) struct DuckDbLock {
    file: File,
    holder: Holder,
    display: String,
}

pub(super) fn take(
    warehouse: &Path,
    display: &str,
    project: &str,
    target: &str,
    holder: &str,
) -> Result<DuckDbLock, WarehouseError> {
    let mut path = warehouse.as_os_str().to_owned();
    path.push(".lock");
    let storage = |error: std::io::Error| {
        WarehouseError::new(
            WarehouseErrorKind::Storage,
            format!("cannot lock `{display}` by `{display}.lock`: {error}"),
        )
    };
    if let Some(folder) = warehouse.parent() {
        create_folder(folder)?;
    }
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(storage)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            // Half-written or unreadable: it is still somebody.
            let _ = file.read_to_string(&mut text);
            return Err(WarehouseError::new(
                WarehouseErrorKind::Busy,
                format!("`{display}` is busy: {} is running; wait for it to end, or stop it", sentence(&text)),
            ));
        }
        Err(TryLockError::Error(error)) => return Err(storage(error)),
    }
    let mut lock = DuckDbLock {
        file,
        holder: Holder {
            process: std::process::id(),
            host: host(),
            holder: holder.to_owned(),
            project: project.to_owned(),
            target: target.to_owned(),
            since: jiff::Timestamp::now(),
            doing: "starting".to_owned(),
        },
        display: display.to_owned(),
    };
    lock.write()?;
    Ok(lock)
}

impl DuckDbLock {
    /// One line at the start of the file in one write; what is left of a longer line before follows the line end and is not read.
    fn write(&mut self) -> Result<(), WarehouseError> {
        let storage = |error: std::io::Error| {
            WarehouseError::new(WarehouseErrorKind::Storage, format!("cannot write `{}.lock`: {error}", self.display))
        };
        let mut line = serde_json::to_string(&self.holder).map_err(|error| storage(error.into()))?;
        line.push('\n');
        self.file.write_all_at(line.as_bytes(), 0).map_err(storage)?;
        self.file.set_len(line.len() as u64).map_err(storage)
    }
}

impl RunLock for DuckDbLock {
    fn describe(&mut self, what: &str) -> Result<(), WarehouseError> {
        self.holder.doing = what.to_owned();
        self.write()
    }
}

impl Drop for DuckDbLock {
    fn drop(&mut self) {
        // Nobody holds it any more; the lock itself goes with the handle.
        let _ = self.file.set_len(0);
    }
}

/// `run 12 of project orders (target dev), process 4711 on host x, since 10:31 UTC (extracting)`
fn sentence(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    match serde_json::from_str::<Holder>(line) {
        Ok(holder) => format!(
            "{} of project {} (target {}), process {} on host {}, since {} UTC ({}),",
            holder.holder,
            holder.project,
            holder.target,
            holder.process,
            holder.host,
            holder.since.strftime("%Y-%m-%d %H:%M"),
            holder.doing
        ),
        Err(_) => "another run".to_owned(),
    }
}

fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .ok()
        .or_else(|| std::env::var("HOSTNAME").ok())
        .unwrap_or_else(|| "unknown".to_owned())
}
