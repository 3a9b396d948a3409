//! SessionService.

use std::sync::{Arc, Mutex};

use taiwa_client::{Error, pb};
use tonic::Status;

use crate::{
    fake::Fake,
    script::{message, session},
};

#[tokio::test]
async fn a_session_is_made_under_a_name_that_lets_it_be_repeated() {
    let asked: Arc<Mutex<Vec<pb::CreateSessionRequest>>> = Arc::default();
    let log = asked.clone();
    let server = Fake::default()
        .create_session(move |request| {
            let mut asked = log.lock().unwrap();
            asked.push(request);
            if asked.len() == 1 {
                return Err(Status::unavailable("a moment"));
            }
            Ok(pb::CreateSessionResponse {
                session: Some(session("s1")),
            })
        })
        .start()
        .await;
    let request = pb::CreateSessionRequest {
        session_id: "s1".to_owned(),
        ..Default::default()
    };

    let made = server
        .client()
        .await
        .create_session(request.clone())
        .await
        .unwrap();

    assert_eq!(made, session("s1"));
    let asked = asked.lock().unwrap();
    let named = pb::CreateSessionRequest {
        request_id: asked[0].request_id.clone(),
        ..request
    };
    assert_eq!(asked[..], [named.clone(), named]);
    assert_eq!(asked[0].request_id.len(), 36);
}

#[tokio::test]
async fn sessions_and_messages_are_listed_over_all_pages() {
    let server = Fake::default()
        .list_sessions(|request| {
            assert_eq!(request.agent_id, "assistant");
            let (id, next_page_token) = match request.page_token.as_str() {
                "" => ("s1", "2".to_owned()),
                _ => ("s2", String::new()),
            };
            Ok(pb::ListSessionsResponse {
                sessions: vec![session(id)],
                next_page_token,
            })
        })
        .list_messages(|request| {
            assert_eq!(request.session_id, "s1");
            let (text, next_page_token) = match request.page_token.as_str() {
                "" => ("one", "2".to_owned()),
                _ => ("two", String::new()),
            };
            Ok(pb::ListMessagesResponse {
                messages: vec![message(pb::Role::User, text)],
                next_page_token,
            })
        })
        .start()
        .await;
    let client = server.client().await;

    let request = pb::ListSessionsRequest {
        agent_id: "assistant".to_owned(),
        ..Default::default()
    };
    let sessions = client.sessions(request).await.unwrap();
    let messages = client.messages("s1").await.unwrap();

    assert_eq!(sessions, [session("s1"), session("s2")]);
    let expected = ["one", "two"].map(|text| message(pb::Role::User, text));
    assert_eq!(messages, expected);
}

#[tokio::test]
async fn a_page_that_leads_to_itself_breaks_the_contract() {
    let server = Fake::default()
        .list_messages(|_| {
            Ok(pb::ListMessagesResponse {
                next_page_token: "again".to_owned(),
                ..Default::default()
            })
        })
        .start()
        .await;

    let error = server.client().await.messages("s1").await.unwrap_err();

    assert!(matches!(error, Error::Contract(_)), "{error:?}");
}

#[tokio::test]
async fn a_session_is_read_and_deleted_by_its_id() {
    let server = Fake::default()
        .get_session(|request| {
            Ok(pb::GetSessionResponse {
                session: Some(session(&request.session_id)),
            })
        })
        .delete_session(|request| match request.session_id.as_str() {
            "s1" => Ok(pb::DeleteSessionResponse {}),
            other => Err(Status::invalid_argument(other)),
        })
        .start()
        .await;
    let client = server.client().await;

    assert_eq!(client.session("s1").await.unwrap(), session("s1"));
    client.delete_session("s1").await.unwrap();
    let error = client.delete_session("s2").await.unwrap_err();
    assert_eq!(error.to_string(), "s2");
}
