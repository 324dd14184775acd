//! FROM: tables, subqueries, functions and their joins.

use std::ops::Range;

use sqlparser::ast::{
    FunctionArg, FunctionArgExpr, Ident, Join as JoinTree, JoinConstraint, JoinOperator, ObjectName, Query, Spanned,
    TableAlias, TableFactor, TableWithJoins,
};

use super::expression::{Context, Read, conjuncts};
use super::places::Extent;
use super::query::{Bound, Mode, Rows};
use super::scope::{Front, Named, Scope, Source, distinct, same};
use super::subquery::{Sub, Use};
use super::{Env, Outcome, Reader, Stop, expression, extend, filter, has, stop};
use crate::dialect::Grammar;
use crate::parser::facts::{identifiers, unescaped};
use crate::refresh::{
    Apply, ApplyKind, ColumnId, Join, JoinKind, Kind, Obstacle, OutputColumn, Relation, Scalar, TreeTable,
};

/// What FROM has come to so far.
pub(super) struct From<'s> {
    /// `None` while nothing but functions of the row around it was named.
    pub(super) relation: Option<Relation>,
    pub(super) scope: Scope<'s>,
    /// Columns computed from the row around it.
    pub(super) pending: Vec<(ColumnId, Scalar)>,
    /// Conditions that name columns around the select.
    pub(super) lifted: Vec<Scalar>,
}

/// Something that is joined.
struct Factor {
    side: Side,
    sources: Vec<Source>,
    merged: Vec<(String, ColumnId)>,
    fronts: Vec<Front>,
    span: Range<usize>,
}

enum Side {
    Plain(Relation),
    /// Depends on the rows before it by these conditions, and perhaps beyond them.
    Lateral {
        relation: Relation,
        on: Vec<Scalar>,
        rows: Rows,
    },
    /// Nothing but columns computed from the rows before it; `rows`: it may be many rows or none for each.
    Computed {
        computed: Vec<(ColumnId, Scalar)>,
        rows: bool,
    },
}

/// How two sides are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Inner,
    Left,
    Right,
    Full,
    Semi,
    Anti,
    Positional,
}

impl<'a> Reader<'a> {
    pub(super) fn from<'s>(&mut self, tables: &'a [TableWithJoins], env: Env, scope: Scope<'s>) -> Outcome<From<'s>> {
        let mut from = From { relation: None, scope, pending: Vec::new(), lifted: Vec::new() };
        for table in tables {
            let first = from.scope.sources.len();
            // Right and full joins keep rows of what stands before them: of their own joins only, not of what is before the comma.
            let apart = table.joins.iter().any(|join| keeps_left_apart(&join.join_operator) || join.global);
            let before = if apart { from.relation.take() } else { None };
            let lifted = from.lifted.len();
            let factor = self.factor(&table.relation, env, &from.scope)?;
            let span = factor.span.clone();
            self.join(&mut from, factor, Manner::Inner, None, false, (env, first))?;
            for join in &table.joins {
                self.next(&mut from, join, env, first)?;
            }
            if let Some(left) = before {
                let Some(right) = from.relation.take().filter(|_| from.lifted.len() == lifted) else {
                    return Err(stop(
                        "a right or full join names columns from before a comma",
                        span,
                        Some("write the joins without commas"),
                    ));
                };
                let on = Conditions::default();
                let pair = Pair { left, right, on, manner: Manner::Inner, nearest: false, beyond: false, span };
                from.relation = Some(self.pair(&mut from, pair)?);
            }
        }
        Ok(from)
    }

    fn next(&mut self, from: &mut From<'_>, join: &'a JoinTree, env: Env, first: usize) -> Outcome<()> {
        let (manner, constraint) = match &join.join_operator {
            JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) | JoinOperator::CrossJoin(constraint) => {
                (Manner::Inner, constraint)
            }
            JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => (Manner::Left, constraint),
            JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => (Manner::Right, constraint),
            JoinOperator::FullOuter(constraint) => (Manner::Full, constraint),
            JoinOperator::Semi(constraint) => (Manner::Semi, constraint),
            JoinOperator::Anti(constraint) => (Manner::Anti, constraint),
            _ => {
                let near = self.places.range(join.relation.span());
                return Err(stop("this kind of join is not understood", near, Some("write a common join")));
            }
        };
        // ASOF and POSITIONAL joins are marked so; the latter have no condition.
        let manner =
            if join.global && matches!(constraint, JoinConstraint::None) { Manner::Positional } else { manner };
        let factor = self.factor(&join.relation, env, &from.scope)?;
        self.join(from, factor, manner, Some(constraint), join.global, (env, first))
    }

    fn factor(&mut self, factor: &'a TableFactor, env: Env, scope: &Scope<'_>) -> Outcome<Factor> {
        match factor {
            TableFactor::Table {
                name,
                alias,
                args,
                with_hints,
                version: None,
                with_ordinality,
                partitions,
                json_path: None,
                sample: None,
                index_hints,
            } if with_hints.is_empty() && partitions.is_empty() && index_hints.is_empty() => match args {
                Some(args) => self.table_function(name, &args.args, *with_ordinality, alias.as_ref(), (env, scope)),
                None => self.table(name, alias.as_ref(), env),
            },
            TableFactor::Function { name, args, with_ordinality, alias, .. } => {
                self.table_function(name, args, *with_ordinality, alias.as_ref(), (env, scope))
            }
            TableFactor::Derived { subquery, alias, sample: None, .. } => {
                self.derived(subquery, alias.as_ref(), env, scope)
            }
            TableFactor::NestedJoin { table_with_joins, alias: None } => {
                let inner = Scope::empty(scope.parent, scope.level);
                let span = self.places.range(factor.span());
                let from = self.from(std::slice::from_ref(&**table_with_joins), env, inner)?;
                match from.relation {
                    Some(relation) if from.pending.is_empty() && from.lifted.is_empty() => Ok(Factor {
                        side: Side::Plain(relation),
                        sources: from.scope.sources,
                        merged: from.scope.merged,
                        fronts: from.scope.fronts,
                        span,
                    }),
                    _ => Err(stop(
                        "a join in parentheses names columns around the query",
                        span,
                        Some("leave out the parentheses"),
                    )),
                }
            }
            TableFactor::Pivot { .. } => Err(stop(
                "PIVOT makes columns out of rows",
                self.places.range(factor.span()),
                Some("write one aggregate for each column: `sum(x) filter (where name = 'a') as a`, with GROUP BY"),
            )),
            TableFactor::Unpivot { .. } => Err(stop(
                "UNPIVOT is not followed",
                self.places.range(factor.span()),
                Some("write one select for each column, with UNION ALL between them"),
            )),
            _ => Err(stop(
                "this part of FROM is not understood",
                self.places.range(factor.span()),
                Some("write a table, a subquery or a join"),
            )),
        }
    }

    fn table(&mut self, name: &'a ObjectName, alias: Option<&'a TableAlias>, env: Env) -> Outcome<Factor> {
        let names = identifiers(name).unwrap_or_default();
        let span = self.span_of(&names);
        let own = alias.map(|alias| unescaped(&alias.name));
        if let [single] = names.as_slice()
            && let Some(index) = self.cte(&unescaped(single), env)
        {
            let bound = self.bound_cte(index, span.clone())?;
            let own = own.unwrap_or_else(|| unescaped(single));
            return Ok(self.named(bound, own, alias, span));
        }
        let Some(index) = self.facts.tables.iter().position(|table| table.span == span && !span.is_empty()) else {
            return Err(stop("files are not followed", span, Some("declare a source and read its table")));
        };
        let reference = &self.facts.tables[index];
        let Some(input) = self.inputs.table(&reference.name) else {
            return Err(stop(
                format!("nobody sees what changes in `{}`", reference.name.join(".")),
                span,
                Some("read it through a source, or set `refresh: full`"),
            ));
        };
        let columns: Vec<OutputColumn> = input
            .columns
            .iter()
            .map(|(_, engine_type)| OutputColumn { id: self.column(), engine_type: Some(engine_type.clone()) })
            .collect();
        let mut named: Vec<Named> = {
            let named = |((name, engine_type), column): (&(String, String), &OutputColumn)| {
                Named::new(name.clone(), column.id).typed(Some(engine_type))
            };
            input.columns.iter().zip(&columns).map(named).collect()
        };
        rename(&mut named, alias);
        let own = own.unwrap_or_else(|| reference.own_name().to_owned());
        let schema = match (alias, reference.name.as_slice()) {
            (None, [.., schema, _]) => Some(schema.clone()),
            _ => None,
        };
        let by_schema = self.facts.schema_references.iter().any(|reference| reference.table == index);
        self.tables[index] = Some(TreeTable {
            name: reference.name.clone(),
            span: span.clone(),
            own_name: own.clone(),
            aliased: alias.is_some(),
            fixed: by_schema.then(|| {
                format!("columns are named with its schema: write `{own}.column` instead of `schema.{own}.column`")
            }),
            input,
        });
        let relation = Relation { kind: Kind::Scan { table: index }, columns };
        let sources = vec![Source { schema, name: own, columns: named }];
        Ok(Factor { side: Side::Plain(relation), sources, merged: Vec::new(), fronts: Vec::new(), span })
    }

    /// A query under a name.
    fn named(&self, bound: Bound, name: String, alias: Option<&TableAlias>, span: Range<usize>) -> Factor {
        let mut names = bound.names;
        distinct(&mut names);
        let named = |(name, id): (String, &ColumnId)| {
            let column = bound.relation.columns.iter().find(|column| column.id == *id);
            Named::new(name, *id).typed(column.and_then(|column| column.engine_type.as_deref()))
        };
        let mut columns: Vec<Named> = names.into_iter().zip(&bound.columns).map(named).collect();
        rename(&mut columns, alias);
        let sources = vec![Source { schema: None, name, columns }];
        Factor { side: Side::Plain(bound.relation), sources, merged: Vec::new(), fronts: Vec::new(), span }
    }

    fn derived(
        &mut self,
        query: &'a Query,
        alias: Option<&'a TableAlias>,
        env: Env,
        scope: &Scope<'_>,
    ) -> Outcome<Factor> {
        let span = self.places.enclosing(self.places.range(query.span()));
        let name = alias.map(|alias| unescaped(&alias.name)).unwrap_or_default();
        let depth = self.depth;
        let (ties, calls) = (self.ties.found.len(), self.ties.calls.len());
        self.bounds.push(scope.level + 1);
        let bound = self.query(query, env, Some(scope), Mode::Whole);
        self.bounds.pop();
        let mut bound = match bound {
            Ok(bound) => return Ok(self.named(bound, name, alias, span)),
            Err(Stop::Correlated(level)) if level <= scope.level => {
                self.depth = depth;
                self.ties.found.truncate(ties);
                self.ties.calls.truncate(calls);
                self.query(query, env, Some(scope), Mode::Core)?
            }
            Err(stop) => return Err(stop),
        };
        if let Some(computed) = bound.computed.take() {
            let mut factor = self.named(bound, name, alias, span);
            factor.side = Side::Computed { computed, rows: false };
            return Ok(factor);
        }
        let on = std::mem::take(&mut bound.lifted);
        let rows = bound.rows;
        let mut factor = self.named(bound, name, alias, span);
        if let Side::Plain(relation) = factor.side {
            factor.side = Side::Lateral { relation, on, rows };
        }
        Ok(factor)
    }

    fn table_function(
        &mut self,
        name: &'a ObjectName,
        arguments: &'a [FunctionArg],
        ordinality: bool,
        alias: Option<&'a TableAlias>,
        (env, scope): (Env, &Scope<'_>),
    ) -> Outcome<Factor> {
        let names = identifiers(name).unwrap_or_default();
        let span = self.places.call(self.span_of(&names));
        let function = names.last().map(|name| name.value.to_ascii_lowercase()).unwrap_or_default();
        if names.len() != 1
            || !matches!(function.as_str(), "range" | "generate_series" | "unnest" | "generate_subscripts")
        {
            return Err(stop(
                format!("what the table function `{function}` reads is not known"),
                span,
                Some("read a table"),
            ));
        }
        let mut read = Read::default();
        let mut simple = arguments.len() == 1 && !ordinality;
        for argument in arguments {
            let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = argument else {
                return Err(stop(format!("this call of `{function}` is not understood"), span, None));
            };
            let one = self.read(expr, &Context::new(scope, env))?;
            if !one.subqueries.is_empty() || !one.below.is_empty() {
                return Err(stop(format!("a subquery decides what `{function}` gives"), span, Some("join the table")));
            }
            simple &= one.is_local() && !one.outer;
            read.columns.extend(one.columns);
        }
        let mut columns = vec![self.output()];
        let own = alias.map_or_else(|| function.clone(), |alias| unescaped(&alias.name));
        let mut named = vec![Named { also: Some(function.clone()), ..Named::new(own.clone(), columns[0].id) }];
        if ordinality {
            columns.push(self.output());
            named.push(Named::new("ordinality", columns[1].id));
        }
        rename(&mut named, alias);
        let side = if read.columns.is_empty() {
            let text = expression(span.clone(), Vec::new());
            Side::Plain(Relation { kind: Kind::Constant { text, query: false }, columns })
        } else {
            let scalar = if simple && function == "unnest" {
                self.local.push(span.clone());
                Scalar::Text(expression(span.clone(), read.columns))
            } else {
                Scalar::Unknown(read.named())
            };
            let unknown = Scalar::Unknown(scalar.columns());
            let computed = columns
                .iter()
                .enumerate()
                .map(|(index, column)| (column.id, if index == 0 { scalar.clone() } else { unknown.clone() }))
                .collect();
            Side::Computed { computed, rows: true }
        };
        let sources = vec![Source { schema: None, name: own, columns: named }];
        Ok(Factor { side, sources, merged: Vec::new(), fronts: Vec::new(), span })
    }

    fn join(
        &mut self,
        from: &mut From<'_>,
        factor: Factor,
        manner: Manner,
        constraint: Option<&'a JoinConstraint>,
        nearest: bool,
        (env, first): (Env, usize),
    ) -> Outcome<()> {
        let Factor { side, sources, merged, fronts, span } = factor;
        let before = from.scope.sources.len();
        let (right_first, merged_before) = (before, from.scope.merged.len());
        let using = self.using(from, &sources, &merged, constraint, first, nearest)?;
        from.scope.sources.extend(sources);
        from.scope.merged.extend(merged);
        from.scope.fronts.extend(
            fronts
                .into_iter()
                .map(|front| Front { sources: front.sources.start + before..front.sources.end + before, ..front }),
        );
        let mut on = Conditions::default();
        if let Some(JoinConstraint::On(condition)) = constraint {
            let conditions = conjuncts(condition);
            let extent = if conditions.len() == 1 { Extent::Whole } else { Extent::Conjunct };
            for condition in conditions {
                let context = Context { first_source: first, ..Context::new(&from.scope, env) };
                let read = self.read(condition, &context)?;
                let scalar = self.condition(condition, &read, extent)?;
                let outer = read.outer;
                on.subqueries.extend(read.subqueries);
                match scalar {
                    Scalar::Unknown(_) => on.unknown.push(scalar),
                    scalar if outer => on.outer.push(scalar),
                    scalar => on.known.push(scalar),
                }
            }
        }
        let equal = using.iter().filter(|pair| pair.equal);
        on.known.extend(equal.map(|pair| Scalar::Equal(pair.left, pair.right)));
        let Some(left) = from.relation.take() else {
            return self.first(from, side, manner, on, span);
        };
        let relation = match side {
            Side::Computed { computed, rows } => {
                let keeps = manner == Manner::Left && (rows || !on.is_empty());
                let computed = match (manner, keeps) {
                    (Manner::Inner | Manner::Left, false) => computed,
                    // A row stays where there is nothing, and where the condition is not met.
                    (Manner::Left, true) => {
                        computed.into_iter().map(|(id, scalar)| (id, Scalar::Unknown(scalar.columns()))).collect()
                    }
                    _ => {
                        return Err(stop(
                            "this join with what is computed from a row is not followed",
                            span,
                            Some("write a left or an inner join"),
                        ));
                    }
                };
                let conditions = if manner == Manner::Inner { std::mem::take(&mut on.known) } else { Vec::new() };
                let mut relation = filter(extend(left, computed), conditions);
                for sub in on.subqueries {
                    relation = self.attach(relation, sub, Use::Value).0;
                }
                relation
            }
            Side::Plain(right) => {
                let join = Pair { left, right, on, manner, nearest, beyond: nearest, span };
                self.pair(from, join)?
            }
            Side::Lateral { relation, on: correlation, rows } => {
                let (beyond, always) = (rows != Rows::Same, rows == Rows::One);
                if !matches!(manner, Manner::Inner | Manner::Left) || nearest {
                    return Err(stop(
                        "this kind of join with a lateral subquery is not followed",
                        span,
                        Some("write a left or an inner join"),
                    ));
                }
                let left_columns: Vec<ColumnId> = left.columns.iter().map(|column| column.id).collect();
                let mut after = Vec::new();
                if beyond {
                    after = std::mem::take(&mut on.known);
                }
                for scalar in correlation {
                    let inside = scalar.columns().iter().all(|id| left_columns.contains(id) || has(&relation, *id));
                    match inside {
                        true => on.known.push(scalar),
                        false => on.outer.push(scalar),
                    }
                }
                let inner = manner == Manner::Inner;
                let manner = if inner && !always { Manner::Inner } else { Manner::Left };
                let join = Pair { left, right: relation, on, manner, nearest: false, beyond, span };
                let joined = self.pair(from, join)?;
                if inner { filter(joined, after) } else { joined }
            }
        };
        if matches!(manner, Manner::Semi | Manner::Anti) {
            from.scope.sources.truncate(before);
            from.scope.merged.truncate(merged_before);
            from.relation = Some(relation);
        } else {
            from.relation = Some(self.merge(from, relation, manner, &using, (first, right_first)));
        }
        Ok(())
    }

    /// The first relation of FROM.
    fn first(
        &mut self,
        from: &mut From<'_>,
        side: Side,
        manner: Manner,
        on: Conditions,
        span: Range<usize>,
    ) -> Outcome<()> {
        if manner != Manner::Inner {
            return Err(stop(
                "a join whose left side is computed from a row is not followed",
                span,
                Some("name a table first"),
            ));
        }
        let relation = match side {
            Side::Computed { computed, .. } => {
                from.pending.extend(computed);
                from.lifted.extend(on.known);
                return Ok(());
            }
            Side::Plain(relation) => relation,
            Side::Lateral { relation, on, rows: Rows::Same | Rows::Groups } => {
                from.lifted.extend(on);
                relation
            }
            // Conditions on what it gives are none on what it chooses from.
            Side::Lateral { relation, .. } => {
                let columns = relation.columns.clone();
                let obstacle = Obstacle {
                    reason: "a subquery within a subquery chooses rows by columns of the query around both".to_owned(),
                    span,
                    instead: Some("write one subquery, or join".to_owned()),
                };
                Relation { kind: Kind::Opaque { obstacle, inputs: vec![relation] }, columns }
            }
        };
        // What was computed from a row around is not known here.
        let pending = std::mem::take(&mut from.pending).into_iter().map(|(id, _)| (id, Scalar::Unknown(Vec::new())));
        let mut relation = extend(relation, pending.collect());
        for sub in on.subqueries {
            relation = self.attach(relation, sub, Use::Value).0;
        }
        let (inside, outside) =
            on.known.into_iter().partition(|scalar| scalar.columns().iter().all(|id| has(&relation, *id)));
        from.lifted.extend::<Vec<Scalar>>(outside);
        from.lifted.extend(on.outer);
        from.relation = Some(filter(relation, inside));
        Ok(())
    }

    fn pair(&mut self, from: &mut From<'_>, pair: Pair) -> Outcome<Relation> {
        let Pair { left, mut right, mut on, manner, nearest, beyond, span } = pair;
        if manner == Manner::Positional {
            let obstacle = Obstacle {
                reason: "a POSITIONAL JOIN pairs rows by their order".to_owned(),
                span,
                instead: Some("join by columns".to_owned()),
            };
            let mut columns = left.columns.clone();
            columns.extend(right.columns.iter().cloned());
            return Ok(Relation { kind: Kind::Opaque { obstacle, inputs: vec![left, right] }, columns });
        }
        if nearest && !matches!(manner, Manner::Inner | Manner::Left) {
            return Err(stop("only inner and left ASOF joins are followed", span, Some("turn the sides round")));
        }
        let mut after = Vec::new();
        if manner == Manner::Inner && !beyond {
            from.lifted.append(&mut on.outer);
        }
        // Whatever decides about a pair counts as a change of its right row.
        if manner != Manner::Inner || beyond {
            for sub in on.subqueries.drain(..) {
                right = self.attach(right, sub, Use::Value).0;
            }
        }
        let known = on.known;
        let (mut conditions, rest): (Vec<Scalar>, Vec<Scalar>) =
            known.into_iter().partition(|scalar| scalar.columns().iter().all(|id| has(&left, *id) || has(&right, *id)));
        if manner == Manner::Inner && !beyond {
            after = rest;
        }
        let visible =
            |scalar: &Scalar, right: &Relation| scalar.columns().iter().all(|id| has(&left, *id) || has(right, *id));
        if !matches!(manner, Manner::Inner) {
            conditions.extend(on.unknown.iter().filter(|scalar| visible(scalar, &right)).cloned());
        }
        let relation = match manner {
            Manner::Semi | Manner::Anti => {
                let columns = left.columns.clone();
                let kind = if manner == Manner::Semi { ApplyKind::Semi } else { ApplyKind::Anti };
                let (left, right) = (Box::new(left), Box::new(right));
                let apply = Apply { left, right, on: conditions, kind, correlated: true, span };
                Relation { kind: Kind::Apply(apply), columns }
            }
            _ => {
                let kind = match manner {
                    Manner::Left | Manner::Right => JoinKind::Left,
                    Manner::Full => JoinKind::Full,
                    _ => JoinKind::Inner,
                };
                let (left, right) = if manner == Manner::Right { (right, left) } else { (left, right) };
                let mut columns = left.columns.clone();
                columns.extend(right.columns.iter().cloned());
                let (left, right) = (Box::new(left), Box::new(right));
                let join = Join { kind, left, right, on: conditions, lateral: beyond, span };
                if nearest {
                    self.nearest_tie(&join);
                }
                Relation { kind: Kind::Join(join), columns }
            }
        };
        let mut relation = relation;
        let had_subqueries = !on.subqueries.is_empty();
        for sub in on.subqueries {
            relation = self.attach(relation, sub, Use::Value).0;
        }
        if manner == Manner::Inner && !beyond {
            let unknown = on
                .unknown
                .into_iter()
                .filter(|scalar| had_subqueries || scalar.columns().iter().all(|id| has(&relation, *id)));
            let unknown: Vec<Scalar> =
                unknown.filter(|scalar| scalar.columns().iter().all(|id| has(&relation, *id))).collect();
            relation = filter(relation, unknown);
        }
        let (inside, outside): (Vec<_>, Vec<_>) =
            after.into_iter().partition(|scalar| scalar.columns().iter().all(|id| has(&relation, *id)));
        from.lifted.extend(outside);
        Ok(filter(relation, inside))
    }

    /// The columns of USING and NATURAL.
    fn using(
        &mut self,
        from: &From<'_>,
        sources: &[Source],
        merged: &[(String, ColumnId)],
        constraint: Option<&'a JoinConstraint>,
        first: usize,
        nearest: bool,
    ) -> Outcome<Vec<Using>> {
        let right = Scope { sources: sources.to_vec(), merged: merged.to_vec(), ..Scope::empty(None, 0) };
        let names: Vec<(String, Range<usize>)> = match constraint {
            Some(JoinConstraint::Using(columns)) => columns
                .iter()
                .filter_map(|name| {
                    let names = identifiers(name)?;
                    let last: &Ident = names.last()?;
                    Some((unescaped(last), self.places.range(last.span)))
                })
                .collect(),
            Some(JoinConstraint::Natural) => {
                let left = from.scope.star();
                let mut names: Vec<(String, Range<usize>)> = Vec::new();
                for (name, _, source) in left.iter().filter(|(_, _, source)| *source >= first) {
                    let _ = source;
                    if right.star().iter().any(|(other, _, _)| same(other, name))
                        && !names.iter().any(|(other, _)| same(other, name))
                    {
                        names.push((name.clone(), 0..0));
                    }
                }
                names
            }
            _ => return Ok(Vec::new()),
        };
        let mut pairs = Vec::new();
        let count = names.len();
        for (index, (name, place)) in names.into_iter().enumerate() {
            let part = std::slice::from_ref(&name);
            let column = |found: super::scope::Found| match found {
                super::scope::Found::Column { id, .. } => Ok(id),
                _ => Err(stop(
                    format!("`{name}` of USING is not one column on each side"),
                    place.clone(),
                    Some("write the condition with ON"),
                )),
            };
            let left = column(from.scope.own_from(part, first))?;
            let right = column(right.own(part))?;
            // The last column of an ASOF join is compared with `>=`.
            let equal = !(nearest && index + 1 == count);
            pairs.push(Using { name, left, right, equal });
        }
        Ok(pairs)
    }

    /// Makes one column of each pair of USING. The joined sources begin with the first, those of the right side with the second.
    fn merge(
        &mut self,
        from: &mut From<'_>,
        relation: Relation,
        manner: Manner,
        using: &[Using],
        (first, right_first): (usize, usize),
    ) -> Relation {
        let mut computed = Vec::new();
        let mut front = Vec::with_capacity(using.len());
        for pair in using {
            let id = match manner {
                Manner::Right => pair.right,
                Manner::Full => {
                    let id = self.column();
                    computed.push((id, Scalar::Coalesce(vec![pair.left, pair.right])));
                    id
                }
                _ => pair.left,
            };
            front.push(id);
            let (before, after) = from.scope.sources.split_at_mut(right_first);
            for column in before.iter_mut().flat_map(|source| &mut source.columns) {
                if column.starred == Some(pair.left) && same(&column.name, &pair.name) {
                    column.starred = Some(id);
                    column.merged = true;
                }
            }
            for column in after.iter_mut().flat_map(|source| &mut source.columns) {
                if same(&column.name, &pair.name) && column.starred == Some(pair.right) {
                    column.starred = None;
                    column.merged = true;
                }
            }
            from.scope.merged.retain(|(name, id)| !(same(name, &pair.name) && *id == pair.left));
            from.scope.merged.push((pair.name.clone(), id));
        }
        // DuckDB leaves them where they are on the left side.
        if self.grammar == Grammar::Postgres && !front.is_empty() {
            from.scope.fronts.push(Front { sources: first..from.scope.sources.len(), columns: front });
        }
        extend(relation, computed)
    }
}

/// Two sides about to be joined.
struct Pair {
    left: Relation,
    right: Relation,
    on: Conditions,
    manner: Manner,
    nearest: bool,
    beyond: bool,
    span: Range<usize>,
}

/// A column of USING.
struct Using {
    name: String,
    left: ColumnId,
    right: ColumnId,
    equal: bool,
}

/// The conditions of a join.
#[derive(Default)]
struct Conditions {
    known: Vec<Scalar>,
    unknown: Vec<Scalar>,
    /// Name columns around the select.
    outer: Vec<Scalar>,
    subqueries: Vec<Sub>,
}

impl Conditions {
    fn is_empty(&self) -> bool {
        self.known.is_empty() && self.unknown.is_empty() && self.outer.is_empty() && self.subqueries.is_empty()
    }
}

/// Whether a join must not have more on its left side than is written there.
fn keeps_left_apart(operator: &JoinOperator) -> bool {
    matches!(operator, JoinOperator::Right(_) | JoinOperator::RightOuter(_) | JoinOperator::FullOuter(_))
}

/// Gives columns the names of an alias list.
fn rename(columns: &mut [Named], alias: Option<&TableAlias>) {
    for (column, name) in columns.iter_mut().zip(alias.iter().flat_map(|alias| &alias.columns)) {
        column.name = unescaped(&name.name);
        column.also = None;
    }
}
