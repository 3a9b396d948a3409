//! How far what a session has said is in the store.

use taiwa_core::Failure;
use tokio::sync::watch;

/// The batches of a session that are in the store, and whether one failed.
#[derive(Debug)]
pub(super) struct Progress {
    state: watch::Sender<State>,
}

#[derive(Debug, Default)]
struct State {
    committed: u64,
    failure: Option<Failure>,
}

/// A batch that is on its way to the store.
#[derive(Clone, Debug)]
pub struct Commit {
    state: watch::Receiver<State>,
    batch: u64,
}

impl Progress {
    pub(super) fn new() -> Self {
        let (state, _) = watch::channel(State::default());
        Self { state }
    }

    /// Names a batch, to wait for it.
    pub(super) fn of(&self, batch: u64) -> Commit {
        Commit {
            state: self.state.subscribe(),
            batch,
        }
    }

    /// The batches up to this one are in the store.
    pub(super) fn advance(&self, batch: u64) {
        self.state.send_modify(|state| state.committed = batch);
    }

    /// A batch failed, and so will those after it.
    pub(super) fn fail(&self, failure: Failure) {
        self.state.send_modify(|state| {
            state.failure.get_or_insert(failure);
        });
    }

    /// Waits for a batch to fail; for ever when none does.
    ///
    /// # Cancel safety
    ///
    /// Can be dropped and called again.
    pub(super) async fn failed(&self) -> Failure {
        let mut state = self.state.subscribe();
        let failed = state.wait_for(|state| state.failure.is_some()).await;
        match failed.ok().and_then(|state| state.failure.clone()) {
            Some(failure) => failure,
            // The sender is borrowed for as long as this waits.
            None => std::future::pending().await,
        }
    }
}

impl Commit {
    /// Waits until the batch is in the store.
    ///
    /// # Errors
    ///
    /// Why it is not.
    pub async fn done(mut self) -> Result<(), Failure> {
        let batch = self.batch;
        let reached = self
            .state
            .wait_for(|state| state.committed >= batch || state.failure.is_some())
            .await;
        match reached {
            Ok(state) if state.committed >= batch => Ok(()),
            Ok(state) => Err(state.failure.clone().unwrap_or_else(Failure::internal)),
            Err(_) => Err(Failure::internal()),
        }
    }
}

#[cfg(test)]
impl Commit {
    /// A batch on its way, and what tells how it ends.
    pub(crate) fn pair() -> (Self, impl FnOnce(Result<(), Failure>)) {
        let progress = Progress::new();
        let commit = progress.of(1);
        let end = move |kept: Result<(), Failure>| match kept {
            Ok(()) => progress.advance(1),
            Err(failure) => progress.fail(failure),
        };
        (commit, end)
    }
}

#[cfg(test)]
mod tests {
    use taiwa_core::Reason;

    use super::*;

    #[tokio::test]
    async fn a_batch_is_waited_for_until_it_or_a_later_one_is_there() {
        let progress = Progress::new();
        let (second, third) = (progress.of(2), progress.of(3));
        progress.advance(2);
        second.done().await.unwrap();
        progress.fail(Failure::new(Reason::StoreUnavailable, "full"));
        assert_eq!(
            third.done().await.unwrap_err().reason,
            Reason::StoreUnavailable
        );
        assert_eq!(progress.failed().await.message, "full");
    }
}
