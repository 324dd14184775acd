//! Answers in binary form become Arrow batches.

use std::sync::Arc;

use arrow::datatypes::{Field as ArrowField, Schema};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use thalweg_postgres::{Answer, AnsweredColumn, Decoder, Field, RowCutter, decode, number};

use crate::contract::{Rows, WarehouseError, WarehouseErrorKind};

/// Digits of the widest decimal.
const DIGITS: u8 = 38;

/// Makes batches of one answer.
pub(super) struct Layout {
    names: Vec<String>,
    decoders: Vec<Decoder>,
    /// Columns that are a `numeric` without precision.
    any_numbers: Vec<usize>,
}

impl Layout {
    /// The layout of an answer; `Err` tells which columns have to be cast to text at the server first.
    pub(super) fn new(columns: &[AnsweredColumn]) -> Result<Self, Vec<usize>> {
        let decoders: Vec<_> = columns.iter().map(|column| column.value_type.decoder()).collect();
        let unreadable = |(index, decoder): (usize, &Option<Decoder>)| decoder.is_none().then_some(index);
        let unreadable: Vec<usize> = decoders.iter().enumerate().filter_map(unreadable).collect();
        if !unreadable.is_empty() {
            return Err(unreadable);
        }
        let numbers = columns.iter().enumerate().filter(|(_, column)| column.value_type.is_any_number());
        Ok(Self {
            names: columns.iter().map(|column| column.name.clone()).collect(),
            decoders: decoders.into_iter().flatten().collect(),
            any_numbers: numbers.map(|(index, _)| index).collect(),
        })
    }

    /// The same under other names: those of the statement before columns were cast.
    pub(super) fn named(mut self, columns: &[AnsweredColumn]) -> Self {
        self.names = columns.iter().map(|column| column.name.clone()).collect();
        self
    }

    /// All rows of an answer that is there as a whole.
    pub(super) fn rows(mut self, answer: &Answer) -> Result<Rows, WarehouseError> {
        for &column in &self.any_numbers {
            if let Some(scale) = common_scale(answer, column) {
                self.decoders[column] = Decoder::Decimal { precision: DIGITS, scale };
            }
        }
        let mut batches = Vec::with_capacity(answer.chunks.len());
        for chunk in &answer.chunks {
            batches.push(self.batch(chunk.rows, &chunk.bytes, |column| &chunk.fields[column])?);
        }
        let schema = match batches.first() {
            Some(batch) => batch.schema(),
            None => self.batch(0, &[], |_| &[])?.schema(),
        };
        Ok(Rows { schema, batches })
    }

    /// The rows that were cut so far.
    pub(super) fn cut(&self, cutter: &RowCutter) -> Result<RecordBatch, WarehouseError> {
        self.batch(cutter.rows(), cutter.bytes(), |column| cutter.fields(column))
    }

    /// How many columns.
    pub(super) fn width(&self) -> usize {
        self.names.len()
    }

    fn batch<'f>(
        &self,
        rows: usize,
        bytes: &[u8],
        fields: impl Fn(usize) -> &'f [Field],
    ) -> Result<RecordBatch, WarehouseError> {
        let wrong = |message: String| WarehouseError::new(WarehouseErrorKind::Statement, message);
        let (mut arrays, mut described) = (Vec::new(), Vec::new());
        for (column, (name, decoder)) in self.names.iter().zip(&self.decoders).enumerate() {
            let mut unfit = Vec::new();
            let array = decode(decoder, bytes, fields(column), &mut unfit)
                .map_err(|malformed| wrong(format!("column `{name}` cannot be read: {}", malformed.0)))?;
            if let Some(first) = unfit.first() {
                return Err(wrong(format!("column `{name}` holds {}, which {}", first.raw, first.reason)));
            }
            described.push(ArrowField::new(name, array.data_type().clone(), true));
            arrays.push(array);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::new(Schema::new(described)), arrays, &options)
            .map_err(|error| wrong(error.to_string()))
    }
}

/// Digits behind the point with which one decimal holds all values of a column; `None` where none does.
fn common_scale(answer: &Answer, column: usize) -> Option<u8> {
    let values = || {
        answer.chunks.iter().flat_map(|chunk| chunk.fields[column].iter().filter_map(|field| field.of(&chunk.bytes)))
    };
    let scale = values().map(|bytes| number::scale(bytes).unwrap_or(u16::MAX)).max().unwrap_or(0);
    let scale = u8::try_from(scale).ok().filter(|scale| *scale <= DIGITS)?;
    values().all(|bytes| number::decimal(bytes, DIGITS, scale).is_ok()).then_some(scale)
}
