//! The demo, on a little data.

use thalweg_testkit::{Program, TestProject};

use crate::PROGRAM;

#[test]
fn from_nothing_to_what_moved() {
    let place = TestProject::new().write();
    let program = Program::new(PROGRAM);
    let answer = program.run(&place, ["demo", "--scale", "0.01"]);
    assert_eq!(answer.code, Some(0), "{answer}");
    for title in [
        "Monthly sales by company\nas of run 1",
        "The most popular products in the country with the most logins\nas of run 1",
        "The five most used devices\nas of run 1",
        "run 1 published",
        "run 2 published",
        "are as they ought to be",
    ] {
        assert!(answer.stdout.contains(title), "{title} is missing: {answer}");
    }
    assert!(answer.stderr.contains("Now try:\n  cd thalweg-demo\n"), "{answer}");

    // Another day, then all of it anew.
    let answer = program.run(&place, ["demo", "--keep"]);
    assert_eq!(answer.code, Some(0), "{answer}");
    assert!(answer.stdout.contains("run 3 published") && !answer.stdout.contains("run 2"), "{answer}");
    let answer = program.run(&place, ["demo", "--scale", "0.01"]);
    assert_eq!(answer.code, Some(0), "{answer}");
    assert!(answer.stdout.contains("run 2 published"), "{answer}");

    // Somebody worked in it: it is not thrown away.
    place.put("thalweg-demo/models/pres/mine.sql", "select 1 as one\n");
    let answer = program.run(&place, ["demo"]);
    assert_eq!(answer.code, Some(2), "{answer}");
    assert!(answer.stderr.contains("models/pres/mine.sql in thalweg-demo is not as the demo left it"), "{answer}");
    assert!(place.exists("thalweg-demo/models/pres/mine.sql"));
}

#[test]
fn a_folder_of_something_else_is_refused() {
    let place = TestProject::new().file("mine/notes.txt", "keep me\n").write();
    let answer = Program::new(PROGRAM).run(&place, ["demo", "mine"]);
    assert_eq!(answer.code, Some(2), "{answer}");
    assert!(answer.stderr.contains("mine is not empty and is no demo"), "{answer}");
    assert_eq!(place.files(), ["mine/notes.txt"]);
}

#[test]
fn every_example_can_be_made_and_built() {
    for example in ["orders", "titles", "weblog"] {
        let place = TestProject::new().write();
        let program = Program::new(PROGRAM);
        let answer = program.run(&place, ["init", "here", "--example", example]);
        assert_eq!(answer.code, Some(0), "{answer}");
        for verb in [&["validate"][..], &["build"], &["verify"]] {
            let answer = program.run(&place, [verb, &["--project", "here"]].concat());
            assert_eq!(answer.code, Some(0), "{example}: {answer}");
        }
    }
}
