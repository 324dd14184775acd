//! Cases as data: each file in `tests/split/` holds queries with the parts they are split into.
//!
//! A file begins with its tables, as in `tests/refresh/`. A case is a query, a line `----` and the stages it is freed of, each with its
//! columns, its key, why it is kept and its text; then what is left. `UPDATE_CASES=1 cargo test -p thalweg-sql --test split` writes
//! them anew; look at the difference before committing it.

use std::fmt::Write as _;
use std::path::Path;

use thalweg_sql::DuckDb;
use thalweg_sql::refresh::Split;

mod tables;
use tables::Tables;

#[test]
fn parts_of_queries() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/split");
    let mut files: Vec<_> =
        std::fs::read_dir(&folder).expect("the folder of cases").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    let update = std::env::var_os("UPDATE_CASES").is_some();
    let mut wrong = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a file of cases");
        let mut cases = text.split("\n====\n");
        let head = cases.next().expect("the tables of the file");
        let tables = Tables::read(head);
        let mut rewritten = vec![head.to_owned()];
        for case in cases {
            let (sql, expected) = case.split_once("\n----\n").unwrap_or((case.trim_end_matches('\n'), ""));
            let found = parts(sql, &tables);
            if found.trim_end() != expected.trim_end() {
                wrong.push(format!("{}\n{sql}\n---- expected\n{expected}\n---- found\n{found}", file.display()));
            }
            rewritten.push(format!("{sql}\n----\n{}", found.trim_end()));
        }
        if update {
            std::fs::write(&file, rewritten.join("\n====\n") + "\n").expect("cases are written");
        }
    }
    if !update {
        assert!(wrong.is_empty(), "{} cases differ:\n\n{}", wrong.len(), wrong.join("\n\n"));
    }
}

fn parts(sql: &str, tables: &Tables) -> String {
    let split = Split::of(sql, &DuckDb, tables, &[]);
    if split.is_whole() {
        return "stays whole".to_owned();
    }
    let mut out = String::new();
    for stage in &split.stages {
        let key = if stage.key.is_empty() { String::new() } else { format!(" key {}", stage.key.join(", ")) };
        let rows = if stage.one_row { ", one row" } else { "" };
        let _ = writeln!(out, "stage {}({}){key}{rows}: {}", stage.name, stage.columns.join(", "), stage.reason);
        let _ = writeln!(out, "{}", stage.text);
    }
    let _ = writeln!(out, "rest\n{}", split.rest);
    out
}
