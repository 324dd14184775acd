//! What many cases were like.

use std::collections::{BTreeMap, BTreeSet};

use crate::check::{Refreshed, Verdict};

/// What many cases were like.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Cases.
    pub cases: usize,
    /// Queries the engine does not take, by error.
    pub invalid: BTreeMap<String, usize>,
    /// Queries that are not refreshed incrementally, by reason.
    pub obstacles: BTreeMap<String, usize>,
    /// Cases with at least one refresh by keys.
    pub incremental: usize,
    /// Refreshes with nothing to do.
    pub nothing: usize,
    /// Refreshes by keys.
    pub keys: usize,
    /// Keys affected, keys there are, keys that differ.
    pub affected: (usize, usize, usize),
    /// Values of stored rows that were known without reading them.
    pub steady: usize,
    /// Models with stages.
    pub staged: usize,
    /// Refreshes of stages: by keys or with nothing to do, in full.
    pub stages: (usize, usize),
    /// Refreshes of stages by adding and subtracting.
    pub added: usize,
    /// Refreshes in full, by reason.
    pub full: BTreeMap<String, usize>,
    /// Generated statements that failed, by error, with one statement.
    pub failed: BTreeMap<String, (usize, String)>,
    /// Cases at which the engine stopped for good by an error inside it, so that there had to be another.
    pub stopped: usize,
    /// By construct of the query: cases refreshed by keys, cases refreshed in full.
    pub constructs: BTreeMap<&'static str, (usize, usize)>,
}

impl Tally {
    /// Counts a case.
    pub fn add(&mut self, verdict: &Verdict, constructs: &BTreeSet<&'static str>) {
        self.cases += 1;
        match verdict {
            Verdict::Invalid(error) => {
                let line = error.lines().next().unwrap_or_default().to_owned();
                *self.invalid.entry(line).or_default() += 1;
            }
            Verdict::Obstacle(reason) => {
                *self.obstacles.entry(reason.clone()).or_default() += 1;
                constructs.iter().for_each(|construct| self.constructs.entry(construct).or_default().1 += 1);
            }
            Verdict::Wrong(_) => {}
            Verdict::Right { refreshes, stages, .. } => {
                self.staged += usize::from(!stages.is_empty());
                for stage in stages {
                    match stage {
                        Refreshed::Nothing | Refreshed::Keys { .. } => self.stages.0 += 1,
                        Refreshed::Added(_) => {
                            self.stages.0 += 1;
                            self.added += 1;
                        }
                        Refreshed::Full(_) => self.stages.1 += 1,
                        Refreshed::Failed(error, statement) => self.fail(error, statement),
                    }
                }
                let mut by_keys = false;
                for refresh in refreshes {
                    match refresh {
                        Refreshed::Nothing | Refreshed::Added(_) => self.nothing += 1,
                        Refreshed::Keys { affected, all, different, steady } => {
                            self.steady += steady;
                            self.keys += 1;
                            by_keys = true;
                            self.affected.0 += affected;
                            self.affected.1 += all;
                            self.affected.2 += different;
                        }
                        Refreshed::Full(reason) => *self.full.entry(reason.clone()).or_default() += 1,
                        Refreshed::Failed(error, statement) => self.fail(error, statement),
                    }
                }
                self.incremental += usize::from(by_keys);
                for construct in constructs {
                    let entry = self.constructs.entry(construct).or_default();
                    if by_keys { entry.0 += 1 } else { entry.1 += 1 }
                }
            }
        }
    }

    fn fail(&mut self, error: &str, statement: &str) {
        let line = error.lines().next().unwrap_or_default().to_owned();
        self.failed.entry(line).or_insert_with(|| (0, statement.to_owned())).0 += 1;
    }

    /// Refreshes, those of stages among them, whose outcome was compared with the full answer.
    pub fn refreshes(&self) -> usize {
        self.nothing + self.keys + self.stages.0
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sum = |map: &BTreeMap<String, usize>| map.values().sum::<usize>();
        let failed: usize = self.failed.values().map(|(count, _)| count).sum();
        writeln!(
            f,
            "{} queries: {} refreshed by keys, {} with an obstacle, {} the engine does not take",
            self.cases,
            self.incremental,
            sum(&self.obstacles),
            sum(&self.invalid)
        )?;
        writeln!(
            f,
            "{} refreshes by keys ({} keys affected, {} differ, of {}), {} with nothing to do, {} in full, {failed} failed",
            self.keys,
            self.affected.0,
            self.affected.2,
            self.affected.1,
            self.nothing,
            sum(&self.full)
        )?;
        writeln!(
            f,
            "{} queries with stages: {} refreshes of stages by keys, {} of them by adding and subtracting, {} in full",
            self.staged, self.stages.0, self.added, self.stages.1
        )?;
        writeln!(f, "{} values of stored rows known without reading them", self.steady)?;
        if self.stopped > 0 {
            writeln!(f, "{} cases at which the engine stopped by an error inside it", self.stopped)?;
        }
        for (title, map) in
            [("obstacles", &self.obstacles), ("in full", &self.full), ("not taken by the engine", &self.invalid)]
        {
            let mut list: Vec<_> = map.iter().collect();
            list.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
            if !list.is_empty() {
                writeln!(f, "{title}:")?;
            }
            for (reason, count) in list.iter().take(25) {
                writeln!(f, "  {count:6} {reason}")?;
            }
        }
        for (error, (count, statement)) in &self.failed {
            writeln!(f, "failed: {count} {error}\n    {statement}")?;
        }
        writeln!(f, "constructs (by keys, in full):")?;
        for (construct, (keys, full)) in &self.constructs {
            writeln!(f, "  {keys:6} {full:6} {construct}")?;
        }
        Ok(())
    }
}
