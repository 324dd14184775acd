//! Dates and times of ISO 8601, without losing a fraction.

/// Days since 1970-01-01 of `yyyy-mm-dd`; `None` for anything else, impossible days included.
pub fn parse_date(text: &str) -> Option<i32> {
    let bytes = text.as_bytes();
    if bytes.len() == 10 { date(bytes) } else { None }
}

/// Microseconds since midnight of `hh:mm:ss[.ffffff]`.
pub fn parse_time(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    if bytes.len() < 8 || bytes[5] != b':' {
        return None;
    }
    match time(bytes)? {
        (micros, []) => Some(micros),
        _ => None,
    }
}

/// Microseconds since 1970-01-01 UTC of `yyyy-mm-dd(T| )hh:mm[:ss[.ffffff]][zone]`, zone `Z`, `UTC`, `±hh`, `±hhmm` or `±hh:mm`,
/// with or without a blank before it. Without a zone the time is taken as UTC. Digits beyond microseconds must be zeros.
pub fn parse_timestamp(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    if bytes.len() < 16 || !matches!(bytes[10], b'T' | b' ') {
        return None;
    }
    let days = i64::from(date(bytes)?);
    let (micros, rest) = time(&bytes[11..])?;
    Some((days * 86_400 - zone_seconds(rest)?) * 1_000_000 + micros)
}

/// The date in the first ten bytes.
fn date(bytes: &[u8]) -> Option<i32> {
    if bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let year = two(bytes, 0)? * 100 + two(bytes, 2)?;
    let (month, day) = (two(bytes, 5)?, two(bytes, 8)?);
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let length = match month {
        2 => 28 + i32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if year == 0 || day == 0 || day > length {
        return None;
    }
    // Howard Hinnant's days_from_civil: years begin in March, so that the leap day is the last of its year.
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted / 400;
    let year_of_era = shifted - era * 400;
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

/// The time at the start, in microseconds, and what follows it.
fn time(bytes: &[u8]) -> Option<(i64, &[u8])> {
    if bytes.len() < 5 || bytes[2] != b':' {
        return None;
    }
    let (hour, minute) = (two(bytes, 0)?, two(bytes, 3)?);
    let (mut second, mut micros, mut rest) = (0, 0i64, &bytes[5..]);
    if let [b':', behind @ ..] = rest {
        if behind.len() < 2 {
            return None;
        }
        second = two(behind, 0)?;
        rest = &behind[2..];
        if let [b'.', behind @ ..] = rest {
            let digits = behind.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits == 0 {
                return None;
            }
            let mut unit = 100_000;
            for byte in &behind[..digits] {
                let digit = i64::from(byte - b'0');
                if unit == 0 && digit != 0 {
                    return None;
                }
                micros += digit * unit;
                unit /= 10;
            }
            rest = &behind[digits..];
        }
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some((i64::from(hour * 3600 + minute * 60 + second) * 1_000_000 + micros, rest))
}

fn zone_seconds(zone: &[u8]) -> Option<i64> {
    let zone = match zone {
        [b' ', zone @ ..] if !zone.is_empty() => zone,
        _ => zone,
    };
    let (sign, digits) = match zone {
        [] | b"Z" | b"UTC" => return Some(0),
        [b'+', digits @ ..] => (1, digits),
        [b'-', digits @ ..] => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = match digits.len() {
        2 => (two(digits, 0)?, 0),
        4 => (two(digits, 0)?, two(digits, 2)?),
        5 if digits[2] == b':' => (two(digits, 0)?, two(digits, 3)?),
        _ => return None,
    };
    (hours <= 15 && minutes < 60).then_some(sign * i64::from(hours * 3600 + minutes * 60))
}

/// Two digits at a place that exists.
fn two(bytes: &[u8], at: usize) -> Option<i32> {
    let (tens, ones) = (bytes[at].wrapping_sub(b'0'), bytes[at + 1].wrapping_sub(b'0'));
    (tens <= 9 && ones <= 9).then(|| i32::from(tens) * 10 + i32::from(ones))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timestamp(text: &str) -> Option<String> {
        parse_timestamp(text)
            .map(|micros| jiff::Timestamp::from_microsecond(micros).expect("a timestamp in range").to_string())
    }

    #[test]
    fn dates_agree_with_another_calendar() {
        for text in ["0001-01-01", "1600-02-29", "1899-12-31", "1970-01-01", "2000-02-29", "2024-12-31", "9999-12-31"] {
            let date: jiff::civil::Date = text.parse().expect("a date");
            let days = (date - jiff::civil::date(1970, 1, 1)).get_days();
            assert_eq!(parse_date(text), Some(days), "{text}");
        }
        for text in [
            "2023-02-29",
            "2024-13-01",
            "2024-00-10",
            "2024-01-00",
            "24-01-01",
            "2024/01/01",
            "2024-1-1 ",
            "0000-01-01",
        ] {
            assert_eq!(parse_date(text), None, "{text}");
        }
    }

    #[test]
    fn timestamps_become_utc() {
        assert_eq!(timestamp("2024-09-24T15:10:35.925Z").as_deref(), Some("2024-09-24T15:10:35.925Z"));
        assert_eq!(timestamp("2024-09-24 15:10:35+02:00").as_deref(), Some("2024-09-24T13:10:35Z"));
        assert_eq!(timestamp("2024-09-24 15:10 -0330").as_deref(), Some("2024-09-24T18:40:00Z"));
        assert_eq!(timestamp("1969-12-31 23:59:59.999999 UTC").as_deref(), Some("1969-12-31T23:59:59.999999Z"));
        assert_eq!(timestamp("2024-09-24T15:10:35.123456000").as_deref(), Some("2024-09-24T15:10:35.123456Z"));
        for text in [
            "2024-09-24T15:10:35.1234567",
            "2024-09-24T24:00:00",
            "2024-09-24T15",
            "2024-09-24 15:10:60",
            "2024-09-24 15:10 ",
        ] {
            assert_eq!(timestamp(text), None, "{text}");
        }
    }

    #[test]
    fn times() {
        assert_eq!(parse_time("00:00:01.5"), Some(1_500_000));
        assert_eq!(parse_time("10:30"), None);
        assert_eq!(parse_time("10:30:00Z"), None);
    }
}
