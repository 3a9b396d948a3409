//! A live conversation: many turns over one call, in both directions at once.

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::{Error, Event, Tools, event::Payload, pb, reader::Reader};

mod answers;
mod receiver;
mod sender;
mod setup;

pub use receiver::Receiver;
pub use sender::Sender;
pub use setup::Setup;

use answers::Answers;

/// Frames that may wait for the transport: enough that a prompt and an
/// interrupt never wait for each other, small since a frame may hold megabytes.
const FRAMES_IN_WAITING: usize = 8;

/// A live conversation, as [`Client::converse`](crate::Client::converse) opens it.
///
/// Speaking and listening do not wait for each other: a prompt, a change of
/// settings or an interrupt may be sent while an answer streams. To do both
/// from two tasks, [`split`](Self::split) it. Dropping it ends the call.
#[derive(Debug)]
#[must_use = "dropping it ends the call"]
pub struct Conversation {
    sender: Option<Sender>,
    receiver: Receiver,
    session: pb::SessionReady,
    answers: Answers,
}

/// Makes the way for frames, with the set-up as the first: a server may wait
/// for it before it begins its answer.
pub(crate) fn frames(setup: pb::SessionSetup) -> (Sender, ReceiverStream<pb::ConverseRequest>) {
    let (tx, rx) = mpsc::channel(FRAMES_IN_WAITING);
    let sender = Sender::new(tx, setup);
    (sender, ReceiverStream::new(rx))
}

impl Conversation {
    pub(crate) async fn open(sender: Sender, reader: Reader) -> Result<Self, Error> {
        let mut receiver = Receiver::new(reader, sender.watch());
        let broken = Error::Contract("a conversation must begin with session_ready");
        let Some(event) = receiver.next().await? else {
            return Err(broken);
        };
        let Payload::SessionReady(session) = event.payload else {
            return Err(broken);
        };
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
    /// had finished it; [`Error::DeadlineExceeded`] when the set-up's timeout passed.
    ///
    /// # Cancel safety
    ///
    /// No event and no tool's result is lost when the future is dropped.
    pub async fn next(&mut self) -> Result<Option<Event>, Error> {
        loop {
            let may_send = self.sender.is_some() && self.answers.has_result();
            tokio::select! {
                event = self.receiver.next() => {
                    if let Ok(Some(event)) = &event {
                        self.answers.follow(event);
                    }
                    return event;
                }
                permit = reserve(self.sender.as_ref()), if may_send => {
                    if let (Some(permit), Some(result)) = (permit, self.answers.take_result()) {
                        permit.send(sender::frame(pb::converse_request::Frame::ToolResult(result)));
                    } else {
                        // The call has ended, and the receiving half says how.
                        self.answers.abandon();
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
    /// [`Error::Closed`] after [`finish`](Self::finish) or when the call has ended.
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
    pub async fn tool_result(&self, result: pb::ToolResult) -> Result<String, Error> {
        self.sender()?.tool_result(result).await
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
    /// [`Sender::tool_result`]. The sending half is missing after
    /// [`finish`](Self::finish).
    pub fn split(self) -> (Option<Sender>, Receiver) {
        (self.sender, self.receiver)
    }

    fn sender(&self) -> Result<&Sender, Error> {
        self.sender.as_ref().ok_or(Error::Closed)
    }
}

async fn reserve(sender: Option<&Sender>) -> Option<mpsc::Permit<'_, pb::ConverseRequest>> {
    sender?.reserve().await
}
