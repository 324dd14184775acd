//! Stored rows of a large table, without the columns that a change cannot have touched.

use thalweg_sql::refresh::{Answers, Inputs, Shape, Steady};
use thalweg_sql::statement::difference::NEW_COLUMN;
use thalweg_sql::statement::relation::{RUN_COLUMN, equal_keys, qualified};
use thalweg_sql::statement::row::ROW_COLUMN;
use thalweg_sql::statement::{RowIdentifier, TypedColumn};

use crate::error::RunError;
use crate::publish::Publication;
use crate::table_state::TableState;

/// Where the rows of affected keys are stored.
pub(super) struct StoredRows<'a> {
    /// The physical table, quoted.
    pub physical: &'a str,
    /// What identifies its rows.
    pub rows: RowIdentifier,
    /// Declared columns.
    pub columns: &'a [TypedColumn],
    /// What chooses them behind the alias `t`.
    pub affects: &'a str,
    /// Temporary table with the rows that are there now instead.
    pub new: &'a str,
}

impl Publication<'_> {
    /// The columns of a model that what changed in its inputs cannot have touched, if it is worthwhile to know them.
    pub(super) fn steady(
        &mut self,
        shape: &Shape,
        inputs: &Inputs,
        old: &TableState,
        columns: &[TypedColumn],
    ) -> Result<Option<Steady>, RunError> {
        let dialect = self.database.dialect;
        // An engine with indexes stores rows, of which it reads all columns at once.
        if dialect.has_indexes() || old.layout().is_some() || old.rows < self.refreshing.large.read_in_part {
            return Ok(None);
        }
        let questions = shape.steady_questions(dialect, inputs);
        let Some(questions) = self.database.name(questions)? else { return Ok(None) };
        let mut answers = Answers::new();
        for question in &questions {
            let numbers = self.database.counts(&question.select)?;
            if question.takes_rows && numbers.first() != Some(&0) {
                return Ok(None);
            }
            answers.insert(question.table.clone(), numbers);
        }
        let Some(mut steady) = shape.steady(dialect, inputs, &questions, &answers) else { return Ok(None) };
        // Names as the table has them. What is equal must be identical: a stored number may differ from its computation in the last digits.
        let stored =
            |name: &String| columns.iter().find(|column| column.name.to_lowercase() == name.to_lowercase()).cloned();
        let key: Option<Vec<TypedColumn>> = steady.key.iter().map(stored).collect();
        let exact = |column: &TypedColumn| dialect.equals_exactly(&column.engine_type);
        let Some(key) = key.filter(|key| key.iter().all(exact)) else { return Ok(None) };
        steady.key = key.into_iter().map(|column| column.name).collect();
        steady.columns = steady.columns.iter().filter_map(stored).filter(exact).map(|column| column.name).collect();
        Ok(Some(steady).filter(|steady| !steady.columns.is_empty()))
    }

    /// A query for the stored rows of affected keys, of which each has a new one in its place: what is steady is taken from there. `None`
    /// where that does not hold for all of them. Also the temporary table that it reads.
    pub(super) fn changed_columns(
        &mut self,
        stored: &StoredRows<'_>,
        steady: &Steady,
    ) -> Result<Option<(String, String)>, RunError> {
        let dialect = self.database.dialect;
        let StoredRows { physical, rows, columns, affects, new } = stored;
        let mut keys = Vec::with_capacity(steady.key.len());
        for name in &steady.key {
            keys.push(self.database.name(qualified(dialect, "t", name))?);
        }
        let same = self.database.name(equal_keys(dialect, "o", "n", &steady.key))?;
        let found = format!("select {}, {} from {physical} t where {affects}", rows.selected("t"), keys.join(", "));
        let select = format!(
            "select o.{ROW_COLUMN}, n.{} as {NEW_COLUMN} from ({found}) o left join {new} n on {same}",
            dialect.row_identifier()
        );
        let pairs = self.database.make_named("kept", &select)?;
        let counted = format!(
            "select count(*) filter (where {NEW_COLUMN} is null), count(*) - count(distinct {ROW_COLUMN}) from {pairs}"
        );
        if self.database.counts(&counted)? != [0, 0] {
            self.database.forget_one(&pairs)?;
            return Ok(None);
        }
        let (mut read, mut all) = (Vec::with_capacity(columns.len()), Vec::with_capacity(columns.len()));
        for column in *columns {
            let is_new = steady.key.contains(&column.name) || steady.columns.contains(&column.name);
            all.push(self.database.name(qualified(dialect, if is_new { "n" } else { "o" }, &column.name))?);
            if !is_new {
                read.push(self.database.name(qualified(dialect, "t", &column.name))?);
            }
        }
        read.push(format!("t.{RUN_COLUMN}"));
        Ok(Some((
            format!(
                "select {}, o.{RUN_COLUMN}, o.{ROW_COLUMN} from (select {}, {} from {physical} t where {}) o \
                 join {pairs} p on p.{ROW_COLUMN} = o.{ROW_COLUMN} join {new} n on n.{} = p.{NEW_COLUMN}",
                all.join(", "),
                read.join(", "),
                rows.selected("t"),
                rows.is_in("t", &pairs),
                dialect.row_identifier()
            ),
            pairs,
        )))
    }
}
