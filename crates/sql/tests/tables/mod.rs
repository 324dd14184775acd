//! Files of cases and the tables that they declare: `name(column type; ...) key a, b`, one a line.

use std::collections::HashMap;
use std::path::Path;

use thalweg_sql::refresh::{InputTable, InputTables};

/// By name.
pub struct Tables(HashMap<String, InputTable>);

impl InputTables for Tables {
    fn table(&self, name: &[String]) -> Option<InputTable> {
        self.0.get(&name.join(".").to_lowercase()).cloned()
    }
}

impl Tables {
    /// From the head of a file.
    pub fn read(text: &str) -> Self {
        let mut tables = HashMap::new();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let (line, key) = line.rsplit_once(" key ").unwrap_or((line, ""));
            let (name, columns) = line.trim_end().trim_end_matches(')').split_once('(').expect("name(columns)");
            let columns = columns.split("; ").map(|column| {
                let (name, engine_type) = column.trim().split_once(' ').expect("name and type");
                (name.to_owned(), engine_type.to_owned())
            });
            let key = key.split(", ").map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
            tables.insert(name.to_owned(), InputTable { columns: columns.collect(), key });
        }
        Self(tables)
    }
}

/// The tables of all files of a folder of `tests/`, and the queries of its cases.
#[allow(dead_code, reason = "not every test wants all of them")]
pub fn everything(folder: &str) -> (Tables, Vec<String>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
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

/// Plays the cases of a folder of `tests/`: after the tables of the file and a line `====` come queries, each with a line `----` and what is
/// expected, parted by lines `====`. With `UPDATE_CASES` what is found is written instead.
pub fn play(folder: &str, found: impl Fn(&str, &Tables) -> String) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
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
            let found = found(sql, &tables);
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
