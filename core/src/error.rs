//! Why an input is refused or a turn fails.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

/// Reasons of failure, as the contract names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Reason {
    /// A field is missing, malformed or at odds with another.
    InvalidRequest,
    /// The model refused the request's form or content.
    ModelRejectedRequest,
    /// The content type is not one that the model or agent takes.
    UnsupportedContent,
    /// No such agent.
    AgentNotFound,
    /// No such model, or not in this region.
    ModelNotFound,
    /// No such session.
    SessionNotFound,
    /// No such turn.
    TurnNotFound,
    /// No such tool call waits.
    CallNotPending,
    /// Another turn runs in the session.
    TurnInProgress,
    /// A session of that id exists already.
    SessionExists,
    /// The session was deleted.
    SessionEnded,
    /// A first frame was not the first, or another frame came out of order.
    FrameOutOfOrder,
    /// The events asked for are no longer kept.
    ReplayExpired,
    /// The request id was used for a different request.
    RequestIdReused,
    /// Too many sessions, turns or queued inputs.
    ConcurrencyLimited,
    /// A limit on size was reached.
    LimitExceeded,
    /// The model provider throttled the account.
    ModelThrottled,
    /// The account's quota is used up.
    QuotaExceeded,
    /// The model is loading.
    ModelNotReady,
    /// The model took too long.
    ModelTimeout,
    /// The model failed on this request.
    ModelError,
    /// The reply did not fit the form asked for, and neither did its correction.
    OutputInvalid,
    /// The model's stream broke.
    ModelStreamError,
    /// The provider had an internal error.
    UpstreamInternal,
    /// The provider is not available.
    UpstreamUnavailable,
    /// The provider denied this server access.
    UpstreamAccessDenied,
    /// The provider reported a conflict.
    UpstreamConflict,
    /// A client tool was not answered in time.
    AnswerTimeout,
    /// The client was silent too long.
    IdleTimeout,
    /// A reader too slow for its stream was cut off.
    SlowConsumer,
    /// The server is shutting down.
    ShuttingDown,
    /// The deadline of the call or of the turn passed.
    DeadlineExceeded,
    /// The turn was cancelled.
    Cancelled,
    /// The store could not be written or read.
    StoreUnavailable,
    /// Another Converse stream took over the session's input.
    InputTakenOver,
    /// The caller named no tenant where the server wants one.
    TenantRequired,
    /// A fault of this server.
    Internal,
}

impl Reason {
    /// Tells whether the same request may succeed later.
    pub fn is_retryable(self) -> bool {
        match self {
            Self::TurnInProgress
            | Self::ConcurrencyLimited
            | Self::ModelThrottled
            | Self::ModelNotReady
            | Self::ModelTimeout
            | Self::ModelStreamError
            | Self::UpstreamInternal
            | Self::UpstreamUnavailable
            | Self::ShuttingDown
            | Self::StoreUnavailable => true,
            Self::InvalidRequest
            | Self::ModelRejectedRequest
            | Self::UnsupportedContent
            | Self::AgentNotFound
            | Self::ModelNotFound
            | Self::SessionNotFound
            | Self::TurnNotFound
            | Self::CallNotPending
            | Self::SessionExists
            | Self::SessionEnded
            | Self::FrameOutOfOrder
            | Self::ReplayExpired
            | Self::InputTakenOver
            | Self::TenantRequired
            | Self::RequestIdReused
            | Self::LimitExceeded
            | Self::QuotaExceeded
            | Self::ModelError
            | Self::OutputInvalid
            | Self::UpstreamAccessDenied
            | Self::UpstreamConflict
            | Self::AnswerTimeout
            | Self::IdleTimeout
            | Self::SlowConsumer
            | Self::DeadlineExceeded
            | Self::Cancelled
            | Self::Internal => false,
        }
    }
}

/// What a caller is told of a failure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct Failure {
    /// The reason, for programs.
    pub reason: Reason,
    /// The text, for developers: lower case, without full stop; holds no internals.
    pub message: String,
    /// How long to wait before trying again, when known.
    pub retry_after: Option<Duration>,
    /// Fields at fault, for a bad request.
    pub violations: Vec<FieldViolation>,
    /// Facts named in the message, by key.
    pub metadata: BTreeMap<String, String>,
}

/// What is wrong with one field of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldViolation {
    /// The field's path, such as `options.temperature` or `messages[2].content[0].image`.
    pub field: String,
    /// What is wrong, and what would be right.
    pub description: String,
}

impl Failure {
    /// Makes a failure with a reason and a text alone.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            retry_after: None,
            violations: Vec::new(),
            metadata: BTreeMap::new(),
        }
    }

    /// Makes the failure of a request whose field is at fault.
    pub fn invalid(field: impl Into<String>, description: impl Into<String>) -> Self {
        let violation = FieldViolation {
            field: field.into(),
            description: description.into(),
        };
        let message = format!("{}: {}", violation.field, violation.description);
        Self {
            violations: vec![violation],
            ..Self::new(Reason::InvalidRequest, message)
        }
    }

    /// Makes the failure of what a server that stops does not take or finish any more.
    ///
    /// The server that takes its place is up within seconds; the delay is a guess that spreads
    /// the clients.
    pub fn shutting_down() -> Self {
        Self::new(Reason::ShuttingDown, "the server is shutting down")
            .retry_after(Duration::from_secs(1))
    }

    /// Makes the failure of a fault of this server, which says nothing of its inside.
    pub fn internal() -> Self {
        Self::new(Reason::Internal, "internal error")
    }

    /// Adds how long to wait before trying again.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// Adds a fact.
    #[must_use]
    pub fn fact(mut self, key: &str, value: impl Into<String>) -> Self {
        self.metadata.insert(key.to_owned(), value.into());
        self
    }
}
