//! The receiving half of a conversation.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::sync::mpsc;
use tokio_stream::Stream;

use crate::{
    Error, Event, pb,
    reader::{End, Reader},
};

/// The receiving half of a conversation; a [`Stream`] too.
#[derive(Debug)]
#[must_use = "dropping it ends the call"]
pub struct Receiver {
    reader: Reader,
    sending: mpsc::WeakSender<pb::ConverseRequest>,
}

impl Receiver {
    pub(super) fn new(reader: Reader, sending: mpsc::WeakSender<pb::ConverseRequest>) -> Self {
        Self { reader, sending }
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

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Event, Error>>> {
        let Some(item) = ready!(self.reader.poll_event(cx)) else {
            return Poll::Ready(None);
        };
        Poll::Ready(match item {
            Ok(event) => Some(Ok(event)),
            Err(Err(error)) => Some(Err(error)),
            Err(Ok(end)) => self.judge(end).map(Err),
        })
    }

    /// The error, if any, with which the stream ended: only after half-closing
    /// and between turns is an end a good one.
    fn judge(&mut self, end: End) -> Option<Error> {
        match end {
            End::Status(status) => Some(Error::from(status)),
            End::Broken(status) => Some(self.reader.cut(Some(status))),
            End::Ok if self.reader.is_turn_running() || self.sending.strong_count() > 0 => {
                Some(self.reader.cut(None))
            }
            End::Ok => None,
        }
    }
}

impl Stream for Receiver {
    type Item = Result<Event, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_event(cx)
    }
}
