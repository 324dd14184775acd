//! JSON: one object a line, or one array of objects.
//!
//! * Columns are the keys of all objects of the file; a key that an object does not have is NULL.
//! * Numbers keep the digits they are written with. JSON has types, so a string that looks like a number stays text; only dates and
//!   timestamps, for which JSON has no type, are taken from strings, where every value of the column is one.
//! * Objects and arrays within are kept as `json`, as written.
//! * A key that stands twice in one object makes the record a reject: which value was meant, nobody knows.
//! * A line that is no object is a reject. In an array nothing tells where the next object would begin, so broken JSON costs the file.

mod elements;
mod records;

pub(super) use elements::array_start;
pub(super) use records::{JsonFormat, Writing};
