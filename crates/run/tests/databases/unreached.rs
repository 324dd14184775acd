//! Databases that cannot be reached, and were never.

use std::net::TcpListener;

use thalweg_run::{BuildOptions, Command, RunError};

use super::server::{Database, Reader, on_both};
use crate::site::options;

/// An address at which nobody answers.
fn nowhere(database: &Database) -> String {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    format!("{}://thalweg@{free}/shop", if database.kind() == "postgres" { "postgres" } else { "mysql" })
}

fn put_source(reader: &Reader<'_>, url: &str, streams: &str) {
    let source = format!("type: {}\nurl: {url}\n{streams}", reader.database.kind());
    reader.site.put("sources/db.yml", &source);
}

#[test]
fn a_database_that_was_never_reached_does_not_hold_up_the_others() {
    on_both(|database| {
        database.run("create table t (id bigint primary key, n integer)");
        database.run("insert into t values (1, 0), (2, 0)");
        let streams = "streams: { t: {} }\n";
        let reader = database.project(streams);
        put_source(&reader, &nowhere(&database), streams);
        reader.site.put("sources/files.yml", "type: files\npath: in\ndefaults: { ready: renamed }\nstreams: { a: { files: \"*.csv\", primary_key: id } }\n");
        reader.site.put("in/1.csv", "id\n1\n");
        reader.site.put("models/pres/of_a.sql", "select count(*) as n from store.a\n");
        reader.site.put("models/pres/of_t.sql", "select count(*) as n from store.t\n");
        let outcome = reader.try_load(&options(Command::Build)).expect("the others are loaded");
        let failed: Vec<&str> = outcome.failed_streams.iter().map(|failed| failed.stream.as_str()).collect();
        assert_eq!(failed, ["db.t"], "{:?}", outcome.failed_streams);
        assert_eq!(outcome.exit_code(), 1);
        assert_eq!(reader.stored("a", "id"), ["1"]);
        assert_eq!(reader.site.ask("select n from pres.of_a")[0][0].as_deref(), Some("1"));
        // Models read no source.
        reader.try_load(&options(Command::Run)).expect("models are refreshed");
        // Left out, it is no trouble at all.
        let without = BuildOptions { exclude: Some("store.t+".into()), ..options(Command::Build) };
        assert_eq!(reader.try_load(&without).expect("nothing is asked of it").exit_code(), 0);
        put_source(&reader, &database.url(), streams);
        let outcome = reader.load();
        assert!(outcome.failed_streams.is_empty());
        reader.assert_same("t", "id, n", "true");
        assert_eq!(reader.site.ask("select n from pres.of_t")[0][0].as_deref(), Some("2"));
        // At another address it has the tables that it had.
        put_source(&reader, &nowhere(&database), streams);
        let outcome = reader.try_load(&options(Command::Build)).expect("the others are loaded");
        assert_eq!(outcome.failed_streams.len(), 1);
        assert_eq!(reader.stored("t", "id"), ["1", "2"]);
    });
}

#[test]
fn wildcards_of_a_database_that_was_never_reached_stand_for_nobody_knows_what() {
    on_both(|database| {
        let reader = database.project("streams: {}\n");
        put_source(&reader, &nowhere(&database), "streams: { \"*\": {} }\n");
        let error = reader.try_load(&options(Command::Build)).expect_err("its tables are not known");
        let RunError::Source(error) = error else { panic!("{error}") };
        assert!(error.message.contains("which tables its wildcards stand for"), "{error}");
    });
}
