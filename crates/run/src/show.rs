//! `show`: a table or an answer.

use thalweg_project::TableName;
use thalweg_sql::statement::relation::{ORIGIN_COLUMN, RECORD_COLUMN, column_list, qualified};
use thalweg_sql::{Dialect, InvalidName, NodeKind, parse_select};
use thalweg_warehouse::Rows;

use crate::answer::Shown;
use crate::error::RunError;
use crate::legible::legible;
use crate::look::{known_for, named_table, nothing_built};
use crate::outcome::StaleTable;
use crate::publish::physical::physical_table;
use crate::stale::stale_tables;
use crate::table_state::{TableKind, TableState};
use crate::text::text_table;
use crate::workbench::Workbench;

/// See [`Workbench::show`].
pub fn show(bench: &Workbench, what: &str, limit: Option<usize>) -> Result<Shown, RunError> {
    let project = bench.project();
    let dialect = thalweg_sql::dialect_of(&project.target.connection);
    let (known, connection) = known_for(bench, what)?;
    let Some(mut connection) = connection else { return Err(nothing_built(bench)) };
    let mut reasons = stale_tables(bench, &known);
    let mut read: Vec<usize> = Vec::new();
    let sql = if what.contains(char::is_whitespace) {
        let query = parse_select(what, dialect).map_err(|error| {
            RunError::NotFound(format!("{error}: show takes a table (`store.orders`) or one SELECT"))
        })?;
        let named = query.tables.iter().filter_map(|named| {
            let [schema, table] = named.name.as_slice() else { return None };
            let schema = schema.strip_prefix(project.target.schema_prefix.as_str())?;
            bench.compiled().node(&TableName::new(schema, table))
        });
        read.extend(named);
        let sql = &what[query.body.clone()];
        // The query is sent as it is: its order is part of it.
        match limit {
            Some(limit) => format!("select * from ({sql}\n) shown limit {}", limit.saturating_add(1)),
            None => sql.to_owned(),
        }
    } else {
        let table = named_table(bench, what)?;
        let node = bench.compiled().node(&table);
        let is_ours = node.is_some_and(|node| !matches!(bench.compiled().nodes[node].kind, NodeKind::External(_)));
        if let (true, Some(reason)) = (is_ours && !known.tables.contains_key(&table), reasons.get(&table)) {
            return Err(RunError::NotFound(format!("{table} is not there yet: {reason}")));
        }
        read.extend(node);
        let bad_name = |error: InvalidName| RunError::NotFound(error.to_string());
        let limit = limit.map(|limit| format!(" limit {}", limit.saturating_add(1))).unwrap_or_default();
        let ordered = match known.tables.get(&table) {
            Some(state) => ordered(bench, dialect, &table, state).map_err(bad_name)?,
            None => {
                let published = dialect.published_table(&table, &project.target.schema_prefix).map_err(bad_name)?;
                format!("select * from {published}")
            }
        };
        format!("{ordered}{limit}")
    };
    let failed = |error| RunError::Table { table: what.to_owned(), error };
    let sql = legible(connection.as_mut(), dialect, sql).map_err(failed)?;
    let rows = connection.query(&sql, &[]).map_err(failed)?;
    let cut = limit.is_some_and(|limit| rows.len() > limit);
    let rows = if cut { cut_to(&rows, limit.unwrap_or(0)) } else { rows };
    let table = text_table(&rows, None)?;
    read.sort_unstable();
    read.dedup();
    let stale = read.into_iter().filter_map(|node| {
        let table = &bench.compiled().nodes[node].id;
        reasons.remove(table).map(|reason| StaleTable { table: table.to_string(), reason })
    });
    let stale = stale.collect();
    Ok(Shown { table, rows, cut, run: known.published_run, stale })
}

/// A query for the rows of a table, in an order that is the same each time. An engine promises none, least of all for what several
/// threads wrote.
///
/// By the declared key, if there is one. Without it what was loaded comes as it arrived; a model as its own `order by` says, or by
/// all of its columns from the left.
fn ordered(
    bench: &Workbench,
    dialect: &dyn Dialect,
    table: &TableName,
    state: &TableState,
) -> Result<String, InvalidName> {
    let node = bench.compiled().node(table);
    let declared: &[String] = match node.map(|node| bench.compiled().nodes[node].kind) {
        Some(NodeKind::Stream(source, stream)) => &bench.project().sources[source].streams[stream].primary_key,
        Some(NodeKind::Model(model)) => &bench.project().models[model].primary_key,
        _ => &[],
    };
    let names = || state.columns.iter().map(|column| column.name.as_str());
    // A key that was declared since the last build may name columns that are not there yet.
    let key: Vec<&str> =
        declared.iter().map(String::as_str).filter(|key| names().any(|name| name.eq_ignore_ascii_case(key))).collect();
    let published = dialect.published_table(table, &bench.project().target.schema_prefix)?;
    let (relation, order) = match state.kind {
        TableKind::Store | TableKind::Seed if key.is_empty() => {
            let order = [qualified(dialect, "t", ORIGIN_COLUMN)?, qualified(dialect, "t", RECORD_COLUMN)?].join(", ");
            (physical_table(dialect, &state.physical)?, order)
        }
        TableKind::Store | TableKind::Seed => (published, column_list(dialect, "t", key.iter().copied())?),
        TableKind::Table | TableKind::View | TableKind::Stage => {
            let orders = node.and_then(|node| bench.compiled().query(node)).is_some_and(|query| query.ordered);
            if key.is_empty() && orders {
                (published, String::new())
            } else {
                // Nobody has proven the key of a model, so that the other columns decide between rows of one key.
                let rest = names().filter(|name| !key.iter().any(|key| key.eq_ignore_ascii_case(name)));
                let places = key.iter().copied().chain(rest).map(|name| {
                    let column = qualified(dialect, "t", name)?;
                    let kind = state.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name));
                    let has_order = kind.is_none_or(|column| dialect.is_ordered(&column.type_name));
                    Ok(if has_order { column } else { format!("cast({column} as text)") })
                });
                (published, places.collect::<Result<Vec<_>, InvalidName>>()?.join(", "))
            }
        }
    };
    let order = if order.is_empty() { order } else { format!(" order by {order}") };
    Ok(format!("select {} from {relation} t{order}", column_list(dialect, "t", names())?))
}

/// The first rows of an answer.
fn cut_to(rows: &Rows, limit: usize) -> Rows {
    let mut left = limit;
    let mut batches = Vec::new();
    for batch in &rows.batches {
        let take = left.min(batch.num_rows());
        batches.push(batch.slice(0, take));
        left -= take;
    }
    Rows { schema: rows.schema.clone(), batches }
}
