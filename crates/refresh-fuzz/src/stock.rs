//! All rows a table ever has in a case, read by the engine once: most of what a small statement costs is reading its text.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::database::Database;
use crate::engine::Refusal;
use crate::schema::{Family, Row, Table, family};
use arrow::array::UInt32Array;
use arrow::compute::{concat_batches, take_record_batch};
use arrow::record_batch::RecordBatch;

/// The rows of a table.
#[derive(Debug)]
pub struct Stock<'c> {
    table: &'c Table,
    /// Where a row stands; there is none where rows are handed over as text.
    rows: Option<(RecordBatch, HashMap<Row, u32>)>,
}

impl<'c> Stock<'c> {
    /// Of a table that is there.
    pub fn of<'a>(
        database: &mut Database,
        table: &'c Table,
        rows: impl Iterator<Item = &'a Row>,
    ) -> Result<Self, Refusal> {
        let none = Ok(Self { table, rows: None });
        let Some(connection) = database.arrow() else { return none };
        if table.columns.iter().any(|column| !is_handed_over(&column.engine_type)) {
            return none;
        }
        let mut places: HashMap<Row, u32> = HashMap::new();
        let mut texts: Vec<String> = Vec::new();
        for row in rows {
            if let Entry::Vacant(place) = places.entry(row.clone()) {
                place.insert(texts.len() as u32);
                texts.push(format!("({}, {})", texts.len(), row.join(", ")));
            }
        }
        if texts.is_empty() {
            return none;
        }
        let columns = table.columns.iter().zip(1..);
        let typed = columns.clone().map(|(column, place)| format!("cast(c{place} as {})", column.engine_type));
        let names = columns.map(|(_, place)| format!("c{place}"));
        let query = format!(
            "select {} from (values {}) as r(place, {}) order by place",
            typed.collect::<Vec<_>>().join(", "),
            texts.join(", "),
            names.collect::<Vec<_>>().join(", ")
        );
        let batches = connection.query(&query, &[])?.batches;
        let Some(first) = batches.first() else { return none };
        match concat_batches(&first.schema(), &batches) {
            Ok(batch) => Ok(Self { table, rows: Some((batch, places)) }),
            Err(_) => none,
        }
    }

    /// Gives a table new contents.
    pub fn fill(&self, database: &mut Database, name: &str, rows: &[Row]) -> Result<(), Refusal> {
        database.empty(name)?;
        if rows.is_empty() {
            return Ok(());
        }
        let taken = self.rows.as_ref().and_then(|(batch, places)| {
            let places: Option<Vec<u32>> = rows.iter().map(|row| places.get(row).copied()).collect();
            take_record_batch(batch, &UInt32Array::from(places?)).ok()
        });
        if let (Some(batch), Some(connection)) = (taken, database.arrow()) {
            let (schema, table) = name.split_once('.').unwrap_or(("main", name));
            connection.append(schema, table.trim_matches('"'), &[batch])?;
            return Ok(());
        }
        database.insert(name, self.table, rows)
    }
}

/// Whether the engine takes such values as Arrow without losing anything.
fn is_handed_over(engine_type: &str) -> bool {
    match family(engine_type) {
        Family::Integer | Family::Text | Family::Date | Family::Timestamp | Family::Boolean | Family::Double => true,
        Family::Decimal => engine_type.starts_with("DECIMAL"),
        Family::Inexact | Family::List => false,
    }
}
