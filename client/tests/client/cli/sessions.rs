//! `taiwa sessions`.

use std::sync::{Arc, Mutex};

use taiwa_client::pb;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{taiwa, told};
use crate::{
    fake::{Fake, Running},
    script::{message, session},
};

#[tokio::test]
async fn sessions_are_listed_over_all_pages_by_agent_and_label() {
    let asked: Arc<Mutex<Vec<pb::ListSessionsRequest>>> = Arc::default();
    let log = asked.clone();
    let server = Fake::default()
        .list_sessions(move |request| {
            let first = request.page_token.is_empty();
            log.lock().unwrap().push(request);
            let (id, next) = if first {
                ("s1", "2")
            } else {
                ("yesterday", "")
            };
            Ok(pb::ListSessionsResponse {
                sessions: vec![kept(id)],
                next_page_token: next.to_owned(),
            })
        })
        .start()
        .await;

    let all = taiwa(&server, &["sessions"], "").await;
    let flags = "sessions list --agent a --label k=v --label x=y=z";
    let some = taiwa(&server, &flags.split(' ').collect::<Vec<_>>(), "").await;
    let json = taiwa(&server, &["sessions", "list", "--json"], "").await;

    let table = "\
s1         assistant  idle        2 messages  1970-01-01T00:02:00Z  k=v
yesterday  assistant  idle        2 messages  1970-01-01T00:02:00Z  k=v
";
    assert_eq!(told(&all), (Some(0), table, ""));
    assert_eq!(told(&some).0, Some(0));
    let asked = asked.lock().unwrap();
    assert_eq!(asked[0], pb::ListSessionsRequest::default());
    assert_eq!(asked[2].agent_id, "a");
    assert_eq!(asked[2].labels["k"], "v");
    assert_eq!(asked[2].labels["x"], "y=z");
    let lines = String::from_utf8(json.stdout).unwrap();
    let first: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(first["sessionId"], "s1");
}

#[tokio::test]
async fn a_session_is_described() {
    let server = keeping().await;

    let show = taiwa(&server, &["sessions", "show", "s1"], "").await;

    let description = "\
session  s1
agent    assistant
state    idle
made     1970-01-01T00:01:00Z
updated  1970-01-01T00:02:00Z
messages 2
tokens   7 in, 5 out
events   9
labels   k=v
";
    assert_eq!(told(&show), (Some(0), description, ""));
}

#[tokio::test]
async fn a_session_that_is_not_there_is_a_refusal_with_a_way_out() {
    let server = keeping().await;

    let show = taiwa(&server, &["sessions", "show", "nobody"], "").await;

    let said = "taiwa: there is no such session (SESSION_NOT_FOUND)\n  \
                `taiwa sessions` lists those that the server keeps\n";
    assert_eq!(told(&show), (Some(3), "", said));
}

#[tokio::test]
async fn sessions_are_deleted_one_by_one() {
    let server = Fake::default()
        .delete_session(|request| match request.session_id.as_str() {
            "s1" | "s2" => Ok(pb::DeleteSessionResponse {}),
            _ => Err(Status::internal("no")),
        })
        .start()
        .await;

    let done = taiwa(&server, &["sessions", "delete", "s1", "s2", "s3"], "").await;
    let nothing = taiwa(&server, &["sessions", "delete"], "").await;

    let said = "s1 is deleted, or never was there\n\
                s2 is deleted, or never was there\n\
                taiwa: no (Internal)\n";
    assert_eq!(told(&done), (Some(1), "", said));
    assert_eq!(told(&nothing).0, Some(2));
}

#[tokio::test]
async fn a_session_is_exported_as_json_that_can_be_read_again() {
    let server = keeping().await;

    let done = taiwa(&server, &["sessions", "export", "s1"], "").await;

    let (exit, stdout, stderr) = told(&done);
    assert_eq!((exit, stderr), (Some(0), ""));
    let whole: serde_json::Value = serde_json::from_str(stdout).unwrap();
    assert_eq!(whole["session"]["sessionId"], "s1");
    assert_eq!(whole["session"]["lastSequence"], "9");
    assert_eq!(whole["messages"][1]["role"], "ROLE_ASSISTANT");
    assert_eq!(whole["messages"][1]["content"][0]["text"], "Hello.");
    assert_eq!(stdout.lines().count(), 5, "a message a line");
}

#[tokio::test]
async fn a_session_is_exported_as_markdown_into_a_file() {
    let server = keeping().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s1.md");

    let flags = [
        "sessions",
        "export",
        "s1",
        "--format",
        "markdown",
        "--output",
        path.to_str().unwrap(),
    ];
    let done = taiwa(&server, &flags, "").await;

    assert_eq!(told(&done), (Some(0), "", ""));
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.starts_with("# Session s1\n"), "{text}");
    assert!(
        text.ends_with("## User\n\nhi\n\n## Assistant\n\nHello.\n"),
        "{text}"
    );
    let flags = ["sessions", "export", "s1", "--output", "/nowhere/s1.json"];
    assert_eq!(told(&taiwa(&server, &flags, "").await).0, Some(2));
}

/// Keeps one session of two messages, each on a page of its own.
async fn keeping() -> Running {
    Fake::default()
        .get_session(|request| {
            if request.session_id != "s1" {
                let details = ErrorDetails::with_error_info("SESSION_NOT_FOUND", "taiwa.v1", []);
                let text = "there is no such session";
                return Err(Status::with_error_details(Code::NotFound, text, details));
            }
            Ok(pb::GetSessionResponse {
                session: Some(kept("s1")),
            })
        })
        .list_messages(|request| {
            let (said, next) = if request.page_token.is_empty() {
                (message(pb::Role::User, "hi"), "2")
            } else {
                (message(pb::Role::Assistant, "Hello."), "")
            };
            Ok(pb::ListMessagesResponse {
                messages: vec![said],
                next_page_token: next.to_owned(),
            })
        })
        .start()
        .await
}

pub(super) fn kept(session_id: &str) -> pb::Session {
    let time = |seconds| Some(prost_types::Timestamp { seconds, nanos: 7 });
    pb::Session {
        create_time: time(60),
        update_time: time(120),
        last_sequence: 9,
        total_input_tokens: 7,
        total_output_tokens: 5,
        labels: [("k".to_owned(), "v".to_owned())].into(),
        ..session(session_id)
    }
}
