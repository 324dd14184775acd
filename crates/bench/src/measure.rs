//! Wall time and peak memory of a whole process.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// What a process cost.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// From its start to its end.
    pub wall: Duration,
    /// The most memory it held at a time, in bytes. Zero where the system does not tell (it is read from `/proc`).
    pub peak: u64,
}

impl Cost {
    /// The cheaper of two in each respect.
    pub fn best(self, other: Self) -> Self {
        Self { wall: self.wall.min(other.wall), peak: self.peak.min(other.peak) }
    }

    /// The time in seconds.
    pub fn seconds(self) -> f64 {
        self.wall.as_secs_f64()
    }

    /// How many times as long as another it took.
    pub fn over(self, other: Self) -> f64 {
        self.seconds() / other.seconds()
    }
}

/// Costs of the same work, several times.
#[derive(Debug, Default)]
pub struct Series(Vec<Cost>);

impl Series {
    /// One more.
    pub fn add(&mut self, cost: Cost) {
        self.0.push(cost);
    }

    /// The one in the middle by time.
    pub fn median(mut self) -> anyhow::Result<Cost> {
        self.0.sort_by_key(|cost| cost.wall);
        self.0.get(self.0.len() / 2).copied().context("nothing was measured")
    }
}

/// Runs a command to its end. What it says is shown only when it fails.
pub fn measure(command: &mut Command, talk: &Path) -> anyhow::Result<Cost> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(talk)?);
    let start = Instant::now();
    let mut child = command.spawn().with_context(|| format!("{command:?} could not be started"))?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    // The system keeps the high-water mark; only growth in the last millisecond can be missed.
    let code = loop {
        if let Some(code) = child.try_wait()? {
            break code;
        }
        peak = fs::read_to_string(&status).ok().and_then(|text| high_water(&text)).unwrap_or(peak);
        thread::sleep(Duration::from_millis(1));
    };
    let wall = start.elapsed();
    if !code.success() {
        bail!("{command:?} ended with {code}:\n{}", fs::read_to_string(talk)?);
    }
    Ok(Cost { wall, peak })
}

fn high_water(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_high_water_mark_is_read() {
        assert_eq!(high_water("Name:\tx\nVmPeak:\t  9 kB\nVmHWM:\t   1234 kB\nVmRSS:\t 1 kB\n"), Some(1234 * 1024));
        assert_eq!(high_water("Name:\tx\n"), None);
    }
}
