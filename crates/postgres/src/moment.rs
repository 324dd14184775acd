//! Dates and times of Postgres: counted from 2000-01-01, Gregorian before and after, with years before 1.

/// Days from 1970-01-01 to 2000-01-01.
const EPOCH_DAYS: i32 = 10_957;
const MICROS_OF_DAY: i64 = 86_400_000_000;
const EPOCH_MICROS: i64 = EPOCH_DAYS as i64 * MICROS_OF_DAY;

/// The first date that Postgres holds, in days since 1970-01-01: 4714-11-24 BC. The last is 5874897-12-31.
pub const FIRST_DATE: i32 = -2_440_588;
/// The last date.
pub const LAST_DATE: i32 = 2_145_042_905;
/// The first timestamp, in microseconds. The last lies beyond 64 bits.
pub const FIRST_TIMESTAMP: i64 = FIRST_DATE as i64 * MICROS_OF_DAY;

/// Minus infinity, as DuckDB has it; infinity is the greatest number.
const MINUS_INFINITE_DATE: i32 = -i32::MAX;
const MINUS_INFINITE_TIMESTAMP: i64 = -i64::MAX;

/// Why a value is no date or timestamp of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoMoment {
    /// The value, as Postgres writes it.
    pub raw: String,
    /// To be put after the value.
    pub reason: &'static str,
}

/// Days since 1970-01-01.
pub fn date(days: i32) -> Result<i32, NoMoment> {
    match days {
        i32::MAX => Err(infinite("infinity", "is no date")),
        i32::MIN => Err(infinite("-infinity", "is no date")),
        // The last date of Postgres is 5874897-12-31, far from where this would overflow.
        _ => days.checked_add(EPOCH_DAYS).ok_or_else(|| infinite("infinity", "is no date")),
    }
}

/// Microseconds since 1970-01-01. The last two values stand for infinity in the engines that read them.
pub fn timestamp(micros: i64) -> Result<i64, NoMoment> {
    match micros {
        i64::MAX => Err(infinite("infinity", "is no timestamp")),
        i64::MIN => Err(infinite("-infinity", "is no timestamp")),
        _ => micros.checked_add(EPOCH_MICROS).filter(|moved| *moved < i64::MAX).ok_or_else(|| NoMoment {
            raw: written(i128::from(micros) + i128::from(EPOCH_MICROS)),
            reason: "is later than the last timestamp, 294247-01-10 04:00:54.775806",
        }),
    }
}

/// A date as Postgres counts it, from days since 1970-01-01; the greatest number, and it negated, stand for infinity. `None` for what
/// Postgres does not hold.
pub fn date_to_postgres(days: i32) -> Option<i32> {
    match days {
        i32::MAX => Some(i32::MAX),
        MINUS_INFINITE_DATE => Some(i32::MIN),
        FIRST_DATE..=LAST_DATE => Some(days - EPOCH_DAYS),
        _ => None,
    }
}

/// A timestamp as Postgres counts it, from microseconds since 1970-01-01; infinity as in [`date_to_postgres`].
pub fn to_postgres(micros: i64) -> Option<i64> {
    match micros {
        i64::MAX => Some(i64::MAX),
        MINUS_INFINITE_TIMESTAMP => Some(i64::MIN),
        FIRST_TIMESTAMP.. => Some(micros - EPOCH_MICROS),
        _ => None,
    }
}

/// What a date of Postgres is to engines that hold infinite ones.
pub(crate) fn any_date(days: i32) -> Result<i32, NoMoment> {
    match days {
        i32::MAX => Ok(i32::MAX),
        i32::MIN => Ok(MINUS_INFINITE_DATE),
        _ => date(days),
    }
}

/// What a timestamp of Postgres is to engines that hold infinite ones.
pub(crate) fn any_timestamp(micros: i64) -> Result<i64, NoMoment> {
    match micros {
        i64::MAX => Ok(i64::MAX),
        i64::MIN => Ok(MINUS_INFINITE_TIMESTAMP),
        _ => timestamp(micros),
    }
}

fn infinite(raw: &str, reason: &'static str) -> NoMoment {
    NoMoment { raw: raw.to_owned(), reason }
}

/// A timestamp as Postgres writes and reads it in ISO form: `0044-03-15 12:00:00.5 BC`.
pub fn timestamp_text(micros: i64) -> String {
    written(i128::from(micros))
}

/// A date as Postgres writes and reads it in ISO form: `0044-03-15 BC`.
pub fn date_text(days: i32) -> String {
    let (date, before) = civil(i64::from(days));
    format!("{date}{before}")
}

fn written(micros: i128) -> String {
    let day = i128::from(MICROS_OF_DAY);
    let (days, rest) = (micros.div_euclid(day), micros.rem_euclid(day));
    let (seconds, fraction) = (rest / 1_000_000, rest % 1_000_000);
    // An i128 that came from 64 bits of microseconds has few days.
    let (date, before) = civil(i64::try_from(days).unwrap_or(0));
    let mut text = format!("{date} {:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if fraction > 0 {
        text.push_str(format!(".{fraction:06}").trim_end_matches('0'));
    }
    text.push_str(before);
    text
}

/// Howard Hinnant's `civil_from_days`, and whether the year lies before 1.
fn civil(days: i64) -> (String, &'static str) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    // There is no year 0: it is 1 BC.
    let (year, before) = if year > 0 { (year, "") } else { (1 - year, " BC") };
    (format!("{year:04}-{month:02}-{day:02}"), before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_postgres_does() {
        for (micros, expected) in [
            (0, "1970-01-01 00:00:00"),
            (-1, "1969-12-31 23:59:59.999999"),
            (1_709_210_096_500_000, "2024-02-29 12:34:56.5"),
            (-62_135_596_800_000_000, "0001-01-01 00:00:00"),
            (-62_135_596_800_000_001, "0001-12-31 23:59:59.999999 BC"),
            (-210_866_803_200_000_000, "4714-11-24 00:00:00 BC"),
        ] {
            assert_eq!(timestamp_text(micros), expected);
        }
        assert_eq!(date_text(-719_163), "0001-12-31 BC");
    }

    #[test]
    fn what_does_not_fit() {
        assert_eq!(timestamp(i64::MAX).expect_err("infinite").raw, "infinity");
        assert_eq!(timestamp(i64::MIN).expect_err("infinite").raw, "-infinity");
        // 294276-12-31 23:59:59.999999, the last of Postgres.
        let last = 9_223_371_331_199_999_999;
        assert_eq!(timestamp(last).expect_err("too late").raw, "294276-12-31 23:59:59.999999");
        let ours = i64::MAX - 1 - EPOCH_MICROS;
        assert_eq!(timestamp(ours).map(timestamp_text).as_deref(), Ok("294247-01-10 04:00:54.775806"));
        assert!(timestamp(ours + 1).is_err());
        assert_eq!(date(0), Ok(10_957));
        assert!(date(i32::MIN).is_err());
    }
}
