//! The table of failures: exceptions and statuses of the provider, and what they are to callers.

use taiwa_core::Reason;

/// A kind of failure: its reason, our text, and whether the provider's own text is the caller's
/// business.
pub(super) struct Kind {
    /// The reason, for programs.
    pub(super) reason: Reason,
    /// The text for the caller.
    pub(super) text: &'static str,
    /// The provider's own text goes with ours.
    pub(super) is_about_request: bool,
}

const DENIED: Kind = Kind {
    reason: Reason::UpstreamAccessDenied,
    text: "this server may not use the model: its operator must grant it access",
    is_about_request: false,
};
const CONFLICT: Kind = Kind {
    reason: Reason::UpstreamConflict,
    text: "bedrock reports a conflict",
    is_about_request: false,
};
/// A fault of the provider.
pub(super) const INTERNAL: Kind = Kind {
    reason: Reason::UpstreamInternal,
    text: "bedrock had an internal error",
    is_about_request: false,
};
const UNAVAILABLE: Kind = Kind {
    reason: Reason::UpstreamUnavailable,
    text: "bedrock is not available",
    is_about_request: false,
};
const FAILED: Kind = Kind {
    reason: Reason::ModelError,
    text: "the model failed",
    is_about_request: true,
};
const NOT_READY: Kind = Kind {
    reason: Reason::ModelNotReady,
    text: "the model is not ready",
    is_about_request: true,
};
/// A stream that broke off.
pub(super) const BROKEN: Kind = Kind {
    reason: Reason::ModelStreamError,
    text: "the model's stream broke off",
    is_about_request: true,
};
const TIMEOUT: Kind = Kind {
    reason: Reason::ModelTimeout,
    text: "the model took too long",
    is_about_request: true,
};
const NOT_FOUND: Kind = Kind {
    reason: Reason::ModelNotFound,
    text: "there is no such model in this region",
    is_about_request: true,
};
const QUOTA: Kind = Kind {
    reason: Reason::QuotaExceeded,
    text: "the quota is used up",
    is_about_request: true,
};
const THROTTLED: Kind = Kind {
    reason: Reason::ModelThrottled,
    text: "the model is throttled",
    is_about_request: true,
};
const REJECTED: Kind = Kind {
    reason: Reason::ModelRejectedRequest,
    text: "the model refused the request",
    is_about_request: true,
};

impl Kind {
    /// The kind of an exception's name; within a stream names begin with a small letter.
    ///
    /// Names and meanings:
    /// <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html>
    /// and <https://docs.aws.amazon.com/bedrock/latest/APIReference/CommonErrors.html>.
    pub(super) fn of_code(code: &str) -> Option<&'static Self> {
        let mut name = code.strip_suffix("Exception").unwrap_or(code).to_owned();
        name.get_mut(..1)?.make_ascii_uppercase();
        Some(match name.as_str() {
            "AccessDenied"
            | "ExpiredToken"
            | "IncompleteSignature"
            | "InvalidClientTokenId"
            | "InvalidSignature"
            | "MissingAuthenticationToken"
            | "NotAuthorized"
            | "OptInRequired"
            | "RequestExpired"
            | "SignatureDoesNotMatch"
            | "UnrecognizedClient" => &DENIED,
            "Conflict" => &CONFLICT,
            "InternalFailure" | "InternalServer" => &INTERNAL,
            "ModelError" => &FAILED,
            "ModelNotReady" => &NOT_READY,
            "ModelStreamError" => &BROKEN,
            "ModelTimeout" => &TIMEOUT,
            "ResourceNotFound" => &NOT_FOUND,
            "ServiceQuotaExceeded" => &QUOTA,
            "ServiceUnavailable" => &UNAVAILABLE,
            "RequestLimitExceeded" | "Throttled" | "Throttling" | "TooManyRequests" => &THROTTLED,
            "Validation" | "ValidationError" => &REJECTED,
            _ => return None,
        })
    }

    /// The kind of a status without a known name, as a gateway on the way may give it.
    pub(super) fn of_status(status: u16) -> &'static Self {
        match status {
            401 | 403 => &DENIED,
            404 => &NOT_FOUND,
            408 => &TIMEOUT,
            409 => &CONFLICT,
            424 => &FAILED,
            429 => &THROTTLED,
            400..=499 => &REJECTED,
            502..=504 => &UNAVAILABLE,
            _ => &INTERNAL,
        }
    }
}
