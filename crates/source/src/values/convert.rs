//! A column of cells becomes an Arrow array of a type.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Float32Builder, Float64Builder,
    Int16Builder, Int32Builder, Int64Builder, ListBuilder, StringBuilder, Time64MicrosecondBuilder,
    TimestampMicrosecondBuilder,
};
use thalweg_project::ColumnType;

use super::calendar::{parse_date, parse_time, parse_timestamp};
use super::cell::Cell;
use super::number::{parse_bigint, parse_decimal, parse_number};
use super::shape::parse_boolean;

/// Which values a type takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    /// The type is a guess: only values that inference over the whole file would give this type are taken.
    Speculative,
    /// The type is the result of inference (or the store's): as above, and text takes everything.
    Exact,
    /// The type was given by a person: what can be read as it without loss is taken, leading zeros, plus signs and blanks around
    /// included.
    Given,
}

/// Converts the cells of one column.
#[derive(Debug, Clone, Copy)]
pub struct ColumnConverter<'t> {
    /// The type of the array.
    pub column_type: &'t ColumnType,
    /// Which values it takes.
    pub strictness: Strictness,
}

impl ColumnConverter<'_> {
    /// Converts `rows` cells. `misfit` is told each row whose value does not fit; it becomes NULL, or conversion stops with `None`
    /// when `misfit` answers `false`.
    pub fn convert<'a>(
        &self,
        cells: impl Iterator<Item = Cell<'a>>,
        rows: usize,
        mut misfit: impl FnMut(usize, Cell<'a>) -> bool,
    ) -> Option<ArrayRef> {
        /// Runs the cells through a builder; the parser sees a cell and answers with a value.
        macro_rules! build {
            ($builder:expr, $parse:expr) => {{
                let mut builder = $builder;
                for (row, cell) in cells.enumerate() {
                    if cell == Cell::Null {
                        builder.append_null();
                        continue;
                    }
                    match $parse(cell) {
                        Some(value) => builder.append_value(value),
                        None if misfit(row, cell) => builder.append_null(),
                        None => return None,
                    }
                }
                Arc::new(builder.finish())
            }};
        }
        let given = self.strictness == Strictness::Given;
        // Where the type was given, blanks around a value and the like are forgiven; otherwise a JSON string is never a number.
        let plain = |cell: Cell<'a>| match cell {
            Cell::Plain(text) => Some(if given { text.trim_ascii() } else { text }),
            Cell::String(text) if given => Some(text.trim_ascii()),
            Cell::Number(text) => Some(text),
            _ => None,
        };
        let moment = |cell: Cell<'a>| match cell {
            Cell::Plain(text) | Cell::String(text) => Some(if given { text.trim_ascii() } else { text }),
            _ => None,
        };
        let integer = |cell: Cell<'a>| {
            let text = plain(cell)?;
            parse_bigint(text).or_else(|| if given { parse_bigint(&canonical(text)?) } else { None })
        };
        Some(match self.column_type {
            ColumnType::Boolean => build!(BooleanBuilder::with_capacity(rows), |cell: Cell<'a>| match cell {
                Cell::Boolean(value) => Some(value),
                _ => parse_boolean(plain(cell)?),
            }),
            ColumnType::SmallInt => {
                build!(Int16Builder::with_capacity(rows), |cell| i16::try_from(integer(cell)?).ok())
            }
            ColumnType::Integer => build!(Int32Builder::with_capacity(rows), |cell| i32::try_from(integer(cell)?).ok()),
            ColumnType::BigInt => build!(Int64Builder::with_capacity(rows), integer),
            ColumnType::Decimal(precision, scale) => {
                let data_type = crate::landing::arrow_type(self.column_type);
                build!(Decimal128Builder::with_capacity(rows).with_data_type(data_type), |cell| {
                    let text = plain(cell)?;
                    let read = |text: &str| parse_decimal(text, *precision, *scale, given);
                    read(text).or_else(|| if given { read(&canonical(text)?) } else { None })
                })
            }
            ColumnType::Real => build!(Float32Builder::with_capacity(rows), |cell| {
                let text = plain(cell)?;
                if given {
                    text.parse::<f32>().ok().filter(|value| keeps(f64::from(*value), text))
                } else {
                    single(text)
                }
            }),
            ColumnType::Double => build!(Float64Builder::with_capacity(rows), |cell| {
                let text = plain(cell)?;
                let value = text.parse::<f64>().ok().filter(|value| keeps(*value, text));
                if given || parse_number(text)?.fits_double(text) { value } else { None }
            }),
            ColumnType::Date => build!(Date32Builder::with_capacity(rows), |cell| parse_date(moment(cell)?)),
            ColumnType::Time => build!(Time64MicrosecondBuilder::with_capacity(rows), |cell| match cell {
                Cell::Plain(text) => parse_time(text),
                _ if given => parse_time(moment(cell)?),
                _ => None,
            }),
            ColumnType::Timestamp => build!(TimestampMicrosecondBuilder::with_capacity(rows), |cell| {
                let text = moment(cell)?;
                let midnight = || parse_date(text).map(|days| i64::from(days) * 86_400_000_000);
                parse_timestamp(text).or_else(|| if given { midnight() } else { None })
            }),
            ColumnType::Text => {
                let speculative = self.strictness == Strictness::Speculative;
                build!(StringBuilder::with_capacity(rows, rows * 16), |cell: Cell<'a>| match cell {
                    Cell::Nested(_) if speculative => None,
                    _ => cell.text(),
                })
            }
            ColumnType::Json => build!(StringBuilder::with_capacity(rows, rows * 16), |cell: Cell<'a>| match cell {
                Cell::Nested(text) | Cell::Number(text) => Some(std::borrow::Cow::Borrowed(text)),
                Cell::Boolean(_) => cell.text().map(std::borrow::Cow::Borrowed),
                Cell::String(text) => serde_json::to_string(text).ok().map(std::borrow::Cow::Owned),
                Cell::Plain(text) => serde_json::from_str::<&serde_json::value::RawValue>(text)
                    .ok()
                    .map(|_| std::borrow::Cow::Borrowed(text)),
                Cell::Null => None,
            }),
            ColumnType::Blob => build!(BinaryBuilder::with_capacity(rows, rows * 16), |cell: Cell<'a>| cell.text()),
            ColumnType::List(item) => self.convert_lists(item, cells, misfit)?,
        })
    }

    /// A list is read from a JSON array, whose items are converted like the cells of a column of their own.
    fn convert_lists<'a>(
        &self,
        item: &ColumnType,
        cells: impl Iterator<Item = Cell<'a>>,
        mut misfit: impl FnMut(usize, Cell<'a>) -> bool,
    ) -> Option<ArrayRef> {
        let mut items: Vec<String> = Vec::new();
        let mut builder = ListBuilder::new(StringBuilder::new());
        if *item != ColumnType::Text {
            // Lists of other types are left to SQL: a list of texts casts to them.
            for (row, cell) in cells.enumerate() {
                if cell != Cell::Null && !misfit(row, cell) {
                    return None;
                }
                builder.append(false);
            }
            let nulls = builder.finish();
            let data_type = crate::landing::arrow_type(self.column_type);
            return Some(arrow::array::new_null_array(&data_type, arrow::array::Array::len(&nulls)));
        }
        for (row, cell) in cells.enumerate() {
            items.clear();
            let read = match cell {
                Cell::Null => None,
                _ => cell.text().and_then(|text| serde_json::from_str::<Vec<Option<String>>>(text).ok()),
            };
            match read {
                Some(read) => {
                    read.into_iter().for_each(|item| builder.values().append_option(item));
                    builder.append(true);
                }
                None if cell == Cell::Null || misfit(row, cell) => builder.append(false),
                None => return None,
            }
        }
        Some(Arc::new(builder.finish()))
    }
}

/// A number as [`parse_number`] wants it: without plus sign, leading zeros and missing digits around the point.
fn canonical(text: &str) -> Option<String> {
    let (sign, rest) = match text.as_bytes().first()? {
        b'-' => ("-", &text[1..]),
        b'+' => ("", &text[1..]),
        _ => ("", text),
    };
    let (whole, fraction) = rest.split_once('.').unwrap_or((rest, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    let (whole, point) = (if whole.is_empty() { "0" } else { whole }, if fraction.is_empty() { "" } else { "." });
    let sign = if whole == "0" && fraction.bytes().all(|digit| digit == b'0') { "" } else { sign };
    Some(format!("{sign}{whole}{point}{fraction}"))
}

/// Whether a number that was read is as large as the text says: not infinite where digits stand, nor 0 where others do.
fn keeps(value: f64, text: &str) -> bool {
    let digits = text.split(['e', 'E']).next().unwrap_or_default();
    let has = |digit: fn(&u8) -> bool| digits.bytes().any(|byte| digit(&byte));
    if value == 0.0 { !has(|byte| (b'1'..=b'9').contains(byte)) } else { value.is_finite() || !has(u8::is_ascii_digit) }
}

/// A `real` that was not given keeps the value only if the text comes back.
fn single(text: &str) -> Option<f32> {
    let value: f32 = text.parse().ok()?;
    let wide: f64 = text.parse().ok()?;
    (value.is_finite() && f64::from(value) == wide).then_some(value)
}

/// `column amount: "12,5" is not a decimal(10,2)`
pub fn describe_misfit(column: &str, cell: Cell<'_>, column_type: &ColumnType) -> String {
    /// Characters of a value that are shown.
    const SHOWN: usize = 100;
    let text = cell.text().unwrap_or("NULL");
    let article = if *column_type == ColumnType::Integer { "an" } else { "a" };
    match text.char_indices().nth(SHOWN) {
        None => format!("column {column}: {text:?} is not {article} {column_type}"),
        Some((end, _)) => format!("column {column}: {:?}… is not {article} {column_type}", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::Int64Type;

    use super::*;

    fn convert(column_type: &str, strictness: Strictness, text: &str) -> Option<ArrayRef> {
        let column_type = column_type.parse().expect("a type");
        let converter = ColumnConverter { column_type: &column_type, strictness };
        converter.convert([Cell::Plain(text)].into_iter(), 1, |_, _| false)
    }

    #[test]
    fn given_types_forgive_how_a_value_is_written() {
        let value = convert("bigint", Strictness::Given, " +007 ").expect("it fits");
        assert_eq!(value.as_primitive::<Int64Type>().value(0), 7);
        assert!(convert("bigint", Strictness::Exact, "007").is_none());
        assert!(convert("decimal(4,2)", Strictness::Given, ".5").is_some());
        assert!(convert("decimal(4,2)", Strictness::Given, "1.555").is_none());
        assert!(convert("smallint", Strictness::Given, "40000").is_none());
        for (column_type, text) in [("real", "1e39"), ("real", "1e-60"), ("double", "1e400"), ("double", "-1e-400")] {
            assert!(convert(column_type, Strictness::Given, text).is_none(), "{text} as {column_type}");
        }
        for (column_type, text) in [("real", "0.1"), ("real", "-0e9"), ("double", "1e-300"), ("double", "infinity")] {
            assert!(convert(column_type, Strictness::Given, text).is_some(), "{text} as {column_type}");
        }
        assert!(convert("timestamp", Strictness::Given, "2024-01-01").is_some());
        assert!(convert("timestamp", Strictness::Exact, "2024-01-01").is_none());
    }

    #[test]
    fn lists_come_from_json_arrays() {
        let list = convert("list(text)", Strictness::Given, r#"["a",null,"b"]"#).expect("a list");
        assert_eq!(list.as_list::<i32>().value(0).len(), 3);
        assert!(convert("list(text)", Strictness::Given, "a;b").is_none());
    }

    #[test]
    fn misfits_are_described() {
        let shown = describe_misfit("amount", Cell::Plain("12,5"), &ColumnType::Decimal(10, 2));
        assert_eq!(shown, "column amount: \"12,5\" is not a decimal(10,2)");
    }
}
