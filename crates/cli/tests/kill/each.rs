//! A build is killed at every failpoint, and the next one goes on.

use std::collections::{BTreeMap, VecDeque};

use thalweg_testkit::WrittenProject;

use crate::failpoints::hits;
use crate::history::History;
use crate::parallel::for_each;
use crate::program::{Build, build, build_killed_at, build_well};
use crate::state::{State, assert_same, assert_same_state, difference, read_by_people};

/// How often a build is killed in a row before one may end.
const ROW: usize = 12;

/// Fails unless readers see the project as before a build or as after it; whether it is as after.
#[track_caller]
pub fn assert_all_or_nothing(number: usize, project: &WrittenProject) -> bool {
    let (before, after) = (History::undisturbed().after(number - 1), History::undisturbed().after(number));
    let seen = State::published(project);
    if seen == after.published {
        return true;
    }
    if let (Some(old), Some(new)) = (difference(&before.published, &seen), difference(&after.published, &seen)) {
        panic!("readers see something between.\nAgainst before:\n{old}Against after:\n{new}");
    }
    false
}

/// Fails unless the builds after a published one leave everything as an undisturbed history does.
#[track_caller]
pub fn assert_settles(number: usize, project: &WrittenProject) {
    let quiet = build(project);
    assert_eq!((quiet.code, quiet.state()), (Some(0), Some("nothing")), "{quiet:#?}");
    let (expected, found) = (History::undisturbed().settled(number), State::of(project).settled());
    assert_same("after a quiet build", &expected.published, &found.published);
    assert_same("runs after a quiet build", &expected.runs, &found.runs);
    assert_eq!(expected.files, found.files, "after a quiet build");
    // When the copy was made decides how much of what people do not read is in it.
    assert_same("the copy", &read_by_people(&expected.shared), &read_by_people(&found.shared));
}

/// Kills a build of the history at a place and lets the next one go on.
fn kill_and_go_on(number: usize, place: &str) {
    let history = History::undisturbed();
    let project = history.before(number);
    let killed = build_killed_at(&project, place);
    assert_eq!(killed.code, None, "it was not killed: {killed:#?}");
    let published = assert_all_or_nothing(number, &project);
    let next = build_well(&project);
    // An interrupted run keeps its number, a published one has it for good.
    if let Some((run, false)) = killed.run() {
        let expected = if published { (run + 1, false) } else { (run, true) };
        assert_eq!(next.run(), Some(expected), "the number of the next run, and whether it was taken up");
    }
    if published {
        assert_eq!(next.state(), Some("nothing"), "{next:#?}");
        assert_settles(number, &project);
    } else {
        assert_taken_up(&killed, &next);
        assert_same_state("after the next build", history.after(number), &State::of(&project));
    }
}

/// What was read stays read.
#[track_caller]
fn assert_taken_up(killed: &Build, next: &Build) {
    let taken_up = next.extracts();
    for (stream, _) in killed.extracts() {
        assert!(taken_up.contains(&(stream.clone(), true)), "{stream} was read again: {taken_up:?}");
    }
}

/// Kills the builds of one project at one place after the other. A build that comes by none of the places any more, because an
/// earlier one did that part of the work, ends the row, and the rest begins anew.
fn kill_in_a_row(number: usize, places: &[String]) {
    let history = History::undisturbed();
    let mut left: VecDeque<&String> = places.iter().collect();
    while !left.is_empty() {
        let project = history.before(number);
        let mut killed = 0;
        while let Some(place) = left.pop_front() {
            let build = build_killed_at(&project, place);
            if build.code.is_some() {
                assert!(killed > 0, "{place}: it was not killed: {build:#?}");
                left.push_front(place);
                break;
            }
            killed += 1;
            if assert_all_or_nothing(number, &project) {
                break;
            }
        }
        let published = State::published(&project) == history.after(number).published;
        let last = build_well(&project);
        if published {
            assert_settles(number, &project);
        } else {
            assert_eq!(last.state(), Some("published"), "{last:#?}");
            assert_same_state("after a row of kills", history.after(number), &State::of(&project));
        }
    }
}

/// Work for one of the two hands.
#[derive(Debug)]
enum Kill {
    At(String),
    InARow(Vec<String>),
}

/// The places a build is killed at: every hit of every failpoint. Where not `thoroughly`, every third statement, and the first and
/// the last hit of the others.
fn chosen(number: usize, hits: &BTreeMap<String, u64>, thoroughly: bool) -> (Vec<String>, Vec<String>) {
    let (mut in_rows, mut alone) = (Vec::new(), Vec::new());
    for (name, &count) in hits {
        let statement = matches!(name.as_str(), "warehouse::statement" | "warehouse::append");
        let wanted = |hit: u64| match (thoroughly, statement) {
            (true, _) => true,
            (false, true) => hit % 3 == number as u64 % 3,
            (false, false) => hit == 1 || hit == count,
        };
        // What was extracted before a kill is not extracted again, so such a place is met but once.
        let extracts = name.starts_with("landing::") || name.ends_with("-extract");
        let places = (1..=count).filter(|&hit| wanted(hit)).map(|hit| format!("{name}:{hit}"));
        if statement || !(thoroughly || extracts) {
            in_rows.extend(places);
        } else {
            alone.extend(places);
        }
    }
    (in_rows, alone)
}

fn kill_everywhere(number: usize, thoroughly: bool) {
    let (build, hits) = hits(&History::undisturbed().before(number));
    assert_eq!(build.code, Some(0), "{build:#?}");
    let (in_rows, alone) = chosen(number, &hits, thoroughly);
    println!("build {number}: {} failpoints, {} kills", hits.len(), in_rows.len() + alone.len());
    // Neighbours stand in different rows: a row leaps through the build.
    let rows = in_rows.len().div_ceil(ROW);
    let rows = (0..rows).map(|row| Kill::InARow(in_rows.iter().skip(row).step_by(rows).cloned().collect()));
    let kills: Vec<Kill> = rows.chain(alone.into_iter().map(Kill::At)).collect();
    for_each(&kills, |kill| match kill {
        Kill::At(place) => kill_and_go_on(number, place),
        Kill::InARow(places) => kill_in_a_row(number, places),
    });
}

#[test]
fn the_first_build_is_killed_everywhere() {
    kill_everywhere(1, false);
}

#[test]
fn the_second_build_is_killed_everywhere() {
    kill_everywhere(2, true);
}

#[test]
fn the_third_build_is_killed_everywhere() {
    kill_everywhere(3, false);
}
