//! How far the streams were read.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, StringArray};
use serde_json::Value as Json;

use super::rows::PositionRow;
use super::table::PARAMETERS;
use super::{LEDGER_SCHEMA, Ledger};
use crate::contract::{Connection, Value, WarehouseError};

impl Ledger {
    /// Replaces (`Some`) or forgets (`None`) entries of a stream's position.
    pub fn apply_positions(
        &self,
        connection: &mut dyn Connection,
        source: &str,
        stream: &str,
        changes: &BTreeMap<String, Option<Json>>,
        run: i64,
    ) -> Result<(), WarehouseError> {
        if changes.is_empty() {
            return Ok(());
        }
        let place = [self.project_value(), Value::Text(source.to_owned()), Value::Text(stream.to_owned())];
        // Most entries are new: asking first saves deleting what is not there.
        let rows = connection.query(
            &format!("select entry from {LEDGER_SCHEMA}.positions where project = ? and source = ? and stream = ?"),
            &place,
        )?;
        let mut present = BTreeSet::new();
        for batch in &rows.batches {
            if let Some(entries) = batch.column(0).as_any().downcast_ref::<StringArray>() {
                present.extend((0..entries.len()).map(|row| entries.value(row)));
            }
        }
        let old: Vec<&String> = changes.keys().filter(|entry| present.contains(entry.as_str())).collect();
        for part in old.chunks(PARAMETERS) {
            let marks = vec!["?"; part.len()].join(", ");
            let mut parameters = place.to_vec();
            parameters.extend(part.iter().map(|entry| Value::Text((*entry).clone())));
            connection.execute(
                &format!(
                    "delete from {LEDGER_SCHEMA}.positions where project = ? and source = ? and stream = ? and entry in ({marks})"
                ),
                &parameters,
            )?;
        }
        let new: Vec<PositionRow> = changes
            .iter()
            .filter_map(|(entry, value)| {
                Some(PositionRow {
                    source: source.to_owned(),
                    stream: stream.to_owned(),
                    entry: entry.clone(),
                    value: value.clone()?,
                    run,
                })
            })
            .collect();
        self.append(connection, &new)
    }
}
