//! What the server says of its tables, from `information_schema`.

use std::collections::{BTreeMap, BTreeSet};

use super::column_types::Kind;
use super::dialect::literal_text;
use super::error::Trouble;
use super::session::Session;
use crate::database::{SourceColumn, Table, TableKind, TableRef};

/// Schemas of the server itself.
const SYSTEM_SCHEMAS: &str = "'information_schema', 'mysql', 'performance_schema', 'sys'";
/// Storage engines whose rows lie elsewhere.
const FOREIGN_ENGINES: [&str; 5] = ["FEDERATED", "CONNECT", "SPIDER", "S3", "MRG_MyISAM"];
/// Tables asked for in one statement.
const TABLES_AT_ONCE: usize = 64;

/// Describes these tables, or all; in order of schema and name.
pub(super) fn describe(session: &mut Session, tables: Option<&[TableRef]>) -> Result<Vec<Table>, Trouble> {
    let mut found: BTreeMap<TableRef, Table> = BTreeMap::new();
    match tables {
        None => describe_where(session, &|schema, _| vec![format!("{schema} not in ({SYSTEM_SCHEMAS})")], &mut found)?,
        Some(tables) => {
            for some in tables.chunks(TABLES_AT_ONCE) {
                // The server looks a table up by name only where both names are compared with texts.
                let conditions = |schema: &str, name: &str| {
                    let both = |table: &TableRef| {
                        let (of_schema, of_name) = (literal_text(&table.schema), literal_text(&table.name));
                        format!("{schema} = {of_schema} and {name} = {of_name}")
                    };
                    some.iter().map(both).collect()
                };
                describe_where(session, &conditions, &mut found)?;
            }
        }
    }
    Ok(found.into_values().filter(|table| !table.columns.is_empty()).collect())
}

/// Makes conditions out of the names of the columns that hold schema and table.
type Conditions<'a> = &'a dyn Fn(&str, &str) -> Vec<String>;

fn describe_where(
    session: &mut Session,
    conditions: Conditions<'_>,
    found: &mut BTreeMap<TableRef, Table>,
) -> Result<(), Trouble> {
    let by_table = conditions("table_schema", "table_name");
    let query = |what: &str, from: &str, conditions: &[String]| {
        let parts = conditions
            .iter()
            .map(|condition| format!("select {what} from information_schema.{from} where {condition}"));
        parts.collect::<Vec<_>>().join(" union all ")
    };
    for row in session.rows(&query(TABLE, "tables", &by_table))? {
        if let Some(table) = table(&row) {
            found.insert(table.table.clone(), table);
        }
    }
    let json =
        json_columns(session, &query(CHECK, "check_constraints", &conditions("constraint_schema", "table_name")))?;
    let ordered = |query: String| format!("select * from ({query}) x order by 1, 2, 3, 4");
    for row in session.rows(&ordered(query(COLUMN, "columns", &by_table)))? {
        if let Some((table, column)) = column(&row, &json)
            && let Some(table) = found.get_mut(&table)
        {
            table.columns.push(column);
        }
    }
    let mut indexes: BTreeMap<(TableRef, String), Vec<IndexColumn>> = BTreeMap::new();
    for row in session.rows(&ordered(query(INDEX, "statistics", &by_table)))? {
        if let Some((table, index, column)) = index_column(&row) {
            indexes.entry((table, index)).or_default().push(column);
        }
    }
    for ((table, index), columns) in indexes {
        if let Some(table) = found.get_mut(&table) {
            add_index(table, &index, &columns);
        }
    }
    Ok(())
}

const TABLE: &str = "table_schema, table_name, table_type, engine, table_rows, data_length";
const COLUMN: &str = "table_schema, table_name, ordinal_position as position, column_name, column_type, character_set_name, is_nullable, \
                      column_comment, extra, privileges";
const INDEX: &str = "table_schema, table_name, index_name, seq_in_index as position, column_name, non_unique, nullable, sub_part, index_type";
const CHECK: &str = "constraint_schema, table_name, check_clause";

fn text(row: &[Option<String>], at: usize) -> Option<&str> {
    row.get(at)?.as_deref()
}

fn table_ref(row: &[Option<String>]) -> Option<TableRef> {
    Some(TableRef::new(text(row, 0)?, text(row, 1)?))
}

fn table(row: &[Option<String>]) -> Option<Table> {
    let engine = text(row, 3).unwrap_or_default();
    let kind = match text(row, 2)? {
        "VIEW" => TableKind::View,
        "BASE TABLE" | "SYSTEM VERSIONED" if FOREIGN_ENGINES.contains(&engine) => TableKind::Foreign,
        "BASE TABLE" | "SYSTEM VERSIONED" => TableKind::Table,
        // Sequences, and what belongs to the server.
        _ => return None,
    };
    let number = |at| text(row, at).and_then(|number| number.parse().ok());
    Some(Table {
        table: table_ref(row)?,
        kind,
        columns: Vec::new(),
        primary_key: Vec::new(),
        unique_keys: Vec::new(),
        indexed_columns: Vec::new(),
        estimated_rows: number(4),
        estimated_bytes: number(5),
    })
}

/// Columns of MariaDB that are JSON: texts that are checked by `json_valid`. MySQL has a type for it, and no table in its constraints.
fn json_columns(session: &mut Session, query: &str) -> Result<BTreeSet<(TableRef, String)>, Trouble> {
    let mut columns = BTreeSet::new();
    if !session.is_mariadb() {
        return Ok(columns);
    }
    for row in session.rows(query)? {
        let clause = text(&row, 2).unwrap_or_default();
        let checked = clause.strip_prefix("json_valid(`").and_then(|rest| rest.strip_suffix("`)"));
        if let (Some(table), Some(column)) = (table_ref(&row), checked) {
            columns.insert((table, column.replace("``", "`")));
        }
    }
    Ok(columns)
}

fn column(row: &[Option<String>], json: &BTreeSet<(TableRef, String)>) -> Option<(TableRef, SourceColumn)> {
    let table = table_ref(row)?;
    let name = text(row, 3)?.to_owned();
    let hidden = text(row, 8).is_some_and(|extra| extra.to_ascii_uppercase().contains("INVISIBLE"));
    let readable = text(row, 9).is_none_or(|privileges| privileges.is_empty() || privileges.contains("select"));
    if hidden || !readable {
        return None;
    }
    let mut engine_type = text(row, 4)?.to_owned();
    let key = (table, name);
    if json.contains(&key) {
        engine_type = "json".to_owned();
    }
    let (table, name) = key;
    let kind = Kind::parse(&engine_type);
    if let (Kind::Text | Kind::Listed, Some(character_set)) = (kind, text(row, 5)) {
        engine_type = format!("{engine_type} character set {character_set}");
    }
    let comment = text(row, 7).filter(|comment| !comment.is_empty()).map(str::to_owned);
    let nullable = text(row, 6) != Some("NO");
    Some((table, SourceColumn { name, engine_type, column_type: kind.natural(), nullable, comment }))
}

/// A column of an index, in its place.
struct IndexColumn {
    /// `None` for an expression.
    name: Option<String>,
    unique: bool,
    nullable: bool,
    /// Only the beginning of its value is in the index.
    prefix: bool,
    /// The index is sorted.
    sorted: bool,
}

fn index_column(row: &[Option<String>]) -> Option<(TableRef, String, IndexColumn)> {
    let column = IndexColumn {
        name: text(row, 4).map(str::to_owned),
        unique: text(row, 5) == Some("0"),
        nullable: text(row, 6) == Some("YES"),
        prefix: row.get(7)?.is_some(),
        sorted: text(row, 8) == Some("BTREE"),
    };
    Some((table_ref(row)?, text(row, 2)?.to_owned(), column))
}

fn add_index(table: &mut Table, index: &str, columns: &[IndexColumn]) {
    let Some(first) = columns.first() else { return };
    if let Some(name) = &first.name
        && first.sorted
        && !first.prefix
        && !table.indexed_columns.contains(name)
    {
        table.indexed_columns.push(name.clone());
    }
    let names: Option<Vec<String>> = columns.iter().map(|column| column.name.clone()).collect();
    let Some(names) = names else { return };
    // A key over a column that is hidden, or may not be read, is none for us.
    if !first.unique || !names.iter().all(|name| table.column(name).is_some()) {
        return;
    }
    if index == "PRIMARY" {
        table.primary_key = names;
    } else if columns.iter().all(|column| !column.nullable && !column.prefix) {
        table.unique_keys.push(names);
    }
}
