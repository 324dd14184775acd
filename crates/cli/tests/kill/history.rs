//! The history nobody disturbed: the project before each build, and everything that can be seen after it.

use std::sync::OnceLock;

use thalweg_testkit::WrittenProject;

use crate::folder::{copy, deliver};
use crate::program::build_well;
use crate::project::{self, DELIVERIES};
use crate::state::State;

/// The project at every step of its history.
pub struct History {
    /// Before each build, with its delivery.
    before: Vec<WrittenProject>,
    /// Nothing, then what each build left.
    states: Vec<State>,
    /// The same, once one more build had nothing to do.
    settled: Vec<State>,
}

impl History {
    /// The history, made once for a process.
    pub fn undisturbed() -> &'static Self {
        static HISTORY: OnceLock<History> = OnceLock::new();
        HISTORY.get_or_init(Self::make)
    }

    fn make() -> Self {
        let first = project::project().write();
        deliver(&first, 1, project::deliver(1));
        let mut history =
            Self { before: Vec::new(), states: vec![State::of(&first)], settled: vec![State::of(&first)] };
        let mut next = first;
        for number in 1..=DELIVERIES {
            // Built in a copy, as the killed ones are: the files have other identities there.
            let built = copy(&next);
            history.before.push(next);
            let build = build_well(&built);
            assert_eq!(build.run(), Some((number as i64, false)), "{build:#?}");
            assert_eq!(build.state(), Some("published"), "{build:#?}");
            history.states.push(State::of(&built));
            next = copy(&built);
            // A build forgets the files that the one before it archived.
            let quiet = build_well(&built);
            assert_eq!(quiet.state(), Some("nothing"), "{quiet:#?}");
            history.settled.push(State::of(&built).settled());
            if number < DELIVERIES {
                deliver(&next, number + 1, project::deliver(number + 1));
            }
        }
        history
    }

    /// A copy of the project before a build, counted from 1.
    pub fn before(&self, build: usize) -> WrittenProject {
        copy(&self.before[build - 1])
    }

    /// What can be seen after a build; 0 is before the first.
    pub fn after(&self, build: usize) -> &State {
        &self.states[build]
    }

    /// What can be seen after a build and one more that had nothing to do.
    pub fn settled(&self, build: usize) -> &State {
        &self.settled[build]
    }
}
