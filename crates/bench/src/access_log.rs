//! An access log with device and country into the store.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::ensure;
use thalweg_example::{Delivery, Example, Settings};

use crate::Options;
use crate::comparison::Comparison;
use crate::measure::{Cost, measure};
use crate::program::{command, program};
use crate::reference;

const PROJECT: &str = "name: bench\n";

const SOURCE: &str = "\
type: files
path: logs
country_database: countries.mmdb
streams:
  access: { files: \"access.log*\", format: access_log, mode: tail }
";

/// Measures both sides.
pub fn run(lines: usize, options: &Options) -> anyhow::Result<()> {
    let program = program(options)?;
    let work = tempfile::tempdir()?;
    let written = generate(work.path(), lines)?;
    let log = &written.files[0].path;
    let countries = work.path().join("countries.csv");
    write_countries(&countries)?;
    let comparison = Comparison::new(format!("Access log of {lines} lines with device and country"));
    let (mut ours, mut theirs): (Option<Cost>, Option<Cost>) = (None, None);
    for run in 0..options.runs {
        let project = work.path().join(format!("project{run}"));
        fs::create_dir_all(project.join("logs"))?;
        fs::create_dir_all(project.join("sources"))?;
        fs::write(project.join("thalweg.yml"), PROJECT)?;
        fs::write(project.join("sources/web.yml"), SOURCE)?;
        fs::hard_link(log, project.join("logs/access.log"))?;
        fs::hard_link(work.path().join("countries.mmdb"), project.join("countries.mmdb"))?;
        let cost = measure(&mut command(&program, &project, &["build"]), &work.path().join("talk"))?;
        ours = Some(ours.map_or(cost, |best| best.best(cost)));

        let database = work.path().join(format!("reference{run}.duckdb"));
        let cost = measure(&mut reference::access_log(log, &countries, &database)?, &work.path().join("talk"))?;
        theirs = Some(theirs.map_or(cost, |best| best.best(cost)));
        let counts = (
            reference::count(&project.join("warehouse.duckdb"), "store.access")?,
            reference::count(&database, "access")?,
        );
        ensure!(counts.0 == counts.1, "the program loaded {} lines and the reference {}", counts.0, counts.1);
        ensure!(
            counts.0 == written.files[0].inserted as i64,
            "{} lines were loaded, {} are good",
            counts.0,
            written.files[0].inserted
        );
        fs::remove_dir_all(project)?;
        fs::remove_file(database)?;
    }
    if let (Some(ours), Some(theirs)) = (ours, theirs) {
        comparison.side("thalweg build", ours);
        comparison.side("DuckDB, regular expression", theirs);
        comparison.ratio(ours, theirs);
        comparison.limit("seconds", ours.wall.as_secs_f64(), 2.5 * lines as f64 / 1e6);
        comparison.limit("peak, MB", ours.peak as f64 / 1e6, 300.0);
    }
    Ok(())
}

/// Writes `logs/access.log` and `countries.mmdb` below a folder.
pub fn generate(folder: &Path, lines: usize) -> anyhow::Result<Delivery> {
    let settings = Settings { scale: lines as f64 / 100_000.0, seed: 5, last_day: jiff::civil::date(2026, 6, 30) };
    Ok(thalweg_example::deliver(Example::Weblog, folder, &settings, 1)?)
}

/// The ranges of the country database as a table, for the reference.
fn write_countries(path: &Path) -> anyhow::Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    writeln!(out, "first,last,country")?;
    for (first, prefix, country) in thalweg_example::country::networks() {
        let first = u32::from(first);
        writeln!(out, "{first},{},{country}", first | (u32::MAX >> prefix))?;
    }
    Ok(out.flush()?)
}
