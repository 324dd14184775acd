//! Whether it is cheaper to find what changed or to compute everything anew.
//!
//! Decided when the number of affected keys is known: in full when they are more than a quarter of all, or when earlier refreshes of
//! the same query say that it takes longer. Of a result with few rows that says nothing: a condition on groups may keep few of many. Where the keys
//! are few beside the rows that are read, and these are looked up by indexes or all of it takes long, they are tried: up to so many rows that
//! they lead to.
//! To find the keys may take longer than all of a full refresh, too: where that came to too many
//! before, and as much changed now, they are not looked for. All that is asked only where it matters: a few keys of a small model are not
//! worth the question.

use std::collections::HashMap;

use thalweg_project::TableName;
use thalweg_sql::statement::relation::column_list;
use thalweg_warehouse::ledger::RefreshRow;

use crate::error::RunError;
use crate::outcome::{RefreshFigures, StepOutcome, Strategy};
use crate::publish::Publication;
use crate::publish::model::ModelFacts;
use crate::table_state::TableState;

/// So few keys are always cheap, unless their groups are large.
const FEW_KEYS: u64 = 1_000;
/// Where the model and what it reads have no more rows than this together, it costs next to nothing either way.
const SMALL: u64 = 100_000;
/// So many changed rows are never looked through when they are more than twice the model's rows, and more than one of
/// [`ROWS_TO_A_CHANGE`] that are read: a condition on groups may keep few of many.
const MANY_ROWS: u64 = 100_000;
const ROWS_TO_A_CHANGE: u64 = 100;

/// So many of the newest refreshes of a query say what it takes.
const REMEMBERED: usize = 8;
/// What a refresh by changes may take beside a full one: that many times as long, and so many seconds.
const TOLERATED: (f64, f64) = (1.2, 0.02);

/// What refreshes of models cost so far, newest first.
#[derive(Debug, Default)]
pub struct Costs {
    by_table: HashMap<String, Vec<RefreshRow>>,
}

impl Costs {
    /// From what the ledger remembers, newest first.
    pub fn new(rows: Vec<RefreshRow>) -> Self {
        let mut by_table: HashMap<String, Vec<RefreshRow>> = HashMap::new();
        for row in rows {
            by_table.entry(row.table_name.clone()).or_default().push(row);
        }
        Self { by_table }
    }

    fn of<'a>(&'a self, table: &TableName, shape: &'a str) -> impl Iterator<Item = &'a RefreshRow> {
        let rows = self.by_table.get(&table.to_string()).map_or(&[][..], Vec::as_slice);
        rows.iter().filter(move |row| row.shape == shape)
    }

    /// Seconds that computing a table of so many rows anew is expected to take: the least that it took, for some of them looked for keys
    /// in vain before.
    pub fn full(&self, table: &TableName, shape: &str, rows: u64) -> Option<f64> {
        let seconds =
            |known: &RefreshRow| known.seconds * (rows.max(1) as f64 / known.rows_after.max(1) as f64).max(0.1);
        self.of(table, shape).filter(|row| in_full(row)).take(REMEMBERED).map(seconds).reduce(f64::min)
    }

    /// Why the keys that so many changed rows touch need not be looked for, by what came of it before.
    pub fn in_vain(&self, table: &TableName, shape: &str, upstream: u64, rows: u64) -> Option<String> {
        let looked = |row: &&RefreshRow| row.keys.is_some() && row.upstream.is_some();
        let last = self.of(table, shape).find(looked)?;
        let (then, keys) = (number(last.upstream)?, number(last.keys)?);
        let grown = rows / 2 > u64::try_from(last.rows_after).unwrap_or(0);
        if in_full(last) && upstream >= then / 2 && !grown {
            let run = last.run;
            return Some(format!(
                "{upstream} rows changed upstream; in run {run} {then} touched {keys} keys, too many"
            ));
        }
        self.took_longer(table, shape, upstream, rows)
    }

    /// Why a table is rather computed anew, by how long refreshes after no more changes took.
    pub fn took_longer(&self, table: &TableName, shape: &str, upstream: u64, rows: u64) -> Option<String> {
        let full = self.full(table, shape, rows)?;
        let alike = |row: &&RefreshRow| {
            row.strategy == "incremental" && number(row.upstream).is_some_and(|then| then <= upstream.saturating_mul(2))
        };
        let took: Vec<f64> = self.of(table, shape).filter(alike).take(REMEMBERED).map(|row| row.seconds).collect();
        let least = took.iter().copied().reduce(f64::min)?;
        // A machine may be busy once.
        (took.len() > 1 && least > full * TOLERATED.0 + TOLERATED.1).then(|| {
            format!("{upstream} rows changed upstream, which took {least:.2} s at the least; computing it anew takes {full:.2} s")
        })
    }

    /// Seconds that a refresh of so many keys is expected to take; of any number that is usual, without it.
    pub fn incremental(&self, table: &TableName, shape: &str, keys: Option<u64>) -> Option<f64> {
        let known: Vec<(f64, f64)> = self
            .of(table, shape)
            .filter(|row| row.strategy == "incremental")
            .filter_map(|row| Some((row.keys? as f64, row.seconds)))
            .take(REMEMBERED)
            .collect();
        let least = known.iter().map(|(_, seconds)| *seconds).reduce(f64::min)?;
        let Some(keys) = keys else { return known.first().map(|(_, seconds)| *seconds) };
        // The largest says most about what a key costs.
        let largest = known.iter().copied().reduce(|a, b| if b.0 > a.0 { b } else { a })?;
        let each = (largest.1 - least).max(largest.1 * 0.5) / largest.0.max(1.0);
        Some(least.max(least * 0.5 + each * keys as f64))
    }
}

fn number(number: Option<i64>) -> Option<u64> {
    number.and_then(|number| u64::try_from(number).ok())
}

fn in_full(row: &RefreshRow) -> bool {
    row.strategy.starts_with("full")
}

/// Whether so much changed upstream that it is not looked at.
fn hopeless(upstream: u64, rows: u64, read: u64) -> bool {
    upstream > MANY_ROWS && upstream > rows.saturating_mul(2) && upstream > read / ROWS_TO_A_CHANGE
}

/// What the number of affected keys says.
pub(super) enum Keys {
    /// They are recomputed.
    Few,
    /// They are recomputed if they lead to so many rows at most; otherwise the reason not to.
    Perhaps(u64, String),
    /// The model is computed anew.
    Many(String),
}

/// One key of so many rows that are read is no more than a look.
const ROWS_TO_A_KEY: u64 = 1_000;

/// So many rows are looked up by indexes and kept in a second.
const LOOKS_A_SECOND: f64 = 50_000.0;

/// So many rows are found and kept in a second where all are read for it.
const FINDS_A_SECOND: f64 = 1_000_000.0;

/// Where no index finds rows, a look at some keys takes a part of so many seconds.
const A_LOOK: f64 = 0.5;

/// Of so many rows that are read, one is looked up or kept in less time than all are computed.
const ROWS_TO_A_LOOK: u64 = 20;

impl Publication<'_> {
    fn costs(&mut self) -> Result<&Costs, RunError> {
        if self.refreshing.costs.is_none() {
            let connection = &mut *self.database.connection;
            let rows = if self.refreshing.publishes {
                self.ledger.past_refreshes_before(connection, self.run, self.project.models.len())
            } else {
                self.ledger.past_refreshes(connection)
            };
            let rows = rows.map_err(|error| self.database.error(error))?;
            self.refreshing.costs = Some(Costs::new(rows));
        }
        Ok(self.refreshing.costs.get_or_insert_with(Costs::default))
    }

    /// What a refresh of a model is expected to take.
    pub fn expected(&mut self, table: &TableName, shape: &str, rows: u64) -> Result<RefreshFigures, RunError> {
        let costs = self.costs()?;
        Ok(RefreshFigures {
            expected_incremental: costs.incremental(table, shape, None),
            expected_full: costs.full(table, shape, rows),
            ..RefreshFigures::default()
        })
    }

    /// Why the keys that so many changed rows upstream touch are not looked for.
    pub fn in_vain(&mut self, facts: &ModelFacts<'_>, rows: u64, upstream: u64) -> Result<Option<String>, RunError> {
        if hopeless(upstream, rows, self.rows_read(facts)) {
            return Ok(Some(format!("{upstream} rows changed upstream, and it has {rows} itself")));
        }
        if self.is_small(facts, rows) {
            return Ok(None);
        }
        Ok(self.costs()?.in_vain(&facts.model.table, &facts.fingerprint, upstream, rows))
    }

    /// Why a table is rather computed anew than changed by what so many changed rows add and take away.
    pub fn sums_took_longer(
        &mut self,
        facts: &ModelFacts<'_>,
        rows: u64,
        upstream: u64,
    ) -> Result<Option<String>, RunError> {
        if self.is_small(facts, rows) {
            return Ok(None);
        }
        Ok(self.costs()?.took_longer(&facts.model.table, &facts.fingerprint, upstream, rows))
    }

    fn is_small(&self, facts: &ModelFacts<'_>, rows: u64) -> bool {
        rows + self.rows_read(facts) <= SMALL
    }

    /// The rows of all that a model reads.
    pub(super) fn rows_read(&self, facts: &ModelFacts<'_>) -> u64 {
        facts.inputs.iter().filter_map(|input| self.tables.get(input)).map(|state| state.rows).sum()
    }

    /// Whether a model is rather computed anew, now that the number of affected keys is known.
    pub(super) fn how_many(
        &mut self,
        facts: &ModelFacts<'_>,
        old: &TableState,
        key: &[String],
        keys: u64,
        step: &mut StepOutcome,
    ) -> Result<Keys, RunError> {
        let table = &facts.model.table;
        let (full, incremental) = {
            let costs = self.costs()?;
            (costs.full(table, &facts.fingerprint, old.rows), costs.incremental(table, &facts.fingerprint, Some(keys)))
        };
        if let Some(figures) = &mut step.refresh {
            figures.expected_incremental = incremental;
        }
        let small = self.is_small(facts, old.rows);
        if keys <= FEW_KEYS && small {
            return Ok(Keys::Few);
        }
        let read = self.rows_read(facts);
        let many = keys > old.rows / 4;
        let reason = format!("{keys} keys are touched, and it has {} rows", old.rows);
        let looks_up = self.database.dialect.has_indexes();
        let is_tried = looks_up || full.is_some_and(|seconds| seconds > A_LOOK);
        if many && (!is_tried || keys > read / ROWS_TO_A_KEY) {
            return Ok(Keys::Many(reason));
        }
        if let (Some(full), Some(incremental), false) = (full, incremental, small)
            && incremental > full
        {
            return Ok(Keys::Many(format!(
                "{keys} keys are touched, which is expected to take {incremental:.2} s; computing it anew takes {full:.2} s"
            )));
        }
        if many {
            // No longer than it takes to compute all anew, where that is known.
            let a_second = if looks_up { LOOKS_A_SECOND } else { FINDS_A_SECOND };
            let most = full.map_or(u64::MAX, |seconds| (seconds * a_second) as u64);
            return Ok(Keys::Perhaps(most.min(read / ROWS_TO_A_LOOK), reason));
        }
        let declared = &facts.model.primary_key;
        if !declared.is_empty() && declared.len() == key.len() && declared.iter().all(|name| key.contains(name)) {
            return Ok(Keys::Few);
        }
        // Rows may share a key: a table of millions of rows may have twelve.
        let all = self.number_of_keys(old, key, keys.saturating_mul(4) + 4)?;
        if keys > all / 4 {
            return Ok(Keys::Many(format!("{keys} of about {all} keys are touched")));
        }
        Ok(Keys::Few)
    }

    /// About how many keys a table has, or so many as are enough.
    fn number_of_keys(&mut self, old: &TableState, key: &[String], enough: u64) -> Result<u64, RunError> {
        let dialect = self.database.dialect;
        let names = key.iter().map(String::as_str);
        let columns = self.database.name(column_list(self.database.dialect, "t", names))?;
        let physical = self.physical(&old.physical)?;
        if !dialect.knows_row_counts() {
            // To count them takes long. Some rows mostly show enough of them.
            let some = format!("(select {columns} from {physical} t limit {})", enough.saturating_mul(2) + FEW_KEYS);
            let seen = self.database.count(&dialect.count_distinct(&some, &columns))?;
            if seen >= enough {
                return Ok(seen);
            }
        }
        self.database.count(&dialect.count_distinct(&physical, &columns))
    }

    /// Keeps what a refresh was, for the next ones and for people.
    pub fn record_refresh(&mut self, facts: &ModelFacts<'_>, step: &StepOutcome) {
        let word = match step.strategy {
            Strategy::Incremental => "incremental",
            Strategy::Full => "full",
            Strategy::FullDifference => "full_difference",
            _ => return,
        };
        let figures = step.refresh.clone().unwrap_or_default();
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.refreshing.records.push(RefreshRow {
            run: self.run,
            table_name: step.table.clone(),
            strategy: word.to_owned(),
            reason: step.reason.clone(),
            shape: facts.fingerprint.clone(),
            keys: figures.keys.map(number),
            upstream: figures.upstream.map(number),
            rows_read: number(figures.rows_read),
            rows_written: number(figures.rows_written),
            rows_after: number(step.rows_after),
            seconds: step.seconds,
            expected_incremental: figures.expected_incremental,
            expected_full: figures.expected_full,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(strategy: &str, keys: Option<i64>, seconds: f64) -> RefreshRow {
        RefreshRow {
            run: 1,
            table_name: "m.a".into(),
            strategy: strategy.into(),
            reason: String::new(),
            shape: "s".into(),
            keys,
            upstream: None,
            rows_read: 0,
            rows_written: 0,
            rows_after: 1_000,
            seconds,
            expected_incremental: None,
            expected_full: None,
        }
    }

    #[test]
    fn what_was_is_what_is_expected() {
        let table = TableName::new("m", "a");
        let costs = Costs::new(vec![
            row("incremental", Some(10), 0.1),
            row("incremental", Some(1_000), 1.1),
            row("full", None, 2.0),
        ]);
        assert_eq!(costs.full(&table, "s", 1_000), Some(2.0));
        assert_eq!(costs.full(&table, "s", 2_000), Some(4.0));
        assert_eq!(costs.full(&table, "other", 1_000), None);
        let little = costs.incremental(&table, "s", Some(10)).unwrap_or_default();
        let much = costs.incremental(&table, "s", Some(10_000)).unwrap_or_default();
        assert!((0.05..0.2).contains(&little), "{little}");
        assert!((8.0..12.0).contains(&much), "{much}");
        assert_eq!(costs.incremental(&table, "s", None), Some(0.1));
    }

    #[test]
    fn what_was_in_vain_is_not_tried_again() {
        let table = TableName::new("m", "a");
        let row = |strategy: &str, keys: Option<i64>, upstream: Option<i64>, seconds: f64| RefreshRow {
            upstream,
            ..row(strategy, keys, seconds)
        };
        let first = row("full", None, None, 0.3);
        let asked = |rows: &[RefreshRow], upstream: u64, now: u64| {
            Costs::new(rows.to_vec()).in_vain(&table, "s", upstream, now).is_some()
        };
        assert!(!asked(std::slice::from_ref(&first), 500, 1_000));
        // Too many keys were touched, and about as many would be.
        let vain = row("full_difference", Some(900), Some(500), 2.0);
        assert!(asked(&[vain.clone(), first.clone()], 500, 1_000));
        assert!(asked(&[row("full", None, Some(500), 0.3), vain.clone(), first.clone()], 400, 1_000));
        assert!(!asked(&[vain.clone(), first.clone()], 100, 1_000));
        assert!(!asked(&[vain.clone(), first.clone()], 500, 5_000));
        assert_eq!(Costs::new(vec![vain, first.clone()]).full(&table, "s", 1_000), Some(0.3));
        // It was done, and took longer than all of it.
        let slow = row("incremental", Some(10), Some(500), 0.9);
        assert!(!asked(&[slow.clone(), first.clone()], 500, 1_000));
        assert!(asked(&[slow.clone(), slow.clone(), first.clone()], 500, 1_000));
        assert!(!asked(&[slow.clone(), slow.clone(), first.clone()], 100, 1_000));
        assert!(!asked(&[slow.clone(), slow.clone(), first.clone()], 500, 9_000));
        let fast = row("incremental", Some(10), Some(500), 0.35);
        assert!(!asked(&[slow, fast, first], 500, 1_000));
    }

    #[test]
    fn a_flood_is_not_looked_through() {
        assert!(!hopeless(90_000, 10, 1_000_000));
        assert!(!hopeless(200_000, 150_000, 1_000_000));
        assert!(hopeless(400_001, 200_000, 1_000_000));
        assert!(!hopeless(400_001, 200_000, 100_000_000));
    }
}
