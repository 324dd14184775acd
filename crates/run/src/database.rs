//! A connection inside a run: what is sent is sent on behalf of one table, and errors say so.

use thalweg_sql::{Dialect, InvalidName};
use thalweg_warehouse::{Connection, Rows, Value, WarehouseError, WarehouseErrorKind};

use crate::error::RunError;
use crate::text::{single_integer, text_table};

/// A connection and the table that is being worked on.
pub struct Database<'a> {
    /// The connection.
    pub connection: &'a mut dyn Connection,
    /// How the engine spells things.
    pub dialect: &'static dyn Dialect,
    /// The table, test or report that statements are sent for.
    about: String,
    /// Temporary tables that were made, to be dropped at the end.
    temporary: Vec<String>,
    /// Temporary views, likewise, before the tables they read.
    views: Vec<String>,
    /// Staged relations, likewise.
    staged: Vec<String>,
    next: usize,
}

impl<'a> Database<'a> {
    /// Wraps a connection.
    pub fn new(connection: &'a mut dyn Connection, dialect: &'static dyn Dialect) -> Self {
        Self {
            connection,
            dialect,
            about: String::new(),
            temporary: Vec::new(),
            views: Vec::new(),
            staged: Vec::new(),
            next: 0,
        }
    }

    /// What follows is done for this table, test or report.
    pub fn about(&mut self, what: impl Into<String>) {
        self.about = what.into();
    }

    /// An error of the warehouse, with the table it happened at.
    pub fn error(&self, error: WarehouseError) -> RunError {
        match error.kind {
            WarehouseErrorKind::Interrupted => RunError::Cancelled,
            WarehouseErrorKind::Statement | WarehouseErrorKind::DeadTransaction if !self.about.is_empty() => {
                RunError::Table { table: self.about.clone(), error }
            }
            _ => RunError::Warehouse(error),
        }
    }

    /// Sends a statement; the number of rows it changed.
    pub fn execute(&mut self, sql: &str) -> Result<u64, RunError> {
        tracing::debug!(about = self.about, sql);
        self.connection.execute(sql, &[]).map_err(|error| self.error(error))
    }

    /// Sends a query.
    pub fn query(&mut self, sql: &str) -> Result<Rows, RunError> {
        self.query_with(sql, &[])
    }

    /// Sends a query with bound values.
    pub fn query_with(&mut self, sql: &str, parameters: &[Value]) -> Result<Rows, RunError> {
        tracing::debug!(about = self.about, sql);
        self.connection.query(sql, parameters).map_err(|error| self.error(error))
    }

    /// The first rows of a query's answer in the order of their values, which is the same each time: most often there are none.
    pub fn first_rows(&mut self, sql: &str, parameters: &[Value], limit: usize) -> Result<Rows, RunError> {
        let found = self.query_with(&format!("select * from ({sql}\n) f limit {limit}"), parameters)?;
        if found.len() < 2 {
            return Ok(found);
        }
        let order: Vec<_> = (1..=found.schema.fields().len()).map(|position| position.to_string()).collect();
        let ordered = format!("select * from ({sql}\n) f order by {} limit {limit}", order.join(", "));
        let ordered = self.query_with(&ordered, parameters)?;
        // A query that answers otherwise each time has answered once.
        Ok(if ordered.len() == found.len() { ordered } else { found })
    }

    /// Sends a query whose answer is one integer.
    pub fn count(&mut self, sql: &str) -> Result<u64, RunError> {
        let rows = self.query(sql)?;
        let number = single_integer(&rows).map_err(|error| self.error(error))?;
        u64::try_from(number).map_err(|_| {
            self.error(WarehouseError::new(WarehouseErrorKind::Statement, format!("a count is negative: {number}")))
        })
    }

    /// Sends a query; whether it has a row.
    pub fn any(&mut self, sql: &str) -> Result<bool, RunError> {
        Ok(!self.query(sql)?.is_empty())
    }

    /// Sends a query; its answer as texts.
    pub fn texts(&mut self, sql: &str) -> Result<crate::outcome::TextTable, RunError> {
        let rows = self.query(sql)?;
        text_table(&rows, None).map_err(|error| self.error(error))
    }

    /// A new name for a temporary table, which is dropped by [`Database::drop_temporary`].
    pub fn temporary(&mut self, what: &str) -> String {
        self.next += 1;
        let name = format!("thalweg_{what}_{}", self.next);
        self.temporary.push(name.clone());
        name
    }

    /// A beginning for names of temporary tables that somebody else makes up, and that no query uses.
    pub fn prefix(&mut self) -> String {
        self.next += 1;
        format!("thalweg_r{}_", self.next)
    }

    /// Makes a temporary table under a name of [`Database::temporary`] or with a [`Database::prefix`].
    pub fn make(&mut self, name: &str, select: &str) -> Result<(), RunError> {
        self.make_counted(name, select).map(drop)
    }

    /// The same; the number of its rows.
    pub fn make_counted(&mut self, name: &str, select: &str) -> Result<u64, RunError> {
        if !self.temporary.iter().any(|known| known == name) {
            self.temporary.push(name.to_owned());
        }
        self.execute(&format!("create temporary table {name} as {select}"))
    }

    /// Makes a temporary table; its name.
    pub fn make_named(&mut self, what: &str, select: &str) -> Result<String, RunError> {
        let name = self.temporary(what);
        self.make(&name, select)?;
        Ok(name)
    }

    /// Makes a temporary view; its name.
    pub fn make_view(&mut self, what: &str, select: &str) -> Result<String, RunError> {
        self.next += 1;
        let name = format!("thalweg_{what}_{}", self.next);
        self.views.push(name.clone());
        self.execute(&format!("create temporary view {name} as {select}"))?;
        Ok(name)
    }

    /// Drops a temporary table.
    pub fn forget_one(&mut self, name: &str) -> Result<(), RunError> {
        self.temporary.retain(|known| known != name);
        self.execute(&format!("drop table if exists {name}")).map(drop)
    }

    /// Drops the temporary tables whose names begin so.
    pub fn forget(&mut self, prefix: &str) -> Result<(), RunError> {
        let (gone, kept) = std::mem::take(&mut self.temporary)
            .into_iter()
            .partition::<Vec<_>, _>(|name| name.trim_start_matches('"').starts_with(prefix));
        self.temporary = kept;
        for name in gone {
            self.execute(&format!("drop table if exists {name}"))?;
        }
        Ok(())
    }

    /// Sends a query whose answer is one row of integers.
    pub fn counts(&mut self, sql: &str) -> Result<Vec<u64>, RunError> {
        let answer = self.texts(sql)?;
        let row = answer.rows.first().cloned().unwrap_or_default();
        Ok(row.iter().map(|cell| cell.as_deref().and_then(|text| text.parse().ok()).unwrap_or(0)).collect())
    }

    /// A new name for a staged relation, forgotten by [`Database::drop_temporary`].
    pub fn stage_name(&mut self) -> String {
        self.next += 1;
        let name = format!("thalweg_stage_{}", self.next);
        self.staged.push(name.clone());
        name
    }

    /// Drops every temporary view, temporary table and staged relation.
    pub fn drop_temporary(&mut self) -> Result<(), RunError> {
        for name in std::mem::take(&mut self.views) {
            self.execute(&format!("drop view if exists {name}"))?;
        }
        for name in std::mem::take(&mut self.temporary) {
            self.execute(&format!("drop table if exists {name}"))?;
        }
        for name in std::mem::take(&mut self.staged) {
            self.connection.unstage(&name).map_err(|error| self.error(error))?;
        }
        Ok(())
    }

    /// A name that no engine takes, as an error of this table.
    pub fn name(&self, quoted: Result<String, InvalidName>) -> Result<String, RunError> {
        quoted.map_err(|error| self.bad_name(error))
    }

    /// See [`Database::name`].
    pub fn bad_name(&self, error: InvalidName) -> RunError {
        self.error(WarehouseError::new(WarehouseErrorKind::Statement, error.to_string()))
    }
}
