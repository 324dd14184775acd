//! Going on after the connection to the warehouse was lost.
//!
//! The lock is taken again where it went with the server, the lease is renewed under a higher epoch, so that the lost connection can no longer
//! commit, and the ledger says whether it did. Nothing is repeated before that is known.

use std::time::Instant;

use thalweg_warehouse::ledger::Microseconds;
use thalweg_warehouse::{Access, Connection, Wait, WarehouseError, WarehouseErrorKind};

use super::publish::PAUSE;
use super::{Run, holder, tell_waiting};
use crate::error::RunError;
use crate::event::Event;
use crate::known;
use crate::outcome::{RunOutcome, RunState};
use crate::workbench::Watch;

/// A connection, and what stops its statements when the run is asked to stop.
pub(super) struct Link {
    _watch: Watch,
    pub(super) connection: Box<dyn Connection>,
}

/// Whether something may be otherwise in a moment: the server starts, or has not noticed yet that the lost connection is gone.
fn may_pass(error: &RunError) -> bool {
    use WarehouseErrorKind::{Busy, CommitUnknown, Conflict, Locked, Lost};
    matches!(error, RunError::Warehouse(error) if matches!(error.kind, Lost | Locked | Busy | Conflict | CommitUnknown))
}

impl Run<'_> {
    /// Opens the warehouse for the publication.
    pub(super) fn first_link(&mut self) -> Result<Link, RunError> {
        self.lock.keep()?;
        self.link()
    }

    /// Opens the warehouse, or takes the connection that is open.
    fn link(&mut self) -> Result<Link, RunError> {
        let observer = self.observer;
        let wait = Wait { timeout: self.options.lock_timeout, tell: &|message: &str| tell_waiting(observer, message) };
        let connection = match self.kept.take() {
            Some(connection) => connection,
            None => self.warehouse.connect(Access::Write, &wait)?,
        };
        Ok(self.watched(connection))
    }

    fn watched(&self, connection: Box<dyn Connection>) -> Link {
        Link { _watch: self.bench.interrupt_when_cancelled(connection.interrupter()), connection }
    }

    /// Opens another connection in place of one that was lost with this error; how the run stands by the ledger, and what it did, where it
    /// turns out to be committed. Tries for as long as the run may wait for its warehouse.
    pub(super) fn reconnect(
        &mut self,
        lost: Option<Link>,
        error: &RunError,
    ) -> Result<(Link, RunState, Option<RunOutcome>), RunError> {
        drop(lost);
        let unknown = matches!(error, RunError::Warehouse(error) if error.kind == WarehouseErrorKind::CommitUnknown);
        self.observer.event(&Event::Note {
            about: self.warehouse.display(),
            warning: true,
            message: format!("{error}; connecting again"),
        });
        let began = Instant::now();
        let mut pause = PAUSE;
        let (mut link, state) = loop {
            let trouble = match self.try_again() {
                Ok(found) => break found,
                Err(trouble) => trouble,
            };
            let left = self.options.lock_timeout.saturating_sub(began.elapsed());
            let stopped = self.bench.is_cancelled();
            if !may_pass(&trouble) || left.is_zero() || stopped {
                return Err(match trouble {
                    _ if unknown => RunError::Warehouse(WarehouseError::new(
                        WarehouseErrorKind::CommitUnknown,
                        format!("{error}; and the ledger cannot be asked: {trouble}"),
                    )),
                    _ if stopped => RunError::Cancelled,
                    RunError::Warehouse(trouble) if trouble.kind == WarehouseErrorKind::Lost => trouble.into(),
                    trouble => trouble,
                });
            }
            std::thread::sleep(pause.min(left));
            pause = (pause * 2).min(PAUSE * 4);
        };
        let committed = self.committing.take().filter(|_| state != RunState::Running);
        let told = match (&committed, unknown) {
            (Some(_), _) => {
                format!("the connection was lost at the commit; by the ledger, run {} is committed", self.number)
            }
            (None, true) => "the connection was lost at the commit; by the ledger, nothing was committed".to_owned(),
            (None, false) => "the connection was lost; the run goes on with another one".to_owned(),
        };
        self.warn(&self.warehouse.display(), &told);
        let outcome = match committed {
            Some(mut committed) => {
                committed.outcome.notes.append(&mut self.notes);
                Some(self.committed(link.connection.as_mut(), committed)?)
            }
            None => None,
        };
        Ok((link, state, outcome))
    }

    /// Another connection, and how the run stands by the ledger. A transaction that was under way has ended then.
    fn try_again(&mut self) -> Result<(Link, RunState), RunError> {
        self.lock.keep()?;
        let mut link = self.link()?;
        let connection = link.connection.as_mut();
        let ledger = self.bench.ledger();
        connection.begin()?;
        let epoch = ledger.renew_lease(connection, self.epoch, &holder(self.options), Microseconds(self.started_at))?;
        let last = known::runs(&ledger, connection, 1)?;
        let state = last.iter().find(|run| run.run == self.number).map_or(RunState::Running, |run| run.state);
        if state == RunState::Running {
            let verb = self.options.command.verb();
            known::begin_run(&ledger, connection, (self.number, true), epoch, verb, self.started_at)?;
        }
        connection.commit()?;
        self.epoch = epoch;
        Ok((link, state))
    }
}
