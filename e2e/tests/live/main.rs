//! Whole-system tests of what runs: cancels, live conversations, client tools, slow readers.

#![expect(clippy::unwrap_used, reason = "a test ends where its footing is gone")]

mod burst;
mod cancels;
mod continues;
mod converse;
mod repeats;
mod sessions;
mod slow;
mod talk;
mod tools;
mod wire;

use std::time::{Duration, Instant};

use taiwa::v1 as pb;
use taiwa_e2e::{Client, World};
use taiwa_simulator::{Entry, Outcome};
use tokio::sync::{Mutex, MutexGuard};

/// Longest wait for what must come soon.
const SOON: Duration = Duration::from_secs(10);

/// Held by the tests that measure or load the machine, so that they do so one at a time.
async fn the_machine() -> MutexGuard<'static, ()> {
    static MACHINE: Mutex<()> = Mutex::const_new(());
    MACHINE.lock().await
}

/// Waits for a journal entry.
#[track_caller]
fn entry(world: &World, matches: impl Fn(&Entry) -> bool) -> impl Future<Output = Entry> {
    let caller = std::panic::Location::caller();
    async move {
        let found = world.simulator.journal().wait_for(matches, SOON).await;
        found.unwrap_or_else(|_| panic!("no such entry, waited for at {caller}"))
    }
}

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
        if tokio::time::timeout(SOON, polled).await.is_err() {
            panic!("it never held, waited for at {caller}");
        }
    }
}

/// Reads the newest turn of a session once it does not run.
async fn ended_turn(client: &mut Client, session_id: &str) -> pb::TurnResult {
    let deadline = tokio::time::Instant::now() + SOON;
    loop {
        if let Some(turn) = newest_turn(client, session_id).await
            && turn.status() != pb::TurnStatus::Running
        {
            return turn;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "the turn of {session_id} does not end"
        );
        tokio::time::sleep(Duration::from_millis(1)).await;
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

/// Waits until the simulator cannot send any more of an answer.
pub(crate) async fn stopped_sending(world: &World, number: u64) {
    let (mut sent, mut since) = (0, Instant::now());
    eventually(async || {
        let entries = world.simulator.journal().entries();
        let bytes = entries
            .iter()
            .find(|entry| entry.number == number)
            .map(|entry| entry.bytes_sent)
            .unwrap_or_default();
        if bytes != sent {
            (sent, since) = (bytes, Instant::now());
        }
        sent > 0 && since.elapsed() >= Duration::from_millis(30)
    })
    .await;
}

/// Checks that every model call has ended, none of them refused by the simulator's rules.
async fn nothing_upstream(world: &World) {
    eventually(async || {
        let entries = world.simulator.journal().entries();
        entries.iter().all(Entry::has_ended)
    })
    .await;
    for entry in world.simulator.journal().entries() {
        let refused = matches!(entry.outcome, Outcome::Refused(_));
        assert!(!refused, "the model was asked what it refuses: {entry:#?}");
    }
}
