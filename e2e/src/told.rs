//! What a caller is told of a failure, read back from a status or from a result.

use std::{collections::BTreeMap, time::Duration};

use taiwa::v1 as pb;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// A failure as its receiver sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// The code.
    pub code: Code,
    /// The reason.
    pub reason: pb::ErrorReason,
    /// The text.
    pub message: String,
    /// The facts.
    pub metadata: BTreeMap<String, String>,
    /// When to try again.
    pub retry_delay: Option<Duration>,
    /// The paths of the fields at fault; told in statuses alone.
    pub fields: Vec<String>,
}

impl Told {
    /// Reads a status; its `ErrorInfo` must be there, of our domain and with a known reason.
    ///
    /// # Panics
    ///
    /// When it is not.
    pub fn of(status: &Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info();
        let info = info.unwrap_or_else(|| panic!("no ErrorInfo in {status:?}"));
        assert_eq!(info.domain, taiwa::DOMAIN, "{status:?}");
        let reason = pb::ErrorReason::from_wire_name(&info.reason);
        let fields = details.bad_request().map(|bad| {
            let violations = bad.field_violations.iter();
            violations.map(|violation| violation.field.clone())
        });
        Self {
            code: status.code(),
            reason: reason.unwrap_or_else(|| panic!("unknown reason in {status:?}")),
            message: status.message().to_owned(),
            metadata: info.metadata.clone().into_iter().collect(),
            retry_delay: details.retry_info().and_then(|info| info.retry_delay),
            fields: fields.into_iter().flatten().collect(),
        }
    }

    /// Reads the error of a result or of a refused frame.
    ///
    /// # Panics
    ///
    /// When its delay is no duration.
    pub fn of_turn(error: &pb::TurnError) -> Self {
        let delay = error.retry_delay.map(Duration::try_from);
        Self {
            code: Code::from(error.grpc_code),
            reason: error.reason(),
            message: error.message.clone(),
            metadata: error.metadata.clone().into_iter().collect(),
            retry_delay: delay.transpose().expect("a delay is not negative"),
            fields: Vec::new(),
        }
    }

    /// The same without the ids, which differ between calls.
    #[must_use]
    pub fn without_ids(mut self) -> Self {
        for id in ["session_id", "turn_id", "request_id"] {
            self.metadata.remove(id);
        }
        self
    }
}
