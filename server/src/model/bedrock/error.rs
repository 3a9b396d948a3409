//! What goes wrong with a call, in the contract's reasons.
//!
//! The caller is told what the provider said where it concerns the request; what concerns this
//! server's access goes to its log, and the caller is told that the operator must act.

mod kind;

use std::{error::Error, time::Duration};

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_bedrockruntime::{
    error::{DisplayErrorContext, ProvideErrorMetadata, SdkError},
    operation::{RequestId, converse_stream::ConverseStreamError, count_tokens::CountTokensError},
    types::error::{ConverseStreamOutputError, ModelStreamErrorException},
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::event_stream::{Message, RawMessage};
use taiwa_core::{Failure, Reason};

use self::kind::{BROKEN, INTERNAL, Kind};

/// When to come back after a throttled call for which the provider names no time.
///
/// A guess: the SDK has paused about as long before each of its own attempts.
const THROTTLED_PAUSE: Duration = Duration::from_secs(1);

/// Longest text of the provider that is passed on.
///
/// Metadata of a gRPC status must stay under about 8 KiB as a whole, and some providers quote the
/// request.
const MAX_TEXT_BYTES: usize = 1024;

/// The failure of opening a stream; `host` is the one called, if any was.
pub(super) fn of_opening(
    error: &SdkError<ConverseStreamError, HttpResponse>,
    host: Option<&str>,
) -> Failure {
    of_call(error, host, |error| {
        if let ConverseStreamError::ModelErrorException(error) = error {
            Facts {
                original_status: error.original_status_code,
                resource_name: error.resource_name.as_deref(),
                original_message: None,
            }
        } else if let ConverseStreamError::ModelStreamErrorException(error) = error {
            Facts::of_stream_error(error)
        } else {
            Facts::default()
        }
    })
}

/// The failure of counting tokens.
pub(super) fn of_counting(
    error: &SdkError<CountTokensError, HttpResponse>,
    host: Option<&str>,
) -> Failure {
    of_call(error, host, |_| Facts::default())
}

/// The failure of an open stream.
pub(super) fn of_stream(
    error: &SdkError<ConverseStreamOutputError, RawMessage>,
    request_id: Option<&str>,
) -> Failure {
    let (frame, facts, text) = if let SdkError::ServiceError(context) = error {
        let facts =
            if let ConverseStreamOutputError::ModelStreamErrorException(error) = context.err() {
                Facts::of_stream_error(error)
            } else {
                Facts::default()
            };
        (Some(context.raw()), facts, context.err().message())
    } else if let SdkError::ResponseError(context) = error {
        (Some(context.raw()), Facts::default(), None)
    } else {
        (None, Facts::default(), None)
    };
    let told = |name| {
        let Some(RawMessage::Decoded(frame)) = frame else {
            return None;
        };
        header(frame, name)
    };
    let Some(code) = told(":exception-type").or_else(|| told(":error-code")) else {
        tracing::debug!(error = %DisplayErrorContext(error), request_id, "model stream broken");
        let failure = Failure::new(BROKEN.reason, BROKEN.text);
        return with_request_id(failure, request_id);
    };
    let told = Told {
        code: Some(code),
        status: None,
        text: text.or_else(|| told(":error-message")),
        request_id,
        retry_after: None,
    };
    told.into_failure(&BROKEN, &facts)
}

/// The failure of a call whose time is up.
pub(super) fn deadline_passed() -> Failure {
    Failure::new(
        Reason::DeadlineExceeded,
        "the deadline passed before the model answered",
    )
}

/// The failure of a server that was told no region.
pub(super) fn no_region() -> Failure {
    Failure::new(
        Reason::UpstreamAccessDenied,
        "this server knows no AWS region: its operator must set AWS_REGION or --region, name a \
         profile that has one, or pass --env-file; --offline needs no account",
    )
}

/// A provider's own account of a failure.
struct Told<'a> {
    code: Option<&'a str>,
    status: Option<u16>,
    text: Option<&'a str>,
    request_id: Option<&'a str>,
    retry_after: Option<Duration>,
}

/// What single exceptions tell beside their text.
#[derive(Default)]
struct Facts<'a> {
    original_status: Option<i32>,
    resource_name: Option<&'a str>,
    original_message: Option<&'a str>,
}

impl<'a> Facts<'a> {
    fn of_stream_error(error: &'a ModelStreamErrorException) -> Self {
        Self {
            original_status: error.original_status_code,
            resource_name: None,
            original_message: error.original_message.as_deref(),
        }
    }
}

impl Told<'_> {
    fn into_failure(self, fallback: &Kind, facts: &Facts<'_>) -> Failure {
        let kind = self
            .code
            .and_then(Kind::of_code)
            .or_else(|| self.status.map(Kind::of_status))
            .unwrap_or(fallback);
        let (code, status, request_id) = (self.code, self.status, self.request_id);
        // What is not the caller's business is the operator's.
        if kind.reason == Reason::UpstreamAccessDenied {
            let text = self.text;
            tracing::error!(
                code,
                status,
                text,
                request_id,
                "bedrock denied this server access"
            );
        } else if kind.is_about_request {
            tracing::debug!(code, status, request_id, "model call failed");
        } else {
            let text = self.text;
            tracing::warn!(code, status, text, request_id, "bedrock failed");
        }
        let theirs = self
            .text
            .filter(|text| kind.is_about_request && !text.is_empty());
        let mut failure = match theirs {
            Some(theirs) => {
                Failure::new(kind.reason, format!("{}: {}", kind.text, clipped(theirs)))
            }
            None => Failure::new(kind.reason, kind.text),
        };
        let is_throttled = kind.reason == Reason::ModelThrottled;
        failure.retry_after = self.retry_after.or(is_throttled.then_some(THROTTLED_PAUSE));
        if let Some(status) = facts.original_status {
            failure = failure.fact("original_status", status.to_string());
        }
        if let Some(name) = facts.resource_name {
            failure = failure.fact("resource_name", clipped(name));
        }
        if let Some(message) = facts.original_message {
            failure = failure.fact("original_message", clipped(message));
        }
        with_request_id(failure, request_id)
    }
}

fn of_call<'a, E>(
    error: &'a SdkError<E, HttpResponse>,
    host: Option<&str>,
    facts: impl FnOnce(&'a E) -> Facts<'a>,
) -> Failure
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let request_id = error.request_id();
    if let SdkError::ServiceError(context) = error {
        let told = Told {
            code: context.err().code(),
            status: Some(context.raw().status().as_u16()),
            text: context.err().message(),
            request_id,
            retry_after: retry_after(context.raw()),
        };
        return told.into_failure(&INTERNAL, &facts(context.err()));
    }
    if let Some(credentials) = cause::<CredentialsError>(error) {
        return no_credentials(credentials);
    }
    if let SdkError::ResponseError(context) = error {
        tracing::warn!(error = %DisplayErrorContext(error), request_id, "answer not understood");
        let told = Told {
            code: None,
            status: Some(context.raw().status().as_u16()),
            text: None,
            request_id,
            retry_after: retry_after(context.raw()),
        };
        told.into_failure(&INTERNAL, &Facts::default())
    } else if let SdkError::ConstructionFailure(_) = error {
        tracing::error!(error = %DisplayErrorContext(error), "model call not sent");
        Failure::new(Reason::Internal, "the model call could not be made")
    } else {
        tracing::warn!(error = %DisplayErrorContext(error), host, "bedrock not reached");
        Failure::new(
            Reason::UpstreamUnavailable,
            match host {
                Some(host) => format!("bedrock at {host} cannot be reached"),
                None => "bedrock cannot be reached".to_owned(),
            },
        )
    }
}

fn no_credentials(error: &CredentialsError) -> Failure {
    if let CredentialsError::CredentialsNotLoaded(_) = error {
        Failure::new(
            Reason::UpstreamAccessDenied,
            "this server has no AWS credentials: none in the environment, the profile, the \
             container or the instance metadata; its operator must set AWS_PROFILE, or \
             AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, for example by --env-file; --offline needs \
             no account",
        )
    } else if let CredentialsError::ProviderTimedOut(_) = error {
        tracing::warn!(
            error = error as &dyn Error,
            "credentials not loaded in time"
        );
        Failure::new(
            Reason::UpstreamUnavailable,
            "this server could not load its AWS credentials in time",
        )
    } else {
        tracing::error!(error = error as &dyn Error, "credentials not loaded");
        Failure::new(
            Reason::UpstreamAccessDenied,
            "this server could not load its AWS credentials, and its log says why: its operator \
             must set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or mend the role \
             of the container or the instance; --offline needs no account",
        )
    }
}

fn with_request_id(failure: Failure, request_id: Option<&str>) -> Failure {
    match request_id {
        Some(id) => failure.fact("request_id", clipped(id)),
        None => failure,
    }
}

fn retry_after(response: &HttpResponse) -> Option<Duration> {
    response
        .headers()
        .get("retry-after")?
        .trim()
        .parse()
        .ok()
        .map(Duration::from_secs)
}

fn header<'a>(frame: &'a Message, name: &str) -> Option<&'a str> {
    let header = frame
        .headers()
        .iter()
        .find(|header| header.name().as_str() == name)?;
    header.value().as_string().ok().map(|value| value.as_str())
}

/// The first cause of a kind.
fn cause<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

fn clipped(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT_BYTES)]
}
