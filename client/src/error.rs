//! What can go wrong with a call, as a type to branch on.

use std::{collections::BTreeMap, error::Error as StdError, time::Duration};

use tokio::time::Instant;
use tonic::{Code, Status, TimeoutExpired};
use tonic_types::StatusExt as _;

use crate::{pb, request::Deadline};

/// The failure of a call.
///
/// Decide by [`reason`](Self::reason) where the server gave one and by
/// [`code`](Self::code) else; the text is for people and may change.
///
/// # Troubleshooting
///
/// * [`Unreachable`](Self::Unreachable): the server does not run, or runs
///   elsewhere. `taiwa-server --offline` starts one without any account. With
///   `https://` also: the certificate is not one the client trusts.
/// * [`Server`](Self::Server): the server answered with an error;
///   [`ServerError`] says which and what to do.
/// * [`Cut`](Self::Cut): the connection or the server went away in the middle,
///   and did not come back within the bounds of [`Reconnect`](crate::Reconnect).
///   The turn may have run on: ask [`Client::turn`](crate::Client::turn).
/// * [`DeadlineExceeded`](Self::DeadlineExceeded): the time that the caller
///   gave is over; the server is told by the same deadline.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address or the TLS settings cannot be used; nothing was sent.
    #[error("{endpoint:?} cannot be called")]
    Endpoint {
        /// The address as it was given.
        endpoint: String,
        /// What is wrong with it.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// No connection to the server; nothing happened there.
    #[error("no connection to {endpoint}")]
    Unreachable {
        /// Where the server was looked for.
        endpoint: String,
        /// What the transport says.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The server refused the call, or the turn failed there.
    #[error(transparent)]
    Server(#[from] Box<ServerError>),
    /// The stream broke off before the turn, or the conversation, had ended.
    #[error("the stream broke off after event {last_sequence}, before its end")]
    Cut {
        /// The session, where it is known, to ask for the turn or to go on.
        session_id: String,
        /// The turn that was running; empty when none was.
        turn_id: String,
        /// Sequence number of the last event that arrived; zero for none.
        last_sequence: i64,
        /// What the transport says; none when the stream ended as if all were well.
        #[source]
        source: Option<Box<Status>>,
    },
    /// Events of the stream are gone for good: the server kept them no longer when
    /// the connection stood again. The stream goes on after them.
    #[error("{missing} events after event {last_sequence} are gone for good")]
    EventsLost {
        /// The session.
        session_id: String,
        /// Sequence number of the last event before the gap.
        last_sequence: i64,
        /// How many events are gone.
        missing: i64,
    },
    /// The time that the caller gave the call is over.
    #[error("the call took longer than the {allowed:?} it was given")]
    DeadlineExceeded {
        /// The time that was given.
        allowed: Duration,
    },
    /// The conversation has ended, or its sending half was closed; the
    /// receiving half says why.
    #[error("the conversation takes no more input")]
    Closed,
    /// Another conversation took over the session's input; this one may read on.
    #[error("another conversation took over the session's input")]
    InputTakenOver,
    /// The server broke the contract.
    #[error("the server broke the contract: {0}")]
    Contract(&'static str),
}

/// What a server says about a failure.
///
/// # Troubleshooting
///
/// The usual causes, by [`reason`](Self::reason):
///
/// * `INVALID_REQUEST`: [`field_violations`](Self::field_violations) has the
///   path of each bad field.
/// * `MODEL_THROTTLED`, `CONCURRENCY_LIMITED`, `MODEL_NOT_READY`: wait for
///   [`retry_delay`](Self::retry_delay), then try again.
/// * `UPSTREAM_ACCESS_DENIED`: the server's own credentials, region or model access;
///   its operator must act.
/// * `UNSPECIFIED`: something between client and server answered, such as a
///   proxy, or a server that is not Taiwa; only the code means something.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
#[non_exhaustive]
pub struct ServerError {
    /// Canonical gRPC code.
    pub code: Code,
    /// Machine-readable reason; `Unspecified` when the server gave none that
    /// this version knows.
    pub reason: pb::ErrorReason,
    /// Text for a developer.
    pub message: String,
    /// How long to wait before trying again, when the server says.
    pub retry_delay: Option<Duration>,
    /// What is wrong with the request, field by field.
    pub field_violations: Vec<FieldViolation>,
    /// Facts by key, such as `session_id`, `turn_id`, `model_id`.
    pub metadata: BTreeMap<String, String>,
    retryable: bool,
}

/// One bad field of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FieldViolation {
    /// Path of the field, such as `options.max_tokens`.
    pub field: String,
    /// What is wrong with it.
    pub description: String,
}

impl Error {
    /// The canonical gRPC code, also for failures that no server reported.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Server(error) => error.code,
            Self::Endpoint { .. } => Code::InvalidArgument,
            Self::Unreachable { .. } | Self::Cut { .. } => Code::Unavailable,
            Self::DeadlineExceeded { .. } => Code::DeadlineExceeded,
            Self::EventsLost { .. } => Code::DataLoss,
            Self::Closed | Self::InputTakenOver => Code::FailedPrecondition,
            Self::Contract(_) => Code::Internal,
        }
    }

    /// The machine-readable reason; `Unspecified` where the server gave none.
    #[must_use]
    pub fn reason(&self) -> pb::ErrorReason {
        match self {
            Self::Server(error) => error.reason,
            Self::DeadlineExceeded { .. } => pb::ErrorReason::DeadlineExceeded,
            Self::InputTakenOver => pb::ErrorReason::InputTakenOver,
            Self::Endpoint { .. }
            | Self::Unreachable { .. }
            | Self::Cut { .. }
            | Self::EventsLost { .. }
            | Self::Closed
            | Self::Contract(_) => pb::ErrorReason::Unspecified,
        }
    }

    /// What the server says about the failure, when it was the server.
    #[must_use]
    pub fn server(&self) -> Option<&ServerError> {
        match self {
            Self::Server(error) => Some(error),
            Self::Endpoint { .. }
            | Self::Unreachable { .. }
            | Self::Cut { .. }
            | Self::EventsLost { .. }
            | Self::DeadlineExceeded { .. }
            | Self::Closed
            | Self::InputTakenOver
            | Self::Contract(_) => None,
        }
    }

    /// Whether the same call may succeed later, without harm from repeating it.
    ///
    /// Says no after a [`Cut`](Self::Cut), where the turn may have run: repeat
    /// that with the same [`request_id`](crate::Request::request_id), which
    /// acts once, or ask for the turn.
    ///
    /// # Troubleshooting
    ///
    /// A call that fails again and again with a retryable error is most often
    /// throttled: honour [`retry_delay`](Self::retry_delay), and lower the
    /// number of calls in flight.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Server(error) => error.retryable,
            Self::Unreachable { .. } => true,
            Self::Endpoint { .. }
            | Self::Cut { .. }
            | Self::EventsLost { .. }
            | Self::DeadlineExceeded { .. }
            | Self::Closed
            | Self::InputTakenOver
            | Self::Contract(_) => false,
        }
    }

    /// How long to wait before trying again, when the server says.
    #[must_use]
    pub fn retry_delay(&self) -> Option<Duration> {
        self.server().and_then(|error| error.retry_delay)
    }

    /// Sorts the failure of a call whose answer had not begun.
    ///
    /// A server that ends a call at its deadline may say no more than that it is cancelled, as
    /// tonic's own does; whose deadline has passed is told so whoever was first to see it.
    pub(crate) fn opening(status: Status, endpoint: &str, deadline: Option<Deadline>) -> Self {
        match (made_here(&status), deadline) {
            (Some(Local::Timeout), Some(Deadline { allowed, .. })) => {
                Self::DeadlineExceeded { allowed }
            }
            (None, Some(Deadline { at, allowed }))
                if status.code() == Code::Cancelled
                    && status.details().is_empty()
                    && at <= Instant::now() =>
            {
                Self::DeadlineExceeded { allowed }
            }
            (Some(_), _) => Self::Unreachable {
                endpoint: endpoint.to_owned(),
                source: Box::new(status),
            },
            (None, _) => Self::from(status),
        }
    }
}

/// Reads what a server said; a status that the transport made is told apart
/// by the calls themselves.
impl From<Status> for Error {
    fn from(status: Status) -> Self {
        Self::Server(Box::new(ServerError::from(&status)))
    }
}

impl From<pb::TurnError> for Error {
    fn from(error: pb::TurnError) -> Self {
        Self::Server(Box::new(ServerError::from(error)))
    }
}

impl From<&Status> for ServerError {
    fn from(status: &Status) -> Self {
        let details = status.get_error_details();
        let (reason, metadata) = details.error_info().map_or_else(Default::default, |info| {
            let known = info.domain == taiwa::DOMAIN;
            let reason = pb::ErrorReason::from_wire_name(&info.reason).filter(|_| known);
            let metadata = info.metadata.clone().into_iter().collect();
            (reason.unwrap_or_default(), metadata)
        });
        let retry_delay = details.retry_info().and_then(|info| info.retry_delay);
        let field_violations = details.bad_request().map_or_else(Vec::new, |bad_request| {
            let violations = bad_request.field_violations.iter();
            let owned = violations.map(|violation| FieldViolation {
                field: violation.field.clone(),
                description: violation.description.clone(),
            });
            owned.collect()
        });
        Self {
            code: status.code(),
            reason,
            message: message_or_code(status.message(), status.code()),
            retry_delay,
            field_violations,
            metadata,
            retryable: details.retry_info().is_some() || may_pass(reason, status.code()),
        }
    }
}

impl From<pb::TurnError> for ServerError {
    fn from(error: pb::TurnError) -> Self {
        let code = Code::from(error.grpc_code);
        Self {
            code,
            reason: error.reason(),
            message: message_or_code(&error.message, code),
            retry_delay: error.retry_delay.and_then(|delay| delay.try_into().ok()),
            field_violations: Vec::new(),
            retryable: error.retryable,
            metadata: error.metadata,
        }
    }
}

/// How a status came about that no server sent.
pub(crate) enum Local {
    /// The deadline passed before the answer began.
    Timeout,
    /// The connection could not be made, or broke.
    Transport,
}

/// Tells a status that the transport made from one that a server sent: only
/// the former has a cause.
pub(crate) fn made_here(status: &Status) -> Option<Local> {
    let mut cause = status.source()?;
    loop {
        if cause.is::<TimeoutExpired>() {
            return Some(Local::Timeout);
        }
        match cause.source() {
            Some(deeper) => cause = deeper,
            None => return Some(Local::Transport),
        }
    }
}

/// Whether the same request may succeed later, where no status says so.
fn may_pass(reason: pb::ErrorReason, code: Code) -> bool {
    use pb::ErrorReason as Reason;

    match reason {
        Reason::Unspecified => code == Code::Unavailable,
        Reason::TurnInProgress
        | Reason::ConcurrencyLimited
        | Reason::ModelThrottled
        | Reason::ModelNotReady
        | Reason::ModelTimeout
        | Reason::ModelStreamError
        | Reason::UpstreamInternal
        | Reason::UpstreamUnavailable
        | Reason::StoreUnavailable
        | Reason::ShuttingDown => true,
        Reason::InvalidRequest
        | Reason::ModelRejectedRequest
        | Reason::UnsupportedContent
        | Reason::AgentNotFound
        | Reason::ModelNotFound
        | Reason::SessionNotFound
        | Reason::TurnNotFound
        | Reason::CallNotPending
        | Reason::FrameOutOfOrder
        | Reason::RequestIdReused
        | Reason::LimitExceeded
        | Reason::QuotaExceeded
        | Reason::ModelError
        | Reason::OutputInvalid
        | Reason::UpstreamAccessDenied
        | Reason::UpstreamConflict
        | Reason::AnswerTimeout
        | Reason::IdleTimeout
        | Reason::SlowConsumer
        | Reason::SessionEnded
        | Reason::SessionExists
        | Reason::ReplayExpired
        | Reason::InputTakenOver
        | Reason::TenantRequired
        | Reason::Internal
        | Reason::DeadlineExceeded
        | Reason::Cancelled => false,
    }
}

fn message_or_code(message: &str, code: Code) -> String {
    if message.is_empty() {
        code.description().to_owned()
    } else {
        message.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: Duration = Duration::from_millis(100);

    fn opening(status: Status, at: Instant) -> Error {
        let allowed = ALLOWED;
        Error::opening(status, "http://a", Some(Deadline { at, allowed }))
    }

    fn past() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_bare_cancel_of_the_server_after_the_deadline_is_the_deadline() {
        let error = opening(Status::cancelled("Timeout expired"), past());
        assert!(matches!(error, Error::DeadlineExceeded { allowed } if allowed == ALLOWED));
    }

    #[test]
    fn a_cancel_before_the_deadline_stays_one() {
        let later = Instant::now() + Duration::from_secs(3600);
        assert_eq!(
            opening(Status::cancelled("stopped"), later).code(),
            Code::Cancelled
        );
    }

    #[test]
    fn a_cancel_with_a_reason_stays_one_at_any_time() {
        let details = tonic_types::ErrorDetails::with_error_info("CANCELLED", taiwa::DOMAIN, []);
        let status = Status::with_error_details(Code::Cancelled, "stopped", details);
        assert_eq!(opening(status, past()).reason(), pb::ErrorReason::Cancelled);
    }
}
