//! Every failure as a gRPC status with details, and as an error told inside a stream.
//!
//! This is the only file that builds a failing [`Status`]. What a caller is told in a status and
//! in an event is the same: code, reason, text, facts.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use taiwa::v1 as pb;
use taiwa_core::{Failure, Reason, error::FieldViolation};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation as WireViolation, StatusExt as _};

use super::convert::time;

/// Most bytes of a status: its message and its details together.
///
/// Both travel in headers, and clients and proxies refuse headers of more than 8 KiB in all, of
/// which base64 takes its third:
/// <https://grpc.io/docs/guides/error/>.
const MAX_STATUS_BYTES: usize = 4096;

/// Most bytes of a status's text, which is sent twice: as the message, and within the details.
const MAX_MESSAGE_BYTES: usize = 640;

/// Most bytes of a fact's key and value.
const MAX_FACT_BYTES: (usize, usize) = (64, 160);

/// Most bytes of all facts.
const MAX_FACTS_BYTES: usize = 1280;

/// Most bytes of the path and of the text of a field at fault.
const MAX_VIOLATION_BYTES: (usize, usize) = (192, 320);

/// What a message or a string costs beside its bytes: tags and lengths, rounded up.
const FRAMING_BYTES: usize = 16;

/// How long a caller waits who was turned away for load, where nobody knows better.
///
/// A guess: the least that lets a token bucket of the provider's fill again.
const DEFAULT_RETRY_DELAY: Duration = Duration::from_secs(1);

/// The fact that tells how many fields are at fault, where not all are listed.
pub(super) const VIOLATIONS_TOTAL: &str = "violations_total";

/// The fact that tells how many facts there was no room for.
const FACTS_LEFT_OUT: &str = "facts_left_out";

/// Tells the status code of a reason.
pub fn code(reason: Reason) -> Code {
    match reason {
        Reason::InvalidRequest | Reason::ModelRejectedRequest | Reason::UnsupportedContent => {
            Code::InvalidArgument
        }
        Reason::AgentNotFound
        | Reason::ModelNotFound
        | Reason::SessionNotFound
        | Reason::TurnNotFound => Code::NotFound,
        // The frame is sound by itself; the state of its stream refuses it.
        Reason::CallNotPending
        | Reason::FrameOutOfOrder
        | Reason::SessionEnded
        | Reason::UpstreamAccessDenied => Code::FailedPrecondition,
        Reason::TurnInProgress | Reason::UpstreamConflict | Reason::InputTakenOver => Code::Aborted,
        Reason::ReplayExpired => Code::OutOfRange,
        Reason::TenantRequired => Code::Unauthenticated,
        Reason::RequestIdReused | Reason::SessionExists => Code::AlreadyExists,
        Reason::ConcurrencyLimited
        | Reason::LimitExceeded
        | Reason::ModelThrottled
        | Reason::QuotaExceeded
        // What is used up is the room that is kept for a reader.
        | Reason::SlowConsumer => Code::ResourceExhausted,
        Reason::ModelNotReady
        | Reason::ModelTimeout
        | Reason::ModelStreamError
        | Reason::UpstreamInternal
        | Reason::UpstreamUnavailable
        | Reason::StoreUnavailable
        | Reason::ShuttingDown => Code::Unavailable,
        // The client was waited for; a time that it knew of has passed.
        Reason::AnswerTimeout | Reason::IdleTimeout | Reason::DeadlineExceeded => {
            Code::DeadlineExceeded
        }
        Reason::Cancelled => Code::Cancelled,
        Reason::ModelError | Reason::OutputInvalid | Reason::Internal => Code::Internal,
    }
}

/// Tells the contract's name of a reason.
pub fn wire_reason(reason: Reason) -> pb::ErrorReason {
    match reason {
        Reason::InvalidRequest => pb::ErrorReason::InvalidRequest,
        Reason::ModelRejectedRequest => pb::ErrorReason::ModelRejectedRequest,
        Reason::UnsupportedContent => pb::ErrorReason::UnsupportedContent,
        Reason::AgentNotFound => pb::ErrorReason::AgentNotFound,
        Reason::ModelNotFound => pb::ErrorReason::ModelNotFound,
        Reason::SessionNotFound => pb::ErrorReason::SessionNotFound,
        Reason::TurnNotFound => pb::ErrorReason::TurnNotFound,
        Reason::CallNotPending => pb::ErrorReason::CallNotPending,
        Reason::TurnInProgress => pb::ErrorReason::TurnInProgress,
        Reason::FrameOutOfOrder => pb::ErrorReason::FrameOutOfOrder,
        Reason::SessionExists => pb::ErrorReason::SessionExists,
        Reason::SessionEnded => pb::ErrorReason::SessionEnded,
        Reason::ReplayExpired => pb::ErrorReason::ReplayExpired,
        Reason::StoreUnavailable => pb::ErrorReason::StoreUnavailable,
        Reason::InputTakenOver => pb::ErrorReason::InputTakenOver,
        Reason::TenantRequired => pb::ErrorReason::TenantRequired,
        Reason::RequestIdReused => pb::ErrorReason::RequestIdReused,
        Reason::ConcurrencyLimited => pb::ErrorReason::ConcurrencyLimited,
        Reason::LimitExceeded => pb::ErrorReason::LimitExceeded,
        Reason::ModelThrottled => pb::ErrorReason::ModelThrottled,
        Reason::QuotaExceeded => pb::ErrorReason::QuotaExceeded,
        Reason::ModelNotReady => pb::ErrorReason::ModelNotReady,
        Reason::ModelTimeout => pb::ErrorReason::ModelTimeout,
        Reason::ModelError => pb::ErrorReason::ModelError,
        Reason::OutputInvalid => pb::ErrorReason::OutputInvalid,
        Reason::ModelStreamError => pb::ErrorReason::ModelStreamError,
        Reason::UpstreamInternal => pb::ErrorReason::UpstreamInternal,
        Reason::UpstreamUnavailable => pb::ErrorReason::UpstreamUnavailable,
        Reason::UpstreamAccessDenied => pb::ErrorReason::UpstreamAccessDenied,
        Reason::UpstreamConflict => pb::ErrorReason::UpstreamConflict,
        Reason::AnswerTimeout => pb::ErrorReason::AnswerTimeout,
        Reason::IdleTimeout => pb::ErrorReason::IdleTimeout,
        Reason::SlowConsumer => pb::ErrorReason::SlowConsumer,
        Reason::ShuttingDown => pb::ErrorReason::ShuttingDown,
        Reason::DeadlineExceeded => pb::ErrorReason::DeadlineExceeded,
        Reason::Cancelled => pb::ErrorReason::Cancelled,
        Reason::Internal => pb::ErrorReason::Internal,
    }
}

/// Makes the status of a failed call.
///
/// `ErrorInfo` always, `RetryInfo` where it says when, `BadRequest` where fields are at fault.
pub fn status(failure: &Failure) -> Status {
    let told = Told::of(failure);
    let mut room = MAX_STATUS_BYTES
        .saturating_sub(2 * told.message.len() + told.facts_bytes())
        // The envelopes of the status and of its details, by their type names.
        .saturating_sub(384);
    let mut violations = Vec::with_capacity(failure.violations.len());
    for FieldViolation { field, description } in &failure.violations {
        let (field_bytes, description_bytes) = MAX_VIOLATION_BYTES;
        let field = cut(field, field_bytes);
        let description = cut(description, description_bytes);
        let cost = field.len() + description.len() + FRAMING_BYTES;
        if cost > room {
            break;
        }
        room -= cost;
        violations.push(WireViolation::new(field, description));
    }
    let mut facts = told.facts;
    if violations.len() < failure.violations.len() {
        let total = failure.violations.len().to_string();
        facts.entry(VIOLATIONS_TOTAL.to_owned()).or_insert(total);
    }
    let name = wire_reason(failure.reason).wire_name();
    let facts: HashMap<_, _> = facts.into_iter().collect();
    let mut details = ErrorDetails::with_error_info(name, taiwa::DOMAIN, facts);
    if let Some(delay) = told.retry_delay {
        details.set_retry_info(Some(delay));
    }
    if !violations.is_empty() {
        details.set_bad_request(violations);
    }
    Status::with_error_details(code(failure.reason), told.message, details)
}

/// Writes a failure as an error told inside a stream or a result.
pub fn turn_error(failure: &Failure) -> pb::TurnError {
    let told = Told::of(failure);
    pb::TurnError {
        grpc_code: code(failure.reason).into(),
        reason: wire_reason(failure.reason).into(),
        message: told.message,
        retryable: failure.reason.is_retryable(),
        retry_delay: told.retry_delay.map(time::span),
        metadata: told.facts,
    }
}

/// Makes the status of a request whose bytes are no message of its method.
pub fn undecodable(error: &prost::DecodeError) -> Status {
    let text = format!("the request is not a valid message of this method: {error}");
    status(&Failure::new(Reason::InvalidRequest, text))
}

/// Tells why a stream of requests broke off, from what tonic says of it.
pub fn of_broken_stream(status: &Status) -> Failure {
    match status.code() {
        Code::OutOfRange | Code::ResourceExhausted => {
            Failure::new(Reason::LimitExceeded, status.message())
        }
        Code::InvalidArgument | Code::Unimplemented => {
            Failure::new(Reason::InvalidRequest, status.message())
        }
        Code::Internal => {
            let text = format!(
                "the request is not framed as gRPC frames: {}",
                status.message()
            );
            Failure::new(Reason::InvalidRequest, text)
        }
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::Unavailable
        | Code::DataLoss
        | Code::Unauthenticated => {
            Failure::new(Reason::Cancelled, "the client's stream of frames broke off")
        }
    }
}

/// What a caller is told of a failure, by whichever way.
struct Told {
    message: String,
    facts: BTreeMap<String, String>,
    retry_delay: Option<Duration>,
}

impl Told {
    fn of(failure: &Failure) -> Self {
        let is_internal = failure.reason == Reason::Internal;
        let facts = facts(failure, is_internal);
        // What went wrong inside is for the log; the ids lead the operator there.
        let message = if is_internal {
            match facts.get("session_id") {
                Some(session_id) => format!("internal error in session {session_id}"),
                None => "internal error".to_owned(),
            }
        } else {
            cut(&failure.message, MAX_MESSAGE_BYTES)
        };
        Self {
            message,
            facts,
            retry_delay: retry_delay(failure),
        }
    }

    fn facts_bytes(&self) -> usize {
        self.facts.iter().map(fact_bytes).sum()
    }
}

/// The facts that a caller is told, as far as there is room.
fn facts(failure: &Failure, is_internal: bool) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::new();
    let mut room = MAX_FACTS_BYTES;
    let mut left_out = 0_usize;
    for (key, value) in &failure.metadata {
        if is_internal && !is_support_id(key) {
            continue;
        }
        let fact = (cut(key, MAX_FACT_BYTES.0), cut(value, MAX_FACT_BYTES.1));
        match room.checked_sub(fact_bytes((&fact.0, &fact.1))) {
            Some(rest) => {
                room = rest;
                facts.insert(fact.0, fact.1);
            }
            None => left_out += 1,
        }
    }
    if left_out > 0 {
        facts.insert(FACTS_LEFT_OUT.to_owned(), left_out.to_string());
    }
    facts
}

fn fact_bytes((key, value): (&String, &String)) -> usize {
    key.len() + value.len() + FRAMING_BYTES
}

fn is_support_id(key: &str) -> bool {
    matches!(key, "session_id" | "turn_id" | "request_id")
}

/// When to try again: as told, or soon where the failure is one of load.
fn retry_delay(failure: &Failure) -> Option<Duration> {
    failure.retry_after.or(match failure.reason {
        Reason::ModelThrottled
        | Reason::ConcurrencyLimited
        | Reason::StoreUnavailable
        | Reason::ShuttingDown => Some(DEFAULT_RETRY_DELAY),
        Reason::InvalidRequest
        | Reason::ModelRejectedRequest
        | Reason::UnsupportedContent
        | Reason::AgentNotFound
        | Reason::ModelNotFound
        | Reason::SessionNotFound
        | Reason::SessionExists
        | Reason::SessionEnded
        | Reason::ReplayExpired
        | Reason::InputTakenOver
        | Reason::TenantRequired
        | Reason::TurnNotFound
        | Reason::CallNotPending
        | Reason::TurnInProgress
        | Reason::FrameOutOfOrder
        | Reason::RequestIdReused
        | Reason::LimitExceeded
        | Reason::QuotaExceeded
        | Reason::ModelNotReady
        | Reason::ModelTimeout
        | Reason::ModelError
        | Reason::OutputInvalid
        | Reason::ModelStreamError
        | Reason::UpstreamInternal
        | Reason::UpstreamUnavailable
        | Reason::UpstreamAccessDenied
        | Reason::UpstreamConflict
        | Reason::AnswerTimeout
        | Reason::IdleTimeout
        | Reason::SlowConsumer
        | Reason::DeadlineExceeded
        | Reason::Cancelled
        | Reason::Internal => None,
    })
}

/// Cuts a text to at most `max_bytes`, and says how much is gone.
fn cut(text: &str, max_bytes: usize) -> String {
    // Room for the note with any count of bytes that fits memory.
    const NOTE_BYTES: usize = 32;
    if text.len() <= max_bytes {
        return text.to_owned();
    }
    let kept = &text[..text.floor_char_boundary(max_bytes.saturating_sub(NOTE_BYTES))];
    format!("{kept}… ({} bytes left out)", text.len() - kept.len())
}

#[cfg(test)]
mod tests;
