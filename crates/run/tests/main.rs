//! The laws of the main job, on real projects in temporary folders.
//!
//! * `cases/` are histories of a project as text: what was delivered and done, and what came of it.
//! * `site` does the same from code; `laws` is asserted after every run, whatever the test is about.
//! * `history` makes up histories and compares the store with an oracle of its own; `histories` plays some in Postgres.
//! * `tpch` refreshes the queries of TPC-H, `selected` models that are left out of some runs.
//! * `partitions` has tables in partitions, which only Postgres makes.
//! * `fencing`, `reading`, `looking` and `waiting` are about those who work beside a run, `lost` about connections to Postgres that are lost.

// A panic is how a test speaks.
#![allow(clippy::unwrap_used, clippy::panic)]

mod case;
mod cases;
#[cfg(unix)]
mod databases;
mod fencing;
mod histories;
mod history;
mod large_stages;
mod laws;
mod long_texts;
mod looking;
mod lost;
mod oracle;
mod partitions;
mod reading;
mod replaying;
mod script;
mod selected;
mod site;
mod tpch;
mod transcript;
mod waiting;
