//! Values of any Arrow type as JSON text.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::{can_cast_types, cast};
use arrow::datatypes::{DataType, Float16Type, Float32Type, Float64Type, Int64Type};
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::exact::unpacked;

/// A value as JSON; `None` for NULL. Numbers keep their digits, dates and the like are strings.
pub(super) fn json_text(array: &ArrayRef, row: usize) -> Option<String> {
    if array.is_null(row) {
        return None;
    }
    let mut text = String::new();
    write(array, row, &mut text);
    Some(text)
}

/// A whole record as a JSON object.
pub(super) fn json_record(batch: &RecordBatch, row: usize) -> String {
    let mut text = String::from("{");
    for (place, (field, array)) in batch.schema().fields().iter().zip(batch.columns()).enumerate() {
        if place > 0 {
            text.push(',');
        }
        write_text(field.name(), &mut text);
        text.push(':');
        write(array, row, &mut text);
    }
    text.push('}');
    text
}

fn write(array: &ArrayRef, row: usize, text: &mut String) {
    if array.is_null(row) || *array.data_type() == DataType::Null {
        text.push_str("null");
        return;
    }
    match array.data_type() {
        DataType::List(_) => write_items(&array.as_list::<i32>().value(row), text),
        DataType::LargeList(_) => write_items(&array.as_list::<i64>().value(row), text),
        DataType::FixedSizeList(..) => write_items(&array.as_fixed_size_list().value(row), text),
        DataType::Struct(fields) => {
            let array = array.as_struct();
            text.push('{');
            for (place, (field, column)) in fields.iter().zip(array.columns()).enumerate() {
                if place > 0 {
                    text.push(',');
                }
                write_text(field.name(), text);
                text.push(':');
                write(column, row, text);
            }
            text.push('}');
        }
        DataType::Map(..) => {
            let entries = array.as_map().value(row);
            text.push('{');
            for entry in 0..entries.len() {
                if entry > 0 {
                    text.push(',');
                }
                write_text(&shown(entries.column(0), entry), text);
                text.push(':');
                write(entries.column(1), entry, text);
            }
            text.push('}');
        }
        DataType::ListView(_) => write_items(&array.as_list_view::<i32>().value(row), text),
        DataType::LargeListView(_) => write_items(&array.as_list_view::<i64>().value(row), text),
        DataType::Dictionary(..) | DataType::RunEndEncoded(..) => match unpacked(&array.slice(row, 1)) {
            Ok(value) => write(&value, 0, text),
            Err(_) => write_text(&shown(array, row), text),
        },
        DataType::Float16 => write_float(array.as_primitive::<Float16Type>().value(row).to_f64(), array, row, text),
        DataType::Float32 => write_float(f64::from(array.as_primitive::<Float32Type>().value(row)), array, row, text),
        DataType::Float64 => write_float(array.as_primitive::<Float64Type>().value(row), array, row, text),
        DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32
        | DataType::UInt64
        | DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => text.push_str(&shown(array, row)),
        _ => write_text(&shown(array, row), text),
    }
}

/// A value in words. Dates and times beyond the calendar are shown as the number that they are.
fn shown(array: &ArrayRef, row: usize) -> String {
    let formatter = ArrayFormatter::try_new(array.as_ref(), &FormatOptions::new().with_display_error(false));
    if let Ok(shown) = formatter.and_then(|formatter| formatter.value(row).try_to_string()) {
        return shown;
    }
    let value = array.slice(row, 1);
    let whole = if can_cast_types(value.data_type(), &DataType::Int64) { DataType::Int64 } else { DataType::Int32 };
    let value = cast(&value, &whole).and_then(|value| cast(&value, &DataType::Int64));
    value.map_or_else(|_| String::new(), |value| value.as_primitive::<Int64Type>().value(0).to_string())
}

/// JSON has no word for infinity and the like: they are strings.
fn write_float(value: f64, array: &ArrayRef, row: usize, text: &mut String) {
    let shown = shown(array, row);
    if value.is_finite() { text.push_str(&shown) } else { write_text(&shown, text) }
}

fn write_items(items: &ArrayRef, text: &mut String) {
    text.push('[');
    for item in 0..items.len() {
        if item > 0 {
            text.push(',');
        }
        write(items, item, text);
    }
    text.push(']');
}

fn write_text(value: &str, text: &mut String) {
    text.push_str(&serde_json::to_string(value).unwrap_or_default());
}
