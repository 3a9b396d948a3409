//! A store in an SQLite file, for one process at a time.
//!
//! One thread writes: it takes all that waits and writes it in one transaction. Reads have
//! connections of their own and see what was committed before they began. Other programs, as the
//! `sqlite3` shell, may read meanwhile.

mod apply;
mod checkpoint;
mod error;
mod open;
mod queue;
mod read;
mod readers;
mod schema;
mod sweep;
mod value;
mod writer;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::SystemTime,
};

use bytes::Bytes;
use tokio::sync::oneshot;

use self::{
    checkpoint::Checkpoints,
    queue::{Job, Queue},
    readers::Readers,
    writer::{Jobs, Writer},
};
use super::{
    Durability, Fault, StoreError, Sweep,
    batch::{Batch, Call, Fence, Key, Turn},
    page::{List, Page, Paged, SessionFilter, SessionPosition},
    rows::{Loaded, RequestRow, SessionRow, Swept},
    spent::SpentRow,
};

/// Number of fences that a process can give: those of the next begin above.
const FENCE_BITS: u32 = 32;

/// A handle of the file; its drop closes the file, and nobody waits for that.
#[derive(Debug)]
pub(super) struct Sqlite {
    queue: Arc<Queue>,
    readers: Arc<Readers>,
    fences: AtomicU64,
}

impl Sqlite {
    /// Opens a file; blocks.
    pub(super) fn open(
        path: &Path,
        durability: Durability,
        max_sessions_per_tenant: u64,
    ) -> Result<Self, Fault> {
        let opened = open::open(path, durability)?;
        let queue = Arc::<Queue>::default();
        let checkpoints = Checkpoints::start(open::connect(&opened.path, open::READ_WRITE)?)?;
        let readers = Arc::new(Readers::new(opened.path));
        let writer = Writer {
            connection: opened.connection,
            checkpoints,
            readers: Arc::clone(&readers),
            lock: opened.lock,
            jobs: Jobs(Arc::clone(&queue)),
            max_sessions_per_tenant,
        };
        // It ends when it is told to close, by `close` or by the drop.
        thread::Builder::new()
            .name("taiwa-store".to_owned())
            .spawn(|| writer.run())?;
        Ok(Self {
            queue,
            readers,
            fences: AtomicU64::new(opened.epoch << FENCE_BITS),
        })
    }

    pub(super) fn fence(&self) -> Fence {
        Fence::new(self.fences.fetch_add(1, Ordering::Relaxed) + 1)
    }

    pub(super) fn write(&self, batch: Batch) {
        self.queue.push(Job::Write(batch));
    }

    pub(super) async fn load(&self, key: &Key) -> Result<Option<Loaded>, StoreError> {
        let key = key.clone();
        let read = move |connection: &_| read::load(connection, &key);
        self.readers.read(read).await
    }

    pub(super) async fn session(&self, key: &Key) -> Result<Option<SessionRow>, StoreError> {
        let key = key.clone();
        let read = move |connection: &_| read::session(connection, &key);
        self.readers.read(read).await
    }

    pub(super) async fn sessions(
        &self,
        tenant: &str,
        filter: &SessionFilter,
        page: &Page,
        now: SystemTime,
    ) -> Result<Paged<SessionRow>, StoreError> {
        let list = List::of_sessions(tenant, filter);
        let after = match &page.token {
            Some(token) => Some(list.session_position(token)?),
            None => None,
        };
        let (tenant, filter) = (tenant.to_owned(), filter.clone());
        let size = page.size.max(1);
        // One more than is wanted tells whether there are more.
        let most = size.saturating_add(1);
        let read = move |connection: &_| {
            read::sessions(connection, &tenant, &filter, after.as_ref(), most, now)
        };
        let mut items = self.readers.read(read).await?;
        let has_more = items.len() > size;
        items.truncate(size);
        let last = items.last().filter(|_| has_more);
        let next = last.map(|last| {
            list.token_after_session(&SessionPosition {
                update_time: last.head.update_time,
                session_id: last.key.session_id.to_string(),
            })
        });
        Ok(Paged { items, next })
    }

    pub(super) async fn messages(
        &self,
        key: &Key,
        page: &Page,
    ) -> Result<Option<Paged<Bytes>>, StoreError> {
        let list = List::of_messages(key);
        let from = match &page.token {
            Some(token) => list.message_index(token)?,
            None => 0,
        };
        let key = key.clone();
        let size = page.size.max(1);
        let most = size.saturating_add(1);
        let read = move |connection: &_| read::messages_of(connection, &key, from, most);
        let items = self.readers.read(read).await?;
        Ok(items.map(|mut items| {
            let has_more = items.len() > size;
            items.truncate(size);
            let until = from.saturating_add(items.len() as u64);
            let next = has_more.then(|| list.token_at_message(until));
            Paged { items, next }
        }))
    }

    pub(super) async fn turn(&self, key: &Key, turn_id: &str) -> Result<Option<Turn>, StoreError> {
        let (key, turn_id) = (key.clone(), turn_id.to_owned());
        let read = move |connection: &_| read::turn(connection, &key, &turn_id);
        self.readers.read(read).await
    }

    pub(super) async fn calls(&self, key: &Key) -> Result<Vec<Call>, StoreError> {
        let key = key.clone();
        let read = move |connection: &_| read::calls(connection, &key);
        self.readers.read(read).await
    }

    pub(super) async fn requests(&self, since: SystemTime) -> Result<Vec<RequestRow>, StoreError> {
        let read = move |connection: &_| read::requests(connection, since);
        self.readers.read(read).await
    }

    pub(super) async fn spent(&self, now: SystemTime) -> Result<Vec<SpentRow>, StoreError> {
        let read = move |connection: &_| read::spent(connection, now);
        self.readers.read(read).await
    }

    pub(super) async fn unfinished(&self) -> Result<Vec<Key>, StoreError> {
        self.readers.read(read::unfinished).await
    }

    pub(super) async fn sweep(&self, sweep: Sweep) -> Result<Swept, StoreError> {
        let mut swept = Swept::default();
        loop {
            let (done, is_done) = oneshot::channel();
            self.queue.push(Job::Sweep(sweep, done));
            let piece = is_done.await.unwrap_or(Err(StoreError::Closed))?;
            swept.sessions.extend(piece.swept.sessions);
            swept.requests += piece.swept.requests;
            swept.logs += piece.swept.logs;
            swept.periods += piece.swept.periods;
            if !piece.has_more {
                return Ok(swept);
            }
        }
    }

    pub(super) async fn close(&self) {
        let (done, is_done) = oneshot::channel();
        self.queue.push(Job::Close(done));
        // Dropped at the end, never sent.
        let _ = is_done.await;
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        let (done, _) = oneshot::channel();
        self.queue.push(Job::Close(done));
    }
}
