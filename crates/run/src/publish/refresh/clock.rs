//! What models read of the time.
//!
//! The engine answers `now()` and its like with one value throughout a transaction, and a run is one. What a model read is stored with it:
//! as long as another run would read the same, the time is no reason to refresh it.

use std::collections::BTreeMap;

use thalweg_project::TableName;
use thalweg_sql::refresh::{ClockChange, ClockChanges, clock_name};
use thalweg_sql::{Compiled, Dialect, parse_select, splice};

use crate::error::RunError;
use crate::publish::Publication;

/// Literals by what is read, by [`clock_name`].
pub type ClockValues = BTreeMap<String, String>;

impl Publication<'_> {
    /// What these expressions answer in this run, without those that depend on columns: `age(x)`.
    pub fn clock_values(&mut self, names: &[String]) -> Result<ClockValues, RunError> {
        let stands_alone = |name: &&String| name.ends_with("()") || !name.contains('(');
        let missing: Vec<&String> = names
            .iter()
            .filter(stands_alone)
            .filter(|name| !self.refreshing.clock.contains_key(name.as_str()))
            .collect();
        if !missing.is_empty() {
            let dialect = self.database.dialect;
            let list: Vec<String> =
                missing.iter().map(|name| format!("{}, cast({name} as varchar)", dialect.type_of(name))).collect();
            let answer = self.database.texts(&format!("select {}", list.join(", ")))?;
            let cells: Vec<String> = answer.rows.into_iter().flatten().map(Option::unwrap_or_default).collect();
            for (name, pair) in missing.into_iter().zip(cells.chunks(2)) {
                let [engine_type, value] = pair else { continue };
                let literal = format!("cast({} as {engine_type})", self.database.dialect.literal_text(value));
                self.refreshing.clock.insert(name.clone(), literal);
            }
        }
        let value = |name: &String| Some((name.clone(), self.refreshing.clock.get(name)?.clone()));
        Ok(names.iter().filter_map(value).collect())
    }

    /// What answers otherwise than when a model was last refreshed; `None` where that is not known.
    pub fn clock_changes(&mut self, table: &TableName, names: &[String]) -> Result<Option<ClockChanges>, RunError> {
        let values = self.clock_values(names)?;
        if values.len() < names.len() {
            return Ok(None);
        }
        let known = self.clocks.get(table);
        let mut changes = ClockChanges::new();
        for (name, now) in values {
            match known.and_then(|known| known.get(&name)) {
                Some(before) if *before == now => {}
                Some(before) => {
                    changes.insert(name, ClockChange { before: before.clone(), now });
                }
                None => return Ok(None),
            }
        }
        Ok(Some(changes))
    }
}

/// What a model reads of the time, each once.
pub fn clock_names(compiled: &Compiled, dialect: &dyn Dialect, node: usize) -> Vec<String> {
    let text = compiled.refresh_sql(node).or(compiled.compiled_sql(node)).unwrap_or_default();
    let Ok(query) = parse_select(text, dialect) else { return Vec::new() };
    let mut names: Vec<String> = Vec::new();
    for place in query.clock {
        let name = clock_name(text.get(place).unwrap_or_default());
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// A query at another time: with the literals in the places of what reads it. `None` where one of them is not known.
pub fn at_time(sql: &str, dialect: &dyn Dialect, values: &ClockValues) -> Option<String> {
    let query = parse_select(sql, dialect).ok()?;
    let mut replacements = Vec::with_capacity(query.clock.len());
    for place in query.clock {
        let value = values.get(&clock_name(sql.get(place.clone())?))?;
        replacements.push((place, value.clone()));
    }
    splice(sql, &replacements).ok()
}
