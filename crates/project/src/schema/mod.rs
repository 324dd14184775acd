//! Checking a YAML tree against the JSON schema of its form, so that every mistake is found at once and at its place.

mod check;
mod formats;
mod words;

pub use check::Checker;
