//! Statements that change tables: merging an extract, replacing a table's rows, writing the difference of two tables, testing rows.
//!
//! Everything here is text made from names and facts; which statement is sent when is decided in `thalweg_run`. Identifiers are
//! quoted by the dialect, values are bound or are numbers of our own.

pub mod change_log;
pub mod condition;
pub mod difference;
pub mod merge;
pub mod relation;
pub mod row;

pub use change_log::ChangeLog;
pub use condition::{RowCondition, row_condition};
pub use difference::{Difference, Sameness};
pub use merge::{Merge, Missing, gone_keys, is_missing};
pub use relation::{Relation, TypedColumn};
pub use row::RowIdentifier;
