//! A reader of Postgres that looks at everything, all the time, while runs insert, update, delete, change definitions and build anew: it
//! never sees half a run.
//!
//! `THALWEG_READER_LOOKS=100000` looks longer.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use thalweg_run::{BuildOptions, Command, RunState, Silent};
use thalweg_warehouse::{Access, Connection};

use crate::site::{Site, ask, on_postgres, options};

const LINES: u64 = 400;

/// Numbers that look random and are the same in every run (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// What is compared within one state: the lines, and what every table above them says of them.
const SUMS: [&str; 7] = [
    "select coalesce(sum(n), 0)::bigint, count(*) from store.lines",
    "select coalesce(sum(n), 0)::bigint, coalesce(sum(lines), 0)::bigint from pres.by_group",
    "select coalesce(sum(n), 0)::bigint, count(*) from pres.joined",
    "select coalesce(sum(n), 0)::bigint, coalesce(sum(lines), 0)::bigint from pres.total",
    "select coalesce(sum(n), 0)::bigint, coalesce(sum(lines), 0)::bigint from pres.shown",
    "select coalesce(sum(n), 0)::bigint, count(*) from pres.ranked",
    "select coalesce(sum(n), 0)::bigint, coalesce(sum(lines), 0)::bigint from store.heads",
];

fn site() -> Site {
    Site::new(&[
        ("thalweg.yml", "name: shop\n"),
        (
            "sources/web.yml",
            "type: files\npath: incoming\ndefaults: { ready: renamed, primary_key: id }\nstreams:\n  \
             lines: { files: \"lines*.csv\", soft_delete: gone }\n  heads: { files: heads.csv, write_disposition: replace }\n",
        ),
        ("models/pres/by_group.sql", &by_group(0)),
        ("models/pres/joined.sql", &joined(0)),
        ("models/pres/total.sql", "select sum(n) as n, sum(lines) as lines from pres.by_group"),
        ("models/pres/shown.sql", "{{ config(materialized='view') }}\nselect * from pres.total"),
        ("models/pres/ranked.sql", "select id, n, row_number() over (order by n, id) as place from store.lines"),
    ])
}

/// Definitions that change: other columns, another order of them, another type.
fn by_group(version: u64) -> String {
    let more = ["", ", 1 as one", ", 'x' as one, max(n) as most"][usize::try_from(version % 3).unwrap()];
    format!("select g{more}, sum(n) as n, count(*) as lines from store.lines group by g")
}

fn joined(version: u64) -> String {
    let cast = ["l.n", "l.n::numeric(20,2) as n", "l.n"][usize::try_from(version % 3).unwrap()];
    format!("select l.id, {cast}, b.lines from store.lines l join pres.by_group b on b.g is not distinct from l.g")
}

/// The lines that there are: what each is worth, by its number.
struct Truth(Vec<Option<u64>>);

impl Truth {
    /// Writes what changed, and the sums of everything, into the deliveries.
    fn deliver(&mut self, site: &Site, run: u64, dice: &mut Dice) {
        let mut rows = String::from("id,g,n,gone\n");
        for id in 0..LINES {
            if run > 0 && dice.below(10) > 0 {
                continue;
            }
            let n = dice.below(1000);
            let gone = dice.below(5) == 0;
            self.0[usize::try_from(id).unwrap()] = (!gone).then_some(n);
            rows.push_str(&format!("{id},{},{n},{gone}\n", (n + id) % 17));
        }
        site.project.put(&format!("incoming/lines{run:05}.csv"), rows);
        let there: Vec<u64> = self.0.iter().flatten().copied().collect();
        site.project
            .put("incoming/heads.csv", format!("id,n,lines\n1,{},{}\n", there.iter().sum::<u64>(), there.len()));
    }
}

/// Fails where two of the answers differ.
#[track_caller]
fn assert_one_state(how: &str, answers: &[Vec<Option<String>>]) {
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "half a run, {how}: {answers:?}");
}

/// Everything in one statement.
fn look_at_once(connection: &mut dyn Connection) -> Vec<Option<String>> {
    let answers: Vec<_> = SUMS.iter().map(|sql| format!("(select row(a.*)::text from ({sql}) a)")).collect();
    let row = ask(connection, &format!("select {}", answers.join(", "))).remove(0);
    let answers: Vec<_> = row.into_iter().map(|answer| vec![answer]).collect();
    assert_one_state("in one statement", &answers);
    answers[0].clone()
}

/// One table after the other, in a transaction that keeps its snapshot.
fn look_in_steps(connection: &mut dyn Connection) {
    connection.begin().unwrap();
    // A snapshot is of rows, not of definitions: whoever reads several tables of one state asks for them before its first query.
    let tables: Vec<_> = SUMS.iter().filter_map(|sql| sql.rsplit(' ').next()).collect();
    connection.execute(&format!("lock table {} in access share mode", tables.join(", ")), &[]).unwrap();
    let answers: Vec<_> = SUMS.iter().map(|sql| ask(connection, sql).remove(0)).collect();
    connection.rollback().unwrap();
    assert_one_state("in one transaction", &answers);
}

/// The build of a round, after which something of everything has happened.
fn build(site: &Site, round: u64) {
    if round.is_multiple_of(3) {
        site.put("models/pres/by_group.sql", by_group(round / 3));
    }
    if round.is_multiple_of(4) {
        site.put("models/pres/joined.sql", joined(round / 4));
    }
    if round.is_multiple_of(5) {
        // Another type: the table of the stream is built anew from landing.
        let source = site.project.read("sources/web.yml");
        let (from, to) = if source.contains("columns:") {
            (", columns: [{ name: n, type: \"decimal(18,2)\" }]", "")
        } else {
            (", soft_delete: gone", ", columns: [{ name: n, type: \"decimal(18,2)\" }], soft_delete: gone")
        };
        site.put("sources/web.yml", source.replace(from, to));
    }
    let options = BuildOptions { full_refresh: round.is_multiple_of(7), ..options(Command::Build) };
    let outcome = site.build_with(&options, &Silent).unwrap();
    assert_eq!(outcome.state, RunState::Published, "{outcome:?}");
}

#[test]
fn a_reader_of_postgres_never_sees_half_a_run() {
    let wanted = std::env::var("THALWEG_READER_LOOKS").ok().and_then(|text| text.parse().ok()).unwrap_or(1000);
    on_postgres(|| {
        let site = site();
        let (mut truth, mut dice) = (Truth(vec![None; usize::try_from(LINES).unwrap()]), Dice(0x6c6f_6f6b));
        truth.deliver(&site, 0, &mut dice);
        build(&site, 0);
        let (looks, over) = (AtomicU64::new(0), AtomicBool::new(false));
        let (mut rounds, began) = (0, Instant::now());
        let (states, longest) = std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut connection = site.connect(Access::Read).unwrap();
                let (mut states, mut longest) = (Vec::new(), Duration::ZERO);
                while !over.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    let state = look_at_once(connection.as_mut());
                    look_in_steps(connection.as_mut());
                    longest = longest.max(begun.elapsed());
                    looks.fetch_add(2, Ordering::Relaxed);
                    if states.last() != Some(&state) {
                        states.push(state);
                    }
                }
                (states, longest)
            });
            struct Over<'a>(&'a AtomicBool);
            impl Drop for Over<'_> {
                fn drop(&mut self) {
                    self.0.store(true, Ordering::Relaxed);
                }
            }
            let end = Over(&over);
            while (looks.load(Ordering::Relaxed) < wanted || rounds < 12) && !reader.is_finished() {
                rounds += 1;
                truth.deliver(&site, rounds, &mut dice);
                build(&site, rounds);
            }
            drop(end);
            reader.join().unwrap()
        });
        println!(
            "{} looks during {rounds} runs in {:.0} s: {} states, none of them half; the longest two looks took {} ms",
            looks.load(Ordering::Relaxed),
            began.elapsed().as_secs_f64(),
            states.len(),
            longest.as_millis()
        );
        assert!(states.len() > 6, "the reader saw too little: {states:?}");
        crate::laws::assert_verified(&site);
    });
}
