//! Views that are defined at the end of a publication, and how they are read before.
//!
//! Where definitions wait for readers, readers wait for definitions from then on until the commit. So a published view that stands is
//! defined anew, or dropped, when everything else is done. What reads it in the run itself is told what it will be, by its text; a statement of
//! which that cannot be told has everything defined before it ([`crate::database::Database::watched`]).

use thalweg_project::TableName;
use thalweg_sql::{Replacement, TableReference, parse_select, rewrite_tables};
use thalweg_warehouse::ViewDefinition;

use crate::database::ComingView;
use crate::error::RunError;
use crate::publish::{Publication, model};
use crate::table_state::TableKind;

impl Publication<'_> {
    /// Keeps a definition for the end.
    pub fn postpone(&mut self, table: &TableName, definition: ViewDefinition) -> Result<(), RunError> {
        self.database.coming.retain(|view| view.table != *table);
        self.database.coming.push(ComingView { table: table.clone(), definition });
        let mut watched = Vec::new();
        for view in &self.database.coming {
            watched.push(self.published(&view.table)?);
        }
        for view in self.tables.iter().filter(|(_, state)| state.kind == TableKind::View).map(|(table, _)| table) {
            if self.reads_coming(view) {
                watched.push(self.published(view)?);
            }
        }
        // Nobody knows what tables of others are made of.
        for (external, _) in &self.project.external {
            watched.push(self.database.name(self.database.dialect.published_table(external, ""))?);
        }
        self.database.watched = watched;
        Ok(())
    }

    fn reads_coming(&self, view: &TableName) -> bool {
        let Some(node) = self.compiled.node(view) else { return true };
        let inputs = model::tracked_inputs(self.project, self.compiled, node);
        inputs.iter().any(|&input| self.database.coming.iter().any(|view| view.table == self.compiled.nodes[input].id))
    }

    /// A query with what its views will be in their places, as long as they are not.
    pub fn as_to_come(&self, sql: &str) -> String {
        if self.database.coming.is_empty() {
            return sql.to_owned();
        }
        self.with_coming(sql).unwrap_or_else(|| sql.to_owned())
    }

    fn with_coming(&self, sql: &str) -> Option<String> {
        let dialect = self.database.dialect;
        let query = parse_select(sql, dialect).ok()?;
        let replace = |reference: &TableReference| {
            let is_meant = |table: &TableName| self.published_parts(table) == reference.name;
            let coming = self.database.coming.iter().find(|view| is_meant(&view.table));
            if let Some(view) = coming {
                // A view that is to come may read others.
                return Some(Replacement::Subquery(self.with_coming(view.definition.sql.as_ref()?)?));
            }
            let (view, _) =
                self.tables.iter().find(|(table, state)| state.kind == TableKind::View && is_meant(table))?;
            let node = self.compiled.node(view).filter(|_| self.reads_coming(view))?;
            Some(Replacement::Subquery(self.with_coming(self.compiled.compiled_sql(node)?)?))
        };
        rewrite_tables(sql, &query, dialect, &replace).ok()
    }
}
