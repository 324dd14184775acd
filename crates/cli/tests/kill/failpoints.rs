//! Which failpoints there are, by the source code, and which a build comes by, by its own account.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use regex::Regex;
use thalweg_testkit::WrittenProject;

use crate::program::{BUILD, Build, finish, program, start};

/// Every failpoint in the source code of the crates.
pub fn in_the_source() -> Vec<String> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let pattern = Regex::new(r#"fail_point!\(\s*"([^"]+)""#).unwrap();
    let mut names = Vec::new();
    let mut folders: Vec<_> = fs::read_dir(crates).unwrap().map(|entry| entry.unwrap().path().join("src")).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                names.extend(pattern.captures_iter(&text).map(|found| found[1].to_owned()));
            }
        }
    }
    names.sort();
    names.dedup();
    assert!(names.len() > 20, "the source code is where it was: {names:?}");
    names
}

/// Builds, and counts how often the build comes by each failpoint.
pub fn hits(project: &WrittenProject) -> (Build, BTreeMap<String, u64>) {
    let file = project.path().join("hits.txt");
    let watching =
        program().env("THALWEG_WATCH", in_the_source().join(",")).env("THALWEG_HITS", file.to_str().unwrap());
    let build = finish(start(&watching, project, &BUILD));
    let mut hits = BTreeMap::new();
    for name in fs::read_to_string(&file).unwrap().lines() {
        *hits.entry(name.to_owned()).or_insert(0) += 1;
    }
    fs::remove_file(&file).unwrap();
    (build, hits)
}

/// Every place a process can be killed at: `name:hit`.
pub fn places(hits: &BTreeMap<String, u64>) -> Vec<String> {
    hits.iter().flat_map(|(name, &count)| (1..=count).map(move |hit| format!("{name}:{hit}"))).collect()
}
