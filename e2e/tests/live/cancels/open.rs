//! A call under way, of any of the three kinds.

use taiwa::v1::{self as pb, event::Payload};
use taiwa_e2e::{Client, call::Conversation};
use tokio::task::JoinHandle;
use tonic::Streaming;

/// The call that runs the turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    Invoke,
    InvokeStream,
    Converse,
}

/// A call under way; dropped, it is cancelled.
pub(crate) enum Open {
    Invoke(#[expect(dead_code, reason = "held to be dropped")] Aborting),
    InvokeStream(Box<OpenStream>),
    Converse(Box<Conversation>),
}

/// A task that is aborted when it is dropped.
pub(crate) struct Aborting(JoinHandle<()>);

impl Drop for Aborting {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The headers of a stream come with its first event, so the wait for them is a task.
pub(crate) struct OpenStream {
    opening: Option<JoinHandle<Streaming<pb::Event>>>,
    events: Option<Streaming<pb::Event>>,
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        if let Some(opening) = &self.opening {
            opening.abort();
        }
    }
}

impl Open {
    /// Starts a turn in a session.
    pub(crate) async fn start(
        mut client: Client,
        how: How,
        session_id: &str,
        prompt: &str,
    ) -> Self {
        let request = pb::InvokeRequest {
            prompt: prompt.to_owned(),
            session_id: session_id.to_owned(),
            ..pb::InvokeRequest::default()
        };
        match how {
            How::Invoke => Self::Invoke(Aborting(tokio::spawn(async move {
                // How it ends is read by GetTurn.
                let _ = client.invoke(request).await;
            }))),
            How::InvokeStream => Self::InvokeStream(Box::new(OpenStream {
                opening: Some(tokio::spawn(async move {
                    client.invoke_stream(request).await.unwrap().into_inner()
                })),
                events: None,
            })),
            How::Converse => {
                let conversation = Conversation::open(&mut client).await;
                let stream = pb::StreamOptions {
                    on_disconnect: pb::DisconnectPolicy::Cancel.into(),
                    ..pb::StreamOptions::default()
                };
                let setup = pb::SessionSetup {
                    session_id: session_id.to_owned(),
                    stream: Some(stream),
                    ..pb::SessionSetup::default()
                };
                let frame = pb::converse_request::Frame::Setup(setup);
                conversation.send(frame).await;
                conversation.say(prompt).await;
                Self::Converse(Box::new(conversation))
            }
        }
    }

    /// Reads up to the first piece of text, where the call shows it.
    pub(crate) async fn hear_text(&mut self) {
        let is_text = |event: &pb::Event| matches!(event.payload, Some(Payload::TextDelta(_)));
        match self {
            Self::Invoke(_) => {}
            Self::InvokeStream(stream) => {
                let opening = stream.opening.take().unwrap();
                let mut events = opening.await.unwrap();
                while !is_text(&events.message().await.unwrap().unwrap()) {}
                stream.events = Some(events);
            }
            Self::Converse(conversation) => {
                conversation.until(is_text).await;
            }
        }
    }
}
