//! The parser of access logs alone: lines a second on one core, without and with device and country.

use std::fs;
use std::time::Instant;

use thalweg_enrich::{Countries, Devices, parse_access_line};

use crate::access_log::generate;

/// Measures it.
pub fn run(lines: usize) -> anyhow::Result<()> {
    let work = tempfile::tempdir()?;
    let written = generate(work.path(), lines)?;
    let log = fs::read(&written.files[0].path)?;
    let mut countries = Countries::open(&work.path().join("countries.mmdb"))?;
    println!("\nParser of access logs, {lines} lines on one core");

    let start = Instant::now();
    let good = log.split(|byte| *byte == b'\n').filter(|line| parse_access_line(line).is_ok()).count();
    let seconds = start.elapsed().as_secs_f64();
    println!("  lines a second           {:>10.0}   at least 500000: {}", lines as f64 / seconds, kept(lines, seconds));
    anyhow::ensure!(
        good == written.files[0].inserted,
        "{good} lines were read, {} are good",
        written.files[0].inserted
    );

    let mut devices = Devices::new();
    let start = Instant::now();
    let mut known = 0;
    for line in log.split(|byte| *byte == b'\n') {
        let Ok(parsed) = parse_access_line(line) else { continue };
        let device = parsed.user_agent.map(|agent| devices.agent(agent).device);
        known += usize::from(device.is_some() && countries.country(parsed.ip).is_some());
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("  with device and country  {:>10.0}   ({known} lines with both)", lines as f64 / seconds);
    Ok(())
}

fn kept(lines: usize, seconds: f64) -> &'static str {
    if lines as f64 / seconds >= 500_000.0 { "kept" } else { "MISSED" }
}
