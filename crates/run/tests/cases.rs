//! The cases as tests: one for each file in `cases/`.

use std::path::Path;
use std::sync::Mutex;

use crate::case::play;

macro_rules! cases {
    ($($name:ident,)*) => {
        $(
            #[test]
            fn $name() {
                play(
                    &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(concat!(stringify!($name), ".txt")),
                    None,
                );
            }
        )*

        const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

cases! {
    append,
    archive_again,
    byte_order_marks,
    declared_after_texts,
    declared_later,
    definition_changes,
    failed_landing,
    failing_source,
    incremental,
    incremental_definitions,
    incremental_left_out,
    incremental_pinned,
    indexes,
    json_empty_objects,
    json_nul,
    json_rows,
    max_rejects,
    landing_damaged,
    merge_by_arrival,
    merge_duplicates,
    merge_keys,
    merge_late_files,
    merge_verdicts,
    missing_columns,
    model_errors,
    models_chain,
    models_claimed_key,
    models_clock,
    models_external,
    models_floats,
    models_joined_twice,
    models_key_unknown,
    models_keys_of_lists,
    models_keys_of_types,
    models_keys_uncast,
    models_materialized,
    models_outer_joins,
    models_outer_joins_below,
    models_removed,
    models_top,
    models_waiting,
    odd_names,
    other_warehouse,
    quarantine,
    quarantine_added,
    rebuilt_beside_changes,
    replace_bag,
    replace_keyed,
    replay_append,
    replay_arrival,
    replay_new_definition,
    replay_read,
    replay_whole_truth,
    reports,
    reports_failing,
    schema_columns,
    schema_contract,
    schema_key_types,
    schema_types,
    seeds,
    selection,
    soft_delete_texts,
    source_renamed,
    stages,
    stages_changing,
    stages_windows,
    stale_streams,
    steady_columns,
    sums,
    sums_chosen,
    sums_in_pieces,
    targets,
    tests_changes,
    tests_freshness,
    tests_kinds,
    tests_left_out,
    tests_other_types,
    tests_unknown_column,
    tests_warn,
    two_projects,
    view_dropped,
    why_history,
    why_keys,
}

/// Cases with targets of their own, and one with sums beyond the largest number, which Postgres refuses to make.
const ONLY_DUCKDB: &[&str] = &["other_warehouse", "targets", "sums_chosen", "models_floats"];

/// Cases about what only Postgres has: decimals of any scale, that are perhaps no numbers, types without an order, names of a greatest length, and views that depend on types.
const ONLY_POSTGRES: &[&str] =
    &["models_values", "models_without_order", "names_too_long", "sums_of_decimals", "unique_dropped", "views_mended"];

/// The same histories with the warehouse in Postgres come to the same.
#[test]
fn on_postgres() {
    let chosen = std::env::var("THALWEG_CASE").unwrap_or_default();
    let both = NAMES.iter().filter(|name| !ONLY_DUCKDB.contains(name));
    let waiting: Vec<&str> = both.chain(ONLY_POSTGRES).copied().collect();
    let waiting = Mutex::new(waiting.into_iter().filter(|name| name.contains(&chosen)).rev().collect::<Vec<_>>());
    let failed = Mutex::new(Vec::new());
    let next = || waiting.lock().unwrap().pop();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(name) = next() {
                    let file =
                        |folder: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/{folder}/{name}.txt"));
                    let (file, other) = (file("cases"), file("cases_postgres"));
                    let (file, other) =
                        if ONLY_POSTGRES.contains(&name) { (&other, None) } else { (&file, Some(&*other)) };
                    let played = std::panic::catch_unwind(|| crate::site::on_postgres(|| play(file, other)));
                    if played.is_err() {
                        failed.lock().unwrap().push(name);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{failed:?} come to something else in Postgres");
}

#[test]
fn every_case_is_a_test() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let name = name.strip_suffix(".txt").unwrap_or_else(|| panic!("{name} is no case"));
        assert!(NAMES.contains(&name), "cases/{name}.txt is not listed");
    }
}
