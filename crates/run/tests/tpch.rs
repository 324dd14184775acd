//! The queries of TPC-H as models over staging models, refreshed through inserts, deletes and updates: after each round every model
//! holds what its query answers.
//!
//! `THALWEG_TPCH_SCALE` and `THALWEG_TPCH_ROUNDS` ask for more than the test has time for.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::time::Instant;

use thalweg_run::{Command, LargeGroups, Silent, Strategy};
use thalweg_warehouse::Access;
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator, PartSuppGenerator,
    RegionGenerator, SupplierGenerator,
};

use crate::site::{Site, ask, options};

/// Tables, columns, types; the queries, as the reader of queries is tested with them.
const QUERIES: &str = include_str!("../../sql/tests/relation/tpch.txt");
/// How each query is refreshed: `incremental`, `full: ` and why, or what of both happens to be.
const STRATEGIES: &str = include_str!("tpch/strategies.txt");

/// A table as it is delivered: rows of texts.
struct Table {
    name: String,
    columns: Vec<(String, String)>,
    key: &'static str,
    rows: Vec<Vec<String>>,
}

impl Table {
    fn place(&self, column: &str) -> usize {
        self.columns.iter().position(|(name, _)| name == column).unwrap()
    }

    fn csv(&self, rows: &[(&Vec<String>, bool)]) -> String {
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| name.as_str()).collect();
        let mut csv = format!("{}|gone\n", names.join("|"));
        for (row, gone) in rows {
            writeln!(csv, "{}|{gone}", row.join("|")).unwrap();
        }
        csv
    }
}

/// The fields of a row, of which there is a delimiter after each.
fn fields(row: &impl Display) -> Vec<String> {
    row.to_string().trim_end_matches('|').split('|').map(str::to_owned).collect()
}

fn setting(name: &str, otherwise: f64) -> f64 {
    std::env::var(name).map_or(otherwise, |value| value.parse().unwrap())
}

fn tables(scale: f64) -> Vec<Table> {
    let keys: BTreeMap<&str, &'static str> = BTreeMap::from([
        ("region", "r_regionkey"),
        ("nation", "n_nationkey"),
        ("part", "p_partkey"),
        ("supplier", "s_suppkey"),
        ("partsupp", "ps_partkey, ps_suppkey"),
        ("customer", "c_custkey"),
        ("orders", "o_orderkey"),
        ("lineitem", "l_orderkey, l_linenumber"),
    ]);
    let declared = QUERIES.split("====").next().unwrap();
    declared
        .lines()
        .filter_map(|line| line.strip_prefix("tpch."))
        .map(|line| {
            let (name, columns) = line.split_once('(').unwrap();
            let columns = columns.trim_end_matches(')').split("; ").map(|column| {
                let (name, engine_type) = column.split_once(' ').unwrap();
                (name.to_owned(), engine_type.to_lowercase())
            });
            let rows: Vec<Vec<String>> = match name {
                "region" => RegionGenerator::new(scale, 1, 1).iter().map(|row| fields(&row)).collect(),
                "nation" => NationGenerator::new(scale, 1, 1).iter().map(|row| fields(&row)).collect(),
                "part" => PartGenerator::new(scale, 1, 1).iter().map(|row| fields(&row)).collect(),
                "supplier" => SupplierGenerator::new(scale, 1, 1).iter().map(|row| fields(&row)).collect(),
                "partsupp" => PartSuppGenerator::new(scale, 1, 1).iter().map(|row| fields(&row)).collect(),
                "customer" => CustomerGenerator::new(scale, 1, 1).iter().map(|row| fields(&row)).collect(),
                "orders" => OrderGenerator::new(scale, 1, 1).iter().map(|row| fields(&row)).collect(),
                _ => LineItemGenerator::new(scale, 1, 1).iter().map(|row| fields(&row)).collect(),
            };
            Table { name: name.to_owned(), columns: columns.collect(), key: keys[name], rows }
        })
        .collect()
}

/// The queries, over the staging models.
fn queries() -> Vec<(String, String)> {
    let queries = QUERIES.split("\n====\n").skip(1).map(|case| case.split("\n----").next().unwrap());
    // A column that others are to name needs a name of its own.
    let named = |sql: &str| {
        sql.replace("tpch.", "staging.")
            .replace("o_totalprice, sum(l_quantity)\n", "o_totalprice, sum(l_quantity) as quantity\n")
            .replace("count(o_orderkey)\n", "count(o_orderkey) as c_count\n")
    };
    queries.zip(1..).map(|(sql, number)| (format!("q{number:02}"), named(sql))).collect()
}

/// The strategy and reason of each query.
fn strategies() -> BTreeMap<&'static str, &'static str> {
    STRATEGIES.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(' ')).collect()
}

fn project(tables: &[Table]) -> Site {
    let site = Site::new(&[("thalweg.yml", "name: tpch\n")]);
    let mut source = String::from("type: files\npath: incoming\nstreams:\n");
    for table in tables {
        let name = &table.name;
        let columns: Vec<String> = table
            .columns
            .iter()
            .map(|(name, engine_type)| format!("{{ name: {name}, type: \"{engine_type}\" }}"))
            .collect();
        writeln!(
            source,
            "  {name}: {{ files: \"{name}-*.csv\", ready: renamed, primary_key: [{}], soft_delete: gone, csv: {{ delimiter: \"|\", \
             header: true }}, columns: [{}] }}",
            table.key,
            columns.join(", ")
        )
        .unwrap();
        let names: Vec<&str> = table.columns.iter().map(|(name, _)| name.as_str()).collect();
        site.project.put(
            &format!("models/staging/{name}.sql"),
            format!(
                "with source as (\n    select * from {{{{ ref('store.{name}') }}}}\n), renamed as (\n    select {} from source\n)\nselect * \
                 from renamed\n",
                names.join(", ")
            ),
        );
    }
    site.project.put("sources/erp.yml", source);
    let strategies = strategies();
    for (name, sql) in queries() {
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
    let at = |tables: &[Table], name: &str| tables.iter().position(|table| table.name == name).unwrap();
    let (orders, lines) = (at(tables, "orders"), at(tables, "lineitem"));
    let (customers, parts, offers) = (at(tables, "customer"), at(tables, "part"), at(tables, "partsupp"));
    let count = ((tables[orders].rows.len() as f64 * share) as usize).max(4);
    let mut files = Vec::new();
    let mut new_orders: Vec<(Vec<String>, bool)> = Vec::new();
    let mut new_lines: Vec<(Vec<String>, bool)> = Vec::new();
    let all = tables[orders].rows.len();
    let key_of = |row: &[String]| row[0].parse::<u64>().unwrap();
    // Of 32 numbers the generator uses eight: copies of its orders get the others, and some other customer.
    let mut known: Vec<u64> = tables[orders].rows.iter().map(|row| key_of(row)).collect();
    known.sort_unstable();
    for index in 0..count {
        let place = (number * 7919 + index * 131) % all;
        let mut order = tables[orders].rows[place].clone();
        let old = key_of(&order);
        let Some(new) = (1..4).map(|step| old + 8 * step).find(|key| known.binary_search(key).is_err()) else {
            continue;
        };
        if new_orders.iter().any(|(row, _)| key_of(row) == new) {
            continue;
        }
        let other = tables[orders].rows[(place + 17) % all][1].clone();
        order[0] = new.to_string();
        order[1] = other;
        for line in tables[lines].rows.iter().filter(|line| key_of(line) == old) {
            let mut line = line.clone();
            line[0] = new.to_string();
            new_lines.push((line, false));
        }
        new_orders.push((order, false));
    }
    let gone: Vec<u64> =
        (0..count).map(|index| key_of(&tables[orders].rows[(number * 104_729 + index * 389) % all])).collect();
    let mut is_gone = |table: usize| {
        let (gone, left): (Vec<_>, Vec<_>) =
            std::mem::take(&mut tables[table].rows).into_iter().partition(|row| gone.contains(&key_of(row)));
        tables[table].rows = left;
        gone
    };
    let (gone_orders, gone_lines) = (is_gone(orders), is_gone(lines));
    for (row, _) in &new_orders {
        tables[orders].rows.push(row.clone());
    }
    for (row, _) in &new_lines {
        tables[lines].rows.push(row.clone());
    }
    new_orders.extend(gone_orders.into_iter().map(|row| (row, true)));
    new_lines.extend(gone_lines.into_iter().map(|row| (row, true)));
    let mut update = |table: usize, changes: &[(&str, &str)]| -> Vec<(Vec<String>, bool)> {
        let places: Vec<(usize, &str)> =
            changes.iter().map(|(column, value)| (tables[table].place(column), *value)).collect();
        let all = tables[table].rows.len();
        let count = ((all as f64 * share) as usize).max(3);
        let mut changed = Vec::new();
        for index in 0..count {
            let row = &mut tables[table].rows[(number * 613 + index * 59) % all];
            let (place, value) = places[(number + index) % places.len()];
            value.clone_into(&mut row[place]);
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
    for (table, rows) in changes {
        let rows: Vec<(&Vec<String>, bool)> = rows.iter().map(|(row, gone)| (row, *gone)).collect();
        let name = &tables[table].name;
        files.push((format!("incoming/{name}-{number:03}.csv"), tables[table].csv(&rows)));
    }
    files
}

/// What is not as the queries say.
fn differences(site: &Site, tables: &[Table]) -> Vec<String> {
    let mut connection = site.connect(Access::Read).unwrap();
    let mut differences = Vec::new();
    let mut compare = |name: &str, query: &str| {
        let count = format!(
            "select count(*) from ((select * from {name} except all select * from ({query})) union all (select * from ({query}) \
             except all select * from {name}))"
        );
        let count = ask(connection.as_mut(), &count)[0][0].clone();
        if count.as_deref() != Some("0") {
            differences.push(format!("{name}: {} rows differ", count.unwrap_or_default()));
        }
    };
    for table in tables {
        let names: Vec<&str> = table.columns.iter().map(|(name, _)| name.as_str()).collect();
        compare(&format!("staging.{}", table.name), &format!("select {} from store.{}", names.join(", "), table.name));
    }
    for (name, sql) in queries() {
        compare(&format!("marts.{name}"), &sql);
    }
    differences
}

#[test]
fn the_queries_of_tpc_h_through_rounds_of_changes() {
    let scale = setting("THALWEG_TPCH_SCALE", 0.01);
    let rounds = setting("THALWEG_TPCH_ROUNDS", 3.0) as usize;
    let mut tables = tables(scale);
    let site = project(&tables);
    for table in &tables {
        let rows: Vec<(&Vec<String>, bool)> = table.rows.iter().map(|row| (row, false)).collect();
        site.project.put(&format!("incoming/{}-000.csv", table.name), table.csv(&rows));
    }
    // As large as they are at scale 1.
    let large_groups = LargeGroups { rows: 10_000, rows_per_group: 20 };
    let all = thalweg_run::BuildOptions { large_groups, ..options(Command::Build) };
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
