//! What the server has of a session, read back by every call that reads.

use taiwa::v1::{self as pb, content_block::Block, event::Payload};
use tonic::Code;

use crate::{
    codec::{self, Told},
    record::Record,
    world::Link,
};

/// A session as the server tells it.
pub(crate) struct Kept {
    pub(crate) session: pb::Session,
    pub(crate) messages: Vec<pb::Message>,
}

/// Reads a session, and the whole of its log into the record; `None` when there is none.
pub(crate) async fn read(link: &Link, record: &mut Record) -> Option<Kept> {
    let session_id = record.session_id.clone();
    let request = pb::GetSessionRequest {
        session_id: session_id.clone(),
    };
    let session = match link.sessions().get_session(request).await {
        Ok(answer) => answer.into_inner().session.unwrap(),
        Err(status) => {
            assert_eq!(status.code(), Code::NotFound, "{status:?}");
            return None;
        }
    };
    for told in log(link, &session_id).await {
        record.see(told);
    }
    record.check_whole();
    assert_eq!(session.last_sequence, record.events.len() as i64);
    let mut messages = Vec::new();
    let mut request = pb::ListMessagesRequest {
        session_id: session_id.clone(),
        ..pb::ListMessagesRequest::default()
    };
    loop {
        let page = link.sessions().list_messages(request.clone()).await;
        let page = page.unwrap().into_inner();
        messages.extend(page.messages);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    Some(Kept { session, messages })
}

/// Reads the whole log of a session.
async fn log(link: &Link, session_id: &str) -> Vec<Told> {
    let request = pb::ResumeStreamRequest {
        session_id: session_id.to_owned(),
        replay_only: true,
        ..pb::ResumeStreamRequest::default()
    };
    let mut events = codec::resume_stream(link.channel.clone(), request)
        .await
        .unwrap();
    let mut log = Vec::new();
    while let Some(told) = events.message().await.unwrap() {
        if let Some(Payload::StreamResumed(resumed)) = &told.event.payload {
            assert_eq!(resumed.missing_events, 0, "{session_id}");
        }
        if told.event.sequence > 0 {
            log.push(told);
        }
    }
    log
}

/// Reads a turn.
pub(crate) async fn turn(link: &Link, session_id: &str, turn_id: &str) -> pb::TurnResult {
    let request = pb::GetTurnRequest {
        session_id: session_id.to_owned(),
        turn_id: turn_id.to_owned(),
    };
    let answer = link.agents().get_turn(request).await.unwrap();
    answer.into_inner().result.unwrap()
}

/// Counts the sessions that the server lists.
pub(crate) async fn count_sessions(link: &Link) -> usize {
    let mut request = pb::ListSessionsRequest {
        page_size: 200,
        ..pb::ListSessionsRequest::default()
    };
    let mut count = 0;
    loop {
        let page = link.sessions().list_sessions(request.clone()).await;
        let page = page.unwrap().into_inner();
        count += page.sessions.len();
        if page.next_page_token.is_empty() {
            return count;
        }
        request.page_token = page.next_page_token;
    }
}

/// The text of a message.
pub(crate) fn text(message: &pb::Message) -> String {
    let blocks = message.content.iter();
    let texts = blocks.filter_map(|block| match &block.block {
        Some(Block::Text(text)) => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}
