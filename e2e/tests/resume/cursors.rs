//! Cursors: those that are none, those that are too old, and those of other people.

use std::time::Duration;

use taiwa::v1::{self as pb, converse_request::Frame};
use taiwa_e2e::{
    Client, Settings, World,
    call::{self, Conversation},
    told::Told,
};
use taiwa_server::session;
use tonic::{Code, Status};

use crate::{
    eventually, place,
    seen::{Seen, after, resumed_in},
    talk::{open, receipt, refusal},
    tenant::{self, by},
};

const SCENARIO: &str = r#"
[[reply]]
text = ["forty bytes of text, one after another. "]
repeat = 20
"#;

fn asked(session_id: &str, prompt: &str) -> pb::InvokeRequest {
    pb::InvokeRequest {
        session_id: session_id.to_owned(),
        ..call::prompt(prompt)
    }
}

/// Sessions that keep so few bytes that only the newest turns are whole.
fn forgetful() -> Settings {
    let mut sessions = session::Config::default();
    sessions.log.keep_bytes = 5_000;
    Settings {
        sessions,
        ..Settings::default()
    }
}

/// Runs turns in a session, and gives all their events.
async fn run(client: &mut Client, session_id: &str, turns: usize) -> Seen {
    let mut seen = Seen::default();
    for _ in 0..turns {
        let streamed = call::invoke_stream(client, asked(session_id, "hi")).await;
        streamed.end.unwrap();
        streamed
            .events
            .into_iter()
            .for_each(|event| seen.take(event));
    }
    seen
}

async fn refused(client: &mut Client, request: pb::ResumeStreamRequest) -> Told {
    let resumed = call::resume_stream(client, request).await;
    assert!(resumed.events.is_empty(), "{resumed:#?}");
    Told::of(&resumed.end.unwrap_err())
}

/// Tells how a conversation is refused that resumes.
async fn refused_live(world: &World, session_id: &str, cursor: i64) -> Told {
    let conversation = Conversation::open(&mut world.client().await).await;
    let setup = pb::SessionSetup {
        session_id: session_id.to_owned(),
        resume_after_sequence: Some(cursor),
        ..pb::SessionSetup::default()
    };
    conversation.send(Frame::Setup(setup)).await;
    let mut conversation = conversation;
    let rest = conversation.rest().await;
    assert!(rest.events.is_empty(), "{rest:#?}");
    Told::of(&rest.end.unwrap_err())
}

#[tokio::test]
async fn a_cursor_that_no_event_has_is_refused_and_named() {
    for world in place::each(SCENARIO, &Settings::default()).await {
        let mut client = world.client().await;
        let seen = run(&mut client, "s", 1).await;
        for cursor in [seen.cursor() + 1, i64::MAX, -1, i64::MIN] {
            let told = refused(&mut client, after("s", cursor)).await;
            assert_eq!(told.code, Code::InvalidArgument);
            assert_eq!(told.reason, pb::ErrorReason::InvalidRequest);
            assert_eq!(told.fields, ["after_sequence"], "{cursor}");
            let told = refused_live(&world, "s", cursor).await;
            assert_eq!(told.code, Code::InvalidArgument);
            assert_eq!(told.fields, ["setup.resume_after_sequence"], "{cursor}");
        }
        let told = refused(&mut client, after("", 0)).await;
        assert_eq!(told.fields, ["session_id"]);
        let told = refused_live(&world, "", 0).await;
        assert_eq!(told.fields, ["setup.session_id"]);
    }
}

#[tokio::test]
async fn a_cursor_older_than_what_is_kept_is_told_how_much_is_gone() {
    for world in place::each(SCENARIO, &forgetful()).await {
        let mut client = world.client().await;
        let seen = run(&mut client, "s", 4).await;
        check_gone(&mut client, &seen).await;
        // Alike on a live stream.
        let mut conversation = Conversation::open(&mut client).await;
        let setup = pb::SessionSetup {
            session_id: "s".to_owned(),
            resume_after_sequence: Some(0),
            ..pb::SessionSetup::default()
        };
        conversation.send(Frame::Setup(setup)).await;
        conversation.next().await.unwrap();
        let resumed = resumed_in(&conversation.next().await.unwrap().unwrap());
        let first = conversation.next().await.unwrap().unwrap();
        assert_eq!(first.sequence, resumed.missing_events + 1);
        seen.check(&[first]);
        drop(conversation);
    }
    let placed = place::in_file(SCENARIO, forgetful()).await;
    let seen = run(&mut placed.client().await, "s", 4).await;
    let placed = placed.restart().await;
    check_gone(&mut placed.client().await, &seen).await;
}

/// Checks that the oldest events of the session are gone, and the others are as they were.
async fn check_gone(client: &mut Client, seen: &Seen) {
    let mut gone = None;
    for cursor in [0, 1, 10] {
        let request = pb::ResumeStreamRequest {
            replay_only: true,
            ..after("s", cursor)
        };
        let mut left = call::resume_stream(client, request).await;
        left.end.unwrap();
        let resumed = resumed_in(&left.events.remove(0));
        assert_eq!(resumed.last_sequence, seen.cursor());
        assert_eq!(resumed.after_sequence, cursor);
        let oldest = cursor + resumed.missing_events;
        assert_eq!(*gone.get_or_insert(oldest), oldest);
        assert!((30..seen.cursor()).contains(&oldest), "{resumed:#?}");
        let expected = usize::try_from(seen.cursor() - oldest).unwrap();
        assert_eq!(left.events.len(), expected);
        assert_eq!(left.events[0].sequence, oldest + 1);
        seen.check(&left.events);
    }
}

#[tokio::test]
async fn a_turn_whose_events_are_gone_is_told_so_and_its_result_is_there() {
    for world in place::each(SCENARIO, &forgetful()).await {
        let mut client = world.client().await;
        let seen = run(&mut client, "s", 4).await;
        let turn_id = &seen.events()[0].turn_id;
        let of_turn = pb::ResumeStreamRequest {
            turn_id: turn_id.clone(),
            ..after("s", 0)
        };
        let told = refused(&mut client, of_turn.clone()).await;
        assert_eq!(told.code, Code::OutOfRange);
        assert_eq!(told.reason, pb::ErrorReason::ReplayExpired);
        assert_eq!(told.metadata["turn_id"], *turn_id);
        let request = pb::GetTurnRequest {
            session_id: "s".to_owned(),
            turn_id: turn_id.clone(),
        };
        let turn = client.get_turn(request).await.unwrap().into_inner();
        assert_eq!(turn.result.unwrap().status(), pb::TurnStatus::Completed);

        // Of the newest turn nothing is gone, whatever is of those before it.
        let newest = seen.events().last().unwrap().turn_id.clone();
        let of_turn = pb::ResumeStreamRequest {
            turn_id: newest,
            ..of_turn
        };
        let mut whole = call::resume_stream(&mut client, of_turn.clone()).await;
        whole.end.as_ref().unwrap();
        assert_eq!(resumed_in(&whole.events.remove(0)).missing_events, 0);
        seen.check(&whole.events);
        assert_eq!(whole.events.len(), seen.events().len() / 4);

        let unknown = pb::ResumeStreamRequest {
            turn_id: "turn_nobody_1".to_owned(),
            ..of_turn
        };
        let told = refused(&mut client, unknown).await;
        assert_eq!(told.code, Code::NotFound);
        assert_eq!(told.reason, pb::ErrorReason::TurnNotFound);
    }
}

#[tokio::test]
async fn a_turn_is_read_again_as_long_as_its_events_are_kept() {
    let scenario = "[[reply]]\ntext = \"Done.\"\n";
    for world in place::each(scenario, &Settings::default()).await {
        let mut client = world.client().await;
        // More than a session remembers by themselves.
        let seen = run(&mut client, "s", 40).await;
        let turn_id = seen.events()[0].turn_id.clone();
        let of_turn = pb::ResumeStreamRequest {
            turn_id: turn_id.clone(),
            ..after("s", 0)
        };
        let mut first = call::resume_stream(&mut client, of_turn).await;
        first.end.as_ref().unwrap();
        assert_eq!(resumed_in(&first.events.remove(0)).missing_events, 0);
        seen.check(&first.events);
        assert_eq!(first.result().turn_id, turn_id);
    }
}

#[tokio::test]
async fn events_go_when_the_replay_window_is_over() {
    let sessions = session::Config {
        replay_window: Duration::from_millis(60),
        ..session::Config::default()
    };
    let settings = Settings {
        sessions,
        ..Settings::default()
    };
    for world in place::each(SCENARIO, &settings).await {
        let mut client = world.client().await;
        let seen = run(&mut client, "s", 2).await;
        let request = pb::ResumeStreamRequest {
            replay_only: true,
            ..after("s", 0)
        };
        eventually(async || {
            let mut left = call::resume_stream(&mut client, request.clone()).await;
            left.end.as_ref().unwrap();
            let resumed = resumed_in(&left.events.remove(0));
            assert_eq!(resumed.last_sequence, seen.cursor());
            let kept = left.events.len();
            assert_eq!(
                resumed.missing_events + i64::try_from(kept).unwrap(),
                seen.cursor()
            );
            kept == 0
        })
        .await;
        // The numbers go on.
        let next = call::invoke_stream(&mut client, asked("s", "hi")).await;
        assert_eq!(next.events[0].sequence, seen.cursor() + 1);
    }
}

#[tokio::test]
async fn events_go_when_the_client_says_that_it_has_them() {
    for world in place::each(SCENARIO, &Settings::default()).await {
        let mut conversation = open(&world, "s").await;
        conversation.say("hi").await;
        conversation.turn().await;
        let ack = |sequence| Frame::Ack(pb::Ack { sequence });
        conversation.send_named("seven", ack(7)).await;
        let told = receipt(&mut conversation, "seven").await;
        assert_eq!(told.outcome(), pb::FrameOutcome::Applied);
        let mut client = world.client().await;
        let mut left = call::resume_stream(
            &mut client,
            pb::ResumeStreamRequest {
                replay_only: true,
                ..after("s", 2)
            },
        )
        .await;
        assert_eq!(resumed_in(&left.events.remove(0)).missing_events, 5);
        assert_eq!(left.events[0].sequence, 8);

        conversation.send_named("beyond", ack(1_000_000)).await;
        let told = refusal(&mut conversation, "beyond").await;
        assert_eq!(told.code, Code::InvalidArgument);
        conversation.send_named("negative", ack(-1)).await;
        let told = refusal(&mut conversation, "negative").await;
        assert_eq!(told.reason, pb::ErrorReason::InvalidRequest);
        conversation.finish().await.end.unwrap();
    }
}

#[tokio::test]
async fn a_session_of_another_tenant_is_as_one_that_never_was() {
    for world in place::each(SCENARIO, &tenant::told_apart()).await {
        let mut client = world.client().await;
        let request = by("acme", asked("theirs", "hi"));
        let answer = client.invoke(request).await.unwrap().into_inner();
        let turn_id = answer.result.unwrap().turn_id;
        let theirs = every_refusal(&world, "theirs", &turn_id).await;
        let nobodys = every_refusal(&world, "nobodys", "turn_nobody_1").await;
        assert_eq!(theirs, nobodys);
        for told in theirs {
            assert_eq!(told.code, Code::NotFound, "{told:?}");
            assert_eq!(told.reason, pb::ErrorReason::SessionNotFound);
        }
    }
}

/// What `other` is told of a session, without its name.
async fn every_refusal(world: &World, session_id: &str, turn_id: &str) -> Vec<Told> {
    let mut client = world.client().await;
    let mut sessions = world.sessions().await;
    let (session_id, turn_id) = (session_id.to_owned(), turn_id.to_owned());
    let mut refusals: Vec<Status> = Vec::new();
    for turn_id in ["", &turn_id] {
        let request = pb::ResumeStreamRequest {
            turn_id: turn_id.to_owned(),
            ..after(&session_id, 0)
        };
        let resumed = client.resume_stream(by("other", request)).await;
        refusals.push(resumed.unwrap_err());
        let request = pb::GetTurnRequest {
            session_id: session_id.clone(),
            turn_id: turn_id.to_owned(),
        };
        refusals.push(client.get_turn(by("other", request)).await.unwrap_err());
        let request = pb::CancelTurnRequest {
            session_id: session_id.clone(),
            turn_id: turn_id.to_owned(),
            ..pb::CancelTurnRequest::default()
        };
        refusals.push(client.cancel_turn(by("other", request)).await.unwrap_err());
    }
    let request = pb::GetSessionRequest {
        session_id: session_id.clone(),
    };
    refusals.push(
        sessions
            .get_session(by("other", request))
            .await
            .unwrap_err(),
    );
    let request = pb::ListMessagesRequest {
        session_id: session_id.clone(),
        ..pb::ListMessagesRequest::default()
    };
    refusals.push(
        sessions
            .list_messages(by("other", request))
            .await
            .unwrap_err(),
    );
    let request = pb::CountTokensRequest {
        session_id: session_id.clone(),
        prompt: "hi".to_owned(),
        ..pb::CountTokensRequest::default()
    };
    refusals.push(client.count_tokens(by("other", request)).await.unwrap_err());
    let setup = pb::SessionSetup {
        session_id: session_id.clone(),
        resume_after_sequence: Some(0),
        ..pb::SessionSetup::default()
    };
    let setup = pb::ConverseRequest {
        frame: Some(Frame::Setup(setup)),
        ..pb::ConverseRequest::default()
    };
    let frames = by("other", tokio_stream::iter([setup]));
    let mut stream = client.converse(frames).await.unwrap().into_inner();
    refusals.push(stream.message().await.unwrap_err());
    let nameless = refusals.iter().map(|status| {
        let told = Told::of(status);
        assert!(!told.message.contains(&session_id), "{told:?}");
        told.without_ids()
    });
    nameless.collect()
}
