//! The calls that run turns and read them again, each to its end, with a limit on every wait.

use std::time::Duration;

use taiwa::v1::{self as pb, converse_request::Frame, event::Payload};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::Client;

/// Longest wait of a test for what must come.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A request with nothing but a prompt.
pub fn prompt(text: &str) -> pb::InvokeRequest {
    pb::InvokeRequest {
        prompt: text.to_owned(),
        ..pb::InvokeRequest::default()
    }
}

/// A tool for the client to run, which takes any object.
pub fn client_tool(name: &str) -> pb::ToolSpec {
    pb::ToolSpec {
        name: name.to_owned(),
        description: "A tool of a test.".to_owned(),
        input: Some(pb::tool_spec::Input::InputSchemaJson(
            r#"{"type":"object"}"#.to_owned(),
        )),
        ..pb::ToolSpec::default()
    }
}

/// A stream of events that was read to its end.
#[derive(Debug)]
pub struct Streamed {
    /// What came, in order.
    pub events: Vec<pb::Event>,
    /// How the call ended.
    pub end: Result<(), Status>,
}

impl Streamed {
    /// The result in `turn_ended`, which must be the last event and the only one of its kind.
    ///
    /// # Panics
    ///
    /// When it is not.
    pub fn result(&self) -> &pb::TurnResult {
        let ends = self.events.iter().filter(|event| is_end(event)).count();
        assert_eq!(ends, 1, "turn_ended comes once: {self:#?}");
        match self.events.last().and_then(|event| event.payload.as_ref()) {
            Some(Payload::TurnEnded(result)) => result,
            _ => panic!("turn_ended comes last: {self:#?}"),
        }
    }
}

/// Runs a turn by `Invoke`.
///
/// # Errors
///
/// The status that the call failed with.
///
/// # Panics
///
/// When the call does not end in time.
pub async fn invoke(
    client: &mut Client,
    request: pb::InvokeRequest,
) -> Result<pb::InvokeResponse, Status> {
    let answer = timeout(PATIENCE, client.invoke(request)).await;
    answer
        .expect("Invoke ends in time")
        .map(tonic::Response::into_inner)
}

/// Runs a turn by `InvokeStream`.
///
/// # Panics
///
/// When the call does not end in time.
pub async fn invoke_stream(client: &mut Client, request: pb::InvokeRequest) -> Streamed {
    match timeout(PATIENCE, client.invoke_stream(request)).await {
        Ok(Ok(response)) => rest_of(&mut response.into_inner()).await,
        Ok(Err(status)) => Streamed {
            events: Vec::new(),
            end: Err(status),
        },
        Err(_) => panic!("InvokeStream answers in time"),
    }
}

/// Reads events again by `ResumeStream`, until the call ends.
///
/// # Panics
///
/// When the call does not end in time.
pub async fn resume_stream(client: &mut Client, request: pb::ResumeStreamRequest) -> Streamed {
    match timeout(PATIENCE, client.resume_stream(request)).await {
        Ok(Ok(response)) => rest_of(&mut response.into_inner()).await,
        Ok(Err(status)) => Streamed {
            events: Vec::new(),
            end: Err(status),
        },
        Err(_) => panic!("ResumeStream answers in time"),
    }
}

/// Reads what comes until the call ends.
///
/// # Panics
///
/// When nothing comes in time.
pub async fn rest_of(stream: &mut Streaming<pb::Event>) -> Streamed {
    let mut events = Vec::new();
    let end = loop {
        match next_of(stream).await {
            Ok(Some(event)) => events.push(event),
            Ok(None) => break Ok(()),
            Err(status) => break Err(status),
        }
    };
    Streamed { events, end }
}

/// Reads the next event; `None` at the end.
///
/// # Errors
///
/// The status that the call ended with.
///
/// # Panics
///
/// When nothing comes in time.
pub async fn next_of(stream: &mut Streaming<pb::Event>) -> Result<Option<pb::Event>, Status> {
    let next = timeout(PATIENCE, stream.message()).await;
    next.expect("an event or the end comes in time")
}

/// True for `turn_ended`.
pub fn is_end(event: &pb::Event) -> bool {
    matches!(event.payload, Some(Payload::TurnEnded(_)))
}

/// A `Converse` call.
#[derive(Debug)]
pub struct Conversation {
    frames: Option<mpsc::Sender<pb::ConverseRequest>>,
    events: Streaming<pb::Event>,
}

impl Conversation {
    /// Opens the call; no frame is sent.
    ///
    /// # Panics
    ///
    /// When the call cannot be opened.
    pub async fn open(client: &mut Client) -> Self {
        Self::try_open(client).await.expect("Converse opens")
    }

    /// As [`Conversation::open`], over a connection that may be cut.
    ///
    /// # Errors
    ///
    /// When the call cannot be opened.
    ///
    /// # Panics
    ///
    /// When the call is not answered in time.
    pub async fn try_open(client: &mut Client) -> Result<Self, Status> {
        let (frames, queue) = mpsc::channel(64);
        let opened = timeout(PATIENCE, client.converse(ReceiverStream::new(queue))).await;
        let response = opened.expect("Converse answers in time")?;
        Ok(Self {
            frames: Some(frames),
            events: response.into_inner(),
        })
    }

    /// Sends a frame without a name.
    ///
    /// # Panics
    ///
    /// After half-close, and when the call has ended.
    pub async fn send(&self, frame: Frame) {
        self.send_named("", frame).await;
    }

    /// Sends a frame with a name.
    ///
    /// # Panics
    ///
    /// After half-close, and when the call has ended.
    pub async fn send_named(&self, frame_id: &str, frame: Frame) {
        self.send_request(pb::ConverseRequest {
            frame_id: frame_id.to_owned(),
            frame: Some(frame),
        })
        .await;
    }

    /// Sends any request.
    ///
    /// # Panics
    ///
    /// After half-close, and when the call has ended.
    pub async fn send_request(&self, request: pb::ConverseRequest) {
        let frames = self.frames.as_ref().expect("not half-closed");
        frames.send(request).await.expect("the call is open");
    }

    /// Sends any request where the call may have ended.
    ///
    /// # Panics
    ///
    /// After half-close, and when too many requests wait.
    pub fn offer(&self, request: pb::ConverseRequest) {
        let frames = self.frames.as_ref().expect("not half-closed");
        match frames.try_send(request) {
            // Who reads the call sees how it ended.
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
            Err(mpsc::error::TrySendError::Full(request)) => panic!("no room for {request:?}"),
        }
    }

    /// Sends a prompt.
    ///
    /// # Panics
    ///
    /// After half-close, and when the call has ended.
    pub async fn say(&self, text: &str) {
        self.send(Frame::Prompt(text.to_owned())).await;
    }

    /// Sends no more frames.
    pub fn half_close(&mut self) {
        self.frames = None;
    }

    /// Reads the next event; `None` at the end.
    ///
    /// # Errors
    ///
    /// The status that the call ended with.
    ///
    /// # Panics
    ///
    /// When nothing comes in time.
    pub async fn next(&mut self) -> Result<Option<pb::Event>, Status> {
        next_of(&mut self.events).await
    }

    /// Reads up to and with the first event that `is_last`.
    ///
    /// # Panics
    ///
    /// When the call ends before, or nothing comes in time.
    pub async fn until(&mut self, is_last: impl Fn(&pb::Event) -> bool) -> Vec<pb::Event> {
        let mut events = Vec::new();
        loop {
            match self.next().await {
                Ok(Some(event)) => {
                    let is_last = is_last(&event);
                    events.push(event);
                    if is_last {
                        return events;
                    }
                }
                other => panic!("{other:?} instead of the event, after {events:#?}"),
            }
        }
    }

    /// Reads up to and with the next `turn_ended`.
    ///
    /// # Panics
    ///
    /// When the call ends before, or nothing comes in time.
    pub async fn turn(&mut self) -> Streamed {
        Streamed {
            events: self.until(is_end).await,
            end: Ok(()),
        }
    }

    /// Half-closes, and reads what still comes.
    ///
    /// # Panics
    ///
    /// When nothing comes in time.
    pub async fn finish(mut self) -> Streamed {
        self.half_close();
        self.rest().await
    }

    /// Reads what comes until the call ends.
    ///
    /// # Panics
    ///
    /// When nothing comes in time.
    pub async fn rest(&mut self) -> Streamed {
        rest_of(&mut self.events).await
    }
}
