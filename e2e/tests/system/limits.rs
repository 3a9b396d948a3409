//! Limits on steps, tokens, time, sizes and numbers, as a caller meets them.

use std::time::Duration;

use taiwa::v1::{
    self as pb, ErrorReason, StopReason, TurnStatus, converse_request::Frame, event::Payload,
};
use taiwa_core::Limits;
use taiwa_e2e::{
    Settings, World,
    call::{self, Conversation, PATIENCE, prompt},
    told::Told,
};
use taiwa_server::session;
use taiwa_simulator::Outcome;
use tonic::Code;

use crate::views::{Views, asked, text};

const CALLS_FOR_EVER: &str = r#"
    [[reply]]
    when = { has_tools = true }
    content = [{ tool_use = { name = "again", input = "{}" } }]
    usage = { input_tokens = 40, output_tokens = 10 }
"#;

fn with_tool(options: pb::TurnOptions) -> pb::InvokeRequest {
    pb::InvokeRequest {
        options: Some(pb::TurnOptions {
            client_tools: vec![call::client_tool("again")],
            ..options
        }),
        ..prompt("go")
    }
}

/// Runs a turn by `Invoke`, and answers its tool calls until it ends.
async fn answered(world: &World, request: pb::InvokeRequest) -> pb::TurnResult {
    let mut client = world.client().await;
    let mut result = call::invoke(&mut client, request.clone())
        .await
        .unwrap()
        .result
        .unwrap();
    while result.status() == TurnStatus::Paused {
        let answer = |call: &pb::ToolCall| pb::ToolResult {
            tool_call_id: call.tool_call_id.clone(),
            text: "more".to_owned(),
            ..pb::ToolResult::default()
        };
        let next = pb::InvokeRequest {
            prompt: String::new(),
            session_id: result.session_id,
            tool_results: result.pending_tool_calls.iter().map(answer).collect(),
            options: request.options.clone(),
            ..pb::InvokeRequest::default()
        };
        result = call::invoke(&mut client, next)
            .await
            .unwrap()
            .result
            .unwrap();
    }
    result
}

#[tokio::test]
async fn a_turn_makes_no_more_model_calls_than_it_may() {
    let world = World::start(CALLS_FOR_EVER).await;
    let request = with_tool(pb::TurnOptions {
        max_steps: 3,
        ..pb::TurnOptions::default()
    });
    let result = answered(&world, request).await;
    assert_eq!(result.status(), TurnStatus::Completed);
    assert_eq!(result.stop_reason(), StopReason::MaxSteps);
    assert_eq!(result.usage.unwrap().model_calls, 3);
    assert_eq!(asked(&world).len(), 3);
}

#[tokio::test]
async fn an_agents_limit_on_steps_cannot_be_raised() {
    let settings = Settings {
        limits: Limits {
            max_steps: 2.try_into().unwrap(),
            ..Limits::default()
        },
        ..Settings::default()
    };
    let world = World::with(CALLS_FOR_EVER, settings).await;
    let request = with_tool(pb::TurnOptions {
        max_steps: 9,
        ..pb::TurnOptions::default()
    });
    let result = answered(&world, request).await;
    assert_eq!(result.stop_reason(), StopReason::MaxSteps);
    assert_eq!(asked(&world).len(), 2);
}

#[tokio::test]
async fn output_is_clamped_to_what_is_left_of_the_tokens() {
    let world = World::start(CALLS_FOR_EVER).await;
    let request = with_tool(pb::TurnOptions {
        max_total_tokens: 160,
        ..pb::TurnOptions::default()
    });
    let result = answered(&world, request).await;
    assert_eq!(result.status(), TurnStatus::Completed);
    assert_eq!(
        result.stop_reason(),
        StopReason::BudgetExceeded,
        "{result:#?}"
    );
    assert!(result.usage.unwrap().total_tokens <= 160);
    let asked = asked(&world);
    let clamps: Vec<i64> = asked
        .iter()
        .map(|it| it.request["inferenceConfig"]["maxTokens"].as_i64().unwrap())
        .collect();
    assert!(clamps.len() >= 2, "{clamps:?}");
    assert!(clamps.iter().all(|it| (1..160).contains(it)), "{clamps:?}");
    assert!(clamps.is_sorted_by(|one, next| one > next), "{clamps:?}");
}

#[tokio::test]
async fn a_callers_own_wish_for_tokens_is_sent_as_it_is() {
    let world = World::persona().await;
    for (max_total_tokens, expected) in [(0, 17), (100_000, 17)] {
        let request = pb::InvokeRequest {
            options: Some(pb::TurnOptions {
                max_tokens: Some(17),
                max_total_tokens,
                ..pb::TurnOptions::default()
            }),
            ..prompt("hi")
        };
        call::invoke(&mut world.client().await, request)
            .await
            .unwrap();
        let sent = &asked(&world).pop().unwrap().request;
        assert_eq!(sent["inferenceConfig"]["maxTokens"], expected);
    }
}

const SLOW: &str = r#"
    [[reply]]
    when = { prompt_is = "slow" }
    text = ["One ", "two ", "three"]
    fault.silence = { after_chunk = 1 }
"#;

#[tokio::test]
async fn a_turns_own_time_limit_cuts_it_and_keeps_what_was_sent() {
    let world = World::start(SLOW).await;
    let request = pb::InvokeRequest {
        options: Some(pb::TurnOptions {
            timeout: Some(prost_types::Duration {
                seconds: 0,
                nanos: 300_000_000,
            }),
            ..pb::TurnOptions::default()
        }),
        ..prompt("slow")
    };
    let (told, result) = Views::of(&world, &request).await.agreed_failure();
    assert_eq!(told.code, Code::DeadlineExceeded);
    assert_eq!(told.reason, ErrorReason::DeadlineExceeded);
    assert_eq!(result.status(), TurnStatus::Cancelled);
    assert_eq!(result.stop_reason(), StopReason::BudgetExceeded);
    assert_eq!(text(&result), "One ");
    for number in 1..=3 {
        let closed = world
            .simulator
            .journal()
            .wait_for(|it| it.number == number && it.has_ended(), PATIENCE);
        assert_eq!(closed.await.unwrap().outcome, Outcome::ClientClosed);
    }
}

#[tokio::test]
async fn a_history_that_is_full_takes_no_more() {
    let settings = Settings {
        limits: Limits {
            max_history_bytes: 2_000,
            ..Limits::default()
        },
        ..Settings::default()
    };
    let scenario = format!("[[reply]]\ntext = \"{}\"\n", "word ".repeat(100));
    let world = World::with(&scenario, settings).await;
    let mut client = world.client().await;
    let mut session_id = String::new();
    for round in 1.. {
        let request = pb::InvokeRequest {
            session_id: session_id.clone(),
            ..prompt("more")
        };
        match call::invoke(&mut client, request).await {
            Ok(answer) => session_id = answer.result.unwrap().session_id,
            Err(status) => {
                assert_eq!(round, 5, "{status:?}");
                let told = Told::of(&status);
                assert_eq!(told.code, Code::ResourceExhausted);
                assert_eq!(told.reason, ErrorReason::LimitExceeded);
                break;
            }
        }
        assert!(round < 10, "the limit holds");
    }
    call::invoke(&mut client, prompt("another session"))
        .await
        .unwrap();
}

#[tokio::test]
async fn sizes_beyond_the_agents_limits_are_told_by_field() {
    let settings = Settings {
        limits: Limits {
            max_input_bytes: 100,
            max_tool_result_bytes: 50,
            max_output_bytes: 1_000,
            ..Limits::default()
        },
        ..Settings::default()
    };
    let scenario = format!(
        "{CALLS_FOR_EVER}[[reply]]\ntext = \"{}\"\n",
        "word ".repeat(300)
    );
    let world = World::with(&scenario, settings).await;
    let mut client = world.client().await;
    let status = call::invoke(&mut client, prompt(&"x".repeat(101)))
        .await
        .unwrap_err();
    let told = Told::of(&status);
    assert_eq!(
        (told.code, told.reason),
        (Code::ResourceExhausted, ErrorReason::LimitExceeded)
    );
    assert_eq!(told.metadata["limit_bytes"], "100");

    let request = with_tool(pb::TurnOptions::default());
    let paused = call::invoke(&mut client, request)
        .await
        .unwrap()
        .result
        .unwrap();
    let result = pb::ToolResult {
        tool_call_id: paused.pending_tool_calls[0].tool_call_id.clone(),
        text: "x".repeat(51),
        ..pb::ToolResult::default()
    };
    let answer = pb::InvokeRequest {
        session_id: paused.session_id,
        tool_results: vec![result],
        ..pb::InvokeRequest::default()
    };
    let told = Told::of(&call::invoke(&mut client, answer).await.unwrap_err());
    assert_eq!(told.reason, ErrorReason::LimitExceeded);
    assert_eq!(told.metadata["limit_bytes"], "50");

    let (told, result) = Views::of(&world, &prompt("long")).await.agreed_failure();
    assert_eq!(told.reason, ErrorReason::LimitExceeded);
    assert_eq!(result.stop_reason(), StopReason::Incomplete);
    assert!(text(&result).len() <= 1_000);
}

#[tokio::test]
async fn inputs_beyond_the_queue_are_refused_and_those_within_are_answered() {
    let settings = Settings {
        limits: Limits {
            max_queued_inputs: 2,
            ..Limits::default()
        },
        ..Settings::default()
    };
    let world = World::with(SLOW, settings).await;
    let mut client = world.client().await;
    let mut conversation = Conversation::open(&mut client).await;
    conversation.say("slow").await;
    for name in ["first", "second", "third"] {
        conversation
            .send_named(name, Frame::Prompt(name.to_owned()))
            .await;
    }
    let is_refusal = |it: &pb::Event| matches!(it.payload, Some(Payload::FrameRejected(_)));
    let events = conversation.until(is_refusal).await;
    let positions: Vec<i32> = events
        .iter()
        .filter_map(|it| match &it.payload {
            Some(Payload::FrameAccepted(receipt)) => Some(receipt.queue_position),
            _ => None,
        })
        .collect();
    assert_eq!(positions, [0, 1]);
    let Some(Some(Payload::FrameRejected(refusal))) = events.last().map(|it| &it.payload) else {
        unreachable!("it is a refusal");
    };
    assert_eq!(refusal.frame_id, "third");
    let told = Told::of_turn(refusal.error.as_ref().unwrap());
    assert_eq!(
        (told.code, told.reason),
        (Code::ResourceExhausted, ErrorReason::ConcurrencyLimited)
    );
    assert!(told.retry_delay.is_some());

    let interrupt = Frame::Interrupt(pb::Interrupt::default());
    conversation.send(interrupt).await;
    let interrupted = conversation.turn().await;
    assert_eq!(interrupted.result().status(), TurnStatus::Interrupted);
    for _ in ["first", "second"] {
        let turn = conversation.turn().await;
        assert_eq!(turn.result().status(), TurnStatus::Completed);
    }
    assert!(conversation.finish().await.end.is_ok());
}

#[tokio::test]
async fn session_ready_tells_the_limits_of_the_session() {
    let settings = Settings {
        limits: Limits {
            max_queued_inputs: 3,
            ..Limits::default()
        },
        sessions: session::Config {
            max_frame_bytes: 4_711,
            stream_idle_timeout: Duration::from_secs(77),
            ..session::Config::default()
        },
        ..Settings::default()
    };
    let world = World::with("", settings).await;
    let mut client = world.client().await;
    let mut conversation = Conversation::open(&mut client).await;
    conversation.half_close();
    let ready = conversation.next().await.unwrap().unwrap();
    let Some(Payload::SessionReady(ready)) = ready.payload else {
        panic!("{ready:?}");
    };
    assert_eq!(ready.agent_id, "assistant");
    assert_eq!(ready.model_id, taiwa_e2e::MODEL);
    let limits = ready.limits.unwrap();
    assert_eq!(limits.max_frame_bytes, 4_711);
    assert_eq!(limits.idle_timeout.unwrap().seconds, 77);
    assert_eq!(limits.max_queued_inputs, 3);
    assert!(conversation.rest().await.end.is_ok());
}
