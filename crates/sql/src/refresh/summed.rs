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
    /// As its columns need it; `None` where that cannot be written.
    pub fn typed(&self, dialect: &dyn Dialect, typing: &Typing) -> Option<Self> {
        let (stage, outer) = self.written.parts(dialect, typing).ok().flatten()?;
        Some(Self { stage, place: (self.place.0.clone(), outer), ..self.clone() })
    }
}

/// The stages that could be taken out of the parts of a model, before anything is known of types. A split without stages has the whole text
/// as what is left.
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

/// The split with some of its candidates taken out.
pub fn with(split: &Split, chosen: &[Candidate]) -> Split {
    let mut stages = Vec::with_capacity(split.stages.len() + chosen.len());
    let mut rest = String::new();
    for part in 0..=split.stages.len() {
        let mine: Vec<&Candidate> = chosen.iter().filter(|candidate| candidate.part == part).collect();
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
        let Some((ctes, whole)) = surroundings(text, summed, &blocks, dialect) else { continue };
        let mut number = 1;
        let mut name = SUMS.to_owned();
        while taken.contains(&name) {
            number += 1;
            name = format!("{SUMS}_{number}");
        }
        let written = |apart: Vec<(String, String)>| Written {
            text: text.to_owned(),
            summed: summed.clone(),
            stage: name.clone(),
            ctes: ctes.clone(),
            linear: linear.clone(),
            apart,
        };
        // A total that subqueries take part in is kept in pieces that can be refreshed by keys.
        let apart = if summed.keys.is_empty() { correlated(input, &tree) } else { Vec::new() };
        let reads = |stage: &Stage| {
            crate::parser::parse_relation(&stage.text, dialect, inputs).is_ok_and(|read| read.names == stage.columns)
        };
        let parts = |written: Written| {
            let (stage, outer) = written.parts(dialect, &Typing::default()).ok().flatten()?;
            reads(&stage).then_some((stage, outer, written))
        };
        let in_pieces = if apart.is_empty() { None } else { parts(written(apart)) };
        let Some((stage, outer, written)) = in_pieces.or_else(|| parts(written(Vec::new()))) else { continue };
        // That, too, is read once more: what cannot be read is no query.
        let mut known = WithStages { inputs: &NoTables, stages: BTreeMap::new() };
        known.stages.insert(
            name.clone(),
            InputTable {
                columns: stage.columns.iter().map(|name| (name.clone(), "BIGINT".to_owned())).collect(),
                key: Vec::new(),
            },
        );
        if crate::parser::parse_relation(&outer, dialect, &known).is_err() {
            continue;
        }
        taken.insert(name);
        ends.push(whole.clone());
        found.push(Candidate { stage, part, place: (whole, outer), written });
    }
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
fn surroundings(
    text: &str,
    summed: &Summed,
    blocks: &[Block],
    dialect: &dyn Dialect,
) -> Option<(Vec<Range<usize>>, Range<usize>)> {
    let within = |block: &&Block| block.span.start <= summed.query && summed.select.end <= block.span.end;
    let inner = blocks
        .iter()
        .filter(within)
        .filter(|block| !matches!(block.kind, BlockKind::Limited(_) | BlockKind::Whole))
        .min_by_key(|block| block.span.len());
    let span = inner.map_or(0..text.len(), |block| block.span.clone());
    // Around the query there is nothing but its order: anything else could not be read.
    let before = text.get(span.start..summed.query)?;
    let after = text.get(summed.select.end..span.end)?;
    let alone = |sql: String| parse_select(&sql, dialect).is_ok_and(|query| query.tables.is_empty());
    let ordered = after.trim_start().to_ascii_lowercase();
    let ends = ordered.is_empty()
        || ["order", "limit", "offset", "fetch", ";", "--", "/*"].iter().any(|one| ordered.starts_with(one));
    if !ends || !alone(format!("{before} select 1 as x")) || !alone(format!("select 1 as x\n{after}")) {
        return None;
    }
    Some((inner.map_or_else(Vec::new, |block| block.ctes.clone()), summed.query..summed.select.end))
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
