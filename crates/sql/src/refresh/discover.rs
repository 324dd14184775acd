//! Which rows of a relation a change can touch.
//!
//! Two functions on the tree. `rows` answers with a superset of a relation's rows in the old and the new version; `touched` with a
//! superset of the rows that differ between them. Both bring only the columns that are needed above, and leave out what does not
//! decide about them: to drop a condition or a partner is always safe.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::clock::{ClockChanges, clock_name, places_in, reads_clock};
use super::columns::{Columns, ids, makes_rows};
use super::found::{Differing, Found, FoundKind, FoundRef, Pairs, Which};
use super::relation::{
    Aggregate, Apply, ApplyKind, ColumnId, Join, JoinKind, Kind, Obstacle, Relation, Scalar, SetOperator, Tree,
};
use super::rule::{Rule, SwitchedOff};

pub(super) type Needed = BTreeSet<ColumnId>;

/// What discovery looks at.
pub(super) struct Finder<'a> {
    pub(super) tree: &'a Tree,
    pub(super) columns: &'a Columns,
    /// For each of the tree's tables whether it changed.
    pub(super) changed: &'a [bool],
    pub(super) off: &'a SwitchedOff,
    /// What the time answers otherwise than at the last refresh.
    pub(super) clock: &'a ClockChanges,
    /// The chosen parts of the tables, where rows that are there now are looked for; `None` for those of either version.
    pub(super) chosen: Option<&'a Chosen>,
    /// For each of the tree's tables whether it is cheap to see if a row has a partner in it.
    pub(super) near: &'a [bool],
}

/// For each scan, by its first column: the number of the use that chooses its rows, and whether it chooses at all.
pub(super) type Chosen = BTreeMap<ColumnId, (usize, bool)>;

impl Finder<'_> {
    /// The rows of the root that can differ. An obstacle when that is everything.
    pub(super) fn touched_keys(&self, key: &[ColumnId]) -> Result<FoundRef, Obstacle> {
        self.touched(&self.tree.root, &key.iter().copied().collect())
    }

    /// A superset of the rows of a relation.
    pub(super) fn rows(&self, relation: &Relation, needed: &Needed) -> FoundRef {
        match &relation.kind {
            Kind::Scan { table } => {
                let first = relation.columns.first().map(|column| column.id);
                let chosen = self.chosen.zip(first).and_then(|(chosen, first)| chosen.get(&first));
                let which = chosen.map_or(Which::All, |(number, _)| Which::Chosen(*number));
                self.scan(relation, *table, needed, which)
            }
            Kind::Constant { text, query } => {
                if needed.is_empty() {
                    return Found::new(FoundKind::One, []);
                }
                let all = relation.columns.iter().map(|column| column.id).collect();
                Found::new(FoundKind::Constant { text: text.clone(), query: *query, all }, needed.iter().copied())
            }
            Kind::Filter { input, conditions } => {
                let (conditions, inner) = self.kept(input, conditions, needed);
                Found::filter(self.rows(input, &inner), conditions, needed)
            }
            Kind::Project { input, computed } => {
                self.project(input, computed, needed, |inner| Ok(self.rows(input, inner))).unwrap_or_else(|_| {
                    // The closure above never fails.
                    Found::nothing(needed)
                })
            }
            Kind::Join(join) => self.join_rows(join, needed),
            Kind::Apply(apply) => {
                let Some(sides) = self.tested(apply, needed) else { return self.rows(&apply.left, needed) };
                let left = self.rows(&apply.left, &union(&sides.left, &sides.left_on));
                self.with_partner(left, &apply.right, &sides.on, &sides.right_on, needed)
            }
            Kind::Aggregate(aggregate) => {
                // Over no rows, too, there is a row of the set that groups by nothing.
                if needed.is_empty() && aggregate.sets.iter().any(Vec::is_empty) {
                    return Found::new(FoundKind::One, []);
                }
                self.groups(aggregate, needed, true, &|input, inner| self.rows(input, inner))
            }
            Kind::Window(window) => self.rows(&window.input, needed),
            Kind::DistinctOn { input, .. } | Kind::Distinct { input } => self.rows(input, needed),
            Kind::SetOperation { operator, inputs, .. } => {
                let taken = if *operator == SetOperator::Union { inputs.len() } else { 1 };
                let branches = inputs
                    .iter()
                    .take(taken)
                    .map(|input| self.branch(relation, input, needed, |inner| Ok(self.rows(input, inner))));
                Found::union(branches.flatten().collect(), needed)
            }
            // Its columns are unknown, so nobody asks for one; that there may be a row is all that is said.
            Kind::Opaque { .. } => Found::new(FoundKind::One, []),
        }
    }

    fn touched(&self, relation: &Relation, needed: &Needed) -> Result<FoundRef, Obstacle> {
        match &relation.kind {
            Kind::Scan { table } if self.changed.get(*table) == Some(&true) => {
                Ok(self.scan(relation, *table, needed, Which::Changed))
            }
            Kind::Scan { .. } | Kind::Constant { .. } => Ok(Found::nothing(needed)),
            Kind::Filter { input, conditions } => {
                let differing = self.differing(input, conditions, needed)?;
                let (conditions, inner) = self.kept(input, conditions, needed);
                let touched = Found::filter(self.touched(input, &inner)?, conditions, needed);
                Ok(Found::union([touched].into_iter().chain(differing).collect(), needed))
            }
            Kind::Project { input, computed } => {
                let touched = self.project(input, computed, needed, |inner| self.touched(input, inner))?;
                let scalars: Vec<Scalar> = computed.iter().map(|(_, scalar)| scalar.clone()).collect();
                if !scalars.iter().any(|scalar| self.has_moved(scalar)) {
                    return Ok(touched);
                }
                let differing = self.project(input, computed, needed, |inner| {
                    Ok(self.differing(input, &scalars, inner)?.unwrap_or_else(|| Found::nothing(inner)))
                })?;
                Ok(Found::union(vec![touched, differing], needed))
            }
            Kind::Join(join) => match (join.lateral, join.kind) {
                (true, _) => self.touched_lateral(join, needed),
                (false, JoinKind::Inner) => self.touched_inner(join, needed),
                (false, JoinKind::Left) => self.touched_left(join, needed),
                (false, JoinKind::Full) => self.touched_full(join, needed),
            },
            Kind::Apply(apply) => self.touched_apply(apply, needed),
            Kind::Aggregate(aggregate) => {
                let inner: Needed = self.grouped(aggregate, needed);
                let touched = self.touched(&aggregate.input, &inner)?;
                Ok(Found::distinct(self.groups(aggregate, needed, false, &|_, _| touched.clone())))
            }
            Kind::Window(window) => self.slices(&window.input, &window.partitions, needed, &window.span),
            Kind::DistinctOn { input, by } => {
                self.slices(input, std::slice::from_ref(by), needed, &(0..self.tree.text.len()))
            }
            Kind::Distinct { input } => self.touched(input, needed),
            Kind::SetOperation { inputs, .. } => {
                let mut branches = Vec::with_capacity(inputs.len());
                for input in inputs {
                    branches.push(self.branch(relation, input, needed, |inner| self.touched(input, inner))?);
                }
                Ok(Found::union(branches, needed))
            }
            Kind::Opaque { obstacle, inputs } => {
                for input in inputs {
                    if !self.touched(input, &Needed::new())?.is_nothing() {
                        return Err(obstacle.clone());
                    }
                }
                Ok(Found::nothing(needed))
            }
        }
    }

    /// Whether an expression reads a time that has gone on.
    fn has_moved(&self, scalar: &Scalar) -> bool {
        let moved = |place: &Range<usize>| {
            self.clock.contains_key(&clock_name(self.tree.text.get(place.clone()).unwrap_or_default()))
        };
        !self.clock.is_empty() && places_in(scalar, self.tree).any(moved)
    }

    /// The rows of a relation for which expressions answer otherwise than at the last refresh, because they read the time.
    fn differing(&self, input: &Relation, scalars: &[Scalar], needed: &Needed) -> Result<Option<FoundRef>, Obstacle> {
        let mut expressions = Vec::new();
        let mut inner = needed.clone();
        for scalar in scalars.iter().filter(|scalar| self.has_moved(scalar)) {
            let Scalar::Text(expression) = scalar else { continue };
            if !self.columns.all_known(scalar) || makes_rows(scalar, &self.tree.text) {
                return Err(Obstacle {
                    reason: "the time has gone on, and it is compared with what an aggregate, a window or a subquery computes"
                        .to_owned(),
                    span: expression.span.clone(),
                    instead: Some("compare a column of a table with the time".to_owned()),
                });
            }
            let mut places = Vec::new();
            for place in places_in(scalar, self.tree) {
                let name = clock_name(self.tree.text.get(place.clone()).unwrap_or_default());
                if let Some(change) = self.clock.get(&name) {
                    places.push((place.clone(), change.clone()));
                }
            }
            inner.extend(scalar.columns());
            expressions.push(Differing { expression: expression.clone(), places });
        }
        if expressions.is_empty() {
            return Ok(None);
        }
        let rows = self.rows(input, &inner);
        let found = Found::new(FoundKind::Differing { input: rows, expressions }, inner.iter().copied());
        Ok(Some(Found::narrow(Found::distinct(found), needed)))
    }

    /// Whether only a chosen part of a relation is read.
    pub(super) fn few(&self, relation: &Relation) -> bool {
        let Some(chosen) = self.chosen else { return false };
        match &relation.kind {
            Kind::Scan { .. } => {
                relation.columns.first().and_then(|column| chosen.get(&column.id)).is_some_and(|(_, few)| *few)
            }
            Kind::Constant { .. } => true,
            Kind::Filter { input, .. }
            | Kind::Project { input, .. }
            | Kind::DistinctOn { input, .. }
            | Kind::Distinct { input } => self.few(input),
            Kind::Join(Join { left, right, kind, .. }) => match kind {
                JoinKind::Inner => self.few(left) || self.few(right),
                JoinKind::Left => self.few(left),
                JoinKind::Full => self.few(left) && self.few(right),
            },
            Kind::Apply(apply) => self.few(&apply.left),
            Kind::Aggregate(aggregate) => self.few(&aggregate.input),
            Kind::Window(window) => self.few(&window.input),
            Kind::SetOperation { operator: SetOperator::Union, inputs, .. } => {
                inputs.iter().all(|input| self.few(input))
            }
            Kind::SetOperation { inputs, .. } => inputs.first().is_some_and(|input| self.few(input)),
            Kind::Opaque { .. } => false,
        }
    }

    fn scan(&self, relation: &Relation, table: usize, needed: &Needed, which: Which) -> FoundRef {
        let place = |column: &ColumnId| relation.columns.iter().position(|one| one.id == *column).unwrap_or_default();
        Found::new(FoundKind::Rows { table, places: needed.iter().map(place).collect(), which }, needed.iter().copied())
    }

    /// The conditions worth keeping, and the columns then needed below: those that ask of no scan that is not read anyhow, and those that few
    /// rows satisfy where that is cheap to see.
    fn kept(&self, input: &Relation, conditions: &[Scalar], needed: &Needed) -> (Vec<Scalar>, Needed) {
        let mut kept = Vec::new();
        let mut inner = needed.clone();
        let homes: Needed = needed.iter().flat_map(|column| self.columns.homes(*column)).collect();
        let alone = scans(input) <= 1;
        for condition in conditions {
            // It may have held at another time.
            if reads_clock(condition, self.tree) {
                continue;
            }
            if !self.columns.all_known(condition) {
                if !self.off.holds(Rule::DropUnknown) && !matches!(condition, Scalar::Unknown(_)) {
                    kept.push(condition.clone());
                    inner.extend(condition.columns().into_iter().filter(|column| self.columns.is_known(*column)));
                }
                continue;
            }
            let columns = condition.columns();
            let at_hand = |column: &ColumnId| self.columns.homes(*column).is_subset(&homes);
            if alone || columns.iter().all(at_hand) || self.is_worth_a_look(condition) {
                kept.push(condition.clone());
                inner.extend(columns);
            }
        }
        (kept, inner)
    }

    fn project(
        &self,
        input: &Relation,
        computed: &[(ColumnId, Scalar)],
        needed: &Needed,
        find: impl FnOnce(&Needed) -> Result<FoundRef, Obstacle>,
    ) -> Result<FoundRef, Obstacle> {
        let unnests = |scalar: &Scalar| makes_rows(scalar, &self.tree.text);
        let together = computed.iter().any(|(column, scalar)| needed.contains(column) && unnests(scalar));
        let kept: Vec<_> = computed
            .iter()
            .filter(|(column, scalar)| needed.contains(column) || (together && unnests(scalar)))
            .cloned()
            .collect();
        let handed_on = ids(input);
        let mut inner: Needed = needed.intersection(&handed_on).copied().collect();
        inner.extend(kept.iter().flat_map(|(_, scalar)| scalar.columns()));
        let found = find(&inner)?;
        if found.is_nothing() {
            return Ok(Found::nothing(needed));
        }
        if kept.is_empty() {
            return Ok(Found::narrow(found, needed));
        }
        Ok(Found::new(FoundKind::Project { input: found, computed: kept }, needed.iter().copied()))
    }

    /// The conditions of a join that can be tested, and the columns needed of either side, without and with them.
    pub(super) fn sides(&self, left: &Relation, right: &Relation, on: &[Scalar], needed: &Needed) -> Sides {
        let (left_ids, right_ids) = (ids(left), ids(right));
        let on: Vec<Scalar> = on
            .iter()
            .filter(|condition| !reads_clock(condition, self.tree))
            .filter(|condition| {
                self.columns.all_known(condition)
                    || (!self.off.holds(Rule::DropUnknown) && !matches!(condition, Scalar::Unknown(_)))
            })
            .cloned()
            .collect();
        let mut sides = Sides {
            left: needed.intersection(&left_ids).copied().collect(),
            right: needed.intersection(&right_ids).copied().collect(),
            left_on: Needed::new(),
            right_on: Needed::new(),
            on,
        };
        for column in sides.on.iter().flat_map(Scalar::columns).filter(|column| self.columns.is_known(*column)) {
            if left_ids.contains(&column) {
                sides.left_on.insert(column);
            } else if right_ids.contains(&column) {
                sides.right_on.insert(column);
            }
        }
        sides
    }

    fn join_rows(&self, join: &Join, needed: &Needed) -> FoundRef {
        let sides = self.sides(&join.left, &join.right, &join.on, needed);
        let nulls = self.off.holds(Rule::NullExtension);
        // A partner that nobody looks at is left out, unless the rows without it would be the only ones that bring a NULL.
        let (left_few, right_few) = (self.few(&join.left), self.few(&join.right));
        let inner_join = join.kind == JoinKind::Inner;
        if sides.right.is_empty() && join.kind != JoinKind::Full && !(inner_join && right_few && !left_few) {
            return self.rows(&join.left, &sides.left);
        }
        if sides.left.is_empty() && inner_join && (right_few || !left_few) {
            return self.rows(&join.right, &sides.right);
        }
        let left = self.rows(&join.left, &union(&sides.left, &sides.left_on));
        let right = self.rows(&join.right, &union(&sides.right, &sides.right_on));
        if join.kind == JoinKind::Inner || !nulls {
            let pairs = inner(left, right, sides.on);
            return Found::pairs(pairs, needed);
        }
        let full = join.kind == JoinKind::Full;
        Found::new(FoundKind::Outer { left, right, on: sides.on, full }, needed.iter().copied())
    }

    fn touched_inner(&self, join: &Join, needed: &Needed) -> Result<FoundRef, Obstacle> {
        let sides = self.sides(&join.left, &join.right, &join.on, needed);
        let mut found = Vec::with_capacity(2);
        for side in [Side::Left, Side::Right] {
            let (driving, other) = match side {
                Side::Left => (&*join.left, &*join.right),
                Side::Right => (&*join.right, &*join.left),
            };
            let (own, own_on, theirs, theirs_on) = sides.seen_from(side);
            if theirs.is_empty() {
                found.push(self.touched(driving, own)?);
                continue;
            }
            let touched = self.touched(driving, &union(own, own_on))?;
            if touched.is_nothing() {
                continue;
            }
            if own.is_empty() && sides.on.is_empty() {
                return Err(self.unlinked(&join.span));
            }
            let other = self.rows(other, &union(theirs, theirs_on));
            found.push(Found::pairs(inner(Found::distinct(touched), other, sides.on.clone()), needed));
        }
        Ok(Found::union(found, needed))
    }

    fn touched_left(&self, join: &Join, needed: &Needed) -> Result<FoundRef, Obstacle> {
        let sides = self.sides(&join.left, &join.right, &join.on, needed);
        let nulls = self.off.holds(Rule::NullExtension);
        let mut found = Vec::with_capacity(2);
        if sides.right.is_empty() {
            found.push(self.touched(&join.left, &sides.left)?);
        } else {
            let driving = self.touched(&join.left, &union(&sides.left, &sides.left_on))?;
            if !driving.is_nothing() {
                let other = self.rows(&join.right, &union(&sides.right, &sides.right_on));
                let pairs = Pairs {
                    outer: nulls,
                    without_other: nulls,
                    ..inner(Found::distinct(driving), other, sides.on.clone())
                };
                found.push(Found::pairs(pairs, needed));
            }
        }
        let driving = self.touched(&join.right, &union(&sides.right, &sides.right_on))?;
        if !driving.is_nothing() {
            if sides.on.is_empty() && sides.right.is_empty() {
                return Err(self.unlinked(&join.span));
            }
            let other = self.rows(&join.left, &union(&sides.left, &sides.left_on));
            let without_driving = nulls && !sides.right.is_empty();
            let pairs = Pairs { without_driving, ..inner(Found::distinct(driving), other, sides.on) };
            found.push(Found::pairs(pairs, needed));
        }
        Ok(Found::union(found, needed))
    }

    fn touched_full(&self, join: &Join, needed: &Needed) -> Result<FoundRef, Obstacle> {
        let sides = self.sides(&join.left, &join.right, &join.on, needed);
        let nulls = self.off.holds(Rule::NullExtension);
        let orphans = self.off.holds(Rule::OrphanSide);
        let mut found = Vec::with_capacity(2);
        for side in [Side::Left, Side::Right] {
            let (driving, other) = match side {
                Side::Left => (&*join.left, &*join.right),
                Side::Right => (&*join.right, &*join.left),
            };
            let (own, own_on, theirs, theirs_on) = sides.seen_from(side);
            let driving = self.touched(driving, &union(own, own_on))?;
            if driving.is_nothing() {
                continue;
            }
            let other = self.rows(other, &union(theirs, theirs_on));
            let left = side == Side::Left;
            let pairs = Pairs {
                // Without the rule for orphans a full join is taken for a left join.
                outer: nulls && (orphans || left),
                without_other: nulls && (orphans || left),
                without_driving: nulls && (orphans || !left),
                ..inner(Found::distinct(driving), other, sides.on.clone())
            };
            found.push(Found::pairs(pairs, needed));
        }
        Ok(Found::union(found, needed))
    }

    fn touched_lateral(&self, join: &Join, needed: &Needed) -> Result<FoundRef, Obstacle> {
        let sides = self.sides(&join.left, &join.right, &join.on, needed);
        let outer = join.kind != JoinKind::Inner && self.off.holds(Rule::NullExtension);
        let left_all = union(&sides.left, &sides.left_on);
        let mut driving = Vec::with_capacity(2);
        if sides.right.is_empty() {
            driving.push(self.touched(&join.left, &sides.left)?);
        } else {
            driving.push(self.touched(&join.left, &left_all)?);
        }
        let right = self.touched(&join.right, &sides.right_on)?;
        let needed_left = if sides.right.is_empty() { &sides.left } else { &left_all };
        if !right.is_nothing() {
            if sides.on.is_empty() {
                return Err(self.unlinked(&join.span));
            }
            if !self.off.holds(Rule::LateralExpansion) && !sides.right.is_empty() {
                return self.touched_left(join, needed);
            }
            let other = self.rows(&join.left, &left_all);
            driving.push(Found::pairs(inner(Found::distinct(right), other, sides.on.clone()), needed_left));
        }
        let driving = Found::union(driving, needed_left);
        if sides.right.is_empty() || driving.is_nothing() {
            return Ok(Found::narrow(driving, needed));
        }
        let other = self.rows(&join.right, &union(&sides.right, &sides.right_on));
        let pairs = Pairs { outer, without_other: outer, ..inner(Found::distinct(driving), other, sides.on) };
        Ok(Found::pairs(pairs, needed))
    }

    fn touched_apply(&self, apply: &Apply, needed: &Needed) -> Result<FoundRef, Obstacle> {
        let sides = self.sides(&apply.left, &apply.right, &apply.on, needed);
        let mut found = vec![match self.tested(apply, needed) {
            Some(tested) => {
                let left = self.touched(&apply.left, &union(&tested.left, &tested.left_on))?;
                self.with_partner(Found::distinct(left), &apply.right, &tested.on, &tested.right_on, needed)
            }
            None => self.touched(&apply.left, &sides.left)?,
        }];
        let ApplyKind::Membership { tested, with, .. } = &apply.kind else {
            found.extend(self.partners(apply, &sides.on, &sides, None, None)?);
            return Ok(Found::union(found, needed));
        };
        let known = !tested.is_empty()
            && tested.len() == with.len()
            && tested.iter().chain(with).all(|column| self.columns.is_known(*column));
        let pair = |scalar: &Scalar| {
            tested.iter().zip(with).any(|(left, right)| {
                matches!(scalar, Scalar::Equal(one, other) if (one, other) == (left, right) || (other, one) == (left, right))
            })
        };
        let link: Vec<Scalar> = sides.on.iter().filter(|scalar| !pair(scalar)).cloned().collect();
        if !known {
            // Every row is tested against every row.
            found.extend(self.partners(apply, &link, &sides, None, None)?);
            return Ok(Found::union(found, needed));
        }
        let mut matches = link.clone();
        matches.extend(tested.iter().zip(with).map(|(left, right)| Scalar::Equal(*left, *right)));
        found.extend(self.partners(apply, &matches, &sides, None, None)?);
        if self.off.holds(Rule::ThreeValued) {
            // With several tested columns a NULL in one of them leaves the answer open.
            for (left, right) in tested.iter().zip(with) {
                found.extend(self.partners(apply, &link, &sides, None, Some(*right))?);
                found.extend(self.partners(apply, &link, &sides, Some(*left), None)?);
            }
            // An empty set gives another answer than one without a match for NULL only, which the rows above hold.
        }
        Ok(Found::union(found, needed))
    }

    /// The rows of the left with a touched partner; of either side only those with NULL in a column.
    fn partners(
        &self,
        apply: &Apply,
        on: &[Scalar],
        sides: &Sides,
        left_null: Option<ColumnId>,
        right_null: Option<ColumnId>,
    ) -> Result<Option<FoundRef>, Obstacle> {
        let (left_ids, right_ids) = (ids(&apply.left), ids(&apply.right));
        let of = |all: &Needed| -> Needed {
            on.iter()
                .flat_map(Scalar::columns)
                .filter(|column| all.contains(column) && self.columns.is_known(*column))
                .collect()
        };
        if left_null.is_none()
            && right_null.is_none()
            && let Some(columns) = self.stand_ins(on, &sides.left, &right_ids)
        {
            let of: Needed = columns.iter().map(|(_, right)| *right).collect();
            let driving = self.touched(&apply.right, &of)?;
            if driving.is_nothing() {
                return Ok(None);
            }
            // Nothing is equal to NULL.
            let kind = FoundKind::Filled { input: Found::narrow(driving, &of) };
            let filled = Found::distinct(Found::new(kind, of));
            let kind = FoundKind::Renamed { input: filled, columns, null: Vec::new() };
            return Ok(Some(Found::new(kind, sides.left.iter().copied())));
        }
        let mut driving = self.touched(&apply.right, &union(&of(&right_ids), &right_null.into_iter().collect()))?;
        if driving.is_nothing() {
            return Ok(None);
        }
        if on.is_empty() && left_null.is_none() && right_null.is_none() {
            return Err(Obstacle {
                reason: "a subquery that gives one answer for all rows, and what it reads has changed".to_owned(),
                span: apply.span.clone(),
                instead: Some("link it to the row by an equality, or make it a model of its own".to_owned()),
            });
        }
        if let Some(column) = right_null {
            driving = is_null(driving, column);
        }
        let mut other =
            self.rows(&apply.left, &union(&union(&sides.left, &of(&left_ids)), &left_null.into_iter().collect()));
        if let Some(column) = left_null {
            other = is_null(other, column);
        }
        let pairs = inner(Found::distinct(Found::narrow(driving, &of(&right_ids))), other, on.to_vec());
        Ok(Some(Found::pairs(pairs, &sides.left)))
    }

    /// Columns of the input that the needed grouping columns are.
    fn grouped(&self, aggregate: &Aggregate, needed: &Needed) -> Needed {
        aggregate
            .groups
            .iter()
            .filter(|(group, from)| needed.contains(group) && self.columns.is_known(*from))
            .map(|(_, from)| *from)
            .collect()
    }

    fn groups(
        &self,
        aggregate: &Aggregate,
        needed: &Needed,
        totals: bool,
        find: &dyn Fn(&Relation, &Needed) -> FoundRef,
    ) -> FoundRef {
        let inner = self.grouped(aggregate, needed);
        let plain = aggregate.sets.len() <= 1 && aggregate.groups.iter().all(|(group, from)| group == from);
        let input = find(&aggregate.input, &inner);
        if input.is_nothing() {
            return Found::nothing(needed);
        }
        if plain {
            return input;
        }
        let mut sets = Vec::with_capacity(aggregate.sets.len());
        for set in &aggregate.sets {
            let (mut columns, mut null) = (Vec::new(), Vec::new());
            for (index, pair) in aggregate.groups.iter().enumerate().filter(|(_, pair)| needed.contains(&pair.0)) {
                if set.contains(&index) { columns.push(*pair) } else { null.push(*pair) }
            }
            let mut input = input.clone();
            if totals && set.is_empty() {
                let left = Found::new(FoundKind::One, []);
                let kind = FoundKind::Outer { left, right: input, on: Vec::new(), full: false };
                input = Found::new(kind, inner.iter().copied());
            }
            let kind = FoundKind::Renamed { input, columns, null };
            sets.push(Found::new(kind, needed.iter().copied()));
        }
        Found::union(sets, needed)
    }

    fn slices(
        &self,
        input: &Relation,
        lists: &[Vec<ColumnId>],
        needed: &Needed,
        span: &Range<usize>,
    ) -> Result<FoundRef, Obstacle> {
        let known = |list: &Vec<ColumnId>| -> Needed {
            list.iter().copied().filter(|column| self.columns.is_known(*column)).collect()
        };
        // A coarser partition holds the finer one, so what is unknown can be left out of a list.
        let lists: BTreeSet<Needed> = lists.iter().map(known).collect();
        let all: Needed = lists.iter().flatten().copied().collect();
        if !self.off.holds(Rule::SliceExpansion) || (lists.len() == 1 && needed.is_subset(&all)) {
            return Ok(Found::distinct(self.touched(input, needed)?));
        }
        let touched = self.touched(input, &all)?;
        if touched.is_nothing() {
            return Ok(Found::nothing(needed));
        }
        let mut found = Vec::with_capacity(lists.len());
        for list in &lists {
            if list.is_empty() {
                return Err(Obstacle {
                    reason: "a window is partitioned by a value that an aggregate, a window or a subquery computes"
                        .to_owned(),
                    span: span.clone(),
                    instead: Some("make the query that computes it a model of its own".to_owned()),
                });
            }
            let rows = self.rows(input, &union(needed, list));
            let slice = FoundKind::Slice { rows, touched: touched.clone(), by: list.iter().copied().collect() };
            found.push(Found::new(slice, needed.iter().copied()));
        }
        Ok(Found::union(found, needed))
    }

    /// A branch of a set operation under the identities of the result.
    fn branch(
        &self,
        result: &Relation,
        input: &Relation,
        needed: &Needed,
        find: impl FnOnce(&Needed) -> Result<FoundRef, Obstacle>,
    ) -> Result<FoundRef, Obstacle> {
        let columns: Vec<(ColumnId, ColumnId)> = result
            .columns
            .iter()
            .zip(&input.columns)
            .filter(|(column, _)| needed.contains(&column.id))
            .map(|(column, inner)| (column.id, inner.id))
            .collect();
        let found = find(&columns.iter().map(|(_, inner)| *inner).collect())?;
        if found.is_nothing() {
            return Ok(Found::nothing(needed));
        }
        let kind = FoundKind::Renamed { input: found, columns, null: Vec::new() };
        Ok(Found::new(kind, needed.iter().copied()))
    }

    fn unlinked(&self, span: &Range<usize>) -> Obstacle {
        Obstacle {
            reason: "a change on one side of this join touches every row of the other: nothing that is known before \
                     aggregates, windows and subqueries are computed links them"
                .to_owned(),
            span: span.clone(),
            instead: Some("join by a column that a table or a GROUP BY hands on".to_owned()),
        }
    }
}

/// The columns needed of the two sides of a join.
pub(super) struct Sides {
    pub(super) left: Needed,
    pub(super) right: Needed,
    pub(super) left_on: Needed,
    pub(super) right_on: Needed,
    pub(super) on: Vec<Scalar>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

impl Sides {
    /// Needed of the own side, for the conditions of the own side, of the other, for the conditions of the other.
    fn seen_from(&self, side: Side) -> (&Needed, &Needed, &Needed, &Needed) {
        match side {
            Side::Left => (&self.left, &self.left_on, &self.right, &self.right_on),
            Side::Right => (&self.right, &self.right_on, &self.left, &self.left_on),
        }
    }
}

fn inner(driving: FoundRef, other: FoundRef, on: Vec<Scalar>) -> Pairs {
    Pairs { driving, other, on, outer: false, without_other: false, without_driving: false }
}

fn is_null(input: FoundRef, column: ColumnId) -> FoundRef {
    let columns = input.columns.clone();
    Found::new(FoundKind::Null { input, column }, columns)
}

fn union(one: &Needed, other: &Needed) -> Needed {
    one.union(other).copied().collect()
}

/// How many scans a relation holds.
fn scans(relation: &Relation) -> usize {
    match &relation.kind {
        Kind::Scan { .. } => 1,
        Kind::Constant { .. } => 0,
        Kind::Filter { input, .. }
        | Kind::Project { input, .. }
        | Kind::DistinctOn { input, .. }
        | Kind::Distinct { input } => scans(input),
        Kind::Join(Join { left, right, .. }) | Kind::Apply(Apply { left, right, .. }) => scans(left) + scans(right),
        Kind::Aggregate(aggregate) => scans(&aggregate.input),
        Kind::Window(window) => scans(&window.input),
        Kind::SetOperation { inputs, .. } | Kind::Opaque { inputs, .. } => inputs.iter().map(scans).sum(),
    }
}
