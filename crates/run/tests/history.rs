//! Histories nobody thought of: random deliveries, compared with an oracle and with a rebuild after every run.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::test_runner::Config;
use thalweg_run::{Command, Counts, RunState, Silent};
use thalweg_warehouse::{Access, Connection};

use crate::laws::{self, Asked};
use crate::oracle::{Declared, Expected, Oracle, Record};
use crate::site::{Site, ask, options};

/// One file.
#[derive(Debug, Clone)]
pub struct File {
    records: Vec<Record>,
    has_extra: bool,
}

/// What comes before one run: new files, and some that came before.
#[derive(Debug, Clone)]
pub struct Delivery {
    files: Vec<File>,
    again: Vec<usize>,
}

/// A model made from a template.
#[derive(Debug, Clone)]
pub struct Model {
    template: usize,
    input: usize,
    other: usize,
    kind: usize,
    bound: u8,
}

fn record() -> impl Strategy<Value = Record> {
    (
        prop::option::weighted(0.93, 1_u8..6),
        prop::option::weighted(0.9, 0_u8..3),
        prop::option::weighted(0.85, 0_u8..6),
        prop::option::weighted(0.8, prop::bool::weighted(0.3)),
        prop::option::of(0_u8..3),
    )
        .prop_map(|(id, value, sequence, gone, extra)| Record { id, value, sequence, gone, extra })
}

fn file() -> impl Strategy<Value = File> {
    (prop::collection::vec(record(), 0..7), prop::bool::weighted(0.3)).prop_map(|(mut records, has_extra)| {
        if !has_extra {
            records.iter_mut().for_each(|record| record.extra = None);
        }
        File { records, has_extra }
    })
}

pub fn delivery() -> impl Strategy<Value = Delivery> {
    (prop::collection::vec(file(), 0..4), prop::collection::vec(0_usize..8, 0..2))
        .prop_map(|(files, again)| Delivery { files, again })
}

pub fn model() -> impl Strategy<Value = Model> {
    (0_usize..6, 0_usize..8, 0_usize..8, 0_usize..4, 0_u8..3).prop_map(|(template, input, other, kind, bound)| Model {
        template,
        input,
        other,
        kind,
        bound,
    })
}

fn text(value: Option<impl std::fmt::Display>) -> String {
    value.map_or(String::new(), |value| value.to_string())
}

impl File {
    fn csv(&self) -> String {
        let mut csv = String::from(if self.has_extra { "id,v,seq,gone,extra\n" } else { "id,v,seq,gone\n" });
        for record in &self.records {
            csv.push_str(&[text(record.id), text(record.value), text(record.sequence), text(record.gone)].join(","));
            if self.has_extra {
                csv.push_str(&format!(",{}", text(record.extra)));
            }
            csv.push('\n');
        }
        csv
    }
}

impl Model {
    /// Its name and SQL; every model has the columns `id` and `v`.
    fn sql(&self, index: usize) -> (String, String) {
        let table = |number: usize| match number % (index + 1) {
            0 => "store.items".to_owned(),
            number => format!("pres.m{number}"),
        };
        let (input, other, bound) = (table(self.input), table(self.other), self.bound);
        let sql = match self.template {
            0 => format!("select id, v from {input} where v >= {bound}"),
            1 => format!("select v as id, count(*) as v from {input} group by v"),
            2 => format!("select a.id, b.v from {input} a join {other} b on a.id = b.id"),
            3 => format!("select id, v from {input} union all select id, v from {other}"),
            4 => format!("select id, row_number() over (partition by v order by id, v) as v from {input}"),
            _ => format!(
                "select a.id, a.v from {input} a where not exists (select 1 from {other} b where b.id = a.id and b.v > {bound})"
            ),
        };
        (format!("m{}", index + 1), sql)
    }

    fn file(&self, index: usize) -> String {
        let kind = ["table", "table", "view", "ephemeral"][self.kind];
        format!("{{{{ config(materialized='{kind}') }}}}\n{}\n", self.sql(index).1)
    }
}

fn source(declared: Declared) -> String {
    let mut settings = String::from("primary_key: id");
    if declared.sequence {
        settings.push_str(", sequence_by: seq");
    }
    if declared.marks {
        settings.push_str(", soft_delete: gone");
    }
    // Types are given where a file without values would leave a model without them.
    format!(
        "type: files\npath: incoming\nstreams:\n  items: {{ files: \"*.csv\", ready: renamed, {settings}, columns: [{{ name: id, type: \
         bigint }}, {{ name: v, type: bigint }}] }}\n"
    )
}

fn expected_of(counts: Counts) -> Expected {
    let Counts { read, inserted, updated, unchanged, deleted_by_mark, deleted_missing, rejected, duplicate } = counts;
    assert_eq!(deleted_missing, 0, "nothing is looked for");
    Expected { read, inserted, updated, unchanged, deleted: deleted_by_mark, rejected, duplicate }
}

fn cells(record: &Record, with_extra: bool) -> Vec<Option<String>> {
    let mut cells = vec![
        record.id.map(|value| value.to_string()),
        record.value.map(|value| value.to_string()),
        record.sequence.map(|value| value.to_string()),
        record.gone.map(|value| value.to_string()),
    ];
    if with_extra {
        cells.push(record.extra.map(|value| value.to_string()));
    }
    cells
}

/// Every model that is published, against its SQL over the oracle's rows.
fn check_models(connection: &mut dyn Connection, models: &[Model], rows: &BTreeMap<u8, Record>) {
    let values: Vec<String> = rows
        .values()
        .map(|record| {
            let value = record.value.map_or("null".to_owned(), |value| value.to_string());
            format!("({}::bigint, {value}::bigint)", record.id.unwrap_or_default())
        })
        .collect();
    let mut with = if values.is_empty() {
        "with items(id, v) as (select null::bigint, null::bigint limit 0)".to_owned()
    } else {
        format!("with items(id, v) as (values {})", values.join(", "))
    };
    for (index, model) in models.iter().enumerate() {
        let (name, sql) = model.sql(index);
        with.push_str(&format!(", {name} as ({})", sql.replace("store.items", "items").replace("pres.", "")));
        if model.kind == 3 {
            continue;
        }
        let wanted = ask(connection, &format!("{with} select id, v from {name} order by 1, 2"));
        let found = ask(connection, &format!("select id, v from pres.{name} order by 1, 2"));
        assert_eq!(found, wanted, "pres.{name}: {sql}");
    }
}

pub fn keyed(declared: Declared, deliveries: &[Delivery], models: &[Model]) {
    let site = Site::new(&[("thalweg.yml", "name: shop\n"), ("sources/web.yml", &source(declared))]);
    std::fs::create_dir_all(site.project.path().join("incoming")).unwrap();
    for (index, model) in models.iter().enumerate() {
        site.project.put(&format!("models/pres/m{}.sql", index + 1), model.file(index));
    }
    let mut oracle = Oracle::new(declared);
    let mut contents: Vec<String> = Vec::new();
    let mut known = BTreeSet::new();
    let (mut number, mut extra) = (0, false);
    let mut before = laws::Snapshot::default();
    for delivery in deliveries {
        let mut records = Vec::new();
        for file in &delivery.files {
            number += 1;
            let csv = file.csv();
            site.project.put(&format!("incoming/{number:04}.csv"), &csv);
            contents.push(csv.clone());
            // The same content is loaded once, whatever it is called.
            if known.insert(csv) {
                records.extend(file.records.iter().cloned());
                extra |= file.has_extra && !file.records.is_empty();
            }
        }
        for again in &delivery.again {
            number += 1;
            if let Some(csv) = contents.get(*again) {
                site.project.put(&format!("incoming/{number:04}.csv"), csv);
            }
        }
        let expected = oracle.deliver(&records);
        let options = options(Command::Build);
        let result = site.build_with(&options, &Silent);
        let outcome = result.as_ref().unwrap_or_else(|error| panic!("{error}"));
        assert_ne!(outcome.state, RunState::Failed);
        let counts: Vec<Counts> =
            outcome.steps.iter().filter(|step| step.table == "store.items").map(|step| step.counts).collect();
        assert_eq!(counts.len(), 1);
        assert_eq!(expected_of(counts[0]), expected);
        let rows = oracle.rows();
        if let Some(mut connection) = site.connect(Access::Read) {
            let built = ask(
                connection.as_mut(),
                "select column_name from information_schema.columns where table_schema = 'store' and table_name = 'items'",
            );
            if built.is_empty() {
                assert!(rows.is_empty());
            } else {
                let has_extra = built.iter().any(|column| column[0].as_deref() == Some("extra"));
                assert!(has_extra || !extra, "the column did not arrive");
                let columns = if has_extra { "id, v, seq, gone, extra" } else { "id, v, seq, gone" };
                let found = ask(connection.as_mut(), &format!("select {columns} from store.items order by id"));
                let wanted: Vec<_> = rows.values().map(|record| cells(record, has_extra)).collect();
                assert_eq!(found, wanted);
                check_models(connection.as_mut(), models, &rows);
            }
        }
        before = laws::assert_all(&site, &before, &options, &result, Asked { again: true, rebuild: true });
    }
}

/// Rows of a bag as texts.
fn bag_csv(rows: &[(u8, Option<u8>)]) -> String {
    rows.iter().fold("a,b\n".to_owned(), |csv, (a, b)| csv + &format!("{a},{}\n", text(*b)))
}

fn bag_rows(rows: &[(u8, Option<u8>)]) -> Vec<Vec<Option<String>>> {
    let mut rows: Vec<_> =
        rows.iter().map(|(a, b)| vec![Some(a.to_string()), b.map(|value| value.to_string())]).collect();
    rows.sort();
    rows
}

pub fn bag(replace: bool, deliveries: &[Vec<(u8, Option<u8>)>]) {
    let disposition = if replace { "replace" } else { "append" };
    let source = format!(
        "type: files\npath: incoming\nstreams:\n  items: {{ files: \"*.csv\", ready: renamed, write_disposition: {disposition} }}\n"
    );
    let site = Site::new(&[
        ("thalweg.yml", "name: shop\n"),
        ("sources/web.yml", &source),
        ("models/pres/counted.sql", "select a, b, count(*) as n from store.items group by a, b"),
        ("models/pres/behind.sql", "select n, count(*) as m from pres.counted group by n"),
    ]);
    let mut held: Vec<(u8, Option<u8>)> = Vec::new();
    let mut known = BTreeSet::new();
    let mut last = None;
    let mut before = laws::Snapshot::default();
    for (number, rows) in deliveries.iter().enumerate() {
        let csv = bag_csv(rows);
        let name = if replace { "items.csv".to_owned() } else { format!("{number:04}.csv") };
        site.project.put(&format!("incoming/{name}"), &csv);
        let news = if replace { last.as_ref() != Some(&csv) } else { known.insert(csv.clone()) };
        let old = held.clone();
        if news && replace {
            held.clone_from(rows);
        } else if news {
            held.extend_from_slice(rows);
        }
        last = Some(csv);
        let options = options(Command::Build);
        let result = site.build_with(&options, &Silent);
        let outcome = result.as_ref().unwrap_or_else(|error| panic!("{error}"));
        let step = outcome.steps.iter().find(|step| step.table == "store.items").unwrap();
        let mut left = old;
        let kept =
            rows.iter().filter(|row| left.iter().position(|old| old == *row).map(|at| left.remove(at)).is_some());
        let kept = kept.count() as u64;
        let wanted = match (news, replace) {
            (false, _) => Counts::default(),
            (true, false) => Counts { read: rows.len() as u64, inserted: rows.len() as u64, ..Counts::default() },
            (true, true) => Counts {
                read: rows.len() as u64,
                inserted: rows.len() as u64 - kept,
                unchanged: kept,
                deleted_missing: left.len() as u64,
                ..Counts::default()
            },
        };
        assert_eq!(step.counts, wanted);
        let found = site.ask("select * from store.items");
        let mut found: Vec<_> = found;
        found.sort();
        assert_eq!(found, bag_rows(&held));
        before = laws::assert_all(&site, &before, &options, &result, Asked { again: true, rebuild: true });
    }
}

/// How many histories are tried.
pub fn config() -> Config {
    // `PROPTEST_CASES` asks for more.
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { Config::default().cases } else { 24 };
    Config { cases, max_shrink_iters: 80, failure_persistence: None, ..Config::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_keyed_stream(
        sequence in any::<bool>(),
        marks in any::<bool>(),
        deliveries in prop::collection::vec(delivery(), 1..6),
        models in prop::collection::vec(model(), 0..4),
    ) {
        keyed(Declared { sequence, marks }, &deliveries, &models);
    }

    #[test]
    fn a_bag(
        replace in any::<bool>(),
        deliveries in prop::collection::vec(
            prop::collection::vec((0_u8..3, prop::option::of(0_u8..2)), 0..6), 1..6,
        ),
    ) {
        bag(replace, &deliveries);
    }
}
