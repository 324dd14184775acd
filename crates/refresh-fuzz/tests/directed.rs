//! Cases as files: idioms on which naive rules fail. `cases/models` are models in dbt's style.
//!
//! Most are in words of DuckDB. Postgres is asked, too; what it does not take says nothing there, and is counted.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use thalweg_refresh_fuzz::case::{Case, Expected};
use thalweg_refresh_fuzz::check::{Verdict, check};
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

/// One that contradicts itself is noticed, too.
fn duckdb_beside_another() -> Database {
    let mut database = support::duckdb();
    database.put_beside().unwrap();
    database
}

/// Runs the cases of a folder that are in words of the engine, or of DuckDB; how many it took.
fn all_go_as_their_files_say(folder: &str, mut database: Database) -> usize {
    let (mut wrong, mut taken) = (Vec::new(), 0);
    let own = database.dialect().name();
    for path in files(folder, ".case") {
        let text = std::fs::read_to_string(&path).unwrap();
        let case = Case::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let words = case.engine.as_deref().unwrap_or("duckdb");
        if words != own && words != "duckdb" {
            continue;
        }
        let verdict = check(&mut database, &case);
        if words != own && matches!(verdict, Verdict::Invalid(_)) {
            continue;
        }
        taken += 1;
        if let Some(why) = judge(&case, &verdict) {
            wrong.push(format!("{}: {why}", path.file_name().unwrap().to_string_lossy()));
        }
    }
    assert!(wrong.is_empty(), "{} cases:\n\n{}", wrong.len(), wrong.join("\n\n"));
    let beside = database.beside();
    assert_eq!(beside.refused, 0, "questions that were asked of one engine only, of {}", beside.answered);
    assert_eq!(beside.answered > 0, own == "duckdb", "an engine beside is asked");
    taken
}

#[test]
fn idioms_go_as_their_files_say() {
    let taken = all_go_as_their_files_say("idioms", duckdb_beside_another());
    assert!(taken >= 40, "{taken} cases");
}

#[test]
fn idioms_go_as_their_files_say_on_postgres() {
    let taken = all_go_as_their_files_say("idioms", support::postgres());
    assert!(taken >= 42, "{taken} cases");
}

/// Faults that were found at random and mended.
#[test]
fn faults_of_the_past_stay_mended() {
    all_go_as_their_files_say("found", duckdb_beside_another());
}

#[test]
fn faults_of_the_past_stay_mended_on_postgres() {
    let taken = all_go_as_their_files_say("found", support::postgres());
    assert!(taken >= 10, "{taken} cases");
}

/// Every model is refreshed by keys unless its first line says `-- expect full: REASON`, each with several histories.
fn models_are_refreshed_by_keys(mut database: Database, histories: u64, wanted: usize) {
    let tables = std::fs::read_to_string(folder("models").join("tables.txt")).unwrap();
    let (mut wrong, mut tally, mut count) = (Vec::new(), Tally::default(), 0);
    let own_words = database.dialect().name() == "duckdb";
    for path in files("models", ".sql") {
        let query = std::fs::read_to_string(&path).unwrap();
        let full = query.lines().next().and_then(|line| line.strip_prefix("-- expect full: "));
        let mut taken = true;
        for seed in 0..histories {
            let mut case = Case::of_model(&tables, &query, &mut Choices::from_seed(seed), 5).unwrap();
            case.expected = full.map_or(Expected::Incremental, |reason| Expected::Full(reason.to_owned()));
            let verdict = check(&mut database, &case);
            tally.add(&verdict, &BTreeSet::new());
            if !own_words && matches!(verdict, Verdict::Invalid(_)) {
                taken = false;
                break;
            }
            if let Some(why) = judge(&case, &verdict) {
                wrong.push(format!("{}: {why}\n{}", path.file_name().unwrap().to_string_lossy(), case.print()));
                break;
            }
        }
        count += usize::from(full.is_none() && taken);
    }
    assert!(wrong.is_empty(), "{} models:\n\n{}", wrong.len(), wrong.join("\n\n"));
    assert!(count >= wanted, "{count} models\n{tally}");
    assert!(tally.keys > 3 * count, "{tally}");
}

#[test]
fn models_in_the_style_of_dbt() {
    models_are_refreshed_by_keys(support::duckdb(), 4, 30);
}

#[test]
fn models_in_the_style_of_dbt_on_postgres() {
    models_are_refreshed_by_keys(support::postgres(), 4, 30);
}
