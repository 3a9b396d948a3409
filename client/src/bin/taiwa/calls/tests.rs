//! Events of calls in, lines out; escape sequences left out.

use std::time::Duration;

use expect_test::{Expect, expect};
use taiwa_client::{Event, Payload, pb};

use super::{Calls, Form, Look};
use pb::ToolCallStatus as Status;

#[test]
fn a_call_is_drawn_while_it_runs_and_stays_folded_when_it_has_ended() {
    check(
        Form::Drawn,
        false,
        &[
            call("c1", "weather", r#"{"city": "Bern"}"#),
            update("c1", Status::Running, ""),
            update("c1", Status::Running, "asking the station"),
            ended("c1", Status::Succeeded, "Sunny.\nWind: 3 m/s"),
        ],
        expect![[r#"
            ~ * weather {"city": "Bern"}

            ~ * weather {"city": "Bern"}

            ~ * weather {"city": "Bern"} · asking the station

            > ✓ weather {"city": "Bern"} · 1.2 s
            >   Sunny. …

        "#]],
    );
}

#[test]
fn in_a_pipe_each_word_on_a_call_is_a_line() {
    check(
        Form::Plain,
        false,
        &[
            call("c1", "weather", r#"{"city": "Bern"}"#),
            update("c1", Status::Running, ""),
            update("c1", Status::Running, "half"),
            update("c1", Status::Running, "half"),
            ended("c1", Status::Succeeded, "Sunny."),
            update("c1", Status::Succeeded, ""),
        ],
        expect![[r#"
            > ⚙ weather {"city": "Bern"}


            > ⚙ weather: half


            > ✓ weather · 1.2 s: Sunny.

            > ✓ weather

        "#]],
    );
}

#[test]
fn each_way_to_end_is_worded_plainly() {
    let ends = [
        Status::Failed,
        Status::Rejected,
        Status::Cancelled,
        Status::Unknown,
    ];
    let mut events = Vec::new();
    for status in ends {
        let id = status.as_str_name();
        events.extend([call(id, "pay", "{}"), ended(id, status, "no such account")]);
    }
    let (asked, late) = (approval("c9", "a9"), resolved("a9"));
    events.extend([asked, late, ended("c9", Status::Rejected, "")]);
    check(
        Form::Drawn,
        false,
        &events,
        expect![[r#"
            ~ * pay

            > ✗ pay · failed · 1.2 s
            >   no such account

            ~ * pay

            > ✗ pay · not run: consent was refused · 1.2 s

            ~ * pay

            > ✗ pay · stopped · 1.2 s
            >   no such account

            ~ * pay

            > ? pay · was started, and whether it took effect is not known · 1.2 s
            >   no such account

            ~ * pay {"sum": 9} · waits for consent

            ~ * pay {"sum": 9}

            > ✗ pay {"sum": 9} · not run: nobody consented in time · 1.2 s

        "#]],
    );
}

#[test]
fn all_is_shown_where_that_is_wanted() {
    check(
        Form::Plain,
        true,
        &[
            call("c1", "weather", r#"{"city":"Bern"}"#),
            ended("c1", Status::Succeeded, "Sunny.\n\u{1b}[2JWind"),
        ],
        expect![[r#"
            > ⚙ weather
            >     {
            >       "city": "Bern"
            >     }

            > ✓ weather · 1.2 s
            >   Sunny.
            >   \u{1b}[2JWind

        "#]],
    );
}

#[test]
fn a_turn_that_ends_ends_its_calls_and_one_that_pauses_leaves_them_open() {
    for (status, said) in [
        (
            pb::TurnStatus::Interrupted,
            expect![[r#"
                > ⚙ pay {"sum": 9}

                > ✗ pay {"sum": 9} · the turn ended before it

            "#]],
        ),
        (
            pb::TurnStatus::Paused,
            expect![[r#"
                > ⚙ pay {"sum": 9}


            "#]],
        ),
    ] {
        let result = pb::TurnResult {
            status: status.into(),
            ..Default::default()
        };
        let events = [approval("c1", "a1"), Payload::TurnEnded(result.into())];
        check(Form::Plain, false, &events, said);
    }
}

#[test]
fn what_this_command_answered_ends_a_call_too() {
    let mut calls = calls(Form::Plain, false);
    let begun = pb::ToolCall {
        executor: pb::ToolExecutor::Client.into(),
        ..tool_call("c1", "look", "{}")
    };
    calls.begin(&begun);
    let failed = pb::ToolResult {
        tool_call_id: "c1".to_owned(),
        text: "the script exited with 3".to_owned(),
        is_error: true,
        ..Default::default()
    };
    let took = Duration::from_millis(60);
    let said = ["✗ look · failed · 0.1 s: the script exited with 3"];
    assert_eq!(calls.answered(&failed, took), said);
    assert!(calls.answered(&failed, took).is_empty(), "told once");
}

fn calls(form: Form, verbose: bool) -> Calls {
    Calls::new(form, Look { width: 80, verbose })
}

/// Each event's lines: `>` is final, `~` is drawn again.
#[track_caller]
fn check(form: Form, verbose: bool, events: &[Payload], expected: Expect) {
    let mut calls = calls(form, verbose);
    let mut log = String::new();
    for payload in events {
        let event = pb::Event {
            payload: Some(payload.clone()),
            ..Default::default()
        };
        let finished = calls.follow(&Event::read(event).unwrap());
        let finished = finished.into_iter().map(|line| format!("> {line}\n"));
        let drawn = calls.unfinished("*").into_iter();
        log.extend(finished.chain(drawn.map(|line| format!("~ {line}\n"))));
        log.push('\n');
    }
    let mut parts = log.split("\x1b[");
    let first = parts.next().unwrap_or_default().to_owned();
    let rest = parts.map(|part| part.split_once('m').map_or(part, |(_, text)| text));
    expected.assert_eq(&rest.fold(first, |line, part| line + part));
}

fn tool_call(id: &str, name: &str, input: &str) -> pb::ToolCall {
    pb::ToolCall {
        tool_call_id: id.to_owned(),
        tool_name: name.to_owned(),
        input_json: input.to_owned(),
        executor: pb::ToolExecutor::Server.into(),
        ..Default::default()
    }
}

fn call(id: &str, name: &str, input: &str) -> Payload {
    Payload::ToolCall(tool_call(id, name, input))
}

fn update(id: &str, status: Status, progress: &str) -> Payload {
    Payload::ToolCallUpdate(pb::ToolCallUpdate {
        tool_call_id: id.to_owned(),
        tool_name: "weather".to_owned(),
        status: status.into(),
        progress: progress.to_owned(),
        ..Default::default()
    })
}

fn ended(id: &str, status: Status, text: &str) -> Payload {
    let result = pb::ToolResult {
        tool_call_id: id.to_owned(),
        text: text.to_owned(),
        ..Default::default()
    };
    Payload::ToolCallUpdate(pb::ToolCallUpdate {
        tool_call_id: id.to_owned(),
        tool_name: "weather".to_owned(),
        status: status.into(),
        result: Some(result),
        duration: Some(prost_types::Duration {
            seconds: 1,
            nanos: 200_000_000,
        }),
        ..Default::default()
    })
}

fn approval(call_id: &str, approval_id: &str) -> Payload {
    Payload::ApprovalRequest(pb::ApprovalRequest {
        approval_id: approval_id.to_owned(),
        tool_call: Some(tool_call(call_id, "pay", r#"{"sum":9}"#)),
        ..Default::default()
    })
}

fn resolved(approval_id: &str) -> Payload {
    Payload::ApprovalResolved(pb::ApprovalResolved {
        approval_id: approval_id.to_owned(),
        approved: false,
        expired: true,
    })
}
