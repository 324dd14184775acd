//! The CSV file of one table in one delivery.

use std::io;
use std::path::Path;

use jiff::civil::{Date, DateTime};

use super::table::Table;
use crate::delivery::{DeliveredFile, csv_record, write_whole};

/// Writes what delivery `number` touched in the table; no file when that is nothing.
pub(crate) fn write(incoming: &Path, table: &Table, number: u32, day: Date) -> io::Result<Option<DeliveredFile>> {
    let path = incoming.join(format!("{}_{}.csv", table.name, day.strftime("%Y%m%d")));
    let mut file = DeliveredFile::new(table.name, path.clone());
    if table.rows.iter().all(|row| row.touched_by != number) {
        return Ok(None);
    }
    write_whole(&path, |out| {
        let tail = ["created_datetime", "updated_datetime", "is_deleted"];
        csv_record(out, table.columns.iter().copied().chain(tail))?;
        for row in table.rows.iter().filter(|row| row.touched_by == number) {
            match (row.made_by == number, row.deleted) {
                (_, true) => file.deleted += 1,
                (true, false) => file.inserted += 1,
                (false, false) => file.updated += 1,
            }
            let (created, updated) = (stamp(row.created), stamp(row.updated));
            let tail = [created.as_str(), updated.as_str(), if row.deleted { "1" } else { "0" }];
            csv_record(out, row.values.iter().map(String::as_str).chain(tail))?;
        }
        Ok(())
    })?;
    Ok(Some(file))
}

fn stamp(at: DateTime) -> String {
    format!("{} {}", at.date(), at.time())
}
