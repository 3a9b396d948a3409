use taiwa_core::{Failure, Reason};

use super::*;
use crate::grpc::convert::fixture::{self, call, message, text, wire};

fn read(wire: Vec<pb::Message>) -> Result<Vec<Message>, Failure> {
    read_with(wire, &[])
}

fn read_with(wire: Vec<pb::Message>, answers: &[pb::ToolResult]) -> Result<Vec<Message>, Failure> {
    let limits = fixture::agent().limits;
    let mut violations = Violations::default();
    let read = messages(wire, answers, &limits, &mut violations);
    violations.finish(read)
}

fn user(content: Vec<pb::ContentBlock>) -> pb::Message {
    message(pb::Role::User, content)
}

fn assistant(content: Vec<pb::ContentBlock>) -> pb::Message {
    message(pb::Role::Assistant, content)
}

fn result(id: &str) -> pb::ContentBlock {
    wire(Wire::ToolResult(fixture::result(id)))
}

fn provider_call(id: &str) -> pb::ContentBlock {
    wire(Wire::ToolCall(pb::ToolCall {
        tool_call_id: id.to_owned(),
        tool_name: "web_search".to_owned(),
        executor: pb::ToolExecutor::Provider.into(),
        ..Default::default()
    }))
}

#[test]
fn a_role_left_out_is_the_users() {
    let read = read(vec![message(pb::Role::Unspecified, vec![text("hi")])]).unwrap();
    assert_eq!(read, [Message::user(vec![Block::Text("hi".to_owned())])]);
}

#[test]
fn a_message_is_pinned_or_a_summary_or_neither() {
    let pinned = |message| pb::Message {
        pinned: true,
        ..message
    };
    let summary = |message| pb::Message {
        summary: true,
        ..message
    };
    let conversation = vec![
        summary(user(vec![text("a")])),
        pinned(user(vec![text("b")])),
        pinned(assistant(vec![text("c")])),
        user(vec![text("d")]),
    ];
    let read_markings = read(conversation).unwrap();
    let markings = read_markings.iter().map(|message| message.marking);
    assert_eq!(
        markings.collect::<Vec<_>>(),
        [
            Marking::Summary,
            Marking::Pinned,
            Marking::Pinned,
            Marking::Unmarked,
        ]
    );
    let conversation = vec![
        summary(pinned(user(vec![text("a")]))),
        summary(assistant(vec![text("b")])),
    ];
    assert_eq!(
        fixture::fields(read(conversation)),
        ["messages[0].pinned", "messages[1].summary"]
    );
}

#[test]
fn sound_conversations_are_taken() {
    let conversations = [
        vec![],
        vec![user(vec![text("hi")]), assistant(vec![text("hello")])],
        // Neighbours of one role are one message to the model.
        vec![
            user(vec![text("a")]),
            user(vec![text("b")]),
            assistant(vec![call("1"), call("2")]),
            user(vec![result("2")]),
            user(vec![result("1")]),
        ],
        // Instructions may stand anywhere but first.
        vec![
            user(vec![text("a")]),
            assistant(vec![call("1")]),
            message(pb::Role::System, vec![text("be brief")]),
            user(vec![result("1")]),
        ],
        // What the provider ran is answered in place, or not at all.
        vec![
            user(vec![text("a")]),
            assistant(vec![provider_call("1"), result("1"), provider_call("2")]),
            user(vec![text("b")]),
        ],
        // An id may come again once its call was answered.
        vec![
            user(vec![text("a")]),
            assistant(vec![call("1")]),
            user(vec![result("1")]),
            assistant(vec![call("1")]),
            user(vec![result("1")]),
        ],
    ];
    for conversation in conversations {
        let expected = conversation.len();
        assert_eq!(read(conversation).unwrap().len(), expected);
    }
}

#[test]
fn results_of_the_request_answer_the_last_calls() {
    let conversation = vec![user(vec![text("a")]), assistant(vec![call("1"), call("2")])];
    let answers = [fixture::result("1"), fixture::result("2")];
    read_with(conversation.clone(), &answers).unwrap();

    let strange = [
        fixture::result("1"),
        fixture::result("1"),
        fixture::result("3"),
    ];
    assert_eq!(
        fixture::fields(read_with(conversation, &strange)),
        [
            "tool_results[1].tool_call_id",
            "tool_results[2].tool_call_id",
            "messages[1].content[1].tool_call",
        ]
    );
}

#[test]
fn each_fault_of_a_conversation_is_told_with_its_path() {
    let image = || wire(Wire::Image(fixture::png()));
    let document = || wire(Wire::Document(fixture::document()));
    let cache_point = || wire(Wire::CachePoint(pb::CachePoint::default()));
    let cases: Vec<(Vec<pb::Message>, &[&str])> = vec![
        (vec![assistant(vec![text("hello")])], &["messages[0].role"]),
        (
            vec![message(pb::Role::System, vec![text("be brief")])],
            &["messages[0].role"],
        ),
        (
            vec![pb::Message {
                role: 99,
                content: vec![text("hi")],
                ..Default::default()
            }],
            &["messages[0].role"],
        ),
        (vec![user(vec![])], &["messages[0].content"]),
        (
            vec![user(vec![text("hi")]), assistant(vec![text(" ")])],
            &["messages[1].content"],
        ),
        (vec![user(vec![cache_point()])], &["messages[0].content"]),
        (
            vec![user(vec![text("a"), text(" "), text("\n")])],
            &["messages[0].content[1].text", "messages[0].content[2].text"],
        ),
        (
            vec![user(std::iter::repeat_with(image).take(21).collect())],
            &["messages[0].content"],
        ),
        (
            vec![user(std::iter::repeat_with(document).take(6).collect())],
            &["messages[0].content"],
        ),
        (
            vec![user(vec![text("a")]), assistant(vec![call("1")])],
            &["messages[1].content[0].tool_call"],
        ),
        (
            vec![
                user(vec![text("a")]),
                assistant(vec![call("1")]),
                user(vec![text("b")]),
                assistant(vec![text("c")]),
            ],
            &["messages[1].content[0].tool_call"],
        ),
        (
            vec![
                user(vec![text("a")]),
                assistant(vec![text("b")]),
                user(vec![result("1")]),
            ],
            &["messages[2].content[0].tool_result.tool_call_id"],
        ),
        (
            vec![
                user(vec![text("a")]),
                assistant(vec![call("1")]),
                user(vec![result("1"), result("1")]),
            ],
            &["messages[2].content[1].tool_result.tool_call_id"],
        ),
        (
            vec![
                user(vec![text("a")]),
                assistant(vec![call("1"), call("1")]),
                user(vec![result("1")]),
            ],
            &["messages[1].content[1].tool_call.tool_call_id"],
        ),
        (
            vec![
                user(vec![text("a")]),
                assistant(vec![call("1"), result("1")]),
                user(vec![result("1")]),
            ],
            &["messages[1].content[1].tool_result.tool_call_id"],
        ),
    ];
    for (conversation, expected) in cases {
        let refused = fixture::fields(read(conversation.clone()));
        assert_eq!(refused, expected, "{conversation:?}");
    }
}

#[test]
fn a_conversation_beyond_its_limit_is_told_with_the_limit() {
    let failure = read(vec![user(vec![text(&"x".repeat(8193))])]).unwrap_err();
    assert_eq!(failure.reason, Reason::LimitExceeded);
    assert_eq!(failure.metadata["field"], "messages");
    assert_eq!(failure.metadata["limit_bytes"], "8192");
}

#[test]
fn a_message_of_very_many_calls_is_read_in_time_that_grows_with_it() {
    const CALLS: usize = 50_000;
    let ids: Vec<_> = (0..CALLS).map(|index| index.to_string()).collect();
    let calls = ids.iter().map(|id| call(id)).collect();
    let results = ids.iter().rev().map(|id| result(id)).collect();
    let conversation = vec![user(vec![text("a")]), assistant(calls), user(results)];

    // Squared, this would take minutes; the sizes alone are refused.
    let failure = read(conversation).unwrap_err();
    assert_eq!(failure.reason, Reason::LimitExceeded);
}
