//! A turn whose caller asked for it runs on when the caller goes.

use std::time::Duration;

use taiwa::v1::{self as pb, converse_request::Frame, event::Payload};
use taiwa_e2e::{
    World,
    call::{self, Conversation},
};
use taiwa_simulator::Outcome;

use crate::{
    ended_turn, entry,
    wire::{Wire, narrow},
};

const SCENARIO: &str = r#"
[[reply]]
when = { prompt_is = "slowly" }
text = ["one ", "two ", "three"]
pace = { chunk_delay = "50ms" }

[[reply]]
when = { prompt_is = "a lot" }
text = ["forty bytes of text, one after another. "]
repeat = 50_000

[[reply]]
text = "That is all."
"#;

fn run_on() -> pb::StreamOptions {
    pb::StreamOptions {
        on_disconnect: pb::DisconnectPolicy::Continue.into(),
        ..pb::StreamOptions::default()
    }
}

fn request(prompt: &str) -> pb::InvokeRequest {
    pb::InvokeRequest {
        session_id: "s".to_owned(),
        stream: Some(run_on()),
        ..call::prompt(prompt)
    }
}

/// Checks that the turn of the session completed, and what it said.
async fn check_completed(world: &World, text_len: usize) {
    let turn = ended_turn(&mut world.client().await, "s").await;
    assert_eq!(turn.status(), pb::TurnStatus::Completed, "{turn:#?}");
    assert!(!turn.usage.unwrap().estimated);
    let content = turn.message.unwrap().content;
    let Some(pb::content_block::Block::Text(text)) = &content[0].block else {
        panic!("{content:?}");
    };
    assert_eq!(text.len(), text_len);
    let call = entry(world, taiwa_simulator::Entry::has_ended).await;
    assert_eq!(call.outcome, Outcome::Completed);
}

#[tokio::test]
async fn invoke_stream_that_is_dropped_runs_on_when_asked_to() {
    let world = World::start(SCENARIO).await;
    let mut client = world.client().await;
    let mut events = client
        .invoke_stream(request("slowly"))
        .await
        .unwrap()
        .into_inner();
    events.message().await.unwrap().unwrap();
    drop(events);
    check_completed(&world, "one two three".len()).await;
}

#[tokio::test]
async fn a_turn_that_its_reader_held_runs_on_when_the_reader_goes() {
    let world = World::start(SCENARIO).await;
    let mut client = narrow(&world).await;
    let events = client.invoke_stream(request("a lot")).await.unwrap();
    tokio::time::timeout(
        Duration::from_millis(300),
        ended_turn(&mut world.client().await, "s"),
    )
    .await
    .expect_err("the reader holds the model");
    drop(events);
    check_completed(&world, 50_000 * 40).await;
}

#[tokio::test]
async fn converse_runs_on_by_default_though_the_connection_is_cut() {
    let world = World::start(SCENARIO).await;
    let mut wire = Wire::open(&world).await;
    let mut conversation = Conversation::open(&mut wire.client).await;
    let setup = pb::SessionSetup {
        session_id: "s".to_owned(),
        ..pb::SessionSetup::default()
    };
    conversation.send(Frame::Setup(setup)).await;
    conversation.say("slowly").await;
    let is_text = |event: &pb::Event| matches!(event.payload, Some(Payload::TextDelta(_)));
    conversation.until(is_text).await;
    wire.cut();
    check_completed(&world, "one two three".len()).await;
}
