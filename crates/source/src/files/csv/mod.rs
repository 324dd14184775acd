//! CSV: its layout found out, its records read.

mod layout;
mod records;
mod tokenizer;

pub(super) use layout::{CsvLayout, detect};
pub(super) use records::CsvFormat;
#[cfg(test)]
pub(super) use tokenizer::{CsvBoundaries, Dialect, Field, Tokenizer};
