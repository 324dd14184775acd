//! Deliveries are the same everywhere, refer to what exists, and never replace a file.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use thalweg_example::{Example, Settings, deliver};

fn settings() -> Settings {
    Settings { scale: 0.02, seed: 11, last_day: jiff::civil::date(2026, 6, 30) }
}

fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(contents(&path));
        } else {
            files.insert(path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(path).unwrap());
        }
    }
    files
}

/// The values of the columns of a CSV file without quoted values in these columns.
fn column(folder: &Path, prefix: &str, name: &str) -> Vec<String> {
    let mut values = Vec::new();
    for (file, bytes) in contents(folder) {
        if file.strip_prefix(prefix).is_none_or(|rest| !rest.starts_with("_2")) {
            continue;
        }
        let text = String::from_utf8(bytes).unwrap();
        let mut lines = text.lines();
        let at = lines.next().unwrap().split(',').position(|column| column == name).unwrap();
        values.extend(lines.map(|line| line.split(',').nth(at).unwrap().to_owned()));
    }
    values
}

#[test]
fn same_settings_same_files() {
    for example in Example::ALL {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for number in 1..=3 {
            let first = deliver(example, one.path(), &settings(), number).unwrap();
            let second = deliver(example, two.path(), &settings(), number).unwrap();
            assert_eq!(first.files.len(), second.files.len());
        }
        assert_eq!(contents(one.path()), contents(two.path()), "{example}");
    }
}

#[test]
fn a_delivery_is_made_once() {
    for example in Example::ALL {
        let folder = tempfile::tempdir().unwrap();
        deliver(example, folder.path(), &settings(), 1).unwrap();
        let before = contents(folder.path());
        let error = deliver(example, folder.path(), &settings(), 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(contents(folder.path()), before);
    }
}

#[test]
fn orders_refer_to_what_was_delivered() {
    let folder = tempfile::tempdir().unwrap();
    for number in 1..=4 {
        deliver(Example::Orders, folder.path(), &settings(), number).unwrap();
    }
    let known = |prefix, name| column(folder.path(), prefix, name).into_iter().collect::<BTreeSet<_>>();
    let orders = known("order_headers", "order_no");
    assert!(known("order_lines", "order_no").is_subset(&orders));
    assert!(known("order_lines", "product_code").is_subset(&known("products", "product_code")));
    assert!(known("order_lines", "supplier_id").is_subset(&known("companies", "company_id")));
    assert!(known("order_headers", "company_id").is_subset(&known("companies", "company_id")));
    assert!(known("order_headers", "customer_document_no").is_subset(&known("customers", "document_number")));
}

#[test]
fn a_later_delivery_has_a_little_of_everything() {
    let folder = tempfile::tempdir().unwrap();
    let first = deliver(Example::Orders, folder.path(), &settings(), 1).unwrap();
    let second = deliver(Example::Orders, folder.path(), &settings(), 2).unwrap();
    assert_eq!(first.files.len(), 7);
    assert_eq!(second.files.len(), 7);
    for file in &second.files {
        let before = first.file(&file.stream).unwrap();
        assert!(file.inserted < before.inserted / 10, "{file:?} after {before:?}");
    }
    let total = |pick: fn(&thalweg_example::DeliveredFile) -> usize| second.files.iter().map(pick).sum::<usize>();
    assert!(total(|file| file.inserted) > 20);
    assert!(total(|file| file.updated) > 5);
    assert!(total(|file| file.deleted) > 3);
}

#[test]
fn log_lines_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { scale: 0.5, ..settings() };
    let log = deliver(Example::Weblog, folder.path(), &settings, 1).unwrap().files.remove(0);
    let text = fs::read_to_string(&log.path).unwrap();
    assert_eq!(text.lines().count(), log.inserted + log.malformed);
    let read = text.lines().filter(|line| thalweg_enrich::parse_access_line(line.as_bytes()).is_ok()).count();
    assert_eq!(read, log.inserted);
    assert!(log.malformed > 0 && log.malformed < log.inserted / 50, "{log:?}");
}
