//! A large table in ranges of its key, read at the same time, each of which survives an interruption.
//!
//! The ranges that a killed run finished were read in a snapshot that is gone. Whoever goes on reads the others in a new one, then
//! everything that changed since the old one, found by the cursor; what was deleted since is told by a listing of keys. So the extract is
//! what the new snapshot shows. Without a cursor nobody could say what changed, and the whole table is read anew.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thalweg_project::{ColumnType, SourceColumn, Table};

use super::cursor::{CursorKind, CursorPosition, Moments};
use super::rows::RowCounts;
use super::{Dialect, Value};
use crate::UnfinishedExtract;

/// Rows of a range, about.
const RANGE_ROWS: u64 = 125_000;
/// Tables with fewer rows are read at once.
const SMALLEST: u64 = 250_000;
/// Ranges of a table at most.
const RANGES: u64 = 256;

/// The plan of an extract in ranges, as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RangePlan {
    /// The leading column of the key, at the source.
    pub column: String,
    /// Where ranges meet, ascending.
    pub boundaries: Vec<Boundary>,
    /// Columns of the read with their types, so that all ranges have the same.
    pub columns: Vec<(String, ColumnType)>,
    /// The clocks of the first snapshot.
    now: i64,
    oldest_open: i64,
    offset: i32,
    lag: i64,
    mark: Option<(i64, i128)>,
    /// The version from which on rows were not all seen in the first snapshot.
    #[serde(default)]
    pub version: Option<i64>,
}

/// A value of the key that can be kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Boundary {
    Integer(String),
    Decimal(String, u8),
    Date(i32),
    Timestamp(i64),
    Text(String),
    Bytes(Vec<u8>),
}

impl Boundary {
    fn new(value: &Value) -> Self {
        match value {
            Value::Integer(value) => Self::Integer(value.to_string()),
            Value::Decimal(value, scale) => Self::Decimal(value.to_string(), *scale),
            Value::Date(value) => Self::Date(*value),
            Value::Timestamp(value) => Self::Timestamp(*value),
            Value::Text(value) => Self::Text(value.clone()),
            Value::Bytes(value) => Self::Bytes(value.clone()),
        }
    }

    fn value(&self) -> Option<Value> {
        Some(match self {
            Self::Integer(text) => Value::Integer(text.parse().ok()?),
            Self::Decimal(text, scale) => Value::Decimal(text.parse().ok()?, *scale),
            Self::Date(value) => Value::Date(*value),
            Self::Timestamp(value) => Value::Timestamp(*value),
            Self::Text(value) => Value::Text(value.clone()),
            Self::Bytes(value) => Value::Bytes(value.clone()),
        })
    }
}

/// Into how many ranges a table is worth dividing; 1 when it is not.
pub fn wanted_ranges(table: &Table) -> usize {
    match table.estimated_rows {
        Some(rows) if rows >= SMALLEST => usize::try_from((rows / RANGE_ROWS).clamp(2, RANGES)).unwrap_or(1),
        _ => 1,
    }
}

impl RangePlan {
    /// A plan for the present snapshot.
    pub fn new(
        column: &SourceColumn,
        boundaries: &[Value],
        columns: Vec<(String, ColumnType)>,
        moments: &Moments,
        mark: Option<(i64, i128)>,
        version: Option<i64>,
    ) -> Self {
        Self {
            column: column.name.clone(),
            boundaries: boundaries.iter().map(Boundary::new).collect(),
            columns,
            now: moments.now,
            oldest_open: moments.oldest_open,
            offset: moments.offset,
            lag: moments.lag,
            mark,
            version,
        }
    }

    /// The conditions of the ranges, one more than there are boundaries. NULL belongs to the first.
    pub fn conditions(&self, dialect: &dyn Dialect, column: &SourceColumn) -> Option<Vec<String>> {
        let name = dialect.quote_identifier(&column.name);
        let values = self.boundaries.iter().map(|boundary| Some(dialect.literal(&boundary.value()?, column)));
        let values: Vec<String> = values.collect::<Option<_>>()?;
        let (Some(first), Some(last)) = (values.first(), values.last()) else { return None };
        let mut conditions = vec![if column.nullable {
            format!("{name} < {first} or {name} is null")
        } else {
            format!("{name} < {first}")
        }];
        conditions.extend(values.windows(2).map(|pair| format!("{name} >= {} and {name} < {}", pair[0], pair[1])));
        conditions.push(format!("{name} >= {last}"));
        Some(conditions)
    }

    /// From where on rows must be read that changed since the first snapshot; `None` when that cannot be said.
    pub fn changed_since(&self, kind: CursorKind, seen: Option<i128>) -> Option<i128> {
        let set_back = 0;
        let moments =
            Moments { now: self.now, oldest_open: self.oldest_open, offset: self.offset, set_back, lag: self.lag };
        let position = CursorPosition::default().after(kind, &moments, seen, self.mark);
        position.lower(kind, &moments)
    }
}

/// What an interrupted extract left, if it can be gone on with.
pub fn take_up(
    unfinished: &UnfinishedExtract,
    columns: &[(String, ColumnType)],
) -> Option<(RangePlan, BTreeMap<usize, RowCounts>)> {
    let plan: RangePlan = serde_json::from_value(unfinished.plan.clone()).ok()?;
    if plan.columns != columns {
        return None;
    }
    let finished = unfinished.finished.iter();
    let finished = finished.map(|(unit, outcome)| Some((*unit, serde_json::from_value(outcome.clone()).ok()?)));
    Some((plan, finished.collect::<Option<_>>()?))
}
