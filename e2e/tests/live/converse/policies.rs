//! What becomes of input that comes while a turn runs.

use taiwa::v1::{self as pb, converse_request::Frame};
use taiwa_core::Limits;
use taiwa_e2e::{Settings, World, call::Conversation};
use tonic::Code;

use super::SCENARIO;
use crate::{
    nothing_upstream,
    talk::{end, hear, input, open, open_with, receipt, refusal, told_to_model, words},
    tools::{answer, weather},
};

/// Sends an input under a policy, by a frame that is named.
async fn put(conversation: &Conversation, name: &str, words: &str, policy: pb::InputPolicy) {
    let frame = Frame::Input(input(words, policy));
    conversation.send_named(name, frame).await;
}

async fn interrupt(conversation: &mut Conversation) -> pb::TurnResult {
    let frame = Frame::Interrupt(pb::Interrupt::default());
    conversation.send(frame).await;
    end(conversation).await
}

/// A session whose model has fallen silent midway.
async fn midway(world: &World) -> Conversation {
    let mut conversation = open(world, "s").await;
    conversation.say("long").await;
    hear(&mut conversation, "two ").await;
    conversation
}

/// A session whose turn waits for a tool, and the turn's id.
async fn waiting(world: &World) -> (Conversation, String) {
    let setup = pb::SessionSetup {
        session_id: "s".to_owned(),
        options: Some(weather()),
        ..pb::SessionSetup::default()
    };
    let mut conversation = open_with(world, setup).await;
    conversation.say("weather?").await;
    let is_call =
        |event: &pb::Event| matches!(event.payload, Some(pb::event::Payload::ToolCall(_)));
    let call = conversation.until(is_call).await.pop().unwrap();
    (conversation, call.turn_id)
}

#[tokio::test]
async fn queued_input_waits_in_order_up_to_the_limit() {
    let limits = Limits {
        max_queued_inputs: 2,
        ..Limits::default()
    };
    let settings = Settings {
        limits,
        ..Settings::default()
    };
    let world = World::with(SCENARIO, settings).await;
    let mut conversation = midway(&world).await;
    for (position, name) in ["a", "b"].into_iter().enumerate() {
        put(&conversation, name, name, pb::InputPolicy::Unspecified).await;
        let told = receipt(&mut conversation, name).await;
        assert_eq!(told.outcome(), pb::FrameOutcome::Queued);
        assert_eq!(usize::try_from(told.queue_position).unwrap(), position);
    }
    put(&conversation, "c", "c", pb::InputPolicy::Queue).await;
    let told = refusal(&mut conversation, "c").await;
    assert_eq!(told.reason, pb::ErrorReason::ConcurrencyLimited);
    assert_eq!(told.code, Code::ResourceExhausted);
    interrupt(&mut conversation).await;
    let rest = conversation.finish().await;
    rest.end.unwrap();
    let last = told_to_model(&world).pop().unwrap();
    let asked: Vec<_> = last.iter().filter(|it| it.starts_with("user")).collect();
    assert_eq!(asked, ["user: long", "user: a", "user: b"]);
}

#[tokio::test]
async fn rejected_input_leaves_the_turn_alone() {
    let world = World::start(SCENARIO).await;
    let mut conversation = midway(&world).await;
    put(&conversation, "no", "no", pb::InputPolicy::Reject).await;
    let told = refusal(&mut conversation, "no").await;
    assert_eq!(told.reason, pb::ErrorReason::TurnInProgress);
    assert_eq!(told.code, Code::Aborted);
    let result = interrupt(&mut conversation).await;
    assert_eq!(words(&result), "one two ");
    // The frame was refused, so it may come again.
    put(&conversation, "no", "once more", pb::InputPolicy::Reject).await;
    let told = receipt(&mut conversation, "no").await;
    assert_eq!(told.outcome(), pb::FrameOutcome::StartedTurn);
}

#[tokio::test]
async fn interrupting_input_keeps_what_was_said_and_replacing_input_does_not() {
    for (policy, first) in [
        (pb::InputPolicy::Interrupt, Some("user: long")),
        (pb::InputPolicy::Replace, None),
    ] {
        let world = World::start(SCENARIO).await;
        let mut conversation = midway(&world).await;
        put(&conversation, "waits", "after", pb::InputPolicy::Queue).await;
        receipt(&mut conversation, "waits").await;
        put(&conversation, "cuts", "short", policy).await;
        let told = receipt(&mut conversation, "cuts").await;
        assert_eq!(told.outcome(), pb::FrameOutcome::Interrupted);
        let cut = end(&mut conversation).await;
        assert_eq!(cut.status(), pb::TurnStatus::Interrupted);
        assert_eq!(cut.turn_id, told.turn_id);
        conversation.finish().await.end.unwrap();
        // It starts ahead of what waits.
        let prompts = told_to_model(&world);
        assert_eq!(
            prompts[1].first().map(String::as_str),
            first.or(Some("user: short"))
        );
        assert_eq!(prompts[1].last().unwrap(), "user: short");
        assert_eq!(prompts[2].last().unwrap(), "user: after");
        nothing_upstream(&world).await;
    }
}

#[tokio::test]
async fn steering_input_without_a_further_model_call_starts_the_next_turn() {
    let world = World::start(SCENARIO).await;
    let mut conversation = midway(&world).await;
    put(&conversation, "steer", "left", pb::InputPolicy::Steer).await;
    let told = receipt(&mut conversation, "steer").await;
    assert_eq!(told.outcome(), pb::FrameOutcome::Steered);
    let cut = interrupt(&mut conversation).await;
    assert_eq!(cut.turn_id, told.turn_id);
    let next = conversation.turn().await;
    let starts = next.events.iter().filter_map(|event| match &event.payload {
        Some(pb::event::Payload::TurnStarted(it)) => Some(it.frame_id.as_str()),
        _ => None,
    });
    assert_eq!(starts.collect::<Vec<_>>(), ["steer"]);
}

#[tokio::test]
async fn steering_input_joins_a_turn_that_waits_for_tools() {
    let world = World::start(SCENARIO).await;
    let (mut conversation, turn_id) = waiting(&world).await;
    put(&conversation, "steer", "in Celsius", pb::InputPolicy::Steer).await;
    let told = receipt(&mut conversation, "steer").await;
    assert_eq!(told.outcome(), pb::FrameOutcome::Steered);
    assert_eq!(told.turn_id, turn_id);
    conversation
        .send(Frame::ToolResult(answer("call", "18")))
        .await;
    let result = end(&mut conversation).await;
    assert_eq!(result.turn_id, turn_id);
    assert_eq!(words(&result), "Done.");
    let last = told_to_model(&world).pop().unwrap().pop().unwrap();
    assert_eq!(last, "user: success call: 18 | in Celsius");
}

#[tokio::test]
async fn input_while_a_turn_waits_for_tools_follows_its_policy() {
    let world = World::start(SCENARIO).await;
    let (mut conversation, turn_id) = waiting(&world).await;
    put(&conversation, "no", "no", pb::InputPolicy::Reject).await;
    let told = refusal(&mut conversation, "no").await;
    assert_eq!(told.reason, pb::ErrorReason::TurnInProgress);
    put(&conversation, "later", "later", pb::InputPolicy::Queue).await;
    let told = receipt(&mut conversation, "later").await;
    assert_eq!(told.outcome(), pb::FrameOutcome::Queued);
    put(&conversation, "stop", "stop", pb::InputPolicy::Interrupt).await;
    let told = receipt(&mut conversation, "stop").await;
    assert_eq!(told.outcome(), pb::FrameOutcome::Interrupted);
    assert_eq!(told.turn_id, turn_id);
    let cut = conversation.turn().await;
    let cancelled = cut.events.iter().filter_map(|event| match &event.payload {
        Some(pb::event::Payload::ToolCallsCancelled(it)) => Some(it.tool_call_ids.clone()),
        _ => None,
    });
    assert_eq!(cancelled.collect::<Vec<_>>(), [["call"]]);
    assert_eq!(cut.result().status(), pb::TurnStatus::Interrupted);
    conversation.finish().await.end.unwrap();
    let prompts = told_to_model(&world);
    let last = prompts[1].last().unwrap();
    assert!(last.starts_with("user: error call: "), "{last}");
    assert!(last.ends_with(" | stop"), "{last}");
    assert_eq!(prompts[2].last().unwrap(), "user: later");

    let world = World::start(SCENARIO).await;
    let (mut conversation, _) = waiting(&world).await;
    put(
        &conversation,
        "instead",
        "instead",
        pb::InputPolicy::Replace,
    )
    .await;
    let told = receipt(&mut conversation, "instead").await;
    assert_eq!(told.outcome(), pb::FrameOutcome::Interrupted);
    conversation.finish().await.end.unwrap();
    let last = told_to_model(&world).pop().unwrap();
    assert_eq!(last, ["user: instead"]);
}

#[tokio::test]
async fn the_policy_of_the_setup_holds_for_prompts() {
    let world = World::start(SCENARIO).await;
    let setup = pb::SessionSetup {
        input_policy: pb::InputPolicy::Interrupt.into(),
        ..pb::SessionSetup::default()
    };
    let mut conversation = open_with(&world, setup).await;
    conversation.say("long").await;
    hear(&mut conversation, "two ").await;
    conversation
        .send_named("cut", Frame::Prompt("short".to_owned()))
        .await;
    let told = receipt(&mut conversation, "cut").await;
    assert_eq!(told.outcome(), pb::FrameOutcome::Interrupted);
    conversation.finish().await.end.unwrap();
}
