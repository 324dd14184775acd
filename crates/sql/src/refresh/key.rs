//! The choice of K: the output columns by which rows are replaced.
//!
//! Any set of known output columns is right; the choice decides the cost only.

use std::collections::{BTreeMap, BTreeSet};

use super::columns::{Columns, ids};
use super::push::{coalesced_pair, equalities};
use super::relation::{ColumnId, Grouping, JoinKind, Kind, Obstacle, Relation, Scalar, Tree};

/// K as positions in the output, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) positions: Vec<usize>,
    pub(super) reason: String,
}

/// How good a candidate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// Grouping or partition columns: what changes together.
    Grouped,
    /// The key of a table.
    Anchor,
}

struct Candidate {
    columns: Vec<ColumnId>,
    rank: Rank,
    reason: String,
}

/// Chooses K. An obstacle when no output column is known.
pub(super) fn choose(tree: &Tree, columns: &Columns, declared: &[String]) -> Result<Key, Obstacle> {
    let known: Vec<usize> = (0..tree.root.columns.len())
        .filter(|position| columns.is_known(tree.root.columns[*position].id) && is_sole(tree, *position))
        .collect();
    if known.is_empty() {
        return Err(nothing_known(tree));
    }
    let reach: BTreeSet<ColumnId> = known.iter().map(|position| tree.root.columns[*position].id).collect();
    let positions = |wanted: &[ColumnId]| -> Vec<usize> {
        let mut found: Vec<usize> = Vec::with_capacity(wanted.len());
        for column in wanted {
            found.extend(known.iter().copied().find(|position| tree.root.columns[*position].id == *column));
        }
        found.sort_unstable();
        found.dedup();
        found
    };
    let candidate = best(&tree.root, &reach, tree);
    if let Some(candidate) = candidate.as_ref().filter(|candidate| candidate.rank == Rank::Grouped) {
        return Ok(Key { positions: positions(&candidate.columns), reason: candidate.reason.clone() });
    }
    let declared_positions: Option<Vec<usize>> = declared
        .iter()
        .map(|name| known.iter().copied().find(|position| tree.names[*position].eq_ignore_ascii_case(name)))
        .collect();
    if let Some(mut positions) = declared_positions.filter(|positions| !positions.is_empty())
        && positions.iter().all(|position| columns.table_column(tree.root.columns[*position].id).is_some())
    {
        positions.sort_unstable();
        positions.dedup();
        return Ok(Key { positions, reason: "the model's primary key".to_owned() });
    }
    if let Some(candidate) = candidate {
        return Ok(Key { positions: positions(&candidate.columns), reason: candidate.reason });
    }
    let mut coalesced = Vec::new();
    full_join_keys(&tree.root, &reach, columns, tree, &mut coalesced);
    if !coalesced.is_empty() {
        return Ok(Key { positions: positions(&coalesced), reason: "the key of its full join".to_owned() });
    }
    let plain: Vec<usize> = known
        .iter()
        .copied()
        .filter(|position| columns.table_column(tree.root.columns[*position].id).is_some())
        .collect();
    if plain.is_empty() {
        return Ok(Key {
            positions: known,
            reason: "all columns whose values are known before anything is computed".to_owned(),
        });
    }
    Ok(Key {
        positions: plain,
        reason: "all columns that come from tables unchanged: no key and no group is among the output".to_owned(),
    })
}

/// Whether a column of the output is known before anything is computed.
pub(super) fn any_known(tree: &Tree) -> bool {
    let columns = Columns::of(tree);
    tree.root.columns.iter().any(|column| columns.is_known(column.id))
}

/// The groups of the select at the top, whose columns tell its rows apart.
pub(super) fn hidden_groups(tree: &Tree) -> Option<&Grouping> {
    let columns = Columns::of(tree);
    let mut relation = &tree.root;
    loop {
        relation = match &relation.kind {
            Kind::Filter { input, .. } | Kind::Project { input, .. } => input,
            Kind::Window(window) => &window.input,
            Kind::Apply(apply) => &apply.left,
            Kind::Aggregate(aggregate) => {
                let known = aggregate.groups.iter().all(|(group, _)| columns.is_known(*group));
                return aggregate.written.as_ref().filter(|_| known);
            }
            _ => return None,
        };
    }
}

/// The output columns that are the coalesced key of the uppermost full join.
fn full_join_keys(
    relation: &Relation,
    reach: &BTreeSet<ColumnId>,
    columns: &Columns,
    tree: &Tree,
    found: &mut Vec<ColumnId>,
) {
    match &relation.kind {
        Kind::Filter { input, .. } | Kind::Project { input, .. } | Kind::Distinct { input } => {
            full_join_keys(input, reach, columns, tree, found);
        }
        Kind::Apply(apply) => full_join_keys(&apply.left, reach, columns, tree, found),
        Kind::Join(join) if join.kind == JoinKind::Full => {
            let pairs = equalities(&join.on, &join.left, &join.right);
            let coalesced = |column: &ColumnId| coalesced_pair(*column, &pairs, columns, &tree.text).is_some();
            found.extend(reach.iter().copied().filter(coalesced));
        }
        Kind::Join(join) => full_join_keys(&join.left, reach, columns, tree, found),
        _ => {}
    }
}

/// Whether the column has a name that no other has.
fn is_sole(tree: &Tree, position: usize) -> bool {
    if tree.names[position].is_empty() {
        return false;
    }
    tree.names.iter().filter(|name| name.eq_ignore_ascii_case(&tree.names[position])).count() == 1
}

fn nothing_known(tree: &Tree) -> Obstacle {
    if let Some(obstacle) = opaque(&tree.root) {
        return obstacle.clone();
    }
    Obstacle {
        reason: "every column is computed by an aggregate, a window or a subquery, so no key of a row is known before all is computed"
            .to_owned(),
        span: 0..tree.text.len(),
        instead: Some("add the column it groups by, or a key of a table it reads, to the output".to_owned()),
    }
}

/// Why the columns of the output are unknown, if that lies in something that is not followed.
fn opaque(relation: &Relation) -> Option<&Obstacle> {
    match &relation.kind {
        Kind::Opaque { obstacle, .. } => Some(obstacle),
        Kind::Filter { input, .. }
        | Kind::Project { input, .. }
        | Kind::Distinct { input }
        | Kind::DistinctOn { input, .. } => opaque(input),
        Kind::Window(window) => opaque(&window.input),
        Kind::Aggregate(aggregate) => opaque(&aggregate.input),
        Kind::Apply(apply) => opaque(&apply.left),
        Kind::Join(join) => opaque(&join.left).or_else(|| opaque(&join.right)),
        Kind::SetOperation { inputs, .. } => inputs.iter().find_map(opaque),
        Kind::Scan { .. } | Kind::Constant { .. } => None,
    }
}

/// A good key among the columns that reach the output.
fn best(relation: &Relation, reach: &BTreeSet<ColumnId>, tree: &Tree) -> Option<Candidate> {
    match &relation.kind {
        Kind::Scan { table } => {
            let table = tree.tables.get(*table)?;
            let key: Option<Vec<ColumnId>> = table
                .input
                .key
                .iter()
                .map(|name| {
                    let place = table.input.columns.iter().position(|(column, _)| column.eq_ignore_ascii_case(name))?;
                    relation.columns.get(place).map(|column| column.id).filter(|column| reach.contains(column))
                })
                .collect();
            let columns = key.filter(|key| !key.is_empty())?;
            Some(Candidate { columns, rank: Rank::Anchor, reason: format!("the key of {}", table.name.join(".")) })
        }
        Kind::Constant { .. } | Kind::Opaque { .. } => None,
        Kind::Filter { input, .. } | Kind::Distinct { input } => best(input, reach, tree),
        Kind::Project { input, computed } => {
            // A column may reach the output under another identity.
            let mut other: BTreeMap<ColumnId, ColumnId> = BTreeMap::new();
            for (column, scalar) in computed {
                if let (Scalar::Column(inner), true) = (scalar, reach.contains(column)) {
                    other.entry(*inner).or_insert(*column);
                }
            }
            let mut inner: BTreeSet<ColumnId> = ids(input).intersection(reach).copied().collect();
            inner.extend(other.keys());
            let mut candidate = best(input, &inner, tree)?;
            for column in candidate.columns.iter_mut().filter(|column| !reach.contains(column)) {
                *column = other.get(column).copied()?;
            }
            Some(candidate)
        }
        Kind::Join(join) => best(&join.left, reach, tree).filter(|_| join.kind != JoinKind::Full).or_else(|| {
            if join.kind == JoinKind::Inner && !join.lateral { best(&join.right, reach, tree) } else { None }
        }),
        Kind::Apply(apply) => best(&apply.left, reach, tree),
        Kind::Aggregate(aggregate) => {
            let groups: Vec<ColumnId> =
                aggregate.groups.iter().map(|(group, _)| *group).filter(|group| reach.contains(group)).collect();
            grouped(groups, "the columns it groups by")
        }
        Kind::Window(window) => {
            let common = common(&window.partitions);
            let reached: Vec<ColumnId> = common.iter().copied().filter(|column| reach.contains(column)).collect();
            if reached.len() < common.len() || common.is_empty() {
                let inner = best(&window.input, reach, tree);
                if inner.is_some() {
                    return inner;
                }
            }
            grouped(reached, "the columns its windows are partitioned by")
        }
        Kind::DistinctOn { input, by } => {
            let reached: Vec<ColumnId> = by.iter().copied().filter(|column| reach.contains(column)).collect();
            if reached.len() < by.len() {
                let inner = best(input, reach, tree);
                if inner.is_some() {
                    return inner;
                }
            }
            grouped(reached, "the columns of DISTINCT ON")
        }
        Kind::SetOperation { inputs, .. } => {
            // A key of every branch, by position.
            let mut positions: BTreeSet<usize> = BTreeSet::new();
            let mut reasons: Vec<String> = Vec::new();
            let mut rank = Rank::Grouped;
            for input in inputs {
                let inner: BTreeSet<ColumnId> = relation
                    .columns
                    .iter()
                    .zip(&input.columns)
                    .filter(|(column, _)| reach.contains(&column.id))
                    .map(|(_, inner)| inner.id)
                    .collect();
                let candidate = best(input, &inner, tree)?;
                for (position, column) in input.columns.iter().enumerate() {
                    if candidate.columns.contains(&column.id) && reach.contains(&relation.columns.get(position)?.id) {
                        positions.insert(position);
                    }
                }
                rank = rank.max(candidate.rank);
                if !reasons.contains(&candidate.reason) {
                    reasons.push(candidate.reason);
                }
            }
            let columns = positions.into_iter().map(|position| relation.columns[position].id).collect();
            Some(Candidate { columns, rank, reason: reasons.join(", and ") })
        }
    }
}

fn grouped(columns: Vec<ColumnId>, reason: &str) -> Option<Candidate> {
    (!columns.is_empty()).then(|| Candidate { columns, rank: Rank::Grouped, reason: reason.to_owned() })
}

/// The columns that all partition lists hold.
pub(super) fn common(partitions: &[Vec<ColumnId>]) -> Vec<ColumnId> {
    let Some((first, rest)) = partitions.split_first() else { return Vec::new() };
    first.iter().copied().filter(|column| rest.iter().all(|list| list.contains(column))).collect()
}
