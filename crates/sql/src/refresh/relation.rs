//! The relational form of a query: what discovery and restriction work on.
//!
//! Made from the text of a model in which views and ephemeral models already stand in the places of their names, so that every table it
//! names is stored, and every span is a span of that one text. CTEs are put in the place of each of their uses: one scan of the text may
//! stand in the tree several times, each time with columns of its own.
//!
//! Scalar expressions are not understood: they are pieces of the user's text together with the columns they name.

use std::ops::Range;

use super::summed::Summed;
use super::windowed::WindowedGroups;

/// Identity of a column within one tree. No two relations of a tree produce the same column, except where a relation hands on a
/// column of its input unchanged: then it keeps its identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ColumnId(pub u32);

/// What is known of a table that a query names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputTable {
    /// Declared columns with the engine's types, in order.
    pub columns: Vec<(String, String)>,
    /// Columns that identify a row, as declared or proven; empty without.
    pub key: Vec<String>,
}

/// The tables a query may name.
pub trait InputTables: Sync {
    /// The table of a name as the query writes it (parts without quotes); `None` when it is none whose changes are seen.
    fn table(&self, name: &[String]) -> Option<InputTable>;
}

/// Why something cannot be refreshed incrementally. Never an error: the model is refreshed in full, and this is the reason told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    /// One sentence for a person: `a window without PARTITION BY looks at all rows`.
    pub reason: String,
    /// Where in the text.
    pub span: Range<usize>,
    /// What to write instead, where there is something: `add PARTITION BY`.
    pub instead: Option<String>,
}

/// A query in relational form.
#[derive(Debug, Clone)]
pub struct Tree {
    /// The text all spans belong to.
    pub text: String,
    /// The query, without ORDER BY at its top.
    pub root: Relation,
    /// Names of the root's columns as the engine would name them, in order; the same length as `root.columns`. Empty where the text
    /// gives none (`sum(x)` without AS): such a column is known by its position only.
    pub names: Vec<String>,
    /// The tables of the text, in order of the text: what a scan's `table` counts. The same order as
    /// [`crate::query::Query::tables`].
    pub tables: Vec<TreeTable>,
    /// Places that read the time of the run, and whether each is used in row-local expressions only (outside aggregates and windows).
    pub clock: Vec<(Range<usize>, bool)>,
    /// See [`crate::dialect::Dialect::needs_types`].
    pub needs_types: bool,
    /// Where the answer depends on an order that the text leaves open.
    pub ties: Vec<super::ties::Tie>,
}

/// A place in the text where a table is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeTable {
    /// Parts of the name.
    pub name: Vec<String>,
    /// The name in the text, without alias.
    pub span: Range<usize>,
    /// The name by which columns refer to it.
    pub own_name: String,
    /// Whether it has an alias in the text.
    pub aliased: bool,
    /// Why another text cannot be put in its place: columns qualified by schema, `rowid`, whole-row references. Such a scan stays
    /// unrestricted.
    pub fixed: Option<String>,
    /// What is known of the table.
    pub input: InputTable,
}

/// A column a relation produces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputColumn {
    /// Its identity.
    pub id: ColumnId,
    /// The engine's type where it is known: columns of scans, handed on.
    pub engine_type: Option<String>,
}

/// A relation and its columns.
#[derive(Debug, Clone)]
pub struct Relation {
    /// What it is.
    pub kind: Kind,
    /// Its columns, in order. A relation may have columns that nobody above names.
    pub columns: Vec<OutputColumn>,
}

/// Kinds of relations.
///
/// A select is split into its nodes in the order FROM, WHERE, GROUP BY, HAVING, windows, QUALIFY, DISTINCT, ORDER/LIMIT.
#[derive(Debug, Clone)]
pub enum Kind {
    /// A table. Its columns are those of the table, in order.
    Scan {
        /// Index into [`Tree::tables`].
        table: usize,
    },
    /// Rows that depend on no table: `VALUES`, a select without FROM, `range(10)`. `text` can stand in FROM, in parentheses where
    /// needed, and has the columns in order.
    Constant {
        /// Its text: a query or a table function.
        text: Expression,
        /// Whether it is a query, which must stand in parentheses.
        query: bool,
    },
    /// Rows that satisfy every condition.
    Filter {
        /// Of what.
        input: Box<Relation>,
        /// The top-level AND conjuncts, without those that became [`Kind::Apply`].
        conditions: Vec<Scalar>,
    },
    /// New columns. Input columns that are handed on keep their identity. With `unnest(...)` in an expression a row may become many
    /// or none.
    Project {
        /// Of what.
        input: Box<Relation>,
        /// The computed columns.
        computed: Vec<(ColumnId, Scalar)>,
    },
    /// A join; its columns are those of the left, then those of the right.
    Join(Join),
    /// A subquery in an expression.
    Apply(Apply),
    /// `GROUP BY`, or aggregates without it.
    Aggregate(Aggregate),
    /// Window functions; the input's columns and one unknown column for each expression that holds a window function.
    Window(Window),
    /// `DISTINCT ON (columns)`: the columns of the input.
    DistinctOn {
        /// Of what.
        input: Box<Relation>,
        /// Columns of the input.
        by: Vec<ColumnId>,
    },
    /// `DISTINCT`
    Distinct {
        /// Of what.
        input: Box<Relation>,
    },
    /// `UNION`, `INTERSECT`, `EXCEPT`. Each input has as many columns as the result, matched by position (the reader has brought
    /// `BY NAME` into this form by projections).
    SetOperation {
        /// Which.
        operator: SetOperator,
        /// With `ALL`.
        all: bool,
        /// Two or more for UNION, two otherwise.
        inputs: Vec<Relation>,
    },
    /// What cannot be followed: its tables are still known, its columns are all unknown, also those that have the identity of a column
    /// of its inputs.
    Opaque {
        /// Why.
        obstacle: Obstacle,
        /// Everything it reads.
        inputs: Vec<Relation>,
    },
}

/// A join.
#[derive(Debug, Clone)]
pub struct Join {
    /// `RIGHT` joins have been turned round.
    pub kind: JoinKind,
    /// Left.
    pub left: Box<Relation>,
    /// Right.
    pub right: Box<Relation>,
    /// The top-level AND conjuncts of ON; USING and NATURAL as [`Scalar::Equal`].
    pub on: Vec<Scalar>,
    /// The right side depends on the left row beyond `on` (`LATERAL` with LIMIT, aggregate or the like, `ASOF`): `on` is the
    /// correlation, `right` the rows it chooses from before that, and every row of a touched left row must be taken.
    pub lateral: bool,
    /// Where in the text.
    pub span: Range<usize>,
}

/// Kinds of joins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinKind {
    /// `INNER`, `CROSS`, a comma.
    Inner,
    /// `LEFT`
    Left,
    /// `FULL`
    Full,
}

/// A subquery in an expression: the columns are those of the left, and for a value one unknown column.
///
/// * Not correlated and tested by `EXISTS`/`IN`: `right` is the whole subquery.
/// * Correlated: `right` is what the subquery reads (its FROM and the conditions of its WHERE that are not correlated), before
///   aggregation, windows and limits, and `on` holds the correlated conditions that compare its columns with those of the left. What
///   cannot be put so is left out of `on`: more is found then, never less. A test whose answer does not hang on there being a row
///   (`exists (select max(x) ...)`) is a [`ApplyKind::Value`] with a condition above it.
/// * Conditions on what a subquery chooses (by a window, LIMIT, DISTINCT ON) are never in `on`: which row it chooses depends on those
///   it does not choose.
#[derive(Debug, Clone)]
pub struct Apply {
    /// The rows the expression is computed for.
    pub left: Box<Relation>,
    /// What the subquery reads.
    pub right: Box<Relation>,
    /// Conditions between both; for `IN` also the comparison of the tested value with the column (as [`Scalar::Equal`] where both are
    /// columns; other tested values are computed by a projection below).
    pub on: Vec<Scalar>,
    /// What is asked.
    pub kind: ApplyKind,
    /// Whether the subquery names columns of the left.
    pub correlated: bool,
    /// The subquery in the text.
    pub span: Range<usize>,
}

/// What is asked of a subquery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApplyKind {
    /// `EXISTS`, `IN` as a top-level AND conjunct.
    Semi,
    /// `NOT EXISTS` as a top-level AND conjunct.
    Anti,
    /// A scalar subquery, `EXISTS` as a value: the column that holds the value.
    Value(ColumnId),
    /// `IN`, `NOT IN`, `ANY`, `ALL` as a value, and `NOT IN` as a conjunct: three-valued.
    Membership {
        /// The column that holds the answer; `None` for a conjunct.
        value: Option<ColumnId>,
        /// The tested columns of the left; empty where they are not columns, which counts as all rows being touched.
        tested: Vec<ColumnId>,
        /// The columns of the right they are compared with.
        with: Vec<ColumnId>,
    },
}

/// `GROUP BY`.
#[derive(Debug, Clone)]
pub struct Aggregate {
    /// Of what; grouping expressions are computed by a projection below.
    pub input: Box<Relation>,
    /// Grouping columns of the input, in the relation's columns under the same identities. With grouping sets under new ones,
    /// because they may be NULL there: pairs of (new, input).
    pub groups: Vec<(ColumnId, ColumnId)>,
    /// For `ROLLUP`, `CUBE`, `GROUPING SETS`: each set as indexes into `groups`. One set of all otherwise.
    pub sets: Vec<Vec<usize>>,
    /// Columns computed by aggregates: unknown.
    pub aggregates: Vec<ColumnId>,
    /// Where in the text.
    pub span: Range<usize>,
    /// The pieces of its text, where its aggregates all follow from counts and sums of finer groups.
    pub summed: Option<Box<Summed>>,
    /// The pieces of its text, where the select looks at its groups through windows.
    pub windowed: Option<Box<WindowedGroups>>,
    /// What its groups are in the text, where that was asked for and is known.
    pub written: Option<Grouping>,
}

/// `GROUP BY` as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grouping {
    /// The end of the word SELECT.
    pub list: usize,
    /// The expressions, one for each group.
    pub keys: Vec<Range<usize>>,
}

/// Window functions of one select.
#[derive(Debug, Clone)]
pub struct Window {
    /// Of what; partition expressions are computed by a projection below.
    pub input: Box<Relation>,
    /// The partition lists, each once, never empty (a window without PARTITION BY is [`Kind::Opaque`]). Their columns may be unknown.
    pub partitions: Vec<Vec<ColumnId>>,
    /// Columns computed by windows: unknown.
    pub computed: Vec<ColumnId>,
    /// Where in the text.
    pub span: Range<usize>,
}

/// Set operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetOperator {
    /// `UNION`
    Union,
    /// `INTERSECT`
    Intersect,
    /// `EXCEPT`
    Except,
}

/// An expression on one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scalar {
    /// A column.
    Column(ColumnId),
    /// `left = right`, both plain columns. As a condition only.
    Equal(ColumnId, ColumnId),
    /// The first that is not NULL: the column of `USING` and `NATURAL` in a full join.
    Coalesce(Vec<ColumnId>),
    /// NULL: a column that one side of `UNION BY NAME` does not have.
    Null,
    /// A piece of the text.
    Text(Expression),
    /// An expression that depends on an aggregate, a window or a subquery, or that names what is not to be had here: its value is
    /// unknown. The columns it names.
    Unknown(Vec<ColumnId>),
}

/// A piece of the user's text and the columns it names. It holds no subquery, no aggregate and no window function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression {
    /// The piece.
    pub span: Range<usize>,
    /// Where it names which column; spans of the text, in order.
    pub columns: Vec<(Range<usize>, ColumnId)>,
}

impl InputTable {
    /// The places of the columns that identify a row; empty without.
    pub fn key_places(&self) -> Vec<usize> {
        let place = |name: &String| self.columns.iter().position(|(column, _)| column.eq_ignore_ascii_case(name));
        self.key.iter().map(place).collect::<Option<_>>().unwrap_or_default()
    }
}

impl Relation {
    /// What it is made of, in order.
    pub fn inputs(&self) -> Vec<&Self> {
        match &self.kind {
            Kind::Scan { .. } | Kind::Constant { .. } => Vec::new(),
            Kind::Filter { input, .. }
            | Kind::Project { input, .. }
            | Kind::DistinctOn { input, .. }
            | Kind::Distinct { input } => vec![input],
            Kind::Join(join) => vec![&join.left, &join.right],
            Kind::Apply(apply) => vec![&apply.left, &apply.right],
            Kind::Aggregate(aggregate) => vec![&aggregate.input],
            Kind::Window(window) => vec![&window.input],
            Kind::SetOperation { inputs, .. } | Kind::Opaque { inputs, .. } => inputs.iter().collect(),
        }
    }
}

impl Scalar {
    /// The columns it names.
    pub fn columns(&self) -> Vec<ColumnId> {
        match self {
            Self::Column(column) => vec![*column],
            Self::Equal(left, right) => vec![*left, *right],
            Self::Coalesce(columns) | Self::Unknown(columns) => columns.clone(),
            Self::Null => Vec::new(),
            Self::Text(text) => text.columns.iter().map(|(_, column)| *column).collect(),
        }
    }
}
