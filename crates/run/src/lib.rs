//! Doing it: a project folder is opened, planned, extracted, merged, refreshed, tested, published and reported.
//!
//! [`Workbench`] is the door: everything the command line and later the server do goes through it. Nothing here prints; what
//! happens meanwhile is told to an [`Observer`], what happened is returned as values.

#![forbid(unsafe_code)]

mod answer;
mod change;
mod check;
mod choice;
mod compare;
mod connections;
mod database;
mod discovered;
mod error;
mod event;
mod explain;
mod extract;
mod folder;
mod known;
mod landed;
mod legible;
mod look;
mod options;
mod outcome;
mod plan;
mod publish;
mod report;
pub mod rows;
mod runner;
mod seeds;
mod show;
mod stale;
mod table_state;
mod text;
mod verify;
mod why;
mod workbench;

pub use answer::*;
pub use connections::{ConnectionTest, DiscoveredColumn, DiscoveredTable, SourceFileText};
pub use discovered::AskSources;
pub use error::RunError;
pub use event::{Event, Observer, Silent};
pub use explain::{ExplainedChange, Explanation, PastRefresh};
pub use folder::read_text;
pub use options::{BuildOptions, Command, LargeTables, OpenOptions};
pub use outcome::*;
pub use why::{Place, RowOrigin, Version, Why};
pub use workbench::Workbench;
