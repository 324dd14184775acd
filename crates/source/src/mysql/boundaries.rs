//! Dividing a table by the leading column of its key, without reading it.
//!
//! The server guesses the rows between two values from its index, at the cost of two look-ups. So the range that holds most rows is
//! halved again and again, and neighbours are then put together into parts of about equal size. Numbers and dates are halved by
//! reckoning; texts, which have an order of their own, at values that are really there.

use super::column_types::Kind;
use super::dialect::{MysqlDialect, literal_text, quoted};
use super::error::Trouble;
use super::session::Session;
use crate::database::{Dialect, SourceColumn, Table, Value};
use thalweg_project::ColumnType;

/// No range is left with more than one of so many of a part's rows: more make parts more equal.
const RANGES_A_PART: u64 = 4;
/// Ranges are divided so often at most.
const DIVISIONS: usize = 120;
/// Characters that are tried behind what two texts have in common.
const PROBES: &str = "0123456789abcdefghijklmnopqrstuvwxyz";
/// Characters behind that at most.
const DEPTH: usize = 4;

/// See [`crate::database::Connection::boundaries`].
pub(super) fn boundaries(
    session: &mut Session,
    table: &Table,
    column: &SourceColumn,
    parts: usize,
) -> Result<Vec<Value>, Trouble> {
    let kind = Kind::parse(&column.engine_type);
    let divisible = match (&column.column_type, kind) {
        (_, Kind::Listed | Kind::Address | Kind::Json | Kind::Geometry | Kind::Bytes) => false,
        (ColumnType::SmallInt | ColumnType::Integer | ColumnType::BigInt, _) => true,
        (ColumnType::Decimal(..) | ColumnType::Date | ColumnType::Timestamp, _) => true,
        (ColumnType::Text, Kind::Text) => true,
        _ => false,
    };
    if parts < 2 || !divisible || !table.indexed_columns.contains(&column.name) {
        return Ok(Vec::new());
    }
    let mut divider = Divider { session, table: MysqlDialect.table(&table.table), column };
    let Some(whole) = divider.whole()? else { return Ok(Vec::new()) };
    let mut ranges = vec![whole];
    for _ in 0..DIVISIONS {
        let total: u64 = ranges.iter().map(|range| range.rows).sum();
        let most = ranges.iter().enumerate().filter(|(_, range)| range.divisible).max_by_key(|(_, range)| range.rows);
        let Some((at, range)) = most.map(|(at, range)| (at, range.clone())) else { break };
        if ranges.len() > 1 && range.rows.saturating_mul(RANGES_A_PART * parts as u64) <= total {
            break;
        }
        let mut pieces = divider.divide(&range)?;
        if pieces.len() < 2 {
            pieces = vec![Range { divisible: false, ..range }];
        }
        ranges.splice(at..=at, pieces);
    }
    Ok(joined(&ranges, parts))
}

/// The values from `from` on up to, and without, the next range's.
#[derive(Debug, Clone)]
struct Range {
    from: Value,
    /// The first value behind it, or the last value of all.
    to: Value,
    /// It is the last one, to which `to` belongs.
    last: bool,
    rows: u64,
    divisible: bool,
}

/// Puts neighbours together into parts of about equal size: the values between parts, each the one nearest to where it should be.
fn joined(ranges: &[Range], parts: usize) -> Vec<Value> {
    let total: u64 = ranges.iter().map(|range| range.rows).sum();
    let starts: Vec<u64> = ranges
        .iter()
        .scan(0, |before, range| {
            let start = *before;
            *before += range.rows;
            Some(start)
        })
        .collect();
    let mut chosen: Vec<usize> = (1..parts as u64)
        .filter_map(|part| {
            let due = total * part / parts as u64;
            (1..ranges.len()).filter(|at| starts[*at] > 0).min_by_key(|at| starts[*at].abs_diff(due))
        })
        .collect();
    chosen.dedup();
    chosen.into_iter().map(|at| ranges[at].from.clone()).collect()
}

struct Divider<'a> {
    session: &'a mut Session,
    table: String,
    column: &'a SourceColumn,
}

impl Divider<'_> {
    /// Everything there is, as one range.
    fn whole(&mut self) -> Result<Option<Range>, Trouble> {
        let column = quoted(&self.column.name);
        let ends = self.session.rows(&format!("select min({column}), max({column}) from {}", self.table))?;
        let ends = ends.first().and_then(|row| Some((row.first()?.as_deref()?, row.get(1)?.as_deref()?)));
        let Some((from, to)) = ends.and_then(|(from, to)| Some((self.parse(from)?, self.parse(to)?))) else {
            return Ok(None);
        };
        Ok(Some(Range { rows: 1, from, to, last: true, divisible: true }))
    }

    fn divide(&mut self, range: &Range) -> Result<Vec<Range>, Trouble> {
        let between = match (&range.from, &range.to) {
            (Value::Text(from), Value::Text(to)) => self.texts_between(from, to)?,
            (from, to) => middle(from, to).into_iter().collect(),
        };
        if between.is_empty() {
            return Ok(Vec::new());
        }
        let mut ranges = Vec::new();
        let mut from = range.from.clone();
        for to in between {
            ranges.push(self.range(from, to.clone(), false)?);
            from = to;
        }
        ranges.push(self.range(from, range.to.clone(), range.last)?);
        Ok(ranges)
    }

    fn range(&mut self, from: Value, to: Value, last: bool) -> Result<Range, Trouble> {
        let column = quoted(&self.column.name);
        let (low, high) = (MysqlDialect.literal(&from, self.column), MysqlDialect.literal(&to, self.column));
        let until = if last { "<=" } else { "<" };
        let plan = self.session.rows(&format!(
            "explain select {column} from {} where {column} >= {low} and {column} {until} {high}",
            self.table
        ))?;
        // id, select_type, table, (partitions in MySQL), type, possible_keys, key, key_len, ref, rows.
        let at = if self.session.is_mariadb() { 8 } else { 9 };
        let rows = plan.first().and_then(|row| row.get(at)?.as_deref()?.parse().ok()).unwrap_or(1);
        Ok(Range { from, to, last, rows, divisible: true })
    }

    /// Values that are there, between two: for each character that may follow what both begin with, the first one from there on. Where
    /// that leads nowhere, what each of them begins with is taken one character further.
    fn texts_between(&mut self, from: &str, to: &str) -> Result<Vec<Value>, Trouble> {
        let common = from.chars().zip(to.chars()).take_while(|(a, b)| a == b).count();
        for length in common..common + DEPTH {
            let values = self.first_values(&probes(from, to, length), from, to)?;
            if !values.is_empty() {
                return Ok(values);
            }
        }
        Ok(Vec::new())
    }

    /// The first value from each probe on, of those between two.
    fn first_values(&mut self, probes: &[String], from: &str, to: &str) -> Result<Vec<Value>, Trouble> {
        let column = quoted(&self.column.name);
        let (low, high) = (literal_text(from), literal_text(to));
        let queries = probes.iter().map(|probe| {
            let probe = literal_text(probe);
            format!(
                "(select min({column}) as v from {} where {column} >= {probe} and {column} > {low} and {column} < {high})",
                self.table
            )
        });
        let query = queries.collect::<Vec<_>>().join(" union ");
        let rows = self.session.rows(&format!("select v from ({query}) x where v is not null order by v"))?;
        Ok(rows.into_iter().filter_map(|mut row| row.pop().flatten().map(Value::Text)).collect())
    }

    fn parse(&self, text: &str) -> Option<Value> {
        match &self.column.column_type {
            ColumnType::Text => Some(Value::Text(text.to_owned())),
            ColumnType::Date => Some(Value::Date(crate::values::parse_date(text)?)),
            ColumnType::Timestamp => Some(Value::Timestamp(crate::values::parse_timestamp(text)?)),
            ColumnType::Decimal(_, scale) => {
                let digits = text.replacen('.', "", 1).parse().ok()?;
                Some(Value::Decimal(digits, if text.contains('.') { *scale } else { 0 }))
            }
            _ => text.parse().ok().map(Value::Integer),
        }
    }
}

/// Texts with one character behind the beginnings of two. Characters up to the one that the lower text has there itself are left out: the
/// first value from there on would be its own neighbour.
fn probes(from: &str, to: &str, length: usize) -> Vec<String> {
    let own = from.chars().nth(length).map(|own| own.to_ascii_lowercase());
    let begin = |text: &str| text.chars().take(length).collect::<String>();
    let (low, high) = (begin(from), begin(to));
    let behind = |beginning: &str, after: Option<char>| {
        let characters = PROBES.chars().filter(move |probe| Some(*probe) > after);
        characters.map(|probe| format!("{beginning}{probe}")).collect::<Vec<_>>()
    };
    let mut probes = behind(&low, own);
    if high != low {
        probes.extend(behind(&high, None));
    }
    probes
}

/// The value half-way between two numbers or moments, if there is one.
fn middle(from: &Value, to: &Value) -> Option<Value> {
    let half = |from: i128, to: i128| {
        let middle = from + to.checked_sub(from)? / 2;
        (middle > from && middle < to).then_some(middle)
    };
    match (from, to) {
        (Value::Integer(from), Value::Integer(to)) => Some(Value::Integer(half(*from, *to)?)),
        (Value::Decimal(from, scale), Value::Decimal(to, other)) if scale == other => {
            Some(Value::Decimal(half(*from, *to)?, *scale))
        }
        (Value::Date(from), Value::Date(to)) => {
            Some(Value::Date(i32::try_from(half(i128::from(*from), i128::from(*to))?).ok()?))
        }
        (Value::Timestamp(from), Value::Timestamp(to)) => {
            Some(Value::Timestamp(i64::try_from(half(i128::from(*from), i128::from(*to))?).ok()?))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(rows: &[u64]) -> Vec<Range> {
        let range = |(at, rows): (usize, &u64)| Range {
            from: Value::Integer(at as i128),
            to: Value::Integer(at as i128 + 1),
            last: false,
            rows: *rows,
            divisible: true,
        };
        rows.iter().enumerate().map(range).collect()
    }

    #[test]
    fn neighbours_are_joined_into_equal_parts() {
        let joined = |rows: &[u64], parts| joined(&ranges(rows), parts);
        assert_eq!(joined(&[1, 1, 1, 1], 2), [Value::Integer(2)]);
        assert_eq!(joined(&[1; 8], 4), [2, 4, 6].map(Value::Integer));
        assert_eq!(joined(&[100, 1, 1], 2), [Value::Integer(1)]);
        assert_eq!(joined(&[2, 7, 1, 2], 2), [Value::Integer(2)]);
        assert_eq!(joined(&[5], 4), []);
        assert_eq!(joined(&[0, 0, 0, 9], 3), []);
        assert_eq!(joined(&[], 3), []);
    }

    #[test]
    fn halves() {
        assert_eq!(middle(&Value::Integer(0), &Value::Integer(10)), Some(Value::Integer(5)));
        assert_eq!(middle(&Value::Integer(4), &Value::Integer(5)), None);
        assert_eq!(middle(&Value::Decimal(0, 2), &Value::Decimal(300, 2)), Some(Value::Decimal(150, 2)));
        assert_eq!(middle(&Value::Integer(i128::MIN), &Value::Integer(i128::MAX)), None);
    }
}
