//! How many sessions live, how long, and that none stays behind.

use std::time::Duration;

use taiwa::v1 as pb;
use taiwa_e2e::{Client, Settings, World, call, told::Told};
use taiwa_server::{session, store::Key};
use tonic::Code;

use crate::{
    cancels::open::{How, Open},
    entry, eventually, nothing_upstream,
    talk::open,
};

const SCENARIO: &str = r#"
[[reply]]
when = { prompt_contains = "long" }
text = ["one ", "two ", "never said"]
fault.silence = { after_chunk = 2 }

[[reply]]
text = "Done."
"#;

fn request(session_id: &str, prompt: &str) -> pb::InvokeRequest {
    pb::InvokeRequest {
        session_id: session_id.to_owned(),
        ..call::prompt(prompt)
    }
}

async fn bounded(sessions: session::Config) -> World {
    let settings = Settings {
        sessions,
        ..Settings::default()
    };
    World::with(SCENARIO, settings).await
}

async fn is_known(client: &mut Client, session_id: &str) -> bool {
    let request = pb::GetTurnRequest {
        session_id: session_id.to_owned(),
        ..pb::GetTurnRequest::default()
    };
    match client.get_turn(request).await {
        Ok(_) => true,
        Err(status) => {
            let told = Told::of(&status);
            assert_eq!(told.reason, pb::ErrorReason::SessionNotFound);
            assert_eq!(told.code, Code::NotFound);
            false
        }
    }
}

#[tokio::test]
async fn the_session_that_was_quiet_longest_makes_room() {
    let world = bounded(session::Config {
        max_sessions: 3,
        ..session::Config::default()
    })
    .await;
    let mut client = world.client().await;
    for session_id in ["a", "b", "c"] {
        call::invoke(&mut client, request(session_id, "hi"))
            .await
            .unwrap();
        // The clock that tells which was quiet longer counts milliseconds.
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    call::invoke(&mut client, request("a", "again"))
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(3)).await;
    call::invoke(&mut client, request("d", "hi")).await.unwrap();
    eventually(async || world.server.registry().len() == 3).await;
    let is_live = |session_id: &str| {
        let key = Key::new(&"".into(), session_id);
        world.server.registry().find_live(&key).is_some()
    };
    assert!(!is_live("b"));
    for session_id in ["a", "c", "d"] {
        assert!(is_live(session_id), "{session_id}");
    }
    // It has left memory, and not the store.
    call::invoke(&mut client, request("b", "again"))
        .await
        .unwrap();
    let last = world.simulator.journal().entries().pop().unwrap();
    assert_eq!(last.request["messages"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn with_no_session_quiet_callers_are_refused_and_told_when_to_try_again() {
    let world = bounded(session::Config {
        max_sessions: 2,
        ..session::Config::default()
    })
    .await;
    let open_stream = open(&world, "open").await;
    let busy = Open::start(world.client().await, How::Invoke, "busy", "long").await;
    entry(&world, |entry| !entry.has_ended()).await;
    let mut client = world.client().await;
    let refused = call::invoke(&mut client, request("more", "hi")).await;
    let told = Told::of(&refused.unwrap_err());
    assert_eq!(told.code, Code::ResourceExhausted);
    assert_eq!(told.reason, pb::ErrorReason::ConcurrencyLimited);
    assert!(told.retry_delay.is_some());
    drop(busy);
    eventually(async || {
        let answer = call::invoke(&mut world.client().await, request("more", "hi")).await;
        answer.is_ok()
    })
    .await;
    open_stream.finish().await.end.unwrap();
}

#[tokio::test]
async fn a_session_leaves_memory_after_a_time_without_use_and_comes_back() {
    let world = bounded(session::Config {
        session_idle_timeout: Duration::from_millis(100),
        ..session::Config::default()
    })
    .await;
    let mut client = world.client().await;
    let kept = open(&world, "kept").await;
    call::invoke(&mut client, request("s", "hi")).await.unwrap();
    assert!(is_known(&mut client, "s").await);
    eventually(async || world.server.registry().len() == 1).await;
    call::invoke(&mut client, request("s", "hi again"))
        .await
        .unwrap();
    let last = world.simulator.journal().entries().pop().unwrap();
    assert_eq!(last.request["messages"].as_array().unwrap().len(), 3);
    kept.finish().await.end.unwrap();
    eventually(async || world.server.registry().is_empty()).await;
}

#[tokio::test]
async fn a_second_turn_at_once_is_refused_and_the_first_goes_on() {
    let world = World::start(SCENARIO).await;
    let first = Open::start(world.client().await, How::Invoke, "s", "long").await;
    entry(&world, |entry| !entry.has_ended()).await;
    let mut client = world.client().await;
    let refused = call::invoke(&mut client, request("s", "hi")).await;
    let told = Told::of(&refused.unwrap_err());
    assert_eq!(told.code, Code::Aborted);
    assert_eq!(told.reason, pb::ErrorReason::TurnInProgress);
    assert_eq!(told.metadata["session_id"], "s");
    let streamed = call::invoke_stream(&mut client, request("s", "hi")).await;
    let told = Told::of(&streamed.end.unwrap_err());
    assert_eq!(told.reason, pb::ErrorReason::TurnInProgress);
    assert!(streamed.events.is_empty());
    let turn = crate::newest_turn(&mut client, "s").await.unwrap();
    assert_eq!(turn.status(), pb::TurnStatus::Running);
    drop(first);
}

#[tokio::test]
async fn whatever_ends_no_session_and_no_model_call_stays_behind() {
    let world = bounded(session::Config {
        session_idle_timeout: Duration::from_millis(50),
        ..session::Config::default()
    })
    .await;
    let mut client = world.client().await;
    let mut cut = Vec::new();
    for number in 0..20 {
        let session_id = format!("done-{number}");
        call::invoke(&mut client, request(&session_id, "hi"))
            .await
            .unwrap();
        for how in [How::Invoke, How::InvokeStream, How::Converse] {
            let session_id = format!("{how:?}-{number}");
            cut.push(Open::start(client.clone(), how, &session_id, "long").await);
        }
    }
    eventually(async || world.simulator.journal().entries().len() == 80).await;
    drop(cut);
    nothing_upstream(&world).await;
    eventually(async || world.server.registry().is_empty()).await;
}
