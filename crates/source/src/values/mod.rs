//! Values as sources write them: their types inferred and their texts converted, exactly.
//!
//! The rule everywhere: a type is chosen only if the meaning of every value survives it. `007`, `+5`, `1_000`, a number with blanks
//! around it, or a fraction of a second beyond microseconds are text.

mod calendar;
mod cell;
mod convert;
mod number;
mod shape;

pub use calendar::{parse_date, parse_time, parse_timestamp};
pub use cell::Cell;
pub use convert::{ColumnConverter, Strictness, describe_misfit};
pub use number::{Number, parse_number};
pub use shape::Shape;
