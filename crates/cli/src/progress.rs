//! What is told while a run goes on: bars on a terminal, quiet lines elsewhere, JSON lines for programs.

mod bars;
mod lines;

use std::io::IsTerminal;

use thalweg_run::{Event, Observer};

use crate::arguments::OutputOptions;
use crate::output::{self, Paint};
use crate::render::json;

pub use bars::Bars;
pub use lines::{Lines, line};

/// Hears what happens and shows it.
pub trait Progress: Observer {
    /// The run is over: nothing more is shown, bars are taken away.
    fn finish(&self) {}
}

/// The way of showing that suits the output.
pub fn choose(options: OutputOptions, paint: Paint) -> Box<dyn Progress> {
    if options.json {
        Box::new(JsonLines)
    } else if std::io::stderr().is_terminal() && !options.quiet {
        Box::new(Bars::new(paint))
    } else {
        Box::new(Lines::new(options.quiet))
    }
}

/// Bars on a terminal, warnings alone elsewhere: for a verb that talks itself.
pub fn only_bars(paint: Paint) -> Box<dyn Progress> {
    if std::io::stderr().is_terminal() { Box::new(Bars::new(paint)) } else { Box::new(Lines::new(true)) }
}

/// Every event as one JSON object on stdout, except the frequent ones that only matter to a person who waits.
#[derive(Debug)]
pub struct JsonLines;

impl Observer for JsonLines {
    fn event(&self, event: &Event) {
        output::answer(&json::event(event));
    }
}

impl Progress for JsonLines {}
