//! Which column a name means.

use std::ops::Range;

use sqlparser::ast::Ident;

use crate::parser::facts::unescaped;
use crate::refresh::ColumnId;

/// A column of something in FROM.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub(super) name: String,
    /// Another name that means it too: `range` of `range(3) r`.
    pub(super) also: Option<String>,
    pub(super) id: ColumnId,
    /// What `*` shows in its place; `None` for a column that `USING` has merged into another.
    pub(super) starred: Option<ColumnId>,
    /// Whether its name alone means the merged column of `USING`.
    pub(super) merged: bool,
    /// Whether a name may go on into its fields, where the type is known.
    pub(super) fields: Option<bool>,
}

impl Named {
    pub(super) fn new(name: impl Into<String>, id: ColumnId) -> Self {
        Self { name: name.into(), also: None, id, starred: Some(id), merged: false, fields: None }
    }

    /// The same with the engine's type.
    pub(super) fn typed(mut self, engine_type: Option<&str>) -> Self {
        self.fields = engine_type.and_then(|name| {
            let name = name.trim().to_ascii_uppercase();
            let structure = ["STRUCT", "UNION", "VARIANT"].iter().any(|start| name.starts_with(start));
            let maybe = name.starts_with("MAP") || name == "JSON";
            (!maybe).then_some(structure && !name.ends_with(']'))
        });
        self
    }

    fn is(&self, name: &str) -> bool {
        same(&self.name, name) || self.also.as_deref().is_some_and(|also| same(also, name))
    }
}

/// Something in FROM.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) schema: Option<String>,
    /// Empty for what has no name.
    pub(super) name: String,
    pub(super) columns: Vec<Named>,
}

/// What the names of one select may mean.
#[derive(Debug, Clone)]
pub(super) struct Scope<'s> {
    /// The select around it.
    pub(super) parent: Option<&'s Scope<'s>>,
    pub(super) level: usize,
    pub(super) sources: Vec<Source>,
    /// Columns of `USING` and `NATURAL`.
    pub(super) merged: Vec<(String, ColumnId)>,
    /// What `*` shows first of a range of sources, of joins in order: none where a merged column stays in its place.
    pub(super) fronts: Vec<Front>,
}

/// Columns that stand before all others of the sources in a range.
#[derive(Debug, Clone)]
pub(super) struct Front {
    pub(super) sources: Range<usize>,
    pub(super) columns: Vec<ColumnId>,
}

/// What a name means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// A column; `used` parts of the name are it, the others fields of its struct.
    Column {
        id: ColumnId,
        used: usize,
        level: usize,
    },
    /// The same, if the column has fields, which nobody knows.
    Perhaps {
        id: ColumnId,
        used: usize,
        level: usize,
    },
    /// All columns of a source as one struct.
    Row {
        columns: Vec<ColumnId>,
        level: usize,
    },
    /// It could mean several.
    Ambiguous,
    Nothing,
}

impl<'s> Scope<'s> {
    pub(super) fn new(parent: Option<&'s Scope<'s>>) -> Self {
        Self::empty(parent, parent.map_or(0, |parent| parent.level + 1))
    }

    pub(super) fn empty(parent: Option<&'s Scope<'s>>, level: usize) -> Self {
        Self { parent, level, sources: Vec::new(), merged: Vec::new(), fronts: Vec::new() }
    }

    /// What a name means among the columns of this select alone.
    /// Whether something in FROM has a column that only the engine has a name for: any name may mean it.
    pub(super) fn has_unnamed(&self) -> bool {
        self.sources.iter().any(|source| source.columns.iter().any(|column| column.name.is_empty()))
    }

    pub(super) fn own(&self, parts: &[String]) -> Found {
        self.among(parts, &self.sources)
    }

    /// The same, where sources from the given one on come first.
    pub(super) fn own_from(&self, parts: &[String], first: usize) -> Found {
        match self.among(parts, &self.sources[first.min(self.sources.len())..]) {
            Found::Nothing => self.own(parts),
            found => found,
        }
    }

    fn among(&self, parts: &[String], sources: &[Source]) -> Found {
        let Some(first) = parts.first() else { return Found::Nothing };
        let column = |id: ColumnId, used: usize| Found::Column { id, used, level: self.level };
        if let [schema, table, name, ..] = parts {
            let of = sources.iter().filter(|source| {
                same(&source.name, table) && source.schema.as_ref().is_some_and(|one| same(one, schema))
            });
            match one(of.flat_map(|source| &source.columns).filter(|column| column.is(name)).map(|column| column.id)) {
                Ok(Some(id)) => return column(id, 3),
                Ok(None) => {}
                Err(()) => return Found::Ambiguous,
            }
        }
        if let [table, name, ..] = parts {
            let of = sources.iter().filter(|source| same(&source.name, table));
            match one(of.flat_map(|source| &source.columns).filter(|column| column.is(name)).map(|column| column.id)) {
                Ok(Some(id)) => return column(id, 2),
                Ok(None) => {}
                Err(()) => return Found::Ambiguous,
            }
        }
        let merged = self.merged.iter().filter(|(name, _)| same(name, first)).map(|(_, id)| *id);
        let plain = sources
            .iter()
            .flat_map(|source| &source.columns)
            .filter(|column| !column.merged && column.is(first))
            .map(|column| column.id);
        match one(merged.chain(plain)) {
            Ok(Some(id)) if parts.len() > 1 => {
                let mut all = sources.iter().flat_map(|source| &source.columns);
                match all.find(|column| column.id == id).and_then(|column| column.fields) {
                    Some(true) => column(id, 1),
                    Some(false) => Found::Nothing,
                    None => Found::Perhaps { id, used: 1, level: self.level },
                }
            }
            Ok(Some(id)) => column(id, 1),
            Ok(None) => Found::Nothing,
            Err(()) => Found::Ambiguous,
        }
    }

    /// Whether a name is that of a column known to be a struct.
    pub(super) fn is_struct(&self, parts: &[String]) -> bool {
        let Found::Column { id, used, .. } = self.own(parts) else { return false };
        let mut columns = self.sources.iter().flat_map(|source| &source.columns);
        used == parts.len() && columns.any(|column| column.id == id && column.fields == Some(true))
    }

    /// The source of a name.
    pub(super) fn source(&self, parts: &[String]) -> Option<&Source> {
        let named = |source: &&Source| match parts {
            [name] => same(&source.name, name),
            [schema, name] => same(&source.name, name) && source.schema.as_ref().is_some_and(|one| same(one, schema)),
            _ => false,
        };
        let mut found = self.sources.iter().filter(named);
        let first = found.next();
        if found.next().is_some() { None } else { first }
    }

    /// What a name means that is no column of this select: columns of those around it, then whole rows.
    pub(super) fn around(&self, parts: &[String]) -> Found {
        let mut scope = self;
        while let Some(parent) = scope.parent {
            match parent.own(parts) {
                Found::Nothing => scope = parent,
                Found::Perhaps { .. } if parent.around(parts) != Found::Nothing => return Found::Ambiguous,
                // `x` may be the row of an inner table as well as an outer column.
                Found::Column { used: 1, level, .. } if parts.len() == 1 && self.row(parts, level).is_some() => {
                    return Found::Ambiguous;
                }
                found => return found,
            }
        }
        self.row(parts, 0).unwrap_or(Found::Nothing)
    }

    /// The row of a source of this name, in a select within `above`.
    fn row(&self, parts: &[String], above: usize) -> Option<Found> {
        let [_] = parts else { return None };
        let mut scope = Some(self);
        while let Some(looked) = scope {
            if let Some(source) = looked.source(parts) {
                let columns = source.columns.iter().map(|column| column.id).collect();
                return Some(Found::Row { columns, level: looked.level });
            }
            scope = looked.parent.filter(|parent| parent.level > above);
        }
        None
    }

    /// The columns of `*`, in order.
    pub(super) fn star(&self) -> Vec<(String, ColumnId, usize)> {
        let mut columns = Vec::new();
        for (index, source) in self.sources.iter().enumerate() {
            columns
                .extend(source.columns.iter().filter_map(|column| Some((column.name.clone(), column.starred?, index))));
        }
        for front in &self.fronts {
            let is_in_range = |(_, _, source): &(String, ColumnId, usize)| front.sources.contains(source);
            let Some(start) = columns.iter().position(is_in_range) else { continue };
            for (offset, id) in front.columns.iter().enumerate() {
                if let Some(at) = columns.iter().position(|column| is_in_range(column) && column.1 == *id) {
                    let column = columns.remove(at);
                    columns.insert(start + offset, column);
                }
            }
        }
        columns
    }
}

/// The one item, none, or an error for several different ones.
fn one(items: impl Iterator<Item = ColumnId>) -> Result<Option<ColumnId>, ()> {
    let mut found = None;
    for item in items {
        match found {
            None => found = Some(item),
            Some(_) => return Err(()),
        }
    }
    Ok(found)
}

pub(super) fn parts(names: &[&Ident]) -> Vec<String> {
    names.iter().map(|name| unescaped(name)).collect()
}

pub(super) fn same(left: &str, right: &str) -> bool {
    // Engines fold the letters of ASCII only: `é` and `É` are two names.
    left.eq_ignore_ascii_case(right)
}

/// Names as a subquery hands them on: the second `id` becomes `id_1`.
pub(super) fn distinct(names: &mut [String]) {
    let mut taken: std::collections::HashSet<String> = std::collections::HashSet::new();
    for name in names.iter_mut().filter(|name| !name.is_empty()) {
        let mut candidate = name.clone();
        let mut number = 0;
        while !taken.insert(candidate.to_ascii_lowercase()) {
            number += 1;
            candidate = format!("{name}_{number}");
        }
        *name = candidate;
    }
}
