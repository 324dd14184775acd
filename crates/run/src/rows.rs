//! Rows of the warehouse for programs, exact: numbers keep every digit, times are ISO texts, lists stay lists.

use std::borrow::Cow;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, MapArray, StructArray, cast::as_boolean_array};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::Value;
use thalweg_warehouse::Rows;

use crate::text::{in_words, options};

/// As JSON: one object a line.
pub fn json_lines(rows: &Rows) -> Result<String, ArrowError> {
    Ok(json_objects(rows)?.into_iter().fold(String::new(), |text, object| text + &object + "\n"))
}

/// As JSON: one object for each row.
pub fn json_objects(rows: &Rows) -> Result<Vec<String>, ArrowError> {
    let names: Vec<_> =
        rows.schema.fields().iter().map(|field| Value::from(field.name().as_str()).to_string()).collect();
    let mut objects = Vec::with_capacity(rows.len());
    for batch in &rows.batches {
        for row in 0..batch.num_rows() {
            let mut text = String::from("{");
            for (index, column) in batch.columns().iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                text.push_str(names.get(index).map_or("\"\"", String::as_str));
                text.push(':');
                write(&mut text, column, row)?;
            }
            text.push('}');
            objects.push(text);
        }
    }
    Ok(objects)
}

/// As CSV (RFC 4180) with a header. NULL is an empty field, an empty text is `""`; lists and structures are written as JSON.
pub fn csv(rows: &Rows) -> Result<String, ArrowError> {
    let mut text = String::new();
    for (index, field) in rows.schema.fields().iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(&quoted(field.name()));
    }
    text.push('\n');
    let options = options();
    for batch in &rows.batches {
        let formatters = batch.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options));
        let formatters = formatters.collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            for (index, (column, formatter)) in batch.columns().iter().zip(&formatters).enumerate() {
                if index > 0 {
                    text.push(',');
                }
                if column.is_null(row) {
                    continue;
                }
                let nested = column.data_type().is_nested();
                let value = if nested { json(column, row)? } else { in_words(formatter, column, row)? };
                text.push_str(&quoted(&value));
            }
            text.push('\n');
        }
    }
    Ok(text)
}

/// A field of a CSV file, in quotes where it needs them.
fn quoted(value: &str) -> Cow<'_, str> {
    let needs = value.is_empty()
        || value.contains(['"', ',', '\n', '\r'])
        || value.starts_with(char::is_whitespace)
        || value.ends_with(char::is_whitespace);
    if needs { Cow::Owned(format!("\"{}\"", value.replace('"', "\"\""))) } else { Cow::Borrowed(value) }
}

/// One value as JSON.
pub fn json(array: &ArrayRef, row: usize) -> Result<String, ArrowError> {
    let mut text = String::new();
    write(&mut text, array, row)?;
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
    in_words(&ArrayFormatter::try_new(array.as_ref(), &options)?, array, row)
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int32Array, ListArray, RecordBatch, StringArray, TimestampMicrosecondArray};
    use arrow::datatypes::{Field, Int32Type};

    use super::*;

    fn rows() -> Rows {
        let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1), None]), None]);
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("x, \"y\""), Some("")]));
        let inner = StructArray::from(vec![(Arc::new(Field::new("t", DataType::Utf8, true)), Arc::clone(&texts))]);
        let columns: [(&str, ArrayRef); 5] = [
            ("a", Arc::new(Int32Array::from(vec![None, Some(7)]))),
            ("b c", texts),
            ("at", Arc::new(TimestampMicrosecondArray::from(vec![1_772_373_600_500_000, 0]))),
            ("list", Arc::new(list)),
            ("inner", Arc::new(inner)),
        ];
        let batch =
            RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).expect("rows");
        Rows { schema: batch.schema(), batches: vec![batch] }
    }

    #[test]
    fn csv_tells_null_from_empty_and_writes_nested_values_as_json() {
        let expected = [
            "a,b c,at,list,inner",
            r#","x, ""y""",2026-03-01 14:00:00.500,"[1,null]","{""t"":""x, \""y\""""}""#,
            r#"7,"",1970-01-01 00:00:00,,"{""t"":""""}""#,
            "",
        ];
        assert_eq!(csv(&rows()).expect("a text"), expected.join("\n"));
    }

    #[test]
    fn json_is_json() {
        let objects = json_objects(&rows()).expect("objects");
        let parsed: Value = serde_json::from_str(&objects[0]).expect("JSON");
        let expected = serde_json::json!({
            "a": null, "b c": "x, \"y\"", "at": "2026-03-01T14:00:00.500", "list": [1, null], "inner": { "t": "x, \"y\"" },
        });
        assert_eq!(parsed, expected);
    }
}
