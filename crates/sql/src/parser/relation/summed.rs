//! Selects that group and only count and add: the pieces of their text.

use std::ops::{ControlFlow, Range};

use sqlparser::ast::{
    DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, OrderByKind,
    Query, Select, SelectItem, SetExpr, Visit, Visitor,
};
use sqlparser::tokenizer::Token;

use super::Reader;
use super::expression::{Context, canonical, grouped, name_of, stripped};
use super::functions::{Looks, looks};
use super::items::{Item, ItemValue};
use super::places::Extent;
use super::query::Mode;
use super::scope::{Found, parts, same};
use super::select::{Block, aggregates, holds_window, is_for_groups, is_grouped_by_all, ordinal};
use crate::dialect::Grammar;
use crate::parser::facts::unescaped;
use crate::refresh::summed::{Filter, Piece, PieceKind, Summed};
use crate::refresh::{ColumnId, Grouping};

/// Where the clauses of a select stand.
pub(super) struct Clauses {
    /// FROM and WHERE.
    pub(super) from: Range<usize>,
    pub(super) group_by: Option<Range<usize>>,
    pub(super) having: Option<Range<usize>>,
    pub(super) end: usize,
}

/// An item in the list of a select that groups.
pub(super) enum Listed<'a> {
    /// A grouping expression, whose column has this name without being given it.
    Key { span: Range<usize>, key: usize, name: String },
    /// What is computed of groups, under a name that the text gives it.
    Computed(&'a Expr),
}

impl<'a> Reader<'a> {
    /// The list of a select that groups; `None` where it holds a star, or what a column is called is not known.
    pub(super) fn listed(
        &mut self,
        select: &'a Select,
        block: &Block<'a, '_>,
        context: &Context<'_>,
    ) -> Option<Vec<Listed<'a>>> {
        let mut listed = Vec::with_capacity(block.items.len());
        let renamed =
            |item: &SelectItem| !matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. });
        if select.projection.iter().any(renamed) {
            return None;
        }
        for (item, written) in block.items.iter().zip(&select.projection) {
            let ItemValue::Expr(expr) = item.value else { return None };
            if !matches!(written, SelectItem::UnnamedExpr(_)) {
                listed.push(Listed::Computed(expr));
                continue;
            }
            let key = key_of(stripped(expr), context).filter(|_| !item.name.is_empty())?;
            listed.push(Listed::Key { span: self.places.of(expr, Extent::Whole)?, key, name: item.name.clone() });
        }
        Some(listed)
    }

    /// The pieces of a select whose aggregates all follow from counts and sums of finer groups; `None` where it is another one.
    pub(super) fn summed(&mut self, select: &'a Select, block: &Block<'a, '_>) -> Option<Summed> {
        let groups = block.groups.as_ref()?;
        let several = groups.sets.len() != 1 || groups.sets.first()?.len() != groups.pairs.len();
        let plain = select.qualify.is_none() && select.named_window.is_empty() && select.distinct.is_none();
        if block.mode != Mode::Whole || several || !plain {
            return None;
        }
        let start = self.places.range(select.select_token.0.span).start;
        let query = *self.bodies.get(&start)?;
        if !is_simply_ordered(query, &block.items) {
            return None;
        }
        let clauses = self.clauses(start, select)?;
        let keys = self.summed_keys(select, block)?;
        let aliases = block.aliases(None);
        let context = block.context(&aliases);
        let mut pieces = Vec::new();
        for listed in self.listed(select, block, &context)? {
            match listed {
                Listed::Key { span, key, name } => {
                    pieces.push(Piece { span, kind: PieceKind::Key { key, name: Some(name) } });
                }
                Listed::Computed(expr) => self.pieces(expr, &context, &block.items, &mut pieces)?,
            }
        }
        if let Some(having) = &select.having {
            // A name that is both a column and one of the select list.
            let both =
                |item: &Item<'_>| item.alias && block.scope.own(std::slice::from_ref(&item.name)) != Found::Nothing;
            let names = names_in(having);
            if block.items.iter().filter(|item| both(item)).any(|item| names.iter().any(|name| same(name, &item.name)))
            {
                return None;
            }
            self.pieces(having, &context, &block.items, &mut pieces)?;
        }
        let query_start = self.places.range(sqlparser::ast::Spanned::span(query)).start.min(start);
        pieces.sort_by_key(|piece| piece.span.start);
        let apart = pieces.windows(2).all(|pair| pair[0].span.end <= pair[1].span.start);
        apart.then_some(Summed {
            query: query_start,
            select: start..clauses.end,
            from: clauses.from,
            group_by: clauses.group_by,
            keys,
            pieces,
        })
    }

    /// Where a select that groups has its list, and what it groups by; `None` for grouping sets, or where it has no groups.
    pub(super) fn grouping(&mut self, select: &'a Select, block: &Block<'a, '_>) -> Option<Grouping> {
        let groups = block.groups.as_ref().filter(|groups| !groups.pairs.is_empty() && groups.sets.len() == 1)?;
        if block.mode != Mode::Whole || select.distinct.is_some() || groups.sets.first()?.len() != groups.pairs.len() {
            return None;
        }
        Some(Grouping {
            list: self.places.range(select.select_token.0.span).end,
            keys: self.summed_keys(select, block)?,
        })
    }

    /// The texts of the grouping expressions, in the order of the groups.
    pub(super) fn summed_keys(&mut self, select: &'a Select, block: &Block<'a, '_>) -> Option<Vec<Range<usize>>> {
        let groups = block.groups.as_ref()?;
        let item = |index: usize| match block.items.get(index)?.value {
            ItemValue::Expr(expr) => Some(expr),
            ItemValue::Column(_) => None,
        };
        let mut written: Vec<&Expr> = Vec::new();
        match &select.group_by {
            GroupByExpr::All(_) => {
                for index in 0..block.items.len() {
                    let expr = item(index)?;
                    if is_grouped_by_all(self.grammar, expr) {
                        written.push(expr);
                    }
                }
            }
            GroupByExpr::Expressions(list, _) => {
                for expr in list {
                    let expr = stripped(expr);
                    if let Some(number) = ordinal(expr) {
                        written.push(item(number.checked_sub(1)?)?);
                        continue;
                    }
                    let name = name_of(expr).map(|names| parts(&names));
                    let alias = match name.as_deref() {
                        Some([name]) if block.scope.own(std::slice::from_ref(name)) == Found::Nothing => {
                            Some(block.items.iter().position(|item| item.alias && same(&item.name, name))?)
                        }
                        _ => None,
                    };
                    written.push(match alias {
                        Some(index) => item(index)?,
                        None => expr,
                    });
                }
            }
        }
        let context = block.context(&[]);
        let mut keys: Vec<Option<Range<usize>>> = vec![None; groups.pairs.len()];
        for expr in written {
            canonical(expr, &block.scope)?;
            let place = self.places.of(expr, Extent::Whole)?;
            let key = keys.get_mut(key_of(expr, &context)?)?;
            key.get_or_insert(place);
        }
        keys.into_iter().collect()
    }

    /// What of an expression after grouping must be put in other words; `None` where that cannot be done.
    fn pieces(
        &mut self,
        expr: &'a Expr,
        context: &Context<'_>,
        items: &[Item<'_>],
        pieces: &mut Vec<Piece>,
    ) -> Option<()> {
        let mut found = Pieces::new(self.grammar, context, items);
        if expr.visit(&mut found).is_break() {
            return None;
        }
        let Pieces { keys, calls, .. } = found;
        for (part, key) in keys {
            let span = self.places.of(&part, Extent::Tight)?;
            pieces.push(Piece { span, kind: PieceKind::Key { key, name: None } });
        }
        for call in calls {
            let Expr::Function(function) = &call else { return None };
            pieces.push(self.summed_call(function, context)?);
        }
        Some(())
    }

    fn summed_call(&mut self, function: &Function, context: &Context<'_>) -> Option<Piece> {
        let [name] = function.name.0.as_slice() else { return None };
        let name = name.as_ident()?;
        let plain = function.over.is_none()
            && function.within_group.is_empty()
            && function.null_treatment.is_none()
            && !function.uses_odbc_syntax
            && matches!(function.parameters, FunctionArguments::None);
        let FunctionArguments::List(list) = &function.args else { return None };
        if !plain || !list.clauses.is_empty() {
            return None;
        }
        let distinct = matches!(list.duplicate_treatment, Some(DuplicateTreatment::Distinct));
        let word = self.places.range(name.span);
        let call = self.places.call(word.clone());
        if call == word {
            return None;
        }
        let mut span = call.clone();
        let mut filter = None;
        if let Some(condition) = &function.filter {
            canonical(condition, context.scope)?;
            let after = self.sql.get(call.end..)?;
            let blank = after.len() - after.trim_start().len();
            let at = call.end + blank;
            if !after.get(blank..blank + 6)?.eq_ignore_ascii_case("filter") {
                return None;
            }
            let whole = self.places.call(at..at + 6);
            span.end = whole.end;
            filter = Some(Filter { whole, condition: self.places.of(condition, Extent::Whole)? });
        }
        let argument = match list.args.as_slice() {
            [] | [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)] => None,
            [FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))] => {
                canonical(argument, context.scope)?;
                if aggregates(self.grammar, argument) || holds_window(self.grammar, argument) {
                    return None;
                }
                Some(self.places.of(argument, Extent::Whole)?)
            }
            _ => return None,
        };
        let kind = match (name.value.to_ascii_lowercase().as_str(), distinct, argument) {
            ("count", false, None) => PieceKind::Rows { filter },
            ("count", false, Some(argument)) => PieceKind::Values { argument, filter },
            ("sum", false, Some(argument)) => PieceKind::Sum { argument, filter },
            ("avg" | "mean", false, Some(argument)) => PieceKind::Average { argument, filter },
            ("count" | "sum" | "avg" | "mean", true, Some(argument))
            | ("min" | "max" | "bool_and" | "bool_or", _, Some(argument))
                if filter.is_none() =>
            {
                return Some(Piece { span: argument, kind: PieceKind::Each });
            }
            _ => return None,
        };
        Some(Piece { span, kind })
    }

    /// The clauses of a select by its tokens; FROM, WHERE and HAVING are proven.
    pub(super) fn clauses(&self, start: usize, select: &Select) -> Option<Clauses> {
        let mut depth = 0_usize;
        let (mut from, mut from_end, mut group, mut group_end) = (None, None, None, None);
        let (mut having, mut having_end) = (None, None);
        let mut end = start;
        let mut before = String::new();
        for (range, token) in self.places.tokens_from(start) {
            match token {
                Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
                Token::RParen | Token::RBracket | Token::RBrace if depth == 0 => break,
                Token::RParen | Token::RBracket | Token::RBrace => depth -= 1,
                Token::SemiColon | Token::EOF => break,
                Token::Word(word) if depth == 0 && word.quote_style.is_none() => {
                    let word = word.value.to_ascii_lowercase();
                    match word.as_str() {
                        "union" | "intersect" | "except" | "order" | "limit" | "offset" | "fetch" => break,
                        "from" if from.is_none() && before != "distinct" => from = Some(range.start),
                        "group" | "having" | "qualify" | "window" if from.is_some() => {
                            if word == "group" {
                                group = Some(range.start);
                            } else if group.is_some() {
                                group_end.get_or_insert(end);
                            }
                            if word == "having" {
                                having = Some(range.start);
                            } else if having.is_some() {
                                having_end.get_or_insert(end);
                            }
                            from_end.get_or_insert(end);
                        }
                        _ => {}
                    }
                    before = word;
                    end = range.end;
                    continue;
                }
                _ => {}
            }
            before.clear();
            end = range.end;
        }
        let from = from?..from_end.unwrap_or(end);
        let having = having.map(|having| having..having_end.unwrap_or(end));
        let sql = format!("select 1 {}\n{}", self.text(&from), having.as_ref().map_or("", |having| self.text(having)));
        let positions = crate::parser::positions::Positions::new(&sql);
        let grammar = crate::parser::grammar::Reading::by(self.grammar);
        let read = crate::parser::read(&sql, &grammar, &positions).ok()?;
        let SetExpr::Select(again) = &*read.tree.body else { return None };
        let proven = again.from == select.from && again.selection == select.selection && again.having == select.having;
        let grouped = !matches!(&again.group_by, GroupByExpr::Expressions(list, _) if list.is_empty());
        let group_by = group.map(|group| group..group_end.unwrap_or(end));
        (proven && !grouped).then_some(Clauses { from, group_by, having, end })
    }
}

/// Whether the rows of a query come in no order, or in that of its own columns.
pub(super) fn is_simply_ordered(query: &Query, items: &[Item<'_>]) -> bool {
    let Some(order) = &query.order_by else { return true };
    match &order.kind {
        OrderByKind::All(_) => true,
        OrderByKind::Expressions(list) => list.iter().all(|one| match stripped(&one.expr) {
            Expr::Identifier(name) => items.iter().any(|item| same(&item.name, &unescaped(name))),
            expr => ordinal(expr).is_some(),
        }),
    }
}

/// The group that an expression is, by its place.
pub(super) fn key_of(expr: &Expr, context: &Context<'_>) -> Option<usize> {
    let groups = context.groups?;
    let place = |id: ColumnId| groups.pairs.iter().position(|(after, before)| *after == id || *before == id);
    if let Some(id) = grouped(expr, context) {
        return place(id);
    }
    let names = parts(&name_of(expr)?);
    match context.scope.own(&names) {
        Found::Column { id, used, .. } if used == names.len() => place(id),
        _ => None,
    }
}

pub(super) fn names_in(expr: &Expr) -> Vec<String> {
    struct Names(Vec<String>);
    impl Visitor for Names {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            if let Expr::Identifier(name) = expr {
                self.0.push(unescaped(name));
            }
            ControlFlow::Continue(())
        }
    }
    let mut names = Names(Vec::new());
    let _ = expr.visit(&mut names);
    names.0
}

/// A walk that gathers groups and calls of aggregates, and breaks at what is neither and depends on more.
pub(super) struct Pieces<'c> {
    grammar: Grammar,
    context: &'c Context<'c>,
    items: &'c [Item<'c>],
    depth: usize,
    /// The depth of the piece that is being walked through.
    covered: Option<usize>,
    pub(super) keys: Vec<(Expr, usize)>,
    pub(super) calls: Vec<Expr>,
}

impl<'c> Pieces<'c> {
    pub(super) fn new(grammar: Grammar, context: &'c Context<'c>, items: &'c [Item<'c>]) -> Self {
        Self { grammar, context, items, depth: 0, covered: None, keys: Vec::new(), calls: Vec::new() }
    }
}

impl Visitor for Pieces<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        ControlFlow::Break(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        self.depth += 1;
        if self.covered.is_some() {
            return ControlFlow::Continue(());
        }
        if !matches!(expr, Expr::Nested(_))
            && let Some(key) = key_of(expr, self.context)
        {
            self.keys.push((expr.clone(), key));
            self.covered = Some(self.depth);
            return ControlFlow::Continue(());
        }
        match expr {
            Expr::Function(function) => {
                let name = function.name.0.last().and_then(|name| name.as_ident());
                let looked = looks(self.grammar, &name.map(|name| name.value.clone()).unwrap_or_default());
                match looked {
                    _ if function.over.is_some() => {}
                    Looks::Group => {
                        self.calls.push(expr.clone());
                        self.covered = Some(self.depth);
                    }
                    Looks::Row if !is_for_groups(function) => {}
                    _ => return ControlFlow::Break(()),
                }
            }
            Expr::Identifier(name) => {
                let name = unescaped(name);
                let own = self.context.scope.own(std::slice::from_ref(&name)) != Found::Nothing;
                let alias = self.items.iter().any(|item| item.alias && same(&item.name, &name));
                if own || !alias {
                    return ControlFlow::Break(());
                }
            }
            Expr::CompoundIdentifier(_)
            | Expr::CompoundFieldAccess { .. }
            | Expr::Lambda(_)
            | Expr::Subquery(_)
            | Expr::Exists { .. }
            | Expr::InSubquery { .. }
            | Expr::Wildcard(_)
            | Expr::QualifiedWildcard(..) => return ControlFlow::Break(()),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, _: &Expr) -> ControlFlow<()> {
        if self.covered == Some(self.depth) {
            self.covered = None;
        }
        self.depth -= 1;
        ControlFlow::Continue(())
    }
}
