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

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::block::{Block, BlockKind};
use super::columns::Columns;
use super::relation::{
    Apply, ColumnId, InputTable, InputTables, Join, JoinKind, Kind, Relation, Scalar, SetOperator, Tree,
};
use super::restricted::{OWN, replaced};
use super::rule::{Rule, SwitchedOff};
use super::shape::Inputs;
use super::split::{Split, Stage, WithStages, quoted};
use crate::dialect::{Dialect, InvalidName};
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

/// What a piece is. A filter is the whole of `filter (where ...)`.
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
        filter: Option<Range<usize>>,
    },
    /// `count(x)`
    Values {
        /// What is counted.
        argument: Range<usize>,
        /// Of these rows only.
        filter: Option<Range<usize>>,
    },
    /// `sum(x)`
    Sum {
        /// What is added.
        argument: Range<usize>,
        /// Of these rows only.
        filter: Option<Range<usize>>,
    },
    /// `avg(x)`
    Average {
        /// What is added and counted.
        argument: Range<usize>,
        /// Of these rows only.
        filter: Option<Range<usize>>,
    },
    /// The argument of an aggregate to which repetition makes no difference.
    Each,
}

/// How a stage is kept by adding and subtracting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summing {
    /// The columns it is grouped by; none for a total.
    pub keys: Vec<String>,
    /// Counts beside [`ROWS`].
    pub counts: Vec<String>,
    /// Sums, each with the count of what was added; a sum of nothing is NULL.
    pub sums: Vec<(String, String)>,
    /// A query of the columns it is grouped by and of what is added, in order and not yet grouped: it tells their types.
    pub probe: String,
    /// The tables of whose changes it is a linear function, by the parts of their names.
    pub linear: BTreeSet<Vec<String>>,
    /// What is left of the select is one row, which has no key.
    pub total: bool,
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
}

/// The change of a stage that is kept by adding and subtracting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delta {
    /// Nothing it reads changed.
    Nothing,
    /// A query of the stage's columns: what is to be added to each. Groups in which nothing changes are left out.
    Rows(String),
    /// It is not a linear function of what changed; the tables.
    NotLinear(Vec<Vec<String>>),
}

/// The stages that could be taken out of the parts of a model. A split without stages has the whole text as what is left.
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
pub fn with(split: &Split, chosen: &[&Candidate]) -> Split {
    let mut stages = Vec::with_capacity(split.stages.len() + chosen.len());
    let mut rest = String::new();
    for part in 0..=split.stages.len() {
        let mine: Vec<&&Candidate> = chosen.iter().filter(|candidate| candidate.part == part).collect();
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
        let written = Written { text, summed, dialect, stage: &name, ctes: &ctes };
        // A total that subqueries take part in is kept in pieces that can be refreshed by keys.
        let apart = if summed.keys.is_empty() { correlated(input, &tree) } else { Vec::new() };
        let reads = |stage: &Stage| {
            crate::parser::parse_relation(&stage.text, dialect, inputs).is_ok_and(|read| read.names == stage.columns)
        };
        let parts = |apart: &[(String, String)]| {
            written.parts(linear.clone(), apart).ok().flatten().filter(|(stage, _)| reads(stage))
        };
        let in_pieces = if apart.is_empty() { None } else { parts(&apart) };
        let Some((stage, outer)) = in_pieces.or_else(|| parts(&[])) else { continue };
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
        found.push(Candidate { stage, part, place: (whole, outer) });
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

/// A select that is put into two.
struct Written<'a> {
    text: &'a str,
    summed: &'a Summed,
    dialect: &'a dyn Dialect,
    stage: &'a str,
    ctes: &'a [Range<usize>],
}

/// The columns of a stage, as they are found to be needed.
#[derive(Default)]
struct StageColumns {
    /// Text and name.
    keys: Vec<(String, String)>,
    counts: Vec<(String, String)>,
    /// Argument, text, name, name of the count.
    sums: Vec<(String, String, String, String)>,
}

impl StageColumns {
    fn key(&mut self, text: &str) -> String {
        named(&mut self.keys, text, "thalweg_key")
    }

    fn count(&mut self, text: &str) -> String {
        named(&mut self.counts, text, "thalweg_count")
    }

    fn sum(&mut self, argument: &str, filter: &str) -> (String, String) {
        let text = format!("sum({argument}){filter}");
        if let Some((_, _, sum, count)) = self.sums.iter().find(|(_, one, ..)| *one == text) {
            return (sum.clone(), count.clone());
        }
        let count = self.count(&format!("count({argument}){filter}"));
        let sum = format!("thalweg_sum_{}", self.sums.len() + 1);
        self.sums.push((argument.to_owned(), text, sum.clone(), count.clone()));
        (sum, count)
    }
}

fn named(columns: &mut Vec<(String, String)>, text: &str, prefix: &str) -> String {
    if let Some((_, name)) = columns.iter().find(|(one, _)| one == text) {
        return name.clone();
    }
    let name = format!("{prefix}_{}", columns.len() + 1);
    columns.push((text.to_owned(), name.clone()));
    name
}

impl Written<'_> {
    fn piece(&self, span: &Range<usize>) -> &str {
        self.text.get(span.clone()).unwrap_or_default()
    }

    fn filter(&self, filter: Option<&Range<usize>>) -> String {
        filter.map_or_else(String::new, |filter| format!(" {}", self.piece(filter)))
    }

    /// The stage, and what is left in its place.
    fn parts(
        &self,
        linear: BTreeSet<Vec<String>>,
        apart: &[(String, String)],
    ) -> Result<Option<(Stage, String)>, InvalidName> {
        let summed = self.summed;
        let column = |name: &str| Ok(format!("{READ}.{}", self.dialect.quote_identifier(name)?));
        let mut columns = StageColumns::default();
        let mut groups = Vec::with_capacity(summed.keys.len());
        for key in &summed.keys {
            // Two expressions that are written alike are one.
            groups.push(columns.key(self.piece(key)));
        }
        for (table, column) in apart {
            let (table, column) = (self.dialect.quote_identifier(table)?, self.dialect.quote_identifier(column)?);
            columns.key(&format!("{table}.{column}"));
        }
        let mut places: Vec<(Range<usize>, String)> = Vec::with_capacity(summed.pieces.len() + 2);
        for piece in &summed.pieces {
            let new = match &piece.kind {
                PieceKind::Key { key, name } => {
                    let Some(group) = groups.get(*key) else { return Ok(None) };
                    match name {
                        Some(name) => format!("{} as {}", column(group)?, self.dialect.quote_identifier(name)?),
                        None => column(group)?,
                    }
                }
                PieceKind::Rows { filter: None } => total(&column(ROWS)?),
                PieceKind::Rows { filter } => {
                    total(&column(&columns.count(&format!("count(*){}", self.filter(filter.as_ref()))))?)
                }
                PieceKind::Values { argument, filter } => {
                    let text = format!("count({}){}", self.piece(argument), self.filter(filter.as_ref()));
                    total(&column(&columns.count(&text))?)
                }
                PieceKind::Sum { argument, filter } => {
                    let (sum, _) = columns.sum(self.piece(argument), &self.filter(filter.as_ref()));
                    format!("sum({})", column(&sum)?)
                }
                PieceKind::Average { argument, filter } => {
                    let (sum, count) = columns.sum(self.piece(argument), &self.filter(filter.as_ref()));
                    format!("(cast(sum({}) as double precision) / nullif(sum({}), 0))", column(&sum)?, column(&count)?)
                }
                PieceKind::Each => column(&columns.key(self.piece(&piece.span)))?,
            };
            places.push((piece.span.clone(), new));
        }
        places.push((summed.from.clone(), format!("from {} {READ}", quoted(self.dialect, self.stage)?)));
        if let Some(group_by) = &summed.group_by {
            let groups: Result<Vec<String>, InvalidName> = groups.iter().map(|group| column(group)).collect();
            places.push((group_by.clone(), format!("group by {}", groups?.join(", "))));
        }
        let start = summed.select.start;
        let moved = places.into_iter().map(|(span, new)| (span.start - start..span.end - start, new)).collect();
        let outer = replaced(self.piece(&summed.select), moved);
        Ok(Some((self.stage(&columns, linear)?, outer)))
    }

    fn stage(&self, columns: &StageColumns, linear: BTreeSet<Vec<String>>) -> Result<Stage, InvalidName> {
        let selected = |text: &str, name: &str| Ok(format!("{text} as {}", self.dialect.quote_identifier(name)?));
        let mut list = Vec::new();
        let mut names = Vec::new();
        let mut probed = Vec::new();
        for (text, name) in &columns.keys {
            list.push(selected(text, name)?);
            probed.push(selected(text, name)?);
            names.push(name.clone());
        }
        list.push(selected("count(*)", ROWS)?);
        names.push(ROWS.to_owned());
        for (text, name) in &columns.counts {
            list.push(selected(text, name)?);
            names.push(name.clone());
        }
        for (argument, text, name, _) in &columns.sums {
            list.push(selected(text, name)?);
            probed.push(selected(argument, name)?);
            names.push(name.clone());
        }
        let keys: Vec<String> = columns.keys.iter().map(|(_, name)| name.clone()).collect();
        let places: Vec<String> = (1..=keys.len()).map(|place| place.to_string()).collect();
        let group_by = if keys.is_empty() { String::new() } else { format!("\ngroup by {}", places.join(", ")) };
        if probed.is_empty() {
            probed.push("1 as thalweg_nothing".to_owned());
        }
        let summing = Summing {
            keys: keys.clone(),
            counts: columns.counts.iter().map(|(_, name)| name.clone()).collect(),
            sums: columns.sums.iter().map(|(_, _, sum, count)| (sum.clone(), count.clone())).collect(),
            probe: self.query(&probed, ""),
            linear,
            total: self.summed.keys.is_empty(),
        };
        Ok(Stage {
            name: self.stage.to_owned(),
            text: self.query(&list, &group_by),
            columns: names,
            one_row: keys.is_empty(),
            key: keys,
            reason: "large groups, whose counts and sums are kept by adding and subtracting what changed".to_owned(),
            summing: Some(summing),
        })
    }

    /// A query of the select's FROM and WHERE.
    fn query(&self, list: &[String], group_by: &str) -> String {
        let own = self.text.get(self.summed.query..self.summed.select.start).unwrap_or_default();
        let select = format!("{own}select {}\n{}\n{group_by}", list.join(", "), self.piece(&self.summed.from));
        let select = select.trim_end();
        if self.ctes.is_empty() {
            return select.to_owned();
        }
        let ctes: Vec<&str> = self.ctes.iter().map(|cte| self.piece(cte)).collect();
        let with = format!("with {}\n", ctes.join(",\n"));
        if own.trim().is_empty() { format!("{with}{select}") } else { format!("{with}select q.* from ({select}\n) q") }
    }
}

fn total(count: &str) -> String {
    format!("cast(coalesce(sum({count}), 0) as bigint)")
}

impl Summing {
    /// Names of all its counts.
    pub(super) fn all_counts(&self) -> impl Iterator<Item = &str> {
        std::iter::once(ROWS).chain(self.counts.iter().map(String::as_str))
    }

    /// Whether it is exact, with the types of the columns of [`Summing::probe`] in order.
    pub fn is_exact<'a>(&self, dialect: &dyn Dialect, types: impl Iterator<Item = &'a str>) -> bool {
        types.enumerate().all(|(index, name)| {
            if index < self.keys.len() { dialect.equals_exactly(name) } else { dialect.adds_exactly(name) }
        })
    }

    /// What is to be added to a stage's rows. `text` is the stage's.
    pub fn delta(
        &self,
        text: &str,
        dialect: &dyn Dialect,
        tables: &dyn InputTables,
        inputs: &Inputs,
        off: &SwitchedOff,
    ) -> Result<Delta, InvalidName> {
        let changed: Vec<Vec<String>> = {
            let query = parse_select(text, dialect);
            let names: BTreeSet<Vec<String>> =
                query.map(|query| query.tables.into_iter().map(|table| table.name).collect()).unwrap_or_default();
            names.into_iter().filter(|name| inputs.changed.contains_key(name)).collect()
        };
        if !changed.iter().all(|name| self.linear.contains(name)) {
            return Ok(Delta::NotLinear(changed.into_iter().filter(|name| !self.linear.contains(name)).collect()));
        }
        let Ok(tree) = crate::parser::parse_relation(text, dialect, tables) else {
            return Ok(Delta::NotLinear(changed));
        };
        let untold = |name: &&Vec<String>| inputs.changed.get(*name).is_some_and(|changed| changed.old.is_none());
        if let Some(name) = changed.iter().find(untold) {
            return Ok(Delta::NotLinear(vec![name.clone()]));
        }
        let changing: Vec<usize> = (0..tree.tables.len())
            .filter(|place| inputs.changed.contains_key(&tree.tables[*place].name) && is_read(&tree.root, *place))
            .collect();
        if changing.is_empty() {
            return Ok(Delta::Nothing);
        }
        let keys: Result<Vec<String>, InvalidName> =
            self.keys.iter().map(|key| dialect.quote_identifier(key)).collect();
        let keys = keys?;
        let mut numbers: Vec<String> = Vec::new();
        for name in self.all_counts().chain(self.sums.iter().map(|(sum, _)| sum.as_str())) {
            numbers.push(dialect.quote_identifier(name)?);
        }
        let mut terms = Vec::with_capacity(2 * changing.len());
        for at in &changing {
            for (sign, came) in [("", true), ("-", false)] {
                let query = read_with(&tree, dialect, inputs, &changing, (*at, came), off)?;
                let list = keys.iter().map(|key| format!("q.{key}"));
                let list: Vec<String> =
                    list.chain(numbers.iter().map(|number| format!("{sign}q.{number} as {number}"))).collect();
                terms.push(format!("select {} from ({query}\n) q", list.join(", ")));
            }
        }
        let mut list: Vec<String> = keys.iter().map(|key| format!("d.{key}")).collect();
        list.extend(numbers.iter().map(|number| format!("coalesce(sum(d.{number}), 0) as {number}")));
        let differs: Vec<String> = numbers.iter().map(|number| format!("coalesce(sum(d.{number}), 0) <> 0")).collect();
        let groups: Vec<String> = keys.iter().map(|key| format!("d.{key}")).collect();
        let group_by = if groups.is_empty() { String::new() } else { format!(" group by {}", groups.join(", ")) };
        Ok(Delta::Rows(format!(
            "select {} from ({}) d{group_by} having {}",
            list.join(", "),
            terms.join(" union all "),
            differs.join(" or ")
        )))
    }
}

/// A text with another relation in the places of one of its tables; `None` where that cannot be.
pub fn over(
    text: &str,
    dialect: &dyn Dialect,
    tables: &dyn InputTables,
    table: &[String],
    relation: &str,
) -> Result<Option<String>, InvalidName> {
    let Ok(tree) = crate::parser::parse_relation(text, dialect, tables) else { return Ok(None) };
    let inputs = Inputs { current: BTreeMap::from([(table.to_vec(), relation.to_owned())]), ..Inputs::default() };
    read_with(&tree, dialect, &inputs, &[], (0, true), &SwitchedOff::default()).map(Some)
}

fn is_read(relation: &Relation, place: usize) -> bool {
    matches!(&relation.kind, Kind::Scan { table } if *table == place)
        || relation.inputs().into_iter().any(|input| is_read(input, place))
}

/// The text over what came or went at one place; places before it read tables as they are now, places after it as they were.
fn read_with(
    tree: &Tree,
    dialect: &dyn Dialect,
    inputs: &Inputs,
    changing: &[usize],
    (at, came): (usize, bool),
    off: &SwitchedOff,
) -> Result<String, InvalidName> {
    let mut replacements = Vec::with_capacity(tree.tables.len());
    for (place, table) in tree.tables.iter().enumerate() {
        let changed = inputs.changed.get(&table.name).filter(|_| changing.contains(&place));
        let relation = match changed {
            Some(changed) if place == at && came => Some(&changed.after),
            Some(changed) if place == at => Some(&changed.before),
            Some(changed) if place > at && off.holds(Rule::TablesAsTheyWere) => changed.old.as_ref(),
            _ => inputs.current.get(&table.name),
        };
        let Some(relation) = relation else { continue };
        if table.fixed.is_some() {
            continue;
        }
        let mut columns = Vec::with_capacity(table.input.columns.len());
        for (column, _) in &table.input.columns {
            columns.push(format!("{OWN}.{}", dialect.quote_identifier(column)?));
        }
        let own =
            if table.aliased { String::new() } else { format!(" as {}", dialect.quote_identifier(&table.own_name)?) };
        replacements.push((table.span.clone(), format!("(select {} from {relation} {OWN}){own}", columns.join(", "))));
    }
    Ok(replaced(&tree.text, replacements).trim_end().trim_end_matches(';').to_owned())
}
