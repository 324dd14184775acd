//! Checksums of rows that a server and this program compute alike.
//!
//! A row is written as one text, the values of its columns with a comma between them, and hashed. The sum of the hashes says, whatever the
//! order, whether two sets of rows are the same. The server computes what it does fastest, this program whatever the server does:
//!
//! | | hash of a text | timestamps |
//! |---|---|---|
//! | MySQL, MariaDB | `crc32(crc32(text))`: 32 bits. CRCs alone are linear, and changes that resemble each other would cancel out in sums; the digits in between are not | six digits behind the point |
//! | Postgres | `hashtextextended(text, 0)`: 64 bits | as short as they are exact |
//!
//! Values are written so that two different rows are two different texts: a text is preceded by its length in bytes, NULL is nothing at
//! all. Should a server write a value otherwise than expected, a range differs that need not, and is read once more; a difference is
//! not overlooked for it.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, Time64MicrosecondType,
    TimestampMicrosecondType,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde::{Deserialize, Serialize};
use thalweg_project::{ColumnType, DatabaseKind};

use super::rows::fault;
use crate::SourceError;

const DAY: i64 = 86_400_000_000;

/// What a kind of server computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hashing {
    /// MySQL and MariaDB.
    Crc32,
    /// Postgres.
    Lookup3,
}

impl Hashing {
    /// What servers of a kind compute.
    pub fn of(kind: DatabaseKind) -> Self {
        match kind {
            DatabaseKind::Mysql | DatabaseKind::Mariadb => Self::Crc32,
            DatabaseKind::Postgres => Self::Lookup3,
        }
    }

    /// The hash of a text.
    pub fn hash(self, text: &[u8]) -> i64 {
        match self {
            Self::Crc32 => {
                let mut digits = Digits::default();
                i64::from(crc32(digits.write(i128::from(crc32(text)))))
            }
            Self::Lookup3 => lookup3(text).cast_signed(),
        }
    }
}

/// Whether a column's values are written with their length before them.
pub fn is_textual(column_type: &ColumnType) -> bool {
    matches!(column_type, ColumnType::Text | ColumnType::Json | ColumnType::Blob | ColumnType::List(_))
}

/// Writes rows of a batch as texts.
pub struct RowTexts<'a> {
    hashing: Hashing,
    columns: Vec<(&'a ColumnType, &'a ArrayRef, Option<ArrayFormatter<'a>>)>,
    text: Vec<u8>,
}

impl<'a> RowTexts<'a> {
    /// The columns of a batch, in the order of the text.
    pub fn new(hashing: Hashing, types: &'a [ColumnType], arrays: &'a [ArrayRef]) -> Result<Self, SourceError> {
        const OPTIONS: &FormatOptions<'static> = &FormatOptions::new();
        let columns = types.iter().zip(arrays).map(|(column_type, array)| {
            let formatter = match column_type {
                ColumnType::List(_) => {
                    Some(ArrayFormatter::try_new(array.as_ref(), OPTIONS).map_err(|error| fault(&error))?)
                }
                _ => None,
            };
            Ok((column_type, array, formatter))
        });
        Ok(Self { hashing, columns: columns.collect::<Result<_, SourceError>>()?, text: Vec::new() })
    }

    /// The hash of a row.
    pub fn hash(&mut self, row: usize) -> i64 {
        self.hashing.hash(self.text(row))
    }

    /// A row as a text.
    pub fn text(&mut self, row: usize) -> &[u8] {
        let text = &mut self.text;
        text.clear();
        for (place, (column_type, array, formatter)) in self.columns.iter().enumerate() {
            if place > 0 {
                text.push(b',');
            }
            if array.is_null(row) {
                if is_textual(column_type) {
                    text.push(b',');
                }
                continue;
            }
            write_value(text, self.hashing, column_type, array, formatter.as_ref(), row);
        }
        text
    }
}

fn write_value(
    text: &mut Vec<u8>,
    hashing: Hashing,
    column_type: &ColumnType,
    array: &ArrayRef,
    formatter: Option<&ArrayFormatter<'_>>,
    row: usize,
) {
    let mut digits = Digits::default();
    match column_type {
        ColumnType::Boolean => text.push(if array.as_boolean().value(row) { b'1' } else { b'0' }),
        ColumnType::SmallInt => {
            text.extend_from_slice(digits.write(i128::from(array.as_primitive::<Int16Type>().value(row))));
        }
        ColumnType::Integer => {
            text.extend_from_slice(digits.write(i128::from(array.as_primitive::<Int32Type>().value(row))));
        }
        ColumnType::BigInt => {
            text.extend_from_slice(digits.write(i128::from(array.as_primitive::<Int64Type>().value(row))));
        }
        ColumnType::Decimal(_, scale) => {
            write_decimal(text, array.as_primitive::<Decimal128Type>().value(row), usize::from(*scale));
        }
        // Bit by bit: no two texts of one number are alike everywhere.
        ColumnType::Real => hexadecimal(text, &array.as_primitive::<Float32Type>().value(row).to_be_bytes()),
        ColumnType::Double => hexadecimal(text, &array.as_primitive::<Float64Type>().value(row).to_be_bytes()),
        ColumnType::Date => write_date(text, hashing, i64::from(array.as_primitive::<Date32Type>().value(row)), ""),
        ColumnType::Time => write_time(text, hashing, array.as_primitive::<Time64MicrosecondType>().value(row)),
        ColumnType::Timestamp => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            let mut time = Vec::with_capacity(16);
            time.push(b' ');
            write_time(&mut time, hashing, micros.rem_euclid(DAY));
            // The era stands behind the time.
            write_date(text, hashing, micros.div_euclid(DAY), std::str::from_utf8(&time).unwrap_or_default());
        }
        ColumnType::Text | ColumnType::Json => with_length(text, array.as_string::<i32>().value(row).as_bytes()),
        ColumnType::Blob => {
            let bytes = array.as_binary::<i32>().value(row);
            text.extend_from_slice(digits.write(bytes.len() as i128 * 2));
            text.push(b',');
            hexadecimal(text, bytes);
        }
        ColumnType::List(_) => {
            let shown = formatter.and_then(|formatter| formatter.value(row).try_to_string().ok()).unwrap_or_default();
            with_length(text, shown.as_bytes());
        }
    }
}

fn with_length(text: &mut Vec<u8>, value: &[u8]) {
    text.extend_from_slice(Digits::default().write(value.len() as i128));
    text.push(b',');
    text.extend_from_slice(value);
}

fn hexadecimal(text: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in bytes {
        text.extend_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
}

fn write_decimal(text: &mut Vec<u8>, number: i128, scale: usize) {
    let mut digits = Digits::default();
    if scale == 0 {
        text.extend_from_slice(digits.write(number));
        return;
    }
    if number < 0 {
        text.push(b'-');
    }
    let written = digits.write_unsigned(number.unsigned_abs());
    let whole = written.len().saturating_sub(scale);
    text.extend_from_slice(if whole == 0 { b"0" } else { &written[..whole] });
    text.push(b'.');
    text.extend(std::iter::repeat_n(b'0', scale.saturating_sub(written.len())));
    text.extend_from_slice(&written[whole..]);
}

/// A date, then `behind`, then the era where there is one.
fn write_date(text: &mut Vec<u8>, hashing: Hashing, days: i64, behind: &str) {
    // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms": civil_from_days.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let before = hashing == Hashing::Lookup3 && year < 1;
    let year = if before { 1 - year } else { year };
    let mut digits = Digits::default();
    padded(text, digits.write(i128::from(year)), 4);
    text.push(b'-');
    text.extend_from_slice(&two(month));
    text.push(b'-');
    text.extend_from_slice(&two(day));
    text.extend_from_slice(behind.as_bytes());
    if before {
        text.extend_from_slice(b" BC");
    }
}

fn write_time(text: &mut Vec<u8>, hashing: Hashing, micros: i64) {
    let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
    text.extend_from_slice(&two(seconds / 3600));
    text.push(b':');
    text.extend_from_slice(&two(seconds / 60 % 60));
    text.push(b':');
    text.extend_from_slice(&two(seconds % 60));
    if hashing == Hashing::Lookup3 && micros == 0 {
        return;
    }
    text.push(b'.');
    let start = text.len();
    padded(text, Digits::default().write(i128::from(micros)), 6);
    if hashing == Hashing::Lookup3 {
        while text.len() > start && text.last() == Some(&b'0') {
            text.pop();
        }
    }
}

fn padded(text: &mut Vec<u8>, digits: &[u8], width: usize) {
    text.extend(std::iter::repeat_n(b'0', width.saturating_sub(digits.len())));
    text.extend_from_slice(digits);
}

fn two(number: i64) -> [u8; 2] {
    let digit = |number: i64| b'0' + u8::try_from(number % 10).unwrap_or(0);
    [digit(number / 10), digit(number)]
}

/// A number being written.
struct Digits {
    bytes: [u8; 41],
}

impl Default for Digits {
    fn default() -> Self {
        Self { bytes: [0; 41] }
    }
}

impl Digits {
    fn write(&mut self, number: i128) -> &[u8] {
        let start = self.fill(number.unsigned_abs());
        if number < 0 {
            self.bytes[start - 1] = b'-';
            return &self.bytes[start - 1..];
        }
        &self.bytes[start..]
    }

    fn write_unsigned(&mut self, number: u128) -> &[u8] {
        let start = self.fill(number);
        &self.bytes[start..]
    }

    fn fill(&mut self, number: u128) -> usize {
        let mut start = self.bytes.len();
        let mut rest = number;
        while rest > u128::from(u64::MAX) {
            start -= 1;
            self.bytes[start] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
        }
        let mut rest = u64::try_from(rest).unwrap_or(u64::MAX);
        // Two digits at a time: keys are mostly numbers, and each of them is written.
        while rest >= 100 {
            start -= 2;
            self.bytes[start..start + 2].copy_from_slice(&PAIRS[usize::try_from(rest % 100).unwrap_or(0)]);
            rest /= 100;
        }
        if rest >= 10 {
            start -= 2;
            self.bytes[start..start + 2].copy_from_slice(&PAIRS[usize::try_from(rest).unwrap_or(0)]);
        } else {
            start -= 1;
            self.bytes[start] = b'0' + u8::try_from(rest).unwrap_or(0);
        }
        start
    }
}

/// The numbers below a hundred, in two digits.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[b'0'; 2]; 100];
    let mut number = 0;
    while number < 100 {
        pairs[number] = [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
        number += 1;
    }
    pairs
};

/// The checksum of each byte.
const CRC32: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut crc, mut bit) = (byte as u32, 0);
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

fn crc32(text: &[u8]) -> u32 {
    /// So short a text is done before the library has found out what the processor can do.
    const SHORT: usize = 32;
    if text.len() <= SHORT {
        return !text.iter().fold(!0, |crc: u32, byte| (crc >> 8) ^ CRC32[usize::from(crc.to_le_bytes()[0] ^ byte)]);
    }
    let mut crc = flate2::Crc::new();
    crc.update(text);
    crc.sum()
}

/// Bob Jenkins' lookup3 as Postgres has it: `hash_bytes_extended` of `src/common/hashfn.c`, with seed 0, on machines whose bytes are in
/// little-endian order. What another machine answers is found out before it is trusted.
fn lookup3(text: &[u8]) -> u64 {
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    let start = 0x9e37_79b9_u32.wrapping_add(length).wrapping_add(3_923_095);
    let (mut a, mut b, mut c) = (start, start, start);
    let word = |bytes: &[u8]| bytes.iter().rev().fold(0, |word: u32, byte| (word << 8) | u32::from(*byte));
    let mut blocks = text.chunks_exact(12);
    for block in &mut blocks {
        a = a.wrapping_add(word(&block[..4]));
        b = b.wrapping_add(word(&block[4..8]));
        c = c.wrapping_add(word(&block[8..]));
        a = a.wrapping_sub(c) ^ c.rotate_left(4);
        c = c.wrapping_add(b);
        b = b.wrapping_sub(a) ^ a.rotate_left(6);
        a = a.wrapping_add(c);
        c = c.wrapping_sub(b) ^ b.rotate_left(8);
        b = b.wrapping_add(a);
        a = a.wrapping_sub(c) ^ c.rotate_left(16);
        c = c.wrapping_add(b);
        b = b.wrapping_sub(a) ^ a.rotate_left(19);
        a = a.wrapping_add(c);
        c = c.wrapping_sub(b) ^ b.rotate_left(4);
        b = b.wrapping_add(a);
    }
    let rest = blocks.remainder();
    a = a.wrapping_add(word(&rest[..rest.len().min(4)]));
    b = b.wrapping_add(word(&rest[rest.len().min(4)..rest.len().min(8)]));
    // The lowest byte is the length's.
    c = c.wrapping_add(word(&rest[rest.len().min(8)..]) << 8);
    c = (c ^ b).wrapping_sub(b.rotate_left(14));
    a = (a ^ c).wrapping_sub(c.rotate_left(11));
    b = (b ^ a).wrapping_sub(a.rotate_left(25));
    c = (c ^ b).wrapping_sub(b.rotate_left(16));
    a = (a ^ c).wrapping_sub(c.rotate_left(4));
    b = (b ^ a).wrapping_sub(a.rotate_left(14));
    c = (c ^ b).wrapping_sub(b.rotate_left(24));
    (u64::from(b) << 32) | u64::from(c)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{BinaryArray, Decimal128Array, Int32Array, StringArray, TimestampMicrosecondArray};

    use super::*;

    #[test]
    fn hashes_are_those_of_the_servers() {
        // `select hashtextextended(...)` of Postgres 15, `select crc32(crc32(...))` of MariaDB 10.11.
        for (text, postgres, mariadb) in HASHES {
            assert_eq!(Hashing::Lookup3.hash(text.as_bytes()), *postgres, "{text}");
            assert_eq!(Hashing::Crc32.hash(text.as_bytes()), *mariadb, "{text}");
        }
    }

    const HASHES: &[(&str, i64, i64)] = &[
        ("", -6_939_563_903_564_495_251, 4_108_050_209),
        ("a", 3_591_986_179_850_072_241, 1_537_667_709),
        ("1,2", -2_996_136_813_699_112_407, 1_168_115_610),
        ("abcdefgh", -8_882_191_227_074_733_005, 3_155_067_723),
        ("abcdefghijk", 3_112_909_444_737_856_467, 749_194),
        ("abcdefghijkl", -7_556_637_188_122_330_412, 1_745_494_578),
        ("abcdefghijklm", 8_871_624_171_452_417_744, 1_195_938_523),
        ("Zürich, 1234567890 and more of it €", -1_986_874_756_524_153_365, 2_876_998_746),
    ];

    #[test]
    fn rows_as_texts() {
        let types =
            [ColumnType::Integer, ColumnType::Text, ColumnType::Decimal(5, 2), ColumnType::Blob, ColumnType::Timestamp];
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from(vec![Some(-7), None])),
            Arc::new(StringArray::from(vec![Some("é,"), None])),
            Arc::new(Decimal128Array::from(vec![-5, 12345]).with_precision_and_scale(5, 2).unwrap()),
            Arc::new(BinaryArray::from(vec![Some(&[0_u8, 255][..]), Some(&[][..])])),
            Arc::new(TimestampMicrosecondArray::from(vec![1_500_000, -62_167_219_200_000_000])),
        ];
        let texts = |hashing| {
            let mut texts = RowTexts::new(hashing, &types, &arrays).unwrap();
            [0, 1].map(|row| String::from_utf8(texts.text(row).to_vec()).unwrap())
        };
        assert_eq!(
            texts(Hashing::Crc32),
            ["-7,3,é,,-0.05,4,00FF,1970-01-01 00:00:01.500000", ",,,123.45,0,,0000-01-01 00:00:00.000000"]
        );
        assert_eq!(
            texts(Hashing::Lookup3),
            ["-7,3,é,,-0.05,4,00FF,1970-01-01 00:00:01.5", ",,,123.45,0,,0001-01-01 00:00:00 BC"]
        );
    }

    #[test]
    fn short_texts_and_long_ones_have_the_same_checksum() {
        let text: Vec<u8> = (0..200).collect();
        for length in [0, 1, 31, 32, 33, 200] {
            let mut library = flate2::Crc::new();
            library.update(&text[..length]);
            assert_eq!(crc32(&text[..length]), library.sum(), "{length}");
        }
    }

    #[test]
    fn numbers_are_written_in_full() {
        for number in
            [0, 9, 10, 99, 100, 101, 1234, -1, i128::from(i64::MIN), i128::from(u64::MAX), i128::MAX, -i128::MAX]
        {
            assert_eq!(Digits::default().write(number), number.to_string().as_bytes());
        }
    }
}
