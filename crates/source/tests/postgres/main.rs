//! The Postgres driver against a real server.

#![allow(clippy::unwrap_used)]

mod catalog;
#[path = "../shared/checksums.rs"]
mod checksums;
mod connections;
mod snapshots;
mod support;
mod type_extremes;
