//! Requests and frames that come again: they act once, and are answered as the first were.

use taiwa::v1::{self as pb, converse_request::Frame, event::Payload};
use taiwa_e2e::{
    Client, Settings, World,
    call::{self, Conversation},
    told::Told,
};
use tonic::Code;

use crate::{
    place::{self, Placed},
    talk::{open, receipt, refusal},
    tenant::{self, by},
    weather::{self, calls_in, result_of},
};

const SCENARIO: &str = r#"
[[reply]]
when = { prompt_is = "fail" }
fault.exception = { type = "ModelErrorException" }
"#;

fn scenario() -> String {
    format!("{SCENARIO}{}", weather::SCENARIO)
}

fn asked(prompt: &str) -> pb::InvokeRequest {
    pb::InvokeRequest {
        session_id: "s".to_owned(),
        request_id: format!("ask-{prompt}"),
        options: Some(weather::options()),
        ..call::prompt(prompt)
    }
}

fn creation() -> pb::CreateSessionRequest {
    pb::CreateSessionRequest {
        labels: [("team".to_owned(), "a".to_owned())].into(),
        request_id: "create".to_owned(),
        ..pb::CreateSessionRequest::default()
    }
}

fn setup() -> pb::SessionSetup {
    pb::SessionSetup {
        request_id: "setup".to_owned(),
        options: Some(weather::options()),
        ..pb::SessionSetup::default()
    }
}

/// Opens a session by a setup; its name, or how it is refused.
async fn entered(world: &World, setup: pb::SessionSetup) -> Result<String, Told> {
    let mut conversation = Conversation::open(&mut world.client().await).await;
    conversation.send(Frame::Setup(setup)).await;
    let first = conversation
        .next()
        .await
        .map_err(|status| Told::of(&status))?;
    match first.unwrap().payload {
        Some(Payload::SessionReady(ready)) => Ok(ready.session_id),
        other => panic!("{other:#?}"),
    }
}

async fn created(world: &World, request: pb::CreateSessionRequest) -> Result<pb::Session, Told> {
    let created = world.sessions().await.create_session(request).await;
    let created = created.map_err(|status| Told::of(&status))?;
    Ok(created.into_inner().session.unwrap())
}

/// What each request with an id came to.
#[derive(Debug, PartialEq)]
struct Answers {
    invoked: pb::InvokeResponse,
    failed: Told,
    streamed: Vec<pb::Event>,
    paused: pb::InvokeResponse,
    continued: Vec<pb::Event>,
    entered: String,
    created: pb::Session,
}

/// Sends each of them; the tools are answered as they were the first time.
async fn all(world: &World, first: Option<&Answers>) -> Answers {
    let mut client = world.client().await;
    let client = &mut client;
    let invoked = call::invoke(client, asked("hi")).await.unwrap();
    let failed = call::invoke(client, asked("fail")).await.unwrap_err();
    let streamed = call::invoke_stream(client, asked("ho")).await;
    streamed.end.unwrap();
    let paused = call::invoke(client, asked("weather")).await.unwrap();
    let of_pause = first.map_or(&paused, |first| &first.paused);
    let pending = &of_pause.result.as_ref().unwrap().pending_tool_calls;
    let bring = pb::InvokeRequest {
        request_id: "bring".to_owned(),
        tool_results: pending.iter().map(result_of).collect(),
        ..asked("")
    };
    let continued = call::invoke_stream(client, bring).await;
    continued.end.unwrap();
    Answers {
        failed: Told::of(&failed),
        invoked,
        streamed: streamed.events,
        continued: continued.events,
        paused,
        entered: entered(world, setup()).await.unwrap(),
        created: created(world, creation()).await.unwrap(),
    }
}

/// A paused turn that has gone on since is told as it stands.
fn check_same(first: &Answers, again: &Answers) {
    let turn_id = |answer: &pb::InvokeResponse| answer.result.as_ref().unwrap().turn_id.clone();
    assert_eq!(turn_id(&first.paused), turn_id(&again.paused));
    assert_eq!(first.invoked, again.invoked);
    assert_eq!(first.failed, again.failed);
    assert_eq!(first.streamed, again.streamed);
    assert_eq!(first.continued, again.continued);
    assert_eq!(first.entered, again.entered);
    assert_eq!(first.created, again.created);
}

async fn check_reused(world: &World) {
    let mut client = world.client().await;
    let mut refusals = Vec::new();
    for request_id in ["ask-hi", "ask-ho", "create", "setup"] {
        let other = pb::InvokeRequest {
            request_id: request_id.to_owned(),
            ..asked("something else")
        };
        let refused = call::invoke(&mut client, other.clone()).await;
        refusals.push((request_id, Told::of(&refused.unwrap_err())));
        let refused = call::invoke_stream(&mut client, other).await;
        refusals.push((request_id, Told::of(&refused.end.unwrap_err())));
        let other = pb::CreateSessionRequest {
            request_id: request_id.to_owned(),
            labels: [("team".to_owned(), "b".to_owned())].into(),
            ..creation()
        };
        refusals.push((request_id, created(world, other).await.unwrap_err()));
        let other = pb::SessionSetup {
            request_id: request_id.to_owned(),
            agent_id: "assistant".to_owned(),
            ..setup()
        };
        refusals.push((request_id, entered(world, other).await.unwrap_err()));
    }
    for (request_id, told) in refusals {
        assert_eq!(told.code, Code::AlreadyExists, "{told:?}");
        assert_eq!(told.reason, pb::ErrorReason::RequestIdReused);
        assert_eq!(told.metadata["request_id"], request_id);
    }
}

#[tokio::test]
async fn a_request_that_comes_again_acts_once_and_is_answered_alike() {
    for world in place::each(&scenario(), &Settings::default()).await {
        let first = all(&world, None).await;
        assert_eq!(first.failed.reason, pb::ErrorReason::ModelError);
        let calls = world.simulator.journal().entries().len();
        check_same(&first, &all(&world, Some(&first)).await);
        check_reused(&world).await;
        assert_eq!(world.simulator.journal().entries().len(), calls);
    }
}

#[tokio::test]
async fn a_request_that_comes_again_to_the_next_server_acts_once() {
    let placed = place::in_file(&scenario(), Settings::default()).await;
    let first = all(&placed, None).await;
    let calls = placed.simulator.journal().entries().len();
    let placed = placed.restart().await;
    check_same(&first, &all(&placed, Some(&first)).await);
    check_reused(&placed).await;
    assert_eq!(placed.simulator.journal().entries().len(), calls);
}

#[tokio::test]
async fn the_requests_of_two_tenants_do_not_meet() {
    for world in place::each(&scenario(), &tenant::told_apart()).await {
        let mut client = world.client().await;
        let mut sessions = world.sessions().await;
        let mut turns = Vec::new();
        for (tenant, prompt) in [("acme", "hi"), ("other", "ho"), ("acme", "hi")] {
            let request = pb::InvokeRequest {
                request_id: "r".to_owned(),
                ..asked(prompt)
            };
            let answer = client
                .invoke(by(tenant, request))
                .await
                .unwrap()
                .into_inner();
            turns.push(answer.result.unwrap().turn_id);
            let request = pb::CreateSessionRequest {
                session_id: "created".to_owned(),
                labels: [("of".to_owned(), tenant.to_owned())].into(),
                ..creation()
            };
            let created = sessions.create_session(by(tenant, request)).await.unwrap();
            let session = created.into_inner().session.unwrap();
            assert_eq!(session.labels["of"], tenant);
        }
        assert_eq!(turns[0], turns[2]);
        assert_ne!(turns[0], turns[1]);
        assert_eq!(world.simulator.journal().entries().len(), 2);
    }
}

async fn delete(world: &World, session_id: &str) {
    let request = pb::DeleteSessionRequest {
        session_id: session_id.to_owned(),
    };
    world
        .sessions()
        .await
        .delete_session(request)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_repeat_does_not_find_another_session_of_the_name() {
    for world in place::each(&scenario(), &Settings::default()).await {
        let mut client = world.client().await;
        call::invoke(&mut client, asked("hi")).await.unwrap();
        delete(&world, "s").await;
        let told = repeated(&mut client).await;
        assert_eq!(told.reason, pb::ErrorReason::SessionNotFound);
        call::invoke(&mut client, asked("ho")).await.unwrap();
        let told = repeated(&mut client).await;
        assert_eq!(told.reason, pb::ErrorReason::TurnNotFound);
        assert_eq!(world.simulator.journal().entries().len(), 2);
    }
}

/// How a repeat is refused, by either call.
async fn repeated(client: &mut Client) -> Told {
    let whole = call::invoke(client, asked("hi")).await.unwrap_err();
    let streamed = call::invoke_stream(client, asked("hi")).await.end;
    let told = Told::of(&whole);
    assert_eq!(told.code, Code::NotFound);
    assert_eq!(Told::of(&streamed.unwrap_err()).reason, told.reason);
    told
}

#[tokio::test]
async fn a_repeat_finds_its_turn_after_many_others() {
    for world in place::each(&scenario(), &Settings::default()).await {
        let mut client = world.client().await;
        let first = call::invoke(&mut client, asked("first")).await.unwrap();
        let failed = call::invoke(&mut client, asked("fail")).await.unwrap_err();
        // More than a session remembers by themselves.
        for number in 0..40 {
            let request = asked(&format!("prompt {number}"));
            call::invoke(&mut client, request).await.unwrap();
        }
        let again = call::invoke(&mut client, asked("first")).await.unwrap();
        assert_eq!(again, first);
        let again = call::invoke(&mut client, asked("fail")).await.unwrap_err();
        assert_eq!(Told::of(&again), Told::of(&failed));
        let streamed = call::invoke_stream(&mut client, asked("first")).await;
        streamed.end.as_ref().unwrap();
        assert_eq!(Some(streamed.result()), first.result.as_ref());
        assert_eq!(world.simulator.journal().entries().len(), 42);
    }
}

/// Sends frames of every kind, all of which were or are taken; tells their receipts.
async fn say_everything(placed: &Placed) -> Vec<pb::FrameAccepted> {
    let mut conversation = open(placed, "s").await;
    let update = Frame::Update(pb::SessionUpdate {
        options: Some(weather::options()),
        replace_client_tools: true,
    });
    let context = Frame::Input(pb::UserInput {
        content: vec![pb::ContentBlock {
            block: Some(pb::content_block::Block::Text("Some context.".to_owned())),
        }],
        context_only: true,
        ..pb::UserInput::default()
    });
    let mut receipts = Vec::new();
    let prompt = Frame::Prompt("weather".to_owned());
    for (name, frame) in [("update", update), ("prompt", prompt)] {
        conversation.send_named(name, frame).await;
        receipts.push(receipt(&mut conversation, name).await);
    }
    if !receipts[1].duplicate {
        let is_call = |event: &pb::Event| matches!(event.payload, Some(Payload::ToolCall(_)));
        let mut calls = conversation.until(is_call).await;
        calls.extend(conversation.until(is_call).await);
        for (call, name) in calls_in(&calls).into_iter().zip(["one", "two"]) {
            let frame = Frame::ToolResult(result_of(call));
            conversation.send_named(name, frame).await;
            receipts.push(receipt(&mut conversation, name).await);
        }
        conversation.turn().await;
    }
    let interrupt = Frame::Interrupt(pb::Interrupt::default());
    for (name, frame) in [("context", context), ("interrupt", interrupt)] {
        conversation.send_named(name, frame).await;
        receipts.push(receipt(&mut conversation, name).await);
    }
    assert_eq!(
        receipts.last().unwrap().outcome(),
        pb::FrameOutcome::TooLate
    );
    conversation.finish().await.end.unwrap();
    receipts
}

#[tokio::test]
async fn a_frame_that_comes_again_acts_once_and_has_its_receipt_again() {
    for mut placed in place::each(&scenario(), &Settings::default()).await {
        let first = say_everything(&placed).await;
        assert!(first.iter().all(|receipt| !receipt.duplicate));
        for restarts in [false, true] {
            if restarts && placed.is_in_file() {
                placed = placed.restart().await;
            }
            let again = say_everything(&placed).await;
            for receipt in again {
                let is_it = |it: &&pb::FrameAccepted| it.frame_id == receipt.frame_id;
                let first = first.iter().find(is_it).unwrap().clone();
                let duplicate = true;
                assert_eq!(receipt, pb::FrameAccepted { duplicate, ..first });
            }
            let mut conversation = open(&placed, "s").await;
            for name in ["update", "context", "prompt", "one"] {
                let other = Frame::Prompt("something else".to_owned());
                conversation.send_named(name, other).await;
                let told = refusal(&mut conversation, name).await;
                assert_eq!(told.code, Code::AlreadyExists, "{name}");
                assert_eq!(told.reason, pb::ErrorReason::RequestIdReused);
            }
            conversation.finish().await.end.unwrap();
        }
        assert_eq!(placed.simulator.journal().entries().len(), 2);
        call::invoke(&mut placed.client().await, asked("hi"))
            .await
            .unwrap();
        let entries = placed.simulator.journal().entries();
        let messages = entries[2].request["messages"].to_string();
        assert_eq!(messages.matches("Some context.").count(), 1);
    }
}
