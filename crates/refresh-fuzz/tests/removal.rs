//! Each rule of refresh switched off is noticed.
//!
//! `cases/removal` holds for each rule a case on which a refresh without it is wrong, written for it by hand. They are named like the
//! rule. With all rules they must go right.
//!
//! Two rules cannot be switched off. Negation on rows of either version cannot be written: what discovery is made of has no anti-join.
//! Netting by key is nowhere done: change sets are compared as bags.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::{Path, PathBuf};

use thalweg_refresh_fuzz::case::Case;
use thalweg_refresh_fuzz::check::{Verdict, check, check_by};
use thalweg_refresh_fuzz::database::Database;
use thalweg_refresh_fuzz::judge::judge;
use thalweg_sql::refresh::{Rule, SwitchedOff};

fn cases(rule: Rule) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases/removal");
    let name = format!("{rule:?}");
    let all = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut cases: Vec<PathBuf> = all
        .filter(|path| path.file_name().unwrap().to_string_lossy().split(['.', '-']).next() == Some(&*name))
        .collect();
    cases.sort();
    cases
}

/// Checks that a case is right with all rules and wrong without one; `false` where the engine does not take its query.
fn is_needed(database: &mut Database, rule: Rule, path: &Path) -> bool {
    let case = Case::parse(&std::fs::read_to_string(path).unwrap()).unwrap();
    let verdict = check(database, &case);
    if matches!(verdict, Verdict::Invalid(_)) {
        return false;
    }
    assert_eq!(judge(&case, &verdict), None, "{}: with all rules", path.display());
    assert!(matches!(verdict, Verdict::Right { .. }), "{}: {verdict:?}", path.display());
    let without = check_by(database, &case, &|shape| shape.without(SwitchedOff::rules([rule])));
    assert!(matches!(without, Verdict::Wrong(_)), "{}: without {rule:?} nothing is wrong: {without:?}", path.display());
    true
}

fn noticed(rule: Rule) {
    let mut database = support::duckdb();
    let cases = cases(rule);
    assert!(!cases.is_empty(), "no case shows that {rule:?} is needed");
    for path in cases {
        assert!(is_needed(&mut database, rule, &path), "{}: the engine does not take it", path.display());
    }
}

/// The same cases on Postgres, as far as it understands them.
#[test]
fn rules_are_needed_on_postgres() {
    let mut database = support::postgres();
    let all = Rule::ALL.into_iter().flat_map(|rule| cases(rule).into_iter().map(move |path| (rule, path)));
    let taken = all.filter(|(rule, path)| is_needed(&mut database, *rule, path)).count();
    assert!(taken >= 10, "{taken} cases");
}

/// One test for each, so that it is seen which rule is no longer noticed.
macro_rules! removals {
    ($($test:ident: $rule:ident,)*) => {
        $(#[test]
        fn $test() {
            noticed(Rule::$rule);
        })*

        #[test]
        fn every_rule_has_its_test() {
            let tested = [$(Rule::$rule),*];
            assert!(Rule::ALL.iter().all(|rule| tested.contains(rule)), "{tested:?}");
        }
    };
}

removals! {
    null_extension: NullExtension,
    orphan_side: OrphanSide,
    slice_expansion: SliceExpansion,
    lateral_expansion: LateralExpansion,
    drop_unknown: DropUnknown,
    three_valued: ThreeValued,
    null_safe: NullSafe,
    window_push: WindowPush,
    nullable_push: NullablePush,
    or_of_uses: OrOfUses,
    membership_push: MembershipPush,
    or_wave: OrWave,
    tables_as_they_were: TablesAsTheyWere,
    changed_columns: ChangedColumns,
    partners_that_come: PartnersThatCome,
}
