//! The same history with the warehouse in Postgres: builds are killed, and the server is stopped at once. Readers see old or new, whole; the
//! next build ends where an undisturbed one ends; nothing is left behind, and nobody holds the lock.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{LazyLock, OnceLock};
use std::time::{Duration, Instant};

use regex::Regex;
use serde_json::Value;
use thalweg_testkit::{PostgresDatabase, PostgresServer, PostgresSession, WrittenProject};

use crate::failpoints::hits;
use crate::folder::{copy, deliver};
use crate::parallel::for_each;
use crate::program::{BUILD, build_killed_at, build_well, finish, program, start, wait_until};
use crate::project;
use crate::random::Dice;
use crate::state::{State, Tables, assert_same, assert_same_state, difference, files};

/// Statements killed at in each build, beside one hit of every other failpoint.
const STATEMENTS: u64 = 10;

/// The target of the project in `project`.
const EMBEDDED: &str = "{ type: duckdb, path: warehouse.duckdb, threads: 2, published_copy: shared/copy.duckdb }";

/// The project and the database it builds.
struct Shop {
    project: WrittenProject,
    server: &'static PostgresServer,
    database: String,
}

impl Shop {
    /// Before anything was delivered.
    fn new(server: &'static PostgresServer) -> Self {
        let shop = Self { project: project::project().write(), server, database: server.database().name().to_owned() };
        shop.point_at(EMBEDDED);
        shop
    }

    fn point_at(&self, before: &str) {
        let target = format!("{{ type: postgres, url: \"{}\" }}", self.database().url());
        let text = self.project.read("thalweg.yml");
        assert!(text.contains(before), "{text}");
        self.project.put("thalweg.yml", text.replace(before, &target));
    }

    fn database(&self) -> PostgresDatabase<'static> {
        self.server.database_named(&self.database)
    }

    /// The same in another folder and another database.
    fn copy(&self) -> Self {
        let database = self.server.copy_of(&self.database).name().to_owned();
        let other = Self { project: copy(&self.project), server: self.server, database };
        other.point_at(&format!("{{ type: postgres, url: \"{}\" }}", self.database().url()));
        other
    }

    /// Everything that can be seen of it. Nothing may be running.
    fn state(&self) -> State {
        let (published, runs) = tables(&mut self.database().session());
        State { published, runs, shared: Tables::new(), files: files(self.project.path()) }
    }

    fn published(&self) -> Tables {
        tables(&mut self.database().session()).0
    }

    /// The server has noticed that a killed build is gone: its sessions have ended, and with them its lock and its temporary tables.
    #[track_caller]
    fn is_left_alone(&self) {
        self.is_unlocked();
        let left = "select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname like 'pg_temp%'";
        assert_eq!(self.database().run(left), "0", "temporary tables of a build that is gone");
    }

    /// The sessions of a build have ended, and with them its lock. What a server that was stopped at once has no time to drop are temporary
    /// tables of a transaction that was committed a moment before: they stay until its autovacuum, or another session in the same place.
    #[track_caller]
    fn is_unlocked(&self) {
        let database = self.database();
        wait_until("the end of the sessions of a killed build", || {
            database.run(
                "select count(*) from pg_stat_activity where datname = current_database() and application_name like 'thalweg%'",
            ) == "0"
        });
        let held = "select count(*) from pg_locks where locktype = 'advisory' and database = \
             (select oid from pg_database where datname = current_database())";
        assert_eq!(database.run(held), "0", "a lock that nobody holds");
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.server.forget(&self.database);
        }
    }
}

/// What differs by nature, also where it stands in a text within the JSON.
static DIFFERING: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"\\?"(mtime_ns|ctime_ns|inode|seen_at|loaded_at)\\?": ?(\\?"[^"\\]*\\?"|[0-9]+)"#).unwrap()
});

/// What readers see in one snapshot, and which runs there were: as `state` has it of the other warehouse.
fn tables(session: &mut PostgresSession) -> (Tables, Tables) {
    let (mut published, mut runs) = (Tables::new(), Tables::new());
    session.run("begin isolation level repeatable read");
    let names = session.run(
        "select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace \
         where c.relkind in ('r', 'p', 'v') and not c.relispartition and n.nspname not in ('information_schema') and n.nspname not like 'pg\\_%' order by 1",
    );
    for name in names.lines() {
        let done = "run in (select run from thalweg.runs where state = 'published')";
        let idle = "run in (select run from thalweg.runs where state = 'nothing')";
        let rest = format!("not {done} and not {idle}");
        let (without, seen, rest) = match name {
            "thalweg.meta" | "thalweg.lease" => continue,
            "thalweg.runs" => ("epoch,started_at,finished_at", done, Some(rest)),
            "thalweg.steps" | "thalweg.test_results" => ("seconds", done, Some(rest)),
            "thalweg.refreshes" => ("seconds,expected_incremental,expected_full", done, Some(rest)),
            "thalweg.test_failures" | "thalweg.troubles" => ("", done, Some(rest)),
            "thalweg.landings" => ("confirmed", "true", Some("not confirmed".to_owned())),
            _ => ("", "true", None),
        };
        let quoted = format!("\"{}\"", name.replacen('.', "\".\"", 1));
        let mut lines = |condition: &str| {
            let answer =
                session.run(&format!("select to_jsonb(t) - '{{{without}}}'::text[] from {quoted} t where {condition}"));
            let compact = |line: &str| serde_json::from_str::<Value>(line).unwrap().to_string();
            let alike = |line: String| DIFFERING.replace_all(&line, "$1").into_owned();
            let mut lines: Vec<String> = answer.lines().map(compact).map(alike).collect();
            lines.sort();
            lines
        };
        published.insert(name.to_owned(), lines(seen));
        if let Some(rest) = rest {
            runs.insert(name.to_owned(), lines(&rest));
        }
    }
    session.run("commit");
    // A warehouse with an empty ledger shows as much as none.
    if published.get("thalweg.runs").is_none_or(Vec::is_empty) {
        published.clear();
    }
    (published, runs)
}

/// One delivery and its build that nobody disturbed.
struct Step {
    before: Shop,
    after: State,
    /// The same after one more build, which had nothing to do but to forget the files that went to the archive.
    settled: State,
    /// How long the build took, its process included.
    length: Duration,
}

/// The history up to the build of a number, the second or the third.
fn undisturbed(server: &'static PostgresServer, number: usize) -> Step {
    let shop = Shop::new(server);
    for earlier in 1..number {
        deliver(&shop.project, earlier, project::deliver(earlier));
        assert_eq!(build_well(&shop.project).state(), Some("published"));
    }
    deliver(&shop.project, number, project::deliver(number));
    let built = shop.copy();
    let began = Instant::now();
    let build = build_well(&built.project);
    assert_eq!((build.run(), build.state()), (Some((number as i64, false)), Some("published")), "{build:#?}");
    let (after, length) = (built.state(), began.elapsed());
    assert_eq!(build_well(&built.project).state(), Some("nothing"));
    Step { before: shop, after, settled: built.state().settled(), length }
}

/// Fails unless a build that has nothing to do leaves everything as after a history without disturbance.
#[track_caller]
fn assert_settles(step: &Step, shop: &Shop) {
    assert_quiet(step, shop);
    shop.is_left_alone();
}

/// The same; temporary tables may be left where the server was stopped.
#[track_caller]
fn assert_quiet(step: &Step, shop: &Shop) {
    let quiet = build_well(&shop.project);
    assert_eq!(quiet.state(), Some("nothing"), "{quiet:#?}");
    let found = shop.state().settled();
    assert_same("after a quiet build", &step.settled.published, &found.published);
    assert_same("runs after a quiet build", &step.settled.runs, &found.runs);
    assert_eq!(step.settled.files, found.files, "after a quiet build");
    shop.is_unlocked();
}

/// Whether readers see what the build published; fails where they see neither old nor new.
#[track_caller]
fn all_or_nothing(before: &Tables, after: &State, shop: &Shop) -> bool {
    let seen = shop.published();
    // Versions that are superseded go after the commit, or with the next build.
    let left = |name: &String| {
        name.starts_with("thalweg_data.") && before.contains_key(name) && !after.published.contains_key(name)
    };
    let shown: Tables =
        seen.iter().filter(|(name, _)| !left(name)).map(|(name, rows)| (name.clone(), rows.clone())).collect();
    if let (Some(old), Some(new)) = (difference(before, &seen), difference(&after.published, &shown)) {
        panic!("readers see something between.\nAgainst before:\n{old}Against after:\n{new}");
    }
    shown == after.published
}

/// The places a build is killed at: one hit of every failpoint, and some statements.
fn places(hits: &BTreeMap<String, u64>, dice: &mut Dice) -> Vec<String> {
    let mut places = Vec::new();
    for (name, &count) in hits {
        let times = if name == "warehouse::statement" { STATEMENTS } else { 1 };
        places.extend((0..times).map(|_| format!("{name}:{}", dice.below(count) + 1)));
    }
    places
}

/// Kills the builds of one project at one place after the other, until one publishes or comes by a place no more.
fn kill_in_a_row(step: &Step, before: &Tables, places: &[String]) {
    let mut left: VecDeque<&String> = places.iter().collect();
    while !left.is_empty() {
        let shop = step.before.copy();
        let (mut killed, mut published) = (0, false);
        while let Some(place) = left.pop_front() {
            let build = build_killed_at(&shop.project, place);
            if build.code.is_some() {
                assert!(killed > 0, "{place}: it was not killed: {build:#?}");
                left.push_front(place);
                published = all_or_nothing(before, &step.after, &shop);
                break;
            }
            killed += 1;
            shop.is_left_alone();
            published = all_or_nothing(before, &step.after, &shop);
            if published {
                break;
            }
        }
        let last = build_well(&shop.project);
        if published {
            assert_eq!(last.state(), Some("nothing"), "{last:#?}");
        } else {
            assert_same_state("after a row of kills", &step.after, &shop.state());
        }
        assert_settles(step, &shop);
    }
}

fn kill_a_sample(number: usize, seed: u64) {
    let step = undisturbed(PostgresServer::shared(), number);
    let before = step.before.published();
    let watched = step.before.copy();
    let (build, hits) = hits(&watched.project);
    assert_eq!(build.code, Some(0), "{build:#?}");
    let places = places(&hits, &mut Dice(seed));
    println!("build {number} on Postgres: {} failpoints, {} kills", hits.len(), places.len());
    let rows: Vec<Vec<String>> = (0..4).map(|row| places.iter().skip(row).step_by(4).cloned().collect()).collect();
    for_each(&rows, |row| kill_in_a_row(&step, &before, row));
}

#[test]
fn the_second_build_is_killed_at_a_sample_of_places() {
    kill_a_sample(2, 0x7267_2026);
}

#[test]
fn the_third_build_is_killed_at_a_sample_of_places() {
    kill_a_sample(3, 0x7267_2027);
}

/// A server whose commits are in the files when it says so: what is stopped at once then loses nothing.
fn server() -> &'static PostgresServer {
    static SERVER: OnceLock<PostgresServer> = OnceLock::new();
    SERVER.get_or_init(|| PostgresServer::start(&["synchronous_commit=on"]))
}

/// A build that may wait goes on when the server is back, another one fails and leaves the work to the next.
#[test]
fn the_server_is_stopped_at_once_in_the_middle_of_a_build() {
    let server = server();
    let step = undisturbed(server, 2);
    let before = step.before.published();
    let mut dice = Dice(0x7374_6f70);
    for patience in ["0s", "0s", "0s", "60s", "60s", "60s"] {
        let shop = step.before.copy();
        let arguments = [&BUILD[..], &["--lock-timeout", patience]].concat();
        let child = start(&program(), &shop.project, &arguments);
        std::thread::sleep(step.length.mul_f64(0.2 + 0.8 * dice.below(100) as f64 / 100.0));
        server.stop_at_once();
        std::thread::sleep(Duration::from_millis(200));
        server.start_again();
        let build = finish(child);
        println!("stopped, {patience}: {:?} {:?}", build.code, build.state());
        let published = all_or_nothing(&before, &step.after, &shop);
        assert!(published || build.code != Some(0), "{build:#?}");
        shop.is_unlocked();
        let next = build_well(&shop.project);
        let expected = if published { "nothing" } else { "published" };
        assert_eq!(next.state(), Some(expected), "{build:#?}\n{next:#?}");
        assert_quiet(&step, &shop);
    }
}
