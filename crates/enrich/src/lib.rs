//! Pure functions on values: access-log lines, user agents, countries of addresses, time zones. No IO except reading a MaxMind file.

#![forbid(unsafe_code)]

pub mod access_log;
pub mod country;
pub mod mmdb_writer;
pub mod time_zone;
pub mod user_agent;

pub use access_log::{AccessLine, AccessLineError, parse_access_line};
pub use country::{Countries, Country};
pub use time_zone::Zone;
pub use user_agent::{Agent, Device, Devices};
