//! What other crates rely on.

use serde_json::Value;
use thalweg_project::{InputFile, Project, ProjectInput, TargetConnection, json_schemas, read};

fn project(source: &str) -> Project {
    let files = vec![InputFile::new("thalweg.yml", "name: x\n"), InputFile::new("sources/web.yml", source)];
    let (project, diagnostics) = read(&ProjectInput { files, ..ProjectInput::default() });
    assert_eq!(diagnostics, []);
    project.expect("a project")
}

fn fingerprint(stream: &str) -> String {
    project(&format!("type: files\npath: in\nstreams:\n  a: {stream}\n")).sources[0].streams[0].fingerprint()
}

#[test]
fn a_fingerprint_changes_with_what_is_extracted_and_only_with_that() {
    let first = fingerprint("{ files: a.csv }");
    assert_eq!(first.len(), 32);
    for same in [
        "{ files: a.csv, description: x, tags: [y] }",
        "{ files: a.csv, ready: renamed, after: archive, archive: done }",
        "{ files: a.csv, columns: [{ name: a, description: x }] }",
        "{ files: a.csv, max_rejects: 3 }",
        "{ files: a.csv, format: csv }",
    ] {
        assert_eq!(fingerprint(same), first, "{same}");
    }
    for other in [
        "{ files: b.csv }",
        "{ files: a.csv, format: json }",
        "{ files: a.csv, csv: { delimiter: \";\" } }",
        "{ files: a.csv, primary_key: a }",
        "{ files: a.csv, select: [a] }",
        "{ files: a.csv, columns: [{ name: a, type: text }] }",
        "{ files: a.csv, lists: { a: \"a *\" } }",
        "{ files: a.csv, schema_contract: freeze }",
    ] {
        assert_ne!(fingerprint(other), first, "{other}");
    }
}

#[test]
fn a_fingerprint_is_the_same_in_every_version() {
    // A changed fingerprint makes every project extract again; change this only when extraction itself changed.
    assert_eq!(fingerprint("{ files: a.csv }"), "3f810c50dde12e9927a190d4cc90d631");
}

#[test]
fn every_option_is_documented() {
    fn walk(file: &str, path: &str, schema: &Value, missing: &mut Vec<String>) {
        if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
            for (key, property) in properties {
                let is_tag = property.get("const").is_some();
                if !is_tag && property.get("description").is_none() && property.get("$ref").is_none() {
                    missing.push(format!("{file}: {path}.{key}"));
                }
            }
        }
        match schema {
            Value::Object(map) => {
                map.iter().for_each(|(key, value)| walk(file, &format!("{path}.{key}"), value, missing))
            }
            Value::Array(items) => items.iter().for_each(|value| walk(file, path, value, missing)),
            _ => {}
        }
    }
    let mut missing = Vec::new();
    for (file, schema) in json_schemas() {
        walk(file, "", &schema, &mut missing);
        assert!(schema.get("description").is_some(), "{file}");
    }
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn secrets_are_in_the_project_and_nowhere_else() {
    let files = vec![InputFile::new(
        "thalweg.yml",
        "name: x\ntargets: { prod: { type: postgres, url: \"postgresql://u:${PASSWORD}@h/d\" } }\nexternal: [\"${PASSWORD}\"]\n",
    )];
    let env_file = Some("PASSWORD='hunter22'\n".to_owned());
    let (project, diagnostics) = read(&ProjectInput { files, env_file, ..ProjectInput::default() });
    let project = project.expect("a project");
    let shown = format!("{project:?} {diagnostics:?}");
    assert!(!shown.contains("hunter22"), "{shown}");
    assert_eq!(diagnostics.len(), 1, "{diagnostics:?}");
    let TargetConnection::Postgres(postgres) = &project.target.connection else { panic!("a Postgres target") };
    assert_eq!(postgres.settings.password.as_ref().map(thalweg_project::Secret::expose), Some("hunter22"));
    assert_eq!((postgres.settings.host.as_str(), postgres.settings.database.as_str()), ("h", "d"));
}

#[test]
fn the_environment_wins_over_the_file() {
    let files = vec![
        InputFile::new("thalweg.yml", "name: x\nlanding: ${ROOT}\n"),
        InputFile::new("models/a/b.sql", "select 1"),
    ];
    let mut input = ProjectInput { files, env_file: Some("ROOT=from_file\n".to_owned()), ..ProjectInput::default() };
    assert_eq!(read(&input).0.expect("a project").landing, "from_file");
    input.environment.insert("ROOT".to_owned(), "from_environment".to_owned());
    assert_eq!(read(&input).0.expect("a project").landing, "from_environment");
}

#[test]
fn variables_of_the_command_line_win() {
    let files = vec![
        InputFile::new("thalweg.yml", "name: x\nvars: { a: 1, b: 2 }\n"),
        InputFile::new("models/a/b.sql", "select {{ var('a') }}, {{ var('b') }}, {{ var('c').d }}"),
    ];
    let vars = serde_json::json!({ "b": "3", "c": { "d": 4 } });
    let vars = vars.as_object().cloned().expect("a map");
    let (project, diagnostics) = read(&ProjectInput { files, vars, ..ProjectInput::default() });
    assert_eq!(diagnostics, []);
    assert_eq!(project.expect("a project").models[0].sql, "select 1, 3, 4");
}
