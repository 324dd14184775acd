//! Rows of the warehouse as JSON, exact: numbers keep every digit, times are ISO texts, lists stay lists.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, MapArray, StructArray, cast::as_boolean_array};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::Value;
use thalweg_warehouse::Rows;

/// One object a line.
pub fn lines(rows: &Rows) -> Result<String, ArrowError> {
    let names: Vec<_> =
        rows.schema.fields().iter().map(|field| Value::from(field.name().as_str()).to_string()).collect();
    let mut text = String::new();
    for batch in &rows.batches {
        for row in 0..batch.num_rows() {
            text.push('{');
            for (index, column) in batch.columns().iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                text.push_str(names.get(index).map_or("\"\"", String::as_str));
                text.push(':');
                write(&mut text, column, row)?;
            }
            text.push_str("}\n");
        }
    }
    Ok(text)
}

fn write(text: &mut String, array: &ArrayRef, row: usize) -> Result<(), ArrowError> {
    if array.is_null(row) {
        text.push_str("null");
        return Ok(());
    }
    match array.data_type() {
        DataType::Null => text.push_str("null"),
        DataType::Boolean => {
            let values: &BooleanArray = as_boolean_array(array);
            text.push_str(if values.value(row) { "true" } else { "false" });
        }
        data_type if data_type.is_integer() || is_decimal(data_type) => text.push_str(&display(array, row)?),
        data_type if data_type.is_floating() => {
            let shown = display(array, row)?;
            // JSON has no infinities and no NaN.
            let finite = shown.parse::<f64>().is_ok_and(f64::is_finite);
            text.push_str(&if finite { shown } else { Value::from(shown).to_string() });
        }
        DataType::List(_) => list(text, &array.as_list::<i32>().value(row))?,
        DataType::LargeList(_) => list(text, &array.as_list::<i64>().value(row))?,
        DataType::FixedSizeList(..) => list(text, &array.as_fixed_size_list().value(row))?,
        DataType::Struct(_) => structure(text, array.as_struct(), row)?,
        DataType::Map(..) => map(text, array.as_map(), row)?,
        _ => text.push_str(&Value::from(display(array, row)?).to_string()),
    }
    Ok(())
}

fn is_decimal(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..)
    )
}

fn display(array: &ArrayRef, row: usize) -> Result<String, ArrowError> {
    let options = FormatOptions::default().with_display_error(false);
    Ok(ArrayFormatter::try_new(array.as_ref(), &options)?.value(row).to_string())
}

fn list(text: &mut String, values: &ArrayRef) -> Result<(), ArrowError> {
    text.push('[');
    for index in 0..values.len() {
        if index > 0 {
            text.push(',');
        }
        write(text, values, index)?;
    }
    text.push(']');
    Ok(())
}

fn structure(text: &mut String, values: &StructArray, row: usize) -> Result<(), ArrowError> {
    text.push('{');
    for (index, (name, column)) in values.column_names().into_iter().zip(values.columns()).enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(&Value::from(name).to_string());
        text.push(':');
        write(text, column, row)?;
    }
    text.push('}');
    Ok(())
}

/// A map as a list of pairs, because its keys need not be texts.
fn map(text: &mut String, values: &MapArray, row: usize) -> Result<(), ArrowError> {
    let entries = values.value(row);
    text.push('[');
    for index in 0..entries.len() {
        if index > 0 {
            text.push(',');
        }
        structure(text, &entries, index)?;
    }
    text.push(']');
    Ok(())
}
