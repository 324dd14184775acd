//! What a run changed in one table, while it is not published yet.

/// The change set of a table within a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Nothing changed.
    None,
    /// The table is new, was rebuilt, or is a view over something that changed: every row may have.
    Everything,
    /// These rows changed.
    Rows {
        /// Temporary table with the rows that were deleted or replaced, as they were, and the run that had written them.
        before: String,
        /// Relation with the rows that were inserted or took the place of others.
        after: String,
    },
}

impl Change {
    /// Whether anything may have changed.
    pub fn any(&self) -> bool {
        *self != Self::None
    }
}
