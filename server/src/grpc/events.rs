//! A session's events as the response of a call.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_core::Stream;
use taiwa_core::Failure;
use tokio::{
    sync::oneshot,
    task::AbortHandle,
    time::{Instant, Sleep},
};
use tokio_util::task::task_tracker::TaskTrackerToken;
use tonic::{Response, Status, codec::SingleMessageCompressionOverride};

use super::{deadline, status};
use crate::session::reader::Reader;

/// The response stream of InvokeStream and Converse.
#[derive(Debug)]
pub struct Events {
    source: Source,
    /// Ends the call, where neither its turn nor its feeder does.
    deadline: Option<Pin<Box<Sleep>>>,
    /// What feeds the session with the call's frames; ends with the response.
    feeder: Option<AbortHandle>,
    /// Keeps the server from exiting before the call has ended.
    _call: TaskTrackerToken,
}

#[derive(Debug)]
enum Source {
    /// The session is being opened.
    Opening(oneshot::Receiver<Result<Reader, Failure>>),
    /// The session's events are read.
    Open(Box<Reader>),
    /// Nothing more comes.
    Ended,
}

impl Events {
    /// The events of a turn, which does not know of the deadline.
    pub(super) fn of_turn(
        reader: Reader,
        deadline: Option<Instant>,
        call: TaskTrackerToken,
    ) -> Self {
        Self {
            source: Source::Open(Box::new(reader)),
            deadline: deadline.map(|deadline| Box::pin(tokio::time::sleep_until(deadline))),
            feeder: None,
            _call: call,
        }
    }

    /// The events of a live conversation that `feeder` opens.
    pub(super) fn of_conversation(
        opening: oneshot::Receiver<Result<Reader, Failure>>,
        feeder: AbortHandle,
        call: TaskTrackerToken,
    ) -> Self {
        Self {
            source: Source::Opening(opening),
            deadline: None,
            feeder: Some(feeder),
            _call: call,
        }
    }

    /// Makes the response.
    ///
    /// Events are not compressed, even for a caller that takes gzip: a piece of text is too short
    /// to gain by it, and each would cost its own compression.
    pub(super) fn into_response(self) -> Response<Self> {
        let mut response = Response::new(self);
        response
            .extensions_mut()
            .insert(SingleMessageCompressionOverride::Disable);
        response
    }
}

impl Stream for Events {
    type Item = Result<Bytes, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(deadline) = &mut self.deadline
            && deadline.as_mut().poll(cx).is_ready()
        {
            self.deadline = None;
            self.source = Source::Ended;
            return Poll::Ready(Some(Err(status::status(&deadline::passed()))));
        }
        loop {
            match &mut self.source {
                Source::Opening(opening) => {
                    let opened = ready!(Pin::new(opening).poll(cx));
                    self.source = match opened {
                        Ok(Ok(reader)) => Source::Open(Box::new(reader)),
                        Ok(Err(failure)) => {
                            self.source = Source::Ended;
                            return Poll::Ready(Some(Err(status::status(&failure))));
                        }
                        // The feeder ends without an answer only when the caller is gone.
                        Err(_) => Source::Ended,
                    };
                }
                Source::Open(reader) => {
                    let item = ready!(Pin::new(reader.as_mut()).poll_next(cx));
                    if !matches!(item, Some(Ok(_))) {
                        self.source = Source::Ended;
                    }
                    return Poll::Ready(
                        item.map(|item| item.map_err(|failure| status::status(&failure))),
                    );
                }
                Source::Ended => return Poll::Ready(None),
            }
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        if let Some(feeder) = &self.feeder {
            feeder.abort();
        }
    }
}
