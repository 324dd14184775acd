//! How the table of a model is cut into partitions, and how long its rows are kept.

use std::fmt;
use std::str::FromStr;

use crate::Location;
use crate::diagnostic::nearest;

/// Partitions that are made ahead where nothing is said.
pub const DEFAULT_AHEAD: u32 = 3;
/// The most that can be asked for.
pub const MOST_AHEAD: u32 = 100;
/// The longest time rows can be kept by `retention:`, in days.
const LONGEST_AGE: u32 = 365_000;

/// What `partition_by:`, `partitions_ahead:` and `retention:` of a model say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partitioning {
    /// The column by which rows are put into partitions: a date or a point in time.
    pub column: String,
    /// How much time a partition holds.
    pub unit: CalendarUnit,
    /// How many partitions stand ready beyond the one of today and the one of the newest row.
    pub ahead: u32,
    /// How old rows become: those from before the partition that lies so long before the run's date are not in the table.
    pub retention: Option<Age>,
    /// Where it is declared.
    pub location: Location,
}

/// A unit of the calendar. Weeks begin on Monday.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CalendarUnit {
    /// A day.
    Day,
    /// A week of ISO 8601.
    Week,
    /// A month.
    Month,
    /// Three months from January, April, July or October.
    Quarter,
    /// A year.
    Year,
}

impl CalendarUnit {
    /// All of them, the shortest first.
    pub const ALL: [Self; 5] = [Self::Day, Self::Week, Self::Month, Self::Quarter, Self::Year];

    /// As written in YAML, and as `date_trunc` of every engine takes it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Quarter => "quarter",
            Self::Year => "year",
        }
    }

    /// Its days, roughly.
    fn days(self) -> u32 {
        match self {
            Self::Day => 1,
            Self::Week => 7,
            Self::Month => 30,
            Self::Quarter => 91,
            Self::Year => 365,
        }
    }
}

/// A whole number of units of the calendar: `36 months`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Age {
    /// How many.
    pub count: u32,
    /// Of what.
    pub unit: CalendarUnit,
}

impl Age {
    /// In words that every engine takes for an interval.
    pub fn interval(self) -> String {
        match self.unit {
            CalendarUnit::Quarter => format!("{} months", 3 * self.count),
            unit => format!("{} {}s", self.count, unit.word()),
        }
    }
}

/// Why a text is none of these, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misread {
    /// What is wrong with it: `is not ...`.
    pub message: String,
    /// What to do.
    pub help: String,
}

fn misread<T>(message: impl Into<String>, help: impl Into<String>) -> Result<T, Misread> {
    Err(Misread { message: message.into(), help: help.into() })
}

/// The column and the unit of `range(order_date, month)`.
pub fn read_range(text: &str) -> Result<(String, CalendarUnit), Misread> {
    const EXAMPLE: &str = "write the column and day, week, month, quarter or year: `range(order_date, month)`";
    let text = text.trim();
    let (how, rest) = text.split_once('(').unwrap_or((text, ""));
    let (how, inner) = (how.trim().to_lowercase(), rest.trim_end().strip_suffix(')'));
    if matches!(how.as_str(), "list" | "hash") {
        return misread(format!("is by {how}, and partitions are ranges of time only"), EXAMPLE);
    }
    let Some((column, unit)) = inner.filter(|_| how == "range").and_then(|inner| inner.rsplit_once(',')) else {
        return misread("is not of the form `range(COLUMN, UNIT)`", EXAMPLE);
    };
    let column = column.trim();
    let column = column.strip_prefix('"').and_then(|column| column.strip_suffix('"')).unwrap_or(column);
    if column.is_empty() || column.contains(['"', '(', ')', ',']) {
        return misread("does not name one column", EXAMPLE);
    }
    Ok((column.to_owned(), unit.parse()?))
}

impl FromStr for CalendarUnit {
    type Err = Misread;

    fn from_str(text: &str) -> Result<Self, Misread> {
        let word = text.trim().to_lowercase();
        let singular = word.strip_suffix('s').unwrap_or(&word);
        if let Some(unit) = Self::ALL.into_iter().find(|unit| unit.word() == singular) {
            return Ok(unit);
        }
        if word.parse::<f64>().is_ok() {
            return misread(
                "has a number for its unit, and partitions are ranges of time only",
                "write day, week, month, quarter or year, and a column of dates or points in time",
            );
        }
        let help = match nearest(singular, Self::ALL.map(Self::word)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "write day, week, month, quarter or year".to_owned(),
        };
        misread("has no unit of that name", help)
    }
}

impl FromStr for Age {
    type Err = Misread;

    fn from_str(text: &str) -> Result<Self, Misread> {
        const EXAMPLE: &str = "write a whole number and days, weeks, months, quarters or years: `36 months`";
        let text = text.trim();
        let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        if number.is_empty() || unit.trim().is_empty() {
            return misread("is no whole number of days, weeks, months, quarters or years", EXAMPLE);
        }
        let unit: CalendarUnit = unit.parse()?;
        match number.parse::<u32>() {
            Ok(0) => misread("keeps no row", EXAMPLE),
            Ok(count) if count.checked_mul(unit.days()).is_some_and(|days| days <= LONGEST_AGE) => {
                Ok(Self { count, unit })
            }
            _ => misread("is more than a thousand years", "leave it out, and every row is kept"),
        }
    }
}

impl fmt::Display for Age {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}{}", self.count, self.unit.word(), if self.count == 1 { "" } else { "s" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (text, column, unit) in [
            ("range(order_date, month)", "order_date", CalendarUnit::Month),
            (" RANGE ( d ,Weeks ) ", "d", CalendarUnit::Week),
            ("range(\"Order Date\", year)", "Order Date", CalendarUnit::Year),
        ] {
            assert_eq!(read_range(text), Ok((column.to_owned(), unit)), "{text}");
        }
        for (text, message) in [
            ("order_date", "is not of the form"),
            ("range(order_date)", "is not of the form"),
            ("range(order_date, month", "is not of the form"),
            ("range(, month)", "does not name one column"),
            ("range(a, b, month)", "does not name one column"),
            ("range(date(x), month)", "does not name one column"),
            ("list(country)", "is by list"),
            ("range(id, 1000)", "has a number"),
            ("range(d, moth)", "has no unit"),
        ] {
            let misread = read_range(text).expect_err(text);
            assert!(misread.message.contains(message), "{text}: {misread:?}");
        }
    }

    #[test]
    fn ages() {
        for (text, interval, shown) in [
            ("36 months", "36 months", "36 months"),
            ("1 year", "1 years", "1 year"),
            ("4quarters", "12 months", "4 quarters"),
            (" 90  days ", "90 days", "90 days"),
        ] {
            let age: Age = text.parse().expect(text);
            assert_eq!((age.interval(), age.to_string()), (interval.to_owned(), shown.to_owned()));
        }
        for (text, message) in [
            ("months", "is no whole number"),
            ("36", "is no whole number"),
            ("1.5 years", "has no unit"),
            ("-1 day", "is no whole number"),
            ("0 days", "keeps no row"),
            ("5000 years", "a thousand years"),
            ("99999999999 days", "a thousand years"),
            ("3 monthes", "has no unit"),
        ] {
            let misread = text.parse::<Age>().expect_err(text);
            assert!(misread.message.contains(message), "{text}: {misread:?}");
        }
    }
}
