//! Everything that can be seen of a project after a build, in a form that can be compared.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use thalweg_duck::{Access, Engine, Settings};
use thalweg_testkit::WrittenProject;
use thalweg_warehouse::Rows;

/// Rows by table, sorted, as JSON.
pub type Tables = BTreeMap<String, Vec<String>>;

/// Everything that can be seen of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// What readers see, and what of the ledger is published with it.
    pub published: Tables,
    /// Which runs there were, apart from those that found nothing to do, and what is still to be told to sources.
    pub runs: Tables,
    /// What readers of the copy see.
    pub shared: Tables,
    /// Files where they arrive, in archives, and of reports.
    pub files: BTreeMap<String, String>,
}

/// The warehouse file.
pub const WAREHOUSE: &str = "warehouse.duckdb";
/// Lines shown of each side of a difference.
const SHOWN: usize = 3;
/// Its copy for other readers.
const COPY: &str = "shared/copy.duckdb";

/// What differs between two folders, or two moments, by nature: in stamps of files, and in how far a log was read.
const DIFFERING: &str = r#"'"(mtime_ns|ctime_ns|inode|seen_at|loaded_at)":("[^"]*"|[0-9]+)', '"\1":0', 'g'"#;

impl State {
    /// Looks at a project. Nothing may be running in it.
    pub fn of(project: &WrittenProject) -> Self {
        let (published, runs) = tables(&project.path().join(WAREHOUSE));
        let (shared, _) = tables(&project.path().join(COPY));
        Self { published, runs, shared, files: files(project.path()) }
    }

    /// What readers see, and nothing else.
    pub fn published(project: &WrittenProject) -> Tables {
        tables(&project.path().join(WAREHOUSE)).0
    }

    /// Files without those that hold the number of a run, which depends on how often builds failed or had nothing to do.
    pub fn files_without_numbers(&self) -> BTreeMap<&str, &str> {
        let files = self.files.iter().filter(|(name, _)| !(name.starts_with("out/") && name.ends_with(".json")));
        files.map(|(name, content)| (name.as_str(), content.as_str())).collect()
    }

    /// Without landings that brought no rows: how many there are depends on when files were seen to be gone.
    pub fn settled(mut self) -> Self {
        for landings in
            [&mut self.published, &mut self.shared].into_iter().filter_map(|seen| seen.get_mut("thalweg.landings"))
        {
            landings.retain(|line| !line.contains("\"state\":\"empty\""));
        }
        self
    }
}

/// What people read: no ledger, no run numbers.
pub fn read_by_people(tables: &Tables) -> Tables {
    let tables = tables.iter().filter(|(name, _)| !name.starts_with("thalweg"));
    tables.map(|(name, rows)| (name.clone(), rows.clone())).collect()
}

/// What readers see, and which runs there were.
fn tables(file: &Path) -> (Tables, Tables) {
    let mut published = Tables::new();
    let mut runs = Tables::new();
    if !file.exists() {
        return (published, runs);
    }
    let mut connection = Engine::open(file, Access::Read, &Settings::default()).unwrap().connect().unwrap();
    connection.begin().unwrap();
    let mut lines = |sql: &str| {
        let answer = connection.query(sql, &[]).unwrap_or_else(|error| panic!("{sql}: {error}"));
        let text = thalweg_run::rows::json_lines(&Rows { schema: answer.schema, batches: answer.batches }).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let names: Vec<String> = lines(
        "select table_schema || '.' || table_name as name from information_schema.tables \
         where table_catalog = current_database() and table_schema not in ('information_schema', 'pg_catalog')",
    )
    .iter()
    .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["name"].as_str().unwrap().to_owned())
    .collect();
    for name in names {
        let done = "run in (select run from thalweg.runs where state = 'published')";
        let idle = "run in (select run from thalweg.runs where state = 'nothing')";
        let (seen, rest) = match name.as_str() {
            "thalweg.meta" | "thalweg.lease" => continue,
            "thalweg.runs" => {
                let columns = "* exclude (epoch, started_at, finished_at)";
                (
                    format!("{columns} from {name} where {done}"),
                    Some(format!("{columns} from {name} where not {done} and not {idle}")),
                )
            }
            "thalweg.steps" | "thalweg.test_results" | "thalweg.refreshes" => {
                let columns = if name == "thalweg.refreshes" {
                    "* exclude (seconds, expected_incremental, expected_full)"
                } else {
                    "* exclude (seconds)"
                };
                (
                    format!("{columns} from {name} where {done}"),
                    Some(format!("{columns} from {name} where not {done} and not {idle}")),
                )
            }
            // Troubles are recorded by runs that could not publish what they are about.
            "thalweg.test_failures" | "thalweg.troubles" => {
                (format!("* from {name} where {done}"), Some(format!("* from {name} where not {done} and not {idle}")))
            }
            "thalweg.landings" => (
                format!(
                    "* exclude (confirmed) replace (regexp_replace(confirmations, {DIFFERING}) as confirmations) from {name}"
                ),
                Some(format!("run, source, stream from {name} where not confirmed")),
            ),
            "thalweg.positions" => {
                (format!("* replace (regexp_replace(value, {DIFFERING}) as value) from {name}"), None)
            }
            // A physical name has dots of its own.
            _ => (format!("* from \"{}\"", name.replacen('.', "\".\"", 1)), None),
        };
        published.insert(name.clone(), lines(&format!("select {seen}")));
        if let Some(rest) = rest {
            runs.insert(name, lines(&format!("select {rest}")));
        }
    }
    // A warehouse with an empty ledger shows as much as none.
    if published.get("thalweg.runs").is_none_or(Vec::is_empty) {
        published.clear();
    }
    (published, runs)
}

/// Files where they arrive, in archives, and of reports.
pub fn files(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for place in ["incoming", "logs", "out"] {
        list(&folder.join(place), place, &mut found);
    }
    found
}

fn list(folder: &Path, name: &str, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let entry = entry.unwrap();
        let name = format!("{name}/{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            list(&entry.path(), &name, found);
        } else {
            let content = fs::read(entry.path()).unwrap();
            // Of a Parquet file it counts that it is there and whole: its bytes are the engine's own affair.
            let content = if content.starts_with(b"PAR1") && content.ends_with(b"PAR1") {
                "parquet".to_owned()
            } else {
                String::from_utf8_lossy(&content).into_owned()
            };
            found.insert(name, content);
        }
    }
}

/// Fails with the lines that differ.
#[track_caller]
pub fn assert_same(what: &str, expected: &Tables, found: &Tables) {
    if let Some(text) = difference(expected, found) {
        panic!("{what}\n{text}");
    }
}

/// The lines that differ; `None` when there are none.
pub fn difference(expected: &Tables, found: &Tables) -> Option<String> {
    let mut text = String::new();
    let names: BTreeSet<&String> = expected.keys().chain(found.keys()).collect();
    for name in names {
        match (expected.get(name), found.get(name)) {
            (Some(_), None) => text.push_str(&format!("{name}: is missing\n")),
            (None, Some(_)) => text.push_str(&format!("{name}: is too much\n")),
            (Some(expected), Some(found)) if expected != found => {
                text.push_str(&format!("{name}:\n"));
                for line in expected.iter().filter(|line| !found.contains(line)).take(SHOWN) {
                    text.push_str(&format!("  - {line}\n"));
                }
                for line in found.iter().filter(|line| !expected.contains(line)).take(SHOWN) {
                    text.push_str(&format!("  + {line}\n"));
                }
                text.push_str(&format!("  {} lines, expected {}\n", found.len(), expected.len()));
            }
            _ => {}
        }
    }
    (!text.is_empty()).then_some(text)
}

/// Fails when anything is different.
#[track_caller]
pub fn assert_same_state(what: &str, expected: &State, found: &State) {
    assert_same(what, &expected.published, &found.published);
    assert_same(what, &expected.runs, &found.runs);
    assert_same(&format!("{what}, in the copy"), &expected.shared, &found.shared);
    assert_eq!(expected.files, found.files, "{what}");
}
