//! Runs and readers of Postgres who wait for one another: a long look never makes a build fail, and a build makes nobody wait for more than
//! moments.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use thalweg_run::{Command, RunState};

use crate::fencing::When;
use crate::site::{Site, on_postgres, options};

/// A model over a model over a stream, built once, and then both definitions have other columns.
fn site() -> Site {
    let site = Site::new(&[
        ("thalweg.yml", "name: shop\n"),
        (
            "sources/web.yml",
            "type: files\npath: incoming\ndefaults: { ready: renamed, primary_key: id }\nstreams: { a: { files: \"a*.csv\" } }\n",
        ),
        ("models/pres/sums.sql", "select g, sum(n) as n from store.a group by g"),
        ("models/pres/shown.sql", "{{ config(materialized='view') }}\nselect g, n from pres.sums"),
        ("models/pres/total.sql", "select sum(n) as n from pres.shown"),
        ("incoming/a1.csv", "id,g,n\n1,1,1\n2,1,2\n"),
    ]);
    assert_eq!(site.build().unwrap().state, RunState::Published);
    site.project.put("incoming/a2.csv", "id,g,n\n3,2,30\n");
    site.project.put("models/pres/sums.sql", "select g, count(*) as lines, sum(n) as n from store.a group by g");
    site.project.put("models/pres/total.sql", "select count(*) as groups, sum(n) as n from pres.shown");
    site
}

/// How long the look is that the build finds.
const LONG: Duration = Duration::from_secs(4);

#[test]
fn a_build_that_waits_for_a_reader_lets_others_through() {
    on_postgres(|| {
        let site = site();
        let database = site.database();
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let (over, database) = (&over, &database);
            let mut long = database.session();
            long.run("begin; select * from pres.sums; select * from pres.total");
            let others = scope.spawn(move || {
                let mut session = database.session();
                let (mut longest, mut looks) = (Duration::ZERO, 0);
                while !over.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    session.run("select (select sum(n) from pres.sums), (select n from pres.total), (select sum(n) from pres.shown)");
                    longest = longest.max(began.elapsed());
                    looks += 1;
                    std::thread::sleep(Duration::from_millis(5));
                }
                (looks, longest)
            });
            let end = When::new("test_finished", || ());
            scope.spawn(move || {
                std::thread::sleep(LONG);
                long.run("rollback");
            });
            let began = Instant::now();
            let outcome = site.build_with(&options(Command::Build), &end);
            let took = began.elapsed();
            over.store(true, Ordering::Relaxed);
            let (looks, longest) = others.join().unwrap();
            println!("{looks} looks during a build of {took:?} that waited for a reader; the longest took {longest:?}");
            assert_eq!(outcome.unwrap().state, RunState::Published);
            assert!(took > LONG, "it did not wait: {took:?}");
            assert!(longest < LONG / 2, "others waited for {longest:?}");
        });
        assert_eq!(site.database().run("select * from pres.total"), "2|33");
        assert_eq!(site.database().run("select * from pres.shown order by 1"), "1|3\n2|30");
    });
}

/// Until everything else is done, readers do not notice: nothing that they read is locked against them.
#[test]
fn nobody_waits_before_everything_else_is_done() {
    on_postgres(|| {
        let site = site();
        let steps = When::new("step_finished", || ());
        struct Looking<'a, O>(&'a O, &'a Site);
        impl<O: thalweg_run::Observer> thalweg_run::Observer for Looking<'_, O> {
            fn event(&self, event: &thalweg_run::Event) {
                self.0.event(event);
                let word = serde_json::to_value(event).unwrap()["event"].as_str().unwrap().to_owned();
                if word == "step_finished" {
                    let seen = self.1.database().run(
                        "set lock_timeout = '200ms'; select sum(n), (select n from pres.total), (select sum(n) from pres.shown) from pres.sums",
                    );
                    assert_eq!(seen, "3|3|3", "{event:?}");
                }
            }
        }
        let outcome = site.build_with(&options(Command::Build), &Looking(&steps, &site)).unwrap();
        assert_eq!(outcome.state, RunState::Published);
        assert!(steps.happened());
        assert_eq!(site.database().run("select * from pres.total"), "2|33");
    });
}

/// The same where a store table gets a column and a wider type, and where what the project no longer has is dropped.
#[test]
fn nobody_waits_for_columns_and_drops_before_everything_else_is_done() {
    struct Looking<'a>(&'a Site);
    impl thalweg_run::Observer for Looking<'_> {
        fn event(&self, event: &thalweg_run::Event) {
            let word = serde_json::to_value(event).unwrap()["event"].as_str().unwrap().to_owned();
            if word == "step_finished" {
                let look = "set lock_timeout = '200ms'; select sum(id), (select sum(n) from pres.sums) from store.a";
                assert_eq!(self.0.database().run(look), "3|3", "{event:?}");
            }
        }
    }
    on_postgres(|| {
        let site = Site::new(&[
            ("thalweg.yml", "name: shop\n"),
            (
                "sources/web.yml",
                "type: files\npath: incoming\ndefaults: { ready: renamed, primary_key: id, sequence_by: at, soft_delete: gone }\n\
                 streams: { a: { files: \"a*.csv\" } }\n",
            ),
            ("models/pres/sums.sql", "select g, sum(n) as n from store.a group by g"),
            ("models/pres/all.sql", "select * from store.a"),
            ("incoming/a1.csv", "id,g,n,at,gone\n1,1,1,1,false\n2,1,2,1,false\n3,1,3,2,true\n"),
        ]);
        assert_eq!(site.build().unwrap().state, RunState::Published);
        let mut options = options(Command::Build);
        options.drop_removed = true;
        site.project.put("incoming/a2.csv", "id,g,n,at,gone,note\n2,1,2.5,2,false,new\n3,1,4,1,false,late\n");
        site.project.remove("models/pres/sums.sql");
        let outcome = site.build_with(&options, &Looking(&site)).unwrap();
        assert_eq!(outcome.state, RunState::Published);
        let database = site.database();
        // What was deleted is still known to have been.
        assert_eq!(database.run("select id, n, note from store.a order by id"), "1|1.0|\n2|2.5|new");
        assert_eq!(database.run("select id, n, note from pres.all order by id"), "1|1.0|\n2|2.5|new");
        let left = "select string_agg(tablename, ' ' order by tablename) from pg_tables where tablename like 'shop.%'";
        assert_eq!(database.run(left), "shop.pres.all.v2 shop.store.a.v2 shop.store.a.v2.tombstones");
        assert_eq!(database.run("select count(*) from pg_views where schemaname = 'pres'"), "1");
        assert_eq!(site.build().unwrap().state, RunState::Nothing);
    });
}

/// Somebody reads what is superseded when the run is done: it stays, and the next run drops it.
#[test]
fn what_is_superseded_and_read_goes_with_the_next_run() {
    on_postgres(|| {
        let site = site();
        let database = site.database();
        let tables =
            || database.run("select tablename from pg_tables where tablename like 'shop.pres.sums.%' order by 1");
        let old = tables();
        assert_eq!(old, "shop.pres.sums.v1");
        let mut reader = database.session();
        reader.run("begin; lock table thalweg_data.\"shop.pres.sums.v1\" in access share mode");
        // What another project left, and what only looks like ours, is none of our business.
        database.run("create table thalweg_data.\"other.pres.x.v1\" (i int)");
        assert_eq!(site.build().unwrap().state, RunState::Published);
        assert_eq!(tables(), "shop.pres.sums.v1\nshop.pres.sums.v2");
        reader.run("rollback");
        assert_eq!(site.build().unwrap().state, RunState::Nothing);
        assert_eq!(tables(), "shop.pres.sums.v2");
        assert_eq!(database.run("select count(*) from pg_tables where tablename like 'other.%'"), "1");
    });
}
