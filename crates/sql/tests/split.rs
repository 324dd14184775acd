//! Cases as data: each file in `tests/split/` holds queries with the parts they are split into.
//!
//! A file begins with its tables, as in `tests/refresh/`. A case is a query, a line `----` and the stages it is freed of, each with its
//! columns, its key, why it is kept and its text; then what is left. `UPDATE_CASES=1 cargo test -p thalweg-sql --test split` writes
//! them anew; look at the difference before committing it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use proptest::prelude::*;
use thalweg_sql::refresh::summed::{self, Candidate, Delta, Typing};
use thalweg_sql::refresh::{ChangedInput, InputTable, Inputs, Split, SwitchedOff, WithStages};
use thalweg_sql::{Dialect, DuckDb, Postgres, parse_relation};

mod tables;
use tables::{Tables, everything, play};

#[test]
fn parts_of_queries() {
    play("split", parts);
}

fn parts(sql: &str, tables: &Tables) -> String {
    let split = Split::of(sql, &DuckDb, tables, &[]);
    if split.is_whole() {
        return "stays whole".to_owned();
    }
    let mut out = String::new();
    for stage in &split.stages {
        let key = if stage.key.is_empty() { String::new() } else { format!(" key {}", stage.key.join(", ")) };
        let rows = if stage.one_row { ", one row" } else { "" };
        let _ = writeln!(out, "stage {}({}){key}{rows}: {}", stage.name, stage.columns.join(", "), stage.reason);
        let _ = writeln!(out, "{}", stage.text);
    }
    let _ = writeln!(out, "rest\n{}", split.rest);
    out
}

/// What of a query can be kept by adding and subtracting: the stages, the tables of whose changes they are linear functions, and how they
/// change with all of these.
#[test]
fn sums_of_queries() {
    play("summed", |sql, tables| sums(sql, tables, &DuckDb, true));
    play("summed_tpch", |sql, tables| sums(sql, tables, &DuckDb, false));
}

/// As [`sums_of_queries`], on Postgres; a case begins with the types of what is grouped by and added. Also what its rows become.
#[test]
fn sums_with_scales() {
    play("summed_postgres", |sql, tables| sums(sql, tables, &Postgres, true));
}

/// The candidate, with the types that the first line of its case gives.
fn typed(candidate: &Candidate, sql: &str, dialect: &dyn Dialect) -> Option<Candidate> {
    let Some(types) = sql.lines().next().and_then(|line| line.strip_prefix("-- types: ")) else {
        return Some(candidate.clone());
    };
    let typing = Typing::of_probe(dialect, candidate.stage.summing.as_ref()?, types.split(", "))?;
    let typed = candidate.typed(dialect, &typing)?;
    // What stands is known again by its columns.
    let sums =
        typed.stage.summing.as_ref()?.sums.iter().zip(types.split(", ").skip(typed.stage.summing.as_ref()?.probed));
    let sums: Vec<(String, String)> =
        sums.map(|(sum, added)| (sum.name.clone(), dialect.sum_type(added).unwrap_or_default())).collect();
    let columns = typed.stage.columns.iter().map(|name| {
        (name.as_str(), sums.iter().find(|(sum, _)| sum == name).map_or("", |(_, engine_type)| engine_type.as_str()))
    });
    assert_eq!(Typing::of_stage(dialect, candidate.stage.summing.as_ref()?, columns), typing, "{sql}");
    Some(typed)
}

fn sums(sql: &str, tables: &Tables, dialect: &dyn Dialect, with_delta: bool) -> String {
    let mut split = Split::of(sql, dialect, tables, &[]);
    if split.is_whole() {
        split.rest = sql.to_owned();
    }
    let candidates = summed::candidates(&split, dialect, tables);
    let candidates: Vec<Candidate> = candidates.iter().filter_map(|candidate| typed(candidate, sql, dialect)).collect();
    if candidates.is_empty() {
        return "nothing".to_owned();
    }
    let split = summed::with(&split, &candidates);
    let mut out = String::new();
    let mut known = WithStages { inputs: tables, stages: BTreeMap::new() };
    for stage in &split.stages {
        let columns: Vec<(String, String)> =
            stage.columns.iter().map(|name| (name.clone(), "BIGINT".to_owned())).collect();
        let Some(summing) = &stage.summing else {
            let _ = writeln!(out, "stage {}\n{}", stage.name, stage.text);
            known.stages.insert(stage.name.clone(), InputTable { columns, key: stage.key.clone() });
            continue;
        };
        let linear: Vec<String> = summing.linear.iter().map(|name| name.join(".")).collect();
        let _ = writeln!(out, "sums {} linear in {}\n{}", stage.name, linear.join(", "), stage.text);
        if !stage.found_by.is_empty() {
            let shape = stage.shape(dialect, &known).expect("pieces are refreshed by keys");
            let _ = writeln!(out, "replaced by {} ({})", shape.key_columns().join(", "), shape.key_reason());
        }
        if with_delta {
            let changed = |name: &Vec<String>| {
                let bag = |kind: &str| format!("{}_{kind}", name.join("_"));
                (name.clone(), ChangedInput { before: bag("gone"), after: bag("came"), old: Some(bag("old")) })
            };
            let changed = summing.linear.iter().map(changed).collect();
            // Where a case says so, nothing went.
            let empty = summing.linear.iter().map(|name| format!("{}_gone", name.join("_")));
            let empty = if sql.contains("-- nothing went") { empty.collect() } else { BTreeSet::new() };
            let inputs = Inputs { changed, empty, ..Inputs::default() };
            let delta =
                summing.delta(&stage.text, dialect, &known, &inputs, &SwitchedOff::default()).expect("valid names");
            let Delta::Rows(delta) = delta else { panic!("{delta:?} of {sql}") };
            let _ = writeln!(out, "delta\n{delta}");
        }
        if with_delta && summing.sums.iter().any(|sum| sum.scale.is_some()) {
            let merged = summing.merged(dialect, "sums", "delta", &columns, 7).expect("valid names");
            let _ = writeln!(out, "merged\n{merged}");
        }
        assert_eq!(
            parse_relation(&stage.text, dialect, &known).map(|tree| tree.names).ok().as_ref(),
            Some(&stage.columns),
            "{sql}"
        );
        known.stages.insert(stage.name.clone(), InputTable { columns, key: stage.key.clone() });
    }
    let _ = writeln!(out, "rest\n{}", split.rest);
    out
}

/// Splits a query. Every part must be a query that can be read, with the columns that are said of it; the number of stages.
fn assert_parts(sql: &str, tables: &Tables) -> usize {
    let split = Split::of(sql, &DuckDb, tables, &[]);
    if split.is_whole() {
        return 0;
    }
    let mut known = WithStages { inputs: tables, stages: BTreeMap::new() };
    for stage in &split.stages {
        let tree = parse_relation(&stage.text, &DuckDb, &known)
            .unwrap_or_else(|error| panic!("{error:?}: {stage:?} of {sql}"));
        assert_eq!(tree.names, stage.columns, "{stage:?} of {sql}");
        let columns = stage.columns.iter().map(|name| (name.clone(), "INTEGER".to_owned())).collect();
        let input = InputTable { columns, key: stage.key.clone() };
        assert!(known.stages.insert(stage.name.clone(), input).is_none(), "two stages {} of {sql}", stage.name);
        assert!(split.rest.contains(&stage.name) || split.stages.iter().any(|other| other.text.contains(&stage.name)));
    }
    let rest =
        parse_relation(&split.rest, &DuckDb, &known).unwrap_or_else(|error| panic!("{error:?}: {split:?} of {sql}"));
    let whole = parse_relation(sql, &DuckDb, tables).unwrap_or_else(|error| panic!("{error:?}: {sql}"));
    assert_eq!(rest.names, whole.names, "{split:?} of {sql}");
    split.stages.len()
}

#[test]
fn parts_are_queries() {
    let (tables, queries) = everything("relation");
    let split = queries.iter().filter(|sql| assert_parts(sql, &tables) > 0).count();
    assert!(split >= 20, "{split} of {} queries have stages", queries.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// A query with a piece of another in the place of one of its own.
    #[test]
    fn mixed_queries_are_split_into_queries(
        (left, right) in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
        (from, length) in (0_usize..200, 0_usize..8),
        (at, wanted) in (0_usize..200, 0_usize..24),
    ) {
        thread_local!(static ALL: (Tables, Vec<String>) = everything("relation"));
        ALL.with(|(tables, queries)| {
            let left: Vec<&str> = queries[left.index(queries.len())].split(' ').collect();
            let right: Vec<&str> = queries[right.index(queries.len())].split(' ').collect();
            let (from, at) = (from % (left.len() + 1), at % (right.len() + 1));
            let gone = from..(from + length).min(left.len());
            let come = at..(at + wanted).min(right.len());
            let mixed = [&left[..gone.start], &right[come], &left[gone.end..]].concat().join(" ");
            assert_parts(&mixed, tables);
        });
    }
}
