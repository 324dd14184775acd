//! One JSON object a line, for programs.

use serde::Serialize;
use serde_json::{Map, Value, json};
use thalweg_run::{Event, Explanation, RunOutcome, TestOutcome, TestState, Validation, VerifyOutcome};

use crate::diagnostics::{self, ProjectFiles};

/// An object under the name of an event, on one line.
pub fn tagged(event: &str, value: &impl Serialize) -> String {
    let mut object = Map::new();
    object.insert("event".into(), event.into());
    match serde_json::to_value(value) {
        Ok(Value::Object(fields)) => object.extend(fields),
        Ok(other) => {
            object.insert("value".into(), other);
        }
        Err(error) => {
            object.insert("error".into(), error.to_string().into());
        }
    }
    Value::Object(object).to_string()
}

/// Something that happened during a run.
pub fn event(event: &Event) -> String {
    serde_json::to_string(event).unwrap_or_else(|error| tagged("error", &json!({ "message": error.to_string() })))
}

/// The last line of a run.
pub fn summary(outcome: &RunOutcome) -> String {
    with_exit_code(tagged_value("summary", outcome), outcome.exit_code())
}

/// The last line of `test`.
pub fn test_summary(tests: &[TestOutcome], exit_code: u8) -> String {
    let count = |state| tests.iter().filter(|test| test.state == state).count();
    let counts = json!({
        "tests": tests.len(),
        "passed": count(TestState::Pass),
        "warned": count(TestState::Warn),
        "failed": count(TestState::Fail),
    });
    with_exit_code(tagged_value("summary", &counts), exit_code)
}

/// Every comparison of `verify` and its last line.
pub fn verification(outcomes: &[VerifyOutcome], exit_code: u8) -> String {
    let mut text: String = outcomes.iter().map(|outcome| format!("{}\n", tagged("verified", outcome))).collect();
    let count = |equal| outcomes.iter().filter(|outcome| outcome.equal == equal).count();
    let counts = json!({
        "tables": outcomes.len(),
        "equal": count(Some(true)),
        "different": count(Some(false)),
        "not_compared": count(None),
    });
    text.push_str(&with_exit_code(tagged_value("summary", &counts), exit_code));
    text
}

/// How a model is refreshed, with the place of what stands in the way.
pub fn explanation(explanation: &Explanation, files: &ProjectFiles) -> String {
    let mut object = tagged_value("explanation", explanation);
    if let Some(obstacle) = &explanation.obstacle {
        object["obstacle"] = diagnostics::json(obstacle, files);
    }
    object.to_string()
}

/// Every diagnostic of `validate` and its last line.
pub fn validation(validation: &Validation, exit_code: u8) -> String {
    let files = ProjectFiles(validation.files.clone());
    let mut text = String::new();
    for diagnostic in &validation.diagnostics {
        text.push_str(&format!("{}\n", diagnostics::json(diagnostic, &files)));
    }
    let counts = json!({
        "streams": validation.streams,
        "models": validation.models,
        "tests": validation.tests,
        "reports": validation.reports,
        "seeds": validation.seeds,
        "unchecked": validation.unchecked,
        "diagnostics": validation.diagnostics.len(),
    });
    text.push_str(&with_exit_code(tagged_value("summary", &counts), exit_code));
    text
}

/// Several values, one a line, each under the name of an event.
pub fn lines<T: Serialize>(event: &str, values: &[T]) -> String {
    values.iter().map(|value| format!("{}\n", tagged(event, value))).collect()
}

fn tagged_value(event: &str, value: &impl Serialize) -> Value {
    serde_json::from_str(&tagged(event, value)).unwrap_or_default()
}

fn with_exit_code(mut object: Value, exit_code: u8) -> String {
    object["exit_code"] = exit_code.into();
    object.to_string()
}
