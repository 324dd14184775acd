//! Cases as data: a folder of `tests/cases/` is a project, `expected.txt` in it every diagnostic it must give.
//!
//! Beside the project a case may hold `case.json` (`environment`, `target`, `vars`, `discovered`), `dotenv` (the text of `.env`) and `project.txt`: what
//! the project must have been read as. `UPDATE_EXPECT=1 cargo test` rewrites `expected.txt`, and `project.txt` where there is one.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use thalweg_project::{Diagnostic, InputFile, ProjectInput, Severity, Table, read};

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Case {
    environment: BTreeMap<String, String>,
    target: Option<String>,
    vars: serde_json::Map<String, serde_json::Value>,
    discovered: BTreeMap<String, Vec<Table>>,
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<InputFile>) {
    for entry in std::fs::read_dir(folder).expect("a folder of the case").flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(root, &path, files);
            continue;
        }
        let relative = path.strip_prefix(root).expect("below the case").to_string_lossy().replace('\\', "/");
        if !matches!(relative.as_str(), "case.json" | "expected.txt" | "project.txt" | "dotenv") {
            files.push(InputFile::new(relative, std::fs::read_to_string(&path).expect("a readable file of the case")));
        }
    }
}

fn shown(diagnostic: &Diagnostic, files: &BTreeMap<String, String>) -> String {
    let severity = if diagnostic.severity == Severity::Error { "error" } else { "warning" };
    let location = &diagnostic.location;
    let own = files.get(&location.file).map_or("", String::as_str);
    // What is drawn of a YAML file is the file without passwords.
    let text = diagnostic.rendered.as_deref().filter(|_| location.file.ends_with(".yml")).unwrap_or(own);
    let before =
        text.get(..location.span.start).unwrap_or_else(|| panic!("a span within {}: {diagnostic:?}", location.file));
    let marked =
        text.get(location.span.clone()).unwrap_or_else(|| panic!("a span within {}: {diagnostic:?}", location.file));
    let line = 1 + before.matches('\n').count();
    let column = 1 + before.rsplit('\n').next().unwrap_or("").chars().count();
    let mut out =
        format!("{severity}[{}] {}:{line}:{column}: {}\n", diagnostic.code, location.file, diagnostic.message);
    if !marked.is_empty() {
        writeln!(out, "    marked: {}", marked.replace('\n', "⏎")).expect("a string grows");
    }
    for (name, text) in [("label", &diagnostic.label), ("help", &diagnostic.help)] {
        if let Some(text) = text {
            writeln!(out, "    {name}: {text}").expect("a string grows");
        }
    }
    out
}

#[test]
fn every_case_gives_what_is_expected() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let mut cases: Vec<PathBuf> =
        std::fs::read_dir(&root).expect("the cases").flatten().map(|entry| entry.path()).collect();
    cases.sort();
    assert!(!cases.is_empty());
    let mut failures = String::new();
    for case in cases {
        let name = case.file_name().expect("a name").to_string_lossy().into_owned();
        let settings: Case = std::fs::read_to_string(case.join("case.json"))
            .map(|text| serde_json::from_str(&text).expect("case.json of the expected form"))
            .unwrap_or_default();
        let mut files = Vec::new();
        collect(&case, &case, &mut files);
        let env_file = std::fs::read_to_string(case.join("dotenv")).ok();
        let mut texts: BTreeMap<String, String> =
            files.iter().map(|file| (file.path.clone(), file.text.clone())).collect();
        if let Some(text) = &env_file {
            texts.insert(".env".to_owned(), text.clone());
        }
        let environment = settings.environment;
        let input = ProjectInput {
            files,
            env_file,
            environment,
            target: settings.target,
            vars: settings.vars,
            discovered: settings.discovered,
        };
        let (project, diagnostics) = read(&input);
        let diagnostics: String = diagnostics.iter().map(|diagnostic| shown(diagnostic, &texts)).collect();
        assert!(!diagnostics.contains("s3cret"), "{name} shows a secret:\n{diagnostics}");
        compare(&case.join("expected.txt"), &diagnostics, update, &name, &mut failures);
        if case.join("project.txt").exists() {
            compare(&case.join("project.txt"), &format!("{project:#?}\n"), update, &name, &mut failures);
        }
    }
    assert!(failures.is_empty(), "run with UPDATE_EXPECT=1 to accept:\n{failures}");
}

fn compare(path: &Path, actual: &str, update: bool, name: &str, failures: &mut String) {
    let expected = std::fs::read_to_string(path).unwrap_or_default();
    if expected == actual {
        return;
    }
    if update {
        std::fs::write(path, actual).expect("a writable case");
    } else {
        let difference = similar::TextDiff::from_lines(expected.as_str(), actual);
        writeln!(failures, "{name}:\n{}", difference.unified_diff().context_radius(2)).expect("a string grows");
    }
}
