//! Servers that stop or crash, and what the next one has of their sessions.

use std::time::Duration;

use taiwa::v1::{self as pb, converse_request::Frame, event::Payload};
use taiwa_e2e::{
    Client, Settings, World,
    call::{self, Conversation},
    told::Told,
};
use tonic::{Code, transport::Endpoint};

use crate::{
    place,
    seen::{Seen, after, replay, resumed_in},
    talk::{open_with, receipt},
    talker::{Stop, Talker},
    weather::{self, calls_in, result_of},
};

const SCENARIO: &str = r#"
[[reply]]
when = { prompt_is = "fail" }
text = ["It ", "breaks"]
fault.exception = { type = "ModelStreamErrorException", after_chunk = 1 }

[[reply]]
when = { prompt_is = "silence" }
text = ["one ", "two ", "never said"]
fault.silence = { after_chunk = 2 }

[[reply]]
when = { prompt_is = "long" }
content = [{ text = ["forty bytes of text, one after another. "], repeat = 5_000 }]
"#;

fn scenario() -> String {
    format!("{SCENARIO}{}", weather::SCENARIO)
}

fn request(session_id: &str, prompt: &str) -> pb::InvokeRequest {
    pb::InvokeRequest {
        session_id: session_id.to_owned(),
        options: Some(weather::options()),
        stream: Some(pb::StreamOptions {
            on_disconnect: pb::DisconnectPolicy::Continue.into(),
            ..pb::StreamOptions::default()
        }),
        ..call::prompt(prompt)
    }
}

#[tokio::test]
async fn after_a_restart_every_event_is_byte_for_byte_the_same() {
    let placed = place::in_file(&scenario(), Settings::default()).await;
    let mut client = placed.client().await;
    let mut sessions = Vec::new();
    for prompts in [&["weather"][..], &["hi", "weather"], &["fail", "hi"]] {
        let session_id = prompts.join("-");
        let mut seen = Seen::default();
        for prompt in prompts {
            let streamed = call::invoke_stream(&mut client, request(&session_id, prompt)).await;
            streamed
                .events
                .into_iter()
                .for_each(|event| seen.take(event));
        }
        sessions.push((session_id, seen));
    }
    let mut talker = Talker::new("talk", pb::StreamOptions::default());
    talker.say("weather");
    talker.say("hi");
    let mut conversation = talker.attach(&mut client).await.unwrap();
    talker.read(&mut conversation, usize::MAX).await.unwrap();
    talker.finish(conversation).await;
    sessions.push((talker.session_id().to_owned(), talker.seen));

    let placed = placed.restart().await;
    let mut client = placed.client().await;
    for (session_id, seen) in &sessions {
        seen.check_whole(&mut client, session_id).await;
        for event in seen.events() {
            let from = pb::ResumeStreamRequest {
                turn_id: event.turn_id.clone(),
                replay_only: true,
                ..after(session_id, event.sequence)
            };
            let mut rest = call::resume_stream(&mut client, from).await;
            resumed_in(&rest.events.remove(0));
            seen.check(&rest.events);
            let of_turn = |other: &&pb::Event| {
                let is_its = event.turn_id.is_empty() || event.turn_id == other.turn_id;
                is_its && other.sequence > event.sequence
            };
            let expected = seen.events().iter().filter(of_turn).count();
            assert_eq!(rest.events.len(), expected, "{session_id} {event:#?}");
        }
    }
    // A paused turn goes on, and numbers with it.
    let (session_id, seen) = &mut sessions[0];
    let results = calls_in(seen.events()).into_iter().map(result_of).collect();
    let bring = pb::InvokeRequest {
        tool_results: results,
        ..request(session_id, "")
    };
    let done = call::invoke_stream(&mut client, bring).await;
    done.end.as_ref().unwrap();
    assert_eq!(done.result().status(), pb::TurnStatus::Completed);
    done.events.into_iter().for_each(|event| seen.take(event));
    seen.check_whole(&mut client, session_id).await;
}

#[tokio::test]
async fn what_was_seen_before_a_crash_is_there_after_it() {
    const CHUNKS: usize = 8;
    let scenario: String = (1..CHUNKS)
        .map(|chunk| {
            format!(
                "[[reply]]\nwhen = {{ prompt_is = \"{chunk}\" }}\n\
                 text = [\"a \", \"b \", \"c \", \"d \", \"e \", \"f \", \"g \", \"h\"]\n\
                 fault.silence = {{ after_chunk = {chunk} }}\n"
            )
        })
        .collect();
    let placed = place::in_file(&scenario, Settings::default()).await;
    let mut client = placed.client().await;
    let mut open = Vec::new();
    for chunk in 1..CHUNKS {
        let session_id = format!("session-{chunk}");
        let asked = request(&session_id, &chunk.to_string());
        let mut stream = client.invoke_stream(asked).await.unwrap().into_inner();
        let (mut seen, mut pieces) = (Seen::default(), 0);
        while pieces < chunk {
            let event = call::next_of(&mut stream).await.unwrap().unwrap();
            pieces += usize::from(matches!(event.payload, Some(Payload::TextDelta(_))));
            seen.take(event);
        }
        open.push((session_id, seen, stream));
    }
    let placed = placed.crash().await;
    let mut client = placed.client().await;
    for (session_id, seen, _) in open {
        let kept = replay(&mut client, &session_id).await;
        let (before, since) = kept.split_at(seen.events().len());
        seen.check(before);
        let Some(Payload::TurnEnded(result)) = &since.last().unwrap().payload else {
            panic!("{since:#?}");
        };
        assert_eq!(result.status(), pb::TurnStatus::Failed);
        assert_eq!(result.stop_reason(), pb::StopReason::Incomplete);
        let pieces = before
            .iter()
            .chain(since)
            .filter_map(|event| match &event.payload {
                Some(Payload::TextDelta(delta)) => Some(delta.text.as_str()),
                _ => None,
            });
        let said: String = pieces.collect();
        assert_eq!(crate::talk::words(result), said);
        // As InvokeStream would have told it.
        let of_turn = pb::ResumeStreamRequest {
            turn_id: result.turn_id.clone(),
            ..after(&session_id, seen.cursor())
        };
        let rest = call::resume_stream(&mut client, of_turn).await;
        let told = Told::of(&rest.end.as_ref().unwrap_err().clone());
        assert_eq!(told.reason, result.error.as_ref().unwrap().reason());
        assert_eq!(rest.result().turn_id, result.turn_id);
    }
}

/// A client that takes no more than 4 KiB ahead of its reader.
async fn narrow(world: &World) -> Client {
    let endpoint = format!("http://{}", world.server.local_addr());
    let endpoint = Endpoint::from_shared(endpoint).unwrap();
    let endpoint = endpoint.initial_stream_window_size(4_096);
    Client::new(endpoint.connect().await.unwrap())
}

#[tokio::test]
async fn who_goes_at_once_when_told_to_misses_nothing_on_the_next_server() {
    let settings = Settings {
        shutdown_grace: Duration::from_millis(300),
        ..Settings::default()
    };
    let placed = place::in_file(&scenario(), settings).await;
    let mut conversation = Conversation::open(&mut narrow(&placed).await).await;
    conversation
        .send(Frame::Setup(pb::SessionSetup {
            session_id: "s".to_owned(),
            ..pb::SessionSetup::default()
        }))
        .await;
    conversation.say("long").await;
    // The turn runs to its end, and most of it waits for the reader.
    crate::turn_that_ended(&mut placed.client().await, "s").await;
    let reading = async {
        let mut seen = Seen::default();
        loop {
            let event = conversation.next().await.unwrap().unwrap();
            match event.payload {
                Some(Payload::SessionReady(_)) => {}
                Some(Payload::GoAway(told)) => return (seen, told),
                _ => seen.take(event),
            }
        }
    };
    let (placed, (mut seen, told)) = tokio::join!(placed.restart(), reading);
    assert_eq!(told.reason(), pb::GoAwayReason::Shutdown);
    assert_eq!(
        Duration::try_from(told.time_left.unwrap()).unwrap(),
        Duration::from_millis(300)
    );
    assert_eq!(told.resume_after_sequence, seen.cursor());
    assert!(seen.cursor() < 5_000, "all was read before");

    let mut client = placed.client().await;
    let from = pb::ResumeStreamRequest {
        replay_only: true,
        ..after("s", told.resume_after_sequence)
    };
    let mut rest = call::resume_stream(&mut client, from).await;
    assert_eq!(resumed_in(&rest.events.remove(0)).missing_events, 0);
    rest.events.into_iter().for_each(|event| seen.take(event));
    seen.check_whole(&mut client, "s").await;
}

#[tokio::test]
async fn a_conversation_goes_on_on_the_next_server() {
    let placed = place::in_file(&scenario(), Settings::default()).await;
    let mut talker = Talker::new("s", pb::StreamOptions::default());
    for prompt in ["hi", "weather", "hi"] {
        talker.say(prompt);
    }
    let mut client = placed.client().await;
    let mut conversation = talker.attach(&mut client).await.unwrap();
    talker.read(&mut conversation, 12).await.unwrap();
    let reading = async { while let Ok(Stop::Enough) = talker.read(&mut conversation, 1).await {} };
    let (placed, ()) = tokio::join!(placed.restart(), reading);
    let mut client = placed.client().await;
    let mut conversation = talker.attach(&mut client).await.unwrap();
    let stop = talker.read(&mut conversation, usize::MAX).await.unwrap();
    assert_eq!(stop, Stop::Answered);
    talker.finish(conversation).await;
    talker.seen.check_whole(&mut client, "s").await;
    assert_eq!(placed.simulator.journal().entries().len(), 4);
}

#[tokio::test]
async fn a_frame_that_is_sent_again_to_the_next_server_acts_once() {
    let placed = place::in_file(&scenario(), Settings::default()).await;
    let setup = pb::SessionSetup {
        session_id: "s".to_owned(),
        ..pb::SessionSetup::default()
    };
    let mut conversation = open_with(&placed, setup.clone()).await;
    let frame = Frame::Prompt("hi".to_owned());
    conversation.send_named("p", frame.clone()).await;
    let first = receipt(&mut conversation, "p").await;
    assert!(!first.duplicate);
    conversation.turn().await;
    drop(conversation);

    let placed = placed.restart().await;
    let mut conversation = open_with(&placed, setup).await;
    conversation.send_named("p", frame).await;
    let again = receipt(&mut conversation, "p").await;
    assert_eq!(
        again,
        pb::FrameAccepted {
            duplicate: true,
            ..first
        }
    );
    let other = Frame::Prompt("ho".to_owned());
    conversation.send_named("p", other).await;
    let told = crate::talk::refusal(&mut conversation, "p").await;
    assert_eq!(told.code, Code::AlreadyExists);
    assert_eq!(told.reason, pb::ErrorReason::RequestIdReused);
    conversation.finish().await.end.unwrap();
    assert_eq!(placed.simulator.journal().entries().len(), 1);
}
