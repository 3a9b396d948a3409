//! Ten thousand cancels on one connection, which harm no other stream of it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use taiwa::v1::{self as pb, event::Payload};
use taiwa_e2e::{Client, Settings, World, call};
use taiwa_server::session;
use tokio::task::JoinSet;

use crate::{eventually, nothing_upstream, the_machine, wire::Wire};

const CANCELS: usize = 10_000;
const STREAMS: usize = 50;
const WORDS: usize = 20;

const SCENARIO: &str = r#"
[[reply]]
when = { prompt_is = "stream" }
text = ["word "]
repeat = 20
pace = { chunk_delay = "25ms" }

[[reply]]
text = "never said"
fault.silence = { at = "after_headers" }
"#;

/// Streams answers one after the other until told to stop, and counts those that came whole.
async fn stream(mut client: Client, stop: Arc<AtomicBool>) -> usize {
    let mut whole = 0;
    while !stop.load(Ordering::Relaxed) {
        let streamed = call::invoke_stream(&mut client, call::prompt("stream")).await;
        streamed.end.as_ref().unwrap();
        assert_eq!(streamed.result().status(), pb::TurnStatus::Completed);
        let pieces = streamed
            .events
            .iter()
            .filter(|event| matches!(event.payload, Some(Payload::TextDelta(_))));
        assert_eq!(pieces.count(), WORDS);
        whole += 1;
    }
    whole
}

/// Cancels calls in turn, each at another moment of its life.
async fn cancel(mut client: Client, next: Arc<AtomicUsize>) {
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= CANCELS {
            return;
        }
        // From before the request is read until long after the model was called.
        let life = match number % 10 {
            0 => Duration::from_millis(20),
            1 => Duration::from_millis(2),
            _ => Duration::ZERO,
        };
        let request = call::prompt("cancelled");
        let answered = if number.is_multiple_of(2) {
            tokio::time::timeout(life, client.invoke(request))
                .await
                .is_ok()
        } else {
            tokio::time::timeout(life, client.invoke_stream(request))
                .await
                .is_ok_and(|it| it.is_err())
        };
        assert!(!answered, "a call of a silent model was answered");
    }
}

#[tokio::test]
async fn ten_thousand_cancels_harm_no_other_stream_of_their_connection() {
    let _machine = the_machine().await;
    let sessions = session::Config {
        session_idle_timeout: Duration::from_millis(200),
        ..session::Config::default()
    };
    let settings = Settings {
        sessions,
        ..Settings::default()
    };
    let world = World::with(SCENARIO, settings).await;
    // It takes one connection alone: a client that had to connect again would wait for ever.
    let wire = Wire::open(&world).await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut streams = JoinSet::new();
    for _ in 0..STREAMS {
        streams.spawn(stream(wire.client.clone(), Arc::clone(&stop)));
    }
    let began = Instant::now();
    let next = Arc::new(AtomicUsize::new(0));
    let mut cancels = JoinSet::new();
    for _ in 0..40 {
        cancels.spawn(cancel(wire.client.clone(), Arc::clone(&next)));
    }
    cancels.join_all().await;
    let took = began.elapsed();
    stop.store(true, Ordering::Relaxed);
    let whole: Vec<_> = streams.join_all().await;
    eprintln!(
        "{CANCELS} cancels in {took:?}, beside {} whole answers on {STREAMS} streams",
        whole.iter().sum::<usize>()
    );
    assert!(whole.iter().all(|answers| *answers > 0), "{whole:?}");
    assert!(took < Duration::from_secs(60), "{took:?}");
    nothing_upstream(&world).await;
    eventually(async || world.server.registry().is_empty()).await;
}
