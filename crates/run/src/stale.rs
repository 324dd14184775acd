//! Which tables are behind what their definitions and inputs say, as it is known without asking any source.

use std::collections::BTreeMap;

use thalweg_project::TableName;
use thalweg_sql::NodeKind;

use crate::known::Known;
use crate::publish::model::stale_models;
use crate::publish::stream::store_fingerprint;
use crate::seeds;
use crate::workbench::Workbench;

/// The stale tables, with the reasons in words.
pub fn stale_tables(bench: &Workbench, known: &Known) -> BTreeMap<TableName, String> {
    let (project, compiled) = (bench.project(), bench.compiled());
    let consumed =
        |reader: &TableName, input: &TableName| known.consumed.get(&(reader.clone(), input.clone())).copied();
    let mut stale: BTreeMap<TableName, String> =
        stale_models(project, compiled, &known.tables, consumed).into_iter().collect();
    for node in &compiled.nodes {
        let state = known.tables.get(&node.id);
        let reason = match (node.kind, state) {
            (NodeKind::Stream(..), None) => {
                Some(known.troubles.get(&node.id).cloned().unwrap_or_else(|| "never loaded".to_owned()))
            }
            (NodeKind::Seed(_), None) => Some("never loaded".to_owned()),
            (NodeKind::Stream(source, stream), Some(state)) => {
                if state.fingerprint == store_fingerprint(&project.sources[source].streams[stream]) {
                    known.troubles.get(&node.id).cloned()
                } else {
                    Some("definition changed".to_owned())
                }
            }
            (NodeKind::Seed(index), Some(state)) => {
                (state.fingerprint != seeds::fingerprint(&project.seeds[index])).then(|| "the file changed".to_owned())
            }
            (NodeKind::Model(_) | NodeKind::External(_), _) => None,
        };
        stale.extend(reason.map(|reason| (node.id.clone(), reason)));
    }
    stale
}
