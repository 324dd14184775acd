//! How a model would be refreshed, as far as that can be said before anything is read.

use thalweg_project::{RefreshPin, TableName};
use thalweg_sql::refresh::summed::is_sums;

use crate::error::RunError;
use crate::outcome::{RefreshFigures, Strategy};
use crate::publish::Publication;
use crate::publish::change_log::Delta;
use crate::publish::model::{ModelFacts, is_view, tracked_inputs};

/// What is expected of a model's refresh.
#[derive(Debug)]
pub struct Expected {
    /// How.
    pub strategy: Strategy,
    /// Why not by changes, if not; by way of what, if by stages.
    pub because: Option<String>,
    /// Changed rows upstream and seconds, as far as they are known.
    pub figures: RefreshFigures,
}

/// What is expected of a model's refresh, now that its inputs changed or when they do. Sends nothing but counts of change logs.
pub fn expect(
    publication: &mut Publication<'_>,
    node: usize,
    facts: &ModelFacts<'_>,
    full: Strategy,
) -> Result<Expected, RunError> {
    let table = facts.model.table.clone();
    let rows = publication.tables.get(&table).map_or(0, |state| state.rows);
    let mut figures = publication.expected(&table, &facts.fingerprint, rows)?;
    let in_full = |because: String, figures: RefreshFigures| {
        let pinned = facts.model.refresh == RefreshPin::Incremental;
        let because =
            if pinned { format!("an error, for it is pinned to `refresh: incremental`: {because}") } else { because };
        Ok(Expected { strategy: full, because: Some(because), figures })
    };
    let stages: Vec<String> = publication.split(node).stages.iter().map(|stage| stage.name.clone()).collect();
    if let (Err(full), true) = (publication.shape(node).as_ref(), stages.is_empty()) {
        return in_full(full.reason.clone(), figures);
    }
    let mut upstream = 0;
    for input in tracked_inputs(publication.project, publication.compiled, node) {
        if is_view(publication.project, publication.compiled, input) {
            continue;
        }
        let id = publication.compiled.nodes[input].id.clone();
        match changed(publication, &table, &id)? {
            Ok(number) => upstream += number,
            Err(reason) => return in_full(reason, figures),
        }
    }
    figures.upstream = Some(upstream);
    let sums = stages.iter().any(|stage| is_sums(stage));
    let asked = facts.model.refresh != RefreshPin::Incremental && !sums;
    if asked && let Some(reason) = publication.in_vain(facts, rows, upstream)? {
        return in_full(reason, figures);
    }
    let because = match stages.as_slice() {
        [] => None,
        [one] => Some(format!("by way of its stage {one}")),
        more => Some(format!("by way of its stages {}", more.join(", "))),
    };
    Ok(Expected { strategy: Strategy::Incremental, because, figures })
}

/// Rows of a table that a model has not seen, those gone and those that came.
fn changed(
    publication: &mut Publication<'_>,
    reader: &TableName,
    table: &TableName,
) -> Result<Result<u64, String>, RunError> {
    let consumed = publication.consumed.get(&(reader.clone(), table.clone())).copied();
    match publication.delta_since(table, consumed)? {
        Delta::None => Ok(Ok(0)),
        Delta::Unknown(reason) => Ok(Err(reason)),
        Delta::Rows { before, after } => {
            publication.database.about(table.to_string());
            let gone = publication.database.count(&format!("select count(*) from {before} d"))?;
            let came = publication.database.count(&format!("select count(*) from {after} d"))?;
            Ok(Ok(gone + came))
        }
    }
}
