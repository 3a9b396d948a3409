//! The thread that writes: what gathers while one transaction is written goes into the next.

use std::{
    fs::File,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::oneshot;
use tracing::{error, warn};

use super::{
    apply::Applying,
    checkpoint::{Checkpoints, checkpoint},
    queue::{Job, Queue},
    readers::Readers,
    sweep,
};
use crate::store::{StoreError, batch::Batch};

/// Writes batches, one transaction after the other.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) checkpoints: Checkpoints,
    pub(super) readers: Arc<Readers>,
    /// Keeps other processes out.
    pub(super) lock: File,
    pub(super) jobs: Jobs,
    pub(super) max_sessions_per_tenant: u64,
}

/// The writer's end of the queue, which ends with the writer, be it by a panic.
#[derive(Debug)]
pub(super) struct Jobs(pub(super) Arc<Queue>);

impl Drop for Jobs {
    fn drop(&mut self) {
        while let Some(late) = self.0.end() {
            drop(late);
        }
    }
}

/// A batch and how it went, as far as that is known.
struct Attempt {
    batch: Batch,
    refusal: Option<StoreError>,
}

impl Writer {
    /// Works until it is told to close.
    pub(super) fn run(mut self) {
        loop {
            let jobs = self.jobs.0.take();
            let mut attempts = Vec::with_capacity(jobs.len());
            let mut sweeps = Vec::new();
            let mut jobs = jobs.into_iter();
            let mut closing = None;
            for job in &mut jobs {
                match job {
                    Job::Write(batch) => attempts.push(Attempt {
                        batch,
                        refusal: None,
                    }),
                    Job::Sweep(sweep, done) => sweeps.push((sweep, done)),
                    Job::Close(done) => {
                        closing = Some(done);
                        break;
                    }
                }
            }
            self.write(attempts);
            self.checkpoints.note_write();
            for (sweep, done) in sweeps {
                let piece = sweep::piece(&mut self.connection, sweep);
                // Whoever asked for it may have gone.
                let _ = done.send(piece.map_err(StoreError::from));
            }
            if let Some(done) = closing {
                return self.close(done, jobs.collect());
            }
        }
    }

    /// Writes batches in one transaction, or each in its own when that fails.
    fn write(&mut self, mut attempts: Vec<Attempt>) {
        if attempts.is_empty() {
            return;
        }
        if let Err(failure) = self.commit(&mut attempts) {
            match failure {
                // One after the other would wait as long for the same.
                Failure::NotBegun(error) => fail_all(&mut attempts, &error),
                Failure::RolledBack(error) if attempts.len() == 1 => {
                    fail_all(&mut attempts, &error);
                }
                Failure::RolledBack(_) => {
                    for attempt in &mut attempts {
                        let attempt = std::slice::from_mut(attempt);
                        if let Err(Failure::NotBegun(error) | Failure::RolledBack(error)) =
                            self.commit(attempt)
                        {
                            fail_all(attempt, &error);
                        }
                    }
                }
            }
        }
        for Attempt { batch, refusal } in attempts {
            let result = refusal.map_or(Ok(()), Err);
            let tell = AssertUnwindSafe(|| batch.done.tell(result));
            if catch_unwind(tell).is_err() {
                error!("a listener of the store panicked");
            }
        }
    }

    /// Writes in one transaction those that were not refused; notes those that are.
    fn commit(&mut self, attempts: &mut [Attempt]) -> Result<(), Failure> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|error| Failure::NotBegun(error.into()))?;
        let mut applying = Applying::new(&transaction, self.max_sessions_per_tenant);
        let rolled_back = |error: rusqlite::Error| Failure::RolledBack(error.into());
        for Attempt { batch, refusal } in attempts {
            if refusal.is_none() {
                let outcome = applying.apply(batch).map_err(rolled_back)?;
                if let Err(error) = outcome {
                    batch.fence.break_down();
                    *refusal = Some(error);
                }
            }
        }
        applying.finish().map_err(rolled_back)?;
        transaction.commit().map_err(rolled_back)
    }

    /// Closes the file before others may have it, and then tells those who wait.
    fn close(self, done: oneshot::Sender<()>, late: Vec<Job>) {
        let Self {
            connection,
            checkpoints,
            readers,
            lock,
            jobs,
            ..
        } = self;
        // The last user of the file leaves no write-ahead log behind.
        readers.close();
        drop(checkpoints);
        if let Err(error) = checkpoint(&connection, "TRUNCATE") {
            warn!(%error, "the store's write-ahead log stays beside its file");
        }
        drop(connection);
        drop(lock);
        drop(late);
        drop(jobs);
        drop(done);
    }
}

/// Why nothing of a transaction was written.
enum Failure {
    /// There was no transaction.
    NotBegun(StoreError),
    /// There was one, and it is undone.
    RolledBack(StoreError),
}

fn fail_all(attempts: &mut [Attempt], error: &StoreError) {
    for Attempt { batch, refusal } in attempts {
        batch.fence.break_down();
        refusal.get_or_insert_with(|| error.clone());
    }
}
