//! What is discovered.

use thalweg_source::database::{Engine, SourceColumn, Table, TableKind, TableRef, Value};
use thalweg_testkit::PostgresServer;

use crate::support::{as_role, engine, engine_of, read_all, settings};

const TABLES: &str = r#"
create table plain (
  id bigint generated always as identity primary key,
  "Group" text not null,
  twice bigint generated always as (id * 2) stored,
  dropped int,
  unique ("Group", id),
  unique (twice)
);
alter table plain drop column dropped;
comment on column plain."Group" is 'a reserved word';
create index on plain (twice);
create index on plain ("Group") where id > 5;
create table keys (a int, b int, c int not null, primary key (b, a) include (c));
create unique index on keys (c);
insert into plain ("Group") select 'g' from generate_series(1, 1000);
create table parted (day date not null, n int) partition by range (day);
create table parted_1 partition of parted for values from ('2024-01-01') to ('2025-01-01');
insert into parted select '2024-01-01', n from generate_series(1, 500) n;
create view seen as select id, "Group" from plain;
create materialized view kept as select count(*) as n from plain;
create schema "Other Schema";
create table "Other Schema"."select ""from" ("a b" int, "É" text);
create schema hidden;
create table hidden.t (a int);
create extension file_fdw;
create server files foreign data wrapper file_fdw;
create foreign table far (a int) server files options (program 'seq 3');
create table no_columns ();
create role reader login;
grant select on plain, seen to reader;
grant select (a, c) on keys to reader;
analyze;
"#;

fn names(tables: &[Table]) -> Vec<String> {
    tables.iter().map(|table| table.table.to_string()).collect()
}

#[test]
fn tables_are_described() {
    let server = PostgresServer::start(&[]);
    let database = server.database();
    database.run(TABLES);
    let engine = engine_of(&server, &database);
    let mut connection = engine.connect().unwrap();
    let tables = connection.describe(None).unwrap();
    assert_eq!(
        names(&tables),
        [
            "Other Schema.select \"from",
            "hidden.t",
            "public.far",
            "public.kept",
            "public.keys",
            "public.no_columns",
            "public.parted",
            "public.plain",
            "public.seen",
        ]
    );
    let find = |name: &str| tables.iter().find(|table| table.table.name == name).unwrap();
    let plain = find("plain");
    let column = |column: &SourceColumn| (column.name.clone(), column.engine_type.clone(), column.nullable);
    assert_eq!(
        plain.columns.iter().map(column).collect::<Vec<_>>(),
        [
            ("id".into(), "bigint".into(), false),
            ("Group".into(), "text".into(), false),
            ("twice".into(), "bigint".into(), true),
        ]
    );
    assert_eq!(plain.columns[1].comment.as_deref(), Some("a reserved word"));
    assert_eq!(plain.primary_key, ["id"]);
    assert_eq!(plain.unique_keys, [["Group", "id"]]);
    assert_eq!(plain.indexed_columns, ["id", "Group", "twice"]);
    assert_eq!(plain.estimated_rows, Some(1000));
    assert!(plain.estimated_bytes.unwrap() >= 8192);
    let keys = find("keys");
    assert_eq!((keys.primary_key.join(","), keys.unique_keys.clone()), ("b,a".into(), vec![vec!["c".to_owned()]]));
    assert_eq!(find("parted").estimated_rows, Some(500));
    assert_eq!(find("parted").kind, TableKind::Table);
    assert_eq!((find("seen").kind, find("seen").estimated_rows), (TableKind::View, None));
    assert_eq!(find("kept").kind, TableKind::View);
    assert_eq!(find("far").kind, TableKind::Foreign);

    // Whatever kind, it can be read.
    for (name, rows) in [("far", 3), ("kept", 1), ("seen", 1000), ("parted", 500), ("select \"from", 0)] {
        let table = find(name);
        assert_eq!(read_all(&engine, connection.as_mut(), &table.table, &table.columns).0.len(), rows, "{name}");
    }
    // A partition is no stream of its own accord, but can be one.
    let partition = TableRef::new("public", "parted_1");
    let nowhere = TableRef::new("public", "nowhere");
    assert_eq!(names(&connection.describe(Some(&[partition, nowhere])).unwrap()), ["public.parted_1"]);
}

#[test]
fn only_what_may_be_read_is_described() {
    let server = PostgresServer::start(&[]);
    let database = server.database();
    database.run(TABLES);
    let reader = engine(as_role(&settings(&server, &database), "reader", None));
    let mut connection = reader.connect().unwrap();
    let tables = connection.describe(None).unwrap();
    assert_eq!(names(&tables), ["public.keys", "public.plain", "public.seen"]);
    let keys = &tables[0];
    assert_eq!(keys.columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>(), ["a", "c"]);
    // The primary key has a column that may not be read.
    assert!(keys.primary_key.is_empty());
    assert_eq!(read_all(&reader, connection.as_mut(), &keys.table, &keys.columns).0.len(), 0);

    let wanted = ["plain", "far", "nowhere"].map(|name| TableRef::new("public", name));
    let opened = reader.open(2, &wanted).unwrap();
    assert_eq!(opened.connections.len(), 2);
    assert!(opened.tables[0].is_ok());
    let told = |index: usize| opened.tables[index].as_ref().unwrap_err().message.clone();
    assert!(told(1).contains("may not read public.far") && told(1).contains("grant"), "{}", told(1));
    assert!(told(2).contains("no table public.nowhere"), "{}", told(2));
}

#[test]
fn boundaries_divide_a_table() {
    let server = PostgresServer::shared();
    let database = server.database();
    database.run(
        "create table numbers (id int primary key); insert into numbers select n * n from generate_series(1, 40000) n; \
         create table ids (id uuid primary key); insert into ids select gen_random_uuid() from generate_series(1, 20000); \
         create table texts (id text collate \"C\" primary key); insert into texts select 'k' || n from generate_series(1, 20000) n; \
         create table amounts (id numeric(10,2) primary key); insert into amounts select n / 100.0 from generate_series(-5000, 5000) n; \
         create table days (id timestamptz primary key); insert into days select 'epoch'::timestamptz + n * interval '1 hour' from generate_series(1, 9000) n; \
         create table blobs (id bytea primary key); insert into blobs select decode(md5(n::text), 'hex') from generate_series(1, 5000) n; \
         create table parts (id int primary key) partition by range (id); \
         create table parts_1 partition of parts for values from (0) to (10000); \
         create table parts_2 partition of parts for values from (10000) to (20000); \
         insert into parts select generate_series(0, 19999); \
         create table few (id int primary key); insert into few values (1), (2); \
         create table none (id int primary key); analyze",
    );
    let engine = engine_of(server, &database);
    let mut connection = engine.connect().unwrap();
    for name in ["numbers", "ids", "texts", "amounts", "days", "blobs", "parts"] {
        let table = connection.describe(Some(&[TableRef::new("public", name)])).unwrap().remove(0);
        let column = &table.columns[0];
        let bounds = connection.boundaries(&table, column, 8).unwrap();
        assert_eq!(bounds.len(), 7, "{name}: {bounds:?}");
        let literals: Vec<String> = bounds.iter().map(|bound| engine.dialect().literal(bound, column)).collect();
        // Rows of each part, and whether an index finds the first of them.
        let counted: Vec<String> = literals
            .windows(2)
            .map(|pair| format!("(select count(*) from {name} where id >= {} and id < {})", pair[0], pair[1]))
            .collect();
        let parts: Vec<u64> =
            database.run(&format!("select {}", counted.join(", "))).split('|').map(|n| n.parse().unwrap()).collect();
        let rows = table.estimated_rows.unwrap();
        assert!(parts.iter().all(|part| *part > rows / 16 && *part < rows / 4), "{name}: {parts:?} of {rows}");
        let plan = database
            .run(&format!("set enable_seqscan = off; explain select * from {name} where id >= {}", literals[6]));
        assert!(plan.contains("Index Cond"), "{name}: {plan}");
    }
    for (name, most) in [("few", 1), ("none", 0)] {
        let table = connection.describe(Some(&[TableRef::new("public", name)])).unwrap().remove(0);
        let bounds: Vec<Value> = connection.boundaries(&table, &table.columns[0], 8).unwrap();
        assert!(bounds.len() <= most, "{name}: {bounds:?}");
    }
}
