//! Every reason of the contract is brought about by a test that reads its details back.

use std::{collections::BTreeSet, fs, path::Path};

use prost_reflect::DescriptorPool;
use taiwa::v1::ErrorReason;

/// Where a reason is brought about: the test, by module and name.
const BROUGHT_ABOUT: &[(ErrorReason, &str)] = &[
    (
        ErrorReason::InvalidRequest,
        "requests::every_call_names_the_field_at_fault",
    ),
    (
        ErrorReason::ModelRejectedRequest,
        "absent::a_model_that_the_provider_does_not_know_fails_the_turn",
    ),
    (
        ErrorReason::UnsupportedContent,
        "absent::content_that_nobody_takes_is_unsupported",
    ),
    (
        ErrorReason::AgentNotFound,
        "absent::an_unknown_agent_is_told_by_every_call",
    ),
    (ErrorReason::ModelNotFound, BY_EXCEPTION),
    (
        ErrorReason::SessionNotFound,
        "absent::unknown_sessions_and_turns_are_told",
    ),
    (
        ErrorReason::TurnNotFound,
        "absent::unknown_sessions_and_turns_are_told",
    ),
    (
        ErrorReason::CallNotPending,
        "absent::a_result_that_no_call_waits_for_is_refused",
    ),
    (
        ErrorReason::TurnInProgress,
        "states::a_session_whose_turn_waits_takes_no_other",
    ),
    (
        ErrorReason::FrameOutOfOrder,
        "requests::a_setup_that_is_not_first_is_out_of_order",
    ),
    (
        ErrorReason::RequestIdReused,
        "states::a_request_id_serves_one_request",
    ),
    (
        ErrorReason::ConcurrencyLimited,
        "states::a_server_that_is_full_says_when_to_come_back",
    ),
    (ErrorReason::ModelThrottled, BY_EXCEPTION),
    (ErrorReason::QuotaExceeded, BY_EXCEPTION),
    (ErrorReason::ModelNotReady, BY_EXCEPTION),
    (
        ErrorReason::ModelTimeout,
        "faults::a_silent_model_is_given_up_and_its_connection_closed",
    ),
    (ErrorReason::ModelError, BY_EXCEPTION),
    (
        ErrorReason::OutputInvalid,
        "replies::a_reply_that_never_fits_fails_the_turn",
    ),
    (
        ErrorReason::ModelStreamError,
        "faults::a_broken_stream_ends_incomplete_with_what_was_sent",
    ),
    (ErrorReason::UpstreamInternal, BY_EXCEPTION),
    (ErrorReason::UpstreamUnavailable, BY_EXCEPTION),
    (ErrorReason::UpstreamAccessDenied, BY_EXCEPTION),
    (ErrorReason::UpstreamConflict, BY_EXCEPTION),
    (
        ErrorReason::AnswerTimeout,
        "states::a_call_that_nobody_answers_ends_its_turn",
    ),
    (
        ErrorReason::IdleTimeout,
        "states::a_conversation_in_which_nobody_speaks_is_ended",
    ),
    (
        ErrorReason::SlowConsumer,
        "states::a_reader_that_stands_still_is_cut_off",
    ),
    (
        ErrorReason::ShuttingDown,
        "states::a_server_that_stops_refuses_what_comes",
    ),
    (
        ErrorReason::DeadlineExceeded,
        "limits::a_turns_own_time_limit_cuts_it_and_keeps_what_was_sent",
    ),
    (
        ErrorReason::Cancelled,
        "states::a_turn_that_is_cancelled_says_so_to_its_reader",
    ),
    (
        ErrorReason::SessionExists,
        "kept::a_session_of_that_id_is_not_created_again",
    ),
    (
        ErrorReason::SessionEnded,
        "kept::a_session_that_is_deleted_ends_its_streams_and_is_no_more",
    ),
    (
        ErrorReason::ReplayExpired,
        "kept::a_turn_whose_events_are_gone_is_told_so_and_its_result_stays",
    ),
    (
        ErrorReason::StoreUnavailable,
        "kept::a_store_that_fails_is_told_and_nothing_is_said_to_have_happened",
    ),
    (
        ErrorReason::InputTakenOver,
        "kept::a_stream_whose_input_was_taken_over_is_told_and_its_frames_are_refused",
    ),
    (
        ErrorReason::TenantRequired,
        "kept::a_call_without_tenant_is_refused_where_tenants_are_told_apart",
    ),
    (
        ErrorReason::LimitExceeded,
        "limits::sizes_beyond_the_agents_limits_are_told_by_field",
    ),
];

const BY_EXCEPTION: &str =
    "exceptions::an_exception_before_the_stream_fails_the_turn_by_its_reason";

/// Reasons that nothing from outside brings about, and why.
const NOT_FROM_OUTSIDE: &[(ErrorReason, &str)] = &[
    (
        ErrorReason::Unspecified,
        "stands for reasons that a client does not know",
    ),
    (
        ErrorReason::Internal,
        "a fault of the server itself; how it is told is tested beside the statuses",
    ),
];

#[test]
fn every_reason_is_in_the_list_once() {
    let pool = DescriptorPool::decode(taiwa::FILE_DESCRIPTOR_SET).unwrap();
    let reasons = pool.get_enum_by_name("taiwa.v1.ErrorReason").unwrap();
    let declared: BTreeSet<i32> = reasons.values().map(|value| value.number()).collect();
    let listed = BROUGHT_ABOUT.iter().chain(NOT_FROM_OUTSIDE);
    let numbers: Vec<i32> = listed.map(|(reason, _)| i32::from(*reason)).collect();
    assert_eq!(numbers.iter().copied().collect::<BTreeSet<_>>(), declared);
    assert_eq!(numbers.len(), declared.len(), "no reason stands twice");
}

#[test]
fn every_test_of_the_list_exists_and_reads_its_reason() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/system");
    for (reason, test) in BROUGHT_ABOUT {
        let (module, name) = test.split_once("::").unwrap();
        let text = fs::read_to_string(folder.join(module).with_extension("rs")).unwrap();
        let is_test = text.contains(&format!("#[tokio::test]\nasync fn {name}("));
        assert!(is_test, "{test} is no test");
        let reads = text.contains(&format!("ErrorReason::{reason:?}"));
        assert!(reads, "{test} does not read {reason:?}");
    }
}

#[test]
fn every_reason_is_documented() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/errors.md");
    let document = fs::read_to_string(document).unwrap();
    for (reason, _) in BROUGHT_ABOUT {
        let title = format!("\n## {}\n", reason.wire_name());
        assert!(document.contains(&title), "docs/errors.md lacks {title}");
    }
}
