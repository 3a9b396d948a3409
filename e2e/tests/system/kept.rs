//! Failures that come of what is kept: sessions, their events, and the store.

use std::fs;

use taiwa::v1::{
    self as pb, ErrorReason, converse_request::Frame, event::Payload,
    session_service_client::SessionServiceClient,
};
use taiwa_e2e::{
    Settings, World,
    call::{self, Conversation, prompt},
    told::Told,
};
use taiwa_server::{grpc::tenant::TenantSource, session, store};
use tonic::{Code, Status};

fn in_session(session_id: &str, text: &str) -> pb::InvokeRequest {
    pb::InvokeRequest {
        session_id: session_id.to_owned(),
        ..prompt(text)
    }
}

#[track_caller]
fn check(status: &Status, code: Code, reason: ErrorReason) -> Told {
    let told = Told::of(status);
    assert_eq!((told.code, told.reason), (code, reason), "{told:?}");
    told
}

#[tokio::test]
async fn a_session_of_that_id_is_not_created_again() {
    let world = World::persona().await;
    let mut sessions = SessionServiceClient::new(world.channel().await);
    let request = || pb::CreateSessionRequest {
        session_id: "s".to_owned(),
        ..pb::CreateSessionRequest::default()
    };
    sessions.create_session(request()).await.unwrap();
    let status = sessions.create_session(request()).await.unwrap_err();
    let told = check(&status, Code::AlreadyExists, ErrorReason::SessionExists);
    assert_eq!(told.metadata["session_id"], "s");
}

#[tokio::test]
async fn a_first_request_that_is_refused_leaves_no_session() {
    let world = World::persona().await;
    let mut client = world.client().await;
    let request = pb::InvokeRequest {
        tool_results: vec![pb::ToolResult {
            tool_call_id: "none".to_owned(),
            ..pb::ToolResult::default()
        }],
        ..in_session("s", "hi")
    };
    let refused = call::invoke(&mut client, request).await.unwrap_err();
    check(
        &refused,
        Code::FailedPrecondition,
        ErrorReason::CallNotPending,
    );
    let mut sessions = SessionServiceClient::new(world.channel().await);
    let listed = sessions
        .list_sessions(pb::ListSessionsRequest::default())
        .await;
    assert_eq!(listed.unwrap().into_inner().sessions, []);
    call::invoke(&mut client, in_session("s", "hi"))
        .await
        .unwrap();
    let listed = sessions
        .list_sessions(pb::ListSessionsRequest::default())
        .await;
    assert_eq!(listed.unwrap().into_inner().sessions.len(), 1);
}

#[tokio::test]
async fn a_session_that_is_deleted_ends_its_streams_and_is_no_more() {
    let world = World::persona().await;
    let mut client = world.client().await;
    let mut conversation = Conversation::open(&mut client).await;
    let setup = pb::SessionSetup {
        session_id: "s".to_owned(),
        ..pb::SessionSetup::default()
    };
    conversation.send(Frame::Setup(setup)).await;
    conversation.next().await.unwrap().unwrap();
    let mut sessions = SessionServiceClient::new(world.channel().await);
    let request = || pb::DeleteSessionRequest {
        session_id: "s".to_owned(),
    };
    sessions.delete_session(request()).await.unwrap();
    let end = conversation.finish().await.end.unwrap_err();
    check(&end, Code::FailedPrecondition, ErrorReason::SessionEnded);
    sessions.delete_session(request()).await.unwrap();
    let request = pb::GetSessionRequest {
        session_id: "s".to_owned(),
    };
    let gone = sessions.get_session(request).await.unwrap_err();
    check(&gone, Code::NotFound, ErrorReason::SessionNotFound);
}

#[tokio::test]
async fn a_turn_whose_events_are_gone_is_told_so_and_its_result_stays() {
    let log = session::log::Config {
        keep_bytes: 0,
        ..session::log::Config::default()
    };
    let settings = Settings {
        sessions: session::Config {
            log,
            ..session::Config::default()
        },
        ..Settings::default()
    };
    let world = World::with("", settings).await;
    let mut client = world.client().await;
    let turn = call::invoke(&mut client, in_session("s", "hi")).await;
    let turn = turn.unwrap().result.unwrap();
    call::invoke(&mut client, in_session("s", "again"))
        .await
        .unwrap();
    let request = pb::ResumeStreamRequest {
        session_id: "s".to_owned(),
        turn_id: turn.turn_id.clone(),
        ..pb::ResumeStreamRequest::default()
    };
    let gone = client.resume_stream(request).await.unwrap_err();
    let told = check(&gone, Code::OutOfRange, ErrorReason::ReplayExpired);
    assert_eq!(told.metadata["turn_id"], turn.turn_id);
    let request = pb::GetTurnRequest {
        session_id: "s".to_owned(),
        turn_id: turn.turn_id.clone(),
    };
    let kept = client.get_turn(request).await.unwrap().into_inner().result;
    assert_eq!(kept, Some(turn));
}

#[tokio::test]
async fn a_store_that_fails_is_told_and_nothing_is_said_to_have_happened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.db");
    let settings = Settings {
        store: store::Place::Sqlite {
            path: path.clone(),
            durability: store::Durability::Normal,
        },
        ..Settings::default()
    };
    let world = World::with("", settings).await;
    // What a failing disk leaves of the file and of its log.
    for file in fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap().path();
        let len = fs::metadata(&file).unwrap().len();
        fs::write(&file, vec![0x5a; usize::try_from(len).unwrap()]).unwrap();
    }
    let mut client = world.client().await;
    let request = || in_session("s", "hi");
    let invoked = call::invoke(&mut client, request()).await.unwrap_err();
    let streamed = call::invoke_stream(&mut client, request()).await;
    assert_eq!(streamed.events, []);
    let mut sessions = SessionServiceClient::new(world.channel().await);
    let listed = sessions
        .list_sessions(pb::ListSessionsRequest::default())
        .await;
    for status in [invoked, streamed.end.unwrap_err(), listed.unwrap_err()] {
        let told = check(&status, Code::Unavailable, ErrorReason::StoreUnavailable);
        assert!(told.retry_delay.is_some());
    }
    assert!(world.simulator.journal().entries().is_empty());
}

#[tokio::test]
async fn a_stream_whose_input_was_taken_over_is_told_and_its_frames_are_refused() {
    let world = World::persona().await;
    let mut client = world.client().await;
    let setup = || {
        Frame::Setup(pb::SessionSetup {
            session_id: "s".to_owned(),
            ..pb::SessionSetup::default()
        })
    };
    let mut first = Conversation::open(&mut client).await;
    first.send(setup()).await;
    first.next().await.unwrap().unwrap();
    let mut second = Conversation::open(&mut client).await;
    second.send(setup()).await;
    second.next().await.unwrap().unwrap();
    let told = first.next().await.unwrap().unwrap();
    let Some(Payload::GoAway(go_away)) = told.payload else {
        panic!("{told:?}");
    };
    assert_eq!(go_away.reason(), pb::GoAwayReason::InputTakenOver);
    first.send(Frame::Prompt("hi".to_owned())).await;
    let told = first.next().await.unwrap().unwrap();
    assert_eq!(told.sequence, 0, "the refusal is this stream's alone");
    let Some(Payload::FrameRejected(rejected)) = told.payload else {
        panic!("{told:?}");
    };
    let error = Told::of_turn(&rejected.error.unwrap());
    assert_eq!(
        (error.code, error.reason),
        (Code::Aborted, ErrorReason::InputTakenOver)
    );
    // What the second asks for is seen by both.
    second.send(Frame::Prompt("hi".to_owned())).await;
    let seen = first.next().await.unwrap().unwrap();
    assert_eq!(second.next().await.unwrap().unwrap(), seen);
    second.finish().await.end.unwrap();
    first.finish().await.end.unwrap();
}

#[tokio::test]
async fn a_call_without_tenant_is_refused_where_tenants_are_told_apart() {
    let header = http::HeaderName::from_static("x-tenant");
    let settings = Settings {
        tenants: TenantSource::Header(header),
        ..Settings::default()
    };
    let world = World::with("", settings).await;
    let mut client = world.client().await;
    let refused = call::invoke(&mut client, prompt("hi")).await.unwrap_err();
    let told = check(&refused, Code::Unauthenticated, ErrorReason::TenantRequired);
    assert_eq!(told.metadata["metadata_key"], "x-tenant");

    let of = |tenant: &'static str, text| {
        let mut request = tonic::Request::new(in_session("s", text));
        request
            .metadata_mut()
            .insert("x-tenant", tenant.parse().unwrap());
        request
    };
    client.invoke(of("a", "hi")).await.unwrap();
    client.invoke(of("b", "hi")).await.unwrap();
    let last = world.simulator.journal().entries().pop().unwrap();
    let messages = last.request["messages"].as_array().unwrap().len();
    assert_eq!(messages, 1, "b's session is another than a's");
}
