//! The orders example, with its tables in a database.

use std::collections::BTreeMap;

use thalweg_example::database::{Change, Server, change, fill};
use thalweg_example::{Example, Settings, deliver, write};
use thalweg_run::Command;
use thalweg_testkit::TestProject;

use super::server::{Database, Reader, on_both, step};
use crate::site::{Rows, Site, options};

const SETTINGS: Settings = Settings { scale: 0.01, seed: 1, last_day: jiff::civil::date(2026, 6, 30) };
const TABLES: [(&str, &str); 6] = [
    ("companies", "company_id, tax_number, company_name"),
    ("customers", "document_number, full_name, email, user_name, country_code"),
    ("products", "product_code, supplier_id, product_name, default_price"),
    ("product_prices", "product_code, company_id, price"),
    ("order_headers", "order_no, company_id, customer_document_no, status"),
    ("order_lines", "order_no, order_line_no, product_code, supplier_id, quantity, unit_price"),
];
const MODELS: [&str; 3] = ["pres.report_order_lines", "pres.monthly_sales_by_company", "pres.product_popularity"];

fn server(database: &Database) -> Server {
    if database.kind() == "postgres" { Server::Postgres } else { Server::Mariadb }
}

/// The example as `init` makes it, but for where the database is.
fn project(database: &Database) -> Site {
    let folder = tempfile::tempdir().unwrap();
    write(Example::OrdersDatabase, folder.path()).unwrap();
    deliver(Example::OrdersDatabase, folder.path(), &SETTINGS, 1).unwrap();
    let project = TestProject::new().folder(folder.path());
    let project = project.file(".env", format!("ORDER_DB_URL={}\n", database.url()));
    let site = Site::of(project);
    let source = site.project.read("sources/shop.yml").replace("type: mariadb", &format!("type: {}", database.kind()));
    site.project.put("sources/shop.yml", source);
    site
}

fn sorted(site: &Site, table: &str) -> Rows {
    let mut rows = site.ask(&format!("select * from {table}"));
    rows.sort();
    rows
}

#[test]
fn the_store_follows_the_shop() {
    on_both(|database| {
        let mut script = Vec::new();
        let rows: BTreeMap<_, _> = fill(&SETTINGS, server(&database), &mut script).unwrap().into_iter().collect();
        database.run(&String::from_utf8(script).unwrap());
        let reader = Reader { database: &database, site: project(&database) };
        let first = reader.load();
        assert_eq!(first.exit_code(), 0, "{:?}", first.steps);
        for (table, columns) in TABLES {
            assert_eq!(step(&first, &format!("store.{table}")).rows_after, rows[table], "{table}");
            reader.assert_same(table, columns, "is_deleted = 0");
        }

        // The same data from files, the same answers.
        let folder = tempfile::tempdir().unwrap();
        write(Example::Orders, folder.path()).unwrap();
        deliver(Example::Orders, folder.path(), &SETTINGS, 1).unwrap();
        let files = Site::of(TestProject::new().folder(folder.path()));
        files.build().unwrap();
        for model in MODELS {
            assert_eq!(sorted(&files, model), sorted(&reader.site, model), "{model}");
        }

        for number in 1..=3 {
            let mut script = Vec::new();
            change(Change { percent: 4.0, step: number }, server(&database), &mut script).unwrap();
            database.run(&String::from_utf8(script).unwrap());
            let outcome = reader.load_with(&options(Command::Build));
            assert_eq!(outcome.exit_code(), 0, "{:?}", outcome.failed_streams);
            for (table, columns) in TABLES {
                reader.assert_same(table, columns, "is_deleted = 0");
                let counts = &step(&outcome, &format!("store.{table}")).counts;
                let seen = [counts.inserted, counts.updated, counts.deleted_by_mark, counts.deleted_missing];
                // Companies are deleted when nobody orders for them: not before the first change made some.
                assert!(seen.iter().all(|rows| *rows > 0) || number == 1, "{table} in change {number}: {counts:?}");
            }
        }
    });
}
