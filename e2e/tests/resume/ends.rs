//! Where a resumed stream ends, by how its turn stands; and who reads beside it.

use std::time::{Duration, Instant};

use taiwa::v1::{self as pb, event::Payload};
use taiwa_e2e::{
    Client, Settings,
    call::{self, Streamed},
    told::Told,
};
use tonic::{Code, Request};

use crate::{
    eventually, newest_turn, place,
    seen::{Seen, after, replay, resumed_in},
    turn_that_ended,
    weather::{self, calls_in, result_of},
};

const SCENARIO: &str = r#"
[[reply]]
when = { prompt_is = "silence" }
text = ["one ", "two ", "never said"]
fault.silence = { after_chunk = 2 }

[[reply]]
when = { prompt_is = "fail" }
text = ["It ", "breaks"]
fault.exception = { type = "ModelStreamErrorException", after_chunk = 1 }

[[reply]]
when = { prompt_is = "slowly" }
text = ["one ", "two ", "three ", "four"]
pace = { chunk_delay = "30ms" }
"#;

fn scenario() -> String {
    format!("{SCENARIO}{}", weather::SCENARIO)
}

fn asked(prompt: &str) -> pb::InvokeRequest {
    pb::InvokeRequest {
        session_id: "s".to_owned(),
        options: Some(weather::options()),
        stream: Some(pb::StreamOptions {
            on_disconnect: pb::DisconnectPolicy::Continue.into(),
            ..pb::StreamOptions::default()
        }),
        ..call::prompt(prompt)
    }
}

fn of_turn(turn_id: &str, cursor: i64) -> pb::ResumeStreamRequest {
    pb::ResumeStreamRequest {
        turn_id: turn_id.to_owned(),
        ..after("s", cursor)
    }
}

/// Reads a turn again from a cursor, to its end; without what says that it is a replay.
async fn resumed(client: &mut Client, turn_id: &str, cursor: i64) -> (Streamed, pb::StreamResumed) {
    let mut streamed = call::resume_stream(client, of_turn(turn_id, cursor)).await;
    let resumed = resumed_in(&streamed.events.remove(0));
    assert_eq!(resumed.missing_events, 0);
    (streamed, resumed)
}

#[tokio::test]
async fn the_stream_of_an_ended_turn_ends_as_the_turn_did() {
    for world in place::each(&scenario(), &Settings::default()).await {
        let mut client = world.client().await;
        for prompt in ["hi", "fail"] {
            let first = call::invoke_stream(&mut client, asked(prompt)).await;
            let told = |end: &Result<(), tonic::Status>| end.as_ref().err().map(Told::of);
            let result = first.result().clone();
            let began = first.events[0].sequence - 1;
            for cursor in began..=result.last_sequence {
                let (again, resumed) = resumed(&mut client, &result.turn_id, cursor).await;
                assert_eq!(resumed.active_turn_id, "");
                let read = usize::try_from(cursor - began).unwrap();
                assert_eq!(again.events, first.events[read..]);
                assert_eq!(
                    told(&again.end),
                    told(&first.end),
                    "{prompt} after {cursor}"
                );
            }
            assert_eq!(told(&first.end).is_some(), prompt == "fail");
        }
    }
}

#[tokio::test]
async fn the_stream_of_a_paused_turn_ends_with_its_pause_and_later_with_its_end() {
    for world in place::each(&scenario(), &Settings::default()).await {
        let mut client = world.client().await;
        let first = call::invoke_stream(&mut client, asked("weather")).await;
        let paused = first.result().clone();
        assert_eq!(paused.status(), pb::TurnStatus::Paused);
        let (again, told) = resumed(&mut client, &paused.turn_id, 0).await;
        assert_eq!(told.active_turn_id, paused.turn_id);
        again.end.as_ref().unwrap();
        assert_eq!(again.events, first.events);
        let (past, _) = resumed(&mut client, &paused.turn_id, paused.last_sequence).await;
        past.end.as_ref().unwrap();
        assert!(past.events.is_empty());

        let bring = pb::InvokeRequest {
            tool_results: calls_in(&first.events).into_iter().map(result_of).collect(),
            ..asked("")
        };
        let second = call::invoke_stream(&mut client, bring).await;
        let (both, told) = resumed(&mut client, &paused.turn_id, 0).await;
        assert_eq!(told.active_turn_id, "");
        both.end.unwrap();
        assert_eq!(both.events, [first.events, second.events].concat());
    }
}

#[tokio::test]
async fn the_stream_of_a_running_turn_goes_live_and_cancels_nothing_when_it_goes() {
    for world in place::each(&scenario(), &Settings::default()).await {
        let mut client = world.client().await;
        let stream = client.invoke_stream(asked("slowly")).await.unwrap();
        let mut stream = stream.into_inner();
        let mut seen = Seen::default();
        let started = call::next_of(&mut stream).await.unwrap().unwrap();
        let turn_id = started.turn_id.clone();
        seen.take(started);
        drop(stream);
        for turn_id in ["", &turn_id] {
            let request = of_turn(turn_id, seen.cursor());
            let gone = client.resume_stream(request).await.unwrap().into_inner();
            drop(gone);
        }
        // What is there, and no more.
        let request = pb::ResumeStreamRequest {
            replay_only: true,
            ..of_turn(&turn_id, 0)
        };
        let mut there = call::resume_stream(&mut client, request).await;
        there.end.unwrap();
        let told = resumed_in(&there.events.remove(0));
        assert_eq!(told.active_turn_id, turn_id);
        assert_eq!(there.events.last().unwrap().sequence, told.last_sequence);

        let (rest, told) = resumed(&mut client, &turn_id, seen.cursor()).await;
        assert_eq!(told.active_turn_id, turn_id);
        rest.end.as_ref().unwrap();
        assert_eq!(rest.result().status(), pb::TurnStatus::Completed);
        assert!(rest.result().last_sequence > told.last_sequence);
        rest.events.into_iter().for_each(|event| seen.take(event));
        seen.check_whole(&mut client, "s").await;
    }
}

#[tokio::test]
async fn all_readers_of_a_session_see_the_same_and_the_rest_of_it_live() {
    for world in place::each(&scenario(), &Settings::default()).await {
        let mut client = world.client().await;
        call::invoke(&mut client, asked("hi")).await.unwrap();
        let mut readers = Vec::new();
        for cursor in 0..6 {
            let request = after("s", cursor);
            let stream = world.client().await.resume_stream(request).await;
            readers.push((cursor, stream.unwrap().into_inner()));
        }
        let second = call::invoke_stream(&mut client, asked("slowly")).await;
        let last = second.result().last_sequence;
        let whole = replay(&mut client, "s").await;
        for (cursor, mut stream) in readers {
            resumed_in(&call::next_of(&mut stream).await.unwrap().unwrap());
            let mut events = Vec::new();
            while events
                .last()
                .is_none_or(|event: &pb::Event| event.sequence < last)
            {
                events.push(call::next_of(&mut stream).await.unwrap().unwrap());
            }
            assert_eq!(events, whole[usize::try_from(cursor).unwrap()..]);
        }
    }
}

#[tokio::test]
async fn a_resumed_stream_tells_that_it_lives_and_for_how_long_is_up_to_its_caller() {
    for world in place::each(&scenario(), &Settings::default()).await {
        let mut client = world.client().await;
        let streamed = call::invoke_stream(&mut client, asked("hi")).await;
        let last = streamed.result().last_sequence;
        let beat = pb::ResumeStreamRequest {
            heartbeat_interval: Some(Duration::from_secs(1).try_into().unwrap()),
            ..after("s", last)
        };
        let mut request = Request::new(beat);
        request.set_timeout(Duration::from_millis(2_500));
        let since = Instant::now();
        let mut stream = client.resume_stream(request).await.unwrap().into_inner();
        let first = call::next_of(&mut stream).await.unwrap().unwrap();
        assert_eq!(resumed_in(&first).last_sequence, last);
        for beats in 1..=2 {
            let event = call::next_of(&mut stream).await.unwrap().unwrap();
            let Some(Payload::Heartbeat(beat)) = event.payload else {
                panic!("{event:#?}");
            };
            assert_eq!((event.sequence, beat.last_sequence), (0, last));
            assert!(since.elapsed() >= Duration::from_millis(900 * beats));
        }
        let end = call::next_of(&mut stream).await.unwrap_err();
        assert_eq!(end.code(), Code::DeadlineExceeded, "{end:?}");

        let bad = pb::ResumeStreamRequest {
            heartbeat_interval: Some(Duration::from_millis(10).try_into().unwrap()),
            ..after("s", last)
        };
        let refused = call::resume_stream(&mut client, bad).await;
        let told = Told::of(&refused.end.unwrap_err());
        assert_eq!(told.fields, ["heartbeat_interval"]);
    }
}

#[tokio::test]
async fn the_deadline_of_a_reader_leaves_the_turn_alone() {
    for world in place::each(&scenario(), &Settings::default()).await {
        let mut client = world.client().await;
        let stream = client.invoke_stream(asked("silence")).await.unwrap();
        let turn = newest_turn(&mut client, "s").await.unwrap();
        let mut request = Request::new(of_turn(&turn.turn_id, 0));
        request.set_timeout(Duration::from_millis(50));
        let mut reader = client.resume_stream(request).await.unwrap().into_inner();
        let end = loop {
            match call::next_of(&mut reader).await {
                Ok(event) => assert!(event.is_some(), "the turn does not end"),
                Err(end) => break end,
            }
        };
        assert!(
            matches!(end.code(), Code::DeadlineExceeded | Code::Cancelled),
            "{end:?}"
        );
        drop(stream);
        let turn = newest_turn(&mut client, "s").await.unwrap();
        assert_eq!(turn.status(), pb::TurnStatus::Running);
        // Its readers are told when it is cancelled.
        let reader = of_turn(&turn.turn_id, 0);
        let mut other = world.client().await;
        let reading = async { call::resume_stream(&mut other, reader).await };
        let cancelling = async {
            let request = pb::CancelTurnRequest {
                session_id: "s".to_owned(),
                ..pb::CancelTurnRequest::default()
            };
            client.cancel_turn(request).await.unwrap();
        };
        let (read, ()) = tokio::join!(reading, cancelling);
        assert_eq!(read.result().status(), pb::TurnStatus::Cancelled);
        let ended = turn_that_ended(&mut client, "s").await;
        assert_eq!(ended, *read.result());
        eventually(async || {
            let entries = world.simulator.journal().entries();
            entries.iter().all(taiwa_simulator::Entry::has_ended)
        })
        .await;
    }
}
