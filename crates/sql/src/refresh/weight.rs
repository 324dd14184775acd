//! How much is computed anew when the tables of a text change, in a measure that compares ways to split it.
//!
//! Nothing is known of sizes here. A table counts for [`TABLE`], what groups its rows for a quarter of that, one row for nothing. A
//! table whose changes touch every row has the whole text computed anew, at what it reads.

use std::collections::{BTreeMap, BTreeSet};

use super::columns::Columns;
use super::relation::{Aggregate, Apply, ApplyKind, Join, Kind, Relation, Scalar, SetOperator, Tree};
use super::shape::Shape;

/// What reading a table costs.
const TABLE: u64 = 8;
/// What reading groups of rows costs.
const GROUPS: u64 = 2;

/// A stage as a table that others read.
#[derive(Debug, Clone)]
pub(super) struct Weight {
    /// The tables a change of which changes it.
    pub(super) tables: BTreeSet<Vec<String>>,
    /// What reading it costs.
    pub(super) size: u64,
    /// It has one row, which often stays the same.
    pub(super) one_row: bool,
}

/// A text, weighed.
#[derive(Debug, Clone)]
pub(super) struct Weighed {
    /// What is computed anew by all tables that cannot be followed, each changing once; twice as much as what is read.
    pub(super) cost: u64,
    /// Why, for the first of them.
    pub(super) reason: String,
    /// How it would weigh as a stage.
    pub(super) weight: Weight,
}

pub(super) fn weigh(tree: &Tree, declared_key: &[String], stages: &BTreeMap<Vec<String>, Weight>) -> Weighed {
    let of = |name: &Vec<String>| {
        let table = || Weight { tables: BTreeSet::from([name.clone()]), size: TABLE, one_row: false };
        stages.get(name).cloned().unwrap_or_else(table)
    };
    // Of a CTE that nobody reads there is no scan.
    let mut read = BTreeSet::new();
    scans(&tree.root, tree, &mut read);
    let names: BTreeSet<&Vec<String>> = read.iter().collect();
    let shape = Shape::of(tree.clone(), declared_key);
    let (obstructed, reason) = match &shape {
        Err(obstacle) => (names.clone(), obstacle.reason.clone()),
        Ok(shape) => obstructed(shape),
    };
    let reads: u64 =
        tree.tables.iter().filter(|table| read.contains(&table.name)).map(|table| of(&table.name).size).sum();
    let cost = obstructed
        .iter()
        .map(|name| {
            let weight = of(name);
            let times = u64::try_from(weight.tables.len()).unwrap_or(u64::MAX);
            times.saturating_mul(if weight.one_row { 1 } else { 2 }).saturating_mul(reads)
        })
        .sum();
    let weight = Weight {
        tables: names.iter().flat_map(|name| of(name).tables).collect(),
        size: size(&tree.root, &|table| tree.tables.get(table).map_or(TABLE, |table| of(&table.name).size)),
        one_row: is_one_row(&tree.root),
    };
    Weighed { cost, reason, weight }
}

/// The tables whose changes touch every row, and why, for the first of them.
pub(super) fn obstructed(shape: &Shape) -> (BTreeSet<&Vec<String>>, String) {
    let tree = shape.tree();
    let mut reason = String::new();
    let mut weak = BTreeSet::new();
    unlinked(&tree.root, tree, shape.columns(), &mut weak);
    let mut found = BTreeSet::new();
    for table in &tree.tables {
        if found.contains(&table.name) {
            continue;
        }
        if let Some(obstacle) = shape.obstacle(&table.name) {
            if reason.is_empty() {
                reason = obstacle.reason;
            }
            found.insert(&table.name);
        } else if weak.contains(&table.name) {
            found.insert(&table.name);
        }
    }
    if reason.is_empty() && !found.is_empty() {
        "a join is linked only by what an aggregate, a window or a subquery computes".clone_into(&mut reason);
    }
    (found, reason)
}

/// The tables on either side of a join whose conditions are all unknown while keys are looked for.
fn unlinked(relation: &Relation, tree: &Tree, columns: &Columns, found: &mut BTreeSet<Vec<String>>) {
    if let Kind::Join(Join { on, left, right, .. }) = &relation.kind
        && !on.is_empty()
        && !on.iter().any(|condition| columns.all_known(condition))
    {
        for side in [left, right] {
            scans(side, tree, found);
        }
    }
    relation.inputs().into_iter().for_each(|input| unlinked(input, tree, columns, found));
}

fn scans(relation: &Relation, tree: &Tree, found: &mut BTreeSet<Vec<String>>) {
    if let Kind::Scan { table } = &relation.kind {
        found.extend(tree.tables.get(*table).map(|table| table.name.clone()));
    }
    relation.inputs().into_iter().for_each(|input| scans(input, tree, found));
}

/// Whether a relation has one row whatever the tables hold.
fn is_one_row(relation: &Relation) -> bool {
    match &relation.kind {
        Kind::Project { input, computed } => {
            is_one_row(input) && computed.iter().all(|(_, scalar)| *scalar != Scalar::Null)
        }
        Kind::Aggregate(Aggregate { groups, sets, .. }) => groups.is_empty() && sets.len() <= 1,
        Kind::Apply(Apply { left, kind: ApplyKind::Value(_), .. }) => is_one_row(left),
        Kind::Join(Join { left, right, .. }) => is_one_row(left) && is_one_row(right),
        _ => false,
    }
}

/// How many rows, in the measure of the module.
fn size(relation: &Relation, table: &dyn Fn(usize) -> u64) -> u64 {
    match &relation.kind {
        Kind::Scan { table: index } => table(*index),
        Kind::Constant { .. } => 0,
        Kind::Filter { input, .. } | Kind::Project { input, .. } => size(input, table),
        Kind::Join(Join { left, right, .. }) => size(left, table) + size(right, table),
        Kind::Apply(apply) => size(&apply.left, table),
        Kind::Aggregate(aggregate) => {
            if aggregate.groups.is_empty() {
                0
            } else {
                size(&aggregate.input, table).min(GROUPS)
            }
        }
        Kind::Window(window) => size(&window.input, table),
        Kind::DistinctOn { input, .. } | Kind::Distinct { input } => size(input, table).min(GROUPS),
        Kind::SetOperation { operator: SetOperator::Union, all: true, inputs } => {
            inputs.iter().map(|input| size(input, table)).sum()
        }
        Kind::SetOperation { inputs, .. } => {
            inputs.iter().map(|input| size(input, table)).max().unwrap_or(0).min(GROUPS)
        }
        Kind::Opaque { inputs, .. } => inputs.iter().map(|input| size(input, table)).sum::<u64>().min(TABLE),
    }
}
