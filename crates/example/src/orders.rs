//! The data of the orders example: a marketplace where companies order from each other's catalogues.
//!
//! A delivery is worked out from the seed alone: the generator lives through all deliveries before it in memory and writes
//! only the last one. So nothing has to be read back, and the same numbers give the same files.

pub mod database;
mod delivered;
mod table;
mod vocabulary;
mod world;

use std::io;
use std::path::Path;

use jiff::ToSpan;
use jiff::civil::DateTime;

use crate::Settings;
use crate::access_log::{Line, Site, Traffic};
use crate::country::write_database;
use crate::delivery::{DeliveredFile, Delivery, append, write_whole};
use crate::random::Random;
use world::World;

/// As [`deliver`], with the tables as scripts for a database: one that fills them, one that changes them. Later deliveries bring requests
/// only, for the tables live in the database.
pub(crate) fn deliver_to_database(folder: &Path, settings: &Settings, number: u32) -> io::Result<Delivery> {
    let mut world = World::new(settings);
    for later in 2..=number {
        world.change(later);
    }
    let mut delivery = Delivery::default();
    if number == 1 {
        write_database(folder)?;
        write_whole(&folder.join(".env"), |out| out.write_all(b"ORDER_DB_URL=mysql://root@127.0.0.1:3306/shop\n"))?;
        let mut filled = DeliveredFile::new("shop", folder.join("database/fill.sql"));
        write_whole(&filled.path, |out| {
            let rows = database::fill(settings, database::Server::Mariadb, out)?;
            filled.inserted = rows.iter().map(|(_, rows)| *rows as usize).sum();
            Ok(())
        })?;
        let changed = DeliveredFile::new("shop", folder.join("database/change.sql"));
        let change = database::Change { percent: 1.0, step: 1 };
        write_whole(&changed.path, |out| database::change(change, database::Server::Mariadb, out))?;
        delivery.files.extend([filled, changed]);
    }
    delivery.files.push(log(&folder.join("incoming"), settings, &world, number)?);
    Ok(delivery)
}

/// Writes delivery `number`, counted from 1, into `incoming/` of the project.
pub(crate) fn deliver(folder: &Path, settings: &Settings, number: u32) -> io::Result<Delivery> {
    let mut world = World::new(settings);
    for later in 2..=number {
        world.change(later);
    }
    if number == 1 {
        write_database(folder)?;
    }
    let incoming = folder.join("incoming");
    let mut delivery = Delivery::default();
    for table in world.tables() {
        if let Some(file) = delivered::write(&incoming, table, number, world.day())? {
            delivery.files.push(file);
        }
    }
    delivery.files.push(log(&incoming, settings, &world, number)?);
    Ok(delivery)
}

impl Site for World {
    fn page(&self, random: &mut Random, visitor: Option<usize>) -> String {
        match random.below(10) {
            0 => "/".to_owned(),
            1 => "/orders".to_owned(),
            2 => format!("/search?q={}", random.pick(vocabulary::NOUNS)),
            3 => "/static/site.css".to_owned(),
            _ => format!("/products/{}", self.favourite(random, visitor)),
        }
    }
}

/// Two weeks of requests with the first delivery, the next day's with each later one.
fn log(incoming: &Path, settings: &Settings, world: &World, number: u32) -> io::Result<DeliveredFile> {
    let mut random = Random::new(settings.seed, "orders access log", number);
    let first = number == 1;
    let lines = settings.count(if first { 100_000.0 } else { 1_500.0 }, 40);
    let days = if first { 14 } else { 1 };
    let start = world.day().to_datetime(jiff::civil::Time::midnight()).saturating_sub((days - 1).days());
    let mut file = DeliveredFile::new("access", incoming.join("access.log"));
    append(&file.path, |out| {
        let mut traffic = Traffic::new(world.visitors(), world);
        let mut line = String::new();
        for index in 0..lines {
            let at = moment(&mut random, start, days, index, lines);
            match traffic.next(&mut line, &mut random, at) {
                Line::Good => file.inserted += 1,
                Line::Malformed => file.malformed += 1,
            }
            writeln!(out, "{line}")?;
        }
        Ok(())
    })?;
    Ok(file)
}

/// The time of request `index` of `lines`: evenly spread, a little shaken, never backwards.
pub(crate) fn moment(random: &mut Random, start: DateTime, days: i64, index: usize, lines: usize) -> DateTime {
    let pace = (days * 86_400) as f64 / lines as f64;
    let seconds = (index as f64 + random.fraction()) * pace;
    start.saturating_add((seconds as i64).seconds())
}
