//! What an expression names and looks at.

use std::collections::HashMap;
use std::ops::{ControlFlow, Range};

use sqlparser::ast::{
    AccessExpr, BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause,
    FunctionArguments, Ident, LambdaSyntax, OneOrManyWithParens, Query, Subscript, Value, WindowType,
};

use super::functions::{Looks, Ordering, looks, takes_lambda};
use super::places::Extent;
use super::scope::{Found, Scope, parts, same};
use super::select::is_for_groups;
use super::subquery::{Asked, Sub};
use super::ties::ordering_of;
use super::{Env, Outcome, Reader, expression, stop};
use crate::refresh::{ColumnId, Scalar};

/// Operators in a row up to which a grouping expression is looked for at the left of each.
const LONG_CHAIN: usize = 64;

/// A name of the select list that other expressions may use.
#[derive(Debug, Clone)]
pub(super) struct Alias {
    pub(super) name: String,
    /// `None` until it is computed.
    pub(super) id: Option<ColumnId>,
}

/// What grouping has made of the columns.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// From columns before to columns after.
    pub(super) columns: HashMap<ColumnId, ColumnId>,
    /// Grouping expressions in their canonical form.
    pub(super) expressions: Vec<(Expr, ColumnId)>,
    /// Columns after and before, in order.
    pub(super) pairs: Vec<(ColumnId, ColumnId)>,
    /// How the grouping expressions can be written where the groups are named; as many as pairs.
    pub(super) texts: Vec<Option<String>>,
    /// Indexes into `pairs`.
    pub(super) sets: Vec<Vec<usize>>,
    pub(super) span: Range<usize>,
}

/// Where an expression stands.
#[derive(Clone, Copy)]
pub(super) struct Context<'c> {
    pub(super) scope: &'c Scope<'c>,
    pub(super) env: Env,
    pub(super) aliases: &'c [Alias],
    /// Whether an alias comes before a column of the same name.
    pub(super) alias_first: bool,
    /// Sources before this one come last: those outside of the join whose condition it is.
    pub(super) first_source: usize,
    /// Present after grouping.
    pub(super) groups: Option<&'c Groups>,
    /// Columns that have another identity by now.
    pub(super) renamed: Option<&'c HashMap<ColumnId, ColumnId>>,
}

impl<'c> Context<'c> {
    pub(super) fn new(scope: &'c Scope<'c>, env: Env) -> Self {
        Self { scope, env, aliases: &[], alias_first: false, first_source: 0, groups: None, renamed: None }
    }
}

/// A call with OVER.
#[derive(Debug, Clone)]
pub(super) struct WindowCall<'a> {
    pub(super) function: &'a Function,
    pub(super) over: &'a WindowType,
    /// The name and the arguments.
    pub(super) place: Range<usize>,
}

/// What an expression turned out to be.
#[derive(Debug, Default)]
pub(super) struct Read<'a> {
    /// Where it names which column.
    pub(super) columns: Vec<(Range<usize>, ColumnId)>,
    /// The column that it is, with nothing around it.
    pub(super) plain: Option<ColumnId>,
    /// It names columns of a select around its own.
    pub(super) outer: bool,
    /// It looks at other rows, or its columns cannot be told.
    pub(super) unknown: bool,
    /// It holds an aggregate.
    pub(super) aggregate: bool,
    /// It names an alias that is not computed yet.
    pub(super) pending: bool,
    /// Calls that make many rows of one.
    pub(super) expands: usize,
    /// A function of which nothing is known.
    pub(super) unlisted: Option<(String, Range<usize>)>,
    /// Window calls and their places.
    pub(super) windows: Vec<WindowCall<'a>>,
    pub(super) subqueries: Vec<Sub>,
    /// Subqueries within aggregates.
    pub(super) below: Vec<Sub>,
}

impl Read<'_> {
    /// Whether its value depends on the columns it names alone.
    pub(super) fn is_local(&self) -> bool {
        !(self.unknown || self.aggregate || self.pending)
            && self.windows.is_empty()
            && self.subqueries.is_empty()
            && self.below.is_empty()
            && self.unlisted.is_none()
    }

    pub(super) fn named(&self) -> Vec<ColumnId> {
        let mut named: Vec<ColumnId> = Vec::new();
        for (_, column) in &self.columns {
            if !named.contains(column) {
                named.push(*column);
            }
        }
        named
    }
}

/// A walk through one expression.
#[derive(Default)]
struct Walk<'a> {
    read: Read<'a>,
    /// Parameters of the functions around the place.
    parameters: Vec<String>,
    aggregates: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn read(&mut self, expression: &'a Expr, context: &Context<'_>) -> Outcome<Read<'a>> {
        if let Some(id) = grouped(expression, context) {
            let columns = vec![(self.places.near(expression), id)];
            return Ok(Read { columns, plain: Some(id), ..Read::default() });
        }
        let mut walk = Walk::default();
        self.walk(expression, context, &mut walk)?;
        let mut read = walk.read;
        if let [(span, id)] = read.columns.as_slice()
            && read.is_local()
            && let Some(name) = name_of(expression)
            && *span == self.span_of(&name)
        {
            read.plain = Some(*id);
        }
        if matches!(stripped(expression), Expr::Subquery(_))
            && let [sub] = read.subqueries.as_slice()
        {
            read.plain = sub.value;
        }
        Ok(read)
    }

    /// The expression as one on a row, or as an unknown one.
    pub(super) fn scalar(&mut self, expr: &'a Expr, read: &Read<'a>, extent: Extent) -> Outcome<Scalar> {
        if let Some(column) = read.plain {
            return Ok(Scalar::Column(column));
        }
        if read.is_local() {
            let span = self.place(expr, extent)?;
            self.local.push(span.clone());
            return Ok(Scalar::Text(expression(span, read.columns.clone())));
        }
        let near = self.places.near(expr);
        self.looking_beyond.push(near);
        Ok(Scalar::Unknown(read.named()))
    }

    /// A condition, where `left = right` of two columns is known as such.
    pub(super) fn condition(&mut self, expr: &'a Expr, read: &Read<'a>, extent: Extent) -> Outcome<Scalar> {
        if let Expr::BinaryOp { left, op: BinaryOperator::Eq, right } = stripped(expr)
            && read.is_local()
            && let [(first, one), (second, other)] = read.columns.as_slice()
            && let (Some(left), Some(right)) = (name_of(left), name_of(right))
            && self.span_of(&left) == *first
            && self.span_of(&right) == *second
        {
            // `x in list` stands as `=` in the tree.
            let between = self.text(&(first.end..second.start));
            if between.contains('=') && !between.contains(char::is_alphanumeric) {
                return Ok(Scalar::Equal(*one, *other));
            }
        }
        match self.scalar(expr, read, extent)? {
            Scalar::Column(column) if !read.is_local() => Ok(Scalar::Unknown(vec![column])),
            // A column alone is a condition, too, but not a comparison.
            Scalar::Column(_) => {
                let span = self.place(expr, extent)?;
                Ok(Scalar::Text(expression(span, read.columns.clone())))
            }
            scalar => Ok(scalar),
        }
    }

    pub(super) fn span_of(&self, names: &[&Ident]) -> Range<usize> {
        match (names.first(), names.last()) {
            (Some(first), Some(last)) => self.places.range(first.span).start..self.places.range(last.span).end,
            _ => 0..0,
        }
    }

    fn walk(&mut self, expr: &'a Expr, context: &Context<'_>, walk: &mut Walk<'a>) -> Outcome<()> {
        if walk.aggregates == 0
            && let Some(id) = grouped(expr, context)
        {
            match self.places.of(expr, Extent::Tight) {
                Some(span) => walk.read.columns.push((span, id)),
                None => {
                    walk.read.unknown = true;
                    walk.read.columns.push((self.places.near(expr), id));
                }
            }
            return Ok(());
        }
        match expr {
            Expr::Identifier(name) => self.name(&[name], context, walk),
            Expr::CompoundIdentifier(names) => self.name(&names.iter().collect::<Vec<_>>(), context, walk),
            Expr::CompoundFieldAccess { root, access_chain } => {
                self.walk(root, context, walk)?;
                for access in access_chain {
                    match access {
                        AccessExpr::Dot(Expr::Identifier(_)) => {}
                        AccessExpr::Dot(call @ Expr::Function(_)) => self.walk(call, context, walk)?,
                        AccessExpr::Dot(other) => return Err(self.not_understood(other)),
                        AccessExpr::Subscript(Subscript::Index { index }) => self.walk(index, context, walk)?,
                        AccessExpr::Subscript(Subscript::Slice { lower_bound, upper_bound, stride }) => {
                            for bound in [lower_bound, upper_bound, stride].into_iter().flatten() {
                                self.walk(bound, context, walk)?;
                            }
                        }
                    }
                }
                Ok(())
            }
            Expr::Value(value) => match value.value {
                Value::Placeholder(_) => {
                    Err(stop("a parameter has no value here", self.places.range(value.span), Some("write the value")))
                }
                _ => Ok(()),
            },
            Expr::TypedString(_) => Ok(()),
            Expr::Function(function) => self.call(function, context, walk),
            Expr::Lambda(lambda) => {
                // `column -> 'path'` is read like a function of its element.
                match (&lambda.params, &lambda.syntax) {
                    (OneOrManyWithParens::One(column), LambdaSyntax::Arrow) => {
                        self.name(&[&column.name], context, walk)?;
                        self.walk(&lambda.body, context, walk)
                    }
                    _ => Err(self.not_understood(expr)),
                }
            }
            Expr::Exists { subquery, .. } => self.sub(subquery, Asked::Exists, context, walk),
            Expr::Subquery(subquery) => self.sub(subquery, Asked::Value, context, walk),
            Expr::InSubquery { expr: tested, subquery, .. } => self.sub(subquery, Asked::In(tested), context, walk),
            Expr::AnyOp { left, right, compare_op, .. } | Expr::AllOp { left, compare_op, right } => {
                match stripped(right) {
                    Expr::Subquery(subquery) if *compare_op == BinaryOperator::Eq => {
                        self.sub(subquery, Asked::In(left), context, walk)
                    }
                    Expr::Subquery(subquery) => {
                        self.walk(left, context, walk)?;
                        self.sub(subquery, Asked::Value, context, walk)
                    }
                    _ => {
                        self.walk(left, context, walk)?;
                        self.walk(right, context, walk)
                    }
                }
            }
            // Long chains of operators are as deep as they are long.
            Expr::BinaryOp { .. } => {
                let mut rights: Vec<&'a Expr> = Vec::new();
                let mut first = expr;
                while let Expr::BinaryOp { left, right, .. } = first {
                    rights.push(right);
                    first = left;
                    if rights.len() < LONG_CHAIN && walk.aggregates == 0 && grouped(first, context).is_some() {
                        break;
                    }
                }
                self.walk(first, context, walk)?;
                rights.into_iter().rev().try_for_each(|right| self.walk(right, context, walk))
            }
            _ => match parts_of(expr) {
                Some(parts) => parts.into_iter().try_for_each(|part| self.walk(part, context, walk)),
                None => Err(self.not_understood(expr)),
            },
        }
    }

    fn not_understood(&self, expr: &Expr) -> super::Stop {
        stop("this expression is not understood", self.places.near(expr), Some("write it in another way"))
    }

    fn sub(&mut self, query: &'a Query, asked: Asked<'a>, context: &Context<'_>, walk: &mut Walk<'a>) -> Outcome<()> {
        let sub = self.subquery(query, asked, context)?;
        let value = match sub.value {
            Some(value) => value,
            // Depends on columns of the row alone.
            None => {
                walk.read.unknown = true;
                walk.read.columns.extend(sub.named);
                return Ok(());
            }
        };
        if walk.aggregates > 0 {
            walk.read.below.push(sub);
        } else {
            walk.read.columns.push((sub.span.clone(), value));
            walk.read.subqueries.push(sub);
        }
        Ok(())
    }

    fn name(&mut self, names: &[&'a Ident], context: &Context<'_>, walk: &mut Walk<'a>) -> Outcome<()> {
        let parts = parts(names);
        let span = self.span_of(names);
        let first = parts.first().map_or("", String::as_str);
        if walk.parameters.iter().any(|parameter| same(parameter, first)) || self.is_element(first, &span) {
            return Ok(());
        }
        let alias = match parts.as_slice() {
            [name] => context.aliases.iter().rev().find(|alias| same(&alias.name, name)),
            _ => None,
        };
        let own = match alias {
            Some(_) if context.alias_first => Found::Nothing,
            _ => context.scope.own_from(&parts, context.first_source),
        };
        let found = match (own, alias) {
            (Found::Nothing, Some(Alias { id: Some(id), .. })) => {
                walk.read.unknown |= context.scope.has_unnamed();
                if walk.aggregates == 0 {
                    let grouped = context.groups.and_then(|groups| groups.columns.get(id));
                    let id = grouped.unwrap_or(id);
                    let id = context.renamed.and_then(|renamed| renamed.get(id)).unwrap_or(id);
                    walk.read.columns.push((span, *id));
                }
                return Ok(());
            }
            (Found::Nothing, Some(_)) => {
                walk.read.pending = true;
                return Ok(());
            }
            (Found::Nothing, None) => context.scope.around(&parts),
            (Found::Perhaps { .. }, _) if context.scope.around(&parts) != Found::Nothing => Found::Ambiguous,
            (found, _) => found,
        };
        match found {
            Found::Column { id, used, level } | Found::Perhaps { id, used, level } => {
                self.reach(level)?;
                let span = self.span_of(&names[..used.min(names.len())]);
                self.found(id, span, level, context, walk);
                Ok(())
            }
            Found::Row { columns, level } => {
                self.reach(level)?;
                for id in columns {
                    self.found(id, span.clone(), level, context, walk);
                }
                walk.read.unknown = true;
                Ok(())
            }
            Found::Ambiguous => Err(stop(
                format!("`{}` may mean several columns", self.text(&span)),
                span,
                Some("write the table before it"),
            )),
            Found::Nothing => {
                Err(stop(format!("`{}` is no column of a table named here", self.text(&span)), span, None))
            }
        }
    }

    /// Whether a name is the variable of a list comprehension around it.
    fn is_element(&self, name: &str, span: &Range<usize>) -> bool {
        let within = |outer: &Range<usize>| outer.start <= span.start && span.end <= outer.end;
        self.comprehensions.iter().any(|(whole, list, variables)| {
            within(whole) && !within(list) && variables.iter().any(|variable| same(variable, name))
        })
    }

    /// Notes that a column of this level is named.
    pub(super) fn reach(&self, level: usize) -> Outcome<()> {
        match self.bounds.iter().any(|bound| level < *bound) {
            true => Err(super::Stop::Correlated(level)),
            false => Ok(()),
        }
    }

    fn found(&mut self, id: ColumnId, span: Range<usize>, level: usize, context: &Context<'_>, walk: &mut Walk<'a>) {
        self.ties.named.insert(id);
        if level < context.scope.level {
            walk.read.outer = true;
            walk.read.columns.push((span, id));
            return;
        }
        if walk.aggregates > 0 {
            return;
        }
        let id = match context.groups {
            None => id,
            Some(groups) => match groups.columns.get(&id) {
                Some(id) => *id,
                None => {
                    walk.read.aggregate = true;
                    return;
                }
            },
        };
        let id = context.renamed.and_then(|renamed| renamed.get(&id)).copied().unwrap_or(id);
        walk.read.columns.push((span, id));
    }

    fn call(&mut self, function: &'a Function, context: &Context<'_>, walk: &mut Walk<'a>) -> Outcome<()> {
        let names: Vec<&Ident> = function.name.0.iter().filter_map(|part| part.as_ident()).collect();
        let Some((last, before)) = names.split_last().filter(|_| names.len() == function.name.0.len()) else {
            return Err(stop("a function whose name is computed is not followed", 0..0, Some("write the name")));
        };
        let name = last.value.to_ascii_lowercase();
        let span = self.span_of(&names);
        let whole = self.places.call(span.clone());
        if name == "columns" {
            return Err(stop("`columns(...)` is not followed", whole, Some("name the columns")));
        }
        if !matches!(function.parameters, FunctionArguments::None) || function.uses_odbc_syntax {
            return Err(stop("this call is not understood", whole, Some("write it in another way")));
        }
        // `x.upper()` is `upper(x)`; `main.upper(x)` is a name with its schema.
        if !before.is_empty()
            && !matches!(before, [schema] if matches!(schema.value.to_ascii_lowercase().as_str(), "main" | "pg_catalog" | "system"))
        {
            self.name(before, context, walk)?;
        }
        let for_groups = is_for_groups(function);
        let looked = looks(self.grammar, &name);
        let aggregate = function.over.is_none()
            && (looked == Looks::Group || (looked == Looks::Unknown && (for_groups || context.groups.is_some())));
        if let Some(over) = &function.over {
            walk.read.windows.push(WindowCall { function, over, place: whole.clone() });
            self.looking_beyond.push(whole.clone());
            if let WindowType::WindowSpec(spec) = over {
                for by in &spec.order_by {
                    self.walk(&by.expr, context, walk)?;
                }
            }
        } else if aggregate {
            walk.read.aggregate = true;
            self.looking_beyond.push(whole.clone());
            if ordering_of(function) != Ordering::Free {
                self.ties.calls.push((function, whole.clone()));
            }
            walk.aggregates += 1;
        } else {
            match looked {
                Looks::Expands => {
                    walk.read.expands += 1;
                    self.check_expanded(function, &whole, context)?;
                    walk.read.unknown |= name != "unnest";
                }
                Looks::Unknown | Looks::Partition => {
                    walk.read.unlisted.get_or_insert((last.value.clone(), whole.clone()));
                }
                Looks::Row | Looks::Group => {}
            }
        }
        match &function.args {
            FunctionArguments::None => {}
            FunctionArguments::Subquery(query) => self.sub(query, Asked::Value, context, walk)?,
            FunctionArguments::List(list) => {
                for (index, argument) in list.args.iter().enumerate() {
                    self.argument(argument, &name, index, context, walk)?;
                }
                for clause in &list.clauses {
                    match clause {
                        FunctionArgumentClause::OrderBy(by) => {
                            for by in by {
                                self.walk(&by.expr, context, walk)?;
                            }
                        }
                        FunctionArgumentClause::IgnoreOrRespectNulls(_) | FunctionArgumentClause::Separator(_) => {}
                        FunctionArgumentClause::Limit(limit) | FunctionArgumentClause::Where(limit) => {
                            self.walk(limit, context, walk)?;
                        }
                        _ => return Err(stop("this call is not understood", whole, Some("write it in another way"))),
                    }
                }
            }
        }
        for by in &function.within_group {
            self.walk(&by.expr, context, walk)?;
        }
        if let Some(filter) = &function.filter {
            self.walk(filter, context, walk)?;
        }
        if aggregate {
            walk.aggregates -= 1;
        }
        Ok(())
    }

    fn argument(
        &mut self,
        argument: &'a FunctionArg,
        function: &str,
        index: usize,
        context: &Context<'_>,
        walk: &mut Walk<'a>,
    ) -> Outcome<()> {
        let value = match argument {
            FunctionArg::Named { arg, .. } | FunctionArg::Unnamed(arg) => arg,
            FunctionArg::ExprNamed { name, arg, .. } => {
                // The name of an argument or the key of a JSON object; the second may be an expression.
                if !matches!(name, Expr::Identifier(_)) {
                    self.walk(name, context, walk)?;
                }
                arg
            }
        };
        match value {
            FunctionArgExpr::Expr(Expr::Lambda(lambda))
                if takes_lambda(function) && (index > 0 || !matches!(lambda.syntax, LambdaSyntax::Arrow)) =>
            {
                let before = walk.parameters.len();
                match &lambda.params {
                    OneOrManyWithParens::One(one) => walk.parameters.push(one.name.value.clone()),
                    OneOrManyWithParens::Many(many) => {
                        walk.parameters.extend(many.iter().map(|one| one.name.value.clone()));
                    }
                }
                let done = self.walk(&lambda.body, context, walk);
                walk.parameters.truncate(before);
                done
            }
            FunctionArgExpr::Expr(expr) => self.walk(expr, context, walk),
            FunctionArgExpr::Wildcard | FunctionArgExpr::WildcardWithOptions(_) => {
                if walk.aggregates == 0 && walk.read.windows.is_empty() {
                    for (_, id, _) in context.scope.star() {
                        self.found(id, 0..0, context.scope.level, context, walk);
                    }
                    walk.read.unknown = true;
                }
                Ok(())
            }
            FunctionArgExpr::QualifiedWildcard(name) => {
                let names: Vec<&Ident> = name.0.iter().filter_map(|part| part.as_ident()).collect();
                let parts = parts(&names);
                let Some(source) = context.scope.source(&parts) else {
                    let span = self.span_of(&names);
                    return Err(stop(format!("`{}` is no table named here", self.text(&span)), span, None));
                };
                let columns: Vec<ColumnId> = source.columns.iter().map(|column| column.id).collect();
                for id in columns {
                    self.found(id, 0..0, context.scope.level, context, walk);
                }
                walk.read.unknown = true;
                Ok(())
            }
        }
    }

    /// `unnest` of a struct makes columns, not rows.
    fn check_expanded(&self, function: &'a Function, whole: &Range<usize>, context: &Context<'_>) -> Outcome<()> {
        let FunctionArguments::List(list) = &function.args else { return Ok(()) };
        for (index, argument) in list.args.iter().enumerate() {
            let structure = match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(
                    Expr::Dictionary(_) | Expr::Struct { .. } | Expr::Tuple(_),
                )) => true,
                FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Function(inner))) => {
                    matches!(inner.name.to_string().to_ascii_lowercase().as_str(), "struct_pack" | "row")
                }
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) if index == 0 => {
                    name_of(expr).is_some_and(|names| context.scope.is_struct(&parts(&names)))
                }
                FunctionArg::Unnamed(_) => index > 0,
                // `recursive := true`, `max_depth := 2`
                _ => true,
            };
            if structure && function.name.to_string().eq_ignore_ascii_case("unnest") {
                return Err(stop(
                    "`unnest` of structs makes columns that are not known here",
                    whole.clone(),
                    Some("name the fields"),
                ));
            }
        }
        Ok(())
    }
}

/// The column of a grouping expression that this one is.
pub(super) fn grouped(expr: &Expr, context: &Context<'_>) -> Option<ColumnId> {
    let groups = context.groups.filter(|groups| !groups.expressions.is_empty())?;
    if matches!(expr, Expr::Value(_)) && !groups.expressions.iter().any(|(one, _)| matches!(one, Expr::Value(_))) {
        return None;
    }
    let canonical = canonical(expr, context.scope)?;
    let (_, id) = groups.expressions.iter().find(|(one, _)| *one == canonical)?;
    Some(context.renamed.and_then(|renamed| renamed.get(id)).copied().unwrap_or(*id))
}

/// The parts of an expression that is a name.
pub(super) fn name_of(expr: &Expr) -> Option<Vec<&Ident>> {
    match stripped(expr) {
        Expr::Identifier(name) => Some(vec![name]),
        Expr::CompoundIdentifier(names) => Some(names.iter().collect()),
        _ => None,
    }
}

/// The expression without parentheses around it.
pub(super) fn stripped(mut expr: &Expr) -> &Expr {
    while let Expr::Nested(inner) = expr {
        expr = inner;
    }
    expr
}

/// The conditions that AND holds together.
pub(super) fn conjuncts(expr: &Expr) -> Vec<&Expr> {
    let mut found = Vec::new();
    let mut waiting = vec![expr];
    while let Some(expr) = waiting.pop() {
        match expr {
            Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
                waiting.push(right);
                waiting.push(left);
            }
            Expr::Nested(inner) if matches!(stripped(inner), Expr::BinaryOp { op: BinaryOperator::And, .. }) => {
                waiting.push(inner);
            }
            _ => found.push(expr),
        }
    }
    found
}

/// An expression with its columns by identity, so that equal ones are equal however they are written.
pub(super) fn canonical(expr: &Expr, scope: &Scope<'_>) -> Option<Expr> {
    let mut expr = stripped(expr).clone();
    let outcome = sqlparser::ast::visit_expressions_mut(&mut expr, |part| {
        match part {
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) => {
                let names = name_of(part).unwrap_or_default();
                let (Found::Column { id, used, .. } | Found::Perhaps { id, used, .. }) = scope.own(&parts(&names))
                else {
                    return ControlFlow::Break(());
                };
                let fields: String = names[used.min(names.len())..]
                    .iter()
                    .map(|name| format!(".{}", name.value.to_lowercase()))
                    .collect();
                *part = Expr::Identifier(Ident::new(format!("#{}{fields}", id.0)));
            }
            Expr::Function(function) => {
                for name in &mut function.name.0 {
                    if let sqlparser::ast::ObjectNamePart::Identifier(name) = name {
                        name.value = name.value.to_lowercase();
                    }
                }
            }
            Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } | Expr::Lambda(_) => {
                return ControlFlow::Break(());
            }
            _ => {}
        }
        ControlFlow::Continue(())
    });
    matches!(outcome, ControlFlow::Continue(())).then_some(expr)
}

/// The parts of an expression that is made of expressions alone; `None` where it is another.
fn parts_of(expr: &Expr) -> Option<Vec<&Expr>> {
    let mut parts: Vec<&Expr> = Vec::new();
    match expr {
        Expr::IsFalse(one)
        | Expr::IsNotFalse(one)
        | Expr::IsTrue(one)
        | Expr::IsNotTrue(one)
        | Expr::IsNull(one)
        | Expr::IsNotNull(one)
        | Expr::IsUnknown(one)
        | Expr::IsNotUnknown(one)
        | Expr::Nested(one)
        | Expr::UnaryOp { expr: one, .. }
        | Expr::Cast { expr: one, .. }
        | Expr::Extract { expr: one, .. }
        | Expr::Ceil { expr: one, .. }
        | Expr::Floor { expr: one, .. }
        | Expr::Collate { expr: one, .. }
        | Expr::Named { expr: one, .. }
        | Expr::Prefixed { value: one, .. } => parts.push(one),
        Expr::Interval(interval) => parts.push(&interval.value),
        Expr::IsDistinctFrom(left, right) | Expr::IsNotDistinctFrom(left, right) => parts.extend([&**left, &**right]),
        Expr::AtTimeZone { timestamp, time_zone } => parts.extend([&**timestamp, &**time_zone]),
        Expr::Position { expr, r#in } => parts.extend([&**expr, &**r#in]),
        Expr::InUnnest { expr, array_expr, .. } => parts.extend([&**expr, &**array_expr]),
        Expr::InList { expr, list, .. } => {
            parts.push(expr);
            parts.extend(list);
        }
        Expr::Between { expr, low, high, .. } => parts.extend([&**expr, &**low, &**high]),
        Expr::Like { expr, pattern, escape_char, .. } | Expr::ILike { expr, pattern, escape_char, .. } => {
            parts.extend([&**expr, &**pattern]);
            parts.extend(escape_char.as_deref());
        }
        Expr::SimilarTo { expr, pattern, escape_char, .. } => {
            parts.extend([&**expr, &**pattern]);
            parts.extend(escape_char.as_deref());
        }
        Expr::RLike { expr, pattern, .. } => parts.extend([&**expr, &**pattern]),
        Expr::Substring { expr, substring_from, substring_for, .. } => {
            parts.push(expr);
            parts.extend(substring_from.as_deref());
            parts.extend(substring_for.as_deref());
        }
        Expr::Trim { trim_what, expr, trim_characters, .. } => {
            parts.push(expr);
            parts.extend(trim_what.as_deref());
            parts.extend(trim_characters.iter().flatten());
        }
        Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
            parts.extend([&**expr, &**overlay_what, &**overlay_from]);
            parts.extend(overlay_for.as_deref());
        }
        Expr::Case { operand, conditions, else_result, .. } => {
            parts.extend(operand.as_deref());
            for when in conditions {
                parts.extend([&when.condition, &when.result]);
            }
            parts.extend(else_result.as_deref());
        }
        Expr::Tuple(items) => parts.extend(items),
        Expr::Struct { values, .. } => parts.extend(values),
        Expr::Array(array) => parts.extend(&array.elem),
        Expr::Dictionary(fields) => parts.extend(fields.iter().map(|field| &*field.value)),
        Expr::Map(map) => map.entries.iter().for_each(|entry| parts.extend([&*entry.key, &*entry.value])),
        _ => return None,
    }
    Some(parts)
}
