//! The queries of TPC-H as models over staging models, refreshed through inserts, deletes and updates: after each round every model
//! holds what its query answers.
//!
//! `THALWEG_TPCH_SCALE` and `THALWEG_TPCH_ROUNDS` ask for more than the test has time for.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write;
use std::time::Instant;

use thalweg_run::{Command, LargeTables, Silent, Strategy};
use thalweg_testkit::{TpchTable, tpch_queries, tpch_tables};
use thalweg_warehouse::Access;

use crate::site::{Site, ask, on_postgres, options};

/// How each query is refreshed: `incremental`, `full: ` and why, or what of both happens to be.
const STRATEGIES: &str = include_str!("tpch/strategies.txt");

/// A table as it is delivered: rows of fields separated by `|`.
struct Table {
    declared: TpchTable,
    rows: Vec<String>,
}

impl Table {
    fn place(&self, column: &str) -> usize {
        self.declared.columns.iter().position(|(name, _)| *name == column).unwrap()
    }

    fn csv<'r>(&self, rows: impl Iterator<Item = (&'r String, bool)>) -> String {
        let names: Vec<&str> = self.declared.columns.iter().map(|(name, _)| *name).collect();
        let mut csv = format!("{}|gone\n", names.join("|"));
        for (row, gone) in rows {
            writeln!(csv, "{row}|{gone}").unwrap();
        }
        csv
    }
}

/// Puts another value into a row.
fn put(row: &mut String, place: usize, value: &str) {
    let mut fields: Vec<&str> = row.split('|').collect();
    fields[place] = value;
    *row = fields.join("|");
}

/// The first field of a row, which is a number.
fn key_of(row: &str) -> u64 {
    row.split('|').next().unwrap().parse().unwrap()
}

fn setting(name: &str, otherwise: f64) -> f64 {
    std::env::var(name).map_or(otherwise, |value| value.parse().unwrap())
}

fn tables(scale: f64) -> Vec<Table> {
    let filled = |declared: TpchTable| {
        let mut rows = Vec::new();
        declared.rows(scale, 1, 1, |row| rows.push(row.to_owned()));
        Table { declared, rows }
    };
    tpch_tables().into_iter().map(filled).collect()
}

/// The strategy and reason of each query.
fn strategies() -> BTreeMap<&'static str, &'static str> {
    STRATEGIES.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(' ')).collect()
}

fn project(tables: &[Table]) -> Site {
    let site = Site::new(&[("thalweg.yml", "name: tpch\n")]);
    let mut source = String::from("type: files\npath: incoming\nstreams:\n");
    for TpchTable { name, columns, key } in tables.iter().map(|table| &table.declared) {
        let columns: Vec<String> =
            columns.iter().map(|(name, engine_type)| format!("{{ name: {name}, type: \"{engine_type}\" }}")).collect();
        writeln!(
            source,
            "  {name}: {{ files: \"{name}-*.csv\", ready: renamed, primary_key: [{key}], soft_delete: gone, csv: {{ delimiter: \"|\", \
             header: true }}, columns: [{}] }}",
            columns.join(", ")
        )
        .unwrap();
    }
    for table in tables {
        site.project.put(&format!("models/staging/{}.sql", table.declared.name), table.declared.staging());
    }
    site.project.put("sources/erp.yml", source);
    let strategies = strategies();
    for (name, sql) in tpch_queries() {
        // Pinned, so that small tables are not computed anew because that is quicker, and whatever stands in the way is an error.
        let config = match strategies.get(&*name) {
            Some(&"incremental") => "{{ config(refresh='incremental') }}\n",
            _ => "",
        };
        site.project.put(&format!("models/marts/{name}.sql"), format!("{config}{sql}\n"));
    }
    site
}

/// What comes in a round: new orders with their lines, others that go, and changes of orders, customers and parts.
fn round(tables: &mut [Table], number: usize, share: f64) -> Vec<(String, String)> {
    let at = |tables: &[Table], name: &str| tables.iter().position(|table| table.declared.name == name).unwrap();
    let (orders, lines) = (at(tables, "orders"), at(tables, "lineitem"));
    let (customers, parts, offers) = (at(tables, "customer"), at(tables, "part"), at(tables, "partsupp"));
    let count = ((tables[orders].rows.len() as f64 * share) as usize).max(4);
    let mut new_orders: Vec<(String, bool)> = Vec::new();
    let mut new_lines: Vec<(String, bool)> = Vec::new();
    let all = tables[orders].rows.len();
    // Of 32 numbers the generator uses eight: copies of its orders get the others, and some other customer.
    let mut known: HashSet<u64> = tables[orders].rows.iter().map(|row| key_of(row)).collect();
    let mut copies: HashMap<u64, u64> = HashMap::new();
    for index in 0..count {
        let place = (number * 7919 + index * 131) % all;
        let mut order = tables[orders].rows[place].clone();
        let old = key_of(&order);
        let Some(new) = (1..4).map(|step| old + 8 * step).find(|key| !known.contains(key)) else {
            continue;
        };
        known.insert(new);
        copies.insert(old, new);
        let other = tables[orders].rows[(place + 17) % all].split('|').nth(1).unwrap().to_owned();
        put(&mut order, 0, &new.to_string());
        put(&mut order, 1, &other);
        new_orders.push((order, false));
    }
    for line in &tables[lines].rows {
        if let Some(new) = copies.get(&key_of(line)) {
            let mut line = line.clone();
            put(&mut line, 0, &new.to_string());
            new_lines.push((line, false));
        }
    }
    let gone: HashSet<u64> =
        (0..count).map(|index| key_of(&tables[orders].rows[(number * 104_729 + index * 389) % all])).collect();
    let mut is_gone = |table: usize| {
        let (gone, left): (Vec<_>, Vec<_>) =
            std::mem::take(&mut tables[table].rows).into_iter().partition(|row| gone.contains(&key_of(row)));
        tables[table].rows = left;
        gone
    };
    let (gone_orders, gone_lines) = (is_gone(orders), is_gone(lines));
    tables[orders].rows.extend(new_orders.iter().map(|(row, _)| row.clone()));
    tables[lines].rows.extend(new_lines.iter().map(|(row, _)| row.clone()));
    new_orders.extend(gone_orders.into_iter().map(|row| (row, true)));
    new_lines.extend(gone_lines.into_iter().map(|row| (row, true)));
    let mut update = |table: usize, changes: &[(&str, &str)]| -> Vec<(String, bool)> {
        let places: Vec<(usize, &str)> =
            changes.iter().map(|(column, value)| (tables[table].place(column), *value)).collect();
        let all = tables[table].rows.len();
        let count = ((all as f64 * share) as usize).max(3);
        let mut changed = Vec::new();
        for index in 0..count {
            let row = &mut tables[table].rows[(number * 613 + index * 59) % all];
            let (place, value) = places[(number + index) % places.len()];
            put(row, place, value);
            changed.push((row.clone(), false));
        }
        changed
    };
    new_orders.extend(update(
        orders,
        &[
            ("o_orderpriority", "1-URGENT"),
            ("o_orderdate", "1995-02-11"),
            ("o_custkey", "1"),
            ("o_comment", "special requests"),
        ],
    ));
    let customer_rows =
        update(customers, &[("c_mktsegment", "BUILDING"), ("c_acctbal", "9000.01"), ("c_nationkey", "7")]);
    let part_rows = update(parts, &[("p_type", "ECONOMY ANODIZED STEEL"), ("p_size", "15"), ("p_brand", "Brand#23")]);
    // Offers change every other round.
    let offer_rows = if number.is_multiple_of(2) {
        update(offers, &[("ps_supplycost", "900.17"), ("ps_availqty", "3")])
    } else {
        Vec::new()
    };
    let changes = [
        (orders, new_orders),
        (lines, new_lines),
        (customers, customer_rows),
        (parts, part_rows),
        (offers, offer_rows),
    ];
    let file = |(table, rows): (usize, Vec<(String, bool)>)| {
        let path = format!("incoming/{}-{number:03}.csv", tables[table].declared.name);
        (path, tables[table].csv(rows.iter().map(|(row, gone)| (row, *gone))))
    };
    changes.into_iter().map(file).collect()
}

/// What is not as the queries say.
fn differences(site: &Site, tables: &[Table]) -> Vec<String> {
    let mut connection = site.connect(Access::Read).unwrap();
    let mut differences = Vec::new();
    let mut compare = |name: &str, query: &str| {
        // As they are written, zeros at the end of decimals included.
        let (stored, wanted) = (format!("select q::text from {name} q"), format!("select q::text from ({query}) q"));
        let count =
            format!("select count(*) from (({stored} except all {wanted}) union all ({wanted} except all {stored})) q");
        let count = ask(connection.as_mut(), &count)[0][0].clone();
        if count.as_deref() != Some("0") {
            differences.push(format!("{name}: {} rows differ", count.unwrap_or_default()));
        }
    };
    for TpchTable { name, columns, .. } in tables.iter().map(|table| &table.declared) {
        let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
        compare(&format!("staging.{name}"), &format!("select {} from store.{name}", names.join(", ")));
    }
    for (name, sql) in tpch_queries() {
        compare(&format!("marts.{name}"), &sql);
    }
    differences
}

#[test]
fn the_queries_of_tpc_h_through_rounds_of_changes() {
    play_rounds();
}

#[test]
fn the_queries_of_tpc_h_on_postgres() {
    on_postgres(play_rounds);
}

fn play_rounds() {
    let scale = setting("THALWEG_TPCH_SCALE", 0.01);
    let rounds = setting("THALWEG_TPCH_ROUNDS", 3.0) as usize;
    let mut tables = tables(scale);
    let site = project(&tables);
    for table in &tables {
        let csv = table.csv(table.rows.iter().map(|row| (row, false)));
        site.project.put(&format!("incoming/{}-000.csv", table.declared.name), csv);
    }
    // As large as they are at scale 1.
    let large = LargeTables { grouped: Some((1_000_000.0 * scale) as u64), rows_per_group: 20, read_in_part: 0 };
    let all = thalweg_run::BuildOptions { large, ..options(Command::Build) };
    let began = Instant::now();
    site.build_with(&all, &Silent).unwrap();
    println!("first build: {:.1} s", began.elapsed().as_secs_f64());
    assert_eq!(differences(&site, &tables), Vec::<String>::new());
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for number in 1..=rounds {
        for (path, text) in round(&mut tables, number, 0.001) {
            site.project.put(&path, text);
        }
        let began = Instant::now();
        let outcome = site.build_with(&all, &Silent).unwrap();
        println!("round {number}: {:.1} s", began.elapsed().as_secs_f64());
        for step in &outcome.steps {
            if step.kind == "stage" {
                println!("    {} {:.3} s {:?} {}", step.table, step.seconds, step.strategy, step.reason);
                continue;
            }
            let Some(query) = step.table.strip_prefix("marts.") else { continue };
            let how = match step.strategy {
                // Whatever changed, nothing of it may reach a query in one round.
                Strategy::Unchanged => continue,
                Strategy::Incremental => "incremental".to_owned(),
                _ => format!("full: {}", step.reason),
            };
            println!("  {query} {:.3} s {how}", step.seconds);
            // In full once is in full.
            let known = seen.entry(query.to_owned()).or_default();
            if known.is_empty() || how.starts_with("full") {
                *known = how;
            }
        }
        assert_eq!(differences(&site, &tables), Vec::<String>::new(), "round {number}");
    }
    let wanted = strategies();
    let mut shown: Vec<String> = seen.iter().map(|(query, how)| format!("{query} {how}")).collect();
    shown.sort();
    println!("{}", shown.join("\n"));
    let as_wanted = |query: &str, how: &str| {
        wanted.get(query).is_some_and(|wanted| {
            wanted.split(" or ").any(|one| match one.strip_prefix("full: ") {
                Some(reason) => how.starts_with("full: ") && how.contains(reason),
                None => how == one,
            })
        })
    };
    let wrong: Vec<String> = seen
        .iter()
        .filter(|(query, how)| !as_wanted(query, how))
        .map(|(query, how)| format!("{query} {how}"))
        .collect();
    assert!(wrong.is_empty(), "otherwise than tpch/strategies.txt says:\n{}", wrong.join("\n"));
    let incremental = seen.values().filter(|how| *how == "incremental").count();
    assert!(incremental >= 19, "only {incremental} queries were refreshed incrementally");
}
