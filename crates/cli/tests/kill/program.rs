//! The program with failpoints, run and killed.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use serde_json::Value;
use thalweg_testkit::{Program, WrittenProject};

/// A name of its own for the binary: whoever builds the workspace without failpoints meanwhile replaces the one cargo made.
static BINARY: LazyLock<PathBuf> = LazyLock::new(|| {
    let copy = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("thalweg-kill-{}", std::process::id()));
    let _ = fs::remove_file(&copy);
    fs::hard_link(env!("CARGO_BIN_EXE_thalweg"), &copy).unwrap();
    remove_of_the_dead();
    copy
});

/// Removes the links of test processes that are gone.
fn remove_of_the_dead() {
    for entry in fs::read_dir(env!("CARGO_TARGET_TMPDIR")).unwrap().flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix("thalweg-kill-"));
        if process.is_some_and(|process| !PathBuf::from(format!("/proc/{process}")).exists()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// The program under test.
pub fn program() -> Program {
    Program::new(&*BINARY)
}

/// What `build --json` told.
#[derive(Debug)]
pub struct Build {
    /// The exit code, `None` after a kill.
    pub code: Option<i32>,
    /// Its events.
    pub events: Vec<Value>,
    /// What it said to people.
    pub stderr: String,
}

impl Build {
    /// Events of a kind.
    pub fn events<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.events.iter().filter(move |event| event["event"] == kind)
    }

    /// The number of the run, and whether it was taken up from one that was interrupted.
    pub fn run(&self) -> Option<(i64, bool)> {
        let started = self.events("run_started").next()?;
        Some((started["run"].as_i64()?, started["resumed"].as_bool()?))
    }

    /// Streams whose extracts were finished, and whether they were taken over from an interrupted run.
    pub fn extracts(&self) -> Vec<(String, bool)> {
        let of = |event: &Value| Some((event["stream"].as_str()?.to_owned(), event["reused"].as_bool()?));
        self.events("extract_finished").filter_map(of).collect()
    }

    /// How the run ended, as its last line says.
    pub fn state(&self) -> Option<&str> {
        self.events("summary").next()?["state"].as_str()
    }

    /// What went wrong, where it could not run.
    pub fn error(&self) -> &str {
        self.events("error").next().and_then(|event| event["message"].as_str()).unwrap_or_default()
    }
}

/// Arguments of a build whose hits of failpoints come in the same order each time.
pub const BUILD: [&str; 4] = ["build", "--json", "--threads", "1"];

/// Builds to the end.
#[track_caller]
pub fn build(project: &WrittenProject) -> Build {
    finish(start(&program(), project, &BUILD))
}

/// Builds to the end, which must be a good one.
#[track_caller]
pub fn build_well(project: &WrittenProject) -> Build {
    let build = build(project);
    assert_eq!(build.code, Some(0), "{build:#?}");
    build
}

/// Builds until killed at a failpoint; whether it came there. Afterwards the process is gone.
#[track_caller]
pub fn build_killed_at(project: &WrittenProject, place: &str) -> Build {
    finish(start(&program().env("THALWEG_KILL_AT", place), project, &BUILD))
}

/// Starts the program with both outputs captured.
pub fn start(program: &Program, project: &WrittenProject, arguments: &[&str]) -> Child {
    program.start(project, arguments)
}

/// Waits for the end of a build.
pub fn finish(child: Child) -> Build {
    let output = child.wait_with_output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    // A killed process may leave half a line.
    let events = stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    Build { code: output.status.code(), events, stderr: String::from_utf8(output.stderr).unwrap() }
}

/// Sends a signal by the system's own program.
pub fn signal(child: &Child, signal: &str) {
    let status =
        Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).stdin(Stdio::null()).status();
    assert!(status.unwrap().success(), "kill -{signal}");
}

/// Waits for something that must come soon.
#[track_caller]
pub fn wait_until(what: &str, mut come: impl FnMut() -> bool) {
    let started = Instant::now();
    while !come() {
        assert!(started.elapsed() < Duration::from_secs(30), "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
