//! A CSV file of user interactions, some of them with a missing value, into a keyed store table.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use anyhow::ensure;
use jiff::ToSpan;
use thalweg_example::random::Random;

use crate::Options;
use crate::comparison::Comparison;
use crate::measure::{Cost, measure};
use crate::program::{command, program};
use crate::reference;

const PROJECT: &str = "name: bench\n";

const SOURCE: &str = "\
type: files
path: incoming
streams:
  interactions:
    files: \"*.csv\"
    ready: renamed
    primary_key: interaction_id
    sequence_by: timestamp
";

/// The same rows that the reference leaves out are set aside, with their raw text and the reason.
const COMPLETE: &str = "
    columns:
      - { name: user_id, data_tests: [{ not_null: { config: { on_failure: quarantine } } }] }
      - { name: product_id, data_tests: [{ not_null: { config: { on_failure: quarantine } } }] }
      - { name: action, data_tests: [{ not_null: { config: { on_failure: quarantine } } }] }
      - { name: timestamp, data_tests: [{ not_null: { config: { on_failure: quarantine } } }] }
";

/// Measures both sides.
pub fn run(rows: usize, keep_missing: bool, options: &Options) -> anyhow::Result<()> {
    let program = program(options)?;
    let work = tempfile::tempdir()?;
    let data = work.path().join("interactions.csv");
    write(&data, rows)?;
    let title = if keep_missing { "all rows" } else { "incomplete rows set aside" };
    let comparison = Comparison::new(format!("CSV of {rows} rows into a keyed table, {title}"));
    let (mut ours, mut theirs): (Option<Cost>, Option<Cost>) = (None, None);
    for run in 0..options.runs {
        let project = work.path().join(format!("project{run}"));
        fs::create_dir_all(project.join("incoming"))?;
        fs::create_dir_all(project.join("sources"))?;
        fs::write(project.join("thalweg.yml"), PROJECT)?;
        let tests = if keep_missing { "" } else { COMPLETE };
        fs::write(project.join("sources/files.yml"), format!("{SOURCE}{tests}"))?;
        fs::hard_link(&data, project.join("incoming/interactions.csv"))?;
        let cost = measure(&mut command(&program, &project, &["build"]), &work.path().join("talk"))?;
        ours = Some(ours.map_or(cost, |best| best.best(cost)));

        let database = work.path().join(format!("reference{run}.duckdb"));
        let cost = measure(&mut reference::csv(&data, &database, keep_missing)?, &work.path().join("talk"))?;
        theirs = Some(theirs.map_or(cost, |best| best.best(cost)));
        let counts = (
            reference::count(&project.join("warehouse.duckdb"), "store.interactions")?,
            reference::count(&database, "interactions")?,
        );
        ensure!(counts.0 == counts.1, "the program loaded {} rows and the reference {}", counts.0, counts.1);
        fs::remove_dir_all(project)?;
        fs::remove_file(database)?;
    }
    if let (Some(ours), Some(theirs)) = (ours, theirs) {
        comparison.side("thalweg build", ours);
        comparison.side("plain DuckDB", theirs);
        comparison.ratio(ours, theirs);
        comparison.limit("times plain DuckDB", ours.wall.as_secs_f64() / theirs.wall.as_secs_f64(), 2.0);
        comparison.limit("peak, MB", ours.peak as f64 / 1e6, 400.0);
    }
    Ok(())
}

/// About 2 % of the rows miss one value, never the key, and one row in a thousand comes a second time.
fn write(path: &Path, rows: usize) -> io::Result<()> {
    const ACTIONS: &[(u32, &str)] = &[(11, "view"), (5, "click"), (2, "cart"), (1, "purchase"), (1, "share")];
    let random = &mut Random::new(5, "interactions", 0);
    let start = jiff::civil::datetime(2026, 1, 1, 0, 0, 0, 0);
    let mut out = BufWriter::new(File::create(path)?);
    writeln!(out, "interaction_id,user_id,product_id,action,timestamp")?;
    for row in 0..rows {
        let id = if row > 0 && random.percent(0.1) { random.below(row) } else { row };
        let mut values = [
            random.skewed(25_000).to_string(),
            random.skewed(1_200).to_string(),
            random.weighted(ACTIONS).to_owned(),
            start.saturating_add(random.between(0, 7_776_000).seconds()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        ];
        if random.percent(2.0) {
            values[random.below(4)].clear();
        }
        writeln!(out, "{},{}", id + 1, values.join(","))?;
    }
    out.flush()
}
