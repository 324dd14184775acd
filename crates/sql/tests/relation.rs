//! Cases as data: each file in `tests/relation/` holds queries with the trees that must be read from them.
//!
//! A file begins with its tables, `name(column type, ...)` one a line, and a line `====`. A case is a query, a line `----` and the outline of
//! its tree, or the obstacle; a line `====` parts one case from the next. `UPDATE_CASES=1 cargo test -p thalweg-sql` writes the trees
//! anew; look at the difference before committing it.

mod sound;

use std::collections::HashMap;
use std::path::Path;

use thalweg_sql::refresh::{InputTable, InputTables};
use thalweg_sql::{DuckDb, parse_relation};

/// The tables of a file of cases.
struct Tables(HashMap<String, InputTable>);

impl InputTables for Tables {
    fn table(&self, name: &[String]) -> Option<InputTable> {
        self.0.get(&name.join(".").to_lowercase()).cloned()
    }
}

impl Tables {
    fn read(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        Self(
            lines
                .map(|line| {
                    let (name, columns) = line.trim_end_matches(')').split_once('(').expect("name(columns)");
                    let columns = columns
                        .split("; ")
                        .map(|column| {
                            let (name, engine_type) = column.trim().split_once(' ').expect("name and type");
                            (name.to_owned(), engine_type.to_owned())
                        })
                        .collect();
                    (name.to_owned(), InputTable { columns, key: Vec::new() })
                })
                .collect(),
        )
    }
}

#[test]
fn trees_of_queries() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/relation");
    let mut files: Vec<_> =
        std::fs::read_dir(&folder).expect("the folder of cases").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    let mut wrong = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a file of cases");
        let mut cases = text.split("\n====\n");
        let head = cases.next().expect("the tables of the file");
        let tables = Tables::read(head);
        let mut rewritten = vec![head.to_owned()];
        for case in cases {
            let (sql, expected) = case.split_once("\n----\n").unwrap_or((case.trim_end_matches('\n'), ""));
            let found = outline(sql, &tables);
            assert!(std::env::var_os("UPDATE_CASES").is_some() || !found.starts_with("unsound"), "{sql}\n{found}");
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

fn outline(sql: &str, tables: &Tables) -> String {
    match parse_relation(sql, &DuckDb, tables) {
        Ok(tree) => {
            let checked = std::panic::catch_unwind(|| sound::check(&tree));
            match checked {
                Ok(()) => tree.outline(),
                Err(_) => format!("unsound\n{}", tree.outline()),
            }
        }
        Err(obstacle) => {
            let place = sql.get(obstacle.span.clone()).expect("a span within the text");
            let instead = obstacle.instead.map(|instead| format!("; {instead}")).unwrap_or_default();
            format!("full: {} at `{place}`{instead}", obstacle.reason)
        }
    }
}
