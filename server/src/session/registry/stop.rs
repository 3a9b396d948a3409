//! How the sessions of a process end: told to, waited for, cut.

use std::time::Duration;

use super::{Registry, place::Slot};
use crate::session::{handle::Handle, inbox::Message};

impl Registry {
    /// True when no further turns are taken.
    pub fn is_draining(&self) -> bool {
        self.shared.draining.is_cancelled()
    }

    /// Waits until no further turns are taken.
    ///
    /// # Cancel safety
    ///
    /// Can be dropped and called again.
    pub async fn draining(&self) {
        self.shared.draining.cancelled().await;
    }

    /// Takes no further turns; every reader is told that it has `time_left`.
    pub async fn drain(&self, time_left: Duration) {
        self.shared.draining.cancel();
        for handle in self.handles() {
            // A session that has ended needs no telling.
            let _ = handle.inbox.send(Message::Shutdown { time_left }).await;
        }
    }

    /// Number of sessions in which a turn runs.
    pub fn turns(&self) -> usize {
        self.shared.turns.len()
    }

    /// Waits until no turn runs; to be called when no further turns are taken.
    ///
    /// # Cancel safety
    ///
    /// Can be dropped and called again.
    pub async fn turns_ended(&self) {
        self.shared.turns.close();
        self.shared.turns.wait().await;
    }

    /// Cuts what still runs.
    pub async fn kill(&self) {
        for handle in self.handles() {
            // A session that has ended needs no telling.
            let _ = handle.inbox.send(Message::Kill).await;
        }
    }

    /// Waits until the store has all that the sessions have said.
    pub async fn settle(&self) {
        for handle in self.handles() {
            // A session that has ended left nothing; one whose store failed has said so.
            let _ = handle.settled().await;
        }
    }

    fn handles(&self) -> Vec<Handle> {
        let sessions = self.shared.lock();
        let live = sessions.values().filter_map(|slot| match slot {
            Slot::Live(handle) => Some(handle.clone()),
            Slot::Loading(_) => None,
        });
        live.collect()
    }
}
