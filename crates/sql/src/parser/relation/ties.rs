//! Where the order of rows decides about an answer and the text leaves it open, and what would settle it.

use std::collections::BTreeSet;
use std::ops::Range;

use sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments, OrderByKind, Query,
    Select, SelectItem, SetExpr,
};

use super::expression::{Context, grouped, name_of, stripped};
use super::functions::{Ordering, ordering};
use super::items::ItemValue;
use super::places::Extent;
use super::query::Bound;
use super::scope::{Found, Scope, same};
use super::select::{Block, ordinal};
use super::{Reader, has};
use crate::dialect::Dialect;
use crate::refresh::ties::{Tie, Unsettled};
use crate::refresh::unique::{UniqueKey, determined, unique_keys};
use crate::refresh::{ColumnId, Join, Relation};

/// Keys of more columns than this are not appended to an aggregate's order.
const LONG_KEY: usize = 3;

/// What is noted while a query is read.
pub(super) struct Ties<'a> {
    dialect: &'a dyn Dialect,
    pub(super) found: Vec<Tie>,
    /// Aggregates whose answer depends on the order of rows, until the groups of their select are made.
    pub(super) calls: Vec<(&'a Function, Range<usize>)>,
    /// Columns that anything names.
    pub(super) named: BTreeSet<ColumnId>,
    /// The query whose body is the select to be read next.
    pub(super) query: Option<&'a Query>,
    /// Whether an order around the select looks at columns that nobody has read yet.
    pub(super) limited: bool,
}

impl<'a> Ties<'a> {
    pub(super) fn new(dialect: &'a dyn Dialect) -> Self {
        Self { dialect, found: Vec::new(), calls: Vec::new(), named: BTreeSet::new(), query: None, limited: false }
    }

    pub(super) fn add(
        &mut self,
        span: Range<usize>,
        within: Vec<ColumnId>,
        settled_by: Result<Vec<(usize, String)>, String>,
    ) {
        self.found.push(Tie { span, within, settled_by: settled_by.map_err(Unsettled) });
    }
}

/// What rows of a select are told apart by.
pub(super) struct Basis {
    keys: Vec<UniqueKey>,
    /// Columns that have one value throughout.
    pub(super) fixed: BTreeSet<ColumnId>,
}

impl<'a> Reader<'a> {
    fn table_key(&self, table: usize) -> Vec<usize> {
        let table = self.tables.get(table).and_then(Option::as_ref);
        table.map(|table| table.input.key_places()).unwrap_or_default()
    }

    /// Proven keys of a relation.
    pub(super) fn keys_of(&self, relation: &Relation) -> Vec<UniqueKey> {
        unique_keys(relation, self.sql, &|table| self.table_key(table))
    }

    fn determined_by(&self, relation: &Relation, by: &BTreeSet<ColumnId>) -> BTreeSet<ColumnId> {
        determined(relation, by, &|table| self.table_key(table))
    }

    /// The keys of the rows a select's windows look at.
    pub(super) fn window_basis(&self, block: &Block<'a, '_>) -> Basis {
        let keys = match &block.groups {
            None => self.keys_of(&block.relation),
            Some(groups) => {
                let whole = groups.sets.len() <= 1 && groups.sets.iter().all(|set| set.len() == groups.pairs.len());
                whole.then(|| groups.pairs.iter().map(|(id, _)| *id).collect()).into_iter().collect()
            }
        };
        Basis { keys, fixed: BTreeSet::new() }
    }

    /// The column that an expression of an ORDER BY is. One of a type whose equal values may differ counts only as text.
    pub(super) fn ordered_column(&mut self, expr: &'a Expr, block: &Block<'a, '_>) -> Option<ColumnId> {
        let aliases = block.aliases(None);
        let context = block.context(&aliases);
        if let Some(id) = grouped(expr, &context) {
            return Some(id);
        }
        match stripped(expr) {
            Expr::Cast { expr: inner, data_type, .. }
                if name_of(inner).is_some() && data_type.to_string().eq_ignore_ascii_case("varchar") =>
            {
                self.plain_column(inner, &context)
            }
            plain if name_of(plain).is_some() => {
                let id = self.plain_column(plain, &context)?;
                let column = block.relation.columns.iter().find(|column| column.id == id)?;
                (block.groups.is_some() || orders_exactly(column.engine_type.as_deref())).then_some(id)
            }
            _ => None,
        }
    }

    fn plain_column(&mut self, expr: &'a Expr, context: &Context<'_>) -> Option<ColumnId> {
        self.read(expr, context).ok().filter(|read| read.is_local() && !read.outer)?.plain
    }

    /// Whether columns tell the rows of a select apart.
    pub(super) fn tells_apart(&self, basis: &Basis, relation: &Relation, by: &BTreeSet<ColumnId>) -> bool {
        let all: BTreeSet<ColumnId> = by.union(&basis.fixed).copied().collect();
        if basis.keys.iter().any(|key| key.is_subset(&all)) {
            return true;
        }
        let all = self.determined_by(relation, &all);
        basis.keys.iter().any(|key| key.is_subset(&all))
    }

    /// Texts of columns that, beside those there are, tell the rows of a select apart: a key, or all columns that are looked at.
    pub(super) fn breakers(
        &self,
        basis: &Basis,
        by: &BTreeSet<ColumnId>,
        block: &Block<'a, '_>,
    ) -> Result<Vec<String>, String> {
        let known: BTreeSet<ColumnId> = by.union(&basis.fixed).copied().collect();
        let texts =
            |ids: &[ColumnId]| -> Option<Vec<String>> { ids.iter().map(|id| self.breaker(*id, block)).collect() };
        let mut missing: Vec<Vec<ColumnId>> =
            basis.keys.iter().map(|key| key.difference(&known).copied().collect()).collect();
        missing.sort_by_key(Vec::len);
        if let Some(found) = missing.iter().find_map(|ids| texts(ids)) {
            return Ok(found);
        }
        if block.groups.is_some() {
            return Err("its groups have no name of their own here".to_owned());
        }
        let looked_at = self.looked_at(block, &known);
        texts(&looked_at).ok_or_else(|| "a column that decides about it has no name of its own here".to_owned())
    }

    /// Columns of FROM that the select looks at, without some.
    pub(super) fn looked_at(&self, block: &Block<'a, '_>, without: &BTreeSet<ColumnId>) -> Vec<ColumnId> {
        let mut shown: BTreeSet<ColumnId> = BTreeSet::new();
        for item in &block.items {
            if let ItemValue::Column(id) = item.value {
                shown.insert(id);
            }
        }
        let mut found = Vec::new();
        for id in block.scope.sources.iter().flat_map(|source| &source.columns).map(|column| column.id) {
            let wanted = self.ties.limited || self.ties.named.contains(&id) || shown.contains(&id);
            if wanted && !without.contains(&id) && has(&block.relation, id) && !found.contains(&id) {
                found.push(id);
            }
        }
        found
    }

    /// A column as it can stand in an ORDER BY of the select.
    fn breaker(&self, id: ColumnId, block: &Block<'a, '_>) -> Option<String> {
        if let Some(groups) = &block.groups {
            let index = groups.pairs.iter().position(|(group, _)| *group == id)?;
            return groups.texts.get(index)?.clone();
        }
        let name = self.name_in(id, &block.scope)?;
        let column = block.relation.columns.iter().find(|column| column.id == id)?;
        Some(if orders_exactly(column.engine_type.as_deref()) { name } else { format!("cast({name} as varchar)") })
    }

    /// The name of a column in a select.
    pub(super) fn name_in(&self, id: ColumnId, scope: &Scope<'_>) -> Option<String> {
        let quote = |name: &str| self.ties.dialect.quote_identifier(name).ok();
        for source in &scope.sources {
            let Some(column) = source.columns.iter().find(|column| column.id == id) else { continue };
            let parts = [source.name.clone(), column.name.clone()];
            if !source.name.is_empty() && scope.own(&parts) == (Found::Column { id, used: 2, level: scope.level }) {
                return Some(format!("{}.{}", quote(&source.name)?, quote(&column.name)?));
            }
            if scope.own(&parts[1..]) == (Found::Column { id, used: 1, level: scope.level }) {
                return quote(&column.name);
            }
        }
        None
    }

    /// The ties of aggregates noted since the select began, now that its rows are known and its groups not made yet.
    pub(super) fn aggregate_ties(&mut self, block: &Block<'a, '_>, whole: bool) {
        let calls = self.ties.calls.split_off(block.first_call.min(self.ties.calls.len()));
        if calls.is_empty() {
            return;
        }
        let Some(groups) = &block.groups else { return };
        let within: Vec<ColumnId> = if whole { groups.pairs.iter().map(|(id, _)| *id).collect() } else { Vec::new() };
        let one_set = groups.sets.len() <= 1 && groups.sets.iter().all(|set| set.len() == groups.pairs.len());
        let by: BTreeSet<ColumnId> =
            if one_set { groups.pairs.iter().map(|(_, input)| *input).collect() } else { BTreeSet::new() };
        let basis = Basis { keys: self.keys_of(&block.relation), fixed: self.determined_by(&block.relation, &by) };
        for (function, place) in calls {
            if let Some(settled_by) = self.aggregate_tie(function, &place, &basis, block) {
                self.ties.add(place, within.clone(), settled_by);
            }
        }
    }

    /// What settles the order of an aggregate's rows; `None` where it is settled.
    fn aggregate_tie(
        &mut self,
        function: &'a Function,
        place: &Range<usize>,
        basis: &Basis,
        block: &Block<'a, '_>,
    ) -> Option<Result<Vec<(usize, String)>, String>> {
        let how = ordering_of(function);
        let (arguments, ordered) = (arguments(function), order_within(function));
        let best = how == Ordering::Best && arguments.len() >= 2;
        let mut order: Vec<&'a Expr> = ordered.clone();
        if best {
            order.extend(tuple_items(arguments[1]));
        }
        let decided: Vec<&'a Expr> = if best { vec![arguments[0]] } else { arguments.clone() };
        let by: BTreeSet<ColumnId> = order.iter().filter_map(|expr| self.ordered_below(expr, block)).collect();
        let mut covered = true;
        for argument in &decided {
            let constant = matches!(stripped(argument), Expr::Value(_) | Expr::TypedString(_));
            let same = order.iter().any(|expr| stripped(expr) == stripped(argument));
            covered &= constant
                || same
                || self.below(argument, block).is_some_and(|id| basis.fixed.contains(&id) || by.contains(&id));
        }
        if covered || self.tells_apart(basis, &block.relation, &by) {
            return None;
        }
        let name = function.name.to_string();
        if how == Ordering::Never {
            return Some(Err(format!("`{name}` takes no order")));
        }
        if self.is_unnamed(place, block) {
            return Some(Err("the column has no name of its own: give it one with `as`".to_owned()));
        }
        let FunctionArguments::List(list) = &function.args else { return None };
        let only_order = list.clauses.iter().all(|clause| matches!(clause, FunctionArgumentClause::OrderBy(_)));
        if !only_order || !function.within_group.is_empty() || place.is_empty() {
            return Some(Err("its order cannot be continued".to_owned()));
        }
        let by_key =
            if list.duplicate_treatment.is_some() && !best { None } else { self.breakers_of_key(basis, &by, block) };
        let texts = match by_key {
            Some(texts) => texts,
            None => {
                let mut texts = Vec::new();
                for argument in decided {
                    if matches!(stripped(argument), Expr::Value(_) | Expr::TypedString(_)) {
                        continue;
                    }
                    match self.places.of(argument, Extent::Whole) {
                        Some(span) => texts.push(self.text(&span).to_owned()),
                        None => return Some(Err("the place of its argument is not known".to_owned())),
                    }
                }
                texts
            }
        };
        let texts = texts.join(", ");
        if best && ordered.is_empty() {
            let Some(span) = self.places.of(arguments[1], Extent::Whole) else {
                return Some(Err("the place of its argument is not known".to_owned()));
            };
            // As before, a row without a value does not count.
            let before = format!("case when ({}) is not null then (", self.text(&span));
            return Some(Ok(vec![(span.start, before), (span.end, format!(", {texts}) end"))]));
        }
        let start = if ordered.is_empty() { " order by " } else { ", " };
        Some(Ok(vec![(place.end - 1, format!("{start}{texts}"))]))
    }

    fn breakers_of_key(&self, basis: &Basis, by: &BTreeSet<ColumnId>, block: &Block<'a, '_>) -> Option<Vec<String>> {
        let known: BTreeSet<ColumnId> = by.union(&basis.fixed).copied().collect();
        let mut missing: Vec<Vec<ColumnId>> =
            basis.keys.iter().map(|key| key.difference(&known).copied().collect()).collect();
        missing.sort_by_key(Vec::len);
        missing.iter().filter(|ids| ids.len() <= LONG_KEY).find_map(|ids| {
            let texts = ids.iter().map(|id| {
                let column = block.relation.columns.iter().find(|column| column.id == *id)?;
                let name = self.name_in(*id, &block.scope)?;
                orders_exactly(column.engine_type.as_deref()).then_some(name)
            });
            texts.collect()
        })
    }

    /// The column below the groups that an expression within an aggregate is.
    fn below(&mut self, expr: &'a Expr, block: &Block<'a, '_>) -> Option<ColumnId> {
        name_of(expr)?;
        let aliases = block.aliases(None);
        self.plain_column(expr, &Context { groups: None, ..block.context(&aliases) })
    }

    fn ordered_below(&mut self, expr: &'a Expr, block: &Block<'a, '_>) -> Option<ColumnId> {
        let id = self.below(expr, block)?;
        let column = block.relation.columns.iter().find(|column| column.id == id)?;
        orders_exactly(column.engine_type.as_deref()).then_some(id)
    }

    /// Whether a call stands in a column that the engine names after its text.
    pub(super) fn is_unnamed(&self, place: &Range<usize>, block: &Block<'a, '_>) -> bool {
        block.items.iter().any(|item| {
            let ItemValue::Expr(expr) = item.value else { return false };
            let near = self.places.near(expr);
            item.name.is_empty() && near.start <= place.start && place.start < near.end
        })
    }

    /// The tie of LIMIT.
    pub(super) fn limit_tie(&mut self, query: &'a Query, place: &Range<usize>, limit: &Range<usize>, bound: &Bound) {
        let mut covered: BTreeSet<usize> = BTreeSet::new();
        let ordered = match query.order_by.as_ref().map(|order| &order.kind) {
            Some(OrderByKind::All(_)) => return,
            Some(OrderByKind::Expressions(by)) => {
                for by in by {
                    let names = name_of(&by.expr).map(|names| super::scope::parts(&names));
                    let position = match (ordinal(&by.expr), names) {
                        (Some(number), _) => number.checked_sub(1),
                        (None, Some(names)) => match names.as_slice() {
                            [name] => bound.names.iter().position(|one| same(one, name)),
                            _ => None,
                        },
                        _ => None,
                    };
                    covered.extend(position);
                }
                !by.is_empty()
            }
            None => false,
        };
        if only_constants(&query.body) {
            return;
        }
        let id = |position: usize| bound.columns.get(position).copied();
        let covers = |key: &UniqueKey| key.iter().all(|one| covered.iter().any(|position| id(*position) == Some(*one)));
        let keys = self.keys_of(&bound.relation);
        let all = 0..bound.names.len();
        if all.clone().all(|position| covered.contains(&position)) || keys.iter().any(covers) {
            return;
        }
        let of_key = keys.iter().find_map(|key| {
            key.iter().map(|one| all.clone().find(|position| id(*position) == Some(*one))).collect::<Option<Vec<_>>>()
        });
        let positions: Vec<usize> = of_key.unwrap_or_else(|| all.collect());
        let texts: Vec<String> = positions
            .into_iter()
            .filter(|position| !covered.contains(position))
            .map(|position| (position + 1).to_string())
            .collect();
        let start = if ordered { ", " } else { " order by " };
        let settled_by = match self.places.order_end(place.start) {
            Some(end) if end <= limit.start && begins_limit(self.text(&(end..limit.start))) => {
                Ok(vec![(end, format!("{start}{}", texts.join(", ")))])
            }
            _ => Err("order it by all columns of the output".to_owned()),
        };
        self.ties.add(limit.clone(), Vec::new(), settled_by);
    }

    /// The tie of `DISTINCT ON`, whose rows are those of the block.
    pub(super) fn distinct_on_tie(
        &mut self,
        select: &'a Select,
        by: &[ColumnId],
        block: &Block<'a, '_>,
        query: Option<&'a Query>,
    ) {
        let place = self.places.range(select.select_token.0.span);
        let Some(query) = query else {
            let why = "an order of its own can be given to it in a subquery only".to_owned();
            self.ties.add(place, by.to_vec(), Err(why));
            return;
        };
        let mut order: BTreeSet<ColumnId> = by.iter().copied().collect();
        let ordered = match query.order_by.as_ref().map(|order| &order.kind) {
            Some(OrderByKind::All(_)) => return,
            Some(OrderByKind::Expressions(expressions)) => {
                for one in expressions {
                    let number = ordinal(&one.expr).and_then(|number| number.checked_sub(1));
                    let id = match number {
                        Some(position) => block.computed.get(position).copied().flatten(),
                        None => self.ordered_column(&one.expr, block),
                    };
                    order.extend(id);
                }
                !expressions.is_empty()
            }
            None => false,
        };
        let basis = self.window_basis(block);
        if self.tells_apart(&basis, &block.relation, &order) {
            return;
        }
        let all: BTreeSet<ColumnId> = block.computed.iter().copied().flatten().collect();
        if all.is_subset(&order) {
            return;
        }
        let by_key = basis
            .keys
            .iter()
            .find_map(|key| key.difference(&order).map(|id| self.breaker(*id, block)).collect::<Option<Vec<String>>>());
        let texts = by_key.unwrap_or_else(|| {
            let open = block.computed.iter().enumerate().filter(|(_, id)| id.is_none_or(|id| !order.contains(&id)));
            open.map(|(position, _)| (position + 1).to_string()).collect()
        });
        let start = if ordered { ", " } else { " order by " };
        let settled_by = match self.places.order_end(place.start) {
            Some(end) => Ok(vec![(end, format!("{start}{}", texts.join(", ")))]),
            None => Err("the end of its query is not found".to_owned()),
        };
        self.ties.add(place, by.to_vec(), settled_by);
    }

    /// The tie of an ASOF join: several rows of the right may be the nearest.
    pub(super) fn nearest_tie(&mut self, join: &Join) {
        let of_right: BTreeSet<ColumnId> =
            join.on.iter().flat_map(super::Scalar::columns).filter(|id| has(&join.right, *id)).collect();
        if !self.keys_of(&join.right).iter().any(|key| key.is_subset(&of_right)) {
            let left = join.left.columns.iter().map(|column| column.id).collect();
            let why = "several rows may be the nearest one: join rows of which no two have the same time".to_owned();
            self.ties.add(join.span.clone(), left, Err(why));
        }
    }
}

/// How an aggregate depends on the order of its rows.
pub(super) fn ordering_of(function: &Function) -> Ordering {
    let name = function.name.0.last().and_then(|name| name.as_ident()).map(|name| name.value.as_str());
    ordering(name.unwrap_or_default())
}

/// Arguments that are expressions.
fn arguments(function: &Function) -> Vec<&Expr> {
    let FunctionArguments::List(list) = &function.args else { return Vec::new() };
    list.args
        .iter()
        .filter_map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
            FunctionArg::Named { arg: FunctionArgExpr::Expr(expr), .. }
            | FunctionArg::ExprNamed { arg: FunctionArgExpr::Expr(expr), .. } => Some(expr),
            _ => None,
        })
        .collect()
}

/// The ORDER BY within a call.
pub(super) fn order_within(function: &Function) -> Vec<&Expr> {
    let mut found: Vec<&Expr> = function.within_group.iter().map(|by| &by.expr).collect();
    if let FunctionArguments::List(list) = &function.args {
        for clause in &list.clauses {
            if let FunctionArgumentClause::OrderBy(by) = clause {
                found.extend(by.iter().map(|by| &by.expr));
            }
        }
    }
    found
}

/// What a value is compared by: the parts of a tuple, also where it is one for rows with a value only.
fn tuple_items(expr: &Expr) -> Vec<&Expr> {
    match stripped(expr) {
        Expr::Tuple(items) => items.iter().collect(),
        Expr::Case { operand: None, conditions, else_result: None, .. } => match conditions.as_slice() {
            [when] => tuple_items(&when.result),
            _ => vec![expr],
        },
        _ => vec![expr],
    }
}

/// Whether nothing but the words of a LIMIT stands there.
fn begins_limit(text: &str) -> bool {
    let word = text.split_whitespace().next().unwrap_or("limit");
    ["limit", "offset", "fetch"].iter().any(|one| word.eq_ignore_ascii_case(one))
}

/// Whether the rows of a query are all the same.
fn only_constants(body: &SetExpr) -> bool {
    let SetExpr::Select(select) = body else { return false };
    !select.projection.is_empty()
        && select.projection.iter().all(|item| match item {
            SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => matches!(expr, Expr::Value(_)),
            _ => false,
        })
}

/// Whether values of a type that are equal are identical.
fn orders_exactly(engine_type: Option<&str>) -> bool {
    const EXACT: &[&str] = &[
        "BOOLEAN",
        "TINYINT",
        "SMALLINT",
        "INTEGER",
        "BIGINT",
        "HUGEINT",
        "UTINYINT",
        "USMALLINT",
        "UINTEGER",
        "UBIGINT",
        "UHUGEINT",
        "DECIMAL",
        "VARCHAR",
        "DATE",
        "TIMESTAMP",
        "UUID",
        "BLOB",
        "JSON",
        "ENUM",
    ];
    let Some(name) = engine_type else { return false };
    let name = name.trim().to_ascii_uppercase();
    let time = name == "TIME" || name == "TIME_NS";
    time || (EXACT.iter().any(|exact| name.starts_with(exact)) && !name.ends_with(']'))
}
