//! What is written: batches of changes to one session, each of which is written whole or not at
//! all.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;

use super::{StoreError, spent::Spent};

/// Names a session.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Whose it is; empty where tenants are not told apart.
    pub tenant: Arc<str>,
    /// Its id, unique within the tenant.
    pub session_id: Arc<str>,
}

impl Key {
    /// Names a session of a tenant.
    pub fn new(tenant: &Arc<str>, session_id: &str) -> Self {
        Self {
            tenant: Arc::clone(tenant),
            session_id: session_id.into(),
        }
    }
}

/// The right of one task to write a session, given by [`Store::fence`](super::Store::fence).
///
/// Fences rise. A session is written by the newest fence that it has seen; older ones are
/// refused, and so is a fence of which a batch has failed: what follows a failed batch would be
/// written without what it stands on. Clones are the same fence.
#[derive(Clone, Debug)]
pub struct Fence {
    number: u64,
    is_broken: Arc<AtomicBool>,
}

impl Fence {
    pub(super) fn new(number: u64) -> Self {
        Self {
            number,
            is_broken: Arc::default(),
        }
    }

    /// Its place among the fences of the store; a later fence has a higher number.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// True when a batch with it has failed.
    pub fn is_broken(&self) -> bool {
        self.is_broken.load(Ordering::Acquire)
    }

    pub(super) fn break_down(&self) {
        self.is_broken.store(true, Ordering::Release);
    }
}

/// Changes to one session that are written together, or not at all.
#[derive(Debug)]
pub struct Batch {
    /// The session.
    pub key: Key,
    /// Who writes.
    pub fence: Fence,
    /// The changes, in order.
    pub writes: Vec<Write>,
    /// Is told how it went.
    pub done: Done,
}

/// Is told once how a batch went; if it is dropped, that the store is closed.
pub struct Done(Option<Box<Tell>>);

type Tell = dyn FnOnce(Result<(), StoreError>) + Send;

impl Done {
    /// Calls this when the batch is written, or has failed.
    ///
    /// It may be called on a thread that others wait for, or within
    /// [`Store::write`](super::Store::write), and so must be short and must not block.
    pub fn new(tell: impl FnOnce(Result<(), StoreError>) + Send + 'static) -> Self {
        Self(Some(Box::new(tell)))
    }

    pub(super) fn tell(mut self, result: Result<(), StoreError>) {
        if let Some(tell) = self.0.take() {
            tell(result);
        }
    }
}

impl Drop for Done {
    fn drop(&mut self) {
        if let Some(tell) = self.0.take() {
            tell(Err(StoreError::Closed));
        }
    }
}

impl fmt::Debug for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Done")
    }
}

/// One change.
///
/// All but [`Write::Begin`], [`Write::Delete`], [`Write::Request`] and [`Write::Spent`] need the
/// session to exist.
#[derive(Clone, Debug)]
pub enum Write {
    /// Begins the session.
    Begin(Begin),
    /// Says how the session stands.
    Head(Head),
    /// Replaces the state that its task goes on from.
    State(Bytes),
    /// Replaces the settings that its turns start from.
    Options(Bytes),
    /// Truncates the history, then appends to it.
    History {
        /// Messages that stay; no more than there are.
        keep: u64,
        /// Messages that follow them.
        added: Vec<Bytes>,
    },
    /// Remembers a frame; beyond [`MAX_RECEIPTS`](super::MAX_RECEIPTS) the oldest are forgotten.
    Receipt {
        /// The frame's id.
        frame_id: String,
        /// What was answered.
        value: Bytes,
    },
    /// Forgets a frame.
    ForgetReceipt(String),
    /// Keeps a turn that has ended, in place of what was kept of it.
    Turn(Turn),
    /// Notes how a tool call stands, in place of what was noted of it.
    Call(Call),
    /// Remembers a request of the tenant, in place of an earlier one of its id.
    Request(Request),
    /// Adds to what the tenant has spent in a period.
    Spent(Spent),
    /// Appends to the log; sequence numbers rise.
    Log(Vec<LogEntry>),
    /// Drops the log's entries up to this sequence number.
    Trim {
        /// The newest that goes.
        through: u64,
    },
    /// Deletes all of the session; one that does not exist is left so.
    ///
    /// Requests and what was spent are the tenant's and stay.
    Delete,
}

/// How a session begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begin {
    /// Agent in charge.
    pub agent_id: String,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
    /// How long it is kept after its last update; about 292 years and more is for ever.
    pub ttl: Duration,
    /// When it began.
    pub created: SystemTime,
}

/// How a session stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// When it last changed.
    pub update_time: SystemTime,
    /// Messages in its history.
    pub message_count: u64,
    /// The turn that runs or is paused.
    pub active_turn_id: Option<String>,
    /// True when that turn is paused.
    pub is_paused: bool,
    /// True when something is left to do: a turn runs or is paused, or input is queued.
    ///
    /// Such a session does not expire and keeps its log.
    pub has_work: bool,
    /// Sequence number of its newest event; a session's never goes back.
    pub last_sequence: u64,
    /// Input tokens of all its turns.
    pub input_tokens: u64,
    /// Output tokens of all its turns.
    pub output_tokens: u64,
}

impl Head {
    /// The head of a session in which nothing has happened.
    pub fn new(created: SystemTime) -> Self {
        Self {
            update_time: created,
            message_count: 0,
            active_turn_id: None,
            is_paused: false,
            has_work: false,
            last_sequence: 0,
            input_tokens: 0,
            output_tokens: 0,
        }
    }
}

/// A turn that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Its id, unique within the session.
    pub turn_id: String,
    /// Sequence number of its last event.
    pub last_sequence: u64,
    /// Its result, encoded.
    pub value: Bytes,
    /// Input tokens that it used.
    pub input_tokens: u64,
    /// Output tokens that it used.
    pub output_tokens: u64,
    /// The model that answered.
    pub model_id: String,
    /// How it ended.
    pub status: String,
    /// Why the model stopped.
    pub stop_reason: String,
    /// When it ended.
    pub ended: SystemTime,
}

/// A tool call in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The turn that it belongs to.
    pub turn_id: String,
    /// Its id, unique within the turn.
    pub call_id: String,
    /// The tool.
    pub name: String,
    /// How it stands.
    pub state: CallState,
    /// Since when.
    pub at: SystemTime,
}

/// How a tool call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallState {
    /// It may have had effects.
    Started,
    /// It has its result.
    Finished,
    /// Whether it had effects will never be known.
    Unknown,
}

/// A request of a tenant, by which a repeat is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its id, unique within the tenant.
    pub request_id: String,
    /// What it says, in short.
    pub fingerprint: [u8; 32],
    /// What was answered.
    pub value: Bytes,
    /// When it came.
    pub at: SystemTime,
}

/// One event of a session's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Its position in the session.
    pub sequence: u64,
    /// What it is to readers who leave some out.
    pub class: u8,
    /// The encoded event.
    pub bytes: Bytes,
}
