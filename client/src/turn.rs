//! One streamed turn, read event by event or to its end.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::runtime::Handle;
use tokio_stream::Stream;

use crate::{
    Client, Error, Event,
    end::End,
    event::{Payload, text_of},
    line::{Line, Seen, Stop},
    pb,
    request::CallSettings,
};

mod dial;

use dial::Dialer;

/// How long a dropped turn is tried to be cancelled; a guess at a slow way to the server.
const CANCEL: Duration = Duration::from_secs(10);

/// A turn whose events arrive as they happen.
///
/// Made by [`Client::stream`](crate::Client::stream), and by
/// [`Client::resume`](crate::Client::resume). When its connection is lost it goes on
/// where it was, as [`Reconnect`](crate::Reconnect) says. Dropping it cancels the turn, by a call
/// that a task in the background makes, unless the caller's own
/// [`pb::StreamOptions::on_disconnect`] says that it runs on, or another began it;
/// [`cancel`](Self::cancel) waits for that.
///
/// It is a [`Stream`] too, for those who combine several.
#[derive(Debug)]
#[must_use = "dropping it cancels the turn"]
pub struct Turn {
    line: Line<Dialer>,
    result: Option<pb::TurnResult>,
    has_failed: bool,
    runtime: Handle,
}

impl Turn {
    pub(crate) async fn open(
        client: Client,
        request: pb::InvokeRequest,
        call: CallSettings,
    ) -> Result<Self, Error> {
        let terms = call.terms(&client.endpoint, &client.reconnect);
        let dialer = Dialer::new(client, request, call, terms.deadline);
        Self::wait_for(Line::new(dialer, terms, Seen::default())).await
    }

    pub(crate) async fn resume(
        client: Client,
        session_id: String,
        turn_id: String,
        after_sequence: i64,
    ) -> Result<Self, Error> {
        let terms = CallSettings::default().terms(&client.endpoint, &client.reconnect);
        let seen = Seen {
            session_id: session_id.clone(),
            running_turn: Some(turn_id.clone()),
            last_sequence: after_sequence,
            ..Seen::default()
        };
        let dialer = Dialer::resuming(client, session_id, turn_id);
        Self::wait_for(Line::new(dialer, terms, seen)).await
    }

    async fn wait_for(line: Line<Dialer>) -> Result<Self, Error> {
        let mut turn = Self {
            line,
            result: None,
            has_failed: false,
            runtime: Handle::current(),
        };
        match poll_fn(|cx| turn.line.poll_open(cx)).await {
            Ok(()) => Ok(turn),
            Err(stop) => Err(turn.fail(stop)),
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
    /// that event, however it ended, and could not be resumed.
    /// [`Error::DeadlineExceeded`] when the request's timeout passed. After these the turn gives
    /// none. [`Error::EventsLost`] when it was resumed too late to have all events; it goes on
    /// after that, and its end is whole.
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
    /// As [`finish`](Self::finish).
    pub async fn text(mut self) -> Result<String, Error> {
        let result = self.finish().await?;
        Ok(result.message.as_ref().map(text_of).unwrap_or_default())
    }

    /// Reads to the end and gives the turn's result: reply, stop reason, usage.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next), save that lost events are none here, since the result is whole;
    /// [`result`](Self::result) then still has what the server told of a turn that failed.
    pub async fn finish(&mut self) -> Result<pb::TurnResult, Error> {
        loop {
            match self.next().await {
                Ok(Some(_)) | Err(Error::EventsLost { .. }) => {}
                Ok(None) => break,
                Err(error) => return Err(error),
            }
        }
        let result = self.result.clone();
        result.ok_or_else(|| self.line.error(Stop::Over))
    }

    /// Cancels the turn, and waits until the server has done so.
    ///
    /// A turn that has ended stays as it is.
    ///
    /// # Errors
    ///
    /// [`Error::Unreachable`] and others of the call that cancels.
    pub async fn cancel(mut self) -> Result<(), Error> {
        if self.result.is_some() {
            return Ok(());
        }
        // What is dropped from here on is cancelled already.
        self.has_failed = true;
        cancel(self.line.hand_over()).await
    }

    /// The turn's result, once it has ended, also when it failed.
    #[must_use]
    pub fn result(&self) -> Option<&pb::TurnResult> {
        self.result.as_ref()
    }

    /// The session the turn belongs to; empty before the first event told it.
    #[must_use]
    pub fn session_id(&self) -> &str {
        &self.line.seen().session_id
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Event, Error>>> {
        let Some(item) = ready!(self.line.poll_event(cx)) else {
            return Poll::Ready(None);
        };
        Poll::Ready(match item {
            Ok(event) => {
                if let Payload::TurnEnded(result) = &event.payload {
                    self.result = Some(result.as_ref().clone());
                }
                Some(Ok(event))
            }
            Err(stop) => self.judge(stop).map(Err),
        })
    }

    /// The error, if any, with which the stream ended. The turn's own last
    /// event weighs more than how the transport ended after it.
    fn judge(&mut self, stop: Stop) -> Option<Error> {
        match (stop, &self.result) {
            (Stop::End(End::Ok | End::Broken(_) | End::Late(_)), Some(result)) => {
                result.error.clone().map(Error::from)
            }
            (Stop::End(end), Some(result)) if end.may_pass() && !has_failed(result) => None,
            (stop, _) => Some(self.fail(stop)),
        }
    }

    fn fail(&mut self, stop: Stop) -> Error {
        // Where the server has told the end there is nothing left to cancel.
        self.has_failed |= matches!(stop, Stop::End(End::Status(_)));
        self.line.error(stop)
    }
}

impl Stream for Turn {
    type Item = Result<Event, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_event(cx)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let dialer = &self.line.dial;
        let is_over = self.result.is_some() || self.has_failed;
        let may_run = dialer.turn().is_some() || self.line.may_have_begun();
        if !is_over && may_run && dialer.cancels_by_call() {
            let cancelling = tokio::time::timeout(CANCEL, cancel(self.line.hand_over()));
            // Detached, since whoever drops does not wait; bounded by its own time.
            self.runtime.spawn(cancelling);
        }
    }
}

/// Cancels a turn, for which it may have to learn first which one it is.
async fn cancel(mut line: Line<Dialer>) -> Result<(), Error> {
    loop {
        if let Some((session_id, turn_id)) = line.dial.turn().cloned() {
            let client = line.dial.client().clone();
            drop(line);
            let reason = "the client went away";
            client.cancel(session_id, turn_id, reason).await?;
            return Ok(());
        }
        match poll_fn(|cx| line.poll_event(cx)).await {
            Some(Ok(_)) => {}
            // It did not begin.
            None | Some(Err(Stop::End(End::Status(_)))) => return Ok(()),
            Some(Err(stop)) => return Err(line.error(stop)),
        }
    }
}

fn has_failed(result: &pb::TurnResult) -> bool {
    match result.status() {
        pb::TurnStatus::Unspecified
        | pb::TurnStatus::Running
        | pb::TurnStatus::Cancelled
        | pb::TurnStatus::Failed => true,
        pb::TurnStatus::Paused | pb::TurnStatus::Completed | pb::TurnStatus::Interrupted => false,
    }
}
