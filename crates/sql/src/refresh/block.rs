//! Parts of a query that can be taken out of its text.

use std::ops::Range;

/// A query within a query that could be computed on its own. Where it stands, and what it needs from around it, are proven by reading
/// its text once more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// What it is.
    pub kind: BlockKind,
    /// The query, without the parentheses around it; the whole query for [`BlockKind::Limited`] and [`BlockKind::Whole`].
    pub span: Range<usize>,
    /// The CTEs it needs, each `name as (...)`, in order.
    pub ctes: Vec<Range<usize>>,
    /// What the text calls it; empty where it has no name.
    pub name: String,
    /// Whether it gives its rows in an order.
    pub ordered: bool,
}

/// What a block is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlockKind {
    /// A query in FROM, or the query of a CTE: its columns keep their names.
    Table,
    /// A query in an expression: its columns are known by their places.
    Value,
    /// The whole query, of which LIMIT keeps the first rows.
    Limited(Limited),
    /// The whole query.
    Whole,
}

/// How LIMIT chooses rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limited {
    /// The query without ORDER BY and LIMIT.
    pub body: Range<usize>,
    /// What the rows are ordered by, the first first.
    pub order: Vec<OrderItem>,
    /// From LIMIT or OFFSET to the end of the query.
    pub limit: Range<usize>,
}

/// One item of ORDER BY.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderItem {
    /// What it is.
    pub by: OrderBy,
    /// `ASC`, `DESC`; `None` where nothing is said.
    pub descending: Option<bool>,
    /// `NULLS FIRST`, `NULLS LAST`; `None` where nothing is said.
    pub nulls_first: Option<bool>,
}

/// What rows are ordered by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderBy {
    /// The column of the output at this place, from 0.
    Place(usize),
    /// The column of the output of this name.
    Name(String),
    /// All columns in order.
    All,
}
