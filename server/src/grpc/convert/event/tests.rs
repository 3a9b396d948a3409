use std::time::Duration;

use pb::content_block::Block as WireBlock;
use taiwa_core::{
    Block, Failure, Message, Reason, Role, StopReason, TurnResult, TurnStatus, Usage,
    guardrail::{GuardrailFinding, GuardrailOutcome, GuardrailPolicy, GuardrailSubject},
    media::{ImageFormat, S3Object},
    message::{CacheTtl, Citation, Marking, Origin, Reasoning},
    tool::{ApprovalRequest, CallStatus, CallUpdate, Executor, Resolved, ToolCall, ToolResult},
    usage::{CacheWrite, GrantedService, TurnMetrics},
};

use super::*;
use crate::grpc::convert::{delivery::EventClass, fixture};

fn encoder() -> Encoder {
    Encoder::new("s-1".into(), "assistant".into())
}

fn event(payload: Payload) -> Event {
    Event {
        sequence: 7,
        turn_id: Some("turn-1".into()),
        step_index: 2,
        block_index: 3,
        payload,
    }
}

/// What a reader decodes of an event.
fn told(payload: Payload) -> Wire {
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_500);
    let bytes = encoder().encode(event(payload), at);
    let decoded = pb::Event::decode(bytes).unwrap();
    assert_eq!(
        (decoded.sequence, decoded.turn_id.as_str()),
        (7, "turn-1"),
        "{decoded:?}"
    );
    assert_eq!((decoded.step_index, decoded.block_index), (2, 3));
    let expected = prost_types::Timestamp {
        seconds: 1,
        nanos: 500_000_000,
    };
    assert_eq!(decoded.event_time, Some(expected));
    decoded.payload.unwrap()
}

fn call() -> ToolCall {
    ToolCall {
        id: "call-1".to_owned(),
        name: "search".to_owned(),
        input_json: "{}".to_owned(),
        executor: Executor::Client,
        expires: Some(fixture::moment() + Duration::from_secs(60)),
        idempotency_key: "key".to_owned(),
    }
}

fn wire_call() -> pb::ToolCall {
    pb::ToolCall {
        tool_call_id: "call-1".to_owned(),
        tool_name: "search".to_owned(),
        input_json: "{}".to_owned(),
        executor: pb::ToolExecutor::Client.into(),
        expire_time: Some(prost_types::Timestamp {
            seconds: 1_700_000_060,
            nanos: 0,
        }),
        idempotency_key: "key".to_owned(),
    }
}

fn usage() -> Usage {
    Usage {
        input_tokens: 10,
        output_tokens: u64::MAX,
        total_tokens: 30,
        cache_read_tokens: 4,
        cache_write_tokens: 5,
        cache_writes: vec![CacheWrite {
            ttl: CacheTtl::OneHour,
            tokens: 5,
        }],
        model_calls: 2,
        tool_calls: 1,
        cost: Some(2_500_000_000),
        estimated: true,
    }
}

fn wire_usage() -> pb::Usage {
    pb::Usage {
        input_tokens: 10,
        output_tokens: i32::MAX,
        total_tokens: 30,
        cache_read_tokens: 4,
        cache_write_tokens: 5,
        cache_writes: vec![pb::CacheWrite {
            ttl: "1h".to_owned(),
            tokens: 5,
        }],
        model_calls: 2,
        tool_calls: 1,
        cost_usd: Some(0.0025),
        estimated: true,
    }
}

fn reduced() -> Reduced {
    let summary = Message {
        marking: Marking::Summary,
        ..Message::user(vec![Block::Text("They spoke".to_owned())])
    };
    Reduced {
        how: Reduction::Summarize,
        omitted_messages: 4,
        tokens_before: 120_000,
        tokens_after: u64::MAX,
        summary: Some(Arc::new(summary)),
    }
}

fn turn() -> TurnResult {
    let message = Message {
        role: Role::Assistant,
        content: vec![
            Block::Reasoning(Reasoning::Text {
                text: "hm".to_owned(),
                signature: Some("sig".to_owned()),
            }),
            Block::Text("hello".to_owned()),
        ],
        origin: Some(Origin {
            message_id: "msg-1".to_owned(),
            turn_id: "turn-1".to_owned(),
            created: fixture::moment() + Duration::from_secs(1),
        }),
        marking: Marking::Unmarked,
    };
    let message = Arc::new(message);
    TurnResult {
        turn_id: "turn-1".into(),
        session_id: "s-1".into(),
        status: TurnStatus::Paused,
        stop_reason: Some(StopReason::ToolUse),
        stop_detail: "detail".to_owned(),
        message: Some(Arc::clone(&message)),
        intermediate_messages: vec![message],
        pending_tool_calls: vec![call()],
        pending_approvals: vec![approval_request()],
        output_json: r#"{"b":2}"#.to_owned(),
        usage: usage(),
        metrics: TurnMetrics {
            total: Duration::from_secs(3),
            time_to_first_output: Some(Duration::from_millis(250)),
            model_latency: Duration::from_secs(2),
            tool_time: Duration::from_millis(7),
            waiting_time: Duration::ZERO,
            guardrail_time: Duration::from_millis(1),
            retries: 1,
        },
        guardrails: vec![guardrail()],
        model_id: "vendor.model-v1:0".to_owned(),
        additional_fields_json: r#"{"a":1}"#.to_owned(),
        granted: GrantedService {
            tier: "flex".to_owned(),
            latency: "standard".to_owned(),
        },
        failure: Some(Failure::new(Reason::ModelStreamError, "the stream broke")),
        last_sequence: 12,
    }
}

fn approval_request() -> ApprovalRequest {
    let call = ToolCall {
        executor: Executor::Server,
        ..call()
    };
    ApprovalRequest {
        id: "approval-1".to_owned(),
        call,
        reason: "it costs money".to_owned(),
        expires: fixture::moment() + Duration::from_secs(300),
        digest: [7; 32],
    }
}

fn wire_approval_request() -> pb::ApprovalRequest {
    pb::ApprovalRequest {
        approval_id: "approval-1".to_owned(),
        tool_call: Some(pb::ToolCall {
            executor: pb::ToolExecutor::Server.into(),
            ..wire_call()
        }),
        reason: "it costs money".to_owned(),
        expire_time: Some(prost_types::Timestamp {
            seconds: 1_700_000_300,
            nanos: 0,
        }),
        digest: Bytes::from_static(&[7; 32]),
    }
}

fn guardrail() -> GuardrailOutcome {
    GuardrailOutcome {
        subject: GuardrailSubject::Output,
        intervened: true,
        action_reason: "blocked".to_owned(),
        guardrail_id: "gr1".to_owned(),
        version: "1".to_owned(),
        findings: vec![GuardrailFinding {
            policy: GuardrailPolicy::ContextualGrounding,
            name: "GROUNDING".to_owned(),
            action: "BLOCKED".to_owned(),
            matched: "words".to_owned(),
            confidence: "HIGH".to_owned(),
            score: Some(0.25),
            threshold: Some(0.5),
            detected: true,
        }],
        latency: Some(Duration::from_millis(9)),
        usage_units: [("topic".to_owned(), 2)].into_iter().collect(),
        assessment_json: "{}".to_owned(),
    }
}

fn wire_guardrail() -> pb::GuardrailOutcome {
    pb::GuardrailOutcome {
        subject: pb::GuardrailSubject::Output.into(),
        intervened: true,
        action_reason: "blocked".to_owned(),
        guardrail_id: "gr1".to_owned(),
        version: "1".to_owned(),
        findings: vec![pb::GuardrailFinding {
            policy: pb::GuardrailPolicy::ContextualGrounding.into(),
            name: "GROUNDING".to_owned(),
            action: "BLOCKED".to_owned(),
            r#match: "words".to_owned(),
            confidence: "HIGH".to_owned(),
            score: Some(0.25),
            threshold: Some(0.5),
            detected: true,
        }],
        latency: Some(span(0, 9_000_000)),
        usage_units: [("topic".to_owned(), 2)].into_iter().collect(),
        assessment_json: "{}".to_owned(),
    }
}

fn span(seconds: i64, nanos: i32) -> prost_types::Duration {
    prost_types::Duration { seconds, nanos }
}

#[test]
fn pieces_of_output_arrive_as_they_were() {
    let text = told(Payload::TextDelta("Hel".to_owned()));
    assert_eq!(
        text,
        Wire::TextDelta(pb::TextDelta {
            text: "Hel".to_owned()
        })
    );

    use pb::reasoning_delta::Delta;
    let redacted = Bytes::from_static(b"\x01");
    for (piece, expected) in [
        (
            ReasoningDelta::Text("hm".to_owned()),
            Delta::Text("hm".to_owned()),
        ),
        (
            ReasoningDelta::Signature("sig".to_owned()),
            Delta::Signature("sig".to_owned()),
        ),
        (
            ReasoningDelta::Redacted(redacted.clone()),
            Delta::Redacted(redacted.clone()),
        ),
    ] {
        let delta = Some(expected);
        let expected = Wire::ReasoningDelta(pb::ReasoningDelta { delta });
        assert_eq!(told(Payload::ReasoningDelta(piece)), expected);
    }

    let piece = |input: &str, text: &str, json: &str| {
        Wire::ToolCallDelta(pb::ToolCallDelta {
            tool_call_id: "call-1".to_owned(),
            input_json: input.to_owned(),
            result_text: text.to_owned(),
            result_json: json.to_owned(),
        })
    };
    for (given, expected) in [
        (ToolCallPiece::Input("{".to_owned()), piece("{", "", "")),
        (
            ToolCallPiece::ResultText("x".to_owned()),
            piece("", "x", ""),
        ),
        (
            ToolCallPiece::ResultJson("{}".to_owned()),
            piece("", "", "{}"),
        ),
    ] {
        let call_id = "call-1".into();
        let given = Payload::ToolCallDelta {
            call_id,
            piece: given,
        };
        assert_eq!(told(given), expected);
    }

    let citation = Citation {
        title: "Report".to_owned(),
        ..Citation::default()
    };
    let expected = pb::Citation {
        title: "Report".to_owned(),
        ..Default::default()
    };
    assert_eq!(
        told(Payload::CitationDelta(citation)),
        Wire::CitationDelta(pb::CitationDelta {
            citation: Some(expected)
        })
    );
}

#[test]
fn pieces_of_an_image_tell_bytes_place_or_error() {
    let object = S3Object {
        uri: "s3://bucket/image.png".to_owned(),
        bucket_owner: None,
    };
    let wire_object = pb::S3Object {
        uri: "s3://bucket/image.png".to_owned(),
        bucket_owner: String::new(),
    };
    let bytes = Bytes::from_static(fixture::PNG);
    let cases = [
        (
            ImageDelta::Data(bytes.clone()),
            pb::ImageDelta {
                data: bytes,
                ..Default::default()
            },
        ),
        (
            ImageDelta::Object(object),
            pb::ImageDelta {
                s3: Some(wire_object),
                ..Default::default()
            },
        ),
        (
            ImageDelta::Error("refused".to_owned()),
            pb::ImageDelta {
                error: "refused".to_owned(),
                ..Default::default()
            },
        ),
    ];
    for (given, expected) in cases {
        let told = told(Payload::ImageDelta(given));
        assert_eq!(told, Wire::ImageDelta(expected));
    }
}

#[test]
fn blocks_begin_with_what_is_known_of_them() {
    let started = |kind: pb::BlockKind, id: &str, name: &str, media_type: &str| {
        Wire::BlockStarted(pb::BlockStarted {
            kind: kind.into(),
            tool_call_id: id.to_owned(),
            tool_name: name.to_owned(),
            media_type: media_type.to_owned(),
        })
    };
    let tool_call = BlockKind::ToolCall {
        id: "call-1".into(),
        name: "search".to_owned(),
    };
    let tool_result = BlockKind::ToolResult {
        call_id: "call-1".into(),
    };
    let image = BlockKind::Image(ImageFormat::Webp);
    let cases = [
        (BlockKind::Text, started(pb::BlockKind::Text, "", "", "")),
        (
            BlockKind::Reasoning,
            started(pb::BlockKind::Reasoning, "", "", ""),
        ),
        (
            tool_call,
            started(pb::BlockKind::ToolCall, "call-1", "search", ""),
        ),
        (
            tool_result,
            started(pb::BlockKind::ToolResult, "call-1", "", ""),
        ),
        (image, started(pb::BlockKind::Image, "", "", "image/webp")),
    ];
    for (given, expected) in cases {
        assert_eq!(told(Payload::BlockStarted(given)), expected);
    }
    let block = Some(fixture::text("hello"));
    assert_eq!(
        told(Payload::BlockCompleted(Block::Text("hello".to_owned()))),
        Wire::BlockCompleted(pb::BlockCompleted { block })
    );
}

#[test]
fn frames_are_answered_with_what_was_done() {
    let outcomes = [
        (FrameOutcome::Applied, pb::FrameOutcome::Applied),
        (FrameOutcome::StartedTurn, pb::FrameOutcome::StartedTurn),
        (FrameOutcome::Queued, pb::FrameOutcome::Queued),
        (FrameOutcome::Steered, pb::FrameOutcome::Steered),
        (FrameOutcome::Interrupted, pb::FrameOutcome::Interrupted),
        (FrameOutcome::TooLate, pb::FrameOutcome::TooLate),
    ];
    for (outcome, expected) in outcomes {
        let receipt = FrameAccepted {
            frame_id: "f1".to_owned(),
            duplicate: true,
            outcome,
            turn_id: Some("turn-2".into()),
            queue_position: u32::MAX,
        };
        let expected = pb::FrameAccepted {
            frame_id: "f1".to_owned(),
            duplicate: true,
            outcome: expected.into(),
            turn_id: "turn-2".to_owned(),
            queue_position: i32::MAX,
        };
        assert_eq!(
            told(Payload::FrameAccepted(receipt)),
            Wire::FrameAccepted(expected)
        );
    }

    let rejected = Payload::FrameRejected {
        frame_id: Some("f1".to_owned()),
        failure: Failure::invalid("prompt", "must not be blank"),
    };
    let error = pb::TurnError {
        grpc_code: 3,
        reason: pb::ErrorReason::InvalidRequest.into(),
        message: "prompt: must not be blank".to_owned(),
        ..Default::default()
    };
    assert_eq!(
        told(rejected),
        Wire::FrameRejected(pb::FrameRejected {
            frame_id: "f1".to_owned(),
            error: Some(error),
        })
    );
}

#[test]
fn turns_and_steps_are_told() {
    let started = Payload::TurnStarted {
        frame_id: Some("f1".to_owned()),
        continued: true,
    };
    let expected = pb::TurnStarted {
        session_id: "s-1".to_owned(),
        agent_id: "assistant".to_owned(),
        frame_id: "f1".to_owned(),
        continued: true,
    };
    assert_eq!(told(started), Wire::TurnStarted(expected));

    let model_id = "vendor.model-v1:0".to_owned();
    let expected = pb::StepStarted {
        model_id: model_id.clone(),
    };
    assert_eq!(
        told(Payload::StepStarted { model_id }),
        Wire::StepStarted(expected)
    );

    let completed = StepCompleted {
        stop_reason: StopReason::MaxTokens,
        usage: usage(),
        model_latency: Some(Duration::from_millis(5)),
        time_to_first_output: None,
    };
    let expected = pb::StepCompleted {
        stop_reason: pb::StopReason::MaxTokens.into(),
        usage: Some(wire_usage()),
        model_latency: Some(span(0, 5_000_000)),
        time_to_first_output: None,
    };
    assert_eq!(
        told(Payload::StepCompleted(completed)),
        Wire::StepCompleted(expected)
    );
    assert_eq!(told(Payload::Usage(usage())), Wire::Usage(wire_usage()));
    assert_eq!(
        told(Payload::Guardrail(Box::new(guardrail()))),
        Wire::Guardrail(wire_guardrail())
    );
    for (cause, expected) in [
        (InterruptionCause::Client, pb::InterruptionCause::Client),
        (InterruptionCause::NewInput, pb::InterruptionCause::NewInput),
        (InterruptionCause::Cancel, pb::InterruptionCause::Cancel),
    ] {
        let cause = told(Payload::Interrupted(cause));
        let expected = pb::Interrupted {
            cause: expected.into(),
        };
        assert_eq!(cause, Wire::Interrupted(expected));
    }
}

#[test]
fn a_reduction_tells_what_stands_for_what() {
    let reduced = reduced();
    let sliding = Reduced {
        how: Reduction::Sliding,
        summary: None,
        ..reduced.clone()
    };
    let expected = pb::ContextReduced {
        policy: pb::ContextPolicy::Summarize.into(),
        omitted_messages: 4,
        tokens_before: 120_000,
        tokens_after: i32::MAX,
        summary: Some(pb::Message {
            role: pb::Role::User.into(),
            content: vec![fixture::text("They spoke")],
            summary: true,
            ..pb::Message::default()
        }),
    };
    assert_eq!(
        told(Payload::ContextReduced(Box::new(reduced))),
        Wire::ContextReduced(expected.clone())
    );
    let expected = pb::ContextReduced {
        policy: pb::ContextPolicy::Sliding.into(),
        summary: None,
        ..expected
    };
    assert_eq!(
        told(Payload::ContextReduced(Box::new(sliding))),
        Wire::ContextReduced(expected)
    );
}

#[test]
fn tool_calls_name_the_time_until_which_they_wait() {
    let encoder = encoder();
    let given = Payload::ToolCall(call());
    let event = encoder.event(event(given), SystemTime::UNIX_EPOCH);
    assert_eq!(event.payload, Some(Wire::ToolCall(wire_call())));

    let ids = vec!["call-1".to_owned()];
    assert_eq!(
        told(Payload::ToolCallsCancelled(ids.clone())),
        Wire::ToolCallsCancelled(pb::ToolCallsCancelled { tool_call_ids: ids })
    );
}

#[test]
fn calls_that_the_server_runs_are_told_as_they_stand() {
    let update = CallUpdate {
        call_id: "call-1".to_owned(),
        name: "search".to_owned(),
        status: CallStatus::Running,
        progress: "half of it".to_owned(),
        result: None,
        duration: None,
    };
    let expected = pb::ToolCallUpdate {
        tool_call_id: "call-1".to_owned(),
        tool_name: "search".to_owned(),
        status: pb::ToolCallStatus::Running.into(),
        progress: "half of it".to_owned(),
        result: None,
        duration: None,
    };
    assert_eq!(
        told(Payload::ToolCallUpdate(Box::new(update.clone()))),
        Wire::ToolCallUpdate(expected.clone())
    );

    let ended = CallUpdate {
        status: CallStatus::Failed,
        progress: String::new(),
        result: Some(ToolResult::error("call-1", "no such city")),
        duration: Some(Duration::from_millis(1_250)),
        ..update.clone()
    };
    let expected = pb::ToolCallUpdate {
        status: pb::ToolCallStatus::Failed.into(),
        progress: String::new(),
        result: Some(pb::ToolResult {
            tool_call_id: "call-1".to_owned(),
            content: vec![pb::ToolResultBlock {
                block: Some(pb::tool_result_block::Block::Text(
                    "no such city".to_owned(),
                )),
            }],
            is_error: true,
            ..Default::default()
        }),
        duration: Some(span(1, 250_000_000)),
        ..expected
    };
    assert_eq!(
        told(Payload::ToolCallUpdate(Box::new(ended))),
        Wire::ToolCallUpdate(expected)
    );

    // The names in the contract are those of the variants, in capitals.
    for status in [
        CallStatus::Waiting,
        CallStatus::Running,
        CallStatus::Succeeded,
        CallStatus::Failed,
        CallStatus::Rejected,
        CallStatus::Cancelled,
        CallStatus::Unknown,
    ] {
        let update = CallUpdate {
            status,
            ..update.clone()
        };
        let Wire::ToolCallUpdate(update) = told(Payload::ToolCallUpdate(Box::new(update))) else {
            panic!("another event");
        };
        let name = update
            .status()
            .as_str_name()
            .replace("TOOL_CALL_STATUS_", "");
        assert_eq!(name, format!("{status:?}").to_uppercase());
    }
}

#[test]
fn questions_for_consent_and_their_answers_are_told() {
    assert_eq!(
        told(Payload::ApprovalRequest(Box::new(approval_request()))),
        Wire::ApprovalRequest(wire_approval_request())
    );
    for (approved, expired) in [(true, false), (false, false), (false, true)] {
        let approval_id = "approval-1".to_owned();
        let resolved = Resolved {
            approval_id: approval_id.clone(),
            approved,
            expired,
        };
        let expected = pb::ApprovalResolved {
            approval_id,
            approved,
            expired,
        };
        assert_eq!(
            told(Payload::ApprovalResolved(resolved)),
            Wire::ApprovalResolved(expected)
        );
    }
}

#[test]
fn a_cost_that_is_not_known_is_not_told() {
    let unpriced = Usage {
        cost: None,
        ..usage()
    };
    let Wire::Usage(wire) = told(Payload::Usage(unpriced)) else {
        panic!("another event");
    };
    assert_eq!(wire.cost_usd, None);
}

#[test]
fn the_end_of_a_turn_tells_all_of_its_result() {
    let encoder = encoder();
    let given = turn();
    let ended = Payload::TurnEnded(Box::new(given.clone()));
    let bytes = encoder.encode(event(ended), SystemTime::UNIX_EPOCH);
    let Some(Wire::TurnEnded(result)) = pb::Event::decode(bytes).unwrap().payload else {
        panic!("no end of a turn");
    };

    let reasoning = WireBlock::Reasoning(pb::Reasoning {
        text: "hm".to_owned(),
        signature: "sig".to_owned(),
        ..Default::default()
    });
    let message = pb::Message {
        role: pb::Role::Assistant.into(),
        content: vec![fixture::wire(reasoning), fixture::text("hello")],
        message_id: "msg-1".to_owned(),
        turn_id: "turn-1".to_owned(),
        create_time: Some(prost_types::Timestamp {
            seconds: 1_700_000_001,
            nanos: 0,
        }),
        summary: false,
        pinned: false,
    };
    let pending = &result.pending_tool_calls;
    assert_eq!(pending[0].tool_call_id, "call-1");
    let expected = pb::TurnResult {
        turn_id: "turn-1".to_owned(),
        session_id: "s-1".to_owned(),
        status: pb::TurnStatus::Paused.into(),
        stop_reason: pb::StopReason::ToolUse.into(),
        stop_detail: "detail".to_owned(),
        message: Some(message.clone()),
        intermediate_messages: vec![message],
        pending_tool_calls: pending.clone(),
        pending_approvals: vec![wire_approval_request()],
        output_json: r#"{"b":2}"#.to_owned(),
        usage: Some(wire_usage()),
        metrics: Some(pb::TurnMetrics {
            total: Some(span(3, 0)),
            time_to_first_output: Some(span(0, 250_000_000)),
            model_latency: Some(span(2, 0)),
            tool_time: Some(span(0, 7_000_000)),
            waiting_time: Some(span(0, 0)),
            guardrail_time: Some(span(0, 1_000_000)),
            retries: 1,
        }),
        guardrails: vec![wire_guardrail()],
        model_id: "vendor.model-v1:0".to_owned(),
        additional_model_response_json: r#"{"a":1}"#.to_owned(),
        granted_service: Some(pb::GrantedService {
            tier: "flex".to_owned(),
            latency: "standard".to_owned(),
        }),
        error: Some(pb::TurnError {
            grpc_code: 14,
            reason: pb::ErrorReason::ModelStreamError.into(),
            message: "the stream broke".to_owned(),
            retryable: true,
            ..Default::default()
        }),
        last_sequence: 12,
    };
    assert_eq!(*result, expected);
    assert_eq!(turn_result(&given), expected);
}

#[test]
fn a_reader_without_reasoning_gets_the_end_of_a_turn_without_it() {
    let encoder = encoder();
    let ended = Payload::TurnEnded(Box::new(turn()));
    let event = encoder.event(event(ended), SystemTime::UNIX_EPOCH);

    let Some(Wire::TurnEnded(result)) = without_reasoning(event).payload else {
        panic!("no end of a turn");
    };

    let text = vec![fixture::text("hello")];
    assert_eq!(result.message.unwrap().content, text);
    assert_eq!(result.intermediate_messages[0].content, text);
}

#[test]
fn states_and_stop_reasons_keep_their_names() {
    let statuses = [
        (TurnStatus::Running, pb::TurnStatus::Running),
        (TurnStatus::Paused, pb::TurnStatus::Paused),
        (TurnStatus::Completed, pb::TurnStatus::Completed),
        (TurnStatus::Interrupted, pb::TurnStatus::Interrupted),
        (TurnStatus::Cancelled, pb::TurnStatus::Cancelled),
        (TurnStatus::Failed, pb::TurnStatus::Failed),
    ];
    for (status, expected) in statuses {
        let result = TurnResult {
            status,
            stop_reason: None,
            ..turn()
        };
        let result = turn_result(&result);
        assert_eq!(result.status(), expected);
        assert_eq!(result.stop_reason(), pb::StopReason::Unspecified);
    }
    // The names in the contract are those of the variants, in capitals.
    let reasons = [
        StopReason::EndTurn,
        StopReason::ToolUse,
        StopReason::MaxTokens,
        StopReason::StopSequence,
        StopReason::GuardrailIntervened,
        StopReason::ContentFiltered,
        StopReason::MalformedModelOutput,
        StopReason::MalformedToolUse,
        StopReason::ContextWindowExceeded,
        StopReason::ApprovalRequired,
        StopReason::MaxSteps,
        StopReason::BudgetExceeded,
        StopReason::Interrupted,
        StopReason::Cancelled,
        StopReason::Error,
        StopReason::Incomplete,
    ];
    for reason in reasons {
        let name = result::stop_reason(reason)
            .as_str_name()
            .replace("STOP_REASON_", "")
            .replace('_', "");
        assert_eq!(name, format!("{reason:?}").to_uppercase());
    }
}

#[test]
fn events_of_one_stream_alone_have_no_number() {
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(9);
    let ready = pb::SessionReady {
        session_id: "s-1".to_owned(),
        ..Default::default()
    };
    let events = [
        session_ready(ready.clone(), at),
        heartbeat(41, at),
        go_away(
            pb::GoAwayReason::Shutdown,
            Some(Duration::from_secs(30)),
            41,
            at,
        ),
    ];
    let payloads = [
        Wire::SessionReady(ready),
        Wire::Heartbeat(pb::Heartbeat { last_sequence: 41 }),
        Wire::GoAway(pb::GoAway {
            time_left: Some(span(30, 0)),
            reason: pb::GoAwayReason::Shutdown.into(),
            resume_after_sequence: 41,
        }),
    ];
    for (event, expected) in events.into_iter().zip(payloads) {
        let decoded = pb::Event::decode(encode(&event)).unwrap();
        assert_eq!(decoded.sequence, 0);
        assert_eq!(decoded.event_time, Some(time::timestamp(at)));
        assert_eq!(decoded.payload, Some(expected));
    }
}

#[test]
fn readers_leave_out_whole_classes_of_events() {
    let reasoning = Reasoning::Redacted(Bytes::from_static(b"x"));
    let text = Block::Text("hello".to_owned());
    let cases = [
        (Payload::TextDelta("x".to_owned()), EventClass::Delta),
        (
            Payload::ReasoningDelta(ReasoningDelta::Text("x".to_owned())),
            EventClass::ReasoningDelta,
        ),
        (
            Payload::BlockStarted(BlockKind::Reasoning),
            EventClass::ReasoningBlock,
        ),
        (Payload::BlockStarted(BlockKind::Text), EventClass::Plain),
        (
            Payload::BlockCompleted(Block::Reasoning(reasoning)),
            EventClass::ReasoningBlock,
        ),
        (Payload::BlockCompleted(text), EventClass::Plain),
        (Payload::TurnEnded(Box::new(turn())), EventClass::TurnEnd),
        (Payload::Usage(usage()), EventClass::Plain),
        (
            Payload::ApprovalRequest(Box::new(approval_request())),
            EventClass::Plain,
        ),
        (
            Payload::ContextReduced(Box::new(reduced())),
            EventClass::Plain,
        ),
    ];
    for (payload, class) in cases {
        assert_eq!(EventClass::of(&payload), class, "{payload:?}");
    }
}
