//! Rows of the ledger to Arrow and back.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, BooleanBuilder, Float64Array, Float64Builder, Int64Array, Int64Builder, StringArray,
    StringBuilder, TimestampMicrosecondArray, TimestampMicrosecondBuilder,
};
use arrow::datatypes::{Field, Schema};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use thalweg_project::ColumnType;

use super::LEDGER_SCHEMA;
use super::rows::Microseconds;
use crate::contract::{Rows, WarehouseError, WarehouseErrorKind};

/// A column of a table of the ledger.
#[derive(Debug, Clone)]
pub struct LedgerColumn {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub column_type: ColumnType,
    /// Whether it may be NULL.
    pub nullable: bool,
}

/// A row of a table of the ledger. The project is not part of it: it comes first in every table.
pub trait Record: Sized {
    /// The table.
    const TABLE: &'static str;

    /// Its columns after `project`, in order.
    fn columns() -> Vec<LedgerColumn>;

    /// Pushes one value to each column.
    fn write(&self, columns: &mut [Builder]);

    /// Reads one row.
    fn read(columns: &mut Columns<'_>) -> Result<Self, Wrong>;
}

/// A value that a column of the ledger can hold.
pub trait Cell: Sized {
    /// Type of the column.
    const TYPE: ColumnType;
    /// Whether it may be NULL.
    const NULLABLE: bool = false;

    /// Pushes itself. The builder is the one made for [`Cell::TYPE`].
    fn push(&self, builder: &mut Builder);

    /// Reads itself from a row of a column.
    fn pull(column: &dyn Array, row: usize) -> Option<Self>;
}

/// A column being written.
pub enum Builder {
    /// Truth values.
    Boolean(BooleanBuilder),
    /// Integers.
    BigInt(Int64Builder),
    /// Floating-point numbers.
    Double(Float64Builder),
    /// Texts.
    Text(StringBuilder),
    /// Microseconds since 1970 UTC.
    Timestamp(TimestampMicrosecondBuilder),
}

impl Builder {
    /// The ledger has columns of these five types only.
    fn new(column_type: &ColumnType) -> Self {
        match column_type {
            ColumnType::Boolean => Self::Boolean(BooleanBuilder::new()),
            ColumnType::BigInt => Self::BigInt(Int64Builder::new()),
            ColumnType::Double => Self::Double(Float64Builder::new()),
            ColumnType::Timestamp => Self::Timestamp(TimestampMicrosecondBuilder::new()),
            _ => Self::Text(StringBuilder::new()),
        }
    }

    fn finish(self) -> ArrayRef {
        match self {
            Self::Boolean(mut builder) => Arc::new(builder.finish()),
            Self::BigInt(mut builder) => Arc::new(builder.finish()),
            Self::Double(mut builder) => Arc::new(builder.finish()),
            Self::Text(mut builder) => Arc::new(builder.finish()),
            Self::Timestamp(mut builder) => Arc::new(builder.finish()),
        }
    }
}

/// The row being read, column by column.
pub struct Columns<'a> {
    batch: &'a RecordBatch,
    row: usize,
    next: usize,
}

/// Position of the column whose value is not what the ledger writes.
#[derive(Debug)]
pub struct Wrong(usize);

impl Columns<'_> {
    /// The value of the next column.
    pub fn take<C: Cell>(&mut self) -> Result<C, Wrong> {
        let index = self.next;
        self.next += 1;
        if index >= self.batch.num_columns() {
            return Err(Wrong(index));
        }
        C::pull(self.batch.column(index), self.row).ok_or(Wrong(index))
    }
}

/// One batch of all rows, the project first.
pub(super) fn batch<R: Record>(project: &str, rows: &[R]) -> Result<RecordBatch, ArrowError> {
    let columns = R::columns();
    let mut builders: Vec<Builder> = columns.iter().map(|column| Builder::new(&column.column_type)).collect();
    for row in rows {
        row.write(&mut builders);
    }
    let mut arrays: Vec<ArrayRef> =
        vec![Arc::new(StringArray::from_iter_values(std::iter::repeat_n(project, rows.len())))];
    arrays.extend(builders.into_iter().map(Builder::finish));
    let names = std::iter::once("project").chain(columns.iter().map(|column| column.name));
    let fields: Vec<Field> =
        names.zip(&arrays).map(|(name, array)| Field::new(name, array.data_type().clone(), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
}

/// All rows of an answer whose first columns are those of the record.
pub(super) fn records<R: Record>(rows: &Rows) -> Result<Vec<R>, WarehouseError> {
    let mut records = Vec::with_capacity(rows.len());
    for batch in &rows.batches {
        for row in 0..batch.num_rows() {
            let mut columns = Columns { batch, row, next: 0 };
            records.push(R::read(&mut columns).map_err(|Wrong(index)| {
                let column = R::columns().get(index).map_or("?", |column| column.name);
                WarehouseError::new(
                    WarehouseErrorKind::Incompatible,
                    format!(
                        "{LEDGER_SCHEMA}.{} holds a value in column `{column}` that this program does not understand",
                        R::TABLE
                    ),
                )
            })?);
        }
    }
    Ok(records)
}

fn value<A: Array + 'static, T>(column: &dyn Array, row: usize, get: impl FnOnce(&A) -> T) -> Option<T> {
    let array = column.as_any().downcast_ref::<A>()?;
    array.is_valid(row).then(|| get(array))
}

macro_rules! cell {
    ($type:ty, $column_type:expr, $builder:ident, $array:ty, |$own:ident| $to:expr, |$theirs:ident| $from:expr) => {
        impl Cell for $type {
            const TYPE: ColumnType = $column_type;

            fn push(&self, builder: &mut Builder) {
                let $own = self;
                if let Builder::$builder(builder) = builder {
                    builder.append_value($to);
                }
            }

            fn pull(column: &dyn Array, row: usize) -> Option<Self> {
                value::<$array, _>(column, row, |array| {
                    let $theirs = array.value(row);
                    $from
                })?
            }
        }
    };
}

cell!(bool, ColumnType::Boolean, Boolean, BooleanArray, |own| *own, |theirs| Some(theirs));
cell!(i64, ColumnType::BigInt, BigInt, Int64Array, |own| *own, |theirs| Some(theirs));
// Counts: none comes near 2^63.
cell!(u64, ColumnType::BigInt, BigInt, Int64Array, |own| i64::try_from(*own).unwrap_or(i64::MAX), |theirs| {
    u64::try_from(theirs).ok()
});
cell!(f64, ColumnType::Double, Double, Float64Array, |own| *own, |theirs| Some(theirs));
cell!(String, ColumnType::Text, Text, StringArray, |own| own, |theirs| Some(theirs.to_owned()));
cell!(Microseconds, ColumnType::Timestamp, Timestamp, TimestampMicrosecondArray, |own| own.0, |theirs| Some(
    Microseconds(theirs)
));
cell!(serde_json::Value, ColumnType::Text, Text, StringArray, |own| own.to_string(), |theirs| serde_json::from_str(
    theirs
)
.ok());

impl<C: Cell> Cell for Option<C> {
    const TYPE: ColumnType = C::TYPE;
    const NULLABLE: bool = true;

    fn push(&self, builder: &mut Builder) {
        match (self, builder) {
            (Some(value), builder) => value.push(builder),
            (None, Builder::Boolean(builder)) => builder.append_null(),
            (None, Builder::BigInt(builder)) => builder.append_null(),
            (None, Builder::Double(builder)) => builder.append_null(),
            (None, Builder::Text(builder)) => builder.append_null(),
            (None, Builder::Timestamp(builder)) => builder.append_null(),
        }
    }

    fn pull(column: &dyn Array, row: usize) -> Option<Self> {
        if column.is_null(row) { Some(None) } else { C::pull(column, row).map(Some) }
    }
}
