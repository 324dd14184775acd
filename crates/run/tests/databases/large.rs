//! Tables that are large enough to be read in ranges.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use thalweg_run::{AskSources, Command, Event, Observer, OpenOptions, RunError, Workbench};

use super::server::{Database, on_both, step};
use crate::site::options;

const ROWS: u64 = 600_000;

fn large(database: &Database) {
    database.run("create table big (id bigint primary key, n integer, updated MOMENT)");
    let rows = match database {
        Database::Postgres(_) => {
            format!(
                "select i, i % 1000, now() - interval '1 hour' - i * interval '1 millisecond' from generate_series(1, {ROWS}) i"
            )
        }
        Database::Mariadb(_) => {
            format!(
                "select seq, seq % 1000, now(6) - interval 1 hour - interval seq * 1000 microsecond from seq_1_to_{ROWS}"
            )
        }
    };
    database.run(&format!("insert into big {rows}"));
    database.run(if database.kind() == "postgres" { "analyze big" } else { "analyze table big" });
}

/// Asks to stop when so many records were read.
struct StopAfter {
    records: u64,
    cancelled: Arc<AtomicBool>,
    stopped_at: Mutex<Option<u64>>,
}

impl Observer for StopAfter {
    fn event(&self, event: &Event) {
        if let Event::ExtractProgress { records, .. } = event
            && *records >= self.records
            && !self.cancelled.swap(true, Ordering::Relaxed)
        {
            *self.stopped_at.lock().unwrap() = Some(*records);
        }
    }
}

/// The most records that were told as read.
#[derive(Default)]
struct Read(Mutex<u64>);

impl Observer for Read {
    fn event(&self, event: &Event) {
        if let Event::ExtractProgress { records, .. } = event {
            let mut most = self.0.lock().unwrap();
            *most = (*most).max(*records);
        }
    }
}

#[test]
fn an_interrupted_first_load_goes_on_where_it_was() {
    on_both(|database| {
        large(&database);
        let reader = database.project("streams: { big: { cursor: updated, lag: 0s } }\n");
        let cancelled = Arc::new(AtomicBool::new(false));
        let observer =
            StopAfter { records: ROWS * 3 / 4, cancelled: Arc::clone(&cancelled), stopped_at: Mutex::new(None) };
        let open = OpenOptions { ask: AskSources::Now, ..OpenOptions::default() };
        let (bench, _) = Workbench::open(reader.site.project.path(), &open, cancelled).unwrap();
        let stopped = bench.build(&options(Command::Load), &observer);
        assert!(matches!(stopped, Err(RunError::Cancelled)), "{stopped:?}");
        assert!(observer.stopped_at.lock().unwrap().is_some());

        // Meanwhile the source lives on, in ranges that were finished and in others.
        database.run("update big set n = -1, updated = NOW where id in (1, 2, 599999)");
        database.run("delete from big where id in (3, 599998)");
        database.run("insert into big values (0, 7, NOW), (600001, 7, NOW)");

        let read = Read::default();
        let outcome = reader.open().unwrap().build(&options(Command::Load), &read).unwrap();
        let again = *read.0.lock().unwrap();
        assert!(again < ROWS * 3 / 4, "{again} rows were read again on {}", database.kind());
        assert_eq!(step(&outcome, "store.big").rows_after, ROWS);
        let condition = "id < 10 or id > 599990";
        let stored = reader.stored("big", "id, n").into_iter().filter(|row| {
            let id: u64 = row.split(';').next().unwrap().parse().unwrap();
            !(10..=599_990).contains(&id)
        });
        assert_eq!(stored.collect::<Vec<_>>(), reader.at_source("big", "id, n", condition));
        let sums = reader.site.ask("select concat_ws(';', count(*), sum(id), sum(n)) from store.big");
        assert_eq!(
            sums[0][0].clone().unwrap(),
            database.run("select concat_ws(';', count(*), sum(id), sum(n)) from big")
        );
    });
}
