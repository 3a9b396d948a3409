//! Many cancels on one connection, which must harm no other stream of it.

use std::time::Duration;

use taiwa_server::transport::Config;

use crate::{
    Running, eventually, probe,
    raw::{self, Raw},
    within,
};

const CANCELS: u32 = 10_000;

/// The stream that must live.
const LIVE: u32 = 1;

/// Ids of the streams that are cancelled.
fn cancelled() -> impl Iterator<Item = u32> {
    (1..=CANCELS).map(|index| LIVE + 2 * index)
}

async fn start() -> (Running, Raw) {
    let running = Running::start(Config::default()).await;
    let mut client = Raw::connect(running.address).await;
    client.call(LIVE, probe::TICKS).await;
    (running, client)
}

/// Checks that the first stream still gets what is sent, and that a call can be made.
async fn check_alive(running: &Running, client: &mut Raw) {
    let probe = running.probe.clone();
    eventually(move || probe.live() == 1).await;
    running.probe.tick();
    client.next_of(raw::DATA, LIVE).await;
    client.call(LIVE + 2 * (CANCELS + 1), probe::PEER).await;
}

#[tokio::test]
async fn calls_cancelled_in_one_burst_harm_no_other() {
    let (running, mut client) = start().await;
    let burst: Vec<_> = cancelled()
        .flat_map(|stream| [raw::same_headers(stream), raw::reset(stream)])
        .collect();
    client.send(&burst).await;
    check_alive(&running, &mut client).await;
}

#[tokio::test]
async fn calls_cancelled_after_their_first_byte_harm_no_other() {
    let (running, mut client) = start().await;
    for stream in cancelled() {
        client.call(stream, probe::TICKS).await;
        client.send(&[raw::reset(stream)]).await;
    }
    running.probe.has_started(CANCELS as usize + 1).await;
    check_alive(&running, &mut client).await;
}

#[tokio::test]
async fn calls_cancelled_before_their_headers_harm_no_other() {
    let (running, mut client) = start().await;
    for (index, stream) in cancelled().enumerate() {
        client.send(&[raw::headers(stream, probe::SILENCE)]).await;
        within(Duration::from_secs(5), running.probe.has_started(index + 2)).await;
        client.send(&[raw::reset(stream)]).await;
    }
    check_alive(&running, &mut client).await;
}

#[tokio::test]
async fn data_that_crosses_the_end_of_its_call_harms_no_other() {
    let (running, mut client) = start().await;
    for stream in cancelled() {
        client.call(stream, probe::PEER).await;
        // The server answered and forgot the call, whose caller had not finished speaking.
        client
            .send(&[raw::data(stream, b"late"), raw::reset(stream)])
            .await;
    }
    check_alive(&running, &mut client).await;
}
