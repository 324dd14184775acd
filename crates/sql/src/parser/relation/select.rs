//! One select, clause by clause: FROM, WHERE, GROUP BY, HAVING, windows, QUALIFY, DISTINCT.

use std::collections::HashMap;
use std::ops::{ControlFlow, Range};

use sqlparser::ast::{
    Distinct, Expr, Function, FunctionArgumentClause, FunctionArguments, GroupByExpr, Query, Select, Visit, Visitor,
};

use super::expression::{Alias, Context, Groups, Read, conjuncts};
use super::functions::{Looks, looks};
use super::items::{Item, ItemValue};
use super::places::Extent;
use super::query::{Bound, Mode, Rows, nothing};
use super::scope::{Found, Scope, same};
use super::subquery::{Use, test_of};
use super::window::Windows;
use super::{Env, Outcome, Reader, expression, extend, filter, has, nothing_at_all, order, stop};
use crate::dialect::Grammar;
use crate::refresh::{ColumnId, Join, JoinKind, Kind, Obstacle, OutputColumn, Relation, Scalar};

/// A select under way.
pub(super) struct Block<'a, 's> {
    pub(super) relation: Relation,
    pub(super) scope: Scope<'s>,
    pub(super) env: Env,
    pub(super) items: Vec<Item<'a>>,
    /// The column of each item, once it is computed.
    pub(super) computed: Vec<Option<ColumnId>>,
    pub(super) lifted: Vec<Scalar>,
    pub(super) groups: Option<Groups>,
    pub(super) renamed: HashMap<ColumnId, ColumnId>,
    pub(super) mode: Mode,
    /// Where the select's own aggregates begin among those noted.
    pub(super) first_call: usize,
    /// The query whose body it is.
    query: Option<&'a Query>,
    rows: Rows,
    /// A function of which nothing is known.
    unlisted: Option<(String, Range<usize>)>,
}

impl<'a> Block<'a, '_> {
    /// Names of the items before this one; of all without.
    pub(super) fn aliases(&self, before: Option<usize>) -> Vec<Alias> {
        let items = self.items.iter().zip(&self.computed).take(before.unwrap_or(self.items.len()));
        items.filter(|(item, _)| item.alias).map(|(item, id)| Alias { name: item.name.clone(), id: *id }).collect()
    }

    pub(super) fn context<'c>(&'c self, aliases: &'c [Alias]) -> Context<'c> {
        Context {
            aliases,
            groups: self.groups.as_ref(),
            renamed: Some(&self.renamed),
            ..Context::new(&self.scope, self.env)
        }
    }

    /// Takes the relation, to put another in its place.
    pub(super) fn take(&mut self) -> Relation {
        std::mem::replace(&mut self.relation, nothing_at_all())
    }

    pub(super) fn extend(&mut self, computed: Vec<(ColumnId, Scalar)>) {
        let relation = self.take();
        self.relation = extend(relation, computed);
    }

    /// A scalar that names nothing the relation does not have.
    pub(super) fn visible(&self, scalar: Scalar) -> Scalar {
        if scalar.columns().iter().all(|id| has(&self.relation, *id)) {
            return scalar;
        }
        Scalar::Unknown(scalar.columns().into_iter().filter(|id| has(&self.relation, *id)).collect())
    }
}

impl<'a> Reader<'a> {
    pub(super) fn select(
        &mut self,
        select: &'a Select,
        env: Env,
        parent: Option<&Scope<'_>>,
        mode: Mode,
    ) -> Outcome<Bound> {
        let place = self.places.range(select.select_token.0.span);
        if select.top.is_some()
            || select.into.is_some()
            || select.exclude.is_some()
            || select.prewhere.is_some()
            || !select.lateral_views.is_empty()
            || !select.connect_by.is_empty()
            || !select.cluster_by.is_empty()
            || !select.distribute_by.is_empty()
            || !select.sort_by.is_empty()
            || select.value_table_mode.is_some()
        {
            return Err(stop("this select has a clause that is not understood", place, Some("leave it out")));
        }
        let scope = Scope::new(parent);
        let (query, first_call) = (self.ties.query.take(), self.ties.calls.len());
        let from = self.from(&select.from, env, scope)?;
        let items = self.items_of(select, &from.scope)?;
        let computed = vec![None; items.len()];
        let Some(relation) = from.relation else {
            return self.without_table(select, items, from.scope, env, (mode, from.pending));
        };
        let mut block = Block {
            relation,
            scope: from.scope,
            env,
            items,
            computed,
            lifted: from.lifted,
            groups: None,
            renamed: HashMap::new(),
            mode,
            first_call,
            query,
            rows: Rows::Same,
            unlisted: None,
        };
        self.where_clause(select, &mut block)?;
        self.group_by(select, &mut block)?;
        let windows = self.compute_items(select, &mut block)?;
        self.windows(select, &mut block, windows)?;
        self.finish(select, block, place)
    }

    fn items_of(&mut self, select: &'a Select, scope: &Scope<'_>) -> Outcome<Vec<Item<'a>>> {
        // `from t` alone is `select * from t`.
        if select.projection.is_empty() && !select.from.is_empty() {
            let columns = scope.star();
            return Ok(columns
                .into_iter()
                .map(|(name, id, _)| Item { name, alias: false, value: ItemValue::Column(id) })
                .collect());
        }
        self.items(&select.projection, scope)
    }

    /// A select that names no table.
    fn without_table(
        &mut self,
        select: &'a Select,
        items: Vec<Item<'a>>,
        scope: Scope<'_>,
        env: Env,
        (mode, pending): (Mode, Vec<(ColumnId, Scalar)>),
    ) -> Outcome<Bound> {
        let place = self.places.range(select.select_token.0.span);
        let mut computed: Vec<(ColumnId, Scalar)> = pending;
        let from_row = !computed.is_empty();
        let mut columns = Vec::new();
        let mut names = Vec::new();
        let mut outer = Vec::new();
        let mut aliases: Vec<Alias> = Vec::new();
        let tables = |read: &Read<'_>| !read.subqueries.is_empty() || !read.below.is_empty();
        let looking = || {
            stop(
                "a select without FROM looks at tables in subqueries",
                place.clone(),
                Some("write the tables into FROM"),
            )
        };
        for item in &items {
            let id = self.column();
            columns.push(id);
            names.push(item.name.clone());
            let scalar = match item.value {
                ItemValue::Column(id) => Scalar::Column(id),
                ItemValue::Expr(expr) => {
                    let context = Context { aliases: &aliases, ..Context::new(&scope, env) };
                    let read = self.read(expr, &context)?;
                    if tables(&read) {
                        return Err(looking());
                    }
                    outer.extend(read.columns.iter().cloned());
                    if read.is_local() {
                        self.scalar(expr, &read, Extent::Whole)?
                    } else {
                        Scalar::Unknown(read.named())
                    }
                }
            };
            computed.push((id, scalar));
            if item.alias {
                aliases.push(Alias { name: item.name.clone(), id: Some(id) });
            }
        }
        let conditions = [&select.selection, &select.having, &select.qualify];
        let mut restricted = false;
        for condition in conditions.into_iter().flatten() {
            restricted = true;
            let context = Context { aliases: &aliases, ..Context::new(&scope, env) };
            let read = self.read(condition, &context)?;
            if tables(&read) {
                return Err(looking());
            }
            outer.extend(read.columns.iter().filter(|(_, id)| !columns.contains(id)).cloned());
        }
        let of_row = from_row || outer.iter().any(|(_, id)| !columns.contains(id));
        if mode == Mode::Core || of_row {
            // Aliases of one another are computed in one step, which nobody can do.
            let mut lifted = Vec::new();
            for (_, scalar) in &mut computed {
                let inner = scalar.columns().iter().any(|id| columns.contains(id));
                if inner || restricted {
                    *scalar =
                        Scalar::Unknown(scalar.columns().into_iter().filter(|id| !columns.contains(id)).collect());
                }
            }
            lifted.extend(
                outer.into_iter().filter(|(_, id)| !columns.contains(id)).map(|(_, id)| Scalar::Unknown(vec![id])),
            );
            let relation = Relation {
                kind: Kind::Constant { text: nothing(), query: true },
                columns: columns.iter().map(|id| OutputColumn { id: *id, engine_type: None }).collect(),
            };
            return Ok(Bound {
                relation,
                names,
                columns,
                lifted,
                computed: Some(computed),
                rows: if restricted { Rows::Chosen } else { Rows::One },
            });
        }
        let span = self.places.query_from(place.start);
        let columns = columns.into_iter().map(|id| OutputColumn { id, engine_type: None }).collect();
        let relation = Relation { kind: Kind::Constant { text: expression(span, Vec::new()), query: true }, columns };
        Ok(Bound::whole(relation, names))
    }

    fn where_clause(&mut self, select: &'a Select, block: &mut Block<'a, '_>) -> Outcome<()> {
        let Some(selection) = &select.selection else { return Ok(()) };
        self.compute_aliases(selection, block)?;
        let aliases: Vec<Alias> = block.aliases(None);
        let conditions = conjuncts(selection);
        let extent = if conditions.len() == 1 { Extent::Whole } else { Extent::Conjunct };
        let mut known = Vec::new();
        let mut unknown = Vec::new();
        let mut attached = Vec::new();
        for condition in conditions {
            if let Some((query, asked, wanted)) = test_of(condition) {
                let context = block.context(&aliases);
                let sub = self.subquery(query, asked, &context)?;
                match sub.value {
                    Some(_) => attached.push((sub, wanted)),
                    None => unknown.push(Scalar::Unknown(sub.named.into_iter().map(|(_, id)| id).collect())),
                }
                continue;
            }
            let context = block.context(&aliases);
            let read = self.read(condition, &context)?;
            if read.pending {
                let near = self.places.near(condition);
                return Err(stop(
                    "this condition names a column of the select list that is not computed yet",
                    near,
                    Some("write the expression"),
                ));
            }
            let scalar = self.condition(condition, &read, extent)?;
            match scalar {
                Scalar::Unknown(_) => unknown.push(scalar),
                scalar if read.outer => block.lifted.push(scalar),
                scalar => known.push(scalar),
            }
            attached.extend(read.subqueries.into_iter().chain(read.below).map(|sub| (sub, Use::Value)));
        }
        let mut relation = block.take();
        let mut rest = Vec::new();
        for condition in known {
            rest.extend(into_join(&mut relation, condition));
        }
        relation = filter(order::linked(relation), rest);
        for (sub, wanted) in attached {
            let (attached, value) = self.attach(relation, sub, wanted);
            relation = attached;
            if wanted != Use::Value {
                unknown.extend(value.map(|value| Scalar::Unknown(vec![value])));
            }
        }
        block.relation = relation;
        let unknown = unknown.into_iter().map(|scalar| block.visible(scalar)).collect();
        let relation = block.take();
        block.relation = filter(relation, unknown);
        Ok(())
    }

    /// Computes the items whose names a clause uses that comes before the select list.
    pub(super) fn compute_aliases(&mut self, used_in: &'a Expr, block: &mut Block<'a, '_>) -> Outcome<()> {
        let mut wanted: Vec<usize> = Vec::new();
        let mut waiting = vec![used_in];
        while let Some(expr) = waiting.pop() {
            let mut names = Names(Vec::new());
            let _ = expr.visit(&mut names);
            for name in names.0 {
                if block.scope.own(std::slice::from_ref(&name)) != Found::Nothing {
                    continue;
                }
                let found = block.items.iter().rposition(|item| item.alias && same(&item.name, &name));
                if let Some(index) = found
                    && block.computed[index].is_none()
                    && !wanted.contains(&index)
                    && let ItemValue::Expr(expr) = block.items[index].value
                {
                    wanted.push(index);
                    waiting.push(expr);
                }
            }
        }
        wanted.sort_unstable();
        for index in wanted {
            let ItemValue::Expr(expr) = block.items[index].value else { continue };
            let aliases = block.aliases(Some(index));
            let read = self.read(expr, &block.context(&aliases))?;
            // Aggregates and windows come later; who names them here means something else, or errs.
            if !read.is_local() || read.outer || read.expands > 0 {
                continue;
            }
            let scalar = self.scalar(expr, &read, Extent::Whole)?;
            let id = match scalar {
                Scalar::Column(id) => id,
                scalar => {
                    let id = self.column();
                    block.extend(vec![(id, scalar)]);
                    id
                }
            };
            block.computed[index] = Some(id);
        }
        Ok(())
    }

    /// Computes every item that holds no window; answers with those that do.
    fn compute_items(&mut self, select: &'a Select, block: &mut Block<'a, '_>) -> Outcome<Windows<'a>> {
        let having = self.having(select, block)?;
        let mut windows = Windows::default();
        let mut aggregates = Vec::new();
        let mut below = having.below;
        let mut later = Vec::new();
        let mut planned: Vec<(usize, Scalar)> = Vec::new();
        let mut subqueries = Vec::new();
        for index in 0..block.items.len() {
            if block.computed[index].is_some() {
                continue;
            }
            let expr = match block.items[index].value {
                ItemValue::Column(id) => {
                    block.computed[index] = Some(match block.groups.as_ref().map(|groups| groups.columns.get(&id)) {
                        None => id,
                        Some(Some(id)) => *id,
                        Some(None) => {
                            let id = self.column();
                            aggregates.push(id);
                            id
                        }
                    });
                    continue;
                }
                ItemValue::Expr(expr) => expr,
            };
            let aliases = block.aliases(Some(index));
            let read = self.read(expr, &block.context(&aliases))?;
            if !read.windows.is_empty() {
                let id = self.column();
                block.computed[index] = None;
                windows.calls.extend(read.windows);
                windows.computed.push((Some(index), id));
                below.extend(read.below);
                subqueries.extend(read.subqueries);
                continue;
            }
            // Windows look at the rows before they are made many.
            if read.pending || (read.expands > 0 && read.is_local()) {
                later.push(index);
                subqueries.extend(read.subqueries);
                below.extend(read.below);
                continue;
            }
            if block.groups.is_some() && (read.aggregate || read.unlisted.is_some()) {
                let id = self.column();
                aggregates.push(id);
                block.computed[index] = Some(id);
                let near = self.places.near(expr);
                self.looking_beyond.push(near);
                below.extend(read.below);
                subqueries.extend(read.subqueries);
                continue;
            }
            if let Some(unlisted) = read.unlisted.clone() {
                block.unlisted.get_or_insert(unlisted);
            }
            let mut scalar = self.scalar(expr, &read, Extent::Whole)?;
            if read.outer {
                scalar = Scalar::Unknown(scalar.columns());
            }
            subqueries.extend(read.subqueries);
            below.extend(read.below);
            match scalar {
                Scalar::Column(id) => block.computed[index] = Some(id),
                scalar => {
                    block.computed[index] = Some(self.column());
                    planned.push((index, scalar));
                }
            }
        }
        let mut relation = block.take();
        for sub in below {
            relation = self.attach(relation, sub, Use::Value).0;
        }
        block.relation = relation;
        self.aggregate(select, block, aggregates)?;
        let mut relation = block.take();
        for sub in subqueries {
            relation = self.attach(relation, sub, Use::Value).0;
        }
        let mut conditions = having.conditions;
        for (sub, wanted) in having.attached {
            let (attached, value) = self.attach(relation, sub, wanted);
            relation = attached;
            if wanted != Use::Value {
                conditions.extend(value.map(|value| Scalar::Unknown(vec![value])));
            }
        }
        block.relation = relation;
        if block.mode == Mode::Whole {
            let conditions = conditions.into_iter().map(|scalar| block.visible(scalar)).collect();
            let relation = block.take();
            block.relation = filter(relation, conditions);
        }
        self.project(block, planned);
        windows.later = later;
        Ok(windows)
    }

    /// Adds computed items, in as many steps as they build on one another.
    pub(super) fn project(&mut self, block: &mut Block<'a, '_>, planned: Vec<(usize, Scalar)>) {
        let mut step: Vec<(ColumnId, Scalar)> = Vec::new();
        for (index, scalar) in planned {
            let Some(id) = block.computed[index] else { continue };
            if scalar.columns().iter().any(|column| step.iter().any(|(computed, _)| computed == column)) {
                block.extend(std::mem::take(&mut step));
            }
            let known: Vec<ColumnId> = scalar
                .columns()
                .into_iter()
                .filter(|column| has(&block.relation, *column) || step.iter().any(|(id, _)| id == column))
                .collect();
            let scalar = if known.len() == scalar.columns().len() { scalar } else { Scalar::Unknown(known) };
            step.push((id, scalar));
        }
        block.extend(step);
    }

    /// DISTINCT, and the columns in order.
    fn finish(&mut self, select: &'a Select, mut block: Block<'a, '_>, place: Range<usize>) -> Outcome<Bound> {
        if let Some(Distinct::On(by)) = &select.distinct {
            block.rows = Rows::Chosen;
            let mut columns = Vec::new();
            for expr in by {
                let aliases = block.aliases(None);
                if let Some(index) = ordinal(expr) {
                    match index.checked_sub(1).and_then(|index| block.computed.get(index)).copied().flatten() {
                        Some(id) => columns.push(id),
                        None => {
                            return Err(stop("DISTINCT ON names a column by a number it does not have", place, None));
                        }
                    }
                    continue;
                }
                let context = Context { alias_first: true, ..block.context(&aliases) };
                let read = self.read(expr, &context)?;
                if !read.is_local() || read.outer {
                    let near = self.places.near(expr);
                    return Err(stop(
                        "DISTINCT ON looks at more than its row",
                        near,
                        Some("compute it in a subquery first"),
                    ));
                }
                let id = match self.scalar(expr, &read, Extent::Whole)? {
                    Scalar::Column(id) => id,
                    scalar => {
                        let id = self.column();
                        block.extend(vec![(id, scalar)]);
                        id
                    }
                };
                columns.push(id);
            }
            self.distinct_on_tie(select, &columns, &block, block.query);
            if block.mode == Mode::Whole {
                let input = block.take();
                let columns_after = input.columns.clone();
                block.relation =
                    Relation { kind: Kind::DistinctOn { input: Box::new(input), by: columns }, columns: columns_after };
            }
        }
        let mut names: Vec<String> = Vec::with_capacity(block.items.len());
        let mut outputs: Vec<ColumnId> = Vec::with_capacity(block.items.len());
        let mut copies = Vec::new();
        for (index, item) in block.items.iter().enumerate() {
            let Some(id) = block.computed[index].filter(|id| has(&block.relation, *id)) else {
                return Err(stop(
                    format!("column `{}` of the select list is not followed", item.name),
                    place,
                    Some("write it in a simpler way"),
                ));
            };
            names.push(item.name.clone());
            if outputs.contains(&id) {
                let copy = self.column();
                copies.push((copy, Scalar::Column(id)));
                outputs.push(copy);
            } else {
                outputs.push(id);
            }
        }
        // What is aggregated after the groups are made cannot be given an order.
        for (_, place) in self.ties.calls.split_off(block.first_call.min(self.ties.calls.len())) {
            if !self.ties.found.iter().any(|tie| tie.span == place) {
                self.ties.add(
                    place,
                    Vec::new(),
                    Err("it is computed in a place where no order can be given".to_owned()),
                );
            }
        }
        let (mode, mut rows) = (block.mode, block.rows);
        let aggregated = block.groups.is_some();
        // The grand total of an empty set is there without any row.
        let grouped = block.groups.as_ref().is_some_and(|groups| groups.sets.iter().all(|set| !set.is_empty()));
        if rows != Rows::Chosen {
            rows = match (aggregated, grouped) {
                (true, false) => Rows::One,
                (true, true) => Rows::Groups,
                _ if matches!(select.distinct, Some(Distinct::Distinct)) => Rows::Groups,
                _ => rows,
            };
        }
        let lifted = std::mem::take(&mut block.lifted);
        if mode == Mode::Core {
            block.extend(copies);
            let mut outputs = outputs;
            // What an aggregate without groups gives is there without any row.
            if rows == Rows::One {
                let unknown: Vec<_> = outputs.iter().map(|_| (self.column(), Scalar::Unknown(Vec::new()))).collect();
                outputs = unknown.iter().map(|(id, _)| *id).collect();
                block.extend(unknown);
            }
            let relation = block.relation;
            return Ok(Bound { relation, names, columns: outputs, lifted, computed: None, rows });
        }
        if let Some((function, span)) = block.unlisted.take() {
            let obstacle = Obstacle {
                reason: format!(
                    "nothing is known of the function `{function}`: it may look at other rows than its own"
                ),
                span,
                instead: Some("use functions of DuckDB".to_owned()),
            };
            let input = block.take();
            return Ok(Bound::whole(self.opaque(obstacle, vec![input], names.len()), names));
        }
        let exact = block.relation.columns.iter().map(|column| column.id).eq(outputs.iter().copied());
        let mut relation = block.relation;
        if !exact {
            let extended = extend(relation, copies);
            let columns: Vec<OutputColumn> = outputs
                .iter()
                .filter_map(|id| extended.columns.iter().find(|column| column.id == *id).cloned())
                .collect();
            relation = match extended.kind {
                // The last projection is told which of its columns are wanted.
                Kind::Project { input, computed } => Relation { kind: Kind::Project { input, computed }, columns },
                kind => {
                    let input = Box::new(Relation { kind, columns: extended.columns });
                    Relation { kind: Kind::Project { input, computed: Vec::new() }, columns }
                }
            };
        }
        if matches!(select.distinct, Some(Distinct::Distinct)) {
            let columns = relation.columns.clone();
            relation = Relation { kind: Kind::Distinct { input: Box::new(relation) }, columns };
        }
        Ok(Bound::whole(relation, names))
    }
}

impl Block<'_, '_> {
    pub(super) fn chooses(&mut self) {
        self.rows = Rows::Chosen;
    }
}

/// Puts a condition into the inner join whose sides it links; gives it back where there is none.
fn into_join(relation: &mut Relation, condition: Scalar) -> Option<Scalar> {
    let columns = condition.columns();
    let Kind::Join(Join { kind, left, right, on, lateral: false, .. }) = &mut relation.kind else {
        return Some(condition);
    };
    let on_left = columns.iter().all(|id| has(left, *id));
    let on_right = columns.iter().all(|id| has(right, *id));
    match kind {
        JoinKind::Inner if on_left => into_join(left, condition),
        JoinKind::Inner if on_right => into_join(right, condition),
        JoinKind::Inner if columns.iter().all(|id| has(left, *id) || has(right, *id)) => {
            on.push(condition);
            None
        }
        JoinKind::Left if on_left => into_join(left, condition),
        _ => Some(condition),
    }
}

/// The number of an expression that is one.
pub(super) fn ordinal(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Value(value) => match &value.value {
            sqlparser::ast::Value::Number(number, _) => number.parse().ok(),
            _ => None,
        },
        _ => None,
    }
}

/// Names of one part, wherever they stand.
struct Names(Vec<String>);

impl Visitor for Names {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::Identifier(name) = expr {
            self.0.push(crate::parser::facts::unescaped(name));
        }
        ControlFlow::Continue(())
    }
}

/// What an expression calls, outside of its subqueries.
struct Calls {
    grammar: Grammar,
    depth: usize,
    aggregate: bool,
    window: bool,
    expands: bool,
}

impl Visitor for Calls {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expr
            && self.depth == 0
        {
            self.call(function);
        }
        ControlFlow::Continue(())
    }
}

impl Calls {
    fn call(&mut self, function: &Function) {
        let name = function.name.0.last().and_then(|name| name.as_ident()).map(|name| name.value.clone());
        let looked = looks(self.grammar, &name.unwrap_or_default());
        if function.over.is_some() {
            self.window = true;
        } else if looked == Looks::Group || (looked == Looks::Unknown && is_for_groups(function)) {
            self.aggregate = true;
        } else if looked == Looks::Expands {
            self.expands = true;
        }
    }
}

fn calls(grammar: Grammar, expr: &Expr) -> Calls {
    let mut calls = Calls { grammar, depth: 0, aggregate: false, window: false, expands: false };
    let _ = expr.visit(&mut calls);
    calls
}

pub(super) fn aggregates(grammar: Grammar, expr: &Expr) -> bool {
    calls(grammar, expr).aggregate
}

pub(super) fn holds_window(grammar: Grammar, expr: &Expr) -> bool {
    calls(grammar, expr).window
}

/// Whether GROUP BY ALL groups by an item: it names a column, and neither aggregates nor looks at a window. What names none is the
/// same for every row, and where nothing else is there, all rows are one group.
pub(super) fn is_grouped_by_all(grammar: Grammar, expr: &Expr) -> bool {
    struct Names;
    impl Visitor for Names {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match expr {
                Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Subquery(_) => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        }
    }
    expr.visit(&mut Names).is_break() && !aggregates(grammar, expr) && !holds_window(grammar, expr)
}

/// Whether a call is written as only calls of aggregates are.
pub(super) fn is_for_groups(function: &Function) -> bool {
    let in_order = |clause: &FunctionArgumentClause| matches!(clause, FunctionArgumentClause::OrderBy(_));
    function.filter.is_some()
        || !function.within_group.is_empty()
        || matches!(&function.args, FunctionArguments::List(list) if list.duplicate_treatment.is_some() || list.clauses.iter().any(in_order))
}

pub(super) fn expands(grammar: Grammar, expr: &Expr) -> bool {
    calls(grammar, expr).expands
}

/// Whether a select groups its rows.
pub(super) fn is_grouped(grammar: Grammar, select: &Select, items: &[Item<'_>]) -> bool {
    let by = match &select.group_by {
        GroupByExpr::All(_) => true,
        GroupByExpr::Expressions(by, modifiers) => !by.is_empty() || !modifiers.is_empty(),
    };
    by || select.having.is_some()
        || select.qualify.as_ref().is_some_and(|expr| aggregates(grammar, expr))
        || items.iter().any(|item| matches!(item.value, ItemValue::Expr(expr) if aggregates(grammar, expr)))
}
