//! Several streams on one session, silence, and the ends that time brings.

use std::time::{Duration, Instant};

use taiwa::v1::{self as pb, converse_request::Frame, event::Payload};
use taiwa_e2e::{
    Settings, World,
    call::{self, Conversation},
    told::Told,
};
use taiwa_server::session;
use tonic::Code;

use super::SCENARIO;
use crate::{
    ended_turn,
    talk::{end, open, open_with, receipt, told_to_model, words},
};

#[tokio::test]
async fn two_streams_of_one_session_see_the_same_events() {
    let world = World::start(SCENARIO).await;
    let mut first = open(&world, "s").await;
    first.say("from the first").await;
    end(&mut first).await;
    // From here on the second has the input.
    let mut second = open(&world, "s").await;
    first.next().await.unwrap().unwrap();
    second.say("from the second").await;
    let (seen, also_seen) = (first.turn().await, second.turn().await);
    assert_eq!(seen.events, also_seen.events);
    first.finish().await.end.unwrap();
    second.say("from the second again").await;
    end(&mut second).await;
    second.finish().await.end.unwrap();
    assert_eq!(told_to_model(&world).pop().unwrap().len(), 5);
}

#[tokio::test]
async fn a_later_call_continues_the_session_by_its_name() {
    let world = World::start(SCENARIO).await;
    let mut conversation = open(&world, "s").await;
    conversation.say("I am Ada.").await;
    let sequence = end(&mut conversation).await.last_sequence;
    conversation.finish().await.end.unwrap();
    let mut client = world.client().await;
    let request = |prompt| pb::InvokeRequest {
        session_id: "s".to_owned(),
        ..call::prompt(prompt)
    };
    call::invoke(&mut client, request("by Invoke"))
        .await
        .unwrap();
    let streamed = call::invoke_stream(&mut client, request("by InvokeStream")).await;
    streamed.end.as_ref().unwrap();
    assert!(streamed.events[0].sequence > sequence);
    let last = streamed.result().last_sequence;

    let mut again = Conversation::open(&mut client).await;
    let setup = pb::SessionSetup {
        session_id: "s".to_owned(),
        ..pb::SessionSetup::default()
    };
    again.send(Frame::Setup(setup)).await;
    let ready = again.next().await.unwrap().unwrap();
    let Some(Payload::SessionReady(ready)) = ready.payload else {
        panic!("{ready:#?}");
    };
    assert_eq!(
        (ready.session_id.as_str(), ready.last_sequence),
        ("s", last)
    );
    again.say("by Converse").await;
    end(&mut again).await;
    let told = told_to_model(&world).pop().unwrap();
    let asked: Vec<_> = told.iter().filter(|it| it.starts_with("user")).collect();
    let expected = ["I am Ada.", "by Invoke", "by InvokeStream", "by Converse"];
    assert_eq!(
        asked,
        expected
            .map(|it| format!("user: {it}"))
            .iter()
            .collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn silence_is_filled_with_heartbeats_that_have_no_number() {
    let world = World::start(SCENARIO).await;
    let stream = pb::StreamOptions {
        heartbeat_interval: Some(Duration::from_secs(1).try_into().unwrap()),
        ..pb::StreamOptions::default()
    };
    let setup = pb::SessionSetup {
        stream: Some(stream),
        ..pb::SessionSetup::default()
    };
    let mut conversation = open_with(&world, setup).await;
    conversation.say("hi").await;
    let last = end(&mut conversation).await.last_sequence;
    let since = Instant::now();
    for _ in 0..2 {
        let beat = conversation.next().await.unwrap().unwrap();
        let Some(Payload::Heartbeat(heartbeat)) = beat.payload else {
            panic!("{beat:#?}");
        };
        assert_eq!((beat.sequence, heartbeat.last_sequence), (0, last));
    }
    let took = since.elapsed();
    assert!((1900..3000).contains(&took.as_millis()), "{took:?}");

    // A silent model is silence too.
    let request = pb::InvokeRequest {
        stream: Some(stream),
        ..call::prompt("long")
    };
    let mut client = world.client().await;
    let mut events = client.invoke_stream(request).await.unwrap().into_inner();
    loop {
        let event = events.message().await.unwrap().unwrap();
        if matches!(event.payload, Some(Payload::Heartbeat(_))) {
            break;
        }
    }
}

#[tokio::test]
async fn a_stream_that_is_silent_too_long_ends_but_not_while_a_turn_runs() {
    let sessions = session::Config {
        stream_idle_timeout: Duration::from_millis(150),
        ..session::Config::default()
    };
    let settings = Settings {
        sessions,
        ..Settings::default()
    };
    let world = World::with(SCENARIO, settings).await;
    // One says nothing at all, one says nothing after its setup, one waits for its turn.
    let mut mute = Conversation::open(&mut world.client().await).await;
    let mut idle = open(&world, "idle").await;
    let mut busy = open(&world, "busy").await;
    busy.say("long").await;
    for conversation in [&mut mute, &mut idle] {
        let told = Told::of(&conversation.rest().await.end.unwrap_err());
        assert_eq!(told.code, Code::DeadlineExceeded);
        assert_eq!(told.reason, pb::ErrorReason::IdleTimeout);
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    busy.send_named("cut", Frame::Interrupt(pb::Interrupt::default()))
        .await;
    receipt(&mut busy, "cut").await;
    end(&mut busy).await;
    let told = Told::of(&busy.rest().await.end.unwrap_err());
    assert_eq!(told.reason, pb::ErrorReason::IdleTimeout);
}

#[tokio::test]
async fn half_close_waits_for_what_runs_and_what_is_queued() {
    let world = World::start(SCENARIO).await;
    let mut conversation = open(&world, "s").await;
    conversation.say("long").await;
    conversation.say("queued").await;
    conversation.half_close();
    crate::talk::hear(&mut conversation, "two ").await;
    let request = pb::CancelTurnRequest {
        session_id: "s".to_owned(),
        ..pb::CancelTurnRequest::default()
    };
    let mut client = world.client().await;
    client.cancel_turn(request).await.unwrap();
    let rest = conversation.rest().await;
    rest.end.unwrap();
    let turn = ended_turn(&mut client, "s").await;
    assert_eq!(words(&turn), "Done.");
}

#[tokio::test]
async fn a_failed_turn_does_not_end_the_stream() {
    let scenario = r#"
        [[reply]]
        times = 1
        fault.exception = { type = "ModelErrorException" }

        [[reply]]
        text = "Done."
    "#;
    let world = World::start(scenario).await;
    let mut conversation = open(&world, "s").await;
    conversation.say("first").await;
    let failed = end(&mut conversation).await;
    assert_eq!(failed.status(), pb::TurnStatus::Failed);
    conversation.say("second").await;
    assert_eq!(words(&end(&mut conversation).await), "Done.");
    conversation.finish().await.end.unwrap();
    assert_eq!(told_to_model(&world).pop().unwrap(), ["user: second"]);
}
