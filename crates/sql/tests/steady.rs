//! Cases as data: each file in `tests/steady/` holds queries with the columns of their answer that a change does not touch.
//!
//! A file begins with its tables, as those in `tests/refresh/` do. Lines `-- changed: shop.lines quantity keys` say of a table that
//! changed which of its columns differ in rows that it had before, and with `gone` and `come` that there are keys that it lost or got. `UPDATE_CASES=1 cargo test
//! -p thalweg-sql --test steady` writes the cases anew; look at the difference before committing it.

use std::fmt::Write as _;

use thalweg_sql::DuckDb;
use thalweg_sql::refresh::{Answers, ChangedInput, Inputs, Shape};

mod tables;
use tables::{Tables, play};

#[test]
fn columns_that_a_change_does_not_touch() {
    play("steady", told);
}

fn told(sql: &str, tables: &Tables) -> String {
    let mut out = String::new();
    let shape = Shape::read(sql, &DuckDb, tables, &[]).expect("a text that is followed");
    let mut inputs = Inputs::default();
    let changed: Vec<Vec<&str>> = sql
        .lines()
        .filter_map(|line| line.trim().strip_prefix("-- changed: "))
        .map(|line| line.split_whitespace().collect())
        .collect();
    for words in &changed {
        let name: Vec<String> = words[0].split('.').map(str::to_owned).collect();
        let change =
            ChangedInput { before: format!("\"-{}\"", words[0]), after: format!("\"+{}\"", words[0]), old: None };
        inputs.changed.insert(name, change);
    }
    let Some(questions) = shape.steady_questions(&DuckDb, &inputs).expect("names can be written") else {
        return "nothing can be told\n".to_owned();
    };
    let mut answers = Answers::new();
    for question in &questions {
        let _ = writeln!(out, "{}", question.select);
        let shown = question.table.join(".");
        let differs =
            |word: &str| u64::from(changed.iter().any(|words| words[0] == shown && words[1..].contains(&word)));
        let columns = question.columns.iter().map(|column| differs(column));
        answers.insert(
            question.table.clone(),
            [differs("gone"), differs("gone").max(differs("come"))].into_iter().chain(columns).collect(),
        );
    }
    match shape.steady(&DuckDb, &inputs, &questions, &answers) {
        Some(steady) => {
            let _ = writeln!(out, "by {}: {}", steady.key.join(", "), steady.columns.join(", "));
        }
        None => out.push_str("nothing\n"),
    }
    out
}
