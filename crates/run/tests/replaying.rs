//! Random histories with rows that are diverted and replayed, under a test that comes and goes: a row takes the place in which it
//! came, whenever it is let in.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use thalweg_run::{Command, RejectFilter, RunState, Silent};

use crate::history::config;
use crate::laws::{self, Asked};
use crate::site::{Site, options};

/// A record, and whether it is in the table's history or among the rejects.
#[derive(Debug, Clone)]
struct Row {
    id: Option<u8>,
    value: i8,
    sequence: u8,
    gone: bool,
    open: bool,
}

#[derive(Debug, Clone)]
pub enum Act {
    Deliver(Vec<(Option<u8>, i8, u8, bool)>),
    Test(bool),
    Replay,
}

pub fn act() -> impl Strategy<Value = Act> {
    let row = (prop::option::weighted(0.95, 1_u8..4), -2_i8..3, 0_u8..4, prop::bool::weighted(0.25));
    prop_oneof![
        3 => prop::collection::vec(row, 1..6).prop_map(Act::Deliver),
        1 => any::<bool>().prop_map(Act::Test),
        2 => Just(Act::Replay),
    ]
}

fn source(sequence: bool, marks: bool, test: bool) -> String {
    let mut settings = String::from("primary_key: id");
    if sequence {
        settings.push_str(", sequence_by: seq");
    }
    if marks {
        settings.push_str(", soft_delete: gone");
    }
    if test {
        settings.push_str(
            ", columns: [{ name: v, data_tests: [{ accepted_range: { arguments: { min_value: 0 }, config: { on_failure: quarantine, \
             severity: warn } } }] }]",
        );
    }
    format!("type: files\npath: incoming\nstreams:\n  items: {{ files: \"*.csv\", ready: renamed, {settings} }}\n")
}

/// Of each key the latest by sequence, then by arrival, of all that were let in.
fn expected(rows: &[Row], sequence: bool, marks: bool) -> Vec<Vec<Option<String>>> {
    let mut latest: BTreeMap<u8, &Row> = BTreeMap::new();
    for row in rows.iter().filter(|row| !row.open) {
        let Some(id) = row.id else { continue };
        match latest.get(&id) {
            Some(known) if sequence && known.sequence > row.sequence => {}
            _ => _ = latest.insert(id, row),
        }
    }
    latest
        .into_iter()
        .filter(|(_, row)| !(marks && row.gone))
        .map(|(id, row)| {
            [id.to_string(), row.value.to_string(), row.sequence.to_string(), row.gone.to_string()].map(Some).to_vec()
        })
        .collect()
}

pub fn play(sequence: bool, marks: bool, acts: &[Act]) {
    let site = Site::new(&[
        ("thalweg.yml", "name: shop\n"),
        ("sources/web.yml", &source(sequence, marks, true)),
        ("models/pres/total.sql", "select count(*) as n, sum(v) as v from store.items"),
        // Something to begin with, so that there is a table.
        ("incoming/0000.csv", "id,v,seq,gone\n9,0,0,false\n"),
    ]);
    let mut rows = vec![Row { id: Some(9), value: 0, sequence: 0, gone: false, open: false }];
    let (mut tested, mut known) = (true, BTreeSet::new());
    site.build().unwrap();
    let mut before = laws::snapshot(&site);
    let refused = |row: &Row, tested: bool| row.id.is_none() || (tested && row.value < 0);
    for (number, act) in acts.iter().enumerate() {
        let options = options(Command::Build);
        let result = match act {
            Act::Deliver(delivered) => {
                let lines: String = delivered
                    .iter()
                    .map(|(id, value, sequence, gone)| {
                        format!("{},{value},{sequence},{gone}\n", id.map_or(String::new(), |id| id.to_string()))
                    })
                    .collect();
                site.project.put(&format!("incoming/{:04}.csv", number + 1), format!("id,v,seq,gone\n{lines}"));
                if known.insert(lines) {
                    rows.extend(delivered.iter().map(|&(id, value, sequence, gone)| {
                        let row = Row { id, value, sequence, gone, open: false };
                        Row { open: refused(&row, tested), ..row }
                    }));
                }
                site.build_with(&options, &Silent)
            }
            Act::Test(wanted) => {
                tested = *wanted;
                site.project.put("sources/web.yml", source(sequence, marks, tested));
                continue;
            }
            Act::Replay => {
                for row in rows.iter_mut().filter(|row| row.open) {
                    row.open = refused(row, tested);
                }
                site.open().replay(&RejectFilter::default(), &options, &Silent)
            }
        };
        assert_ne!(result.as_ref().unwrap_or_else(|error| panic!("{error}")).state, RunState::Failed);
        let found = site.ask("select id, v, seq, gone from store.items order by id");
        assert_eq!(found, expected(&rows, sequence, marks), "after {act:?}");
        let open = site.ask("select count(*) from thalweg.rejects where state = 'open'");
        assert_eq!(open[0][0], Some(rows.iter().filter(|row| row.open).count().to_string()));
        // A rebuild looks at everything with the test as it is now.
        let rebuild = rows.iter().all(|row| row.open == refused(row, tested));
        before = laws::assert_all(&site, &before, &options, &result, Asked { again: true, rebuild });
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn replayed_rows_take_their_place(
        sequence in any::<bool>(),
        marks in any::<bool>(),
        acts in prop::collection::vec(act(), 1..8),
    ) {
        play(sequence, marks, &acts);
    }
}
