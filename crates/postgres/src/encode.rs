//! Arrow batches become rows of `COPY ... FROM STDIN (FORMAT BINARY)`.
//!
//! What a column of the table holds decides the form; a value that it cannot hold exactly is refused, never rounded or cut. Nothing here
//! depends on the server's settings.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
    Int16Array, Int32Array, Int64Array, ListArray, StringArray, Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field as ArrowField, TimeUnit};
use arrow::record_batch::RecordBatch;
use tokio_postgres::types::{Kind, Type};

use crate::rows::SIGNATURE;
use crate::value_type::ValueType;
use crate::{moment, number};

/// A value that the column cannot hold, or a column that cannot be stored at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unstorable {
    /// Index of the column.
    pub column: usize,
    /// Row of the batch; `None` where it is the whole column.
    pub row: Option<usize>,
    /// Why, to be put after what the value is called: `holds a NUL character, which Postgres cannot store`.
    pub reason: String,
}

/// How values of a column are written.
#[derive(Debug, Clone, PartialEq)]
pub enum Encoder {
    /// `boolean`
    Boolean,
    /// `smallint`
    Int16,
    /// `integer`
    Int32,
    /// `bigint`
    Int64,
    /// `real`
    Float32,
    /// `double precision`
    Float64,
    /// `numeric`, at most so many digits behind the point.
    Number(Option<u8>),
    /// `date`
    Date,
    /// `timestamp`, with or without time zone.
    Timestamp,
    /// `time`
    Time,
    /// `text` and what is sent as text.
    Text,
    /// `jsonb`
    Jsonb,
    /// `bytea`
    Blob,
    /// An array; the number of the elements' type.
    List(Box<Encoder>, u32),
}

impl Encoder {
    /// How values of a type are written; `None` where they cannot be: arrays of arrays, ranges and the like.
    pub fn of(value_type: &ValueType) -> Option<Self> {
        Some(match &value_type.of {
            kind if matches!(kind.kind(), Kind::Enum(_)) => Self::Text,
            &Type::BOOL => Self::Boolean,
            &Type::INT2 => Self::Int16,
            &Type::INT4 => Self::Int32,
            &Type::INT8 => Self::Int64,
            &Type::FLOAT4 => Self::Float32,
            &Type::FLOAT8 => Self::Float64,
            // The server would round what has more digits behind the point than the column.
            &Type::NUMERIC => Self::Number(value_type.scale()),
            &Type::DATE => Self::Date,
            &Type::TIMESTAMP | &Type::TIMESTAMPTZ => Self::Timestamp,
            &Type::TIME => Self::Time,
            &Type::TEXT | &Type::VARCHAR | &Type::JSON => Self::Text,
            &Type::JSONB => Self::Jsonb,
            &Type::BYTEA => Self::Blob,
            other => match other.kind() {
                Kind::Array(item) => {
                    let item_type = ValueType::new(item.clone(), value_type.modifier);
                    Self::List(Box::new(Self::of(&item_type)?), item.oid())
                }
                _ => return None,
            },
        })
    }

    /// The Arrow type whose values it writes.
    fn arrow(&self, given: &DataType) -> DataType {
        match self {
            Self::Boolean => DataType::Boolean,
            Self::Int16 => DataType::Int16,
            Self::Int32 => DataType::Int32,
            Self::Int64 => DataType::Int64,
            Self::Float32 => DataType::Float32,
            Self::Float64 => DataType::Float64,
            Self::Number(_) => match given {
                DataType::Decimal128(..) => given.clone(),
                _ => DataType::Decimal128(38, 0),
            },
            Self::Date => DataType::Date32,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::Time => DataType::Time64(TimeUnit::Microsecond),
            Self::Text | Self::Jsonb => DataType::Utf8,
            Self::Blob => DataType::Binary,
            Self::List(item, _) => {
                let given = match given {
                    DataType::List(field) | DataType::LargeList(field) => field.data_type(),
                    other => other,
                };
                DataType::List(Arc::new(ArrowField::new("item", item.arrow(given), true)))
            }
        }
    }
}

/// Writes batches of one table.
#[derive(Debug)]
pub struct RowEncoder {
    encoders: Vec<Encoder>,
    is_begun: bool,
}

impl RowEncoder {
    /// For columns in this order.
    pub fn new(encoders: Vec<Encoder>) -> Self {
        Self { encoders, is_begun: false }
    }

    /// Writes the rows of a batch. After an error of one row, those before it stand in `out`, and nothing of it.
    pub fn write(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), Unstorable> {
        if !std::mem::replace(&mut self.is_begun, true) {
            begin(out);
        }
        let refused = |column: usize, row: Option<usize>, reason: String| Unstorable { column, row, reason };
        if batch.num_columns() != self.encoders.len() {
            return Err(refused(0, None, format!("belongs to {} columns", batch.num_columns())));
        }
        let mut columns = Vec::with_capacity(self.encoders.len());
        for (index, (encoder, array)) in self.encoders.iter().zip(batch.columns()).enumerate() {
            columns.push(Values::new(encoder, array).map_err(|reason| refused(index, None, reason))?);
        }
        let count = i16::try_from(columns.len()).map_err(|_| refused(0, None, "is one of too many".to_owned()))?;
        for row in 0..batch.num_rows() {
            let begin = out.len();
            out.extend_from_slice(&count.to_be_bytes());
            for (index, values) in columns.iter().enumerate() {
                if let Err(reason) = values.write(row, out) {
                    out.truncate(begin);
                    return Err(refused(index, Some(row), reason));
                }
            }
        }
        Ok(())
    }

    /// What ends the rows.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if !self.is_begun {
            begin(out);
        }
        out.extend_from_slice(&(-1i16).to_be_bytes());
        self.is_begun = false;
    }
}

/// The signature, no flags, nothing behind the header.
fn begin(out: &mut Vec<u8>) {
    out.extend_from_slice(SIGNATURE);
    out.extend_from_slice(&[0; 8]);
}

/// The values of one column.
enum Values {
    Boolean(BooleanArray),
    Int16(Int16Array),
    Int32(Int32Array),
    Int64(Int64Array),
    Float32(Float32Array),
    Float64(Float64Array),
    /// Their scale, and how many of its digits must be zeros.
    Number(Decimal128Array, u8, u8),
    Date(Date32Array),
    Timestamp(TimestampMicrosecondArray),
    Time(Time64MicrosecondArray),
    Text(StringArray),
    Jsonb(StringArray),
    Blob(BinaryArray),
    List(ListArray, Box<Values>, u32),
}

impl Values {
    fn new(encoder: &Encoder, array: &ArrayRef) -> Result<Self, String> {
        use arrow::datatypes as of;
        let wanted = encoder.arrow(array.data_type());
        let array = if *array.data_type() == wanted {
            Arc::clone(array)
        } else {
            let options = CastOptions { safe: false, ..CastOptions::default() };
            cast_with_options(array, &wanted, &options)
                .map_err(|error| format!("cannot be stored as its column demands: {error}"))?
        };
        Ok(match encoder {
            Encoder::Boolean => Self::Boolean(array.as_boolean().clone()),
            Encoder::Int16 => Self::Int16(array.as_primitive::<of::Int16Type>().clone()),
            Encoder::Int32 => Self::Int32(array.as_primitive::<of::Int32Type>().clone()),
            Encoder::Int64 => Self::Int64(array.as_primitive::<of::Int64Type>().clone()),
            Encoder::Float32 => Self::Float32(array.as_primitive::<of::Float32Type>().clone()),
            Encoder::Float64 => Self::Float64(array.as_primitive::<of::Float64Type>().clone()),
            Encoder::Number(scale) => {
                let numbers = array.as_primitive::<of::Decimal128Type>().clone();
                let own = u8::try_from(numbers.scale()).map_err(|_| "has a scale below zero".to_owned())?;
                Self::Number(numbers, own, scale.map_or(0, |scale| own.saturating_sub(scale)))
            }
            Encoder::Date => Self::Date(array.as_primitive::<of::Date32Type>().clone()),
            Encoder::Timestamp => Self::Timestamp(array.as_primitive::<of::TimestampMicrosecondType>().clone()),
            Encoder::Time => Self::Time(array.as_primitive::<of::Time64MicrosecondType>().clone()),
            Encoder::Text => Self::Text(array.as_string::<i32>().clone()),
            Encoder::Jsonb => Self::Jsonb(array.as_string::<i32>().clone()),
            Encoder::Blob => Self::Blob(array.as_binary::<i32>().clone()),
            Encoder::List(item, number) => {
                let lists = array.as_list::<i32>().clone();
                let items = Self::new(item, lists.values())?;
                Self::List(lists, Box::new(items), *number)
            }
        })
    }

    fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Boolean(array) => array.is_null(row),
            Self::Int16(array) => array.is_null(row),
            Self::Int32(array) => array.is_null(row),
            Self::Int64(array) => array.is_null(row),
            Self::Float32(array) => array.is_null(row),
            Self::Float64(array) => array.is_null(row),
            Self::Number(array, ..) => array.is_null(row),
            Self::Date(array) => array.is_null(row),
            Self::Timestamp(array) => array.is_null(row),
            Self::Time(array) => array.is_null(row),
            Self::Text(array) | Self::Jsonb(array) => array.is_null(row),
            Self::Blob(array) => array.is_null(row),
            Self::List(array, ..) => array.is_null(row),
        }
    }

    /// Length and bytes of a value.
    fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
        if self.is_null(row) {
            out.extend_from_slice(&(-1i32).to_be_bytes());
            return Ok(());
        }
        match self {
            Self::Boolean(array) => sized(out, &[u8::from(array.value(row))]),
            Self::Int16(array) => sized(out, &array.value(row).to_be_bytes()),
            Self::Int32(array) => sized(out, &array.value(row).to_be_bytes()),
            Self::Int64(array) => sized(out, &array.value(row).to_be_bytes()),
            Self::Float32(array) => sized(out, &array.value(row).to_be_bytes()),
            Self::Float64(array) => sized(out, &array.value(row).to_be_bytes()),
            Self::Time(array) => sized(out, &array.value(row).to_be_bytes()),
            Self::Date(array) => {
                let days = moment::date_to_postgres(array.value(row));
                sized(out, &days.ok_or("is beyond the dates of Postgres")?.to_be_bytes())
            }
            Self::Timestamp(array) => {
                let micros = moment::to_postgres(array.value(row));
                sized(out, &micros.ok_or("is before the first timestamp of Postgres")?.to_be_bytes())
            }
            Self::Number(array, scale, zeros) => {
                let start = reserve(out);
                number::encode(array.value(row), *scale, *zeros, out)
                    .ok_or("has more digits behind the point than its column")?;
                return settle(out, start);
            }
            Self::Text(array) => return text(out, array.value(row), &[]),
            Self::Jsonb(array) => {
                let document = array.value(row);
                if escapes_nul(document) {
                    return Err("holds a NUL character, which Postgres cannot store".to_owned());
                }
                return text(out, document, &[1]);
            }
            Self::Blob(array) => {
                let start = reserve(out);
                out.extend_from_slice(array.value(row));
                return settle(out, start);
            }
            Self::List(array, items, number) => {
                let start = reserve(out);
                let bounds = array.value_offsets();
                // Offsets of an array of 32 bits, ascending.
                let (from, to) = (bounds[row] as usize, bounds[row + 1] as usize);
                let has_null = (from..to).any(|item| items.is_null(item));
                out.extend_from_slice(&i32::from(to > from).to_be_bytes());
                out.extend_from_slice(&i32::from(has_null).to_be_bytes());
                out.extend_from_slice(&number.to_be_bytes());
                if to > from {
                    out.extend_from_slice(&(bounds[row + 1] - bounds[row]).to_be_bytes());
                    out.extend_from_slice(&1i32.to_be_bytes());
                }
                for item in from..to {
                    items.write(item, out)?;
                }
                return settle(out, start);
            }
        }
        Ok(())
    }
}

/// A short value.
fn sized(out: &mut Vec<u8>, bytes: &[u8]) {
    // At most eight bytes.
    out.extend_from_slice(&(bytes.len() as i32).to_be_bytes());
    out.extend_from_slice(bytes);
}

fn text(out: &mut Vec<u8>, text: &str, prefix: &[u8]) -> Result<(), String> {
    if text.as_bytes().contains(&0) {
        return Err("holds a NUL character, which Postgres cannot store".to_owned());
    }
    let start = reserve(out);
    out.extend_from_slice(prefix);
    out.extend_from_slice(text.as_bytes());
    settle(out, start)
}

/// Whether a JSON document has `\\u0000` in a text, which `jsonb` refuses.
fn escapes_nul(document: &str) -> bool {
    document.match_indices("\\u0000").any(|(at, _)| {
        let before = document[..at].bytes().rev().take_while(|byte| *byte == b'\\').count();
        before % 2 == 0
    })
}

/// Room for a length that is not known yet; where the value will begin.
fn reserve(out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(&[0; 4]);
    out.len()
}

fn settle(out: &mut [u8], start: usize) -> Result<(), String> {
    let length = i32::try_from(out.len() - start).map_err(|_| "is longer than 2 GiB".to_owned())?;
    out[start - 4..start].copy_from_slice(&length.to_be_bytes());
    Ok(())
}
