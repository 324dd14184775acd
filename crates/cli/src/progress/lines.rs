//! One line for each event worth a line in a log file.

use thalweg_run::{Event, Observer, Strategy, TestState};

use super::Progress;
use crate::output;
use crate::render::human::number::{counted, grouped, seconds};

/// Prints lines to stderr.
#[derive(Debug)]
pub struct Lines {
    quiet: bool,
}

impl Lines {
    /// `quiet` leaves out everything but the reason why nothing goes on; warnings and failures stand in the summary.
    pub fn new(quiet: bool) -> Self {
        Self { quiet }
    }
}

impl Observer for Lines {
    fn event(&self, event: &Event) {
        if self.quiet && !matches!(event, Event::Waiting { .. }) {
            return;
        }
        if let Some(line) = line(event) {
            output::talk(&line);
        }
    }
}

impl Progress for Lines {}

/// The line of an event; `None` when it is not worth one.
pub fn line(event: &Event) -> Option<String> {
    Some(match event {
        Event::RunStarted { run, resumed, streams, models } => format!(
            "run {run} {}: {}, {}",
            if *resumed { "goes on" } else { "begins" },
            counted(*streams as u64, "stream"),
            counted(*models as u64, "model")
        ),
        Event::Waiting { message } => format!("waiting: {message}"),
        Event::ExtractFinished { read: 0, rejected: 0, .. } => return None,
        Event::ExtractFinished { stream, read, rejected, files, reused } => {
            let rejected = if *rejected > 0 { format!(", {} rejected", grouped(*rejected)) } else { String::new() };
            let reused = if *reused { " (extracted by the interrupted run)" } else { "" };
            format!("{stream}: {} from {}{rejected}{reused}", counted(*read, "record"), counted(*files as u64, "file"))
        }
        Event::ExtractFailed { stream, message } => format!("warning: {stream} could not be read: {message}"),
        Event::Note { about, warning, message } => {
            format!("{}: {about}: {message}", if *warning { "warning" } else { "note" })
        }
        Event::StepFinished(step) if matches!(step.strategy, Strategy::Unchanged | Strategy::Kept) => return None,
        Event::StepFinished(step) => {
            let counts = &step.counts;
            let deleted = counts.deleted_by_mark + counts.deleted_missing;
            let moved: Vec<_> = [(counts.inserted, "inserted"), (counts.updated, "updated"), (deleted, "deleted")]
                .into_iter()
                .filter(|(number, _)| *number > 0)
                .map(|(number, word)| format!("{} {word}", grouped(number)))
                .collect();
            let moved = if moved.is_empty() { "nothing moved".to_owned() } else { moved.join(", ") };
            format!("{}: {}, {moved}, {}", step.table, step.strategy.words(), seconds(step.seconds))
        }
        Event::TestFinished(test) if test.state == TestState::Pass => return None,
        Event::TestFinished(test) => {
            let word = if test.state == TestState::Fail { "failed test" } else { "warning" };
            format!("{word}: {}: {}", test.test, counted(test.failures, "failing row"))
        }
        Event::Published { run } => format!("run {run} is published"),
        Event::ExtractStarted { .. }
        | Event::ExtractProgress { .. }
        | Event::StepStarted { .. }
        | Event::ReportFinished(_) => return None,
    })
}
