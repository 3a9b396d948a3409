use std::time::Duration;

use taiwa_core::tool::Decision;

use super::*;
use crate::grpc::convert::{
    delivery::{DisconnectPolicy, EventClass, SlowReaderPolicy},
    fixture,
};

fn read(frame: Wire) -> Frame {
    read_as("f1", Some(frame))
}

fn read_as(frame_id: &str, frame: Option<Wire>) -> Frame {
    let wire = pb::ConverseRequest {
        frame_id: frame_id.to_owned(),
        frame,
    };
    super::frame(wire, &fixture::agent(), InputPolicy::Steer)
}

/// The reason and the fields of a frame that must be at fault.
fn refused(frame: Frame) -> (Reason, Vec<String>) {
    let FrameBody::Invalid(failure) = frame.body else {
        panic!("{frame:?}");
    };
    let fields = failure.violations.into_iter().map(|one| one.field);
    (failure.reason, fields.collect())
}

fn span(seconds: i64, nanos: i32) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos })
}

#[test]
fn a_prompt_is_a_message_under_the_streams_policy() {
    let frame = read(Wire::Prompt("hi".to_owned()));
    assert_eq!(frame.id.as_deref(), Some("f1"));
    let expected = UserInput {
        content: vec![Block::Text("hi".to_owned())],
        more_follows: false,
        context_only: false,
        policy: Some(InputPolicy::Steer),
    };
    assert_eq!(frame.body, FrameBody::UserInput(expected));
}

#[test]
fn input_may_override_the_streams_policy() {
    let input = |input_policy: pb::InputPolicy| pb::UserInput {
        content: vec![fixture::text("hi")],
        more_follows: true,
        context_only: true,
        input_policy: input_policy.into(),
    };
    let cases = [
        (pb::InputPolicy::Unspecified, InputPolicy::Steer),
        (pb::InputPolicy::Queue, InputPolicy::Queue),
        (pb::InputPolicy::Interrupt, InputPolicy::Interrupt),
        (pb::InputPolicy::Reject, InputPolicy::Reject),
        (pb::InputPolicy::Steer, InputPolicy::Steer),
        (pb::InputPolicy::Replace, InputPolicy::Replace),
    ];
    for (given, expected) in cases {
        let frame = read(Wire::Input(input(given)));
        let expected = UserInput {
            content: vec![Block::Text("hi".to_owned())],
            more_follows: true,
            context_only: true,
            policy: Some(expected),
        };
        assert_eq!(frame.body, FrameBody::UserInput(expected));
    }
}

#[test]
fn an_input_that_only_ends_a_message_may_be_empty() {
    let frame = read(Wire::Input(pb::UserInput::default()));
    assert!(matches!(frame.body, FrameBody::UserInput(input) if input.content.is_empty()));
}

#[test]
fn results_decisions_interrupts_and_updates_are_read() {
    let result = read(Wire::ToolResult(fixture::result("call-1")));
    assert!(matches!(result.body, FrameBody::ToolResult(result) if result.call_id == "call-1"));

    let decision = pb::ApprovalDecision {
        approval_id: "a".to_owned(),
        approved: true,
        comment: "go on".to_owned(),
        digest: vec![9; 32].into(),
        ..Default::default()
    };
    let expected = Decision {
        approval_id: "a".to_owned(),
        approved: true,
        comment: "go on".to_owned(),
        digest: Some(vec![9; 32]),
        ..Decision::default()
    };
    assert_eq!(
        read(Wire::ApprovalDecision(decision)).body,
        FrameBody::Decision(expected)
    );

    let interrupt = pb::Interrupt {
        turn_id: "turn-1".to_owned(),
        discard_output: true,
    };
    let expected = FrameBody::Interrupt {
        turn_id: Some("turn-1".to_owned()),
        discard_output: true,
    };
    assert_eq!(read(Wire::Interrupt(interrupt)).body, expected);

    // The tool may be one that the session has had since its setup.
    let choice = pb::tool_choice::Choice::ToolName("earlier_tool".to_owned());
    let update = pb::SessionUpdate {
        options: Some(pb::TurnOptions {
            tool_choice: Some(pb::ToolChoice {
                choice: Some(choice),
            }),
            ..Default::default()
        }),
        replace_client_tools: true,
    };
    let FrameBody::Update {
        options,
        replace_client_tools,
    } = read(Wire::Update(update)).body
    else {
        panic!("no update");
    };
    assert!(options.tool_choice.is_some() && replace_client_tools);
}

#[test]
fn a_frame_at_fault_keeps_its_id_and_tells_its_fields() {
    let cases: Vec<(Wire, &str)> = vec![
        (Wire::Prompt("  ".to_owned()), "prompt"),
        (Wire::Prompt(String::new()), "prompt"),
        (
            Wire::Input(pb::UserInput {
                content: vec![fixture::text(" ")],
                ..Default::default()
            }),
            "input.content[0].text",
        ),
        (
            Wire::Input(pb::UserInput {
                content: vec![fixture::text("hi")],
                input_policy: 99,
                ..Default::default()
            }),
            "input.input_policy",
        ),
        (
            Wire::ToolResult(pb::ToolResult::default()),
            "tool_result.tool_call_id",
        ),
        (
            Wire::ApprovalDecision(pb::ApprovalDecision::default()),
            "approval_decision.approval_id",
        ),
        (
            Wire::Update(pb::SessionUpdate {
                options: Some(pb::TurnOptions {
                    top_p: Some(7.0),
                    ..Default::default()
                }),
                replace_client_tools: false,
            }),
            "update.options.top_p",
        ),
    ];
    for (wire, field) in cases {
        let frame = read(wire);
        assert_eq!(frame.id.as_deref(), Some("f1"));
        assert_eq!(
            refused(frame),
            (Reason::InvalidRequest, vec![field.to_owned()])
        );
    }
}

#[test]
fn what_is_too_large_is_refused_as_such() {
    let large = Wire::Prompt("x".repeat(4097));
    let expected = (Reason::LimitExceeded, vec!["prompt".to_owned()]);
    assert_eq!(refused(read(large)), expected);
}

#[test]
fn a_setup_that_is_not_first_is_out_of_order() {
    let frame = read(Wire::Setup(pb::SessionSetup::default()));
    assert_eq!(refused(frame), (Reason::FrameOutOfOrder, vec![]));
}

#[test]
fn a_frame_that_carries_nothing_known_is_refused() {
    let frame = read_as("f1", None);
    assert_eq!(
        refused(frame),
        (Reason::InvalidRequest, vec!["frame".to_owned()])
    );
}

#[test]
fn an_id_at_fault_is_not_kept() {
    for id in ["x".repeat(129), "a\u{7}b".to_owned()] {
        let frame = read_as(&id, Some(Wire::Prompt("hi".to_owned())));
        assert_eq!(frame.id, None);
        let expected = (Reason::InvalidRequest, vec!["frame_id".to_owned()]);
        assert_eq!(refused(frame), expected);
    }
    let unnamed = read_as("", Some(Wire::Prompt("hi".to_owned())));
    assert_eq!(unnamed.id, None);
    assert!(matches!(unnamed.body, FrameBody::UserInput(_)));
}

#[test]
fn a_setup_without_fields_is_the_default() {
    let setup = setup(pb::SessionSetup::default(), &fixture::agent()).unwrap();
    assert_eq!(setup, Setup::default());
    assert_eq!(setup.stream.heartbeat, Some(Duration::from_secs(20)));
}

#[test]
fn every_field_of_a_setup_arrives() {
    let wire = pb::SessionSetup {
        agent_id: "assistant".to_owned(),
        session_id: "s-1".to_owned(),
        resume_after_sequence: Some(7),
        messages: vec![fixture::message(pb::Role::User, vec![fixture::text("hi")])],
        options: Some(pb::TurnOptions {
            max_steps: 2,
            ..Default::default()
        }),
        stream: Some(pb::StreamOptions {
            on_disconnect: pb::DisconnectPolicy::Continue.into(),
            heartbeat_interval: span(0, 0),
            omit_reasoning: true,
            omit_deltas: true,
            on_slow_reader: pb::SlowReaderPolicy::Wait.into(),
        }),
        input_policy: pb::InputPolicy::Replace.into(),
        request_id: "r-1".to_owned(),
    };

    let setup = setup(wire, &fixture::agent()).unwrap();

    let expected = Setup {
        session_id: Some("s-1".to_owned()),
        resume_after: Some(7),
        messages: vec![Message::user(vec![Block::Text("hi".to_owned())])],
        options: TurnOptions {
            max_steps: std::num::NonZeroU32::new(2),
            ..TurnOptions::default()
        },
        stream: StreamOptions {
            on_disconnect: Some(DisconnectPolicy::Continue),
            heartbeat: None,
            omit_reasoning: true,
            omit_deltas: true,
            on_slow_reader: Some(SlowReaderPolicy::Wait),
        },
        input_policy: InputPolicy::Replace,
        request_id: Some("r-1".to_owned()),
    };
    assert_eq!(setup, expected);
    assert!(!setup.stream.takes(EventClass::Delta));
    assert!(!setup.stream.takes(EventClass::ReasoningBlock));
    assert!(setup.stream.takes(EventClass::TurnEnd));
}

#[test]
fn each_fault_of_a_setup_is_told_with_its_path() {
    let stream = |stream: pb::StreamOptions| pb::SessionSetup {
        stream: Some(stream),
        ..Default::default()
    };
    let heartbeat = |heartbeat_interval| {
        stream(pb::StreamOptions {
            heartbeat_interval,
            ..Default::default()
        })
    };
    let cases = [
        (
            pb::SessionSetup {
                session_id: "/".to_owned(),
                ..Default::default()
            },
            "session_id",
        ),
        (
            pb::SessionSetup {
                request_id: "\n".to_owned(),
                ..Default::default()
            },
            "request_id",
        ),
        (
            pb::SessionSetup {
                input_policy: 6,
                ..Default::default()
            },
            "input_policy",
        ),
        (
            pb::SessionSetup {
                messages: vec![pb::Message::default()],
                ..Default::default()
            },
            "messages[0].content",
        ),
        (
            pb::SessionSetup {
                options: Some(pb::TurnOptions {
                    client_tools: vec![pb::ToolSpec {
                        name: "search".to_owned(),
                        input: Some(pb::tool_spec::Input::InputSchemaJson("no".to_owned())),
                        ..Default::default()
                    }],
                    ..Default::default()
                }),
                ..Default::default()
            },
            "options.client_tools[0].input_schema_json",
        ),
        (heartbeat(span(0, 999_999_999)), "stream.heartbeat_interval"),
        (heartbeat(span(3601, 0)), "stream.heartbeat_interval"),
        (heartbeat(span(-1, 0)), "stream.heartbeat_interval"),
        (
            stream(pb::StreamOptions {
                on_disconnect: 3,
                ..Default::default()
            }),
            "stream.on_disconnect",
        ),
        (
            stream(pb::StreamOptions {
                on_slow_reader: 3,
                ..Default::default()
            }),
            "stream.on_slow_reader",
        ),
    ];
    for (wire, field) in cases {
        let refused = fixture::fields(setup(wire, &fixture::agent()));
        assert_eq!(refused, [format!("setup.{field}")]);
    }
}
