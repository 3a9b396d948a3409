//! Peers that speak something else, too much, or not at all.

use std::{collections::BTreeMap, num::NonZeroU32, time::Duration};

use bytes::Buf;
use rand::{Rng, RngCore, SeedableRng, rngs::SmallRng};
use taiwa_server::transport::Config;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};

use crate::{
    Running, eventually, probe,
    raw::{self, Raw},
    within,
};

const REFUSED_STREAM: u32 = 7;

#[tokio::test]
async fn settings_are_those_of_the_configuration() {
    let running = Running::start(Config {
        max_streams_per_connection: NonZeroU32::new(77).unwrap(),
        ..Config::default()
    })
    .await;
    let mut client = Raw::connect(running.address).await;
    let mut payload = client.next_of(raw::SETTINGS, 0).await.payload;
    let mut settings = BTreeMap::new();
    while payload.has_remaining() {
        settings.insert(payload.get_u16(), payload.get_u32());
    }
    const MAX_CONCURRENT_STREAMS: u16 = 3;
    const INITIAL_WINDOW_SIZE: u16 = 4;
    const MAX_HEADER_LIST_SIZE: u16 = 6;
    assert_eq!(settings[&MAX_CONCURRENT_STREAMS], 77);
    assert_eq!(settings[&INITIAL_WINDOW_SIZE], 256 * 1024);
    assert_eq!(settings[&MAX_HEADER_LIST_SIZE], 16 * 1024);
    let mut window = client.next_of(raw::WINDOW_UPDATE, 0).await.payload;
    assert_eq!(window.get_u32() + 65_535, 4 * 1024 * 1024);
}

#[tokio::test]
async fn a_request_knows_where_it_came_from() {
    let running = Running::start(Config::default()).await;
    let mut client = Raw::connect(running.address).await;
    let answer = client.call(1, probe::PEER).await;
    assert_eq!(
        answer.payload,
        client.socket.local_addr().unwrap().to_string()
    );
}

#[tokio::test]
async fn streams_beyond_the_limit_are_refused_one_by_one() {
    let running = Running::start(Config {
        max_streams_per_connection: NonZeroU32::new(2).unwrap(),
        ..Config::default()
    })
    .await;
    let mut client = Raw::connect(running.address).await;
    client.call(1, probe::TICKS).await;
    client.call(3, probe::TICKS).await;
    client.send(&[raw::headers(5, probe::PEER)]).await;
    let mut refusal = client.next_of(raw::RST_STREAM, 5).await.payload;
    assert_eq!(refusal.get_u32(), REFUSED_STREAM);

    client.send(&[raw::reset(3)]).await;
    client.call(7, probe::PEER).await;
    running.probe.tick();
    client.next_of(raw::DATA, 1).await;
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_until_there_is_room() {
    let running = Running::start(Config {
        max_connections: 2.try_into().unwrap(),
        ..Config::default()
    })
    .await;
    let mut first = Raw::connect(running.address).await;
    let mut second = Raw::connect(running.address).await;
    first.call(1, probe::PEER).await;
    second.call(1, probe::PEER).await;
    let mut third = TcpStream::connect(running.address).await.unwrap();
    assert_eq!(third.read(&mut [0; 1]).await.unwrap_or(0), 0);

    drop(first);
    within(Duration::from_secs(5), async {
        loop {
            let mut next = TcpStream::connect(running.address).await.unwrap();
            // The server speaks first, once there is room.
            if next.write_all(raw::PREFACE).await.is_ok()
                && next.read(&mut [0; 1]).await.unwrap_or(0) == 1
            {
                break;
            }
        }
    })
    .await;
    second.call(3, probe::PEER).await;
}

#[tokio::test]
async fn a_client_of_http_1_is_told_what_is_spoken_here() {
    let running = Running::start(Config::default()).await;
    let mut client = TcpStream::connect(running.address).await.unwrap();
    client
        .write_all(b"POST /taiwa.v1.AgentService/Invoke HTTP/1.1\r\nhost: x\r\n\r\n{}")
        .await
        .unwrap();
    let mut answer = String::new();
    within(Duration::from_secs(5), client.read_to_string(&mut answer))
        .await
        .unwrap();
    assert!(answer.starts_with("HTTP/1.1 505 "), "{answer}");
    assert!(answer.contains("\r\n\r\nThis port speaks gRPC"), "{answer}");
}

#[tokio::test]
async fn a_peer_that_does_not_speak_is_closed() {
    let limit = Duration::from_millis(300);
    let running = Running::start(Config {
        handshake_timeout: limit,
        ..Config::default()
    })
    .await;
    for said in [&raw::PREFACE[..0], &raw::PREFACE[..5], &raw::PREFACE[..23]] {
        let before = Instant::now();
        let mut client = TcpStream::connect(running.address).await.unwrap();
        client.write_all(said).await.unwrap();
        let read = within(Duration::from_secs(5), client.read(&mut [0; 1])).await;
        assert_eq!(read.unwrap_or(0), 0);
        assert!(before.elapsed() >= limit, "{:?}", before.elapsed());
    }
    running.drain.drain();
    running.ended().await;
}

#[tokio::test]
async fn garbage_harms_nobody_else() {
    let running = Running::start(Config::default()).await;
    let mut neighbour = Raw::connect(running.address).await;
    neighbour.call(1, probe::TICKS).await;

    // The same garbage in every run.
    let mut rng = SmallRng::seed_from_u64(1);
    for round in 0..300 {
        let mut client = TcpStream::connect(running.address).await.unwrap();
        let mut garbage = vec![0; rng.random_range(1..4096)];
        rng.fill_bytes(&mut garbage);
        let mut said = match round % 4 {
            0 => Vec::new(),
            1 => b"\x16\x03\x01\x02\x00\x01\x00".to_vec(),
            2 => raw::PREFACE.to_vec(),
            _ => {
                // Frames whose length and kind are right, and nothing else.
                let length = garbage.len() as u32;
                let mut frame = length.to_be_bytes()[1..].to_vec();
                frame.push(rng.random_range(0..10));
                [raw::PREFACE, b"\0\0\0\x04\0\0\0\0\0", &frame].concat()
            }
        };
        said.extend(garbage);
        // The server may have closed before everything was said.
        let _ = client.write_all(&said).await;
        if round % 2 == 0 {
            let _ = client.shutdown().await;
        }
    }

    running.probe.tick();
    neighbour.next_of(raw::DATA, 1).await;
    let mut client = Raw::connect(running.address).await;
    client.call(1, probe::PEER).await;
    drop((client, neighbour));
    let probe = running.probe.clone();
    eventually(move || probe.live() == 0).await;
    running.drain.drain();
    running.ended().await;
}
