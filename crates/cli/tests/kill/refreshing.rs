//! A statement of an incremental refresh fails: no fault of the model, which is computed anew in the same run.

use crate::each::{assert_all_or_nothing, assert_settles};
use crate::history::History;
use crate::program::{BUILD, Build, build_well, finish, program, start};
use crate::state::{State, assert_same, assert_same_state, read_by_people};

/// What is said of a table's step.
fn step<'a>(build: &'a Build, table: &str) -> Vec<&'a str> {
    let summary = build.events("summary").next().unwrap();
    let steps = summary["steps"].as_array().unwrap();
    let step = steps.iter().find(|step| step["table"] == table).unwrap();
    ["strategy", "reason"].iter().map(|key| step[*key].as_str().unwrap()).collect()
}

/// A second build in which this happens is published, with what reads changes computed anew.
#[track_caller]
fn assert_computed_anew(what: &str) {
    let history = History::undisturbed();
    let project = history.before(2);
    let build = finish(start(&program().env("FAILPOINTS", what), &project, &BUILD));
    assert_eq!((build.code, build.state()), (Some(0), Some("published")), "{what}: {build:#?}");
    for table in ["pres.by_country", "pres.by_product"] {
        let step = step(&build, table);
        assert_eq!(step[0].trim_end_matches("_difference"), "full", "{what}: {step:?}");
        assert!(step[1].contains("a statement of its incremental refresh failed"), "{what}: {step:?}");
    }
    assert_same(what, &read_by_people(&history.after(2).published), &read_by_people(&State::published(&project)));
}

#[test]
fn a_failing_statement_of_a_refresh_is_not_the_models_error() {
    for place in ["run::refresh-discovered", "run::refresh-computed", "run::refresh-stored", "run::refresh-applied"] {
        assert_computed_anew(&format!("{place}=return"));
    }
}

#[test]
fn an_engine_that_stops_at_a_refresh_is_another_one() {
    assert_computed_anew("warehouse::stopped=return(_affected\" as)");
}

#[test]
fn a_model_that_stops_the_engine_is_named() {
    let history = History::undisturbed();
    let project = history.before(1);
    let failing = program().env("FAILPOINTS", "warehouse::stopped=return(pres.by_country.v)");
    let build = finish(start(&failing, &project, &BUILD));
    assert_eq!(build.code, Some(1), "{build:#?}");
    let told = format!("{:?}", build.events);
    assert!(told.contains("pres.by_country: failpoint warehouse::stopped"), "{told}");
    build_well(&project);
    assert_same("next", &read_by_people(&history.after(1).published), &read_by_people(&State::published(&project)));
}

#[test]
fn a_build_is_killed_between_its_two_tries() {
    let project = History::undisturbed().before(2);
    let failing =
        program().env("FAILPOINTS", "run::refresh-computed=return").env("THALWEG_KILL_AT", "run::before-again");
    let killed = finish(start(&failing, &project, &BUILD));
    assert_eq!(killed.code, None, "it was not killed: {killed:#?}");
    assert!(!assert_all_or_nothing(2, &project), "nothing was published yet");
    build_well(&project);
    assert_same_state("after the next build", History::undisturbed().after(2), &State::of(&project));
    assert_settles(2, &project);
}

#[test]
fn the_history_is_refreshed_incrementally() {
    let build = finish(start(&program(), &History::undisturbed().before(2), &BUILD));
    for table in ["pres.by_country", "pres.by_product"] {
        assert_eq!(step(&build, table)[0], "incremental", "{build:#?}");
    }
}
