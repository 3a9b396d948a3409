//! Connections that read, apart from the one that writes.

use std::{
    panic,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use rusqlite::{Connection, OpenFlags};
use tokio::{sync::Semaphore, task::spawn_blocking};

use super::open;
use crate::store::StoreError;

/// Reads at a time: enough that a long one does not hold up all others.
const CONNECTIONS: usize = 4;

/// Connections that read, opened when they are needed.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    permits: Arc<Semaphore>,
    state: Mutex<State>,
    returned: Condvar,
}

#[derive(Debug, Default)]
struct State {
    idle: Vec<Connection>,
    in_use: usize,
    is_closed: bool,
}

impl Readers {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            permits: Arc::new(Semaphore::new(CONNECTIONS)),
            state: Mutex::default(),
            returned: Condvar::new(),
        }
    }

    /// Reads on a thread that may block, all from one state of the file.
    ///
    /// # Cancel safety
    ///
    /// The read goes on for nobody.
    pub(super) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(|_| StoreError::Closed)?;
        let mut loan = Loan::take(Arc::clone(self))?;
        let reading = spawn_blocking(move || {
            let result = loan.connection().and_then(|connection| {
                let snapshot = connection.unchecked_transaction()?;
                read(&snapshot)
            });
            // Given back before another may take it.
            drop(loan);
            drop(permit);
            result
        });
        match reading.await.map_err(|error| error.try_into_panic()) {
            Ok(result) => Ok(result?),
            Err(Ok(panicked)) => panic::resume_unwind(panicked),
            // The runtime ended before the read began.
            Err(Err(_)) => Err(StoreError::Closed),
        }
    }

    /// Lets no further read begin, and waits for those that run.
    pub(super) fn close(&self) {
        self.permits.close();
        let mut state = self.lock();
        state.is_closed = true;
        let done = self.returned.wait_while(state, |state| state.in_use > 0);
        done.unwrap_or_else(PoisonError::into_inner).idle.clear();
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        open::connect(&self.path, OpenFlags::SQLITE_OPEN_READ_ONLY)
    }

    // Nothing that can panic runs under the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection in use.
struct Loan {
    readers: Arc<Readers>,
    connection: Option<Connection>,
}

impl Loan {
    fn take(readers: Arc<Readers>) -> Result<Self, StoreError> {
        let mut state = readers.lock();
        if state.is_closed {
            return Err(StoreError::Closed);
        }
        state.in_use += 1;
        let connection = state.idle.pop();
        drop(state);
        Ok(Self {
            readers,
            connection,
        })
    }

    fn connection(&mut self) -> rusqlite::Result<&Connection> {
        match &mut self.connection {
            Some(connection) => Ok(connection),
            none => Ok(none.insert(self.readers.open()?)),
        }
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let mut state = self.readers.lock();
        state.in_use -= 1;
        state.idle.extend(self.connection.take());
        drop(state);
        self.readers.returned.notify_all();
    }
}
