//! Kills at places and times that nobody chose.

use std::time::{Duration, Instant};

use crate::each::{assert_all_or_nothing, assert_settles};
use crate::failpoints::{hits, places};
use crate::folder::{copy, deliver};
use crate::history::History;
use crate::parallel::for_each;
use crate::program::{build, build_killed_at, build_well, finish, program};
use crate::project;
use crate::state::{State, assert_same, assert_same_state, read_by_people};

/// Numbers that look random and are the same in every run (xorshift).
pub struct Dice(pub u64);

impl Dice {
    /// A number below a limit.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

#[test]
fn two_builds_of_one_history_are_killed_twice_each() {
    let history = History::undisturbed();
    let (second, third) = (places(&hits(&history.before(2)).1), places(&hits(&history.before(3)).1));
    let mut dice = Dice(0x2026_0305);
    let mut choose = |places: &[String]| places[dice.below(places.len() as u64) as usize].clone();
    let choices: Vec<[String; 4]> =
        (0..5).map(|_| [choose(&second), choose(&second), choose(&third), choose(&third)]).collect();
    for_each(&choices, |[first, second, third, fourth]| {
        let project = history.before(2);
        build_killed_at(&project, first);
        let published = assert_all_or_nothing(2, &project);
        build_killed_at(&project, second);
        if published {
            // Only the books went on.
            assert_same(
                "after a second kill",
                &read_by_people(&history.after(2).published),
                &read_by_people(&State::published(&project)),
            );
        } else {
            assert_all_or_nothing(2, &project);
        }
        build_well(&project);
        assert_same(
            "after the second build",
            &read_by_people(&history.after(2).published),
            &read_by_people(&State::published(&project)),
        );
        let project = copy(&project);
        deliver(&project, 3, project::deliver(3));
        build_killed_at(&project, third);
        build_killed_at(&project, fourth);
        build_well(&project);
        assert_same(
            "after the third build",
            &read_by_people(&history.after(3).published),
            &read_by_people(&State::published(&project)),
        );
        let quiet = build(&project);
        assert_eq!(quiet.state(), Some("nothing"), "{quiet:#?}");
        let found = State::of(&project);
        assert_eq!(history.settled(3).files_without_numbers(), found.files_without_numbers());
    });
}

#[test]
fn builds_are_killed_at_any_time() {
    let history = History::undisturbed();
    let started = Instant::now();
    finish(program().start(&history.before(2), ["build", "--json"]));
    let length = u64::try_from(started.elapsed().as_micros()).unwrap();
    let mut dice = Dice(0x7468_616c);
    let delays: Vec<u64> = (0..20).map(|_| dice.below(length)).collect();
    for_each(&delays, |&delay| {
        let project = history.before(2);
        let mut child = program().start(&project, ["build", "--json"]);
        std::thread::sleep(Duration::from_micros(delay));
        child.kill().unwrap();
        finish(child);
        let published = assert_all_or_nothing(2, &project);
        build_well(&project);
        if published {
            assert_settles(2, &project);
        } else {
            assert_same_state("after the next build", history.after(2), &State::of(&project));
        }
    });
}
