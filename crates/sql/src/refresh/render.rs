//! Found rows as SQL.

use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use super::columns::Columns;
use super::found::{Found, FoundKind, FoundRef, Pairs, Which};
use super::relation::{ColumnId, Expression, Scalar, Tree};
use super::rule::{Rule, SwitchedOff};
use crate::dialect::{Dialect, InvalidName};

/// Text longer than this is written once, as a common table expression, instead of twice.
const WRITTEN_TWICE: usize = 3000;

/// A table as the statements read it: quoted relations.
#[derive(Debug, Clone)]
pub(super) struct TableSql {
    /// As it is now.
    pub(super) current: String,
    /// What is no more, and what has come; `None` for a table that did not change.
    pub(super) changed: Option<(String, String)>,
}

/// The query for the columns of a chosen part of a table: number of the use, columns with their places in the table.
pub(super) type ChosenRows<'a> = dyn Fn(usize, &[(ColumnId, usize)]) -> Result<String, InvalidName> + 'a;

/// How the statements of one refresh are written.
pub(super) struct Writer<'a> {
    pub(super) dialect: &'a dyn Dialect,
    pub(super) tree: &'a Tree,
    pub(super) columns: &'a Columns,
    pub(super) tables: &'a [TableSql],
    pub(super) off: &'a SwitchedOff,
    /// The query for the columns of a chosen part of a table: number of the use, columns with their places in the table.
    pub(super) chosen: &'a ChosenRows<'a>,
}

/// A statement in the making.
struct Draft<'a, 'w> {
    writer: &'a Writer<'w>,
    uses: BTreeMap<*const Found, usize>,
    shared: BTreeMap<*const Found, String>,
    /// Names and texts of common table expressions, in order.
    common: Vec<(String, String)>,
}

/// The name of a column in our own queries.
pub(super) fn name(column: ColumnId) -> String {
    format!("_c{}", column.0)
}

impl Writer<'_> {
    /// A query for the distinct rows of what was found: its columns as expressions on [`name`]s, with aliases.
    pub(super) fn distinct(&self, found: &FoundRef, selected: &str, condition: &str) -> Result<String, InvalidName> {
        let mut draft = Draft { writer: self, uses: BTreeMap::new(), shared: BTreeMap::new(), common: Vec::new() };
        draft.count(found);
        let from = draft.relation(found)?;
        let mut text = String::new();
        for (index, (name, query)) in draft.common.iter().enumerate() {
            text.push_str(if index == 0 { "with " } else { ", " });
            text.push_str(&format!("{name} as materialized ({query})"));
        }
        if !draft.common.is_empty() {
            text.push(' ');
        }
        text.push_str(&format!("select distinct {selected} from {from} found"));
        if !condition.is_empty() {
            text.push_str(&format!(" where {condition}"));
        }
        Ok(text)
    }

    /// An expression with other names for its columns.
    pub(super) fn scalar(
        &self,
        scalar: &Scalar,
        name: &dyn Fn(ColumnId) -> Result<String, InvalidName>,
    ) -> Result<String, InvalidName> {
        Ok(match scalar {
            Scalar::Column(column) => name(*column)?,
            Scalar::Equal(left, right) => format!("{} = {}", name(*left)?, name(*right)?),
            Scalar::Coalesce(columns) => {
                let parts: Result<Vec<_>, _> = columns.iter().map(|column| name(*column)).collect();
                format!("coalesce({})", parts?.join(", "))
            }
            Scalar::Null | Scalar::Unknown(_) => "null".to_owned(),
            Scalar::Text(expression) => format!("({})", self.expression(expression, name)?),
        })
    }

    fn expression(
        &self,
        expression: &Expression,
        name: &dyn Fn(ColumnId) -> Result<String, InvalidName>,
    ) -> Result<String, InvalidName> {
        self.expression_with(expression, name, &[])
    }

    /// An expression with other texts in some of its places.
    fn expression_with(
        &self,
        expression: &Expression,
        name: &dyn Fn(ColumnId) -> Result<String, InvalidName>,
        others: &[(Range<usize>, &str)],
    ) -> Result<String, InvalidName> {
        let text = &self.tree.text;
        let mut pieces: Vec<(Range<usize>, String)> = Vec::with_capacity(expression.columns.len() + others.len());
        for (span, column) in &expression.columns {
            pieces.push((span.clone(), name(*column)?));
        }
        pieces.extend(others.iter().map(|(span, other)| (span.clone(), (*other).to_owned())));
        pieces.sort_by_key(|(span, _)| span.start);
        let mut out = String::new();
        let mut at = expression.span.start;
        for (span, piece) in pieces {
            out.push_str(text.get(at..span.start).unwrap_or_default());
            out.push_str(&piece);
            at = span.end;
        }
        out.push_str(text.get(at..expression.span.end).unwrap_or_default());
        Ok(out)
    }

    /// Quoted name of a table's column.
    pub(super) fn table_column(&self, table: usize, place: usize) -> Result<String, InvalidName> {
        let column = self.tree.tables.get(table).and_then(|table| table.input.columns.get(place));
        self.dialect.quote_identifier(column.map_or("", |(name, _)| name.as_str()))
    }

    /// See [`Dialect::same`]. Each side is an expression, and a column of its type where there is one.
    pub(super) fn same(&self, left: (&str, ColumnId), right: (&str, ColumnId), may_be_null: bool) -> String {
        let may_be_null = may_be_null && self.off.holds(Rule::NullSafe);
        let types = (self.type_of(left.1), self.type_of(right.1));
        let (Some(one), Some(other)) = types else {
            return self.dialect.same(left.0, right.0, may_be_null, None);
        };
        match self.dialect.common_type(&one, &other) {
            Some(common) if may_be_null && one != other && self.dialect.needs_types() => {
                let [left, right] = [left.0, right.0].map(|side| format!("cast({side} as {common})"));
                self.dialect.same(&left, &right, true, Some(&common))
            }
            _ => self.dialect.same(left.0, right.0, may_be_null, Some(&one)),
        }
    }

    fn type_of(&self, column: ColumnId) -> Option<String> {
        self.columns.type_of(column, self.dialect, &self.tree.text)
    }

    /// A column under the identity of what a set operation makes of it, with its type where the engine would not find it.
    fn renamed(&self, old: ColumnId, new: ColumnId) -> String {
        let (old_type, new_type) = (self.type_of(old), self.type_of(new));
        let is_null = self.columns.is_null(old, &self.tree.text);
        match new_type {
            Some(new_type)
                if (is_null || old_type.is_some_and(|old_type| old_type != new_type)) && self.dialect.needs_types() =>
            {
                format!("cast({} as {new_type}) as {}", name(old), name(new))
            }
            _ => format!("{} as {}", name(old), name(new)),
        }
    }

    /// NULL in the place of a column, with its type where that is known.
    fn null(&self, column: ColumnId) -> String {
        match self.columns.engine_type(column) {
            Some(engine_type) => format!("cast(null as {engine_type})"),
            None => "null".to_owned(),
        }
    }
}

impl Draft<'_, '_> {
    fn count(&mut self, found: &FoundRef) {
        let uses = self.uses.entry(Rc::as_ptr(found)).or_insert(0);
        *uses += 1;
        if *uses == 1 {
            for part in found.parts() {
                self.count(part);
            }
        }
    }

    /// Something that can stand after FROM, before an alias.
    fn relation(&mut self, found: &FoundRef) -> Result<String, InvalidName> {
        let pointer = Rc::as_ptr(found);
        if let Some(name) = self.shared.get(&pointer) {
            return Ok(name.clone());
        }
        let query = self.query(found)?;
        if self.uses.get(&pointer).is_some_and(|uses| *uses > 1)
            && !matches!(found.kind, FoundKind::One | FoundKind::Nothing)
        {
            return Ok(self.share(found, query));
        }
        Ok(format!("({query})"))
    }

    /// The same, for what stands in a text twice.
    fn twice(&mut self, found: &FoundRef) -> Result<String, InvalidName> {
        let text = self.relation(found)?;
        if text.len() <= WRITTEN_TWICE {
            return Ok(text);
        }
        Ok(self.share(found, format!("select * from {text} r")))
    }

    fn share(&mut self, found: &FoundRef, query: String) -> String {
        let name = format!("_found_{}", self.common.len());
        self.common.push((name.clone(), query));
        self.shared.insert(Rc::as_ptr(found), name.clone());
        name
    }

    fn query(&mut self, found: &FoundRef) -> Result<String, InvalidName> {
        let columns = list(&found.columns, |column| Ok(name(column)))?;
        let writer = self.writer;
        let named = |column: ColumnId| Ok(name(column));
        Ok(match &found.kind {
            FoundKind::Nothing => {
                format!(
                    "select {} where false",
                    list(&found.columns, |column| Ok(format!("{} as {}", writer.null(column), name(column))))?
                )
            }
            FoundKind::One => "select 1 as _one".to_owned(),
            FoundKind::Rows { table, places, which } => self.rows(&found.columns, *table, places, *which)?,
            FoundKind::Constant { text, query, all } => {
                let piece = writer.expression(text, &named)?;
                let piece = if *query { format!("({piece}\n)") } else { piece };
                let all: Vec<String> = all.iter().map(|column| name(*column)).collect();
                format!("select {columns} from {piece} as _constant({})", all.join(", "))
            }
            FoundKind::Filter { input, conditions } => {
                let known = |column: ColumnId| {
                    Ok(if input.columns.contains(&column) { name(column) } else { "null".to_owned() })
                };
                let conditions: Result<Vec<_>, _> =
                    conditions.iter().map(|condition| writer.scalar(condition, &known)).collect();
                format!("select {columns} from {} i where {}", self.relation(input)?, conditions?.join(" and "))
            }
            FoundKind::Differing { input, expressions } => {
                let from = self.relation(input)?;
                let mut conditions = Vec::with_capacity(expressions.len());
                for differing in expressions {
                    let text = |now: bool| {
                        let others: Vec<_> = differing
                            .places
                            .iter()
                            .map(|(span, change)| {
                                (span.clone(), if now { change.now.as_str() } else { change.before.as_str() })
                            })
                            .collect();
                        writer.expression_with(&differing.expression, &named, &others)
                    };
                    conditions.push(format!("({}) is distinct from ({})", text(false)?, text(true)?));
                }
                format!("select {columns} from {from} i where {}", conditions.join(" or "))
            }
            FoundKind::Null { input, column } => {
                format!("select {columns} from {} i where {} is null", self.relation(input)?, name(*column))
            }
            FoundKind::Filled { input } => {
                let filled: Vec<String> =
                    found.columns.iter().map(|column| format!("{} is not null", name(*column))).collect();
                format!("select {columns} from {} i where {}", self.relation(input)?, filled.join(" and "))
            }
            FoundKind::Project { input, computed } => {
                let from = self.relation(input)?;
                let of = |column: ColumnId| match computed.iter().find(|(computed, _)| *computed == column) {
                    Some((_, scalar)) => Ok(format!("{} as {}", writer.scalar(scalar, &named)?, name(column))),
                    None => Ok(name(column)),
                };
                // What makes rows stands in the same select list, needed or not.
                let beside: Vec<ColumnId> = computed
                    .iter()
                    .map(|(column, _)| *column)
                    .filter(|column| !found.columns.contains(column))
                    .collect();
                let inner = list(&found.columns.iter().copied().chain(beside.iter().copied()).collect::<Vec<_>>(), of)?;
                if beside.is_empty() {
                    format!("select {inner} from {from} i")
                } else {
                    format!("select {columns} from (select {inner} from {from} i) i")
                }
            }
            FoundKind::Renamed { input, columns, null } => {
                let from = self.relation(input)?;
                let of = |column: ColumnId| {
                    Ok(match columns.iter().chain(null).find(|(new, _)| *new == column) {
                        Some((_, old)) if columns.iter().any(|(new, _)| *new == column) => writer.renamed(*old, column),
                        Some((_, old)) => match writer.columns.engine_type(*old) {
                            Some(engine_type) => format!("cast(null as {engine_type}) as {}", name(column)),
                            None if input.columns.contains(old) => {
                                format!("case when false then {} end as {}", name(*old), name(column))
                            }
                            None => format!("null as {}", name(column)),
                        },
                        None => format!("{} as {}", writer.null(column), name(column)),
                    })
                };
                format!("select {} from {from} i", list(&found.columns, of)?)
            }
            FoundKind::Distinct { input } => format!("select distinct {columns} from {} i", self.relation(input)?),
            FoundKind::Union { inputs } => {
                let mut parts = Vec::with_capacity(inputs.len());
                for input in inputs {
                    parts.push(format!("select {columns} from {} i", self.relation(input)?));
                }
                parts.join(" union all ")
            }
            FoundKind::Pairs(pairs) => self.pairs(&found.columns, pairs)?,
            FoundKind::Outer { left, right, on, full } => {
                let mut parts = Vec::with_capacity(3);
                let (left_text, right_text) = (self.twice(left)?, self.twice(right)?);
                parts.push(format!(
                    "select {columns} from {left_text} l {}",
                    joined(writer, &right_text, "r", on, false)?
                ));
                parts.push(alone(writer, &found.columns, left, &left_text, &right_text)?);
                if *full {
                    parts.push(alone(writer, &found.columns, right, &right_text, &left_text)?);
                }
                parts.join(" union all ")
            }
            FoundKind::Partnered { input, partners, on } => {
                let from = self.relation(input)?;
                let partners = self.relation(partners)?;
                let same = conditions(writer, on)?;
                format!("select {columns} from {from} i where exists (select 1 from {partners} p where {same})")
            }
            FoundKind::Slice { rows, touched, by } => {
                let by_columns = list(by, |column| Ok(name(column)))?;
                let same: Vec<String> = by
                    .iter()
                    .map(|column| {
                        let [of_rows, of_touched] = ["s", "t"].map(|alias| format!("{alias}.{}", name(*column)));
                        writer.same((&of_rows, *column), (&of_touched, *column), true)
                    })
                    .collect();
                format!(
                    "select {} from {} s join (select distinct {by_columns} from {} i) t on {}",
                    list(&found.columns, |column| Ok(format!("s.{}", name(column))))?,
                    self.relation(rows)?,
                    self.relation(touched)?,
                    same.join(" and ")
                )
            }
        })
    }

    fn rows(&self, columns: &[ColumnId], table: usize, places: &[usize], which: Which) -> Result<String, InvalidName> {
        let writer = self.writer;
        let placed: Vec<(ColumnId, usize)> = columns.iter().copied().zip(places.iter().copied()).collect();
        let mut selected = Vec::with_capacity(placed.len());
        for (column, place) in &placed {
            selected.push(format!("{} as {}", writer.table_column(table, *place)?, name(*column)));
        }
        if selected.is_empty() {
            selected.push("1 as _one".to_owned());
        }
        let selected = selected.join(", ");
        // Not every engine takes a subquery without a name.
        let named = |relation: &str| if relation.starts_with('(') { " r" } else { "" };
        let from = |relation: &str| format!("select {selected} from {relation}{}", named(relation));
        let Some(sql) = writer.tables.get(table) else { return Err(InvalidName::Empty) };
        Ok(match (which, &sql.changed) {
            (Which::Chosen(number), _) => (writer.chosen)(number, &placed)?,
            (Which::All, None) => from(&sql.current),
            (Which::All, Some((before, _))) => format!("{} union all {}", from(&sql.current), from(before)),
            (Which::Changed, Some((before, after))) => format!("{} union all {}", from(before), from(after)),
            (Which::Changed, None) => format!("{} where false", from(&sql.current)),
        })
    }

    fn pairs(&mut self, columns: &[ColumnId], pairs: &Pairs) -> Result<String, InvalidName> {
        let driving = self.relation(&pairs.driving)?;
        let other = self.relation(&pairs.other)?;
        let join = joined(self.writer, &other, "o", &pairs.on, pairs.outer)?;
        let mut variants = vec!["(0)"];
        if pairs.without_other {
            variants.push("(1)");
        }
        if pairs.without_driving {
            variants.push("(2)");
        }
        let of = |column: ColumnId| {
            let gone = if pairs.driving.columns.contains(&column) {
                pairs.without_driving.then_some(2)
            } else {
                pairs.without_other.then_some(1)
            };
            Ok(match gone {
                Some(variant) => format!("case when _variant <> {variant} then {0} end as {0}", name(column)),
                None => name(column),
            })
        };
        let selected = list(columns, of)?;
        let variants = if variants.len() == 1 {
            String::new()
        } else {
            format!(" cross join (values {}) v(_variant)", variants.join(", "))
        };
        Ok(format!("select {selected} from {driving} d {join}{variants}"))
    }
}

/// Conditions between two relations, joined by AND; empty without.
fn conditions(writer: &Writer<'_>, on: &[Scalar]) -> Result<String, InvalidName> {
    let known = |column: ColumnId| Ok(if writer.columns.is_known(column) { name(column) } else { "null".to_owned() });
    let conditions: Result<Vec<_>, _> = on.iter().map(|condition| writer.scalar(condition, &known)).collect();
    Ok(conditions?.join(" and "))
}

fn joined(writer: &Writer<'_>, relation: &str, alias: &str, on: &[Scalar], outer: bool) -> Result<String, InvalidName> {
    let conditions = conditions(writer, on)?;
    Ok(match (outer, conditions.is_empty()) {
        (false, true) => format!("cross join {relation} {alias}"),
        (false, false) => format!("join {relation} {alias} on {conditions}"),
        (true, true) => format!("left join {relation} {alias} on true"),
        (true, false) => format!("left join {relation} {alias} on {conditions}"),
    })
}

/// The rows of one side with NULL in the place of the other.
fn alone(
    writer: &Writer<'_>,
    columns: &[ColumnId],
    side: &Found,
    own: &str,
    other: &str,
) -> Result<String, InvalidName> {
    let mut typed = true;
    let selected = list(columns, |column| {
        if side.columns.contains(&column) {
            return Ok(name(column));
        }
        Ok(match writer.columns.engine_type(column) {
            Some(engine_type) => format!("cast(null as {engine_type}) as {}", name(column)),
            None => {
                typed = false;
                name(column)
            }
        })
    })?;
    // The type of a NULL that is nowhere written is that of the column it stands for.
    let typed_by = if typed { String::new() } else { format!(" left join {other} o on false") };
    Ok(format!("select {selected} from {own} l{typed_by}"))
}

fn list(
    columns: &[ColumnId],
    mut of: impl FnMut(ColumnId) -> Result<String, InvalidName>,
) -> Result<String, InvalidName> {
    if columns.is_empty() {
        return Ok("1 as _one".to_owned());
    }
    let parts: Result<Vec<_>, _> = columns.iter().map(|column| of(*column)).collect();
    Ok(parts?.join(", "))
}
