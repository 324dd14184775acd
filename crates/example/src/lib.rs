//! The example projects, embedded, and generators of the data they work on.
//!
//! [`write()`] puts a project's files into a folder; [`deliver`] puts data beside them, one delivery after the other. Both refuse to
//! overwrite anything. The data depends on the [`Settings`] and the number of the delivery only, never on the machine.

#![forbid(unsafe_code)]

mod access_log;
pub mod country;
mod delivery;
mod orders;
mod project;
pub mod random;
mod titles;
mod weblog;

use std::io;
use std::path::Path;

use jiff::civil::Date;

pub use delivery::{DeliveredFile, Delivery};
pub use orders::database;
pub use project::{Example, UnknownExample, write};

/// What the generated data depends on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// How much: 1 is 100,000 order lines, log lines or 5,000 titles.
    pub scale: f64,
    /// Other seeds give other data of the same shape.
    pub seed: u64,
    /// The last day of the first delivery; each later one adds a day. Demos pass yesterday, tests a fixed day.
    pub last_day: Date,
}

impl Settings {
    /// How many records there are at this scale, but never fewer than `least`.
    pub(crate) fn count(&self, at_scale_one: f64, least: usize) -> usize {
        ((at_scale_one * self.scale) as usize).max(least)
    }
}

/// Writes delivery `number` (1 is the first, larger ones bring changes) into a project made by [`write()`].
///
/// Deliveries are made in order, each once. Files appear whole or not at all; a log grows at its end.
pub fn deliver(example: Example, folder: &Path, settings: &Settings, number: u32) -> io::Result<Delivery> {
    if number == 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "deliveries are counted from 1"));
    }
    match example {
        Example::Orders => orders::deliver(folder, settings, number),
        Example::OrdersDatabase => orders::deliver_to_database(folder, settings, number),
        Example::Titles => titles::deliver(folder, settings, number),
        Example::Weblog => weblog::deliver(folder, settings, number),
    }
}
