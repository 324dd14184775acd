//! Runs that lose their lease, runs beside one another, and runs that are asked to stop.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use thalweg_run::{Command, Event, Observer, RunError, RunState, Silent};
use thalweg_warehouse::{Access, WarehouseErrorKind};

use crate::laws;
use crate::site::{Site, options};

/// Two streams, a view, two models, a test, files that are archived.
fn site() -> Site {
    let site = Site::new(&[
        ("thalweg.yml", "name: shop\n"),
        (
            "sources/web.yml",
            "type: files\npath: incoming\ndefaults: { ready: renamed, primary_key: id, after: archive }\nstreams:\n  \
             a: { files: \"a*.csv\", columns: [{ name: n, data_tests: [not_null] }] }\n  b: { files: \"b*.csv\" }\n",
        ),
        ("models/pres/sums.sql", "select sum(n) as n from store.a"),
        ("models/pres/both.sql", "select (select n from pres.sums) + (select count(*) from store.b) as n"),
        ("models/pres/shown.sql", "{{ config(materialized='view') }}\nselect * from pres.both"),
        ("incoming/a1.csv", "id,n\n1,1\n2,2\n"),
        ("incoming/b1.csv", "id\n1\n"),
    ]);
    assert_eq!(site.build().unwrap().state, RunState::Published);
    site.project.put("incoming/a2.csv", "id,n\n2,20\n3,3\n");
    site.project.put("incoming/b2.csv", "id\n2\n");
    site
}

/// Does something when an event of a kind is heard for the first time.
pub struct When<F> {
    word: &'static str,
    act: Mutex<Option<F>>,
    pub heard: Mutex<Vec<Event>>,
}

impl<F: FnOnce() + Send> When<F> {
    pub fn new(word: &'static str, act: F) -> Self {
        Self { word, act: Mutex::new(Some(act)), heard: Mutex::new(Vec::new()) }
    }

    fn reused(&self, name: &str) -> bool {
        let is = |event: &Event| matches!(event, Event::ExtractFinished { stream, reused: true, .. } if stream == name);
        self.heard.lock().unwrap().iter().any(is)
    }

    pub fn happened(&self) -> bool {
        self.act.lock().unwrap().is_none()
    }
}

fn word(event: &Event) -> String {
    serde_json::to_value(event).unwrap()["event"].as_str().unwrap().to_owned()
}

impl<F: FnOnce() + Send> Observer for When<F> {
    fn event(&self, event: &Event) {
        self.heard.lock().unwrap().push(event.clone());
        if word(event) == self.word
            && let Some(act) = self.act.lock().unwrap().take()
        {
            act();
        }
    }
}

/// How things stand, leases aside.
fn assert_as_before(site: &Site, before: &laws::Snapshot) {
    let after = laws::snapshot(site);
    assert!(*before == after, "something was published:\n{}", before.difference(&after));
}

fn answer(site: &Site) -> String {
    site.ask("select n from pres.shown")[0][0].clone().unwrap()
}

#[test]
fn who_lost_the_lease_publishes_nothing() {
    for event in ["run_started", "extract_finished"] {
        let site = site();
        let before = laws::snapshot(&site);
        let thief = When::new(event, || {
            let mut connection = site.connect(Access::Write).unwrap();
            connection
                .execute("update thalweg.lease set epoch = epoch + 1, holder = 'a thief', checks = checks + 1", &[])
                .unwrap();
        });
        let error = site.build_with(&options(Command::Build), &thief).expect_err("it lost its lease");
        assert!(thief.happened());
        let RunError::Warehouse(inner) = &error else { panic!("{error:?}") };
        assert_eq!(inner.kind, WarehouseErrorKind::Fenced);
        assert!(error.to_string().contains("a thief"), "{error}");
        assert_as_before(&site, &before);
        assert!(site.project.exists("incoming/a2.csv"), "a file went to the archive, and nobody had published it");
        // Whoever comes next finishes the run.
        assert_eq!(site.build().unwrap().state, RunState::Published);
        assert_eq!(answer(&site), "26");
        assert!(!site.project.exists("incoming/a2.csv"));
    }
}

#[test]
fn the_lease_is_looked_at_again_before_the_commit() {
    // Within the transaction nobody else gets at the file; another connection of this process does.
    let site = site();
    let before = laws::snapshot(&site);
    let thief = When::new("step_finished", || {
        let mut connection = site.connect(Access::Write).unwrap();
        // Refused because the run touched the row first, or committed and found later: in no case both publish.
        _ = connection
            .execute("update thalweg.lease set epoch = epoch + 1, holder = 'a thief', checks = checks + 1", &[]);
    });
    let result = site.build_with(&options(Command::Build), &thief);
    assert!(thief.happened());
    let epoch = site.ask("select holder from thalweg.lease")[0][0].clone().unwrap();
    match result {
        Ok(outcome) => {
            assert_eq!(outcome.state, RunState::Published);
            assert_ne!(epoch, "a thief", "both have it");
        }
        Err(error) => {
            assert!(
                matches!(&error, RunError::Warehouse(inner) if inner.kind == WarehouseErrorKind::Fenced),
                "{error:?}"
            );
            assert_as_before(&site, &before);
        }
    }
}

#[test]
fn of_two_builds_one_works_and_the_other_says_who_does() {
    let site = site();
    let (reached, wait_for_reached) = mpsc::channel();
    let (go_on, wait_for_go_on) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let first = When::new("extract_started", move || {
            reached.send(()).unwrap();
            wait_for_go_on.recv_timeout(Duration::from_secs(60)).unwrap();
        });
        let site = &site;
        let worker = scope.spawn(move || site.build_with(&options(Command::Build), &first).unwrap());
        wait_for_reached.recv_timeout(Duration::from_secs(60)).unwrap();
        let error = site.build().expect_err("somebody is at work");
        let RunError::Warehouse(inner) = &error else { panic!("{error:?}") };
        assert_eq!(inner.kind, WarehouseErrorKind::Busy);
        assert_eq!(error.exit_code(), 2);
        let process = format!("process {}", std::process::id());
        assert!(error.to_string().contains("thalweg build") && error.to_string().contains(&process), "{error}");
        go_on.send(()).unwrap();
        assert_eq!(worker.join().unwrap().state, RunState::Published);
    });
    assert_eq!(answer(&site), "26");
    assert_eq!(site.build().unwrap().state, RunState::Nothing);
}

#[test]
fn what_is_asked_to_stop_publishes_nothing_and_goes_on_later() {
    for event in
        ["run_started", "extract_started", "extract_finished", "step_started", "step_finished", "test_finished"]
    {
        let site = site();
        let before = laws::snapshot(&site);
        let cancelled = Arc::new(AtomicBool::new(false));
        let stop = When::new(event, || cancelled.store(true, Ordering::Relaxed));
        let one_thread = thalweg_run::BuildOptions { threads: Some(1), ..options(Command::Build) };
        let bench = site.open_cancellable(&cancelled).unwrap();
        let error = bench.build(&one_thread, &stop).expect_err("it was asked to stop");
        assert!(stop.happened(), "{event} was never heard");
        assert!(matches!(error, RunError::Cancelled), "{event}: {error:?}");
        assert_as_before(&site, &before);
        assert!(site.project.exists("incoming/a2.csv"), "{event}");
        let finished: Vec<String> = stop
            .heard
            .lock()
            .unwrap()
            .iter()
            .filter_map(|event| match event {
                Event::ExtractFinished { stream, .. } => Some(stream.clone()),
                _ => None,
            })
            .collect();
        // The next one has the same number and takes up what was read.
        let next = When::new("run_started", || ());
        let outcome = site.build_with(&one_thread, &next).unwrap();
        assert_eq!((outcome.run, outcome.state), (2, RunState::Published), "{event}");
        for heard in next.heard.lock().unwrap().iter() {
            match heard {
                Event::RunStarted { resumed, .. } => assert!(resumed, "{event}"),
                Event::ExtractFinished { stream, reused, .. } => {
                    assert_eq!(*reused, finished.contains(stream), "{event}: {stream}");
                }
                _ => {}
            }
        }
        assert_eq!(answer(&site), "26", "{event}");
        assert!(!site.project.exists("incoming/a2.csv"), "{event}");
        assert_eq!(site.build().unwrap().state, RunState::Nothing, "{event}");
    }
}

#[test]
fn what_was_read_is_not_taken_up_under_another_definition_or_by_another_warehouse() {
    let site = site();
    let cancelled = Arc::new(AtomicBool::new(false));
    let stop = When::new("step_started", || cancelled.store(true, Ordering::Relaxed));
    let bench = site.open_cancellable(&cancelled).unwrap();
    bench.build(&options(Command::Build), &stop).expect_err("it was asked to stop");
    let definition = site.project.read("sources/web.yml").replace("name: n,", "name: n, type: \"decimal(9,2)\",");
    site.project.put("sources/web.yml", definition);
    let next = When::new("run_started", || ());
    site.build_with(&options(Command::Build), &next).unwrap();
    assert!(!next.reused("web.a"), "it was read under another definition");
    assert_eq!(site.ask("select n from store.a where id = 3")[0][0].as_deref(), Some("3.00"));
    // The warehouse is lost, the landing is not: a new warehouse begins again with run 1.
    for file in site.project.files().iter().filter(|file| file.contains(".duckdb")) {
        site.project.remove(file);
    }
    site.project.put("incoming/a1.csv", "id,n\n7,7\n");
    let anew = When::new("never", || ());
    site.build_with(&options(Command::Build), &anew).unwrap();
    assert!(!anew.reused("web.a") && !anew.reused("web.b"));
    assert_eq!(site.ask("select id from store.a"), [[Some("7".to_owned())]]);
}

#[test]
fn a_failing_run_keeps_its_number_to_itself() {
    let site = site();
    site.project.put("incoming/a3.csv", "id,n\n9,\n");
    let outcome = site.build_with(&options(Command::Build), &Silent).unwrap();
    assert_eq!((outcome.run, outcome.state), (2, RunState::Failed));
    site.project.put("incoming/a3.csv", "id,n\n9,9\n");
    let outcome = site.build().unwrap();
    assert_eq!((outcome.run, outcome.state), (3, RunState::Published));
    assert_eq!(answer(&site), "35");
    assert_eq!(site.open().runs(9).unwrap().iter().map(|run| run.run).collect::<Vec<_>>(), [3, 2, 1]);
}
