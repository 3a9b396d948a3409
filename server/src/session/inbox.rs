//! What a session's task is asked, and the way to it.

use std::{sync::Arc, time::Duration};

use taiwa::v1 as pb;
use taiwa_core::{
    Failure, Message as CoreMessage, TurnOptions, TurnStatus,
    command::Started,
    input::{Frame, StreamId, TurnRequest},
};
use tokio::sync::{mpsc, oneshot};

use super::{
    CallFacts,
    progress::Commit,
    reader::{Options, Reader},
};

/// Messages that wait for a session's task.
///
/// The task takes them at once, so this bounds a burst; a sender that finds it full waits.
const INBOX_CAPACITY: usize = 16;

/// The turn after a cancel, and the batch that tells the store of it; or why there is none.
pub(super) type Cancelled = Result<(pb::TurnResult, Commit), Failure>;

/// What follows when a reader goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Gone {
    /// A call's reader: its turn is cancelled.
    Turn(Arc<str>),
    /// A Converse stream's reader.
    Stream {
        /// The stream.
        stream: StreamId,
        /// What runs is cancelled.
        cancel: bool,
    },
}

/// What a session is asked.
#[derive(Debug)]
pub(super) enum Message {
    /// Run a turn.
    Start {
        request: Box<TurnRequest>,
        /// `None` for a caller that wants the end alone.
        options: Option<Options>,
        claimed: Option<Claimed>,
        facts: Arc<CallFacts>,
        reply: oneshot::Sender<Result<(Started, Reader, Commit), Failure>>,
    },
    /// Read a turn that started before, from its first event.
    Follow {
        started: Started,
        options: Option<Options>,
        /// Gets `None` for the end alone of a turn that does not run.
        reply: oneshot::Sender<Result<Option<Reader>, Failure>>,
    },
    /// Read the events after a cursor.
    Resume {
        resumption: Resumption,
        options: Box<Options>,
        reply: oneshot::Sender<Result<Reader, Failure>>,
    },
    /// Hold a live conversation.
    Open {
        options: Box<Options>,
        /// Settings for the session's turns, where the stream brings some.
        settings: Option<Box<TurnOptions>>,
        /// Replays the events after this one.
        after: Option<u64>,
        claimed: Option<Claimed>,
        facts: Arc<CallFacts>,
        reply: oneshot::Sender<Result<(StreamId, Reader, Commit), Failure>>,
    },
    /// A frame of a live conversation.
    Frame { stream: StreamId, frame: Box<Frame> },
    /// No more frames come.
    InputClosed(StreamId),
    /// End a stream with a failure.
    EndStream {
        stream: StreamId,
        failure: Failure,
        cancel: bool,
    },
    /// A reader went, and what follows.
    Gone(Option<Gone>),
    /// Stop a turn.
    Cancel {
        turn_id: Option<String>,
        reply: oneshot::Sender<Cancelled>,
    },
    /// Tell how a turn stands.
    Turn {
        turn_id: Option<String>,
        reply: oneshot::Sender<Option<TurnView>>,
    },
    /// Tell the conversation and the settings.
    Describe { reply: oneshot::Sender<Description> },
    /// Forget the session for good.
    Delete { reply: oneshot::Sender<Commit> },
    /// Tell when all that was said so far is in the store.
    Settle { reply: oneshot::Sender<Commit> },
    /// Take no further turns; readers are told how long they may go on.
    Shutdown { time_left: Duration },
    /// Cut what runs.
    Kill,
    /// End the session, if it is quiet.
    Forget,
}

impl Message {
    /// Answers that the session can do nothing more; who cannot be told so is not answered.
    pub(super) fn refuse(self, failure: &Failure) {
        // Callers that went meanwhile have nothing to be told.
        match self {
            Self::Start { reply, .. } => drop(reply.send(Err(failure.clone()))),
            Self::Follow { reply, .. } => drop(reply.send(Err(failure.clone()))),
            Self::Resume { reply, .. } => drop(reply.send(Err(failure.clone()))),
            Self::Open { reply, .. } => drop(reply.send(Err(failure.clone()))),
            Self::Cancel { reply, .. } => drop(reply.send(Err(failure.clone()))),
            Self::Frame { .. }
            | Self::InputClosed(_)
            | Self::EndStream { .. }
            | Self::Gone(_)
            | Self::Turn { .. }
            | Self::Describe { .. }
            | Self::Delete { .. }
            | Self::Settle { .. }
            | Self::Shutdown { .. }
            | Self::Kill
            | Self::Forget => {}
        }
    }
}

/// A request id that a call has claimed, to be kept with what the call brings about.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The id.
    pub request_id: String,
    /// What the request says, in short.
    pub fingerprint: [u8; 32],
}

/// Which events are asked for again.
#[derive(Clone, Debug)]
pub struct Resumption {
    /// Those after this one.
    pub after: u64,
    /// Those of this turn alone.
    pub turn_id: Option<String>,
    /// Those that are there, and none that come.
    pub replay_only: bool,
}

/// How a turn stands.
#[derive(Clone, Debug)]
pub struct TurnView {
    /// Its state.
    pub status: TurnStatus,
    /// Its result so far, as it goes to the wire.
    pub result: pb::TurnResult,
    /// Why it failed, when it did.
    pub failure: Option<Failure>,
}

impl TurnView {
    /// True while the turn neither ended nor paused.
    pub fn is_running(&self) -> bool {
        self.status == TurnStatus::Running
    }
}

/// A session's conversation and settings.
#[derive(Clone, Debug)]
pub struct Description {
    /// The conversation so far, as the model is sent it.
    pub messages: Vec<Arc<CoreMessage>>,
    /// Settings that its turns start from, over the agent's.
    pub options: TurnOptions,
}

/// The way to a session's task.
#[derive(Clone, Debug)]
pub(super) struct Inbox {
    tx: mpsc::Sender<Message>,
}

impl Inbox {
    /// Makes an inbox, and the end from which its task takes.
    pub(super) fn new() -> (Self, mpsc::Receiver<Message>) {
        let (tx, rx) = mpsc::channel(INBOX_CAPACITY);
        (Self { tx }, rx)
    }

    /// Sends a message; false when the session has ended.
    pub(super) async fn send(&self, message: Message) -> bool {
        self.tx.send(message).await.is_ok()
    }

    /// Tells that a reader went, from a place that cannot wait.
    pub(super) fn post(&self, gone: Option<Gone>) {
        if let Err(mpsc::error::TrySendError::Full(message)) = self.tx.try_send(Message::Gone(gone))
        {
            // The session takes its messages at once, so this task ends with the burst.
            let tx = self.tx.clone();
            tokio::spawn(async move { tx.send(message).await });
        }
    }

    /// Sends a message if there is room; false when there is none, or the session has ended.
    pub(super) fn try_send(&self, message: Message) -> bool {
        self.tx.try_send(message).is_ok()
    }
}
