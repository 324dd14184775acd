//! The rules of the house, as written in CONTRIBUTING.md.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use thalweg_xtask::{files_below, workspace_root};

/// Every Rust file of the crates: path below the root with `/`, and text.
fn sources() -> Vec<(String, String)> {
    let root = workspace_root();
    let name = |path: &PathBuf| path.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
    let files = files_below(&root.join("crates"), ".rs").unwrap();
    files.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
}

fn none(what: &str, wrong: Vec<String>) {
    assert!(wrong.is_empty(), "{what}:\n{}", wrong.join("\n"));
}

#[test]
fn files_are_short() {
    let long = sources().into_iter().filter(|(_, text)| text.lines().count() > 800);
    none("files of more than 800 lines are split", long.map(|(name, _)| name).collect());
}

#[test]
fn files_are_named_after_what_is_in_them() {
    const EMPTY_WORDS: [&str; 6] = ["utils", "common", "helpers", "core", "misc", "types"];
    let vague = sources()
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| name.split('/').any(|part| EMPTY_WORDS.contains(&part.trim_end_matches(".rs"))));
    none("names that say nothing", vague.collect());
}

/// The rooms whose manifest names a dependency.
fn rooms_with(dependency: &str) -> Vec<String> {
    manifests().into_iter().filter(|(_, text)| names(text, dependency)).map(|(room, _)| room).collect()
}

/// The manifest of each room.
fn manifests() -> Vec<(String, String)> {
    let files = files_below(&workspace_root().join("crates"), "Cargo.toml").unwrap();
    let room = |path: &PathBuf| path.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
    files.iter().map(|path| (room(path), fs::read_to_string(path).unwrap())).collect()
}

fn names(manifest: &str, dependency: &str) -> bool {
    manifest.lines().any(|line| line.strip_prefix(dependency).is_some_and(|rest| rest.starts_with(['.', ' '])))
}

#[test]
fn the_sql_parser_is_hidden() {
    assert_eq!(rooms_with("sqlparser"), ["sql"]);
    let outside = sources().into_iter().filter(|(file, text)| {
        file.starts_with("crates/sql/src/")
            && !file.starts_with("crates/sql/src/parser")
            && text.contains("sqlparser::")
    });
    none("`sqlparser` is used in crates/sql/src/parser only", outside.map(|(file, _)| file).collect());
}

#[test]
fn the_engine_is_hidden() {
    assert_eq!(rooms_with("duckdb"), ["duck"]);
}

#[test]
fn the_client_of_postgres_is_hidden() {
    assert_eq!(rooms_with("tokio-postgres"), ["postgres"]);
}

/// Names of `[workspace.dependencies]` that are not our own crates.
fn dependencies() -> BTreeSet<String> {
    let manifest = fs::read_to_string(workspace_root().join("Cargo.toml")).unwrap();
    let lines = manifest.lines().skip_while(|line| *line != "[workspace.dependencies]").skip(1);
    lines
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split_once(" = "))
        .map(|(name, _)| name.to_owned())
        .filter(|name| !name.starts_with("thalweg-"))
        .collect()
}

#[test]
fn every_dependency_has_a_reason() {
    let text = fs::read_to_string(workspace_root().join("CONTRIBUTING.md")).unwrap();
    let rows = text.lines().skip_while(|line| !line.starts_with("| dependency ")).skip(2);
    let given: BTreeSet<String> = rows
        .take_while(|line| line.starts_with('|'))
        .flat_map(|row| {
            row.split('|')
                .nth(1)
                .unwrap()
                .split(',')
                .map(|name| name.trim().trim_matches('`').to_owned())
                .collect::<Vec<_>>()
        })
        .collect();
    let used = dependencies();
    none("dependencies without a reason in CONTRIBUTING.md", used.difference(&given).cloned().collect());
    none("reasons in CONTRIBUTING.md for what is not used", given.difference(&used).cloned().collect());
}

#[test]
fn every_dependency_is_used() {
    let manifests = manifests();
    let unused = dependencies().into_iter().filter(|name| !manifests.iter().any(|(_, text)| names(text, name)));
    none("workspace dependencies that no crate uses", unused.collect());
}

/// Whoever reads the files of this repository has no use for the places where they were written.
#[test]
fn no_path_of_one_machine_is_written_down() {
    let root = workspace_root();
    let mut wrong = Vec::new();
    for folder in ["crates", "examples", "scripts", "bench", ".ci"] {
        for path in files_below(&root.join(folder), "").unwrap_or_default() {
            let text = fs::read_to_string(&path).unwrap_or_default();
            if ["/home/", "/root/", "/Users/"].iter().any(|place| text.contains(place)) && !path.ends_with("house.rs") {
                wrong.push(path.display().to_string());
            }
        }
    }
    none("paths of one machine", wrong);
}
