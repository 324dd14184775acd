//! Macros of the project: every macro of every file is callable by its name anywhere, as in dbt.

use std::sync::Arc;

use minijinja::value::{Kwargs, Rest, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State, Value, context};

use super::engine::Shared;

/// Calls deeper than this are a circle of macros.
const DEEPEST: usize = 40;

/// The names of the macros that a file declares, with the place of each name.
pub fn declared(text: &str) -> Vec<(String, usize)> {
    let mut names = Vec::new();
    let mut from = 0;
    while let Some(at) = text[from..].find("{%").map(|at| from + at + 2) {
        from = at;
        let after = text[at..].trim_start_matches(['-', '+']).trim_start();
        let Some(rest) = after.strip_prefix("macro").filter(|rest| rest.starts_with(char::is_whitespace)) else {
            continue;
        };
        let rest = rest.trim_start();
        let length = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        if length > 0 {
            names.push((rest[..length].to_owned(), text.len() - rest.len()));
        }
    }
    names
}

/// Makes a macro callable from every template. The file must already be a template of the environment.
pub fn expose(environment: &mut Environment<'static>, shared: &Arc<Shared>, file: &str, name: &str) {
    let shared = Arc::clone(shared);
    let (file, macro_name) = (file.to_owned(), name.to_owned());
    let call = move |state: &mut State<'_, '_>, arguments: Rest<ValueOrKwargs>| -> Result<Value, Error> {
        if !shared.enter(DEEPEST) {
            let circle = format!("the macro `{macro_name}` calls itself without end");
            return Err(Error::new(ErrorKind::InvalidOperation, circle));
        }
        let arguments = with_caller(state, arguments.into_values())?;
        let answer = (|| {
            let this = state.lookup("this").unwrap_or_default();
            let template = state.env().get_template(&file)?;
            let mut module = template.render_captured(context! { this })?;
            module.with_state_mut(|inner| inner.call_macro(&macro_name, &arguments))
        })();
        shared.leave();
        answer.map(Value::from)
    };
    environment.add_function(name.to_owned(), call);
}

/// A `{% call %}` block belongs to the template it stands in and cannot be called from the macro's own; its text can.
fn with_caller(state: &mut State<'_, '_>, mut arguments: Vec<Value>) -> Result<Vec<Value>, Error> {
    let Some(keywords) = arguments.last().filter(|last| last.is_kwargs()).cloned() else { return Ok(arguments) };
    let keywords = Kwargs::try_from(keywords)?;
    let Ok(caller) = keywords.peek::<Value>("caller") else { return Ok(arguments) };
    let body = caller.call(state, &[])?.to_string();
    let mut replaced = Vec::new();
    for key in keywords.args().filter(|key| *key != "caller") {
        replaced.push((key.to_owned(), keywords.peek::<Value>(key)?));
    }
    replaced.push(("caller".to_owned(), Value::from_function(move || body.clone())));
    arguments.pop();
    arguments.push(Kwargs::from_iter(replaced).into());
    Ok(arguments)
}
