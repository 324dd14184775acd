//! Tables of real servers as sources: what is in the store is what is at the source.
//!
//! Each test is written once and run on MariaDB and on Postgres.

mod changes;
mod clocks;
mod commits;
mod compare;
mod large;
mod orders;
mod race;
mod server;
mod unreached;
mod unseen;
