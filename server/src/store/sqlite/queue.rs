//! What waits for the writer's thread.
//!
//! The queue itself has no bound: a session gives no batch beyond its own bound of bytes that it
//! has not been told of, and each caller of a sweep waits for the piece that it asked for.

use std::{
    mem,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::oneshot;

use crate::store::{StoreError, Sweep, Swept, batch::Batch};

/// Something for the writer to do.
#[derive(Debug)]
pub(super) enum Job {
    /// Write this.
    Write(Batch),
    /// Sweep for a short while.
    Sweep(Sweep, oneshot::Sender<Result<Piece, StoreError>>),
    /// End, after all that was asked before; the sender is dropped when that is done.
    Close(oneshot::Sender<()>),
}

/// A part of a sweep.
#[derive(Debug, Default)]
pub(super) struct Piece {
    /// What it deleted.
    pub(super) swept: Swept,
    /// True when there is more to delete.
    pub(super) has_more: bool,
}

/// Jobs in the order in which they were given.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct State {
    jobs: Vec<Job>,
    has_ended: bool,
}

impl Queue {
    /// Adds a job; drops it when the writer has ended, which tells whoever waits for it.
    pub(super) fn push(&self, job: Job) {
        let mut state = self.lock();
        if state.has_ended {
            // Dropped without the lock: whoever is told may push.
            drop(state);
            drop(job);
            return;
        }
        state.jobs.push(job);
        drop(state);
        self.filled.notify_one();
    }

    /// Takes all that waits; nothing when nothing comes for so long.
    pub(super) fn take(&self, patience: Option<Duration>) -> Vec<Job> {
        let mut state = self.lock();
        if state.jobs.is_empty() {
            state = match patience {
                Some(patience) => {
                    let waited = self.filled.wait_timeout(state, patience);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => {
                    let waited = self.filled.wait(state);
                    waited.unwrap_or_else(PoisonError::into_inner)
                }
            };
        }
        mem::take(&mut state.jobs)
    }

    /// Takes what came meanwhile; when nothing did, no more comes.
    pub(super) fn end(&self) -> Option<Vec<Job>> {
        let mut state = self.lock();
        state.has_ended = state.jobs.is_empty();
        (!state.has_ended).then(|| mem::take(&mut state.jobs))
    }

    // Nothing that can panic runs under the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
