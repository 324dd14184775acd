//! Times of a zone and UTC, with the rules of Postgres' and DuckDB's `AT TIME ZONE`.
//!
//! A local time that a clock change skips is read with the offset before the change; one that occurs twice with the offset after it
//! (Postgres, `DetermineTimeZoneOffset`; DuckDB's ICU extension does the same). The zone database is part of the program, so that the
//! answer does not depend on the machine.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone, TimeZoneDatabase};

/// A time zone.
#[derive(Debug, Clone)]
pub struct Zone(TimeZone);

/// A name that no zone has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a time zone: expected a name such as Europe/Berlin, America/Sao_Paulo or UTC")]
pub struct UnknownTimeZone(pub String);

/// A timestamp that is too far away for the calendar, which reaches from the year -9999 to 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the timestamp lies outside of the years -9999 to 9999 and has no time in another zone")]
pub struct TimestampOutOfRange;

impl Zone {
    /// A zone by its IANA name, in any case of letters.
    ///
    /// Offsets (`+03`) are refused: in Postgres they mean the opposite of what they seem to.
    pub fn named(name: &str) -> Result<Self, UnknownTimeZone> {
        let name = name.trim();
        if name.eq_ignore_ascii_case("utc") || name.eq_ignore_ascii_case("gmt") || name.eq_ignore_ascii_case("z") {
            return Ok(Self(TimeZone::UTC));
        }
        if name.is_empty() || name.starts_with(['+', '-']) || name.starts_with(|first: char| first.is_ascii_digit()) {
            return Err(UnknownTimeZone(name.to_owned()));
        }
        TimeZoneDatabase::bundled().get(name).map(Self).map_err(|_| UnknownTimeZone(name.to_owned()))
    }

    /// `timestamp AT TIME ZONE zone`: a local time, in microseconds since 1970-01-01 00:00 of that zone, as microseconds UTC.
    ///
    /// Infinity, DuckDB's greatest and least value, stays what it is.
    pub fn to_utc(&self, local_us: i64) -> Result<i64, TimestampOutOfRange> {
        if is_infinite(local_us) {
            return Ok(local_us);
        }
        // The local time as if it were UTC gives the calendar fields.
        let civil: DateTime = Offset::UTC.to_datetime(moment(local_us)?);
        let offset = match self.0.to_ambiguous_timestamp(civil).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset,
            AmbiguousOffset::Gap { before, .. } => before,
            AmbiguousOffset::Fold { after, .. } => after,
        };
        local_us.checked_sub(microseconds(offset)).ok_or(TimestampOutOfRange)
    }

    /// `timestamptz AT TIME ZONE zone`: a moment in microseconds UTC as the local time of that zone.
    pub fn from_utc(&self, utc_us: i64) -> Result<i64, TimestampOutOfRange> {
        if is_infinite(utc_us) {
            return Ok(utc_us);
        }
        utc_us.checked_add(microseconds(self.0.to_offset(moment(utc_us)?))).ok_or(TimestampOutOfRange)
    }
}

fn moment(us: i64) -> Result<Timestamp, TimestampOutOfRange> {
    Timestamp::from_microsecond(us).map_err(|_| TimestampOutOfRange)
}

fn microseconds(offset: Offset) -> i64 {
    i64::from(offset.seconds()) * 1_000_000
}

fn is_infinite(us: i64) -> bool {
    us == i64::MAX || us == -i64::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us(text: &str) -> i64 {
        format!("{text}Z").parse::<Timestamp>().expect("a timestamp").as_microsecond()
    }

    #[test]
    fn local_times_become_utc() {
        let check = |zone: &str, local: &str, utc: &str| {
            assert_eq!(Zone::named(zone).expect("a zone").to_utc(us(local)), Ok(us(utc)), "{local} {zone}");
        };
        check("Europe/Berlin", "2024-01-15T12:00:00", "2024-01-15T11:00:00");
        check("Europe/Berlin", "2024-07-15T12:00:00", "2024-07-15T10:00:00");
        // Skipped: 02:00 to 03:00.
        check("Europe/Berlin", "2024-03-31T02:30:00", "2024-03-31T01:30:00");
        // Twice: 02:00 to 03:00.
        check("Europe/Berlin", "2024-10-27T02:30:00", "2024-10-27T01:30:00");
        check("America/New_York", "2024-03-10T02:30:00", "2024-03-10T07:30:00");
        check("America/New_York", "2024-11-03T01:30:00", "2024-11-03T06:30:00");
        check("america/sao_paulo", "2024-12-01T00:00:00.123456", "2024-12-01T03:00:00.123456");
        check("Asia/Kolkata", "1969-12-31T23:59:59", "1969-12-31T18:29:59");
        check("utc", "2024-01-15T12:00:00", "2024-01-15T12:00:00");
    }

    #[test]
    fn utc_becomes_local() {
        let check = |zone: &str, utc: &str, local: &str| {
            assert_eq!(Zone::named(zone).expect("a zone").from_utc(us(utc)), Ok(us(local)), "{utc} {zone}");
        };
        check("Europe/Berlin", "2024-10-27T00:30:00", "2024-10-27T02:30:00");
        check("Europe/Berlin", "2024-10-27T01:30:00", "2024-10-27T02:30:00");
        check("Australia/Lord_Howe", "2024-07-01T00:00:00", "2024-07-01T10:30:00");
    }

    #[test]
    fn what_has_no_answer_says_so() {
        assert_eq!(Zone::named("Europe/Berln").err(), Some(UnknownTimeZone("Europe/Berln".to_owned())));
        for name in ["", "+03", "-3", "03:00", "../etc/passwd"] {
            assert!(Zone::named(name).is_err(), "{name}");
        }
        let berlin = Zone::named("Europe/Berlin").expect("a zone");
        assert_eq!(berlin.to_utc(i64::MAX), Ok(i64::MAX));
        assert_eq!(berlin.from_utc(-i64::MAX), Ok(-i64::MAX));
        assert_eq!(berlin.to_utc(i64::MAX - 1), Err(TimestampOutOfRange));
        assert_eq!(berlin.from_utc(i64::MIN), Err(TimestampOutOfRange));
    }
}
