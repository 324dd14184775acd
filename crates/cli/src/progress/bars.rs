//! Bars on a terminal: one line for each stream being read, one for the models. They go away when the run is over.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use thalweg_run::{Event, Observer};

use super::Progress;
use crate::output::Paint;
use crate::render::human::number::{counted, grouped};

/// At most so many streams have a line of their own; a screen is not longer.
const MOST_LINES: usize = 8;

/// Draws bars on stderr.
#[derive(Debug)]
pub struct Bars {
    screen: MultiProgress,
    paint: Paint,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// What the run is doing now.
    stage: ProgressBar,
    streams: BTreeMap<String, Option<ProgressBar>>,
    steps: usize,
    tests: usize,
}

impl Bars {
    /// Nothing is drawn before the first event.
    pub fn new(paint: Paint) -> Self {
        let screen = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(15));
        let stage = screen.add(spinner());
        Self { screen, paint, state: Mutex::new(State { stage, streams: BTreeMap::new(), steps: 0, tests: 0 }) }
    }

    fn print(&self, line: String) {
        let _ = self.screen.println(line);
    }
}

fn spinner() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
        bar.set_style(style.tick_chars("-\\|/ "));
    }
    bar
}

impl Observer for Bars {
    fn event(&self, event: &Event) {
        // A poisoned lock means that another thread failed while drawing: the drawing may be wrong, the run is not.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::RunStarted { run, resumed, .. } => {
                state.stage.enable_steady_tick(Duration::from_millis(100));
                let word = if *resumed { "goes on" } else { "begins" };
                state.stage.set_message(format!("run {run} {word}"));
            }
            Event::Waiting { message } => self.print(format!("{}: {message}", self.paint.yellow("waiting"))),
            Event::ExtractStarted { stream } => {
                let drawn = state.streams.values().flatten().count() < MOST_LINES;
                let bar = drawn.then(|| self.screen.add(spinner()));
                if let Some(bar) = &bar {
                    bar.set_message(stream.clone());
                }
                state.streams.insert(stream.clone(), bar);
                let reading = counted(state.streams.len() as u64, "stream");
                state.stage.set_message(format!("reading {reading}"));
            }
            Event::ExtractProgress { stream, records } => {
                if let Some(Some(bar)) = state.streams.get(stream) {
                    bar.set_message(format!("{stream}  {} records", grouped(*records)));
                    bar.tick();
                }
            }
            Event::ExtractFinished { stream, .. } => end(&mut state, stream),
            Event::ExtractFailed { stream, message } => {
                end(&mut state, stream);
                self.print(format!("{}: {stream} could not be read: {message}", self.paint.yellow("warning")));
            }
            Event::StepStarted { table } => {
                let message = format!("refreshing {table}  ({} done)", state.steps);
                state.stage.set_message(message);
            }
            Event::StepFinished(_) => state.steps += 1,
            Event::TestFinished(_) => {
                state.tests += 1;
                let message = format!("testing  ({} done)", state.tests);
                state.stage.set_message(message);
            }
            Event::Published { run } => state.stage.set_message(format!("run {run} is published")),
            // These stand in the summary.
            Event::Note { .. } | Event::ReportFinished(_) => {}
        }
    }
}

fn end(state: &mut State, stream: &str) {
    if let Some(Some(bar)) = state.streams.remove(stream) {
        bar.finish_and_clear();
    }
}

impl Progress for Bars {
    fn finish(&self) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for bar in state.streams.values().flatten() {
            bar.finish_and_clear();
        }
        state.stage.finish_and_clear();
        let _ = self.screen.clear();
    }
}
