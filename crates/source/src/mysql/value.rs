//! One value as it lies in a row of the binary protocol.

use super::session::{WireColumn, take_bytes};

/// Codes of types, as the protocol has them.
pub(super) mod code {
    pub(in crate::mysql) const TINY: u8 = 1;
    pub(in crate::mysql) const SHORT: u8 = 2;
    pub(in crate::mysql) const LONG: u8 = 3;
    pub(in crate::mysql) const FLOAT: u8 = 4;
    pub(in crate::mysql) const DOUBLE: u8 = 5;
    pub(in crate::mysql) const NULL: u8 = 6;
    pub(in crate::mysql) const TIMESTAMP: u8 = 7;
    pub(in crate::mysql) const LONG_LONG: u8 = 8;
    pub(in crate::mysql) const INT24: u8 = 9;
    pub(in crate::mysql) const DATE: u8 = 10;
    pub(in crate::mysql) const TIME: u8 = 11;
    pub(in crate::mysql) const DATETIME: u8 = 12;
    pub(in crate::mysql) const YEAR: u8 = 13;
    pub(in crate::mysql) const BIT: u8 = 16;
    pub(in crate::mysql) const TIMESTAMP2: u8 = 17;
    pub(in crate::mysql) const DATETIME2: u8 = 18;
    pub(in crate::mysql) const TIME2: u8 = 19;
    pub(in crate::mysql) const DECIMAL: u8 = 0;
    pub(in crate::mysql) const NEW_DECIMAL: u8 = 246;
    pub(in crate::mysql) const GEOMETRY: u8 = 255;

    /// Integers, years and bits.
    pub(in crate::mysql) fn is_whole(code: u8) -> bool {
        matches!(code, TINY | SHORT | LONG | LONG_LONG | INT24 | YEAR | BIT)
    }

    /// Dates with time.
    pub(in crate::mysql) fn is_moment(code: u8) -> bool {
        matches!(code, TIMESTAMP | DATETIME | TIMESTAMP2 | DATETIME2)
    }

    /// Texts and bytes of every kind: `varchar` (15), `json`, `enum`, `set`, `blob` of all sizes, `varchar` and `char` as sent.
    pub(in crate::mysql) fn is_bytes(code: u8) -> bool {
        matches!(code, 15 | 242 | 245 | 247..=254)
    }
}

/// A value that is not NULL.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    Integer(i64),
    Unsigned(u64),
    Float(f32),
    Double(f64),
    /// A decimal number as digits.
    Digits(&'a [u8]),
    Date(Moment),
    DateTime(Moment),
    Time(Span),
    /// Text in UTF-8, or bytes.
    Bytes(&'a [u8]),
    /// The number of the reference system, then WKB.
    Geometry(&'a [u8]),
}

/// A date with or without time. Its parts are as the server has them: months and days may be 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Moment {
    pub(super) year: u16,
    pub(super) month: u8,
    pub(super) day: u8,
    pub(super) hour: u8,
    pub(super) minute: u8,
    pub(super) second: u8,
    pub(super) micros: u32,
}

/// A length of time, below zero where `negative`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Span {
    pub(super) negative: bool,
    pub(super) hours: u32,
    pub(super) minute: u8,
    pub(super) second: u8,
    pub(super) micros: u32,
}

/// Takes a value that is not NULL off the front of a row. `None` when the row is cut short, or holds what such a column cannot hold.
#[inline]
pub(super) fn take_value<'a>(column: WireColumn, row: &mut &'a [u8]) -> Option<Value<'a>> {
    Some(match column.code {
        code::TINY => {
            let [byte] = take(row)?;
            integer(column, i64::from(byte.cast_signed()), u64::from(byte))
        }
        code::SHORT | code::YEAR => {
            let bytes = take(row)?;
            integer(column, i64::from(i16::from_le_bytes(bytes)), u64::from(u16::from_le_bytes(bytes)))
        }
        code::LONG | code::INT24 => {
            let bytes = take(row)?;
            integer(column, i64::from(i32::from_le_bytes(bytes)), u64::from(u32::from_le_bytes(bytes)))
        }
        code::LONG_LONG => {
            let bytes = take(row)?;
            integer(column, i64::from_le_bytes(bytes), u64::from_le_bytes(bytes))
        }
        code::FLOAT => Value::Float(f32::from_le_bytes(take(row)?)),
        code::DOUBLE => Value::Double(f64::from_le_bytes(take(row)?)),
        code::DATE => Value::Date(moment(row)?),
        code::DATETIME | code::TIMESTAMP | code::DATETIME2 | code::TIMESTAMP2 => Value::DateTime(moment(row)?),
        code::TIME | code::TIME2 => Value::Time(span(row)?),
        code::DECIMAL | code::NEW_DECIMAL => Value::Digits(take_bytes(row)?),
        code::BIT => Value::Unsigned(bits(take_bytes(row)?)?),
        code::GEOMETRY => Value::Geometry(take_bytes(row)?),
        // A column that is always NULL has no values.
        code::NULL => return None,
        _ => Value::Bytes(take_bytes(row)?),
    })
}

#[inline]
fn integer<'a>(column: WireColumn, signed: i64, unsigned: u64) -> Value<'a> {
    if column.unsigned { Value::Unsigned(unsigned) } else { Value::Integer(signed) }
}

#[inline]
fn take<const N: usize>(row: &mut &[u8]) -> Option<[u8; N]> {
    let (bytes, rest) = row.split_first_chunk::<N>()?;
    *row = rest;
    Some(*bytes)
}

/// The value of a `bit(n)`: its bytes, the highest first.
fn bits(bytes: &[u8]) -> Option<u64> {
    if bytes.len() > 8 {
        return None;
    }
    Some(bytes.iter().fold(0, |bits, byte| bits << 8 | u64::from(*byte)))
}

/// Zeros at the end are not sent.
#[inline]
fn moment(row: &mut &[u8]) -> Option<Moment> {
    let bytes = take_bytes(row)?;
    let mut moment = Moment::default();
    if !matches!(bytes.len(), 0 | 4 | 7 | 11) {
        return None;
    }
    if let [low, high, month, day, ..] = *bytes {
        moment = Moment { year: u16::from_le_bytes([low, high]), month, day, ..moment };
    }
    if let [_, _, _, _, hour, minute, second, ..] = *bytes {
        moment = Moment { hour, minute, second, ..moment };
    }
    if let Some(micros) = bytes.get(7..11) {
        moment.micros = u32::from_le_bytes(micros.try_into().ok()?);
    }
    Some(moment)
}

fn span(row: &mut &[u8]) -> Option<Span> {
    let bytes = take_bytes(row)?;
    if bytes.is_empty() {
        return Some(Span::default());
    }
    if !matches!(bytes.len(), 8 | 12) {
        return None;
    }
    let days = u32::from_le_bytes(bytes.get(1..5)?.try_into().ok()?);
    let micros = bytes.get(8..12).map_or(Some(0), |micros| Some(u32::from_le_bytes(micros.try_into().ok()?)))?;
    Some(Span {
        negative: bytes[0] != 0,
        hours: days.checked_mul(24)?.checked_add(u32::from(bytes[5]))?,
        minute: bytes[6],
        second: bytes[7],
        micros,
    })
}

impl Moment {
    /// Days since 1970-01-01; `None` when there is no such day in the (proleptic Gregorian) calendar.
    #[inline]
    pub(super) fn days(self) -> Option<i32> {
        if !(1..=12).contains(&self.month) || self.day == 0 || self.day > days_in_month(self.year, self.month) {
            return None;
        }
        // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms": days_from_civil. Years begin in March there.
        let (month, day) = (i32::from(self.month), i32::from(self.day));
        let year = i32::from(self.year) - i32::from(month <= 2);
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        Some(era * 146_097 + day_of_era - 719_468)
    }

    /// Microseconds since 1970-01-01 00:00; `None` as for [`Moment::days`].
    #[inline]
    pub(super) fn microseconds(self) -> Option<i64> {
        if self.hour > 23 || self.minute > 59 || self.second > 59 || self.micros > 999_999 {
            return None;
        }
        let seconds = i64::from(self.hour) * 3600 + i64::from(self.minute) * 60 + i64::from(self.second);
        Some((i64::from(self.days()?) * 86400 + seconds) * 1_000_000 + i64::from(self.micros))
    }
}

fn days_in_month(year: u16, month: u8) -> u8 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 31,
    }
}

impl Span {
    /// Microseconds since midnight; `None` when it is no time of day.
    pub(super) fn microseconds(self) -> Option<i64> {
        if (self.negative && self != Self { negative: true, ..Self::default() }) || self.hours > 23 {
            return None;
        }
        let seconds = i64::from(self.hours) * 3600 + i64::from(self.minute) * 60 + i64::from(self.second);
        Some(seconds * 1_000_000 + i64::from(self.micros))
    }
}

/// A value as the server writes it; `decimals` digits behind the second.
pub(super) fn write_text(value: Value<'_>, decimals: u8, text: &mut String) {
    use std::fmt::Write;
    // Writing into a text cannot fail.
    let _ = match value {
        Value::Integer(number) => write!(text, "{number}"),
        Value::Unsigned(number) => write!(text, "{number}"),
        Value::Float(number) => {
            write!(text, "{}", Shortest(f64::from(number), &format!("{number}"), format!("{number:e}")))
        }
        Value::Double(number) => write!(text, "{}", Shortest(number, &format!("{number}"), format!("{number:e}"))),
        Value::Date(Moment { year, month, day, .. }) => write!(text, "{year:04}-{month:02}-{day:02}"),
        Value::DateTime(Moment { year, month, day, hour, minute, second, micros }) => {
            let written = write!(text, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}");
            written.and_then(|()| write_micros(micros, decimals, text))
        }
        Value::Time(Span { negative, hours, minute, second, micros }) => {
            let written = write!(text, "{}{hours:02}:{minute:02}:{second:02}", if negative { "-" } else { "" });
            written.and_then(|()| write_micros(micros, decimals, text))
        }
        Value::Digits(bytes) => write!(text, "{}", String::from_utf8_lossy(bytes)),
        Value::Bytes(bytes) => write_readable(bytes, text),
        Value::Geometry(bytes) => bytes.iter().try_for_each(|byte| write!(text, "{byte:02X}")),
    };
}

/// A number as its shortest text, with an exponent where that is shorter than zeros.
struct Shortest<'a>(f64, &'a str, String);

impl std::fmt::Display for Shortest<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let size = self.0.abs();
        f.write_str(if size == 0.0 || (1e-5..1e15).contains(&size) || !size.is_finite() { self.1 } else { &self.2 })
    }
}

fn write_micros(micros: u32, decimals: u8, text: &mut String) -> std::fmt::Result {
    use std::fmt::Write;
    // Beyond 6, the number of digits is not known.
    match decimals {
        0 => Ok(()),
        1..=6 => {
            let digits = format!("{micros:06}");
            write!(text, ".{}", &digits[..usize::from(decimals)])
        }
        _ if micros == 0 => Ok(()),
        _ => write!(text, ".{micros:06}"),
    }
}

/// Bytes that are no UTF-8 are written `\xNN`.
fn write_readable(bytes: &[u8], text: &mut String) -> std::fmt::Result {
    use std::fmt::Write;
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        chunk.invalid().iter().try_for_each(|byte| write!(text, "\\x{byte:02X}"))?;
    }
    Ok(())
}
