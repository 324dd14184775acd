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
            let (ready, waiting): (Vec<_>, Vec<_>) =
                files.into_iter().partition(|file| marker(&file.path, template).is_some_and(|marker| marker.exists()));
            let note =
                |file: Found| Note::info(format!("{}: left for later, its marker file is not there yet", file.name));
            Ok((ready, waiting.into_iter().map(note).collect()))
        }
        Ready::StableFor(age) => stable(files, *age, context),
    }
}

/// The marker of a file.
pub(super) fn marker(path: &Path, template: &str) -> Option<std::path::PathBuf> {
    let name = path.file_name()?.to_str()?;
    Some(path.with_file_name(template.replace("{name}", name)))
}

fn stable(files: Vec<Found>, age: Duration, context: &Context) -> Result<(Vec<Found>, Vec<Note>), SourceError> {
    let longest = files.iter().map(|file| missing(&file.stamp, age)).max().unwrap_or_default();
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
    for file in files {
        let now = std::fs::metadata(&file.path).map(|metadata| Stamp::of(&metadata));
        match now {
            Ok(now) if now == file.stamp && missing(&now, age).is_zero() => ready.push(file),
            Ok(_) => notes.push(Note::info(format!("{}: left for later, it is still changing", file.name))),
            Err(_) => notes.push(Note::info(format!("{}: it went away before it was complete", file.name))),
        }
    }
    Ok((ready, notes))
}

/// How long until a file has been stable for long enough. A change in the future (a clock that was set back) counts as now: such a
/// file would otherwise be waited for without end.
fn missing(stamp: &Stamp, age: Duration) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let changed = u64::try_from(stamp.mtime_ns.max(stamp.ctime_ns)).map(Duration::from_nanos).unwrap_or_default();
    if changed > now + Duration::from_secs(2) {
        Duration::ZERO
    } else if changed > now {
        age
    } else {
        age.saturating_sub(now - changed)
    }
}
