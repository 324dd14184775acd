//! Comparing a table with what the store holds, range by range.
//!
//! The store's side was computed before the extract began ([`Summary`]); here the source's is, in the snapshot that rows are read from. Both
//! must be about the same rows: those that satisfy `where`, are not marked as deleted, and whose key has no NULL. Rows that were
//! rejected are at the source only: their ranges differ in every run, which costs the listing of some hundred keys and changes nothing.
//!
//! The server counts and hashes where it can ([`super::checksum`]). Where it cannot tell quickly in which range a row lies, it hands over the
//! leading column and the hash; where it cannot write a value, the values, and the rest is done here.

use arrow::array::BooleanArray;
use arrow::compute::filter_record_batch;
use arrow::record_batch::RecordBatch;

use super::Dialect;
use super::columns::{ColumnPlan, PlannedColumn};
use super::extract::{Extraction, key_columns};
use super::keys::KeyParts;
use super::pool::Lent;
use super::rows::fault;
use super::statement::Statement;
use super::summary::Counted;
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
/// Keys of ranges that are looked at at once are kept until it is known which of them differ, up to so many bytes.
const KEPT: usize = 16 << 20;
/// Ranges of keys that are listed apart, where they are not strips of the same width.
const LISTED: usize = 256;
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

/// What a comparison found.
#[derive(Debug)]
pub struct Found {
    /// Where source and store differ.
    pub differences: Differences,
    /// Ranges whose keys were listed on the way, in order, each as first and one behind the last. Where it is none at all, nothing was.
    pub listed: Option<Vec<(usize, usize)>>,
}

impl Differences {
    /// For the store: what was listed.
    pub fn listing(&self, summary: &Summary) -> KeyListing {
        match self {
            Self::In(spans) => KeyListing { ranges: summary.key_ranges(spans) },
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

/// One comparison.
struct Work<'w, 'k> {
    store: &'w Summary,
    columns: Vec<(&'w SourceColumn, &'w ColumnType)>,
    /// Conditions for the rows that count.
    rows: Vec<String>,
    /// The leading column in an order that both sides have.
    ordered: Option<String>,
    /// The hash of a row, where the server knows one.
    hash: Option<String>,
    /// Most ranges are expected to differ.
    expects: bool,
    /// Where keys are listed while they are compared.
    keys: Option<&'w KeyParts<'k>>,
}

/// What comparing some ranges beside each other found.
#[derive(Default)]
struct Part {
    /// Those that differ.
    differing: Vec<usize>,
    /// The rows that the source has in them.
    rows: u64,
    /// Those whose keys were listed.
    listed: Vec<(usize, usize)>,
    /// Keys that ought to have been listed were too many to be kept.
    unlisted: bool,
}

impl Extraction<'_> {
    /// The conditions for the rows that are in the store when it is as the source is.
    pub(super) fn rows_of_the_store(&self, columns: &ColumnPlan) -> Vec<String> {
        let mut conditions: Vec<String> = self.options.filter.clone().into_iter().collect();
        if let Some(marked) = self.marked(columns).flatten() {
            conditions.push(format!("not {marked}"));
        }
        conditions.extend(self.since_initial(columns));
        conditions
    }

    /// The condition for rows that are marked as deleted: none without a soft-delete column, and none inside where the server would decide otherwise than the store.
    fn marked(&self, columns: &ColumnPlan) -> Option<Option<String>> {
        let planned = self.request.stream.soft_delete.as_ref().and_then(|name| columns.find(name))?;
        let known = self.request.known_columns.iter().find(|column| column.name == planned.column.name);
        let stored = known.map_or(&planned.column.column_type, |column| &column.column_type);
        Some(self.dialect.is_marked(&planned.source, stored))
    }

    /// Where the source differs from what the store holds; `None` where the columns of the two cannot be compared. `keys` takes the keys
    /// in ranges that differ, where keys are what is compared; `expects` says that most ranges will.
    pub(super) fn differences(
        &self,
        columns: &ColumnPlan,
        store: &Summary,
        keys: Option<&KeyParts<'_>>,
        expects: impl FnOnce(usize) -> bool,
    ) -> Result<Option<Found>, SourceError> {
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
        let expects = expects(tasks.len());
        let work = Work { store, columns: spelled, rows, ordered, hash, expects, keys };
        let apart = LISTED / tasks.len() + 1;
        let parts = self.pool.each(self.context, &tasks, |connection, task| {
            let span = work.ordered.as_ref().filter(|_| tasks.len() > 1);
            let within = span.map(|ordered| within(self.dialect, store, &leading.source, ordered, *task));
            let conditions: Vec<String> = work.rows.iter().cloned().chain(within).collect();
            self.compare_part(connection, &work, *task, &conditions, apart)
        })?;
        let mut whole = Part::default();
        for part in parts {
            whole.differing.extend(part.differing);
            whole.rows += part.rows;
            whole.listed.extend(part.listed);
            whole.unlisted |= part.unlisted;
        }
        let differences = spans(store, &whole, work.ordered.is_some());
        let listed = keys.is_some() && !whole.unlisted;
        Ok(Some(Found { differences, listed: listed.then_some(whole.listed) }))
    }

    /// Compares some ranges beside each other.
    fn compare_part(
        &self,
        connection: &mut Lent<'_>,
        work: &Work<'_, '_>,
        (from, to): (usize, usize),
        conditions: &[String],
        apart: usize,
    ) -> Result<Part, SourceError> {
        self.context.check_cancelled()?;
        let stored = &work.store.buckets()[from..to];
        let mut counted = Counted::new(from, to);
        let differing = |counted: &Counted| {
            let differing: Vec<usize> = (from..to).filter(|range| counted.of(*range) != stored[range - from]).collect();
            Part { rows: differing.iter().map(|range| counted.of(*range).rows).sum(), differing, ..Part::default() }
        };
        if let (Some(hash), true) = (&work.hash, !work.expects || to - from == 1) {
            // All of them at once, which costs the server least.
            let mut statement = Statement::new(self.dialect, self.table);
            statement.only_all(conditions);
            let answer = connection.query(&statement.aggregate(&["count(*)".to_owned(), format!("sum({hash})")]));
            let mut whole = Bucket::default();
            for row in connection.watch(answer)? {
                whole.add(bucket(&row)?);
            }
            let mut expected = Bucket::default();
            stored.iter().for_each(|bucket| expected.add(*bucket));
            if whole == expected {
                return Ok(Part::default());
            }
            if let (None, 1) = (work.keys, to - from) {
                counted.add(from, whole)?;
                return Ok(differing(&counted));
            }
        }
        let Some(keys) = work.keys else {
            let way = match &work.hash {
                Some(hash) if work.ordered.is_some() || work.store.buckets().len() == 1 => Way::Grouped { hash },
                Some(hash) => Way::Hashed { hash },
                None => Way::Read,
            };
            self.count(connection, work, &way, &mut counted, conditions)?;
            return Ok(differing(&counted));
        };

        let mut statement = Statement::new(self.dialect, self.table);
        statement.only_all(conditions);
        work.columns.iter().for_each(|(column, _)| statement.column(column));
        let sql = statement.sql(None);
        let read = Read { sql: &sql, columns: statement.columns() };
        let (mut kept, mut bytes): (Vec<(RecordBatch, Vec<u32>)>, usize) = (Vec::new(), 0);
        let result = connection.read(&read, &mut |rows| {
            self.context.check_cancelled()?;
            let places = work.store.count(&mut counted, rows.batch.columns())?;
            bytes += rows.batch.get_array_memory_size();
            match bytes <= KEPT {
                true => kept.push((rows.batch, places)),
                false => kept.clear(),
            }
            Ok(())
        });
        connection.watch(result)?;
        let mut part = differing(&counted);
        if bytes > KEPT {
            part.unlisted = !part.differing.is_empty();
            return Ok(part);
        }
        part.listed =
            if work.store.has_strips(from) { joined(&part.differing, 0) } else { few(&part.differing, apart) };
        let mut wanted = vec![false; to - from];
        for (first, end) in &part.listed {
            wanted[first - from..end - from].fill(true);
        }
        for (batch, places) in &kept {
            let is_wanted =
                |place: &u32| usize::try_from(*place).ok().and_then(|it| wanted.get(it.checked_sub(from)?)).copied();
            let rows: BooleanArray = places.iter().map(is_wanted).collect();
            keys.write(&filter_record_batch(batch, &rows).map_err(|error| fault(&error))?)?;
        }
        Ok(part)
    }

    /// Counts and hashes the source's rows of some ranges.
    fn count(
        &self,
        connection: &mut Lent<'_>,
        work: &Work<'_, '_>,
        way: &Way<'_>,
        counted: &mut Counted,
        conditions: &[String],
    ) -> Result<(), SourceError> {
        let (store, leading) = (work.store, work.columns[0].0);
        let mut statement = Statement::new(self.dialect, self.table);
        statement.only_all(conditions);
        match way {
            Way::Grouped { hash } => {
                let (from, to) = counted.ranges();
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
                        counted.add(from + range, bucket(&row[1..])?)?;
                    }
                    return Ok(());
                }
                statement.column(leading);
                statement.number(hash, "thalweg_hash");
            }
            Way::Hashed { hash } => {
                statement.column(leading);
                statement.number(hash, "thalweg_hash");
            }
            Way::Read => work.columns.iter().for_each(|(column, _)| statement.column(column)),
        }
        let sql = statement.sql(None);
        let read = Read { sql: &sql, columns: statement.columns() };
        let result = connection.read(&read, &mut |rows| {
            self.context.check_cancelled()?;
            match way {
                Way::Read => store.count(counted, rows.batch.columns()).map(drop),
                Way::Grouped { .. } | Way::Hashed { .. } => {
                    store.count_hashed(counted, rows.batch.column(0), rows.batch.column(1))
                }
            }
        });
        connection.watch(result)
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
fn spans(store: &Summary, source: &Part, has_order: bool) -> Differences {
    if source.differing.is_empty() {
        return Differences::Nowhere;
    }
    let most = match store.boundaries() {
        _ if !has_order => return Differences::Everywhere,
        Boundaries::None => return Differences::Everywhere,
        Boundaries::Numbers { .. } => SPANS,
        Boundaries::Texts(_) => TEXT_SPANS,
    };
    let spans = few(&source.differing, most);
    let rows =
        |ranges: &mut dyn Iterator<Item = usize>| -> u64 { ranges.map(|range| store.buckets()[range].rows).sum() };
    let inside = rows(&mut spans.iter().flat_map(|(from, to)| *from..*to));
    let all = rows(&mut (0..store.buckets().len()));
    if inside.max(source.rows) as f64 > MOST * all as f64 { Differences::Everywhere } else { Differences::In(spans) }
}

/// Ranges in order, put together until there are not more than `most` stretches of them.
fn few(ranges: &[usize], most: usize) -> Vec<(usize, usize)> {
    let mut gap = 0;
    loop {
        let spans = joined(ranges, gap);
        if spans.len() <= most {
            return spans;
        }
        gap = gap * 2 + 1;
    }
}

/// Ranges in order, put together where not more than `gap` others lie between them.
fn joined(ranges: &[usize], gap: usize) -> Vec<(usize, usize)> {
    let mut spans: Vec<(usize, usize)> = Vec::new();
    for range in ranges {
        match spans.last_mut() {
            Some((_, to)) if *range <= *to + gap => *to = range + 1,
            _ => spans.push((*range, range + 1)),
        }
    }
    spans
}
