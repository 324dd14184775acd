//! Physical tables and the views in front of them.

use std::collections::BTreeSet;

use thalweg_project::TableName;
use thalweg_sql::statement::TypedColumn;
use thalweg_sql::statement::relation::{ORIGIN_COLUMN, RECORD_COLUMN, RUN_COLUMN, column_list};
use thalweg_sql::{Dialect, InvalidName};
use thalweg_warehouse::{Connection, Value, ViewDefinition, WarehouseError, WarehouseErrorKind};

use crate::error::RunError;
use crate::publish::Publication;
use crate::publish::change_log::log_name;
use crate::table_state::{TableKind, TableState};
use crate::text::text_table;

/// Bytes that names of tables beside a physical one need: `.tombstones`, and an `x` or two of a second version in one run.
const BESIDE: usize = 14;

/// Schema of the physical tables.
pub const DATA_SCHEMA: &str = "thalweg_data";

impl Publication<'_> {
    /// Quoted name under which readers find a table.
    pub fn published(&self, table: &TableName) -> Result<String, RunError> {
        self.database.name(self.database.dialect.published_table(table, &self.project.target.schema_prefix))
    }

    /// Quoted name of a physical table.
    pub fn physical(&self, name: &str) -> Result<String, RunError> {
        self.database.name(physical_table(self.database.dialect, name))
    }

    /// The name of a table's version of this run.
    pub fn physical_name(&self, table: &TableName) -> String {
        let prefix = &self.project.target.schema_prefix;
        // A dot is in no name of a schema, table or project, so that no two tables get one name.
        let (before, after) = (format!("{}.", self.project.name), format!(".v{}", self.run));
        let name = format!("{prefix}{}.{}", table.schema, table.name);
        let room = self.database.dialect.longest_name().map(|longest| longest.saturating_sub(BESIDE));
        match room {
            Some(room) if before.len() + name.len() + after.len() > room => {
                let hash = &blake3::hash(name.as_bytes()).to_hex()[..12];
                let begin: String =
                    name.chars().take(room.saturating_sub(before.len() + after.len() + hash.len() + 1)).collect();
                format!("{before}{begin}~{hash}{after}")
            }
            _ => format!("{before}{name}{after}"),
        }
    }

    /// Creates an empty store table.
    pub fn create_store_table(&mut self, physical: &str, columns: &[TypedColumn]) -> Result<(), RunError> {
        let mut definitions = self.definitions(columns)?;
        for name in [RUN_COLUMN, ORIGIN_COLUMN, RECORD_COLUMN] {
            definitions.push(format!("{name} bigint not null"));
        }
        let table = self.physical(physical)?;
        self.database.execute(&format!("create table {table} ({})", definitions.join(", ")))?;
        self.definitions_changed = true;
        Ok(())
    }

    /// Quoted columns with their types.
    pub fn definitions(&self, columns: &[TypedColumn]) -> Result<Vec<String>, RunError> {
        columns
            .iter()
            .map(|column| {
                let name = self.database.name(self.database.dialect.quote_identifier(&column.name))?;
                Ok(format!("{name} {}", column.engine_type))
            })
            .collect()
    }

    /// Points the published view at a physical table.
    pub fn publish_view(&mut self, table: &TableName, physical: &str, columns: &[TypedColumn]) -> Result<(), RunError> {
        let names = columns.iter().map(|column| column.name.as_str());
        let columns = self.database.name(column_list(self.database.dialect, "", names))?;
        let physical = self.physical(physical)?;
        self.define_view(table, &format!("select {columns} from {physical}"))
    }

    /// Puts published views of tables back that somebody dropped: what reads them would fail for ever. Models that are views are left to
    /// be defined anew, as if they had been changed. Whether one was put back.
    pub fn put_views_back(&mut self) -> Result<bool, RunError> {
        let answer = self.database.texts(self.database.dialect.list_views())?;
        let lower = |text: &str| text.to_lowercase();
        let standing: BTreeSet<Vec<String>> =
            answer.rows.iter().map(|row| row.iter().flatten().map(|cell| lower(cell)).collect()).collect();
        let name = |table: &TableName| self.published_parts(table).iter().map(|part| lower(part)).collect::<Vec<_>>();
        let tables = self.tables.iter().filter(|(_, state)| state.kind != TableKind::Stage);
        let gone = tables.filter(|(table, _)| !standing.contains(&name(table)));
        let gone: Vec<(TableName, TableState)> = gone.map(|(table, state)| (table.clone(), state.clone())).collect();
        let mut put_back = false;
        for (table, state) in gone {
            if let Some(schema) = self.published_parts(&table).first() {
                self.database.connection.create_schema(schema).map_err(|error| self.database.error(error))?;
            }
            let message = if state.kind == TableKind::View {
                self.tables.insert(table.clone(), TableState { fingerprint: String::new(), ..state });
                "somebody dropped it: a build of it defines it anew"
            } else {
                let columns = state.typed_columns(self.database.dialect);
                self.publish_view(&table, &state.physical, &columns)?;
                put_back = true;
                "somebody dropped its view, which is put back"
            };
            self.note(table.to_string(), true, message.to_owned());
        }
        Ok(put_back)
    }

    /// Defines a published view by a query.
    pub fn define_view(&mut self, table: &TableName, sql: &str) -> Result<(), RunError> {
        self.claim(table)?;
        let schema = format!("{}{}", self.project.target.schema_prefix, table.schema);
        tracing::debug!(view = %table, sql);
        self.definitions_changed = true;
        let definition = ViewDefinition { schema, view: table.name.clone(), sql: Some(sql.to_owned()) };
        let waits = self.database.dialect.definitions_wait_for_readers();
        if waits && (self.tables.contains_key(table) || !self.database.coming.is_empty()) {
            return self.postpone(table, definition);
        }
        let defined = self.database.connection.define_view(&definition.schema, &definition.view, sql);
        defined.map_err(|error| self.database.error(error))
    }

    /// Makes sure that a new table may be published under its name.
    pub fn claim(&mut self, table: &TableName) -> Result<(), RunError> {
        if self.tables.contains_key(table) {
            return Ok(());
        }
        let schema = format!("{}{}", self.project.target.schema_prefix, table.schema);
        self.database.name(self.database.dialect.quote_identifier(&schema))?;
        self.database.connection.create_schema(&schema).map_err(|error| self.database.error(error))?;
        self.refuse_foreign(table, &schema)
    }

    /// What stands where a new table is to be published, and is not ours, must not be replaced.
    fn refuse_foreign(&mut self, table: &TableName, schema: &str) -> Result<(), RunError> {
        let found = self.database.query_with(
            "select 1 from information_schema.tables where lower(table_schema) = lower(?) and lower(table_name) = lower(?)",
            &[Value::Text(schema.to_owned()), Value::Text(table.name.clone())],
        )?;
        if found.is_empty() {
            return Ok(());
        }
        Err(self.database.error(WarehouseError::new(
            WarehouseErrorKind::Statement,
            format!("{schema}.{} stands in the warehouse already and is not this project's: rename one of the two, or drop it", table.name),
        )))
    }

    /// Drops what the project no longer has, or what was replaced.
    pub fn drop_physical(&mut self, name: &str) -> Result<(), RunError> {
        for sql in drop_statements(self.database.dialect, name).map_err(|error| self.database.bad_name(error))? {
            self.database.execute(&sql)?;
        }
        self.definitions_changed = true;
        Ok(())
    }
}

/// What drops a physical table with what stands beside it.
pub fn drop_statements(dialect: &dyn Dialect, name: &str) -> Result<Vec<String>, InvalidName> {
    let all = [name.to_owned(), tombstones_name(name), log_name(name)];
    all.iter().map(|name| Ok(format!("drop table if exists {}", physical_table(dialect, name)?))).collect()
}

/// Quoted name of a physical table.
pub fn physical_table(dialect: &dyn Dialect, name: &str) -> Result<String, InvalidName> {
    Ok(format!("{DATA_SCHEMA}.{}", dialect.quote_identifier(name)?))
}

/// Physical tables of a project that no ledger row leads to, of whatever target: of one snapshot, in which each table and its row
/// come and go together.
pub fn unused(connection: &mut dyn Connection, project: &str) -> Result<Vec<String>, RunError> {
    let found = connection.query(
        &format!(
            "select t.table_name::text as name from information_schema.tables t where t.table_schema = '{DATA_SCHEMA}' \
             and substr(t.table_name, 1, length(?)) = ? \
             and not exists (select 1 from thalweg.tables l where l.physical = t.table_name \
               or l.physical || '.changes' = t.table_name or l.physical || '.tombstones' = t.table_name) order by 1"
        ),
        &[Value::Text(format!("{project}.")), Value::Text(format!("{project}."))],
    )?;
    let texts = text_table(&found, None)?;
    Ok(texts.rows.into_iter().flatten().flatten().collect())
}

/// Name of the table of deleted keys beside a store table.
pub fn tombstones_name(physical: &str) -> String {
    format!("{physical}.tombstones")
}
