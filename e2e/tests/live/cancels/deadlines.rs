//! A deadline that passes does what a cancel does, and is told as what it is.

use std::time::{Duration, Instant};

use taiwa::v1::{self as pb, converse_request::Frame, event::Payload};
use taiwa_e2e::{
    World,
    latency::{self, Latencies, measure},
    told::Told,
};
use taiwa_simulator::{Entry, Outcome};
use tokio_stream::StreamExt as _;
use tonic::{Code, Request, Status};

use super::{How, TIMES, check_next_turn, world};
use crate::{
    ended_turn, entry, nothing_upstream, the_machine,
    wire::{Patient, patient},
};

/// How a call that expired was told to its caller.
struct Expired {
    status: Status,
    /// The result in `turn_ended`, where the call shows one.
    told: Option<pb::TurnResult>,
}

/// Asks for an answer that stops midway; the prompt tells whose it is.
fn request(session_id: &str) -> pb::InvokeRequest {
    pb::InvokeRequest {
        prompt: prompt(session_id),
        session_id: session_id.to_owned(),
        ..pb::InvokeRequest::default()
    }
}

fn prompt(session_id: &str) -> String {
    format!("midway, {session_id}.")
}

/// Runs a call that never ends by itself, until its deadline ends it.
async fn expire(mut client: Patient, how: How, session_id: String, timeout: Duration) -> Expired {
    let micros = timeout.as_micros();
    let with_deadline = |mut metadata: tonic::metadata::MetadataMap| {
        metadata.insert("grpc-timeout", format!("{micros}u").parse().unwrap());
        metadata
    };
    match how {
        How::Invoke => {
            let mut request = Request::new(request(&session_id));
            *request.metadata_mut() = with_deadline(request.metadata().clone());
            let status = client.invoke(request).await.unwrap_err();
            Expired { status, told: None }
        }
        How::InvokeStream => {
            let mut request = Request::new(request(&session_id));
            *request.metadata_mut() = with_deadline(request.metadata().clone());
            match client.invoke_stream(request).await {
                Ok(response) => read(response.into_inner()).await,
                Err(status) => Expired { status, told: None },
            }
        }
        How::Converse => {
            let prompt = prompt(&session_id);
            let setup = pb::SessionSetup {
                session_id,
                ..pb::SessionSetup::default()
            };
            let frames = [Frame::Setup(setup), Frame::Prompt(prompt)];
            let frames = frames.map(|frame| pb::ConverseRequest {
                frame: Some(frame),
                ..pb::ConverseRequest::default()
            });
            // Not half-closed: the client stays, and so does the stream.
            let frames = tokio_stream::iter(frames).chain(tokio_stream::pending());
            let mut request = Request::new(frames);
            *request.metadata_mut() = with_deadline(request.metadata().clone());
            match client.converse(request).await {
                Ok(response) => read(response.into_inner()).await,
                Err(status) => Expired { status, told: None },
            }
        }
    }
}

async fn read(mut events: tonic::Streaming<pb::Event>) -> Expired {
    let mut told = None;
    loop {
        match events.message().await {
            Ok(Some(event)) => {
                if let Some(Payload::TurnEnded(result)) = event.payload {
                    told = Some(*result);
                }
            }
            Ok(None) => panic!("the call ended well"),
            Err(status) => return Expired { status, told },
        }
    }
}

/// Lets many calls expire, each a little after the other, and checks what was told.
async fn expire_many(world: &World, how: How, timeout: Duration) {
    let mut round = 0;
    measure(async || {
        round += 1;
        expire_round(world, how, timeout, round).await
    })
    .await;
}

async fn expire_round(world: &World, how: How, timeout: Duration, round: usize) -> bool {
    world.simulator.journal().clear();
    let name = format!("{how:?} after {timeout:?}, round {round}");
    let client = patient(world);
    let mut calls = Vec::new();
    for time in 0..TIMES {
        let session_id = format!("{name} {time}").replace([' ', ','], "-");
        let call = expire(client.clone(), how, session_id.clone(), timeout);
        calls.push((session_id, Instant::now(), tokio::spawn(call)));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut plain = world.client().await;
    let mut latencies = Latencies::default();
    for (time, (session_id, started, call)) in calls.into_iter().enumerate() {
        let expired = call.await.unwrap();
        let told = Told::of(&expired.status);
        assert_eq!(told.code, Code::DeadlineExceeded, "{name}: {told:?}");
        assert_eq!(told.reason, pb::ErrorReason::DeadlineExceeded);
        // A call may be so late that it never became a turn.
        if timeout < Duration::from_millis(20) {
            continue;
        }
        if how != How::Invoke {
            let result = expired.told.unwrap();
            assert_eq!(result.status(), pb::TurnStatus::Cancelled);
        }
        let turn = ended_turn(&mut plain, &session_id).await;
        assert_eq!(turn.status(), pb::TurnStatus::Cancelled, "{turn:#?}");
        assert_eq!(turn.stop_reason(), pb::StopReason::Cancelled);
        assert!(turn.usage.as_ref().unwrap().estimated);
        if let Some(time) = closed_after(world, &session_id, started + timeout).await {
            latencies.add(time);
        }
        if time % 40 == 0 {
            check_next_turn(world, &mut plain, &session_id).await;
        }
    }
    nothing_upstream(world).await;
    timeout < Duration::from_millis(20)
        || latencies.are_short(&name, TIMES * 9 / 10, latency::EXPIRY)
}

/// The time between a moment and the close of a session's call; `None` when the model was not
/// called, as when the machine is so busy that the time was over before.
async fn closed_after(world: &World, session_id: &str, due: Instant) -> Option<Duration> {
    let words = prompt(session_id);
    let is_it = |entry: &Entry| {
        let asked = entry.request.to_string();
        asked.contains(&words) && !asked.contains("and then?")
    };
    let entries = world.simulator.journal().entries();
    let number = entries.into_iter().find(is_it)?.number;
    let closed = entry(world, |entry| entry.number == number && entry.has_ended()).await;
    assert_eq!(closed.outcome, Outcome::ClientClosed);
    let at = closed.ended_at.unwrap().instant;
    Some(at.saturating_duration_since(due))
}

#[tokio::test]
async fn a_deadline_that_passes_closes_the_model_call_at_once() {
    let _machine = the_machine().await;
    let world = world().await;
    let calls = [How::Invoke, How::InvokeStream, How::Converse];
    for how in calls {
        for timeout in [1, 50] {
            expire_many(&world, how, Duration::from_millis(timeout)).await;
        }
    }
    let long = Duration::from_secs(2);
    tokio::join!(
        expire_few(&world, How::Invoke, long),
        expire_few(&world, How::InvokeStream, long),
        expire_few(&world, How::Converse, long),
    );
}

/// A long deadline, for one call: it must pass neither early nor late.
async fn expire_few(world: &World, how: How, timeout: Duration) {
    let started = Instant::now();
    let session_id = format!("{how:?}-long");
    let expired = expire(patient(world), how, session_id, timeout).await;
    assert_eq!(expired.status.code(), Code::DeadlineExceeded);
    let took = started.elapsed();
    assert!(took >= timeout, "{how:?} ended after {took:?}");
    assert!(took < timeout + Duration::from_millis(200), "{took:?}");
}

#[tokio::test]
async fn a_turns_own_time_limit_closes_the_model_call_at_once() {
    let _machine = the_machine().await;
    let world = world().await;
    let mut round = 0;
    measure(async || {
        round += 1;
        limit_round(&world, round).await
    })
    .await;
}

async fn limit_round(world: &World, round: usize) -> bool {
    let timeout = Duration::from_millis(40);
    let mut client = world.client().await;
    let mut latencies = Latencies::default();
    for time in 0..TIMES {
        world.simulator.journal().clear();
        let session_id = format!("limit-{round}-{time}");
        let mut request = request(&session_id);
        request.options = Some(pb::TurnOptions {
            timeout: Some(timeout.try_into().unwrap()),
            ..pb::TurnOptions::default()
        });
        let started = Instant::now();
        let status = client.invoke(request).await.unwrap_err();
        let told = Told::of(&status);
        assert_eq!(told.code, Code::DeadlineExceeded, "{told:?}");
        assert_eq!(told.reason, pb::ErrorReason::DeadlineExceeded);
        if let Some(time) = closed_after(world, &session_id, started + timeout).await {
            latencies.add(time);
        }
        let turn = ended_turn(&mut client, &session_id).await;
        assert_eq!(turn.status(), pb::TurnStatus::Cancelled);
        assert_eq!(turn.stop_reason(), pb::StopReason::BudgetExceeded);
        assert!(turn.usage.unwrap().estimated);
        if time % 40 == 0 {
            check_next_turn(world, &mut client, &session_id).await;
        }
    }
    latencies.are_short("a turn's own limit", TIMES * 9 / 10, latency::EXPIRY)
}
