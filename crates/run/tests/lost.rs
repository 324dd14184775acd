//! Connections to Postgres that are lost in the middle of a run, and others who work on the same tables: the run goes on, and nothing is
//! done twice.

use std::time::{Duration, Instant};

use thalweg_run::{BuildOptions, Command, Event, RunError, RunOutcome, RunState};
use thalweg_testkit::{PostgresDatabase, PostgresServer};
use thalweg_warehouse::WarehouseErrorKind;

use crate::fencing::When;
use crate::site::{Site, on_postgres, options};

/// A stream with a key, one that appends, two models and a test; a first build is published, and more has come. Appended rows would
/// be there twice if anything were repeated blindly.
fn shop(settings: &str) -> Site {
    let site = Site::new(&[
        ("thalweg.yml", &format!("name: shop\n{settings}")),
        (
            "sources/web.yml",
            "type: files\npath: incoming\ndefaults: { ready: renamed, after: archive }\nstreams:\n  \
             a: { files: \"a*.csv\", primary_key: id, columns: [{ name: n, data_tests: [not_null] }] }\n  \
             b: { files: \"b*.csv\", write_disposition: append }\n",
        ),
        ("models/pres/sums.sql", "select sum(n) as n from store.a"),
        ("models/pres/both.sql", "select (select n from pres.sums) + (select count(*) from store.b) as n"),
        ("incoming/a1.csv", "id,n\n1,1\n2,2\n"),
        ("incoming/b1.csv", "x\n1\n"),
    ]);
    assert_eq!(site.build().unwrap().state, RunState::Published);
    site.project.put("incoming/a2.csv", "id,n\n2,20\n3,3\n");
    site.project.put("incoming/b2.csv", "x\n2\n");
    site
}

/// The second build is published, once, and the next one has nothing to do.
#[track_caller]
fn assert_published(site: &Site, outcome: &RunOutcome) {
    assert_eq!((outcome.run, outcome.state), (2, RunState::Published));
    assert_eq!(site.ask("select n from pres.both"), [[Some("26".to_owned())]]);
    assert_eq!(site.ask("select count(*) from store.b"), [[Some("2".to_owned())]]);
    assert_eq!(site.ask("select run, state from thalweg.runs order by run").len(), 2);
    assert!(!site.project.exists("incoming/a2.csv"), "the source was not told");
    assert_eq!(site.build().unwrap().state, RunState::Nothing);
}

/// Ends the sessions of the warehouse's users whose names begin so; how many.
fn kill(database: &PostgresDatabase<'_>, application: &str) -> String {
    database.run(&format!(
        "select count(pg_terminate_backend(pid, 5000)) from pg_stat_activity where datname = current_database() \
         and application_name like '{application}%'"
    ))
}

/// Waits for a session of the warehouse of which this is true.
fn wait_for(database: &PostgresDatabase<'_>, condition: &str) {
    let began = Instant::now();
    let sql = format!("select count(*) from pg_stat_activity where datname = current_database() and {condition}");
    while database.run(&sql) == "0" {
        assert!(began.elapsed() < Duration::from_secs(30), "waited in vain for {condition}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn said(outcome: &RunOutcome, text: &str) -> bool {
    outcome.notes.iter().any(|note| note.warning && note.message.contains(text))
}

#[test]
fn a_connection_lost_before_the_commit_is_another_one() {
    on_postgres(|| {
        for (event, application) in [
            ("extract_finished", "thalweg"),
            ("step_started", "thalweg"),
            ("step_finished", "thalweg"),
            ("test_finished", "thalweg"),
            // Only the lock is lost: nobody notices until the next run is begun.
            ("step_finished", "thalweg lock"),
            ("published", "thalweg"),
        ] {
            let site = shop("");
            let killer = When::new(event, || assert_ne!(kill(&site.database(), application), "0"));
            let outcome = site.build_with(&options(Command::Build), &killer).unwrap();
            assert!(killer.happened(), "{event}");
            let noticed = application == "thalweg" && event != "extract_finished";
            assert_eq!(said(&outcome, "the connection was lost"), noticed, "{event}: {:?}", outcome.notes);
            assert_published(&site, &outcome);
        }
    });
}

/// A trigger ends the session in the middle of its COMMIT, the first time only: a sequence forgets nothing.
#[test]
fn a_commit_that_did_not_happen_is_done_again() {
    on_postgres(|| {
        let site = shop("");
        site.database().run(
            "create sequence public.deaths; \
             create function public.die() returns trigger language plpgsql as $$ begin \
               if nextval('public.deaths') = 1 then perform pg_terminate_backend(pg_backend_pid()); perform pg_sleep(10); end if; \
               return null; end $$; \
             create constraint trigger die after insert on thalweg.steps deferrable initially deferred \
               for each row execute function public.die()",
        );
        let outcome = site.build_with(&options(Command::Build), &When::new("never", || ())).unwrap();
        assert!(said(&outcome, "by the ledger, nothing was committed"), "{:?}", outcome.notes);
        assert_published(&site, &outcome);
    });
}

/// The server has committed and waits for a replica that is not there when its session is ended.
#[test]
fn a_commit_that_happened_is_not_done_again() {
    on_postgres(|| {
        let site = shop("");
        let database = site.database();
        database.run(&format!("alter database {} set synchronous_commit = on", database.name()));
        let set = |value: &str| {
            let all = PostgresServer::shared().database_named("postgres");
            all.run(&format!("alter system set synchronous_standby_names = '{value}'"));
            all.run("select pg_reload_conf()");
        };
        std::thread::scope(|scope| {
            let database = &database;
            let wait = When::new("test_finished", || {
                set("nobody");
                scope.spawn(|| {
                    wait_for(database, "wait_event = 'SyncRep'");
                    kill(database, "thalweg");
                    set("");
                });
            });
            let outcome = site.build_with(&options(Command::Build), &wait).unwrap();
            assert!(wait.happened());
            assert!(said(&outcome, "by the ledger, run 2 is committed"), "{:?}", outcome.notes);
            assert_published(&site, &outcome);
        });
    });
}

#[test]
fn whoever_has_taken_over_while_the_connection_was_lost_keeps_what_it_has() {
    on_postgres(|| {
        let site = shop("");
        let thief = When::new("step_finished", || {
            kill(&site.database(), "thalweg");
            site.database().run("update thalweg.lease set epoch = epoch + 1, holder = 'a thief', checks = checks + 1");
        });
        let error = site.build_with(&options(Command::Build), &thief).expect_err("it lost its lease");
        assert!(matches!(&error, RunError::Warehouse(inner) if inner.kind == WarehouseErrorKind::Fenced), "{error:?}");
        assert!(error.to_string().contains("a thief"), "{error}");
        assert_eq!(site.ask("select n from pres.both"), [[Some("4".to_owned())]]);
        let outcome = site.build().unwrap();
        assert_published(&site, &outcome);
    });
}

/// A server that stays away is waited for as long as the run may wait.
#[test]
fn a_server_that_is_gone_is_told_of_and_one_that_comes_back_is_used() {
    let server = PostgresServer::start(&["synchronous_commit=on"]);
    let database = server.database();
    let site = shop(&format!("targets: {{ dev: {{ type: postgres, url: \"{}\" }} }}\n", database.url()));
    // The commit waits in a trigger until the server stops.
    database.run(
        "create function public.wait() returns trigger language plpgsql as $$ begin perform pg_sleep(60); return null; end $$; \
         create constraint trigger wait after insert on thalweg.steps deferrable initially deferred \
           for each row execute function public.wait()",
    );
    let impatient = BuildOptions { lock_timeout: Duration::from_secs(1), ..options(Command::Build) };
    let stop_while_committing = || {
        wait_for(&database, "query = 'commit' and state = 'active'");
        server.stop_at_once();
    };
    std::thread::scope(|scope| {
        let stop = When::new("test_finished", || _ = scope.spawn(stop_while_committing));
        let error = site.build_with(&impatient, &stop).expect_err("the server is gone");
        assert!(
            matches!(&error, RunError::Warehouse(inner) if inner.kind == WarehouseErrorKind::CommitUnknown),
            "{error:?}"
        );
        assert!(error.to_string().contains("the ledger cannot be asked"), "{error}");
    });
    server.start_again();
    assert_eq!(site.ask("select n from pres.both"), [[Some("4".to_owned())]]);
    // This time it comes back while the run waits for it; its lock went with it, too.
    std::thread::scope(|scope| {
        let restart = When::new("test_finished", || {
            scope.spawn(|| {
                stop_while_committing();
                server.start_again();
                database.run("drop trigger wait on thalweg.steps");
            });
        });
        let outcome = site.build_with(&options(Command::Build), &restart).unwrap();
        assert!(said(&outcome, "by the ledger, nothing was committed"), "{:?}", outcome.notes);
        assert_published(&site, &outcome);
    });
}

/// How often the publication was begun again.
fn times_again<F: FnOnce() + Send>(heard: &When<F>) -> usize {
    let again = |event: &&Event| matches!(event, Event::Note { message, .. } if message.contains("beginning the publication again"));
    heard.heard.lock().unwrap().iter().filter(again).count()
}

#[test]
fn a_lock_that_is_held_too_long_is_waited_for_again() {
    on_postgres(|| {
        let site = shop("");
        let database = site.database();
        let text = site.project.read("thalweg.yml").replace("type: postgres,", "type: postgres, lock_timeout: 200ms,");
        site.project.put("thalweg.yml", text);
        let table = database.run(
            "select format('%I.%I', schemaname, tablename) from pg_tables where tablename like 'shop.pres.both%' limit 1",
        );
        std::thread::scope(|scope| {
            let database = &database;
            let hold = When::new("step_finished", || {
                let mut session = database.session();
                session.run(&format!("begin; lock table {table} in access exclusive mode"));
                scope.spawn(move || {
                    wait_for(database, "wait_event_type = 'Lock'");
                    std::thread::sleep(Duration::from_millis(400));
                    session.run("rollback");
                });
            });
            let outcome = site.build_with(&options(Command::Build), &hold).unwrap();
            assert!(times_again(&hold) > 0);
            assert_published(&site, &outcome);
        });
    });
}

/// The other one waits for us first, with more patience than we have.
#[test]
fn a_deadlock_is_got_out_of() {
    on_postgres(|| {
        let site = shop("");
        let database = site.database();
        let table = |name: &str| {
            let named = format!(
                "select format('%I.%I', schemaname, tablename) from pg_tables where tablename like 'shop.{name}.v%'"
            );
            database.run(&named)
        };
        let (first, last) = (table("store.a"), table("pres.both"));
        std::thread::scope(|scope| {
            let (database, first, last) = (&database, &first, &last);
            let cross = When::new("step_finished", move || {
                let mut session = database.session();
                session
                    .run(&format!("set deadlock_timeout = '60s'; begin; lock table {last} in access exclusive mode"));
                scope.spawn(move || {
                    session.run(&format!("lock table {first} in access exclusive mode"));
                    session.run("rollback");
                });
            });
            let outcome = site.build_with(&options(Command::Build), &cross).unwrap();
            assert_eq!(times_again(&cross), 1);
            assert_published(&site, &outcome);
        });
    });
}
