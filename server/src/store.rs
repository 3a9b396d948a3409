//! What outlives a call, and with SQLite a process: sessions with their history, turns, tool
//! calls, receipts and log, the requests that were answered, and what tenants have spent.
//!
//! A [`Store`] takes a session's changes as [`Batch`]es, each of which is written whole or not at
//! all, in the order in which they were given. It knows nothing of what the bytes say. Times are
//! kept to the nanosecond, from 1677 to 2262.

mod batch;
mod check;
mod error;
mod memory;
mod open_error;
mod page;
mod rows;
mod spent;
mod sqlite;

use std::{
    fmt, io, panic,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use tokio::{sync::oneshot, task::spawn_blocking};

pub use self::{
    batch::{
        Batch, Begin, Call, CallState, Done, Fence, Head, Key, LogEntry, Request, Turn, Write,
    },
    error::{Source, StoreError},
    open_error::{Fault, OpenError},
    page::{Page, Paged, SessionFilter},
    rows::{Loaded, RequestRow, SessionRow, Swept},
    spent::{Period, Spent, SpentRow},
};
use self::{memory::Memory, sqlite::Sqlite};

/// Most frames of a session that are remembered.
pub const MAX_RECEIPTS: usize = 1024;

/// Most turns that are loaded with a session.
pub const LOADED_TURNS: usize = 32;

/// How long a request is remembered, as the contract says of `request_id`.
pub const REMEMBERED: Duration = Duration::from_secs(10 * 60);

/// Where and how sessions are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where they are kept.
    pub place: Place,
    /// Most sessions of a tenant; those that have expired count until they are swept.
    pub max_sessions_per_tenant: u64,
}

/// Where sessions are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the process; they end with it.
    Memory,
    /// In an SQLite file, for one process at a time; made with its directories if there is none.
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What a power loss may cost.
        durability: Durability,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory"),
            Self::Sqlite { path, durability } => write!(f, "{} ({durability:?})", path.display()),
        }
    }
}

/// What a power loss may cost; a process that is killed loses nothing either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// What was written in about the last second.
    Normal,
    /// Nothing; each transaction waits for the disk.
    Full,
}

/// What a sweep deletes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sweep {
    /// The time; what has expired by then goes.
    pub now: SystemTime,
    /// How long the log of a session without work is kept after its last update.
    pub replay_window: Duration,
}

/// A handle of a store; clones are handles of the same store.
#[derive(Clone, Debug)]
pub struct Store {
    backend: Backend,
}

#[derive(Clone, Debug)]
enum Backend {
    Memory(Arc<Memory>),
    Sqlite(Arc<Sqlite>),
}

impl Store {
    /// Opens a store.
    ///
    /// # Errors
    ///
    /// For a file, each [`Fault`] that it can have.
    ///
    /// # Cancel safety
    ///
    /// The file is closed again.
    pub async fn open(config: Config) -> Result<Self, OpenError> {
        let most = config.max_sessions_per_tenant;
        let backend = match config.place {
            Place::Memory => Backend::Memory(Arc::new(Memory::new(most))),
            Place::Sqlite { path, durability } => {
                let file = path.clone();
                let opening = spawn_blocking(move || Sqlite::open(&file, durability, most));
                let opened = match opening.await.map_err(|error| error.try_into_panic()) {
                    Ok(opened) => opened,
                    Err(Ok(panicked)) => panic::resume_unwind(panicked),
                    Err(Err(stopped)) => Err(Fault::Io(io::Error::other(stopped))),
                };
                let sqlite = opened.map_err(|fault| OpenError { path, fault })?;
                Backend::Sqlite(Arc::new(sqlite))
            }
        };
        Ok(Self { backend })
    }

    /// Gives a fence that is newer than all before, those of earlier processes too.
    ///
    /// A task that runs a session takes one at its beginning, before it loads the session.
    pub fn fence(&self) -> Fence {
        match &self.backend {
            Backend::Memory(memory) => memory.fence(),
            Backend::Sqlite(sqlite) => sqlite.fence(),
        }
    }

    /// Writes a batch, soon; never blocks.
    ///
    /// `batch.done` is told once, in the order of a session's batches: in memory within this
    /// call, else on another thread. What waits to be written is not bounded here: each session
    /// bounds what it has given and not been told of.
    pub fn write(&self, batch: Batch) {
        match &self.backend {
            Backend::Memory(memory) => memory.write(batch),
            Backend::Sqlite(sqlite) => sqlite.write(batch),
        }
    }

    /// Writes a batch, and waits for it.
    ///
    /// # Errors
    ///
    /// As `done` would be told.
    ///
    /// # Cancel safety
    ///
    /// The batch is written all the same.
    pub async fn commit(
        &self,
        key: Key,
        fence: Fence,
        writes: Vec<Write>,
    ) -> Result<(), StoreError> {
        let (tx, rx) = oneshot::channel();
        let done = Done::new(move |result| {
            // Nobody waits for it when this future was dropped.
            let _ = tx.send(result);
        });
        self.write(Batch {
            key,
            fence,
            writes,
            done,
        });
        rx.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Reads all that a session's task goes on from; `None` when there is no such session.
    ///
    /// A session that has expired is found until it is swept, here and by the reads below;
    /// [`SessionRow::is_expired`] tells.
    ///
    /// # Errors
    ///
    /// `Closed`, and those of the file.
    pub async fn load(&self, key: &Key) -> Result<Option<Loaded>, StoreError> {
        match &self.backend {
            Backend::Memory(memory) => memory.load(key),
            Backend::Sqlite(sqlite) => sqlite.load(key).await,
        }
    }

    /// Reads a session without its contents.
    ///
    /// # Errors
    ///
    /// `Closed`, and those of the file.
    pub async fn session(&self, key: &Key) -> Result<Option<SessionRow>, StoreError> {
        match &self.backend {
            Backend::Memory(memory) => memory.session(key),
            Backend::Sqlite(sqlite) => sqlite.session(key).await,
        }
    }

    /// Lists a tenant's sessions that have not expired, newest update first.
    ///
    /// # Errors
    ///
    /// `BadPageToken` for a token that is not of this tenant and filter; `Closed`, and those of
    /// the file.
    pub async fn sessions(
        &self,
        tenant: &str,
        filter: &SessionFilter,
        page: &Page,
        now: SystemTime,
    ) -> Result<Paged<SessionRow>, StoreError> {
        match &self.backend {
            Backend::Memory(memory) => memory.sessions(tenant, filter, page, now),
            Backend::Sqlite(sqlite) => sqlite.sessions(tenant, filter, page, now).await,
        }
    }

    /// Lists a session's messages, oldest first; `None` when there is no such session.
    ///
    /// # Errors
    ///
    /// `BadPageToken` for a token that is not of this session; `Closed`, and those of the file.
    pub async fn messages(
        &self,
        key: &Key,
        page: &Page,
    ) -> Result<Option<Paged<Bytes>>, StoreError> {
        match &self.backend {
            Backend::Memory(memory) => memory.messages(key, page),
            Backend::Sqlite(sqlite) => sqlite.messages(key, page).await,
        }
    }

    /// Reads a turn that has ended.
    ///
    /// # Errors
    ///
    /// `Closed`, and those of the file.
    pub async fn turn(&self, key: &Key, turn_id: &str) -> Result<Option<Turn>, StoreError> {
        match &self.backend {
            Backend::Memory(memory) => memory.turn(key, turn_id),
            Backend::Sqlite(sqlite) => sqlite.turn(key, turn_id).await,
        }
    }

    /// Reads the ledger of a session's tool calls, in the order of their turns' ids and theirs.
    ///
    /// # Errors
    ///
    /// `Closed`, and those of the file.
    pub async fn calls(&self, key: &Key) -> Result<Vec<Call>, StoreError> {
        match &self.backend {
            Backend::Memory(memory) => memory.calls(key),
            Backend::Sqlite(sqlite) => sqlite.calls(key).await,
        }
    }

    /// Reads the requests that came at this time or later, oldest first.
    ///
    /// # Errors
    ///
    /// `Closed`, and those of the file.
    pub async fn requests(&self, since: SystemTime) -> Result<Vec<RequestRow>, StoreError> {
        match &self.backend {
            Backend::Memory(memory) => memory.requests(since),
            Backend::Sqlite(sqlite) => sqlite.requests(since).await,
        }
    }

    /// Reads what tenants have spent in periods that are not forgotten, in no order.
    ///
    /// A period is forgotten when the one after it is over.
    ///
    /// # Errors
    ///
    /// `Closed`, and those of the file.
    pub async fn spent(&self, now: SystemTime) -> Result<Vec<SpentRow>, StoreError> {
        match &self.backend {
            Backend::Memory(memory) => memory.spent(now),
            Backend::Sqlite(sqlite) => sqlite.spent(now).await,
        }
    }

    /// Names the sessions that have work, in no order.
    ///
    /// # Errors
    ///
    /// `Closed`, and those of the file.
    pub async fn unfinished(&self) -> Result<Vec<Key>, StoreError> {
        match &self.backend {
            Backend::Memory(memory) => memory.unfinished(),
            Backend::Sqlite(sqlite) => sqlite.unfinished().await,
        }
    }

    /// Deletes sessions that have expired, requests that need not be remembered, logs that nobody
    /// may ask for, and what was spent in periods that are forgotten.
    ///
    /// The task of a session that has gone finds its batches refused with `NoSession`.
    ///
    /// # Errors
    ///
    /// `Closed`, and those of the file; what was deleted until then stays deleted.
    ///
    /// # Cancel safety
    ///
    /// What was deleted until then stays deleted.
    pub async fn sweep(&self, sweep: Sweep) -> Result<Swept, StoreError> {
        match &self.backend {
            Backend::Memory(memory) => memory.sweep(sweep),
            Backend::Sqlite(sqlite) => sqlite.sweep(sweep).await,
        }
    }

    /// Writes what waits, and closes; batches and reads that come later fail with `Closed`.
    ///
    /// # Cancel safety
    ///
    /// The store closes all the same.
    pub async fn close(&self) {
        match &self.backend {
            Backend::Memory(memory) => memory.close(),
            Backend::Sqlite(sqlite) => sqlite.close().await,
        }
    }
}
