//! A session's place in the registry: what its name stands for, and who may say so.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicU64, Ordering},
};

use tokio::sync::watch;

use super::Shared;
use crate::{session::handle::Handle, store::Key};

/// What is known of a session's name.
#[derive(Debug)]
pub(super) enum Slot {
    /// Somebody looks whether the store has it; the channel closes when that is known.
    Loading(watch::Receiver<()>),
    /// It runs here.
    Live(Handle),
}

/// The right to say what a name stands for; dropped, the name is free.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) shared: Arc<Shared>,
    pub(super) key: Key,
    pub(super) is_settled: bool,
    /// Closed by the drop, which wakes those who wait.
    pub(super) _waiters: watch::Sender<()>,
}

/// A session's entry in the registry.
#[derive(Clone, Debug)]
pub(in crate::session) struct Place {
    pub(super) key: Key,
    pub(super) shared: Weak<Shared>,
    /// Milliseconds since the registry began at which the session became quiet, plus one; zero
    /// while it is not.
    pub(super) quiet_since: Arc<AtomicU64>,
}

impl Place {
    pub(in crate::session) fn key(&self) -> &Key {
        &self.key
    }

    /// Gives the name free.
    pub(in crate::session) fn leave(&self) {
        let Some(shared) = self.shared.upgrade() else {
            return;
        };
        let mut sessions = shared.lock();
        if let Some(Slot::Live(handle)) = sessions.get(&self.key)
            && Arc::ptr_eq(&handle.place.quiet_since, &self.quiet_since)
        {
            sessions.remove(&self.key);
        }
    }

    /// Notes whether the session may be forgotten to make room.
    pub(in crate::session) fn note_quiet(&self, quiet: bool) {
        let since = match self.shared.upgrade() {
            Some(shared) if quiet => {
                u64::try_from(shared.started.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
            }
            Some(_) | None => 0,
        };
        self.quiet_since.store(since, Ordering::Relaxed);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.is_settled {
            self.shared.lock().remove(&self.key);
        }
    }
}
