//! A reader as the log knows it: how far it has come, and what it wants.

use std::{collections::VecDeque, mem, sync::Arc, task::Waker};

use bytes::Bytes;
use taiwa_core::Failure;

use super::Entry;

/// Names a reader within its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReaderId(pub(super) u64);

/// Which events wake a reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interest {
    /// All of them.
    Everything,
    /// Those of this turn, up to its end or pause.
    Turn(Arc<str>),
    /// The end or the pause of this turn alone; the cursor passes over the others.
    EndOf(Arc<str>),
}

impl Interest {
    /// The turn that is followed, if one is.
    pub(super) fn turn(&self) -> Option<&Arc<str>> {
        match self {
            Self::Everything => None,
            Self::Turn(turn) | Self::EndOf(turn) => Some(turn),
        }
    }

    /// True for a reader of more than an end.
    pub(in crate::session) fn is_whole(&self) -> bool {
        match self {
            Self::Everything | Self::Turn(_) => true,
            Self::EndOf(_) => false,
        }
    }
}

/// How a reader is attached.
#[derive(Debug)]
pub struct Attachment<G> {
    /// It reads from the event after this one.
    pub after: u64,
    /// Events that are gone are passed over, instead of ending it.
    pub lenient: bool,
    /// Which events it wants.
    pub interest: Interest,
    /// The model is held while it lags, up to the end of the turn that it follows.
    pub paces: bool,
    /// What follows for the session when it goes before the end of the turn that it follows.
    pub on_gone: Option<G>,
}

/// What a reader reads.
#[derive(Debug)]
pub enum Read {
    /// An event of the log.
    Entry(Entry),
    /// An event for this reader alone.
    Notice(Bytes),
    /// Nothing more comes.
    End(Option<Failure>),
}

pub(super) struct ReaderState<G> {
    pub(super) cursor: u64,
    pub(super) read: u64,
    pub(super) interest: Interest,
    pub(super) paces: bool,
    pub(super) on_gone: Option<G>,
    pub(super) waker: Option<Waker>,
    pub(super) notices: VecDeque<Bytes>,
    pub(super) end: Option<End>,
}

/// Where a reader's stream ends, and how.
pub(super) struct End {
    pub(super) after: u64,
    pub(super) failure: Option<Failure>,
}

impl<G> ReaderState<G> {
    pub(super) fn wants(&self, entry: &Entry) -> bool {
        match &self.interest {
            Interest::Everything => true,
            Interest::Turn(turn) => entry.turn_id.as_ref() == Some(turn),
            Interest::EndOf(_) => self.is_ended_by(entry),
        }
    }

    /// True for the end or the pause of the turn that is followed.
    pub(super) fn is_ended_by(&self, entry: &Entry) -> bool {
        let end = entry.end.as_ref().map(|end| &end.turn_id);
        end.is_some() && end == self.interest.turn()
    }

    /// True when it has read all that comes before its end.
    pub(super) fn is_at_end(&self) -> bool {
        let end = self.end.as_ref();
        end.is_some_and(|end| self.cursor >= end.after)
    }

    /// Leaves the turn alone, which has ended or goes on for another call.
    pub(super) fn release_turn(&mut self) {
        self.paces = false;
        self.on_gone = None;
    }

    pub(super) fn wake(&mut self) {
        if let Some(waker) = mem::take(&mut self.waker) {
            waker.wake();
        }
    }
}
