//! What is done once a run is published.

use thalweg_source::Source;
use thalweg_source::landing::FailedRun;
use thalweg_sql::{Node, NodeKind};
use thalweg_warehouse::Connection;

use super::Run;
use crate::error::RunError;
use crate::event::Event;
use crate::extract::stream_name;
use crate::known::Known;
use crate::options::Command;
use crate::outcome::{FailedReport, OutcomeNote, RunOutcome, RunState, Strategy};
use crate::{known, report};

/// How many runs are looked back for failed ones: a run that succeeds sweeps, so that there is rarely more than the one before.
const RUNS_SWEPT: usize = 50;

impl Run<'_> {
    /// Tells the sources what was published, by this run and by earlier ones that died before they could, then answers reports.
    pub(super) fn after(
        &mut self,
        connection: &mut dyn Connection,
        sources: &[Box<dyn Source>],
        outcome: &mut RunOutcome,
    ) -> Result<(), RunError> {
        let project = self.bench.project();
        let ledger = self.bench.ledger();
        let waiting =
            if self.known.unconfirmed || self.landed { known::unconfirmed(&ledger, connection)? } else { Vec::new() };
        let mut confirmed = Vec::new();
        for (row, entry) in &waiting {
            let found = project.sources.iter().enumerate().find_map(|(index, source)| {
                let stream = source.streams.iter().find(|stream| stream.name == entry.stream)?;
                (source.name == entry.source).then_some((index, stream))
            });
            if let Some((index, stream)) = found {
                fail::fail_point!("run::before-confirm");
                match sources[index].confirm(stream, &entry.confirmations) {
                    Ok(told) => {
                        let about = stream_name(stream);
                        outcome.notes.extend(told.notes.iter().map(|note| OutcomeNote::of_source(&about, note)));
                        if told.again {
                            continue;
                        }
                    }
                    Err(error) => {
                        outcome.notes.push(OutcomeNote {
                            about: stream_name(stream),
                            warning: true,
                            message: format!(
                                "published, but the source could not be told: {error}; the next run tries again"
                            ),
                        });
                        continue;
                    }
                }
                fail::fail_point!("run::after-confirm");
            }
            confirmed.push(row);
        }
        if !confirmed.is_empty() {
            connection.begin()?;
            for row in &confirmed {
                if let Err(error) = ledger.mark_confirmed(connection, row) {
                    connection.rollback()?;
                    return Err(error.into());
                }
            }
            connection.commit()?;
            connection.settle(false)?;
        }
        fail::fail_point!("run::confirmed");
        // Who lands something sweeps.
        if outcome.state != RunState::Failed && self.loads() {
            self.sweep(connection)?;
        }
        if outcome.state == RunState::Failed || self.options.command != Command::Build {
            return Ok(());
        }
        let changed = outcome.state == RunState::Published;
        let dialect = thalweg_sql::dialect_of(&project.target.connection);
        // The run that the answers show. After one that found nothing to do it is an older one, which may have died before its reports.
        let shown = if changed { self.number } else { self.known.published_run.unwrap_or(self.number) };
        for (index, definition) in project.reports.iter().enumerate() {
            let stands = !changed && report::written(self.bench.folder(), definition, shown);
            if !self.choice.reports[index] || stands {
                continue;
            }
            let Some(sql) = self.bench.compiled().report_sql(index) else { continue };
            if !self.bench.compiled().report_inputs[index]
                .iter()
                .all(|&node| exists(&self.known, outcome, &self.bench.compiled().nodes[node]))
            {
                continue;
            }
            match report::answer(connection, dialect, self.bench.folder(), definition, sql, shown) {
                Ok(answer) => {
                    self.observer.event(&Event::ReportFinished(answer.clone()));
                    outcome.reports.push(answer);
                }
                Err(_) if self.bench.is_cancelled() => return Err(RunError::CancelledAfter(self.number)),
                // The data is published, and other reports can be answered.
                Err(error) => outcome.failed_reports.push(FailedReport {
                    report: definition.name.clone(),
                    message: match error {
                        RunError::Table { error, .. } => error.to_string(),
                        other => other.to_string(),
                    },
                }),
            }
        }
        fail::fail_point!("run::reported");
        Ok(())
    }
}

impl Run<'_> {
    /// Removes what the failed runs before this one landed: until now it could be looked at.
    fn sweep(&mut self, connection: &mut dyn Connection) -> Result<(), RunError> {
        let runs = known::runs(&self.bench.ledger(), connection, RUNS_SWEPT)?;
        let failed: Vec<FailedRun> = runs
            .iter()
            .filter(|run| run.state == RunState::Failed && run.run < self.number)
            .filter_map(|run| {
                let began = jiff::Timestamp::from_microsecond(run.started_at).ok()?;
                Some(FailedRun { run: run.run, began })
            })
            .collect();
        match self.bench.landing().sweep(&failed) {
            Ok(removed) => {
                for folder in removed {
                    tracing::info!(folder = %folder.display(), "removed what a failed run landed");
                }
            }
            Err(error) => self.warn("landing", &format!("what failed runs left in it stays for now: {error}")),
        }
        Ok(())
    }
}

/// Whether a table is in the warehouse after the run. Tables the project does not build are taken to be.
fn exists(known: &Known, outcome: &RunOutcome, node: &Node) -> bool {
    let name = node.id.to_string();
    matches!(node.kind, NodeKind::External(_))
        || known.tables.contains_key(&node.id)
        || outcome.steps.iter().any(|step| step.table == name && step.strategy != Strategy::Kept)
}
