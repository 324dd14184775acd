//! A build is killed at every failpoint, and the next one goes on.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::failpoints::{hits, places};
use crate::history::History;
use crate::program::{build, build_killed_at};
use crate::state::{State, assert_same_state, difference};

/// Does something for each of many, two at a time, and fails with everything that went wrong.
pub fn for_each<T: Sync + std::fmt::Debug>(all: &[T], act: impl Fn(&T) -> Result<(), String> + Sync) {
    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(one) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| act(one)));
                    let message = match outcome {
                        Ok(Ok(())) => continue,
                        Ok(Err(message)) => message,
                        Err(panic) => panic
                            .downcast_ref::<String>()
                            .cloned()
                            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
                            .unwrap_or_default(),
                    };
                    wrong.lock().unwrap().push(format!("{one:?}: {message}"));
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of {} went wrong\n{}", wrong.len(), all.len(), wrong.join("\n\n"));
}

/// Kills a build of the history at a place and lets the next one go on.
fn kill_and_go_on(number: usize, place: &str) -> Result<(), String> {
    let history = History::undisturbed();
    let (before, after) = (history.after(number - 1), history.after(number));
    let project = history.before(number);
    let killed = build_killed_at(&project, place);
    if killed.code.is_some() {
        return Err(format!("it was not killed: {killed:#?}"));
    }
    // Readers see all or nothing.
    let seen = State::of(&project);
    let published = seen.published == after.published;
    if !published && seen.published != before.published {
        let old = difference(&before.published, &seen.published).unwrap_or_default();
        let new = difference(&after.published, &seen.published).unwrap_or_default();
        return Err(format!("readers see something between.\nAgainst before:\n{old}Against after:\n{new}"));
    }
    // One more build finishes it.
    let resumed = build(&project);
    if resumed.code != Some(0) {
        return Err(format!("the next build failed: {resumed:#?}"));
    }
    assert_same_state("after the next build", after, &State::of(&project));
    // An interrupted run keeps its number, a published one has it for good.
    if let (Some((run, false)), Some((next, taken_up))) = (killed.run(), resumed.run()) {
        let expected = if published { (run + 1, false) } else { (run, true) };
        if (next, taken_up) != expected {
            return Err(format!("run {run} was followed by {next}, taken up: {taken_up}"));
        }
    }
    // What was read stays read.
    if !published {
        for (stream, _) in killed.extracts() {
            if !resumed.extracts().contains(&(stream.clone(), true)) {
                return Err(format!("{stream} was read again: {:?}", resumed.extracts()));
            }
        }
    }
    let quiet = build(&project);
    if quiet.state() != Some("nothing") {
        return Err(format!("there was still something to do: {quiet:#?}"));
    }
    Ok(())
}

fn kill_everywhere(number: usize) {
    let history = History::undisturbed();
    let (build, hits) = hits(&history.before(number));
    assert_eq!(build.code, Some(0), "{build:#?}");
    let places = places(&hits);
    println!("build {number}: {} failpoints, {} kills", hits.len(), places.len());
    for_each(&places, |place| kill_and_go_on(number, place));
}

#[test]
fn the_first_build_is_killed_everywhere() {
    kill_everywhere(1);
}

#[test]
fn the_second_build_is_killed_everywhere() {
    kill_everywhere(2);
}

#[test]
fn the_third_build_is_killed_everywhere() {
    kill_everywhere(3);
}
