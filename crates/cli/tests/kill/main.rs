//! The kill tests: laws 2 (all or nothing) and 4 (stop anywhere, start again).
//!
//! A small project has a history of three deliveries. Builds are killed, stopped, paused and starved at every place; readers must see
//! the warehouse as before or after, and the next build must end where an undisturbed one ends.

#![allow(clippy::unwrap_used)]

mod disk_full;
mod each;
mod failing;
mod failpoints;
mod first_load;
mod folder;
mod held;
mod history;
mod on_postgres;
mod parallel;
mod program;
mod project;
mod random;
mod refreshing;
mod signals;
mod state;
mod two_builds;
mod warehouse_held;
