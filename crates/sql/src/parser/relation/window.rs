//! Windows and QUALIFY.

use sqlparser::ast::{Expr, NamedWindowExpr, Select, WindowSpec, WindowType};

use super::expression::{Context, WindowCall, conjuncts};
use super::items::ItemValue;
use super::places::Extent;
use super::query::Mode;
use super::scope::same;
use super::select::{Block, expands};
use super::subquery::{Use, test_of};
use super::{Outcome, Reader, filter, stop};
use crate::parser::facts::unescaped;
use crate::refresh::{ColumnId, Kind, Obstacle, OutputColumn, Relation, Scalar, Window};

/// The windows of a select, before they are computed.
#[derive(Default)]
pub(super) struct Windows<'a> {
    pub(super) calls: Vec<WindowCall<'a>>,
    /// The item and the column of each expression that holds windows.
    pub(super) computed: Vec<(Option<usize>, ColumnId)>,
    /// Items that use what windows compute.
    pub(super) later: Vec<usize>,
}

impl<'a> Reader<'a> {
    pub(super) fn windows(
        &mut self,
        select: &'a Select,
        block: &mut Block<'a, '_>,
        mut windows: Windows<'a>,
    ) -> Outcome<()> {
        let conditions: Vec<&'a Expr> = select.qualify.as_ref().map(conjuncts).unwrap_or_default();
        let extent = if conditions.len() == 1 { Extent::Whole } else { Extent::Conjunct };
        let mut kept = Vec::new();
        let mut attached = Vec::new();
        let mut simple = Vec::new();
        for condition in conditions {
            let aliases = block.aliases(None);
            let read = match test_of(condition) {
                Some((query, asked, _)) => {
                    let sub = self.subquery(query, asked, &block.context(&aliases))?;
                    match sub.value {
                        Some(value) => {
                            attached.push(sub);
                            kept.push(Scalar::Unknown(vec![value]));
                        }
                        None => kept.push(Scalar::Unknown(sub.named.into_iter().map(|(_, id)| id).collect())),
                    }
                    continue;
                }
                None => self.read(condition, &block.context(&aliases))?,
            };
            if read.windows.is_empty() && read.subqueries.is_empty() && read.below.is_empty() {
                simple.push(condition);
                continue;
            }
            if !read.windows.is_empty() {
                let id = self.column();
                windows.calls.extend(read.windows);
                windows.computed.push((None, id));
                kept.push(Scalar::Unknown(vec![id]));
            } else {
                kept.push(Scalar::Unknown(read.named()));
            }
            attached.extend(read.subqueries.into_iter().chain(read.below));
        }
        let mut relation = block.take();
        for sub in attached {
            relation = self.attach(relation, sub, Use::Value).0;
        }
        block.relation = relation;
        self.compute_windows(select, block, &windows)?;
        for (item, id) in &windows.computed {
            if let Some(item) = item {
                block.computed[*item] = Some(*id);
            }
        }
        let mut planned = Vec::new();
        let expanding = block
            .items
            .iter()
            .filter(|item| matches!(item.value, ItemValue::Expr(expr) if expands(self.grammar, expr)))
            .count();
        for index in windows.later {
            let ItemValue::Expr(expr) = block.items[index].value else { continue };
            let aliases = block.aliases(Some(index));
            let read = self.read(expr, &block.context(&aliases))?;
            let mut scalar = self.scalar(expr, &read, Extent::Whole)?;
            // Several at once are as many rows as the longest list has items, with NULL for the others.
            if read.outer || (expanding > 1 && read.expands > 0) {
                scalar = Scalar::Unknown(scalar.columns());
            }
            match scalar {
                Scalar::Column(id) => block.computed[index] = Some(id),
                scalar => {
                    block.computed[index] = Some(self.column());
                    planned.push((index, scalar));
                }
            }
        }
        self.project(block, planned);
        let aliases = block.aliases(None);
        for condition in simple {
            let read = self.read(condition, &block.context(&aliases))?;
            let scalar = self.condition(condition, &read, extent)?;
            kept.push(if read.outer { Scalar::Unknown(Vec::new()) } else { scalar });
        }
        if block.mode == Mode::Whole {
            let kept = kept.into_iter().map(|scalar| block.visible(scalar)).collect();
            let relation = block.take();
            block.relation = filter(relation, kept);
        }
        Ok(())
    }

    fn compute_windows(&mut self, select: &'a Select, block: &mut Block<'a, '_>, windows: &Windows<'a>) -> Outcome<()> {
        if windows.computed.is_empty() {
            return Ok(());
        }
        let span = self.places.range(select.select_token.0.span);
        let mut partitions: Vec<Vec<ColumnId>> = Vec::new();
        let mut undivided = None;
        self.window_ties(select, block, &windows.calls);
        for WindowCall { over, place, .. } in &windows.calls {
            let by = self.partition_by(over, select)?;
            if by.is_empty() {
                undivided = Some(place.clone());
                continue;
            }
            let mut columns = Vec::new();
            for expr in by {
                let column = self.partition_column(expr, block)?;
                if !columns.contains(&column) {
                    columns.push(column);
                }
            }
            if !partitions.contains(&columns) {
                partitions.push(columns);
            }
        }
        let computed: Vec<ColumnId> = windows.computed.iter().map(|(_, id)| *id).collect();
        if block.mode == Mode::Core {
            block.chooses();
            block.extend(computed.into_iter().map(|id| (id, Scalar::Unknown(Vec::new()))).collect());
            return Ok(());
        }
        let input = block.take();
        if let Some(place) = undivided {
            let obstacle = Obstacle {
                reason: "a window without PARTITION BY looks at all rows".to_owned(),
                span: place,
                instead: Some("add PARTITION BY".to_owned()),
            };
            let before: Vec<ColumnId> = input.columns.iter().map(|column| column.id).collect();
            let mut opaque = self.opaque(obstacle, vec![input], before.len());
            for (before, after) in before.iter().zip(&opaque.columns) {
                block.renamed.insert(*before, after.id);
            }
            opaque.columns.extend(computed.iter().map(|id| OutputColumn { id: *id, engine_type: None }));
            block.relation = opaque;
            for id in block.computed.iter_mut().flatten() {
                *id = block.renamed.get(id).copied().unwrap_or(*id);
            }
            return Ok(());
        }
        let mut columns = input.columns.clone();
        columns.extend(computed.iter().map(|id| OutputColumn { id: *id, engine_type: None }));
        let window = Window { input: Box::new(input), partitions, computed, span };
        block.relation = Relation { kind: Kind::Window(window), columns };
        Ok(())
    }

    fn partition_column(&mut self, expr: &'a Expr, block: &mut Block<'a, '_>) -> Outcome<ColumnId> {
        let aliases = block.aliases(None);
        let read = self.read(expr, &Context { aliases: &aliases, ..block.context(&aliases) })?;
        if let Some(column) = read.plain
            && read.is_local()
        {
            return Ok(column);
        }
        if read.pending || !read.windows.is_empty() {
            let near = self.places.near(expr);
            return Err(stop(
                "PARTITION BY names what another window computes",
                near,
                Some("compute that in a subquery first"),
            ));
        }
        let scalar = self.scalar(expr, &read, Extent::Whole)?;
        let mut relation = block.take();
        for sub in read.subqueries.into_iter().chain(read.below) {
            relation = self.attach(relation, sub, Use::Value).0;
        }
        block.relation = relation;
        let scalar = block.visible(if read.outer { Scalar::Unknown(Vec::new()) } else { scalar });
        if let Scalar::Column(id) = scalar {
            return Ok(id);
        }
        let id = self.column();
        block.extend(vec![(id, scalar)]);
        Ok(id)
    }

    /// PARTITION BY of a call, its named windows looked up.
    fn partition_by(&self, call: &'a WindowType, select: &'a Select) -> Outcome<&'a [Expr]> {
        let mut name = match call {
            WindowType::WindowSpec(spec) => match of_spec(spec) {
                Ok(by) => return Ok(by),
                Err(name) => name,
            },
            WindowType::NamedWindow(name) => name,
        };
        for _ in 0..=select.named_window.len() {
            let found = select.named_window.iter().find(|window| same(&unescaped(&window.0), &unescaped(name)));
            match found.map(|window| &window.1) {
                Some(NamedWindowExpr::NamedWindow(other)) => name = other,
                Some(NamedWindowExpr::WindowSpec(spec)) => match of_spec(spec) {
                    Ok(by) => return Ok(by),
                    Err(other) => name = other,
                },
                None => break,
            }
        }
        let span = self.places.range(name.span);
        Err(stop(format!("there is no window `{}`", self.text(&span)), span, None))
    }
}

/// PARTITION BY of a window, or the name of the window it continues.
fn of_spec(spec: &WindowSpec) -> Result<&[Expr], &sqlparser::ast::Ident> {
    match &spec.window_name {
        Some(name) if spec.partition_by.is_empty() => Err(name),
        _ => Ok(&spec.partition_by),
    }
}
