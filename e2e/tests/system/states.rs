//! Failures that come of the state of a session, a stream or the server.

use std::time::Duration;

use taiwa::v1::{self as pb, ErrorReason, TurnStatus, converse_request::Frame, event::Payload};
use taiwa_core::Limits;
use taiwa_e2e::{
    Settings, World,
    call::{self, Conversation, PATIENCE, prompt},
    told::Told,
};
use taiwa_server::session;
use taiwa_simulator::Outcome;
use tokio::time::{sleep, timeout};
use tonic::Code;

const SCENARIO: &str = r#"
    [[reply]]
    when = { prompt_is = "slow" }
    text = ["One ", "two"]
    fault.silence = { after_chunk = 1 }
    [[reply]]
    when = { prompt_is = "tool" }
    content = [{ tool_use = { name = "ask", input = "{}" } }]
    [[reply]]
    when = { prompt_is = "flood" }
    text = ["0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"]
    repeat = 400000
"#;

fn with_tool() -> pb::InvokeRequest {
    pb::InvokeRequest {
        options: Some(pb::TurnOptions {
            client_tools: vec![call::client_tool("ask")],
            ..pb::TurnOptions::default()
        }),
        ..prompt("tool")
    }
}

#[tokio::test]
async fn a_session_whose_turn_waits_takes_no_other() {
    let world = World::start(SCENARIO).await;
    let mut client = world.client().await;
    let paused = call::invoke(&mut client, with_tool())
        .await
        .unwrap()
        .result
        .unwrap();
    let request = pb::InvokeRequest {
        session_id: paused.session_id,
        ..prompt("hi")
    };
    let invoke = call::invoke(&mut client, request.clone())
        .await
        .unwrap_err();
    let stream = call::invoke_stream(&mut client, request)
        .await
        .end
        .unwrap_err();
    for status in [invoke, stream] {
        let told = Told::of(&status);
        assert_eq!(
            (told.code, told.reason),
            (Code::Aborted, ErrorReason::TurnInProgress)
        );
    }
}

#[tokio::test]
async fn a_call_that_nobody_answers_ends_its_turn() {
    let settings = Settings {
        limits: Limits {
            client_tool_timeout: Duration::from_millis(200),
            ..Limits::default()
        },
        ..Settings::default()
    };
    let world = World::with(SCENARIO, settings).await;
    let mut client = world.client().await;
    let paused = call::invoke(&mut client, with_tool())
        .await
        .unwrap()
        .result
        .unwrap();
    let request = pb::GetTurnRequest {
        session_id: paused.session_id.clone(),
        turn_id: paused.turn_id,
    };
    let failed = async {
        loop {
            let turn = client.get_turn(request.clone()).await.unwrap().into_inner();
            let result = turn.result.unwrap();
            if result.status() != TurnStatus::Paused {
                break result;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    let failed = timeout(PATIENCE, failed).await.unwrap();
    let told = Told::of_turn(&failed.error.clone().unwrap());
    assert_eq!(
        (told.code, told.reason),
        (Code::DeadlineExceeded, ErrorReason::AnswerTimeout)
    );
    assert_eq!(failed.status(), TurnStatus::Failed);

    let next = pb::InvokeRequest {
        session_id: paused.session_id,
        ..prompt("Never mind.")
    };
    let answer = call::invoke(&mut client, next)
        .await
        .unwrap()
        .result
        .unwrap();
    assert_eq!(answer.status(), TurnStatus::Completed);
}

#[tokio::test]
async fn a_request_id_serves_one_request() {
    let world = World::start(SCENARIO).await;
    let mut client = world.client().await;
    let request = pb::InvokeRequest {
        request_id: "r-1".to_owned(),
        ..prompt("hi")
    };
    let first = call::invoke(&mut client, request.clone()).await.unwrap();
    let again = call::invoke(&mut client, request.clone()).await.unwrap();
    assert_eq!(first.text, again.text);
    assert_eq!(first.result.unwrap().turn_id, again.result.unwrap().turn_id);
    let other = pb::InvokeRequest {
        prompt: "something else".to_owned(),
        ..request
    };
    let told = Told::of(&call::invoke(&mut client, other).await.unwrap_err());
    assert_eq!(
        (told.code, told.reason),
        (Code::AlreadyExists, ErrorReason::RequestIdReused)
    );
}

#[tokio::test]
async fn a_server_that_is_full_says_when_to_come_back() {
    let settings = Settings {
        sessions: session::Config {
            max_sessions: 2,
            ..session::Config::default()
        },
        ..Settings::default()
    };
    let world = World::with(SCENARIO, settings).await;
    let mut client = world.client().await;
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut conversation = Conversation::open(&mut client).await;
        conversation.say("hello").await;
        conversation.turn().await;
        open.push(conversation);
    }
    let told = Told::of(&call::invoke(&mut client, prompt("hi")).await.unwrap_err());
    assert_eq!(
        (told.code, told.reason),
        (Code::ResourceExhausted, ErrorReason::ConcurrencyLimited)
    );
    assert_eq!(told.retry_delay, Some(Duration::from_secs(2)));
    for conversation in open {
        conversation.finish().await.end.unwrap();
    }
    // Quiet sessions make room, once their tasks have heard that they shall.
    let answered = async {
        while call::invoke(&mut client, prompt("hi")).await.is_err() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, answered).await.unwrap();
}

#[tokio::test]
async fn a_conversation_in_which_nobody_speaks_is_ended() {
    let settings = Settings {
        sessions: session::Config {
            stream_idle_timeout: Duration::from_millis(200),
            ..session::Config::default()
        },
        ..Settings::default()
    };
    let world = World::with(SCENARIO, settings).await;
    let mut client = world.client().await;
    let mut spoken = Conversation::open(&mut client).await;
    spoken.say("hello").await;
    let spoken = spoken.rest().await;
    assert!(
        matches!(spoken.events.last(), Some(event) if call::is_end(event)),
        "{spoken:?}"
    );
    let mut mute = Conversation::open(&mut client).await;
    let mute = mute.rest().await;
    for end in [spoken.end, mute.end] {
        let told = Told::of(&end.unwrap_err());
        assert_eq!(
            (told.code, told.reason),
            (Code::DeadlineExceeded, ErrorReason::IdleTimeout)
        );
    }
}

#[tokio::test]
async fn a_turn_that_is_cancelled_says_so_to_its_reader() {
    let world = World::start(SCENARIO).await;
    let mut client = world.client().await;
    let mut stream = client
        .invoke_stream(prompt("slow"))
        .await
        .unwrap()
        .into_inner();
    let first = timeout(PATIENCE, stream.message())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    let Some(Payload::TurnStarted(started)) = first.payload else {
        panic!("{first:?}");
    };
    let cancel = pb::CancelTurnRequest {
        session_id: started.session_id,
        ..pb::CancelTurnRequest::default()
    };
    let cancelled = client.cancel_turn(cancel).await.unwrap().into_inner();
    let result = cancelled.result.unwrap();
    assert_eq!(result.status(), TurnStatus::Cancelled);
    let end = loop {
        match timeout(PATIENCE, stream.message()).await.unwrap() {
            Ok(Some(_)) => {}
            Ok(None) => panic!("a cancelled turn fails its call"),
            Err(status) => break status,
        }
    };
    let told = Told::of(&end);
    assert_eq!(
        (told.code, told.reason),
        (Code::Cancelled, ErrorReason::Cancelled)
    );
    assert_eq!(told.metadata["turn_id"], result.turn_id);
}

#[tokio::test]
async fn a_reader_that_stands_still_is_cut_off() {
    let settings = Settings {
        sessions: session::Config {
            reader_stall_timeout: Duration::from_millis(300),
            ..session::Config::default()
        },
        ..Settings::default()
    };
    let world = World::with(SCENARIO, settings).await;
    let mut client = world.client().await;
    let mut stream = client
        .invoke_stream(prompt("flood"))
        .await
        .unwrap()
        .into_inner();
    let cut = world
        .simulator
        .journal()
        .wait_for(|it| it.has_ended(), PATIENCE);
    assert_eq!(cut.await.unwrap().outcome, Outcome::ClientClosed);
    let end = loop {
        match timeout(PATIENCE, stream.message()).await.unwrap() {
            Ok(Some(event)) => assert!(!call::is_end(&event), "it lies behind what was dropped"),
            Ok(None) => panic!("a reader that was cut off is told so"),
            Err(status) => break status,
        }
    };
    let told = Told::of(&end);
    assert_eq!(
        (told.code, told.reason),
        (Code::ResourceExhausted, ErrorReason::SlowConsumer)
    );
    world.check_unharmed().await;
}

#[tokio::test]
async fn a_server_that_stops_refuses_what_comes() {
    let world = World::start(SCENARIO).await;
    let mut client = world.client().await;
    let mut conversation = Conversation::open(&mut client).await;
    conversation.say("slow").await;
    conversation
        .until(|it| matches!(it.payload, Some(Payload::TextDelta(_))))
        .await;
    let stopping = tokio::spawn(world.server.stop());
    conversation
        .until(|it| matches!(it.payload, Some(Payload::GoAway(_))))
        .await;
    conversation
        .send(Frame::Prompt("too late".to_owned()))
        .await;
    let is_refusal = |it: &pb::Event| matches!(it.payload, Some(Payload::FrameRejected(_)));
    let refusal = conversation.until(is_refusal).await.pop().unwrap();
    let Some(Payload::FrameRejected(refusal)) = refusal.payload else {
        unreachable!("it is a refusal");
    };
    let told = Told::of_turn(&refusal.error.unwrap());
    assert_eq!(
        (told.code, told.reason),
        (Code::Unavailable, ErrorReason::ShuttingDown)
    );
    assert!(told.retry_delay.is_some());
    conversation
        .send(Frame::Interrupt(pb::Interrupt::default()))
        .await;
    let rest = conversation.rest().await;
    let told = Told::of(&rest.end.unwrap_err());
    assert_eq!(told.reason, ErrorReason::ShuttingDown);
    timeout(PATIENCE, stopping).await.unwrap().unwrap();
}
