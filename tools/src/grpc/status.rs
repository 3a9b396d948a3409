//! What a service says of a failure, in words that a model can act on.

use std::{error::Error, fmt::Write as _};

use tonic::{Code, Status};
use tonic_types::{ErrorDetail, StatusExt as _};

/// The name of a status's code, its message, and its details but for stack traces.
pub(super) fn words(status: &Status) -> String {
    let mut text = code_name(status.code()).to_owned();
    if !status.message().is_empty() {
        let _ = write!(text, ": {}", status.message());
    }
    for detail in status.get_error_details_vec() {
        for line in lines(detail) {
            let _ = write!(text, "\n- {line}");
        }
    }
    text
}

/// Why a call came to nothing, in one line: the message, and what brought it about.
pub(super) fn reason(status: &Status) -> String {
    let mut text = match status.message() {
        "" => code_name(status.code()).to_owned(),
        message => message.to_owned(),
    };
    let mut source = status.source();
    while let Some(error) = source {
        let cause = error.to_string();
        if !text.contains(&cause) {
            let _ = write!(text, ": {cause}");
        }
        source = error.source();
    }
    text
}

fn lines(detail: ErrorDetail) -> Vec<String> {
    match detail {
        ErrorDetail::BadRequest(bad) => bad
            .field_violations
            .into_iter()
            .map(|violation| format!("field {}: {}", violation.field, violation.description))
            .collect(),
        ErrorDetail::PreconditionFailure(failure) => failure
            .violations
            .into_iter()
            .map(|v| format!("not met: {} of {}: {}", v.r#type, v.subject, v.description))
            .collect(),
        ErrorDetail::QuotaFailure(failure) => failure
            .violations
            .into_iter()
            .map(|violation| format!("quota of {}: {}", violation.subject, violation.description))
            .collect(),
        ErrorDetail::RetryInfo(retry) => retry
            .retry_delay
            .map(|delay| format!("may be called again after {delay:?}"))
            .into_iter()
            .collect(),
        ErrorDetail::ErrorInfo(info) => {
            let mut metadata: Vec<_> = info
                .metadata
                .into_iter()
                .map(|(name, value)| format!("{name} = {value}"))
                .collect();
            metadata.sort_unstable();
            let mut line = format!("reason: {} ({})", info.reason, info.domain);
            if !metadata.is_empty() {
                let _ = write!(line, ", {}", metadata.join(", "));
            }
            vec![line]
        }
        ErrorDetail::ResourceInfo(resource) => vec![format!(
            "resource: {} {}: {}",
            resource.resource_type, resource.resource_name, resource.description
        )],
        ErrorDetail::RequestInfo(request) => vec![format!("request: {}", request.request_id)],
        ErrorDetail::Help(help) => help
            .links
            .into_iter()
            .map(|link| format!("help: {}: {}", link.description, link.url))
            .collect(),
        ErrorDetail::LocalizedMessage(message) => vec![message.message],
        // Stack traces are for the service's operators; other details are of types we do not know.
        ErrorDetail::DebugInfo(_) | _ => Vec::new(),
    }
}

/// The name under which gRPC's documents know a code.
fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
