//! Stored rows of a large table, without the columns that a change cannot have touched.

use thalweg_sql::refresh::{Answers, Inputs, Shape, Steady};
use thalweg_sql::statement::difference::NEW_COLUMN;
use thalweg_sql::statement::relation::{RUN_COLUMN, equal_keys, qualified};
use thalweg_sql::statement::row::ROW_COLUMN;
use thalweg_sql::statement::{Difference, RowIdentifier, Sameness, TypedColumn};

use crate::change::Change;
use crate::error::RunError;
use crate::outcome::Counts;
use crate::publish::Publication;
use crate::publish::difference::counted;
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
    /// How many they are.
    pub computed: u64,
    /// The model has a primary key.
    pub has_key: bool,
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
        let stored = |name: &String| columns.iter().find(|column| column.name.eq_ignore_ascii_case(name)).cloned();
        let key: Option<Vec<TypedColumn>> = steady.key.iter().map(stored).collect();
        let exact = |column: &TypedColumn| dialect.equals_exactly(&column.engine_type);
        let Some(key) = key.filter(|key| key.iter().all(exact)) else { return Ok(None) };
        steady.key = key.into_iter().map(|column| column.name).collect();
        steady.columns = steady.columns.iter().filter_map(stored).filter(exact).map(|column| column.name).collect();
        Ok(Some(steady).filter(|steady| !steady.columns.is_empty()))
    }

    /// Puts the new rows of affected keys in the place of the stored ones, of which each has a new one: of these only the columns are read
    /// that are not steady. `None`, and nothing is done, where a stored row has none. Also how many rows were read.
    pub(super) fn replace_in_part(
        &mut self,
        stored: &StoredRows<'_>,
        steady: &Steady,
    ) -> Result<Option<(u64, Counts, Change)>, RunError> {
        let Some(pairs) = self.pairs_of_keys(stored, steady)? else { return Ok(None) };
        let dialect = self.database.dialect;
        let StoredRows { physical, rows, columns, new, computed, has_key, .. } = *stored;
        let is_steady =
            |column: &TypedColumn| steady.key.contains(&column.name) || steady.columns.contains(&column.name);
        let (mut read, mut part, mut all) = (Vec::new(), Vec::new(), Vec::with_capacity(columns.len()));
        for column in columns {
            let alias = if is_steady(column) { "n" } else { "o" };
            all.push(self.database.name(qualified(dialect, alias, &column.name))?);
            if alias == "o" {
                read.push(self.database.name(qualified(dialect, "t", &column.name))?);
                part.push(self.database.name(qualified(dialect, "o", &column.name))?);
            }
        }
        read.extend([format!("t.{RUN_COLUMN}"), rows.selected("t")]);
        part.extend([format!("o.{RUN_COLUMN}"), format!("o.{ROW_COLUMN}"), format!("p.{NEW_COLUMN}")]);
        let select = format!(
            "select {} from (select {} from {physical} t where {}) o join {pairs} p on p.{ROW_COLUMN} = o.{ROW_COLUMN}",
            part.join(", "),
            read.join(", "),
            rows.is_in("t", &pairs),
        );
        let part = self.database.temporary("stored");
        let compared = self.database.make_counted(&part, &select)?;
        self.database.forget_one(&pairs)?;
        fail::fail_point!("run::refresh-stored", |_| Err(RunError::failed_at("run::refresh-stored")));
        let difference = Difference {
            dialect,
            old: physical.to_owned(),
            rows,
            part: Some(part.clone()),
            new: new.to_owned(),
            columns: columns.iter().filter(|column| !is_steady(column)).cloned().collect(),
            written: columns.iter().map(|column| column.name.clone()).chain([RUN_COLUMN.to_owned()]).collect(),
            key: Vec::new(),
            sameness: Sameness::Computed,
        };
        let pairs = self.database.temporary("pairs");
        let sql = self.database.name(difference.given_pairs())?;
        if self.database.make_counted(&pairs, &sql)? == 0 {
            self.database.forget_one(&part)?;
            self.database.forget_one(new)?;
            return Ok(Some((compared, Counts::default(), Change::None)));
        }
        let numbers = self.database.counts(&difference.count_pairs(&pairs))?;
        let [deleted, inserted, both] = numbers[..] else { return Ok(None) };
        // Who reads what changed reads few columns of it: the others are not put together.
        let before = format!(
            "select {}, o.{RUN_COLUMN} from {part} o join {new} n on n.{} = o.{NEW_COLUMN} where o.{ROW_COLUMN} in \
             (select p.{ROW_COLUMN} from {pairs} p where p.{ROW_COLUMN} is not null)",
            all.join(", "),
            dialect.row_identifier()
        );
        // Where most of what was computed is written, it is not copied once more.
        let mostly = 2 * inserted >= computed;
        let before = if mostly {
            self.database.inline(&before, deleted)
        } else {
            self.database.make_named("before", &before)?
        };
        let fresh = match self.database.name(difference.fresh(&pairs))? {
            _ if inserted == computed => new.to_owned(),
            sql if mostly => self.database.inline(&sql, inserted),
            sql => self.database.make_named("fresh", &sql)?,
        };
        self.write_difference(&difference, (&pairs, deleted), (&fresh, inserted))?;
        if !mostly {
            self.database.forget_one(&part)?;
            self.database.forget_one(new)?;
        }
        // As where rows are compared as a whole: without a key of the model none is said to be updated.
        let counts = counted([deleted, inserted, if has_key { both } else { 0 }]);
        Ok(Some((compared, counts, Change::Rows { before, after: fresh })))
    }

    /// A temporary table with the stored rows of affected keys and the new row of each; `None` where one has none, or several.
    fn pairs_of_keys(&mut self, stored: &StoredRows<'_>, steady: &Steady) -> Result<Option<String>, RunError> {
        let dialect = self.database.dialect;
        let StoredRows { physical, rows, affects, new, .. } = stored;
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
            "select count(*) - count({NEW_COLUMN}), count(*) - count(distinct {ROW_COLUMN}), count({NEW_COLUMN}) - count(distinct {NEW_COLUMN}) \
             from {pairs}"
        );
        if self.database.counts(&counted)? == [0, 0, 0] {
            return Ok(Some(pairs));
        }
        self.database.forget_one(&pairs)?;
        Ok(None)
    }
}
