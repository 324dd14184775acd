//! Cases as data: each file in `tests/refresh/` holds queries with the statements of their refresh.
//!
//! A file begins with its tables, `name(column type; ...) key a, b` one a line, and a line `====`. A case is a query, a line `----` and what
//! is made of it: K, what `explain` says, the statements that find the keys when the tables named in a comment `-- changed: ...` have
//! changed (all without one), and those that bring their rows. `-- nulls` says that the keys hold NULL, `-- the time goes on`
//! that it does, `-- small: ...` of which tables all rows are read as cheaply as some. A line `====` parts one case
//! from the next. `UPDATE_CASES=1 cargo test -p thalweg-sql --test refresh` writes them anew; look at the difference before committing it.

use std::fmt::Write as _;

use thalweg_sql::DuckDb;
use thalweg_sql::refresh::{ChangedInput, ClockChange, Discovery, Inputs, Shape};

mod tables;
use tables::{Tables, play};

#[test]
fn statements_of_a_refresh() {
    play("refresh", statements);
}

fn statements(sql: &str, tables: &Tables) -> String {
    let mut out = String::new();
    let shape = match Shape::read(sql, &DuckDb, tables, &[]) {
        Ok(shape) => shape,
        Err(obstacle) => {
            let place = sql.get(obstacle.span.clone()).unwrap_or_default();
            let instead = obstacle.instead.map(|text| format!("; {text}")).unwrap_or_default();
            return format!("in full: {} at `{place}`{instead}", obstacle.reason);
        }
    };
    let _ = writeln!(out, "key {}: {}", shape.key_columns().join(", "), shape.key_reason());
    for line in shape.explain() {
        let _ = writeln!(out, "{line}");
    }
    let changed = sql.lines().find_map(|line| line.trim().strip_prefix("-- changed: "));
    let small = sql.lines().find_map(|line| line.trim().strip_prefix("-- small: "));
    let mut inputs = Inputs::default();
    for name in shape.tables() {
        let shown = name.join(".");
        if small.is_some_and(|small| small.split(", ").any(|one| one == shown)) {
            inputs.small.insert(name.to_vec());
        }
        if changed.is_none_or(|changed| changed.split(", ").any(|one| one == shown)) {
            let change = ChangedInput { before: format!("\"-{shown}\""), after: format!("\"+{shown}\""), old: None };
            inputs.changed.insert(name.to_vec(), change);
        }
    }
    if sql.contains("-- the time goes on") {
        for name in shape.clock() {
            let (before, now) = (format!("[{name} before]"), format!("[{name} now]"));
            inputs.clock.insert(name, ClockChange { before, now });
        }
    }
    match shape.discover(&DuckDb, &inputs, "x").expect("names can be written") {
        Discovery::Nothing => out.push_str("nothing can differ\n"),
        Discovery::Everything(obstacle) => {
            let _ = writeln!(out, "everything can differ: {}", obstacle.reason);
        }
        Discovery::Keys(statements) => {
            for statement in statements {
                let _ = writeln!(out, "{} := {}", statement.creates, statement.select);
            }
        }
    }
    let nulls = vec![sql.contains("-- nulls"); shape.key_columns().len()];
    let fresh = shape.restrict(&DuckDb, &inputs, "x", "\"x_affected\"", &nulls).expect("names can be written");
    for statement in &fresh.before {
        let _ = writeln!(out, "{} := {}", statement.creates, statement.select);
    }
    for restriction in &fresh.restrictions {
        if let Some(reason) = &restriction.whole {
            let _ = writeln!(out, "all of {}: {reason}", restriction.table.join("."));
        }
    }
    let _ = writeln!(out, "{}", fresh.select);
    out
}
