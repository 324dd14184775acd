//! The history nobody disturbed: the project before each build, and everything that can be seen after it.

use std::sync::OnceLock;

use thalweg_testkit::WrittenProject;

use crate::folder::{copy, deliver};
use crate::program::build_well;
use crate::project::{self, DELIVERIES};
use crate::state::State;

/// The project at every step of its history; each step is made when it is first asked for.
#[derive(Default)]
pub struct History {
    nothing: OnceLock<State>,
    steps: [OnceLock<Step>; DELIVERIES],
}

/// One delivery and its build.
struct Step {
    before: WrittenProject,
    built: WrittenProject,
    after: State,
    settled: OnceLock<State>,
    /// As it was built: `built` goes on to settle.
    left: WrittenProject,
}

impl History {
    /// The history of this process.
    pub fn undisturbed() -> &'static Self {
        static HISTORY: OnceLock<History> = OnceLock::new();
        HISTORY.get_or_init(Self::default)
    }

    fn step(&self, number: usize) -> &Step {
        self.steps[number - 1].get_or_init(|| {
            let before = if number == 1 { project::project().write() } else { copy(&self.step(number - 1).left) };
            deliver(&before, number, project::deliver(number));
            // Built in a copy, as the killed ones are: the files have other identities there.
            let built = copy(&before);
            let build = build_well(&built);
            assert_eq!(build.run(), Some((number as i64, false)), "{build:#?}");
            assert_eq!(build.state(), Some("published"), "{build:#?}");
            let (after, left) = (State::of(&built), copy(&built));
            Step { before, built, after, settled: OnceLock::new(), left }
        })
    }

    /// A copy of the project before a build, counted from 1.
    pub fn before(&self, build: usize) -> WrittenProject {
        copy(&self.step(build).before)
    }

    /// What can be seen after a build; 0 is before the first.
    pub fn after(&self, build: usize) -> &State {
        match build {
            0 => self.nothing.get_or_init(|| State::of(&self.step(1).before)),
            _ => &self.step(build).after,
        }
    }

    /// What can be seen after a build and one more that had nothing to do: it forgets the files that the one before it archived.
    pub fn settled(&self, build: usize) -> &State {
        let step = self.step(build);
        step.settled.get_or_init(|| {
            let quiet = build_well(&step.built);
            assert_eq!(quiet.state(), Some("nothing"), "{quiet:#?}");
            State::of(&step.built).settled()
        })
    }
}
