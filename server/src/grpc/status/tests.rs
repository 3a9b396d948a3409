use taiwa_core::Failure;

use super::*;

const REASONS: [Reason; 37] = [
    Reason::InvalidRequest,
    Reason::ModelRejectedRequest,
    Reason::UnsupportedContent,
    Reason::AgentNotFound,
    Reason::ModelNotFound,
    Reason::SessionNotFound,
    Reason::TurnNotFound,
    Reason::CallNotPending,
    Reason::TurnInProgress,
    Reason::FrameOutOfOrder,
    Reason::RequestIdReused,
    Reason::ConcurrencyLimited,
    Reason::LimitExceeded,
    Reason::ModelThrottled,
    Reason::QuotaExceeded,
    Reason::ModelNotReady,
    Reason::ModelTimeout,
    Reason::ModelError,
    Reason::OutputInvalid,
    Reason::ModelStreamError,
    Reason::UpstreamInternal,
    Reason::UpstreamUnavailable,
    Reason::UpstreamAccessDenied,
    Reason::UpstreamConflict,
    Reason::AnswerTimeout,
    Reason::IdleTimeout,
    Reason::SlowConsumer,
    Reason::ShuttingDown,
    Reason::SessionExists,
    Reason::SessionEnded,
    Reason::ReplayExpired,
    Reason::StoreUnavailable,
    Reason::InputTakenOver,
    Reason::TenantRequired,
    Reason::DeadlineExceeded,
    Reason::Cancelled,
    Reason::Internal,
];

fn size(status: &Status) -> usize {
    status.message().len() + status.details().len()
}

#[test]
fn every_reason_travels_under_its_own_name_with_a_code_that_fails() {
    for reason in REASONS {
        // The names in the contract are those of the variants, in capitals.
        let name = wire_reason(reason).wire_name();
        assert_eq!(name.replace('_', ""), format!("{reason:?}").to_uppercase());

        let status = status(&Failure::new(reason, "it failed"));
        assert_eq!(status.code(), code(reason));
        assert_ne!(status.code(), Code::Ok);
        let info = status.get_details_error_info().unwrap();
        assert_eq!(
            (info.reason.as_str(), info.domain.as_str()),
            (name, "taiwa.v1")
        );
    }
}

/// The codes as the contract's documents have them, by their names on the wire.
const CODES: &str = "
    INVALID_REQUEST            InvalidArgument
    MODEL_REJECTED_REQUEST     InvalidArgument
    UNSUPPORTED_CONTENT        InvalidArgument
    AGENT_NOT_FOUND            NotFound
    MODEL_NOT_FOUND            NotFound
    SESSION_NOT_FOUND          NotFound
    TURN_NOT_FOUND             NotFound
    CALL_NOT_PENDING           FailedPrecondition
    TURN_IN_PROGRESS           Aborted
    FRAME_OUT_OF_ORDER         FailedPrecondition
    REQUEST_ID_REUSED          AlreadyExists
    CONCURRENCY_LIMITED        ResourceExhausted
    LIMIT_EXCEEDED             ResourceExhausted
    MODEL_THROTTLED            ResourceExhausted
    QUOTA_EXCEEDED             ResourceExhausted
    MODEL_NOT_READY            Unavailable
    MODEL_TIMEOUT              Unavailable
    MODEL_ERROR                Internal
    OUTPUT_INVALID             Internal
    MODEL_STREAM_ERROR         Unavailable
    UPSTREAM_INTERNAL          Unavailable
    UPSTREAM_UNAVAILABLE       Unavailable
    UPSTREAM_ACCESS_DENIED     FailedPrecondition
    UPSTREAM_CONFLICT          Aborted
    ANSWER_TIMEOUT             DeadlineExceeded
    IDLE_TIMEOUT               DeadlineExceeded
    SLOW_CONSUMER              ResourceExhausted
    SHUTTING_DOWN              Unavailable
    SESSION_EXISTS             AlreadyExists
    SESSION_ENDED              FailedPrecondition
    REPLAY_EXPIRED             OutOfRange
    STORE_UNAVAILABLE          Unavailable
    INPUT_TAKEN_OVER           Aborted
    TENANT_REQUIRED            Unauthenticated
    DEADLINE_EXCEEDED          DeadlineExceeded
    CANCELLED                  Cancelled
    INTERNAL                   Internal
";

#[test]
fn every_reason_has_the_code_that_is_written_down() {
    let written: Vec<_> = CODES.split_whitespace().collect();
    let codes: Vec<_> = REASONS
        .iter()
        .flat_map(|reason| {
            let name = wire_reason(*reason).wire_name().to_owned();
            [name, format!("{:?}", code(*reason))]
        })
        .collect();
    assert_eq!(codes, written);
}

#[test]
fn a_request_that_cannot_be_decoded_is_the_callers_fault() {
    let error = <pb::Event as prost::Message>::decode(&b"\xff"[..]).unwrap_err();
    let status = undecodable(&error);
    assert_eq!(status.code(), Code::InvalidArgument);
    let info = status.get_details_error_info().unwrap();
    assert_eq!(info.reason, "INVALID_REQUEST");
}

#[test]
fn a_stream_of_frames_that_broke_off_is_told_by_what_broke_it() {
    let reason = |status: Status| of_broken_stream(&status).reason;
    let too_large = Status::out_of_range("message length too large");
    assert_eq!(reason(too_large), Reason::LimitExceeded);
    let garbage = Status::invalid_argument("not a message");
    assert_eq!(reason(garbage), Reason::InvalidRequest);
    assert_eq!(reason(Status::cancelled("reset")), Reason::Cancelled);
}

#[test]
fn an_event_tells_what_the_status_tells() {
    for reason in REASONS {
        let failure = Failure::new(reason, "it failed")
            .retry_after(Duration::from_millis(1_500))
            .fact("model_id", "vendor.model");
        let status = status(&failure);
        let error = turn_error(&failure);
        assert_eq!(error.grpc_code, i32::from(status.code()));
        assert_eq!(error.message, status.message());
        assert_eq!(error.reason(), wire_reason(reason));
        assert_eq!(error.retryable, reason.is_retryable());
        let info = status.get_details_error_info().unwrap();
        assert_eq!(
            info.metadata.into_iter().collect::<BTreeMap<_, _>>(),
            error.metadata
        );
        let told = status.get_details_retry_info().unwrap().retry_delay;
        assert_eq!(told, Some(Duration::from_millis(1_500)));
        let delay = prost_types::Duration {
            seconds: 1,
            nanos: 500_000_000,
        };
        assert_eq!(error.retry_delay, Some(delay));
    }
}

#[test]
fn who_is_turned_away_for_load_is_told_when_to_come_back() {
    for reason in REASONS {
        let status = status(&Failure::new(reason, "it failed"));
        let told = status.get_details_retry_info();
        let expected = matches!(
            reason,
            Reason::ModelThrottled
                | Reason::ConcurrencyLimited
                | Reason::StoreUnavailable
                | Reason::ShuttingDown
        );
        assert_eq!(told.is_some(), expected, "{reason:?}");
        assert!(!expected || reason.is_retryable());
    }
}

#[test]
fn fields_at_fault_are_listed() {
    let status = status(&Failure::invalid(
        "options.top_p",
        "must be between 0 and 1",
    ));
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(status.message(), "options.top_p: must be between 0 and 1");
    let listed = status.get_details_bad_request().unwrap().field_violations;
    let [one] = &listed[..] else {
        panic!("{listed:?}");
    };
    assert_eq!(one.field, "options.top_p");
    assert_eq!(one.description, "must be between 0 and 1");
}

#[test]
fn an_internal_error_tells_nothing_but_where_to_look() {
    let failure = Failure::new(Reason::Internal, "lock poisoned in store.rs")
        .fact("session_id", "s-1")
        .fact("path", "/var/lib/secret");
    let status = status(&failure);
    assert_eq!(status.message(), "internal error in session s-1");
    let metadata = status.get_details_error_info().unwrap().metadata;
    assert_eq!(metadata.len(), 1);
    assert_eq!(metadata["session_id"], "s-1");
    assert_eq!(
        turn_error(&failure).message,
        "internal error in session s-1"
    );
}

#[test]
fn however_much_there_is_to_tell_a_status_stays_small() {
    // Two bytes a character, so that a cut in the middle of one would show.
    let long = "é".repeat(20_000);
    let mut failure = Failure::new(Reason::InvalidRequest, long.clone());
    for index in 0..100 {
        failure = failure.fact(&format!("{index}{long}"), long.clone());
        failure.violations.push(FieldViolation {
            field: format!("{index}{long}"),
            description: long.clone(),
        });
    }

    let status = status(&failure);

    assert!(size(&status) <= MAX_STATUS_BYTES, "{}", size(&status));
    assert!(
        status.message().ends_with("bytes left out)"),
        "{}",
        status.message()
    );
    let details = status.get_error_details();
    let listed = &details.bad_request().unwrap().field_violations;
    assert!(!listed.is_empty() && listed.len() < 100);
    let metadata = &details.error_info().unwrap().metadata;
    assert_eq!(metadata[VIOLATIONS_TOTAL], "100");
    let left_out: usize = metadata[FACTS_LEFT_OUT].parse().unwrap();
    assert_eq!(metadata.len() - 2 + left_out, 100);
    let error = turn_error(&failure);
    assert!(prost::Message::encoded_len(&error) < MAX_STATUS_BYTES);
}

#[test]
fn many_short_violations_fill_the_room_and_no_more() {
    let mut failure = Failure::new(Reason::InvalidRequest, "many");
    for index in 0..1000 {
        failure.violations.push(FieldViolation {
            field: format!("content[{index}]"),
            description: "is empty".to_owned(),
        });
    }
    let status = status(&failure);
    assert!(size(&status) <= MAX_STATUS_BYTES);
    assert!(size(&status) > MAX_STATUS_BYTES / 2, "{}", size(&status));
}

#[test]
fn a_status_with_nothing_to_add_is_left_whole() {
    let failure = Failure::new(Reason::TurnInProgress, "another turn runs in this session")
        .fact("turn_id", "turn-1");
    let status = status(&failure);
    assert_eq!(status.code(), Code::Aborted);
    let details = status.get_error_details();
    assert!(details.retry_info().is_none() && details.bad_request().is_none());
    let metadata = &details.error_info().unwrap().metadata;
    assert_eq!(metadata.len(), 1);
}
