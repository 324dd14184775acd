//! How a model is kept current at a cost that follows the change: *affected-key recompute*.
//!
//! 1. [`relation`] is the form of a query that everything below works on; the parser makes it from text.
//! 2. `key` chooses K, the replacement key; `discover` finds the values of K that a change can touch.
//! 3. `push` leads the restriction to those values down to the tables, and `restricted` makes the user's own text answer for them
//!    only, by putting restricted subqueries in the places of its tables.
//! 4. `split` takes out of a text what is better kept as a hidden table of its own, a *stage*; `weight` says whether that is so. `summed` does so with counts and
//!    sums of large groups, which are kept by adding and subtracting what changed, `windowed` with groups below windows.
//!
//! Nothing here talks to an engine: what comes out are statements, and for what cannot be done an [`Obstacle`] that says why.

pub mod block;
mod clock;
mod columns;
mod discover;
mod filters;
mod found;
mod key;
mod lookups;
mod merged;
mod near;
mod outline;
mod push;
mod regroup;
pub mod relation;
mod render;
mod restricted;
pub mod rule;
pub mod shape;
pub mod split;
pub mod steady;
pub mod summed;
pub mod ties;
pub(crate) mod unique;
mod used;
mod weight;
pub mod windowed;

pub use clock::{ClockChange, ClockChanges, clock_name};
pub use relation::{
    Aggregate, Apply, ApplyKind, ColumnId, Expression, Grouping, InputTable, InputTables, Join, JoinKind, Kind,
    Obstacle, OutputColumn, Relation, Scalar, SetOperator, Tree, TreeTable, Window,
};
pub use rule::{Rule, SwitchedOff};
pub use shape::{ChangedInput, Discovery, Fresh, Inputs, Restriction, Shape, Statement};
pub use split::{Split, Stage, WithStages, is_hidden_key};
pub use steady::{Answers, Question, Steady};
pub use ties::{Settled, may_tie, read_settled};
