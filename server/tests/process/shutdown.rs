//! SIGTERM: what runs may finish, everybody is told, and the program ends well.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use taiwa::v1::{self as pb, converse_request::Frame, event::Payload};
use taiwa_simulator::Simulator;
use tokio::task::JoinSet;
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::{Code, Status, Streaming, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_types::StatusExt as _;

use crate::{Client, SOON, connect, start};

const SCENARIO: &str = r#"
[[reply]]
when = { prompt_is = "endless" }
text = ["word ", "never said"]
fault.silence = { after_chunk = 1 }

[[reply]]
text = ["word "]
repeat = 60
pace = { chunk_delay = "100ms" }
"#;

/// What a stream told before it ended.
#[derive(Debug)]
struct Told {
    went_away: bool,
    results: Vec<pb::TurnResult>,
    end: Result<(), Status>,
}

/// Counts what the streams of a test have come to.
type Count = Arc<AtomicUsize>;

/// Reads to the end; counts that a session is open.
async fn read(mut events: Streaming<pb::Event>, ready: &Count) -> Told {
    let (mut went_away, mut results) = (false, Vec::new());
    let end = loop {
        match tokio::time::timeout(SOON, events.message()).await.unwrap() {
            Ok(Some(event)) => match event.payload {
                Some(Payload::SessionReady(_)) => {
                    ready.fetch_add(1, Ordering::Relaxed);
                }
                Some(Payload::GoAway(_)) => went_away = true,
                Some(Payload::TurnEnded(result)) => results.push(*result),
                _ => {}
            },
            Ok(None) => break Ok(()),
            Err(status) => break Err(status),
        }
    };
    Told {
        went_away,
        results,
        end,
    }
}

fn request(prompt: &str) -> pb::InvokeRequest {
    pb::InvokeRequest {
        prompt: prompt.to_owned(),
        ..pb::InvokeRequest::default()
    }
}

/// Opens a live conversation that stays open, with these frames.
async fn converse(channel: Channel, frames: Vec<Frame>, ready: Count) -> Told {
    let is_mute = frames.is_empty();
    let (tx, rx) = tokio::sync::mpsc::channel(4);
    for frame in frames {
        let frame = pb::ConverseRequest {
            frame: Some(frame),
            ..pb::ConverseRequest::default()
        };
        tx.send(frame).await.unwrap();
    }
    let events = Client::new(channel).converse(ReceiverStream::new(rx)).await;
    if is_mute {
        ready.fetch_add(1, Ordering::Relaxed);
    }
    let told = read(events.unwrap().into_inner(), &ready).await;
    drop(tx);
    told
}

async fn invoke_stream(channel: Channel, prompt: &'static str) -> Told {
    let events = Client::new(channel).invoke_stream(request(prompt)).await;
    read(events.unwrap().into_inner(), &Count::default()).await
}

/// Checks that a status says that the server stops, and when to try again.
#[track_caller]
fn check_stopping(status: &Status) {
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    let details = status.get_error_details();
    let reason = details.error_info().map(|info| info.reason.as_str());
    assert_eq!(reason, Some("SHUTTING_DOWN"), "{status:?}");
    assert!(
        details
            .retry_info()
            .is_some_and(|it| it.retry_delay.is_some())
    );
}

/// Waits until so many model calls are under way.
async fn until_asked(simulator: &Simulator, calls: usize) {
    let began = Instant::now();
    while simulator.journal().entries().len() < calls {
        assert!(began.elapsed() < SOON);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn prompt(words: &str) -> Vec<Frame> {
    vec![Frame::Prompt(words.to_owned())]
}

fn setup() -> Vec<Frame> {
    vec![Frame::Setup(pb::SessionSetup::default())]
}

#[tokio::test]
async fn two_hundred_live_streams_finish_and_are_told() {
    let (simulator, mut child) = start(SCENARIO, &["--shutdown-grace=15s"]).await;
    let began = Instant::now();
    let mut channels = Vec::new();
    for _ in 0..4 {
        channels.push(connect(&child).await);
    }
    let channel = |number: usize| channels[number % channels.len()].clone();
    let (mut streams, mut conversations, mut invokes, mut idle) = (
        JoinSet::new(),
        JoinSet::new(),
        JoinSet::new(),
        JoinSet::new(),
    );
    for number in 0..80 {
        streams.spawn(invoke_stream(channel(number), "hi"));
    }
    for number in 0..60 {
        conversations.spawn(converse(channel(number), prompt("hi"), Count::default()));
        let mut client = Client::new(channel(number));
        invokes.spawn(async move { client.invoke(request("hi")).await });
    }
    until_asked(&simulator, 200).await;
    let ready = Count::default();
    for number in 0..10 {
        idle.spawn(converse(channel(number), setup(), Arc::clone(&ready)));
    }
    // It never says a word, so that it belongs to no session.
    let mute = tokio::spawn(converse(channel(0), Vec::new(), Arc::clone(&ready)));
    while ready.load(Ordering::Relaxed) < 11 {
        assert!(began.elapsed() < SOON);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let health = HealthCheckRequest {
        service: "taiwa.v1.AgentService".to_owned(),
    };
    let mut watch = HealthClient::new(connect(&child).await)
        .watch(health)
        .await
        .unwrap()
        .into_inner();
    let first = watch.next().await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::Serving);

    let asked = Instant::now();
    child.terminate().await;
    let second = watch.next().await.unwrap().unwrap();
    assert_eq!(second.status(), ServingStatus::NotServing);
    drop(watch);
    for told in idle.join_all().await {
        assert!(told.went_away, "{told:?}");
        check_stopping(&told.end.unwrap_err());
    }
    check_stopping(&mute.await.unwrap().end.unwrap_err());
    let late = Client::new(connect(&child).await)
        .invoke(request("hi"))
        .await;
    check_stopping(&late.unwrap_err());

    for told in streams.join_all().await {
        assert!(told.went_away, "{told:?}");
        assert!(told.end.is_ok(), "{told:?}");
        assert_eq!(told.results[0].status(), pb::TurnStatus::Completed);
    }
    for told in conversations.join_all().await {
        assert!(told.went_away, "{told:?}");
        assert_eq!(told.results[0].status(), pb::TurnStatus::Completed);
        check_stopping(&told.end.unwrap_err());
    }
    for answer in invokes.join_all().await {
        assert_eq!(answer.unwrap().into_inner().text, "word ".repeat(60));
    }
    drop(channels);
    let status = child.ended(SOON).await;
    assert_eq!(status.code(), Some(0));
    assert!(
        asked.elapsed() < Duration::from_secs(15),
        "{:?}",
        asked.elapsed()
    );
}

#[tokio::test]
async fn streams_that_outlast_the_grace_are_cut_and_told() {
    let (simulator, mut child) = start(SCENARIO, &["--shutdown-grace=500ms"]).await;
    let channel = connect(&child).await;
    let stream = tokio::spawn(invoke_stream(channel.clone(), "endless"));
    let conversation = tokio::spawn(converse(
        channel.clone(),
        prompt("endless"),
        Count::default(),
    ));
    let mut client = Client::new(channel);
    let invoke = tokio::spawn(async move { client.invoke(request("endless")).await });
    until_asked(&simulator, 3).await;
    let first_words = |entry: &taiwa_simulator::Entry| entry.chunks_sent == 1;
    while !simulator.journal().entries().iter().all(first_words) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;

    let asked = Instant::now();
    child.terminate().await;
    for told in [stream.await.unwrap(), conversation.await.unwrap()] {
        assert!(told.went_away, "{told:?}");
        assert_eq!(told.results.len(), 1, "{told:?}");
        assert_eq!(told.results[0].status(), pb::TurnStatus::Failed);
        let reason = told.results[0].stop_reason();
        assert_eq!(reason, pb::StopReason::Incomplete);
        check_stopping(&told.end.unwrap_err());
    }
    check_stopping(&invoke.await.unwrap().unwrap_err());
    assert!(asked.elapsed() >= Duration::from_millis(500));
    let status = child.ended(Duration::from_secs(5)).await;
    assert_eq!(status.code(), Some(0));
    assert!(
        asked.elapsed() < Duration::from_secs(3),
        "{:?}",
        asked.elapsed()
    );
}

#[tokio::test]
async fn a_second_signal_ends_the_program_at_once() {
    let (simulator, mut child) = start(SCENARIO, &[]).await;
    let stream = tokio::spawn(invoke_stream(connect(&child).await, "endless"));
    until_asked(&simulator, 1).await;
    child.terminate().await;
    // Wait until the first was heard: two at once would be one.
    let began = Instant::now();
    loop {
        let late = Client::new(connect(&child).await)
            .invoke(request("hi"))
            .await;
        if late.is_err_and(|status| status.code() == Code::Unavailable) {
            break;
        }
        assert!(began.elapsed() < SOON);
    }
    child.terminate().await;
    let status = child.ended(Duration::from_secs(2)).await;
    assert_eq!(status.code(), Some(130));
    stream.abort();
}
