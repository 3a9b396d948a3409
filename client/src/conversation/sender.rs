//! The sending half of a conversation.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use uuid::Uuid;

use crate::{
    Error,
    pb::{self, converse_request::Frame},
};

use super::{frames::Frames, outbox::Outbox};

/// The sending half of a conversation.
///
/// Every frame is named, so that the server tells what became of it:
/// [`Payload::FrameAccepted`](crate::Payload::FrameAccepted) or
/// [`Payload::FrameRejected`](crate::Payload::FrameRejected) with the name that
/// the methods give. Dropping the half closes it as [`finish`](Self::finish) does.
///
/// A frame is kept until then, and sent again by the same name when the connection is lost, so
/// that it acts once. At most 256 frames or 16 MiB wait for their receipts; a sender then waits
/// too, until the receiving half has read some.
///
/// # Cancel safety
///
/// A frame whose future is dropped before it is done was not sent.
#[derive(Debug)]
pub struct Sender {
    outbox: Arc<Outbox>,
    names: Names,
}

/// Names for frames, none twice in a session.
#[derive(Debug)]
struct Names {
    prefix: String,
    next: AtomicU64,
}

impl Sender {
    pub(super) fn new(outbox: Arc<Outbox>) -> Self {
        let names = Names {
            prefix: Uuid::new_v4().simple().to_string(),
            next: AtomicU64::new(1),
        };
        Self { outbox, names }
    }

    /// Sends plain text; starts a turn, or does what the input policy says
    /// while one runs. Gives the name of the frame.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] when the conversation has ended, [`Error::InputTakenOver`] when another
    /// took its input over.
    pub async fn send_prompt(&self, prompt: impl Into<String>) -> Result<String, Error> {
        self.send(Frame::Prompt(prompt.into())).await
    }

    /// Sends a message of any content.
    ///
    /// # Errors
    ///
    /// As [`send_prompt`](Self::send_prompt).
    pub async fn send_input(&self, input: pb::UserInput) -> Result<String, Error> {
        self.send(Frame::Input(input)).await
    }

    /// Answers a client tool call.
    ///
    /// # Errors
    ///
    /// As [`send_prompt`](Self::send_prompt).
    pub async fn send_tool_result(&self, result: pb::ToolResult) -> Result<String, Error> {
        self.send(Frame::ToolResult(result)).await
    }

    /// Answers an approval request, with a [`Decision`](crate::Decision) or the message itself.
    ///
    /// It is sent again after a lost connection, and acts once. One that comes too late, since
    /// the request has run out of time or another answered it, is refused by
    /// [`Payload::FrameRejected`](crate::Payload::FrameRejected) with `CALL_NOT_PENDING`, or received as `TOO_LATE`.
    ///
    /// # Errors
    ///
    /// As [`send_prompt`](Self::send_prompt).
    pub async fn decide(&self, decision: impl Into<pb::ApprovalDecision>) -> Result<String, Error> {
        self.send(Frame::ApprovalDecision(decision.into())).await
    }

    /// Stops the running answer; history keeps what was sent of it.
    ///
    /// # Errors
    ///
    /// As [`send_prompt`](Self::send_prompt).
    pub async fn interrupt(&self) -> Result<String, Error> {
        self.send(Frame::Interrupt(pb::Interrupt::default())).await
    }

    /// Changes settings for the turns that start after it.
    ///
    /// # Errors
    ///
    /// As [`send_prompt`](Self::send_prompt).
    pub async fn update(&self, update: pb::SessionUpdate) -> Result<String, Error> {
        self.send(Frame::Update(update)).await
    }

    /// Says that no more input follows; running and queued turns finish, and
    /// then the receiving half ends.
    pub fn finish(self) {
        drop(self);
    }

    /// Sends a frame as it is, by its own name if it has one.
    ///
    /// A name must be unique in the session; the server takes a second frame of the same name for
    /// the first. An ack has neither name nor receipt, and does not wait.
    ///
    /// # Errors
    ///
    /// As [`send_prompt`](Self::send_prompt).
    pub async fn send_frame(&self, mut frame: pb::ConverseRequest) -> Result<String, Error> {
        if let Some(Frame::Ack(ack)) = frame.frame {
            self.ack(ack.sequence);
            return Ok(String::new());
        }
        if frame.frame_id.is_empty() {
            frame.frame_id = self.names.next();
        }
        let frame_id = frame.frame_id.clone();
        self.outbox.push(frame).await?;
        Ok(frame_id)
    }

    /// Tells the server that events up to this one have been handled, so that it may forget them;
    /// for those who do not have [`Setup::acks`](crate::Setup::acks) tell it.
    pub fn ack(&self, sequence: i64) {
        self.outbox.with(|frames| frames.acknowledge(sequence));
    }

    async fn send(&self, content: Frame) -> Result<String, Error> {
        let frame = pb::ConverseRequest {
            frame_id: String::new(),
            frame: Some(content),
        };
        self.send_frame(frame).await
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.outbox.with(Frames::close);
    }
}

impl Names {
    fn next(&self) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        format!("{}-{number}", self.prefix)
    }
}
