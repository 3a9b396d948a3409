//! Tools that are answered on a live stream.

use std::time::Duration;

use taiwa::v1::{self as pb, converse_request::Frame, event::Payload};
use taiwa_core::Limits;
use taiwa_e2e::{
    Settings, World,
    call::{self, Conversation},
};

use super::{SCENARIO, answer, weather};
use crate::{
    ended_turn,
    talk::{end, open_with, receipt, refusal, told_to_model, words},
};

async fn converse(world: &World) -> Conversation {
    let setup = pb::SessionSetup {
        session_id: "s".to_owned(),
        options: Some(weather()),
        ..pb::SessionSetup::default()
    };
    open_with(world, setup).await
}

/// Asks, and reads until so many calls came.
async fn ask(conversation: &mut Conversation, prompt: &str, calls: usize) -> Vec<pb::ToolCall> {
    conversation.say(prompt).await;
    let mut seen = Vec::new();
    while seen.len() < calls {
        let event = conversation.next().await.unwrap().unwrap();
        if let Some(Payload::ToolCall(call)) = event.payload {
            seen.push(call);
        }
    }
    seen
}

#[tokio::test]
async fn a_turn_waits_on_the_stream_and_its_results_come_in_any_order() {
    let world = World::start(SCENARIO).await;
    let mut conversation = converse(&world).await;
    let calls = ask(&mut conversation, "two", 2).await;
    assert_eq!(calls[0].tool_call_id, "kyoto");
    let second = Frame::ToolResult(answer("oslo", "4"));
    conversation.send_named("second", second).await;
    let told = receipt(&mut conversation, "second").await;
    assert_eq!(told.outcome(), pb::FrameOutcome::Applied);
    conversation
        .send(Frame::ToolResult(answer("kyoto", "18")))
        .await;
    let result = end(&mut conversation).await;
    assert_eq!(words(&result), "It is mild.");
    let told = told_to_model(&world).pop().unwrap();
    assert_eq!(told[2], "user: success kyoto: 18 | success oslo: 4");

    // What comes after is late, and a call that never was is refused.
    let late = Frame::ToolResult(answer("oslo", "5"));
    conversation.send_named("late", late).await;
    let told = receipt(&mut conversation, "late").await;
    assert_eq!(told.outcome(), pb::FrameOutcome::TooLate);
    assert_eq!(told.turn_id, result.turn_id);
    let wrong = Frame::ToolResult(answer("nobody", "5"));
    conversation.send_named("wrong", wrong).await;
    let told = refusal(&mut conversation, "wrong").await;
    assert_eq!(told.reason, pb::ErrorReason::CallNotPending);
    conversation.finish().await.end.unwrap();
}

#[tokio::test]
async fn a_call_that_is_not_answered_in_time_is_answered_for_the_client() {
    let limits = Limits {
        client_tool_timeout: Duration::from_millis(80),
        ..Limits::default()
    };
    let settings = Settings {
        limits,
        ..Settings::default()
    };
    let world = World::with(SCENARIO, settings).await;
    let mut conversation = converse(&world).await;
    ask(&mut conversation, "one", 1).await;
    let turn = conversation.turn().await;
    let cancelled = turn.events.iter().filter_map(|event| match &event.payload {
        Some(Payload::ToolCallsCancelled(it)) => Some(it.tool_call_ids.clone()),
        _ => None,
    });
    assert_eq!(cancelled.collect::<Vec<_>>(), [["kyoto"]]);
    assert_eq!(turn.result().status(), pb::TurnStatus::Completed);
    let told = told_to_model(&world).pop().unwrap();
    assert!(told[2].starts_with("user: error kyoto: "), "{told:?}");
    let late = Frame::ToolResult(answer("kyoto", "18"));
    conversation.send_named("late", late).await;
    let told = receipt(&mut conversation, "late").await;
    assert_eq!(told.outcome(), pb::FrameOutcome::TooLate);
}

#[tokio::test]
async fn a_paused_turn_that_nobody_answers_fails_in_time() {
    let limits = Limits {
        client_tool_timeout: Duration::from_millis(80),
        ..Limits::default()
    };
    let settings = Settings {
        limits,
        ..Settings::default()
    };
    let world = World::with(SCENARIO, settings).await;
    let mut client = world.client().await;
    let request = pb::InvokeRequest {
        session_id: "s".to_owned(),
        options: Some(weather()),
        ..call::prompt("one")
    };
    call::invoke(&mut client, request).await.unwrap();
    crate::eventually(async || {
        let turn = ended_turn(&mut world.client().await, "s").await;
        turn.status() == pb::TurnStatus::Failed
    })
    .await;
    let turn = ended_turn(&mut client, "s").await;
    let reason = turn.error.unwrap().reason();
    assert_eq!(reason, pb::ErrorReason::AnswerTimeout);
}

#[tokio::test]
async fn half_close_pauses_a_turn_that_waits_and_a_call_takes_it_up() {
    let world = World::start(SCENARIO).await;
    let mut conversation = converse(&world).await;
    ask(&mut conversation, "one", 1).await;
    let rest = conversation.finish().await;
    rest.end.as_ref().unwrap();
    let paused = rest.result().clone();
    assert_eq!(paused.status(), pb::TurnStatus::Paused);
    assert_eq!(paused.pending_tool_calls.len(), 1);
    let request = pb::InvokeRequest {
        session_id: "s".to_owned(),
        tool_results: vec![answer("kyoto", "18")],
        ..pb::InvokeRequest::default()
    };
    let mut client = world.client().await;
    let done = call::invoke(&mut client, request).await.unwrap();
    assert_eq!(done.text, "It is mild.");
    assert_eq!(done.result.unwrap().turn_id, paused.turn_id);
}

#[tokio::test]
async fn a_turn_that_a_call_left_paused_is_taken_up_on_a_live_stream() {
    let world = World::start(SCENARIO).await;
    let request = pb::InvokeRequest {
        session_id: "s".to_owned(),
        options: Some(weather()),
        ..call::prompt("one")
    };
    let mut client = world.client().await;
    let paused = call::invoke(&mut client, request).await.unwrap();
    let mut conversation = converse(&world).await;
    conversation
        .send(Frame::ToolResult(answer("kyoto", "18")))
        .await;
    let turn = conversation.turn().await;
    let continued = turn.events.iter().any(|event| match &event.payload {
        Some(Payload::TurnStarted(it)) => it.continued,
        _ => false,
    });
    assert!(continued);
    assert_eq!(turn.result().turn_id, paused.result.unwrap().turn_id);
    assert_eq!(words(turn.result()), "It is mild.");
}

#[tokio::test]
async fn a_lost_stream_pauses_a_turn_that_waits() {
    let world = World::start(SCENARIO).await;
    let mut conversation = converse(&world).await;
    ask(&mut conversation, "one", 1).await;
    drop(conversation);
    let mut client = world.client().await;
    let turn = ended_turn(&mut client, "s").await;
    assert_eq!(turn.status(), pb::TurnStatus::Paused);
}
