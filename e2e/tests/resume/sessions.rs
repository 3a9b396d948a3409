//! Sessions as the session service makes, shows, lists and forgets them.

mod deletion;
mod expiry;
mod pages;

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use taiwa::v1::{self as pb, content_block::Block, converse_request::Frame};
use taiwa_e2e::{SessionClient, Settings, call, told::Told};
use tonic::{Code, Status};

use crate::{
    place,
    talk::open_with,
    tenant::{self, by},
    weather::{self, result_of},
};

const SCENARIO: &str = r#"
[[reply]]
when = { prompt_is = "silence" }
text = ["one ", "two ", "never said"]
fault.silence = { after_chunk = 2 }
"#;

fn scenario() -> String {
    format!("{SCENARIO}{}", weather::SCENARIO)
}

fn asked(session_id: &str, prompt: &str) -> pb::InvokeRequest {
    pb::InvokeRequest {
        session_id: session_id.to_owned(),
        options: Some(weather::options()),
        ..call::prompt(prompt)
    }
}

fn creation(session_id: &str) -> pb::CreateSessionRequest {
    pb::CreateSessionRequest {
        session_id: session_id.to_owned(),
        ..pb::CreateSessionRequest::default()
    }
}

async fn create(
    sessions: &mut SessionClient,
    request: pb::CreateSessionRequest,
) -> Result<pb::Session, Status> {
    let created = sessions.create_session(request).await?;
    Ok(created.into_inner().session.unwrap())
}

async fn find(sessions: &mut SessionClient, session_id: &str) -> Result<pb::Session, Status> {
    let request = pb::GetSessionRequest {
        session_id: session_id.to_owned(),
    };
    let found = sessions.get_session(request).await?;
    Ok(found.into_inner().session.unwrap())
}

async fn delete(sessions: &mut SessionClient, session_id: &str) {
    let request = pb::DeleteSessionRequest {
        session_id: session_id.to_owned(),
    };
    sessions.delete_session(request).await.unwrap();
}

/// Names of the sessions on the first page.
async fn listed(sessions: &mut SessionClient) -> Vec<String> {
    let request = pb::ListSessionsRequest::default();
    let page = sessions.list_sessions(request).await.unwrap().into_inner();
    page.sessions
        .into_iter()
        .map(|session| session.session_id)
        .collect()
}

fn time(timestamp: Option<prost_types::Timestamp>) -> SystemTime {
    timestamp.unwrap().try_into().unwrap()
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pairs = pairs.iter();
    pairs
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn message(role: pb::Role, text: &str) -> pb::Message {
    pb::Message {
        role: role.into(),
        content: vec![pb::ContentBlock {
            block: Some(Block::Text(text.to_owned())),
        }],
        ..pb::Message::default()
    }
}

#[tokio::test]
async fn a_session_is_made_as_it_was_asked_for_and_its_turns_go_on_from_there() {
    let settings = Settings {
        more_agents: vec![taiwa_e2e::agent("other")],
        ..Settings::default()
    };
    for world in place::each(&scenario(), &settings).await {
        let mut sessions = world.sessions().await;
        let before = SystemTime::now();
        let options = pb::TurnOptions {
            system: "Be brief.".to_owned(),
            max_tokens: Some(77),
            ..weather::options()
        };
        let request = pb::CreateSessionRequest {
            session_id: "made".to_owned(),
            agent_id: "other".to_owned(),
            options: Some(options.clone()),
            messages: vec![
                message(pb::Role::User, "I am Ada."),
                message(pb::Role::Assistant, "Hello, Ada."),
            ],
            labels: labels(&[("team", "a"), ("tier", "")]),
            ttl: Some(Duration::from_secs(3_600).try_into().unwrap()),
            request_id: String::new(),
        };
        let made = create(&mut sessions, request.clone()).await.unwrap();
        assert!((before..=SystemTime::now()).contains(&time(made.create_time)));
        assert!(time(made.update_time) >= time(made.create_time));
        let expires = time(made.expire_time).duration_since(time(made.update_time));
        assert_eq!(expires.unwrap(), Duration::from_secs(3_600));
        let expected = pb::Session {
            session_id: "made".to_owned(),
            agent_id: "other".to_owned(),
            state: pb::SessionState::Idle.into(),
            message_count: 2,
            labels: request.labels.clone(),
            options: Some(options),
            create_time: made.create_time,
            update_time: made.update_time,
            expire_time: made.expire_time,
            ..pb::Session::default()
        };
        assert_eq!(made, expected);
        assert_eq!(find(&mut sessions, "made").await.unwrap(), made);

        let refused = create(&mut sessions, request).await.unwrap_err();
        let told = Told::of(&refused);
        assert_eq!(told.code, Code::AlreadyExists);
        assert_eq!(told.reason, pb::ErrorReason::SessionExists);
        assert_eq!(told.metadata["session_id"], "made");

        let mut client = world.client().await;
        call::invoke(&mut client, asked("made", "hi"))
            .await
            .unwrap();
        let sent = world.simulator.journal().entries().pop().unwrap().request;
        assert_eq!(sent["system"][0]["text"], "Be brief.");
        assert_eq!(sent["inferenceConfig"]["maxTokens"], 77);
        let messages = sent["messages"].as_array().unwrap();
        assert_eq!(messages[0]["content"][0]["text"], "I am Ada.");
        assert_eq!(messages.len(), 3);
    }
}

#[tokio::test]
async fn what_no_session_can_be_is_refused_with_every_field_at_fault() {
    let world = place::in_memory(&scenario(), Settings::default()).await;
    let mut sessions = world.sessions().await;
    let request = pb::CreateSessionRequest {
        session_id: "no/name".to_owned(),
        messages: vec![message(pb::Role::Assistant, "first")],
        labels: labels(&[("", "nameless")]),
        ttl: Some(prost_types::Duration::default()),
        request_id: "r".repeat(129),
        ..pb::CreateSessionRequest::default()
    };
    let told = Told::of(&create(&mut sessions, request).await.unwrap_err());
    assert_eq!(told.code, Code::InvalidArgument);
    for field in [
        "session_id",
        "messages[0].role",
        "labels[\"\"]",
        "ttl",
        "request_id",
    ] {
        assert!(
            told.fields.iter().any(|it| it == field),
            "{field} of {:?}",
            told.fields
        );
    }
    let nobody = pb::CreateSessionRequest {
        agent_id: "nobody".to_owned(),
        ..creation("s")
    };
    let told = Told::of(&create(&mut sessions, nobody).await.unwrap_err());
    assert_eq!(told.reason, pb::ErrorReason::AgentNotFound);
    for session_id in ["", "no/name"] {
        let told = Told::of(&find(&mut sessions, session_id).await.unwrap_err());
        assert_eq!(told.fields, ["session_id"]);
        let request = pb::DeleteSessionRequest {
            session_id: session_id.to_owned(),
        };
        let told = Told::of(&sessions.delete_session(request).await.unwrap_err());
        assert_eq!(told.fields, ["session_id"]);
    }
    assert!(listed(&mut sessions).await.is_empty());
}

#[tokio::test]
async fn a_session_is_shown_as_it_stands() {
    for world in place::each(&scenario(), &Settings::default()).await {
        let mut sessions = world.sessions().await;
        let mut client = world.client().await;
        let first = call::invoke(&mut client, asked("s", "hi")).await.unwrap();
        let idle = find(&mut sessions, "s").await.unwrap();
        assert_eq!(idle.state(), pb::SessionState::Idle);
        assert_eq!(idle.active_turn_id, "");
        assert_eq!(idle.message_count, 2);
        assert!(idle.expire_time.is_some());
        let first = first.result.unwrap();
        let used = first.usage.unwrap();
        assert_eq!(idle.total_input_tokens, i64::from(used.input_tokens));
        assert_eq!(idle.total_output_tokens, i64::from(used.output_tokens));
        assert_eq!(idle.last_sequence, first.last_sequence);

        let paused = call::invoke(&mut client, asked("s", "weather"))
            .await
            .unwrap();
        let paused = paused.result.unwrap();
        let waiting = find(&mut sessions, "s").await.unwrap();
        assert_eq!(waiting.state(), pb::SessionState::Paused);
        assert_eq!(waiting.active_turn_id, paused.turn_id);
        assert_eq!(waiting.last_sequence, paused.last_sequence);
        assert_eq!(waiting.expire_time, None, "it has work");
        assert!(time(waiting.update_time) > time(idle.update_time));
        assert_eq!(waiting.create_time, idle.create_time);

        let results = paused.pending_tool_calls.iter().map(result_of).collect();
        let bring = pb::InvokeRequest {
            tool_results: results,
            ..asked("s", "")
        };
        let done = call::invoke(&mut client, bring).await.unwrap();
        let usage = done.result.unwrap().usage.unwrap();
        let idle = find(&mut sessions, "s").await.unwrap();
        assert_eq!(idle.state(), pb::SessionState::Idle);
        assert_eq!(idle.message_count, 6);
        let total = i64::from(used.input_tokens) + i64::from(usage.input_tokens);
        assert_eq!(idle.total_input_tokens, total);

        let stream = client.invoke_stream(asked("s", "silence")).await.unwrap();
        let running = find(&mut sessions, "s").await.unwrap();
        assert_eq!(running.state(), pb::SessionState::Running);
        let turn = crate::newest_turn(&mut client, "s").await.unwrap();
        assert_eq!(running.active_turn_id, turn.turn_id);
        let request = pb::ListSessionsRequest::default();
        let page = sessions.list_sessions(request).await.unwrap().into_inner();
        assert_eq!(page.sessions[0].state(), pb::SessionState::Running);
        assert_eq!(page.sessions[0].options, None);
        drop(stream);
        let cancelled = crate::turn_that_ended(&mut client, "s").await;
        assert!(cancelled.usage.unwrap().estimated);
        let after = find(&mut sessions, "s").await.unwrap();
        assert_eq!(after.state(), pb::SessionState::Idle);
        assert!(after.total_input_tokens > total);
    }
}

#[tokio::test]
async fn a_live_stream_changes_what_its_turns_start_from() {
    for world in place::each(&scenario(), &Settings::default()).await {
        let mut sessions = world.sessions().await;
        create(&mut sessions, creation("s")).await.unwrap();
        let options = pb::TurnOptions {
            max_tokens: Some(5),
            ..pb::TurnOptions::default()
        };
        let setup = pb::SessionSetup {
            session_id: "s".to_owned(),
            options: Some(options),
            ..pb::SessionSetup::default()
        };
        let mut conversation = open_with(&world, setup).await;
        let found = find(&mut sessions, "s").await.unwrap().options.unwrap();
        assert_eq!(found.max_tokens, Some(5));
        let update = Frame::Update(pb::SessionUpdate {
            options: Some(pb::TurnOptions {
                temperature: Some(0.5),
                ..pb::TurnOptions::default()
            }),
            ..pb::SessionUpdate::default()
        });
        conversation.send_named("u", update).await;
        crate::talk::receipt(&mut conversation, "u").await;
        let found = find(&mut sessions, "s").await.unwrap().options.unwrap();
        assert_eq!((found.max_tokens, found.temperature), (Some(5), Some(0.5)));
        conversation.finish().await.end.unwrap();
    }
}

#[tokio::test]
async fn a_tenant_keeps_so_many_sessions_and_no_more() {
    let settings = Settings {
        max_kept_sessions: 2,
        ..tenant::told_apart()
    };
    for world in place::each(&scenario(), &settings).await {
        let mut sessions = world.sessions().await;
        let mut client = world.client().await;
        let made = sessions.create_session(by("acme", creation("one"))).await;
        made.unwrap();
        client.invoke(by("acme", asked("two", "hi"))).await.unwrap();
        let created = sessions.create_session(by("acme", creation("three"))).await;
        let invoked = client.invoke(by("acme", asked("three", "hi"))).await;
        let streamed = client.invoke_stream(by("acme", asked("three", "hi"))).await;
        let streamed = match streamed {
            Ok(stream) => stream.into_inner().message().await.map(|_| ()),
            Err(status) => Err(status),
        };
        let setup = pb::ConverseRequest {
            frame: Some(Frame::Prompt("hi".to_owned())),
            ..pb::ConverseRequest::default()
        };
        let frames = by("acme", tokio_stream::iter([setup]));
        let mut stream = client.converse(frames).await.unwrap().into_inner();
        let talked = loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                Ok(None) => break Ok(()),
                Err(status) => break Err(status),
            }
        };
        let refusals = [created.map(|_| ()), invoked.map(|_| ()), streamed, talked];
        for refused in refusals {
            let told = Told::of(&refused.unwrap_err());
            assert_eq!(told.code, Code::ResourceExhausted, "{told:?}");
            assert_eq!(told.reason, pb::ErrorReason::ConcurrencyLimited);
        }
        assert_eq!(world.simulator.journal().entries().len(), 1);
        // Those that are there go on, other tenants have their own, and a deleted one makes room.
        client.invoke(by("acme", asked("one", "hi"))).await.unwrap();
        client
            .invoke(by("other", asked("one", "hi")))
            .await
            .unwrap();
        let request = pb::DeleteSessionRequest {
            session_id: "one".to_owned(),
        };
        sessions.delete_session(by("acme", request)).await.unwrap();
        client
            .invoke(by("acme", asked("three", "hi")))
            .await
            .unwrap();
    }
}
