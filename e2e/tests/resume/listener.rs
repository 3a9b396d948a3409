//! Readers that come and go, and say nothing.

use taiwa::v1 as pb;
use taiwa_e2e::{Client, call};
use tokio::sync::watch;

use crate::seen::{Seen, after, resumed_in};

/// A heartbeat of one second.
pub(crate) const HEARTBEAT: Option<prost_types::Duration> = Some(prost_types::Duration {
    seconds: 1,
    nanos: 0,
});

/// Reads on, up to so many events, or fewer where no more can come; then the stream is cut.
pub(crate) async fn listen(client: &mut Client, session_id: &str, seen: &mut Seen, most: usize) {
    let request = pb::ResumeStreamRequest {
        heartbeat_interval: HEARTBEAT,
        ..after(session_id, seen.cursor())
    };
    let mut stream = client.resume_stream(request).await.unwrap().into_inner();
    let resumed = resumed_in(&call::next_of(&mut stream).await.unwrap().unwrap());
    assert_eq!(resumed.after_sequence, seen.cursor());
    assert_eq!(resumed.missing_events, 0);
    for _ in 0..most {
        let has_ended = seen.events().last().is_none_or(call::is_end);
        let is_quiet = resumed.active_turn_id.is_empty() || has_ended;
        if is_quiet && seen.cursor() >= resumed.last_sequence {
            break;
        }
        let event = call::next_of(&mut stream).await.unwrap();
        seen.take(event.expect("the stream goes on"));
    }
}

/// Reads the events of the newest turn that was seen, up to so many; tells whether it was cut.
pub(crate) async fn listen_to_turn(
    client: &mut Client,
    session_id: &str,
    seen: &Seen,
    most: usize,
) -> (Vec<pb::Event>, bool) {
    let of_turn = seen.events().iter().rev();
    let turn_id = of_turn
        .map(|event| &event.turn_id)
        .find(|id| !id.is_empty());
    let request = pb::ResumeStreamRequest {
        turn_id: turn_id.cloned().unwrap_or_default(),
        ..after(session_id, seen.cursor())
    };
    assert!(!request.turn_id.is_empty());
    let mut stream = client
        .resume_stream(request.clone())
        .await
        .unwrap()
        .into_inner();
    resumed_in(&call::next_of(&mut stream).await.unwrap().unwrap());
    let mut events: Vec<pb::Event> = Vec::new();
    let mut newest = seen.cursor();
    while events.len() < most {
        let Some(event) = call::next_of(&mut stream).await.unwrap() else {
            return (events, false);
        };
        if event.sequence == 0 {
            continue;
        }
        assert!(event.sequence > newest, "a repeat: {event:#?}");
        assert_eq!(event.turn_id, request.turn_id);
        newest = event.sequence;
        events.push(event);
    }
    (events, true)
}

/// Reads a session beside others, `most` events at a time, until it is told the last of them;
/// tells how often it was cut.
pub(crate) async fn follow(
    mut client: Client,
    session_id: String,
    mut seen: Seen,
    mut last: watch::Receiver<Option<i64>>,
    mut most: impl FnMut() -> usize,
) -> (Seen, usize) {
    let mut cuts = 0;
    loop {
        let request = pb::ResumeStreamRequest {
            heartbeat_interval: HEARTBEAT,
            ..after(&session_id, seen.cursor())
        };
        let mut stream = client.resume_stream(request).await.unwrap().into_inner();
        resumed_in(&call::next_of(&mut stream).await.unwrap().unwrap());
        for _ in 0..most() {
            if last.borrow().is_some_and(|last| last <= seen.cursor()) {
                return (seen, cuts);
            }
            tokio::select! {
                event = stream.message() => seen.take(event.unwrap().unwrap()),
                told = last.changed(), if last.borrow().is_none() => told.unwrap(),
            }
        }
        cuts += 1;
    }
}
