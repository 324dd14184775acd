//! What the columns of a tree are: where they come from, and whether their value is known while keys are looked for.

use std::collections::{BTreeMap, BTreeSet};

use super::clock::reads_clock;
use crate::dialect::Dialect;

use super::relation::{Aggregate, Apply, ApplyKind, ColumnId, Expression, Kind, Relation, Scalar, Tree};

/// Where a column comes from.
#[derive(Debug, Clone)]
pub(super) enum Definition {
    /// A column of a table: index into [`Tree::tables`], and into its columns.
    Table(usize, usize),
    /// An expression.
    Computed(Scalar),
    /// A column of a set operation, or a grouping column of grouping sets.
    Other,
    /// An aggregate, a window, a subquery, or what cannot be followed.
    Unknown,
}

/// The columns of a tree.
#[derive(Debug, Clone, Default)]
pub(super) struct Columns {
    definitions: BTreeMap<ColumnId, Definition>,
    known: BTreeSet<ColumnId>,
    types: BTreeMap<ColumnId, String>,
    /// For each column of a set operation those that it is made of.
    branches: BTreeMap<ColumnId, Vec<ColumnId>>,
    /// For each column of a scan the first column of that scan.
    homes: BTreeMap<ColumnId, ColumnId>,
}

impl Columns {
    pub(super) fn of(tree: &Tree) -> Self {
        let mut columns = Self::default();
        columns.walk(&tree.root, tree);
        columns
    }

    /// Whether the value is known in discovery.
    pub(super) fn is_known(&self, column: ColumnId) -> bool {
        self.known.contains(&column)
    }

    pub(super) fn all_known(&self, scalar: &Scalar) -> bool {
        !matches!(scalar, Scalar::Unknown(_)) && scalar.columns().iter().all(|column| self.is_known(*column))
    }

    pub(super) fn definition(&self, column: ColumnId) -> &Definition {
        self.definitions.get(&column).unwrap_or(&Definition::Unknown)
    }

    /// The engine's type, where it is known.
    pub(super) fn engine_type(&self, column: ColumnId) -> Option<&str> {
        self.types.get(&column).map(String::as_str)
    }

    /// The type that the engine gives a column, where it can be told: of a set operation it is one that all of its branches fit in.
    pub(super) fn type_of(&self, column: ColumnId, dialect: &dyn Dialect, text: &str) -> Option<String> {
        if let Some(engine_type) = self.types.get(&column) {
            return Some(engine_type.clone());
        }
        if let Definition::Computed(Scalar::Text(Expression { span, .. })) = self.definition(column) {
            return dialect.type_of_cast(text.get(span.clone())?);
        }
        let parts: &[ColumnId] = match (self.definition(column), self.branches.get(&column)) {
            (Definition::Computed(Scalar::Column(inner)), _) => std::slice::from_ref(inner),
            (Definition::Computed(Scalar::Coalesce(parts)), _) | (_, Some(parts)) => parts,
            _ => return None,
        };
        let mut common: Option<String> = None;
        for part in parts.iter().filter(|part| !self.is_null(**part, text)) {
            let other = self.type_of(*part, dialect, text)?;
            common = Some(match common {
                Some(one) => dialect.common_type(&one, &other)?,
                None => other,
            });
        }
        common
    }

    /// Whether NULL in a branch of a set operation can be given the type of what stands in the others; so where there is none.
    fn has_type(&self, column: ColumnId, text: &str) -> bool {
        let branches = self.branches.get(&column).map_or(&[][..], Vec::as_slice);
        let (null, other): (Vec<ColumnId>, Vec<ColumnId>) =
            branches.iter().copied().partition(|branch| self.is_null(*branch, text));
        null.is_empty() || !other.is_empty() && other.iter().all(|branch| self.is_typed(*branch))
    }

    fn is_typed(&self, column: ColumnId) -> bool {
        self.types.contains_key(&column)
            || match (self.definition(column), self.branches.get(&column)) {
                (Definition::Computed(Scalar::Column(inner)), _) => self.is_typed(*inner),
                (Definition::Computed(Scalar::Coalesce(parts)), _) | (_, Some(parts)) => {
                    parts.iter().all(|part| self.is_typed(*part))
                }
                _ => false,
            }
    }

    /// Whether a column is NULL and nothing else, as it is written.
    pub(super) fn is_null(&self, column: ColumnId, text: &str) -> bool {
        match self.definition(column) {
            Definition::Computed(Scalar::Column(inner)) => self.is_null(*inner, text),
            Definition::Computed(Scalar::Null) => true,
            Definition::Computed(Scalar::Text(Expression { span, .. })) => {
                let piece = text.get(span.clone()).unwrap_or_default();
                piece
                    .trim_matches(|letter: char| letter.is_whitespace() || "()".contains(letter))
                    .eq_ignore_ascii_case("null")
            }
            _ => false,
        }
    }

    /// The scans a column is computed from, each by its first column; other columns stand for themselves.
    pub(super) fn homes(&self, column: ColumnId) -> BTreeSet<ColumnId> {
        match (self.homes.get(&column), self.definition(column)) {
            (Some(home), _) => BTreeSet::from([*home]),
            (None, Definition::Computed(scalar)) => {
                scalar.columns().into_iter().flat_map(|inner| self.homes(inner)).collect()
            }
            _ => BTreeSet::from([column]),
        }
    }

    /// The table column that this column hands on unchanged, through renamings.
    pub(super) fn table_column(&self, column: ColumnId) -> Option<(usize, usize)> {
        match self.definition(column) {
            Definition::Table(table, index) => Some((*table, *index)),
            Definition::Computed(Scalar::Column(inner)) => self.table_column(*inner),
            _ => None,
        }
    }

    /// Whether the column can be computed from columns of `available` without looking at other rows. An expression without columns
    /// follows from nothing: on the nullable side of an outer join it may be NULL, and its text does not say where it stands.
    pub(super) fn follows_from(&self, column: ColumnId, available: &BTreeSet<ColumnId>, text: &str) -> bool {
        if available.contains(&column) {
            return true;
        }
        match self.definition(column) {
            Definition::Computed(scalar @ (Scalar::Column(_) | Scalar::Text(_) | Scalar::Coalesce(_))) => {
                let used = scalar.columns();
                !makes_rows(scalar, text)
                    && !used.is_empty()
                    && used.iter().all(|inner| self.follows_from(*inner, available, text))
            }
            _ => false,
        }
    }

    fn walk(&mut self, relation: &Relation, tree: &Tree) {
        for column in &relation.columns {
            if let Some(name) = &column.engine_type {
                self.types.insert(column.id, name.clone());
            }
        }
        match &relation.kind {
            Kind::Scan { table } => {
                for (index, column) in relation.columns.iter().enumerate() {
                    self.define(column.id, Definition::Table(*table, index), true);
                    self.homes.insert(column.id, relation.columns[0].id);
                }
            }
            Kind::Constant { .. } => {
                relation.columns.iter().for_each(|column| self.define(column.id, Definition::Other, true));
            }
            Kind::Filter { input, .. } | Kind::Distinct { input } | Kind::DistinctOn { input, .. } => {
                self.walk(input, tree);
            }
            Kind::Project { input, computed } => {
                self.walk(input, tree);
                // Several `unnest` of one select go side by side, the shorter filled up with NULL: they are had together or not at all.
                let together = computed
                    .iter()
                    .filter(|(_, scalar)| makes_rows(scalar, &tree.text))
                    .all(|(_, scalar)| self.all_known(scalar));
                for (column, scalar) in computed {
                    // What reads the time is one value for old rows and another for new ones.
                    let known = self.all_known(scalar)
                        && (together || !makes_rows(scalar, &tree.text))
                        && !reads_clock(scalar, tree);
                    self.define(*column, Definition::Computed(scalar.clone()), known);
                }
            }
            Kind::Join(join) => {
                self.walk(&join.left, tree);
                self.walk(&join.right, tree);
            }
            Kind::Apply(Apply { left, right, kind, .. }) => {
                self.walk(left, tree);
                self.walk(right, tree);
                if let ApplyKind::Value(value) | ApplyKind::Membership { value: Some(value), .. } = kind {
                    self.define(*value, Definition::Unknown, false);
                }
            }
            Kind::Aggregate(Aggregate { input, groups, aggregates, .. }) => {
                self.walk(input, tree);
                for (group, from) in groups {
                    if group != from {
                        self.define(*group, Definition::Other, self.is_known(*from));
                    }
                }
                aggregates.iter().for_each(|column| self.define(*column, Definition::Unknown, false));
            }
            Kind::Window(window) => {
                self.walk(&window.input, tree);
                window.computed.iter().for_each(|column| self.define(*column, Definition::Unknown, false));
            }
            Kind::SetOperation { inputs, .. } => {
                inputs.iter().for_each(|input| self.walk(input, tree));
                for (index, column) in relation.columns.iter().enumerate() {
                    let branches = inputs.iter().filter_map(|input| input.columns.get(index));
                    self.branches.insert(column.id, branches.map(|inner| inner.id).collect());
                    let known = inputs
                        .iter()
                        .all(|input| input.columns.get(index).is_some_and(|inner| self.is_known(inner.id)))
                        && (!tree.needs_types || self.has_type(column.id, &tree.text));
                    self.define(column.id, Definition::Other, known);
                }
            }
            Kind::Opaque { inputs, .. } => {
                inputs.iter().for_each(|input| self.walk(input, tree));
                for column in &relation.columns {
                    self.known.remove(&column.id);
                    self.definitions.insert(column.id, Definition::Unknown);
                }
            }
        }
    }

    fn define(&mut self, column: ColumnId, definition: Definition, known: bool) {
        self.definitions.insert(column, definition);
        if known {
            self.known.insert(column);
        }
    }
}

/// Functions that make several rows of one beside `unnest`; what they come to is [`Scalar::Unknown`].
const EXPANDING: [&str; 12] = [
    "regexp_split_to_table",
    "generate_subscripts",
    "unlist",
    "generate_series",
    "json_array_elements",
    "jsonb_array_elements",
    "json_each",
    "jsonb_each",
    "object_keys",
    "to_recordset",
    "regexp_matches",
    "string_to_table",
];

/// Whether an expression makes several rows of one, or may: of what is unknown, the text is not.
pub(super) fn makes_rows(scalar: &Scalar, text: &str) -> bool {
    match scalar {
        Scalar::Text(Expression { span, .. }) => {
            text.get(span.clone()).is_some_and(|piece| piece.to_ascii_lowercase().contains("unnest"))
        }
        Scalar::Unknown(_) => {
            let text = text.to_ascii_lowercase();
            EXPANDING.iter().any(|name| text.contains(name))
                || text.contains("path_query")
                || text.contains("_populate_")
        }
        _ => false,
    }
}

/// The identities of a relation's columns.
pub(super) fn ids(relation: &Relation) -> BTreeSet<ColumnId> {
    relation.columns.iter().map(|column| column.id).collect()
}
