//! Whether source and store are to be compared in a run.

use thalweg_project::{Deletes, ReconcileWhat, Stream, WriteDisposition};

use super::position::{Compared, DatabasePosition};
use crate::{Position, Purpose};

/// What source and store are compared for in a run that begins `now` (microseconds UTC, our own clock), if at all. `asked` says
/// that a person wants it. Only a stream that is read by its cursor has anything to compare: any other is read in full.
pub fn due(stream: &Stream, position: &Position, asked: bool, now: i64) -> Option<Purpose> {
    let options = stream.database.as_ref()?;
    let position = DatabasePosition::read(position);
    let is_read_in_full =
        options.cursor.is_none() || position.cursor.is_none() || position.definition != Some(stream.fingerprint());
    if stream.write_disposition != WriteDisposition::Merge || stream.primary_key.is_empty() || is_read_in_full {
        return None;
    }
    let is_due = |every: Option<std::time::Duration>, last: Option<&Compared>| match (every, last) {
        (Some(every), Some(last)) => {
            // A clock that was put back makes it due, too.
            now - last.ours >= i64::try_from(every.as_micros()).unwrap_or(i64::MAX) || now < last.ours
        }
        _ => true,
    };
    let reconcile = options
        .reconcile
        .filter(|it| asked || (it.every.is_some() && is_due(it.every, position.reconciled.as_ref())))
        .map(|it| it.what)
        // A person who asks wants to know.
        .or(asked.then_some(ReconcileWhat::Rows));
    match (reconcile, options.deletes) {
        (Some(ReconcileWhat::Rows), _) => Some(Purpose::ReconcileRows),
        (Some(ReconcileWhat::Keys), _) => Some(Purpose::ReconcileKeys),
        (None, Deletes::CompareKeys { every }) if is_due(every, position.keys.as_ref()) => Some(Purpose::Deletes),
        (None, _) => None,
    }
}
