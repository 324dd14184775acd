//! Requests to stop.

use crate::each::{assert_all_or_nothing, assert_settles};
use crate::held::Held;
use crate::history::History;
use crate::parallel::for_each;
use crate::program::build_well;
use crate::state::{State, assert_same_state};

/// Places a build is held at when it is asked to stop.
const PLACES: [&str; 8] = [
    "run::begun",
    "run::before-extract:2",
    "run::extracted",
    "run::after-merge:2",
    "run::after-model",
    "run::tested",
    "run::committed",
    "run::before-confirm",
];

#[test]
fn a_request_to_stop_leaves_a_state_that_the_next_build_takes_up() {
    let requests: Vec<(&str, &str)> =
        PLACES.iter().zip(["INT", "TERM"].iter().cycle()).map(|(place, signal)| (*signal, *place)).collect();
    for_each(&requests, |(signal, place)| {
        let history = History::undisturbed();
        let project = history.before(2);
        let held = Held::at(&project, place);
        held.signal(signal);
        // The handler says so as soon as it has heard.
        std::thread::sleep(std::time::Duration::from_millis(100));
        held.release();
        let stopped = held.finish();
        assert!(stopped.stderr.contains("stopping cleanly"), "{stopped:#?}");
        let published = assert_all_or_nothing(2, &project);
        match stopped.code {
            // It came too late to stop anything.
            Some(0) => assert!(published, "{stopped:#?}"),
            Some(2) if published => assert!(stopped.error().contains("run 2 itself has ended"), "{stopped:#?}"),
            Some(2) => assert!(stopped.error().contains("nothing was published"), "{stopped:#?}"),
            _ => panic!("{stopped:#?}"),
        }
        assert!(!project.path().join("warehouse.duckdb.wal").exists(), "the warehouse was closed well");
        let next = build_well(&project);
        if published {
            assert_settles(2, &project);
        } else {
            assert_eq!(next.run(), Some((2, true)));
            assert_same_state("after the next build", history.after(2), &State::of(&project));
        }
    });
}

#[test]
fn a_second_request_ends_the_process_at_once() {
    let history = History::undisturbed();
    let project = history.before(2);
    let held = Held::at(&project, "run::tested");
    held.signal("INT");
    std::thread::sleep(std::time::Duration::from_millis(100));
    held.signal("INT");
    let stopped = held.finish();
    assert_eq!(stopped.code, Some(130), "{stopped:#?}");
    std::fs::remove_file(project.path().join("held")).unwrap();
    assert_eq!(build_well(&project).run(), Some((2, true)));
    assert_same_state("after the next build", history.after(2), &State::of(&project));
}
