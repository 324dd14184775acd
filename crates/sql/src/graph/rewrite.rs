//! Queries for the engine: published names in the place of logical ones, ephemeral models in the place of their names.

use thalweg_project::{Project, TableName};

use super::resolve::Resolved;
use super::{Node, NodeKind, SYSTEM_SCHEMA, SYSTEM_TABLES, is_ephemeral};
use crate::dialect::{Dialect, InvalidName};
use crate::query::Query;
use crate::splice::{Replacement, SpliceError, rewrite_tables};

pub(super) struct Rewriter<'a> {
    pub(super) project: &'a Project,
    pub(super) dialect: &'a dyn Dialect,
    pub(super) nodes: &'a [Node],
    pub(super) queries: &'a [Option<Query>],
    pub(super) resolved: &'a [Option<Vec<Resolved>>],
}

impl Rewriter<'_> {
    /// A model's SQL; `None` when it has a mistake, or one of the ephemeral models it reads has.
    pub(super) fn model(&self, node: usize, done: &[Option<String>]) -> Result<Option<String>, SpliceError> {
        let (NodeKind::Model(index), Some(query), Some(tables)) =
            (self.nodes[node].kind, &self.queries[node], &self.resolved[node])
        else {
            return Ok(None);
        };
        self.text(&self.project.models[index].sql, query, tables, done)
    }

    /// Any text with SQL; `None` when one of the ephemeral models it reads has a mistake.
    pub(super) fn text(
        &self,
        sql: &str,
        query: &Query,
        tables: &[Resolved],
        done: &[Option<String>],
    ) -> Result<Option<String>, SpliceError> {
        let mut replacements = Vec::with_capacity(tables.len());
        for found in tables {
            let replacement = match *found {
                Resolved::System(index) => self.name(&TableName::new(SYSTEM_SCHEMA, SYSTEM_TABLES[index]), "")?,
                Resolved::Node(node) if is_ephemeral(self.project, &self.nodes[node]) => match &done[node] {
                    Some(subquery) => Replacement::Subquery(subquery.clone()),
                    None => return Ok(None),
                },
                // External tables are not ours: no personal target has a copy of them.
                Resolved::Node(node) if matches!(self.nodes[node].kind, NodeKind::External(_)) => {
                    self.name(&self.nodes[node].id, "")?
                }
                Resolved::Node(node) => self.name(&self.nodes[node].id, &self.project.target.schema_prefix)?,
            };
            replacements.push(replacement);
        }
        let of_table = |table: &crate::TableReference| {
            let index = query.tables.iter().position(|one| one.span == table.span)?;
            replacements.get(index).cloned()
        };
        rewrite_tables(sql, query, self.dialect, &of_table).map(Some)
    }

    fn name(&self, table: &TableName, prefix: &str) -> Result<Replacement, InvalidName> {
        Ok(Replacement::Name { qualified: self.dialect.published_table(table, prefix)?, last: table.name.clone() })
    }
}
