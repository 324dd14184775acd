//! Two sides of a benchmark, printed.

use crate::measure::Cost;

/// Prints what was measured, with the limits that Thalweg has set itself.
pub struct Comparison {
    title: String,
}

impl Comparison {
    /// Prints the title.
    pub fn new(title: impl Into<String>) -> Self {
        let comparison = Self { title: title.into() };
        println!("\n{}", comparison.title);
        comparison
    }

    /// Prints one side.
    pub fn side(&self, name: &str, cost: Cost) {
        println!("  {name:<24} {:>8.3} s {:>8.0} MB", cost.wall.as_secs_f64(), cost.peak as f64 / 1e6);
    }

    /// Prints how many times the reference's time and memory the program took.
    pub fn ratio(&self, program: Cost, reference: Cost) {
        println!(
            "  {:<24} {:>8.2} x {:>8.2} x",
            "ratio",
            program.wall.as_secs_f64() / reference.wall.as_secs_f64(),
            program.peak as f64 / reference.peak.max(1) as f64
        );
    }

    /// Prints the time of one side, where memory says nothing: a server does the work.
    pub fn wall(&self, name: &str, cost: Cost) {
        println!("  {name:<24} {:>8.3} s", cost.seconds());
    }

    /// Prints how much there should be at least, and whether it is reached.
    pub fn at_least(&self, what: &str, value: f64, limit: f64) {
        let word = if value >= limit { "kept" } else { "MISSED" };
        println!("  {what:<24} {value:>8.1}   at least {limit}: {word}");
    }

    /// Prints a limit and whether it is kept.
    pub fn limit(&self, what: &str, value: f64, limit: f64) {
        let word = if value <= limit { "kept" } else { "MISSED" };
        println!("  {what:<24} {value:>8.3}   at most {limit}: {word}");
    }
}
