//! Cases as files: idioms on which naive rules fail. `cases/models` are models in dbt's style.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use thalweg_refresh_fuzz::case::{Case, Expected};
use thalweg_refresh_fuzz::check::check;
use thalweg_refresh_fuzz::choice::Choices;
use thalweg_refresh_fuzz::database::Database;
use thalweg_refresh_fuzz::judge::judge;
use thalweg_refresh_fuzz::tally::Tally;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cases").join(name)
}

fn files(name: &str, ending: &str) -> Vec<PathBuf> {
    let all = std::fs::read_dir(folder(name)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = all.filter(|path| path.to_string_lossy().ends_with(ending)).collect();
    files.sort();
    files
}

#[test]
fn idioms_go_as_their_files_say() {
    let mut database = Database::duckdb().unwrap();
    let mut wrong = Vec::new();
    let cases = files("idioms", ".case");
    assert!(cases.len() >= 40, "{} cases", cases.len());
    for path in cases {
        let text = std::fs::read_to_string(&path).unwrap();
        let case = Case::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        if let Some(why) = judge(&case, &check(&mut database, &case)) {
            wrong.push(format!("{}: {why}", path.file_name().unwrap().to_string_lossy()));
        }
    }
    assert!(wrong.is_empty(), "{} cases:\n\n{}", wrong.len(), wrong.join("\n\n"));
}

/// Every model is refreshed by keys unless its first line says `-- expect full: REASON`, each with several histories.
#[test]
fn models_in_the_style_of_dbt() {
    let mut database = Database::duckdb().unwrap();
    let tables = std::fs::read_to_string(folder("models").join("tables.txt")).unwrap();
    let (mut wrong, mut tally, mut count) = (Vec::new(), Tally::default(), 0);
    for path in files("models", ".sql") {
        let query = std::fs::read_to_string(&path).unwrap();
        let full = query.lines().next().and_then(|line| line.strip_prefix("-- expect full: "));
        for seed in 0..4 {
            let mut case = Case::of_model(&tables, &query, &mut Choices::from_seed(seed), 5).unwrap();
            case.expected = full.map_or(Expected::Incremental, |reason| Expected::Full(reason.to_owned()));
            let verdict = check(&mut database, &case);
            tally.add(&verdict, &BTreeSet::new());
            if let Some(why) = judge(&case, &verdict) {
                wrong.push(format!("{}: {why}\n{}", path.file_name().unwrap().to_string_lossy(), case.print()));
                break;
            }
        }
        count += usize::from(full.is_none());
    }
    assert!(wrong.is_empty(), "{} models:\n\n{}", wrong.len(), wrong.join("\n\n"));
    assert!(count >= 30, "{count} models");
    assert!(tally.keys > 3 * count, "{tally}");
}

/// Faults that were found at random and mended.
#[test]
fn faults_of_the_past_stay_mended() {
    let mut database = Database::duckdb().unwrap();
    let mut wrong = Vec::new();
    for path in files("found", ".case") {
        let case = Case::parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
        if let Some(why) = judge(&case, &check(&mut database, &case)) {
            wrong.push(format!("{}: {why}", path.file_name().unwrap().to_string_lossy()));
        }
    }
    assert!(wrong.is_empty(), "{} cases:\n\n{}", wrong.len(), wrong.join("\n\n"));
}
