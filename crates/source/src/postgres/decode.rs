//! Rows in binary form become Arrow batches, a column at a time.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{Field as ArrowField, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use thalweg_postgres::{Decoder, Field, Malformed, RowCutter, Unfit, decode};
use thalweg_project::ColumnType;

use super::column_types::{self, Reading};
use crate::database::{DecodedRows, Misfit, Read, SourceColumn};
use crate::landing::arrow_type;
use crate::values::{Cell, ColumnConverter, Strictness};

/// Why rows cannot be decoded at all: a fault, not a matter of values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Undecodable(pub(super) String);

impl From<Malformed> for Undecodable {
    fn from(malformed: Malformed) -> Self {
        Self(malformed.0.to_owned())
    }
}

/// Decodes the rows of one read.
pub(super) struct RowDecoder<'a> {
    columns: &'a [SourceColumn],
    readings: Vec<Reading>,
    schema: SchemaRef,
    cutter: RowCutter,
}

impl<'a> RowDecoder<'a> {
    pub(super) fn new(columns: &'a [SourceColumn]) -> Result<Self, Undecodable> {
        let plan = |column: &SourceColumn| {
            let plan = column_types::plan(&column.engine_type, &column.column_type);
            plan.map(|plan| plan.reading).ok_or_else(|| {
                let SourceColumn { name, engine_type, column_type, .. } = column;
                Undecodable(format!("column {name}: {engine_type} cannot be read as {column_type}"))
            })
        };
        let field = |column: &SourceColumn| ArrowField::new(&column.name, arrow_type(&column.column_type), true);
        Ok(Self {
            columns,
            readings: columns.iter().map(plan).collect::<Result<_, _>>()?,
            schema: Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>())),
            cutter: RowCutter::new(columns.len()),
        })
    }

    /// Takes the next bytes of the stream.
    pub(super) fn push(&mut self, message: &[u8]) -> Result<(), Undecodable> {
        Ok(self.cutter.push(message)?)
    }

    /// Whether there is enough for a batch.
    pub(super) fn is_full(&self) -> bool {
        self.cutter.rows() >= Read::ROWS || self.cutter.size() >= Read::BYTES
    }

    /// Whether the stream has ended as it must.
    pub(super) fn is_complete(&self) -> bool {
        self.cutter.is_complete()
    }

    /// The rows so far, at most [`Read::ROWS`] at a time when it is called as soon as [`Self::is_full`] says so; `None` without any.
    pub(super) fn take(&mut self) -> Result<Option<DecodedRows>, Undecodable> {
        let rows = self.cutter.rows();
        if rows == 0 {
            self.cutter.clear();
            return Ok(None);
        }
        let (mut arrays, mut misfits) = (Vec::with_capacity(self.columns.len()), Vec::new());
        for (index, (column, reading)) in self.columns.iter().zip(&self.readings).enumerate() {
            let mut unfit = Vec::new();
            let fields = self.cutter.fields(index);
            let array = read(reading, &column.column_type, self.cutter.bytes(), fields, &mut unfit)
                .map_err(|malformed| Undecodable(format!("column {}: {}", column.name, malformed.0)))?;
            arrays.push(array);
            misfits.extend(unfit.into_iter().map(|Unfit { row, raw, reason }| Misfit {
                row,
                column: index,
                raw,
                reason,
            }));
        }
        misfits.sort_by_key(|misfit| (misfit.row, misfit.column));
        let batch =
            RecordBatch::try_new(Arc::clone(&self.schema), arrays).map_err(|error| Undecodable(error.to_string()))?;
        self.cutter.clear();
        Ok(Some(DecodedRows { batch, misfits }))
    }
}

/// Reads one column.
fn read(
    reading: &Reading,
    column_type: &ColumnType,
    bytes: &[u8],
    fields: &[Field],
    unfit: &mut Vec<Unfit>,
) -> Result<ArrayRef, Malformed> {
    match reading {
        Reading::Decoded(decoder) => decode(decoder, bytes, fields, unfit),
        Reading::Converted => {
            let texts = decode(&Decoder::Text, bytes, fields, unfit)?;
            let texts = texts.as_string::<i32>();
            let cells = texts.iter().map(|text| text.map_or(Cell::Null, Cell::Plain));
            let converter = ColumnConverter { column_type, strictness: Strictness::Given };
            let converted = converter.convert(cells, texts.len(), |row, cell| {
                let raw = cell.text().unwrap_or_default().to_owned();
                unfit.push(Unfit { row, raw, reason: format!("is no {column_type}") });
                true
            });
            converted.ok_or(Malformed("a text could not be converted"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::Int32Type;
    use proptest::prelude::*;

    /// Row, value and reason of what does not fit.
    type Told = (usize, String, String);

    /// Decodes the values of one column, as the server would send them.
    fn decoded(engine_type: &str, values: &[Option<Vec<u8>>]) -> Result<(ArrayRef, Vec<Told>), Malformed> {
        let column_type = column_types::natural(engine_type, 2);
        let plan = column_types::plan(engine_type, &column_type).expect("a natural type can be read");
        let (mut bytes, mut fields) = (vec![0xAA; 3], Vec::new());
        for value in values {
            fields.push(Field::at(bytes.len(), value.as_ref().map(Vec::len)));
            bytes.extend(value.iter().flatten());
        }
        let mut unfit = Vec::new();
        let array = read(&plan.reading, &column_type, &bytes, &fields, &mut unfit)?;
        Ok((array, unfit.into_iter().map(|Unfit { row, raw, reason }| (row, raw, reason)).collect()))
    }

    /// An array in binary form.
    fn array(dimensions: &[(i32, i32)], elements: &[Option<Vec<u8>>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(i32::try_from(dimensions.len()).expect("few").to_be_bytes());
        bytes.extend([0; 8]);
        for (length, lower) in dimensions {
            bytes.extend(length.to_be_bytes());
            bytes.extend(lower.to_be_bytes());
        }
        for element in elements {
            let length = element.as_ref().map_or(-1, |element| i32::try_from(element.len()).expect("short"));
            bytes.extend(length.to_be_bytes());
            bytes.extend(element.iter().flatten());
        }
        bytes
    }

    /// A database in SQL_ASCII sends bytes of any encoding.
    #[test]
    fn texts_that_are_no_utf8_do_not_fit() {
        let values = [Some(b"good".to_vec()), None, Some(b"M\xfcller".to_vec()), Some("Müller".into())];
        let (array, unfit) = decoded("text", &values).expect("decoded");
        let texts: Vec<Option<&str>> = array.as_string::<i32>().iter().collect();
        assert_eq!(texts, [Some("good"), None, None, Some("Müller")]);
        assert_eq!(unfit, [(2, "M\\xFCller".to_owned(), "is no UTF-8".to_owned())]);
        // Half a character at the end of one value is not completed by the next.
        let (_, unfit) = decoded("text", &[Some(vec![0xC3]), Some(vec![0xA4])]).expect("decoded");
        assert_eq!(unfit.len(), 2);
    }

    #[test]
    fn values_of_another_length_are_refused() {
        for (engine_type, bytes) in
            [("integer", 8), ("bigint", 4), ("boolean", 2), ("uuid", 15), ("date", 8), ("xid8", 4)]
        {
            assert!(decoded(engine_type, &[Some(vec![0; bytes])]).is_err(), "{engine_type}");
        }
        assert!(decoded("jsonb", &[Some(vec![])]).is_err() && decoded("jsonb", &[Some(b"\x02{}".to_vec())]).is_err());
    }

    const ENGINE_TYPES: [&str; 22] = [
        "boolean",
        "smallint",
        "integer",
        "bigint",
        "oid",
        "xid8",
        "numeric(10,2)",
        "numeric(38,38)",
        "real",
        "double precision",
        "date",
        "timestamp with time zone",
        "time without time zone",
        "text",
        "character(3)",
        "\"char\"",
        "uuid",
        "inet",
        "jsonb",
        "bytea",
        "text[]",
        "numeric(5,2)[]",
    ];

    proptest! {
        #[test]
        fn any_bytes_are_an_answer(
            values in proptest::collection::vec(proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40)), 0..6)
        ) {
            for engine_type in ENGINE_TYPES {
                if let Ok((array, unfit)) = decoded(engine_type, &values) {
                    prop_assert_eq!(array.len(), values.len());
                    prop_assert!(unfit.iter().all(|(row, ..)| array.is_null(*row)));
                }
            }
        }

        #[test]
        fn any_array_is_an_answer(
            dimensions in proptest::collection::vec((-1i32..4, -1i32..3), 0..4),
            elements in proptest::collection::vec(proptest::option::of(proptest::collection::vec(any::<u8>(), 0..10)), 0..6),
            cut in 0usize..60,
        ) {
            let whole = array(&dimensions, &elements);
            for engine_type in ["text[]", "integer[]", "numeric(5,2)[]", "timestamp with time zone[]"] {
                let _ = decoded(engine_type, &[Some(whole.clone())]);
                let _ = decoded(engine_type, &[Some(whole[..cut.min(whole.len())].to_vec())]);
            }
        }

        #[test]
        fn lists_survive(lists in proptest::collection::vec(
            proptest::option::of(proptest::collection::vec(proptest::option::of(any::<i32>()), 0..5)), 0..6)
        ) {
            let element = |element: &Option<i32>| element.map(|number| number.to_be_bytes().to_vec());
            let written = |list: &Vec<Option<i32>>| {
                let elements: Vec<_> = list.iter().map(element).collect();
                let length = i32::try_from(list.len()).expect("few");
                if list.is_empty() { array(&[], &[]) } else { array(&[(length, 1)], &elements) }
            };
            let values: Vec<_> = lists.iter().map(|list| list.as_ref().map(written)).collect();
            let (array, unfit) = decoded("integer[]", &values).expect("decoded");
            prop_assert!(unfit.is_empty());
            let got: Vec<Option<Vec<Option<i32>>>> = array
                .as_list::<i32>()
                .iter()
                .map(|list| list.map(|list| list.as_primitive::<Int32Type>().iter().collect()))
                .collect();
            prop_assert_eq!(got, lists);
        }
    }
}
