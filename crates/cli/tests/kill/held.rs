//! A build that is held at a failpoint until it is let go.

use std::path::PathBuf;
use std::process::Child;

use thalweg_testkit::WrittenProject;

use crate::program::{BUILD, Build, finish, program, signal, wait_until};

/// A build that is held.
pub struct Held {
    child: Child,
    file: PathBuf,
}

impl Held {
    /// Starts a build and waits until it has come to a place.
    #[track_caller]
    pub fn at(project: &WrittenProject, place: &str) -> Self {
        let file = project.path().join("held");
        let program = program().env("THALWEG_HOLD_AT", place).env("THALWEG_HELD", file.to_str().unwrap());
        let mut child = program.start(project, BUILD);
        wait_until(&format!("{place} is reached"), || {
            assert!(child.try_wait().unwrap().is_none(), "the build ended before {place}");
            file.exists()
        });
        Self { child, file }
    }

    /// Its process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// Lets it go on.
    pub fn release(&self) {
        std::fs::remove_file(&self.file).unwrap();
    }

    /// Waits for its end.
    pub fn finish(self) -> Build {
        finish(self.child)
    }
}
