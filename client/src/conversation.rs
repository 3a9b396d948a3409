//! A live conversation: many turns over one call, in both directions at once.

use std::sync::Arc;

use crate::{
    Client, Error, Event, Tools,
    event::Payload,
    line::{Line, Seen},
    pb,
};

mod answers;
mod dial;
mod frames;
mod outbox;
mod receiver;
mod sender;
mod setup;

pub use receiver::Receiver;
pub use sender::Sender;
pub use setup::Setup;

use answers::Answers;
use dial::Dialer;
use outbox::Outbox;
use receiver::Acks;

/// A live conversation, as [`Client::converse`](crate::Client::converse) opens it.
///
/// Speaking and listening do not wait for each other: a prompt, a change of
/// settings or an interrupt may be sent while an answer streams. To do both
/// from two tasks, [`split`](Self::split) it. Dropping it ends the call.
///
/// When the connection is lost, or the server stops, the conversation goes on where it was over
/// another one, as [`Reconnect`](crate::Reconnect) says: events come without loss or repeat, and
/// frames whose receipt has not come are sent again. A second receipt of a frame is left out, as
/// is the refusal of one that is sent again.
///
/// The server lets one stream at a time give input to a session. When another takes it over, that
/// is told by [`Payload::GoAway`], sending fails with [`Error::InputTakenOver`], and the events
/// still come; the input is not taken back.
#[derive(Debug)]
#[must_use = "dropping it ends the call"]
pub struct Conversation {
    sender: Option<Sender>,
    receiver: Receiver,
    session: pb::SessionReady,
    answers: Answers,
}

impl Conversation {
    pub(crate) async fn open(client: Client, setup: Setup) -> Result<Self, Error> {
        let Setup {
            mut message,
            call,
            acks,
        } = setup;
        client.name(&mut message.request_id);
        let terms = call.terms(&client.endpoint, &client.reconnect);
        let seen = Seen {
            last_sequence: message.resume_after_sequence.unwrap_or(0),
            ..Seen::default()
        };
        let outbox = Arc::new(Outbox::new(client.reconnect.is_on()));
        let dialer = Dialer::new(client, message, call, terms.deadline, Arc::clone(&outbox));
        let line = Line::new(dialer, terms, seen);
        let mut receiver = Receiver::new(line, Arc::clone(&outbox), Acks::new(acks));
        let sender = Sender::new(outbox);
        let broken = Error::Contract("a conversation must begin with session_ready");
        let Some(event) = receiver.next().await? else {
            return Err(broken);
        };
        let Payload::SessionReady(session) = event.payload else {
            return Err(broken);
        };
        receiver.begin_acks();
        Ok(Self {
            sender: Some(sender),
            receiver,
            session,
            answers: Answers::default(),
        })
    }

    /// The session as it was opened: its id, agent, model and limits.
    #[must_use]
    pub fn session(&self) -> &pb::SessionReady {
        &self.session
    }

    /// Answers the model's calls of client tools with these while
    /// [`next`](Self::next) is awaited.
    ///
    /// The calls still appear among the events. Calls run side by side; those
    /// that the server cancels are stopped. The model knows the tools that
    /// [`Setup::tools`] or an update declared.
    pub fn answer_with(mut self, tools: Tools) -> Self {
        self.answers.begin(tools);
        self
    }

    /// Waits for the next event; none after the conversation ended well, which
    /// is after [`finish`](Self::finish) and the turns then still to run.
    ///
    /// A turn that fails is an event, [`Payload::TurnEnded`] with an error, and
    /// the conversation goes on.
    ///
    /// # Errors
    ///
    /// [`Error::Server`] when the server ends the conversation with an error;
    /// [`Error::Cut`] when the stream broke off, or ended although nobody
    /// had finished it, and could not be resumed; [`Error::DeadlineExceeded`] when the set-up's
    /// timeout passed. After these it gives none. [`Error::EventsLost`] when it was resumed too
    /// late to have all events; it goes on after that.
    ///
    /// # Cancel safety
    ///
    /// No event and no tool's result is lost when the future is dropped.
    pub async fn next(&mut self) -> Result<Option<Event>, Error> {
        loop {
            let result = self.answers.next_result().cloned();
            tokio::select! {
                event = self.receiver.next() => {
                    if let Ok(Some(event)) = &event {
                        self.answers.follow(event);
                    }
                    return event;
                }
                sent = answer(self.sender.as_ref(), result.as_ref()), if result.is_some() => {
                    if sent.is_err() {
                        // The receiving half says how the conversation ended.
                        self.answers.abandon();
                    } else {
                        self.answers.remove_result();
                    }
                }
                () = self.answers.collect(), if self.answers.is_running() => {}
            }
        }
    }

    /// Sends plain text; starts a turn, or does what the input policy says
    /// while one runs. Gives the name of the frame, which its receipt repeats.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] after [`finish`](Self::finish) or when the conversation has ended;
    /// [`Error::InputTakenOver`] when another took over its input.
    pub async fn send_prompt(&self, prompt: impl Into<String>) -> Result<String, Error> {
        self.sender()?.send_prompt(prompt).await
    }

    /// Sends a message of any content.
    ///
    /// # Errors
    ///
    /// As [`send_prompt`](Self::send_prompt).
    pub async fn send_input(&self, input: pb::UserInput) -> Result<String, Error> {
        self.sender()?.send_input(input).await
    }

    /// Answers a client tool call.
    ///
    /// # Errors
    ///
    /// As [`send_prompt`](Self::send_prompt).
    pub async fn send_tool_result(&self, result: pb::ToolResult) -> Result<String, Error> {
        self.sender()?.send_tool_result(result).await
    }

    /// Answers an approval request, with a [`Decision`](crate::Decision) or the message itself.
    ///
    /// It is sent again after a lost connection, and acts once. One that comes too late, since
    /// the request has run out of time or another answered it, is refused by
    /// [`Payload::FrameRejected`] with `CALL_NOT_PENDING`, or received as `TOO_LATE`.
    ///
    /// # Errors
    ///
    /// As [`send_prompt`](Self::send_prompt).
    pub async fn decide(&self, decision: impl Into<pb::ApprovalDecision>) -> Result<String, Error> {
        self.sender()?.decide(decision).await
    }

    /// Stops the running answer; history keeps what was sent of it.
    ///
    /// # Errors
    ///
    /// As [`send_prompt`](Self::send_prompt).
    pub async fn interrupt(&self) -> Result<String, Error> {
        self.sender()?.interrupt().await
    }

    /// Changes settings for the turns that start after it.
    ///
    /// # Errors
    ///
    /// As [`send_prompt`](Self::send_prompt).
    pub async fn update(&self, update: pb::SessionUpdate) -> Result<String, Error> {
        self.sender()?.update(update).await
    }

    /// Sends a frame as it is, as [`Sender::send_frame`] does.
    ///
    /// # Errors
    ///
    /// As [`send_prompt`](Self::send_prompt).
    pub async fn send_frame(&self, frame: pb::ConverseRequest) -> Result<String, Error> {
        self.sender()?.send_frame(frame).await
    }

    /// Sequence number of the last event that was given: with it
    /// [`Setup::resume_after`] goes on in another process.
    #[must_use]
    pub fn last_sequence(&self) -> i64 {
        self.receiver.last_sequence()
    }

    /// Says that no more input follows; running and queued turns finish, and
    /// then [`next`](Self::next) gives none.
    ///
    /// A turn that calls a client tool after this cannot be answered.
    pub fn finish(&mut self) {
        self.sender = None;
    }

    /// Parts the two directions, for two tasks.
    ///
    /// Tools given to [`answer_with`](Self::answer_with) stay behind: whoever
    /// holds the halves answers tool calls with [`Tools::run`] and
    /// [`Sender::send_tool_result`]. The sending half is missing after
    /// [`finish`](Self::finish).
    pub fn split(self) -> (Option<Sender>, Receiver) {
        (self.sender, self.receiver)
    }

    fn sender(&self) -> Result<&Sender, Error> {
        self.sender.as_ref().ok_or(Error::Closed)
    }
}

async fn answer(sender: Option<&Sender>, result: Option<&pb::ToolResult>) -> Result<(), Error> {
    let (Some(sender), Some(result)) = (sender, result) else {
        return Err(Error::Closed);
    };
    sender.send_tool_result(result.clone()).await.map(drop)
}
