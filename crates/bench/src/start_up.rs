//! How long the program takes to say something.

use crate::Options;
use crate::build_of_many::best_of;
use crate::comparison::Comparison;
use crate::measure::measure;
use crate::program::{command, program};

/// Measures `--help`.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let program = program(options)?;
    let work = tempfile::tempdir()?;
    let options = Options { runs: options.runs * 5, ..options.clone() };
    let best =
        best_of(&options, || measure(&mut command(&program, work.path(), &["--help"]), &work.path().join("talk")))?;
    let comparison = Comparison::new("Start-up");
    comparison.side("thalweg --help", best);
    comparison.limit("seconds", best.wall.as_secs_f64(), 0.02);
    Ok(())
}
