//! Cases as data: each file in `tests/relation/` holds queries with the trees that must be read from them.
//!
//! A file begins with its tables, `name(column type, ...)` one a line, and a line `====`. A case is a query, a line `----` and the outline of
//! its tree, or the obstacle; a line `====` parts one case from the next. `UPDATE_CASES=1 cargo test -p thalweg-sql` writes the trees
//! anew; look at the difference before committing it.

mod sound;

use std::collections::HashMap;
use std::path::Path;

use proptest::prelude::*;
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

/// The tables of all files, and the queries.
fn everything() -> (Tables, Vec<String>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/relation");
    let mut tables = HashMap::new();
    let mut queries = Vec::new();
    for file in std::fs::read_dir(folder).expect("the folder of cases") {
        let text = std::fs::read_to_string(file.expect("an entry").path()).expect("a file of cases");
        let mut cases = text.split("\n====\n");
        tables.extend(Tables::read(cases.next().expect("the tables of the file")).0);
        queries.extend(cases.filter_map(|case| Some(case.split_once("\n----\n")?.0.to_owned())));
    }
    queries.sort();
    (Tables(tables), queries)
}

/// Reads a text and looks at whatever comes of it.
fn read(sql: &str, tables: &Tables) {
    match parse_relation(sql, &DuckDb, tables) {
        Ok(tree) => {
            sound::check(&tree);
            assert!(!tree.outline().is_empty());
        }
        Err(obstacle) => {
            assert!(sql.get(obstacle.span.clone()).is_some(), "{obstacle:?} of {sql}");
            assert!(!obstacle.reason.is_empty());
        }
    }
}

/// A piece of a query: where it begins and ends among its words.
fn piece(words: &[&str], (from, length): (usize, usize)) -> std::ops::Range<usize> {
    let from = from % (words.len() + 1);
    from..(from + length).min(words.len())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn text_never_panics(sql in ".*") {
        read(&sql, &Tables(HashMap::new()));
    }

    /// A query with a piece of another in the place of one of its own.
    #[test]
    fn mixed_queries_never_panic(
        (left, right) in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
        gone in (0_usize..200, 0_usize..8),
        come in (0_usize..200, 0_usize..16),
    ) {
        thread_local!(static ALL: (Tables, Vec<String>) = everything());
        ALL.with(|(tables, queries)| {
            let left: Vec<&str> = queries[left.index(queries.len())].split(' ').collect();
            let right: Vec<&str> = queries[right.index(queries.len())].split(' ').collect();
            let (gone, come) = (piece(&left, gone), piece(&right, come));
            let mixed = [&left[..gone.start], &right[come], &left[gone.end..]].concat().join(" ");
            read(&mixed, tables);
        });
    }
}

#[test]
fn depth_and_length_are_no_crash() {
    let tables = Tables::read("s.t(x INTEGER; y INTEGER)");
    for sql in [
        format!("select {}1{} from s.t", "(".repeat(20_000), ")".repeat(20_000)),
        format!("{}select x from s.t{}", "select x from (".repeat(250), ") q".repeat(250)),
        format!("{}select x from s.t{}", "select x from (".repeat(50), ") q".repeat(50)),
        format!("select {} from s.t", vec!["x"; 5_000].join(" + ")),
        format!("select count(*) from s.t group by {}", vec!["x"; 2_000].join(" + ")),
        format!("select x from s.t where {}", vec!["x = y"; 5_000].join(" and ")),
        format!("select x from s.t where {}", vec!["x = y"; 5_000].join(" or ")),
        format!("select {}x{} from s.t", "abs(".repeat(140), ")".repeat(140)),
        format!("select {}x{} from s.t", "case when x > 1 then ".repeat(140), " end".repeat(140)),
        format!(
            "select x from s.t where {}true{}",
            "exists (select 1 from s.t q where q.x = t.x and ".repeat(30),
            ")".repeat(30)
        ),
        format!("select x from s.t union all {}", vec!["select y from s.t"; 1_000].join(" union all ")),
        format!("select x from s.t union {}", vec!["select y from s.t"; 200].join(" except select y from s.t union ")),
        format!(
            "select {} from s.t",
            (0..2_000).map(|index| format!("x + {index} as c{index}")).collect::<Vec<_>>().join(", ")
        ),
        doubling(30),
        doubling(8),
    ] {
        read(&sql, &tables);
    }
}

/// CTEs each of which uses the one before twice.
fn doubling(levels: usize) -> String {
    let ctes: Vec<String> = (1..=levels)
        .map(|level| format!("c{level} as (select a.x from c{} a join c{} b using (x))", level - 1, level - 1))
        .collect();
    format!("with c0 as (select x from s.t), {} select x from c{levels}", ctes.join(", "))
}
