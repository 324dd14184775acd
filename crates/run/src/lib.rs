//! Doing it: a project folder is opened, planned, extracted, merged, refreshed, tested, published and reported.
//!
//! [`Workbench`] is the door: everything the command line and later the server do goes through it. Nothing here prints; what
//! happens meanwhile is told to an [`Observer`], what happened is returned as values.

#![forbid(unsafe_code)]

pub mod answer;
pub mod error;
pub mod event;
pub mod options;
pub mod outcome;
pub mod workbench;

pub use answer::*;
pub use error::RunError;
pub use event::{Event, Observer};
pub use options::{BuildOptions, Command, OpenOptions};
pub use outcome::*;
pub use workbench::Workbench;
