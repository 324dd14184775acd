//! Which column a Parquet column becomes.

use arrow::datatypes::{DataType, IntervalUnit};
use thalweg_project::ColumnType;

/// The column type that holds every value of an Arrow type; `None` for a column that has no values by its nature.
pub(super) fn column_type(data_type: &DataType) -> Option<ColumnType> {
    Some(match data_type {
        DataType::Null => return None,
        DataType::Boolean => ColumnType::Boolean,
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => ColumnType::SmallInt,
        DataType::Int32 | DataType::UInt16 => ColumnType::Integer,
        DataType::Int64 | DataType::UInt32 => ColumnType::BigInt,
        DataType::UInt64 => ColumnType::Decimal(20, 0),
        DataType::Float16 | DataType::Float32 => ColumnType::Real,
        DataType::Float64 => ColumnType::Double,
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => match u8::try_from(*scale) {
            Ok(scale) if *precision <= 38 && scale <= *precision => ColumnType::Decimal(*precision, scale),
            _ => ColumnType::Text,
        },
        DataType::Date32 => ColumnType::Date,
        DataType::Date64 | DataType::Timestamp(..) => ColumnType::Timestamp,
        DataType::Time32(_) | DataType::Time64(_) => ColumnType::Time,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            ColumnType::Blob
        }
        DataType::List(_)
        | DataType::LargeList(_)
        | DataType::ListView(_)
        | DataType::LargeListView(_)
        | DataType::FixedSizeList(..)
        | DataType::Struct(_)
        | DataType::Map(..)
        | DataType::Union(..) => ColumnType::Json,
        DataType::Dictionary(_, values) => return column_type(values),
        DataType::RunEndEncoded(_, values) => return column_type(values.data_type()),
        DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View
        | DataType::Duration(_)
        | DataType::Interval(IntervalUnit::YearMonth | IntervalUnit::DayTime | IntervalUnit::MonthDayNano) => {
            ColumnType::Text
        }
    })
}
