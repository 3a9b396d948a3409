//! The receiving half of a conversation.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio_stream::Stream;

use crate::{
    Error, Event,
    end::End,
    line::{Line, Stop},
};

use super::{dial::Dialer, frames::Frames, outbox::Outbox};

/// Events after which the server is told that they have arrived, at the latest: a turn's worth,
/// so that a frame a turn is sent, and a few in a long one.
const EVENTS_PER_ACK: i64 = 256;

/// The receiving half of a conversation; a [`Stream`] too.
///
/// When the connection is lost it makes another and goes on where it was, as
/// [`Reconnect`](crate::Reconnect) says, while [`next`](Self::next) is awaited.
#[derive(Debug)]
#[must_use = "dropping it ends the call"]
pub struct Receiver {
    line: Line<Dialer>,
    outbox: Arc<Outbox>,
    acks: Acks,
}

/// Which events the server was told have arrived.
#[derive(Debug)]
pub(super) struct Acks {
    is_on: bool,
    last: i64,
    /// The last event that was given ended a turn.
    is_due: bool,
}

impl Receiver {
    pub(super) fn new(line: Line<Dialer>, outbox: Arc<Outbox>, acks: Acks) -> Self {
        Self { line, outbox, acks }
    }

    /// Waits for the next event; none after the conversation ended well.
    ///
    /// # Errors
    ///
    /// As [`Conversation::next`](crate::Conversation::next).
    ///
    /// # Cancel safety
    ///
    /// No event is lost when the future is dropped.
    pub async fn next(&mut self) -> Result<Option<Event>, Error> {
        poll_fn(|cx| self.poll_event(cx)).await.transpose()
    }

    /// Sequence number of the last event that was given: with it
    /// [`Setup::resume_after`](crate::Setup::resume_after) goes on in another process.
    #[must_use]
    pub fn last_sequence(&self) -> i64 {
        self.line.seen().last_sequence
    }

    /// What the session had before is not for this conversation to acknowledge.
    pub(super) fn begin_acks(&mut self) {
        self.acks.last = self.line.seen().last_sequence;
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Event, Error>>> {
        // Whoever asks for the next has handled the last.
        let handled = self.line.seen().last_sequence;
        if self.acks.is_due(handled) {
            self.outbox.with(|frames| frames.acknowledge(handled));
        }
        let Some(item) = ready!(self.line.poll_event(cx)) else {
            return Poll::Ready(None);
        };
        Poll::Ready(match item {
            Ok(event) => {
                self.acks.is_due |= event.turn_ended().is_some();
                Some(Ok(event))
            }
            Err(stop @ Stop::Lost(_)) => Some(Err(self.line.error(stop))),
            Err(stop) => self.judge(stop).map(Err),
        })
    }

    /// The error, if any, with which the stream ended: only after half-closing
    /// and between turns is an end a good one.
    fn judge(&mut self, stop: Stop) -> Option<Error> {
        let is_finished = self.outbox.with(|frames| {
            let is_finished = frames.is_finished();
            frames.end();
            is_finished
        });
        let is_good = is_finished && self.line.seen().running_turn.is_none();
        if is_good && matches!(stop, Stop::End(End::Ok)) {
            return None;
        }
        Some(self.line.error(stop))
    }
}

impl Stream for Receiver {
    type Item = Result<Event, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_event(cx)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.outbox.with(Frames::end);
    }
}

impl Acks {
    pub(super) fn new(is_on: bool) -> Self {
        Self {
            is_on,
            last: 0,
            is_due: false,
        }
    }

    /// Whether the server is to be told of the event and those before it; yes only once.
    fn is_due(&mut self, handled: i64) -> bool {
        let is_due = std::mem::take(&mut self.is_due) || handled - self.last >= EVENTS_PER_ACK;
        if !self.is_on || !is_due || handled <= self.last {
            return false;
        }
        self.last = handled;
        true
    }
}
