//! Drawing the mistakes of a project.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde_json::json;
use thalweg_project::{Diagnostic, Severity};

use crate::output::Paint;

/// The texts of the project's files, by their path relative to the project folder.
#[derive(Debug, Clone, Default)]
pub struct ProjectFiles(pub BTreeMap<String, String>);

impl ProjectFiles {
    /// Reads the files that diagnostics point into. What cannot be read is drawn without a snippet.
    pub fn of(diagnostics: &[Diagnostic], folder: &Path) -> Self {
        let mut files = BTreeMap::new();
        for diagnostic in diagnostics {
            let file = &diagnostic.location.file;
            if !files.contains_key(file)
                && let Ok(text) = thalweg_run::read_text(&folder.join(file))
            {
                files.insert(file.clone(), text);
            }
        }
        Self(files)
    }
}

/// The text a diagnostic points into and the name it is drawn under.
fn text_of<'a>(diagnostic: &'a Diagnostic, files: &'a ProjectFiles) -> Option<(String, &'a str)> {
    let file = &diagnostic.location.file;
    let own = files.0.get(file);
    match &diagnostic.rendered {
        // Rendering may change nothing but the end of the file.
        Some(rendered) if own.is_none_or(|own| own.trim_end() != rendered.trim_end()) => {
            let is_sql = !file.ends_with(".yml") && !file.ends_with(".yaml") && file != ".env";
            Some((if is_sql { format!("{file} (compiled)") } else { file.clone() }, rendered))
        }
        _ => own.map(|text| (file.clone(), text.as_str())),
    }
}

/// Draws one diagnostic: message, snippet, what was expected, what to do.
pub fn draw(diagnostic: &Diagnostic, files: &ProjectFiles, paint: Paint) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(diagnostic.message.as_str()).id(diagnostic.code);
    let mut group = match text_of(diagnostic, files) {
        Some((name, text)) if !text.trim().is_empty() && !is_whole_file(diagnostic) => {
            let mut annotation = AnnotationKind::Primary.span(visible(text, &diagnostic.location.span));
            if let Some(label) = &diagnostic.label {
                annotation = annotation.label(label.as_str());
            }
            Group::with_title(title).element(Snippet::source(text).path(name).annotation(annotation))
        }
        // A mistake of the file as a whole: a snippet of its first line would only mislead.
        _ => {
            let group = Group::with_title(title).element(Origin::path(diagnostic.location.file.as_str()));
            match &diagnostic.label {
                Some(label) => group.element(Level::NOTE.message(label.as_str())),
                None => group,
            }
        }
    };
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    let renderer = if paint.is_coloured() { Renderer::styled() } else { Renderer::plain() };
    let mut drawn = renderer.decor_style(DecorStyle::Ascii).render(&[group]);
    drawn.push('\n');
    drawn
}

/// Draws all of them, in their order, with a blank line after each.
pub fn draw_all(diagnostics: &[Diagnostic], files: &ProjectFiles, paint: Paint) -> String {
    diagnostics.iter().map(|diagnostic| draw(diagnostic, files, paint)).collect::<Vec<_>>().join("\n")
}

/// One diagnostic as an object for programs. Lines and columns count from 1, columns in characters.
pub fn json(diagnostic: &Diagnostic, files: &ProjectFiles) -> serde_json::Value {
    let mut object = json!({
        "event": "diagnostic",
        "severity": match diagnostic.severity { Severity::Error => "error", Severity::Warning => "warning" },
        "code": diagnostic.code,
        "message": diagnostic.message,
        "file": diagnostic.location.file,
    });
    if let Some((name, text)) = text_of(diagnostic, files) {
        let span = visible(text, &diagnostic.location.span);
        let (line, column) = line_and_column(text, span.start);
        let (end_line, end_column) = line_and_column(text, span.end);
        object["line"] = line.into();
        object["column"] = column.into();
        object["end_line"] = end_line.into();
        object["end_column"] = end_column.into();
        object["compiled"] = name.ends_with("(compiled)").into();
    }
    object["label"] = diagnostic.label.clone().into();
    object["help"] = diagnostic.help.clone().into();
    object
}

fn is_whole_file(diagnostic: &Diagnostic) -> bool {
    diagnostic.location.span == (0..0)
}

/// The span cut to the text and to whole characters, so that a wrong span never ends the program.
fn inside(text: &str, span: &Range<usize>) -> Range<usize> {
    let boundary = |place: usize| {
        let mut place = place.min(text.len());
        while !text.is_char_boundary(place) {
            place -= 1;
        }
        place
    };
    let start = boundary(span.start);
    start..boundary(span.end).max(start)
}

/// The span to be underlined: without the white space at its end, and moved back onto the last line where it points past it.
fn visible(text: &str, span: &Range<usize>) -> Range<usize> {
    let span = inside(text, span);
    let trimmed = span.start + text[span.clone()].trim_end().len();
    if trimmed > span.start {
        return span.start..trimmed;
    }
    let end = text.trim_end().len();
    if span.start > end { end..end } else { span.start..span.start }
}

fn line_and_column(text: &str, place: usize) -> (usize, usize) {
    let before = &text[..place];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
    (line, column)
}
