//! Counts and sums of large groups, kept by adding and subtracting what changed.
//!
//! A group of a million rows is not computed anew because one of them changed. Where a select groups its rows and all that it asks of
//! them follows from counts and sums, a stage is taken out of it: the same FROM and WHERE, grouped by the same expressions, with the
//! number of rows and the counts and sums themselves. What is left reads that stage and adds up its rows. An argument of an aggregate to
//! which repetition makes no difference (`max`, `count(distinct ...)`) becomes one more column to group the stage by.
//!
//! Such a stage is linear in the tables of its FROM: what it gains by rows that come, it loses by the same rows going. So its change is
//! the stage's own text over the changed rows, once for each place where a changed table is read: places before it read the table
//! as it is now, places after it as it was. Where a changed table stands in another way (on the nullable side of an outer join, in a
//! subquery), the stage is refreshed by affected keys like any other.
//!
//! Where the sum of a type shows the largest scale of what was added, or some of its values cannot be taken away again, the stage is also
//! grouped by the scale of each such argument, or by which value it is that cannot be taken away ([`Dialect::scale`]). A row of the stage
//! then has one scale, which its sum keeps through adding and subtracting, and a row with a special value has that value as its sum.

mod delta;
mod typing;
mod written;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

pub use delta::{Delta, over};
pub use typing::Typing;
use written::Written;

use super::block::{Block, BlockKind};
use super::columns::Columns;
use super::relation::{
    Apply, ColumnId, InputTable, InputTables, Join, JoinKind, Kind, Relation, Scalar, SetOperator, Tree,
};
use super::restricted::replaced;
use super::split::{Split, Stage, WithStages};
use crate::dialect::Dialect;
use crate::parser::{parse_blocks, parse_select, parse_summed};

/// The column with the number of rows of a group.
pub const ROWS: &str = "thalweg_rows";

/// What a stage is called where it is read: nothing in a user's text has that name.
const READ: &str = "thalweg_sums";

/// How the names of stages with sums begin.
pub const SUMS: &str = "sums";

/// How the names of those begin that are kept in pieces, beside what the select groups by.
const PIECES: &str = "pieces";

/// Whether a stage of this name holds sums.
pub fn is_sums(stage: &str) -> bool {
    stage.starts_with(SUMS) || stage.starts_with(PIECES)
}

/// The pieces of a select that groups and only counts and adds. All spans are of the text it stands in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summed {
    /// Where its query begins: at WITH, or at SELECT.
    pub query: usize,
    /// From SELECT to its end, without ORDER BY.
    pub select: Range<usize>,
    /// FROM and WHERE.
    pub from: Range<usize>,
    /// GROUP BY.
    pub group_by: Option<Range<usize>>,
    /// The grouping expressions.
    pub keys: Vec<Range<usize>>,
    /// What in the select list and in HAVING must be put in other words, in order.
    pub pieces: Vec<Piece>,
}

/// A piece of a select list or of HAVING.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Where it stands.
    pub span: Range<usize>,
    /// What it is.
    pub kind: PieceKind,
}

/// Of which rows an aggregate is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// `filter (where ...)`
    pub whole: Range<usize>,
    /// What stands behind WHERE.
    pub condition: Range<usize>,
}

/// What a piece is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PieceKind {
    /// A grouping expression; with the name it gives a column.
    Key {
        /// Which.
        key: usize,
        /// The column's name, where the text gives it no other.
        name: Option<String>,
    },
    /// `count(*)`
    Rows {
        /// Of these rows only.
        filter: Option<Filter>,
    },
    /// `count(x)`
    Values {
        /// What is counted.
        argument: Range<usize>,
        /// Of these rows only.
        filter: Option<Filter>,
    },
    /// `sum(x)`
    Sum {
        /// What is added.
        argument: Range<usize>,
        /// Of these rows only.
        filter: Option<Filter>,
    },
    /// `avg(x)`
    Average {
        /// What is added and counted.
        argument: Range<usize>,
        /// Of these rows only.
        filter: Option<Filter>,
    },
    /// The argument of an aggregate to which repetition makes no difference.
    Each,
}

/// How a stage is kept by adding and subtracting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summing {
    /// The columns it is grouped by; none for a total.
    pub keys: Vec<String>,
    /// So many of them, the first, are in [`Summing::probe`]; the others are scales.
    pub probed: usize,
    /// Counts beside [`ROWS`].
    pub counts: Vec<String>,
    /// Its sums.
    pub sums: Vec<KeptSum>,
    /// A query of the columns it is grouped by and of what is added, in order and not yet grouped: it tells their types.
    pub probe: String,
    /// The tables of whose changes it is a linear function, by the parts of their names.
    pub linear: BTreeSet<Vec<String>>,
    /// What is left of the select is one row, which has no key.
    pub total: bool,
    /// It groups, and is kept in pieces by what its subqueries look for: the tables of its FROM, by the parts of their names, that are read
    /// in one place. Empty otherwise.
    pub pieces_of: BTreeSet<Vec<String>>,
}

/// A sum that a stage keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptSum {
    /// Its column.
    pub name: String,
    /// The count of what was added; a sum of nothing is NULL.
    pub count: String,
    /// The column with the scale of what was added, or that says which value it is that cannot be taken away again, where there is one.
    pub scale: Option<String>,
}

/// A stage that could be taken out of a part of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The stage.
    pub stage: Stage,
    /// The part of the split it is taken out of: index of a stage, or the number of stages for what is left.
    part: usize,
    /// What is put in the place of which piece of that part.
    place: (Range<usize>, String),
    written: Written,
}

impl Candidate {
    /// Whether another one is of the same select: one of the two can be taken out.
    pub fn is_instead_of(&self, other: &Self) -> bool {
        self.part == other.part && self.place.0 == other.place.0
    }

    /// As its columns need it; `None` where that cannot be written.
    pub fn typed(&self, dialect: &dyn Dialect, typing: &Typing) -> Option<Self> {
        let (stage, outer) = self.written.parts(dialect, typing).ok().flatten()?;
        Some(Self { stage, place: (self.place.0.clone(), outer), ..self.clone() })
    }
}

/// The stages that could be taken out of the parts of a model, before anything is known of types. A split without stages has the whole text
/// as what is left. Of a select with subqueries there may be two, the one in pieces first.
pub fn candidates(split: &Split, dialect: &dyn Dialect, inputs: &dyn InputTables) -> Vec<Candidate> {
    let mut found = Vec::new();
    let mut known = WithStages { inputs, stages: BTreeMap::new() };
    let mut taken: BTreeSet<String> = split.stages.iter().map(|stage| stage.name.clone()).collect();
    for part in 0..=split.stages.len() {
        let text = split.stages.get(part).map_or(&split.rest, |stage| &stage.text);
        of_part(text, part, dialect, &known, &mut taken, &mut found);
        if let Some(stage) = split.stages.get(part) {
            let typed = stage.columns.iter().enumerate();
            let columns =
                typed.map(|(index, name)| (name.clone(), format!("unknown {} {index}", stage.name))).collect();
            known.stages.insert(stage.name.clone(), InputTable { columns, key: stage.key.clone() });
        }
    }
    found
}

/// The split with some of its candidates taken out, of those of one select the first.
pub fn with(split: &Split, chosen: &[Candidate]) -> Split {
    let mut stages = Vec::with_capacity(split.stages.len() + chosen.len());
    let mut rest = String::new();
    for part in 0..=split.stages.len() {
        let first = |(index, one): &(usize, &Candidate)| !chosen[..*index].iter().any(|other| one.is_instead_of(other));
        let mine = chosen.iter().enumerate().filter(first).map(|(_, candidate)| candidate);
        let mine: Vec<&Candidate> = mine.filter(|candidate| candidate.part == part).collect();
        stages.extend(mine.iter().map(|candidate| candidate.stage.clone()));
        let places = mine.iter().map(|candidate| candidate.place.clone()).collect();
        match split.stages.get(part) {
            Some(stage) => stages.push(Stage { text: replaced(&stage.text, places), ..stage.clone() }),
            None => rest = replaced(&split.rest, places),
        }
    }
    Split { stages, rest }
}

fn of_part(
    text: &str,
    part: usize,
    dialect: &dyn Dialect,
    inputs: &dyn InputTables,
    taken: &mut BTreeSet<String>,
    found: &mut Vec<Candidate>,
) {
    let Ok(tree) = parse_summed(text, dialect, inputs) else { return };
    // Under a collation values are equal that are not identical.
    if !tree.clock.is_empty() || text.to_ascii_lowercase().contains("collate") {
        return;
    }
    let mut summed: Vec<(&Summed, &Relation)> = Vec::new();
    selects(&tree.root, &mut summed);
    summed.sort_by_key(|(summed, _)| (summed.query, summed.select.start));
    summed.dedup_by_key(|(summed, _)| summed.select.start);
    if summed.is_empty() {
        return;
    }
    let blocks = parse_blocks(text, dialect);
    let mut ends: Vec<Range<usize>> = Vec::new();
    for (summed, input) in summed {
        if ends.iter().any(|one| one.start <= summed.select.start && summed.select.end <= one.end) {
            continue;
        }
        let linear = linear_tables(input, &tree);
        if linear.is_empty() {
            continue;
        }
        let Some((ctes, whole)) = surroundings(text, summed.query, &summed.select, &blocks, dialect) else { continue };
        let about = About { text, part, summed, ctes: &ctes, whole: &whole, linear, once: read_once(input, &tree) };
        // A total that subqueries take part in is kept in pieces that can be refreshed by keys; what groups may be.
        let apart = correlated(input, &tree);
        let total = summed.keys.is_empty();
        let ways = match (apart.is_empty(), total) {
            (true, _) => vec![(SUMS, Vec::new())],
            (false, true) => vec![(SUMS, apart), (SUMS, Vec::new())],
            (false, false) => vec![(PIECES, apart), (SUMS, Vec::new())],
        };
        let before = found.len();
        for (prefix, apart) in ways {
            if total && found.len() > before {
                break;
            }
            let candidate = about.candidate(free_name(prefix, taken), apart, dialect, inputs);
            if let Some(candidate) = candidate {
                taken.insert(candidate.stage.name.clone());
                found.push(candidate);
            }
        }
        if found.len() > before {
            ends.push(whole);
        }
    }
}

/// A select that could be put into two.
struct About<'a> {
    text: &'a str,
    part: usize,
    summed: &'a Summed,
    ctes: &'a [Range<usize>],
    whole: &'a Range<usize>,
    /// The tables of whose changes it is a linear function.
    linear: BTreeSet<Vec<String>>,
    /// The tables that its FROM reads in one place.
    once: BTreeSet<Vec<String>>,
}

impl About<'_> {
    /// A stage of a name, kept apart by some columns; `None` where it cannot be read.
    fn candidate(
        &self,
        name: String,
        apart: Vec<(String, String)>,
        dialect: &dyn Dialect,
        inputs: &dyn InputTables,
    ) -> Option<Candidate> {
        let written = Written {
            text: self.text.to_owned(),
            summed: self.summed.clone(),
            stage: name.clone(),
            ctes: self.ctes.to_vec(),
            linear: self.linear.clone(),
            once: self.once.clone(),
            apart,
        };
        let (stage, outer) = written.parts(dialect, &Typing::default()).ok().flatten()?;
        let read = crate::parser::parse_relation(&stage.text, dialect, inputs).ok()?;
        if read.names != stage.columns {
            return None;
        }
        // That, too, is read once more: what cannot be read is no query.
        let columns = stage.columns.iter().map(|name| (name.clone(), "BIGINT".to_owned())).collect();
        let mut known = WithStages { inputs: &NoTables, stages: BTreeMap::new() };
        known.stages.insert(name, InputTable { columns, key: Vec::new() });
        crate::parser::parse_relation(&outer, dialect, &known).ok()?;
        Some(Candidate { stage, part: self.part, place: (self.whole.clone(), outer), written })
    }
}

fn free_name(prefix: &str, taken: &BTreeSet<String>) -> String {
    let mut name = prefix.to_owned();
    let mut number = 1;
    while taken.contains(&name) {
        number += 1;
        name = format!("{prefix}_{number}");
    }
    name
}

/// No tables but stages.
struct NoTables;

impl InputTables for NoTables {
    fn table(&self, _: &[String]) -> Option<InputTable> {
        None
    }
}

fn selects<'a>(relation: &'a Relation, found: &mut Vec<(&'a Summed, &'a Relation)>) {
    if let Kind::Aggregate(aggregate) = &relation.kind
        && let Some(summed) = &aggregate.summed
    {
        found.push((summed, &aggregate.input));
    }
    relation.inputs().into_iter().for_each(|input| selects(input, found));
}

/// The CTEs that the query of a select needs from around it, and what of the text is its query without ORDER BY; `None` where the
/// query is not one that can be taken out.
pub(super) fn surroundings(
    text: &str,
    query: usize,
    select: &Range<usize>,
    blocks: &[Block],
    dialect: &dyn Dialect,
) -> Option<(Vec<Range<usize>>, Range<usize>)> {
    let within = |block: &&Block| block.span.start <= query && select.end <= block.span.end;
    let inner = blocks
        .iter()
        .filter(within)
        .filter(|block| !matches!(block.kind, BlockKind::Limited(_) | BlockKind::Whole))
        .min_by_key(|block| block.span.len());
    let span = inner.map_or(0..text.len(), |block| block.span.clone());
    // Around the query there is nothing but its order: anything else could not be read.
    let before = text.get(span.start..query)?;
    let after = text.get(select.end..span.end)?;
    let alone = |sql: String| parse_select(&sql, dialect).is_ok_and(|query| query.tables.is_empty());
    let ordered = after.trim_start().to_ascii_lowercase();
    let ends = ordered.is_empty()
        || ["order", "limit", "offset", "fetch", ";", "--", "/*"].iter().any(|one| ordered.starts_with(one));
    if !ends || !alone(format!("{before} select 1 as x")) || !alone(format!("select 1 as x\n{after}")) {
        return None;
    }
    Some((inner.map_or_else(Vec::new, |block| block.ctes.clone()), query..select.end))
}

/// The tables whose changes a relation is a linear function of: each of their places is read once, and beside inner joins, filters and
/// expressions on a row there is nothing above it.
fn linear_tables(relation: &Relation, tree: &Tree) -> BTreeSet<Vec<String>> {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    places(relation, true, &mut good, &mut bad);
    let name = |place: &usize| tree.tables.get(*place).map(|table| table.name.clone());
    let mut not: BTreeSet<Vec<String>> = bad.iter().filter_map(name).collect();
    let mut seen = BTreeSet::new();
    for place in &good {
        let fixed = tree.tables.get(*place).is_none_or(|table| table.fixed.is_some());
        if fixed || !seen.insert(*place) {
            not.extend(name(place));
        }
    }
    good.iter().filter_map(name).filter(|name| !not.contains(name)).collect()
}

fn places(relation: &Relation, linear: bool, good: &mut Vec<usize>, bad: &mut Vec<usize>) {
    match &relation.kind {
        Kind::Scan { table } if linear => good.push(*table),
        Kind::Scan { table } => bad.push(*table),
        Kind::Constant { .. } => {}
        Kind::Filter { input, .. } | Kind::Project { input, .. } => places(input, linear, good, bad),
        Kind::Join(Join { kind, left, right, lateral, .. }) => {
            places(left, linear && *kind != JoinKind::Full, good, bad);
            places(right, linear && *kind == JoinKind::Inner && !lateral, good, bad);
        }
        Kind::Apply(Apply { left, right, .. }) => {
            places(left, linear, good, bad);
            places(right, false, good, bad);
        }
        Kind::SetOperation { operator: SetOperator::Union, all: true, inputs } => {
            inputs.iter().for_each(|input| places(input, linear, good, bad));
        }
        _ => relation.inputs().into_iter().for_each(|input| places(input, false, good, bad)),
    }
}

/// The tables that a relation reads in one place, outside of subqueries and of what groups.
fn read_once(relation: &Relation, tree: &Tree) -> BTreeSet<Vec<String>> {
    fn outside(relation: &Relation, found: &mut Vec<usize>) {
        match &relation.kind {
            Kind::Scan { table } => found.push(*table),
            Kind::Filter { input, .. } | Kind::Project { input, .. } => outside(input, found),
            Kind::Join(Join { left, right, .. }) => [left, right].into_iter().for_each(|side| outside(side, found)),
            Kind::Apply(Apply { left, .. }) => outside(left, found),
            _ => {}
        }
    }
    let mut found = Vec::new();
    outside(relation, &mut found);
    let name = |place: &usize| tree.tables.get(*place).map(|table| &table.name);
    let places = |wanted: &Vec<String>| tree.tables.iter().filter(|table| table.name == *wanted).count();
    let free = |place: &&usize| tree.tables.get(**place).is_some_and(|table| table.fixed.is_none());
    found.iter().filter(free).filter_map(name).filter(|name| places(name) == 1).cloned().collect()
}

/// The columns, each with the name of its table, by which subqueries look for rows.
fn correlated(input: &Relation, tree: &Tree) -> Vec<(String, String)> {
    let columns = Columns::of(tree);
    let mut found = Vec::new();
    let mut waiting = vec![input];
    while let Some(relation) = waiting.pop() {
        match &relation.kind {
            Kind::Filter { input, .. } | Kind::Project { input, .. } => waiting.push(input),
            Kind::Join(Join { left, right, .. }) => waiting.extend([&**right, &**left]),
            Kind::Apply(apply) => {
                waiting.push(&apply.left);
                let of_left = |id: &ColumnId| apply.left.columns.iter().any(|column| column.id == *id);
                for condition in &apply.on {
                    let Scalar::Equal(one, other) = condition else { continue };
                    let Some(id) = [one, other].into_iter().find(|id| of_left(id)) else { continue };
                    let Some((table, place)) = columns.table_column(*id) else { continue };
                    let Some(table) = tree.tables.get(table) else { continue };
                    let Some((column, _)) = table.input.columns.get(place) else { continue };
                    let named = (table.own_name.clone(), column.clone());
                    if !found.contains(&named) {
                        found.push(named);
                    }
                }
            }
            _ => {}
        }
    }
    found
}

impl Summing {
    /// Names of all its counts.
    pub(super) fn all_counts(&self) -> impl Iterator<Item = &str> {
        std::iter::once(ROWS).chain(self.counts.iter().map(String::as_str))
    }
}
