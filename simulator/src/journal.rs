//! What was asked, what was answered, and what was cut off.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde::{Serialize, Serializer};
use serde_json::Value;
use tokio::sync::watch;

use crate::wire::{Operation, Request};

/// Bytes of requests that the journal keeps; older entries make room.
const REQUEST_BYTES: usize = 64 * 1024 * 1024;

/// A moment, for comparing within the process and for reading outside of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The monotonic clock of this process.
    pub instant: Instant,
    /// Microseconds since 1970, by the system's clock.
    pub unix_micros: u64,
}

impl Moment {
    pub(crate) fn now() -> Self {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            instant: Instant::now(),
            unix_micros: u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX),
        }
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.unix_micros)
    }
}

/// How an exchange ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The answer is under way.
    InFlight,
    /// The whole answer was handed to the transport.
    Completed,
    /// The client closed the connection or reset its stream before the end.
    ClientClosed,
    /// The scenario made it go wrong; the name says how.
    Fault(String),
    /// The request broke a rule of Bedrock; the name is the exception's.
    Refused(String),
    /// The simulator was stopped.
    Stopped,
}

/// One request and what became of it.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    /// The place in the order of arrival, from 1.
    pub number: u64,
    /// Rises with every change of any entry; the cursor of [`Journal::changed_after`].
    pub revision: u64,
    /// What was asked.
    pub operation: Operation,
    /// The model id of the path, decoded.
    pub model_id: String,
    /// The request's JSON; null where it was none.
    #[serde(serialize_with = "serialize_shared")]
    pub request: Arc<Value>,
    /// Headers that tell who asked and which attempt it is; never credentials.
    pub headers: BTreeMap<String, String>,
    /// The id in the answer's `x-amzn-requestid`.
    pub request_id: String,
    /// The rule that answered: its name, its place, or `persona`.
    pub rule: Option<String>,
    /// When the request was read whole.
    pub received_at: Moment,
    /// When the response headers were handed to the transport.
    pub answered_at: Option<Moment>,
    /// When it ended, whichever way.
    pub ended_at: Option<Moment>,
    /// The HTTP status.
    pub status: Option<u16>,
    /// Deltas of content handed to the transport.
    pub chunks_sent: u64,
    /// Event-stream frames handed to the transport.
    pub frames_sent: u64,
    /// Bytes of body handed to the transport.
    pub bytes_sent: u64,
    /// How it ended.
    pub outcome: Outcome,
}

fn serialize_shared<S: Serializer>(value: &Arc<Value>, serializer: S) -> Result<S::Ok, S::Error> {
    value.as_ref().serialize(serializer)
}

impl Entry {
    /// Whether nothing more will happen to it.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.outcome != Outcome::InFlight
    }
}

/// The journal did not show what was waited for within the time limit.
#[derive(Debug, thiserror::Error)]
#[error("no journal entry as expected within {0:?}")]
pub struct TimedOut(Duration);

/// A bounded record of exchanges; cloning it gives another handle to the same record.
#[derive(Debug, Clone)]
pub struct Journal {
    inner: Arc<Mutex<Inner>>,
    changed: watch::Sender<()>,
    stopping: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Inner {
    capacity: usize,
    records: VecDeque<Record>,
    request_bytes: usize,
    last_number: u64,
    last_revision: u64,
}

#[derive(Debug)]
struct Record {
    entry: Entry,
    size: usize,
    progress: Arc<Progress>,
}

/// Counters of an answer under way, shared with whoever sends it.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    pub(crate) chunks: AtomicU64,
    pub(crate) frames: AtomicU64,
    pub(crate) bytes: AtomicU64,
}

impl Journal {
    /// Keeps the last `capacity` entries.
    pub(crate) fn new(capacity: usize) -> Self {
        let inner = Inner {
            capacity,
            records: VecDeque::new(),
            request_bytes: 0,
            last_number: 0,
            last_revision: 0,
        };
        Self {
            inner: Arc::new(Mutex::new(inner)),
            changed: watch::Sender::new(()),
            stopping: Arc::default(),
        }
    }

    /// The entries that are kept, in the order of arrival.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        self.lock().records.iter().map(Record::snapshot).collect()
    }

    /// Forgets all entries; numbers go on.
    pub fn clear(&self) {
        let mut inner = self.lock();
        inner.records.clear();
        inner.request_bytes = 0;
        drop(inner);
        self.changed.send_replace(());
    }

    /// Waits for an entry that `matches`, which may be there already, and returns the first.
    ///
    /// # Errors
    ///
    /// [`TimedOut`] when there is none within `limit`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn wait_for(
        &self,
        matches: impl Fn(&Entry) -> bool,
        limit: Duration,
    ) -> Result<Entry, TimedOut> {
        let mut changes = self.changed.subscribe();
        let found = async {
            loop {
                changes.mark_unchanged();
                if let Some(entry) = self.entries().into_iter().find(&matches) {
                    return entry;
                }
                // The sender lives in `self`, so the channel cannot be closed.
                let Ok(()) = changes.changed().await else {
                    return std::future::pending().await;
                };
            }
        };
        tokio::time::timeout(limit, found)
            .await
            .map_err(|_elapsed| TimedOut(limit))
    }

    /// The entries that arrived or changed after `revision`, oldest change first; waits up
    /// to `limit` until there is one.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn changed_after(&self, revision: u64, limit: Duration) -> Vec<Entry> {
        let changed = |entry: &Entry| entry.revision > revision;
        if self.wait_for(changed, limit).await.is_err() {
            return Vec::new();
        }
        let mut entries: Vec<Entry> = self.entries().into_iter().filter(changed).collect();
        entries.sort_by_key(|entry| entry.revision);
        entries
    }

    /// Writes down a request; the exchange that is returned tells how it goes on.
    pub(crate) fn open(
        &self,
        request: &Request,
        size: usize,
        headers: BTreeMap<String, String>,
        request_id: String,
    ) -> Exchange {
        let progress = Arc::new(Progress::default());
        let body = Arc::new(request.body.clone());
        let received_at = Moment::now();
        let mut inner = self.lock();
        inner.last_number += 1;
        inner.last_revision += 1;
        let number = inner.last_number;
        let entry = Entry {
            number,
            revision: inner.last_revision,
            operation: request.operation,
            model_id: request.model_id.clone(),
            request: body,
            headers,
            request_id,
            rule: None,
            received_at,
            answered_at: None,
            ended_at: None,
            status: None,
            chunks_sent: 0,
            frames_sent: 0,
            bytes_sent: 0,
            outcome: Outcome::InFlight,
        };
        inner.push(Record {
            entry,
            size,
            progress: Arc::clone(&progress),
        });
        drop(inner);
        self.changed.send_replace(());
        Exchange {
            journal: self.clone(),
            number,
            progress,
            ended: false,
        }
    }

    fn change(&self, number: u64, change: impl FnOnce(&mut Entry)) {
        let mut inner = self.lock();
        inner.last_revision += 1;
        let revision = inner.last_revision;
        // An entry that was pushed out of the journal has nothing to change.
        if let Some(record) = inner.record(number) {
            change(&mut record.entry);
            record.entry.revision = revision;
        }
        drop(inner);
        self.changed.send_replace(());
    }

    /// From here on, an exchange that is dropped was stopped, not closed by its client.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics while it holds the lock, and the data stays usable if it did.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn push(&mut self, record: Record) {
        self.request_bytes += record.size;
        self.records.push_back(record);
        while self.records.len() > self.capacity
            || (self.request_bytes > REQUEST_BYTES && self.records.len() > 1)
        {
            let Some(oldest) = self.records.pop_front() else {
                break;
            };
            self.request_bytes -= oldest.size;
        }
    }

    fn record(&mut self, number: u64) -> Option<&mut Record> {
        let first = self.records.front()?.entry.number;
        let position = usize::try_from(number.checked_sub(first)?).ok()?;
        self.records.get_mut(position)
    }
}

impl Record {
    fn snapshot(&self) -> Entry {
        let mut entry = self.entry.clone();
        entry.chunks_sent = self.progress.chunks.load(Ordering::Relaxed);
        entry.frames_sent = self.progress.frames.load(Ordering::Relaxed);
        entry.bytes_sent = self.progress.bytes.load(Ordering::Relaxed);
        entry
    }
}

/// A request under way. Dropped before its end, the client has gone.
#[derive(Debug)]
pub(crate) struct Exchange {
    journal: Journal,
    number: u64,
    progress: Arc<Progress>,
    ended: bool,
}

impl Exchange {
    pub(crate) fn answered_by(&self, rule: String) {
        self.journal
            .change(self.number, |entry| entry.rule = Some(rule));
    }

    pub(crate) fn answered(&self, status: u16) {
        let now = Moment::now();
        self.journal.change(self.number, |entry| {
            entry.status = Some(status);
            entry.answered_at = Some(now);
        });
    }

    /// Counts what was handed to the transport; `chunks` and `frames` are totals.
    pub(crate) fn sent(&self, chunks: u64, frames: u64, bytes: usize) {
        self.progress.chunks.store(chunks, Ordering::Relaxed);
        self.progress.frames.store(frames, Ordering::Relaxed);
        self.progress
            .bytes
            .fetch_add(bytes as u64, Ordering::Relaxed);
        if self.journal.changed.receiver_count() > 0 {
            self.journal.changed.send_replace(());
        }
    }

    pub(crate) fn end(&mut self, outcome: Outcome) {
        if self.ended {
            return;
        }
        self.ended = true;
        let now = Moment::now();
        self.journal.change(self.number, |entry| {
            entry.ended_at = Some(now);
            entry.outcome = outcome;
        });
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let stopping = self.journal.stopping.load(Ordering::Relaxed);
        self.end(if stopping {
            Outcome::Stopped
        } else {
            Outcome::ClientClosed
        });
    }
}
