//! Placeholders for what differs from run to run.

use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;

/// Replaces durations, timestamps, process numbers, hashes and the project's path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// The folder, its longest spelling first, since one may be a part of the other.
    folder: String,
}

static PATTERNS: LazyLock<Vec<(Regex, &'static str)>> = LazyLock::new(|| {
    [
        (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?( ?UTC|Z|[+-]\d\d:?\d\d)?", "[timestamp]"),
        (r"\b[0-9a-f]{64}\b|\b[0-9a-f]{40}\b|\b[0-9a-f]{32}\b|\b[0-9a-f]{16}\b", "[hash]"),
        (r"\b(process|pid|PID)([ =:]+)\d+", "$1$2[pid]"),
        (r#"("(?:seconds|duration\w*|elapsed\w*)":\s*)\d+(\.\d+)?(e-?\d+)?"#, "$1[time]"),
        // Columns of durations are right-aligned: the blanks before them go too.
        (r"(?m)( ?) *\b(\d+ ?(min|m|h) ?)*\d+(\.\d+)? ?(ns|µs|us|ms|s)\b", "$1[time]"),
        (r"(?m)[ \t]+$", ""),
    ]
    .map(|(pattern, placeholder)| (Regex::new(pattern).unwrap(), placeholder))
    .into_iter()
    .collect()
});

impl Filter {
    /// A filter for a project in this folder.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.display().to_string() }
    }

    /// The text with placeholders.
    pub fn apply(&self, text: &str) -> String {
        let mut text = text.replace(&self.folder, "[project]");
        for (pattern, placeholder) in PATTERNS.iter() {
            text = pattern.replace_all(&text, *placeholder).into_owned();
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_replaced_and_the_rest_stays() {
        let filter = Filter::new(Path::new("/tmp/x"));
        for (before, after) in [
            ("read /tmp/x/incoming/a.csv in 1.25 s", "read [project]/incoming/a.csv in [time]"),
            ("store.a   12   3.4s", "store.a   12 [time]"),
            ("took 2m 3s; 15 ms; 7µs", "took [time]; [time]; [time]"),
            ("run 3 at 2026-01-02 03:04:05.123456 UTC", "run 3 at [timestamp]"),
            ("since 2026-01-02T03:04:05Z by process 4711", "since [timestamp] by process [pid]"),
            ("day 2026-01-02, 5 rows, run=4", "day 2026-01-02, 5 rows, run=4"),
            ("0123456789abcdef0123456789abcdef", "[hash]"),
            ("{\"seconds\": 0.25, \"rows\": 3}", "{\"seconds\": [time], \"rows\": 3}"),
            ("12 streams   ", "12 streams"),
        ] {
            assert_eq!(filter.apply(before), after);
        }
    }
}
