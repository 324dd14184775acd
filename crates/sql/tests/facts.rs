//! Cases as data: each file in `tests/facts/` holds queries with the facts that must be read from them.
//!
//! A case is a query, a line `----` and the facts; a line `====` parts one case from the next.
//! `UPDATE_CASES=1 cargo test -p thalweg-sql` writes the facts anew; look at the difference before committing it.

use std::fmt::Write as _;
use std::path::Path;

use thalweg_sql::{DuckDb, Query, parse_select, rewrite_tables, splice};

#[test]
fn facts_of_queries() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/facts");
    let mut wrong = Vec::new();
    let mut files: Vec<_> =
        std::fs::read_dir(&folder).expect("the folder of cases").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a file of cases");
        let mut rewritten = Vec::new();
        for case in text.split("\n====\n") {
            let (sql, expected) = case.split_once("\n----\n").unwrap_or((case.trim_end_matches('\n'), ""));
            let found = facts(sql);
            if found.trim_end() != expected.trim_end() {
                wrong.push(format!("{}\n{sql}\n---- expected\n{expected}\n---- found\n{found}", file.display()));
            }
            rewritten.push(format!("{sql}\n----\n{}", found.trim_end()));
        }
        if std::env::var_os("UPDATE_CASES").is_some() {
            std::fs::write(&file, rewritten.join("\n====\n") + "\n").expect("cases are written");
        }
    }
    if std::env::var_os("UPDATE_CASES").is_none() {
        assert!(wrong.is_empty(), "{} cases differ:\n\n{}", wrong.len(), wrong.join("\n\n"));
    }
}

fn facts(sql: &str) -> String {
    match parse_select(sql, &DuckDb) {
        Ok(query) => {
            identity(sql, &query);
            show(sql, &query)
        }
        Err(error) => {
            let place = sql.get(error.span.clone()).expect("a span within the text");
            let line = sql[..error.span.start].matches('\n').count() + 1;
            let column = sql[..error.span.start].rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            format!("error {line}:{column} `{place}` {}", error.message)
        }
    }
}

/// Nothing replaced, or everything by itself, is the same text.
fn identity(sql: &str, query: &Query) {
    let body = &sql[query.body.clone()];
    assert_eq!(rewrite_tables(sql, query, &DuckDb, &|_| None).as_deref(), Ok(body));
    let itself: Vec<_> =
        query.tables.iter().map(|table| (table.span.clone(), sql[table.span.clone()].to_owned())).collect();
    assert_eq!(splice(sql, &itself).as_deref(), Ok(sql));
}

fn show(sql: &str, query: &Query) -> String {
    let mut out = String::new();
    let at = |span: &std::ops::Range<usize>| format!("{}..{} `{}`", span.start, span.end, &sql[span.clone()]);
    if query.body != (0..sql.len()) {
        let _ = writeln!(out, "body {}..{}", query.body.start, query.body.end);
    }
    for table in &query.tables {
        let alias = table.alias.as_ref().map(|alias| format!(" as {alias}")).unwrap_or_default();
        let _ = writeln!(out, "table {}{alias} in {} at {}", table.name.join(" . "), table.select, at(&table.span));
    }
    for reference in &query.schema_references {
        let _ = writeln!(out, "column of {} at {}", query.tables[reference.table].name.join("."), at(&reference.span));
    }
    for function in &query.functions {
        let _ = writeln!(out, "function {} reads {:?} at {}", function.name, function.reads, at(&function.span));
    }
    for span in &query.clock {
        let _ = writeln!(out, "clock at {}", at(span));
    }
    for span in &query.volatile {
        let _ = writeln!(out, "volatile at {}", at(span));
    }
    if query.ordered {
        let _ = writeln!(out, "in its own order");
    }
    if out.is_empty() { "reads nothing\n".to_owned() } else { out }
}
