//! One streamed turn, read event by event or to its end.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio_stream::Stream;

use crate::{
    Error, Event,
    event::{Payload, text_of},
    pb,
    reader::{End, Reader},
};

/// A turn whose events arrive as they happen.
///
/// Made by [`Client::stream`](crate::Client::stream). Dropping it cancels the
/// call; what becomes of the turn then is the caller's choice in
/// [`pb::StreamOptions::on_disconnect`], and without one the turn is cancelled.
///
/// It is a [`Stream`] too, for those who combine several.
#[derive(Debug)]
#[must_use = "dropping it cancels the call"]
pub struct Turn {
    reader: Reader,
    result: Option<pb::TurnResult>,
}

impl Turn {
    pub(crate) fn new(reader: Reader) -> Self {
        Self {
            reader,
            result: None,
        }
    }

    /// Waits for the next event; none after the last one of a turn that did
    /// not fail.
    ///
    /// # Errors
    ///
    /// [`Error::Server`] when the turn failed: after its
    /// [`TurnEnded`](Payload::TurnEnded) event, which keeps what was said, and
    /// with the same reason. [`Error::Cut`] when the stream broke off before
    /// that event, however it ended. [`Error::DeadlineExceeded`] when the
    /// request's timeout passed. After an error the turn gives none.
    ///
    /// # Cancel safety
    ///
    /// No event is lost when the future is dropped.
    pub async fn next(&mut self) -> Result<Option<Event>, Error> {
        poll_fn(|cx| self.poll_event(cx)).await.transpose()
    }

    /// Reads to the end and gives the reply's text, as
    /// [`Client::invoke`](crate::Client::invoke) does.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next).
    pub async fn text(mut self) -> Result<String, Error> {
        let result = self.finish().await?;
        Ok(result.message.as_ref().map(text_of).unwrap_or_default())
    }

    /// Reads to the end and gives the turn's result: reply, stop reason, usage.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next); [`result`](Self::result) then still has what
    /// the server told of a turn that failed.
    pub async fn finish(&mut self) -> Result<pb::TurnResult, Error> {
        while self.next().await?.is_some() {}
        self.result.clone().ok_or_else(|| self.reader.cut(None))
    }

    /// The turn's result, once it has ended, also when it failed.
    #[must_use]
    pub fn result(&self) -> Option<&pb::TurnResult> {
        self.result.as_ref()
    }

    /// The session the turn belongs to; empty before the first event told it.
    #[must_use]
    pub fn session_id(&self) -> &str {
        self.reader.session_id()
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Event, Error>>> {
        let Some(item) = ready!(self.reader.poll_event(cx)) else {
            return Poll::Ready(None);
        };
        let end = match item {
            Ok(event) => {
                if let Payload::TurnEnded(result) = &event.payload {
                    self.result = Some(result.as_ref().clone());
                }
                return Poll::Ready(Some(Ok(event)));
            }
            Err(Err(error)) => return Poll::Ready(Some(Err(error))),
            Err(Ok(end)) => end,
        };
        Poll::Ready(self.judge(end).map(Err))
    }

    /// The error, if any, with which the stream ended. The turn's own last
    /// event weighs more than how the transport ended after it.
    fn judge(&mut self, end: End) -> Option<Error> {
        match (end, &self.result) {
            (End::Status(status), _) => Some(Error::from(status)),
            (End::Ok | End::Broken(_), Some(result)) => result.error.clone().map(Error::from),
            (End::Ok, None) => Some(self.reader.cut(None)),
            (End::Broken(status), None) => Some(self.reader.cut(Some(status))),
        }
    }
}

impl Stream for Turn {
    type Item = Result<Event, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_event(cx)
    }
}
