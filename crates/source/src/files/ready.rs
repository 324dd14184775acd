//! When a file is complete.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use thalweg_project::Ready;

use super::discover::{Found, Stamp};
use crate::{Context, Note, SourceError};

/// The longest sleep between two looks at `cancelled`.
const STEP: Duration = Duration::from_millis(100);

/// Keeps the files that are complete; the others are named in notes and left for the next run. Files that changed a short while
/// ago are waited for once, until the newest of them may be complete.
pub(super) fn keep_ready(
    files: Vec<Found>,
    ready: &Ready,
    context: &Context,
) -> Result<(Vec<Found>, Vec<Note>), SourceError> {
    match ready {
        Ready::Renamed => Ok((files, Vec::new())),
        Ready::Marker(template) => {
            let (mut ready, mut notes) = (Vec::with_capacity(files.len()), Vec::new());
            for file in files {
                match marked(&file, template) {
                    Marked::Yes => ready.push(file),
                    Marked::No => notes
                        .push(Note::info(format!("{}: left for later, its marker file is not there yet", file.name))),
                    Marked::Stale => notes.push(Note::info(format!(
                        "{}: left for later, its marker file is older than it and speaks of an earlier delivery",
                        file.name
                    ))),
                }
            }
            Ok((ready, notes))
        }
        Ready::StableFor(age) => stable(files, *age, context),
    }
}

/// The marker of a file.
pub(super) fn marker(path: &Path, template: &str) -> Option<std::path::PathBuf> {
    let name = path.file_name()?.to_str()?;
    Some(path.with_file_name(template.replace("{name}", name)))
}

enum Marked {
    Yes,
    No,
    /// The file was written after its marker.
    Stale,
}

fn marked(file: &Found, template: &str) -> Marked {
    match marker(&file.path, template).and_then(|marker| std::fs::metadata(marker).ok()) {
        None => Marked::No,
        Some(marker) if Stamp::of(&marker).mtime_ns < file.stamp.mtime_ns => Marked::Stale,
        Some(_) => Marked::Yes,
    }
}

fn stable(files: Vec<Found>, age: Duration, context: &Context) -> Result<(Vec<Found>, Vec<Note>), SourceError> {
    let waits: Vec<Wait> = files.iter().map(|file| Wait::of(&file.stamp, age)).collect();
    let longest = waits.iter().map(|wait| wait.missing).max().unwrap_or_default();
    if longest.is_zero() {
        return Ok((files, Vec::new()));
    }
    let mut left = longest;
    while !left.is_zero() {
        context.check_cancelled()?;
        let step = left.min(STEP);
        std::thread::sleep(step);
        left -= step;
    }
    let mut notes = Vec::new();
    let mut ready = Vec::with_capacity(files.len());
    for (file, wait) in files.into_iter().zip(waits) {
        let now = std::fs::metadata(&file.path).map(|metadata| Stamp::of(&metadata));
        match now {
            Ok(now) if now == file.stamp && wait.was_enough(&now, age) => ready.push(file),
            Ok(_) => notes.push(Note::info(format!("{}: left for later, it is still changing", file.name))),
            Err(_) => notes.push(Note::info(format!("{}: it went away before it was complete", file.name))),
        }
    }
    Ok((ready, notes))
}

/// How long until a file has been stable for long enough.
#[derive(Clone, Copy)]
struct Wait {
    missing: Duration,
    /// It was changed in the future: its clock is not this one, or this one was set back. What it says is worth nothing then; what
    /// counts is that the file is the same at two looks that are so far apart.
    in_future: bool,
}

impl Wait {
    fn of(stamp: &Stamp, age: Duration) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let changed = u64::try_from(stamp.mtime_ns.max(stamp.ctime_ns)).map(Duration::from_nanos).unwrap_or_default();
        match now.checked_sub(changed) {
            Some(passed) => Self { missing: age.saturating_sub(passed), in_future: false },
            None => Self { missing: age, in_future: true },
        }
    }

    /// Whether a file that did not change while it was waited for is complete.
    fn was_enough(self, now: &Stamp, age: Duration) -> bool {
        self.in_future || Self::of(now, age).missing.is_zero()
    }
}
