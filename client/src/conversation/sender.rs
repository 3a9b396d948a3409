//! The sending half of a conversation.

use tokio::sync::mpsc;
use uuid::Uuid;

use crate::{
    Error,
    pb::{self, converse_request::Frame},
};

/// The sending half of a conversation.
///
/// Every frame is named, so that the server tells what became of it:
/// [`Payload::FrameAccepted`](crate::Payload::FrameAccepted) or
/// [`Payload::FrameRejected`](crate::Payload::FrameRejected) with the name that
/// the methods give. Dropping the half closes it as [`finish`](Self::finish) does.
///
/// # Cancel safety
///
/// A frame whose future is dropped before it is done was not sent.
#[derive(Debug)]
pub struct Sender {
    tx: mpsc::Sender<pb::ConverseRequest>,
}

/// Names a frame and wraps it.
pub(super) fn frame(frame: Frame) -> pb::ConverseRequest {
    pb::ConverseRequest {
        frame_id: Uuid::new_v4().simple().to_string(),
        frame: Some(frame),
    }
}

impl Sender {
    /// Begins with the set-up, for which a fresh channel has room.
    pub(super) fn new(tx: mpsc::Sender<pb::ConverseRequest>, setup: pb::SessionSetup) -> Self {
        let first = pb::ConverseRequest {
            // The set-up is answered by session_ready.
            frame_id: String::new(),
            frame: Some(Frame::Setup(setup)),
        };
        let sent = tx.try_send(first);
        debug_assert!(sent.is_ok(), "a fresh channel has room");
        Self { tx }
    }

    /// Sends plain text; starts a turn, or does what the input policy says
    /// while one runs. Gives the name of the frame.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] when the call has ended.
    pub async fn send_prompt(&self, prompt: impl Into<String>) -> Result<String, Error> {
        self.send(Frame::Prompt(prompt.into())).await
    }

    /// Sends a message of any content.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] when the call has ended.
    pub async fn send_input(&self, input: pb::UserInput) -> Result<String, Error> {
        self.send(Frame::Input(input)).await
    }

    /// Answers a client tool call.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] when the call has ended.
    pub async fn tool_result(&self, result: pb::ToolResult) -> Result<String, Error> {
        self.send(Frame::ToolResult(result)).await
    }

    /// Stops the running answer; history keeps what was sent of it.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] when the call has ended.
    pub async fn interrupt(&self) -> Result<String, Error> {
        self.send(Frame::Interrupt(pb::Interrupt::default())).await
    }

    /// Changes settings for the turns that start after it.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] when the call has ended.
    pub async fn update(&self, update: pb::SessionUpdate) -> Result<String, Error> {
        self.send(Frame::Update(update)).await
    }

    /// Says that no more input follows; running and queued turns finish, and
    /// then the receiving half ends.
    pub fn finish(self) {
        drop(self);
    }

    pub(super) async fn reserve(&self) -> Option<mpsc::Permit<'_, pb::ConverseRequest>> {
        self.tx.reserve().await.ok()
    }

    /// Lets the receiving half know whether the sending half still stands.
    pub(super) fn watch(&self) -> mpsc::WeakSender<pb::ConverseRequest> {
        self.tx.downgrade()
    }

    async fn send(&self, content: Frame) -> Result<String, Error> {
        let frame = frame(content);
        let frame_id = frame.frame_id.clone();
        self.tx.send(frame).await.map_err(|_ended| Error::Closed)?;
        Ok(frame_id)
    }
}
