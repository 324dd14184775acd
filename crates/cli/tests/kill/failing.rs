//! Kills in a run whose tests fail; and no failpoint is left out.

use std::collections::BTreeSet;

use thalweg_testkit::WrittenProject;

use crate::failpoints::{hits, in_the_source};
use crate::folder::{copy, deliver};
use crate::history::History;
use crate::parallel::for_each;
use crate::program::{build, build_killed_at};
use crate::project;
use crate::state::{State, assert_same};

/// The project before its second build, which will fail its tests.
fn before_a_failure() -> WrittenProject {
    let before = History::undisturbed().before(2);
    for name in ["incoming/orders_2.csv", "incoming/events_2.ndjson", "incoming/events_3.ndjson"] {
        before.remove(name);
    }
    deliver(&before, 2, project::deliver_a_mistake());
    before
}

/// The project before a build that succeeds after one that failed.
fn before_a_correction() -> WrittenProject {
    let project = before_a_failure();
    let failed = build(&project);
    assert_eq!((failed.code, failed.state()), (Some(1), Some("failed")), "{failed:#?}");
    deliver(&project, 3, project::deliver_the_correction());
    project
}

/// Files of the landing of one run.
fn landed(project: &WrittenProject, run: i64) -> Vec<String> {
    let mut files = project.files();
    files.retain(|file| file.starts_with("landing/") && file.contains(&format!("/run={run}/")));
    files
}

#[test]
fn what_a_failed_run_landed_goes_whenever_the_next_one_is_killed() {
    let before = before_a_correction();
    let undisturbed = copy(&before);
    let (good, hits) = hits(&undisturbed);
    assert_eq!((good.code, good.state()), (Some(0), Some("published")), "{good:#?}");
    assert!(!landed(&before, 2).is_empty());
    assert_eq!(landed(&undisturbed, 2), Vec::<String>::new());
    let places: Vec<String> = (1..=hits["landing::sweep"]).map(|hit| format!("landing::sweep:{hit}")).collect();
    for_each(&places, |place| {
        let project = copy(&before);
        let killed = build_killed_at(&project, place);
        assert_eq!(killed.code, None, "it was not killed: {killed:#?}");
        let next = build(&project);
        assert_eq!((next.code, next.state()), (Some(0), Some("nothing")), "{next:#?}");
        assert_eq!(landed(&project, 2), Vec::<String>::new());
        assert_eq!(landed(&undisturbed, 3).len(), landed(&project, 3).len());
    });
}

#[test]
fn a_run_that_fails_its_tests_is_killed_everywhere() {
    let history = History::undisturbed();
    let before = before_a_failure();
    let undisturbed = copy(&before);
    let (failed, hits) = hits(&undisturbed);
    assert_eq!((failed.code, failed.state()), (Some(1), Some("failed")), "{failed:#?}");
    let expected = State::of(&undisturbed);
    assert_same("a failed run", &history.after(1).published, &expected.published);

    // Before the tests it is like a good build; here it is killed at the first and the last hit of each failpoint.
    let ends = |(name, &count): (&String, &u64)| [1, count].map(|hit| format!("{name}:{hit}"));
    let mut chosen: Vec<String> =
        hits.iter().filter(|(name, _)| !name.starts_with("landing::")).flat_map(ends).collect();
    chosen.dedup();
    println!("failing build: {} failpoints, {} kills", hits.len(), chosen.len());
    for_each(&chosen, |place| {
        let project = copy(&before);
        let killed = build_killed_at(&project, place);
        assert_eq!(killed.code, None, "it was not killed: {killed:#?}");
        assert_same("after the kill", &history.after(1).published, &State::published(&project));
        let next = build(&project);
        assert_eq!((next.code, next.state()), (Some(1), Some("failed")), "{next:#?}");
        let found = State::of(&project);
        assert_same("after the next build", &expected.published, &found.published);
        assert_eq!(expected.files, found.files);
        if next.run().is_some_and(|(run, _)| run == 2) {
            assert_same("the failed run", &expected.runs, &found.runs);
        }
        // The mistake corrected.
        deliver(&project, 3, project::deliver_the_correction());
        let good = build(&project);
        assert_eq!((good.code, good.state()), (Some(0), Some("published")), "{good:#?}");
    });
}

/// Failpoints that no build of the history comes by, with the reason.
const ELSEWHERE: [(&str, &str); 2] = [
    ("run::before-again", "a statement of a refresh must fail first: `refreshing`"),
    ("landing::unit-finished", "only large tables of databases are read in units: `first_load`"),
];

#[test]
fn every_failpoint_is_killed_at() {
    let history = History::undisturbed();
    let mut hit: BTreeSet<String> =
        (1..=project::DELIVERIES).flat_map(|number| hits(&history.before(number)).1.into_keys()).collect();
    let mistaken = history.before(2);
    deliver(&mistaken, 2, project::deliver_a_mistake());
    hit.extend(hits(&mistaken).1.into_keys());
    hit.extend(hits(&before_a_correction()).1.into_keys());
    let left: Vec<String> = in_the_source()
        .into_iter()
        .filter(|name| !hit.contains(name) && !ELSEWHERE.iter().any(|(known, _)| known == name))
        .collect();
    assert!(left.is_empty(), "no build of the kill tests comes by {left:?}");
}
