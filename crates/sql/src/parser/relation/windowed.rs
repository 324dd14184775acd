//! Selects that group, and look at their groups through windows: the pieces of their text.

use std::ops::Range;

use sqlparser::ast::{Distinct, NamedWindowExpr, Select, Visit};

use super::Reader;
use super::expression::Context;
use super::items::{Item, ItemValue};
use super::places::Extent;
use super::query::Mode;
use super::scope::{Found, same};
use super::select::{Block, holds_window};
use super::summed::{Listed, Pieces, is_simply_ordered, names_in};
use crate::refresh::windowed::{Part, PartKind, WindowedGroups};

impl<'a> Reader<'a> {
    /// The pieces of a select with groups below windows; `None` where it is another one, or they cannot be told apart.
    pub(super) fn windowed(&mut self, select: &'a Select, block: &Block<'a, '_>) -> Option<WindowedGroups> {
        let groups = block.groups.as_ref().filter(|groups| !groups.pairs.is_empty())?;
        let several = groups.sets.len() != 1 || groups.sets.first()?.len() != groups.pairs.len();
        if block.mode != Mode::Whole
            || several
            || matches!(select.distinct, Some(Distinct::On(_)))
            || !self.looks_through_windows(select, block)
        {
            return None;
        }
        let start = self.places.range(select.select_token.0.span).start;
        let query = *self.bodies.get(&start)?;
        if !is_simply_ordered(query, &block.items) {
            return None;
        }
        // Below the windows there are no names of the select list.
        let is_item = |name: &String| block.items.iter().any(|item| item.alias && same(&item.name, name));
        if select.having.as_ref().is_some_and(|having| names_in(having).iter().any(is_item)) {
            return None;
        }
        // A name that is both a column and one of the select list.
        let is_both = |name: &String| is_item(name) && block.scope.own(std::slice::from_ref(name)) != Found::Nothing;
        if select.qualify.as_ref().is_some_and(|qualify| names_in(qualify).iter().any(is_both)) {
            return None;
        }
        let clauses = self.clauses(start, select)?;
        let keys = self.summed_keys(select, block)?;
        let aliases = block.aliases(None);
        let context = block.context(&aliases);
        let mut parts = Vec::new();
        for listed in self.listed(select, block, &context)? {
            match listed {
                Listed::Key { span, key, name } => {
                    parts.push(Part { span, kind: PartKind::Key { key, name: Some(name) } });
                }
                Listed::Computed(expr) => self.parts(expr, &context, &block.items, &mut parts)?,
            }
        }
        for window in &select.named_window {
            if let NamedWindowExpr::WindowSpec(_) = &window.1 {
                self.parts(&window.1, &context, &block.items, &mut parts)?;
            }
        }
        if let Some(qualify) = &select.qualify {
            self.parts(qualify, &context, &block.items, &mut parts)?;
        }
        let query_start = self.places.range(sqlparser::ast::Spanned::span(query)).start.min(start);
        parts.sort_by_key(|part| part.span.start);
        let apart = parts.windows(2).all(|pair| pair[0].span.end <= pair[1].span.start);
        apart.then_some(WindowedGroups {
            query: query_start,
            select: start..clauses.end,
            from: clauses.from,
            group_by: clauses.group_by,
            having: clauses.having,
            keys,
            parts,
        })
    }

    fn looks_through_windows(&self, select: &Select, block: &Block<'a, '_>) -> bool {
        let window = |item: &Item<'_>| matches!(item.value, ItemValue::Expr(expr) if holds_window(self.grammar, expr));
        block.items.iter().any(window) || select.qualify.as_ref().is_some_and(|expr| holds_window(self.grammar, expr))
    }

    /// Groups and aggregates in what is computed of them; `None` where there is something else.
    fn parts(
        &mut self,
        of: &impl Visit,
        context: &Context<'_>,
        items: &[Item<'_>],
        parts: &mut Vec<Part>,
    ) -> Option<()> {
        let mut found = Pieces::new(self.grammar, context, items);
        if of.visit(&mut found).is_break() {
            return None;
        }
        let Pieces { keys, calls, .. } = found;
        let keys = keys.into_iter().map(|(expr, key)| (expr, PartKind::Key { key, name: None }));
        for (expr, kind) in keys.chain(calls.into_iter().map(|expr| (expr, PartKind::Aggregate))) {
            let span: Range<usize> = self.places.of(&expr, Extent::Tight)?;
            parts.push(Part { span, kind });
        }
        Some(())
    }
}
