//! The thread that moves what was written from the write-ahead log to the file.
//!
//! Beside the writer's, so that no commit waits for it. It bounds what a power loss costs with
//! [`Durability::Normal`](super::Durability::Normal), for a move begins and ends with a sync.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use rusqlite::Connection;
use tracing::warn;

/// Time from a write to the move; less would move the same pages more often.
///
/// A move that has more to sync holds writes up for longer: with 2 s in place of half a one the p99 of
/// the first piece's delay grew from 10 to 24 ms (`taiwa-bench cadence`).
const DELAY: Duration = Duration::from_millis(500);

/// Moves what was written, half a second later; ends with its drop.
#[derive(Debug)]
pub(super) struct Checkpoints {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Something was written that was not moved.
    is_due: bool,
    has_ended: bool,
}

impl Checkpoints {
    pub(super) fn start(connection: Connection) -> std::io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let theirs = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("taiwa-checkpoint".to_owned())
            .spawn(move || theirs.run(&connection))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Says that something was written.
    pub(super) fn note_write(&self) {
        let mut state = self.shared.lock();
        if !state.is_due {
            state.is_due = true;
            drop(state);
            self.shared.changed.notify_one();
        }
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.shared.lock().has_ended = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // Its panic has been printed; there is nothing to undo.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self, connection: &Connection) {
        loop {
            let idle = |state: &mut State| !state.is_due && !state.has_ended;
            let state = self.changed.wait_while(self.lock(), idle);
            let state = state.unwrap_or_else(PoisonError::into_inner);
            let waiting = |state: &mut State| !state.has_ended;
            let waited = self.changed.wait_timeout_while(state, DELAY, waiting);
            let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
            if state.has_ended {
                return;
            }
            state.is_due = false;
            drop(state);
            match checkpoint(connection, "PASSIVE") {
                Ok(true) => {}
                // What a reader still reads is moved later.
                Ok(false) => self.lock().is_due = true,
                // The next write tries again.
                Err(error) => warn!(%error, "the store's write-ahead log was not moved"),
            }
        }
    }

    // Nothing that can panic runs under the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Moves what was written to the file; tells whether all of it was moved.
pub(super) fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<bool> {
    let sql = format!("PRAGMA wal_checkpoint({mode})");
    connection.query_row(&sql, [], |row| {
        let (written, moved): (i64, i64) = (row.get(1)?, row.get(2)?);
        Ok(written == moved)
    })
}
