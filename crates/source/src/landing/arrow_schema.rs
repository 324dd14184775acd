//! How a column type is spelled in Arrow, and with it in Parquet.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use thalweg_project::ColumnType;

use crate::{Column, FILE_COLUMN, RECORD_COLUMN};

/// The Arrow type of a column. Timestamps carry no zone: they are UTC.
pub fn arrow_type(column_type: &ColumnType) -> DataType {
    match column_type {
        ColumnType::Boolean => DataType::Boolean,
        ColumnType::SmallInt => DataType::Int16,
        ColumnType::Integer => DataType::Int32,
        ColumnType::BigInt => DataType::Int64,
        ColumnType::Decimal(precision, scale) => DataType::Decimal128(*precision, i8::try_from(*scale).unwrap_or(38)),
        ColumnType::Real => DataType::Float32,
        ColumnType::Double => DataType::Float64,
        ColumnType::Date => DataType::Date32,
        ColumnType::Time => DataType::Time64(TimeUnit::Microsecond),
        ColumnType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        ColumnType::Text | ColumnType::Json => DataType::Utf8,
        ColumnType::Blob => DataType::Binary,
        ColumnType::List(item) => DataType::List(Arc::new(Field::new("item", arrow_type(item), true))),
    }
}

/// The schema of the batches of a part: its columns, then [`FILE_COLUMN`] and [`RECORD_COLUMN`].
pub fn arrow_schema(columns: &[Column]) -> SchemaRef {
    let mut fields: Vec<Field> =
        columns.iter().map(|column| Field::new(&column.name, arrow_type(&column.column_type), true)).collect();
    fields.push(Field::new(FILE_COLUMN, DataType::Int32, false));
    fields.push(Field::new(RECORD_COLUMN, DataType::Int64, false));
    Arc::new(Schema::new(fields))
}
