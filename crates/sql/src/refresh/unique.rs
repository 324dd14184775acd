//! Which columns of a relation identify its rows, as far as that is proven by the keys of tables and by the query itself.

use std::collections::{BTreeMap, BTreeSet};

use super::columns::makes_rows;
use super::push::equalities;
use super::relation::{ColumnId, Join, JoinKind, Kind, Relation, Scalar, SetOperator};

/// Columns of which no two rows have the same values, NULL with NULL. Empty where there is one row at most.
pub(crate) type UniqueKey = BTreeSet<ColumnId>;

/// The places of the columns that identify a row of a table, by its index; empty without.
pub(crate) type TableKeys<'a> = &'a dyn Fn(usize) -> Vec<usize>;

/// So many keys of one relation are looked at.
const MOST: usize = 4;

/// Proven keys of a relation, the smallest first.
pub(crate) fn unique_keys(relation: &Relation, text: &str, tables: TableKeys<'_>) -> Vec<UniqueKey> {
    let mut keys = of(relation, text, tables);
    keys.sort_by_key(BTreeSet::len);
    keys.dedup();
    keys.truncate(MOST);
    keys
}

fn of(relation: &Relation, text: &str, tables: TableKeys<'_>) -> Vec<UniqueKey> {
    let all = || relation.columns.iter().map(|column| column.id).collect::<UniqueKey>();
    match &relation.kind {
        Kind::Scan { table } => {
            let places = tables(*table);
            let key: Option<UniqueKey> =
                places.iter().map(|place| relation.columns.get(*place).map(|column| column.id)).collect();
            key.filter(|key| !key.is_empty()).into_iter().collect()
        }
        Kind::Constant { .. } | Kind::Opaque { .. } => Vec::new(),
        Kind::Filter { input, .. } => unique_keys(input, text, tables),
        Kind::Window(window) => unique_keys(&window.input, text, tables),
        Kind::Apply(apply) => unique_keys(&apply.left, text, tables),
        Kind::DistinctOn { input, by } => {
            let mut keys = unique_keys(input, text, tables);
            keys.push(by.iter().copied().collect());
            keys
        }
        Kind::Project { input, computed } => {
            if computed.iter().any(|(_, scalar)| makes_rows(scalar, text)) {
                return Vec::new();
            }
            let shown = |column: &ColumnId| -> Option<ColumnId> {
                if relation.columns.iter().any(|one| one.id == *column) {
                    return Some(*column);
                }
                let renamed = computed.iter().find(|(_, scalar)| *scalar == Scalar::Column(*column));
                renamed.map(|(id, _)| *id)
            };
            let keys = unique_keys(input, text, tables);
            keys.iter().filter_map(|key| key.iter().map(shown).collect()).collect()
        }
        Kind::Join(join) => of_join(join, text, tables),
        Kind::Aggregate(aggregate) => {
            let whole = matches!(aggregate.sets.as_slice(), [] | [_])
                && aggregate.sets.iter().all(|set| set.len() == aggregate.groups.len());
            whole.then(|| aggregate.groups.iter().map(|(group, _)| *group).collect()).into_iter().collect()
        }
        Kind::Distinct { input } => {
            let mut keys = unique_keys(input, text, tables);
            keys.push(all());
            keys
        }
        Kind::SetOperation { all: false, .. } => vec![all()],
        Kind::SetOperation { operator: SetOperator::Union, .. } => Vec::new(),
        Kind::SetOperation { inputs, .. } => {
            let Some(first) = inputs.first() else { return Vec::new() };
            let place = |column: &ColumnId| {
                let place = first.columns.iter().position(|one| one.id == *column)?;
                relation.columns.get(place).map(|column| column.id)
            };
            let keys = unique_keys(first, text, tables);
            keys.iter().filter_map(|key| key.iter().map(place).collect()).collect()
        }
    }
}

fn of_join(join: &Join, text: &str, tables: TableKeys<'_>) -> Vec<UniqueKey> {
    // A lateral side is what its rows are chosen from, not what they are.
    if join.lateral {
        return Vec::new();
    }
    let (left, right) = (unique_keys(&join.left, text, tables), unique_keys(&join.right, text, tables));
    let mut pairs = equalities(&join.on, &join.left, &join.right);
    // Of different types several values may be equal to one.
    pairs.retain(|(one, other)| {
        let of = |relation: &Relation, id: &ColumnId| {
            relation.columns.iter().find(|column| column.id == *id).and_then(|column| column.engine_type.clone())
        };
        let engine_type = of(&join.left, one);
        engine_type.is_some() && engine_type == of(&join.right, other)
    });
    let one_right = right.iter().any(|key| key.iter().all(|id| pairs.iter().any(|(_, right)| right == id)));
    let one_left = left.iter().any(|key| key.iter().all(|id| pairs.iter().any(|(left, _)| left == id)));
    let mut keys = Vec::new();
    if one_right && join.kind != JoinKind::Full {
        keys.extend(left.iter().cloned());
    }
    if one_left && join.kind == JoinKind::Inner {
        keys.extend(right.iter().cloned());
    }
    if keys.is_empty() {
        for one in &left {
            keys.extend(right.iter().map(|other| one.union(other).copied().collect::<UniqueKey>()));
        }
    }
    keys
}

/// What a change did to the tables, as far as it is known.
#[derive(Clone, Copy)]
pub(crate) struct Changed<'a> {
    /// Whether no row that a table, by its index, had before and has now differs in a column, by its place.
    pub same: &'a dyn Fn(usize, usize) -> bool,
    /// Whether a table has neither lost keys nor got new ones.
    pub stays: &'a dyn Fn(usize) -> bool,
    /// Whether equal values of a type are identical.
    pub exact: &'a dyn Fn(&str) -> bool,
}

/// The columns that have one value wherever the given ones have one: those that are equal to them, and those of tables whose key is
/// among them.
pub(crate) fn determined(relation: &Relation, by: &BTreeSet<ColumnId>, tables: TableKeys<'_>) -> BTreeSet<ColumnId> {
    Determined::new(relation, by, "", tables, None).known
}

/// The columns that have the same value in a row of the answer from before a change and in one from after it, where both have the same
/// values in the given ones. The time must be the same for both, and `text` be the text of the tree.
pub(crate) fn unchanged(
    relation: &Relation,
    by: &BTreeSet<ColumnId>,
    text: &str,
    tables: TableKeys<'_>,
    changed: Changed<'_>,
) -> BTreeSet<ColumnId> {
    Determined::new(relation, by, text, tables, Some(changed)).known
}

/// What follows from some columns.
struct Determined<'a> {
    known: BTreeSet<ColumnId>,
    types: BTreeMap<ColumnId, &'a str>,
    text: &'a str,
    tables: TableKeys<'a>,
    /// Without it, two rows of one answer are compared.
    changed: Option<Changed<'a>>,
}

impl<'a> Determined<'a> {
    fn new(
        relation: &'a Relation,
        by: &BTreeSet<ColumnId>,
        text: &'a str,
        tables: TableKeys<'a>,
        changed: Option<Changed<'a>>,
    ) -> Self {
        let mut determined = Self { known: by.clone(), types: BTreeMap::new(), text, tables, changed };
        determined.note_types(relation);
        loop {
            let before = determined.known.len();
            determined.add(relation);
            if determined.known.len() == before {
                return determined;
            }
        }
    }

    fn note_types(&mut self, relation: &'a Relation) {
        for column in &relation.columns {
            if let Some(name) = &column.engine_type {
                self.types.insert(column.id, name);
            }
        }
        match &relation.kind {
            Kind::Filter { input, .. } | Kind::Project { input, .. } => self.note_types(input),
            Kind::Join(join) => {
                self.note_types(&join.left);
                self.note_types(&join.right);
            }
            Kind::Apply(apply) => self.note_types(&apply.left),
            _ => {}
        }
    }

    fn add(&mut self, relation: &Relation) {
        match &relation.kind {
            Kind::Scan { table } => {
                let places = (self.tables)(*table);
                let has =
                    |place: &usize| relation.columns.get(*place).is_some_and(|column| self.known.contains(&column.id));
                if !places.is_empty() && places.iter().all(has) {
                    let same = |place: usize| self.changed.is_none_or(|changed| (changed.same)(*table, place));
                    let columns = relation.columns.iter().enumerate().filter(|(place, _)| same(*place));
                    let columns: Vec<ColumnId> = columns.map(|(_, column)| column.id).collect();
                    self.known.extend(columns);
                }
            }
            Kind::Filter { input, conditions } => {
                self.add_equal(conditions);
                self.add(input);
            }
            Kind::Project { input, computed } => {
                for (id, scalar) in computed {
                    match scalar {
                        Scalar::Column(inner) if self.known.contains(inner) => {
                            self.known.insert(*id);
                        }
                        Scalar::Column(inner) if self.known.contains(id) => {
                            self.known.insert(*inner);
                        }
                        Scalar::Text(_) | Scalar::Coalesce(_) if self.changed.is_some() && self.follows(scalar) => {
                            self.known.insert(*id);
                        }
                        _ => {}
                    }
                }
                self.add(input);
            }
            Kind::Join(Join { kind: JoinKind::Inner, left, right, on, lateral: false, .. }) => {
                self.add_equal(on);
                self.add(left);
                self.add(right);
            }
            Kind::Join(Join { kind: JoinKind::Left, left, right, on, lateral: false, .. }) => {
                self.add(left);
                // Without a partner all columns of the right are NULL; whether there is one must be determined, too.
                let pairs = equalities(on, left, right);
                let pairs: Vec<_> = pairs.into_iter().filter(|(one, other)| self.same_type(*one, *other)).collect();
                if pairs.len() == on.len()
                    && !pairs.is_empty()
                    && pairs.iter().all(|(one, _)| self.known.contains(one))
                    && self.has_its_partners(right, &pairs)
                {
                    self.known.extend(pairs.iter().map(|(_, other)| *other));
                    if is_scan(right) {
                        self.add(right);
                    }
                }
            }
            Kind::Apply(apply) => self.add(&apply.left),
            _ => {}
        }
    }

    /// Whether a row of the right side of an outer join that stood beside one of the left does so after the change, and whether none does
    /// where none did: it is a table whose key is all that it is joined by, and what it is filtered by did not change.
    fn has_its_partners(&self, right: &Relation, pairs: &[(ColumnId, ColumnId)]) -> bool {
        let Some(changed) = self.changed else { return true };
        let (mut relation, mut asked) = (right, Vec::new());
        let table = loop {
            match &relation.kind {
                Kind::Scan { table } => break *table,
                Kind::Filter { input, conditions } => {
                    asked.extend(conditions.iter().flat_map(Scalar::columns));
                    relation = input;
                }
                Kind::Project { input, computed } if !computed.iter().any(|(_, one)| makes_rows(one, self.text)) => {
                    relation = input;
                }
                _ => return false,
            }
        };
        let place = |id: &ColumnId| relation.columns.iter().position(|column| column.id == *id);
        let key = (self.tables)(table);
        let mut joined: Vec<usize> = pairs.iter().filter_map(|(_, id)| place(id)).collect();
        joined.sort_unstable();
        joined.dedup();
        let mut wanted = key.clone();
        wanted.sort_unstable();
        (changed.stays)(table)
            && !key.is_empty()
            && joined == wanted
            && joined.len() == pairs.len()
            && asked.iter().all(|id| place(id).is_some_and(|place| (changed.same)(table, place)))
    }

    /// Whether the value of an expression follows from what is known.
    fn follows(&self, scalar: &Scalar) -> bool {
        let columns = scalar.columns();
        !columns.is_empty()
            && !makes_rows(scalar, self.text)
            && columns.iter().all(|column| self.known.contains(column))
    }

    /// Of different types several values may be equal to one. Beside a change, values that are equal must be identical, too.
    fn same_type(&self, one: ColumnId, other: ColumnId) -> bool {
        let exact = |name: &str| self.changed.is_none_or(|changed| (changed.exact)(name));
        self.types.get(&one).is_some_and(|name| self.types.get(&other) == Some(name) && exact(name))
    }

    fn add_equal(&mut self, conditions: &[Scalar]) {
        for condition in conditions {
            if let Scalar::Equal(one, other) = condition
                && self.same_type(*one, *other)
            {
                if self.known.contains(one) {
                    self.known.insert(*other);
                } else if self.known.contains(other) {
                    self.known.insert(*one);
                }
            }
        }
    }
}

/// A table, its columns perhaps under other names: nothing about its rows depends on others.
fn is_scan(relation: &Relation) -> bool {
    match &relation.kind {
        Kind::Scan { .. } => true,
        Kind::Project { input, .. } | Kind::Filter { input, .. } => is_scan(input),
        _ => false,
    }
}
