//! Kills during the first load of a large table of a real server, which is read in ranges at the same time: ranges that were finished are not
//! read again.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use serde_json::Value;
use thalweg_testkit::{MariadbDatabase, MariadbServer, PostgresDatabase, PostgresServer, TestProject, WrittenProject};

use crate::failpoints::hits;
use crate::folder::copy;
use crate::program::{build_killed_at, build_well, finish, program, signal, start, wait_until};

/// Enough for several ranges.
const ROWS: u64 = 600_000;

enum Database {
    Mariadb(MariadbDatabase<'static>),
    Postgres(PostgresDatabase<'static>),
}

impl Database {
    fn run(&self, sql: &str) -> String {
        match self {
            Self::Mariadb(database) => database.run(sql).replace('\t', "|"),
            Self::Postgres(database) => database.run(sql),
        }
    }

    /// A table, and a project that reads it.
    fn prepared(self) -> (Self, WrittenProject) {
        let (moment, rows, analyze, kind, url) = match &self {
            Self::Mariadb(database) => (
                "timestamp(6) null",
                format!("select seq, seq % 1000, now(6) - interval 1 hour from seq_1_to_{ROWS}"),
                "analyze table big",
                "mariadb",
                database.url(),
            ),
            Self::Postgres(database) => (
                "timestamptz",
                format!("select i, i % 1000, now() - interval '1 hour' from generate_series(1, {ROWS}) i"),
                "analyze big",
                "postgres",
                database.url(),
            ),
        };
        self.run(&format!("create table big (id bigint primary key, n integer, updated {moment})"));
        self.run(&format!("insert into big {rows}"));
        self.run(analyze);
        let source = format!("type: {kind}\nurl: {url}\nstreams: {{ big: {{ cursor: updated }} }}\n");
        let project = TestProject::new().file("thalweg.yml", "name: shop\n").file("sources/db.yml", source);
        (self, project.write())
    }
}

/// A file that must not be written again: its number and when it was written.
type Written = (u64, i64, i64);

/// The finished ranges that an interrupted load left: how many, and their files.
fn finished(project: &WrittenProject) -> Option<(usize, BTreeMap<PathBuf, Written>)> {
    let file = project.files().into_iter().find(|file| file.ends_with("/units.json"))?;
    let units: Value = serde_json::from_str(&fs::read_to_string(project.path().join(&file)).ok()?).ok()?;
    let finished = units["finished"].as_object()?;
    let folder = project.path().join(&file).parent()?.to_owned();
    let mut files = BTreeMap::new();
    for part in finished.values().flat_map(|unit| unit["parts"].as_array().into_iter().flatten()) {
        let path = folder.join(part["file"].as_str()?);
        files.insert(path.clone(), written(&path)?);
    }
    Some((finished.len(), files))
}

fn written(path: &PathBuf) -> Option<Written> {
    let found = fs::metadata(path).ok()?;
    Some((found.ino(), found.mtime(), found.mtime_nsec()))
}

/// Builds again, and asserts that only the other ranges were read and that the store is as the source.
fn goes_on(database: &Database, project: &WrittenProject, ranges: u64, what: &str) {
    let (done, files) = finished(project).unwrap_or_default();
    let (build, hits) = hits(project);
    assert_eq!(build.code, Some(0), "{what}: {build:#?}");
    let read = hits.get("landing::unit-finished").copied().unwrap_or_default();
    assert_eq!(read + done as u64, ranges, "{what}: {done} ranges were finished, {read} were read again");
    for (path, before) in &files {
        assert_eq!(written(path).as_ref(), Some(before), "{what}: {}", path.display());
    }
    let sums = "select concat(count(*), ' ', sum(id), ' ', sum(n)) as sums from";
    let shown = program().run(project, ["show", &format!("{sums} store.big"), "--json"]);
    let stored: Value = serde_json::from_str(shown.stdout.trim()).unwrap();
    assert_eq!(stored["sums"].as_str().unwrap(), database.run(&format!("{sums} big")), "{what}");
    let again = build_well(project);
    assert_eq!(again.state(), Some("nothing"), "{what}: {again:#?}");
}

fn killed_everywhere(database: Database) {
    let (database, before) = database.prepared();
    let undisturbed = copy(&before);
    let ranges = hits(&undisturbed).1["landing::unit-finished"];
    assert!(ranges >= 4, "{ranges}");
    for number in 1..=ranges {
        let project = copy(&before);
        let killed = build_killed_at(&project, &format!("landing::unit-finished:{number}"));
        assert_eq!(killed.code, None, "it was not killed: {killed:#?}");
        let (done, _) = finished(&project).unwrap();
        assert_eq!(done as u64, number);
        // The source lives on: a row of a range that may be finished, one that is new, one that is gone.
        database.run(&format!("update big set n = -{number}, updated = now() where id = {}", 10 + number));
        database.run(&format!("insert into big values ({}, 1, now())", ROWS + number));
        database.run(&format!("delete from big where id in ({}, {})", 100 + number, ROWS - number));
        goes_on(&database, &project, ranges, &format!("killed at range {number}"));
    }
    // From outside, at no place that was prepared.
    let project = copy(&before);
    let child = start(&program(), &project, &["build", "--json"]);
    wait_until("a finished range", || finished(&project).is_some_and(|(done, _)| done > 0));
    signal(&child, "KILL");
    finish(child);
    if finished(&project).is_some() {
        goes_on(&database, &project, ranges, "killed from outside");
    }
}

#[test]
fn a_parallel_first_load_from_postgres_is_killed() {
    killed_everywhere(Database::Postgres(PostgresServer::shared().database()));
}

#[test]
fn a_parallel_first_load_from_mariadb_is_killed() {
    killed_everywhere(Database::Mariadb(MariadbServer::shared().database()));
}
