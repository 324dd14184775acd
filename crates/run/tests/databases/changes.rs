//! What changes at the source changes in the store.

use thalweg_run::{BuildOptions, Command, OpenOptions, RunState, Strategy, Workbench};

use super::server::{Database, on_both, step};
use crate::site::{on_postgres, options};

const ITEMS: &str = "create table item (id bigint primary key, name varchar(200), amount decimal(12,2), price integer, \
                     updated MOMENT, is_deleted smallint not null default 0)";
const COLUMNS: &str = "id, name, amount, price";

fn items(database: &Database) {
    database.run(ITEMS);
    database.run(
        "insert into item (id, name, amount, price, updated) values (1, 'one', 1.50, 1, NOW), (2, 'zwei', -0.01, 2, NOW), \
         (3, null, null, 3, null), (4, 'it''s; \"four\"', 12345678.90, 4, NOW)",
    );
}

#[test]
fn rows_are_inserted_updated_and_deleted() {
    on_both(|database| {
        items(&database);
        let reader = database.project("streams: { item: { cursor: updated, soft_delete: is_deleted } }\n");
        let first = reader.load();
        assert_eq!(step(&first, "store.item").counts.inserted, 4);
        assert_eq!(step(&first, "store.item").strategy, Strategy::Load);
        reader.assert_same("item", COLUMNS, "is_deleted = 0");

        let second = reader.load();
        assert_eq!(second.state, RunState::Nothing, "{:?}", second.steps);

        database.run("update item set name = 'uno', updated = NOW where id = 1");
        database.run("update item set is_deleted = 1, updated = NOW where id = 2");
        database.run("delete from item where id = 4");
        database.run("insert into item (id, name, price, updated) values (5, 'fünf', 5, NOW)");
        let third = reader.load();
        let counts = &step(&third, "store.item").counts;
        assert_eq!((counts.inserted, counts.updated), (1, 1), "{counts:?}");
        assert_eq!((counts.deleted_by_mark, counts.deleted_missing), (1, 1), "{counts:?}");
        reader.assert_same("item", COLUMNS, "is_deleted = 0");
    });
}

#[test]
fn without_a_cursor_the_table_is_read_in_full() {
    on_both(|database| {
        items(&database);
        let reader = database.project("streams: { item: }\n");
        reader.load();
        assert_eq!(reader.load().state, RunState::Nothing);
        database.run("update item set price = 40 where id = 4");
        database.run("delete from item where id = 1");
        let outcome = reader.load();
        let counts = &step(&outcome, "store.item").counts;
        assert_eq!((counts.updated, counts.deleted_missing, counts.unchanged), (1, 1, 2), "{counts:?}");
        reader.assert_same("item", COLUMNS, "true");
    });
}

#[test]
fn rows_that_no_longer_satisfy_where_are_deleted() {
    on_both(|database| {
        items(&database);
        let reader = database.project("streams: { item: { cursor: updated, where: \"price > 1\", deletes: none } }\n");
        reader.load();
        reader.assert_same("item", COLUMNS, "price > 1");
        database.run("update item set price = 0, updated = NOW where id = 2");
        database.run("update item set price = null, updated = NOW where id = 3");
        database.run("update item set price = 10, updated = NOW where id = 1");
        let outcome = reader.load();
        let counts = &step(&outcome, "store.item").counts;
        assert_eq!((counts.inserted, counts.deleted_by_mark), (1, 2), "{counts:?}");
        reader.assert_same("item", COLUMNS, "price > 1");
    });
}

#[test]
fn tables_without_a_key_are_bags() {
    on_both(|database| {
        database.run("create table bag (word varchar(20), n integer)");
        database.run("insert into bag values ('a', 1), ('a', 1), (null, 2)");
        let reader = database.project("streams: { bag: }\n");
        reader.load();
        reader.assert_same("bag", "word, n", "true");
        database.run("insert into bag values ('a', 1), ('b', 3)");
        database.run("delete from bag where n = 2");
        let outcome = reader.load();
        assert_eq!(step(&outcome, "store.bag").counts.inserted, 2);
        reader.assert_same("bag", "word, n", "true");
    });
}

#[test]
fn appended_rows_come_once() {
    on_both(|database| {
        database.run("create table log (id bigint primary key, what varchar(20))");
        database.run("insert into log values (1, 'a'), (2, 'b'), (3, 'c')");
        let reader = database
            .project("streams: { log: { cursor: id, initial_value: 2, lag: 0s, write_disposition: append } }\n");
        reader.load();
        for round in 0..3 {
            database.run(&format!("insert into log values ({}, 'x'), ({}, 'y')", 10 + 2 * round, 11 + 2 * round));
            reader.load();
        }
        // A number is certain when no transaction is open that is older than it; a server may say so a second late.
        let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while reader.stored("log", "id").len() < 7 && std::time::Instant::now() < end {
            reader.load();
        }
        reader.assert_same("log", "id, what", "id > 2");
    });
}

#[test]
fn wildcards_keys_and_names_come_from_the_database() {
    on_both(|database| {
        let quote = if database.kind() == "postgres" { '"' } else { '`' };
        let q = |name: &str| format!("{quote}{name}{quote}");
        database.run(&format!(
            "create table {} ({} integer, {} varchar(10), primary key ({}))",
            q("ref_Order Kind"),
            q("Kind ID"),
            q("select"),
            q("Kind ID")
        ));
        database.run(&format!("insert into {} values (1, 'x')", q("ref_Order Kind")));
        database.run("create table ref_country (code varchar(2) primary key, name varchar(20))");
        database.run("insert into ref_country values ('AU', 'Australia')");
        database.run("create table other (id integer primary key)");
        let reader =
            database.project("defaults: { cursor: updated_at, soft_delete: is_deleted }\nstreams: { \"ref_*\": }\n");
        reader.load();
        assert_eq!(reader.stored("ref_order_kind", "kind_id, \"select\""), ["1;x"]);
        assert_eq!(reader.stored("ref_country", "code, name"), ["AU;Australia"]);
        database.run("create table ref_more (id integer primary key)");
        database.run("insert into ref_more values (7)");
        reader.load();
        assert_eq!(reader.stored("ref_more", "id"), ["7"]);
        assert_eq!(reader.site.open().project().sources[0].streams.len(), 3);
    });
}

#[test]
fn an_added_column_is_filled_for_old_rows() {
    on_both(|database| {
        items(&database);
        let reader = database.project("streams: { item: { cursor: updated, lag: 0s } }\n");
        reader.load();
        database.run("alter table item add column colour varchar(10) default 'red'");
        database.run("update item set colour = 'blue' where id = 3");
        let outcome = reader.load();
        assert_eq!(step(&outcome, "store.item").counts.updated, 4, "{:?}", outcome.notes);
        reader.assert_same("item", "id, name, colour", "true");
        database.run("alter table item drop column colour");
        database.run("alter table item rename column name to title");
        reader.load();
        reader.assert_same("item", "id, title", "true");
    });
}

#[test]
fn an_empty_source_is_more_often_a_fault_than_a_wish() {
    on_both(|database| {
        items(&database);
        let reader = database.project("streams: { item: { cursor: updated } }\n");
        reader.load();
        database.run("delete from item where id > 1");
        let refused = reader.load();
        assert_eq!(refused.exit_code(), 1);
        assert!(refused.failed_streams[0].message.contains("3 of 4 rows"), "{:?}", refused.failed_streams);
        assert_eq!(reader.stored("item", "id").len(), 4);
        let agreed = BuildOptions { confirm_deletes: true, ..options(Command::Load) };
        let outcome = reader.load_with(&agreed);
        assert_eq!(step(&outcome, "store.item").counts.deleted_missing, 3);
        reader.assert_same("item", COLUMNS, "true");
    });
}

#[test]
fn deletes_can_be_left_alone_or_looked_for_now_and_then() {
    on_both(|database| {
        items(&database);
        database.run("create table other (id bigint primary key, updated MOMENT)");
        database.run("insert into other values (1, NOW), (2, NOW), (3, NOW)");
        let reader = database.project(
            "defaults: { cursor: updated }\nstreams: { item: { deletes: none }, other: { deletes: { compare_keys: { every: 1h } } } }\n",
        );
        reader.load();
        database.run("delete from item where id = 1");
        database.run("delete from other where id = 1");
        reader.load();
        assert_eq!((reader.stored("item", "id").len(), reader.stored("other", "id").len()), (4, 3));
        let outcome = reader.load_with(&BuildOptions { full_refresh: true, ..options(Command::Load) });
        assert_eq!(outcome.exit_code(), 0);
        assert_eq!((reader.stored("item", "id").len(), reader.stored("other", "id").len()), (3, 2));
    });
}

#[test]
fn a_table_that_is_gone_holds_up_nobody() {
    on_both(|database| {
        items(&database);
        database.run("create table other (id integer primary key)");
        database.run("insert into other values (1)");
        let reader = database.project("streams: { item: { cursor: updated }, other: }\n");
        reader.load();
        database.run("drop table item");
        database.run("insert into other values (2)");
        let outcome = reader.load();
        assert_eq!(outcome.exit_code(), 1);
        assert_eq!(outcome.failed_streams.len(), 1, "{:?}", outcome.failed_streams);
        assert_eq!(reader.stored("other", "id"), ["1", "2"]);
        assert_eq!(reader.stored("item", "id").len(), 4);
    });
}

#[test]
fn a_selection_without_a_column_is_told() {
    on_both(|database| {
        database.run("create table note (body varchar(40), written date)");
        let reader = database.project("streams: { note: { primary_key: [], select: [boddy] } }\n");
        let outcome = reader.load();
        let told = &outcome.failed_streams[0].message;
        assert!(told.contains("note: `select: [boddy]` leaves no column; there are body, written"), "{told}");
    });
}

#[test]
fn a_project_is_checked_by_what_the_database_said() {
    on_both(|database| {
        items(&database);
        let columns = "select: [-updated], columns: [{ name: price, type: text }]";
        let reader = database.project(&format!("streams: {{ item: {{ {columns} }} }}\n"));
        let model = "select id, price || '!' as loud, no_such from store.item";
        reader.site.project.put("models/pres/loud.sql", model);
        let validate = || Workbench::validate(reader.site.project.path(), &OpenOptions::default()).unwrap();
        assert!(!validate().unchecked.is_empty(), "nothing is known");
        reader.open().unwrap();
        let checked = validate();
        assert_eq!(checked.unchecked, Vec::<String>::new());
        assert!(format!("{:?}", checked.diagnostics).contains("no_such"), "{:?}", checked.diagnostics);
        reader.site.project.put("models/pres/loud.sql", model.replace(", no_such ", " "));
        assert_eq!(validate().diagnostics, []);
    });
}

/// What the store has after a first load of a table without a key at the source, whose stream declares one.
fn loaded_with_a_declared_key(database: &Database, rows: &str) -> (Vec<String>, [u64; 3]) {
    database.run("create table note (id varchar(9000), rev integer, body varchar(40), is_deleted smallint)");
    database.run(&format!("insert into note values {rows}"));
    let reader = database
        .project("streams: { note: { primary_key: [id], soft_delete: is_deleted, deletes: none, cursor: rev } }\n");
    let first = reader.load();
    let counts = &step(&first, "store.note").counts;
    let shown = reader.stored("note", "id, rev, body");
    let seen = [counts.inserted, counts.duplicate, counts.unchanged];
    // A key that lived twice lives on once, and is changed as others are.
    database.run("insert into note values ('a', 9, 'new', 0)");
    let second = reader.load();
    let counts = &step(&second, "store.note").counts;
    assert_eq!(counts.inserted + counts.updated, 1, "{counts:?}");
    let now = reader.stored("note", "id, rev, body");
    assert!(
        now.contains(&"a;9;new".to_owned())
            && now.len() == 1 + shown.iter().filter(|row| !row.starts_with("a;")).count()
    );
    database.run("drop table note");
    (shown, seen)
}

#[test]
fn a_key_that_the_source_does_not_keep_is_kept_in_the_store() {
    // A text that no index of a tree holds: no two letters repeat often enough to be packed.
    let long: String = (0..3_000_u64)
        .map(|place| {
            char::from(b'a' + u8::try_from(place.wrapping_mul(place ^ 0x9E37_79B9).rotate_right(7) % 26).unwrap())
        })
        .collect();
    let check = |database: &Database| {
        let load = |rows: &str| loaded_with_a_declared_key(database, rows);
        let told = |rows: &[&str], counts: [u64; 3]| (rows.iter().map(|row| (*row).to_owned()).collect(), counts);
        assert_eq!(load("('a', 1, 'x', 0), ('b', 1, 'y', 0)"), told(&["a;1;x", "b;1;y"], [2, 0, 0]), "distinct");
        assert_eq!(load("('a', 1, 'x', 0), ('a', 2, 'y', 0)"), told(&["a;2;y"], [1, 1, 0]), "twice");
        assert_eq!(load("('a', 1, 'x', 0), ('b', 1, 'y', 1)"), told(&["a;1;x"], [1, 0, 1]), "marked");
        assert_eq!(load("('b', 1, 'x', 0), ('b', 2, 'y', 1)"), told(&[], [0, 1, 1]), "marked later");
        assert_eq!(load("('b', 1, 'y', 1), ('b', 2, 'x', 0)"), told(&["b;2;x"], [1, 1, 0]), "marked before");
        assert_eq!(load("('b', 2, 'x', 1), ('b', 1, 'y', 1)"), told(&[], [0, 1, 1]), "marked twice");
        let rows = format!("('{long}', 1, 'x', 0), ('{long}', 2, 'y', 0), ('{long}z', 1, 'z', 0)");
        assert_eq!(load(&rows), told(&[&format!("{long};2;y"), &format!("{long}z;1;z")], [2, 1, 0]), "long");
        let rows = format!("('{long}', 1, 'x', 0), ('{long}z', 1, 'z', 0)");
        assert_eq!(load(&rows), told(&[&format!("{long};1;x"), &format!("{long}z;1;z")], [2, 0, 0]), "long, distinct");
    };
    // Where the rows come from makes no difference here.
    on_both(|database| if database.kind() == "postgres" { check(&database) } else { on_postgres(|| check(&database)) });
}

#[test]
fn a_table_may_be_empty_at_first_and_in_between() {
    let check = |database: &Database| {
        database.run("create table note (id bigint primary key, body varchar(40))");
        let reader = database.project("streams: { note: { max_delete_ratio: 1 } }\n");
        for round in 0..2 {
            reader.load();
            reader.assert_same("note", "id, body", "true");
            database.run(&format!("insert into note values (1, 'one {round}'), (2, null)"));
            let filled = reader.load();
            assert_eq!(step(&filled, "store.note").counts.inserted, 2, "in round {round}");
            reader.assert_same("note", "id, body", "true");
            database.run("delete from note");
        }
        database.run("drop table note");
    };
    on_both(|database| {
        check(&database);
        on_postgres(|| check(&database));
    });
}
