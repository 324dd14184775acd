//! Two builds of one project at the same time.

use crate::each::assert_settles;
use crate::held::Held;
use crate::history::History;
use crate::parallel::for_each;
use crate::program::{build, build_well, program};
use crate::state::{State, assert_same_state};

#[test]
fn one_works_and_the_other_says_who_is_at_it() {
    let history = History::undisturbed();
    for place in ["run::locked", "run::extracted", "run::tested"] {
        let project = history.before(2);
        let first = Held::at(&project, place);
        let second = program().run(&project, ["build"]);
        assert_eq!(second.code, Some(2), "{second}");
        assert!(second.stderr.contains(&format!("process {}", first.process())), "{second}");
        assert!(second.stderr.contains("project killed (target dev)"), "{second}");
        first.release();
        let first = first.finish();
        assert_eq!(first.code, Some(0), "{first:#?}");
        assert_same_state("after both", history.after(2), &State::of(&project));
    }
}

/// A machine that slept, and an operator who thought it dead.
#[test]
fn a_build_that_was_paused_and_overtaken_publishes_nothing() {
    let places = [
        "run::begun",
        "run::before-extract:2",
        "landing::cleared:2",
        "landing::part-written:2",
        "run::extracted",
        "run::before-open",
    ];
    for_each(&places, |place| {
        let history = History::undisturbed();
        let project = history.before(2);
        let first = Held::at(&project, place);
        first.signal("STOP");
        first.release();
        project.remove("warehouse.duckdb.lock");
        let second = build_well(&project);
        assert_eq!(second.run(), Some((2, true)), "{second:#?}");
        assert_same_state("after the second", history.after(2), &State::of(&project));
        first.signal("CONT");
        let first = first.finish();
        assert!(matches!(first.code, Some(1 | 2)), "{first:#?}");
        assert!(first.error().contains("taken over"), "{first:#?}");
        assert_same_state("after the first came back", history.after(2), &State::of(&project));
        // What it was about to extract once more is still there as the second landed it.
        let verified = program().run(&project, ["verify"]);
        assert_eq!(verified.code, Some(0), "{verified}");
        build_well(&project);
        assert_settles(2, &project);
    });
}

#[test]
fn a_build_that_was_paused_while_publishing_cannot_be_overtaken() {
    let history = History::undisturbed();
    let project = history.before(2);
    let first = Held::at(&project, "run::before-commit");
    first.signal("STOP");
    first.release();
    project.remove("warehouse.duckdb.lock");
    let second = program().run(&project, ["build", "--lock-timeout", "300ms"]);
    assert_eq!(second.code, Some(2), "{second}");
    assert!(second.stderr.contains(&format!("process {}", first.process())), "{second}");
    first.signal("CONT");
    let first = first.finish();
    assert_eq!(first.code, Some(0), "{first:#?}");
    assert_same_state("after both", history.after(2), &State::of(&project));
    let quiet = build(&project);
    assert_eq!(quiet.state(), Some("nothing"), "{quiet:#?}");
}
