//! Queries for the engine: published names in the place of logical ones, ephemeral models in the place of their names.

use thalweg_project::{Materialized, Project, TableName};

use super::resolve::Resolved;
use super::{Node, NodeKind, SYSTEM_SCHEMA, SYSTEM_TABLES, materialized};
use crate::dialect::{Dialect, InvalidName};
use crate::query::Query;
use crate::splice::{Replacement, SpliceError, rewrite_tables};

/// Which models are put in the place of their names, besides ephemeral ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Views {
    /// Views keep their names.
    Named,
    /// Views are put in their places, so that every table named is a stored one.
    Inlined,
}

pub(super) struct Rewriter<'a> {
    pub(super) project: &'a Project,
    pub(super) dialect: &'a dyn Dialect,
    pub(super) nodes: &'a [Node],
    pub(super) queries: &'a [Option<Query>],
    pub(super) resolved: &'a [Option<Vec<Resolved>>],
}

impl Rewriter<'_> {
    /// A model's SQL; `None` when it has a mistake, or one of the models put in their places has. `done` holds the SQL of these, made in
    /// the same way.
    pub(super) fn model(
        &self,
        node: usize,
        views: Views,
        done: &[Option<String>],
    ) -> Result<Option<String>, SpliceError> {
        let (NodeKind::Model(index), Some(query), Some(tables)) =
            (self.nodes[node].kind, &self.queries[node], &self.resolved[node])
        else {
            return Ok(None);
        };
        self.text_with(&self.project.models[index].sql, query, tables, views, done)
    }

    /// A model's query as the condition says that `retention:` means: then old rows go from a table in the same way in every warehouse, and
    /// everything that follows what a query reads of the time follows it. `None` without a retention.
    pub(super) fn without_old_rows(&self, node: usize, text: &str) -> Result<Option<String>, InvalidName> {
        let NodeKind::Model(index) = self.nodes[node].kind else { return Ok(None) };
        let Some(partitioning) = &self.project.models[index].partitioning else { return Ok(None) };
        let Some(retention) = partitioning.retention else { return Ok(None) };
        let column = self.dialect.quote_identifier(&partitioning.column)?;
        Ok(Some(format!(
            "select kept.* from ({text}\n) kept where kept.{column} is null or kept.{column} >= \
             cast(date_trunc('{}', current_date - interval '{}') as date)",
            partitioning.unit.word(),
            retention.interval()
        )))
    }

    /// Any text with SQL; `None` when one of the ephemeral models it reads has a mistake.
    pub(super) fn text(
        &self,
        sql: &str,
        query: &Query,
        tables: &[Resolved],
        done: &[Option<String>],
    ) -> Result<Option<String>, SpliceError> {
        self.text_with(sql, query, tables, Views::Named, done)
    }

    fn text_with(
        &self,
        sql: &str,
        query: &Query,
        tables: &[Resolved],
        views: Views,
        done: &[Option<String>],
    ) -> Result<Option<String>, SpliceError> {
        let inlined = |node: usize| match materialized(self.project, &self.nodes[node]) {
            Some(Materialized::Ephemeral) => true,
            Some(Materialized::View) => views == Views::Inlined,
            _ => false,
        };
        let mut replacements = Vec::with_capacity(tables.len());
        for found in tables {
            let replacement = match *found {
                Resolved::System(index) => self.name(&TableName::new(SYSTEM_SCHEMA, SYSTEM_TABLES[index]), "")?,
                Resolved::Node(node) if inlined(node) => match &done[node] {
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
