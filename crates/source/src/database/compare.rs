//! Comparing a table with what the store holds, range by range.
//!
//! The store's side was computed before the extract began ([`Summary`]); here the source's is, in the snapshot that rows are read from. Both
//! must be about the same rows: those that satisfy `where`, are not marked as deleted, and whose key has no NULL. Rows that were
//! rejected are at the source only: their ranges differ in every run, which costs the listing of some hundred keys and changes nothing.
//!
//! The server counts and hashes where it can ([`super::checksum`]). Where it cannot tell quickly in which range a row lies, it hands over the
//! leading column and the hash; where it cannot write a value, the values, and the rest is done here.

use super::Dialect;
use super::columns::{ColumnPlan, PlannedColumn};
use super::extract::{Extraction, key_columns};
use super::pool::Lent;
use super::rows::fault;
use super::statement::Statement;
use super::{Boundaries, Bucket, Read, SourceColumn, Summary};
use crate::{KeyListing, SourceError};
use thalweg_project::ColumnType;

/// Ranges of numbers that are read apart, and what one statement asks for at most.
const SPANS: usize = 512;
const SPANS_A_STATEMENT: usize = 64;
/// The same for texts, which no index finds in the order of their bytes.
const TEXT_SPANS: usize = 16;
/// When ranges with more than this part of the rows differ, all of it is read.
const MOST: f64 = 0.6;
/// What is hashed to find out whether the server does so as expected, letters beyond ASCII included.
const PROBE: &str = "Zürich, 1 €";

/// Where source and store differ.
#[derive(Debug, Clone, PartialEq)]
pub enum Differences {
    /// Nowhere.
    Nowhere,
    /// In these ranges, each as first and one behind the last.
    In(Vec<(usize, usize)>),
    /// In most of them, or it cannot be told where.
    Everywhere,
}

impl Differences {
    /// For the store: what was listed.
    pub fn listing(&self, summary: &Summary) -> KeyListing {
        match self {
            Self::In(spans) => {
                KeyListing { ranges: spans.iter().map(|(from, to)| summary.key_range(*from, *to)).collect() }
            }
            Self::Nowhere | Self::Everywhere => KeyListing { ranges: Vec::new() },
        }
    }

    /// The conditions by which rows in these ranges are read, a statement each; none for everything.
    pub fn conditions(&self, dialect: &dyn Dialect, summary: &Summary, leading: &SourceColumn) -> Vec<String> {
        let (Self::In(spans), Some(ordered)) = (self, dialect.ordered(leading)) else { return Vec::new() };
        let groups = spans.chunks(SPANS_A_STATEMENT).map(|spans| {
            let spans: Vec<String> =
                spans.iter().map(|span| within(dialect, summary, leading, &ordered, *span)).collect();
            spans.join(" or ")
        });
        groups.collect()
    }
}

/// The condition for rows between the boundaries before two ranges.
fn within(
    dialect: &dyn Dialect,
    summary: &Summary,
    leading: &SourceColumn,
    ordered: &str,
    (from, to): (usize, usize),
) -> String {
    let bound = |range: usize, word: &str| {
        summary.boundary(range).map(|value| format!("{ordered} {word} {}", dialect.bound(&value, leading)))
    };
    let upper = if to < summary.buckets().len() { bound(to, "<") } else { None };
    let bounds: Vec<String> = bound(from, ">=").into_iter().chain(upper).collect();
    if bounds.is_empty() { "1 = 1".to_owned() } else { format!("({})", bounds.join(" and ")) }
}

/// How the source's side is computed.
enum Way<'a> {
    /// The server counts rows and adds hashes for each range.
    Grouped { hash: &'a str },
    /// The server hashes rows.
    Hashed { hash: &'a str },
    /// Values are read.
    Read,
}

impl Extraction<'_> {
    /// The conditions for the rows that are in the store when it is as the source is.
    pub(super) fn rows_of_the_store(&self, columns: &ColumnPlan) -> Vec<String> {
        let mut conditions: Vec<String> = self.options.filter.clone().into_iter().collect();
        if let Some(marked) = self.marked(columns).flatten() {
            conditions.push(format!("not {marked}"));
        }
        conditions
    }

    /// The condition for rows that are marked as deleted: none without a soft-delete column, and none inside where the server would decide otherwise than the store.
    fn marked(&self, columns: &ColumnPlan) -> Option<Option<String>> {
        let planned = self.request.stream.soft_delete.as_ref().and_then(|name| columns.find(name))?;
        let known = self.request.known_columns.iter().find(|column| column.name == planned.column.name);
        let stored = known.map_or(&planned.column.column_type, |column| &column.column_type);
        Some(self.dialect.is_marked(&planned.source, stored))
    }

    /// Where the source differs from what the store holds; `None` where the columns of the two cannot be compared.
    pub(super) fn differences(
        &self,
        columns: &ColumnPlan,
        store: &Summary,
    ) -> Result<Option<Differences>, SourceError> {
        let planned: Option<Vec<(&PlannedColumn, &ColumnType)>> = store
            .columns()
            .iter()
            .map(|column| {
                let planned = columns.find(&column.name)?;
                are_comparable(&planned.column.column_type, &column.column_type)
                    .then_some((planned, &column.column_type))
            })
            .collect();
        let (Some(planned), false) = (planned, matches!(self.marked(columns), Some(None))) else { return Ok(None) };
        let Some((leading, _)) = planned.first() else { return Ok(None) };
        let spelled: Vec<(&SourceColumn, &ColumnType)> =
            planned.iter().map(|(planned, stored)| (&planned.source, *stored)).collect();
        let hash = match self.dialect.row_hash(&spelled) {
            Some(hash) if self.hashes_as_expected(store)? => Some(hash),
            _ => None,
        };
        let ordered = self.dialect.ordered(&leading.source);
        let mut rows = self.rows_of_the_store(columns);
        let key = key_columns(self.request.stream, columns);
        let nullable = key.iter().filter(|(_, source)| source.nullable);
        rows.extend(nullable.map(|(_, source)| format!("{} is not null", self.dialect.quote_identifier(&source.name))));

        let tasks = match &ordered {
            Some(_) => store.tasks(),
            None => vec![(0, store.buckets().len())],
        };
        let parts = self.pool.each(self.context, &tasks, |connection, task| {
            let span = ordered.as_ref().filter(|_| tasks.len() > 1);
            let within = span.map(|ordered| within(self.dialect, store, &leading.source, ordered, *task));
            let conditions: Vec<String> = rows.iter().cloned().chain(within).collect();
            let way = match &hash {
                Some(hash) if ordered.is_some() || store.buckets().len() == 1 => Way::Grouped { hash },
                Some(hash) => Way::Hashed { hash },
                None => Way::Read,
            };
            self.count(connection, store, &spelled, &way, *task, &conditions)
        })?;
        let mut source = store.emptied();
        for part in parts {
            for (range, bucket) in part.buckets().iter().enumerate().filter(|(_, bucket)| bucket.rows > 0) {
                source.add(range, *bucket)?;
            }
        }
        Ok(Some(spans(store, &source, ordered.is_some())))
    }

    /// One task of the source's side.
    fn count(
        &self,
        connection: &mut Lent<'_>,
        store: &Summary,
        columns: &[(&SourceColumn, &ColumnType)],
        way: &Way<'_>,
        (from, to): (usize, usize),
        conditions: &[String],
    ) -> Result<Summary, SourceError> {
        self.context.check_cancelled()?;
        let mut summary = store.emptied();
        let leading = columns[0].0;
        let mut statement = Statement::new(self.dialect, self.table);
        statement.only_all(conditions);
        match way {
            Way::Grouped { hash } if to - from == 1 => {
                let sql = statement.aggregate(&["count(*)".to_owned(), format!("sum({hash})")]);
                let answer = connection.query(&sql);
                for row in connection.watch(answer)? {
                    summary.add(from, bucket(&row)?)?;
                }
                return Ok(summary);
            }
            Way::Grouped { hash } => {
                let inner: Vec<_> = (from + 1..to).filter_map(|range| store.boundary(range)).collect();
                // Texts are one task, whose first range lies below all boundaries.
                let first = store.boundary(from);
                let lowest = first.as_ref().or(inner.first());
                let number = lowest.and_then(|lowest| self.dialect.range_number(leading, lowest, &inner));
                if let Some(number) = number {
                    let list = [number, "count(*)".to_owned(), format!("sum({hash})")];
                    let answer = connection.query(&format!("{} group by 1", statement.aggregate(&list)));
                    for row in connection.watch(answer)? {
                        let range = row.first().cloned().flatten().and_then(|text| text.parse::<usize>().ok());
                        let range = range.ok_or_else(|| fault(&"a range has a number"))?;
                        summary.add(from + range, bucket(&row[1..])?)?;
                    }
                    return Ok(summary);
                }
                statement.column(leading);
                statement.number(hash, "thalweg_hash");
            }
            Way::Hashed { hash } => {
                statement.column(leading);
                statement.number(hash, "thalweg_hash");
            }
            Way::Read => columns.iter().for_each(|(column, _)| statement.column(column)),
        }
        let sql = statement.sql(None);
        let read = Read { sql: &sql, columns: statement.columns() };
        let result = connection.read(&read, &mut |rows| {
            self.context.check_cancelled()?;
            match way {
                Way::Read => summary.take(rows.batch.columns()),
                Way::Grouped { .. } | Way::Hashed { .. } => {
                    summary.take_hashed(rows.batch.column(0), rows.batch.column(1))
                }
            }
        });
        connection.watch(result)?;
        Ok(summary)
    }

    /// Whether the server hashes as this program does.
    fn hashes_as_expected(&self, store: &Summary) -> Result<bool, SourceError> {
        let mut connection = self.pool.lend(self.context)?;
        let answer = connection.query(&format!("select {}", self.dialect.text_hash(PROBE)));
        // A server that does not know the function at all has told so by an error, after which the connection is as good as before.
        let answer = connection.watch(answer)?;
        let hash = answer.first().and_then(|row| row.first().cloned().flatten());
        Ok(hash.and_then(|hash| hash.parse().ok()) == Some(store.hashing().hash(PROBE.as_bytes())))
    }
}

/// Number of rows and sum of hashes out of an answer; the sum of nothing is NULL.
fn bucket(row: &[Option<String>]) -> Result<Bucket, SourceError> {
    let [Some(rows), sum] = row else { return Err(fault(&"a count has a number")) };
    let rows = rows.parse().map_err(|_| fault(&format!("{rows} is no count")))?;
    let sum = sum.as_deref().unwrap_or("0");
    let sum = sum.parse().map_err(|_| fault(&format!("{sum} is no sum")))?;
    Ok(Bucket { rows, sum })
}

/// Whether two types hold values that are written alike where they are the same.
fn are_comparable(source: &ColumnType, stored: &ColumnType) -> bool {
    let is_whole = |column_type: &ColumnType| {
        matches!(
            column_type,
            ColumnType::SmallInt | ColumnType::Integer | ColumnType::BigInt | ColumnType::Decimal(_, 0)
        )
    };
    let is_decimal = |column_type: &ColumnType| matches!(column_type, ColumnType::Decimal(..));
    source == stored || (is_whole(source) && is_whole(stored)) || (is_decimal(source) && is_decimal(stored))
}

/// The ranges that differ, put together so that they are read in not too many pieces.
fn spans(store: &Summary, source: &Summary, has_order: bool) -> Differences {
    let differing = store.differing(source);
    if differing.is_empty() {
        return Differences::Nowhere;
    }
    let most = match store.boundaries() {
        _ if !has_order => return Differences::Everywhere,
        Boundaries::None => return Differences::Everywhere,
        Boundaries::Numbers { .. } => SPANS,
        Boundaries::Texts(_) => TEXT_SPANS,
    };
    let mut gap = 0;
    let spans = loop {
        let mut spans: Vec<(usize, usize)> = Vec::new();
        for range in &differing {
            match spans.last_mut() {
                Some((_, to)) if *range <= *to + gap => *to = range + 1,
                _ => spans.push((*range, range + 1)),
            }
        }
        if spans.len() <= most {
            break spans;
        }
        gap = gap * 2 + 1;
    };
    let rows =
        |ranges: &mut dyn Iterator<Item = usize>| -> u64 { ranges.map(|range| source.buckets()[range].rows).sum() };
    let inside = rows(&mut spans.iter().flat_map(|(from, to)| *from..*to));
    let all = rows(&mut (0..source.buckets().len()));
    if inside as f64 > MOST * all as f64 { Differences::Everywhere } else { Differences::In(spans) }
}
