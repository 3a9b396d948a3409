//! The log of one session: encoded events in order, read by cursor, bounded in bytes.
//!
//! The session's task appends; readers pull. Nothing is queued for a reader: it holds a cursor,
//! and a waker while it has read all there is. A reader that paces the model is waited for by
//! [`Log::writable`].

mod attached;
mod bounds;
mod entry;
mod held;

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use taiwa_core::{Failure, Reason};

use self::attached::{End, ReaderState};
pub use self::{
    attached::{Attachment, Interest, Read, ReaderId},
    bounds::Config,
    entry::{Entry, TurnEnd},
    held::Held,
};
use crate::grpc::convert::delivery::EventClass;

/// The log of one session; `G` says what follows when a reader goes.
///
/// An event enters by [`Log::append`], and readers see it after [`Log::commit`]: what a reader has
/// seen is in the store.
pub struct Log<G> {
    config: Config,
    inner: Mutex<Inner<G>>,
}

struct Inner<G> {
    entries: VecDeque<Entry>,
    /// Bytes ever appended, to measure lag.
    written: u64,
    /// Bytes ever committed: those that readers can see.
    visible: u64,
    held_bytes: usize,
    last_sequence: u64,
    /// Newest event that readers can see.
    committed: u64,
    /// Bytes held by all logs of the process.
    overall: Arc<Held>,
    readers: BTreeMap<ReaderId, ReaderState<G>>,
    next_reader: u64,
    writer: Option<Waker>,
    closed: Option<Failure>,
}

impl<G: PartialEq> Log<G> {
    /// Makes a log that begins with what is kept of earlier events.
    ///
    /// `last_sequence` is that of the newest event ever, kept or not.
    pub fn new(config: Config, overall: Arc<Held>, kept: Vec<Entry>, last_sequence: u64) -> Self {
        let held_bytes = kept.iter().map(|entry| entry.bytes.len()).sum();
        overall.add(held_bytes);
        Self {
            config,
            inner: Mutex::new(Inner {
                entries: kept.into(),
                written: held_bytes as u64,
                visible: held_bytes as u64,
                held_bytes,
                last_sequence,
                committed: last_sequence,
                overall,
                readers: BTreeMap::new(),
                next_reader: 0,
                writer: None,
                closed: None,
            }),
        }
    }

    // A panic while the lock is held leaves plain counters behind, so the log stays readable.
    fn lock(&self) -> MutexGuard<'_, Inner<G>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds events, each of which follows the one before without a gap.
    pub fn append(&self, entries: impl IntoIterator<Item = Entry>) {
        let mut inner = self.lock();
        let inner = &mut *inner;
        let mut bytes = 0;
        for entry in entries {
            inner.last_sequence = entry.sequence;
            bytes += entry.bytes.len();
            if entry.end.is_some() {
                for reader in inner.readers.values_mut() {
                    if reader.is_ended_by(&entry) {
                        reader.release_turn();
                    }
                }
            }
            inner.entries.push_back(entry);
        }
        inner.written += bytes as u64;
        inner.held_bytes += bytes;
        inner.overall.add(bytes);
    }

    /// Shows readers the events up to this one.
    pub fn commit(&self, through: u64) {
        let mut inner = self.lock();
        let inner = &mut *inner;
        let from = inner.position(inner.committed + 1);
        let to = inner.position(through + 1);
        for entry in inner.entries.range(from..to) {
            inner.visible += entry.bytes.len() as u64;
            for reader in inner.readers.values_mut() {
                if reader.wants(entry) {
                    reader.wake();
                } else if reader.cursor + 1 == entry.sequence {
                    reader.cursor = entry.sequence;
                    reader.read = inner.visible;
                    // Its end is no event, and may be all that it waits for.
                    if reader.is_at_end() {
                        reader.wake();
                    }
                }
            }
        }
        inner.committed = through.max(inner.committed);
        inner.trim(&self.config);
        if !inner.is_full(self.config.window_bytes) {
            inner.wake_writer();
        }
    }

    /// Takes back the events that were not committed, and ends every stream, now and later.
    pub fn abandon(&self, failure: Failure) {
        let mut inner = self.lock();
        let inner = &mut *inner;
        // A store that failed once fails all that follows; the first failure says why.
        let failure = inner.closed.get_or_insert(failure).clone();
        let from = inner.position(inner.committed + 1);
        let lost: usize = inner
            .entries
            .drain(from..)
            .map(|entry| entry.bytes.len())
            .sum();
        inner.held_bytes -= lost;
        inner.overall.sub(lost);
        inner.last_sequence = inner.committed;
        for reader in inner.readers.values_mut() {
            reader.end = Some(End {
                after: inner.committed,
                failure: Some(failure.clone()),
            });
            reader.wake();
        }
        inner.wake_writer();
    }

    /// Sequence number of the newest event; zero before the first.
    pub fn last_sequence(&self) -> u64 {
        self.lock().last_sequence
    }

    /// Sequence number of the newest event that readers can see.
    pub fn committed(&self) -> u64 {
        self.lock().committed
    }

    /// Finds the end of this turn, or of its newest part, with its sequence number.
    pub fn end_of(&self, turn_id: &str) -> Option<(u64, Arc<TurnEnd>)> {
        let inner = self.lock();
        let mut newest_first = inner.entries.iter().rev();
        newest_first.find_map(|entry| {
            let end = entry.end.as_ref()?;
            (*end.turn_id == *turn_id).then(|| (entry.sequence, Arc::clone(end)))
        })
    }

    /// True when this turn is kept from its first event on.
    pub fn has_begin_of(&self, turn_id: &str) -> bool {
        let inner = self.lock();
        let mut entries = inner.entries.iter();
        entries.any(|entry| {
            entry.class == EventClass::TurnBegin && entry.turn_id.as_deref() == Some(turn_id)
        })
    }

    /// Attaches a reader; tells how many events after its cursor are gone.
    pub fn attach(&self, attachment: Attachment<G>) -> (ReaderId, u64) {
        let mut inner = self.lock();
        let id = ReaderId(inner.next_reader);
        inner.next_reader += 1;
        let mut state = ReaderState {
            cursor: attachment.after,
            read: 0,
            interest: attachment.interest,
            paces: attachment.paces,
            on_gone: attachment.on_gone,
            waker: None,
            notices: VecDeque::new(),
            end: None,
        };
        let missing = inner.oldest().saturating_sub(state.cursor + 1);
        if missing > 0 {
            if state.interest.is_whole() && !attachment.lenient {
                // Cut off before it began.
                state.release_turn();
            } else {
                state.cursor += missing;
            }
        }
        let mut unread = 0;
        for entry in inner.entries.range(inner.position(attachment.after + 1)..) {
            if state.is_ended_by(entry) {
                state.release_turn();
            }
            let is_passed = !state.wants(entry) && state.cursor + 1 == entry.sequence;
            if is_passed && entry.sequence <= inner.committed {
                state.cursor = entry.sequence;
            } else {
                unread += entry.bytes.len() as u64;
            }
        }
        state.read = inner.written - unread;
        inner.readers.insert(id, state);
        (id, missing)
    }

    /// Detaches a reader, and tells what follows, unless that was told before.
    ///
    /// What follows for several readers, as for a repeated request, follows when the last goes.
    pub fn detach(&self, id: ReaderId) -> Option<G> {
        let mut inner = self.lock();
        let reader = inner.readers.remove(&id)?;
        inner.wake_writer();
        let mut rest = inner.readers.values();
        let is_last = rest.all(|other| other.on_gone != reader.on_gone);
        reader.on_gone.filter(|_| is_last)
    }

    /// True when nobody reads.
    pub fn has_no_readers(&self) -> bool {
        self.lock().readers.is_empty()
    }

    /// Gives a reader an event of its own, ahead of what it has not read yet; the event is told
    /// the reader's cursor.
    pub fn notify(&self, id: ReaderId, notice: impl FnOnce(u64) -> Bytes) {
        if let Some(reader) = self.lock().readers.get_mut(&id) {
            reader.notices.push_back(notice(reader.cursor));
            reader.wake();
        }
    }

    /// Gives every reader of the whole log an event of its own, as [`Log::notify`] does.
    pub fn notify_all(&self, notice: impl Fn(u64) -> Bytes) {
        for reader in self.lock().readers.values_mut() {
            if reader.interest.is_whole() {
                reader.notices.push_back(notice(reader.cursor));
                reader.wake();
            }
        }
    }

    /// Drops the events up to this one, save those that a reader has yet to read.
    pub fn forget(&self, through: u64) {
        let mut inner = self.lock();
        let through = through.min(inner.slowest()).min(inner.committed);
        while inner
            .entries
            .front()
            .is_some_and(|oldest| oldest.sequence <= through)
        {
            inner.drop_oldest();
        }
    }

    /// Sequence number of the oldest event that is kept; one above the newest when none is.
    pub fn oldest(&self) -> u64 {
        self.lock().oldest()
    }

    /// Ends a reader's stream after the events so far.
    pub fn end(&self, id: ReaderId, failure: Option<Failure>) {
        let after = self.last_sequence();
        self.end_after(id, after, failure);
    }

    /// Ends a reader's stream after an event, or at once where it is past it.
    pub fn end_after(&self, id: ReaderId, after: u64, failure: Option<Failure>) {
        let mut inner = self.lock();
        if let Some(reader) = inner.readers.get_mut(&id) {
            reader.end.get_or_insert(End { after, failure });
            reader.wake();
        }
    }

    /// Ends every reader's stream after the events so far.
    pub fn end_all(&self, failure: &Failure) {
        let mut inner = self.lock();
        let after = inner.last_sequence;
        for reader in inner.readers.values_mut() {
            reader.end.get_or_insert_with(|| End {
                after,
                failure: Some(failure.clone()),
            });
            reader.wake();
        }
    }

    /// Ends every stream, now and later, after the events so far.
    pub fn close(&self, failure: Failure) {
        self.end_all(&failure);
        self.lock().closed.get_or_insert(failure);
    }

    /// Cuts off the readers for whom the model is held, and tells what follows for each.
    pub fn cut_laggards(&self) -> Vec<G> {
        let mut inner = self.lock();
        let (visible, window) = (inner.visible, self.config.window_bytes as u64);
        let mut gone = Vec::new();
        for reader in inner.readers.values_mut() {
            if reader.paces && visible.saturating_sub(reader.read) > window {
                reader.paces = false;
                reader.end = Some(End {
                    after: reader.cursor,
                    failure: Some(too_slow()),
                });
                gone.extend(reader.on_gone.take());
                reader.wake();
            }
        }
        gone
    }

    /// True when a pacing reader or the store lags so far behind that the model is to be held.
    pub fn is_full(&self) -> bool {
        self.lock().is_full(self.config.window_bytes)
    }

    /// Waits until the log is not full.
    ///
    /// # Cancel safety
    ///
    /// Holds nothing but a waker; can be dropped and called again.
    pub async fn writable(&self) {
        std::future::poll_fn(|cx| {
            let mut inner = self.lock();
            if inner.is_full(self.config.window_bytes) {
                inner.writer = Some(cx.waker().clone());
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        })
        .await;
    }

    /// Reads the next thing for a reader.
    pub fn poll_read(&self, id: ReaderId, cx: &Context<'_>) -> Poll<Read> {
        let mut inner = self.lock();
        let inner = &mut *inner;
        let Some(reader) = inner.readers.get_mut(&id) else {
            return Poll::Ready(Read::End(None));
        };
        loop {
            if let Some(notice) = reader.notices.pop_front() {
                return Poll::Ready(Read::Notice(notice));
            }
            if let Some(end) = &mut reader.end
                && reader.cursor >= end.after
            {
                return Poll::Ready(Read::End(end.failure.take()));
            }
            let next = reader.cursor + 1;
            if next > inner.committed {
                // What the store does not have yet comes before the end.
                if next > inner.last_sequence
                    && let Some(failure) = &inner.closed
                {
                    return Poll::Ready(Read::End(Some(failure.clone())));
                }
                reader.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            let first = inner.entries.front().map(|entry| entry.sequence);
            let at = first.and_then(|first| usize::try_from(next.checked_sub(first)?).ok());
            let Some(entry) = at.and_then(|at| inner.entries.get(at)) else {
                return Poll::Ready(Read::End(Some(too_slow())));
            };
            reader.cursor = next;
            reader.read += entry.bytes.len() as u64;
            if !reader.wants(entry) {
                continue;
            }
            let entry = entry.clone();
            if reader.paces {
                inner.wake_writer();
            }
            return Poll::Ready(Read::Entry(entry));
        }
    }
}

impl<G> Inner<G> {
    fn is_full(&self, window_bytes: usize) -> bool {
        let window = window_bytes as u64;
        self.written - self.visible > window
            || self
                .readers
                .values()
                .any(|reader| reader.paces && self.written - reader.read > window)
    }

    fn wake_writer(&mut self) {
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }

    /// Sequence number of the oldest event that is kept; one above the newest when none is.
    fn oldest(&self) -> u64 {
        let oldest = self.entries.front().map(|entry| entry.sequence);
        oldest.unwrap_or(self.last_sequence + 1)
    }

    /// Where an event stands among those that are kept, or would.
    fn position(&self, sequence: u64) -> usize {
        let at = usize::try_from(sequence.saturating_sub(self.oldest())).unwrap_or(usize::MAX);
        at.min(self.entries.len())
    }

    fn slowest(&self) -> u64 {
        let cursors = self.readers.values().map(|reader| reader.cursor);
        cursors.min().unwrap_or(u64::MAX)
    }

    /// Drops what everybody has read beyond what is kept, and the oldest beyond the bound.
    fn trim(&mut self, config: &Config) {
        let slowest = self.slowest();
        while let Some(oldest) = self.entries.front() {
            let is_read = oldest.sequence <= slowest;
            let bound = if !is_read {
                config.max_bytes
            } else if self.overall.bytes() > config.keep_bytes_overall {
                0
            } else {
                config.keep_bytes.min(config.max_bytes)
            };
            // The newest event always stays: it may be the one that says how a turn ended.
            let may_go = oldest.sequence < self.committed;
            if self.held_bytes <= bound || !may_go {
                return;
            }
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.entries.pop_front() {
            self.held_bytes -= oldest.bytes.len();
            self.overall.sub(oldest.bytes.len());
        }
    }
}

impl<G> Drop for Inner<G> {
    fn drop(&mut self) {
        self.overall.sub(self.held_bytes);
    }
}

impl<G: PartialEq> fmt::Debug for Log<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.lock();
        f.debug_struct("Log")
            .field("last_sequence", &inner.last_sequence)
            .field("held_bytes", &inner.held_bytes)
            .field("readers", &inner.readers.len())
            .finish_non_exhaustive()
    }
}

fn too_slow() -> Failure {
    Failure::new(
        Reason::SlowConsumer,
        "the events were not read in time and are no longer held",
    )
}

#[cfg(test)]
mod tests;
