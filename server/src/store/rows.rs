//! What is read.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;

use super::batch::{Begin, Head, Key, LogEntry};

/// A session, without what was said in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// Its name.
    pub key: Key,
    /// How it began.
    pub begin: Begin,
    /// How it stands.
    pub head: Head,
    /// Settings that its turns start from; `None` when there are none, and in lists.
    pub options: Option<Bytes>,
}

impl SessionRow {
    /// When it will be forgotten unless used; `None` for never, as while it has work.
    pub fn expires(&self) -> Option<SystemTime> {
        expires(self.begin.ttl, &self.head)
    }

    /// True when it is to be treated as gone, though it may not have been swept yet.
    pub fn is_expired(&self, now: SystemTime) -> bool {
        self.expires().is_some_and(|at| at <= now)
    }
}

pub(super) fn expires(ttl: Duration, head: &Head) -> Option<SystemTime> {
    if head.has_work {
        return None;
    }
    head.update_time.checked_add(ttl)
}

/// All that a session's task goes on from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// How it began.
    pub begin: Begin,
    /// How it stands.
    pub head: Head,
    /// The state that was last written; empty when none was.
    pub state: Bytes,
    /// The history, oldest first.
    pub messages: Vec<Bytes>,
    /// What was answered to the frames that are remembered, oldest first.
    pub receipts: Vec<Bytes>,
    /// Results of the newest turns that have ended, oldest first; at most
    /// [`LOADED_TURNS`](super::LOADED_TURNS).
    pub turns: Vec<Bytes>,
    /// What is left of the log, oldest first.
    pub log: Vec<LogEntry>,
}

impl Loaded {
    /// True when it is to be treated as gone, though it may not have been swept yet.
    pub fn is_expired(&self, now: SystemTime) -> bool {
        expires(self.begin.ttl, &self.head).is_some_and(|at| at <= now)
    }
}

/// A request that is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRow {
    /// Whose it is.
    pub tenant: Arc<str>,
    /// Its id, unique within the tenant.
    pub request_id: String,
    /// What it says, in short.
    pub fingerprint: [u8; 32],
    /// What was answered.
    pub value: Bytes,
    /// When it came.
    pub at: SystemTime,
}

/// What a sweep has deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Sessions that had expired.
    pub sessions: Vec<Key>,
    /// Number of requests that had been remembered for long enough.
    pub requests: usize,
    /// Number of sessions whose log was dropped.
    pub logs: usize,
    /// Number of periods of tenants that were forgotten.
    pub periods: usize,
}
