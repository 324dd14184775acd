//! Comparison with what is expected, kept in files.

use std::fs;
use std::path::Path;

use similar::TextDiff;

/// Compares a text with the file that holds what is expected.
///
/// With `UPDATE_EXPECT=1` in the environment the file is rewritten in place of a failure; look at the change before it is committed.
#[track_caller]
pub fn expect(file: impl AsRef<Path>, actual: &str) {
    let file = file.as_ref();
    let expected = fs::read_to_string(file).unwrap_or_default().replace("\r\n", "\n");
    if expected == actual {
        return;
    }
    if std::env::var_os("UPDATE_EXPECT").is_some_and(|value| value == "1") {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, actual).unwrap();
        return;
    }
    panic!("{}", difference(&file.display().to_string(), &expected, actual));
}

/// Compares two texts of several lines and shows the lines that differ.
#[track_caller]
pub fn expect_text(expected: &str, actual: &str) {
    assert!(expected == actual, "{}", difference("what is expected", expected, actual));
}

fn difference(name: &str, expected: &str, actual: &str) -> String {
    let difference = TextDiff::from_lines(expected, actual);
    let lines = difference.unified_diff().context_radius(3).header(name, "what came").to_string();
    format!("not as expected; UPDATE_EXPECT=1 rewrites files of expectations\n{lines}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_that_differ_are_shown() {
        let shown = difference("a.txt", "one\ntwo\n", "one\n2\n");
        assert!(shown.ends_with("--- a.txt\n+++ what came\n@@ -1,2 +1,2 @@\n one\n-two\n+2\n"), "{shown}");
    }

    #[test]
    #[should_panic(expected = "not as expected")]
    fn a_missing_file_is_an_empty_expectation() {
        expect("no/such/file", "something\n");
    }
}
