//! Joins of what is found in another order, so that fewer large scans are needed.
//!
//! Each table of a chain of joins that changed contributes rows of the whole chain. As they come from discovery, every contribution
//! scans the large end of the chain for itself: `Δc ⋈ (l ⋈ h)`, `Δd ⋈ (l ⋈ h)`, `Δh ⋈ l`. Inner joins associate, so the changed rows are
//! brought next to the table they are linked with, and contributions that then end in the same join are put together:
//! `l ⋈ (Δh ∪ h ⋈ Δc ∪ h ⋈ Δd)`.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use super::found::{Found, FoundKind, FoundRef, Pairs};
use super::relation::{ColumnId, Scalar};

/// The same rows, with fewer scans.
pub(super) fn regrouped(found: &FoundRef) -> FoundRef {
    Regrouping::default().visit(found)
}

/// What was visited already: a relation that is used twice stays one.
#[derive(Default)]
struct Regrouping {
    visited: HashMap<*const Found, FoundRef>,
}

impl Regrouping {
    fn visit(&mut self, found: &FoundRef) -> FoundRef {
        if let Some(visited) = self.visited.get(&Rc::as_ptr(found)) {
            return Rc::clone(visited);
        }
        let made = self.make(found);
        self.visited.insert(Rc::as_ptr(found), Rc::clone(&made));
        made
    }

    fn make(&mut self, found: &FoundRef) -> FoundRef {
        let kind = match &found.kind {
            FoundKind::Nothing | FoundKind::One | FoundKind::Rows { .. } | FoundKind::Constant { .. } => {
                return Rc::clone(found);
            }
            FoundKind::Filter { input, conditions } => {
                FoundKind::Filter { input: self.visit(input), conditions: conditions.clone() }
            }
            FoundKind::Differing { input, expressions } => {
                FoundKind::Differing { input: self.visit(input), expressions: expressions.clone() }
            }
            FoundKind::Filled { input } => FoundKind::Filled { input: self.visit(input) },
            FoundKind::Null { input, column } => FoundKind::Null { input: self.visit(input), column: *column },
            FoundKind::Project { input, computed } => {
                FoundKind::Project { input: self.visit(input), computed: computed.clone() }
            }
            FoundKind::Renamed { input, columns, null } => {
                FoundKind::Renamed { input: self.visit(input), columns: columns.clone(), null: null.clone() }
            }
            FoundKind::Distinct { input } => FoundKind::Distinct { input: self.visit(input) },
            FoundKind::Outer { left, right, on, full } => {
                FoundKind::Outer { left: self.visit(left), right: self.visit(right), on: on.clone(), full: *full }
            }
            FoundKind::Slice { rows, touched, by } => {
                FoundKind::Slice { rows: self.visit(rows), touched: self.visit(touched), by: by.clone() }
            }
            FoundKind::Partnered { input, partners, on } => {
                FoundKind::Partnered { input: self.visit(input), partners: self.visit(partners), on: on.clone() }
            }
            FoundKind::Pairs(pairs) => {
                let pairs =
                    Pairs { driving: self.visit(&pairs.driving), other: self.visit(&pairs.other), ..pairs.clone() };
                return rotated(pairs, &found.columns);
            }
            FoundKind::Union { inputs } => {
                let inputs: Vec<FoundRef> = inputs.iter().map(|input| self.visit(input)).collect();
                let mut inputs = together(inputs);
                if inputs.len() == 1 && inputs[0].columns == found.columns {
                    return inputs.remove(0);
                }
                FoundKind::Union { inputs }
            }
        };
        Found::new(kind, found.columns.iter().copied())
    }
}

/// `driving ⋈ (a ⋈ b)` as `(driving ⋈ b) ⋈ a` where the driving rows are linked with `b` alone.
fn rotated(pairs: Pairs, columns: &[ColumnId]) -> FoundRef {
    let keep = |pairs: Pairs| Found::new(FoundKind::Pairs(pairs), columns.iter().copied());
    let FoundKind::Pairs(inner) = &pairs.other.kind else { return keep(pairs) };
    if !is_inner(&pairs) || !is_inner(inner) || pairs.on.is_empty() || inner.on.is_empty() {
        return keep(pairs);
    }
    let own: BTreeSet<ColumnId> = pairs.driving.columns.iter().copied().collect();
    let linked: BTreeSet<ColumnId> =
        pairs.on.iter().flat_map(Scalar::columns).filter(|column| !own.contains(column)).collect();
    let near = |one: &FoundRef| linked.iter().all(|column| one.columns.contains(column));
    let (near, far) = if near(&inner.other) {
        (&inner.other, &inner.driving)
    } else if near(&inner.driving) {
        (&inner.driving, &inner.other)
    } else {
        return keep(pairs);
    };
    let mut needed: BTreeSet<ColumnId> = columns.iter().copied().collect();
    needed.extend(inner.on.iter().flat_map(Scalar::columns));
    let here = |column: &ColumnId| own.contains(column) || near.columns.contains(column);
    let nearer: Vec<ColumnId> = needed.into_iter().filter(here).collect();
    let (near, far, on) = (Rc::clone(near), Rc::clone(far), inner.on.clone());
    let nearer = rotated(Pairs { other: near, ..pairs }, &nearer);
    rotated(
        Pairs {
            driving: Found::distinct(nearer),
            other: far,
            on,
            outer: false,
            without_other: false,
            without_driving: false,
        },
        columns,
    )
}

/// Contributions that end in the same join, put together before it.
fn together(inputs: Vec<FoundRef>) -> Vec<FoundRef> {
    let mut made: Vec<FoundRef> = Vec::with_capacity(inputs.len());
    for input in inputs {
        let partner = made.iter().position(|earlier| merged(earlier, &input).is_some());
        match partner.and_then(|place| Some((place, merged(&made[place], &input)?))) {
            Some((place, both)) => made[place] = both,
            None => made.push(input),
        }
    }
    made
}

fn merged(one: &FoundRef, other: &FoundRef) -> Option<FoundRef> {
    let (FoundKind::Pairs(left), FoundKind::Pairs(right)) = (&one.kind, &other.kind) else { return None };
    let same = is_inner(left)
        && is_inner(right)
        && one.columns == other.columns
        && left.on == right.on
        && is_same(&left.other, &right.other);
    if !same {
        return None;
    }
    let mut needed: BTreeSet<ColumnId> = one.columns.iter().copied().collect();
    needed.extend(left.on.iter().flat_map(Scalar::columns));
    let needed: BTreeSet<ColumnId> = needed.into_iter().filter(|column| !left.other.columns.contains(column)).collect();
    let has_all = |driving: &FoundRef| needed.iter().all(|column| driving.columns.contains(column));
    if needed.is_empty() || !has_all(&left.driving) || !has_all(&right.driving) {
        return None;
    }
    let rows = |driving: &FoundRef| match &driving.kind {
        FoundKind::Distinct { input } => Rc::clone(input),
        _ => Rc::clone(driving),
    };
    let driving = Found::distinct(Found::union(vec![rows(&left.driving), rows(&right.driving)], &needed));
    Some(Found::new(FoundKind::Pairs(Pairs { driving, ..left.clone() }), one.columns.iter().copied()))
}

fn is_inner(pairs: &Pairs) -> bool {
    !pairs.outer && !pairs.without_other && !pairs.without_driving
}

fn is_same(one: &FoundRef, other: &FoundRef) -> bool {
    if Rc::ptr_eq(one, other) {
        return true;
    }
    match (&one.kind, &other.kind) {
        (
            FoundKind::Rows { table, places, which },
            FoundKind::Rows { table: other_table, places: other_places, which: other_which },
        ) => table == other_table && places == other_places && which == other_which && one.columns == other.columns,
        _ => false,
    }
}
