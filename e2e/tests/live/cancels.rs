//! A call that is cancelled closes its model call at once, whatever the model and the client do.

mod deadlines;
pub(crate) mod open;

use std::time::Instant;

use taiwa::v1 as pb;
use taiwa_e2e::{
    Client, Settings, World, call,
    latency::{self, Latencies, measure},
};
use taiwa_server::session;
use taiwa_simulator::{Entry, Outcome};

use crate::{
    ended_turn, entry, nothing_upstream, the_machine,
    wire::{Wire, narrow},
};

use self::open::{How, Open};

/// Cancels of each kind.
const TIMES: usize = 200;

/// A model in every state in which a cancel can meet it.
const SCENARIO: &str = r#"
[[reply]]
when = { prompt_contains = "before headers" }
text = "never said"
fault.silence = { at = "before_headers" }

[[reply]]
when = { prompt_contains = "after headers" }
text = "never said"
fault.silence = { at = "after_headers" }

[[reply]]
when = { prompt_contains = "midway" }
text = ["one ", "two ", "never said"]
fault.silence = { after_chunk = 2 }

[[reply]]
when = { prompt_contains = "stream" }
text = ["word "]
repeat = 100_000
pace = { chunk_delay = "2ms" }

[[reply]]
when = { prompt_contains = "flood" }
text = ["A KILOBYTE"]
repeat = 1_000
fault.silence = { after_chunk = 200 }

[[reply]]
text = "That is all."
"#;

/// A system in which a reader that does not read holds the model after a few kilobytes.
async fn world() -> World {
    let sessions = session::Config {
        log: session::log::Config {
            window_bytes: 4_096,
            ..session::log::Config::default()
        },
        ..session::Config::default()
    };
    let settings = Settings {
        sessions,
        ..Settings::default()
    };
    World::with(
        &SCENARIO.replace("A KILOBYTE", &"text ".repeat(200)),
        settings,
    )
    .await
}

/// What the model does when the cancel comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Model {
    BeforeHeaders,
    AfterHeaders,
    Midway,
    Streams,
    /// It would stream, but the client does not read.
    Held,
}

impl Model {
    fn prompt(self) -> &'static str {
        match self {
            Self::BeforeHeaders => "before headers",
            Self::AfterHeaders => "after headers",
            Self::Midway => "midway",
            Self::Streams => "stream",
            Self::Held => "flood",
        }
    }
}

/// What ends the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Means {
    Drop,
    CancelTurn,
    CutConnection,
}

/// Waits until the model is in its state, and gives the journal's number of its call.
async fn reached(world: &World, open: &mut Open, prompt: &str, model: Model) -> u64 {
    let asked = entry(world, |entry| entry.request.to_string().contains(prompt)).await;
    let number = asked.number;
    let reached = |entry: &Entry| {
        entry.number == number
            && match model {
                Model::BeforeHeaders => true,
                Model::AfterHeaders => entry.answered_at.is_some(),
                Model::Midway | Model::Streams => entry.chunks_sent >= 2,
                // Several times what is taken ahead of the reader.
                Model::Held => entry.chunks_sent >= 200,
            }
    };
    entry(world, reached).await;
    if matches!(model, Model::Midway | Model::Streams) {
        open.hear_text().await;
    }
    number
}

/// Cancels many calls of one kind, and checks how each ended and what is left of it.
async fn cancel_many(world: &World, how: How, model: Model, means: Means) {
    let mut round = 0;
    measure(async || {
        round += 1;
        cancel_round(world, how, model, means, round).await
    })
    .await;
}

async fn cancel_round(world: &World, how: How, model: Model, means: Means, round: usize) -> bool {
    let name = format!("{means:?} of {how:?}, model {model:?}");
    let mut plain = world.client().await;
    let shared = narrow(world).await;
    let mut latencies = Latencies::default();
    // The model takes a while to be held, so several are held at once.
    let batch = if model == Model::Held { 10 } else { 1 };
    for first in (0..TIMES).step_by(batch) {
        world.simulator.journal().clear();
        let mut opened = Vec::new();
        for time in first..first + batch {
            let session_id = format!("{name} {round} {time}").replace([' ', ','], "-");
            let wire = match means {
                Means::CutConnection => Some(Wire::open(world).await),
                Means::Drop | Means::CancelTurn => None,
            };
            let client = wire.as_ref().map_or(&shared, |wire| &wire.client).clone();
            let prompt = format!("{}, {session_id}.", model.prompt());
            let open = Open::start(client, how, &session_id, &prompt).await;
            opened.push((session_id, prompt, wire, open));
        }
        for (session_id, prompt, wire, mut open) in opened {
            let number = reached(world, &mut open, &prompt, model).await;
            let cancelled = match means {
                Means::Drop => {
                    let at = Instant::now();
                    drop(open);
                    at
                }
                Means::CancelTurn => cancel_turn(&mut plain, &session_id).await,
                Means::CutConnection => {
                    let at = Instant::now();
                    wire.as_ref().unwrap().cut();
                    at
                }
            };
            let is_closed = |entry: &Entry| entry.number == number && entry.has_ended();
            let closed = entry(world, is_closed).await;
            assert_eq!(closed.outcome, Outcome::ClientClosed, "{name}");
            let at = closed.ended_at.unwrap().instant;
            latencies.add(at.saturating_duration_since(cancelled));
            check_cancelled(&ended_turn(&mut plain, &session_id).await, model);
        }
        // Not after each of them: it asks for as much again.
        if first % 40 == 0 {
            let session_id = format!("{name} {round} {first}").replace([' ', ','], "-");
            check_next_turn(world, &mut plain, &session_id).await;
        }
    }
    nothing_upstream(world).await;
    latencies.are_short(&name, TIMES, latency::CANCEL)
}

async fn cancel_turn(client: &mut Client, session_id: &str) -> Instant {
    let request = pb::CancelTurnRequest {
        session_id: session_id.to_owned(),
        ..pb::CancelTurnRequest::default()
    };
    let at = Instant::now();
    let answer = client.cancel_turn(request).await.unwrap().into_inner();
    let status = answer.result.unwrap().status();
    assert_eq!(status, pb::TurnStatus::Cancelled);
    at
}

/// Checks the record of a turn that was cancelled.
fn check_cancelled(turn: &pb::TurnResult, model: Model) {
    assert_eq!(turn.status(), pb::TurnStatus::Cancelled, "{turn:#?}");
    assert_eq!(turn.stop_reason(), pb::StopReason::Cancelled);
    let error = turn.error.as_ref().unwrap();
    assert_eq!(error.reason(), pb::ErrorReason::Cancelled);
    let usage = turn.usage.as_ref().unwrap();
    assert_eq!(usage.model_calls, 1);
    assert!(usage.estimated && usage.input_tokens > 0, "{usage:#?}");
    let said = matches!(model, Model::Midway | Model::Streams | Model::Held);
    assert_eq!(usage.output_tokens > 0, said, "{usage:#?}");
    assert_eq!(turn.message.is_some(), said, "{turn:#?}");
}

/// Checks that the session's history can be sent.
async fn check_next_turn(world: &World, client: &mut Client, session_id: &str) {
    let request = pb::InvokeRequest {
        session_id: session_id.to_owned(),
        ..call::prompt("and then?")
    };
    let answer = call::invoke(client, request).await.unwrap();
    assert_eq!(answer.text, "That is all.");
    let last = world.simulator.journal().entries().pop().unwrap();
    assert_eq!(last.outcome, Outcome::Completed, "{last:#?}");
}

#[tokio::test]
async fn a_dropped_call_closes_its_model_call_at_once() {
    let _machine = the_machine().await;
    let world = world().await;
    for (how, model) in [
        (How::Invoke, Model::BeforeHeaders),
        (How::Invoke, Model::Streams),
        (How::InvokeStream, Model::BeforeHeaders),
        (How::InvokeStream, Model::AfterHeaders),
        (How::InvokeStream, Model::Midway),
        (How::InvokeStream, Model::Streams),
        (How::InvokeStream, Model::Held),
        (How::Converse, Model::AfterHeaders),
        (How::Converse, Model::Streams),
    ] {
        cancel_many(&world, how, model, Means::Drop).await;
    }
}

#[tokio::test]
async fn a_cut_connection_closes_its_model_calls_at_once() {
    let _machine = the_machine().await;
    let world = world().await;
    for (how, model) in [
        (How::Invoke, Model::AfterHeaders),
        (How::InvokeStream, Model::Streams),
        (How::Converse, Model::Midway),
    ] {
        cancel_many(&world, how, model, Means::CutConnection).await;
    }
}

#[tokio::test]
async fn cancel_turn_closes_the_model_call_at_once() {
    let _machine = the_machine().await;
    let world = world().await;
    for (how, model) in [
        (How::Invoke, Model::BeforeHeaders),
        (How::InvokeStream, Model::Held),
        (How::Converse, Model::Streams),
    ] {
        cancel_many(&world, how, model, Means::CancelTurn).await;
    }
}
