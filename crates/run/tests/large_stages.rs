//! Stages of so many rows that temporary tables with them are dropped as soon as nobody needs them.

use std::fmt::Write;

use thalweg_run::{RunState, Strategy};

use crate::laws;
use crate::site::Site;

/// As many groups as rows.
const GROUPS: u64 = 110_000;

fn items(factor: u64) -> String {
    let mut text = "id,v\n".to_owned();
    for id in 0..GROUPS {
        writeln!(text, "{id},{}", id * factor).unwrap();
    }
    text
}

/// What changed in a stage is read by what is left of the model, after most of the stage was computed anew.
#[test]
fn most_of_a_large_stage_changes() {
    let site = Site::new(&[
        ("thalweg.yml", "name: shop\n"),
        (
            "sources/web.yml",
            "type: files\npath: incoming\ndefaults: { ready: renamed }\nstreams:\n  \
             items: { files: \"items*.csv\", primary_key: id, columns: [{ name: id, type: integer }, { name: v, type: integer }] }\n",
        ),
        (
            "models/mart/totals.sql",
            "select total, count(*) as items from (select id, sum(v) as total from store.items group by id) as each_item group by total",
        ),
        ("incoming/items1.csv", &items(3)),
    ]);
    assert_eq!(site.build().unwrap().state, RunState::Published);
    site.put("incoming/items2.csv", items(5));
    let outcome = site.build().unwrap();
    assert_eq!(outcome.state, RunState::Published);
    let step = |table: &str| outcome.steps.iter().find(|step| step.table == table).unwrap();
    assert_eq!(step("mart.totals.each_item").strategy, Strategy::FullDifference);
    let totals = step("mart.totals");
    assert!(!totals.reason.contains("failed"), "{}", totals.reason);
    laws::assert_verified(&site);
}
