//! The order of inner joins: FROM with commas may name tables that have no condition in common one after the other.

use std::ops::Range;

use super::{filter, has};
use crate::refresh::{Join, JoinKind, Kind, Relation, Scalar};

/// The same joins in an order in which each table is linked to those before it, where there is one. Inner joins only: their order does not
/// matter to the result.
pub(super) fn linked(relation: Relation) -> Relation {
    if !has_product(&relation) {
        return relation;
    }
    let mut parts = Vec::new();
    let mut conditions = Vec::new();
    take_apart(relation, 0..0, &mut parts, &mut conditions);
    let mut parts: std::collections::VecDeque<_> = parts.into();
    let Some((mut joined, _)) = parts.pop_front() else { return filter(super::nothing_at_all(), conditions) };
    while !parts.is_empty() {
        let links = |part: &Relation, condition: &Scalar| {
            let columns = condition.columns();
            columns.iter().any(|id| has(&joined, *id))
                && columns.iter().any(|id| has(part, *id))
                && columns.iter().all(|id| has(&joined, *id) || has(part, *id))
        };
        let by_equality = |part: &Relation| {
            conditions.iter().any(|condition| matches!(condition, Scalar::Equal(..)) && links(part, condition))
        };
        let by_any = |part: &Relation| conditions.iter().any(|condition| links(part, condition));
        let next = parts
            .iter()
            .position(|(part, _)| by_equality(part))
            .or_else(|| parts.iter().position(|(part, _)| by_any(part)))
            .unwrap_or(0);
        let Some((right, span)) = parts.remove(next) else { break };
        let known = |condition: &Scalar| condition.columns().iter().all(|id| has(&joined, *id) || has(&right, *id));
        let (on, rest): (Vec<Scalar>, Vec<Scalar>) = conditions.into_iter().partition(known);
        conditions = rest;
        let mut columns = joined.columns.clone();
        columns.extend(right.columns.iter().cloned());
        let (left, right) = (Box::new(joined), Box::new(right));
        let join = Join { kind: JoinKind::Inner, left, right, on, lateral: false, span };
        joined = Relation { kind: Kind::Join(join), columns };
    }
    filter(joined, conditions)
}

/// Whether inner joins at the top hold one without a condition.
fn has_product(relation: &Relation) -> bool {
    match &relation.kind {
        Kind::Join(Join { kind: JoinKind::Inner, left, right, on, lateral: false, .. }) => {
            on.is_empty() || has_product(left) || has_product(right)
        }
        _ => false,
    }
}

fn take_apart(
    relation: Relation,
    at: Range<usize>,
    parts: &mut Vec<(Relation, Range<usize>)>,
    conditions: &mut Vec<Scalar>,
) {
    match relation.kind {
        Kind::Join(Join { kind: JoinKind::Inner, left, right, on, lateral: false, span }) => {
            take_apart(*left, at, parts, conditions);
            take_apart(*right, span, parts, conditions);
            conditions.extend(on);
        }
        kind => parts.push((Relation { kind, columns: relation.columns }, at)),
    }
}
