//! Values of an Arrow array as those of a column, none of them changed.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, StringArray, new_null_array};
use arrow::compute::{can_cast_types, cast, nullif};
use arrow::datatypes::{
    DataType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use thalweg_project::ColumnType;

use super::json_text::json_text;
use crate::landing::{arrow_type, widest};
use crate::values::{Cell, ColumnConverter, Strictness};

/// The array in the column's type; rows whose value would not survive are NULL in it, and named. `own` is the column that the array itself
/// would be.
pub(super) fn exactly(
    array: &ArrayRef,
    own: Option<&ColumnType>,
    target: &ColumnType,
    strictness: Strictness,
) -> Result<(ArrayRef, Vec<usize>), ArrowError> {
    let wanted = arrow_type(target);
    let own = match own {
        Some(own) if array.logical_null_count() < array.len() => own,
        _ => return Ok((new_null_array(&wanted, array.len()), Vec::new())),
    };
    let given = strictness == Strictness::Given;
    let converter = ColumnConverter { column_type: target, strictness };
    match (own, target) {
        (ColumnType::Text, ColumnType::Text) | (ColumnType::Blob, ColumnType::Blob) => {}
        (ColumnType::Text, _) => {
            // What a file calls a string is the text of a JSON value only where somebody says so.
            let string = *target == ColumnType::Json && !given;
            let cell = |text| if string { Cell::String(text) } else { Cell::Plain(text) };
            return Ok(converted(&converter, texts(array)?.iter().map(|text| text.map_or(Cell::Null, cell)), array));
        }
        (ColumnType::Blob, _) if given || *target == ColumnType::Text => {
            let texts = texts(array)?;
            let cells = texts.iter().map(|text| text.map_or(Cell::Null, Cell::Plain));
            let (converted, mut misfits) = converted(&converter, cells, array);
            misfits.extend((0..array.len()).filter(|row| texts.is_null(*row) && array.is_valid(*row)));
            return Ok((converted, misfits));
        }
        (ColumnType::Json, _) | (_, ColumnType::Json | ColumnType::List(_)) => {
            let texts: Vec<Option<String>> = (0..array.len()).map(|row| json_text(array, row)).collect();
            let cells = texts.iter().map(|text| text.as_deref().map_or(Cell::Null, Cell::Nested));
            return Ok(converted(&converter, cells, array));
        }
        _ if !means_the_same(own, target) => {
            let misfits = (0..array.len()).filter(|row| array.is_valid(*row)).collect();
            return Ok((new_null_array(&wanted, array.len()), misfits));
        }
        _ => {}
    }
    let array = &without_zone(array);
    if !can_cast_types(array.data_type(), &wanted) {
        let misfits = (0..array.len()).filter(|row| array.is_valid(*row)).collect();
        return Ok((new_null_array(&wanted, array.len()), misfits));
    }
    let moments = matches!(own, ColumnType::Date | ColumnType::Timestamp | ColumnType::Time);
    let converted = if *target == ColumnType::Text && moments { as_in_sql(array)? } else { cast(array, &wanted)? };
    // Where the type holds everything by its nature only what it has no place for is missing; zones are only another spelling.
    let is_wider = widest(own, target) == *target;
    let differs: BooleanArray = if is_wider && !(is_nanoseconds(array.data_type()) && *target != ColumnType::Text) {
        (0..array.len()).map(|row| Some(converted.is_null(row) && array.is_valid(row))).collect()
    } else {
        let back = cast(&converted, array.data_type())?;
        arrow::compute::kernels::cmp::distinct(&back, array)?
    };
    if differs.true_count() == 0 {
        return Ok((converted, Vec::new()));
    }
    let misfits = (0..array.len()).filter(|row| differs.value(*row)).collect();
    Ok((nullif(&converted, &differs)?, misfits))
}

/// Whether values of one type can be values of the other without being given a meaning that they do not have: 20240131 is no date.
fn means_the_same(own: &ColumnType, target: &ColumnType) -> bool {
    #[derive(PartialEq)]
    enum Family {
        Number,
        Moment,
        Time,
        Other,
    }
    let family = |column_type: &ColumnType| match column_type {
        ColumnType::Boolean
        | ColumnType::SmallInt
        | ColumnType::Integer
        | ColumnType::BigInt
        | ColumnType::Decimal(..)
        | ColumnType::Real
        | ColumnType::Double => Family::Number,
        ColumnType::Date | ColumnType::Timestamp => Family::Moment,
        ColumnType::Time => Family::Time,
        ColumnType::Text | ColumnType::Json | ColumnType::Blob | ColumnType::List(_) => Family::Other,
    };
    *target == ColumnType::Text || own == target || (family(own) == family(target) && family(own) != Family::Other)
}

fn converted<'c>(
    converter: &ColumnConverter<'_>,
    cells: impl Iterator<Item = Cell<'c>>,
    array: &ArrayRef,
) -> (ArrayRef, Vec<usize>) {
    let mut misfits = Vec::new();
    let converted = converter.convert(cells, array.len(), |row, _| {
        misfits.push(row);
        true
    });
    (converted.unwrap_or_else(|| new_null_array(&arrow_type(converter.column_type), array.len())), misfits)
}

/// Strings, and bytes that are UTF-8; NULL for other bytes.
fn texts(array: &ArrayRef) -> Result<StringArray, ArrowError> {
    let texts = match array.data_type() {
        DataType::FixedSizeBinary(_) => cast(&cast(array, &DataType::Binary)?, &DataType::Utf8)?,
        _ => cast(array, &DataType::Utf8)?,
    };
    Ok(texts.as_string::<i32>().clone())
}

/// The values of an array that keeps them in a dictionary or by the length of their runs.
pub(super) fn unpacked(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match array.data_type() {
        DataType::Dictionary(_, values) => cast(array, values),
        DataType::RunEndEncoded(_, values) => cast(array, values.data_type()),
        _ => Ok(Arc::clone(array)),
    }
}

/// Whether values of the type are counted in nanoseconds, which columns do not keep.
pub(super) fn is_nanoseconds(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(TimeUnit::Nanosecond, _) | DataType::Time64(TimeUnit::Nanosecond))
}

/// Dates and times as a warehouse writes them: a blank instead of a T, and no zeros at the end of a fraction. NULL for those beyond the calendar.
fn as_in_sql(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let options = FormatOptions::new().with_display_error(false);
    let formatter = ArrayFormatter::try_new(array.as_ref(), &options)?;
    let written = |row| {
        let text = formatter.value(row).try_to_string().ok()?.replace('T', " ");
        Some(if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text })
    };
    let texts = (0..array.len()).map(|row| if array.is_valid(row) { written(row) } else { None });
    Ok(Arc::new(texts.collect::<StringArray>()))
}

/// Timestamps with a zone are UTC inside. The zone is only how they are shown, and a cast would go by it.
fn without_zone(array: &ArrayRef) -> ArrayRef {
    let DataType::Timestamp(unit, Some(_)) = array.data_type() else { return Arc::clone(array) };
    match unit {
        TimeUnit::Second => {
            Arc::new(array.as_primitive::<TimestampSecondType>().clone().with_timezone_opt(None::<&str>))
        }
        TimeUnit::Millisecond => {
            Arc::new(array.as_primitive::<TimestampMillisecondType>().clone().with_timezone_opt(None::<&str>))
        }
        TimeUnit::Microsecond => {
            Arc::new(array.as_primitive::<TimestampMicrosecondType>().clone().with_timezone_opt(None::<&str>))
        }
        TimeUnit::Nanosecond => {
            Arc::new(array.as_primitive::<TimestampNanosecondType>().clone().with_timezone_opt(None::<&str>))
        }
    }
}
