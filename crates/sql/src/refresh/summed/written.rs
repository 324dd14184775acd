//! The texts of a stage with sums, and of what is left in its place.

use std::collections::BTreeSet;
use std::ops::Range;

use super::typing::scale_column;
use super::{Filter, KeptSum, PieceKind, READ, ROWS, Summed, Summing, Typing};
use crate::dialect::{Dialect, InvalidName};
use crate::refresh::restricted::{on_its_own, replaced};
use crate::refresh::split::{Stage, quoted};

/// A select that is put into two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Written {
    /// What it stands in.
    pub(super) text: String,
    pub(super) summed: Summed,
    /// The name of the stage.
    pub(super) stage: String,
    /// The CTEs that its query needs from around it.
    pub(super) ctes: Vec<Range<usize>>,
    /// The tables of whose changes it is a linear function.
    pub(super) linear: BTreeSet<Vec<String>>,
    /// The tables of FROM that are read in one place.
    pub(super) once: BTreeSet<Vec<String>>,
    /// Columns by which a stage is kept apart beside those that the select groups by, each with the name of its table.
    pub(super) apart: Vec<(String, String)>,
}

/// The columns of a stage, as they are found to be needed.
#[derive(Default)]
struct StageColumns {
    /// Text and name.
    keys: Vec<(String, String)>,
    counts: Vec<(String, String)>,
    sums: Vec<Sum>,
    /// Text and name.
    scales: Vec<(String, String)>,
}

struct Sum {
    /// What is added where there is no filter, or it lets the row through.
    argument: String,
    /// NULL where nothing is added.
    added: String,
    text: String,
    kept: KeptSum,
}

impl StageColumns {
    fn key(&mut self, text: &str) -> String {
        named(&mut self.keys, text, "thalweg_key")
    }

    fn count(&mut self, text: &str) -> String {
        named(&mut self.counts, text, "thalweg_count")
    }

    fn sum(&mut self, argument: &str, filter: &str, condition: Option<&str>) -> (String, String) {
        let text = format!("sum({argument}){filter}");
        if let Some(Sum { kept, .. }) = self.sums.iter().find(|sum| sum.text == text) {
            return (kept.name.clone(), kept.count.clone());
        }
        let count = self.count(&format!("count({argument}){filter}"));
        let name = format!("thalweg_sum_{}", self.sums.len() + 1);
        // The line breaks end comments.
        let added = condition
            .map_or_else(|| argument.to_owned(), |condition| format!("case when {condition}\n then {argument}\n end"));
        let kept = KeptSum { name: name.clone(), count: count.clone(), scale: None };
        self.sums.push(Sum { argument: argument.to_owned(), added, text, kept });
        (name, count)
    }

    /// Adds the scales that are kept beside keys and sums.
    fn add_scales(&mut self, dialect: &dyn Dialect, typing: &Typing) -> Option<()> {
        for (text, name) in self.keys.iter().filter(|(_, name)| typing.has_scale(name)) {
            self.scales.push((dialect.scale(text)?, scale_column(name)));
        }
        for sum in self.sums.iter_mut().filter(|sum| typing.has_scale(&sum.kept.name)) {
            let column = scale_column(&sum.kept.name);
            self.scales.push((dialect.scale(&sum.added)?, column.clone()));
            sum.kept.scale = Some(column);
        }
        Some(())
    }
}

fn named(columns: &mut Vec<(String, String)>, text: &str, prefix: &str) -> String {
    if let Some((_, name)) = columns.iter().find(|(one, _)| one == text) {
        return name.clone();
    }
    let name = format!("{prefix}_{}", columns.len() + 1);
    columns.push((text.to_owned(), name.clone()));
    name
}

impl Written {
    fn piece(&self, span: &Range<usize>) -> &str {
        self.text.get(span.clone()).unwrap_or_default()
    }

    fn filter(&self, filter: Option<&Filter>) -> String {
        filter.map_or_else(String::new, |filter| format!(" {}", self.piece(&filter.whole)))
    }

    fn sum(&self, columns: &mut StageColumns, argument: &Range<usize>, filter: Option<&Filter>) -> (String, String) {
        let condition = filter.map(|filter| self.piece(&filter.condition));
        columns.sum(self.piece(argument), &self.filter(filter), condition)
    }

    /// The stage, and what is left in its place.
    pub(super) fn parts(&self, dialect: &dyn Dialect, typing: &Typing) -> Result<Option<(Stage, String)>, InvalidName> {
        let summed = &self.summed;
        let column = |name: &str| Ok(format!("{READ}.{}", dialect.quote_identifier(name)?));
        let mut columns = StageColumns::default();
        let mut groups = Vec::with_capacity(summed.keys.len());
        for key in &summed.keys {
            // Two expressions that are written alike are one.
            groups.push(columns.key(self.piece(key)));
        }
        let mut found_by = Vec::with_capacity(self.apart.len());
        for (table, column) in &self.apart {
            let (table, column) = (dialect.quote_identifier(table)?, dialect.quote_identifier(column)?);
            found_by.push(columns.key(&format!("{table}.{column}")));
        }
        let mut places: Vec<(Range<usize>, String)> = Vec::with_capacity(summed.pieces.len() + 2);
        for piece in &summed.pieces {
            let new = match &piece.kind {
                PieceKind::Key { key, name } => {
                    let Some(group) = groups.get(*key) else { return Ok(None) };
                    match name {
                        Some(name) => format!("{} as {}", column(group)?, dialect.quote_identifier(name)?),
                        None => column(group)?,
                    }
                }
                PieceKind::Rows { filter: None } => total(&column(ROWS)?),
                PieceKind::Rows { filter } => {
                    total(&column(&columns.count(&format!("count(*){}", self.filter(filter.as_ref()))))?)
                }
                PieceKind::Values { argument, filter } => {
                    let text = format!("count({}){}", self.piece(argument), self.filter(filter.as_ref()));
                    total(&column(&columns.count(&text))?)
                }
                PieceKind::Sum { argument, filter } => {
                    let (sum, _) = self.sum(&mut columns, argument, filter.as_ref());
                    let added = format!("sum({})", column(&sum)?);
                    typing.narrow(&sum).map_or_else(|| added.clone(), |name| format!("cast({added} as {name})"))
                }
                PieceKind::Average { argument, filter } => {
                    let (sum, count) = self.sum(&mut columns, argument, filter.as_ref());
                    dialect.average(&format!("sum({})", column(&sum)?), &format!("sum({})", column(&count)?))
                }
                PieceKind::Each => column(&columns.key(self.piece(&piece.span)))?,
            };
            places.push((piece.span.clone(), new));
        }
        places.push((summed.from.clone(), format!("from {} {READ}", quoted(dialect, &self.stage)?)));
        if let Some(group_by) = &summed.group_by {
            let groups: Result<Vec<String>, InvalidName> = groups.iter().map(|group| column(group)).collect();
            places.push((group_by.clone(), format!("group by {}", groups?.join(", "))));
        }
        let start = summed.select.start;
        let moved = places.into_iter().map(|(span, new)| (span.start - start..span.end - start, new)).collect();
        let outer = replaced(self.piece(&summed.select), moved);
        if columns.add_scales(dialect, typing).is_none() {
            return Ok(None);
        }
        Ok(Some((Stage { found_by, ..self.stage(dialect, &columns)? }, outer)))
    }

    fn stage(&self, dialect: &dyn Dialect, columns: &StageColumns) -> Result<Stage, InvalidName> {
        let selected = |text: &str, name: &str| Ok(format!("{text} as {}", dialect.quote_identifier(name)?));
        let mut list = Vec::new();
        let mut names = Vec::new();
        let mut probed = Vec::new();
        for (text, name) in &columns.keys {
            list.push(selected(text, name)?);
            probed.push(selected(text, name)?);
            names.push(name.clone());
        }
        for (text, name) in &columns.scales {
            list.push(selected(text, name)?);
            names.push(name.clone());
        }
        let keys = names.clone();
        list.push(selected("count(*)", ROWS)?);
        names.push(ROWS.to_owned());
        for (text, name) in &columns.counts {
            list.push(selected(text, name)?);
            names.push(name.clone());
        }
        for Sum { argument, text, kept, .. } in &columns.sums {
            list.push(selected(text, &kept.name)?);
            probed.push(selected(argument, &kept.name)?);
            names.push(kept.name.clone());
        }
        let places: Vec<String> = (1..=keys.len()).map(|place| place.to_string()).collect();
        let group_by = if keys.is_empty() { String::new() } else { format!("\ngroup by {}", places.join(", ")) };
        if probed.is_empty() {
            probed.push("1 as thalweg_nothing".to_owned());
        }
        let in_pieces = !self.apart.is_empty() && !self.summed.keys.is_empty();
        let summing = Summing {
            keys: keys.clone(),
            probed: columns.keys.len(),
            counts: columns.counts.iter().map(|(_, name)| name.clone()).collect(),
            sums: columns.sums.iter().map(|sum| sum.kept.clone()).collect(),
            probe: self.query(&probed, ""),
            linear: self.linear.clone(),
            total: self.summed.keys.is_empty(),
            pieces_of: if in_pieces { self.once.clone() } else { BTreeSet::new() },
        };
        let reason = if in_pieces {
            "groups that a subquery takes part in: kept in pieces by what it looks for, of which a change touches few"
        } else {
            "large groups, whose counts and sums are kept by adding and subtracting what changed"
        };
        Ok(Stage {
            name: self.stage.clone(),
            text: self.query(&list, &group_by),
            columns: names,
            one_row: keys.is_empty(),
            key: keys,
            found_by: Vec::new(),
            reason: reason.to_owned(),
            summing: Some(summing),
        })
    }

    /// A query of the select's FROM and WHERE.
    fn query(&self, list: &[String], group_by: &str) -> String {
        let select = format!("select {}\n{}\n{group_by}", list.join(", "), self.piece(&self.summed.from));
        let before = self.summed.query..self.summed.select.start;
        on_its_own(&self.text, &self.ctes, before, select.trim_end())
    }
}

fn total(count: &str) -> String {
    format!("cast(coalesce(sum({count}), 0) as bigint)")
}
