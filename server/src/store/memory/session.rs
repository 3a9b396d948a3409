//! The rows of one session.

use std::{
    collections::{BTreeMap, VecDeque},
    time::SystemTime,
};

use bytes::Bytes;

use super::ordered::Ordered;
use crate::store::{
    LOADED_TURNS, MAX_RECEIPTS,
    batch::{Begin, Call, Head, Key, LogEntry, Turn, Write},
    check,
    page::SessionFilter,
    rows::{Loaded, SessionRow, expires},
};

#[derive(Debug)]
pub(super) struct Session {
    pub(super) fence: u64,
    pub(super) head: Head,
    pub(super) messages: Vec<Bytes>,
    pub(super) turns: Ordered<Turn>,
    /// By turn and id.
    pub(super) calls: BTreeMap<(String, String), Call>,
    pub(super) log: VecDeque<LogEntry>,
    begin: Begin,
    state: Option<Bytes>,
    options: Option<Bytes>,
    receipts: Ordered<Bytes>,
    /// The newest entry that the log ever had.
    logged: u64,
}

impl Session {
    pub(super) fn new(begin: Begin, fence: u64) -> Self {
        Self {
            fence,
            head: Head::new(begin.created),
            messages: Vec::new(),
            turns: Ordered::default(),
            calls: BTreeMap::new(),
            log: VecDeque::new(),
            begin,
            state: None,
            options: None,
            receipts: Ordered::default(),
            logged: 0,
        }
    }

    pub(super) fn standing(&self) -> check::Session {
        check::Session {
            fence: self.fence,
            expires: self.expires(),
            logged: self.logged,
            messages: self.messages.len() as u64,
        }
    }

    pub(super) fn apply(&mut self, write: Write) {
        match write {
            Write::Head(head) => {
                let last_sequence = head.last_sequence.max(self.head.last_sequence);
                self.head = Head {
                    last_sequence,
                    ..head
                };
            }
            Write::State(state) => self.state = Some(state),
            Write::Options(options) => self.options = Some(options),
            Write::History { keep, added } => {
                self.messages
                    .truncate(usize::try_from(keep).unwrap_or(usize::MAX));
                self.messages.extend(added);
            }
            Write::Receipt { frame_id, value } => {
                self.receipts.put(frame_id, value);
                self.receipts.keep_newest(MAX_RECEIPTS);
            }
            Write::ForgetReceipt(frame_id) => self.receipts.remove(&frame_id),
            Write::Turn(turn) => self.turns.put(turn.turn_id.clone(), turn),
            Write::Call(call) => {
                let place = (call.turn_id.clone(), call.call_id.clone());
                self.calls.insert(place, call);
            }
            Write::Log(entries) => {
                self.logged = entries.last().map_or(self.logged, |entry| entry.sequence);
                self.head.last_sequence = self.head.last_sequence.max(self.logged);
                self.log.extend(entries);
            }
            Write::Trim { through } => {
                while self
                    .log
                    .front()
                    .is_some_and(|entry| entry.sequence <= through)
                {
                    self.log.pop_front();
                }
            }
            // The tenant's, not the session's.
            Write::Begin(_) | Write::Delete | Write::Request(_) | Write::Spent(_) => {}
        }
    }

    pub(super) fn expires(&self) -> Option<SystemTime> {
        expires(self.begin.ttl, &self.head)
    }

    pub(super) fn matches(&self, filter: &SessionFilter) -> bool {
        let mut labels = filter.labels.iter();
        filter
            .agent_id
            .as_ref()
            .is_none_or(|agent_id| *agent_id == self.begin.agent_id)
            && labels.all(|(name, value)| self.begin.labels.get(name) == Some(value))
    }

    pub(super) fn row(&self, key: &Key) -> SessionRow {
        SessionRow {
            key: key.clone(),
            begin: self.begin.clone(),
            head: self.head.clone(),
            options: self.options.clone(),
        }
    }

    pub(super) fn load(&self) -> Loaded {
        let older_turns = self.turns.len().saturating_sub(LOADED_TURNS);
        let turns = self.turns.iter().skip(older_turns);
        Loaded {
            begin: self.begin.clone(),
            head: self.head.clone(),
            state: self.state.clone().unwrap_or_default(),
            messages: self.messages.clone(),
            receipts: self
                .receipts
                .iter()
                .map(|(_, value)| value.clone())
                .collect(),
            turns: turns.map(|(_, turn)| turn.value.clone()).collect(),
            log: self.log.iter().cloned().collect(),
        }
    }
}
