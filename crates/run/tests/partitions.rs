//! Models with `partition_by:`: the same rows in every warehouse, in partitions where it has some.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};
use thalweg_run::{BuildOptions, Command, OpenOptions, RunOutcome, RunState, Silent, Strategy, Workbench};

use crate::laws;
use crate::site::{Site, described, on_postgres, options};

const CONFIG: &str = "partition_by: \"range(sold_on, month)\", primary_key: id, refresh: incremental";

fn site(config: &str) -> Site {
    Site::new(&[
        ("thalweg.yml", "name: shop\n"),
        (
            "sources/web.yml",
            "type: files\npath: incoming\ndefaults: { ready: renamed, primary_key: id }\nstreams:\n  sales: { files: \"sales*.csv\", \
             soft_delete: gone, columns: [{ name: id, type: bigint }, { name: sold_on, type: date }, { name: amount, type: bigint }, \
             { name: gone, type: boolean }] }\n",
        ),
        ("models/pres/sales.sql", "select id, sold_on, amount from store.sales"),
        (
            "models/pres/days.sql",
            "select sold_on, count(*) as sales, sum(amount) as amount from pres.sales group by sold_on",
        ),
        ("models/pres/pres.yml", &models(config)),
    ])
}

fn models(config: &str) -> String {
    format!("models:\n  - {{ name: sales, config: {{ {config} }} }}\n")
}

/// Sales of the twelve months of 2025, one a day of the first ten, and two without a day.
fn first_sales() -> String {
    let mut text = String::from("id,sold_on,amount,gone\n");
    for month in 1..=12 {
        for day in 1..=10 {
            text.push_str(&format!("{},2025-{month:02}-{day:02},{day},false\n", month * 100 + day));
        }
    }
    text.push_str("1,,5,false\n2,,6,false\n");
    text
}

fn built(site: &Site) -> RunOutcome {
    let outcome = site.build().unwrap_or_else(|error| panic!("{}", described(&error)));
    assert_eq!(outcome.exit_code(), 0, "{outcome:?}");
    outcome
}

fn step<'o>(outcome: &'o RunOutcome, table: &str) -> &'o thalweg_run::StepOutcome {
    outcome.steps.iter().find(|step| step.table == table).unwrap()
}

fn today() -> Date {
    Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date()
}

/// The partitions of the published version of a model, each with its bounds and how many rows it holds.
fn partitions(site: &Site) -> Vec<(String, usize)> {
    let database = site.database();
    let found = database.run(
        "select c.oid::regclass, pg_get_expr(c.relpartbound, c.oid) from pg_partition_tree((select format('thalweg_data.%I', physical) from \
         thalweg.tables where table_name = 'pres.sales')::regclass) t join pg_class c on c.oid = t.relid where t.isleaf order by 2",
    );
    let rows = |name: &str| database.run(&format!("select count(*) from {name}")).parse().unwrap();
    found.lines().filter_map(|line| line.split_once('|')).map(|(name, bound)| (bound.to_owned(), rows(name))).collect()
}

fn of_month(first: Date) -> String {
    format!("FOR VALUES FROM ('{first}') TO ('{}')", first.checked_add(1.month()).unwrap())
}

/// Rows by the bounds of their partition, without the empty ones.
fn filled(site: &Site) -> Vec<(String, usize)> {
    partitions(site).into_iter().filter(|(_, rows)| *rows > 0).collect()
}

#[test]
fn rows_come_go_and_move_as_in_a_warehouse_without_partitions() {
    let history = [
        // Changed, moved to another month, moved to none, taken from none, gone; new ones of months that are long past and far ahead.
        "id,sold_on,amount,gone\n101,2025-01-01,1000,false\n102,2025-06-15,2,false\n103,,3,false\n1,2025-03-03,5,false\n104,2025-01-04,4,true\n\
         5,2019-07-07,7,false\n6,9998-12-31,8,false\n7,0001-01-01,9,false\n",
        "id,sold_on,amount,gone\n5,2019-07-08,7,false\n6,2025-02-02,8,false\n2,,6,true\n8,2024-11-11,1,false\n",
    ];
    let play = || {
        let site = site(CONFIG);
        site.put("incoming/sales1.csv", first_sales());
        let mut answers = Vec::new();
        for (number, text) in [None].into_iter().chain(history.into_iter().map(Some)).enumerate() {
            if let Some(text) = text {
                site.put(&format!("incoming/sales{}.csv", number + 1), text);
            }
            let outcome = built(&site);
            if number > 0 {
                assert_eq!(step(&outcome, "pres.sales").strategy, Strategy::Incremental, "{outcome:?}");
                assert_eq!(step(&outcome, "pres.days").strategy, Strategy::Incremental, "{outcome:?}");
            }
            laws::assert_verified(&site);
            let counts = step(&outcome, "pres.sales").counts;
            let rows = site.ask("select id, sold_on::varchar, amount from pres.sales order by id");
            let days =
                site.ask("select sold_on::varchar, sales, amount::bigint from pres.days order by sold_on nulls first");
            answers.push((format!("{counts:?}"), rows, days));
        }
        (site, answers)
    };
    let (_, on_duckdb) = play();
    on_postgres(|| {
        let (site, answers) = play();
        assert_eq!(answers, on_duckdb);
        let month = |text: &str| of_month(text.parse().unwrap());
        let expected: Vec<(String, usize)> = [
            ("2019-07-01", 1),
            ("2024-11-01", 1),
            ("2025-01-01", 7),
            ("2025-02-01", 11),
            ("2025-03-01", 11),
            ("2025-04-01", 10),
            ("2025-05-01", 10),
            ("2025-06-01", 11),
            ("2025-07-01", 10),
            ("2025-08-01", 10),
            ("2025-09-01", 10),
            ("2025-10-01", 10),
            ("2025-11-01", 10),
            ("2025-12-01", 10),
        ]
        .into_iter()
        .map(|(first, rows)| (month(first), rows))
        .collect();
        let found = filled(&site);
        let ranges: Vec<_> = found.iter().filter(|(bound, _)| bound.contains("FROM ('2")).cloned().collect();
        assert_eq!(ranges, expected, "every month has a partition, also those that came later");
        let ancient = (month("0001-01-01"), 1);
        assert!(found.contains(&ancient), "{found:?}");
        assert!(found.contains(&("FOR VALUES IN (NULL)".to_owned(), 1)), "{found:?}");
    });
}

#[test]
fn partitions_stand_ahead_and_wrong_dates_get_none() {
    on_postgres(|| {
        let site = site("partition_by: \"range(sold_on, month)\", partitions_ahead: 2");
        site.put("incoming/sales1.csv", "id,sold_on,amount,gone\n1,9998-12-31,1,false\n2,2025-01-01,1,false\n");
        built(&site);
        let current = today().first_of_month();
        let mut expected = vec!["DEFAULT".to_owned(), "FOR VALUES IN (NULL)".to_owned()];
        let ahead = (0..=2).map(|number: i64| current.checked_add(number.months()).unwrap());
        expected.extend(["2025-01-01".parse().unwrap()].into_iter().chain(ahead).map(of_month));
        expected.sort();
        let names = |site: &Site| partitions(site).into_iter().map(|(bound, _)| bound).collect::<Vec<_>>();
        assert_eq!(names(&site), expected);
        // A sale ahead has two more made, when it is there; nothing new has nothing made.
        let later = current.checked_add(2.months()).unwrap();
        site.put("incoming/sales2.csv", format!("id,sold_on,amount,gone\n3,{later},1,false\n"));
        assert_eq!(built(&site).notes, []);
        expected.extend([3, 4].map(|number: i64| of_month(current.checked_add(number.months()).unwrap())));
        expected.sort();
        assert_eq!(names(&site), expected);
        assert_eq!(built(&site).state, RunState::Nothing);
        assert_eq!(names(&site), expected);
        assert_eq!(site.database().run("select count(*) from pres.sales"), "3");
    });
}

#[test]
fn a_reader_of_a_range_reads_its_partition_only() {
    on_postgres(|| {
        let site = site(CONFIG);
        site.put("incoming/sales1.csv", first_sales());
        built(&site);
        let plan = |condition: &str| {
            let plan = site.database().run(&format!(
                "set enable_indexscan = off; set enable_bitmapscan = off; explain (costs off) select sum(amount) from pres.sales where {condition}"
            ));
            let scans = plan.lines().filter(|line| line.contains("Scan on"));
            let mut scans: Vec<String> = scans
                .map(|line| {
                    line.split("Scan on p_").nth(1).unwrap().split(' ').next().unwrap()["0123456789abcdef_".len()..]
                        .to_owned()
                })
                .collect();
            scans.sort();
            scans
        };
        assert_eq!(plan("sold_on >= date '2025-03-01' and sold_on < date '2025-05-01'"), ["2025_03_01", "2025_04_01"]);
        assert_eq!(plan("sold_on = date '2025-07-07'"), ["2025_07_01"]);
        assert_eq!(plan("sold_on is null"), ["null"]);
        // What has no value, which may be much, is not read for an open range.
        let open = plan("sold_on >= date '2025-12-01'");
        assert_eq!(open[0], "2025_12_01");
        assert!(open.contains(&"rest".to_owned()) && !open.contains(&"null".to_owned()), "{open:?}");
    });
}

#[test]
fn a_reader_is_not_in_the_way_nor_kept_waiting() {
    on_postgres(|| {
        let site = site(CONFIG);
        site.put("incoming/sales1.csv", first_sales());
        built(&site);
        site.put("incoming/sales2.csv", "id,sold_on,amount,gone\n5,2019-07-07,7,false\n");
        let database = site.database();
        let mut long = database.session();
        long.run("begin; select count(*) from pres.sales");
        let over = AtomicBool::new(false);
        let longest = std::thread::scope(|scope| {
            let looks = scope.spawn(|| {
                let mut session = database.session();
                let mut longest = Duration::ZERO;
                while !over.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    session.run("select count(*), sum(amount) from pres.sales");
                    longest = longest.max(began.elapsed());
                    std::thread::sleep(Duration::from_millis(3));
                }
                longest
            });
            let began = Instant::now();
            let outcome = built(&site);
            let took = began.elapsed();
            over.store(true, Ordering::Relaxed);
            assert_eq!(outcome.state, RunState::Published);
            println!("a build beside a long look took {took:?}");
            looks.join().unwrap()
        });
        println!("the longest of the other looks took {longest:?}");
        assert!(longest < Duration::from_secs(1), "a reader waited for {longest:?}");
        assert_eq!(database.run("select count(*) from pres.sales where sold_on = date '2019-07-07'"), "1");
        assert!(filled(&site).contains(&("DEFAULT".to_owned(), 1)), "it waits where everything has a place");
        long.run("rollback");
        assert_eq!(built(&site).state, RunState::Nothing);
        let found = filled(&site);
        assert!(found.contains(&(of_month("2019-07-01".parse().unwrap()), 1)), "the next run moves it: {found:?}");
        laws::assert_verified(&site);
    });
}

/// What a model read of the time when it was refreshed lies in the ledger; a test cannot wait for a month.
fn set_clock(site: &Site, day: Date) {
    let mut connection = site.connect(thalweg_warehouse::Access::Write).unwrap();
    let changed = connection
        .execute(&format!("update thalweg.clocks set value = replace(value, '{}', '{day}')", today()), &[])
        .unwrap_or_else(|error| panic!("{error}"));
    assert!(changed > 0, "nobody reads the time");
}

#[test]
fn old_rows_go_as_time_goes_on() {
    let play = |retention: &str| {
        let current = today().first_of_month();
        let month = |back: i64| current.checked_sub(back.months()).unwrap();
        let site = site(&format!("{CONFIG}, retention: {retention}"));
        let mut text = String::from("id,sold_on,amount,gone\n1,,1,false\n");
        for back in 0..6 {
            text.push_str(&format!(
                "{},{},1,false\n{},{},1,false\n",
                10 + back,
                month(back),
                20 + back,
                month(back).last_of_month()
            ));
        }
        site.put("incoming/sales1.csv", text);
        built(&site);
        let ids = |site: &Site| {
            let rows = site.ask("select id from pres.sales order by id");
            rows.into_iter().flatten().flatten().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(ids(&site), "1 10 11 12 13 20 21 22 23", "three months and the one that goes on");
        // A month ago one more was kept.
        let mut connection = site.connect(thalweg_warehouse::Access::Write).unwrap();
        for table in ["sales", "days"] {
            let old = [(14, month(4)), (24, month(4).last_of_month())].map(|(id, day)| match table {
                "sales" => format!("({id}, date '{day}', 1, 1)"),
                _ => format!("(date '{day}', 1, 1, 1)"),
            });
            let insert = format!("insert into thalweg_data.\"shop.pres.{table}.v1\" values {}", old.join(", "));
            connection.execute(&insert, &[]).unwrap();
            let count = format!("update thalweg.tables set rows = rows + 2 where table_name = 'pres.{table}'");
            connection.execute(&count, &[]).unwrap();
        }
        drop(connection);
        set_clock(&site, month(1));
        laws::assert_verified(&site);
        (site, month(4))
    };
    let go_on = |site: &Site| {
        let outcome = built(site);
        for table in ["pres.sales", "pres.days"] {
            let step = step(&outcome, table);
            assert_eq!((step.strategy, step.counts.deleted_missing), (Strategy::Incremental, 2), "{step:?}");
        }
        laws::assert_verified(site);
        assert_eq!(built(site).state, RunState::Nothing);
    };
    go_on(&play("3 months").0);
    on_postgres(|| {
        let (site, gone) = play("3 months");
        // The partition of those rows was made for them.
        assert_eq!(built_partition_of(&site, gone), None);
        go_on(&site);
        assert!(!partitions(&site).iter().any(|(bound, _)| *bound == of_month(gone)));
        // A shorter time has the partitions of what goes dropped, a longer one has rows come back.
        site.put("models/pres/pres.yml", models(&format!("{CONFIG}, retention: 1 month")));
        let plan = plan(&site);
        assert!(!plan.iter().any(|line| line.contains("drop")), "{plan:?}");
        let full = BuildOptions { full_refresh: true, ..options(Command::Build) };
        assert_eq!(site.build_with(&full, &Silent).unwrap().exit_code(), 0);
        let after: Vec<String> = filled(&site).into_iter().map(|(bound, _)| bound).collect();
        let first = today().first_of_month();
        assert_eq!(
            after,
            [of_month(first.checked_sub(1.month()).unwrap()), of_month(first), "FOR VALUES IN (NULL)".to_owned()]
        );
        assert!(!partitions(&site).iter().any(|(bound, _)| *bound == of_month(first.checked_sub(2.months()).unwrap())));
        site.put("models/pres/pres.yml", models(&format!("{CONFIG}, retention: 5 months")));
        assert_eq!(site.build_with(&full, &Silent).unwrap().exit_code(), 0);
        assert_eq!(site.database().run("select count(*) from pres.sales"), "13");
        assert!(filled(&site).iter().all(|(bound, _)| bound != "DEFAULT"), "{:?}", filled(&site));
        laws::assert_verified(&site);
    });
}

/// How many rows the partition of a month holds, if there is one.
fn built_partition_of(site: &Site, first: Date) -> Option<usize> {
    partitions(site).into_iter().find(|(bound, _)| *bound == of_month(first)).map(|(_, rows)| rows)
}

fn plan(site: &Site) -> Vec<String> {
    let plan = site.open().plan(&options(Command::Build)).unwrap();
    let lines = plan.partitions.iter().map(|partition| {
        let verb = if partition.dropped { "drop" } else { "make" };
        format!("{verb} {} {}", partition.table, partition.from.as_deref().unwrap_or("the oldest"))
    });
    lines.collect()
}

#[test]
fn a_changed_definition_is_a_new_version_beside_the_old_one() {
    on_postgres(|| {
        let site = site(CONFIG);
        let current = today().first_of_month();
        let make = |number: i64| format!("make pres.sales {}", current.checked_add(number.months()).unwrap());
        assert_eq!(plan(&site), (0..=3).map(make).collect::<Vec<_>>(), "which are sure to come");
        site.put("incoming/sales1.csv", first_sales());
        built(&site);
        assert_eq!(plan(&site), [""; 0]);
        let physical = |site: &Site| {
            let found = site.ask("select physical from thalweg.tables where table_name = 'pres.sales'");
            found[0][0].clone().unwrap()
        };
        assert_eq!(physical(&site), "shop.pres.sales.v1");
        // By year; then not at all; then with an index.
        site.put("models/pres/pres.yml", models("partition_by: \"range(sold_on, year)\""));
        let outcome = built(&site);
        assert_eq!(step(&outcome, "pres.sales").reason, "its partitions changed");
        assert_eq!(physical(&site), "shop.pres.sales.v2");
        assert!(filled(&site).contains(&("FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')".to_owned(), 120)));
        site.put("models/pres/pres.yml", models("primary_key: id"));
        built(&site);
        assert_eq!(physical(&site), "shop.pres.sales.v3");
        assert_eq!(partitions(&site).len(), 0, "a table without partitions has no bounds");
        site.put(
            "models/pres/pres.yml",
            models("partition_by: \"range(sold_on, quarter)\", indexes: [{ columns: [id, sold_on], unique: true }, { columns: amount }]"),
        );
        built(&site);
        assert_eq!(physical(&site), "shop.pres.sales.v4");
        laws::assert_verified(&site);
        // Indexes are of the table, and every partition has its part of them, also one that comes later.
        site.put("incoming/sales2.csv", "id,sold_on,amount,gone\n5,2019-07-07,7,false\n6,2019-08-08,7,false\n");
        built(&site);
        let without = site.database().run(
            "select c.relname from pg_partition_tree('thalweg_data.\"shop.pres.sales.v4\"') t join pg_class c on c.oid = t.relid \
             where t.isleaf and (select count(*) from pg_index i where i.indrelid = t.relid) <> 4",
        );
        assert_eq!(without, "");
        let own = site.database().run("select count(*) from pg_indexes where tablename = 'shop.pres.sales.v4'");
        assert_eq!(own, "4", "two that are asked for, one by which days look sales up, and one for what came since");
        assert_eq!(built(&site).state, RunState::Nothing);
        laws::assert_verified(&site);
        let left = site.database().run(
            "select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'thalweg_data' \
             and c.relkind in ('r', 'p') and c.relname like 'p\\_%' and not c.relispartition",
        );
        assert_eq!(left, "0");
    });
}

#[test]
fn a_row_of_a_partition_is_found_and_explained() {
    on_postgres(|| {
        let site = site(CONFIG);
        site.put("incoming/sales1.csv", first_sales());
        built(&site);
        // The first rows of two partitions have the same place.
        for (key, day) in [("101", "2025-01-01"), ("201", "2025-02-01")] {
            let why = site.open().why("pres.sales", &[key.to_owned()], false).unwrap();
            assert_eq!(why.rows.len(), 1, "{why:?}");
            assert!(why.rows[0].row.contains(&("sold_on".to_owned(), Some(day.to_owned()))), "{why:?}");
        }
    });
}

#[test]
fn a_column_that_cannot_say_when_is_a_mistake() {
    let wrong = |config: &str| {
        let site = site("primary_key: id");
        site.put("incoming/sales1.csv", first_sales());
        built(&site);
        site.put("models/pres/pres.yml", models(config));
        let found = site.build().map(|outcome| outcome.state);
        let open = OpenOptions::default();
        let validation = Workbench::validate(site.project.path(), &open).unwrap();
        let messages: Vec<String> =
            validation.diagnostics.iter().map(|diagnostic| diagnostic.message.clone()).collect();
        let marked = validation
            .diagnostics
            .first()
            .map(|diagnostic| site.project.read("models/pres/pres.yml")[diagnostic.location.span.clone()].to_owned());
        (found.map_err(|error| described(&error)), messages, marked)
    };
    let (found, messages, marked) = wrong("partition_by: \"range(sold_at, month)\"");
    assert_eq!(found, Ok(RunState::Nothing), "without partitions it has no effect");
    assert_eq!(messages, ["pres.sales has no column `sold_at`"]);
    assert_eq!(marked.as_deref(), Some("\"range(sold_at, month)\""));
    let (found, ..) = wrong("partition_by: \"range(amount, month)\", retention: 1 year");
    let error = found.unwrap_err();
    assert!(error.contains("its column `amount` is of type BIGINT"), "{error}");
    on_postgres(|| {
        let (found, messages, _) = wrong("partition_by: \"range(Sold_on, month)\", retention: 1 year");
        let error = found.unwrap_err();
        assert!(error.contains("there is no column `Sold_on` for its partitions"), "{error}");
        assert_eq!(messages, ["pres.sales has no column `Sold_on`"]);
        let (found, messages, _) = wrong("partition_by: \"range(amount, month)\"");
        let error = found.unwrap_err();
        assert!(error.contains("its column `amount` is of type bigint"), "{error}");
        assert_eq!(messages, ["pres.sales cannot be cut into ranges of `amount`, which is of type bigint"]);
        let (found, ..) = wrong("partition_by: \"range(sold_at, month)\"");
        let error = found.unwrap_err();
        assert!(error.contains("there is no column `sold_at` for its partitions"), "{error}");
    });
}

#[test]
fn points_in_time_and_long_names() {
    on_postgres(|| {
        let name = "sales_of_all_shops_in_all_countries_and_of_all_customers";
        let site = Site::new(&[
            ("thalweg.yml", "name: shop\n"),
            ("seeds/n.csv", "id,at\n1,2025-03-31 23:59:59\n2,2025-04-01 00:00:00\n3,\n4,2020-01-01 00:00:00\n"),
            (
                &format!("models/presentation/{name}.sql"),
                "{{ config(partition_by='range(at, month)') }}\nselect id, case when id = 4 then timestamptz 'infinity' else cast(at as timestamptz) end as at \
                 from seeds.n",
            ),
            (
                "models/presentation/week.sql",
                "{{ config(partition_by='range(at, week)', retention='900 weeks') }}\nselect id, at from seeds.n",
            ),
        ]);
        built(&site);
        laws::assert_verified(&site);
        let months = site.database().run(&format!(
            "select string_agg(id::text, ',' order by id), count(*) from presentation.{name} where at >= '2025-03-01Z' and at < '2025-05-01Z'"
        ));
        assert_eq!(months, "1,2|2");
        let apart = site.database().run(&format!(
            "select count(distinct tableoid) from thalweg_data.\"{}\"",
            site.ask(&format!("select physical from thalweg.tables where table_name = 'presentation.{name}'"))[0][0]
                .clone()
                .unwrap()
        ));
        assert_eq!(apart, "4");
    });
}
