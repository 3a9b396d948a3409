//! A model stream that is cut, damaged, silent or unfinished is never a success.

use std::time::{Duration, Instant};

use taiwa::v1::{ErrorReason, StopReason, TurnStatus};
use taiwa_core::Limits;
use taiwa_e2e::{
    Settings, World,
    call::{PATIENCE, prompt},
};
use taiwa_simulator::Outcome;

use crate::views::{Views, asked, comparable, pieces, text};

/// What goes wrong, and what a caller must be told.
struct Case {
    /// Keys of the reply to the prompt "go".
    reply: &'static str,
    reason: ErrorReason,
    stop_reason: StopReason,
    said: &'static str,
}

const fn broken(reply: &'static str, said: &'static str) -> Case {
    Case {
        reply,
        reason: ErrorReason::ModelStreamError,
        stop_reason: if said.is_empty() {
            StopReason::Error
        } else {
            StopReason::Incomplete
        },
        said,
    }
}

const fn silent(reply: &'static str, said: &'static str) -> Case {
    Case {
        reason: ErrorReason::ModelTimeout,
        stop_reason: StopReason::Incomplete,
        ..broken(reply, said)
    }
}

const BROKEN: &[Case] = &[
    broken(r#"fault.cut = { after_chunk = 0 }"#, ""),
    broken(r#"fault.cut = { after_chunk = 1 }"#, "One "),
    broken(
        r#"fault.cut = { after_chunk = 2, how = "close" }"#,
        "One two ",
    ),
    broken(r#"fault.cut = { after_chunk = 3 }"#, "One two three"),
    broken(
        r#"fault.cut = { after_chunk = 3, how = "close" }"#,
        "One two three",
    ),
    broken(
        r#"fault.cut = { after_chunk = 1, mid_frame = true }"#,
        "One ",
    ),
    broken(
        r#"fault.cut = { after_chunk = 2, mid_frame = true, how = "close" }"#,
        "One two ",
    ),
    broken(r#"fault.cut = { at = "after_headers" }"#, ""),
    broken(r#"fault.cut = { at = "after_headers", how = "close" }"#, ""),
    Case {
        stop_reason: StopReason::Incomplete,
        ..broken("fault.end_after_headers = true", "")
    },
    broken("fault.bad_checksum = { frame = 1 }", ""),
    broken("fault.bad_checksum = { frame = 3 }", "One "),
    broken(
        r#"fault.bad_checksum = { frame = 4, in = "prelude" }"#,
        "One two ",
    ),
    Case {
        stop_reason: StopReason::Incomplete,
        ..broken(
            "fault = { omit_message_stop = true, omit_metadata = true }",
            "One two three",
        )
    },
    Case {
        stop_reason: StopReason::Incomplete,
        ..broken("fault.omit_message_stop = true", "One two three")
    },
];

const SILENT: &[Case] = &[
    silent(r#"fault.silence = { at = "before_headers" }"#, ""),
    silent(r#"fault.silence = { at = "after_headers" }"#, ""),
    silent("fault.silence = { after_chunk = 0 }", ""),
    silent("fault.silence = { after_chunk = 2 }", "One two "),
    silent("fault.silence = { after_chunk = 3 }", "One two three"),
];

fn scenario(reply: &str) -> String {
    format!(
        "[[reply]]\nwhen = {{ prompt_is = \"go\" }}\ntext = [\"One \", \"two \", \"three\"]\n{reply}\n"
    )
}

/// Limits that make silence short.
fn impatient() -> Settings {
    Settings {
        limits: Limits {
            first_event_timeout: Duration::from_millis(400),
            model_idle_timeout: Duration::from_millis(300),
            ..Limits::default()
        },
        ..Settings::default()
    }
}

async fn check(world: &World, case: &Case) {
    let views = Views::of(world, &prompt("go")).await;
    let (told, result) = views.agreed_failure();
    let reply = case.reply;
    assert_eq!(told.reason, case.reason, "{reply}: {told:?}");
    assert_eq!(told.code, tonic::Code::Unavailable, "{reply}");
    assert_eq!(result.status(), TurnStatus::Failed, "{reply}");
    assert_eq!(result.stop_reason(), case.stop_reason, "{reply}");
    assert_eq!(text(&result), case.said, "{reply}");
    assert!(result.error.unwrap().retryable, "{reply}");
    let is_counted = reply == "fault.omit_message_stop = true";
    assert_eq!(result.usage.unwrap().estimated, !is_counted, "{reply}");
    for streamed in [&views.stream, &views.converse] {
        assert_eq!(
            pieces(streamed).concat().replace("text:", ""),
            case.said,
            "{reply}"
        );
    }
    assert_eq!(asked(world).len(), 3, "{reply}: one attempt each");
}

#[tokio::test]
async fn a_broken_stream_ends_incomplete_with_what_was_sent() {
    for case in BROKEN {
        let world = World::start(&scenario(case.reply)).await;
        check(&world, case).await;
        world.check_unharmed().await;
    }
}

#[tokio::test]
async fn a_silent_model_is_given_up_and_its_connection_closed() {
    for case in SILENT {
        let world = World::with(&scenario(case.reply), impatient()).await;
        let before = Instant::now();
        check(&world, case).await;
        let each = before.elapsed() / 3;
        assert!(
            each >= Duration::from_millis(290),
            "{}: {each:?}",
            case.reply
        );
        let closed = |number: u64| {
            let journal = world.simulator.journal();
            async move {
                journal
                    .wait_for(|it| it.number == number && it.has_ended(), PATIENCE)
                    .await
            }
        };
        for number in 1..=3 {
            let entry = closed(number).await.unwrap();
            assert_eq!(entry.outcome, Outcome::ClientClosed, "{}", case.reply);
        }
        world.check_unharmed().await;
    }
}

#[tokio::test]
async fn a_connection_cut_before_the_headers_is_a_provider_that_is_not_there() {
    let world = World::start(&scenario(r#"fault.cut = { at = "before_headers" }"#)).await;
    let (told, result) = Views::of(&world, &prompt("go")).await.agreed_failure();
    assert_eq!(told.reason, ErrorReason::UpstreamUnavailable);
    assert_eq!(result.stop_reason(), StopReason::Error);
    world.check_unharmed().await;
}

#[tokio::test]
async fn frames_may_be_split_at_any_byte() {
    let mut script = scenario("");
    let sizes = (1..=48).chain([63, 64, 65, 100, 127, 128, 129, 200]);
    for size in sizes.clone() {
        let reply = scenario(&format!("fault.bytes_per_write = {size}"));
        script += &reply.replace(r#""go""#, &format!(r#""{size}""#));
    }
    let world = World::start(&script).await;
    let whole = Views::of(&world, &prompt("go")).await;
    for size in sizes {
        let mut client = world.client().await;
        let split = taiwa_e2e::call::invoke_stream(&mut client, prompt(&size.to_string())).await;
        split.end.as_ref().unwrap();
        assert_eq!(pieces(&split), pieces(&whole.stream), "{size}");
        let mut result = comparable(split.result());
        // The prompts differ, and so do the estimates of their tokens.
        result.usage = whole.agreed().usage;
        assert_eq!(result, whole.agreed(), "{size}");
    }
}

#[tokio::test]
async fn an_answer_without_metadata_is_whole_and_its_usage_estimated() {
    let world = World::start(&scenario("fault.omit_metadata = true")).await;
    let result = Views::of(&world, &prompt("go")).await.agreed();
    assert_eq!(result.status(), TurnStatus::Completed);
    assert_eq!(result.stop_reason(), StopReason::EndTurn);
    let usage = result.usage.unwrap();
    assert!(usage.estimated);
    assert!(
        usage.input_tokens > 0 && usage.output_tokens > 0,
        "{usage:?}"
    );
}

/// The stop message as an event of its own, so that something can go wrong behind it.
const STOPPED: &str = r#"
    [[reply]]
    when = { prompt_is = "go" }
    content = [
        { text = ["One ", "two ", "three"] },
        { event = { type = "messageStop", payload = '{"stopReason":"end_turn"}' } },
    ]
"#;

#[tokio::test]
async fn what_goes_wrong_behind_the_stop_takes_nothing_from_the_answer() {
    for fault in [
        r#"fault.exception = { type = "InternalServerException", after_chunk = 4 }"#,
        "fault.cut = { after_chunk = 4 }",
        "fault.silence = { after_chunk = 4 }",
    ] {
        let world = World::with(&format!("{STOPPED}{fault}"), impatient()).await;
        let result = Views::of(&world, &prompt("go")).await.agreed();
        assert_eq!(result.status(), TurnStatus::Completed, "{fault}");
        assert_eq!(result.stop_reason(), StopReason::EndTurn, "{fault}");
        assert_eq!(text(&result), "One two three", "{fault}");
        assert!(result.usage.unwrap().estimated, "{fault}");
        world.check_unharmed().await;
    }
}

#[tokio::test]
async fn events_that_make_no_sense_do_not_pass_for_an_answer() {
    for (event, payload) in [
        ("contentBlockDelta", "{"),
        ("contentBlockDelta", r#"{"contentBlockIndex":"x"}"#),
        ("messageStop", "[]"),
    ] {
        let content = format!(
            "[[reply]]\nwhen = {{ prompt_is = \"go\" }}\ncontent = [\n{{ text = [\"One \", \"two \"] }},\n{{ event = {{ type = {event:?}, payload = {payload:?} }} }} ]\n"
        );
        let world = World::start(&content).await;
        let (told, result) = Views::of(&world, &prompt("go")).await.agreed_failure();
        assert_eq!(
            told.reason,
            ErrorReason::ModelStreamError,
            "{event} {payload}"
        );
        assert_eq!(
            result.stop_reason(),
            StopReason::Incomplete,
            "{event} {payload}"
        );
        assert_eq!(text(&result), "One two ", "{event} {payload}");
        world.check_unharmed().await;
    }
}

#[tokio::test]
async fn events_of_an_unknown_kind_are_passed_over() {
    let world = World::start(
        r#"
        [[reply]]
        content = [
            { text = ["One "] },
            { event = { type = "somethingElse", payload = '{"a":1}' } },
            { text = ["two"] },
        ]
        "#,
    )
    .await;
    let result = Views::of(&world, &prompt("go")).await.agreed();
    assert_eq!(result.status(), TurnStatus::Completed);
    assert_eq!(text(&result), "One two");
}
