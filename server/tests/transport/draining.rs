//! The two phases of an end.

use std::time::Duration;

use taiwa_server::transport::Config;
use tokio::{net::TcpStream, time::Instant};

use crate::{
    Running, eventually, probe,
    raw::{self, Raw},
    within,
};

const ANY_STREAM: u32 = u32::MAX >> 1;

#[tokio::test]
async fn draining_sends_goaway_and_lets_a_live_stream_end() {
    let running = Running::start(Config::default()).await;
    let mut client = Raw::connect(running.address).await;
    client.call(1, probe::TICKS).await;

    running.drain.drain();
    let first = client.next_of(raw::GOAWAY, 0).await;
    assert_eq!(raw::goaway(&first), (ANY_STREAM, 0));
    let second = client.next_of(raw::GOAWAY, 0).await;
    assert_eq!(raw::goaway(&second), (1, 0));

    running.probe.tick();
    assert_eq!(client.next_of(raw::DATA, 1).await.payload, ".");
    running.probe.end();
    assert!(client.rest().await.iter().any(raw::Frame::ends_stream));
    running.ended().await;
}

#[tokio::test]
async fn a_late_caller_is_answered_while_others_drain() {
    let running = Running::start(Config::default()).await;
    let mut early = Raw::connect(running.address).await;
    early.call(1, probe::TICKS).await;
    running.drain.drain();
    early.next_of(raw::GOAWAY, 0).await;

    let mut late = Raw::connect(running.address).await;
    for stream in [1, 3] {
        late.call(stream, probe::PEER).await;
    }

    running.probe.end();
    early.rest().await;
    let farewell = late.next_of(raw::GOAWAY, 0).await;
    assert_eq!(raw::goaway(&farewell), (ANY_STREAM, 0));
    late.rest().await;
    running.ended().await;
}

#[tokio::test]
async fn a_late_stream_does_not_hold_the_end() {
    let running = Running::start(Config::default()).await;
    let mut early = Raw::connect(running.address).await;
    early.call(1, probe::TICKS).await;
    running.drain.drain();
    early.next_of(raw::GOAWAY, 0).await;

    let mut late = Raw::connect(running.address).await;
    late.call(1, probe::TICKS).await;
    early.send(&[raw::reset(1)]).await;
    early.rest().await;
    assert!(
        late.rest()
            .await
            .iter()
            .any(|frame| frame.kind == raw::GOAWAY)
    );
    running.ended().await;
}

#[tokio::test]
async fn without_connections_draining_ends_at_once() {
    let running = Running::start(Config::default()).await;
    running.drain.drain();
    running.ended().await;
}

#[tokio::test]
async fn kill_ends_every_kind_of_connection_at_once() {
    let running = Running::start(Config::default()).await;
    let address = running.address;
    let mut streaming = Raw::connect(address).await;
    streaming.call(1, probe::TICKS).await;
    let mut waiting = Raw::connect(address).await;
    waiting.send(&[raw::headers(1, probe::SILENCE)]).await;
    let mut idle = Raw::connect(address).await;
    idle.next_of(raw::SETTINGS, 0).await;
    let mut deaf = Raw::connect(address).await;
    deaf.call(1, probe::FLOOD).await;
    deaf.send(&[raw::window_update(1, 1 << 30)]).await;
    let _mute = TcpStream::connect(address).await.unwrap();
    let probe = running.probe.clone();
    eventually(move || probe.live() == 3).await;

    running.drain.drain();
    let before = Instant::now();
    running.drain.kill();
    running.ended().await;
    assert!(
        before.elapsed() < Duration::from_secs(1),
        "{:?}",
        before.elapsed()
    );
    for client in [&mut streaming, &mut waiting, &mut idle] {
        client.rest().await;
    }
    TcpStream::connect(address)
        .await
        .expect_err("nobody listens");
}

#[tokio::test]
async fn a_listener_that_is_dropped_closes_its_connections() {
    let running = Running::start(Config::default()).await;
    let mut client = Raw::connect(running.address).await;
    client.call(1, probe::TICKS).await;
    running.serving.abort();
    client.rest().await;
    let probe = running.probe.clone();
    eventually(move || probe.live() == 0).await;
    within(Duration::from_secs(5), running.serving)
        .await
        .unwrap_err();
}
