//! How a model is kept current at a cost that follows the change: *affected-key recompute*.
//!
//! 1. [`relation`] is the form of a query that everything below works on; the parser makes it from text.
//! 2. Discovery finds the values of K, the replacement key, that a change can touch.
//! 3. Restriction makes the user's own text answer for those keys only, by putting restricted subqueries in the places of its tables.
//!
//! Nothing here talks to an engine: what comes out are statements, and for what cannot be done an [`Obstacle`] that says why.

mod outline;
pub mod relation;
pub mod shape;

pub use relation::{
    Aggregate, Apply, ApplyKind, ColumnId, Expression, InputTable, InputTables, Join, JoinKind, Kind, Obstacle,
    OutputColumn, Relation, Scalar, SetOperator, Tree, TreeTable, Window,
};
pub use shape::{ChangedInput, Discovery, Fresh, Inputs, Restriction, Shape, Statement};
