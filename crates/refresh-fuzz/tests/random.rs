//! Random queries with pinned seeds.

#![allow(clippy::unwrap_used)]

mod support;

use thalweg_refresh_fuzz::database::Database;
use thalweg_refresh_fuzz::fuzz::fuzz;

/// How many refreshes a seed gives, those of stages among them; `cargo xtask fuzz-refresh` does more. There are two seeds, so that two
/// cores have something to do.
const REFRESHES: usize = 1_550;

/// And how many on Postgres.
const ON_POSTGRES: usize = 1_550;

fn refreshes(mut database: Database, seed: u64, wanted: usize) {
    let enough = |refreshes, failed| refreshes < wanted && failed < 3;
    let (tally, failures) =
        fuzz(&mut database, (seed, 0), 200, &|shape| shape, |tally, failed| enough(tally.refreshes(), failed)).unwrap();
    let shown: Vec<String> = failures
        .iter()
        .map(|failure| {
            let fault = &failure.fault;
            let statements = fault.statements.join("\n    ");
            format!(
                "seed {seed}, case {}: {}: {}\n{}\n    {statements}",
                failure.number,
                fault.kind,
                fault.message,
                failure.case.print()
            )
        })
        .collect();
    assert!(failures.is_empty(), "{}\n{tally}", shown.join("\n\n"));
    // A generator whose queries all fall back proves nothing.
    let invalid: usize = tally.invalid.values().sum();
    assert!(invalid * 50 < tally.cases, "the engine does not take too many queries\n{tally}");
    assert!(tally.incremental * 2 > tally.cases, "too few are refreshed by keys\n{tally}");
    assert!(tally.added * 20 > tally.cases, "too little is added and subtracted\n{tally}");
    assert!(tally.steady > tally.keys / 20, "too little is known without reading it\n{tally}");
    // Postgres compares lists of the same type only, and not every expression tells its type: then all is computed.
    let of_types = |error: &String| error.contains("operator does not exist") && error.contains("[] = ");
    let failed = tally.failed.iter().filter(|(error, _)| !of_types(error)).count();
    assert_eq!(failed, 0, "statements made for a refresh failed\n{tally}");
    let of_types: usize = tally.failed.values().map(|(count, _)| count).sum();
    assert!(of_types * 500 <= wanted, "types are told apart too seldom\n{tally}");
}

#[test]
fn refreshes_of_a_pinned_seed() {
    refreshes(support::duckdb(), 4, REFRESHES);
}

#[test]
fn refreshes_of_another_pinned_seed() {
    refreshes(support::duckdb(), 5, REFRESHES);
}

#[test]
fn refreshes_of_a_pinned_seed_on_postgres() {
    refreshes(support::postgres(), 6, ON_POSTGRES);
}
