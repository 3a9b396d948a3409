//! Sessions that nobody uses for longer than they are kept.

use std::time::{Duration, SystemTime};

use taiwa::v1 as pb;
use taiwa_e2e::{Settings, World, call, told::Told};
use taiwa_server::store::Sweep;

use super::{asked, create, creation, find, listed, scenario, time};
use crate::{eventually, place, talk::open};

/// Long enough for a busy machine to use a session before it expires.
const USED_WITHIN: Duration = Duration::from_millis(800);

fn short_lived(session_id: &str, ttl: Duration) -> pb::CreateSessionRequest {
    pb::CreateSessionRequest {
        ttl: Some(ttl.try_into().unwrap()),
        ..creation(session_id)
    }
}

async fn is_gone(world: &World, session_id: &str) -> bool {
    match find(&mut world.sessions().await, session_id).await {
        Ok(_) => false,
        Err(status) => {
            let told = Told::of(&status);
            assert_eq!(told.reason, pb::ErrorReason::SessionNotFound);
            true
        }
    }
}

#[tokio::test]
async fn a_session_that_nobody_uses_expires_and_its_name_is_free() {
    for world in place::each(&scenario(), &Settings::default()).await {
        let mut sessions = world.sessions().await;
        let mut client = world.client().await;
        let ttl = USED_WITHIN;
        create(&mut sessions, short_lived("s", ttl)).await.unwrap();
        create(&mut sessions, creation("kept")).await.unwrap();
        let made = find(&mut sessions, "s").await.unwrap();
        call::invoke(&mut client, asked("s", "hi")).await.unwrap();
        let used = find(&mut sessions, "s").await.unwrap();
        assert!(time(used.expire_time) > time(made.expire_time));
        assert_eq!(time(used.expire_time), time(used.update_time) + ttl);
        let expires = time(used.expire_time);
        eventually(async || is_gone(&world, "s").await).await;
        assert!(SystemTime::now() >= expires);
        // Until it has left memory, whoever resumes it uses it.
        eventually(async || world.server.registry().len() == 1).await;
        assert_eq!(listed(&mut sessions).await, ["kept"]);
        for told in [
            Told::of(
                &call::resume_stream(&mut client, crate::seen::after("s", 0))
                    .await
                    .end
                    .unwrap_err(),
            ),
            Told::of(
                &sessions
                    .list_messages(pb::ListMessagesRequest {
                        session_id: "s".to_owned(),
                        ..pb::ListMessagesRequest::default()
                    })
                    .await
                    .unwrap_err(),
            ),
        ] {
            assert_eq!(told.reason, pb::ErrorReason::SessionNotFound);
        }
        // Another of the name knows nothing of it.
        let streamed = call::invoke_stream(&mut client, asked("s", "ho")).await;
        assert_eq!(streamed.events[0].sequence, 1);
        let last = world.simulator.journal().entries().pop().unwrap();
        assert_eq!(last.request["messages"].as_array().unwrap().len(), 1);
        let kept_long = find(&mut sessions, "s").await.unwrap();
        assert!(time(kept_long.expire_time) > SystemTime::now() + Duration::from_secs(3_600));
    }
}

#[tokio::test]
async fn a_session_with_work_does_not_expire() {
    for world in place::each(&scenario(), &Settings::default()).await {
        let mut sessions = world.sessions().await;
        let mut client = world.client().await;
        let ttl = USED_WITHIN;
        create(&mut sessions, short_lived("paused", ttl))
            .await
            .unwrap();
        create(&mut sessions, short_lived("idle", ttl))
            .await
            .unwrap();
        let paused = call::invoke(&mut client, asked("paused", "weather")).await;
        let paused = paused.unwrap().result.unwrap();
        eventually(async || is_gone(&world, "idle").await).await;
        let found = find(&mut sessions, "paused").await.unwrap();
        assert_eq!(found.active_turn_id, paused.turn_id);
        let cancel = pb::CancelTurnRequest {
            session_id: "paused".to_owned(),
            ..pb::CancelTurnRequest::default()
        };
        client.cancel_turn(cancel).await.unwrap();
        eventually(async || is_gone(&world, "paused").await).await;
    }
}

#[tokio::test]
async fn a_session_whose_stream_is_open_is_in_use() {
    for world in place::each(&scenario(), &Settings::default()).await {
        let mut sessions = world.sessions().await;
        let ttl = USED_WITHIN;
        create(&mut sessions, short_lived("open", ttl))
            .await
            .unwrap();
        let mut conversation = open(&world, "open").await;
        create(&mut sessions, short_lived("idle", ttl))
            .await
            .unwrap();
        eventually(async || is_gone(&world, "idle").await).await;
        conversation.say("hi").await;
        let turn = conversation.turn().await;
        assert_eq!(turn.result().status(), pb::TurnStatus::Completed);
        conversation.finish().await.end.unwrap();
        eventually(async || is_gone(&world, "open").await).await;
    }
}

#[tokio::test]
async fn a_sweep_deletes_what_has_expired() {
    let settings = Settings {
        max_kept_sessions: 3,
        ..Settings::default()
    };
    for world in place::each(&scenario(), &settings).await {
        let mut sessions = world.sessions().await;
        let ttl = Duration::from_millis(30);
        for name in ["one", "two"] {
            create(&mut sessions, short_lived(name, ttl)).await.unwrap();
        }
        create(&mut sessions, creation("kept")).await.unwrap();
        eventually(async || is_gone(&world, "two").await).await;
        eventually(async || is_gone(&world, "one").await).await;
        let sweep = Sweep {
            now: SystemTime::now(),
            replay_window: Duration::from_secs(600),
        };
        let swept = world.server.registry().store().sweep(sweep).await.unwrap();
        let mut names: Vec<_> = swept.sessions.iter().map(|key| &*key.session_id).collect();
        names.sort_unstable();
        assert_eq!(names, ["one", "two"]);
        assert_eq!(listed(&mut sessions).await, ["kept"]);
        create(&mut sessions, creation("more")).await.unwrap();
    }
}
