//! Tools of a client that are named as one of the agent's own.

use taiwa::v1::{self as pb, converse_request::Frame, event::Payload};
use taiwa_e2e::{
    Settings,
    call::{Conversation, client_tool, invoke, prompt},
    told::Told,
};

use crate::world;

const REFUSAL: &str = "must not be that of a tool of the agent's own: work";

fn clashing() -> Option<pb::TurnOptions> {
    Some(pb::TurnOptions {
        client_tools: vec![client_tool("mine"), client_tool("work")],
        ..pb::TurnOptions::default()
    })
}

fn check(told: &Told, field: &str) {
    assert_eq!(told.reason, pb::ErrorReason::InvalidRequest, "{told:?}");
    let words = format!("{field}: {REFUSAL}");
    assert!(told.message.contains(&words), "{told:?}");
}

#[tokio::test]
async fn a_call_that_brings_a_tool_of_the_agents_name_is_refused() {
    let (world, _) = world("", Settings::default()).await;
    let request = pb::InvokeRequest {
        options: clashing(),
        ..prompt("hi")
    };
    let status = invoke(&mut world.client().await, request).await;
    let field = "options.client_tools[1].name";
    check(&Told::of(&status.unwrap_err()), field);

    let request = pb::CreateSessionRequest {
        options: clashing(),
        ..pb::CreateSessionRequest::default()
    };
    let status = world.sessions().await.create_session(request).await;
    check(&Told::of(&status.unwrap_err()), field);
}

#[tokio::test]
async fn a_setup_that_brings_a_tool_of_the_agents_name_is_refused() {
    let (world, _) = world("", Settings::default()).await;
    let mut client = world.client().await;
    let first = invoke(&mut client, prompt("hi")).await.unwrap();
    let session_id = first.result.unwrap().session_id;
    for session_id in ["", &session_id] {
        let conversation = Conversation::open(&mut client).await;
        let setup = pb::SessionSetup {
            session_id: session_id.to_owned(),
            options: clashing(),
            ..pb::SessionSetup::default()
        };
        conversation.send(Frame::Setup(setup)).await;
        let streamed = conversation.finish().await;
        assert_eq!(streamed.events, []);
        let told = Told::of(&streamed.end.unwrap_err());
        check(&told, "setup.options.client_tools[1].name");
    }
}

#[tokio::test]
async fn an_update_that_brings_a_tool_of_the_agents_name_is_refused_and_changes_nothing() {
    let (world, _) = world("", Settings::default()).await;
    let mut client = world.client().await;
    let mut conversation = Conversation::open(&mut client).await;
    let update = pb::SessionUpdate {
        options: clashing(),
        ..pb::SessionUpdate::default()
    };
    conversation.send_named("u", Frame::Update(update)).await;
    let is_answer = |event: &pb::Event| {
        matches!(
            event.payload,
            Some(Payload::FrameRejected(_) | Payload::FrameAccepted(_))
        )
    };
    let events = conversation.until(is_answer).await;
    let Some(Payload::FrameRejected(rejected)) = &events.last().unwrap().payload else {
        panic!("the update was taken: {events:#?}");
    };
    assert_eq!(rejected.frame_id, "u");
    let told = Told::of_turn(rejected.error.as_ref().unwrap());
    check(&told, "update.options.client_tools[1].name");

    conversation.say("hi").await;
    conversation.turn().await;
    let entries = world.simulator.journal().entries();
    let tools = entries[0].request["toolConfig"]["tools"].as_array();
    assert_eq!(tools.unwrap().len(), 1, "the agent's own tool alone");
}
