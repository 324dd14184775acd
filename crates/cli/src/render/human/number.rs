//! Numbers, times and counted things in words.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// `1234567` → `1,234,567`.
pub fn grouped(number: u64) -> String {
    group(&number.to_string())
}

fn group(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 table`, `1,200 tables`; words in `-y` and `-x` become what they ought to.
pub fn counted(number: u64, word: &str) -> String {
    if number == 1 {
        return format!("1 {word}");
    }
    let plural = match word.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'i', 'o', 'u']) => format!("{stem}ies"),
        _ => format!("{word}s"),
    };
    format!("{} {plural}", grouped(number))
}

/// `0.04 s`, `1.4 s`, `2 min 5 s`, `1 h 3 min`.
pub fn seconds(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    if whole >= 3600 {
        format!("{} h {} min", whole / 3600, whole % 3600 / 60)
    } else if whole >= 100 {
        format!("{} min {} s", whole / 60, whole % 60)
    } else if seconds >= 0.995 {
        format!("{seconds:.1} s")
    } else {
        format!("{seconds:.2} s")
    }
}

/// Microseconds since 1970 UTC as `2026-05-01 14:03:22`.
pub fn time(microseconds: i64, zone: &TimeZone) -> String {
    match Timestamp::from_microsecond(microseconds) {
        Ok(timestamp) => timestamp.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => "?".to_owned(),
    }
}
