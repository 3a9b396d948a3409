//! Whole-system tests of what is kept: streams that are cut and resumed, input that moves from one
//! stream to another, requests that come again, sessions and their lists, restarts.

#![expect(clippy::unwrap_used, reason = "a test ends where its footing is gone")]

mod cursors;
mod cuts;
mod cutter;
mod ends;
mod listener;
mod place;
mod repeats;
mod restarts;
mod seen;
mod sessions;
mod spent;
mod takeover;
mod talk;
mod talker;
mod tenant;
mod weather;

use std::time::Duration;

use taiwa::v1 as pb;
use taiwa_e2e::{Client, call::PATIENCE};

/// Polls until something holds.
#[track_caller]
fn eventually(mut holds: impl AsyncFnMut() -> bool) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let polled = async {
            while !holds().await {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, polled).await.is_err() {
            panic!("it never held, waited for at {caller}");
        }
    }
}

/// Reads the newest turn of a session; `None` before it has one.
async fn newest_turn(client: &mut Client, session_id: &str) -> Option<pb::TurnResult> {
    let request = pb::GetTurnRequest {
        session_id: session_id.to_owned(),
        turn_id: String::new(),
    };
    client.get_turn(request).await.ok()?.into_inner().result
}

/// Reads the newest turn of a session once it does not run.
async fn turn_that_ended(client: &mut Client, session_id: &str) -> pb::TurnResult {
    let mut ended = None;
    eventually(async || {
        ended = newest_turn(client, session_id).await;
        let is_running = |turn: &pb::TurnResult| turn.status() == pb::TurnStatus::Running;
        !ended.as_ref().is_none_or(is_running)
    })
    .await;
    ended.unwrap()
}
