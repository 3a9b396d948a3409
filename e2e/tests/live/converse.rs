//! A live conversation: how it opens, goes on, and ends.

mod policies;
mod streams;

use taiwa::v1::{self as pb, converse_request::Frame, event::Payload};
use taiwa_e2e::{World, call::Conversation};
use tonic::Code;

use crate::talk::{
    end, hear, input, open, open_with, receipt, refusal, text, told_to_model, words,
};

/// A model that falls silent midway when asked for long, and else says one thing.
const SCENARIO: &str = r#"
[[reply]]
when = { prompt_contains = "go on" }
text = "Done."

[[reply]]
when = { prompt_contains = "long" }
text = ["one ", "two ", "never said"]
fault.silence = { after_chunk = 2 }

[[reply]]
when = { prompt_contains = "weather", has_tool_result = false }
content = [{ tool_use = { id = "call", name = "get_weather", input = '{"city": "Kyoto"}' } }]

[[reply]]
text = "Done."
"#;

#[tokio::test]
async fn three_prompts_piped_in_are_three_turns_and_the_call_ends_well() {
    let world = World::start(SCENARIO).await;
    let mut conversation = Conversation::open(&mut world.client().await).await;
    for prompt in ["first", "second", "third"] {
        conversation.say(prompt).await;
    }
    conversation.half_close();
    let all = conversation.rest().await;
    all.end.unwrap();

    let Some(Payload::SessionReady(ready)) = &all.events[0].payload else {
        panic!("{:#?}", all.events[0]);
    };
    assert!(!ready.session_id.is_empty());
    assert_eq!(ready.last_sequence, 0);
    assert_eq!(ready.agent_id, "assistant");
    let sequences: Vec<_> = all.events[1..].iter().map(|event| event.sequence).collect();
    let numbers: Vec<_> = (1..=i64::try_from(sequences.len()).unwrap()).collect();
    assert_eq!(sequences, numbers);
    let ends = all.events.iter().filter_map(|event| match &event.payload {
        Some(Payload::TurnEnded(result)) => Some(words(result)),
        _ => None,
    });
    assert_eq!(ends.collect::<Vec<_>>(), ["Done."; 3]);
    let last = told_to_model(&world).pop().unwrap();
    let asked = ["user: first", "assistant: Done.", "user: second"];
    assert_eq!(last[..3], asked);
    assert_eq!(last[3..], ["assistant: Done.", "user: third"]);
}

#[tokio::test]
async fn a_stream_that_says_nothing_opens_a_session_and_ends_well() {
    let world = World::start(SCENARIO).await;
    let conversation = Conversation::open(&mut world.client().await).await;
    let all = conversation.finish().await;
    all.end.unwrap();
    assert_eq!(all.events.len(), 1);
    let is_ready = matches!(all.events[0].payload, Some(Payload::SessionReady(_)));
    assert!(is_ready);
}

#[tokio::test]
async fn frames_are_acknowledged_by_name_and_act_once() {
    let world = World::start(SCENARIO).await;
    let mut conversation = Conversation::open(&mut world.client().await).await;
    let setup = Frame::Setup(pb::SessionSetup::default());
    conversation.send_named("setup", setup).await;
    let opened = receipt(&mut conversation, "setup").await;
    assert_eq!(opened.outcome(), pb::FrameOutcome::Applied);

    let prompt = || Frame::Prompt("hi".to_owned());
    conversation.send_named("hi", prompt()).await;
    let started = receipt(&mut conversation, "hi").await;
    assert_eq!(started.outcome(), pb::FrameOutcome::StartedTurn);
    assert!(!started.duplicate);
    let turn = conversation.turn().await;
    let is_start = |event: &&pb::Event| matches!(event.payload, Some(Payload::TurnStarted(_)));
    let Some(Payload::TurnStarted(start)) = &turn.events.iter().find(is_start).unwrap().payload
    else {
        unreachable!();
    };
    assert_eq!(start.frame_id, "hi");
    assert_eq!(turn.result().turn_id, started.turn_id);

    conversation.send_named("hi", prompt()).await;
    let again = receipt(&mut conversation, "hi").await;
    assert!(again.duplicate);
    assert_eq!(again.outcome(), pb::FrameOutcome::StartedTurn);
    assert_eq!(again.turn_id, started.turn_id);
    let rest = conversation.finish().await;
    rest.end.as_ref().unwrap();
    assert!(rest.events.is_empty(), "{rest:#?}");
    assert_eq!(told_to_model(&world).len(), 1);
}

#[tokio::test]
async fn a_setup_that_is_not_first_is_refused_and_the_session_goes_on() {
    let world = World::start(SCENARIO).await;
    let mut conversation = open(&world, "s").await;
    let setup = Frame::Setup(pb::SessionSetup::default());
    conversation.send_named("late", setup).await;
    let told = refusal(&mut conversation, "late").await;
    assert_eq!(told.reason, pb::ErrorReason::FrameOutOfOrder);
    assert_eq!(told.code, Code::FailedPrecondition);
    conversation.say("hi").await;
    assert_eq!(words(&end(&mut conversation).await), "Done.");
}

#[tokio::test]
async fn a_message_in_parts_starts_one_turn_at_its_last_part() {
    let world = World::start(SCENARIO).await;
    let mut conversation = open(&world, "s").await;
    for (part, more_follows) in [("one", true), ("two", true), ("three", false)] {
        let input = pb::UserInput {
            more_follows,
            ..input(part, pb::InputPolicy::Unspecified)
        };
        conversation.send_named(part, Frame::Input(input)).await;
    }
    for part in ["one", "two"] {
        let receipt = receipt(&mut conversation, part).await;
        assert_eq!(receipt.outcome(), pb::FrameOutcome::Applied);
    }
    let last = receipt(&mut conversation, "three").await;
    assert_eq!(last.outcome(), pb::FrameOutcome::StartedTurn);
    end(&mut conversation).await;
    assert_eq!(told_to_model(&world), [["user: one | two | three"]]);
}

#[tokio::test]
async fn context_is_kept_and_starts_nothing() {
    let world = World::start(SCENARIO).await;
    let mut conversation = open(&world, "s").await;
    let context = pb::UserInput {
        context_only: true,
        ..input("It is Monday.", pb::InputPolicy::Unspecified)
    };
    conversation
        .send_named("context", Frame::Input(context))
        .await;
    let told = receipt(&mut conversation, "context").await;
    assert_eq!(told.outcome(), pb::FrameOutcome::Applied);
    assert!(world.simulator.journal().entries().is_empty());
    conversation.say("Which day?").await;
    end(&mut conversation).await;
    assert_eq!(
        told_to_model(&world),
        [["user: It is Monday. | Which day?"]]
    );
}

#[tokio::test]
async fn an_update_holds_for_the_turns_after_it() {
    let world = World::start(SCENARIO).await;
    let mut conversation = open(&world, "s").await;
    conversation.say("before").await;
    end(&mut conversation).await;
    let options = pb::TurnOptions {
        max_tokens: Some(7),
        ..pb::TurnOptions::default()
    };
    let update = pb::SessionUpdate {
        options: Some(options),
        ..pb::SessionUpdate::default()
    };
    conversation
        .send_named("update", Frame::Update(update))
        .await;
    let told = receipt(&mut conversation, "update").await;
    assert_eq!(told.outcome(), pb::FrameOutcome::Applied);
    conversation.say("after").await;
    end(&mut conversation).await;
    let entries = world.simulator.journal().entries();
    let limits = entries
        .iter()
        .map(|it| &it.request["inferenceConfig"]["maxTokens"]);
    let limits: Vec<_> = limits.map(serde_json::Value::as_u64).collect();
    assert_eq!(limits, [None, Some(7)]);
}

#[tokio::test]
async fn an_interrupt_keeps_what_was_sent_or_drops_it() {
    let world = World::start(SCENARIO).await;
    let mut conversation = open(&world, "s").await;
    for (discard_output, name) in [(false, "keep"), (true, "drop")] {
        conversation.say(&format!("long, to {name}")).await;
        hear(&mut conversation, "two ").await;
        let interrupt = pb::Interrupt {
            discard_output,
            ..pb::Interrupt::default()
        };
        conversation
            .send_named(name, Frame::Interrupt(interrupt))
            .await;
        let told = receipt(&mut conversation, name).await;
        assert_eq!(told.outcome(), pb::FrameOutcome::Applied);
        let turn = conversation.turn().await;
        let causes = turn.events.iter().filter_map(|event| match &event.payload {
            Some(Payload::Interrupted(it)) => Some(it.cause()),
            _ => None,
        });
        let causes: Vec<_> = causes.collect();
        assert_eq!(causes, [pb::InterruptionCause::Client]);
        let result = turn.result();
        assert_eq!(result.status(), pb::TurnStatus::Interrupted);
        assert_eq!(result.stop_reason(), pb::StopReason::Interrupted);
        assert_eq!(result.turn_id, told.turn_id);
        assert!(result.usage.as_ref().unwrap().estimated);
    }
    conversation.say("go on").await;
    end(&mut conversation).await;
    let last = told_to_model(&world).pop().unwrap();
    assert_eq!(last[..2], ["user: long, to keep", "assistant: one two "]);
    assert_eq!(last[2..], ["user: long, to drop | go on"]);
    crate::nothing_upstream(&world).await;
}

#[tokio::test]
async fn an_interrupt_without_a_turn_or_for_an_ended_one_comes_too_late() {
    let world = World::start(SCENARIO).await;
    let mut conversation = open(&world, "s").await;
    let interrupt = |turn_id: &str| {
        Frame::Interrupt(pb::Interrupt {
            turn_id: turn_id.to_owned(),
            ..pb::Interrupt::default()
        })
    };
    conversation.send_named("none", interrupt("")).await;
    let told = receipt(&mut conversation, "none").await;
    assert_eq!(told.outcome(), pb::FrameOutcome::TooLate);
    conversation.say("hi").await;
    let turn_id = end(&mut conversation).await.turn_id;
    conversation.send_named("ended", interrupt(&turn_id)).await;
    let told = receipt(&mut conversation, "ended").await;
    assert_eq!(told.outcome(), pb::FrameOutcome::TooLate);
    conversation
        .send_named("unknown", interrupt("no-such-turn"))
        .await;
    let told = refusal(&mut conversation, "unknown").await;
    assert_eq!(told.reason, pb::ErrorReason::TurnNotFound);
}

#[tokio::test]
async fn a_session_brings_its_own_history_once() {
    let world = World::start(SCENARIO).await;
    let message = |role: pb::Role, words: &str| pb::Message {
        role: role.into(),
        content: vec![text(words)],
        ..pb::Message::default()
    };
    let setup = pb::SessionSetup {
        session_id: "s".to_owned(),
        messages: vec![
            message(pb::Role::User, "I am Ada."),
            message(pb::Role::Assistant, "Hello, Ada."),
        ],
        ..pb::SessionSetup::default()
    };
    let mut conversation = open_with(&world, setup.clone()).await;
    conversation.say("Who am I?").await;
    end(&mut conversation).await;
    let told = told_to_model(&world).pop().unwrap();
    assert_eq!(
        told,
        [
            "user: I am Ada.",
            "assistant: Hello, Ada.",
            "user: Who am I?"
        ]
    );

    let mut second = Conversation::open(&mut world.client().await).await;
    second.send(Frame::Setup(setup)).await;
    let status = second.next().await.unwrap_err();
    let told = taiwa_e2e::told::Told::of(&status);
    assert_eq!(told.code, Code::InvalidArgument);
    assert_eq!(told.fields, ["setup.messages"]);
}
