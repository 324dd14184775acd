//! Values in binary form become Arrow arrays, a column at a time.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanBuilder, ListArray, PrimitiveBuilder, StringArray, StringBuilder,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Field as ArrowField, Float32Type, Float64Type, Int16Type,
    Int32Type, Int64Type, IntervalMonthDayNanoType, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
};

use super::rows::{Field, Malformed};
use super::{address, moment, number};

/// How a column is decoded from the binary form of what is selected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoder {
    /// `boolean`
    Boolean,
    /// `smallint`
    Int16,
    /// `integer`
    Int32,
    /// `bigint`
    Int64,
    /// 32 bits without sign, as `bigint`.
    Unsigned32,
    /// 64 bits without sign, as `decimal(20,0)`.
    Unsigned64,
    /// `real`
    Float32,
    /// `double precision`
    Float64,
    /// `numeric` of a precision and scale.
    Decimal {
        /// Digits.
        precision: u8,
        /// Of these, behind the point.
        scale: u8,
    },
    /// Infinity does not fit.
    Date,
    /// Infinity does not fit.
    Timestamp,
    /// Infinity is the greatest number, minus infinity that negated.
    AnyDate,
    /// Infinity is the greatest number, minus infinity that negated.
    AnyTimestamp {
        /// Whether the array says that it is UTC.
        is_zoned: bool,
    },
    /// `interval`
    Interval,
    /// A `numeric` of any precision, as its text.
    NumberText,
    /// `time`
    Time,
    /// Bytes that are a text.
    Text,
    /// A text without the blanks at its end.
    Padded,
    /// The type `"char"`.
    SingleByte,
    /// `uuid`
    Uuid,
    /// `inet`, `cidr`
    Address,
    /// A version byte, then the text.
    Jsonb,
    /// `bytea`
    Blob,
    /// An array with one dimension that begins at 1.
    List(Box<Decoder>),
}

/// A value that the type it is read as cannot hold; it is NULL in the array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    /// Its row.
    pub row: usize,
    /// The value, as Postgres writes it.
    pub raw: String,
    /// Why it does not fit, to be put after the value.
    pub reason: String,
}

/// The length of a field is not that of its type.
const WRONG_LENGTH: Malformed = Malformed("a value has another length than its type");

/// Decodes one column. What does not fit is NULL in the array and told in `unfit`; an error means that the bytes are not what the protocol
/// promises.
pub fn decode(
    decoder: &Decoder,
    bytes: &[u8],
    fields: &[Field],
    unfit: &mut Vec<Unfit>,
) -> Result<ArrayRef, Malformed> {
    let input = Input { bytes, fields };
    Ok(match decoder {
        Decoder::Boolean => {
            let mut builder = BooleanBuilder::with_capacity(fields.len());
            for field in fields {
                match field.of(bytes) {
                    None => builder.append_null(),
                    Some(&[value]) => builder.append_value(value != 0),
                    Some(_) => return Err(WRONG_LENGTH),
                }
            }
            Arc::new(builder.finish())
        }
        Decoder::Int16 => input.numbers::<Int16Type, 2>(i16::from_be_bytes)?,
        Decoder::Int32 => input.numbers::<Int32Type, 4>(i32::from_be_bytes)?,
        Decoder::Int64 => input.numbers::<Int64Type, 8>(i64::from_be_bytes)?,
        Decoder::Unsigned32 => input.numbers::<Int64Type, 4>(|bytes| i64::from(u32::from_be_bytes(bytes)))?,
        Decoder::Unsigned64 => {
            let builder = decimal_builder(fields.len(), 20, 0);
            input.fitting(builder, unfit, |bytes| Ok(Ok(i128::from(u64::from_be_bytes(fixed(bytes)?)))))?
        }
        Decoder::Float32 => input.numbers::<Float32Type, 4>(f32::from_be_bytes)?,
        Decoder::Float64 => input.numbers::<Float64Type, 8>(f64::from_be_bytes)?,
        Decoder::Time => input.numbers::<Time64MicrosecondType, 8>(i64::from_be_bytes)?,
        &Decoder::Decimal { precision, scale } => {
            let builder = decimal_builder(fields.len(), precision, scale);
            input.fitting(builder, unfit, |bytes| match number::decimal(bytes, precision, scale) {
                Ok(value) => Ok(Ok(value)),
                Err(number::NotDecimal::Malformed) => Err(Malformed("a number is not in the form of numbers")),
                Err(_) => {
                    let raw = number::text(bytes).ok_or(Malformed("a number is not in the form of numbers"))?;
                    Ok(Err((raw, format!("is no decimal({precision},{scale})"))))
                }
            })?
        }
        Decoder::Date => {
            input.fitting(PrimitiveBuilder::<Date32Type>::with_capacity(fields.len()), unfit, |bytes| {
                Ok(moment::date(i32::from_be_bytes(fixed(bytes)?))
                    .map_err(|unfit| (unfit.raw, unfit.reason.to_owned())))
            })?
        }
        Decoder::Timestamp => {
            let builder = PrimitiveBuilder::<TimestampMicrosecondType>::with_capacity(fields.len());
            input.fitting(builder, unfit, |bytes| {
                let moment = moment::timestamp(i64::from_be_bytes(fixed(bytes)?));
                Ok(moment.map_err(|unfit| (unfit.raw, unfit.reason.to_owned())))
            })?
        }
        Decoder::AnyDate => {
            input.fitting(PrimitiveBuilder::<Date32Type>::with_capacity(fields.len()), unfit, |bytes| {
                Ok(moment::any_date(i32::from_be_bytes(fixed(bytes)?))
                    .map_err(|unfit| (unfit.raw, unfit.reason.to_owned())))
            })?
        }
        Decoder::AnyTimestamp { is_zoned } => {
            let zone = is_zoned.then(|| "UTC".into());
            let builder = PrimitiveBuilder::<TimestampMicrosecondType>::with_capacity(fields.len())
                .with_data_type(DataType::Timestamp(TimeUnit::Microsecond, zone));
            input.fitting(builder, unfit, |bytes| {
                let moment = moment::any_timestamp(i64::from_be_bytes(fixed(bytes)?));
                Ok(moment.map_err(|unfit| (unfit.raw, unfit.reason.to_owned())))
            })?
        }
        Decoder::Interval => {
            let builder = PrimitiveBuilder::<IntervalMonthDayNanoType>::with_capacity(fields.len());
            input.fitting(builder, unfit, |bytes| {
                let bytes: [u8; 16] = fixed(bytes)?;
                let micros = i64::from_be_bytes(fixed(&bytes[..8])?);
                let (days, months) =
                    (i32::from_be_bytes(fixed(&bytes[8..12])?), i32::from_be_bytes(fixed(&bytes[12..])?));
                Ok(match micros.checked_mul(1000) {
                    Some(nanos) => Ok(IntervalMonthDayNanoType::make_value(months, days, nanos)),
                    None => Err((format!("{micros} microseconds"), "is too long an interval".to_owned())),
                })
            })?
        }
        Decoder::NumberText => input.written(16, |bytes, text| {
            text.push_str(&number::text(bytes).ok_or(Malformed("a number is not in the form of numbers"))?);
            Ok(())
        })?,
        Decoder::Text => input.texts(unfit, |bytes| bytes)?,
        Decoder::Padded => input.texts(unfit, |bytes| {
            let end = bytes.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
            &bytes[..end]
        })?,
        Decoder::Jsonb => {
            if fields.iter().filter_map(|field| field.of(bytes)).any(|value| value.first() != Some(&1)) {
                return Err(Malformed("jsonb comes in a form that is not known"));
            }
            input.texts(unfit, |bytes| &bytes[1..])?
        }
        Decoder::SingleByte => input.written(4, |byte, text| match byte {
            [] | [0] => Ok(()),
            &[byte @ 1..=0x7f] => {
                text.push(char::from(byte));
                Ok(())
            }
            &[byte] => write!(text, "\\{byte:03o}").map_err(|_| WRONG_LENGTH),
            _ => Err(WRONG_LENGTH),
        })?,
        Decoder::Uuid => input.written(36, |bytes, text| write_uuid(&fixed(bytes)?, text))?,
        Decoder::Address => input.written(16, |bytes, text| {
            text.push_str(&address::address(bytes).ok_or(Malformed("an address is not in the form of addresses"))?);
            Ok(())
        })?,
        Decoder::Blob => input.blobs()?,
        Decoder::List(item) => input.lists(item, unfit)?,
    })
}

fn decimal_builder(rows: usize, precision: u8, scale: u8) -> PrimitiveBuilder<Decimal128Type> {
    // A scale has 38 digits at most.
    let scale = i8::try_from(scale).unwrap_or(38);
    PrimitiveBuilder::with_capacity(rows).with_data_type(DataType::Decimal128(precision, scale))
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Malformed> {
    bytes.try_into().map_err(|_| WRONG_LENGTH)
}

fn write_uuid(bytes: &[u8; 16], text: &mut String) -> Result<(), Malformed> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    Ok(())
}

/// Bytes that are no UTF-8, with `\xNN` for what is none.
fn escaped(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\\x{byte:02X}")));
    }
    text
}

/// Values one behind the other, their ends, and which are NULL.
type Variable = (Vec<u8>, OffsetBuffer<i32>, Option<NullBuffer>);

/// The fields of one column.
#[derive(Clone, Copy)]
struct Input<'b> {
    bytes: &'b [u8],
    fields: &'b [Field],
}

impl<'b> Input<'b> {
    /// Values of a fixed length, all of which fit.
    fn numbers<T: ArrowPrimitiveType, const N: usize>(
        self,
        read: impl Fn([u8; N]) -> T::Native,
    ) -> Result<ArrayRef, Malformed> {
        let mut builder = PrimitiveBuilder::<T>::with_capacity(self.fields.len());
        for field in self.fields {
            match field.of(self.bytes) {
                None => builder.append_null(),
                Some(value) => builder.append_value(read(fixed(value)?)),
            }
        }
        Ok(Arc::new(builder.finish()))
    }

    /// Values that may not fit: the inner error is the value as written and why.
    fn fitting<T: ArrowPrimitiveType>(
        self,
        mut builder: PrimitiveBuilder<T>,
        unfit: &mut Vec<Unfit>,
        read: impl Fn(&[u8]) -> Result<Result<T::Native, (String, String)>, Malformed>,
    ) -> Result<ArrayRef, Malformed> {
        for (row, field) in self.fields.iter().enumerate() {
            match field.of(self.bytes).map(&read).transpose()? {
                None => builder.append_null(),
                Some(Ok(value)) => builder.append_value(value),
                Some(Err((raw, reason))) => {
                    unfit.push(Unfit { row, raw, reason });
                    builder.append_null();
                }
            }
        }
        Ok(Arc::new(builder.finish()))
    }

    /// Texts that lie in the fields, `part` being the part that counts. They are checked for UTF-8 all at once, and one by one only
    /// where there is a fault: a database in SQL_ASCII holds anything.
    fn texts(self, unfit: &mut Vec<Unfit>, part: impl Fn(&'b [u8]) -> &'b [u8]) -> Result<ArrayRef, Malformed> {
        let (values, offsets, nulls) = self.variable(|bytes| Ok(part(bytes)))?;
        if let Ok(array) = StringArray::try_new(offsets, values.into(), nulls) {
            return Ok(Arc::new(array));
        }
        let mut builder = StringBuilder::with_capacity(self.fields.len(), 0);
        for (row, field) in self.fields.iter().enumerate() {
            match field.of(self.bytes).map(|bytes| (bytes, std::str::from_utf8(part(bytes)))) {
                None => builder.append_null(),
                Some((_, Ok(text))) => builder.append_value(text),
                Some((bytes, Err(_))) => {
                    unfit.push(Unfit { row, raw: escaped(bytes), reason: "is no UTF-8".to_owned() });
                    builder.append_null();
                }
            }
        }
        Ok(Arc::new(builder.finish()))
    }

    fn blobs(self) -> Result<ArrayRef, Malformed> {
        let (values, offsets, nulls) = self.variable(Ok)?;
        let array = BinaryArray::try_new(offsets, values.into(), nulls);
        Ok(Arc::new(array.map_err(|_| Malformed("bytes do not lie where they should"))?))
    }

    /// Values of any length.
    fn variable(self, part: impl Fn(&'b [u8]) -> Result<&'b [u8], Malformed>) -> Result<Variable, Malformed> {
        let (mut values, mut offsets) = (Vec::new(), Vec::with_capacity(self.fields.len() + 1));
        offsets.push(0i32);
        for field in self.fields {
            if let Some(value) = field.of(self.bytes) {
                values.extend_from_slice(part(value)?);
            }
            offsets.push(i32::try_from(values.len()).map_err(|_| Malformed("a batch has more than 2 GiB of texts"))?);
        }
        Ok((values, OffsetBuffer::new(offsets.into()), self.nulls()))
    }

    fn nulls(self) -> Option<NullBuffer> {
        let nulls: NullBuffer = self.fields.iter().map(|field| field.of(self.bytes).is_some()).collect();
        (nulls.null_count() > 0).then_some(nulls)
    }

    /// Texts that are made of binary values, about `length` bytes each.
    fn written(
        self,
        length: usize,
        write: impl Fn(&[u8], &mut String) -> Result<(), Malformed>,
    ) -> Result<ArrayRef, Malformed> {
        let mut builder = StringBuilder::with_capacity(self.fields.len(), self.fields.len() * length);
        let mut text = String::with_capacity(length);
        for field in self.fields {
            match field.of(self.bytes) {
                None => builder.append_null(),
                Some(value) => {
                    text.clear();
                    write(value, &mut text)?;
                    builder.append_value(&text);
                }
            }
        }
        Ok(Arc::new(builder.finish()))
    }

    /// Texts that a stream wants to have read as another type.
    /// Arrays: dimensions, flags, type of the elements, for each dimension its length and lower bound, then elements as in a row.
    fn lists(self, item: &Decoder, unfit: &mut Vec<Unfit>) -> Result<ArrayRef, Malformed> {
        let mut lists = Lists::default();
        for (row, field) in self.fields.iter().enumerate() {
            let Some(value) = field.of(self.bytes) else {
                lists.push(row, None);
                continue;
            };
            // Fields lie in these bytes: the difference of addresses is the place.
            let start = value.as_ptr() as usize - self.bytes.as_ptr() as usize;
            let shape = ListShape::read(value)?;
            let elements = shape.elements(value, start)?;
            if let Some(reason) = shape.misfit() {
                let child = Input { bytes: self.bytes, fields: &elements };
                unfit.push(Unfit { row, raw: child.array_text(item, &shape)?, reason });
                lists.push(row, None);
            } else {
                lists.push(row, Some(elements));
            }
        }
        let mut inner = Vec::new();
        let mut child = decode(item, self.bytes, &lists.elements, &mut inner)?;
        if !inner.is_empty() {
            let mut faulty = Vec::new();
            for fault in inner {
                let row = lists.owners[fault.row];
                // An array with several elements that do not fit is one value.
                if faulty.last() != Some(&row) {
                    unfit.push(Unfit { row, raw: fault.raw, reason: format!("in an array {}", fault.reason) });
                    faulty.push(row);
                }
            }
            lists = lists.without(&faulty);
            child = decode(item, self.bytes, &lists.elements, &mut Vec::new())?;
        }
        let item_field = Arc::new(ArrowField::new("item", child.data_type().clone(), true));
        let offsets = OffsetBuffer::from_lengths(lists.lengths);
        let list = ListArray::try_new(item_field, offsets, child, Some(lists.valid.into()));
        Ok(Arc::new(list.map_err(|_| Malformed("a list is no list"))?))
    }

    /// An array as Postgres writes it: `[0:1]={a,"b c"}`, `{{1,2},{3,NULL}}`.
    fn array_text(self, item: &Decoder, shape: &ListShape) -> Result<String, Malformed> {
        let mut unfit = Vec::new();
        let values = decode(item, self.bytes, self.fields, &mut unfit)?;
        let mut texts: Vec<Option<String>> = (0..values.len()).map(|row| element_text(&values, row)).collect();
        for fault in unfit {
            texts[fault.row] = Some(fault.raw);
        }
        let mut text = String::new();
        if shape.dimensions.iter().any(|(_, lower)| *lower != 1) {
            for &(length, lower) in &shape.dimensions {
                text.push_str(&format!("[{lower}:{}]", i64::from(lower) + i64::from(length) - 1));
            }
            text.push('=');
        }
        let mut texts = texts.into_iter();
        write_dimension(&shape.dimensions, &mut texts, &mut text);
        Ok(text)
    }
}

fn element_text(values: &ArrayRef, row: usize) -> Option<String> {
    if values.is_null(row) {
        return None;
    }
    if let Some(micros) = values.as_any().downcast_ref::<arrow::array::TimestampMicrosecondArray>() {
        return Some(moment::timestamp_text(micros.value(row)));
    }
    if let Some(days) = values.as_any().downcast_ref::<arrow::array::Date32Array>() {
        return Some(moment::date_text(days.value(row)));
    }
    if let Some(bytes) = values.as_any().downcast_ref::<BinaryArray>() {
        let digits = bytes.value(row).iter().map(|byte| format!("{byte:02x}"));
        return Some(format!("\\x{}", digits.collect::<String>()));
    }
    arrow::util::display::array_value_to_string(values, row).ok()
}

fn write_dimension(dimensions: &[(i32, i32)], texts: &mut impl Iterator<Item = Option<String>>, text: &mut String) {
    let Some((&(length, _), inner)) = dimensions.split_first() else { return };
    text.push('{');
    for index in 0..length {
        if index > 0 {
            text.push(',');
        }
        if !inner.is_empty() {
            write_dimension(inner, texts, text);
            continue;
        }
        match texts.next().flatten() {
            None => text.push_str("NULL"),
            Some(value) => {
                let is_plain = !value.is_empty()
                    && !value.eq_ignore_ascii_case("null")
                    && !value.contains(['"', '\\', '{', '}', ','])
                    && !value.contains(char::is_whitespace);
                if is_plain {
                    text.push_str(&value);
                } else {
                    text.push_str(&format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")));
                }
            }
        }
    }
    text.push('}');
}

/// The elements of the lists of a column.
#[derive(Default)]
struct Lists {
    elements: Vec<Field>,
    /// Row of each element.
    owners: Vec<usize>,
    lengths: Vec<usize>,
    valid: Vec<bool>,
}

impl Lists {
    fn push(&mut self, row: usize, elements: Option<Vec<Field>>) {
        self.valid.push(elements.is_some());
        let elements = elements.unwrap_or_default();
        self.lengths.push(elements.len());
        self.owners.extend(std::iter::repeat_n(row, elements.len()));
        self.elements.extend(elements);
    }

    /// The same with NULL in these rows.
    fn without(self, rows: &[usize]) -> Self {
        let mut left = Self::default();
        let mut elements = self.elements.into_iter();
        for (row, (length, valid)) in self.lengths.into_iter().zip(self.valid).enumerate() {
            let elements: Vec<Field> = elements.by_ref().take(length).collect();
            left.push(row, (valid && !rows.contains(&row)).then_some(elements));
        }
        left
    }
}

/// The dimensions of an array: length and lower bound.
struct ListShape {
    dimensions: Vec<(i32, i32)>,
}

const NO_ARRAY: Malformed = Malformed("an array is not in the form of arrays");

impl ListShape {
    fn read(value: &[u8]) -> Result<Self, Malformed> {
        let word = |at: usize| -> Result<i32, Malformed> {
            let bytes = value.get(at..at + 4).ok_or(NO_ARRAY)?;
            Ok(i32::from_be_bytes(fixed(bytes)?))
        };
        // Postgres has six dimensions at most.
        let count = usize::try_from(word(0)?).ok().filter(|count| *count <= 6).ok_or(NO_ARRAY)?;
        let dimension = |index: usize| Ok((word(12 + index * 8)?, word(16 + index * 8)?));
        Ok(Self { dimensions: (0..count).map(dimension).collect::<Result<_, Malformed>>()? })
    }

    fn misfit(&self) -> Option<String> {
        match self.dimensions[..] {
            [] | [(_, 1)] => None,
            [_] => Some("does not begin at 1".to_owned()),
            _ => Some(format!("has {} dimensions", self.dimensions.len())),
        }
    }

    /// The elements of a value whose bytes begin at `start`.
    fn elements(&self, value: &[u8], start: usize) -> Result<Vec<Field>, Malformed> {
        let mut at = 12 + self.dimensions.len() * 8;
        let mut fields = Vec::new();
        while at < value.len() {
            let length = i32::from_be_bytes(fixed(value.get(at..at + 4).ok_or(NO_ARRAY)?)?);
            at += 4;
            let length = match length {
                -1 => None,
                _ => Some(usize::try_from(length).map_err(|_| NO_ARRAY)?),
            };
            fields.push(Field::at(start + at, length));
            at += length.unwrap_or(0);
        }
        let mut expected = usize::from(!self.dimensions.is_empty());
        for (length, _) in &self.dimensions {
            let length = usize::try_from(*length).ok().filter(|length| *length > 0).ok_or(NO_ARRAY)?;
            expected = expected.checked_mul(length).ok_or(NO_ARRAY)?;
        }
        if at != value.len() || fields.len() != expected { Err(NO_ARRAY) } else { Ok(fields) }
    }
}
