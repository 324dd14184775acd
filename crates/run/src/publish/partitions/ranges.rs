//! Which ranges of time have partitions.

use jiff::civil::Date;
use jiff::{Span, ToSpan};
use thalweg_project::{CalendarUnit, Partitioning};

/// So many partitions are made of a table for rows that are there: a statement that reads the whole table takes a lock on each of them and
/// of their indexes, and a server has room for some thousands.
pub const MOST_RANGES: usize = 400;

/// The ranges of a new table, by their first days.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Ranges {
    /// In order.
    pub first_days: Vec<Date>,
    /// Older rows are together in one partition, up to this day.
    pub past: Option<Date>,
}

/// The first day of the unit that holds a day.
pub fn first_day(unit: CalendarUnit, day: Date) -> Date {
    match unit {
        CalendarUnit::Day => day,
        CalendarUnit::Week => {
            let days: i64 = day.weekday().to_monday_zero_offset().into();
            day.checked_sub(days.days()).unwrap_or(Date::MIN)
        }
        CalendarUnit::Month => day.first_of_month(),
        CalendarUnit::Quarter => {
            let into = (day.month() - 1) % 3;
            day.first_of_month().checked_sub(i64::from(into).months()).unwrap_or(Date::MIN)
        }
        CalendarUnit::Year => day.first_of_year(),
    }
}

/// The day so many units later; none beyond the calendar.
pub fn later(unit: CalendarUnit, day: Date, count: i64) -> Option<Date> {
    let span = Span::new();
    let span = match unit {
        CalendarUnit::Day => span.try_days(count),
        CalendarUnit::Week => span.try_weeks(count),
        CalendarUnit::Month => span.try_months(count),
        CalendarUnit::Quarter => span.try_months(3 * count),
        CalendarUnit::Year => span.try_years(count),
    };
    day.checked_add(span.ok()?).ok()
}

/// Of the ranges that hold rows, those that are worth a partition: no more than `most`, the nearest to today, and none that lies further
/// ahead than so many partitions would reach. A wrong date gets none.
fn chosen(unit: CalendarUnit, today: Date, held: &[Date], most: usize) -> Vec<Date> {
    let horizon = later(unit, first_day(unit, today), i64::try_from(MOST_RANGES).unwrap_or(i64::MAX));
    let mut near: Vec<Date> =
        held.iter().copied().filter(|day| horizon.is_none_or(|horizon| *day <= horizon)).collect();
    near.sort_by_key(|day| (i64::from((*day - today).get_days()).abs(), *day));
    near.truncate(most);
    near.sort_unstable();
    near
}

/// Today's range and those ahead of it, or of the newest that holds a row.
fn ahead(partitioning: &Partitioning, today: Date, newest: Option<Date>) -> impl Iterator<Item = Date> + use<> {
    let (unit, count) = (partitioning.unit, i64::from(partitioning.ahead));
    let current = first_day(unit, today);
    let last = newest.map_or(current, |newest| newest.max(current));
    let between = (1..=count).filter_map(move |number| later(unit, last, number));
    [current].into_iter().chain(between)
}

/// The ranges of a table that is made, of which the rows lie in these; no more than there is room for, but those ahead.
pub fn of_new_table(partitioning: &Partitioning, today: Date, held: &[Date], room: usize) -> Ranges {
    let mut first_days = chosen(partitioning.unit, today, held, room.min(MOST_RANGES));
    let newest = first_days.last().copied();
    first_days.extend(ahead(partitioning, today, newest));
    first_days.sort_unstable();
    first_days.dedup();
    let past = first_days.first().copied().filter(|oldest| held.iter().any(|day| day < oldest));
    Ranges { first_days, past }
}

/// The ranges that a table lacks: `standing` it has, of these `newest` is the last that holds a row, and rows of `waiting` have none.
pub fn missing(
    partitioning: &Partitioning,
    today: Date,
    standing: &[Date],
    newest: Option<Date>,
    waiting: &[Date],
) -> Vec<Date> {
    let room = MOST_RANGES.saturating_sub(standing.len());
    let mut missing = chosen(partitioning.unit, today, waiting, room);
    let newest = newest.max(missing.last().copied());
    missing.extend(ahead(partitioning, today, newest));
    missing.retain(|day| !standing.contains(day));
    missing.sort_unstable();
    missing.dedup();
    missing
}

#[cfg(test)]
mod tests {
    use thalweg_project::Location;

    use super::*;

    fn day(text: &str) -> Date {
        text.parse().expect("a date")
    }

    fn by(unit: CalendarUnit, ahead: u32) -> Partitioning {
        Partitioning { column: "d".into(), unit, ahead, retention: None, location: Location::file("") }
    }

    #[test]
    fn units_begin_and_end() {
        for (unit, within, first, next) in [
            (CalendarUnit::Day, "2026-02-28", "2026-02-28", "2026-03-01"),
            (CalendarUnit::Week, "2026-11-29", "2026-11-23", "2026-11-30"),
            (CalendarUnit::Week, "2024-12-30", "2024-12-30", "2025-01-06"),
            (CalendarUnit::Month, "2024-02-29", "2024-02-01", "2024-03-01"),
            (CalendarUnit::Quarter, "2026-12-31", "2026-10-01", "2027-01-01"),
            (CalendarUnit::Quarter, "2026-04-01", "2026-04-01", "2026-07-01"),
            (CalendarUnit::Year, "2024-02-29", "2024-01-01", "2025-01-01"),
        ] {
            let found = first_day(unit, day(within));
            assert_eq!(found, day(first), "{unit:?} {within}");
            assert_eq!(later(unit, found, 1), Some(day(next)), "{unit:?} {within}");
        }
        assert_eq!(later(CalendarUnit::Year, day("9999-01-01"), 1), None);
    }

    #[test]
    fn a_new_table_has_those_of_its_rows_and_some_ahead() {
        let today = day("2026-11-29");
        let held = [day("2024-05-01"), day("2026-11-01")];
        let ranges = of_new_table(&by(CalendarUnit::Month, 2), today, &held, MOST_RANGES);
        assert_eq!(ranges.first_days, ["2024-05-01", "2026-11-01", "2026-12-01", "2027-01-01"].map(day));
        assert_eq!(ranges.past, None);
        // Ahead of the newest row, where that lies ahead of today.
        let ranges = of_new_table(&by(CalendarUnit::Month, 1), today, &[day("2027-06-01")], MOST_RANGES);
        assert_eq!(ranges.first_days, ["2026-11-01", "2027-06-01", "2027-07-01"].map(day));
        // A wrong date has no partition of its own, nor any ahead of it.
        let ranges = of_new_table(&by(CalendarUnit::Year, 1), today, &[day("9998-01-01"), day("0001-01-01")], 9);
        assert_eq!(ranges.first_days, ["0001-01-01", "2026-01-01", "2027-01-01"].map(day));
    }

    #[test]
    fn many_ranges_are_bounded() {
        let today = day("2026-11-29");
        let held: Vec<Date> =
            (0..3_000).map(|back| today.checked_sub(back.days()).expect("within the calendar")).collect();
        let ranges = of_new_table(&by(CalendarUnit::Day, 3), today, &held, MOST_RANGES);
        assert_eq!(ranges.first_days.len(), MOST_RANGES + 3);
        assert_eq!(ranges.past, ranges.first_days.first().copied());
        assert_eq!(ranges.past, Some(today.checked_sub(399.days()).expect("within the calendar")));
        // Where there is no room, everything until today is together.
        let ranges = of_new_table(&by(CalendarUnit::Day, 1), today, &held, 0);
        assert_eq!((ranges.first_days.len(), ranges.past), (2, Some(today)));
    }

    #[test]
    fn what_is_missing_follows_the_time_and_the_rows() {
        let partitioning = by(CalendarUnit::Month, 2);
        let standing = ["2026-10-01", "2026-11-01", "2026-12-01"].map(day);
        let none: [Date; 0] = [];
        let found = missing(&partitioning, day("2026-10-31"), &standing, None, &none);
        assert_eq!(found, none);
        let found = missing(&partitioning, day("2026-11-01"), &standing, Some(day("2026-10-01")), &none);
        assert_eq!(found, [day("2027-01-01")]);
        let found = missing(&partitioning, day("2026-11-01"), &standing, Some(day("2026-12-01")), &[day("2026-01-01")]);
        assert_eq!(found, ["2026-01-01", "2027-01-01", "2027-02-01"].map(day));
        let found = missing(&partitioning, day("2026-10-01"), &standing, None, &[day("9000-01-01")]);
        assert_eq!(found, none);
    }
}
