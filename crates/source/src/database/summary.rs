//! What a table holds, in ranges of its key: so many rows and a checksum for each.
//!
//! The ranges are chosen by what the store holds, and the source is asked for the same ones. Numbers and moments are divided into chunks of about as
//! many rows, which are read each for itself, and these into ranges of the same width; texts are divided at values that are there, in the
//! order of their bytes, whatever the collation of either side.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use thalweg_project::{ColumnType, DatabaseKind};

use super::Value;
use super::checksum::{Hashing, RowTexts};
use super::rows::fault;
use crate::landing::arrow_type;
use crate::{Column, KeyRange, SourceError, Strips};

/// Rows of a chunk, about.
const CHUNK_ROWS: u64 = 65_536;
/// Rows of a range of numbers, about, and ranges of a table at most. Where one row of a range is gone all its keys are listed.
const RANGE_ROWS: u64 = 64;
const RANGES: u64 = 1 << 18;
/// Ranges of a chunk at least.
const CHUNK_RANGES: u64 = 128;
/// Rows of a range of texts, about.
const TEXT_ROWS: u64 = 512;
/// Ranges of a table whose key is a text, at most.
const TEXT_RANGES: u64 = 1024;
/// Values that are looked at for each boundary that is chosen.
const SAMPLED: u64 = 32;

/// Where ranges meet, ascending.
#[derive(Debug, Clone, PartialEq)]
pub enum Boundaries {
    /// There is one range: the leading column of the key has no order that all agree on.
    None,
    /// Numbers, days, microseconds, or digits of decimals, with the places at which chunks begin.
    Numbers {
        /// The boundaries.
        at: Vec<i128>,
        /// Places of those at which a chunk begins, and of the last one.
        chunks: Vec<usize>,
    },
    /// Texts, in the order of their bytes.
    Texts(Vec<String>),
}

/// Rows and checksum of a range.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bucket {
    /// Rows.
    pub rows: u64,
    /// Sum of their hashes.
    pub sum: i128,
}

/// What a table holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    columns: Vec<Column>,
    types: Vec<ColumnType>,
    hashing: Hashing,
    boundaries: Boundaries,
    /// One more than there are boundaries: what lies below the first, between two, and from the last on.
    buckets: Vec<Bucket>,
}

impl Summary {
    /// Nothing yet, of these columns, of which the first leads the key.
    pub fn new(kind: DatabaseKind, columns: Vec<Column>, boundaries: Boundaries) -> Self {
        let ranges = 1 + match &boundaries {
            Boundaries::None => 0,
            Boundaries::Numbers { at, .. } => at.len(),
            Boundaries::Texts(at) => at.len(),
        };
        let types = columns.iter().map(|column| column.column_type.clone()).collect();
        Self { columns, types, hashing: Hashing::of(kind), boundaries, buckets: vec![Bucket::default(); ranges] }
    }

    /// The columns that are compared.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// How rows are hashed.
    pub fn hashing(&self) -> Hashing {
        self.hashing
    }

    /// Where ranges meet.
    pub fn boundaries(&self) -> &Boundaries {
        &self.boundaries
    }

    /// Rows and checksums, in order.
    pub fn buckets(&self) -> &[Bucket] {
        &self.buckets
    }

    /// Nothing counted yet, in all ranges.
    pub fn uncounted(&self) -> Counted {
        Counted::new(0, self.buckets.len())
    }

    /// Adds what was counted elsewhere.
    pub fn add(&mut self, counted: &Counted) {
        for (bucket, more) in self.buckets.iter_mut().skip(counted.from).zip(&counted.buckets) {
            bucket.add(*more);
        }
    }

    /// Counts rows of some ranges: arrays of the columns, in order. The range of each row, and `u32::MAX` for one that does not count: rows
    /// whose leading column is NULL are in no store.
    pub fn count(&self, counted: &mut Counted, arrays: &[ArrayRef]) -> Result<Vec<u32>, SourceError> {
        let arrays = self.cast(arrays)?;
        let Some(leading) = arrays.first() else { return Ok(Vec::new()) };
        let places = self.places(leading)?;
        let mut texts = RowTexts::new(self.hashing, &self.types, &arrays)?;
        for (row, place) in places.iter().enumerate().filter(|(_, place)| **place != NOWHERE) {
            counted.count(*place, texts.hash(row))?;
        }
        Ok(places)
    }

    /// Counts rows that were hashed elsewhere.
    pub fn count_hashed(
        &self,
        counted: &mut Counted,
        leading: &ArrayRef,
        hashes: &ArrayRef,
    ) -> Result<(), SourceError> {
        let leading = cast(leading, &self.types[0])?;
        let hashes = hashes.as_primitive_opt::<Int64Type>().ok_or_else(|| fault(&"hashes are numbers"))?;
        for (place, hash) in self.places(&leading)?.into_iter().zip(hashes) {
            if place != NOWHERE {
                counted.count(place, hash.unwrap_or_default())?;
            }
        }
        Ok(())
    }

    /// The range of each row by its leading column.
    fn places(&self, leading: &ArrayRef) -> Result<Vec<u32>, SourceError> {
        let number = |place: usize| u32::try_from(place).unwrap_or(NOWHERE);
        Ok(match &self.boundaries {
            Boundaries::None => (0..leading.len()).map(|row| if leading.is_valid(row) { 0 } else { NOWHERE }).collect(),
            Boundaries::Numbers { at, .. } => {
                // Rows mostly come in the order of their keys: the next one lies where the last one did.
                let mut last = 0;
                let mut find = |value: i128| {
                    let is_there = |place: usize| {
                        place.checked_sub(1).is_none_or(|before| at.get(before).is_some_and(|bound| *bound <= value))
                            && at.get(place).is_none_or(|bound| value < *bound)
                    };
                    if !is_there(last) {
                        last = if is_there(last + 1) { last + 1 } else { at.partition_point(|bound| *bound <= value) };
                    }
                    number(last)
                };
                numbers(leading)?.into_iter().map(|value| value.map_or(NOWHERE, &mut find)).collect()
            }
            Boundaries::Texts(at) => {
                let find = |text: Option<&str>| {
                    text.map_or(NOWHERE, |text| number(at.partition_point(|bound| bound.as_str() <= text)))
                };
                leading.as_string::<i32>().iter().map(find).collect()
            }
        })
    }

    fn cast(&self, arrays: &[ArrayRef]) -> Result<Vec<ArrayRef>, SourceError> {
        arrays.iter().zip(&self.types).map(|(array, column_type)| cast(array, column_type)).collect()
    }

    /// The boundary before a range, in the terms of engines; `None` for the first.
    pub fn boundary(&self, range: usize) -> Option<Value> {
        let place = range.checked_sub(1)?;
        match &self.boundaries {
            Boundaries::None => None,
            Boundaries::Numbers { at, .. } => at.get(place).map(|number| value(&self.types[0], *number)),
            Boundaries::Texts(at) => at.get(place).map(|text| Value::Text(text.clone())),
        }
    }

    /// Ranges that are read at once, as first and one behind the last.
    pub fn tasks(&self) -> Vec<(usize, usize)> {
        let mut tasks = Vec::new();
        let mut from = 0;
        if let Boundaries::Numbers { chunks, .. } = &self.boundaries {
            for chunk in chunks {
                tasks.push((from, chunk + 1));
                from = chunk + 1;
            }
        }
        tasks.push((from, self.buckets.len()));
        tasks
    }

    /// The chunk of a range, as first and one behind the last, if it is divided into strips of one width, and that width.
    fn strips(&self, range: usize) -> Option<(usize, usize, i64)> {
        let Boundaries::Numbers { at, chunks } = &self.boundaries else { return None };
        // A difference of two values must be a value.
        let widest = match self.types[0] {
            ColumnType::SmallInt => 1 << 15,
            ColumnType::Integer => 1 << 31,
            ColumnType::BigInt => 1 << 62,
            _ => return None,
        };
        let chunk = chunks.partition_point(|first| *first < range).checked_sub(1)?;
        let (from, to) = (chunks[chunk] + 1, chunks.get(chunk + 1)? + 1);
        let (first, end) = (*at.get(from - 1)?, *at.get(to - 1)?);
        let width = i64::try_from(at.get(from)? - first).ok()?;
        (to - from > 1 && end - first < widest).then_some((from, to, width))
    }

    /// Whether the ranges beside a range are divided into strips of one width.
    pub fn has_strips(&self, range: usize) -> bool {
        self.strips(range).is_some()
    }

    /// Ranges, or several beside each other, for the store. They must be in order.
    pub fn key_ranges(&self, spans: &[(usize, usize)]) -> Vec<KeyRange> {
        let mut ranges = Vec::new();
        let mut rest = spans;
        while let Some(((from, to), behind)) = rest.split_first() {
            let strips = self.strips(*from).filter(|(_, end, _)| to <= end);
            let Some((first, end, width)) = strips else {
                ranges.push(self.key_range(*from, *to));
                rest = behind;
                continue;
            };
            let beside = rest.iter().take_while(|(_, to)| *to <= end).count();
            let (these, behind) = rest.split_at(beside);
            match these {
                [(from, to)] => ranges.push(self.key_range(*from, *to)),
                several => {
                    let mut listed = vec![b'0'; end - first];
                    for (from, to) in several {
                        listed[from - first..to - first].fill(b'1');
                    }
                    let listed = listed.into_iter().map(char::from).collect();
                    ranges.push(KeyRange { strips: Some(Strips { width, listed }), ..self.key_range(first, end) });
                }
            }
            rest = behind;
        }
        ranges
    }

    fn key_range(&self, from: usize, to: usize) -> KeyRange {
        let shown = |range: usize| match &self.boundaries {
            Boundaries::None => None,
            Boundaries::Numbers { at, .. } => at.get(range.checked_sub(1)?).map(|number| show(&self.types[0], *number)),
            Boundaries::Texts(at) => at.get(range.checked_sub(1)?).cloned(),
        };
        KeyRange { from: shown(from), to: if to < self.buckets.len() { shown(to) } else { None }, strips: None }
    }
}

/// Stands for no range.
pub const NOWHERE: u32 = u32::MAX;

/// What was counted in some ranges beside each other.
pub struct Counted {
    from: usize,
    buckets: Vec<Bucket>,
}

impl Counted {
    /// Nothing yet, in ranges from one to before another.
    pub fn new(from: usize, to: usize) -> Self {
        Self { from, buckets: vec![Bucket::default(); to - from] }
    }

    /// The ranges, as first and one behind the last.
    pub fn ranges(&self) -> (usize, usize) {
        (self.from, self.from + self.buckets.len())
    }

    /// Rows and checksum of a range.
    pub fn of(&self, range: usize) -> Bucket {
        range.checked_sub(self.from).and_then(|place| self.buckets.get(place)).copied().unwrap_or_default()
    }

    /// Adds what was counted elsewhere.
    pub fn add(&mut self, range: usize, bucket: Bucket) -> Result<(), SourceError> {
        let place = range.checked_sub(self.from).and_then(|place| self.buckets.get_mut(place));
        // Where the source has another order than this program, a key would be looked for where it is not.
        place.ok_or_else(|| fault(&"a key lies in another range than the source says"))?.add(bucket);
        Ok(())
    }

    fn count(&mut self, range: u32, hash: i64) -> Result<(), SourceError> {
        let range = usize::try_from(range).unwrap_or(usize::MAX);
        self.add(range, Bucket { rows: 1, sum: i128::from(hash) })
    }
}

impl Bucket {
    /// Puts another one to it.
    pub fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.sum += other.sum;
    }
}

fn cast(array: &ArrayRef, column_type: &ColumnType) -> Result<ArrayRef, SourceError> {
    let wanted = arrow_type(column_type);
    if *array.data_type() == wanted {
        return Ok(array.clone());
    }
    arrow::compute::cast(array, &wanted).map_err(|error| fault(&error))
}

fn value(column_type: &ColumnType, number: i128) -> Value {
    // What does not fit lies outside of the limits of boundaries.
    match column_type {
        ColumnType::Decimal(_, scale @ 1..) => Value::Decimal(number, *scale),
        ColumnType::Date => Value::Date(i32::try_from(number).unwrap_or_default()),
        ColumnType::Timestamp => Value::Timestamp(i64::try_from(number).unwrap_or_default()),
        _ => Value::Integer(number),
    }
}

/// A boundary as the store reads it.
fn show(column_type: &ColumnType, number: i128) -> String {
    let time = |micros: i128| i64::try_from(micros).ok().and_then(|it| jiff::Timestamp::from_microsecond(it).ok());
    match column_type {
        ColumnType::Decimal(_, scale @ 1..) => {
            let digits = format!("{:0>width$}", number.unsigned_abs(), width = usize::from(*scale) + 1);
            let (whole, behind) = digits.split_at(digits.len() - usize::from(*scale));
            format!("{}{whole}.{behind}", if number < 0 { "-" } else { "" })
        }
        ColumnType::Date | ColumnType::Timestamp => {
            let micros = if *column_type == ColumnType::Date { number * 86_400_000_000 } else { number };
            let shown = time(micros).map(|time| time.to_zoned(jiff::tz::TimeZone::UTC).datetime());
            shown.map_or_else(String::new, |time| match column_type {
                ColumnType::Date => time.date().to_string(),
                _ => time.to_string().replace('T', " "),
            })
        }
        _ => number.to_string(),
    }
}

/// Between which values boundaries lie, so that every engine can write them: all that a number can be; of moments what lies in years of four
/// digits.
fn limits(column_type: &ColumnType) -> (i128, i128) {
    /// 0001-01-01 and 9999-01-01, in days since 1970.
    const DAYS: (i128, i128) = (-719_162, 2_932_532);
    const DAY: i128 = 86_400_000_000;
    match column_type {
        ColumnType::SmallInt => (i16::MIN.into(), i16::MAX.into()),
        ColumnType::Integer => (i32::MIN.into(), i32::MAX.into()),
        ColumnType::BigInt => (i64::MIN.into(), i64::MAX.into()),
        ColumnType::Decimal(precision, _) => {
            let greatest = 10_i128.pow(u32::from(*precision).min(38)) - 1;
            (-greatest, greatest)
        }
        ColumnType::Date => DAYS,
        _ => (DAYS.0 * DAY, DAYS.1 * DAY),
    }
}

/// Values of the leading column as numbers that have its order.
fn numbers(array: &ArrayRef) -> Result<Vec<Option<i128>>, SourceError> {
    fn of<T: Into<i128>>(values: impl Iterator<Item = Option<T>>) -> Vec<Option<i128>> {
        values.map(|value| value.map(Into::into)).collect()
    }
    Ok(match array.data_type() {
        DataType::Int16 => of(array.as_primitive::<Int16Type>().iter()),
        DataType::Int32 => of(array.as_primitive::<Int32Type>().iter()),
        DataType::Int64 => of(array.as_primitive::<Int64Type>().iter()),
        DataType::Decimal128(..) => of(array.as_primitive::<Decimal128Type>().iter()),
        DataType::Date32 => of(array.as_primitive::<Date32Type>().iter()),
        DataType::Timestamp(..) => of(array.as_primitive::<TimestampMicrosecondType>().iter()),
        other => return Err(fault(&format!("a key of type {other} is divided as a number"))),
    })
}

/// Looks at the leading column of a table's key, to divide it.
#[derive(Debug)]
pub struct Sampler {
    column_type: ColumnType,
    rows: u64,
    step: u64,
    seen: u64,
    numbers: Vec<i128>,
    texts: Vec<String>,
    ends: Option<(i128, i128)>,
}

impl Sampler {
    /// A sampler of a column of a table with about so many rows; `None` where the column cannot be divided.
    pub fn new(column_type: &ColumnType, rows: u64) -> Option<Self> {
        let boundaries = match column_type {
            ColumnType::SmallInt
            | ColumnType::Integer
            | ColumnType::BigInt
            | ColumnType::Decimal(..)
            | ColumnType::Date
            | ColumnType::Timestamp => rows / CHUNK_ROWS + 1,
            ColumnType::Text => (rows / TEXT_ROWS + 1).min(TEXT_RANGES),
            _ => return None,
        };
        let step = (rows / (boundaries * SAMPLED)).max(1);
        let (numbers, texts) = (Vec::new(), Vec::new());
        Some(Self { column_type: column_type.clone(), rows, step, seen: 0, numbers, texts, ends: None })
    }

    /// Looks at values.
    pub fn take(&mut self, leading: &ArrayRef) -> Result<(), SourceError> {
        let leading = cast(leading, &self.column_type)?;
        if self.column_type == ColumnType::Text {
            for text in leading.as_string::<i32>().iter().flatten() {
                if self.seen.is_multiple_of(self.step) {
                    self.texts.push(text.to_owned());
                }
                self.seen += 1;
            }
            return Ok(());
        }
        for number in numbers(&leading)?.into_iter().flatten() {
            if self.seen.is_multiple_of(self.step) {
                self.numbers.push(number);
            }
            self.seen += 1;
            let (least, greatest) = self.ends.unwrap_or((number, number));
            self.ends = Some((least.min(number), greatest.max(number)));
        }
        Ok(())
    }

    /// Where to divide.
    pub fn boundaries(mut self) -> Boundaries {
        if self.column_type == ColumnType::Text {
            self.texts.sort_unstable();
            let wanted = (self.rows / TEXT_ROWS + 1).min(TEXT_RANGES);
            let mut at = quantiles(&self.texts, wanted);
            at.dedup();
            return Boundaries::Texts(at);
        }
        let Some((least, greatest)) = self.ends else { return Boundaries::None };
        self.numbers.sort_unstable();
        // What lies beyond the ends are ranges of their own: rows that come are mostly there.
        let mut ends = vec![least];
        ends.extend(quantiles(&self.numbers, self.seen / CHUNK_ROWS + 1));
        ends.push(greatest.saturating_add(1));
        let (first, last) = limits(&self.column_type);
        ends.iter_mut().for_each(|end| *end = (*end).clamp(first, last));
        ends.sort_unstable();
        ends.dedup();
        let (mut at, mut chunks) = (Vec::new(), Vec::new());
        let of_table = (self.seen / RANGE_ROWS).clamp(1, RANGES);
        let ranges = i128::from((of_table / (self.seen / CHUNK_ROWS + 1)).max(CHUNK_RANGES));
        for pair in ends.windows(2) {
            let (from, to) = (pair[0], pair[1]);
            chunks.push(at.len());
            let width = (to.saturating_sub(from).saturating_add(ranges - 1) / ranges).max(1);
            let mut bound = from;
            while bound < to {
                at.push(bound);
                bound = bound.saturating_add(width);
            }
        }
        chunks.push(at.len());
        at.extend(ends.last());
        Boundaries::Numbers { at, chunks }
    }
}

/// The values that divide a sorted sample into parts of the same size.
fn quantiles<T: Clone>(sorted: &[T], parts: u64) -> Vec<T> {
    let parts = usize::try_from(parts).unwrap_or(1);
    (1..parts).filter_map(|part| sorted.get(sorted.len() * part / parts).cloned()).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Int64Array;

    use super::*;

    /// A summary of a table with these keys.
    fn summary(keys: Vec<i64>) -> Summary {
        let rows = keys.len() as u64;
        let array: ArrayRef = Arc::new(Int64Array::from(keys));
        let mut sampler = Sampler::new(&ColumnType::BigInt, rows).unwrap();
        sampler.take(&array).unwrap();
        let column = Column::new("id", "id", ColumnType::BigInt);
        let mut summary = Summary::new(DatabaseKind::Mariadb, vec![column], sampler.boundaries());
        let mut counted = summary.uncounted();
        let places = summary.count(&mut counted, std::slice::from_ref(&array)).unwrap();
        for (place, key) in places.iter().zip(array.as_primitive::<Int64Type>().values()) {
            let range = summary.key_range(*place as usize, *place as usize + 1);
            assert!(range.from.is_none_or(|from| from.parse::<i64>().unwrap() <= *key), "{key}");
            assert!(range.to.is_none_or(|to| *key < to.parse::<i64>().unwrap()), "{key}");
        }
        summary.add(&counted);
        summary
    }

    #[test]
    fn rows_lie_in_their_ranges_in_whatever_order_they_come() {
        let keys: Vec<i64> = (0..1000).map(|number| number * number * 7919 % 100_003 - 50_000).collect();
        let summary = summary(keys);
        assert_eq!(summary.buckets().iter().map(|bucket| bucket.rows).sum::<u64>(), 1000);
        assert_eq!(summary.tasks().first(), Some(&(0, 1)));
        assert_eq!(summary.tasks().last().map(|(_, to)| *to), Some(summary.buckets().len()));
    }

    /// Nothing lies behind the greatest value of a type: it lies in the last range, and others come behind it.
    #[test]
    fn the_greatest_value_lies_in_the_last_range() {
        for keys in [vec![i64::MAX, 0], vec![i64::MAX, i64::MIN, i64::MAX, 5], vec![i64::MAX], vec![i64::MIN, 0]] {
            let rows = keys.len() as u64;
            assert_eq!(summary(keys).buckets().iter().map(|bucket| bucket.rows).sum::<u64>(), rows);
        }
    }

    #[test]
    fn what_was_listed_of_a_chunk_is_said_in_strips() {
        // Strips of ten numbers, from 0 on.
        let summary = summary((0..1280).collect());
        let whole = |from: &str, to: &str| KeyRange { from: Some(from.into()), to: Some(to.into()), strips: None };
        assert_eq!(summary.key_ranges(&[(3, 5)]), [whole("20", "40")]);
        let below = KeyRange { from: None, to: Some("0".into()), strips: None };
        let behind = KeyRange { from: Some("1280".into()), to: None, strips: None };
        let ranges = summary.key_ranges(&[(0, 1), (1, 2), (3, 5), (129, 130)]);
        assert_eq!((&ranges[0], &ranges[2]), (&below, &behind));
        assert_eq!((ranges.len(), ranges[1].to.as_deref()), (3, Some("1280")));
        let strips = ranges[1].strips.clone().unwrap();
        assert_eq!((strips.width, strips.listed.len(), &strips.listed[..6]), (10, 128, "101100"));
    }
}
