//! A request that comes again acts once, and is answered as the first was.

use std::time::{Duration, Instant};

use taiwa::v1::{self as pb, converse_request::Frame, event::Payload};
use taiwa_e2e::{
    World,
    call::{self, Conversation},
    told::Told,
};
use tonic::{Code, Request};

use crate::{ended_turn, entry, talk::words, wire::patient};

const SCENARIO: &str = r#"
[[reply]]
when = { prompt_is = "slowly" }
text = ["one ", "two ", "three"]
pace = { first_token_delay = "150ms", chunk_delay = "20ms" }

[[reply]]
when = { prompt_is = "a lot" }
text = ["forty bytes of text, one after another. "]
repeat = 2_000
pace = { first_token_delay = "1ms" }
fault.trailing_delay = "10ms"

[[reply]]
when = { prompt_is = "a lot, then silence" }
text = ["forty bytes of text, one after another. "]
repeat = 2_001
fault.silence = { after_chunk = 2_000, for = "500ms" }

[[reply]]
text = "Done."
"#;

fn request(prompt: &str) -> pb::InvokeRequest {
    pb::InvokeRequest {
        session_id: "s".to_owned(),
        request_id: "r".to_owned(),
        ..call::prompt(prompt)
    }
}

fn calls(world: &World) -> usize {
    world.simulator.journal().entries().len()
}

#[tokio::test]
async fn an_invoke_that_comes_again_gets_the_turn_of_the_first() {
    let world = World::start(SCENARIO).await;
    let (mut one, mut two) = (world.client().await, world.client().await);
    let (first, during) = tokio::join!(
        call::invoke(&mut one, request("slowly")),
        call::invoke(&mut two, request("slowly")),
    );
    let first = first.unwrap();
    assert_eq!(first.text, "one two three");
    assert_eq!(during.unwrap(), first);
    let after = call::invoke(&mut two, request("slowly")).await.unwrap();
    assert_eq!(after.text, first.text);
    assert_eq!(after.result.unwrap().turn_id, first.result.unwrap().turn_id);
    assert_eq!(calls(&world), 1);
}

#[tokio::test]
async fn an_invoke_stream_that_comes_again_gets_the_same_events() {
    let world = World::start(SCENARIO).await;
    let (mut one, mut two) = (world.client().await, world.client().await);
    let (first, during) = tokio::join!(
        call::invoke_stream(&mut one, request("slowly")),
        call::invoke_stream(&mut two, request("slowly")),
    );
    assert_eq!(words(first.result()), "one two three");
    assert_eq!(first.events, during.events);
    let after = call::invoke_stream(&mut two, request("slowly")).await;
    assert_eq!(first.events, after.events);
    after.end.unwrap();
    assert_eq!(calls(&world), 1);
}

#[tokio::test]
async fn a_repeat_without_a_session_finds_the_session_of_the_first() {
    let world = World::start(SCENARIO).await;
    let mut client = world.client().await;
    let nameless = pb::InvokeRequest {
        session_id: String::new(),
        ..request("hi")
    };
    let first = call::invoke(&mut client, nameless.clone()).await.unwrap();
    let again = call::invoke(&mut client, nameless).await.unwrap();
    let (first, again) = (first.result.unwrap(), again.result.unwrap());
    assert_eq!(first.session_id, again.session_id);
    assert_eq!(first.turn_id, again.turn_id);
    assert_eq!(calls(&world), 1);
}

#[tokio::test]
async fn the_repeat_of_an_invoke_outlives_the_events_of_its_turn() {
    let world = World::start(SCENARIO).await;
    let (mut one, mut two) = (world.client().await, world.client().await);
    let first = async { call::invoke(&mut one, request("a lot, then silence")).await };
    let during = async {
        entry(&world, |entry| entry.chunks_sent >= 2_000).await;
        // The events so far are many times what is kept for repeats.
        tokio::time::sleep(Duration::from_millis(100)).await;
        call::invoke(&mut two, request("a lot, then silence")).await
    };
    let (first, during) = tokio::join!(first, during);
    assert_eq!(first.unwrap(), during.unwrap());
    let after = call::invoke(&mut one, request("a lot, then silence")).await;
    assert_eq!(after.unwrap().text.len(), 2_001 * 40);
    assert_eq!(calls(&world), 1);
}

#[tokio::test]
async fn the_repeat_of_a_failed_turn_fails_as_the_first_did() {
    let scenario = r#"
        [[reply]]
        times = 1
        fault.exception = { type = "ModelErrorException" }

        [[reply]]
        text = "Done."
    "#;
    let world = World::start(scenario).await;
    let mut client = world.client().await;
    let first = call::invoke(&mut client, request("hi")).await.unwrap_err();
    let again = call::invoke(&mut client, request("hi")).await.unwrap_err();
    assert_eq!(Told::of(&first), Told::of(&again));
    let streamed = call::invoke_stream(&mut client, request("hi")).await;
    assert_eq!(
        Told::of(&first),
        Told::of(streamed.end.as_ref().unwrap_err())
    );
    assert_eq!(streamed.result().status(), pb::TurnStatus::Failed);
    assert_eq!(calls(&world), 1);
}

#[tokio::test]
async fn another_request_under_the_same_id_is_refused() {
    let world = World::start(SCENARIO).await;
    let mut client = world.client().await;
    call::invoke(&mut client, request("hi")).await.unwrap();
    let told = Told::of(&call::invoke(&mut client, request("ho")).await.unwrap_err());
    assert_eq!(told.code, Code::AlreadyExists);
    assert_eq!(told.reason, pb::ErrorReason::RequestIdReused);
    assert_eq!(told.metadata["request_id"], "r");
    assert_eq!(calls(&world), 1);
}

#[tokio::test]
async fn a_request_that_was_refused_leaves_its_id_free() {
    let world = World::start(SCENARIO).await;
    let mut client = world.client().await;
    let refused = pb::InvokeRequest {
        agent_id: "nobody".to_owned(),
        ..request("hi")
    };
    call::invoke(&mut client, refused).await.unwrap_err();
    call::invoke(&mut client, request("hi")).await.unwrap();
}

#[tokio::test]
async fn a_repeat_that_goes_leaves_the_turn_to_the_first() {
    let world = World::start(SCENARIO).await;
    let (mut one, mut two) = (world.client().await, world.client().await);
    let first = tokio::spawn(async move { call::invoke(&mut one, request("slowly")).await });
    entry(&world, |entry| !entry.has_ended()).await;
    let life = Duration::from_millis(30);
    let gone = tokio::time::timeout(life, call::invoke(&mut two, request("slowly"))).await;
    gone.expect_err("the turn takes longer");
    assert_eq!(first.await.unwrap().unwrap().text, "one two three");
}

#[tokio::test]
async fn the_deadline_of_a_repeat_ends_the_repeat_alone() {
    let world = World::start(SCENARIO).await;
    let mut one = world.client().await;
    let first = tokio::spawn(async move { call::invoke(&mut one, request("slowly")).await });
    entry(&world, |entry| !entry.has_ended()).await;
    let began = Instant::now();
    let hurried = || {
        let mut hurried = Request::new(request("slowly"));
        let timeout = "40m".parse().unwrap();
        hurried.metadata_mut().insert("grpc-timeout", timeout);
        hurried
    };
    let (mut two, mut three) = (patient(&world), patient(&world));
    let streamed = async {
        let mut events = three.invoke_stream(hurried()).await?.into_inner();
        while events.message().await?.is_some() {}
        Ok::<_, tonic::Status>(())
    };
    let (whole, streamed) = tokio::join!(two.invoke(hurried()), streamed);
    for status in [whole.unwrap_err(), streamed.unwrap_err()] {
        let told = Told::of(&status);
        assert_eq!(told.reason, pb::ErrorReason::DeadlineExceeded, "{told:?}");
    }
    assert!(
        began.elapsed() < Duration::from_millis(140),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(first.await.unwrap().unwrap().text, "one two three");
    let turn = ended_turn(&mut world.client().await, "s").await;
    assert_eq!(turn.status(), pb::TurnStatus::Completed);
}

#[tokio::test]
async fn a_setup_that_comes_again_finds_the_session_of_the_first() {
    let world = World::start(SCENARIO).await;
    let setup = |max_tokens| {
        let options = pb::TurnOptions {
            max_tokens: Some(max_tokens),
            ..pb::TurnOptions::default()
        };
        Frame::Setup(pb::SessionSetup {
            request_id: "r".to_owned(),
            options: Some(options),
            ..pb::SessionSetup::default()
        })
    };
    let mut sessions = Vec::new();
    for _ in 0..2 {
        let mut conversation = Conversation::open(&mut world.client().await).await;
        conversation.send(setup(10)).await;
        let ready = conversation.next().await.unwrap().unwrap();
        let Some(Payload::SessionReady(ready)) = ready.payload else {
            panic!("{ready:#?}");
        };
        sessions.push(ready.session_id);
        conversation.finish().await.end.unwrap();
    }
    assert_eq!(sessions[0], sessions[1]);
    assert_eq!(world.server.registry().len(), 1);

    let mut other = Conversation::open(&mut world.client().await).await;
    other.send(setup(11)).await;
    let told = Told::of(&other.next().await.unwrap_err());
    assert_eq!(told.code, Code::AlreadyExists);
    assert_eq!(told.reason, pb::ErrorReason::RequestIdReused);
}
