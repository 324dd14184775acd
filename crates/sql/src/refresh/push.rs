//! The restriction of a query to the affected keys, pushed down to its tables.
//!
//! [`Pusher::push`] restricts a relation to the rows whose columns are in given sets. It must bring every such row in full and
//! unchanged, and may bring others. Where a join leads on to rows that no key names, a *wave* computes the join columns of the rows
//! chosen so far.

use std::collections::BTreeSet;

use super::clock::ClockChanges;
use super::columns::{Columns, Definition, ids};
use super::discover::{Chosen, Finder};
use super::found::{Found, FoundKind, FoundRef, Which};
use super::key::common;
use super::relation::{
    Aggregate, Apply, ApplyKind, ColumnId, Expression, Join, JoinKind, Kind, Relation, Scalar, Tree,
};
use super::rule::{Rule, SwitchedOff};

/// Columns of a relation whose values, taken together, must be among the rows of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    /// The table, quoted.
    pub(super) table: String,
    pub(super) terms: Vec<Term>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Term {
    /// Of the relation.
    pub(super) column: ColumnId,
    /// Of the table, quoted.
    pub(super) source: String,
    /// What stands in it.
    pub(super) of: ColumnId,
    /// Whether the table is known to hold no NULL there.
    pub(super) never_null: bool,
}

/// One use of a table: the rows of one scan that are needed.
#[derive(Debug, Clone)]
pub(super) struct Use {
    /// Index into `Tree::tables`.
    pub(super) table: usize,
    /// The scan's columns, in the table's order.
    pub(super) columns: Vec<ColumnId>,
    /// All must hold; none means all rows.
    pub(super) members: Vec<Member>,
    /// Whether the text reads it, not only a wave.
    pub(super) in_text: bool,
    /// How many waves read it, and which columns.
    pub(super) waves: usize,
    pub(super) wave_columns: BTreeSet<ColumnId>,
}

/// The join columns of rows chosen so far.
#[derive(Debug, Clone)]
pub(super) struct Wave {
    /// Its temporary table, quoted.
    pub(super) name: String,
    pub(super) found: FoundRef,
    pub(super) columns: Vec<ColumnId>,
    /// Leave out rows with a NULL, which no equality finds.
    pub(super) without_null: bool,
}

/// Rows that are there now are looked for at one time.
static STANDING: ClockChanges = ClockChanges::new();

/// Collects uses and waves.
pub(super) struct Pusher<'a> {
    pub(super) tree: &'a Tree,
    pub(super) columns: &'a Columns,
    pub(super) off: &'a SwitchedOff,
    /// Makes the quoted name of the wave of a number.
    pub(super) name: &'a dyn Fn(usize) -> String,
    pub(super) uses: Vec<Use>,
    pub(super) waves: Vec<Wave>,
    pub(super) in_text: bool,
    /// For each of the tree's tables, whether reading all of it is cheaper than finding the rows that are needed.
    pub(super) small: &'a [bool],
}

impl Pusher<'_> {
    pub(super) fn push(&mut self, relation: &Relation, members: &[Member]) -> Chosen {
        match &relation.kind {
            Kind::Scan { table } => self.scan(relation, *table, members),
            Kind::Constant { .. } => Chosen::new(),
            Kind::Filter { input, .. } | Kind::Distinct { input } => self.push(input, members),
            Kind::Project { input, .. } => {
                let members = self.following(&self.renamed(members), &ids(input));
                self.push(input, &members)
            }
            Kind::Join(join) => self.join(join, members),
            Kind::Apply(apply) => self.apply(apply, members),
            Kind::Aggregate(aggregate) => self.aggregate(aggregate, members),
            Kind::Window(window) => self.partitions(&window.input, &window.partitions, members),
            Kind::DistinctOn { input, by } => self.partitions(input, std::slice::from_ref(by), members),
            Kind::SetOperation { inputs, .. } => {
                let mut chosen = Chosen::new();
                for input in inputs {
                    let members = translated(members, |column| {
                        let position = relation.columns.iter().position(|one| one.id == column)?;
                        input.columns.get(position).map(|inner| inner.id)
                    });
                    chosen.extend(self.push(input, &members));
                }
                chosen
            }
            Kind::Opaque { inputs, .. } => inputs.iter().flat_map(|input| self.push(input, &[])).collect(),
        }
    }

    /// Whether a relation reads small tables only.
    fn is_small(&self, relation: &Relation) -> bool {
        match &relation.kind {
            Kind::Scan { table } => self.small.get(*table) == Some(&true),
            Kind::Constant { .. } => true,
            Kind::Filter { input, .. }
            | Kind::Project { input, .. }
            | Kind::DistinctOn { input, .. }
            | Kind::Distinct { input } => self.is_small(input),
            Kind::Join(Join { left, right, .. }) | Kind::Apply(Apply { left, right, .. }) => {
                self.is_small(left) && self.is_small(right)
            }
            Kind::Aggregate(aggregate) => self.is_small(&aggregate.input),
            Kind::Window(window) => self.is_small(&window.input),
            Kind::SetOperation { inputs, .. } | Kind::Opaque { inputs, .. } => {
                inputs.iter().all(|input| self.is_small(input))
            }
        }
    }

    fn scan(&mut self, relation: &Relation, table: usize, members: &[Member]) -> Chosen {
        let columns: Vec<ColumnId> = relation.columns.iter().map(|column| column.id).collect();
        let Some(first) = columns.first().copied() else { return Chosen::new() };
        let members = self.following(members, &ids(relation));
        let few = !members.is_empty();
        let number = self.uses.len();
        let in_text = self.in_text;
        self.uses.push(Use { table, columns, members, in_text, waves: 0, wave_columns: BTreeSet::new() });
        Chosen::from([(first, (number, few))])
    }

    /// The columns a computed column merely renames.
    fn renamed(&self, members: &[Member]) -> Vec<Member> {
        translated(members, |mut column| {
            while let Definition::Computed(Scalar::Column(inner)) = self.columns.definition(column) {
                column = *inner;
            }
            Some(column)
        })
    }

    /// The part of each membership that can be decided from some columns.
    fn following(&self, members: &[Member], available: &BTreeSet<ColumnId>) -> Vec<Member> {
        translated(members, |column| self.columns.follows_from(column, available, &self.tree.text).then_some(column))
    }

    /// The part of each membership that one side of a join decides, by itself or by a column that is equal.
    fn for_side(&self, members: &[Member], side: &Relation, pairs: &[(ColumnId, ColumnId)]) -> Vec<Member> {
        let own = ids(side);
        translated(members, |column| {
            if self.columns.follows_from(column, &own, &self.tree.text) {
                return Some(column);
            }
            let (_, equal) = pairs.iter().find(|(other, equal)| {
                *other == column
                    && own.contains(equal)
                    && self.columns.engine_type(*other).is_some()
                    && self.columns.engine_type(*other) == self.columns.engine_type(*equal)
            })?;
            Some(*equal)
        })
    }

    fn join(&mut self, join: &Join, members: &[Member]) -> Chosen {
        let members = &self.renamed(members);
        let left_to_right = self.links(&join.on, &join.left, &join.right);
        let right_to_left: Vec<_> = left_to_right.iter().map(|(left, right)| (*right, *left)).collect();
        if join.kind == JoinKind::Full {
            let (left, right) = self.coalesced(members, &left_to_right);
            let mut chosen = self.push(&join.left, &left);
            chosen.extend(self.push(&join.right, &right));
            return chosen;
        }
        let right_ids = ids(&join.right);
        let never_extended = !self.off.holds(Rule::NullablePush)
            || members
                .iter()
                .flat_map(|member| &member.terms)
                .any(|term| term.never_null && right_ids.contains(&term.column));
        let inner = !join.lateral && (join.kind == JoinKind::Inner || never_extended);
        let of_left = self.for_side(members, &join.left, if inner { &right_to_left } else { &[] });
        if inner {
            let of_right = self.for_side(members, &join.right, &left_to_right);
            if of_left.is_empty() && !of_right.is_empty() {
                let mut chosen = self.push(&join.right, &of_right);
                let wave = self.wave(&join.right, &chosen, &right_to_left);
                chosen.extend(self.push(&join.left, &wave));
                return chosen;
            }
            let mut chosen = self.push(&join.left, &of_left);
            let linked = of_right
                .iter()
                .flat_map(|member| &member.terms)
                .any(|term| left_to_right.iter().any(|(_, right)| *right == term.column));
            let mut of_right = of_right;
            if !linked && !self.is_small(&join.right) {
                of_right.extend(self.wave(&join.left, &chosen, &left_to_right));
            }
            chosen.extend(self.push(&join.right, &of_right));
            return chosen;
        }
        let mut chosen = self.push(&join.left, &of_left);
        // What is asked of the left by a column that is equal on the right needs no wave.
        let direct = translated(&of_left, |column| {
            left_to_right.iter().find(|(left, _)| *left == column).and_then(|(left, right)| {
                let same = self.columns.engine_type(*left).is_some()
                    && self.columns.engine_type(*left) == self.columns.engine_type(*right);
                same.then_some(*right)
            })
        });
        let of_right = if direct.is_empty() && !self.is_small(&join.right) {
            self.wave(&join.left, &chosen, &left_to_right)
        } else {
            direct
        };
        chosen.extend(self.push(&join.right, &of_right));
        chosen
    }

    /// Of a full join only the coalesced key is pushed, to both sides.
    fn coalesced(&self, members: &[Member], pairs: &[(ColumnId, ColumnId)]) -> (Vec<Member>, Vec<Member>) {
        let pair = |column| coalesced_pair(column, pairs, self.columns, &self.tree.text);
        let left = translated(members, |column| pair(column).map(|(left, _)| left));
        let right = translated(members, |column| pair(column).map(|(_, right)| right));
        (left, right)
    }

    fn apply(&mut self, apply: &Apply, members: &[Member]) -> Chosen {
        let of_left = self.following(members, &ids(&apply.left));
        let mut chosen = self.push(&apply.left, &of_left);
        let mut pairs = self.links(&apply.on, &apply.left, &apply.right);
        if let ApplyKind::Membership { tested, with, .. } = &apply.kind
            && self.off.holds(Rule::MembershipPush)
        {
            // A row without a match and with a NULL among them must be told from one without.
            pairs.retain(|(left, right)| !tested.contains(left) && !with.contains(right));
        }
        let wave = if self.is_small(&apply.right) { Vec::new() } else { self.wave(&apply.left, &chosen, &pairs) };
        chosen.extend(self.push(&apply.right, &wave));
        chosen
    }

    fn aggregate(&mut self, aggregate: &Aggregate, members: &[Member]) -> Chosen {
        let in_all = |index: &usize| aggregate.sets.iter().all(|set| set.contains(index));
        let plain: Vec<(ColumnId, ColumnId)> =
            aggregate.groups.iter().enumerate().filter(|(index, _)| in_all(index)).map(|(_, pair)| *pair).collect();
        // Under new identities only the columns themselves are known to be the input's.
        let same: BTreeSet<ColumnId> =
            plain.iter().filter(|(group, from)| group == from).map(|(group, _)| *group).collect();
        let members = translated(members, |column| {
            if let Some((_, from)) = plain.iter().find(|(group, _)| *group == column) {
                return Some(*from);
            }
            self.columns.follows_from(column, &same, &self.tree.text).then_some(column)
        });
        self.push(&aggregate.input, &members)
    }

    /// Below a window whole partitions are needed.
    fn partitions(&mut self, input: &Relation, lists: &[Vec<ColumnId>], members: &[Member]) -> Chosen {
        if !self.off.holds(Rule::WindowPush) {
            let members = self.following(members, &ids(input));
            return self.push(input, &members);
        }
        let shared: BTreeSet<ColumnId> = common(lists).into_iter().collect();
        let common_part = self.following(members, &shared);
        if !common_part.is_empty() {
            return self.push(input, &common_part);
        }
        let of_input = self.following(members, &ids(input));
        if of_input.is_empty() {
            return self.push(input, &[]);
        }
        // The wanted rows first, then the partitions they lie in.
        let in_text = std::mem::replace(&mut self.in_text, false);
        let wanted = self.push(input, &of_input);
        self.in_text = in_text;
        let mut chosen = Chosen::new();
        for list in lists {
            let columns: Vec<ColumnId> = list.iter().copied().filter(|column| self.columns.is_known(*column)).collect();
            let members = if columns.len() == list.len() && self.finder(&wanted).few(input) {
                vec![self.make_wave(input, &wanted, &columns, false)]
            } else {
                Vec::new()
            };
            // Later uses hide earlier ones from waves above; any of them would do, as all are supersets of the wanted rows
            // only together. So waves above are computed from the wanted rows.
            self.push(input, &members);
            chosen = wanted.clone();
        }
        chosen
    }

    /// The equalities by which one side leads to the other.
    fn links(&self, on: &[Scalar], left: &Relation, right: &Relation) -> Vec<(ColumnId, ColumnId)> {
        let mut pairs = equalities(on, left, right);
        if !self.off.holds(Rule::OrWave) {
            let (left, right) = (ids(left), ids(right));
            for condition in on {
                let Scalar::Text(expression) = condition else { continue };
                for pair in expression.columns.windows(2) {
                    let [(one_span, one), (other_span, other)] = pair else { continue };
                    let between = self.tree.text.get(one_span.end..other_span.start).unwrap_or_default();
                    if between.trim() == "=" && left.contains(one) && right.contains(other) {
                        pairs.push((*one, *other));
                    } else if between.trim() == "=" && left.contains(other) && right.contains(one) {
                        pairs.push((*other, *one));
                    }
                }
            }
        }
        pairs
    }

    /// The membership of the right side of equalities among the values of the left side that its chosen rows hold.
    fn wave(&mut self, from: &Relation, chosen: &Chosen, pairs: &[(ColumnId, ColumnId)]) -> Vec<Member> {
        let pairs: Vec<(ColumnId, ColumnId)> = pairs
            .iter()
            .copied()
            .filter(|(one, other)| self.columns.is_known(*one) && self.columns.is_known(*other))
            .collect();
        if pairs.is_empty() || !self.finder(chosen).few(from) {
            return Vec::new();
        }
        let columns: BTreeSet<ColumnId> = pairs.iter().map(|(one, _)| *one).collect();
        let member = self.make_wave(from, chosen, &columns.into_iter().collect::<Vec<_>>(), true);
        translated_all(&[member], |column| {
            pairs.iter().filter(|(one, _)| *one == column).map(|(_, other)| *other).collect()
        })
    }

    fn make_wave(&mut self, from: &Relation, chosen: &Chosen, columns: &[ColumnId], without_null: bool) -> Member {
        let found = self.finder(chosen).rows(from, &columns.iter().copied().collect());
        self.read_by_wave(&found);
        let name = (self.name)(self.waves.len());
        let terms = columns
            .iter()
            .map(|column| Term {
                column: *column,
                source: super::render::name(*column),
                of: *column,
                never_null: without_null,
            })
            .collect();
        self.waves.push(Wave { name: name.clone(), found, columns: columns.to_vec(), without_null });
        Member { table: name, terms }
    }

    fn finder<'b>(&'b self, chosen: &'b Chosen) -> Finder<'b> {
        Finder {
            tree: self.tree,
            columns: self.columns,
            changed: &[],
            off: self.off,
            clock: &STANDING,
            chosen: Some(chosen),
            near: self.small,
        }
    }

    fn read_by_wave(&mut self, found: &Found) {
        if let FoundKind::Rows { which: Which::Chosen(number), .. } = &found.kind
            && let Some(read) = self.uses.get_mut(*number)
        {
            read.waves += 1;
            read.wave_columns.extend(&found.columns);
        }
        for part in found.parts() {
            self.read_by_wave(part);
        }
    }
}

/// The pair of equal columns, one of either side of a full join, that a column is the coalesced key of.
pub(super) fn coalesced_pair(
    column: ColumnId,
    pairs: &[(ColumnId, ColumnId)],
    columns: &Columns,
    text: &str,
) -> Option<(ColumnId, ColumnId)> {
    let both = match columns.definition(column) {
        Definition::Computed(Scalar::Column(inner)) => return coalesced_pair(*inner, pairs, columns, text),
        Definition::Computed(Scalar::Coalesce(both)) => both.clone(),
        Definition::Computed(Scalar::Text(expression)) => coalesce_of(expression, text)?,
        _ => return None,
    };
    let [one, other] = both.as_slice() else { return None };
    pairs.iter().copied().find(|pair| *pair == (*one, *other) || *pair == (*other, *one))
}

/// The equalities among conditions, as pairs of a column of the left and one of the right.
pub(super) fn equalities(on: &[Scalar], left: &Relation, right: &Relation) -> Vec<(ColumnId, ColumnId)> {
    let (left, right) = (ids(left), ids(right));
    on.iter()
        .filter_map(|condition| match condition {
            Scalar::Equal(one, other) if left.contains(one) && right.contains(other) => Some((*one, *other)),
            Scalar::Equal(one, other) if left.contains(other) && right.contains(one) => Some((*other, *one)),
            _ => None,
        })
        .collect()
}

/// Memberships of other columns; terms without one are left out, which lets more rows through.
fn translated(members: &[Member], mut to: impl FnMut(ColumnId) -> Option<ColumnId>) -> Vec<Member> {
    translated_all(members, |column| to(column).into_iter().collect())
}

fn translated_all(members: &[Member], mut to: impl FnMut(ColumnId) -> Vec<ColumnId>) -> Vec<Member> {
    let mut out = Vec::with_capacity(members.len());
    for member in members {
        let mut terms: Vec<Term> = Vec::with_capacity(member.terms.len());
        for term in &member.terms {
            terms.extend(to(term.column).into_iter().map(|column| Term { column, ..term.clone() }));
        }
        if !terms.is_empty() {
            out.push(Member { table: member.table.clone(), terms });
        }
    }
    out
}

/// The two columns of `coalesce(a.x, b.x)`.
fn coalesce_of(expression: &Expression, text: &str) -> Option<Vec<ColumnId>> {
    let [(one_span, one), (other_span, other)] = expression.columns.as_slice() else { return None };
    let before: String = text.get(expression.span.start..one_span.start)?.split_whitespace().collect();
    let between = text.get(one_span.end..other_span.start)?.trim();
    let after = text.get(other_span.end..expression.span.end)?.trim();
    let is_coalesce = before.eq_ignore_ascii_case("coalesce(") || before.eq_ignore_ascii_case("ifnull(");
    (is_coalesce && between == "," && after == ")").then(|| vec![*one, *other])
}
