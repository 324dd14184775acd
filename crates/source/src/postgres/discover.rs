//! What `pg_catalog` says of tables.

use std::collections::{BTreeMap, BTreeSet};

use super::column_types::{Class, natural};
use super::connection::{PostgresConnection, numbers, table_values};
use super::dialect::{PostgresDialect, literal_text, quoted};
use crate::database::{Connection, Dialect, SourceColumn, Table, TableKind, TableRef};
use crate::{SourceError, SourceErrorKind};

type Row = Vec<Option<String>>;

fn text(row: &Row, column: usize) -> &str {
    row.get(column).and_then(Option::as_deref).unwrap_or_default()
}

fn is_true(row: &Row, column: usize) -> bool {
    text(row, column) == "t"
}

/// Describes tables: these, or all that the user may read and that are no partitions and no part of an extension.
pub(super) fn describe(
    connection: &mut PostgresConnection,
    wanted: Option<&[TableRef]>,
) -> Result<Vec<Table>, SourceError> {
    if wanted.is_some_and(<[TableRef]>::is_empty) {
        return Ok(Vec::new());
    }
    let found = connection.query(&tables_query(wanted))?;
    let oids: Vec<&str> = found.iter().map(|row| text(row, 0)).collect();
    let oids = numbers(oids);
    let columns = connection.query(&columns_query(&oids))?;
    let indexes = connection.query(&indexes_query(&oids))?;
    let money_scale = connection.about().money_scale;
    let mut types = Types::load(connection, &columns)?;
    let mut tables = Vec::with_capacity(found.len());
    for row in &found {
        let oid = text(row, 0);
        let own = |rows: &'_ Row| text(rows, 0) == oid;
        let mut table = Table {
            table: TableRef::new(text(row, 1), text(row, 2)),
            kind: match text(row, 3) {
                "v" | "m" => TableKind::View,
                "f" => TableKind::Foreign,
                _ => TableKind::Table,
            },
            columns: Vec::new(),
            primary_key: Vec::new(),
            unique_keys: Vec::new(),
            indexed_columns: Vec::new(),
            estimated_rows: text(row, 4).parse().ok(),
            estimated_bytes: text(row, 5).parse().ok(),
        };
        for column in columns.iter().filter(|column| own(column)) {
            let engine_type = types.engine_type(Declared::of(column));
            table.columns.push(SourceColumn {
                name: text(column, 1).to_owned(),
                column_type: natural(&engine_type, money_scale),
                engine_type,
                nullable: !is_true(column, 5),
                comment: column.get(6).cloned().flatten().filter(|comment| !comment.is_empty()),
            });
        }
        for index in indexes.iter().filter(|index| own(index)) {
            add_index(&mut table, index);
        }
        tables.push(table);
    }
    Ok(tables)
}

/// Why a table that was asked for is not described.
pub(super) fn missing(connection: &mut PostgresConnection, table: &TableRef) -> Result<SourceError, SourceError> {
    let known = connection.query(&format!(
        "select 1 from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
         where n.nspname = {} and c.relname = {} and c.relkind in ('r', 'p', 'v', 'm', 'f')",
        literal_text(&table.schema),
        literal_text(&table.name)
    ))?;
    let place = connection.place();
    let user = quoted(&connection.about().user);
    let message = if known.is_empty() {
        format!("{place}: there is no table {table}; check its name, or take the stream out")
    } else {
        format!(
            "{place}: {user} may not read {table}; grant usage on schema {} and select on {} to {user}",
            quoted(&table.schema),
            PostgresDialect.table(table)
        )
    };
    Ok(SourceError::new(SourceErrorKind::Denied, message))
}

fn tables_query(wanted: Option<&[TableRef]>) -> String {
    // Rows of a table that nobody has analysed are known by the counters of its changes. A partitioned table has the rows and bytes of
    // its partitions. The size on disk is exact, but asks every table for a lock that somebody may hold: it is taken only where tables
    // are named, and then held.
    let pages = "p.relpages::int8 * pg_catalog.current_setting('block_size')::int8";
    let (restricted, size) = match wanted {
        None => (
            "not c.relispartition and not exists (select from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_class'::regclass \
             and d.objid = c.oid and d.deptype = 'e')"
                .to_owned(),
            pages.to_owned(),
        ),
        Some(tables) => {
            let exact = format!("case p.relkind when 'r' then pg_catalog.pg_table_size(p.oid) else {pages} end");
            (format!("(n.nspname, c.relname) in (values {})", table_values(tables)), exact)
        }
    };
    format!(
        "select c.oid, n.nspname, c.relname, c.relkind, sizes.row_count, sizes.size \
         from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
         left join lateral ( \
           with recursive parts(oid) as ( \
             select c.oid union all select i.inhrelid from pg_catalog.pg_inherits i join parts on parts.oid = i.inhparent \
             where c.relkind = 'p') \
           select sum(case when p.reltuples > 0 then p.reltuples::int8 \
                      else pg_catalog.pg_stat_get_live_tuples(p.oid) end)::int8 as row_count, sum({size})::int8 as size \
           from parts join pg_catalog.pg_class p on p.oid = parts.oid where p.relkind in ('r', 'm') \
         ) as sizes on c.relkind in ('r', 'p', 'm') \
         where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema' \
         and pg_catalog.has_schema_privilege(n.oid, 'usage') \
         and (pg_catalog.has_table_privilege(c.oid, 'select') or pg_catalog.has_any_column_privilege(c.oid, 'select')) \
         and {restricted} order by n.nspname collate \"C\", c.relname collate \"C\""
    )
}

fn columns_query(oids: &str) -> String {
    format!(
        "select a.attrelid, a.attname, a.atttypid, a.atttypmod, a.attndims, a.attnotnull, \
         pg_catalog.col_description(a.attrelid, a.attnum) from pg_catalog.pg_attribute a \
         where a.attrelid = any({oids}::oid[]) and a.attnum > 0 and not a.attisdropped \
         and pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'select') order by a.attrelid, a.attnum"
    )
}

/// Valid indexes, the primary key first: owner, whether they are the primary key, unique over columns without NULL, and their columns.
/// Those over a part of the rows, or over expressions, are left out.
fn indexes_query(oids: &str) -> String {
    format!(
        "select i.indrelid, i.indisprimary, i.indisunique and pg_catalog.bool_and(a.attnotnull), \
         pg_catalog.json_agg(a.attname order by k.n) from pg_catalog.pg_index i \
         cross join lateral unnest(i.indkey::int2[]) with ordinality as k(attnum, n) \
         join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum \
         where i.indrelid = any({oids}::oid[]) and i.indisvalid and i.indpred is null and i.indexprs is null \
         and k.n <= i.indnkeyatts group by i.indexrelid, i.indrelid, i.indisprimary, i.indisunique \
         order by i.indisprimary desc, i.indexrelid"
    )
}

fn add_index(table: &mut Table, index: &Row) {
    let columns: Vec<String> = serde_json::from_str(text(index, 3)).unwrap_or_default();
    let Some(leading) = columns.first() else { return };
    // A key over columns the user may not read is no key to us.
    let is_readable = columns.iter().all(|column| table.column(column).is_some());
    if table.column(leading).is_some() && !table.indexed_columns.contains(leading) {
        table.indexed_columns.push(leading.clone());
    }
    if is_true(index, 1) && is_readable {
        table.primary_key = columns;
    } else if is_true(index, 2) && is_readable {
        table.unique_keys.push(columns);
    }
}

/// A type as a column declares it.
#[derive(Debug, Clone, Copy)]
struct Declared {
    oid: u32,
    modifier: i32,
    dimensions: usize,
}

impl Declared {
    fn of(column: &Row) -> Self {
        Self {
            oid: text(column, 2).parse().unwrap_or(0),
            modifier: text(column, 3).parse().unwrap_or(-1),
            dimensions: text(column, 4).parse().unwrap_or(0),
        }
    }
}

/// A row of `pg_type`.
struct TypeRow {
    /// In quotes where it needs them.
    name: String,
    /// Likewise.
    schema: String,
    kind: String,
    base: u32,
    base_modifier: i32,
    dimensions: usize,
    /// Type of the elements; 0 for what is no array.
    element: u32,
    extension: String,
}

/// The types that columns have, and what they are made of.
struct Types {
    rows: BTreeMap<u32, TypeRow>,
    /// Spellings of types of Postgres itself, by type and modifier.
    spelled: BTreeMap<(u32, i32), String>,
}

impl Types {
    fn load(connection: &mut PostgresConnection, columns: &[Row]) -> Result<Self, SourceError> {
        let used: BTreeSet<&str> = columns.iter().map(|column| text(column, 2)).collect();
        let mut types = Self { rows: BTreeMap::new(), spelled: BTreeMap::new() };
        if used.is_empty() {
            return Ok(types);
        }
        // `int2vector` and `oidvector` count from 0 and are better shown as texts.
        let element =
            "case when t.typcategory = 'A' and t.typlen = -1 and t.oid not in (22, 30) then t.typelem else 0 end";
        let rows = connection.query(&format!(
            "with recursive used(oid) as ( \
               select oid from pg_catalog.pg_type where oid = any({}::oid[]) \
               union \
               select case when t.typtype = 'd' then t.typbasetype else {element} end \
               from pg_catalog.pg_type t join used on used.oid = t.oid where t.typtype = 'd' or t.typelem <> 0 \
             ) \
             select t.oid, pg_catalog.quote_ident(t.typname), pg_catalog.quote_ident(n.nspname), t.typtype, t.typbasetype, t.typtypmod, t.typndims, {element}, e.extname \
             from used join pg_catalog.pg_type t on t.oid = used.oid join pg_catalog.pg_namespace n on n.oid = t.typnamespace \
             left join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_type'::regclass and d.objid = t.oid and d.deptype = 'e' \
             left join pg_catalog.pg_extension e on e.oid = d.refobjid",
            numbers(&used)
        ))?;
        for row in &rows {
            let number = |column: usize| text(row, column).parse().unwrap_or(0);
            let read = TypeRow {
                name: text(row, 1).to_owned(),
                schema: text(row, 2).to_owned(),
                kind: text(row, 3).to_owned(),
                base: number(4),
                base_modifier: text(row, 5).parse().unwrap_or(-1),
                dimensions: text(row, 6).parse().unwrap_or(0),
                element: number(7),
                extension: text(row, 8).to_owned(),
            };
            types.rows.insert(number(0), read);
        }
        types.spell(connection, columns)?;
        Ok(types)
    }

    /// Has the server spell every pair of type and modifier that occurs.
    fn spell(&mut self, connection: &mut PostgresConnection, columns: &[Row]) -> Result<(), SourceError> {
        let pairs: BTreeSet<(u32, i32)> = columns
            .iter()
            .map(|column| {
                let resolved = self.resolve(Declared::of(column));
                (resolved.oid, resolved.modifier)
            })
            .collect();
        let spelled = connection.query(&format!(
            "select o, m, pg_catalog.format_type(o, m) from unnest({}::oid[], {}::int[]) as pairs(o, m)",
            numbers(pairs.iter().map(|(oid, _)| oid)),
            numbers(pairs.iter().map(|(_, modifier)| modifier))
        ))?;
        for row in &spelled {
            let key = (text(row, 0).parse().unwrap_or(0), text(row, 1).parse().unwrap_or(-1));
            self.spelled.insert(key, text(row, 2).to_owned());
        }
        Ok(())
    }

    /// What a type is made of: domains are taken off, and arrays down to their elements.
    fn resolve(&self, declared: Declared) -> Declared {
        let Declared { mut oid, mut modifier, dimensions: mut declared_dimensions } = declared;
        let mut dimensions = 0;
        // Types are finitely deep; the bound is for a catalogue that is damaged.
        for _ in 0..64 {
            let Some(row) = self.rows.get(&oid) else { break };
            if row.kind == "d" {
                oid = row.base;
                modifier = if row.base_modifier >= 0 { row.base_modifier } else { modifier };
                declared_dimensions = declared_dimensions.max(row.dimensions);
            } else if row.element != 0 {
                oid = row.element;
                dimensions += declared_dimensions.max(1);
                declared_dimensions = 0;
            } else {
                break;
            }
        }
        Declared { oid, modifier, dimensions }
    }

    fn engine_type(&mut self, declared: Declared) -> String {
        let Declared { oid, modifier, dimensions } = self.resolve(declared);
        let class = self.rows.get(&oid).and_then(TypeRow::class);
        let mut spelled = match (self.rows.get(&oid), class) {
            (Some(row), Some(class)) => format!("{}.{} {}", row.schema, row.name, class.word()),
            _ => self.spelled.get(&(oid, modifier)).cloned().unwrap_or_else(|| "text".to_owned()),
        };
        spelled.push_str(&"[]".repeat(dimensions));
        spelled
    }
}

impl TypeRow {
    /// The class of a type that is none of Postgres' own.
    fn class(&self) -> Option<Class> {
        Some(match (self.kind.as_str(), self.name.as_str(), self.extension.as_str()) {
            ("e", ..) => Class::Enum,
            ("c", ..) => Class::Composite,
            (_, "hstore", "hstore") => Class::Hstore,
            (_, "geometry" | "geography", "postgis") => Class::Geometry,
            _ if self.schema == "pg_catalog" => return None,
            _ => Class::Other,
        })
    }
}
