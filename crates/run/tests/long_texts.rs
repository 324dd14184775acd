//! Texts that are longer than an entry of an index can be, in columns that a refresh looks rows up by. Only Postgres has indexes.

use std::fmt::Write;

use thalweg_run::RunState;
use thalweg_warehouse::Access;

use crate::laws;
use crate::site::{Site, described, on_postgres};

/// A text that no server makes shorter by compressing it.
fn long(seed: u64) -> String {
    let mut text = String::new();
    let mut state = seed;
    while text.len() < 9_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        write!(text, "{:08x}", state >> 32).unwrap();
    }
    text
}

fn site(lines: &str) -> Site {
    Site::new(&[
        ("thalweg.yml", "name: shop\n"),
        (
            "sources/web.yml",
            "type: files\npath: incoming\ndefaults: { ready: renamed }\nstreams:\n  \
             lines: { files: \"lines*.csv\", primary_key: [name, no], columns: [{ name: name, type: text }, { name: no, type: integer }, { name: amount, type: integer }] }\n  \
             names: { files: \"names*.csv\", primary_key: name, columns: [{ name: name, type: text }, { name: title, type: text }] }\n",
        ),
        (
            "models/mart/totals.sql",
            "select l.name, n.title, sum(l.amount) as amount from store.lines l left join store.names n on n.name = l.name group by l.name, n.title",
        ),
        ("incoming/lines1.csv", lines),
        ("incoming/names1.csv", "name,title\na,Anna\n"),
    ])
}

fn kinds(site: &Site) -> Vec<Vec<Option<String>>> {
    site.ask(
        "select m.amname::text, count(*)::text from pg_catalog.pg_class c join pg_catalog.pg_am m on m.oid = c.relam \
         join pg_catalog.pg_namespace n on n.oid = c.relnamespace where n.nspname = 'thalweg_data' and c.relkind = 'i' \
         and exists (select 1 from pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attname = 'name') group by 1 order by 1",
    )
}

fn total(site: &Site) -> String {
    site.ask("select sum(amount)::text || ' of ' || max(length(name)) from mart.totals")[0][0].clone().unwrap()
}

#[test]
fn a_long_text_arrives_later() {
    on_postgres(|| {
        let site = site("name,no,amount\na,1,1\nb,1,2\n");
        assert_eq!(site.build().unwrap().state, RunState::Published);
        let mut connection = site.connect(Access::Write).unwrap();
        connection.execute("create index by_hand on thalweg_data.\"shop.store.names.v1\" (title)", &[]).unwrap();
        drop(connection);
        let before = kinds(&site);
        assert!(before.iter().any(|kind| kind[0].as_deref() == Some("btree")), "{before:?}");
        site.put("incoming/lines2.csv", format!("name,no,amount\n{},1,40\n{0},2,100\na,2,7\n", long(1)));
        let outcome = site.build().unwrap();
        assert_eq!(outcome.state, RunState::Published);
        assert_eq!(total(&site), "150 of 9000");
        laws::assert_verified(&site);
        let by_hand = site.ask("select count(*)::text from pg_catalog.pg_class c where c.relname = 'by_hand'");
        assert_eq!(by_hand, [[Some("1".to_owned())]], "an index of somebody's own stays");
        // What holds a long text is hashed or held by its other columns; the table of short names has its tree again.
        let after = kinds(&site);
        assert_ne!(after, before);
        site.put("incoming/lines3.csv", format!("name,no,amount\n{},2,1000\n{},1,5\n", long(1), long(2)));
        assert_eq!(site.build().unwrap().state, RunState::Published);
        assert_eq!(total(&site), "1055 of 9000");
        assert_eq!(kinds(&site), after);
        laws::assert_verified(&site);
    });
}

#[test]
fn a_long_text_is_there_from_the_beginning() {
    on_postgres(|| {
        let site = site(&format!("name,no,amount\na,1,1\n{},1,2\n", long(1)));
        assert_eq!(site.build().unwrap().state, RunState::Published);
        site.put("incoming/names2.csv", format!("name,title\n{},Long\na,Ann\n", long(1)));
        assert_eq!(site.build().unwrap().state, RunState::Published);
        assert_eq!(total(&site), "3 of 9000");
        laws::assert_verified(&site);
    });
}

#[test]
fn a_limit_that_a_model_passes_is_its_error() {
    on_postgres(|| {
        let site = site("name,no,amount\na,1,1\n");
        site.put("models/mart/totals.sql", "select name, repeat('x', 2000000000) as amount from store.lines");
        let error = described(&site.build().unwrap_err());
        assert!(error.contains("mart.totals") && error.contains("requested length too large"), "{error}");
    });
}
