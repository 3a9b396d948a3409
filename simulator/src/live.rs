//! Answers that are made while they are sent.

use std::{
    task::{Context, Poll},
    time::Instant,
};

use serde_json::Value;
use tokio::sync::mpsc::Receiver;

use crate::{exception::Exception, wire::Usage};

/// What a model says, in its order: `Begun` or `Refused`, then content, then `Ended` or `Failed`.
#[cfg_attr(
    not(feature = "local-model"),
    expect(dead_code, reason = "without a model nobody says anything")
)]
#[derive(Debug)]
pub(crate) enum Event {
    /// The request was taken, and its prompt has this many tokens.
    Begun { input_tokens: u64 },
    /// The request was not taken; nothing follows.
    Refused(Exception),
    /// A piece of text.
    Text(String),
    /// A call begins; its input follows.
    Call { id: String, name: String },
    /// A piece of the input of the call that began last.
    Input(String),
    /// The answer is whole.
    Ended(Ending),
    /// The answer breaks off.
    Failed(Exception),
}

impl Event {
    /// Whether nothing follows.
    pub(crate) fn is_last(&self) -> bool {
        match self {
            Self::Refused(_) | Self::Ended(_) | Self::Failed(_) => true,
            Self::Begun { .. } | Self::Text(_) | Self::Call { .. } | Self::Input(_) => false,
        }
    }
}

/// How an answer ended, and what it took.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) stop_reason: &'static str,
    pub(crate) additional_fields: Option<Value>,
    pub(crate) usage: Usage,
}

/// An answer under way. Dropped, its making stops.
#[derive(Debug)]
pub(crate) struct Live {
    events: Receiver<Event>,
    started: Instant,
}

impl Live {
    #[cfg_attr(
        not(feature = "local-model"),
        expect(dead_code, reason = "only a model makes one")
    )]
    pub(crate) fn new(events: Receiver<Event>) -> Self {
        Self {
            events,
            started: Instant::now(),
        }
    }

    /// Waits until the request is taken, and tells the tokens of its prompt.
    ///
    /// # Errors
    ///
    /// What the model refuses it with.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses the answer's first event, so the answer must be dropped too.
    pub(crate) async fn begun(&mut self) -> Result<u64, Exception> {
        match self.events.recv().await {
            Some(Event::Begun { input_tokens }) => Ok(input_tokens),
            Some(Event::Refused(exception) | Event::Failed(exception)) => Err(exception),
            _ => Err(broken()),
        }
    }

    /// The next event; a model that went away fails.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        self.events
            .poll_recv(cx)
            .map(|event| event.unwrap_or_else(|| Event::Failed(broken())))
    }

    /// As [`Live::poll_next`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Event {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Milliseconds since the model was asked.
    pub(crate) fn latency_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

fn broken() -> Exception {
    Exception::new(
        "InternalServerException",
        "The local model stopped working; its log says why.",
    )
}
