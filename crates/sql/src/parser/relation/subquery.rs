//! Subqueries in expressions.

use std::ops::Range;

use sqlparser::ast::{BinaryOperator, Expr, Query, UnaryOperator};

use super::expression::{Context, stripped};
use super::places::Extent;
use super::query::{Bound, Mode, Rows};
use super::{Outcome, Reader, Stop, extend, has};
use crate::refresh::{Apply, ApplyKind, ColumnId, Kind, OutputColumn, Relation, Scalar};

/// What an expression asks of a subquery.
#[derive(Clone, Copy)]
pub(super) enum Asked<'a> {
    Exists,
    Value,
    /// Whether this value is among its rows.
    In(&'a Expr),
}

/// A subquery that was read, to be put beside the rows it is asked for.
#[derive(Debug)]
pub(super) struct Sub {
    right: Relation,
    on: Vec<Scalar>,
    question: Question,
    correlated: bool,
    /// What its rows are to those of `right`.
    rows: Rows,
    pub(super) span: Range<usize>,
    /// The column of its value; `None` where it depends on the columns of the row alone.
    pub(super) value: Option<ColumnId>,
    /// Columns of the row that it and the tested values name.
    pub(super) named: Vec<(Range<usize>, ColumnId)>,
    /// Tested values that are no columns.
    computed: Vec<(ColumnId, Scalar)>,
    /// Subqueries within the tested values.
    within: Vec<Sub>,
}

#[derive(Debug)]
enum Question {
    Exists,
    Value,
    In { tested: Vec<Option<ColumnId>>, with: Vec<ColumnId> },
}

/// What becomes of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// It is a value.
    Value,
    /// Rows without are dropped.
    Keep,
    /// Rows with are dropped.
    Drop,
}

/// A condition that is nothing but a subquery's answer.
pub(super) fn test_of(expr: &Expr) -> Option<(&Query, Asked<'_>, Use)> {
    let (tested, negated) = match stripped(expr) {
        Expr::UnaryOp { op: UnaryOperator::Not, expr } => (stripped(expr), true),
        expr => (expr, false),
    };
    let choose = |negated: bool| if negated { Use::Drop } else { Use::Keep };
    match tested {
        Expr::Exists { subquery, negated: not } => Some((subquery, Asked::Exists, choose(negated != *not))),
        Expr::InSubquery { expr, subquery, negated: not } => Some((subquery, Asked::In(expr), choose(negated != *not))),
        Expr::AnyOp { left, compare_op: BinaryOperator::Eq, right, .. } if !negated => match stripped(right) {
            Expr::Subquery(subquery) => Some((subquery, Asked::In(left), Use::Keep)),
            _ => None,
        },
        _ => None,
    }
}

impl<'a> Reader<'a> {
    /// Reads a subquery.
    pub(super) fn subquery(&mut self, query: &'a Query, asked: Asked<'a>, context: &Context<'_>) -> Outcome<Sub> {
        let span = self.query_span(query);
        let mut named = Vec::new();
        let mut computed = Vec::new();
        let mut within = Vec::new();
        let mut tested = Vec::new();
        if let Asked::In(value) = asked {
            let values: Vec<&'a Expr> = match stripped(value) {
                Expr::Tuple(items) => items.iter().collect(),
                one => vec![one],
            };
            for value in values {
                let read = self.read(value, context)?;
                named.extend(read.columns.iter().cloned());
                tested.push(match read.plain {
                    Some(column) => Some(column),
                    None if read.is_local() && !read.outer => {
                        let id = self.column();
                        let scalar = self.scalar(value, &read, Extent::Tight)?;
                        computed.push((id, scalar));
                        Some(id)
                    }
                    None => None,
                });
                within.extend(read.subqueries);
            }
        }
        let (bound, correlated) = self.bound_within(query, context)?;
        let Bound { relation, columns, lifted, rows, .. } = bound;
        let with = columns;
        let mut on = lifted;
        let question = match asked {
            Asked::Exists => Question::Exists,
            Asked::Value => Question::Value,
            Asked::In(_) => {
                if tested.len() != with.len() {
                    tested = vec![None; with.len()];
                }
                // Which row it chooses depends on those it does not choose.
                if !correlated || matches!(rows, Rows::Same | Rows::Groups) {
                    for (tested, with) in tested.iter().zip(&with) {
                        on.extend(tested.map(|tested| Scalar::Equal(tested, *with)));
                    }
                }
                Question::In { tested, with }
            }
        };
        named
            .extend(on.iter().flat_map(Scalar::columns).filter(|id| !has(&relation, *id)).map(|id| (span.clone(), id)));
        let value = (reads_tables(&relation) || !within.is_empty()).then(|| self.column());
        Ok(Sub { right: relation, on, question, correlated, rows, span, value, named, computed, within })
    }

    /// The query read on its own or, where it names columns around it, before what it does with its rows.
    fn bound_within(&mut self, query: &'a Query, context: &Context<'_>) -> Outcome<(Bound, bool)> {
        let level = context.scope.level;
        let depth = self.depth;
        let (ties, calls) = (self.ties.found.len(), self.ties.calls.len());
        self.bounds.push(level + 1);
        let bound = self.query(query, context.env, Some(context.scope), Mode::Whole);
        self.bounds.pop();
        match bound {
            Err(Stop::Correlated(reached)) if reached <= level => {
                self.depth = depth;
                self.ties.found.truncate(ties);
                self.ties.calls.truncate(calls);
                let bound = self.query(query, context.env, Some(context.scope), Mode::Core)?;
                Ok((bound, true))
            }
            Err(stop) => Err(stop),
            Ok(bound) => Ok((bound, false)),
        }
    }

    /// The subquery beside the rows of a relation, and whether its value must still be looked at by a condition.
    pub(super) fn attach(&mut self, left: Relation, sub: Sub, wanted: Use) -> (Relation, Option<ColumnId>) {
        let Sub { right, on, question, correlated, rows, span, value, computed, within, .. } = sub;
        let mut left = left;
        for sub in within {
            left = self.attach(left, sub, Use::Value).0;
        }
        let computed: Vec<_> = computed
            .into_iter()
            .map(|(id, scalar)| {
                let known = scalar.columns().iter().all(|column| has(&left, *column));
                (id, if known { scalar } else { Scalar::Unknown(Vec::new()) })
            })
            .collect();
        left = extend(left, computed);
        let on: Vec<Scalar> = on
            .into_iter()
            .filter(|scalar| scalar.columns().iter().all(|column| has(&left, *column) || has(&right, *column)))
            .filter(|scalar| !matches!(scalar, Scalar::Unknown(_)))
            .collect();
        let exact = !correlated || rows == Rows::Same;
        let always = rows == Rows::One;
        let (kind, value) = match (question, wanted, value) {
            (Question::Exists, Use::Keep, _) if !(correlated && always) => (ApplyKind::Semi, None),
            (Question::Exists, Use::Drop, _) if !(correlated && always) => (ApplyKind::Anti, None),
            (Question::In { .. }, Use::Keep, _) if !(correlated && always) => (ApplyKind::Semi, None),
            (Question::In { tested, with }, wanted, value) if exact => {
                let tested: Vec<ColumnId> = tested
                    .into_iter()
                    .collect::<Option<Vec<_>>>()
                    .filter(|all| all.iter().all(|one| has(&left, *one)))
                    .unwrap_or_default();
                let value = value.filter(|_| wanted == Use::Value);
                (ApplyKind::Membership { value, tested, with }, value)
            }
            (_, _, value) => {
                let value = value.unwrap_or_else(|| self.column());
                (ApplyKind::Value(value), Some(value))
            }
        };
        let mut columns = left.columns.clone();
        columns.extend(value.map(|id| OutputColumn { id, engine_type: None }));
        let apply = Apply { left: Box::new(left), right: Box::new(right), on, kind, correlated, span };
        (Relation { kind: Kind::Apply(apply), columns }, value)
    }

    fn query_span(&self, query: &Query) -> Range<usize> {
        use sqlparser::ast::Spanned;
        self.places.enclosing(self.places.range(query.span()))
    }
}

/// Whether a relation reads a table at all.
pub(super) fn reads_tables(relation: &Relation) -> bool {
    match &relation.kind {
        Kind::Scan { .. } => true,
        Kind::Constant { .. } => false,
        Kind::Filter { input, .. }
        | Kind::Project { input, .. }
        | Kind::DistinctOn { input, .. }
        | Kind::Distinct { input } => reads_tables(input),
        Kind::Join(join) => reads_tables(&join.left) || reads_tables(&join.right),
        Kind::Apply(apply) => reads_tables(&apply.left) || reads_tables(&apply.right),
        Kind::Aggregate(aggregate) => reads_tables(&aggregate.input),
        Kind::Window(window) => reads_tables(&window.input),
        Kind::SetOperation { inputs, .. } | Kind::Opaque { inputs, .. } => inputs.iter().any(reads_tables),
    }
}
