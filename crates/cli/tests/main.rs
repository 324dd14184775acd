//! All tests of the command line, in one binary, because each links the embedded engine.

// A panic is how a test speaks.
#![allow(clippy::unwrap_used)]

mod arguments;
mod cases;
#[cfg(unix)]
mod databases;
mod demo;
mod diagnostics;
mod help;
mod human;
mod json;
mod outcomes;
mod places;
mod progress;
mod stopping;

use std::path::PathBuf;

/// The program under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_thalweg");

/// A file of the folder that holds what is expected.
fn snapshot(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "snapshots", name].iter().collect()
}

/// Compares a text with `tests/snapshots/<name>.txt`.
#[track_caller]
fn check(name: &str, text: &str) {
    thalweg_testkit::expect(snapshot(&format!("{name}.txt")), text);
}
