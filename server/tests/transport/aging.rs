//! Connections that end by their age or by their peer's silence.

use std::time::Duration;

use taiwa_server::transport::Config;
use tokio::time::Instant;

use crate::{
    Running, eventually, probe,
    raw::{self, Raw},
};

const AGE: Duration = Duration::from_millis(500);
const GRACE: Duration = Duration::from_millis(300);

/// What a busy machine may add to a time.
const SLACK: Duration = Duration::from_secs(2);

fn aging(grace: Duration) -> Config {
    Config {
        max_connection_age: Some(AGE),
        max_connection_age_grace: grace,
        ..Config::default()
    }
}

#[tokio::test]
async fn an_aged_connection_gets_goaway_and_is_cut_after_its_grace() {
    let running = Running::start(aging(GRACE)).await;
    let before = Instant::now();
    let mut client = Raw::connect(running.address).await;
    client.call(1, probe::TICKS).await;

    client.next_of(raw::GOAWAY, 0).await;
    let told = before.elapsed();
    assert!(told >= AGE.mul_f64(0.9) && told < AGE + SLACK, "{told:?}");
    assert!(!client.rest().await.iter().any(raw::Frame::ends_stream));
    let cut = before.elapsed();
    assert!(
        cut >= AGE.mul_f64(0.9) + GRACE && cut < AGE + GRACE + SLACK,
        "{cut:?}"
    );
    let probe = running.probe.clone();
    eventually(move || probe.live() == 0).await;
}

#[tokio::test]
async fn a_stream_may_end_within_the_grace_of_its_connection() {
    let running = Running::start(aging(Duration::from_secs(60))).await;
    let mut client = Raw::connect(running.address).await;
    client.call(1, probe::TICKS).await;
    client.next_of(raw::GOAWAY, 0).await;
    running.probe.tick();
    client.next_of(raw::DATA, 1).await;
    running.probe.end();
    assert!(client.rest().await.iter().any(raw::Frame::ends_stream));
}

#[tokio::test]
async fn an_idle_connection_ends_with_its_age() {
    let running = Running::start(aging(Duration::from_secs(60))).await;
    let mut client = Raw::connect(running.address).await;
    let frames = client.rest().await;
    assert!(
        frames.iter().any(|frame| frame.kind == raw::GOAWAY),
        "{frames:?}"
    );
}

#[tokio::test]
async fn draining_an_aged_connection_lifts_the_limit_of_its_grace() {
    let running = Running::start(aging(GRACE)).await;
    let mut client = Raw::connect(running.address).await;
    client.call(1, probe::TICKS).await;
    running.drain.drain();
    client.next_of(raw::GOAWAY, 0).await;
    tokio::time::sleep(AGE + 2 * GRACE).await;
    running.probe.end();
    assert!(client.rest().await.iter().any(raw::Frame::ends_stream));
    running.ended().await;
}

#[tokio::test]
async fn a_peer_that_answers_no_ping_is_closed() {
    let running = Running::start(Config {
        keep_alive_interval: Duration::from_millis(200),
        keep_alive_timeout: Duration::from_millis(200),
        ..Config::default()
    })
    .await;
    let mut dead = Raw::connect(running.address).await;
    dead.is_healthy = false;
    let mut alive = Raw::connect(running.address).await;
    alive.call(1, probe::TICKS).await;
    dead.call(1, probe::TICKS).await;

    let deaths = async {
        dead.rest().await;
    };
    let life = async {
        for _ in 0..5 {
            alive.next_of(raw::PING, 0).await;
        }
    };
    tokio::join!(deaths, life);
    let probe = running.probe.clone();
    eventually(move || probe.live() == 1).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_peer_that_reads_nothing_is_closed() {
    let running = Running::start(Config {
        keep_alive_interval: Duration::from_secs(1),
        keep_alive_timeout: Duration::from_secs(1),
        ..Config::default()
    })
    .await;
    let mut deaf = Raw::connect(running.address).await;
    deaf.call(1, probe::FLOOD).await;
    deaf.send(&[raw::window_update(1, 1 << 30)]).await;
    let probe = running.probe.clone();
    eventually(move || probe.live() == 0).await;
    // The connection is gone too, else this would wait for it.
    running.drain.drain();
    running.ended().await;
}
