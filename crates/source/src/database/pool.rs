//! The connections of a snapshot, lent to whoever reads.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::Connection;
use crate::{Context, SourceError, SourceErrorKind};

/// Connections that all see one snapshot.
pub struct Pool {
    state: Mutex<State>,
    returned: Condvar,
}

struct State {
    free: Vec<Box<dyn Connection>>,
    /// Connections that work, lent ones included.
    alive: usize,
}

impl Pool {
    /// A pool of these.
    pub fn new(connections: Vec<Box<dyn Connection>>) -> Self {
        let alive = connections.len();
        Self { state: Mutex::new(State { free: connections, alive }), returned: Condvar::new() }
    }

    /// How many there are.
    pub fn size(&self) -> usize {
        self.lock().alive
    }

    /// Waits for a connection.
    pub fn lend(&self, context: &Context) -> Result<Lent<'_>, SourceError> {
        let mut state = self.lock();
        loop {
            if let Some(connection) = state.free.pop() {
                return Ok(Lent { pool: self, connection: Some(connection), failed: false });
            }
            if state.alive == 0 {
                let message = "all connections of the snapshot were lost";
                return Err(SourceError::new(SourceErrorKind::Unavailable, message));
            }
            context.check_cancelled()?;
            let waited = self.returned.wait_timeout(state, Duration::from_millis(100));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// A connection if one is free.
    pub fn try_lend(&self) -> Option<Lent<'_>> {
        let connection = self.lock().free.pop()?;
        Some(Lent { pool: self, connection: Some(connection), failed: false })
    }

    /// Does something for each of several tasks, as many at the same time as there are free connections. The results come in the order of
    /// the tasks; one that fails stops the others before their next.
    pub fn each<T: Sync, R: Send>(
        &self,
        context: &Context,
        tasks: &[T],
        act: impl Fn(&mut Lent<'_>, &T) -> Result<R, SourceError> + Sync,
    ) -> Result<Vec<R>, SourceError> {
        let next = AtomicUsize::new(0);
        let done: Mutex<Vec<(usize, R)>> = Mutex::new(Vec::new());
        let failed: Mutex<Option<SourceError>> = Mutex::new(None);
        let work = |mut connection: Lent<'_>| {
            loop {
                let place = next.fetch_add(1, Ordering::Relaxed);
                let Some(task) = tasks.get(place) else { return };
                match act(&mut connection, task) {
                    Ok(result) => done.lock().unwrap_or_else(PoisonError::into_inner).push((place, result)),
                    Err(error) => {
                        next.store(tasks.len(), Ordering::Relaxed);
                        failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                        return;
                    }
                }
            }
        };
        if !tasks.is_empty() {
            let first = self.lend(context)?;
            std::thread::scope(|scope| {
                for _ in 1..self.size().min(tasks.len()) {
                    // Others may still be read; a connection that they give back later is taken then.
                    scope.spawn(|| {
                        while next.load(Ordering::Relaxed) < tasks.len() {
                            match self.try_lend() {
                                Some(connection) => return work(connection),
                                None => std::thread::sleep(Duration::from_millis(20)),
                            }
                        }
                    });
                }
                work(first);
            });
        }
        if let Some(error) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(error);
        }
        let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.sort_by_key(|(place, _)| *place);
        Ok(done.into_iter().map(|(_, result)| result).collect())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // Whoever panicked with the lock had moved a connection, nothing else.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that goes back by itself.
pub struct Lent<'p> {
    pool: &'p Pool,
    connection: Option<Box<dyn Connection>>,
    failed: bool,
}

impl Lent<'_> {
    /// Passes on a result; after an error the connection is not lent again.
    pub fn watch<T>(&mut self, result: Result<T, SourceError>) -> Result<T, SourceError> {
        self.failed |= result.is_err();
        result
    }
}

impl Deref for Lent<'_> {
    type Target = dyn Connection;

    fn deref(&self) -> &Self::Target {
        self.connection.as_deref().expect("a lent connection is there until it goes back")
    }
}

impl DerefMut for Lent<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        self.connection.as_deref_mut().expect("a lent connection is there until it goes back")
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut state = self.pool.lock();
        match self.connection.take() {
            Some(connection) if !self.failed => state.free.push(connection),
            _ => state.alive = state.alive.saturating_sub(1),
        }
        drop(state);
        self.pool.returned.notify_one();
    }
}
