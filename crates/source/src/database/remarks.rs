//! What a person should know of a stream that stands.

use thalweg_project::{Deletes, Stream, WriteDisposition};

use super::position::DatabasePosition;
use crate::Position;

/// How sure the store is of what the source holds: deletes, and rows that commit late. Empty for other streams than those of databases.
pub fn remarks(stream: &Stream, position: &Position) -> Vec<String> {
    let Some(options) = &stream.database else { return Vec::new() };
    let position = DatabasePosition::read(position);
    let mut remarks = Vec::new();
    if stream.write_disposition == WriteDisposition::Merge {
        match (options.deletes, &position.keys) {
            (Deletes::None, _) => remarks.push("deletes not seen".to_owned()),
            (Deletes::CompareKeys { .. }, Some(last)) => {
                remarks.push(format!("deletes last looked for {}", moment(last.at)));
            }
            (Deletes::CompareKeys { .. }, None) => {}
        }
    }
    if options.cursor.is_some()
        && let Some(why) = position.clock.and_then(|clock| clock.safety).filter(|safety| safety != "certain")
    {
        remarks.push(match position.version {
            Some(_) => format!("rows that commit late are found by the transactions that wrote them: {why}"),
            None => format!("rows that commit late are only covered by the lag: {why}"),
        });
    }
    if let Some(last) = &position.reconciled {
        remarks.push(format!("reconciled {}", moment(last.at)));
    }
    remarks
}

/// A moment to the second, UTC.
fn moment(microseconds: i64) -> String {
    let moment = jiff::Timestamp::from_microsecond(microseconds).ok();
    moment.map_or_else(String::new, |moment| moment.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}
