//! Tables that a file of cases declares: `name(column type; ...) key a, b`, one a line.

use std::collections::HashMap;

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

    /// Adds others.
    #[allow(dead_code, reason = "not every test has several files")]
    pub fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }
}
