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

/// The columns that have one value wherever the given ones have one: those that are equal to them, and those of tables whose key is
/// among them.
pub(crate) fn determined(relation: &Relation, by: &BTreeSet<ColumnId>, tables: TableKeys<'_>) -> BTreeSet<ColumnId> {
    let mut types = Types::new();
    note_types(relation, &mut types);
    let mut known = by.clone();
    loop {
        let before = known.len();
        add_determined(relation, &mut known, &types, tables);
        if known.len() == before {
            return known;
        }
    }
}

type Types<'a> = BTreeMap<ColumnId, &'a str>;

fn note_types<'a>(relation: &'a Relation, types: &mut Types<'a>) {
    for column in &relation.columns {
        if let Some(name) = &column.engine_type {
            types.insert(column.id, name);
        }
    }
    match &relation.kind {
        Kind::Filter { input, .. } | Kind::Project { input, .. } => note_types(input, types),
        Kind::Join(join) => {
            note_types(&join.left, types);
            note_types(&join.right, types);
        }
        Kind::Apply(apply) => note_types(&apply.left, types),
        _ => {}
    }
}

fn add_determined(relation: &Relation, known: &mut BTreeSet<ColumnId>, types: &Types<'_>, tables: TableKeys<'_>) {
    match &relation.kind {
        Kind::Scan { table } => {
            let places = tables(*table);
            let whole = |place: &usize| relation.columns.get(*place).is_some_and(|column| known.contains(&column.id));
            if !places.is_empty() && places.iter().all(whole) {
                known.extend(relation.columns.iter().map(|column| column.id));
            }
        }
        Kind::Filter { input, conditions } => {
            add_equal(conditions, known, types);
            add_determined(input, known, types, tables);
        }
        Kind::Project { input, computed } => {
            for (id, scalar) in computed {
                if let Scalar::Column(inner) = scalar {
                    if known.contains(inner) {
                        known.insert(*id);
                    } else if known.contains(id) {
                        known.insert(*inner);
                    }
                }
            }
            add_determined(input, known, types, tables);
        }
        Kind::Join(Join { kind: JoinKind::Inner, left, right, on, lateral: false, .. }) => {
            add_equal(on, known, types);
            add_determined(left, known, types, tables);
            add_determined(right, known, types, tables);
        }
        Kind::Join(Join { kind: JoinKind::Left, left, right, on, lateral: false, .. }) => {
            add_determined(left, known, types, tables);
            // Without a partner all columns of the right are NULL; whether there is one must be determined, too.
            let pairs = equalities(on, left, right);
            let pairs: Vec<_> = pairs.into_iter().filter(|(one, other)| same_type(*one, *other, types)).collect();
            if pairs.len() == on.len() && !pairs.is_empty() && pairs.iter().all(|(one, _)| known.contains(one)) {
                known.extend(pairs.iter().map(|(_, other)| *other));
                if is_scan(right) {
                    add_determined(right, known, types, tables);
                }
            }
        }
        Kind::Apply(apply) => add_determined(&apply.left, known, types, tables),
        _ => {}
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

/// Of different types several values may be equal to one.
fn same_type(one: ColumnId, other: ColumnId, types: &Types<'_>) -> bool {
    types.get(&one).is_some_and(|name| types.get(&other) == Some(name))
}

fn add_equal(conditions: &[Scalar], known: &mut BTreeSet<ColumnId>, types: &Types<'_>) {
    for condition in conditions {
        if let Scalar::Equal(one, other) = condition
            && same_type(*one, *other, types)
        {
            if known.contains(one) {
                known.insert(*other);
            } else if known.contains(other) {
                known.insert(*one);
            }
        }
    }
}
