//! Stages: blocks of a text that are better kept as hidden tables with change sets of their own.
//!
//! A text is split where something in it can only be computed anew, so that as little as possible is. What is taken out is the text of a
//! block, and in its place stands a select from the stage's table; what is left is a text like any other, and a stage's text is split in
//! its turn. Which block is taken out is found by trying: that which leaves least to be computed anew (`weight`).

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use super::block::{Block, BlockKind, Limited, OrderBy};
use super::columns::{Columns, Definition};
use super::key::{any_known, hidden_groups};
use super::relation::{ColumnId, InputTable, InputTables, Kind, Obstacle, Relation, Scalar, Tree};
use super::restricted::replaced;
use super::shape::Shape;
use super::summed::{Summing, surroundings};
use super::weight::{Weighed, Weight, weigh};
use super::windowed::{Divided, WindowedGroups, windowed};
use crate::dialect::{Dialect, InvalidName};
use crate::parser::{parse_blocks, parse_relation, parse_summed};

/// The schema under which texts name stages; no table that a user's text can name stands there.
pub const STAGE_SCHEMA: &str = "thalweg_data";

/// What a stage costs to be kept, in the measure of `weight`.
const KEEPING: u64 = 2;
/// Stages of one text, and how deeply they stand in one another.
const MOST: usize = 12;
const DEPTH: usize = 4;
/// How many ways to split a model are looked at.
const TRIALS: usize = 400;

/// Names of columns that tell rows apart and that nobody asked for: with a number.
const HIDDEN_KEY: &str = "_thalweg_key_";

/// Whether a column of a stage tells its rows apart and was not asked for by anybody.
pub fn is_hidden_key(column: &str) -> bool {
    column.starts_with(HIDDEN_KEY)
}

/// What a stage with the groups of a select is called.
const GROUPS: &str = "groups";

/// Functions whose answer depends on the order of rows.
const ORDERED: &[&str] = &[
    "list",
    "array_agg",
    "string_agg",
    "group_concat",
    "listagg",
    "first",
    "last",
    "any_value",
    "arbitrary",
    "limit",
    "fetch",
    "row_number",
    "histogram",
    "map",
    "json_group_array",
    "array",
];

/// A model's text in parts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Split {
    /// The stages, each after those it reads.
    pub stages: Vec<Stage>,
    /// The model's text, reading them.
    pub rest: String,
}

/// A block that is kept as a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Its name within the model.
    pub name: String,
    /// The query its rows are.
    pub text: String,
    /// Names of its columns, in order.
    pub columns: Vec<String>,
    /// Columns that identify a row, where that is proven; empty otherwise.
    pub key: Vec<String>,
    /// Columns of its key that a change finds quickly, where the others would have to be looked up for it in other tables; empty otherwise.
    pub found_by: Vec<String>,
    /// Whether it always has one row.
    pub one_row: bool,
    /// Why it is kept: what could not be followed without.
    pub reason: String,
    /// How it is kept by adding and subtracting, where it is.
    pub summing: Option<Summing>,
}

impl Stage {
    /// The parts of the name under which texts read it.
    pub fn table(&self) -> Vec<String> {
        stage_table(&self.name)
    }

    /// What refresh makes of it.
    pub fn shape(&self, dialect: &dyn Dialect, inputs: &dyn InputTables) -> Result<Shape, Obstacle> {
        let shape = Shape::read(&self.text, dialect, inputs, &[])?.found_by(&self.found_by);
        // A group whose value may be shown with other digits has one scale of several, and a change finds one of them.
        Ok(match &self.summing {
            Some(summing) => shape.keyed_by(summing.keys.get(..summing.probed).unwrap_or_default()),
            None => shape,
        })
    }
}

pub(super) fn stage_table(name: &str) -> Vec<String> {
    vec![STAGE_SCHEMA.to_owned(), name.to_owned()]
}

/// The tables a query may name, stages among them.
pub struct WithStages<'a> {
    /// The others.
    pub inputs: &'a dyn InputTables,
    /// By the name within the model.
    pub stages: BTreeMap<String, InputTable>,
}

impl InputTables for WithStages<'_> {
    fn table(&self, name: &[String]) -> Option<InputTable> {
        match name {
            [schema, stage] if schema == STAGE_SCHEMA => self.stages.get(stage).cloned(),
            name => self.inputs.table(name),
        }
    }
}

impl Split {
    /// Splits a model's text, in which views and ephemeral models already stand in the places of their names. Without stages where that
    /// is best as it is.
    pub fn of(sql: &str, dialect: &dyn Dialect, inputs: &dyn InputTables, declared_key: &[String]) -> Self {
        let splitter = Splitter {
            dialect,
            inputs,
            stages: RefCell::default(),
            weights: RefCell::default(),
            number: Cell::new(0),
            trials: Cell::new(0),
        };
        let parts = splitter.improve(sql.to_owned(), declared_key, 0);
        let mut split = Self { stages: parts.stages.into_iter().map(|part| part.stage).collect(), rest: parts.text };
        split.call(dialect);
        split
    }

    /// Whether the text is better left as it is.
    pub fn is_whole(&self) -> bool {
        self.stages.is_empty()
    }

    /// Gives stages the names that people see.
    fn call(&mut self, dialect: &dyn Dialect) {
        let mut taken: BTreeSet<String> = BTreeSet::new();
        for index in 0..self.stages.len() {
            let old = self.stages[index].name.clone();
            let wanted = old.split('#').next().unwrap_or_default().to_owned();
            let mut name = wanted.clone();
            let mut number = 1;
            while !taken.insert(name.clone()) {
                number += 1;
                name = format!("{wanted}_{number}");
            }
            // Both are quoted, so that neither is a part of another.
            let (Ok(old), Ok(new)) = (quoted(dialect, &old), quoted(dialect, &name)) else { continue };
            self.rest = self.rest.replace(&old, &new);
            for stage in &mut self.stages {
                stage.text = stage.text.replace(&old, &new);
            }
            self.stages[index].name = name;
        }
    }
}

/// A text with relations in the places of some of its tables, by the parts of their names.
pub fn placed(
    sql: &str,
    dialect: &dyn Dialect,
    relations: &BTreeMap<Vec<String>, String>,
) -> Result<String, crate::query::SqlError> {
    let query = crate::parser::parse_select(sql, dialect)?;
    let mut replacements = Vec::new();
    for table in query.tables {
        if let Some(relation) = relations.get(&table.name) {
            replacements.push((table.span, relation.clone()));
        }
    }
    Ok(replaced(sql, replacements))
}

struct Splitter<'a> {
    dialect: &'a dyn Dialect,
    inputs: &'a dyn InputTables,
    /// What was tried as a stage, by its provisional name.
    stages: RefCell<BTreeMap<String, InputTable>>,
    weights: RefCell<BTreeMap<Vec<String>, Weight>>,
    number: Cell<usize>,
    trials: Cell<usize>,
}

/// A stage with what it was before it was split itself.
#[derive(Debug, Clone)]
struct Part {
    stage: Stage,
    raw: String,
}

/// A text and the stages it was freed of.
struct Parts {
    text: String,
    stages: Vec<Part>,
    /// What the text and the stages together cost.
    cost: u64,
}

/// A block on its own.
struct TakenOut {
    /// Its text.
    raw: String,
    /// The names of its columns.
    columns: Vec<String>,
    /// How many of them, the first, are not the user's: nothing that is asked for tells its rows apart.
    hidden: usize,
    tree: Tree,
}

struct Candidate {
    /// With the stage itself, unless it is one that stands already.
    stages: Vec<Part>,
    /// The text without it.
    rest: String,
    cost: u64,
}

impl Splitter<'_> {
    fn read(&self, sql: &str) -> Option<Tree> {
        let trials = self.trials.get();
        if trials >= TRIALS {
            return None;
        }
        self.trials.set(trials + 1);
        let inputs = WithStages { inputs: self.inputs, stages: self.stages.borrow().clone() };
        parse_relation(sql, self.dialect, &inputs).ok()
    }

    fn weigh(&self, sql: &str, key: &[String]) -> Option<Weighed> {
        Some(weigh(&self.read(sql)?, key, &self.weights.borrow()))
    }

    fn improve(&self, mut text: String, key: &[String], depth: usize) -> Parts {
        let mut stages: Vec<Part> = Vec::new();
        let Some(mut now) = self.weigh(&text, key) else { return Parts { text, stages, cost: u64::MAX } };
        let mut spent = 0_u64;
        while now.cost > 0 && stages.len() < MOST && depth < DEPTH {
            let mut best: Option<(u64, Candidate, Weighed)> = None;
            let blocks: Vec<Block> = parse_blocks(&text, self.dialect);
            let taken: Vec<Option<TakenOut>> = blocks.iter().map(|block| self.taken_out(&text, block)).collect();
            let mut better = |candidate: Option<Candidate>| {
                let Some(candidate) = candidate else { return };
                let Some(rest) = self.weigh(&candidate.rest, key) else { return };
                let total = rest.cost.saturating_add(candidate.cost);
                if total < now.cost && best.as_ref().is_none_or(|(least, ..)| total < *least) {
                    best = Some((total, candidate, rest));
                }
            };
            for (index, (block, out)) in blocks.iter().zip(&taken).enumerate() {
                let Some(out) = out else { continue };
                // What stands in several places is one stage.
                let alike = |other: &usize| taken[*other].as_ref().is_some_and(|other| other.raw == out.raw);
                if (0..index).any(|earlier| alike(&earlier)) {
                    continue;
                }
                let places: Vec<&Block> = (index..blocks.len()).filter(alike).map(|other| &blocks[other]).collect();
                let rest = |stage: &str| self.without(&text, &places, stage, out.columns.get(out.hidden..)?).ok();
                let candidate = self.candidate(&called(block), out, (&stages, depth, &now.reason), rest);
                better(candidate);
            }
            for divided in self.divided(&text, &blocks) {
                let Some(out) = self.groups(&divided) else { continue };
                let rest = |stage: &str| divided.rest(&text, stage, self.dialect).ok();
                better(self.candidate(GROUPS, &out, (&stages, depth, &now.reason), rest));
            }
            let Some((_, candidate, rest)) = best else { break };
            spent = spent.saturating_add(candidate.cost);
            stages.extend(candidate.stages);
            text = candidate.rest;
            now = rest;
        }
        Parts { text, stages, cost: now.cost.saturating_add(spent) }
    }

    /// A part of a text as a stage, which is called something like `name`; `None` where it cannot be one.
    fn candidate(
        &self,
        name: &str,
        out: &TakenOut,
        (stages, depth, reason): (&[Part], usize, &str),
        rest: impl FnOnce(&str) -> Option<String>,
    ) -> Option<Candidate> {
        let TakenOut { raw, columns, tree, .. } = out;
        let known = stages.iter().find(|part| part.raw == *raw);
        let mut parts = Vec::new();
        let mut cost = 0;
        let name = match known {
            Some(part) => part.stage.name.clone(),
            None => {
                let found = self.improve(raw.clone(), &[], depth + 1);
                let name = self.provisional(name);
                let weight = weigh(tree, &[], &self.weights.borrow()).weight;
                let engine_type = |index: usize| {
                    let known = tree.root.columns.get(index).and_then(|column| column.engine_type.clone());
                    // Two of them are never taken for the same.
                    known.unwrap_or_else(|| format!("unknown {name} {index}"))
                };
                let typed =
                    columns.iter().enumerate().map(|(index, name)| (name.clone(), engine_type(index))).collect();
                let key = proven_key(tree, columns);
                self.stages.borrow_mut().insert(name.clone(), InputTable { columns: typed, key: key.clone() });
                let one_row = weight.one_row;
                self.weights.borrow_mut().insert(stage_table(&name), weight);
                let reason = reason.to_owned();
                let stage = Stage {
                    name: name.clone(),
                    text: found.text,
                    columns: columns.clone(),
                    key,
                    found_by: Vec::new(),
                    one_row,
                    reason,
                    summing: None,
                };
                cost = found.cost.saturating_add(KEEPING);
                parts = found.stages;
                parts.push(Part { stage, raw: raw.clone() });
                name
            }
        };
        let rest = rest(&name)?;
        Some(Candidate { stages: parts, rest, cost })
    }

    fn provisional(&self, name: &str) -> String {
        let number = self.number.get();
        self.number.set(number + 1);
        format!("{name}#{number}")
    }

    /// The selects of a text that look at their groups through windows, each in two.
    fn divided(&self, text: &str, blocks: &[Block]) -> Vec<Divided> {
        let inputs = WithStages { inputs: self.inputs, stages: self.stages.borrow().clone() };
        let Ok(tree) = parse_summed(text, self.dialect, &inputs) else { return Vec::new() };
        // Under a collation values are equal that are not identical.
        if !tree.clock.is_empty() || text.to_ascii_lowercase().contains("collate") {
            return Vec::new();
        }
        let mut found = Vec::new();
        windowed(&tree.root, &mut found);
        let divide = |select: &WindowedGroups| {
            let (ctes, _) = surroundings(text, select.query, &select.select, blocks, self.dialect)?;
            select.divided(text, &ctes, self.dialect).ok().flatten()
        };
        found.into_iter().filter_map(divide).collect()
    }

    /// The groups of a select on their own.
    fn groups(&self, divided: &Divided) -> Option<TakenOut> {
        let tree = self.read(&divided.groups)?;
        let (raw, columns) = (divided.groups.clone(), divided.columns.clone());
        (!tree.tables.is_empty() && tree.names == columns).then_some(TakenOut { raw, columns, hidden: 0, tree })
    }

    /// The text of a block on its own, the names of its columns, and its tree.
    fn taken_out(&self, text: &str, block: &Block) -> Option<TakenOut> {
        let within = match &block.kind {
            BlockKind::Limited(limited) => limited.body.clone(),
            _ => block.span.clone(),
        };
        let piece = text.get(within)?.trim();
        if block.ordered && depends_on_order(text, block) {
            return None;
        }
        let mut ctes = Vec::with_capacity(block.ctes.len());
        for cte in &block.ctes {
            ctes.push(text.get(cte.clone())?);
        }
        let with = if ctes.is_empty() { String::new() } else { format!("with {}\n", ctes.join(",\n")) };
        let mut raw = if ctes.is_empty() { piece.to_owned() } else { format!("{with}select q.* from ({piece}\n) q") };
        let mut tree = self.read(&raw)?;
        if !tree.clock.is_empty() || tree.tables.is_empty() {
            return None;
        }
        let keyed = self.with_hidden_key(&raw, &tree);
        let hidden = keyed.as_ref().map_or(0, |(_, keyed)| keyed.names.len() - tree.names.len());
        if block.kind == BlockKind::Whole && hidden == 0 {
            return None;
        }
        if block.kind == BlockKind::Value {
            let own = keyed.iter().flat_map(|(_, keyed)| keyed.names.iter().take(hidden).cloned());
            let columns: Vec<String> = own.chain((0..tree.names.len()).map(|index| format!("value_{index}"))).collect();
            let list: Result<Vec<String>, InvalidName> =
                columns.iter().map(|column| self.dialect.quote_identifier(column)).collect();
            let list = list.ok()?.join(", ");
            let raw = match keyed {
                Some((raw, _)) => format!("select q.* from ({raw}\n) q({list})"),
                None => format!("{with}select q.* from ({piece}\n) q({list})"),
            };
            let tree = self.read(&raw)?;
            return Some(TakenOut { raw, columns, hidden, tree });
        }
        if let Some(keyed) = keyed {
            (raw, tree) = keyed;
        }
        let mut taken = BTreeSet::new();
        let distinct = tree.names.iter().all(|name| !name.is_empty() && taken.insert(name.to_lowercase()));
        distinct.then(|| TakenOut { raw, columns: tree.names.clone(), hidden, tree })
    }

    /// A text with the columns it groups by before its others, where none of those tells its rows apart before they are computed.
    fn with_hidden_key(&self, text: &str, tree: &Tree) -> Option<(String, Tree)> {
        if any_known(tree) {
            return None;
        }
        let names = &tree.names;
        let inputs = WithStages { inputs: self.inputs, stages: self.stages.borrow().clone() };
        let tree = parse_summed(text, self.dialect, &inputs).ok()?;
        let grouping = hidden_groups(&tree)?;
        let mut list = Vec::with_capacity(grouping.keys.len());
        for (key, number) in grouping.keys.iter().zip(1..) {
            let name = self.dialect.quote_identifier(&format!("{HIDDEN_KEY}{number}")).ok()?;
            list.push(format!("{} as {name},", text.get(key.clone())?.trim()));
        }
        let keyed = replaced(text, vec![(grouping.list..grouping.list, list.join(" "))]);
        let tree = self.read(&keyed)?;
        // What stands in the midst of the query does not come out of it.
        let hidden = tree.names.len().checked_sub(names.len()).filter(|hidden| *hidden == grouping.keys.len())?;
        (tree.names.get(hidden..)? == names).then_some((keyed, tree))
    }

    /// The text with a select from the stage in the places of the block.
    fn without(&self, text: &str, places: &[&Block], stage: &str, columns: &[String]) -> Result<String, InvalidName> {
        let mut selected = Vec::with_capacity(columns.len());
        for column in columns {
            selected.push(format!("s.{}", self.dialect.quote_identifier(column)?));
        }
        let select = format!("select {} from {} s", selected.join(", "), quoted(self.dialect, stage)?);
        let mut replacements = Vec::with_capacity(places.len());
        for block in places {
            let mut new = select.clone();
            if let BlockKind::Limited(limited) = &block.kind {
                let order = ordered(limited, columns).ok_or(InvalidName::Empty)?;
                let limit = text.get(limited.limit.clone()).unwrap_or_default();
                new = format!("{new} order by {order} {limit}");
            }
            replacements.push((block.span.clone(), new));
        }
        Ok(replaced(text, replacements))
    }
}

/// What a stage of a block is called.
fn called(block: &Block) -> String {
    let name = block.name.to_lowercase();
    let plain: String = name.chars().filter(|one| one.is_ascii_alphanumeric() || *one == '_').collect();
    let name = match (&block.kind, plain.as_str()) {
        (BlockKind::Limited(_), _) => "unlimited",
        (BlockKind::Whole, _) => GROUPS,
        (BlockKind::Value, _) => "value",
        (BlockKind::Table, "") => "part",
        (BlockKind::Table, name) => name,
    };
    name.to_owned()
}

pub(super) fn quoted(dialect: &dyn Dialect, stage: &str) -> Result<String, InvalidName> {
    Ok(format!("{}.{}", dialect.quote_identifier(STAGE_SCHEMA)?, dialect.quote_identifier(stage)?))
}

/// Whether something outside of a block may look at the order in which its rows come.
fn depends_on_order(text: &str, block: &Block) -> bool {
    let outside = format!(
        "{} {}",
        text.get(..block.span.start).unwrap_or_default(),
        text.get(block.span.end..).unwrap_or_default()
    )
    .to_lowercase();
    let mut words = outside.split(|one: char| !(one.is_alphanumeric() || one == '_'));
    words.any(|word| ORDERED.contains(&word))
}

/// The list of ORDER BY over the columns of the unlimited result. What the text leaves open is decided by the other columns.
fn ordered(limited: &Limited, columns: &[String]) -> Option<String> {
    let mut list: Vec<String> = Vec::new();
    let mut used: BTreeSet<usize> = BTreeSet::new();
    for item in &limited.order {
        let places: Vec<usize> = match &item.by {
            OrderBy::Place(place) if *place < columns.len() => vec![*place],
            OrderBy::Place(_) => return None,
            OrderBy::Name(name) => {
                let same = |column: &String| column.to_lowercase() == name.to_lowercase();
                vec![columns.iter().position(same)?]
            }
            OrderBy::All => (0..columns.len()).collect(),
        };
        for place in places {
            used.insert(place);
            let mut text = (place + 1).to_string();
            text.push_str(match item.descending {
                None => "",
                Some(false) => " asc",
                Some(true) => " desc",
            });
            text.push_str(match item.nulls_first {
                None => "",
                Some(true) => " nulls first",
                Some(false) => " nulls last",
            });
            list.push(text);
        }
    }
    list.extend((0..columns.len()).filter(|place| !used.contains(place)).map(|place| (place + 1).to_string()));
    Some(list.join(", "))
}

/// The columns that identify a row, because the query groups by them.
fn proven_key(tree: &Tree, names: &[String]) -> Vec<String> {
    let columns = Columns::of(tree);
    let Some(groups) = groups(&tree.root) else { return Vec::new() };
    let mut key = Vec::with_capacity(groups.len());
    for group in groups {
        let place = tree.root.columns.iter().position(|column| is_column(&columns, column.id, group));
        match place.and_then(|place| names.get(place)) {
            Some(name) => key.push(name.clone()),
            None => return Vec::new(),
        }
    }
    key
}

fn is_column(columns: &Columns, mut column: ColumnId, wanted: ColumnId) -> bool {
    while column != wanted {
        match columns.definition(column) {
            Definition::Computed(Scalar::Column(inner)) => column = *inner,
            _ => return false,
        }
    }
    true
}

fn groups(relation: &Relation) -> Option<Vec<ColumnId>> {
    match &relation.kind {
        Kind::Filter { input, .. } => groups(input),
        Kind::Project { input, computed } => {
            let one_to_one = computed.iter().all(|(_, scalar)| !matches!(scalar, Scalar::Text(_)));
            groups(input).filter(|_| one_to_one)
        }
        Kind::Aggregate(aggregate) if aggregate.sets.len() == 1 => {
            Some(aggregate.groups.iter().map(|(group, _)| *group).collect())
        }
        _ => None,
    }
}
