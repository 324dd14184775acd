//! The functions that dbt's templates call.

use std::sync::Arc;

use minijinja::value::{Kwargs, Rest, Serde, ValueOrKwargs};
use minijinja::{Environment, Error, Value};

use super::engine::{Complaint, Shared};
use super::relation::Relation;
use crate::catalog::Unresolved;
use crate::diagnostic::nearest;

/// The names a macro must not take.
pub const BUILT_IN: &[&str] = &["ref", "source", "config", "var", "env_var", "this", "target", "is_incremental"];

impl From<Unresolved> for Complaint {
    fn from(unresolved: Unresolved) -> Self {
        Self { code: unresolved.code, message: unresolved.message, help: unresolved.help }
    }
}

/// Adds the functions to the environment.
pub fn add(environment: &mut Environment<'static>, shared: &Arc<Shared>) {
    let for_ref = Arc::clone(shared);
    environment.add_function("ref", move |name: &str, more: Rest<Value>| -> Result<Value, Error> {
        if !more.is_empty() {
            return for_ref.complain(
                name,
                Complaint {
                    code: "bad-reference",
                    message: format!("`ref('{name}', ...)` has more than one argument"),
                    help: "write `ref('name')`, or `ref('schema.name')`".to_owned(),
                },
                Value::from(""),
            );
        }
        let resolved = for_ref.catalog().reference(name).cloned();
        match resolved {
            Ok(table) => Ok(Relation::value(table)),
            Err(unresolved) => for_ref.complain(&format!("ref {name}"), unresolved.into(), Value::from(name)),
        }
    });

    let for_source = Arc::clone(shared);
    environment.add_function("source", move |source: &str, stream: &str| -> Result<Value, Error> {
        let resolved = for_source.catalog().stream(source, stream).cloned();
        match resolved {
            Ok(table) => Ok(Relation::value(table)),
            Err(unresolved) => {
                let key = format!("source {source}.{stream}");
                for_source.complain(&key, unresolved.into(), Value::from(stream))
            }
        }
    });

    let for_config = Arc::clone(shared);
    environment.add_function("config", move |settings: Rest<ValueOrKwargs>| -> Result<Value, Error> {
        for value in &settings.into_values() {
            let json = match Kwargs::try_from(value.clone()) {
                Ok(keywords) => keywords
                    .args()
                    .filter_map(|key| {
                        Some((key.to_owned(), serde_json::to_value(keywords.peek::<Value>(key).ok()?).ok()?))
                    })
                    .collect(),
                Err(_) => serde_json::to_value(value).unwrap_or_default(),
            };
            for_config.collect(json);
        }
        Ok(Value::from(""))
    });

    let for_var = Arc::clone(shared);
    environment.add_function("var", move |name: &str, default: Option<Value>| -> Result<Value, Error> {
        if let Some(value) = for_var.vars.get(name) {
            return Ok(Value::from(Serde(value)));
        }
        if let Some(default) = default {
            return Ok(default);
        }
        let near = nearest(name, for_var.vars.keys().map(String::as_str));
        let complaint = Complaint {
            code: "unknown-variable",
            message: format!("the project has no variable `{name}`"),
            help: match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("add it under `vars:` in `thalweg.yml`, or give a default: `var('{name}', ...)`"),
            },
        };
        for_var.complain(&format!("var {name}"), complaint, Value::from(""))
    });

    let for_environment = Arc::clone(shared);
    environment.add_function("env_var", move |name: &str, default: Option<Value>| -> Result<Value, Error> {
        let variables = &for_environment.variables;
        let complaint = if variables.is_used_in_yaml(name) {
            Complaint {
                code: "secret-in-sql",
                message: format!("`env_var('{name}')` would write the content of `${{{name}}}` into SQL, where it is no longer secret"),
                help: "use another variable for what is not secret".to_owned(),
            }
        } else if let Some(value) = variables.get(name) {
            for_environment.remember(name, value);
            return Ok(Value::from(value));
        } else if let Some(default) = default {
            return Ok(default);
        } else {
            Complaint {
                code: "missing-variable",
                message: format!("the environment has no variable `{name}`"),
                help: variables.help(name),
            }
        };
        for_environment.complain(&format!("env_var {name}"), complaint, Value::from(""))
    });

    let for_incremental = Arc::clone(shared);
    environment.add_function("is_incremental", move || {
        for_incremental.note_incremental();
        false
    });
}
