//! Arguments: what is understood, and as what.

use std::time::Duration;

use clap::{CommandFactory, Parser};
use serde_json::json;
use thalweg_cli::arguments::{Arguments, Verb, duration};
use thalweg_cli::{command, variables};

fn verb(line: &str) -> Verb {
    Arguments::try_parse_from(line.split_whitespace()).unwrap_or_else(|error| panic!("{error}")).verb.unwrap()
}

fn refused(line: &str) -> String {
    let error = Arguments::try_parse_from(line.split_whitespace()).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    error.to_string()
}

#[test]
fn the_definition_is_sound() {
    Arguments::command().debug_assert();
}

#[test]
fn selectors_are_joined() {
    let Verb::Build(build) = verb("thalweg build -s +pres.a tag:daily,path:models/pres --exclude x -f --full-tests")
    else {
        panic!("not build")
    };
    assert_eq!(build.selection.selected().as_deref(), Some("+pres.a tag:daily,path:models/pres"));
    assert_eq!(build.selection.excluded().as_deref(), Some("x"));
    assert!(build.refresh.full_refresh && build.tests.full_tests && !build.refresh.drop_removed);
    assert_eq!(build.machine.lock_timeout, Duration::from_secs(60));
}

#[test]
fn rejects_and_runs_have_verbs_of_their_own() {
    let Verb::Rejects(rejects) = verb("thalweg rejects shop.orders --run 3 --all --json") else {
        panic!("not rejects")
    };
    assert_eq!(
        (rejects.list.stream.as_deref(), rejects.list.run, rejects.list.all),
        (Some("shop.orders"), Some(3), true)
    );
    assert!(rejects.output().json);
    let Verb::Rejects(rejects) = verb("thalweg rejects replay --id 1,2 7 -q") else { panic!("not rejects") };
    assert!(rejects.output().quiet);
    let Some(command::rejects::Verb::Replay(replay)) = rejects.verb else { panic!("not replay") };
    assert_eq!(replay.id, [1, 2, 7]);
    let Verb::Rejects(rejects) = verb("thalweg rejects list shop.orders") else { panic!("not rejects") };
    assert!(
        matches!(rejects.verb, Some(command::rejects::Verb::List(list)) if list.stream.as_deref() == Some("shop.orders"))
    );
    let Verb::Runs(runs) = verb("thalweg runs show 12") else { panic!("not runs") };
    assert!(matches!(runs.verb, Some(command::runs::Verb::Show(show)) if show.run == 12));
}

#[test]
fn what_makes_no_sense_is_refused() {
    assert!(refused("thalweg biuld").contains("build"));
    assert!(refused("thalweg build --threads 0").contains("--threads"));
    assert!(refused("thalweg build --lock-timeout soon").contains("expected a number with a unit"));
    assert!(refused("thalweg compile a -s b").contains("--select"));
    assert!(refused("thalweg init --example shop").contains("orders, orders_database, titles, weblog"));
    assert!(refused("thalweg show").contains("TABLE|SQL"));
}

#[test]
fn times() {
    for (text, milliseconds) in
        [("0", 0), ("60s", 60_000), ("1.5m", 90_000), ("250ms", 250), ("2h", 7_200_000), ("7", 7_000)]
    {
        assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
    }
    for text in ["", "s", "5 parsecs", "-1s", "1e400h", "1.2.3s"] {
        assert!(duration(text).is_err(), "{text}");
    }
}

#[track_caller]
fn read(given: &[&str]) -> serde_json::Value {
    let given: Vec<String> = given.iter().map(|text| (*text).to_owned()).collect();
    json!(variables::read(&given).unwrap())
}

#[test]
fn variables_are_yaml_json_or_pairs() {
    assert_eq!(read(&["{\"a\": 1, \"b\": [true, null, 2.5]}"]), json!({"a": 1, "b": [true, null, 2.5]}));
    assert_eq!(read(&["{a: 1, b: {c: x}}"]), json!({"a": 1, "b": {"c": "x"}}));
    assert_eq!(read(&["a: 1\nb: 'yes'"]), json!({"a": 1, "b": "yes"}));
    assert_eq!(read(&["currency=AUD"]), json!({"currency": "AUD"}));
    assert_eq!(read(&["a=1,b=two words,c=x=y d=true"]), json!({"a": 1, "b": "two words", "c": "x=y", "d": true}));
    assert_eq!(
        read(&["a=[1, 2]", "day=2026-01-01", "code=007", "empty="]),
        json!({"a": [1, 2], "code": "007", "day": "2026-01-01", "empty": null})
    );
    assert_eq!(read(&["a=1", "a=2"]), json!({"a": 2}));
    assert_eq!(read(&["sum='1=1', b=2"]), json!({"sum": "1=1", "b": 2}));
    assert_eq!(read(&[" "]), json!({}));
}

#[test]
fn variables_that_cannot_be_read_say_why() {
    for (text, part) in [
        ("AUD", "names no variable"),
        ("[1, 2]", "names no variable"),
        ("{a: 1", "cannot be read"),
        ("a={x", "the value of `a`"),
        ("{a: *b}", "cannot be read"),
        ("{[1]: 2}", "a key must be a plain name"),
    ] {
        let error = variables::read(&[text.to_owned()]).unwrap_err();
        assert!(error.contains(part), "{text}: {error}");
    }
}

/// A disk without space for what is printed: `/dev/full` is one.
#[cfg(target_os = "linux")]
#[test]
fn an_answer_that_cannot_be_written_is_told() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let told = std::process::Command::new(env!("CARGO_BIN_EXE_thalweg")).stdout(full).output().unwrap();
    assert_eq!(told.status.code(), Some(2));
    let words = String::from_utf8(told.stderr).unwrap();
    assert!(words.starts_with("error: the answer could not be written: No space left on device"), "{words}");
}
