//! The program, run on a project.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::{Filter, WrittenProject};

/// The program under test with the environment it is given.
#[derive(Debug, Clone)]
pub struct Program {
    path: PathBuf,
    environment: BTreeMap<String, String>,
}

/// What the program answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    filter: Filter,
}

impl Program {
    /// The program at a path.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self { path: path.as_ref().to_owned(), environment: BTreeMap::new() }
    }

    /// The same with one variable of the environment more.
    #[must_use]
    pub fn env(&self, name: &str, value: impl Into<String>) -> Self {
        let mut program = self.clone();
        program.environment.insert(name.to_owned(), value.into());
        program
    }

    /// The command, for tests that start it and go on. Stdin is closed; the environment holds only what a program needs.
    pub fn command<I, S>(&self, project: &WrittenProject, arguments: I) -> Command
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let mut command = Command::new(&self.path);
        command.args(arguments).current_dir(project.path()).stdin(Stdio::null()).env_clear();
        for name in ["PATH", "HOME", "TMPDIR", "LLVM_PROFILE_FILE"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.envs([("NO_COLOR", "1"), ("TERM", "dumb"), ("TZ", "UTC"), ("RUST_BACKTRACE", "1")]);
        command.envs(&self.environment);
        command
    }

    /// Runs it to its end, inside the project folder.
    pub fn run<I, S>(&self, project: &WrittenProject, arguments: I) -> Answer
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let output = self.command(project, arguments).output();
        let output = output.unwrap_or_else(|error| panic!("{}: {error}", self.path.display()));
        Answer {
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            code: output.status.code(),
            filter: Filter::new(project.path()),
        }
    }

    /// Starts it with both outputs captured, for tests that stop it or start a second one beside it.
    pub fn start<I, S>(&self, project: &WrittenProject, arguments: I) -> Child
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let mut command = self.command(project, arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap_or_else(|error| panic!("{}: {error}", self.path.display()))
    }
}

impl Answer {
    /// Stdout without what differs from run to run.
    pub fn filtered_stdout(&self) -> String {
        self.filter.apply(&self.stdout)
    }

    /// Stderr without what differs from run to run.
    pub fn filtered_stderr(&self) -> String {
        self.filter.apply(&self.stderr)
    }
}

/// Exit code and both outputs, filtered: what snapshots of a whole command hold.
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => writeln!(f, "exit code: {code}")?,
            None => writeln!(f, "exit code: none, ended by a signal")?,
        }
        for (name, text) in [("stdout", self.filtered_stdout()), ("stderr", self.filtered_stderr())] {
            if !text.is_empty() {
                write!(f, "--- {name}\n{text}")?;
                if !text.ends_with('\n') {
                    writeln!(f)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::TestProject;

    #[test]
    fn both_outputs_and_the_code_are_kept() {
        let project = TestProject::new().file("hello.sh", "echo in $PWD; echo $WORD >&2; exit 3\n").write();
        let shell = Program::new("/bin/sh").env("WORD", "talk");
        let answer = shell.run(&project, ["hello.sh"]);
        assert_eq!(answer.code, Some(3));
        assert_eq!(answer.to_string(), "exit code: 3\n--- stdout\nin [project]\n--- stderr\ntalk\n");
    }
}
