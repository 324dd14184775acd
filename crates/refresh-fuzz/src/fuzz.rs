//! Many random cases.

use std::collections::BTreeSet;

use thalweg_sql::dialect::Grammar;
use thalweg_sql::refresh::Shape;

use crate::case::Case;
use crate::check::{Fault, Verdict, check_by};
use crate::choice::Choices;
use crate::database::Database;
use crate::engine::Refusal;
use crate::history::history;
use crate::shrink::shrink;
use crate::tally::Tally;
use crate::{query, schema};

/// A case that failed.
#[derive(Debug)]
pub struct Failure {
    /// Its number below the seed.
    pub number: u64,
    /// What was wrong.
    pub fault: Fault,
    /// The case, small.
    pub case: Case,
    /// The same statements over the same rows are right when the engine does not rewrite plans: it contradicts itself.
    pub of_engine: bool,
}

/// A random case for engines that read a grammar, the constructs its query uses, and the choices the query was made of.
pub fn random_case(seed: u64, number: u64, grammar: Grammar) -> (Case, BTreeSet<&'static str>, Vec<u32>) {
    let mixed = seed.wrapping_mul(1_000_003).wrapping_add(number).wrapping_mul(2);
    let mut data = Choices::from_seed(mixed);
    let tables = schema::tables(&mut data);
    let rounds = 2 + data.below(5);
    let (contents, rounds) = history(&mut data, &tables, rounds);
    let mut choices = Choices::from_seed(mixed + 1);
    let (text, constructs) = query::query(&mut choices, &tables, grammar);
    // Every set of columns that are known is a valid K; the program's own choice is the usual case.
    let count = data.weighted(&[(6, 0), (2, 1), (1, 2)]);
    let names: Vec<String> = text.fields.iter().map(|field| field.name.clone()).collect();
    let replaced_by = data.sample(&names, count);
    let sums = data.below(2) == 0;
    let engine = match grammar {
        Grammar::DuckDb => None,
        Grammar::Postgres => Some("postgres".to_owned()),
    };
    let case = Case { engine, tables, contents, query: text.sql, rounds, replaced_by, sums, ..Case::default() };
    (case, constructs, choices.taken().to_vec())
}

/// Runs the cases of a seed, from a number on, until `go_on` says no (asked with the tally and the number of failures, those of the
/// engine left out). `attempts` bounds how long a failing case is made smaller; `change` is what is done to shapes, nothing where refresh itself is to be
/// proved. An error where the engine cannot be opened again once it has stopped.
pub fn fuzz(
    database: &mut Database,
    (seed, from): (u64, u64),
    attempts: usize,
    change: &dyn Fn(Shape) -> Shape,
    mut go_on: impl FnMut(&Tally, usize) -> bool,
) -> Result<(Tally, Vec<Failure>), Refusal> {
    let mut tally = Tally::default();
    let mut failures = Vec::new();
    let mut number = from;
    while go_on(&tally, failures.iter().filter(|failure: &&Failure| !failure.of_engine).count()) {
        let (case, constructs, choices) = random_case(seed, number, database.dialect().grammar());
        let verdict = check_by(database, &case, change);
        tally.add(&verdict, &constructs);
        if let Verdict::Wrong(fault) = verdict {
            let small = shrink(database, &case, fault.kind, &choices, attempts, change);
            let fault = match check_by(database, &small, change) {
                Verdict::Wrong(fault) => fault,
                _ => fault,
            };
            let of_engine = is_right_unoptimized(database, &[&case, &small], change);
            failures.push(Failure { number, fault, case: small, of_engine });
        }
        // One that has stopped takes nothing any more, and nothing would be compared.
        tally.stopped += usize::from(database.mend()?);
        number += 1;
    }
    Ok((tally, failures))
}

/// Whether cases go well without the engine's optimizer, which may change how long an answer takes and nothing else.
fn is_right_unoptimized(database: &Database, cases: &[&Case], change: &dyn Fn(Shape) -> Shape) -> bool {
    let Ok(Some(mut unoptimized)) = database.unoptimized() else { return false };
    cases.iter().all(|case| matches!(check_by(&mut unoptimized, case, change), Verdict::Right { .. }))
}
