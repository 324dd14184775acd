//! Ties of window functions: rows with the same place in the order of their partition.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{ControlFlow, Range};

use sqlparser::ast::{
    Expr, Function, NamedWindowExpr, NullTreatment, Select, Visit, Visitor, WindowFrame, WindowFrameBound,
    WindowFrameUnits, WindowSpec, WindowType,
};

use super::Reader;
use super::expression::{WindowCall, name_of};
use super::functions::{Ranking, ranking};
use super::scope::{Found, Scope, parts, same};
use super::select::Block;
use super::ties::order_within;
use crate::parser::facts::unescaped;
use crate::refresh::ColumnId;

/// The window of a call: its own words, then those of the windows it continues.
struct Chain<'a> {
    parts: Vec<(&'a WindowSpec, Range<usize>)>,
}

impl<'a> Chain<'a> {
    /// The part that holds the order, or where one can be put.
    fn ordering(&self) -> Option<&(&'a WindowSpec, Range<usize>)> {
        self.parts.iter().find(|(spec, _)| !spec.order_by.is_empty()).or(self.parts.first())
    }

    fn frame(&self) -> Option<&'a WindowFrame> {
        self.parts.iter().find_map(|(spec, _)| spec.window_frame.as_ref())
    }

    fn partition_by(&self) -> &'a [Expr] {
        self.parts.iter().map(|(spec, _)| spec.partition_by.as_slice()).find(|by| !by.is_empty()).unwrap_or_default()
    }
}

/// What may be done about the ties of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Remedy {
    /// Nothing needs to be: rows with the same place answer alike.
    Needless,
    /// More columns in the order.
    Order,
    /// The same, and a frame that says what was meant without an order.
    OrderAndFrame,
    /// None.
    Stuck,
}

impl<'a> Reader<'a> {
    /// Notes the ties of the windows of a select, whose rows are those of the block.
    pub(super) fn window_ties(&mut self, select: &'a Select, block: &Block<'a, '_>, calls: &[WindowCall<'a>]) {
        let chains: Vec<Option<Chain<'a>>> = calls.iter().map(|call| self.chain(call, select)).collect();
        // Rows of one place that a window beside this one tells apart are not the same row.
        for (spec, _) in chains.iter().flatten().flat_map(|chain| &chain.parts) {
            self.ties.named.extend(columns_named(spec, &block.scope));
        }
        let remedies: Vec<Remedy> = calls
            .iter()
            .zip(&chains)
            .map(|(call, chain)| match chain {
                Some(chain) => self.remedy(call.function, chain),
                None => Remedy::Stuck,
            })
            .collect();
        // What stands in one window must be right for all that use it.
        let mut shared: BTreeMap<usize, Vec<Remedy>> = BTreeMap::new();
        for (chain, remedy) in chains.iter().zip(&remedies) {
            for (_, place) in chain.iter().flat_map(|chain| &chain.parts) {
                shared.entry(place.start).or_default().push(*remedy);
            }
        }
        let basis = self.window_basis(block);
        for ((call, chain), remedy) in calls.iter().zip(&chains).zip(&remedies) {
            if *remedy == Remedy::Needless {
                continue;
            }
            let partition: Vec<ColumnId> = match chain {
                Some(chain) => {
                    let by = chain.partition_by().iter();
                    by.filter(|expr| name_of(expr).is_some() || block.groups.is_some())
                        .filter_map(|expr| self.ordered_column(expr, block))
                        .collect()
                }
                None => Vec::new(),
            };
            let Some((chain, (spec, place))) =
                chain.as_ref().and_then(|chain| chain.ordering().map(|ordering| (chain, ordering.clone())))
            else {
                self.ties.add(call.place.clone(), partition, Err("its window is not found".to_owned()));
                continue;
            };
            let mut fixed: BTreeSet<ColumnId> = partition.iter().copied().collect();
            fixed.extend(spec.order_by.iter().filter_map(|by| self.ordered_column(&by.expr, block)));
            if self.tells_apart(&basis, &block.relation, &fixed) {
                continue;
            }
            let texts = match self.breakers(&basis, &fixed, block) {
                Ok(texts) if texts.is_empty() => continue,
                texts => texts,
            };
            let alike = shared.get(&place.start).is_some_and(|all| all.iter().all(|one| one == remedy));
            let own = matches!(call.over, WindowType::WindowSpec(_));
            let whole = call.place.start..if own { place.end.max(call.place.end) } else { call.place.end };
            let settled_by = match (remedy, texts) {
                (_, Err(why)) => Err(why),
                (Remedy::Stuck, _) => {
                    Err("rows of the same place in its order are taken together by its frame".to_owned())
                }
                _ if !alike => {
                    Err("its window is that of others, too, which take rows of the same place together".to_owned())
                }
                _ if self.is_unnamed(&call.place, block) => {
                    Err("the column has no name of its own: give it one with `as`".to_owned())
                }
                (remedy, Ok(texts)) => {
                    let frame = chain.frame().filter(|_| spec.window_frame.is_some());
                    let end = match frame {
                        Some(_) => self.places.last_word_within(&place, &["rows", "range", "groups"]),
                        None => Some(place.end.saturating_sub(1)),
                    };
                    let start = if spec.order_by.is_empty() { " order by " } else { ", " };
                    let after = match remedy {
                        Remedy::OrderAndFrame => " rows between unbounded preceding and unbounded following",
                        _ if frame.is_some() => " ",
                        _ => "",
                    };
                    let texts = texts.join(", ");
                    end.map(|end| vec![(end, format!("{start}{texts}{after}"))])
                        .ok_or_else(|| "the place of its frame is not found".to_owned())
                }
            };
            self.ties.add(whole, partition, settled_by);
        }
    }

    fn chain(&self, call: &WindowCall<'a>, select: &'a Select) -> Option<Chain<'a>> {
        let mut parts = Vec::new();
        let mut name = match call.over {
            WindowType::WindowSpec(spec) => {
                parts.push((spec, self.places.parentheses_after(call.place.end, "over")?));
                spec.window_name.as_ref()
            }
            WindowType::NamedWindow(name) => Some(name),
        };
        for _ in 0..=select.named_window.len() {
            let Some(wanted) = name else { return Some(Chain { parts }) };
            let definition = select.named_window.iter().find(|one| same(&unescaped(&one.0), &unescaped(wanted)))?;
            name = match &definition.1 {
                NamedWindowExpr::NamedWindow(other) => Some(other),
                NamedWindowExpr::WindowSpec(spec) => {
                    let after = self.places.range(definition.0.span).end;
                    parts.push((spec, self.places.parentheses_after(after, "as")?));
                    spec.window_name.as_ref()
                }
            };
        }
        None
    }

    fn remedy(&self, function: &Function, chain: &Chain<'a>) -> Remedy {
        let name = function.name.0.last().and_then(|name| name.as_ident()).map(|name| name.value.as_str());
        let ranking = ranking(name.unwrap_or_default());
        let ordered = chain.parts.iter().any(|(spec, _)| !spec.order_by.is_empty());
        let frame = chain.frame();
        let excludes = chain.parts.iter().any(|(_, place)| self.places.last_word_within(place, &["exclude"]).is_some());
        let by_distance = frame.is_some_and(|frame| {
            let far = |bound: &WindowFrameBound| {
                matches!(bound, WindowFrameBound::Preceding(Some(_)) | WindowFrameBound::Following(Some(_)))
            };
            frame.units != WindowFrameUnits::Rows
                && (far(&frame.start_bound) || frame.end_bound.as_ref().is_some_and(far))
        });
        let inner = !order_within(function).is_empty();
        let skips_nulls = function.null_treatment == Some(NullTreatment::IgnoreNulls);
        match (ranking, frame) {
            (Ranking::Peers, _) => Remedy::Needless,
            (Ranking::Alone, _) => Remedy::Stuck,
            (Ranking::Places, _) if by_distance || excludes || inner => Remedy::Stuck,
            (Ranking::Places, _) => Remedy::Order,
            (Ranking::Frame, None) => Remedy::Needless,
            (Ranking::Frame, Some(frame)) if frame.units != WindowFrameUnits::Rows => Remedy::Needless,
            (Ranking::Frame, Some(frame)) if is_whole(frame) => Remedy::Needless,
            _ if excludes || inner => Remedy::Stuck,
            (_, Some(frame)) if frame.units == WindowFrameUnits::Rows || is_whole(frame) => Remedy::Order,
            (_, None) if !ordered => Remedy::OrderAndFrame,
            (Ranking::First, None) if !skips_nulls => Remedy::Order,
            _ => Remedy::Stuck,
        }
    }
}

/// Whether a frame is the whole partition.
fn is_whole(frame: &WindowFrame) -> bool {
    frame.start_bound == WindowFrameBound::Preceding(None) && frame.end_bound == Some(WindowFrameBound::Following(None))
}

/// The columns of a select that the words of a window name.
fn columns_named(spec: &WindowSpec, scope: &Scope<'_>) -> Vec<ColumnId> {
    struct Columns<'s, 'o>(&'s Scope<'o>, Vec<ColumnId>);
    impl Visitor for Columns<'_, '_> {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            if let Some(names) = name_of(expr)
                && let Found::Column { id, .. } = self.0.own(&parts(&names))
            {
                self.1.push(id);
            }
            ControlFlow::Continue(())
        }
    }
    let mut columns = Columns(scope, Vec::new());
    let _ = spec.visit(&mut columns);
    columns.1
}
