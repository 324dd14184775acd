//! The data of the weblog example: the access log of a documentation site.

use std::io;
use std::path::Path;

use jiff::ToSpan;
use jiff::civil::Time;

use crate::Settings;
use crate::access_log::{Line, Site, Traffic, Visitor};
use crate::country::{pick_country, write_database};
use crate::delivery::{DeliveredFile, Delivery, append};
use crate::orders::moment;
use crate::random::Random;

const SECTIONS: &[&str] = &["guide", "reference", "blog", "download"];
const PAGES: usize = 120;

struct Documentation;

impl Site for Documentation {
    fn page(&self, random: &mut Random, _visitor: Option<usize>) -> String {
        match random.below(12) {
            0 | 1 => "/".to_owned(),
            2 => "/favicon.ico".to_owned(),
            3 => format!("/search?q=page+{}&lang=en", random.skewed(PAGES)),
            4 => "/assets/site.css".to_owned(),
            _ => format!("/{}/{}", random.pick(SECTIONS), random.skewed(PAGES)),
        }
    }
}

/// Adds a week (first delivery) or a day (later ones) to `logs/access.log`.
pub(crate) fn deliver(folder: &Path, settings: &Settings, number: u32) -> io::Result<Delivery> {
    if number == 1 {
        write_database(folder)?;
    }
    let random = &mut Random::new(settings.seed, "weblog visitors", 0);
    let visitors: Vec<Visitor> = (0..settings.count(2_000.0, 10))
        .map(|index| {
            let country = pick_country(random);
            Visitor::new(random, format!("reader{}", index + 1), country)
        })
        .collect();
    let random = &mut Random::new(settings.seed, "weblog", number);
    let (lines, days) = if number == 1 { (settings.count(100_000.0, 40), 7) } else { (settings.count(1_500.0, 20), 1) };
    let last_day = settings.last_day.saturating_add(i64::from(number - 1).days());
    let start = last_day.to_datetime(Time::midnight()).saturating_sub((days - 1).days());
    let mut file = DeliveredFile::new("access", folder.join("logs").join("access.log"));
    append(&file.path, |out| {
        let mut traffic = Traffic::new(&visitors, &Documentation);
        let mut line = String::new();
        for index in 0..lines {
            let at = moment(random, start, days, index, lines);
            match traffic.next(&mut line, random, at) {
                Line::Good => file.inserted += 1,
                Line::Malformed => file.malformed += 1,
            }
            writeln!(out, "{line}")?;
        }
        Ok(())
    })?;
    Ok(Delivery { files: vec![file] })
}
