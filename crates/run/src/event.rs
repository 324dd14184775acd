//! What is told while a run goes on.

use serde::Serialize;

use crate::outcome::{ReportAnswer, StepOutcome, TestOutcome};

/// Hears what happens. Called from several threads.
pub trait Observer: Send + Sync {
    /// Something happened.
    fn event(&self, event: &Event);
}

/// Hears nothing.
#[derive(Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn event(&self, _: &Event) {}
}

/// Something that happened. Serialises to one line of `--json` with its kind under `event`.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A run began, or an interrupted one goes on.
    RunStarted {
        /// Its number.
        run: i64,
        /// It was interrupted before and goes on.
        resumed: bool,
        /// Number of streams looked at.
        streams: usize,
        /// Number of models looked at.
        models: usize,
    },
    /// Somebody else holds the warehouse.
    Waiting {
        /// Who, in words.
        message: String,
    },
    /// A stream is being read.
    ExtractStarted {
        /// `source.stream`
        stream: String,
    },
    /// More records were read from a stream.
    ExtractProgress {
        /// `source.stream`
        stream: String,
        /// Records so far.
        records: u64,
    },
    /// A stream was read.
    ExtractFinished {
        /// `source.stream`
        stream: String,
        /// Records read.
        read: u64,
        /// Of these, rejected.
        rejected: u64,
        /// Files or other units read.
        files: usize,
        /// The extract of an interrupted run was taken up.
        reused: bool,
    },
    /// A stream could not be read.
    ExtractFailed {
        /// `source.stream`
        stream: String,
        /// Why.
        message: String,
    },
    /// Something a person should know.
    Note {
        /// What it is about: `source.stream` or a table.
        about: String,
        /// It deserves attention.
        warning: bool,
        /// One sentence.
        message: String,
    },
    /// A table is being brought up to date.
    StepStarted {
        /// The table.
        table: String,
    },
    /// A table was brought up to date, not yet published.
    StepFinished(StepOutcome),
    /// A test was run.
    TestFinished(TestOutcome),
    /// The run was published: readers see it from now on.
    Published {
        /// Its number.
        run: i64,
    },
    /// A report was answered.
    ReportFinished(ReportAnswer),
}
