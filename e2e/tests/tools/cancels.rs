//! Cancels and deadlines at every event of a turn with three tools.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use taiwa::v1::{self as pb, event::Payload};
use taiwa_e2e::{
    Settings, World,
    call::{PATIENCE, invoke_stream, next_of, prompt, rest_of},
    hands::{Deed, Record},
    latency::{self, Latencies},
};
use tokio::time::timeout;

use crate::world;

const SCENARIO: &str = r#"
[[reply]]
when = { has_tool_result = true }
text = "All done."

[[reply]]
content = [
  { text = ["I go", " to work."] },
  { tool_use = { id = "a", name = "work", input = '{"ms": 400}' } },
  { tool_use = { id = "b", name = "work", input = '{"ms": 420}' } },
  { tool_use = { id = "c", name = "work", input = '{"ms": 440}' } },
]
"#;

/// Waits until every call that began has ended or was stopped.
async fn settled(record: &Record) {
    let over = async {
        while record.by_key().values().any(|deeds| deeds.len() < 2) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, over).await.expect("every tool ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_at_any_event_reaches_every_tool() {
    let (world, record) = world(SCENARIO, Settings::default()).await;
    let mut client = world.client().await;
    let whole = invoke_stream(&mut client, prompt("go")).await.events.len();
    assert_eq!(record.begun(), 3);
    let mut round = 0;
    latency::measure(async || {
        round += 1;
        let mut delays = Latencies::default();
        for stop_after in 1..whole {
            let before = record.entries().len();
            let session_id = format!("cut-{round}-{stop_after}");
            let cut = cancel_after(&world, &session_id, stop_after).await;
            settled(&record).await;
            let own = record.entries().split_off(before);
            assert!(own.len() <= 6, "{own:?}");
            for entry in own {
                match entry.deed {
                    Deed::Began => assert!(entry.at < cut.told, "a tool began after the cancel"),
                    Deed::Stopped => delays.add(entry.at.saturating_duration_since(cut.asked)),
                    Deed::Ended => {}
                }
            }
        }
        delays.are_short("from a cancel to the tool's end", 20, latency::CANCEL)
    })
    .await;
}

/// When a cancel was asked for, and when it was answered.
struct Cut {
    asked: Instant,
    told: Instant,
}

/// Cancels a turn after so many of its events, and checks what was told of its calls.
async fn cancel_after(world: &World, session_id: &str, stop_after: usize) -> Cut {
    let mut client = world.client().await;
    let mut request = prompt("go");
    request.session_id = session_id.to_owned();
    let opened = client.invoke_stream(request).await;
    let mut stream = opened.expect("a stream").into_inner();
    let mut events = Vec::new();
    for _ in 0..stop_after {
        events.extend(next_of(&mut stream).await.expect("an event"));
    }
    let asked = Instant::now();
    let cancel = client.cancel_turn(pb::CancelTurnRequest {
        session_id: session_id.to_owned(),
        ..pb::CancelTurnRequest::default()
    });
    // The turn may have ended meanwhile.
    let _ = cancel.await;
    let told = Instant::now();
    events.extend(rest_of(&mut stream).await.events);
    let mut open = BTreeMap::new();
    for event in events {
        match event.payload {
            Some(Payload::ToolCall(call)) => {
                assert_eq!(open.insert(call.tool_call_id, 0), None, "called twice");
            }
            Some(Payload::ToolCallUpdate(update)) if is_end(update.status()) => {
                *open.get_mut(&update.tool_call_id).expect("a call") += 1;
            }
            _ => {}
        }
    }
    assert!(open.values().all(|ends| *ends == 1), "{open:?}");
    Cut { asked, told }
}

fn is_end(status: pb::ToolCallStatus) -> bool {
    !matches!(
        status,
        pb::ToolCallStatus::Unspecified | pb::ToolCallStatus::Waiting | pb::ToolCallStatus::Running
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_at_any_time_reaches_every_tool() {
    let (world, record) = world(SCENARIO, Settings::default()).await;
    latency::measure(async || {
        let mut delays = Latencies::default();
        for millis in (4..120).step_by(4) {
            let before = record.entries().len();
            let mut client = world.client().await;
            let mut request = tonic::Request::new(prompt("go"));
            let patience = Duration::from_millis(millis);
            request.set_timeout(patience);
            let due = Instant::now() + patience;
            let ended = client.invoke(request).await;
            assert!(ended.is_err(), "the deadline holds");
            settled(&record).await;
            for entry in record.entries().split_off(before) {
                assert_ne!(entry.deed, Deed::Ended);
                if entry.deed == Deed::Stopped {
                    delays.add(entry.at.saturating_duration_since(due));
                }
            }
        }
        delays.are_short("from a deadline to the tool's end", 20, latency::EXPIRY)
    })
    .await;
    for (key, deeds) in record.by_key() {
        assert_eq!(deeds, [Deed::Began, Deed::Stopped], "{key}");
    }
}
