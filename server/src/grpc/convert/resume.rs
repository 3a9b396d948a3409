//! A request for the events of a session again.

use taiwa::v1 as pb;
use taiwa_core::Failure;

use super::{
    delivery::{self, StreamOptions},
    identifier,
    violations::Violations,
};
use crate::session::Resumption;

/// Reads `ResumeStreamRequest`: the session, which of its events, and how they are delivered.
///
/// # Errors
///
/// `InvalidRequest`, which names the fields at fault.
pub fn resume(
    wire: pb::ResumeStreamRequest,
) -> Result<(String, Resumption, StreamOptions), Failure> {
    let mut violations = Violations::default();
    if wire.session_id.is_empty() {
        violations.refuse_field("session_id", "must be set");
    }
    let session_id = identifier::session_id(wire.session_id, &mut violations);
    let after = cursor("after_sequence", wire.after_sequence, &mut violations);
    let stream = StreamOptions {
        heartbeat: delivery::heartbeat_of(wire.heartbeat_interval, &mut violations),
        ..StreamOptions::default()
    };
    let resumption = Resumption {
        after,
        turn_id: Some(wire.turn_id).filter(|id| !id.is_empty()),
        replay_only: wire.replay_only,
    };
    violations.finish((session_id.unwrap_or_default(), resumption, stream))
}

/// Reads a cursor: the number of the last event that was handled.
pub(super) fn cursor(field: &str, given: i64, violations: &mut Violations) -> u64 {
    u64::try_from(given).unwrap_or_else(|_| {
        violations.refuse_field(field, "must not be negative");
        0
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grpc::convert::fixture;

    #[test]
    fn every_field_of_a_request_arrives() {
        let wire = pb::ResumeStreamRequest {
            session_id: "s-1".to_owned(),
            after_sequence: 7,
            turn_id: "turn_a_1".to_owned(),
            replay_only: true,
            heartbeat_interval: Some(prost_types::Duration::default()),
        };
        let (session_id, resumption, stream) = resume(wire).unwrap();
        assert_eq!(session_id, "s-1");
        assert_eq!(resumption.after, 7);
        assert_eq!(resumption.turn_id.as_deref(), Some("turn_a_1"));
        assert!(resumption.replay_only);
        assert_eq!(stream.heartbeat, None);
    }

    #[test]
    fn each_field_at_fault_is_named() {
        let wire = pb::ResumeStreamRequest {
            after_sequence: -1,
            heartbeat_interval: Some(prost_types::Duration {
                seconds: -1,
                nanos: 0,
            }),
            ..Default::default()
        };
        assert_eq!(
            fixture::fields(resume(wire)),
            ["session_id", "after_sequence", "heartbeat_interval"]
        );
    }
}
