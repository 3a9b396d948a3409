//! What waits for the writer's thread.
//!
//! The queue itself has no bound: a session gives no batch beyond its own bound of bytes that it
//! has not been told of, and each caller of a sweep waits for the piece that it asked for.

use std::{
    mem,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
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

    /// Waits for jobs, and takes all that there are.
    pub(super) fn take(&self) -> Vec<Job> {
        let waited = self
            .filled
            .wait_while(self.lock(), |state| state.jobs.is_empty());
        mem::take(&mut waited.unwrap_or_else(PoisonError::into_inner).jobs)
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
