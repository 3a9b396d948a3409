//! Why a call gave no result, in words that a model can act on.

use rmcp::{
    ServiceError,
    model::{ErrorCode, ErrorData},
    transport::{DynamicTransportError, streamable_http_client::StreamableHttpError},
};

use super::{TOO_LARGE, http};
use crate::Error;

/// What the SDK answers a call with whose session was begun anew before its answer had come.
const SESSION_REPLACED: &str = "session was re-initialized before the response arrived";

/// Longest text of a server that a model is told, in bytes.
const MAX_TOLD_BYTES: usize = 2 * 1024;

/// What a call does, as far as its tool says.
///
/// Only what a model is told rests on this, as a server may say what it likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It changes nothing, so a call that was lost did nothing.
    None,
    /// It may be repeated, and has no further effect.
    Repeatable,
    /// It may change something each time.
    Any,
}

/// A call that never reached the server.
pub(super) fn not_reached(server: &str, why: &str) -> Error {
    Error::Failed(format!(
        "the MCP server '{server}' was not reached, so the tool did not run: {}; \
         it is tried again in the background, so a later call may work",
        told(why)
    ))
}

/// A call of which nothing more is heard.
pub(super) fn lost(server: &str, effect: Effect, why: &str) -> Error {
    let why = told(why);
    match effect {
        Effect::None => Error::Failed(format!(
            "the answer of the MCP server '{server}' was lost: {why}; \
             the tool only reads, so it changed nothing and may be called again"
        )),
        Effect::Repeatable => Error::Unknown(format!(
            "the answer of the MCP server '{server}' was lost: {why}; \
             the tool may have run, and may be called again with the same input without harm"
        )),
        Effect::Any => Error::Unknown(format!(
            "the answer of the MCP server '{server}' was lost: {why}; \
             the tool may or may not have taken effect, so find out before it is called again"
        )),
    }
}

/// What came of a call that the SDK says has failed.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "what is not known to be harmless counts as lost, whatever the SDK adds"
)]
pub(super) fn of_call(server: &str, effect: Effect, error: ServiceError) -> Error {
    match error {
        ServiceError::McpError(error) => of_answer(server, effect, &error),
        ServiceError::TransportSend(error) => of_sending(server, effect, &error),
        ServiceError::TransportClosed => lost(server, effect, "it ended, or the connection broke"),
        ServiceError::UnexpectedResponse => {
            lost(server, effect, "what it answered is no result of a tool")
        }
        // The others are of the SDK's own time limits and subscriptions, which calls do not use.
        error => lost(server, effect, &error.to_string()),
    }
}

fn of_answer(server: &str, effect: Effect, error: &ErrorData) -> Error {
    let mut message = error.message.to_string();
    if let Some(data) = &error.data {
        message.push_str(&format!(" {data}"));
    }
    let message = told(&message);
    if error.message.contains(SESSION_REPLACED) {
        return lost(server, effect, "the server was started anew");
    }
    if error.message == TOO_LARGE {
        return Error::Failed(format!(
            "the tool ran, and the MCP server '{server}' answered with {TOO_LARGE}; ask for less"
        ));
    }
    Error::Failed(match error.code {
        ErrorCode::INVALID_PARAMS => {
            format!("the MCP server '{server}' refused the call or its input: {message}")
        }
        ErrorCode::METHOD_NOT_FOUND => {
            format!("the MCP server '{server}' does not take the call: {message}")
        }
        ErrorCode(code) => {
            format!("the MCP server '{server}' failed the call: {message} (code {code})")
        }
    })
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "what is not known to be harmless counts as lost, whatever the SDK adds"
)]
fn of_sending(server: &str, effect: Effect, error: &DynamicTransportError) -> Error {
    if let Some(status) = http::refusal(error) {
        return Error::Failed(format!(
            "the MCP server '{server}' refuses our credentials (HTTP {status}), so the tool did not \
             run; whoever runs this service has to look at them, another call will not help"
        ));
    }
    let Some(failure) = http::failure(error) else {
        // Over pipes: the message was not written whole, so nobody has read it.
        return not_reached(server, "it ended, or closed its input");
    };
    match failure {
        StreamableHttpError::Client(error) if error.is_connect() || error.is_builder() => {
            not_reached(server, "no connection can be made")
        }
        StreamableHttpError::HttpStatus(error) if error.status == 429 || error.status == 503 => {
            not_reached(server, &format!("it is busy (HTTP {})", error.status))
        }
        StreamableHttpError::HttpStatus(error) => {
            lost(server, effect, &format!("HTTP {}", error.status))
        }
        StreamableHttpError::UnexpectedServerResponse(text)
            if text.starts_with("HTTP 3") || text.starts_with("HTTP 4") =>
        {
            Error::Failed(format!(
                "the MCP server '{server}' refused the call: {}",
                told(text)
            ))
        }
        StreamableHttpError::ResponseBodyTooLarge { .. } => Error::Failed(format!(
            "the tool ran, and the MCP server '{server}' answered with {TOO_LARGE}; ask for less"
        )),
        StreamableHttpError::SessionExpired | StreamableHttpError::ReinitializationFailed(_) => {
            not_reached(server, "it has lost our session, and did not begin another")
        }
        StreamableHttpError::TransportChannelClosed => {
            lost(server, effect, "the connection was closed")
        }
        other => lost(server, effect, &other.to_string()),
    }
}

/// True when the server may be away, which is found out by asking it for something else.
pub(super) fn leaves_doubt(error: &ServiceError) -> bool {
    matches!(error, ServiceError::TransportSend(error) if http::refusal(error).is_none())
}

/// A server's words, cut to what a model needs.
fn told(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TOLD_BYTES)]
}
