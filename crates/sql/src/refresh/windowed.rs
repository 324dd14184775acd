//! Groups below windows, as a table of their own.
//!
//! `rank() over (order by sum(amount) desc)` looks at all groups, of which a change touches few. So what such a select groups by and its
//! aggregates are taken out of it, and what is left is a select from groups that are kept by affected keys: it is computed anew, over
//! the groups instead of the rows.

use std::ops::Range;

use super::relation::{Kind, Relation};
use super::restricted::{on_its_own, replaced};
use super::split::quoted;
use crate::dialect::{Dialect, InvalidName};

/// What the groups are called where they are read: nothing in a user's text has that name.
const READ: &str = "thalweg_groups";

/// The pieces of a select that groups, and looks at its groups through windows. All spans are of the text it stands in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowedGroups {
    /// Where its query begins: at WITH, or at SELECT.
    pub query: usize,
    /// From SELECT to its end, without ORDER BY.
    pub select: Range<usize>,
    /// FROM and WHERE.
    pub from: Range<usize>,
    /// GROUP BY.
    pub group_by: Option<Range<usize>>,
    /// HAVING.
    pub having: Option<Range<usize>>,
    /// The grouping expressions.
    pub keys: Vec<Range<usize>>,
    /// What is a column of the groups in the select list, in QUALIFY and in named windows, in order.
    pub parts: Vec<Part>,
}

/// A group or an aggregate in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Where it stands.
    pub span: Range<usize>,
    /// What it is.
    pub kind: PartKind,
}

/// What a part is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartKind {
    /// A grouping expression; with the name it gives a column.
    Key {
        /// Which.
        key: usize,
        /// The column's name, where the text gives it no other.
        name: Option<String>,
    },
    /// The call of an aggregate.
    Aggregate,
}

/// A select in two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Divided {
    /// The query of its groups.
    pub(super) groups: String,
    /// Names of their columns.
    pub(super) columns: Vec<String>,
    /// What stands in the places of groups and aggregates, and what goes; of the select.
    places: Vec<(Range<usize>, String)>,
    /// FROM and WHERE; of the select.
    from: Range<usize>,
    /// The select, with its own CTEs, which only the groups need; of the text.
    whole: Range<usize>,
    select: String,
}

impl Divided {
    /// The text with a select from a stage in the place of its own.
    pub(super) fn rest(&self, text: &str, stage: &str, dialect: &dyn Dialect) -> Result<String, InvalidName> {
        let mut places = self.places.clone();
        places.push((self.from.clone(), format!("from {} {READ}", quoted(dialect, stage)?)));
        Ok(replaced(text, vec![(self.whole.clone(), replaced(&self.select, places))]))
    }
}

impl WindowedGroups {
    /// Divides the select; `ctes` are those that it needs from around it.
    pub(super) fn divided(
        &self,
        text: &str,
        ctes: &[Range<usize>],
        dialect: &dyn Dialect,
    ) -> Result<Option<Divided>, InvalidName> {
        let piece = |span: &Range<usize>| text.get(span.clone()).unwrap_or_default();
        let mut columns: Vec<(&str, String)> = Vec::with_capacity(self.keys.len() + self.parts.len());
        let mut column = |of: &Range<usize>, prefix: &str| -> Result<String, InvalidName> {
            let name = match columns.iter().find(|(text, _)| *text == piece(of)) {
                Some((_, name)) => name.clone(),
                None => {
                    let name = format!("thalweg_{prefix}_{}", columns.len() + 1);
                    columns.push((piece(of), name.clone()));
                    name
                }
            };
            Ok(format!("{READ}.{}", dialect.quote_identifier(&name)?))
        };
        let keys: Result<Vec<String>, InvalidName> = self.keys.iter().map(|key| column(key, "key")).collect();
        let keys = keys?;
        let mut places = Vec::with_capacity(self.parts.len() + 2);
        for part in &self.parts {
            let new = match &part.kind {
                PartKind::Aggregate => column(&part.span, "value")?,
                PartKind::Key { key, name } => {
                    let Some(key) = keys.get(*key) else { return Ok(None) };
                    match name {
                        Some(name) => format!("{key} as {}", dialect.quote_identifier(name)?),
                        None => key.clone(),
                    }
                }
            };
            places.push((part.span.clone(), new));
        }
        places.extend(self.group_by.iter().chain(&self.having).map(|gone| (gone.clone(), String::new())));
        let moved = |span: &Range<usize>| span.start - self.select.start..span.end - self.select.start;
        let grouped = columns.iter().filter(|(_, name)| name.starts_with("thalweg_key")).count();
        let mut list = Vec::with_capacity(columns.len());
        for (text, name) in &columns {
            list.push(format!("{text} as {}", dialect.quote_identifier(name)?));
        }
        let by: Vec<String> = (1..=grouped).map(|place| place.to_string()).collect();
        let having = self.having.as_ref().map(|having| format!("\n{}", piece(having))).unwrap_or_default();
        let select = format!("select {}\n{}\ngroup by {}{having}", list.join(", "), piece(&self.from), by.join(", "));
        Ok(Some(Divided {
            groups: on_its_own(text, ctes, self.query..self.select.start, &select),
            columns: columns.into_iter().map(|(_, name)| name).collect(),
            places: places.into_iter().map(|(span, new)| (moved(&span), new)).collect(),
            from: moved(&self.from),
            whole: self.query..self.select.end,
            select: piece(&self.select).to_owned(),
        }))
    }
}

/// All such selects of a relation.
pub(super) fn windowed<'a>(relation: &'a Relation, found: &mut Vec<&'a WindowedGroups>) {
    if let Kind::Aggregate(aggregate) = &relation.kind
        && let Some(windowed) = &aggregate.windowed
        && !found.iter().any(|other| other.select == windowed.select)
    {
        found.push(windowed);
    }
    relation.inputs().into_iter().for_each(|input| self::windowed(input, found));
}
