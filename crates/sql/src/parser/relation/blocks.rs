//! The parts of a query that could be computed on their own, and where they stand.
//!
//! The syntax tree does not say where a query ends. A place is taken from the tokens around it, and it is proven: what stands there is
//! read once more and must give the very same tree.

use std::ops::{ControlFlow, Range};

use sqlparser::ast::{
    Cte, Distinct, Expr, LimitClause, ObjectName, OrderByKind, OrderByOptions, OrderBySort, Query, Select, SelectItem,
    SetExpr, Spanned, TableFactor, TableWithJoins, Visit, Visitor,
};
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::expression::stripped;
use super::query::holds_query;
use super::scope::same;
use super::select::ordinal;
use crate::dialect::Dialect;
use crate::parser::facts::{identifiers, unescaped};
use crate::parser::positions::Positions;
use crate::refresh::block::{Block, BlockKind, Limited, OrderBy, OrderItem};

/// How many blocks of a query are looked at.
const MOST: usize = 200;

/// The blocks of a query, outer ones before those within them. What cannot be placed is left out.
pub fn parse_blocks(sql: &str, dialect: &dyn Dialect) -> Vec<Block> {
    stacker::grow(super::STACK, || blocks(sql, dialect))
}

fn blocks(sql: &str, dialect: &dyn Dialect) -> Vec<Block> {
    let positions = Positions::new(sql);
    let grammar = crate::parser::grammar_of(dialect);
    let Ok(reading) = crate::parser::read(sql, &grammar, &positions) else { return Vec::new() };
    let tokens: Vec<TokenWithSpan> = reading
        .adapted
        .tokens
        .iter()
        .filter(|token| {
            // Inserted tokens stand nowhere.
            !matches!(token.token, Token::Whitespace(_) | Token::EOF) && token.span.start != token.span.end
        })
        .cloned()
        .collect();
    let mut finder = Finder { sql, positions: &positions, tokens, dialect, env: Vec::new(), blocks: Vec::new() };
    let whole = reading.facts.body.clone();
    if let Some(limited) = finder.limited(&reading.tree, whole.clone()) {
        finder.blocks.push(limited);
    } else if finder.reads_as(whole.clone(), &reading.tree) {
        let name = String::new();
        finder.blocks.push(Block { kind: BlockKind::Whole, span: whole, ctes: Vec::new(), name, ordered: false });
    }
    finder.query(&reading.tree, 0);
    finder.blocks
}

/// A CTE that can be seen.
#[derive(Clone)]
struct Visible {
    name: String,
    /// `name as (...)`
    span: Option<Range<usize>>,
    recursive: bool,
    /// The tables it names.
    reads: Vec<String>,
    /// How many of the CTEs before it can be seen in it.
    sees: usize,
}

struct Finder<'a> {
    sql: &'a str,
    positions: &'a Positions<'a>,
    tokens: Vec<TokenWithSpan>,
    dialect: &'a dyn Dialect,
    env: Vec<Visible>,
    blocks: Vec<Block>,
}

impl Finder<'_> {
    fn query(&mut self, query: &Query, depth: usize) {
        if depth > super::NESTING || self.blocks.len() > MOST {
            return;
        }
        let seen = self.env.len();
        if let Some(with) = &query.with {
            for cte in &with.cte_tables {
                self.block(&cte.query, BlockKind::Table, &unescaped(&cte.alias.name));
                let sees = self.env.len();
                self.query(&cte.query, depth + 1);
                let span = self.cte_span(cte);
                self.env.push(Visible {
                    name: unescaped(&cte.alias.name),
                    span,
                    recursive: with.recursive,
                    reads: reads(&cte.query),
                    sees,
                });
            }
        }
        self.body(&query.body, depth);
        self.env.truncate(seen);
    }

    fn body(&mut self, body: &SetExpr, depth: usize) {
        match body {
            SetExpr::Select(select) => self.select(select, depth),
            SetExpr::Query(query) => self.query(query, depth + 1),
            SetExpr::SetOperation { left, right, .. } => {
                self.body(left, depth + 1);
                self.body(right, depth + 1);
            }
            _ => {}
        }
    }

    fn select(&mut self, select: &Select, depth: usize) {
        for table in &select.from {
            self.joins(table, depth);
        }
        let mut expressions: Vec<&Expr> = Vec::new();
        for item in &select.projection {
            match item {
                SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => expressions.push(expr),
                _ => {}
            }
        }
        expressions.extend(&select.selection);
        expressions.extend(&select.having);
        expressions.extend(&select.qualify);
        for expr in expressions {
            let mut found = Subqueries { depth: 0, found: Vec::new() };
            let _ = expr.visit(&mut found);
            for query in found.found {
                self.block(&query, BlockKind::Value, "");
                self.query(&query, depth + 1);
            }
        }
    }

    fn joins(&mut self, table: &TableWithJoins, depth: usize) {
        self.factor(&table.relation, depth);
        for join in &table.joins {
            self.factor(&join.relation, depth);
        }
    }

    fn factor(&mut self, factor: &TableFactor, depth: usize) {
        match factor {
            TableFactor::Derived { lateral: false, subquery, alias, .. } => {
                let name = alias.as_ref().map(|alias| unescaped(&alias.name)).unwrap_or_default();
                self.block(subquery, BlockKind::Table, &name);
                self.query(subquery, depth + 1);
            }
            TableFactor::NestedJoin { table_with_joins, .. } => self.joins(table_with_joins, depth + 1),
            _ => {}
        }
    }

    fn block(&mut self, query: &Query, kind: BlockKind, name: &str) {
        if self.blocks.len() > MOST {
            return;
        }
        let Some(span) = self.place(query) else { return };
        let Some(ctes) = self.needed(query) else { return };
        self.blocks.push(Block { kind, span, ctes, name: name.to_owned(), ordered: query.order_by.is_some() });
    }

    /// The text between the parentheses around a query.
    fn place(&self, query: &Query) -> Option<Range<usize>> {
        let inner = self.positions.range(query.span());
        let at = self.tokens.partition_point(|token| self.positions.offset(token.span.start) < inner.start);
        let open = at.checked_sub(1)?;
        if self.tokens.get(open)?.token != Token::LParen {
            return None;
        }
        let close = self.closing(open)?;
        let start = self.positions.offset(self.tokens[open].span.end);
        let end = self.positions.offset(self.tokens[close].span.start);
        self.reads_as(start..end, query).then_some(start..end)
    }

    fn closing(&self, open: usize) -> Option<usize> {
        let mut depth = 0_usize;
        for (index, token) in self.tokens.iter().enumerate().skip(open) {
            match token.token {
                Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
                Token::RParen | Token::RBracket | Token::RBrace => {
                    depth = depth.checked_sub(1)?;
                    if depth == 0 {
                        return Some(index);
                    }
                }
                _ => {}
            }
        }
        None
    }

    /// Whether a piece of the text is this query.
    fn reads_as(&self, span: Range<usize>, query: &Query) -> bool {
        let Some(piece) = self.sql.get(span) else { return false };
        let grammar = crate::parser::grammar_of(self.dialect);
        let positions = Positions::new(piece);
        crate::parser::read(piece, &grammar, &positions).is_ok_and(|read| *read.tree == *query)
    }

    fn cte_span(&self, cte: &Cte) -> Option<Range<usize>> {
        let body = self.place(&cte.query)?;
        let start = self.positions.range(cte.alias.name.span).start;
        let end = self.positions.range(cte.closing_paren_token.0.span).end;
        (start < body.start && body.end < end).then_some(start..end)
    }

    /// The CTEs a query needs, in order; `None` where they cannot stand beside each other.
    fn needed(&self, query: &Query) -> Option<Vec<Range<usize>>> {
        let mut wanted: Vec<usize> = Vec::new();
        let mut waiting: Vec<(String, usize)> = reads(query).into_iter().map(|name| (name, self.env.len())).collect();
        while let Some((name, sees)) = waiting.pop() {
            let found = self.env[..sees.min(self.env.len())].iter().rposition(|cte| same(&cte.name, &name));
            let Some(index) = found else { continue };
            if wanted.contains(&index) {
                continue;
            }
            let cte = &self.env[index];
            if cte.recursive || cte.span.is_none() {
                return None;
            }
            wanted.push(index);
            waiting.extend(cte.reads.iter().map(|name| (name.clone(), cte.sees)));
        }
        wanted.sort_unstable();
        for (at, index) in wanted.iter().enumerate() {
            let name = &self.env[*index].name;
            let twice = wanted[..at].iter().any(|other| same(&self.env[*other].name, name));
            if twice {
                return None;
            }
        }
        wanted.into_iter().map(|index| self.env[index].span.clone()).collect()
    }

    /// The whole query as a block, where LIMIT keeps its first rows.
    fn limited(&self, query: &Query, whole: Range<usize>) -> Option<Block> {
        let limit = match &query.limit_clause {
            Some(LimitClause::LimitOffset { limit_by, .. }) if !limit_by.is_empty() => return None,
            None if query.fetch.is_none() => return None,
            limit => limit,
        };
        let holds = |expr: &Option<Expr>| expr.as_ref().is_some_and(holds_query);
        match limit {
            Some(LimitClause::LimitOffset { limit, offset, .. })
                if holds(limit) || offset.as_ref().is_some_and(|offset| holds_query(&offset.value)) =>
            {
                return None;
            }
            Some(LimitClause::OffsetCommaLimit { offset, limit }) if holds_query(offset) || holds_query(limit) => {
                return None;
            }
            _ => {}
        }
        let order_by = query.order_by.as_ref().filter(|order| order.interpolate.is_none())?;
        let select = match &*query.body {
            SetExpr::Select(select) => {
                // There ORDER BY decides which rows are kept.
                if matches!(select.distinct, Some(Distinct::On(_))) {
                    return None;
                }
                Some(&**select)
            }
            _ => None,
        };
        let order = match &order_by.kind {
            OrderByKind::All(options) => vec![item(OrderBy::All, options)?],
            OrderByKind::Expressions(items) => {
                let mut order = Vec::with_capacity(items.len());
                for one in items {
                    if one.with_fill.is_some() {
                        return None;
                    }
                    order.push(item(output(&one.expr, select)?, &one.options)?);
                }
                order
            }
        };
        let order_at = self.word(&whole, &["order"])?;
        let limit_at = self.word(&(order_at..whole.end), &["limit", "offset", "fetch"])?;
        let body = whole.start..order_at;
        let unlimited = Query { order_by: None, limit_clause: None, fetch: None, ..query.clone() };
        if !self.reads_as(body.clone(), &unlimited) {
            return None;
        }
        let kind = BlockKind::Limited(Limited { body, order, limit: limit_at..whole.end });
        Some(Block { kind, span: whole, ctes: Vec::new(), name: String::new(), ordered: false })
    }

    /// Where one of these words stands outside of parentheses, if it does so once or more: the last place of `order`, the first of others.
    fn word(&self, within: &Range<usize>, words: &[&str]) -> Option<usize> {
        let mut depth = 0_usize;
        let mut found = None;
        for token in &self.tokens {
            let at = self.positions.offset(token.span.start);
            if at >= within.end {
                break;
            }
            match &token.token {
                Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
                Token::RParen | Token::RBracket | Token::RBrace => depth = depth.saturating_sub(1),
                Token::Word(word)
                    if depth == 0
                        && at >= within.start
                        && word.quote_style.is_none()
                        && words.iter().any(|one| word.value.eq_ignore_ascii_case(one)) =>
                {
                    if words != ["order"] {
                        return Some(at);
                    }
                    found = Some(at);
                }
                _ => {}
            }
        }
        found
    }
}

fn item(by: OrderBy, options: &OrderByOptions) -> Option<OrderItem> {
    let descending = match &options.sort {
        None => None,
        Some(OrderBySort::Asc) => Some(false),
        Some(OrderBySort::Desc) => Some(true),
        Some(_) => return None,
    };
    Some(OrderItem { by, descending, nulls_first: options.nulls_first })
}

/// The column of the output that an expression of ORDER BY is.
fn output(expr: &Expr, select: Option<&Select>) -> Option<OrderBy> {
    let expr = stripped(expr);
    if let Some(number) = ordinal(expr) {
        return number.checked_sub(1).map(OrderBy::Place);
    }
    if let Expr::Identifier(name) = expr {
        return Some(OrderBy::Name(unescaped(name)));
    }
    for (index, one) in select?.projection.iter().enumerate() {
        match one {
            SelectItem::UnnamedExpr(one) | SelectItem::ExprWithAlias { expr: one, .. } => {
                if stripped(one) == expr {
                    return Some(OrderBy::Place(index));
                }
            }
            // Nobody knows here how many columns a star is.
            _ => return None,
        }
    }
    None
}

/// The tables a query names by one word, wherever in it.
fn reads(query: &Query) -> Vec<String> {
    struct Names(Vec<String>);
    impl Visitor for Names {
        type Break = ();

        fn pre_visit_relation(&mut self, name: &ObjectName) -> ControlFlow<()> {
            if let Some([name]) = identifiers(name).as_deref() {
                self.0.push(unescaped(name));
            }
            ControlFlow::Continue(())
        }
    }
    let mut names = Names(Vec::new());
    let _ = query.visit(&mut names);
    names.0
}

/// The queries in an expression, without those within them.
struct Subqueries {
    depth: usize,
    found: Vec<Query>,
}

impl Visitor for Subqueries {
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
        if self.depth == 0
            && let Expr::Subquery(query) | Expr::InSubquery { subquery: query, .. } = expr
        {
            self.found.push((**query).clone());
        }
        ControlFlow::Continue(())
    }
}
