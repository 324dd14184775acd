//! What spares a look, or is worth one: conditions and partners that leave few keys where that is cheap to see, and columns that stand in
//! for others.

use super::clock::reads_clock;
use super::columns::{Columns, Definition};
use super::discover::{Finder, Needed, Sides};
use super::found::{Found, FoundKind, FoundRef};
use super::relation::{Apply, ApplyKind, ColumnId, Join, JoinKind, Kind, Relation, Scalar};

impl Finder<'_> {
    /// Whether a known condition asks for particular values of tables that are near.
    pub(super) fn is_worth_a_look(&self, condition: &Scalar) -> bool {
        let near = |home: &ColumnId| match self.columns.definition(*home) {
            Definition::Table(table, _) => self.near.get(*table) == Some(&true),
            _ => false,
        };
        let homes: Needed = condition.columns().into_iter().flat_map(|column| self.columns.homes(column)).collect();
        self.chosen.is_none() && !homes.is_empty() && homes.iter().all(near) && self.is_particular(condition)
    }

    /// Whether a condition asks for particular values, as far as its text shows.
    fn is_particular(&self, condition: &Scalar) -> bool {
        let Scalar::Text(text) = condition else { return false };
        self.tree.text.get(text.span.clone()).is_some_and(asks_for_values)
    }

    /// The conditions by which a row must have a partner in what a subquery reads, where few have one and it is cheap to see.
    pub(super) fn tested(&self, apply: &Apply, needed: &Needed) -> Option<Sides> {
        if apply.kind != ApplyKind::Semi || !self.narrows(&apply.right) {
            return None;
        }
        let sides = self.sides(&apply.left, &apply.right, &apply.on, needed);
        is_linked(&sides.on).then_some(sides)
    }

    /// Those of some rows that have a partner in a relation.
    pub(super) fn with_partner(
        &self,
        rows: FoundRef,
        relation: &Relation,
        on: &[Scalar],
        of: &Needed,
        needed: &Needed,
    ) -> FoundRef {
        let partners = self.rows(relation, of);
        if rows.is_nothing() || partners.is_nothing() {
            return Found::nothing(needed);
        }
        let columns = rows.columns.clone();
        let kind = FoundKind::Partnered { input: rows, partners, on: on.to_vec() };
        Found::narrow(Found::new(kind, columns), needed)
    }

    /// Whether a relation asks for particular values of what is near or chosen, so that few rows have a partner in it.
    fn narrows(&self, relation: &Relation) -> bool {
        let narrow = |relation: &Relation, conditions: &[Scalar]| {
            let known = |scalar: &&Scalar| self.columns.all_known(scalar) && !reads_clock(scalar, self.tree);
            (self.few(relation) || self.near_only(relation))
                && conditions.iter().filter(known).any(|one| self.is_particular(one))
        };
        match &relation.kind {
            Kind::Filter { input, conditions } => narrow(input, conditions) || self.narrows(input),
            Kind::Project { input, .. } | Kind::Distinct { input } => self.narrows(input),
            _ => false,
        }
    }

    /// Whether all that a relation reads are rows of tables that are near, as they are.
    fn near_only(&self, relation: &Relation) -> bool {
        match &relation.kind {
            Kind::Scan { table } => self.near.get(*table) == Some(&true),
            Kind::Filter { input, .. } | Kind::Project { input, .. } | Kind::Distinct { input } => {
                self.near_only(input)
            }
            Kind::Join(Join { left, right, kind: JoinKind::Inner, lateral: false, .. }) => {
                self.near_only(left) && self.near_only(right)
            }
            _ => false,
        }
    }

    /// For each of the columns wanted one of the other side that conditions say is equal, so that nobody has to look up the row it belongs
    /// to; `None` where one has none. Equal values must be identical, since keys are.
    pub(super) fn stand_ins(
        &self,
        on: &[Scalar],
        wanted: &Needed,
        others: &Needed,
    ) -> Option<Vec<(ColumnId, ColumnId)>> {
        let is_for = |column: ColumnId, other: ColumnId| {
            let kind = type_of(self.columns, column);
            others.contains(&other)
                && self.columns.is_known(other)
                && kind.is_some_and(is_identical_when_equal)
                && kind == type_of(self.columns, other)
        };
        let stand_in = |column: &ColumnId| {
            on.iter().find_map(|condition| match condition {
                Scalar::Equal(one, other) if one == column && is_for(*one, *other) => Some((*column, *other)),
                Scalar::Equal(other, one) if one == column && is_for(*one, *other) => Some((*column, *other)),
                _ => None,
            })
        };
        if wanted.is_empty() { None } else { wanted.iter().map(stand_in).collect() }
    }
}

/// Whether conditions link rows by an equality.
fn is_linked(on: &[Scalar]) -> bool {
    on.iter().any(|condition| matches!(condition, Scalar::Equal(..)))
}

/// Whether a condition asks for particular values, as far as its text shows: most rows do not satisfy it then.
fn asks_for_values(condition: &str) -> bool {
    let text = condition.to_ascii_lowercase();
    let equal = text.match_indices('=').any(|(at, _)| {
        let before = text[..at].trim_end().chars().next_back();
        !before.is_none_or(|one| "<>!=~".contains(one)) && !text[at + 1..].starts_with(['=', '>'])
    });
    let mut words = text.split(|one: char| !one.is_alphanumeric() && one != '_');
    let mut negated = false;
    let listed = words.any(|word| {
        let found = ["in", "like", "ilike", "between"].contains(&word) && !negated;
        negated = word == "not";
        found
    });
    equal || listed
}

/// The engine's type of a column, through renamings.
fn type_of(columns: &Columns, column: ColumnId) -> Option<&str> {
    match (columns.engine_type(column), columns.definition(column)) {
        (None, Definition::Computed(Scalar::Column(inner))) => type_of(columns, *inner),
        (known, _) => known,
    }
}

/// Whether equal values of an engine's type are identical: no two ways to write one number, no collation.
fn is_identical_when_equal(engine_type: &str) -> bool {
    let name = engine_type.to_ascii_lowercase();
    let whole = ["smallint", "integer", "bigint", "tinyint", "utinyint", "usmallint", "uinteger", "ubigint", "hugeint"];
    whole.contains(&name.as_str()) || ["boolean", "date", "uuid"].contains(&name.as_str())
}
