//! The change log of a table: what rows were before they were replaced or deleted.
//!
//! Beside a physical table stands one with its declared columns, [`RUN_COLUMN`] (the run that had written the row) and
//! [`CHANGED_RUN_COLUMN`] (the run that replaced or deleted it). After images are not written twice: they are the rows of the table
//! itself. Who has seen the table as it was after run `c` finds what changed since in
//!
//! * [`ChangeLog::gone_since`]: rows that stood in the table after run `c` and do so no more,
//! * [`ChangeLog::arrived_since`]: rows that stand there now and did not then.
//!
//! Both are bags. A row that was replaced and came back the same is in both: the plain union of several runs is a valid change set.
//! Rows that were written and gone again between `c` and now are in neither.

use crate::dialect::{Dialect, InvalidName};
use crate::statement::relation::{RUN_COLUMN, TypedColumn, column_list};

/// Bookkeeping column of a change log: the run that replaced or deleted the row, `BIGINT`.
pub const CHANGED_RUN_COLUMN: &str = "_changed_run";

/// The change log of one physical table.
#[derive(Debug, Clone)]
pub struct ChangeLog<'a> {
    /// How the engine spells things.
    pub dialect: &'a dyn Dialect,
    /// The log, quoted.
    pub log: String,
    /// The physical table, quoted.
    pub table: String,
    /// The table's declared columns.
    pub columns: Vec<TypedColumn>,
}

impl ChangeLog<'_> {
    fn declared(&self, alias: &str) -> Result<String, InvalidName> {
        column_list(self.dialect, alias, self.columns.iter().map(|column| column.name.as_str()))
    }

    /// Creates it, empty.
    pub fn create(&self) -> Result<String, InvalidName> {
        let mut definitions = Vec::with_capacity(self.columns.len() + 2);
        for column in &self.columns {
            definitions.push(format!("{} {}", self.dialect.quote_identifier(&column.name)?, column.engine_type));
        }
        definitions.push(format!("{RUN_COLUMN} bigint not null"));
        definitions.push(format!("{CHANGED_RUN_COLUMN} bigint not null"));
        Ok(format!("create table {} ({})", self.log, definitions.join(", ")))
    }

    /// Keeps what a run replaced or deleted: `before` has the declared columns and [`RUN_COLUMN`]. What the run itself had written
    /// was never seen by anybody and is left out.
    pub fn record(&self, before: &str, run: i64) -> Result<String, InvalidName> {
        let columns = self.declared("")?;
        let values = self.declared("b")?;
        let separator = if self.columns.is_empty() { "" } else { ", " };
        Ok(format!(
            "insert into {} ({columns}{separator}{RUN_COLUMN}, {CHANGED_RUN_COLUMN}) \
             select {values}{separator}b.{RUN_COLUMN}, {run} from {before} b where b.{RUN_COLUMN} < {run}",
            self.log
        ))
    }

    /// The rows that are gone for who has seen run `run`: a query of the declared columns.
    pub fn gone_since(&self, run: i64) -> Result<String, InvalidName> {
        Ok(format!(
            "select {} from {} l where l.{CHANGED_RUN_COLUMN} > {run} and l.{RUN_COLUMN} <= {run}",
            self.declared("l")?,
            self.log
        ))
    }

    /// The rows that are new for who has seen run `run`: a query of the declared columns.
    pub fn arrived_since(&self, run: i64) -> Result<String, InvalidName> {
        Ok(format!("select {} from {} t where t.{RUN_COLUMN} > {run}", self.declared("t")?, self.table))
    }

    /// Forgets what happened up to a run.
    pub fn prune(&self, through: i64) -> String {
        format!("delete from {} where {CHANGED_RUN_COLUMN} <= {through}", self.log)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::duckdb::DuckDb;

    fn log() -> ChangeLog<'static> {
        let column = |name: &str, engine_type: &str| TypedColumn { name: name.into(), engine_type: engine_type.into() };
        ChangeLog {
            dialect: &DuckDb,
            log: "d.l".into(),
            table: "d.t".into(),
            columns: vec![column("id", "BIGINT"), column("a b", "VARCHAR")],
        }
    }

    #[test]
    fn statements() {
        let log = log();
        assert_eq!(
            log.create().unwrap(),
            r#"create table d.l ("id" BIGINT, "a b" VARCHAR, _run bigint not null, _changed_run bigint not null)"#
        );
        assert_eq!(
            log.record("b1", 7).unwrap(),
            r#"insert into d.l ("id", "a b", _run, _changed_run) select b."id", b."a b", b._run, 7 from b1 b where b._run < 7"#
        );
        assert_eq!(
            log.gone_since(3).unwrap(),
            r#"select l."id", l."a b" from d.l l where l._changed_run > 3 and l._run <= 3"#
        );
        assert_eq!(log.arrived_since(3).unwrap(), r#"select t."id", t."a b" from d.t t where t._run > 3"#);
        assert_eq!(log.prune(2), "delete from d.l where _changed_run <= 2");
    }
}
