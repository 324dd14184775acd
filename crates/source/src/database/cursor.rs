//! The column that finds changed rows, and how far it may be trusted.
//!
//! A row is stamped before its transaction commits. What is certain is only this: a transaction that is not visible in a snapshot either
//! was open when the snapshot was taken, and then started no earlier than the oldest open transaction, or began later. Its stamp is
//! not smaller than its start. So a position is never the greatest value seen, but the start of the oldest transaction that was open,
//! read *before* the snapshot ([`super::OpenSnapshot::oldest_open`]), in the clock of the column. Rows from there on are read again by the next run;
//! the merge finds them unchanged.
//!
//! * **Times** are stamped by a clock that is not known: the server's in UTC or in its own zone, that of a program elsewhere, or one that
//!   somebody made up. The position is the smallest of `oldest_open` in UTC, in the server's zone (for types without a zone), and the
//!   greatest value seen less the age of the oldest transaction, which is safe in any clock that does not run ahead of itself. When the server's
//!   clock was put back since (end of daylight saving time, a correction), the lower bound is put back as far.
//! * **Numbers** are handed out when a row is written. A number seen at time *t* may be trusted once every open transaction is younger
//!   than *t*: each run remembers the greatest number it saw before it opened its snapshot, and trusts the latest such mark that is old enough.
//!
//! Values that lie in the future are read by every run and move no position.

use serde::{Deserialize, Serialize};
use thalweg_project::{ColumnType, SourceColumn};

use super::Value;
use crate::values::{parse_date, parse_timestamp};

/// Microseconds of an hour.
const HOUR: i64 = 3_600_000_000;
/// Microseconds of a day.
const DAY: i64 = 24 * HOUR;
/// No clock on earth is further ahead of UTC.
const FURTHEST_AHEAD: i64 = 14 * HOUR;
/// Marks that are remembered at most.
const MARKS: usize = 64;

/// How a cursor's values are to be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CursorKind {
    /// Microseconds, UTC.
    Moment,
    /// Microseconds of a clock that is not known.
    Clock,
    /// Days of a clock that is not known.
    Day,
    /// A number that grows.
    Number,
}

impl CursorKind {
    /// The kind of a column; `None` where its values have no order that time follows.
    pub fn of(column: &SourceColumn) -> Option<Self> {
        Some(match column.column_type {
            ColumnType::Timestamp if has_time_zone(&column.engine_type) => Self::Moment,
            ColumnType::Timestamp => Self::Clock,
            ColumnType::Date => Self::Day,
            ColumnType::SmallInt | ColumnType::Integer | ColumnType::BigInt | ColumnType::Decimal(..=20, 0) => {
                Self::Number
            }
            _ => return None,
        })
    }

    /// Whether its values are times.
    pub fn is_time(self) -> bool {
        self != Self::Number
    }

    /// A value in the engine's terms.
    pub fn value(self, value: i128) -> Value {
        match self {
            Self::Moment | Self::Clock => Value::Timestamp(saturated(value)),
            Self::Day => Value::Date(i32::try_from(value).unwrap_or(if value < 0 { i32::MIN } else { i32::MAX })),
            Self::Number => Value::Integer(value),
        }
    }

    /// Reads a value that a person wrote.
    pub fn parse(self, text: &str) -> Option<i128> {
        let text = text.trim();
        match self {
            Self::Moment | Self::Clock => {
                let moment = parse_timestamp(text).or_else(|| Some(i64::from(parse_date(text)?) * DAY));
                moment.map(i128::from)
            }
            Self::Day => parse_date(text).map(i128::from),
            Self::Number => text.parse().ok(),
        }
    }

    /// A value for people.
    pub fn show(self, value: i128) -> String {
        let moment = |microseconds: i64| {
            let moment = jiff::Timestamp::from_microsecond(microseconds).ok()?;
            Some(moment.to_zoned(jiff::tz::TimeZone::UTC).datetime())
        };
        match self {
            Self::Moment | Self::Clock => {
                moment(saturated(value)).map_or_else(|| value.to_string(), |time| time.to_string().replace('T', " "))
            }
            Self::Day => moment(saturated(value.saturating_mul(i128::from(DAY))))
                .map_or_else(|| value.to_string(), |time| time.date().to_string()),
            Self::Number => value.to_string(),
        }
    }

    /// Whether a value that was seen says something of where the column's clock stands: one in the future does not.
    pub fn last_trusted(self, now: i64) -> i128 {
        match self {
            Self::Moment => i128::from(now),
            Self::Clock => i128::from(now + FURTHEST_AHEAD),
            Self::Day => i128::from((now + FURTHEST_AHEAD).div_euclid(DAY)),
            Self::Number => i128::MAX,
        }
    }

    /// A length of time in the column's unit, rounded up; nothing for numbers.
    pub fn span(self, microseconds: i64) -> i128 {
        match self {
            Self::Moment | Self::Clock => i128::from(microseconds),
            Self::Day => i128::from(microseconds.div_euclid(DAY) + i64::from(microseconds.rem_euclid(DAY) > 0)),
            Self::Number => 0,
        }
    }
}

fn has_time_zone(engine_type: &str) -> bool {
    let name = engine_type.to_ascii_lowercase();
    // MySQL's `timestamp` is a moment, its `datetime` is not; Postgres writes what it means.
    (name.starts_with("timestamp") && !name.contains("without time zone"))
        || name.starts_with("timestamptz")
        || name.contains("with time zone")
}

fn saturated(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

/// How far a stream was read by its cursor.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CursorPosition {
    /// Everything below this value is in the store; `None` before anything is certain. In the column's own unit.
    pub value: Option<i128>,
    /// The same for people.
    #[serde(default)]
    pub shown: Option<String>,
    /// The greatest value seen that does not lie in the future.
    #[serde(default)]
    pub seen: Option<i128>,
    /// The server's clock when that value was seen first.
    #[serde(default)]
    pub seen_at: i64,
    /// Offset of the server's clock from UTC at that time, in seconds.
    #[serde(default)]
    pub offset: i32,
    /// Whether the values are numbers.
    #[serde(default)]
    pub number: bool,
    /// Greatest numbers seen, with the time at which they were, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<(i64, i128)>,
}

/// What a snapshot says of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moments {
    /// The server's clock, microseconds UTC.
    pub now: i64,
    /// As [`super::OpenSnapshot::oldest_open`].
    pub oldest_open: i64,
    /// As [`super::OpenSnapshot::server_offset`].
    pub offset: i32,
    /// How far the server's clock was put back since the last run, in microseconds.
    pub set_back: i64,
    /// How far before its position a run reads again, in microseconds.
    pub lag: i64,
}

impl CursorPosition {
    /// From where on rows must be read; `None`: all.
    pub fn lower(&self, kind: CursorKind, moments: &Moments) -> Option<i128> {
        let value = self.value?;
        let mut back = moments.lag + moments.set_back;
        if matches!(kind, CursorKind::Clock | CursorKind::Day) {
            // Whoever stamps by the server's clock was put back with it.
            back += i64::from(self.offset - moments.offset).max(0) * 1_000_000;
        }
        Some(value - kind.span(back))
    }

    /// The position after a snapshot in which everything from [`CursorPosition::lower`] on was read. `seen` is the greatest value that was read and is not
    /// greater than [`CursorKind::last_trusted`], `mark` the greatest number before the snapshot was opened, and the time after it was
    /// read.
    #[must_use]
    pub fn after(&self, kind: CursorKind, moments: &Moments, seen: Option<i128>, mark: Option<(i64, i128)>) -> Self {
        let mut next = Self {
            seen: self.seen.max(seen),
            offset: moments.offset,
            number: kind == CursorKind::Number,
            ..self.clone()
        };
        if next.seen != self.seen || self.seen.is_none() {
            next.seen_at = moments.now;
        }
        match kind {
            CursorKind::Moment => next.value = by_clock(&Moments { offset: 0, ..*moments }, next.seen),
            CursorKind::Clock => next.value = by_clock(moments, next.seen),
            CursorKind::Day => {
                let seen = next.seen.map(|day| day * i128::from(DAY));
                next.value = by_clock(moments, seen).map(|value| value.div_euclid(i128::from(DAY)));
            }
            CursorKind::Number => {
                // What is certain already needs no mark.
                next.marks.extend(mark.filter(|(_, number)| next.value.is_none_or(|value| value < *number)));
                next.marks.sort_unstable();
                let certain = next.marks.iter().rposition(|(time, _)| *time <= moments.oldest_open - moments.lag);
                if let Some(certain) = certain {
                    let (_, number) = next.marks[certain];
                    next.value = next.value.max(Some(number));
                    next.marks.drain(..=certain);
                }
                if next.marks.len() > MARKS {
                    // Fewer marks only make a position move later.
                    let mut place = 0;
                    next.marks.retain(|_| {
                        place += 1;
                        place % 2 == 0
                    });
                }
            }
        }
        next.shown = next.value.map(|value| kind.show(value));
        next
    }
}

/// The position of a column whose clock is not known; none before a value was seen.
fn by_clock(moments: &Moments, seen: Option<i128>) -> Option<i128> {
    let oldest = i128::from(moments.oldest_open);
    let local = oldest + i128::from(moments.offset) * 1_000_000;
    let age = i128::from(moments.now - moments.oldest_open);
    Some((seen? - age).min(oldest).min(local))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    fn moments(now: i64, oldest_open: i64, offset: i32) -> Moments {
        Moments { now: now * SECOND, oldest_open: oldest_open * SECOND, offset, set_back: 0, lag: 0 }
    }

    fn seconds(value: Option<i128>) -> Option<i128> {
        value.map(|value| value / i128::from(SECOND))
    }

    fn at(seconds: i64) -> i128 {
        i128::from(seconds * SECOND)
    }

    #[test]
    fn a_position_is_never_behind_what_may_still_commit() {
        let day = 86_400;
        let after = |kind: CursorKind, now, oldest, offset, seen: Option<i64>| {
            seconds(CursorPosition::default().after(kind, &moments(now, oldest, offset), seen.map(at), None).value)
        };
        // A transaction is open for 100 seconds, and a row was stamped a second ago.
        for kind in [CursorKind::Moment, CursorKind::Clock] {
            assert_eq!(after(kind, 10 * day, 10 * day - 100, 0, Some(10 * day - 1)), Some(i128::from(10 * day - 101)));
        }
        // However late rows were seen, not behind its start.
        assert_eq!(
            after(CursorKind::Moment, 10 * day, 10 * day - 100, 0, Some(10 * day + 99)),
            Some(i128::from(10 * day - 100))
        );
        // Stamped by a server two hours ahead: UTC is the smaller.
        assert_eq!(
            after(CursorKind::Clock, 10 * day, 10 * day, 7200, Some(10 * day + 7199)),
            Some(i128::from(10 * day))
        );
        // Stamped by a server five hours behind, which was not seen yet.
        assert_eq!(
            after(CursorKind::Clock, 10 * day, 10 * day, -18_000, Some(10 * day - 1)),
            Some(i128::from(10 * day - 18_000))
        );
        // Stamped five hours behind UTC by a program elsewhere: what was seen counts.
        assert_eq!(
            after(CursorKind::Clock, 10 * day, 10 * day - 10, 0, Some(10 * day - 18_000)),
            Some(i128::from(10 * day - 18_010))
        );
        // A clock that somebody made up.
        assert_eq!(after(CursorKind::Moment, 10 * day, 10 * day, 0, Some(day)), Some(i128::from(day)));
        assert_eq!(after(CursorKind::Clock, 10 * day, 10 * day, 0, None), None);
    }

    #[test]
    fn the_lag_is_taken_off_when_reading() {
        let position = CursorPosition { value: Some(at(900)), ..CursorPosition::default() };
        let lagging = Moments { lag: 60 * SECOND, ..moments(1100, 1100, 0) };
        assert_eq!(seconds(position.lower(CursorKind::Moment, &lagging)), Some(840));
    }

    #[test]
    fn the_end_of_daylight_saving_time_puts_the_bound_back() {
        let position = CursorPosition { value: Some(at(10_000)), offset: 7200, ..CursorPosition::default() };
        assert_eq!(seconds(position.lower(CursorKind::Clock, &moments(0, 0, 3600))), Some(6400));
        assert_eq!(seconds(position.lower(CursorKind::Clock, &moments(0, 0, 7200))), Some(10_000));
        assert_eq!(seconds(position.lower(CursorKind::Moment, &moments(0, 0, 3600))), Some(10_000));
        let set_back = Moments { set_back: 30 * SECOND, ..moments(0, 0, 7200) };
        assert_eq!(seconds(position.lower(CursorKind::Clock, &set_back)), Some(9970));
    }

    #[test]
    fn a_number_is_trusted_when_all_open_transactions_are_younger_than_it() {
        let kind = CursorKind::Number;
        let mark = |time: i64, number| Some((time * SECOND, number));
        // A transaction is open since 90: what was seen at 100 is not certain.
        let first = CursorPosition::default().after(kind, &moments(101, 90, 0), Some(7), mark(100, 7));
        assert_eq!(first.value, None);
        // The transaction is still open, more was written.
        let second = first.after(kind, &moments(201, 90, 0), Some(9), mark(200, 9));
        assert_eq!(second.value, None);
        // Open is one that began at 150: the mark of 100 counts, that of 200 does not.
        let third = second.after(kind, &moments(301, 150, 0), Some(12), mark(300, 12));
        assert_eq!((third.value, third.marks.len()), (Some(7), 2));
        // None is open.
        let fourth = third.after(kind, &moments(401, 401, 0), Some(12), mark(400, 12));
        assert_eq!((fourth.value, fourth.marks.len()), (Some(12), 0));
    }

    #[test]
    fn many_marks_are_thinned_out() {
        let mut position = CursorPosition::default();
        for run in 1..500 {
            position = position.after(
                CursorKind::Number,
                &moments(run * 10, 0, 0),
                None,
                Some((run * 10 * SECOND, i128::from(run))),
            );
        }
        assert!(position.marks.len() <= MARKS);
        let last = position.after(CursorKind::Number, &moments(9999, 9999, 0), None, Some((9998 * SECOND, 777)));
        assert_eq!(last.value, Some(777));
    }

    #[test]
    fn days_are_whole() {
        let day = 86_400;
        let position = CursorPosition::default().after(
            CursorKind::Day,
            &moments(10 * day + 3600, 10 * day + 3600, 0),
            Some(10),
            None,
        );
        assert_eq!(position.value, Some(10));
        assert_eq!(position.lower(CursorKind::Day, &Moments { lag: 60 * SECOND, ..moments(0, 0, 0) }), Some(9));
    }

    #[test]
    fn values_as_people_write_them() {
        let kind = CursorKind::Clock;
        let value = kind.parse("2026-01-02 03:04:05.123456").expect("a time");
        assert_eq!(kind.show(value), "2026-01-02 03:04:05.123456");
        assert_eq!(kind.show(kind.parse("2026-01-02").expect("a day")), "2026-01-02 00:00:00");
        assert_eq!(CursorKind::Day.show(CursorKind::Day.parse("1969-12-31").expect("a day")), "1969-12-31");
        assert_eq!(CursorKind::Number.parse("18446744073709551615"), Some(18_446_744_073_709_551_615));
        assert_eq!(CursorKind::Number.parse("1.5"), None);
    }
}
