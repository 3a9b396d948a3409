//! Readers that do not read: what holds the model, what does not, and what ends them.

use std::time::{Duration, Instant};

use taiwa::v1::{self as pb, converse_request::Frame, event::Payload};
use taiwa_core::Limits;
use taiwa_e2e::{
    Settings, World,
    call::{self, Conversation},
    told::Told,
};
use taiwa_server::session;
use tonic::{Code, Streaming};

use crate::{ended_turn, entry, newest_turn, stopped_sending, talk::words, wire::narrow};

/// Answers far larger than every buffer on the way, and one that is not.
const SCENARIO: &str = r#"
[[reply]]
when = { prompt_is = "much" }
text = ["A KILOBYTE"]
repeat = 40_000

[[reply]]
when = { prompt_is = "some" }
text = ["forty bytes of text, one after another. "]
repeat = 5_000

[[reply]]
text = "Done."
"#;

fn scenario() -> String {
    SCENARIO.replace("A KILOBYTE", &"text ".repeat(200))
}

fn request(prompt: &str, policy: pb::SlowReaderPolicy) -> pb::InvokeRequest {
    let stream = pb::StreamOptions {
        on_slow_reader: policy.into(),
        ..pb::StreamOptions::default()
    };
    pb::InvokeRequest {
        session_id: "s".to_owned(),
        stream: Some(stream),
        ..call::prompt(prompt)
    }
}

/// Reads to the end; gives the number of text pieces, the result and the end.
async fn drain(
    mut events: Streaming<pb::Event>,
) -> (usize, Option<pb::TurnResult>, Result<(), tonic::Status>) {
    let (mut pieces, mut result) = (0, None);
    loop {
        match tokio::time::timeout(call::PATIENCE, events.message())
            .await
            .unwrap()
        {
            Ok(Some(event)) => match event.payload {
                Some(Payload::TextDelta(_)) => pieces += 1,
                Some(Payload::TurnEnded(told)) => result = Some(*told),
                _ => {}
            },
            Ok(None) => return (pieces, result, Ok(())),
            Err(status) => return (pieces, result, Err(status)),
        }
    }
}

#[tokio::test]
async fn a_reader_that_waits_holds_the_model_and_its_watchdog_and_then_gets_everything() {
    let limits = Limits {
        model_idle_timeout: Duration::from_millis(300),
        ..Limits::default()
    };
    let settings = Settings {
        limits,
        ..Settings::default()
    };
    let world = World::with(&scenario(), settings).await;
    let mut client = narrow(&world).await;
    let events = client
        .invoke_stream(request("much", pb::SlowReaderPolicy::Wait))
        .await;
    let events = events.unwrap().into_inner();
    let asked = entry(&world, |_| true).await.number;
    stopped_sending(&world, asked).await;
    let sent = world.simulator.journal().entries()[0].bytes_sent;
    assert!(
        sent < 30 << 20,
        "{sent} bytes of 40 MB were taken from the model"
    );
    // Far longer than a model may be silent.
    tokio::time::sleep(Duration::from_millis(900)).await;
    let turn = newest_turn(&mut world.client().await, "s").await.unwrap();
    assert_eq!(turn.status(), pb::TurnStatus::Running);
    let after = world.simulator.journal().entries()[0].bytes_sent;
    assert_eq!(sent, after, "the model was read on");

    // Not to its end, which takes a while: as much as shows that it goes on.
    let mut events = events;
    let mut pieces = 0;
    while pieces < 10_000 {
        let event = events.message().await.unwrap().unwrap();
        pieces += usize::from(matches!(event.payload, Some(Payload::TextDelta(_))));
    }
    assert!(world.simulator.journal().entries()[0].bytes_sent > sent);
}

#[tokio::test]
async fn a_reader_that_detaches_catches_up_where_the_log_still_holds_what_it_missed() {
    let world = World::start(&scenario()).await;
    let mut client = narrow(&world).await;
    let events = client
        .invoke_stream(request("some", pb::SlowReaderPolicy::Detach))
        .await;
    let events = events.unwrap().into_inner();
    let turn = ended_turn(&mut world.client().await, "s").await;
    assert_eq!(turn.status(), pb::TurnStatus::Completed);
    let (pieces, result, end) = drain(events).await;
    end.unwrap();
    assert_eq!(pieces, 5_000);
    assert_eq!(words(&result.unwrap()), words(&turn));
}

#[tokio::test]
async fn a_reader_that_detaches_is_ended_where_what_it_missed_is_gone() {
    let sessions = session::Config {
        log: session::log::Config {
            max_bytes: 100_000,
            ..session::log::Config::default()
        },
        ..session::Config::default()
    };
    let settings = Settings {
        sessions,
        ..Settings::default()
    };
    let world = World::with(&scenario(), settings).await;
    let mut client = narrow(&world).await;
    let by_stream = client
        .invoke_stream(request("some", pb::SlowReaderPolicy::Detach))
        .await;
    let by_stream = by_stream.unwrap().into_inner();
    let turn = ended_turn(&mut world.client().await, "s").await;
    assert_eq!(turn.status(), pb::TurnStatus::Completed);
    let (_, result, end) = drain(by_stream).await;
    assert!(result.is_none());
    let told = Told::of(&end.unwrap_err());
    assert_eq!(told.code, Code::ResourceExhausted);
    assert_eq!(told.reason, pb::ErrorReason::SlowConsumer);

    // Converse detaches by default.
    let conversation = Conversation::open(&mut client).await;
    let setup = pb::SessionSetup {
        session_id: "t".to_owned(),
        ..pb::SessionSetup::default()
    };
    conversation.send(Frame::Setup(setup)).await;
    conversation.say("some").await;
    crate::eventually(async || newest_turn(&mut world.client().await, "t").await.is_some()).await;
    let turn = ended_turn(&mut world.client().await, "t").await;
    assert_eq!(turn.status(), pb::TurnStatus::Completed);
    let mut conversation = conversation;
    let told = Told::of(&conversation.rest().await.end.unwrap_err());
    assert_eq!(told.reason, pb::ErrorReason::SlowConsumer);
}

#[tokio::test]
async fn a_reader_that_holds_the_model_too_long_is_cut_off() {
    let sessions = session::Config {
        reader_stall_timeout: Duration::from_millis(200),
        ..session::Config::default()
    };
    let settings = Settings {
        sessions,
        ..Settings::default()
    };
    let world = World::with(&scenario(), settings).await;
    let mut client = narrow(&world).await;
    let began = Instant::now();
    let events = client
        .invoke_stream(request("much", pb::SlowReaderPolicy::Wait))
        .await;
    let events = events.unwrap().into_inner();
    let turn = ended_turn(&mut world.client().await, "s").await;
    assert!(began.elapsed() >= Duration::from_millis(200));
    assert_eq!(turn.status(), pb::TurnStatus::Cancelled);
    let closed = entry(&world, taiwa_simulator::Entry::has_ended).await;
    assert_eq!(closed.outcome, taiwa_simulator::Outcome::ClientClosed);
    let (_, _, end) = drain(events).await;
    let told = Told::of(&end.unwrap_err());
    assert_eq!(told.reason, pb::ErrorReason::SlowConsumer);
    let next = pb::InvokeRequest {
        session_id: "s".to_owned(),
        ..call::prompt("and then?")
    };
    let next = call::invoke(&mut world.client().await, next).await;
    assert_eq!(next.unwrap().text, "Done.");
}

#[tokio::test]
async fn the_unread_tail_of_an_answer_does_not_hold_the_next_turn() {
    let world = World::start(&scenario()).await;
    let mut client = narrow(&world).await;
    let events = client
        .invoke_stream(request("much", pb::SlowReaderPolicy::Wait))
        .await;
    let events = events.unwrap().into_inner();
    let cancel = pb::CancelTurnRequest {
        session_id: "s".to_owned(),
        ..pb::CancelTurnRequest::default()
    };
    let mut other = world.client().await;
    stopped_sending(&world, entry(&world, |_| true).await.number).await;
    other.cancel_turn(cancel).await.unwrap();
    let next = pb::InvokeRequest {
        session_id: "s".to_owned(),
        ..call::prompt("and then?")
    };
    let next = call::invoke(&mut other, next).await;
    assert_eq!(next.unwrap().text, "Done.");
    let (_, result, _) = drain(events).await;
    assert_eq!(result.unwrap().status(), pb::TurnStatus::Cancelled);
}
