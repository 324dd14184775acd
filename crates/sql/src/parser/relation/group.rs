//! GROUP BY and HAVING.

use std::ops::Range;

use sqlparser::ast::{Expr, GroupByExpr, Select};

use super::expression::{Alias, Context, Groups, canonical, conjuncts, name_of, stripped};
use super::items::ItemValue;
use super::places::Extent;
use super::query::{Mode, holds_query};
use super::scope::{Found, parts, same};
use super::select::{Block, aggregates, is_grouped, is_grouped_by_all, ordinal};
use super::subquery::{Sub, Use, test_of};
use super::{Outcome, Reader, stop};
use crate::refresh::{Aggregate, ColumnId, Kind, OutputColumn, Relation, Scalar};

/// The conditions of HAVING.
#[derive(Default)]
pub(super) struct Having {
    pub(super) conditions: Vec<Scalar>,
    pub(super) attached: Vec<(Sub, Use)>,
    pub(super) below: Vec<Sub>,
}

/// A grouping key: its column, and its canonical form where it is computed.
struct Key {
    input: ColumnId,
    canonical: Option<Expr>,
    item: Option<usize>,
    /// How it can be written where groups are named.
    text: Option<String>,
    /// How it is written in GROUP BY.
    written: String,
    /// It is written there in another way, too.
    respelled: bool,
}

impl Key {
    fn new(input: ColumnId) -> Self {
        Self { input, canonical: None, item: None, text: None, written: String::new(), respelled: false }
    }
}

impl<'a> Reader<'a> {
    pub(super) fn group_by(&mut self, select: &'a Select, block: &mut Block<'a, '_>) -> Outcome<()> {
        if !is_grouped(self.grammar, select, &block.items) {
            return Ok(());
        }
        let mut keys: Vec<Key> = Vec::new();
        // For each element of the list its alternatives, each with the indexes of its keys.
        let mut alternatives: Vec<Vec<Vec<usize>>> = Vec::new();
        let mut span = self.places.range(select.select_token.0.span);
        match &select.group_by {
            GroupByExpr::All(modifiers) | GroupByExpr::Expressions(_, modifiers) if !modifiers.is_empty() => {
                return Err(stop(
                    "WITH ROLLUP and its like are not understood",
                    span,
                    Some("write `group by rollup (...)`"),
                ));
            }
            GroupByExpr::All(_) => {
                for index in 0..block.items.len() {
                    let grouped = match block.items[index].value {
                        ItemValue::Column(_) => true,
                        ItemValue::Expr(expr) => is_grouped_by_all(self.grammar, expr),
                    };
                    if grouped {
                        let key = self.item_key(index, block)?;
                        alternatives.push(vec![vec![add(&mut keys, key)]]);
                    }
                }
                let adds =
                    |value: &ItemValue<'_>| matches!(value, ItemValue::Expr(expr) if aggregates(self.grammar, expr));
                if keys.is_empty() && !block.items.iter().any(|item| adds(&item.value)) {
                    return Err(stop("GROUP BY ALL groups by nothing here", span, Some("leave out GROUP BY")));
                }
            }
            GroupByExpr::Expressions(expressions, _) => {
                if let (Some(first), Some(last)) = (expressions.first(), expressions.last()) {
                    let (first, last) = (self.places.near(first), self.places.near(last));
                    if first.start < last.end {
                        span = first.start..last.end;
                    }
                }
                for expr in expressions {
                    let sets = self.sets(expr, &mut keys, block)?;
                    alternatives.push(sets);
                }
            }
        }
        let mut sets: Vec<Vec<usize>> = vec![Vec::new()];
        for choices in alternatives {
            let mut combined = Vec::new();
            for set in &sets {
                for choice in &choices {
                    let mut set = set.clone();
                    choice.iter().for_each(|key| {
                        if !set.contains(key) {
                            set.push(*key);
                        }
                    });
                    combined.push(set);
                }
            }
            if combined.len() > 4096 {
                return Err(stop("too many grouping sets", span, Some("write several models")));
            }
            sets = combined;
        }
        let several = sets.len() > 1 || sets.first().is_some_and(|set| set.len() < keys.len());
        if several && keys.iter().any(|key| key.respelled) {
            let reason =
                "the same column stands in the grouping sets under two names, which an engine may take for two columns";
            return Err(stop(reason, span, Some("name it in the same way everywhere")));
        }
        let mut groups = Groups { span, sets, ..Groups::default() };
        for key in &keys {
            let id = if several { self.column() } else { key.input };
            groups.pairs.push((id, key.input));
            groups.texts.push(key.text.clone());
            groups.columns.insert(key.input, id);
            groups.expressions.extend(key.canonical.clone().map(|canonical| (canonical, id)));
        }
        if several && block.mode == Mode::Core {
            let unknown = groups.pairs.iter().map(|(id, _)| (*id, Scalar::Unknown(Vec::new()))).collect();
            block.extend(unknown);
        }
        for (key, (id, _)) in keys.iter().zip(&groups.pairs) {
            if let Some(item) = key.item {
                block.computed[item] = Some(*id);
            }
        }
        for computed in &mut block.computed {
            *computed = computed.and_then(|id| {
                groups.columns.get(&id).copied().or(groups.pairs.iter().any(|(new, _)| *new == id).then_some(id))
            });
        }
        block.groups = Some(groups);
        Ok(())
    }

    /// The alternatives of one element of the list.
    fn sets(&mut self, expr: &'a Expr, keys: &mut Vec<Key>, block: &mut Block<'a, '_>) -> Outcome<Vec<Vec<usize>>> {
        let mut elements = |reader: &mut Self, elements: &'a [Vec<Expr>]| -> Outcome<Vec<Vec<usize>>> {
            let mut found = Vec::new();
            for element in elements {
                let mut set = Vec::new();
                for expr in element {
                    match stripped(expr) {
                        Expr::Tuple(items) => {
                            for item in items {
                                let key = reader.key(item, block)?;
                                set.push(add(keys, key));
                            }
                        }
                        Expr::Rollup(_) | Expr::Cube(_) | Expr::GroupingSets(_) => {
                            let near = reader.places.near(expr);
                            return Err(stop(
                                "grouping sets within grouping sets are not followed",
                                near,
                                Some("write them out"),
                            ));
                        }
                        expr => {
                            let key = reader.key(expr, block)?;
                            set.push(add(keys, key));
                        }
                    }
                }
                found.push(set);
            }
            Ok(found)
        };
        match expr {
            Expr::Rollup(list) => {
                let list = elements(self, list)?;
                Ok((0..=list.len()).rev().map(|length| list[..length].concat()).collect())
            }
            Expr::Cube(list) => {
                let list = elements(self, list)?;
                if list.len() > 12 {
                    return Err(stop("too many grouping sets", self.places.near(expr), Some("write several models")));
                }
                let chosen = |mask: usize| {
                    list.iter()
                        .enumerate()
                        .filter(move |(index, _)| mask & (1 << index) == 0)
                        .flat_map(|(_, keys)| keys.clone())
                };
                Ok((0..1_usize << list.len()).map(|mask| chosen(mask).collect()).collect())
            }
            Expr::GroupingSets(list) => elements(self, list),
            Expr::Tuple(items) => {
                let mut set = Vec::new();
                for item in items {
                    let key = self.key(item, block)?;
                    set.push(add(keys, key));
                }
                Ok(vec![set])
            }
            expr => {
                let key = self.key(expr, block)?;
                Ok(vec![vec![add(keys, key)]])
            }
        }
    }

    fn key(&mut self, expr: &'a Expr, block: &mut Block<'a, '_>) -> Outcome<Key> {
        let expr = stripped(expr);
        if let Some(index) = ordinal(expr) {
            return match index.checked_sub(1).filter(|index| *index < block.items.len()) {
                Some(index) => self.item_key(index, block),
                None => Err(stop("GROUP BY names a column by a number it does not have", self.places.near(expr), None)),
            };
        }
        // A column comes before a name of the select list.
        if let Some(names) = name_of(expr)
            && let [name] = parts(&names).as_slice()
            && block.scope.own(std::slice::from_ref(name)) == Found::Nothing
            && let Some(index) = block.items.iter().position(|item| item.alias && same(&item.name, name))
        {
            return self.item_key(index, block);
        }
        Ok(Key { written: expr.to_string(), ..self.expression_key(expr, None, block)? })
    }

    fn item_key(&mut self, index: usize, block: &mut Block<'a, '_>) -> Outcome<Key> {
        let key = match block.items[index].value {
            ItemValue::Column(input) => {
                Key { item: Some(index), text: self.name_in(input, &block.scope), ..Key::new(input) }
            }
            // A name or a number of the select list is the expression there.
            ItemValue::Expr(expr) => {
                Key { written: stripped(expr).to_string(), ..self.expression_key(expr, Some(index), block)? }
            }
        };
        block.computed[index] = Some(key.input);
        Ok(key)
    }

    fn expression_key(&mut self, expr: &'a Expr, item: Option<usize>, block: &mut Block<'a, '_>) -> Outcome<Key> {
        let known = canonical(expr, &block.scope);
        if let Some(input) = item.and_then(|index| block.computed[index]) {
            return Ok(Key { canonical: known, item, ..Key::new(input) });
        }
        self.compute_aliases(expr, block)?;
        let aliases: Vec<Alias> = block.aliases(item);
        let read = self.read(expr, &block.context(&aliases))?;
        if let Some(input) = read.plain
            && read.is_local()
        {
            let text = self.name_in(input, &block.scope);
            return Ok(Key { item, text, ..Key::new(input) });
        }
        let text = self.places.of(expr, Extent::Whole).map(|span| format!("({})", self.text(&span)));
        let scalar = self.scalar(expr, &read, Extent::Whole)?;
        let scalar = if read.outer { Scalar::Unknown(read.named()) } else { scalar };
        let mut relation = block.take();
        for sub in read.subqueries.into_iter().chain(read.below) {
            relation = self.attach(relation, sub, Use::Value).0;
        }
        block.relation = relation;
        let id = match block.visible(scalar) {
            Scalar::Column(id) => id,
            scalar => {
                let id = self.column();
                block.extend(vec![(id, scalar)]);
                id
            }
        };
        Ok(Key { canonical: known, item, text, ..Key::new(id) })
    }

    /// The conditions of HAVING, read before the groups are made.
    pub(super) fn having(&mut self, select: &'a Select, block: &Block<'a, '_>) -> Outcome<Having> {
        let mut having = Having::default();
        let Some(condition) = &select.having else { return Ok(having) };
        let conditions = conjuncts(condition);
        let extent = if conditions.len() == 1 { Extent::Whole } else { Extent::Conjunct };
        let aliases = block.aliases(None);
        for condition in conditions {
            if let Some((query, asked, wanted)) = test_of(condition)
                && !aggregates(self.grammar, condition)
            {
                let sub = self.subquery(query, asked, &block.context(&aliases))?;
                match sub.value {
                    Some(_) => having.attached.push((sub, wanted)),
                    None => having.conditions.push(Scalar::Unknown(sub.named.into_iter().map(|(_, id)| id).collect())),
                }
                continue;
            }
            let context = Context { alias_first: true, ..block.context(&aliases) };
            let read = self.read(condition, &context)?;
            let scalar = self.condition(condition, &read, extent)?;
            let mut certain = !read.outer;
            // A name that is both a column and one of the select list.
            if !holds_query(condition) {
                let other = self.read(condition, &block.context(&aliases))?;
                certain &= other.columns == read.columns;
            }
            having.conditions.push(if certain { scalar } else { Scalar::Unknown(Vec::new()) });
            having.attached.extend(read.subqueries.into_iter().map(|sub| (sub, Use::Value)));
            having.below.extend(read.below);
        }
        Ok(having)
    }

    /// Makes the groups.
    pub(super) fn aggregate(
        &mut self,
        select: &'a Select,
        block: &mut Block<'a, '_>,
        aggregates: Vec<ColumnId>,
    ) -> Outcome<()> {
        let summed = if self.with_summed { self.summed(select, block).map(Box::new) } else { None };
        let windowed = if self.with_summed { self.windowed(select, block).map(Box::new) } else { None };
        let written = if self.with_summed { self.grouping(select, block) } else { None };
        self.aggregate_ties(block, block.mode == Mode::Whole);
        let Some(groups) = &block.groups else { return Ok(()) };
        let (pairs, sets, span): (Vec<_>, Vec<_>, Range<usize>) =
            (groups.pairs.clone(), groups.sets.clone(), groups.span.clone());
        if block.mode == Mode::Core {
            block.extend(aggregates.into_iter().map(|id| (id, Scalar::Unknown(Vec::new()))).collect());
            return Ok(());
        }
        let input = block.take();
        let mut columns: Vec<OutputColumn> = pairs
            .iter()
            .map(|(id, from)| OutputColumn {
                id: *id,
                engine_type: input
                    .columns
                    .iter()
                    .find(|column| column.id == *from)
                    .and_then(|column| column.engine_type.clone()),
            })
            .collect();
        columns.extend(aggregates.iter().map(|id| OutputColumn { id: *id, engine_type: None }));
        let input = Box::new(input);
        let aggregate = Aggregate { input, groups: pairs, sets, aggregates, span, summed, windowed, written };
        block.relation = Relation { kind: Kind::Aggregate(aggregate), columns };
        Ok(())
    }
}

/// Adds a key; its index. Expressions that are equal are one key, as they are to the engine: one set may leave it out, and another not.
fn add(keys: &mut Vec<Key>, key: Key) -> usize {
    let same = |one: &Key| one.input == key.input || (key.canonical.is_some() && one.canonical == key.canonical);
    match keys.iter().position(same) {
        Some(index) => {
            keys[index].respelled |= keys[index].written != key.written;
            if keys[index].item.is_none() {
                keys[index].item = key.item;
            }
            index
        }
        None => {
            keys.push(key);
            keys.len() - 1
        }
    }
}
