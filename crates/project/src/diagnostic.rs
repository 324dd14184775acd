//! Mistakes in a project, as values. Drawing them is the command line's business.

use std::ops::Range;

/// How bad a diagnostic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The project runs, but probably not as meant.
    Warning,
    /// The project cannot run.
    Error,
}

/// A place in a file of the project.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Location {
    /// Path of the file, relative to the project folder, with `/`.
    pub file: String,
    /// Byte range in the file's text. Empty ranges are allowed.
    pub span: Range<usize>,
}

impl Location {
    /// A place in a file.
    pub fn new(file: impl Into<String>, span: Range<usize>) -> Self {
        Self { file: file.into(), span }
    }

    /// The start of a file, for mistakes that concern the whole of it.
    pub fn file(file: impl Into<String>) -> Self {
        Self::new(file, 0..0)
    }
}

/// One mistake: a line that stands alone, where it is, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Stable name of the rule, in kebab-case: `unknown-key`.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// One sentence without a final stop, understandable without the snippet.
    pub message: String,
    /// Where it is.
    pub location: Location,
    /// Short words under the marked place: what was expected.
    pub label: Option<String>,
    /// What to do, `did you mean` included.
    pub help: Option<String>,
    /// Text that `location.span` points into where it is not the file's own: SQL after its template was rendered, YAML
    /// without the passwords written into it.
    pub rendered: Option<String>,
}

impl Diagnostic {
    /// An error without label or help.
    pub fn error(code: &'static str, message: impl Into<String>, location: Location) -> Self {
        Self {
            code,
            severity: Severity::Error,
            message: message.into(),
            location,
            label: None,
            help: None,
            rendered: None,
        }
    }

    /// A warning without label or help.
    pub fn warning(code: &'static str, message: impl Into<String>, location: Location) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message, location) }
    }

    /// Adds the words under the marked place.
    #[must_use]
    pub fn with_label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Replaces a text in everything that is shown.
    pub(crate) fn replace_text(&mut self, text: &str, instead: &str) {
        let shown = [Some(&mut self.message), self.label.as_mut(), self.help.as_mut()];
        for part in shown.into_iter().flatten() {
            if part.contains(text) {
                *part = part.replace(text, instead);
            }
        }
        if let Some(rendered) = &mut self.rendered
            && !text.is_empty()
        {
            // The span points into this text and moves with it; an end within the content takes in all of it.
            let moved = |place: usize, is_end: bool| {
                let mut at = place;
                for (start, _) in rendered.match_indices(text) {
                    let end = start + text.len();
                    if end <= place {
                        at = at + instead.len() - text.len();
                    } else if start < place {
                        at = at - (place - start) + if is_end { instead.len() } else { 0 };
                    }
                }
                at
            };
            let span = moved(self.location.span.start, false)..moved(self.location.span.end, true);
            *rendered = rendered.replace(text, instead);
            self.location.span = span;
        }
    }

    /// Adds what to do.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// The candidate nearest to `name`, when it is near enough to be what was meant.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.chars().count().min(name.chars().count()) / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marked_place_moves_with_the_text() {
        let sql = "select 's3cret1', amont, 's3cret1' from t";
        for marked in ["amont", "from", "select", "'s3cret1', amont"] {
            let start = sql.find(marked).expect("a part of the text");
            let mut diagnostic = Diagnostic::error("x", "s3cret1", Location::new("a.sql", start..start + marked.len()));
            diagnostic.rendered = Some(sql.to_owned());
            diagnostic.replace_text("s3cret1", "${KEY}");
            let rendered = diagnostic.rendered.expect("still there");
            assert_eq!(rendered, "select '${KEY}', amont, '${KEY}' from t");
            assert_eq!(rendered[diagnostic.location.span], marked.replace("s3cret1", "${KEY}"));
            assert_eq!(diagnostic.message, "${KEY}");
        }
    }
}
