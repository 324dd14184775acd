//! A superset of rows of the old and the new version of a relation, as a tree.
//!
//! There is neither an anti-join nor an aggregate in it: negation on rows of which some are no more would lose others.

use std::collections::BTreeSet;
use std::ops::Range;
use std::rc::Rc;

use super::clock::ClockChange;
use super::relation::{ColumnId, Expression, Scalar};

/// A relation that is found, by reference: what is used twice is written once.
pub(super) type FoundRef = Rc<Found>;

/// Some rows. How often a row occurs says nothing.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) kind: FoundKind,
    pub(super) columns: Vec<ColumnId>,
}

#[derive(Debug, Clone)]
pub(super) enum FoundKind {
    /// No rows.
    Nothing,
    /// One row without columns.
    One,
    /// Rows of a table: index into `Tree::tables`; the columns with their places in the table.
    Rows { table: usize, places: Vec<usize>, which: Which },
    /// Rows that depend on no table; all columns of its text.
    Constant { text: Expression, query: bool, all: Vec<ColumnId> },
    /// Rows that satisfy every condition.
    Filter { input: FoundRef, conditions: Vec<Scalar> },
    /// Rows for which one of the expressions answers otherwise at another time.
    Differing { input: FoundRef, expressions: Vec<Differing> },
    /// Rows with NULL in a column.
    Null { input: FoundRef, column: ColumnId },
    /// Rows without NULL in any column.
    Filled { input: FoundRef },
    /// Computed columns beside those handed on.
    Project { input: FoundRef, computed: Vec<(ColumnId, Scalar)> },
    /// Columns under other identities: pairs of (new, old), and columns that are NULL with one of whose type they are.
    Renamed { input: FoundRef, columns: Vec<(ColumnId, ColumnId)>, null: Vec<(ColumnId, ColumnId)> },
    /// Rows of `driving`, which are few, with their partners.
    Pairs(Pairs),
    /// `left` with its partners and with NULL in their place; with `full`, the right alone, too.
    Outer { left: FoundRef, right: FoundRef, on: Vec<Scalar>, full: bool },
    /// Rows that have a partner.
    Partnered { input: FoundRef, partners: FoundRef, on: Vec<Scalar> },
    /// All rows that share the values of `by` with a row of `touched`, NULL with NULL.
    Slice { rows: FoundRef, touched: FoundRef, by: Vec<ColumnId> },
    /// Each row once.
    Distinct { input: FoundRef },
    /// Rows of all of them. Each has at least the columns.
    Union { inputs: Vec<FoundRef> },
}

/// An expression that reads the time.
#[derive(Debug, Clone)]
pub(super) struct Differing {
    pub(super) expression: Expression,
    /// Where it reads it, and what it read and reads there.
    pub(super) places: Vec<(Range<usize>, ClockChange)>,
}

/// Rows of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// Those that differ between the versions.
    Changed,
    /// Those of either version.
    All,
    /// Those that are there now and that a use of the restriction chooses: its number.
    Chosen(usize),
}

#[derive(Debug, Clone)]
pub(super) struct Pairs {
    pub(super) driving: FoundRef,
    pub(super) other: FoundRef,
    pub(super) on: Vec<Scalar>,
    /// A row of `driving` without a partner stays.
    pub(super) outer: bool,
    /// Also with NULL in the place of the partner.
    pub(super) without_other: bool,
    /// Also the partner alone.
    pub(super) without_driving: bool,
}

impl Found {
    /// What it is made from.
    pub(super) fn parts(&self) -> Vec<&FoundRef> {
        match &self.kind {
            FoundKind::Nothing | FoundKind::One | FoundKind::Rows { .. } | FoundKind::Constant { .. } => Vec::new(),
            FoundKind::Filter { input, .. }
            | FoundKind::Differing { input, .. }
            | FoundKind::Null { input, .. }
            | FoundKind::Filled { input }
            | FoundKind::Project { input, .. }
            | FoundKind::Renamed { input, .. }
            | FoundKind::Distinct { input } => vec![input],
            FoundKind::Pairs(Pairs { driving, other, .. }) => vec![driving, other],
            FoundKind::Outer { left, right, .. } => vec![left, right],
            FoundKind::Slice { rows, touched, .. } => vec![rows, touched],
            FoundKind::Partnered { input, partners, .. } => vec![input, partners],
            FoundKind::Union { inputs } => inputs.iter().collect(),
        }
    }

    pub(super) fn is_nothing(&self) -> bool {
        matches!(self.kind, FoundKind::Nothing)
    }

    pub(super) fn new(kind: FoundKind, columns: impl IntoIterator<Item = ColumnId>) -> FoundRef {
        Rc::new(Self { kind, columns: columns.into_iter().collect() })
    }

    pub(super) fn nothing(columns: &BTreeSet<ColumnId>) -> FoundRef {
        Self::new(FoundKind::Nothing, columns.iter().copied())
    }

    pub(super) fn filter(input: FoundRef, conditions: Vec<Scalar>, columns: &BTreeSet<ColumnId>) -> FoundRef {
        if input.is_nothing() {
            return Self::nothing(columns);
        }
        if conditions.is_empty() {
            return Self::narrow(input, columns);
        }
        Self::new(FoundKind::Filter { input, conditions }, columns.iter().copied())
    }

    /// Fewer columns.
    pub(super) fn narrow(input: FoundRef, columns: &BTreeSet<ColumnId>) -> FoundRef {
        if input.columns.len() == columns.len() {
            return input;
        }
        if input.is_nothing() {
            return Self::nothing(columns);
        }
        Self::new(FoundKind::Project { input, computed: Vec::new() }, columns.iter().copied())
    }

    pub(super) fn distinct(input: FoundRef) -> FoundRef {
        if matches!(input.kind, FoundKind::Nothing | FoundKind::One | FoundKind::Distinct { .. }) {
            return input;
        }
        let columns = input.columns.clone();
        Self::new(FoundKind::Distinct { input }, columns)
    }

    pub(super) fn union(inputs: Vec<FoundRef>, columns: &BTreeSet<ColumnId>) -> FoundRef {
        let mut kept: Vec<FoundRef> = Vec::with_capacity(inputs.len());
        for input in inputs {
            match &input.kind {
                FoundKind::Nothing => {}
                FoundKind::Union { inputs } => kept.extend(inputs.iter().cloned()),
                _ => kept.push(input),
            }
        }
        match kept.len() {
            0 => Self::nothing(columns),
            1 => Self::narrow(kept.remove(0), columns),
            _ => Self::new(FoundKind::Union { inputs: kept }, columns.iter().copied()),
        }
    }

    pub(super) fn pairs(pairs: Pairs, columns: &BTreeSet<ColumnId>) -> FoundRef {
        // Without a partner side there is still the driving row, and without a driving row nothing.
        if pairs.driving.is_nothing() || (pairs.other.is_nothing() && !pairs.outer && !pairs.without_other) {
            return Self::nothing(columns);
        }
        Self::new(FoundKind::Pairs(pairs), columns.iter().copied())
    }
}
