//! Queries: WITH, set operations, VALUES, LIMIT.

use std::ops::Range;

use sqlparser::ast::{Distinct, Expr, LimitClause, Query, SetExpr, SetOperator as Operator, SetQuantifier, Values};
use sqlparser::ast::{OrderByKind, Spanned, Visit, Visitor};

use super::expression::Context;
use super::scope::{Scope, distinct, same};
use super::{CteEntry, Env, Outcome, Reader, Stop, expression, nothing_at_all, stop};
use crate::dialect::Grammar;
use crate::refresh::{ColumnId, Expression, Kind, Obstacle, OutputColumn, Relation, Scalar, SetOperator};

/// How much of a query is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// All of it. It names no columns of the queries around it.
    Whole,
    /// The rows it works on, before it aggregates, orders or limits them, with the conditions that name columns around it apart.
    Core,
}

/// A query that was read.
#[derive(Debug)]
pub(super) struct Bound {
    /// In whole: its columns are those of the query. As a core it may have more.
    pub(super) relation: Relation,
    /// Names of the query's columns; empty where the text gives none.
    pub(super) names: Vec<String>,
    pub(super) columns: Vec<ColumnId>,
    /// Conditions that name columns around the query.
    pub(super) lifted: Vec<Scalar>,
    /// Columns of a select without FROM, which can be computed from the row around it.
    pub(super) computed: Option<Vec<(ColumnId, Scalar)>>,
    pub(super) rows: Rows,
}

/// What the rows of a query are to those of its core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rows {
    /// The same.
    Same,
    /// One for each group of them, or fewer.
    Groups,
    /// Chosen by looking at others: windows, LIMIT, DISTINCT ON.
    Chosen,
    /// One, even where there is none.
    One,
}

impl Bound {
    pub(super) fn whole(relation: Relation, names: Vec<String>) -> Self {
        let columns = relation.columns.iter().map(|column| column.id).collect();
        Self { relation, names, columns, lifted: Vec::new(), computed: None, rows: Rows::Same }
    }
}

impl<'a> Reader<'a> {
    /// The query of the whole text.
    pub(super) fn top(&mut self, query: &'a Query) -> Outcome<(Relation, Vec<String>)> {
        let bound = self.query(query, None, None, Mode::Whole)?;
        Ok((bound.relation, bound.names))
    }

    pub(super) fn query(
        &mut self,
        query: &'a Query,
        env: Env,
        parent: Option<&Scope<'_>>,
        mode: Mode,
    ) -> Outcome<Bound> {
        let place = self.places.range(query.span());
        self.enter(place.clone())?;
        let found = self.query_within(query, env, parent, mode, place);
        self.depth -= 1;
        found
    }

    fn query_within(
        &mut self,
        query: &'a Query,
        mut env: Env,
        parent: Option<&Scope<'_>>,
        mode: Mode,
        place: Range<usize>,
    ) -> Outcome<Bound> {
        if !query.locks.is_empty()
            || query.for_clause.is_some()
            || query.settings.is_some()
            || query.format_clause.is_some()
            || !query.pipe_operators.is_empty()
        {
            return Err(stop("this query has a clause that is not understood", place, Some("leave it out")));
        }
        if let Some(with) = &query.with {
            for cte in &with.cte_tables {
                let name = crate::parser::facts::unescaped(&cte.alias.name);
                self.ctes.push(CteEntry { name, cte, recursive: with.recursive, before: env, under_way: false });
                env = Some(self.ctes.len() - 1);
            }
        }
        let ordered_by_query = match query.order_by.as_ref().map(|order| &order.kind) {
            Some(OrderByKind::Expressions(by)) => by.iter().any(|by| holds_query(&by.expr)),
            _ => false,
        };
        if let SetExpr::Select(select) = &*query.body
            && matches!(select.distinct, Some(Distinct::On(_)))
            && ordered_by_query
        {
            return Err(stop(
                "a subquery decides which rows DISTINCT ON keeps",
                place,
                Some("compute it in a column first"),
            ));
        }
        if let SetExpr::Select(select) = &*query.body {
            self.bodies.insert(self.places.range(select.select_token.0.span).start, query);
        }
        let limited = self.ties.limited;
        self.ties.limited |= query.order_by.is_some();
        self.ties.query = matches!(*query.body, SetExpr::Select(_)).then_some(query);
        let bound = self.body(&query.body, env, parent, mode);
        self.ties.limited = limited;
        let mut bound = bound?;
        let limit = match (&query.limit_clause, &query.fetch) {
            (None, None) => return Ok(bound),
            (Some(LimitClause::LimitOffset { limit, offset, limit_by }), None) if limit_by.is_empty() => {
                limit.as_ref().or(offset.as_ref().map(|offset| &offset.value))
            }
            (Some(LimitClause::OffsetCommaLimit { limit, .. }), None) => Some(limit),
            (None, Some(fetch)) => fetch.quantity.as_ref(),
            _ => return Err(stop("this LIMIT is not understood", place, Some("write `limit N`"))),
        };
        let near = limit.map_or(place.clone(), |limit| {
            let near = self.places.near(limit);
            self.places.word_before(near.start, "limit").unwrap_or(near.start)..near.end
        });
        if ordered_by_query || limit.is_some_and(holds_query) {
            return Err(stop("a subquery decides which rows LIMIT keeps", near, Some("compute it in a column first")));
        }
        self.limit_tie(query, &place, &near, &bound);
        match mode {
            Mode::Core => bound.rows = Rows::Chosen,
            Mode::Whole => {
                let obstacle = Obstacle {
                    reason: "LIMIT keeps rows by looking at all of them".to_owned(),
                    span: near,
                    instead: Some(
                        "put the query without LIMIT into a model of its own, or number the rows per key with \
                         `row_number() over (partition by ...)` and keep the first with QUALIFY"
                            .to_owned(),
                    ),
                };
                bound = Bound::whole(self.opaque(obstacle, vec![bound.relation], bound.names.len()), bound.names);
            }
        }
        Ok(bound)
    }

    /// What cannot be followed, with so many columns.
    pub(super) fn opaque(&mut self, obstacle: Obstacle, inputs: Vec<Relation>, columns: usize) -> Relation {
        let columns = (0..columns).map(|_| self.output()).collect();
        Relation { kind: Kind::Opaque { obstacle, inputs }, columns }
    }

    fn body(&mut self, body: &'a SetExpr, env: Env, parent: Option<&Scope<'_>>, mode: Mode) -> Outcome<Bound> {
        match body {
            SetExpr::Select(select) => self.select(select, env, parent, mode),
            SetExpr::Query(query) => self.query(query, env, parent, mode),
            SetExpr::Values(values) => self.values(values, env, parent),
            SetExpr::SetOperation { op, set_quantifier, left, right } => {
                self.set_operation(body, (*op, *set_quantifier), left, right, (env, parent, mode))
            }
            _ => Err(stop("only queries can be followed", 0..0, None)),
        }
    }

    fn set_operation(
        &mut self,
        whole: &'a SetExpr,
        (operator, quantifier): (Operator, SetQuantifier),
        left: &'a SetExpr,
        right: &'a SetExpr,
        (env, parent, mode): (Env, Option<&Scope<'_>>, Mode),
    ) -> Outcome<Bound> {
        let place = self.places.range(whole.span());
        let all = matches!(quantifier, SetQuantifier::All | SetQuantifier::AllByName);
        let by_name =
            matches!(quantifier, SetQuantifier::ByName | SetQuantifier::AllByName | SetQuantifier::DistinctByName);
        let set_operator = match operator {
            Operator::Union => SetOperator::Union,
            Operator::Intersect => SetOperator::Intersect,
            Operator::Except | Operator::Minus => SetOperator::Except,
        };
        // `a union all b union all c` is read as one, which spares levels.
        let mut branches = vec![right];
        let mut first = left;
        while set_operator == SetOperator::Union
            && let SetExpr::SetOperation { op: Operator::Union, set_quantifier, left, right } = first
            && *set_quantifier == quantifier
        {
            branches.push(right);
            first = left;
        }
        branches.push(first);
        branches.reverse();
        let mut inputs = Vec::new();
        for branch in branches {
            self.enter(place.clone())?;
            let bound = self.body(branch, env, parent, mode);
            self.depth -= 1;
            inputs.push(bound?);
        }
        if mode == Mode::Core {
            let obstacle = Obstacle {
                reason: "a subquery that names columns around it puts several queries together".to_owned(),
                span: place,
                instead: Some("write one subquery for each, with OR between them".to_owned()),
            };
            let names = inputs.first().map(|bound| bound.names.clone()).unwrap_or_default();
            // A branch without a FROM has no rows of its own, and no text: it is nothing but the row around it.
            let relations = inputs.into_iter().map(|bound| bound.relation);
            let relations = relations.filter(|relation| !matches!(relation.kind, Kind::Constant { .. })).collect();
            let relation = self.opaque(obstacle, relations, names.len());
            let mut bound = Bound::whole(relation, names);
            bound.rows = Rows::One;
            return Ok(bound);
        }
        let names = if by_name {
            self.by_name(&mut inputs, &place)?
        } else {
            inputs.first().map(|bound| bound.names.clone()).unwrap_or_default()
        };
        if inputs.iter().any(|bound| bound.relation.columns.len() != names.len()) {
            return Err(stop("the queries put together have different numbers of columns", place, None));
        }
        let columns = (0..names.len())
            .map(|index| {
                let mut types = inputs.iter().map(|bound| &bound.relation.columns[index].engine_type);
                let first = types.next().cloned().flatten();
                let engine_type = first.filter(|first| types.all(|other| other.as_ref() == Some(first)));
                OutputColumn { id: self.column(), engine_type }
            })
            .collect();
        let inputs = inputs.into_iter().map(|bound| bound.relation).collect();
        let relation = Relation { kind: Kind::SetOperation { operator: set_operator, all, inputs }, columns };
        Ok(Bound::whole(relation, names))
    }

    /// Brings the columns of queries into one order by their names.
    fn by_name(&mut self, inputs: &mut [Bound], place: &Range<usize>) -> Outcome<Vec<String>> {
        let mut names: Vec<String> = Vec::new();
        for bound in inputs.iter_mut() {
            for name in &bound.names {
                if name.is_empty() {
                    return Err(stop(
                        "a column without a name is matched by name",
                        place.clone(),
                        Some("give every column a name with AS"),
                    ));
                }
                if !names.iter().any(|one| same(one, name)) {
                    names.push(name.clone());
                }
            }
        }
        for bound in inputs {
            let mut computed = Vec::new();
            let mut columns = Vec::new();
            for name in &names {
                match bound.names.iter().position(|one| same(one, name)) {
                    Some(index) => columns.push(bound.relation.columns[index].clone()),
                    None => {
                        let column = self.output();
                        computed.push((column.id, Scalar::Null));
                        columns.push(column);
                    }
                }
            }
            let input = Box::new(std::mem::replace(&mut bound.relation, nothing_at_all()));
            bound.relation = Relation { kind: Kind::Project { input, computed }, columns };
        }
        Ok(names)
    }

    fn values(&mut self, values: &'a Values, env: Env, parent: Option<&Scope<'_>>) -> Outcome<Bound> {
        let first = values.rows.first().map(|row| self.places.range(row.opening_token.0.span));
        let last = values.rows.last().map(|row| self.places.range(row.closing_token.0.span));
        let (Some(first), Some(last)) = (first, last) else {
            return Err(stop("VALUES without rows", 0..0, None));
        };
        let scope = Scope::new(parent);
        for expr in values.rows.iter().flat_map(|row| &row.content) {
            let read = self.read(expr, &Context::new(&scope, env))?;
            if !read.columns.is_empty() || !read.is_local() {
                let near = self.places.near(expr);
                return Err(stop("VALUES hold more than constants", near, Some("write a select instead")));
            }
        }
        let start = self.places.word_before(first.start, "values").unwrap_or(first.start);
        let span = start..last.end;
        let width = values.rows.first().map_or(0, |row| row.content.len());
        let columns = (0..width).map(|_| self.output()).collect();
        let relation = Relation { kind: Kind::Constant { text: expression(span, Vec::new()), query: true }, columns };
        let name = |index: usize| match self.grammar {
            Grammar::DuckDb => format!("col{index}"),
            Grammar::Postgres => format!("column{}", index + 1),
        };
        Ok(Bound::whole(relation, (0..width).map(name).collect()))
    }

    /// The CTE of a name, if there is one.
    pub(super) fn cte(&self, name: &str, env: Env) -> Option<usize> {
        let mut at = env;
        while let Some(index) = at {
            let entry = &self.ctes[index];
            if same(&entry.name, name) {
                return Some(index);
            }
            at = entry.before;
        }
        None
    }

    /// A CTE at one of its uses.
    pub(super) fn bound_cte(&mut self, index: usize, place: Range<usize>) -> Outcome<Bound> {
        let entry = &mut self.ctes[index];
        let recursion = "a recursive CTE looks at its own rows until no more come";
        if entry.under_way {
            return Err(stop(recursion, place, Some("write it without recursion, or set `refresh: full`")));
        }
        let cte = entry.cte;
        let env = if entry.recursive { Some(index) } else { entry.before };
        entry.under_way = true;
        // What stands around the use means nothing in the CTE.
        let bounds = std::mem::take(&mut self.bounds);
        let bound = self.query(&cte.query, env, None, Mode::Whole);
        self.bounds = bounds;
        self.ctes[index].under_way = false;
        let mut bound = bound.map_err(|stop| match stop {
            Stop::Correlated(_) => super::stop("a CTE names columns of the query around it", place, None),
            stop => stop,
        })?;
        for (name, column) in bound.names.iter_mut().zip(&cte.alias.columns) {
            *name = crate::parser::facts::unescaped(&column.name);
        }
        distinct(&mut bound.names);
        Ok(bound)
    }
}

pub(super) fn nothing() -> Expression {
    expression(0..0, Vec::new())
}

/// Whether an expression holds a subquery.
pub(super) fn holds_query(expr: &Expr) -> bool {
    struct Looking;
    impl Visitor for Looking {
        type Break = ();

        fn pre_visit_query(&mut self, _: &Query) -> std::ops::ControlFlow<()> {
            std::ops::ControlFlow::Break(())
        }
    }
    expr.visit(&mut Looking).is_break()
}
