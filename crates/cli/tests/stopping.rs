//! Readers that go away, and requests to stop.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use thalweg_testkit::{Program, TestProject};

use crate::PROGRAM;

#[test]
fn a_reader_that_has_gone_is_no_failure() {
    let mut child = Command::new(PROGRAM)
        .args(["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let answer = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(answer.stderr).unwrap(), "");
    assert_eq!(answer.status.code(), Some(0));
}

#[test]
fn help_survives_a_reader_that_has_gone() {
    for arguments in [&["--help"][..], &[], &["build", "--help"]] {
        let mut child =
            Command::new(PROGRAM).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let answer = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8(answer.stderr).unwrap(), "");
    }
}

/// A project whose first build takes long enough to be stopped.
fn slow_project() -> TestProject {
    let rows: String = (0..400_000).map(|n| format!("{n},{}\n", n * 7)).collect();
    TestProject::new()
        .file("thalweg.yml", "name: slow\ndefault_target: dev\ntargets:\n  dev: { type: duckdb, path: w.duckdb }\n")
        .file(
            "sources/in.yml",
            "type: files\npath: incoming\nstreams:\n  n: { files: n.csv, primary_key: id, ready: renamed }\n",
        )
        .file("incoming/n.csv", format!("id,value\n{rows}"))
        .file(
            "models/pres/slow.sql",
            "select a.id, count(*) as pairs from store.n as a join store.n as b on b.value % 1000 = a.value % 1000 group by a.id\n",
        )
}

#[test]
fn a_request_to_stop_is_answered_cleanly_and_the_next_build_goes_on() {
    let project = slow_project().write();
    let program = Program::new(PROGRAM);
    let mut child = program.start(&project, ["build"]);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    // Wait until the run has begun, so that the signal finds it at work.
    let mut line = String::new();
    while !line.contains("records") {
        line.clear();
        assert!(stderr.read_line(&mut line).unwrap() > 0, "the run ended before it could be stopped");
    }
    let status = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(status.success());
    let rest: String = stderr.lines().map(|line| line.unwrap() + "\n").collect();
    assert_eq!(child.wait().unwrap().code(), Some(2), "{rest}");
    assert!(rest.contains("stopping cleanly"), "{rest}");
    assert!(rest.contains("error: stopped as asked; nothing was published"), "{rest}");

    project.put("models/pres/slow.sql", "select count(*) as n from store.n\n");
    let answer = program.run(&project, ["build"]);
    assert_eq!(answer.code, Some(0), "{answer}");
    let answer = program.run(&project, ["show", "pres.slow", "--format", "csv"]);
    assert_eq!(answer.stdout, "n\n400000\n", "{answer}");
}

#[test]
fn of_two_builds_one_works_and_the_other_says_who_is_at_it() {
    let project = slow_project().write();
    let program = Program::new(PROGRAM);
    let mut first = program.start(&project, ["build"]);
    let mut stderr = BufReader::new(first.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    let second = program.run(&project, ["build"]);
    first.kill().unwrap();
    first.wait().unwrap();
    assert_eq!(second.code, Some(2), "{second}");
    assert!(second.stderr.contains(&first.id().to_string()), "who holds it is named: {second}");
    assert!(second.stdout.is_empty());
}
