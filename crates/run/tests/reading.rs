//! A reader that never sees half a run.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use thalweg_run::RunState;
use thalweg_warehouse::Access;

use crate::site::{Site, ask};

/// Every delivery writes one number into everything: both streams, and through them all models.
fn deliver(site: &Site, number: usize) {
    let rows: String = (0..40).map(|id| format!("{id},{number}\n")).collect();
    site.project.put("incoming/heads.csv", format!("id,version\n{rows}"));
    site.project.put("incoming/lines.csv", format!("id,version\n{rows}"));
}

/// Within one transaction: the versions in all tables. One, when the reader sees one state.
fn look(site: &Site) -> BTreeSet<String> {
    let mut connection = site.connect(Access::Read).unwrap();
    connection.begin().unwrap();
    let mut seen = BTreeSet::new();
    for table in ["store.heads", "store.lines", "pres.sums", "pres.joined", "pres.shown"] {
        let rows = ask(connection.as_mut(), &format!("select distinct version from {table}"));
        assert_eq!(rows.len(), 1, "{table}: {rows:?}");
        seen.insert(rows[0][0].clone().unwrap());
        // Time for a run to get in between.
        std::thread::sleep(Duration::from_millis(2));
    }
    connection.rollback().unwrap();
    seen
}

#[test]
fn a_reader_sees_a_run_as_a_whole_or_not_at_all() {
    let site = Site::new(&[
        ("thalweg.yml", "name: shop\n"),
        (
            "sources/web.yml",
            "type: files\npath: incoming\ndefaults: { ready: renamed }\nstreams:\n  heads: { files: heads.csv, primary_key: id }\n  \
             lines: { files: lines.csv, write_disposition: replace }\n",
        ),
        ("models/pres/sums.sql", "select version, count(*) as n from store.heads group by version"),
        (
            "models/pres/joined.sql",
            "select l.id, s.version from store.lines l join pres.sums s on s.version = l.version",
        ),
        ("models/pres/shown.sql", "{{ config(materialized='view') }}\nselect * from pres.joined"),
    ]);
    deliver(&site, 0);
    site.build().unwrap();
    let over = AtomicBool::new(false);
    let (looks, versions) = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (mut looks, mut versions) = (0, BTreeSet::new());
            while !over.load(Ordering::Relaxed) {
                let seen = look(&site);
                assert_eq!(seen.len(), 1, "half a run: {seen:?}");
                versions.extend(seen);
                looks += 1;
                // Otherwise the run never gets the file.
                std::thread::sleep(Duration::from_millis(15));
            }
            (looks, versions)
        });
        for number in 1..12 {
            deliver(&site, number);
            if number == 6 {
                // Other columns: the model becomes a new physical version, and its view another.
                site.project.put(
                    "models/pres/sums.sql",
                    "select version, count(*) as n, 1 as one from store.heads group by version",
                );
            }
            let outcome = site.build().unwrap();
            assert_eq!(outcome.state, RunState::Published, "{outcome:?}");
        }
        over.store(true, Ordering::Relaxed);
        reader.join().unwrap()
    });
    assert!(looks > 11, "the reader hardly looked: {looks}");
    assert!(versions.len() > 3, "the reader saw too little: {versions:?}");
}
