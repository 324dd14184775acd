//! Which columns of its tables a query needs at all.

use std::collections::BTreeSet;

use super::relation::{Aggregate, Apply, ApplyKind, ColumnId, Join, Kind, Relation, Scalar, Tree, Window};

/// For each of the tree's tables the places of the columns that its text needs; a superset.
///
/// What is used inside aggregates, windows and subqueries is not in the tree, but it is named in the text. What is not named is
/// brought by stars, and those are in the tree.
pub(super) fn used(tree: &Tree) -> Vec<Vec<usize>> {
    let mut walk = Walk { used: tree.root.columns.iter().map(|column| column.id).collect(), scans: Vec::new() };
    walk.relation(&tree.root);
    let words: BTreeSet<String> = words(&tree.text);
    let everything = has_star_in_call(&tree.text);
    let mut out = Vec::with_capacity(tree.tables.len());
    for (index, table) in tree.tables.iter().enumerate() {
        let needs = |place: usize, name: &str| {
            everything
                || words.contains(&name.to_lowercase())
                || !name.chars().all(is_word)
                || walk.scans.iter().any(|(table, columns)| {
                    *table == index && columns.get(place).is_some_and(|column| walk.used.contains(column))
                })
        };
        let places = (0..table.input.columns.len()).filter(|place| needs(*place, &table.input.columns[*place].0));
        out.push(places.collect());
    }
    out
}

struct Walk {
    used: BTreeSet<ColumnId>,
    scans: Vec<(usize, Vec<ColumnId>)>,
}

impl Walk {
    fn relation(&mut self, relation: &Relation) {
        let ids = relation.columns.iter().map(|column| column.id);
        match &relation.kind {
            Kind::Scan { table } => self.scans.push((*table, ids.collect())),
            Kind::Constant { .. } => {}
            Kind::Filter { input, conditions } => {
                self.scalars(conditions);
                self.relation(input);
            }
            Kind::Project { input, computed } => {
                computed.iter().for_each(|(_, scalar)| self.used.extend(scalar.columns()));
                self.relation(input);
            }
            Kind::Join(Join { left, right, on, .. }) => {
                self.scalars(on);
                self.relation(left);
                self.relation(right);
            }
            Kind::Apply(Apply { left, right, on, kind, .. }) => {
                self.scalars(on);
                if let ApplyKind::Membership { tested, with, .. } = kind {
                    self.used.extend(tested.iter().chain(with));
                }
                // What a subquery answers with is its column, whatever comes of it.
                self.used.extend(right.columns.iter().map(|column| column.id));
                self.relation(left);
                self.relation(right);
            }
            Kind::Aggregate(Aggregate { input, groups, .. }) => {
                self.used.extend(groups.iter().map(|(_, from)| *from));
                self.relation(input);
            }
            Kind::Window(Window { input, partitions, .. }) => {
                self.used.extend(partitions.iter().flatten());
                self.relation(input);
            }
            Kind::DistinctOn { input, by } => {
                self.used.extend(by);
                self.relation(input);
            }
            Kind::Distinct { input } => {
                self.used.extend(ids);
                self.relation(input);
            }
            Kind::SetOperation { inputs, .. } | Kind::Opaque { inputs, .. } => {
                for input in inputs {
                    self.used.extend(input.columns.iter().map(|column| column.id));
                    self.relation(input);
                }
            }
        }
    }

    fn scalars(&mut self, scalars: &[Scalar]) {
        scalars.iter().for_each(|scalar| self.used.extend(scalar.columns()));
    }
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Every word of the text, in lower case, wherever it stands.
fn words(text: &str) -> BTreeSet<String> {
    text.split(|character| !is_word(character)).filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

/// Whether a star is the argument of a call other than `count(*)`, where it stands for columns that the tree does not show. Also
/// where columns are chosen by a pattern, or rows become columns.
fn has_star_in_call(text: &str) -> bool {
    let text = text.to_lowercase();
    let dense: String = text.split_whitespace().collect();
    let calls = dense.match_indices("*)").any(|(at, _)| !dense[..at].ends_with("count("))
        || dense.match_indices("(*").any(|(at, _)| !dense[..at].ends_with("count"));
    calls || ["columns", "pivot", "unpivot", "natural"].iter().any(|word| text.contains(word))
}
