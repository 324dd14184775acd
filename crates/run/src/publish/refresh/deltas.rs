//! What changed in the inputs, as relations that are cheap to read several times.

use thalweg_project::TableName;
use thalweg_sql::statement::relation::{RUN_COLUMN, column_list};

use crate::error::RunError;
use crate::publish::Publication;
use crate::publish::change_log::Delta;

/// What changed in a table since a run of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows {
    /// Relation with the rows that are gone.
    pub before: String,
    /// Relation with the rows that came.
    pub after: String,
    /// Relation with the whole table as it was.
    pub old: String,
    /// How many there are of both.
    pub number: u64,
}

impl Publication<'_> {
    /// What changed in a table since a reader consumed it: nothing (`None`), rows, or why that is not known.
    pub fn changed_rows(
        &mut self,
        table: &TableName,
        consumed: Option<i64>,
    ) -> Result<Result<Option<Rows>, String>, RunError> {
        self.prepare_log(table, consumed)?;
        let (before, after) = match self.delta_since(table, consumed)? {
            Delta::None => return Ok(Ok(None)),
            Delta::Unknown(reason) => return Ok(Err(reason)),
            Delta::Rows { before, after } => (before, after),
        };
        let key = (table.clone(), consumed.unwrap_or_default());
        if let Some(rows) = self.refreshing.deltas.get(&key) {
            return Ok(Ok(Some(rows.clone())));
        }
        let mut number = 0;
        // What stands in the log was there then; what this run replaced it may have written itself.
        let seen = consumed.unwrap_or_default();
        let was_there =
            if before.starts_with('(') { String::new() } else { format!(" where d.{RUN_COLUMN} <= {seen}") };
        let mut relations = [before, after];
        for (relation, what) in relations.iter_mut().zip(["gone", "came"]) {
            // A subquery would be computed at each of its uses.
            if relation.starts_with('(') {
                let columns = self.tables.get(table).map(|state| state.columns.clone()).unwrap_or_default();
                let names = columns.iter().map(|column| column.name.as_str());
                let columns = self.database.name(column_list(self.database.dialect, "d", names))?;
                let name = self.database.temporary(what);
                number += self.database.make_counted(&name, &format!("select {columns} from {relation} d"))?;
                *relation = name;
            } else {
                number += self.database.rows_of(relation)?;
            }
        }
        let [before, after] = relations;
        let mut old = before.clone();
        if let Some(state) = self.tables.get(table) {
            let names = state.columns.iter().map(|column| column.name.as_str());
            let columns = self.database.name(column_list(self.database.dialect, "d", names))?;
            old = format!(
                "(select {columns} from {} d where d.{RUN_COLUMN} <= {seen} union all select {columns} from {before} d{was_there})",
                self.physical(&state.physical)?
            );
        }
        let rows = Rows { before, after, old, number };
        self.refreshing.deltas.insert(key, rows.clone());
        Ok(Ok(Some(rows)))
    }
}
