use bytes::Bytes;
use pb::content_block::Block as Wire;
use taiwa_core::{Reason, tool::Executor};

use super::*;
use crate::grpc::convert::{count, fixture};

fn prompt(prompt: &str) -> pb::InvokeRequest {
    pb::InvokeRequest {
        prompt: prompt.to_owned(),
        ..Default::default()
    }
}

fn read(wire: pb::InvokeRequest) -> Result<Invocation, Failure> {
    invoke(wire, &fixture::agent())
}

fn user(text: &str) -> pb::Message {
    fixture::message(pb::Role::User, vec![fixture::text(text)])
}

fn assistant(block: pb::ContentBlock) -> pb::Message {
    fixture::message(pb::Role::Assistant, vec![block])
}

fn decision(change: impl FnOnce(&mut pb::ApprovalDecision)) -> pb::ApprovalDecision {
    let mut decision = pb::ApprovalDecision {
        approval_id: "a".to_owned(),
        ..Default::default()
    };
    change(&mut decision);
    decision
}

#[test]
fn a_prompt_is_a_whole_request() {
    let read = read(prompt("hi")).unwrap();
    let expected = TurnRequest {
        content: vec![Block::Text("hi".to_owned())],
        ..TurnRequest::default()
    };
    assert_eq!(read.turn, expected);
    assert_eq!((read.session_id, read.request_id), (None, None));
}

#[test]
fn the_prompt_stands_before_the_content() {
    let wire = pb::InvokeRequest {
        content: vec![fixture::text("there")],
        session_id: "my_session-1".to_owned(),
        request_id: "7f c0".to_owned(),
        ..prompt("hi")
    };
    let read = read(wire).unwrap();
    let texts = ["hi", "there"].map(|text| Block::Text(text.to_owned()));
    assert_eq!(read.turn.content, texts);
    assert_eq!(read.session_id.as_deref(), Some("my_session-1"));
    assert_eq!(read.request_id.as_deref(), Some("7f c0"));
}

#[test]
fn tool_results_answer_a_paused_turn() {
    let wire = pb::InvokeRequest {
        tool_results: vec![fixture::result("1"), fixture::result("2")],
        ..Default::default()
    };
    let read = read(wire).unwrap();
    assert_eq!(read.turn.tool_results.len(), 2);
    assert!(read.turn.messages.is_empty());
}

#[test]
fn decisions_answer_a_paused_turn() {
    let wire = pb::InvokeRequest {
        approval_decisions: vec![
            pb::ApprovalDecision {
                approval_id: "a".to_owned(),
                approved: true,
                edited_input_json: "{}".to_owned(),
                comment: "go on".to_owned(),
                remember: true,
                digest: Bytes::from_static(&[9; 32]),
            },
            pb::ApprovalDecision {
                approval_id: "b".to_owned(),
                ..Default::default()
            },
        ],
        ..Default::default()
    };
    let read = read(wire).unwrap();
    let expected = [
        Decision {
            approval_id: "a".to_owned(),
            approved: true,
            edited_input_json: Some("{}".to_owned()),
            comment: "go on".to_owned(),
            remember: true,
            digest: Some(vec![9; 32]),
        },
        Decision {
            approval_id: "b".to_owned(),
            ..Decision::default()
        },
    ];
    assert_eq!(read.turn.decisions, expected);
}

#[test]
fn a_brought_conversation_may_have_calls_that_another_server_ran() {
    let mut call = fixture::call("1");
    let Some(Wire::ToolCall(of_server)) = &mut call.block else {
        panic!("no call");
    };
    of_server.executor = pb::ToolExecutor::Server.into();
    let wire = pb::InvokeRequest {
        messages: vec![user("hi"), assistant(call)],
        tool_results: vec![fixture::result("1")],
        ..Default::default()
    };
    let read = read(wire).unwrap();
    let [Block::ToolCall(call)] = &read.turn.messages[1].content[..] else {
        panic!("{:?}", read.turn.messages);
    };
    assert_eq!(call.executor, Executor::Server);
}

#[test]
fn tool_results_beside_a_conversation_belong_to_it() {
    let wire = pb::InvokeRequest {
        messages: vec![user("hi"), assistant(fixture::call("1"))],
        tool_results: vec![fixture::result("1")],
        ..Default::default()
    };
    let read = read(wire).unwrap();
    assert!(read.turn.tool_results.is_empty());
    let last = read.turn.messages.last().unwrap();
    assert_eq!(last.role, Role::User);
    assert!(matches!(&last.content[..], [Block::ToolResult(result)] if result.call_id == "1"));
}

#[test]
fn each_fault_of_a_request_is_told_with_its_path() {
    let cases: Vec<(pb::InvokeRequest, &[&str])> = vec![
        (pb::InvokeRequest::default(), &["prompt"]),
        (prompt(" \n\t"), &["prompt"]),
        (
            pb::InvokeRequest {
                session_id: "a b".to_owned(),
                ..prompt("hi")
            },
            &["session_id"],
        ),
        (
            pb::InvokeRequest {
                session_id: "x".repeat(129),
                ..prompt("hi")
            },
            &["session_id"],
        ),
        (
            pb::InvokeRequest {
                request_id: "a\nb".to_owned(),
                ..prompt("hi")
            },
            &["request_id"],
        ),
        (
            pb::InvokeRequest {
                request_id: "é".repeat(129),
                ..prompt("hi")
            },
            &["request_id"],
        ),
        (
            pb::InvokeRequest {
                content: vec![fixture::text("a"), fixture::text(" ")],
                ..Default::default()
            },
            &["content[1].text"],
        ),
        (
            pb::InvokeRequest {
                content: vec![fixture::wire(Wire::ToolResult(fixture::result("1")))],
                ..Default::default()
            },
            &["content[0].tool_result"],
        ),
        (
            pb::InvokeRequest {
                messages: vec![user("hi"), assistant(fixture::text("hello"))],
                ..Default::default()
            },
            &["messages"],
        ),
        (
            pb::InvokeRequest {
                tool_results: vec![fixture::result("1"), fixture::result("")],
                ..Default::default()
            },
            &["tool_results[1].tool_call_id"],
        ),
        (
            pb::InvokeRequest {
                tool_results: vec![fixture::result("1"), fixture::result("1")],
                ..Default::default()
            },
            &["tool_results[1].tool_call_id"],
        ),
        (
            pb::InvokeRequest {
                approval_decisions: vec![
                    decision(|_| {}),
                    decision(|decision| decision.approval_id.clear()),
                    decision(|decision| decision.digest = Bytes::from_static(&[9; 31])),
                    decision(|decision| decision.comment = "x".repeat(65_537)),
                    decision(|decision| decision.edited_input_json = "x".repeat(65_537)),
                ],
                ..Default::default()
            },
            &[
                "approval_decisions[1].approval_id",
                "approval_decisions[2].digest",
                "approval_decisions[3].comment",
                "approval_decisions[4].edited_input_json",
            ],
        ),
        (
            pb::InvokeRequest {
                options: Some(pb::TurnOptions {
                    temperature: Some(2.0),
                    ..Default::default()
                }),
                session_id: "/".to_owned(),
                ..Default::default()
            },
            &["prompt", "session_id", "options.temperature"],
        ),
    ];
    for (wire, expected) in cases {
        assert_eq!(fixture::fields(read(wire.clone())), expected, "{wire:?}");
    }
}

#[test]
fn what_is_too_large_is_told_with_its_field_and_limit() {
    let large = "x".repeat(4097);
    let image = pb::Image {
        media_type: "image/png".to_owned(),
        source: Some(pb::MediaSource {
            source: Some(pb::media_source::Source::Data(Bytes::from(vec![1; 4096]))),
        }),
        ..Default::default()
    };
    let mut long_result = fixture::result("1");
    long_result.text = "x".repeat(1025);
    let cases = [
        (prompt(&large), "prompt", "4096"),
        (
            pb::InvokeRequest {
                content: vec![fixture::wire(Wire::Image(image))],
                ..prompt("hi")
            },
            "content",
            "4096",
        ),
        (
            pb::InvokeRequest {
                tool_results: vec![long_result],
                ..Default::default()
            },
            "tool_results[0]",
            "1024",
        ),
    ];
    for (wire, field, limit) in cases {
        let failure = read(wire).unwrap_err();
        assert_eq!(failure.reason, Reason::LimitExceeded, "{failure:?}");
        assert_eq!(failure.metadata["field"], field);
        assert_eq!(failure.metadata["limit_bytes"], limit);
        assert!(failure.message.contains(field) && failure.message.contains(limit));
    }
}

#[test]
fn how_events_are_delivered_matters_to_streams_alone() {
    let bad = pb::InvokeRequest {
        stream: Some(pb::StreamOptions {
            on_disconnect: 99,
            heartbeat_interval: Some(prost_types::Duration {
                seconds: 0,
                nanos: 1,
            }),
            on_slow_reader: -1,
            ..Default::default()
        }),
        ..prompt("hi")
    };
    read(bad.clone()).unwrap();
    assert_eq!(
        fixture::fields(invoke_stream(bad, &fixture::agent())),
        [
            "stream.on_disconnect",
            "stream.heartbeat_interval",
            "stream.on_slow_reader"
        ]
    );
}

#[test]
fn a_count_takes_what_a_turn_takes() {
    let agent = fixture::agent();
    let wire = pb::CountTokensRequest {
        prompt: "hi".to_owned(),
        messages: vec![user("a"), assistant(fixture::text("b"))],
        ..Default::default()
    };
    let read = count::count(wire, &agent).unwrap();
    let roles: Vec<_> = read.messages.iter().map(|message| message.role).collect();
    assert_eq!(roles, [Role::User, Role::Assistant, Role::User]);

    let nothing = count::count(pb::CountTokensRequest::default(), &agent);
    assert_eq!(fixture::fields(nothing), ["prompt"]);
    let history_alone = pb::CountTokensRequest {
        session_id: "s".to_owned(),
        ..Default::default()
    };
    assert_eq!(count::count(history_alone, &agent).unwrap().messages, []);
}
