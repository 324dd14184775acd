//! Comparing source and store in ranges of keys.

use thalweg_run::{BuildOptions, Command, RunState};
use thalweg_warehouse::Access;

use super::server::{Database, Reader, on_both, step};
use crate::site::options;

const ROWS: u32 = 1200;

/// A table with rows whose key is made of a number `n`, all stamped long ago but the first.
fn numbered(database: &Database, key: &str, key_value: &str) {
    numbered_as(database, "item", key, key_value);
}

fn numbered_as(database: &Database, table: &str, key: &str, key_value: &str) {
    database.run(&format!(
        "create table {table} ({key}, name varchar(40), price integer, amount decimal(12,2), day date, at MOMENT, updated MOMENT)"
    ));
    let (marked, last) = match database {
        Database::Mariadb(_) => {
            (format!("(select seq as n from seq_1_to_{ROWS}) s"), "timestamp '2024-01-02 03:04:05.6'")
        }
        Database::Postgres(_) => {
            (format!("generate_series(1, {ROWS}) as s(n)"), "timestamptz '2024-01-02 03:04:05.6+00'")
        }
    };
    database.run(&format!(
        "insert into {table} select {key_value}, concat('name ', n), n % 10, n / 100.0, date '2024-02-29', {last}, {last} from {marked}"
    ));
    database.run(&format!("update {table} set updated = NOW where name = 'name 1'"));
}

fn reconcile() -> BuildOptions {
    BuildOptions { reconcile: true, ..options(Command::Load) }
}

/// How many keys a run listed; its landing must still be there.
fn listed(reader: &Reader<'_>, run: i64) -> u64 {
    let keys = manifest(reader, run)["keys"].clone();
    keys.as_array().into_iter().flatten().map(|part| part["rows"].as_u64().unwrap()).sum()
}

fn manifest(reader: &Reader<'_>, run: i64) -> serde_json::Value {
    let path = reader.site.project.path().join(format!("landing/dev/db/item/run={run}/manifest.json"));
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap()
}

const COLUMNS: &str = "id, name, price, amount";

#[test]
fn keys_are_listed_where_they_differ() {
    on_both(|database| {
        numbered(&database, "id bigint primary key", "n * 7");
        let reader = database.project("streams: { item: { cursor: updated } }\n");
        reader.load();
        database.run("update item set price = 100, updated = NOW where id in (7, 700, 7007)");
        let updated = reader.load();
        assert_eq!(step(&updated, "store.item").counts.updated, 3);
        assert_eq!(listed(&reader, updated.run), 0, "no key came or went");

        database.run("delete from item where id in (700, 707, 7007)");
        let deleted = reader.load();
        assert_eq!(step(&deleted, "store.item").counts.deleted_missing, 3);
        assert!((1..60).contains(&listed(&reader, deleted.run)), "{}", listed(&reader, deleted.run));
        reader.assert_same("item", COLUMNS, "true");
        assert_eq!(reader.load().state, RunState::Nothing);

        database.run("delete from item where id % 5 <> 0");
        let agreed = BuildOptions { confirm_deletes: true, ..options(Command::Load) };
        reader.load_with(&agreed);
        reader.assert_same("item", COLUMNS, "true");
    });
}

#[test]
fn rows_are_reconciled_that_no_cursor_shows() {
    on_both(|database| {
        numbered(&database, "id bigint primary key", "n * 7");
        let reader = database.project("streams: { item: { cursor: updated, lag: 0s, reconcile: rows } }\n");
        reader.load();
        assert_eq!(reader.load_with(&reconcile()).state, RunState::Nothing);
        // Changed without a new stamp, restored behind the cursor, deleted.
        database.run("update item set price = 1000 where id between 700 and 735");
        database.run("update item set name = null, day = null where id = 1400");
        database.run("insert into item (id, name, updated) select 701, 'restored', min(updated) from item");
        database.run("delete from item where id = 2100");
        assert_eq!(step(&reader.load(), "store.item").counts.deleted_missing, 1);
        assert_ne!(reader.stored("item", COLUMNS), reader.at_source("item", COLUMNS, "true"));
        let outcome = reader.load_with(&reconcile());
        let counts = &step(&outcome, "store.item").counts;
        assert_eq!((counts.inserted, counts.updated, counts.deleted_missing), (1, 7, 0), "{counts:?}");
        assert!(counts.read < 100, "{counts:?}");
        reader.assert_same("item", COLUMNS, "true");
        assert_eq!(reader.load_with(&reconcile()).state, RunState::Nothing);
    });
}

#[test]
fn keys_are_reconciled() {
    on_both(|database| {
        numbered(&database, "id bigint primary key", "n * 7");
        let reader =
            database.project("streams: { item: { cursor: updated, lag: 0s, deletes: none, reconcile: keys } }\n");
        let first = reader.load();
        database.run("insert into item (id, name, updated) select 701, 'restored', min(updated) from item");
        database.run("delete from item where id = 2100");
        database.run("update item set price = 1000 where id = 4200");
        // A row that the store lost.
        let mut connection = reader.site.connect(Access::Write).unwrap();
        let physical = format!("thalweg_data.\"shop.store.item.v{}\"", first.run);
        connection.execute(&format!("delete from {physical} where id = 77"), &[]).unwrap();
        connection.execute("update thalweg.tables set rows = rows - 1 where table_name = 'store.item'", &[]).unwrap();
        drop(connection);
        let outcome = reader.load_with(&reconcile());
        let counts = &step(&outcome, "store.item").counts;
        assert_eq!((counts.inserted, counts.updated, counts.deleted_missing), (2, 0, 1), "{counts:?}");
        assert!(counts.read < 100, "{counts:?}");
        reader.assert_same("item", "id, name", "true");
    });
}

#[test]
fn keys_of_every_kind_are_compared() {
    let kinds = [
        ("id integer, line smallint, primary key (id, line)", "n / 3 + 0, n % 3"),
        ("id decimal(20,0) primary key", "n * 1000000007.0"),
        ("id decimal(10,3) primary key", "n / 8.0"),
        ("id date primary key", "DAY"),
        ("id CLOCK not null, primary key (id)", "MOMENTS"),
        (
            "id varchar(30) primary key",
            "concat(case n % 3 when 0 then 'a' when 1 then 'Ä' else 'ß' end, n, ' x''\\\\')",
        ),
        ("id varchar(30), line integer, primary key (id, line)", "concat('K', n / 40), n"),
        ("id UUID primary key", "UUIDS"),
        ("id BYTES not null, primary key (id)", "BYTED"),
    ];
    on_both(|database| {
        let is_postgres = database.kind() == "postgres";
        let table = |kind: usize| format!("item_{kind}");
        for (kind, (key, value)) in kinds.into_iter().enumerate() {
            let (day, moments, uuids, byted) = if is_postgres {
                (
                    "date '1999-01-01' + n",
                    "timestamp '1999-01-01 00:00:00.000001' + n * interval '1 hour'",
                    "md5(n::text)::uuid",
                    "decode(md5(n::text), 'hex')",
                )
            } else {
                (
                    "date '1999-01-01' + interval n day",
                    "timestamp '1999-01-01 00:00:00.000001' + interval n hour",
                    "concat('123e4567-e89b-12d3-a456-', lpad(hex(n * 2654435), 12, '0'))",
                    "unhex(md5(n))",
                )
            };
            let key = key.replace("BYTES", if is_postgres { "bytea" } else { "varbinary(20)" });
            let key = key.replace("CLOCK", if is_postgres { "timestamp" } else { "datetime(6)" });
            let mut value = value.to_owned();
            for (word, sql) in [("DAY", day), ("MOMENTS", moments), ("UUIDS", uuids), ("BYTED", byted)] {
                value = if value == word { sql.to_owned() } else { value };
            }
            if is_postgres {
                value = value.replace("\\\\", "\\").replace("n / 40", "(n / 40)");
            } else {
                value = value.replace("n / 3 + 0", "n div 3").replace("n / 40", "n div 40");
            }
            numbered_as(&database, &table(kind), &key, &value);
        }
        let everywhere = |sql: &str| {
            for kind in 0..kinds.len() {
                database.run(&sql.replace("ITEM", &table(kind)));
            }
        };
        let reader =
            database.project("defaults: { cursor: updated, lag: 0s, reconcile: rows }\nstreams: { \"item_*\": }\n");
        reader.load();
        assert_eq!(reader.load_with(&reconcile()).state, RunState::Nothing);
        everywhere("delete from ITEM where name in ('name 77', 'name 78', 'name 1200')");
        let outcome = reader.load();
        for (kind, (key, _)) in kinds.iter().enumerate() {
            let counts = &step(&outcome, &format!("store.{}", table(kind))).counts;
            assert_eq!(counts.deleted_missing, 3, "{key}: {counts:?}");
        }
        everywhere("update ITEM set price = 1000 where name = 'name 500'");
        everywhere("delete from ITEM where name = 'name 501'");
        let outcome = reader.load_with(&reconcile());
        for (kind, (key, _)) in kinds.iter().enumerate() {
            let counts = &step(&outcome, &format!("store.{}", table(kind))).counts;
            assert_eq!((counts.updated, counts.deleted_missing), (1, 1), "{key}: {counts:?}");
            reader.assert_same(&table(kind), "name, price, amount", "true");
        }
    });
}

#[test]
fn marked_filtered_and_rejected_rows_are_no_difference() {
    on_both(|database| {
        numbered(&database, "id integer primary key", "n");
        database.run("alter table item add column is_deleted smallint not null default 0");
        database.run("update item set is_deleted = 1 where id % 50 = 0");
        // A moment that the store cannot hold.
        match &database {
            Database::Postgres(_) => database.run("update item set at = 'infinity' where id in (33, 999)"),
            Database::Mariadb(_) => database.run(
                "alter table item modify at datetime; set sql_mode = ''; update item set at = '0000-00-00' where id in (33, 999)",
            ),
        };
        let reader = database.project(
            "streams: { item: { cursor: updated, lag: 0s, where: \"id <> 60\", soft_delete: is_deleted, reconcile: rows } }\n",
        );
        let wanted = "is_deleted = 0 and id not in (33, 999, 60)";
        let first = reader.load();
        assert_eq!(step(&first, "store.item").counts.rejected, 2);
        for _ in 0..2 {
            let outcome = reader.load();
            assert_eq!(outcome.state, RunState::Nothing, "{:?}", outcome.steps);
            reader.assert_same("item", COLUMNS, wanted);
        }
        let again = reader.load_with(&reconcile());
        let counts = &step(&again, "store.item").counts;
        assert!(counts.read < 100 && counts.rejected <= 2 && !counts.changed(), "{counts:?}");
        reader.assert_same("item", COLUMNS, wanted);

        // Marked, and no longer wanted, without a stamp; and with one.
        database.run("update item set is_deleted = 1 where id in (4, 5)");
        database.run("update item set is_deleted = 1, updated = NOW where id = 3");
        let outcome = reader.load();
        let counts = &step(&outcome, "store.item").counts;
        assert_eq!((counts.deleted_by_mark, counts.deleted_missing), (1, 2), "{counts:?}");
        reader.assert_same("item", COLUMNS, wanted);
    });
}

#[test]
fn rows_before_the_initial_value_stay_away_from_comparisons_too() {
    on_both(|database| {
        numbered(&database, "id integer primary key", "n");
        database.run("update item set updated = at");
        match &database {
            Database::Postgres(_) => database.run("update item set updated = at - interval '2 years' where id <= 1000"),
            Database::Mariadb(_) => database.run("update item set updated = at - interval 2 year where id <= 1000"),
        };
        database.run("update item set updated = null where id = 5");
        let reader = database.project(
            "streams: { item: { cursor: updated, lag: 0s, initial_value: \"2023-01-01\", reconcile: rows } }\n",
        );
        reader.load();
        let wanted = "id > 1000 or id = 5";
        reader.assert_same("item", COLUMNS, wanted);
        database.run("delete from item where id = 1100");
        for _ in 0..2 {
            reader.load_with(&reconcile());
            reader.assert_same("item", COLUMNS, wanted);
        }
    });
}

#[test]
fn texts_of_several_collations_are_compared() {
    on_both(|database| {
        numbered(&database, "id integer primary key", "n");
        let [one, other] = match &database {
            Database::Postgres(_) => ["C", "POSIX"].map(|name| format!("collate \"{name}\"")),
            Database::Mariadb(_) => ["utf8mb4_bin", "utf8mb4_nopad_bin"].map(|name| format!("collate {name}")),
        };
        database.run(&format!("alter table item add a varchar(9) {one}, add c varchar(9) {other}"));
        database.run("update item set a = 'x', c = 'y'");
        let reader = database.project("streams: { item: { cursor: updated, lag: 0s, reconcile: rows } }\n");
        reader.load();
        database.run("update item set c = 'é' where id = 7");
        let counts = step(&reader.load_with(&reconcile()), "store.item").counts;
        assert_eq!(counts.updated, 1, "{counts:?}");
        // The server puts no texts of both collations side by side.
        reader.assert_same("item", "id, a", "true");
        reader.assert_same("item", "id, c", "true");
    });
}

#[test]
fn keys_that_become_wider_are_compared() {
    on_both(|database| {
        numbered(&database, "id integer primary key", "n");
        let reader = database.project("streams: { item: { } }\n");
        reader.load();
        match &database {
            Database::Postgres(_) => database.run("alter table item alter id type bigint"),
            Database::Mariadb(_) => database.run("alter table item modify id bigint"),
        };
        database.run("insert into item (id, name) values (5000000000, 'far')");
        database.run("delete from item where id = 3");
        reader.load();
        reader.assert_same("item", COLUMNS, "true");
    });
}

/// The store and both servers agree on which texts mark: what they compare by hashes is what the store has.
#[test]
fn texts_mark_alike_everywhere() {
    on_both(|database| {
        numbered(&database, "id integer primary key", "n");
        database.run("alter table item add column gone varchar(40)");
        let marks =
            ["1", " T ", "Yes", "true", "2024-01-02", "2024-01-02T10:00:00Z", "-5", "1704153600", "1e+18", "0.5"];
        let others = ["", "0", "0000-00-00 00:00:00", "no", "active", "n", "0.00", "t1x", "e", "\u{0967}"];
        for (id, text) in (1..).zip(marks.iter().chain(&others)) {
            database.run(&format!("update item set gone = '{text}' where id = {id}"));
        }
        let reader =
            database.project("streams: { item: { cursor: updated, lag: 0s, soft_delete: gone, reconcile: rows } }\n");
        let first = reader.load();
        assert_eq!(step(&first, "store.item").rows_after, 1200 - marks.len() as u64);
        reader.assert_same("item", COLUMNS, "id > 10");
        // What the server counts is what the store has: it reads next to nothing.
        let counts = step(&reader.load_with(&reconcile()), "store.item").counts;
        assert!(counts.read < 100 && !counts.changed(), "{counts:?}");
    });
}

#[test]
fn marked_rows_that_are_kept_are_rows_like_others() {
    on_both(|database| {
        numbered(&database, "id integer primary key", "n");
        database.run("alter table item add column is_deleted smallint not null default 0");
        let reader = database.project(
            "streams: { item: { cursor: updated, lag: 0s, soft_delete: { column: is_deleted, keep: true } } }\n",
        );
        reader.load();
        database.run("update item set is_deleted = 1, updated = NOW where id < 100");
        database.run("delete from item where id = 1000");
        let outcome = reader.load();
        let counts = &step(&outcome, "store.item").counts;
        assert_eq!((counts.updated, counts.deleted_missing), (99, 1), "{counts:?}");
        reader.assert_same("item", "id, is_deleted", "true");
    });
}

#[test]
fn values_that_the_server_cannot_hash_are_compared_too() {
    on_both(|database| {
        numbered(&database, "id integer primary key", "n");
        database.run("alter table item add column ratio double precision");
        if database.kind() == "postgres" {
            database.run("alter table item add column tags text[] default array['a', null]");
        }
        database.run("update item set ratio = id / 3.0");
        let reader = database.project("streams: { item: { cursor: updated, lag: 0s, reconcile: rows } }\n");
        reader.load();
        assert_eq!(reader.load_with(&reconcile()).state, RunState::Nothing);
        database.run("update item set ratio = ratio + 1e-9 where id in (5, 6)");
        let counts = step(&reader.load_with(&reconcile()), "store.item").counts;
        assert_eq!(counts.updated, 2, "{counts:?}");
        assert!(counts.read < 100, "{counts:?}");
    });
}

#[test]
fn it_is_reconciled_when_it_is_time() {
    on_both(|database| {
        numbered(&database, "id integer primary key", "n");
        let settings = |every: &str| {
            format!(
                "type: {}\nurl: {}\nstreams: {{ item: {{ cursor: updated, lag: 0s, reconcile: {{ rows: {{ every: {every} }} }} }} }}\n",
                database.kind(),
                database.url()
            )
        };
        let reader =
            database.project("streams: { item: { cursor: updated, lag: 0s, reconcile: { rows: { every: 1h } } } }\n");
        reader.load();
        database.run("update item set price = 1000 where id = 500");
        assert_eq!(reader.load().state, RunState::Nothing);
        let status = format!("{:?}", reader.site.open().status().unwrap());
        assert!(status.contains("reconciled 20"), "{status}");
        reader.site.project.put("sources/db.yml", settings("1s"));
        std::thread::sleep(std::time::Duration::from_millis(1100));
        let outcome = reader.load();
        assert_eq!(step(&outcome, "store.item").counts.updated, 1);
        reader.assert_same("item", COLUMNS, "true");
    });
}
