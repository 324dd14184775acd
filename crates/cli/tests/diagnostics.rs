//! How the mistakes of a project are drawn.

use thalweg_cli::diagnostics::{self, ProjectFiles};
use thalweg_cli::failure::Failure;
use thalweg_cli::output::Paint;
use thalweg_project::{Diagnostic, Location};

use crate::check;

const PROJECT: &str = "name: orders\ntargets:\n  dev: { type: duckdb, paht: warehouse.duckdb }\n\n\n";
const SOURCE: &str = "type: files\r\npath: incoming\r\nstreams:\r\n  bücher: { files: \"*.csv\", format: cvs }\r\n";
const COMPILED: &str = "select amont\nfrom store.orders";

fn files() -> ProjectFiles {
    let files = [("thalweg.yml", PROJECT), ("sources/web.yml", SOURCE), ("models/pres/x.sql", "{{ macro() }}\n")];
    ProjectFiles(files.map(|(name, text)| (name.to_owned(), text.to_owned())).into())
}

fn at(file: &str, text: &str, place: &str) -> Location {
    let start = text.find(place).unwrap();
    Location::new(file, start..start + place.len())
}

fn all() -> Vec<Diagnostic> {
    let mut compiled = Diagnostic::error(
        "unknown-column",
        "store.orders has no column `amont`",
        at("models/pres/x.sql", COMPILED, "amont"),
    )
    .with_help("did you mean `amount`?");
    compiled.rendered = Some(COMPILED.into());
    vec![
        Diagnostic::error("unknown-key", "unknown key `paht`", at("thalweg.yml", PROJECT, "paht"))
            .with_label("expected one of `type`, `path`, `memory_limit`")
            .with_help("did you mean `path`?"),
        Diagnostic::error("unknown-format", "unknown format `cvs`", at("sources/web.yml", SOURCE, "cvs"))
            .with_label("expected csv, ndjson, json, parquet or access_log")
            .with_help("did you mean `csv`?"),
        compiled,
        Diagnostic::warning("no-models", "the project has no models", Location::file("thalweg.yml"))
            .with_help("put a SELECT into models/pres/NAME.sql"),
        Diagnostic::error("unreadable", "the file is not UTF-8", Location::new("models/pres/gone.sql", 5..9)),
        Diagnostic::error("missing-value", "a value is missing", Location::new("thalweg.yml", 900..950)),
        Diagnostic::error(
            "several-lines",
            "these lines belong elsewhere",
            at("thalweg.yml", PROJECT, "targets:\n  dev: { type: duckdb, paht: warehouse.duckdb }\n"),
        ),
    ]
}

#[test]
fn drawn_plainly() {
    let text = diagnostics::draw_all(&all(), &files(), Paint::Plain);
    assert!(text.chars().all(|letter| letter.is_ascii() || "ü".contains(letter)), "drawn with plain characters");
    check("diagnostics", &text);
}

#[test]
fn drawn_in_colours() {
    let text = diagnostics::draw(&all()[0], &files(), Paint::Coloured);
    assert!(text.contains("\u{1b}["));
}

#[test]
fn for_programs() {
    let lines: String = all().iter().map(|one| format!("{}\n", diagnostics::json(one, &files()))).collect();
    check("json_diagnostics", &lines);
}

#[test]
fn as_the_end_of_a_command() {
    let failure = Failure::Project { diagnostics: all()[..2].to_vec(), files: files() };
    assert_eq!(failure.exit_code(), 2);
    check("failure_project", &failure.human(Paint::Plain));
}

#[test]
fn a_wrong_span_ends_nothing() {
    for span in [(0, usize::MAX), (7, 3), (49, 50), (usize::MAX, usize::MAX)] {
        let location = Location { file: "sources/web.yml".into(), span: span.0..span.1 };
        let diagnostic = Diagnostic::error("any", "any", location);
        diagnostics::draw(&diagnostic, &files(), Paint::Plain);
        diagnostics::json(&diagnostic, &files());
    }
}
