//! Opening the file, and waiting for it.

use std::path::Path;
use std::time::{Duration, Instant};

use thalweg_duck::{Engine, EngineError, ErrorKind, Settings};

use super::error::of_opening;
use super::transaction::DuckDbConnection;
use crate::contract::{Access, Wait, WarehouseError, WarehouseErrorKind};

/// How often a held file is tried again: soon at first, for holders that publish in a moment.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

pub(super) fn connect(
    file: &Path,
    display: &str,
    settings: &Settings,
    access: Access,
    wait: &Wait<'_>,
) -> Result<DuckDbConnection, WarehouseError> {
    let access = match access {
        Access::Read => thalweg_duck::Access::Read,
        Access::Write => thalweg_duck::Access::Write,
    };
    match (access, file.parent()) {
        (thalweg_duck::Access::Write, Some(folder)) => create_folder(folder)?,
        (thalweg_duck::Access::Read, _) if !file.exists() => {
            return Err(WarehouseError::new(
                WarehouseErrorKind::Storage,
                format!("`{display}` does not exist: nothing was built yet, run `thalweg build`"),
            ));
        }
        _ => {}
    }
    let started = Instant::now();
    let mut pause = FIRST_PAUSE;
    let mut told = false;
    loop {
        let error = match Engine::open(file, access, settings) {
            Ok(engine) => {
                let inner = engine.connect().map_err(|error| of_opening(&error, display))?;
                return Ok(DuckDbConnection::new(inner, display.to_owned()));
            }
            Err(error) if error.kind == ErrorKind::Held => error,
            Err(error) => return Err(of_opening(&error, display)),
        };
        let left = wait.timeout.saturating_sub(started.elapsed());
        if left.is_zero() {
            return Err(WarehouseError::new(
                WarehouseErrorKind::Locked,
                format!(
                    "`{display}` is held by {}: close it there, or wait longer with `--lock-timeout`",
                    holder(&error)
                ),
            ));
        }
        if !told {
            told = true;
            (wait.tell)(&format!("waiting for `{display}`, which is held by {}", holder(&error)));
        }
        std::thread::sleep(pause.min(left));
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

pub(super) fn create_folder(folder: &Path) -> Result<(), WarehouseError> {
    std::fs::create_dir_all(folder).map_err(|error| {
        WarehouseError::new(
            WarehouseErrorKind::Storage,
            format!("cannot create the warehouse's folder `{}`: {error}", folder.display()),
        )
    })
}

/// ``python3` (process 4711)`, as far as it is known.
fn holder(error: &EngineError) -> String {
    let Some((process, program)) = &error.holder else { return "another program".to_owned() };
    if *process == std::process::id() {
        return "another part of this program".to_owned();
    }
    let program = program
        .clone()
        .or_else(|| std::fs::read_to_string(format!("/proc/{process}/comm")).ok().map(|name| name.trim().to_owned()));
    match program {
        Some(program) if !program.is_empty() => format!("`{program}` (process {process})"),
        _ => format!("process {process}"),
    }
}
