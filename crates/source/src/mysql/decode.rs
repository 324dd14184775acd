//! Rows of the binary protocol, decoded straight into the columns of a batch.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Float32Builder, Float64Builder,
    Int16Builder, Int32Builder, Int64Builder, StringBuilder, Time64MicrosecondBuilder, TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use thalweg_project::ColumnType;

use super::error::Trouble;
use super::session::WireColumn;
use super::value::{Value, code, take_value, write_text};
use crate::database::{DecodedRows, Misfit, Read, SourceColumn};
use crate::landing::arrow_type;
use crate::{SourceError, SourceErrorKind};

/// Decodes the rows of one read.
pub(super) struct Decoder {
    schema: SchemaRef,
    columns: Vec<ColumnDecoder>,
    rows: usize,
    bytes: usize,
    misfits: Vec<Misfit>,
}

struct ColumnDecoder {
    wire: WireColumn,
    column_type: ColumnType,
    values: Values,
}

/// The values of a column, as far as they were decoded.
enum Values {
    Boolean(BooleanBuilder),
    SmallInt(Int16Builder),
    Integer(Int32Builder),
    BigInt(Int64Builder),
    Decimal(Decimal128Builder, u8, u8),
    Real(Float32Builder),
    Double(Float64Builder),
    Date(Date32Builder),
    Time(Time64MicrosecondBuilder),
    Timestamp(TimestampMicrosecondBuilder),
    Text(StringBuilder),
    Json(StringBuilder),
    Blob(BinaryBuilder),
}

impl Decoder {
    /// A decoder for these columns, which come as the server says. A column that comes as something that its type cannot be read from
    /// was changed since it was described.
    pub(super) fn new(columns: &[SourceColumn], wire: &[WireColumn]) -> Result<Self, SourceError> {
        if columns.len() != wire.len() {
            let message = format!("{} columns came where {} were asked for", wire.len(), columns.len());
            return Err(SourceError::new(SourceErrorKind::Unavailable, message));
        }
        let fields: Vec<Field> =
            columns.iter().map(|column| Field::new(&column.name, arrow_type(&column.column_type), true)).collect();
        let decoders = columns.iter().zip(wire).map(|(column, wire)| {
            if !can_come_as(&column.column_type, wire.code) {
                let message = format!(
                    "column {} was given another type while it was read; the next run tries again",
                    column.name
                );
                return Err(SourceError::new(SourceErrorKind::Unavailable, message));
            }
            let values = Values::new(&column.column_type).ok_or_else(|| {
                let message = format!("column {}: {} is not read from this server", column.name, column.column_type);
                SourceError::new(SourceErrorKind::Denied, message)
            })?;
            Ok(ColumnDecoder { wire: *wire, column_type: column.column_type.clone(), values })
        });
        Ok(Self {
            schema: Arc::new(Schema::new(fields)),
            columns: decoders.collect::<Result<_, SourceError>>()?,
            rows: 0,
            bytes: 0,
            misfits: Vec::new(),
        })
    }

    /// Appends a row.
    pub(super) fn append(&mut self, row: &[u8]) -> Result<(), Trouble> {
        self.decode_row(row).ok_or_else(|| Trouble::Protocol("a row is not what its columns promise".to_owned()))
    }

    fn decode_row(&mut self, row: &[u8]) -> Option<()> {
        // A zero, then a bit a column for NULL, of which the first two are not used.
        let (nulls, mut rest) = row.get(1..)?.split_at_checked((self.columns.len() + 9) / 8)?;
        for (index, column) in self.columns.iter_mut().enumerate() {
            if nulls[(index + 2) / 8] & (1 << ((index + 2) % 8)) != 0 {
                column.values.append_null();
                continue;
            }
            let value = take_value(column.wire, &mut rest)?;
            if let Err(reason) = column.values.append(value, column.wire.decimals) {
                column.values.append_null();
                let mut raw = String::new();
                write_text(value, column.wire.decimals, &mut raw);
                let reason = match reason {
                    Unfit::Type => format!("is not {}", with_article(&column.column_type)),
                    Unfit::Calendar => "is no date".to_owned(),
                    Unfit::Encoding => "is no text in UTF-8".to_owned(),
                };
                self.misfits.push(Misfit { row: self.rows, column: index, raw, reason });
            }
        }
        self.rows += 1;
        self.bytes += row.len();
        rest.is_empty().then_some(())
    }

    /// Whether the batch is to be handed over.
    pub(super) fn is_full(&self) -> bool {
        self.rows >= Read::ROWS || self.bytes >= Read::BYTES
    }

    /// Takes the rows that were decoded since the last time; `None` when there are none.
    pub(super) fn take(&mut self) -> Result<Option<DecodedRows>, Trouble> {
        if self.rows == 0 {
            return Ok(None);
        }
        let columns: Vec<ArrayRef> = self.columns.iter_mut().map(|column| column.values.finish()).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
            .map_err(|error| Trouble::Protocol(format!("rows do not make a batch: {error}")))?;
        (self.rows, self.bytes) = (0, 0);
        Ok(Some(DecodedRows { batch, misfits: std::mem::take(&mut self.misfits) }))
    }
}

/// Whether values of such a code can be of the type at all.
fn can_come_as(column_type: &ColumnType, wire: u8) -> bool {
    let number = code::is_whole(wire) || wire == code::NEW_DECIMAL || wire == code::DECIMAL;
    wire == code::NULL
        || match column_type {
            ColumnType::Boolean | ColumnType::SmallInt | ColumnType::Integer | ColumnType::BigInt => number,
            ColumnType::Decimal(..) => number,
            ColumnType::Real => wire == code::FLOAT,
            ColumnType::Double => wire == code::FLOAT || wire == code::DOUBLE || number,
            ColumnType::Date => wire == code::DATE,
            ColumnType::Timestamp => wire == code::DATE || code::is_moment(wire),
            ColumnType::Time => wire == code::TIME || wire == code::TIME2,
            ColumnType::Json => code::is_bytes(wire),
            ColumnType::Blob => code::is_bytes(wire) || wire == code::GEOMETRY,
            ColumnType::Text | ColumnType::List(_) => true,
        }
}

fn with_article(column_type: &ColumnType) -> String {
    let article = if *column_type == ColumnType::Integer { "an" } else { "a" };
    format!("{article} {column_type}")
}

/// Why a value does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unfit {
    Type,
    Calendar,
    Encoding,
}

impl Values {
    fn new(column_type: &ColumnType) -> Option<Self> {
        Some(match column_type {
            ColumnType::Boolean => Self::Boolean(BooleanBuilder::new()),
            ColumnType::SmallInt => Self::SmallInt(Int16Builder::new()),
            ColumnType::Integer => Self::Integer(Int32Builder::new()),
            ColumnType::BigInt => Self::BigInt(Int64Builder::new()),
            ColumnType::Decimal(precision, scale) => {
                let data_type = DataType::Decimal128(*precision, i8::try_from(*scale).ok()?);
                Self::Decimal(Decimal128Builder::new().with_data_type(data_type), *precision, *scale)
            }
            ColumnType::Real => Self::Real(Float32Builder::new()),
            ColumnType::Double => Self::Double(Float64Builder::new()),
            ColumnType::Date => Self::Date(Date32Builder::new()),
            ColumnType::Time => Self::Time(Time64MicrosecondBuilder::new()),
            ColumnType::Timestamp => Self::Timestamp(TimestampMicrosecondBuilder::new()),
            ColumnType::Text => Self::Text(StringBuilder::new()),
            ColumnType::Json => Self::Json(StringBuilder::new()),
            ColumnType::Blob => Self::Blob(BinaryBuilder::new()),
            ColumnType::List(_) => return None,
        })
    }

    #[inline]
    fn append(&mut self, value: Value<'_>, decimals: u8) -> Result<(), Unfit> {
        match self {
            Self::SmallInt(values) => values.append_value(whole(value).and_then(fit).ok_or(Unfit::Type)?),
            Self::Integer(values) => values.append_value(whole(value).and_then(fit).ok_or(Unfit::Type)?),
            Self::BigInt(values) => values.append_value(whole(value).and_then(fit).ok_or(Unfit::Type)?),
            Self::Boolean(values) => values.append_value(match whole(value) {
                Some(0) => false,
                Some(1) => true,
                _ => return Err(Unfit::Type),
            }),
            Self::Decimal(values, precision, scale) => {
                values.append_value(decimal(value, *precision, *scale).ok_or(Unfit::Type)?);
            }
            Self::Real(values) => match value {
                Value::Float(number) => values.append_value(number),
                _ => return Err(Unfit::Type),
            },
            Self::Double(values) => values.append_value(double(value).ok_or(Unfit::Type)?),
            Self::Date(values) => match value {
                Value::Date(moment) => values.append_value(moment.days().ok_or(Unfit::Calendar)?),
                _ => return Err(Unfit::Type),
            },
            Self::Timestamp(values) => match value {
                Value::Date(moment) | Value::DateTime(moment) => {
                    values.append_value(moment.microseconds().ok_or(Unfit::Calendar)?);
                }
                _ => return Err(Unfit::Type),
            },
            Self::Time(values) => match value {
                Value::Time(span) => values.append_value(span.microseconds().ok_or(Unfit::Type)?),
                _ => return Err(Unfit::Type),
            },
            Self::Text(values) => match value {
                Value::Bytes(bytes) | Value::Digits(bytes) => {
                    values.append_value(std::str::from_utf8(bytes).map_err(|_| Unfit::Encoding)?);
                }
                Value::Geometry(bytes) => {
                    let bytes = extended_wkb(bytes).ok_or(Unfit::Encoding)?;
                    values.append_value(bytes.iter().map(|byte| format!("{byte:02X}")).collect::<String>());
                }
                other => {
                    let mut text = String::new();
                    write_text(other, decimals, &mut text);
                    values.append_value(text);
                }
            },
            Self::Json(values) => match value {
                Value::Bytes(bytes) => {
                    let text = std::str::from_utf8(bytes).map_err(|_| Unfit::Encoding)?;
                    serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(|_| Unfit::Type)?;
                    values.append_value(text);
                }
                _ => return Err(Unfit::Type),
            },
            Self::Blob(values) => match value {
                Value::Bytes(bytes) => values.append_value(bytes),
                Value::Geometry(bytes) => values.append_value(extended_wkb(bytes).ok_or(Unfit::Type)?),
                _ => return Err(Unfit::Type),
            },
        }
        Ok(())
    }

    fn append_null(&mut self) {
        match self {
            Self::Boolean(values) => values.append_null(),
            Self::SmallInt(values) => values.append_null(),
            Self::Integer(values) => values.append_null(),
            Self::BigInt(values) => values.append_null(),
            Self::Decimal(values, ..) => values.append_null(),
            Self::Real(values) => values.append_null(),
            Self::Double(values) => values.append_null(),
            Self::Date(values) => values.append_null(),
            Self::Time(values) => values.append_null(),
            Self::Timestamp(values) => values.append_null(),
            Self::Text(values) | Self::Json(values) => values.append_null(),
            Self::Blob(values) => values.append_null(),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Boolean(values) => Arc::new(values.finish()),
            Self::SmallInt(values) => Arc::new(values.finish()),
            Self::Integer(values) => Arc::new(values.finish()),
            Self::BigInt(values) => Arc::new(values.finish()),
            Self::Decimal(values, ..) => Arc::new(values.finish()),
            Self::Real(values) => Arc::new(values.finish()),
            Self::Double(values) => Arc::new(values.finish()),
            Self::Date(values) => Arc::new(values.finish()),
            Self::Time(values) => Arc::new(values.finish()),
            Self::Timestamp(values) => Arc::new(values.finish()),
            Self::Text(values) | Self::Json(values) => Arc::new(values.finish()),
            Self::Blob(values) => Arc::new(values.finish()),
        }
    }
}

#[inline]
fn fit<T: TryFrom<i128>>(number: i128) -> Option<T> {
    T::try_from(number).ok()
}

/// A whole number, if it is one exactly.
#[inline]
fn whole(value: Value<'_>) -> Option<i128> {
    match value {
        Value::Integer(number) => Some(i128::from(number)),
        Value::Unsigned(number) => Some(i128::from(number)),
        Value::Digits(digits) => parse_decimal(digits, 38, 0),
        _ => None,
    }
}

/// A number without loss: 53 bits are what a `double` has.
fn double(value: Value<'_>) -> Option<f64> {
    const EXACT: u64 = 1 << 53;
    match value {
        Value::Double(number) => Some(number),
        Value::Float(number) => Some(f64::from(number)),
        Value::Integer(number) if number.unsigned_abs() <= EXACT => Some(number as f64),
        Value::Unsigned(number) if number <= EXACT => Some(number as f64),
        _ => None,
    }
}

#[inline]
fn decimal(value: Value<'_>, precision: u8, scale: u8) -> Option<i128> {
    match value {
        Value::Digits(digits) => parse_decimal(digits, precision, scale),
        Value::Integer(_) | Value::Unsigned(_) => {
            let number = whole(value)?.checked_mul(10i128.checked_pow(u32::from(scale))?)?;
            fits_precision(number.unsigned_abs(), precision).then_some(number)
        }
        _ => None,
    }
}

/// Powers of ten of 0 to 38.
const POWERS: [u128; 39] = {
    let mut powers = [1; 39];
    let mut index = 1;
    while index < 39 {
        powers[index] = powers[index - 1] * 10;
        index += 1;
    }
    powers
};

#[inline]
fn fits_precision(number: u128, precision: u8) -> bool {
    POWERS.get(usize::from(precision)).is_some_and(|power| number < *power)
}

/// A decimal number, `-12.50`, times ten to the power of `scale`; `None` when digits would be lost or there are more than `precision`.
#[inline]
fn parse_decimal(text: &[u8], precision: u8, scale: u8) -> Option<i128> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let (mut number, mut behind, mut point, mut part, mut part_digits) = (0u128, 0usize, false, 0u64, 0usize);
    for byte in digits {
        if *byte == b'.' && !point {
            point = true;
            continue;
        }
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        if point && behind == usize::from(scale) {
            if digit != 0 {
                return None;
            }
            continue;
        }
        // Machine words as long as possible: 128 bits are slow.
        part = part * 10 + u64::from(digit);
        part_digits += 1;
        behind += usize::from(point);
        if part_digits == 18 {
            number = number.checked_mul(POWERS[18])?.checked_add(u128::from(part))?;
            (part, part_digits) = (0, 0);
        }
    }
    number = number.checked_mul(POWERS[part_digits])?.checked_add(u128::from(part))?;
    number = number.checked_mul(*POWERS.get(usize::from(scale).checked_sub(behind)?)?)?;
    if !fits_precision(number, precision) {
        return None;
    }
    let number = i128::try_from(number).ok()?;
    Some(if negative { -number } else { number })
}

/// The server's form of a geometry (reference system, then WKB) as EWKB: where there is a reference system, a flag in the type says so
/// and its number follows.
fn extended_wkb(bytes: &[u8]) -> Option<Vec<u8>> {
    const HAS_REFERENCE_SYSTEM: u32 = 0x2000_0000;
    let (reference_system, wkb) = bytes.split_first_chunk::<4>()?;
    if *reference_system == [0; 4] {
        return Some(wkb.to_vec());
    }
    let (order, rest) = wkb.split_first()?;
    let (kind, content) = rest.split_first_chunk::<4>()?;
    // The server writes little-endian; anything else would be a format we do not know.
    if *order != 1 {
        return None;
    }
    let mut extended = Vec::with_capacity(bytes.len());
    extended.push(1);
    extended.extend_from_slice(&(u32::from_le_bytes(*kind) | HAS_REFERENCE_SYSTEM).to_le_bytes());
    extended.extend_from_slice(reference_system);
    extended.extend_from_slice(content);
    Some(extended)
}
