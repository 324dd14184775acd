//! A connection inside a run: what is sent is sent on behalf of one table, and errors say so.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use thalweg_project::TableName;
use thalweg_sql::{Dialect, InvalidName};
use thalweg_warehouse::{Connection, DescribedColumn, Rows, Value, ViewDefinition, WarehouseError, WarehouseErrorKind};

use crate::error::RunError;
use crate::text::{single_integer, text_table};

/// A temporary table of so many rows is dropped when it is no longer needed. Smaller ones go with the connection: a hundred of them
/// weigh little, and each statement costs as much as reading one.
const WORTH_DROPPING: u64 = 100_000;

/// Names are never used twice by a process: what was not dropped is in nobody's way.
static NEXT_NAME: AtomicU64 = AtomicU64::new(1);

fn next_name() -> u64 {
    NEXT_NAME.fetch_add(1, Ordering::Relaxed)
}

/// A temporary table.
struct Temporary {
    name: String,
    /// Its rows, once it is made; without, it is taken for a large one.
    rows: Option<u64>,
}

impl Temporary {
    fn is_small(&self) -> bool {
        self.rows.is_some_and(|rows| rows < WORTH_DROPPING)
    }
}

/// The temporary relations that there were at some time.
#[derive(Debug, Default)]
pub struct Made {
    temporary: BTreeSet<String>,
    queries: usize,
    staged: BTreeSet<String>,
}

/// A connection and the table that is being worked on.
pub struct Database<'a> {
    /// The connection.
    pub connection: &'a mut dyn Connection,
    /// How the engine spells things.
    pub dialect: &'static dyn Dialect,
    /// The table, test or report that statements are sent for.
    about: String,
    /// Temporary tables that were made, to be dropped at the end.
    temporary: Vec<Temporary>,
    /// Queries that stand where a table could, and their rows.
    queries: Vec<(String, u64)>,
    /// Staged relations, likewise.
    staged: Vec<String>,
    /// See [`Database::define_coming`].
    pub coming: Vec<ComingView>,
    /// Names under which statements would read a view as it was: before such a statement, what is to come is defined.
    pub watched: Vec<String>,
}

/// A published view that is to be defined at the end, since readers wait from then on until the commit.
pub struct ComingView {
    /// The table it shows.
    pub table: TableName,
    /// What it is to be.
    pub definition: ViewDefinition,
}

impl<'a> Database<'a> {
    /// Wraps a connection.
    pub fn new(connection: &'a mut dyn Connection, dialect: &'static dyn Dialect) -> Self {
        Self {
            connection,
            dialect,
            about: String::new(),
            temporary: Vec::new(),
            queries: Vec::new(),
            staged: Vec::new(),
            coming: Vec::new(),
            watched: Vec::new(),
        }
    }

    /// What follows is done for this table, test or report.
    pub fn about(&mut self, what: impl Into<String>) {
        self.about = what.into();
    }

    /// An error of the warehouse, with the table it happened at.
    pub fn error(&self, error: WarehouseError) -> RunError {
        use WarehouseErrorKind::{DeadTransaction, Interrupted, Stopped};
        match error.kind {
            Interrupted => RunError::Cancelled,
            kind if !self.about.is_empty() && (kind.is_of_statement() || matches!(kind, DeadTransaction | Stopped)) => {
                RunError::Table { table: self.about.clone(), error }
            }
            _ => RunError::Warehouse(error),
        }
    }

    /// Defines the views that are to come, of which a statement needs one.
    pub fn define_coming(&mut self) -> Result<(), RunError> {
        self.watched.clear();
        let coming: Vec<ViewDefinition> =
            std::mem::take(&mut self.coming).into_iter().map(|view| view.definition).collect();
        self.connection.define_views(&coming).map_err(|error| self.error(error))
    }

    fn make_way(&mut self, sql: &str) -> Result<(), RunError> {
        if self.watched.iter().any(|name| sql.contains(name.as_str())) {
            tracing::debug!(about = self.about, "views are defined before the end, since they are read");
            self.define_coming()?;
        }
        Ok(())
    }

    /// The columns a query would have.
    pub fn describe(&mut self, sql: &str) -> Result<Vec<DescribedColumn>, RunError> {
        self.make_way(sql)?;
        self.connection.describe(sql).map_err(|error| self.error(error))
    }

    /// What statements are sent for at present.
    pub fn about_now(&self) -> String {
        self.about.clone()
    }

    /// Sends a statement; the number of rows it changed.
    pub fn execute(&mut self, sql: &str) -> Result<u64, RunError> {
        self.make_way(sql)?;
        tracing::debug!(about = self.about, sql);
        self.connection.execute(sql, &[]).map_err(|error| self.error(error))
    }

    /// Marks a place to which the transaction can be undone.
    pub fn savepoint(&mut self, name: &str) -> Result<(), RunError> {
        self.connection.savepoint(name).map_err(|error| self.error(error))
    }

    /// Undoes what happened since.
    pub fn rollback_to(&mut self, name: &str) -> Result<(), RunError> {
        self.connection.rollback_to(name).map_err(|error| self.error(error))
    }

    /// Keeps what happened since.
    pub fn release(&mut self, name: &str) -> Result<(), RunError> {
        self.connection.release(name).map_err(|error| self.error(error))
    }

    /// Sends a query.
    pub fn query(&mut self, sql: &str) -> Result<Rows, RunError> {
        self.query_with(sql, &[])
    }

    /// Sends a query with bound values.
    pub fn query_with(&mut self, sql: &str, parameters: &[Value]) -> Result<Rows, RunError> {
        self.make_way(sql)?;
        tracing::debug!(about = self.about, sql);
        self.connection.query(sql, parameters).map_err(|error| self.error(error))
    }

    /// The first rows of a query's answer in the order of their values, which is the same each time: most often there are none.
    pub fn first_rows(&mut self, sql: &str, parameters: &[Value], limit: usize) -> Result<Rows, RunError> {
        let found = self.query_with(&format!("select * from ({sql}\n) f limit {limit}"), parameters)?;
        if found.len() < 2 {
            return Ok(found);
        }
        let columns = self.describe(sql)?;
        let place = |(column, position): (&DescribedColumn, usize)| match self.dialect.is_ordered(&column.engine_type) {
            true => Ok(position.to_string()),
            false => Ok(format!("cast(f.{} as text)", self.dialect.quote_identifier(&column.name)?)),
        };
        let order: Result<Vec<_>, InvalidName> = columns.iter().zip(1..).map(place).collect();
        let order = self.name(order)?;
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
        let name = format!("thalweg_{what}_{}", next_name());
        self.temporary.push(Temporary { name: name.clone(), rows: None });
        name
    }

    /// A beginning for names of temporary tables that somebody else makes up, and that no query uses.
    pub fn prefix(&mut self) -> String {
        format!("thalweg_r{}_", next_name())
    }

    /// Makes a temporary table under a name of [`Database::temporary`] or with a [`Database::prefix`].
    pub fn make(&mut self, name: &str, select: &str) -> Result<(), RunError> {
        self.make_counted(name, select).map(drop)
    }

    /// The same; the number of its rows.
    pub fn make_counted(&mut self, name: &str, select: &str) -> Result<u64, RunError> {
        self.temporary.retain(|known| known.name != name);
        self.temporary.push(Temporary { name: name.to_owned(), rows: None });
        let rows = self.execute(&format!("create temporary table {name} as {select}"))?;
        self.analyze(name, true)?;
        if let Some(made) = self.temporary.last_mut() {
            made.rows = Some(rows);
        }
        Ok(rows)
    }

    /// Tells the engine what a table holds, if it wants to know.
    pub fn analyze(&mut self, table: &str, temporary: bool) -> Result<(), RunError> {
        for sql in self.dialect.analyze(table, temporary) {
            self.execute(&sql)?;
        }
        Ok(())
    }

    /// Makes a temporary table; its name.
    pub fn make_named(&mut self, what: &str, select: &str) -> Result<String, RunError> {
        let name = self.temporary(what);
        self.make(&name, select)?;
        Ok(name)
    }

    /// A query as a relation of which the number of rows is known: a view would be one statement more, and reading it no less.
    pub fn inline(&mut self, select: &str, rows: u64) -> String {
        let relation = format!("({select})");
        self.queries.push((relation.clone(), rows));
        relation
    }

    /// Whether a relation is one of [`Database::inline`].
    pub fn is_inlined(&self, relation: &str) -> bool {
        self.queries.iter().any(|(known, _)| known == relation)
    }

    /// The number of rows of a relation, which is counted where it is not known.
    pub fn rows_of(&mut self, relation: &str) -> Result<u64, RunError> {
        let query = self.queries.iter().find(|(known, _)| known == relation).map(|(_, rows)| *rows);
        let table = self.temporary.iter().find(|known| known.name == relation).and_then(|known| known.rows);
        match query.or(table) {
            Some(rows) => Ok(rows),
            None => self.count(&format!("select count(*) from {relation} r")),
        }
    }

    /// Drops a temporary table, or leaves it to the connection when it is small.
    pub fn forget_one(&mut self, name: &str) -> Result<(), RunError> {
        self.forget_where(|known| known == name)
    }

    /// The same for the temporary tables whose names begin so.
    pub fn forget(&mut self, prefix: &str) -> Result<(), RunError> {
        self.forget_where(|known| known.trim_start_matches('"').starts_with(prefix))
    }

    fn forget_where(&mut self, forgotten: impl Fn(&str) -> bool) -> Result<(), RunError> {
        let (gone, kept) = std::mem::take(&mut self.temporary)
            .into_iter()
            .partition::<Vec<_>, _>(|temporary| forgotten(&temporary.name));
        self.temporary = kept;
        for temporary in gone.iter().filter(|temporary| !temporary.is_small()) {
            self.execute(&format!("drop table if exists {}", temporary.name))?;
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
        let name = format!("thalweg_stage_{}", next_name());
        self.staged.push(name.clone());
        name
    }

    /// Drops every staged relation and temporary table, but small tables, which go with the connection.
    pub fn drop_temporary(&mut self) -> Result<(), RunError> {
        self.drop_since(&Made::default())
    }

    /// What there is now.
    pub fn made(&self) -> Made {
        Made {
            temporary: self.temporary.iter().map(|temporary| temporary.name.clone()).collect(),
            queries: self.queries.len(),
            staged: self.staged.iter().cloned().collect(),
        }
    }

    /// Drops what was made since: what was made before is somebody else's, a change set for one.
    pub fn drop_since(&mut self, made: &Made) -> Result<(), RunError> {
        self.queries.truncate(made.queries);
        self.forget_where(|name| !made.temporary.contains(name))?;
        let (kept, gone) = std::mem::take(&mut self.staged).into_iter().partition(|name| made.staged.contains(name));
        self.staged = kept;
        let gone: Vec<String> = gone;
        gone.iter().try_for_each(|name| self.connection.unstage(name)).map_err(|error| self.error(error))
    }

    /// A name that no engine takes, as an error of this table.
    pub fn name<T>(&self, quoted: Result<T, InvalidName>) -> Result<T, RunError> {
        quoted.map_err(|error| self.bad_name(error))
    }

    /// See [`Database::name`].
    pub fn bad_name(&self, error: InvalidName) -> RunError {
        self.error(WarehouseError::new(WarehouseErrorKind::Statement, error.to_string()))
    }
}
