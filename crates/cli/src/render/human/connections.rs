//! Sources and the tables of databases.

use thalweg_run::{ConnectionTest, DiscoveredTable};

use super::Page;
use super::grid::{self, Side, Value};
use super::number::grouped;

/// Every source with what was found.
pub fn tests(page: &Page, tests: &[ConnectionTest]) -> String {
    let columns = [("source", Side::Left), ("type", Side::Left), ("found", Side::Left)];
    let rows = tests.iter().map(|test| {
        let found = if test.reached { test.message.clone() } else { format!("not reached: {}", test.message) };
        vec![Value::text(&test.source), Value::Faint(test.kind.clone()), Value::text(&found)]
    });
    grid::draw(page, &columns, rows.collect())
}

/// Every table with what matters for a stream.
pub fn tables(page: &Page, tables: &[DiscoveredTable]) -> String {
    let columns = [
        ("table", Side::Left),
        ("rows, about", Side::Right),
        ("columns", Side::Right),
        ("key", Side::Left),
        ("likely cursor", Side::Left),
        ("likely soft delete", Side::Left),
        ("stream", Side::Left),
    ];
    let rows = tables.iter().map(|table| {
        vec![
            Value::text(&table.table),
            Value::text(table.estimated_rows.map(grouped).unwrap_or_default()),
            Value::text(table.columns.len().to_string()),
            Value::text(table.primary_key.join(", ")),
            Value::text(table.likely_cursor.as_deref().unwrap_or_default()),
            Value::text(table.likely_soft_delete.as_deref().unwrap_or_default()),
            Value::Faint(table.stream.clone().unwrap_or_default()),
        ]
    });
    grid::draw(page, &columns, rows.collect())
}

/// Every column of every table.
pub fn columns(page: &Page, tables: &[DiscoveredTable]) -> String {
    let columns = [
        ("table", Side::Left),
        ("column", Side::Left),
        ("type there", Side::Left),
        ("in the store", Side::Left),
        ("type in the store", Side::Left),
        ("null", Side::Left),
    ];
    let rows = tables.iter().flat_map(|table| {
        table.columns.iter().map(|column| {
            vec![
                Value::text(&table.table),
                Value::text(&column.name),
                Value::text(&column.engine_type),
                Value::text(&column.store_name),
                Value::text(column.column_type.to_string()),
                Value::Faint(if column.nullable { "yes" } else { "no" }.to_owned()),
            ]
        })
    });
    grid::draw(page, &columns, rows.collect())
}
