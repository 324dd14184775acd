//! Making a failing case small.

use crate::case::Case;
use thalweg_sql::refresh::Shape;

use crate::check::{Verdict, check_by};
use crate::choice::Choices;
use crate::database::Database;
use crate::history::Round;
use crate::query;

/// What still has to go wrong: a fault of the same kind.
struct Fails<'a> {
    database: &'a mut Database,
    kind: &'a str,
    change: &'a dyn Fn(Shape) -> Shape,
}

impl Fails<'_> {
    fn with(&mut self, case: &Case) -> bool {
        matches!(check_by(self.database, case, self.change), Verdict::Wrong(fault) if fault.kind == self.kind)
    }
}

/// A smaller case with a fault of the same kind. `choices` are those the query was made of, empty where it was not made at random;
/// `change` is what is done to shapes when the case is run.
pub fn shrink(
    database: &mut Database,
    case: &Case,
    kind: &str,
    choices: &[u32],
    attempts: usize,
    change: &dyn Fn(Shape) -> Shape,
) -> Case {
    let grammar = database.dialect().grammar();
    let mut fails = Fails { database, kind, change };
    let mut left = attempts;
    let mut best = case.clone();
    let mut taken = choices.to_vec();
    let mut width = taken.len() / 2;
    // The query: choices are taken out in pieces, then set to zero.
    while width > 0 && left > 0 {
        let mut at = 0;
        let mut better = false;
        while at < taken.len() && left > 0 {
            let end = (at + width).min(taken.len());
            let mut shorter = taken.clone();
            shorter.drain(at..end);
            let mut zeroed = taken.clone();
            zeroed[at..end].fill(0);
            let mut found = false;
            for candidate in [shorter, zeroed] {
                if candidate == taken || left == 0 {
                    continue;
                }
                let mut stream = Choices::replayed(candidate);
                let sql = query::query(&mut stream, &best.tables, grammar).0.sql;
                // What was not drawn plays no part.
                let candidate = stream.taken().to_vec();
                if sql.len() > best.query.len() || (sql == best.query && candidate.len() >= taken.len()) {
                    continue;
                }
                let smaller = Case { query: sql, ..best.clone() };
                left -= 1;
                if fails.with(&smaller) {
                    (best, taken, found) = (smaller, candidate, true);
                    break;
                }
            }
            better |= found;
            if !found {
                at += width;
            }
        }
        if !better {
            width /= 2;
        }
    }
    data(&mut fails, best, left.max(attempts / 2))
}

/// The data: rounds, changes, rows, tables, columns.
fn data(fails: &mut Fails<'_>, mut best: Case, mut left: usize) -> Case {
    let mut better = true;
    while better && left > 0 {
        better = false;
        for candidate in candidates(&best) {
            if left == 0 {
                break;
            }
            left -= 1;
            if fails.with(&candidate) {
                best = candidate;
                better = true;
                break;
            }
        }
    }
    best
}

/// Cases with one thing less, the largest things first.
fn candidates(case: &Case) -> Vec<Case> {
    let mut list = Vec::new();
    let mut with = |change: &dyn Fn(&mut Case)| {
        let mut smaller = case.clone();
        change(&mut smaller);
        list.push(smaller);
    };
    for table in 0..case.tables.len() {
        if !case.query.contains(&case.tables[table].name) {
            with(&|case| {
                case.tables.remove(table);
                case.contents.remove(table);
                case.rounds.iter_mut().for_each(|round| drop(round.changes.remove(table)));
            });
        }
    }
    for column in 0..case.tables.iter().map(|table| table.columns.len()).max().unwrap_or(0) {
        for table in 0..case.tables.len() {
            if case.tables[table].columns.len() > column.max(1) {
                with(&|case| drop_column(case, table, column));
            }
        }
    }
    if case.rounds.len() > 1 {
        with(&|case| drop(case.rounds.pop()));
        // The first round becomes the beginning.
        with(&|case| {
            if let Ok(versions) = case.versions() {
                case.contents = versions[1].clone();
                case.rounds.remove(0);
            }
        });
    }
    for (number, round) in case.rounds.iter().enumerate() {
        for (table, change) in round.changes.iter().enumerate() {
            for row in 0..change.before.len() {
                // A row that goes: it stays, or was never there.
                with(&|case| drop(case.rounds[number].changes[table].before.remove(row)));
                with(&|case| {
                    let gone = case.rounds[number].changes[table].before.remove(row);
                    if let Some(at) = case.contents[table].iter().position(|other| *other == gone) {
                        case.contents[table].remove(at);
                    }
                });
            }
            for row in 0..change.after.len() {
                with(&|case| drop(case.rounds[number].changes[table].after.remove(row)));
            }
        }
    }
    for (table, rows) in case.contents.iter().enumerate() {
        for row in 0..rows.len() {
            with(&|case| drop(case.contents[table].remove(row)));
        }
    }
    list
}

fn drop_column(case: &mut Case, table: usize, column: usize) {
    let name = case.tables[table].columns.remove(column).name;
    case.tables[table].key.retain(|key| *key != name);
    case.contents[table].iter_mut().for_each(|row| drop(row.remove(column)));
    for Round { changes, .. } in &mut case.rounds {
        let change = &mut changes[table];
        change.before.iter_mut().chain(&mut change.after).for_each(|row| drop(row.remove(column)));
    }
}
