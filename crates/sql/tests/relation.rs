//! Cases as data: each file in `tests/relation/` holds queries with the trees that must be read from them.
//!
//! A file begins with its tables, `name(column type, ...) key a, b` one a line, and a line `====`. A case is a query, a line `----` and the outline of
//! its tree, or the obstacle; a line `====` parts one case from the next. `UPDATE_CASES=1 cargo test -p thalweg-sql` writes the trees
//! anew; look at the difference before committing it.

mod sound;
mod tables;

use proptest::prelude::*;
use thalweg_sql::{DuckDb, parse_relation};

use tables::{Tables, everything, play};

#[test]
fn trees_of_queries() {
    play("relation", |sql, tables| {
        let found = outline(sql, tables);
        assert!(std::env::var_os("UPDATE_CASES").is_some() || !found.starts_with("unsound"), "{sql}\n{found}");
        found
    });
}

fn outline(sql: &str, tables: &Tables) -> String {
    match parse_relation(sql, &DuckDb, tables) {
        Ok(tree) => {
            let checked = std::panic::catch_unwind(|| sound::check(&tree));
            match checked {
                Ok(()) => tree.outline(),
                Err(_) => format!("unsound\n{}", tree.outline()),
            }
        }
        Err(obstacle) => {
            let place = sql.get(obstacle.span.clone()).expect("a span within the text");
            let instead = obstacle.instead.map(|instead| format!("; {instead}")).unwrap_or_default();
            format!("full: {} at `{place}`{instead}", obstacle.reason)
        }
    }
}

/// Reads a text and looks at whatever comes of it.
fn read(sql: &str, tables: &Tables) {
    match parse_relation(sql, &DuckDb, tables) {
        Ok(tree) => {
            sound::check(&tree);
            assert!(!tree.outline().is_empty());
        }
        Err(obstacle) => {
            assert!(sql.get(obstacle.span.clone()).is_some(), "{obstacle:?} of {sql}");
            assert!(!obstacle.reason.is_empty());
        }
    }
}

/// A piece of a query: where it begins and ends among its words.
fn piece(words: &[&str], (from, length): (usize, usize)) -> std::ops::Range<usize> {
    let from = from % (words.len() + 1);
    from..(from + length).min(words.len())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn text_never_panics(sql in ".*") {
        read(&sql, &Tables::read(""));
    }

    /// A query with a piece of another in the place of one of its own.
    #[test]
    fn mixed_queries_never_panic(
        (left, right) in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
        gone in (0_usize..200, 0_usize..8),
        come in (0_usize..200, 0_usize..16),
    ) {
        thread_local!(static ALL: (Tables, Vec<String>) = everything("relation"));
        ALL.with(|(tables, queries)| {
            let left: Vec<&str> = queries[left.index(queries.len())].split(' ').collect();
            let right: Vec<&str> = queries[right.index(queries.len())].split(' ').collect();
            let (gone, come) = (piece(&left, gone), piece(&right, come));
            let mixed = [&left[..gone.start], &right[come], &left[gone.end..]].concat().join(" ");
            read(&mixed, tables);
        });
    }
}

#[test]
fn depth_and_length_are_no_crash() {
    let tables = Tables::read("s.t(x INTEGER; y INTEGER)");
    for sql in [
        format!("select {}1{} from s.t", "(".repeat(20_000), ")".repeat(20_000)),
        format!("{}select x from s.t{}", "select x from (".repeat(250), ") q".repeat(250)),
        format!("{}select x from s.t{}", "select x from (".repeat(50), ") q".repeat(50)),
        format!("select {} from s.t", vec!["x"; 5_000].join(" + ")),
        format!("select count(*) from s.t group by {}", vec!["x"; 2_000].join(" + ")),
        format!("select x from s.t where {}", vec!["x = y"; 5_000].join(" and ")),
        format!("select x from s.t where {}", vec!["x = y"; 5_000].join(" or ")),
        format!("select {}x{} from s.t", "abs(".repeat(140), ")".repeat(140)),
        format!("select {}x{} from s.t", "case when x > 1 then ".repeat(140), " end".repeat(140)),
        format!(
            "select x from s.t where {}true{}",
            "exists (select 1 from s.t q where q.x = t.x and ".repeat(30),
            ")".repeat(30)
        ),
        format!("select x from s.t union all {}", vec!["select y from s.t"; 1_000].join(" union all ")),
        format!("select x from s.t union {}", vec!["select y from s.t"; 200].join(" except select y from s.t union ")),
        format!(
            "select {} from s.t",
            (0..2_000).map(|index| format!("x + {index} as c{index}")).collect::<Vec<_>>().join(", ")
        ),
        doubling(30),
        doubling(8),
    ] {
        read(&sql, &tables);
    }
}

/// CTEs each of which uses the one before twice.
fn doubling(levels: usize) -> String {
    let ctes: Vec<String> = (1..=levels)
        .map(|level| format!("c{level} as (select a.x from c{} a join c{} b using (x))", level - 1, level - 1))
        .collect();
    format!("with c0 as (select x from s.t), {} select x from c{levels}", ctes.join(", "))
}
