//! Answers as texts, for people.

use arrow::array::{Array, ArrayRef, AsArray, Date32Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use thalweg_warehouse::{Rows, WarehouseError, WarehouseErrorKind};

use crate::outcome::TextTable;
use crate::rows::json;

/// How values are written: ISO dates and times, NULL told apart by `None`.
pub fn options() -> FormatOptions<'static> {
    FormatOptions::new()
        .with_display_error(false)
        .with_null("NULL")
        .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"))
        .with_datetime_format(Some("%Y-%m-%d %H:%M:%S%.f"))
}

/// A value that is not NULL in words, by a formatter of its array.
pub fn in_words(formatter: &ArrayFormatter<'_>, array: &ArrayRef, row: usize) -> Result<String, ArrowError> {
    formatter.value(row).try_to_string().or_else(|error| match array.data_type().is_nested() {
        true => json(array, row),
        false => beyond_the_calendar(array, row).ok_or(error),
    })
}

/// Dates and times that the calendar of the program does not reach: the infinite ones, years of six digits, and the last moment of a day.
fn beyond_the_calendar(array: &ArrayRef, row: usize) -> Option<String> {
    const DAY: i128 = 86_400_000_000;
    /// Days of 400 years, after which the calendar is the same again.
    const CYCLE: i128 = 146_097;
    let unit = |unit: &TimeUnit| match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    };
    let narrow = matches!(array.data_type(), DataType::Date32 | DataType::Time32(_));
    let value = array.slice(row, 1);
    let value = if narrow {
        cast(&value, &DataType::Int32).and_then(|value| cast(&value, &DataType::Int64))
    } else {
        cast(&value, &DataType::Int64)
    };
    let value = value.ok()?.as_primitive::<Int64Type>().value(0);
    let (least, most) = if narrow { (i64::from(i32::MIN), i64::from(i32::MAX)) } else { (i64::MIN, i64::MAX) };
    let is_time = matches!(array.data_type(), DataType::Time32(_) | DataType::Time64(_));
    if !is_time && value == most {
        return Some("infinity".to_owned());
    }
    // Engines differ in which of the two least values it is; neither is a date.
    if !is_time && (value == least || value == -most) {
        return Some("-infinity".to_owned());
    }
    let micros = match array.data_type() {
        DataType::Date32 => i128::from(value) * DAY,
        DataType::Date64 => i128::from(value) * 1_000,
        DataType::Timestamp(by, _) | DataType::Time64(by) | DataType::Time32(by) => {
            i128::from(value) * unit(by) / 1_000
        }
        _ => return None,
    };
    let clock = |micros: i128| {
        let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
        let clock = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
        if fraction == 0 { clock } else { format!("{clock}.{fraction:06}") }
    };
    if is_time {
        return Some(clock(micros));
    }
    let (days, rest) = (micros.div_euclid(DAY), micros.rem_euclid(DAY));
    let near = cast(&Date32Array::from(vec![i32::try_from(days.rem_euclid(CYCLE)).ok()?]), &DataType::Utf8).ok()?;
    let near = near.as_string::<i32>().value(0).to_owned();
    let (year, day) = near.split_once('-')?;
    let year = year.parse::<i128>().ok()? + 400 * days.div_euclid(CYCLE);
    let date = format!("{year:04}-{day}");
    Some(if matches!(array.data_type(), DataType::Timestamp(..)) { format!("{date} {}", clock(rest)) } else { date })
}

/// The first rows of an answer as texts; all of them without a limit.
pub fn text_table(rows: &Rows, limit: Option<usize>) -> Result<TextTable, WarehouseError> {
    let fields = rows.schema.fields();
    let mut table = TextTable {
        columns: fields.iter().map(|field| field.name().clone()).collect(),
        numeric: fields.iter().map(|field| field.data_type().is_numeric()).collect(),
        rows: Vec::new(),
    };
    let limit = limit.unwrap_or(usize::MAX);
    let format = options();
    for batch in &rows.batches {
        let formatters: Result<Vec<_>, ArrowError> =
            batch.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &format)).collect();
        let formatters = formatters.map_err(unreadable)?;
        for row in 0..batch.num_rows() {
            if table.rows.len() >= limit {
                return Ok(table);
            }
            let texts = formatters.iter().zip(batch.columns()).map(|(formatter, column)| {
                if column.is_null(row) { Ok(None) } else { in_words(formatter, column, row).map(Some) }
            });
            table.rows.push(texts.collect::<Result<_, _>>().map_err(unreadable)?);
        }
    }
    Ok(table)
}

/// The one integer an answer consists of; 0 when it is NULL or there is no row.
pub fn single_integer(rows: &Rows) -> Result<i64, WarehouseError> {
    let Some(batch) = rows.batches.iter().find(|batch| batch.num_rows() > 0) else { return Ok(0) };
    let column = batch.column(0);
    if column.is_null(0) {
        return Ok(0);
    }
    if *column.data_type() == DataType::Int64 {
        return Ok(column.as_primitive::<Int64Type>().value(0));
    }
    let format = options();
    let formatter = ArrayFormatter::try_new(column.as_ref(), &format).map_err(unreadable)?;
    let text = in_words(&formatter, column, 0).map_err(unreadable)?;
    text.parse().map_err(|_| {
        WarehouseError::new(
            WarehouseErrorKind::Statement,
            format!("expected one integer, the warehouse answered {text}"),
        )
    })
}

fn unreadable(error: ArrowError) -> WarehouseError {
    WarehouseError::new(WarehouseErrorKind::Statement, format!("the warehouse's answer cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ListArray, Time64MicrosecondArray, TimestampMicrosecondArray};
    use arrow::datatypes::Date32Type;

    use super::*;

    #[test]
    fn what_lies_beyond_the_calendar_has_words() {
        // As DuckDB writes them, but for the year 290,988 before Christ.
        let dates = [i32::MAX, -i32::MAX, 0, 96_465_292, 107_000_000, -107_000_000];
        let list = ListArray::from_iter_primitive::<Date32Type, _, _>([Some([Some(i32::MAX), None, Some(1)])]);
        let moments = TimestampMicrosecondArray::from(vec![i64::MAX, -i64::MAX, 9_223_372_036_854_775_806, 1_500_000]);
        let arrays: [ArrayRef; 4] = [
            Arc::new(Date32Array::from(dates.to_vec())),
            Arc::new(Time64MicrosecondArray::from(vec![86_400_000_000, 1_000_001])),
            Arc::new(moments),
            Arc::new(list),
        ];
        let words = arrays.iter().map(|array| {
            let format = options();
            let formatter = ArrayFormatter::try_new(array.as_ref(), &format).expect("a formatter");
            let words = (0..array.len()).map(|row| in_words(&formatter, array, row).expect("words"));
            words.collect::<Vec<_>>().join(", ")
        });
        let expected = [
            "infinity, -infinity, 1970-01-01, 266082-12-31, 294926-01-19, -290987-12-14",
            "24:00:00, 00:00:01.000001",
            "infinity, -infinity, 294247-01-10 04:00:54.775806, 1970-01-01 00:00:01.500",
            "[\"infinity\",null,\"1970-01-02\"]",
        ];
        assert_eq!(words.collect::<Vec<_>>(), expected);
    }
}
