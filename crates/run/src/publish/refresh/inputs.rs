//! What a model reads, as it is now and as it changed.

use std::collections::BTreeMap;

use thalweg_project::TableName;
use thalweg_sql::refresh::{ChangedInput, InputTable, Inputs};

use crate::error::RunError;
use crate::publish::Publication;
use crate::publish::model::{is_view, tracked_inputs};

/// What a model reads, gathered once for all of its parts.
#[derive(Default)]
pub struct Gathered {
    /// The tables, and what changed in them.
    pub inputs: Inputs,
    /// Changed rows of each table, where they were counted.
    pub numbers: BTreeMap<Vec<String>, u64>,
    /// Why it is not known what changed.
    pub unknown: Option<String>,
    /// The stages so far, as texts know them.
    pub tables: BTreeMap<String, InputTable>,
}

impl Publication<'_> {
    /// The tables of a model, and what changed in them since the model consumed them.
    pub fn gather(&mut self, node: usize, table: &TableName, changed_only: bool) -> Result<Gathered, RunError> {
        let mut gathered = Gathered::default();
        let by_one_text = changed_only && self.database.dialect.knows_row_counts() && self.split(node).is_whole();
        for input in tracked_inputs(self.project, self.compiled, node) {
            let id = self.compiled.nodes[input].id.clone();
            let consumed = self.consumed.get(&(table.clone(), id.clone())).copied();
            if is_view(self.project, self.compiled, input) {
                let defined = self.tables.get(&id).map_or(self.run, |view| view.changed_run);
                if changed_only && consumed.is_none_or(|consumed| consumed < defined) {
                    gathered.unknown.get_or_insert(format!("the view {id} was defined anew in run {defined}"));
                }
                continue;
            }
            let name = self.published_parts(&id);
            let Some(physical) = self.tables.get(&id).map(|state| state.physical.clone()) else {
                gathered.unknown.get_or_insert(format!("{id} is not built by this project"));
                continue;
            };
            gathered.inputs.current.insert(name.clone(), self.physical(&physical)?);
            if !changed_only {
                continue;
            }
            match self.changed_rows(&id, consumed, by_one_text)? {
                Ok(None) => {}
                Ok(Some(rows)) => {
                    if let Some(number) = rows.number {
                        gathered.numbers.insert(name.clone(), number);
                    }
                    gathered
                        .inputs
                        .changed
                        .insert(name, ChangedInput { before: rows.before, after: rows.after, old: Some(rows.old) });
                }
                Err(reason) => {
                    gathered.unknown.get_or_insert(reason);
                }
            }
        }
        Ok(gathered)
    }
}
