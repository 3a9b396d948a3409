//! Cancelling: a dropped future or stream closes the connection at once.

use std::{
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroUsize,
    time::{Duration, Instant},
};

use serde_json::json;
use socket2::{Domain, Socket, Type};
use taiwa_core::{ModelEvent, Reason, model::BlockDelta};
use taiwa_server::model::bedrock::Bedrock;
use tokio::net::TcpListener;

use crate::{
    frame::frames,
    peer::{Peer, Reply, config, hello, read},
};

/// Longest time for a close to be seen; on an idle machine it takes less than a millisecond.
const AT_ONCE: Duration = Duration::from_millis(250);

#[tokio::test]
async fn dropping_an_opening_closes_the_connection_though_the_server_said_nothing() {
    let mut peer = Peer::start([Reply::Open(Vec::new())]).await;
    let bedrock = peer.bedrock(1).await;
    let opening = tokio::spawn(async move { bedrock.open(hello()).await });
    peer.request().await;

    let dropped = Instant::now();
    opening.abort();
    peer.closed().await;
    assert!(dropped.elapsed() < AT_ONCE, "{:?}", dropped.elapsed());
}

#[tokio::test]
async fn dropping_a_stream_closes_the_connection_though_the_model_is_silent() {
    let mut peer = Peer::start([Reply::open_stream(&[])]).await;
    let opened = peer.bedrock(1).await.open(hello()).await.unwrap();

    let dropped = Instant::now();
    drop(opened);
    peer.closed().await;
    assert!(dropped.elapsed() < AT_ONCE, "{:?}", dropped.elapsed());
}

#[tokio::test]
async fn dropping_a_stream_half_way_closes_the_connection() {
    let start = frames(&[json!({"messageStart": {"role": "assistant"}})]);
    let mut peer = Peer::start([Reply::open_stream(&start)]).await;
    let mut opened = peer.bedrock(1).await.open(hello()).await.unwrap();
    assert_eq!(
        opened.stream.next().await,
        Some(Ok(ModelEvent::MessageStart))
    );

    let dropped = Instant::now();
    drop(opened);
    peer.closed().await;
    assert!(dropped.elapsed() < AT_ONCE, "{:?}", dropped.elapsed());
}

#[tokio::test]
async fn dropping_a_wait_for_an_event_loses_nothing() {
    let text = |text: &str| json!({"contentBlockDelta": {"delta": {"text": text}, "contentBlockIndex": 0}});
    let texts: Vec<_> = (0..200).map(|number| text(&number.to_string())).collect();
    let peer = Peer::start([Reply::pieces(&frames(&texts), 7)]).await;
    let mut stream = peer.bedrock(1).await.open(hello()).await.unwrap().stream;

    let mut heard = Vec::new();
    loop {
        // A future that is polled once and dropped, over and over.
        let next = futures_util::FutureExt::now_or_never(stream.next());
        match next {
            None => tokio::task::yield_now().await,
            Some(None) => break,
            Some(Some(Ok(ModelEvent::BlockDelta {
                delta: BlockDelta::Text(text),
                ..
            }))) => {
                heard.push(text);
            }
            Some(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(
        heard,
        (0..200)
            .map(|number| number.to_string())
            .collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn an_opening_ends_with_the_deadline_and_closes_the_connection() {
    let mut peer = Peer::start([Reply::Open(Vec::new())]).await;
    let bedrock = peer.bedrock(3).await;
    let mut request = hello();
    let started = Instant::now();
    request.deadline = Some(started + Duration::from_millis(80));

    let failure = bedrock.open(request).await.unwrap_err();
    assert_eq!(failure.reason, Reason::DeadlineExceeded);
    assert!(started.elapsed() >= Duration::from_millis(80));
    assert!(
        started.elapsed() < Duration::from_millis(80) + AT_ONCE,
        "{:?}",
        started.elapsed()
    );
    peer.closed().await;
}

#[tokio::test]
async fn the_pause_before_a_retry_ends_with_the_deadline() {
    let throttled = Reply::body(429, "ThrottlingException", "", r#"{"message":"slow down"}"#);
    let peer = Peer::start([throttled]).await;
    let mut request = hello();
    let started = Instant::now();
    request.deadline = Some(started + Duration::from_millis(40));

    // Pauses are random; with this many attempts some are longer than the deadline.
    let failure = peer.bedrock(20).await.open(request).await.unwrap_err();
    assert_eq!(failure.reason, Reason::DeadlineExceeded);
    assert!(
        started.elapsed() < Duration::from_millis(40) + AT_ONCE,
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn a_connection_whose_answer_was_read_whole_is_used_again() {
    let stop = frames(&[json!({"messageStop": {"stopReason": "end_turn"}})]);
    for clients in [1, 4] {
        let peer = Peer::start([Reply::stream(&stop)]).await;
        let mut config = config(peer.address, 1);
        config.clients = NonZeroUsize::new(clients).unwrap();
        let bedrock = Bedrock::connect(config).await;
        for _ in 0..3 * clients {
            let mut opened = bedrock.open(hello()).await.unwrap();
            assert_eq!(read(&mut opened.stream).await.len(), 1);
        }
        // One for each client in rotation.
        assert_eq!(peer.connections(), clients);
    }
}

#[tokio::test]
async fn connecting_has_a_limit_of_its_own() {
    let (listener, _queued) = full_listener();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let mut config = config(address, 1);
    config.connect_timeout = Duration::from_millis(60);
    let started = Instant::now();
    let failure = Bedrock::connect(config)
        .await
        .open(hello())
        .await
        .unwrap_err();
    assert_eq!(failure.reason, Reason::UpstreamUnavailable);
    assert!(started.elapsed() >= Duration::from_millis(60));
    assert!(
        started.elapsed() < Duration::from_millis(60) + AT_ONCE,
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn a_refused_connection_names_the_host_alone() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    drop(listener);

    let bedrock = Bedrock::connect(config(address, 1)).await;
    let failure = bedrock.open(hello()).await.unwrap_err();
    assert_eq!(failure.reason, Reason::UpstreamUnavailable);
    assert_eq!(
        failure.message,
        format!("bedrock at {address} cannot be reached")
    );
}

/// A listener that accepts nothing, and what fills its queue, so that connecting takes for ever.
fn full_listener() -> (Socket, Vec<Socket>) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener
        .bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())
        .unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    loop {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let connected = socket.connect_timeout(&address, Duration::from_millis(50));
        queued.push(socket);
        if connected.is_err() {
            return (listener, queued);
        }
    }
}
