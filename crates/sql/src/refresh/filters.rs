//! What a text asks of the rows of one table alone.
//!
//! A row that a condition above inner joins rejects contributes to nothing. The rows that a refresh keeps of a table, to lead on to other
//! tables and to be read again by the text, are without them.

use std::collections::{BTreeMap, BTreeSet};

use super::relation::{ColumnId, Join, JoinKind, Kind, Relation, Scalar, Tree};

/// For each scan, by its first column, the conditions that name nothing but its columns.
pub(super) fn filters(tree: &Tree) -> BTreeMap<ColumnId, Vec<&Scalar>> {
    let mut found = BTreeMap::new();
    // What depends on the time of the run is not what the engine answers at the time of a statement.
    if tree.clock.is_empty() {
        below(&tree.root, &[], &mut found);
    }
    found
}

fn below<'t>(relation: &'t Relation, asked: &[&'t Scalar], found: &mut BTreeMap<ColumnId, Vec<&'t Scalar>>) {
    let with = |more: &'t [Scalar]| -> Vec<&'t Scalar> { asked.iter().copied().chain(more).collect() };
    match &relation.kind {
        Kind::Scan { .. } => {
            let own = |column: &ColumnId| relation.columns.iter().any(|one| one.id == *column);
            let alone = |scalar: &&&Scalar| {
                let columns = scalar.columns();
                matches!(scalar, Scalar::Text(_) | Scalar::Equal(..) | Scalar::Column(_))
                    && !columns.is_empty()
                    && columns.iter().all(own)
            };
            if let Some(first) = relation.columns.first() {
                found.insert(first.id, asked.iter().filter(alone).copied().collect());
            }
        }
        Kind::Filter { input, conditions } => below(input, &with(conditions), found),
        Kind::Project { input, .. } => below(input, asked, found),
        Kind::Join(Join { kind, left, right, on, lateral, .. }) => match kind {
            // It chooses among rows before anything above asks.
            _ if *lateral => {
                below(left, if *kind == JoinKind::Full { &[] } else { asked }, found);
                below(right, &[], found);
            }
            JoinKind::Inner => {
                below(left, &with(on), found);
                below(right, &with(on), found);
            }
            // What is joined to nothing is there all the same.
            JoinKind::Left => {
                below(left, asked, found);
                below(right, &on.iter().collect::<Vec<_>>(), found);
            }
            JoinKind::Full => {
                below(left, &[], found);
                below(right, &[], found);
            }
        },
        Kind::Apply(apply) => {
            below(&apply.left, asked, found);
            below(&apply.right, &[], found);
        }
        _ => relation.inputs().into_iter().for_each(|input| below(input, &[], found)),
    }
}

/// The scans in subqueries of expressions, by their first columns: an engine may look for their rows once for each row outside.
pub(super) fn in_subqueries(tree: &Tree) -> BTreeSet<ColumnId> {
    let mut found = BTreeSet::new();
    let mut waiting = vec![(&tree.root, false)];
    while let Some((relation, inside)) = waiting.pop() {
        match &relation.kind {
            Kind::Scan { .. } if inside => found.extend(relation.columns.first().map(|first| first.id)),
            Kind::Apply(apply) => waiting.extend([(&*apply.left, inside), (&*apply.right, true)]),
            _ => waiting.extend(relation.inputs().into_iter().map(|input| (input, inside))),
        }
    }
    found
}
