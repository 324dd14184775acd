//! What a project of 200 models and 50 streams costs when nothing happens.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::Options;
use crate::comparison::Comparison;
use crate::measure::{Cost, measure};
use crate::program::{command, program};

const STREAMS: usize = 50;
const MODELS: usize = 200;
const ROWS: usize = 200;

/// `build` with nothing new.
pub fn nothing_new(options: &Options) -> anyhow::Result<()> {
    let program = program(options)?;
    let work = tempfile::tempdir()?;
    let project = work.path().join("project");
    write(&project)?;
    let talk = work.path().join("talk");
    let first = measure(&mut command(&program, &project, &["build"]), &talk)?;
    let best = best_of(options, || measure(&mut command(&program, &project, &["build"]), &talk))?;
    let comparison = Comparison::new(format!("Build of {MODELS} models and {STREAMS} streams"));
    comparison.side("the first one", first);
    comparison.side("nothing new", best);
    comparison.limit("seconds", best.wall.as_secs_f64(), 0.5);
    Ok(())
}

/// `validate`, once with a warehouse that knows every table.
pub fn validate(options: &Options) -> anyhow::Result<()> {
    let program = program(options)?;
    let work = tempfile::tempdir()?;
    let project = work.path().join("project");
    write(&project)?;
    let talk = work.path().join("talk");
    measure(&mut command(&program, &project, &["build"]), &talk)?;
    let best = best_of(options, || measure(&mut command(&program, &project, &["validate"]), &talk))?;
    let comparison = Comparison::new(format!("Validation of {MODELS} models and {STREAMS} streams"));
    comparison.side("thalweg validate", best);
    comparison.limit("seconds", best.wall.as_secs_f64(), 0.3);
    Ok(())
}

/// The best of as many runs as the options say.
pub fn best_of(options: &Options, mut run: impl FnMut() -> anyhow::Result<Cost>) -> anyhow::Result<Cost> {
    let mut best = run()?;
    for _ in 1..options.runs {
        best = best.best(run()?);
    }
    Ok(best)
}

/// Streams of one small file each; a view, a join, an aggregate and a table on top of it for each stream, with tests.
fn write(project: &Path) -> anyhow::Result<()> {
    for folder in ["incoming", "sources", "models/staging", "models/marts"] {
        fs::create_dir_all(project.join(folder))?;
    }
    fs::write(project.join("thalweg.yml"), "name: many\n")?;
    let mut source =
        "type: files\npath: incoming\ndefaults: { ready: renamed, primary_key: id }\nstreams:\n".to_owned();
    let mut described = "models:\n".to_owned();
    for stream in 0..STREAMS {
        writeln!(source, "  stream_{stream:02}: {{ files: stream_{stream:02}_*.csv }}")?;
        let mut file = "id,reference,amount,name,changed_at\n".to_owned();
        for row in 0..ROWS {
            let (reference, amount) = (row * 7 % ROWS, row * 37 % 1_000);
            writeln!(file, "{row},{reference},{amount}.25,name {row},2026-01-01 00:{:02}:00", row % 60)?;
        }
        fs::write(project.join(format!("incoming/stream_{stream:02}_1.csv")), file)?;
    }
    fs::write(project.join("sources/files.yml"), source)?;
    for model in 0..MODELS {
        let stream = model % STREAMS;
        let next = (stream + 1) % STREAMS;
        let (folder, name, sql) = match model / STREAMS {
            0 => (
                "staging",
                format!("view_{stream:02}"),
                format!(
                    "{{{{ config(materialized='view') }}}}\nselect id, reference, amount, name from store.stream_{stream:02}\n"
                ),
            ),
            1 => (
                "marts",
                format!("joined_{stream:02}"),
                format!(
                    "select a.id, a.amount, b.name as other_name\nfrom staging.view_{stream:02} as a\n\
                     left join staging.view_{next:02} as b on b.id = a.reference\n"
                ),
            ),
            2 => (
                "marts",
                format!("summed_{stream:02}"),
                format!(
                    "select other_name, count(*) as lines, sum(amount) as amount\nfrom marts.joined_{stream:02}\n\
                     group by other_name\n"
                ),
            ),
            _ => (
                "marts",
                format!("large_{stream:02}"),
                format!(
                    "with s as (select * from marts.summed_{stream:02})\nselect other_name, amount from s where amount > 100\n"
                ),
            ),
        };
        fs::write(project.join(format!("models/{folder}/{name}.sql")), sql)?;
        if folder == "marts" {
            let column = if name.starts_with("joined") { "id" } else { "other_name" };
            writeln!(
                described,
                "  - name: {name}\n    columns:\n      - {{ name: {column}, data_tests: [not_null, unique] }}"
            )?;
        }
    }
    fs::write(project.join("models/marts/marts.yml"), described)?;
    Ok(())
}
