//! The Postgres driver against a real server.

#![allow(clippy::unwrap_used)]

mod catalog;
mod connections;
mod snapshots;
mod support;
mod type_extremes;
