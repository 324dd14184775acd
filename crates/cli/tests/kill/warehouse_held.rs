//! The warehouse file is open elsewhere; its log is left by a kill.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use thalweg_duck::{Access, Engine, Settings};

use crate::each::assert_settles;
use crate::held::Held;
use crate::history::History;
use crate::program::{BUILD, build_killed_at, program};
use crate::state::{State, WAREHOUSE, assert_same_state};

/// The file that [`holder`] opens.
const FILE: &str = "THALWEG_TEST_HOLDS";

/// Not a test: the other program. Holds a file open until its stdin ends.
#[test]
#[ignore = "started by other tests as a process of its own"]
fn holder() {
    let Ok(file) = std::env::var(FILE) else { return };
    let engine = Engine::open(Path::new(&file), Access::Write, &Settings::default()).unwrap();
    println!("\nheld");
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    drop(engine);
}

/// Starts the other program and waits until it holds the file.
fn hold(file: &Path) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "warehouse_held::holder", "--ignored", "--nocapture"])
        .env(FILE, file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while line.trim() != "held" {
        line.clear();
        assert!(stdout.read_line(&mut line).unwrap() > 0, "the holder ended");
    }
    child.stdout = Some(stdout.into_inner());
    child
}

#[test]
fn a_warehouse_that_another_program_holds_is_waited_for() {
    let history = History::undisturbed();
    let project = history.before(2);
    let mut other = hold(&project.path().join(WAREHOUSE));
    let held_by = format!("(process {})", other.id());

    let impatient = program().run(&project, ["build", "--lock-timeout", "1s"]);
    assert_eq!(impatient.code, Some(2), "{impatient}");
    assert!(impatient.stderr.contains(&held_by), "{impatient}");
    assert!(impatient.stderr.contains("--lock-timeout"), "what to do: {impatient}");

    let mut patient = program().start(&project, BUILD);
    let mut stdout = BufReader::new(patient.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert!(line.contains("\"event\":\"waiting\"") && line.contains(&held_by), "{line}");
    drop(other.stdin.take());
    other.wait().unwrap();
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(patient.wait().unwrap().code(), Some(0), "{rest}");
    assert_same_state("after it was released", history.after(2), &State::of(&project));
}

#[test]
fn the_log_of_the_warehouse_is_never_deleted() {
    let history = History::undisturbed();
    let project = history.before(2);
    let log = project.path().join(format!("{WAREHOUSE}.wal"));
    build_killed_at(&project, "run::committed");
    let size = std::fs::metadata(&log).unwrap().len();
    assert!(size > 0, "what was committed lies in the log");
    for reader in [&["status"][..], &["runs"], &["show", "pres.best"], &["validate"], &["plan"]] {
        let answer = program().run(&project, reader);
        assert_eq!(answer.code, Some(0), "{answer}");
        assert_eq!(std::fs::metadata(&log).unwrap().len(), size, "{reader:?}");
    }
    let next = Held::at(&project, "run::locked");
    assert_eq!(std::fs::metadata(&log).unwrap().len(), size);
    next.release();
    assert_eq!(next.finish().code, Some(0));
    assert_settles(2, &project);
}
