//! Clients that are cut after every event, and resume.

mod caller;
mod random;
mod wire;

use taiwa::v1::{self as pb, event::Payload};
use taiwa_e2e::{Settings, World, call};

use crate::{
    place,
    seen::{Seen, after, check_alike, resumed_in},
    talker::Talker,
    weather::{self, SCENARIO, calls_in, result_of},
};

/// How a stream of a turn is taken up again.
#[derive(Clone, Copy, Debug)]
enum How {
    /// By the session's events.
    Session,
    /// By the turn's.
    Turn,
    /// By the same request once more.
    Repeat,
}

#[tokio::test]
async fn a_stream_that_is_cut_after_any_event_goes_on_where_it_was() {
    for world in place::each(SCENARIO, &Settings::default()).await {
        let uncut = cut_at(&world, "uncut", usize::MAX, How::Session).await;
        let events = uncut.events().len();
        assert!(events > 30, "{events} events of: {uncut:#?}");
        for how in [How::Session, How::Turn, How::Repeat] {
            for cut in 0..events {
                let session_id = format!("{how:?}-{cut}");
                let seen = cut_at(&world, &session_id, cut, how).await;
                check_alike(seen.events(), uncut.events());
                seen.check_whole(&mut world.client().await, &session_id)
                    .await;
            }
        }
        let calls = world.simulator.journal().entries().len();
        assert_eq!(calls, 2 * (1 + 3 * events));
    }
}

#[tokio::test]
async fn a_conversation_that_is_cut_after_any_event_goes_on_where_it_was() {
    for world in place::each(SCENARIO, &Settings::default()).await {
        let uncut = talk_cut_at(&world, "uncut", usize::MAX).await;
        let events = uncut.events().len();
        assert!(events > 30, "{events} events of: {uncut:#?}");
        for cut in 0..events {
            let session_id = format!("talk-{cut}");
            let seen = talk_cut_at(&world, &session_id, cut).await;
            check_alike(&without_pauses(&seen), &without_pauses(&uncut));
            seen.check_whole(&mut world.client().await, &session_id)
                .await;
        }
        let calls = world.simulator.journal().entries().len();
        assert_eq!(calls, 2 * (1 + events));
    }
}

/// Holds a conversation of one turn, and cuts it once so many events were seen.
async fn talk_cut_at(world: &World, session_id: &str, cut: usize) -> Seen {
    let mut talker = Talker::new(session_id, pb::StreamOptions::default());
    talker.say("weather");
    let mut client = world.client().await;
    let mut conversation = talker.attach(&mut client).await.unwrap();
    talker.read(&mut conversation, cut).await.unwrap();
    drop(conversation);
    let mut conversation = talker.attach(&mut client).await.unwrap();
    talker.read(&mut conversation, usize::MAX).await.unwrap();
    talker.finish(conversation).await;
    talker.seen
}

/// What was seen, save what tells of the cut: pauses, and frames that came twice.
fn without_pauses(seen: &Seen) -> Vec<pb::Event> {
    let events = seen.events().iter().filter(|event| match &event.payload {
        Some(Payload::TurnEnded(result)) => result.status() != pb::TurnStatus::Paused,
        Some(Payload::TurnStarted(started)) => !started.continued,
        Some(Payload::FrameAccepted(accepted)) => !accepted.duplicate,
        _ => true,
    });
    events.cloned().collect()
}

/// Runs a turn in two parts, and cuts it once so many events were seen.
async fn cut_at(world: &World, session_id: &str, cut: usize, how: How) -> Seen {
    let mut client = world.client().await;
    let mut seen = Seen::default();
    let request = pb::InvokeRequest {
        session_id: session_id.to_owned(),
        request_id: format!("ask-{session_id}"),
        options: Some(weather::options()),
        stream: Some(pb::StreamOptions {
            on_disconnect: pb::DisconnectPolicy::Continue.into(),
            ..pb::StreamOptions::default()
        }),
        ..call::prompt("weather")
    };
    read_cut(&mut client, &mut seen, request.clone(), cut, how).await;
    let results = calls_in(seen.events()).into_iter().map(result_of);
    let request = pb::InvokeRequest {
        prompt: String::new(),
        request_id: format!("answer-{session_id}"),
        tool_results: results.collect(),
        ..request
    };
    read_cut(&mut client, &mut seen, request, cut, how).await;
    seen
}

async fn read_cut(
    client: &mut taiwa_e2e::Client,
    seen: &mut Seen,
    request: pb::InvokeRequest,
    cut: usize,
    how: How,
) {
    let began = seen.events().len();
    let mut stream = client
        .invoke_stream(request.clone())
        .await
        .unwrap()
        .into_inner();
    while seen.events().len() != cut {
        match call::next_of(&mut stream).await.unwrap() {
            Some(event) => seen.take(event),
            None => return,
        }
    }
    drop(stream);
    let mut resumption = after(&request.session_id, seen.cursor());
    match how {
        How::Repeat => {
            let again = call::invoke_stream(client, request).await;
            again.end.unwrap();
            for event in again.events {
                seen.take_or_check(event);
            }
            return;
        }
        How::Session => {}
        How::Turn => {
            // Known from the first event on.
            if let Some(event) = seen.events().get(began) {
                resumption.turn_id.clone_from(&event.turn_id);
            }
        }
    }
    let is_of_turn = !resumption.turn_id.is_empty();
    let mut stream = client.resume_stream(resumption).await.unwrap().into_inner();
    let resumed = resumed_in(&call::next_of(&mut stream).await.unwrap().unwrap());
    assert_eq!(resumed.session_id, request.session_id);
    assert_eq!(resumed.after_sequence, seen.cursor());
    assert_eq!(resumed.missing_events, 0);
    assert!(resumed.last_sequence >= seen.cursor());
    loop {
        let is_over = seen.events()[began..].last().is_some_and(call::is_end);
        if is_over && !is_of_turn {
            return;
        }
        match call::next_of(&mut stream).await.unwrap() {
            Some(event) => seen.take(event),
            None => {
                assert!(is_over && is_of_turn);
                return;
            }
        }
    }
}
