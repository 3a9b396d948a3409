//! How a call ended, and whether that may pass.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::{
    ServerError,
    error::{Local, made_here},
    pb::ErrorReason as Reason,
};

/// How a call, or its opening, ended.
#[derive(Debug)]
pub(crate) enum End {
    /// With the status OK, or as if.
    Ok,
    /// The server said why.
    Status(Status),
    /// The transport gave up.
    Broken(Status),
    /// The deadline passed before the answer began.
    Late(Status),
}

impl End {
    /// Sorts the status with which a call ended.
    pub(crate) fn of(status: Status) -> Self {
        match made_here(&status) {
            Some(Local::Timeout) => Self::Late(status),
            Some(Local::Transport) => Self::Broken(status),
            None => Self::Status(status),
        }
    }

    /// Whether the way failed, not what was asked: the same may be asked again.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Ok | Self::Broken(_) => true,
            Self::Late(_) => false,
            Self::Status(status) => is_of_the_way(ServerError::from(status).reason, status.code()),
        }
    }

    /// How long the server asks to wait.
    pub(crate) fn retry_delay(&self) -> Option<Duration> {
        match self {
            Self::Status(status) => status.get_details_retry_info()?.retry_delay,
            Self::Ok | Self::Broken(_) | Self::Late(_) => None,
        }
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "every other reason is about what was asked, also those to come"
)]
fn is_of_the_way(reason: Reason, code: Code) -> bool {
    match reason {
        Reason::ShuttingDown | Reason::StoreUnavailable | Reason::SlowConsumer => true,
        // A proxy, or a server that is not up yet.
        Reason::Unspecified => code == Code::Unavailable,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn only_failures_of_the_way_may_pass() {
        for (code, reason, passes) in [
            (Code::Unavailable, "", true),
            (Code::Unavailable, "SHUTTING_DOWN", true),
            (Code::Unavailable, "STORE_UNAVAILABLE", true),
            (Code::Unavailable, "SLOW_CONSUMER", true),
            (Code::Unavailable, "UPSTREAM_UNAVAILABLE", false),
            (Code::ResourceExhausted, "MODEL_THROTTLED", false),
            (Code::Cancelled, "CANCELLED", false),
            (Code::DeadlineExceeded, "DEADLINE_EXCEEDED", false),
            (Code::Internal, "", false),
        ] {
            let details = ErrorDetails::with_error_info(reason, taiwa::DOMAIN, []);
            let end = End::of(Status::with_error_details(code, "no", details));
            assert_eq!(end.may_pass(), passes, "{code:?} {reason}");
        }
    }

    #[test]
    fn the_wait_that_a_server_asks_for_is_read() {
        let asked = Some(Duration::from_secs(3));
        let details = ErrorDetails::with_retry_info(asked);
        let end = End::of(Status::with_error_details(Code::Unavailable, "", details));
        assert_eq!(end.retry_delay(), asked);
    }
}
