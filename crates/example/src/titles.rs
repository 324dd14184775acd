//! The data of the titles example: one CSV file a year, each title with how many people hold it and up to nineteen related ones.

use std::io;
use std::path::Path;

use crate::Settings;
use crate::delivery::{DeliveredFile, Delivery, csv_record, write_whole};
use crate::random::Random;

const LEVELS: &[&str] = &[
    "",
    "junior",
    "senior",
    "lead",
    "assistant",
    "deputy",
    "head of",
    "chief",
    "associate",
    "regional",
    "acting",
    "trainee",
];
const FIELDS: &[&str] = &[
    "account",
    "bakery",
    "building",
    "clinical",
    "data",
    "dental",
    "design",
    "export",
    "field",
    "finance",
    "garden",
    "harbour",
    "insurance",
    "kitchen",
    "legal",
    "marine",
    "network",
    "payroll",
    "quality",
    "rail",
    "research",
    "safety",
    "sales",
    "textile",
    "transport",
    "warehouse",
    "water",
    "workshop",
];
const ROLES: &[&str] = &[
    "adviser",
    "analyst",
    "buyer",
    "clerk",
    "consultant",
    "controller",
    "coordinator",
    "engineer",
    "inspector",
    "manager",
    "mechanic",
    "officer",
    "planner",
    "supervisor",
    "teacher",
    "technician",
    "writer",
];
const RELATED: usize = 19;

/// Writes `incoming/<year>_title_data.csv`; delivery 2 is the next year's file, with other counts and some titles gone.
pub(crate) fn deliver(folder: &Path, settings: &Settings, number: u32) -> io::Result<Delivery> {
    let year = i32::from(settings.last_day.year()) + number as i32 - 1;
    let path = folder.join("incoming").join(format!("{year}_title_data.csv"));
    let mut file = DeliveredFile::new("titles", path.clone());
    let titles = settings.count(5_000.0, 10).min(LEVELS.len() * FIELDS.len() * ROLES.len());
    let random = &mut Random::new(settings.seed, "titles", number);
    write_whole(&path, |out| {
        let mut header = vec!["title".to_owned(), "people count".to_owned()];
        header.extend((1..=RELATED).map(|nth| format!("top related titles {nth}")));
        csv_record(out, header.iter().map(String::as_str))?;
        for rank in 0..titles {
            if number > 1 && random.percent(1.0) {
                continue;
            }
            let people = 4_000_000 / (rank as i64 + 1) + random.between(0, 50);
            let mut record = vec![title(rank), people.to_string()];
            let related = if random.percent(2.0) { 0 } else { random.between(3, RELATED as i64) as usize };
            for nth in 0..RELATED {
                // Like many a spreadsheet, a blank before each value and nothing at the end of short lists.
                let other = (rank + 1 + nth * nth + random.below(5)) % titles;
                record.push(if nth < related { format!(" {}", title(other)) } else { String::new() });
            }
            csv_record(out, record.iter().map(String::as_str))?;
            file.inserted += 1;
        }
        Ok(())
    })?;
    Ok(Delivery { files: vec![file] })
}

/// The title of a rank. Levels, fields and roles turn at different speeds, and every combination comes once.
fn title(rank: usize) -> String {
    let (levels, fields, roles) = (LEVELS.len(), FIELDS.len(), ROLES.len());
    let index = rank * 4_391 % (levels * fields * roles);
    let (level, field, role) =
        (LEVELS[index % levels], FIELDS[index / levels % fields], ROLES[index / levels / fields]);
    if level.is_empty() { format!("{field} {role}") } else { format!("{level} {field} {role}") }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn titles_are_different() {
        let all = LEVELS.len() * FIELDS.len() * ROLES.len();
        assert_eq!((0..all).map(title).collect::<HashSet<_>>().len(), all);
    }
}
