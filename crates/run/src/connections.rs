//! Looking at sources: whether they are reached, and what a database holds.

use serde::Serialize;
use thalweg_project::column_name::{snake_case, store_name};
use thalweg_project::diagnostic::nearest;
use thalweg_project::{ColumnType, DatabaseConnection, Source, SourceConnection, Table, TableKind};
use thalweg_source::database::DatabaseSource;

use crate::discovered;
use crate::error::RunError;
use crate::workbench::Workbench;

/// What reaching a source gave.
#[derive(Debug, Clone, Serialize)]
pub struct ConnectionTest {
    /// The source.
    pub source: String,
    /// Its kind.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it was reached.
    pub reached: bool,
    /// What was found, or why it was not reached.
    pub message: String,
}

/// A table of a database.
#[derive(Debug, Clone, Serialize)]
pub struct DiscoveredTable {
    /// Its name at the source, with its schema.
    pub table: String,
    /// Its schema.
    pub schema: String,
    /// Its name alone.
    pub name: String,
    /// `table`, `view` or `foreign`.
    pub kind: TableKind,
    /// Its columns.
    pub columns: Vec<DiscoveredColumn>,
    /// What identifies a row, at the source.
    pub primary_key: Vec<String>,
    /// Rows, as the engine guesses.
    pub estimated_rows: Option<u64>,
    /// The column that looks as if it found changed rows, as named in the store.
    pub likely_cursor: Option<String>,
    /// The column that looks as if it marked deleted rows, as named in the store.
    pub likely_soft_delete: Option<String>,
    /// The stream that reads it.
    pub stream: Option<String>,
}

/// A column of a table of a database.
#[derive(Debug, Clone, Serialize)]
pub struct DiscoveredColumn {
    /// Its name at the source.
    pub name: String,
    /// Its name in the store.
    pub store_name: String,
    /// Its type at the source.
    pub engine_type: String,
    /// Its type in the store.
    #[serde(rename = "type")]
    pub column_type: ColumnType,
    /// Whether it may hold NULL.
    pub nullable: bool,
}

/// The text of a source's file, to be written.
#[derive(Debug, Clone, Serialize)]
pub struct SourceFileText {
    /// Its path in the project.
    pub path: String,
    /// The text.
    pub text: String,
    /// Streams in it, wildcards counted once.
    pub streams: usize,
    /// Tables they were written for; views, and tables of databases other than the one that is connected to, are not among them.
    pub tables: usize,
}

/// Names of columns that find changed rows, the likeliest first.
const CURSORS: &[&str] = &[
    "updated_at",
    "updated_datetime",
    "updated_on",
    "updated",
    "update_time",
    "update_date",
    "modified_at",
    "modified_datetime",
    "modified_on",
    "modified",
    "modified_date",
    "last_modified",
    "last_modified_at",
    "last_update",
    "last_updated",
    "last_updated_at",
    "changed_at",
    "changed_on",
    "change_date",
    "date_modified",
    "date_updated",
    "mtime",
    "row_version",
];
/// Names of columns that mark deleted rows.
const SOFT_DELETES: &[&str] =
    &["is_deleted", "deleted_at", "deleted", "deleted_datetime", "deleted_on", "is_removed", "removed_at"];

/// Reaches a source.
pub fn test(bench: &Workbench, name: &str) -> Result<ConnectionTest, RunError> {
    let (index, source) = find(bench, name)?;
    let sources = bench.sources();
    let checked = sources[index].check();
    Ok(ConnectionTest {
        source: source.name.clone(),
        kind: source.connection.kind().to_owned(),
        reached: checked.is_ok(),
        message: checked.unwrap_or_else(|error| error.message),
    })
}

/// Asks a database for its tables, and remembers them.
pub fn discover(bench: &Workbench, name: &str) -> Result<Vec<DiscoveredTable>, RunError> {
    let (_, source) = find(bench, name)?;
    let database = database_of(source)?;
    let reader = DatabaseSource::new(&source.name, &database.settings, bench.folder());
    let tables = reader.describe(None)?;
    discovered::remember(bench.folder(), &source.name, &database.settings, &tables);
    Ok(tables.iter().map(|table| describe(source, table)).collect())
}

fn find<'b>(bench: &'b Workbench, name: &str) -> Result<(usize, &'b Source), RunError> {
    let sources = &bench.project().sources;
    let found = sources.iter().enumerate().find(|(_, source)| source.name == name);
    found.ok_or_else(|| {
        let near = nearest(name, sources.iter().map(|source| source.name.as_str()));
        let help = match near {
            Some(near) => format!("did you mean {near}?"),
            None => {
                format!("there is {}", sources.iter().map(|source| source.name.as_str()).collect::<Vec<_>>().join(", "))
            }
        };
        RunError::NotFound(format!("the project has no source {name}: {help}"))
    })
}

fn database_of(source: &Source) -> Result<&DatabaseConnection, RunError> {
    match &source.connection {
        SourceConnection::Database(database) => Ok(database),
        SourceConnection::Files { .. } => Err(RunError::NotFound(format!(
            "the source {} is no database: `thalweg conns test {}` says what lies in its folder",
            source.name, source.name
        ))),
    }
}

fn describe(source: &Source, table: &Table) -> DiscoveredTable {
    let columns: Vec<DiscoveredColumn> = table
        .columns
        .iter()
        .zip(1..)
        .map(|(column, place)| DiscoveredColumn {
            name: column.name.clone(),
            store_name: store_name(&column.name, place),
            engine_type: column.engine_type.clone(),
            column_type: column.column_type.clone(),
            nullable: column.nullable,
        })
        .collect();
    let likely = |names: &[&str], fits: &dyn Fn(&ColumnType) -> bool| {
        let of = |name: &&str| columns.iter().find(|column| column.store_name == **name && fits(&column.column_type));
        names.iter().find_map(of).map(|column| column.store_name.clone())
    };
    let is_time = |column_type: &ColumnType| matches!(column_type, ColumnType::Timestamp);
    let is_mark =
        |column_type: &ColumnType| !matches!(column_type, ColumnType::Blob | ColumnType::List(_) | ColumnType::Json);
    let stream = source
        .streams
        .iter()
        .find(|stream| stream.database.as_ref().is_some_and(|options| options.table == table.table));
    let key = if table.primary_key.is_empty() { table.unique_keys.first() } else { Some(&table.primary_key) };
    DiscoveredTable {
        table: table.table.to_string(),
        schema: table.table.schema.clone(),
        name: table.table.name.clone(),
        kind: table.kind,
        primary_key: key.cloned().unwrap_or_default(),
        estimated_rows: table.estimated_rows,
        likely_cursor: likely(CURSORS, &is_time),
        likely_soft_delete: likely(SOFT_DELETES, &is_mark),
        stream: stream.map(|stream| stream.name.clone()),
        columns,
    }
}

/// Writes streams for tables below what the file says of the connection.
pub fn source_file(bench: &Workbench, name: &str, tables: &[DiscoveredTable]) -> Result<SourceFileText, RunError> {
    let (_, source) = find(bench, name)?;
    let database = database_of(source)?;
    let path = source.location.file.clone();
    if !source.streams.is_empty() || !database.wildcards.is_empty() {
        return Err(RunError::NotFound(format!(
            "{path} has streams already, which are not overwritten: empty it to `streams: {{}}` first, or add streams by hand"
        )));
    }
    let file = bench.folder().join(&path);
    let text = std::fs::read_to_string(&file)
        .map_err(|error| RunError::Folder(format!("cannot read {}: {error}", file.display())))?;
    let home = match database.settings.kind {
        thalweg_project::DatabaseKind::Postgres => "public",
        _ => database.settings.database.as_str(),
    };
    let head = connection_lines(&text);
    // A user of MySQL may see many databases; who names one means that one. A database of Postgres is one with all its schemas.
    let is_meant = |table: &&DiscoveredTable| {
        database.settings.kind == thalweg_project::DatabaseKind::Postgres || home.is_empty() || table.schema == home
    };
    let tables: Vec<DiscoveredTable> = tables.iter().filter(is_meant).cloned().collect();
    let (streams, count) = streams_text(home, &tables);
    let tables = tables.iter().filter(|table| table.kind != TableKind::View).count();
    Ok(SourceFileText { path, text: format!("{head}{streams}"), streams: count, tables })
}

/// What a file says before and besides its streams and their defaults: top-level keys with everything below them.
fn connection_lines(text: &str) -> String {
    let mut head = String::new();
    let mut keep = true;
    for line in text.lines() {
        let is_key = line.chars().next().is_some_and(|first| !first.is_whitespace() && first != '#' && first != '-');
        if is_key {
            keep = !line.starts_with("streams:") && !line.starts_with("defaults:");
        }
        if keep {
            head.push_str(line);
            head.push('\n');
        }
    }
    head
}

/// A stream as it is written.
struct WrittenStream<'t> {
    name: String,
    table: &'t DiscoveredTable,
    settings: Vec<String>,
}

/// `defaults:` and `streams:`, and how many streams.
fn streams_text(home: &str, tables: &[DiscoveredTable]) -> (String, usize) {
    let readable: Vec<&DiscoveredTable> = tables.iter().filter(|table| table.kind != TableKind::View).collect();
    let cursor = most_frequent(readable.iter().filter_map(|table| table.likely_cursor.as_deref()));
    let soft_delete = most_frequent(readable.iter().filter_map(|table| table.likely_soft_delete.as_deref()));
    let mut defaults = Vec::new();
    defaults.extend(cursor.map(|cursor| format!("cursor: {cursor}")));
    defaults.extend(soft_delete.map(|column| format!("soft_delete: {column}")));
    let mut names = std::collections::BTreeSet::new();
    let mut streams: Vec<WrittenStream<'_>> = Vec::new();
    for table in &readable {
        let mut name = snake_case(&table.name);
        if !is_plain(&name) || !names.insert(name.clone()) {
            name = free_name(&snake_case(&format!("{}_{}", table.schema, table.name)), &mut names);
        }
        let mut settings = Vec::new();
        if table.schema != home {
            settings.push(format!("table: {}", quoted(&table.table)));
        } else if name != table.name {
            settings.push(format!("table: {}", quoted(&table.name)));
        }
        if table.likely_cursor.as_deref() != cursor && !table.primary_key.is_empty() {
            settings.extend(table.likely_cursor.as_ref().map(|cursor| format!("cursor: {cursor}")));
        }
        if table.likely_soft_delete.as_deref() != soft_delete && !table.primary_key.is_empty() {
            settings.extend(table.likely_soft_delete.as_ref().map(|column| format!("soft_delete: {column}")));
        }
        streams.push(WrittenStream { name, table, settings });
    }
    let wildcards = wildcards(&streams, tables, home);
    let mut text = String::new();
    if !defaults.is_empty() {
        text.push_str(&format!("defaults: {{ {} }}\n", defaults.join(", ")));
    }
    text.push_str("streams:\n");
    let mut count = 0;
    for stream in &streams {
        if wildcards.iter().any(|prefix| is_like(prefix, stream, home)) {
            continue;
        }
        count += 1;
        let settings =
            if stream.settings.is_empty() { String::new() } else { format!(" {{ {} }}", stream.settings.join(", ")) };
        text.push_str(&format!("  {}:{settings}{}\n", stream.name, remark(stream.table)));
    }
    for prefix in &wildcards {
        let members = streams.iter().filter(|stream| is_like(prefix, stream, home)).count();
        count += 1;
        text.push_str(&format!("  \"{prefix}*\": {{}}  # {members} tables\n"));
    }
    if count == 0 {
        text = text.replace("streams:\n", "streams: {}\n");
    }
    for view in tables.iter().filter(|table| table.kind == TableKind::View) {
        let name = snake_case(&view.name);
        text.push_str(&format!(
            "  # {name}: {{ table: {} }}  # a view; as a stream it is read in full\n",
            quoted(&view.table)
        ));
    }
    (text, count)
}

/// What people may want to know of a table, as a comment.
fn remark(table: &DiscoveredTable) -> String {
    let mut parts = Vec::new();
    if table.primary_key.is_empty() {
        parts.push("no key: replaced as a whole".to_owned());
    } else if table.likely_cursor.is_none() {
        parts.push("no cursor: read in full".to_owned());
    }
    parts.extend(table.estimated_rows.filter(|rows| *rows > 0).map(|rows| format!("about {rows} rows")));
    if parts.is_empty() { String::new() } else { format!("  # {}", parts.join(", ")) }
}

/// Beginnings of names that three or more tables share, all of them without settings of their own.
fn wildcards(streams: &[WrittenStream<'_>], tables: &[DiscoveredTable], home: &str) -> Vec<String> {
    let mut prefixes: Vec<String> =
        streams.iter().filter_map(|stream| Some(format!("{}_", stream.table.name.split_once('_')?.0))).collect();
    prefixes.sort_unstable();
    prefixes.dedup();
    prefixes.retain(|prefix| {
        let all = tables.iter().filter(|table| table.schema == home && begins(&table.name, prefix)).count();
        let plain = streams.iter().filter(|stream| is_like(prefix, stream, home)).count();
        plain >= 3 && plain == all
    });
    prefixes
}

fn is_like(prefix: &str, stream: &WrittenStream<'_>, home: &str) -> bool {
    stream.settings.is_empty() && stream.table.schema == home && begins(&stream.table.name, prefix)
}

fn begins(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix))
}

/// The word that is there most often, if it is there at least twice.
fn most_frequent<'w>(words: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let mut counts: std::collections::BTreeMap<&str, usize> = std::collections::BTreeMap::new();
    words.for_each(|word| *counts.entry(word).or_default() += 1);
    counts.into_iter().filter(|(_, count)| *count > 1).max_by_key(|(_, count)| *count).map(|(word, _)| word)
}

fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A name that no other stream has, made of ASCII letters, digits and `_`.
fn free_name(name: &str, taken: &mut std::collections::BTreeSet<String>) -> String {
    let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect();
    let plain = if is_plain(&plain) { plain } else { format!("t_{plain}") };
    let mut free = plain.clone();
    let mut number = 2;
    while !taken.insert(free.clone()) {
        free = format!("{plain}_{number}");
        number += 1;
    }
    free
}

/// A text in YAML.
fn quoted(text: &str) -> String {
    if text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'))
        && !text.starts_with(|c: char| c.is_ascii_digit())
    {
        return text.to_owned();
    }
    serde_json::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(schema: &str, name: &str, columns: &[(&str, ColumnType)], key: &[&str]) -> DiscoveredTable {
        let table = Table {
            table: thalweg_project::TableRef::new(schema, name),
            kind: if name.starts_with("v_") { TableKind::View } else { TableKind::Table },
            columns: columns
                .iter()
                .map(|(name, column_type)| thalweg_project::SourceColumn {
                    name: (*name).to_owned(),
                    engine_type: String::new(),
                    column_type: column_type.clone(),
                    nullable: false,
                    comment: None,
                })
                .collect(),
            primary_key: key.iter().map(|name| (*name).to_owned()).collect(),
            unique_keys: Vec::new(),
            indexed_columns: Vec::new(),
            estimated_rows: Some(10),
            estimated_bytes: None,
        };
        let source = Source {
            name: "x".to_owned(),
            connection: SourceConnection::Files { path: String::new(), country_database: None },
            streams: Vec::new(),
            location: thalweg_project::Location::file("sources/x.yml"),
        };
        describe(&source, &table)
    }

    #[test]
    fn a_file_for_a_database() {
        let changed =
            [("id", ColumnType::Integer), ("updated_at", ColumnType::Timestamp), ("is_deleted", ColumnType::SmallInt)];
        let plain = [("code", ColumnType::Text)];
        let tables = [
            table("shop", "Orders", &changed, &["id"]),
            table("shop", "customers", &changed, &["id"]),
            table("shop", "notes", &[("id", ColumnType::Integer), ("modified", ColumnType::Timestamp)], &["id"]),
            table("shop", "bag of words", &plain, &[]),
            table("shop", "ref_a", &plain, &["code"]),
            table("shop", "ref_b", &plain, &["code"]),
            table("shop", "ref_c", &plain, &["code"]),
            table("log", "customers", &plain, &["code"]),
            table("shop", "v_all", &plain, &[]),
        ];
        let (text, count) = streams_text("shop", &tables);
        assert_eq!(count, 6);
        assert_eq!(
            text,
            "defaults: { cursor: updated_at, soft_delete: is_deleted }\n\
             streams:\n\
             \x20 orders: { table: Orders }  # about 10 rows\n\
             \x20 customers:  # about 10 rows\n\
             \x20 notes: { cursor: modified }  # about 10 rows\n\
             \x20 bag_of_words: { table: \"bag of words\" }  # no key: replaced as a whole, about 10 rows\n\
             \x20 log_customers: { table: log.customers }  # no cursor: read in full, about 10 rows\n\
             \x20 \"ref_*\": {}  # 3 tables\n\
             \x20 # v_all: { table: shop.v_all }  # a view; as a stream it is read in full\n"
        );
    }

    #[test]
    fn what_is_said_of_the_connection_stays() {
        let text = "# ours\ntype: mysql\nurl: ${DB}\ndefaults:\n  cursor: x\nstreams: {}\nconnections: 2\n";
        assert_eq!(connection_lines(text), "# ours\ntype: mysql\nurl: ${DB}\nconnections: 2\n");
    }
}
