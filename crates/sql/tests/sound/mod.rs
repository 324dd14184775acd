//! What holds for every tree.

use std::collections::HashSet;

use thalweg_sql::refresh::{ApplyKind, ColumnId, Kind, Relation, Scalar, Tree};

/// Every column that is named is there where it is named, no column is made twice, and every span is a piece of the text.
pub fn check(tree: &Tree) {
    let mut made = HashSet::new();
    visit(tree, &tree.root, &mut made);
    assert_eq!(tree.names.len(), tree.root.columns.len(), "a name for each column");
    for table in &tree.tables {
        assert!(tree.text.get(table.span.clone()).is_some_and(|text| !text.is_empty()), "{table:?}");
    }
}

fn visit(tree: &Tree, relation: &Relation, made: &mut HashSet<ColumnId>) {
    let mut own: Vec<ColumnId> = Vec::new();
    let ids = |relation: &Relation| relation.columns.iter().map(|column| column.id).collect::<Vec<_>>();
    let distinct: HashSet<ColumnId> = ids(relation).into_iter().collect();
    assert_eq!(
        distinct.len(),
        relation.columns.len(),
        "each column once in {:?}\n{}",
        relation.columns,
        tree.outline()
    );
    let scalar = |scalar: &Scalar, known: &[ColumnId]| {
        for id in scalar.columns() {
            assert!(known.contains(&id), "{scalar:?} names what is not there\n{}\n{}", tree.text, tree.outline());
        }
        if let Scalar::Text(text) = scalar {
            let mut at = text.span.start;
            for (span, _) in &text.columns {
                assert!(at <= span.start && span.end <= text.span.end, "{text:?} in {}", tree.text);
                at = span.end;
            }
            assert!(tree.text.get(text.span.clone()).is_some_and(|piece| !piece.is_empty()), "{text:?}");
        }
    };
    match &relation.kind {
        Kind::Scan { table } => {
            assert_eq!(tree.tables[*table].input.columns.len(), relation.columns.len());
            own = ids(relation);
        }
        Kind::Constant { text, .. } => {
            assert!(
                !tree.text[text.span.clone()].is_empty(),
                "a constant has a text\n{}\n{}",
                tree.text,
                tree.outline()
            );
            own = ids(relation);
        }
        Kind::Filter { input, conditions } => {
            visit(tree, input, made);
            conditions.iter().for_each(|condition| scalar(condition, &ids(input)));
            assert_eq!(ids(relation), ids(input));
        }
        Kind::Project { input, computed } => {
            visit(tree, input, made);
            computed.iter().for_each(|(_, one)| scalar(one, &ids(input)));
            own = computed.iter().map(|(id, _)| *id).collect();
            assert!(ids(relation).iter().all(|id| own.contains(id) || ids(input).contains(id)));
        }
        Kind::Join(join) => {
            visit(tree, &join.left, made);
            visit(tree, &join.right, made);
            let both = [ids(&join.left), ids(&join.right)].concat();
            join.on.iter().for_each(|condition| scalar(condition, &both));
            assert_eq!(ids(relation), both);
        }
        Kind::Apply(apply) => {
            visit(tree, &apply.left, made);
            visit(tree, &apply.right, made);
            let (left, right) = (ids(&apply.left), ids(&apply.right));
            apply.on.iter().for_each(|condition| scalar(condition, &[left.clone(), right.clone()].concat()));
            assert!(!tree.text[apply.span.clone()].is_empty());
            let mut after = left.clone();
            match &apply.kind {
                ApplyKind::Value(id) => own.push(*id),
                ApplyKind::Membership { value, tested, with } => {
                    own.extend(*value);
                    assert!(tested.iter().all(|id| left.contains(id)) && with.iter().all(|id| right.contains(id)));
                }
                ApplyKind::Semi | ApplyKind::Anti => {}
            }
            after.extend(&own);
            assert_eq!(ids(relation), after);
        }
        Kind::Aggregate(aggregate) => {
            visit(tree, &aggregate.input, made);
            let input = ids(&aggregate.input);
            assert!(aggregate.groups.iter().all(|(_, old)| input.contains(old)));
            assert!(aggregate.sets.iter().flatten().all(|index| *index < aggregate.groups.len()));
            own.extend(aggregate.groups.iter().filter(|(new, old)| new != old).map(|(new, _)| *new));
            own.extend(&aggregate.aggregates);
            let after: Vec<_> =
                aggregate.groups.iter().map(|(new, _)| *new).chain(aggregate.aggregates.clone()).collect();
            assert_eq!(ids(relation), after);
        }
        Kind::Window(window) => {
            visit(tree, &window.input, made);
            let input = ids(&window.input);
            assert!(!window.partitions.is_empty() && window.partitions.iter().all(|by| !by.is_empty()));
            assert!(window.partitions.iter().flatten().all(|id| input.contains(id)), "{}", tree.outline());
            own = window.computed.clone();
            assert_eq!(ids(relation), [input, own.clone()].concat());
        }
        Kind::DistinctOn { input, by } => {
            visit(tree, input, made);
            assert!(by.iter().all(|id| ids(input).contains(id)));
            assert_eq!(ids(relation), ids(input));
        }
        Kind::Distinct { input } => {
            visit(tree, input, made);
            assert_eq!(ids(relation), ids(input));
        }
        Kind::SetOperation { inputs, .. } => {
            for input in inputs {
                visit(tree, input, made);
                assert_eq!(input.columns.len(), relation.columns.len());
            }
            own = ids(relation);
        }
        Kind::Opaque { inputs, .. } => {
            inputs.iter().for_each(|input| visit(tree, input, made));
            own = ids(relation).into_iter().filter(|id| !made.contains(id)).collect();
        }
    }
    for id in own {
        assert!(made.insert(id), "{id:?} is made twice\n{}", tree.outline());
    }
}
