//! Moments in microseconds since 1970, as the calendar of UTC counts them, by the rules of the engine's `TIMESTAMP`.

const SECOND: i64 = 1_000_000;
pub(super) const DAY: i64 = 86_400 * SECOND;

/// What a moment can be cut to or counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// So many microseconds: up to an hour.
    Fixed(i64),
    Day,
    /// Begins on Monday.
    Week,
    /// So many months: a month, a quarter.
    Months(i64),
    /// So many years: a year, a century.
    Years(i64),
}

impl Unit {
    /// By the names that the engine knows.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "microseconds" | "microsecond" | "us" | "usec" | "usecs" | "usecond" | "useconds" => Self::Fixed(1),
            "milliseconds" | "millisecond" | "ms" | "msec" | "msecs" => Self::Fixed(1_000),
            "second" | "seconds" | "sec" | "secs" | "s" => Self::Fixed(SECOND),
            "minute" | "minutes" | "min" | "mins" | "m" => Self::Fixed(60 * SECOND),
            "hour" | "hours" | "hr" | "hrs" | "h" => Self::Fixed(3_600 * SECOND),
            "day" | "days" | "d" => Self::Day,
            "week" | "weeks" | "w" => Self::Week,
            "month" | "months" | "mon" | "mons" => Self::Months(1),
            "quarter" | "quarters" => Self::Months(3),
            "year" | "years" | "yr" | "yrs" | "y" => Self::Years(1),
            "decade" | "decades" | "dec" | "decs" => Self::Years(10),
            "century" | "centuries" | "cent" | "c" => Self::Years(100),
            "millennium" | "millennia" | "millenium" | "mil" | "mils" => Self::Years(1_000),
            _ => return None,
        })
    }

    /// The beginning of the unit that the moment lies in.
    pub(super) fn start(self, us: i64) -> Option<i64> {
        if is_infinite(us) {
            return Some(us);
        }
        let days = us.div_euclid(DAY);
        let days = match self {
            Self::Fixed(unit) => return us.checked_sub(us.rem_euclid(unit)),
            Self::Day => days,
            Self::Week => days - weekday(days),
            Self::Months(months) => {
                let (year, month, _) = date(days);
                day_number(year, (month - 1) / months * months + 1, 1)
            }
            Self::Years(years) => day_number(date(days).0 / years * years, 1, 1),
        };
        days.checked_mul(DAY)
    }

    /// How many beginnings of the unit lie between two moments, as `date_diff` counts them; `None` if one of them never comes.
    pub(super) fn boundaries(self, from: i64, to: i64) -> Option<i64> {
        if is_infinite(from) || is_infinite(to) {
            return None;
        }
        let count = |us: i64| {
            let days = us.div_euclid(DAY);
            let (year, month, _) = date(days);
            match self {
                Self::Fixed(unit) => us.div_euclid(unit),
                Self::Day | Self::Week => days,
                Self::Months(months) => (year * 12 + month - 1) / months,
                Self::Years(years) => year / years,
            }
        };
        let difference = count(to).checked_sub(count(from))?;
        // The engine counts whole weeks, not Mondays.
        Some(if self == Self::Week { difference / 7 } else { difference })
    }
}

/// Months first, of which the last day may be too short, then days, then the rest. As in Postgres.
pub(super) fn add(us: i64, months: i64, days: i64, rest: i64) -> Option<i64> {
    if is_infinite(us) {
        return Some(us);
    }
    let mut day = us.div_euclid(DAY);
    if months != 0 {
        let (year, month, of_month) = date(day);
        let count = year * 12 + month - 1 + months;
        let (year, month) = (count.div_euclid(12), count.rem_euclid(12) + 1);
        day = day_number(year, month, of_month.min(length(year, month)));
    }
    let sum = i128::from(day + days) * i128::from(DAY) + i128::from(us.rem_euclid(DAY)) + i128::from(rest);
    i64::try_from(sum).ok().filter(|sum| !is_infinite(*sum) && *sum != i64::MIN)
}

/// The last day of the month.
pub(super) fn last_day(us: i64) -> Option<i32> {
    let (year, month, _) = date(us.div_euclid(DAY));
    (!is_infinite(us)).then(|| day_number(year, month, length(year, month)) as i32)
}

pub(super) fn is_infinite(us: i64) -> bool {
    us == i64::MAX || us == -i64::MAX
}

/// Monday is 0, as 1970-01-01 was a Thursday.
fn weekday(days: i64) -> i64 {
    (days + 3).rem_euclid(7)
}

fn length(year: i64, month: i64) -> i64 {
    let (next, following) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    day_number(next, following, 1) - day_number(year, month, 1)
}

// The two ways between days since 1970 and the Gregorian calendar count in eras of 400 years that begin in March, so that the leap
// day is the last of its year (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").

fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, of_year - (153 * shifted + 2) / 5 + 1)
}

fn day_number(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year - 719_468
}
