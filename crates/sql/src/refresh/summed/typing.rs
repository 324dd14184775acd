//! What the types of what is grouped by and added ask of a stage.

use std::collections::{BTreeMap, BTreeSet};

use super::Summing;
use crate::dialect::Dialect;

/// What the types of columns ask of a stage and of what is left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Typing {
    /// Columns beside which a scale is kept.
    scaled: BTreeSet<String>,
    /// Sums whose type is another than that of a sum of them.
    narrow: BTreeMap<String, String>,
}

impl Typing {
    /// With the types of the columns of [`Summing::probe`], in order; `None` where what the stage holds would not be exact.
    pub fn of_probe<'a>(
        dialect: &dyn Dialect,
        summing: &Summing,
        types: impl IntoIterator<Item = &'a str>,
    ) -> Option<Self> {
        let mut typing = Self::default();
        let mut types = types.into_iter();
        for key in summing.keys.iter().take(summing.probed) {
            let engine_type = types.next()?;
            if dialect.equals_exactly(engine_type) {
                continue;
            }
            if !dialect.has_scales(engine_type) {
                return None;
            }
            typing.scaled.insert(key.clone());
        }
        for sum in &summing.sums {
            let engine_type = types.next()?;
            typing.add(dialect, &sum.name, dialect.sum_type(engine_type)?, dialect.has_scales(engine_type));
        }
        Some(typing)
    }

    /// With the names and types of the columns of a stage that stands.
    pub fn of_stage<'a>(
        dialect: &dyn Dialect,
        summing: &Summing,
        columns: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let types: BTreeMap<&str, &str> = columns.into_iter().collect();
        let scaled = |name: &str| types.contains_key(scale_column(name).as_str());
        let mut typing = Self::default();
        typing.scaled.extend(summing.keys.iter().filter(|key| scaled(key)).cloned());
        for sum in &summing.sums {
            if let Some(engine_type) = types.get(sum.name.as_str()) {
                typing.add(dialect, &sum.name, (*engine_type).to_owned(), scaled(&sum.name));
            }
        }
        typing
    }

    fn add(&mut self, dialect: &dyn Dialect, sum: &str, sum_type: String, scaled: bool) {
        if dialect.sum_type(&sum_type).is_some_and(|wider| wider != sum_type) {
            self.narrow.insert(sum.to_owned(), sum_type);
        }
        if scaled {
            self.scaled.insert(sum.to_owned());
        }
    }

    /// Whether the scale of a column is kept beside it.
    pub(super) fn has_scale(&self, column: &str) -> bool {
        self.scaled.contains(column)
    }

    /// The type of a sum, where a sum of such sums has another.
    pub(super) fn narrow(&self, sum: &str) -> Option<&str> {
        self.narrow.get(sum).map(String::as_str)
    }
}

/// The column with the scale of another.
pub(super) fn scale_column(column: &str) -> String {
    format!("{column}_scale")
}
