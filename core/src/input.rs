//! What can happen to a session.

use std::{sync::Arc, time::Instant};

use crate::{
    error::Failure,
    message::{Block, Message},
    model::ModelEvent,
    options::TurnOptions,
    tool::{Decision, RunOutcome, ToolResult, ToolSet},
};

/// A call that waits for an answer; chosen by the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallId(pub u64);

/// A Converse stream that brings frames; chosen by the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamId(pub u64);

/// A model call; counted by the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StepId(pub u64);

/// A run of a tool by the server; counted by the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunId(pub u64);

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// A call asks for one turn; answered by [`Command::Answer`](crate::Command::Answer).
    Start {
        /// Who waits for the answer.
        call: CallId,
        /// The turn asked for.
        request: Box<TurnRequest>,
    },
    /// A Converse stream was opened, under a name that no other has; it takes the input over.
    StreamOpened(StreamId),
    /// A frame arrived.
    Frame {
        /// The stream it came on.
        stream: StreamId,
        /// The frame.
        frame: Box<Frame>,
    },
    /// A Converse stream was half-closed: no more frames come, events are still read.
    InputClosed(StreamId),
    /// A Converse stream is gone.
    StreamGone {
        /// The stream.
        stream: StreamId,
        /// Cancel its turn and refuse what it brought for later, instead of letting them run on.
        ///
        /// Its turn is the one that it asked for, or whose results it brought, or that of a stream
        /// that left before. Turns of other streams and of calls run on.
        cancel: bool,
    },
    /// A model call was opened: the provider took the request.
    ModelOpened {
        /// The call.
        step: StepId,
        /// Attempts that failed before this one.
        retries: u32,
    },
    /// A model said something.
    Model {
        /// The call.
        step: StepId,
        /// What it said.
        event: ModelEvent,
    },
    /// A model's stream ended.
    ModelEnded(StepId),
    /// A model call failed, on opening or in its stream.
    ModelFailed {
        /// The call.
        step: StepId,
        /// Why.
        failure: Failure,
    },
    /// A model call is not made yet: what a budget that several turns share has left is held by
    /// other calls. [`ModelAllowed`](Self::ModelAllowed) or [`ModelRefused`](Self::ModelRefused)
    /// follows.
    ModelWaits(StepId),
    /// A budget that several turns share lets a model call go on so far.
    ModelAllowed {
        /// The call.
        step: StepId,
        /// Most output tokens that the model was told; `None` means as was asked.
        max_tokens: Option<u32>,
        /// Output tokens after which [`Command::Extend`](crate::Command::Extend) asks for more.
        watched_tokens: Option<u64>,
    },
    /// A budget that several turns share is used up: the model call is not made, or not gone on
    /// with.
    ModelRefused(StepId),
    /// The tools that the server runs for the agent are others from here on.
    Tools(Arc<ToolSet>),
    /// A tool says how far it is.
    ToolProgress {
        /// The run.
        run: RunId,
        /// What it says, for people to read.
        text: String,
    },
    /// A tool has ended.
    ToolFinished {
        /// The run.
        run: RunId,
        /// What it came to.
        outcome: Box<RunOutcome>,
    },
    /// The driver stopped or went back to reading the model, since a reader is slow.
    ModelHeld(bool),
    /// A turn is to be stopped.
    Cancel {
        /// Who waits for the answer, if anybody does.
        call: Option<CallId>,
        /// The turn; `None` means the running or paused one.
        turn_id: Option<String>,
        /// Why.
        cause: CancelCause,
    },
    /// The server stops: no further turns start, what runs may finish.
    Shutdown,
    /// The grace period is over: what runs is cut.
    Kill,
    /// A driver's fault ends the running turn.
    Fault,
    /// A deadline is due.
    Tick,
}

/// Why a turn is to be stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelCause {
    /// `CancelTurn` was called.
    Requested,
    /// The caller went away.
    CallerGone,
    /// The caller's reader was too slow and was cut off.
    SlowReader,
}

/// A turn asked for by Invoke or InvokeStream.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TurnRequest {
    /// The user's message; may be empty when `messages` or `tool_results` stand for it.
    pub content: Vec<Block>,
    /// The conversation so far, of a caller that keeps history; sendable as it is.
    pub messages: Vec<Message>,
    /// Answers to the tool calls of a paused turn, or of the last of `messages`.
    pub tool_results: Vec<ToolResult>,
    /// Answers to the approval requests of a paused turn.
    pub decisions: Vec<Decision>,
    /// Settings of the turn.
    pub options: TurnOptions,
    /// When the caller stops waiting.
    pub deadline: Option<Instant>,
}

/// One frame of a Converse stream, checked by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// Its name, unique in the session.
    pub id: Option<String>,
    /// What it says, in short: equal for frames that say the same.
    pub digest: [u8; 32],
    /// What it carries.
    pub body: FrameBody,
}

/// What a frame carries.
#[derive(Clone, Debug, PartialEq)]
pub enum FrameBody {
    /// The session was set up; acknowledged, and nothing more.
    Setup,
    /// A user's message, or a part of one.
    UserInput(UserInput),
    /// An answer to a client tool call.
    ToolResult(ToolResult),
    /// An answer to an approval request.
    Decision(Decision),
    /// Stops the running turn.
    Interrupt {
        /// Turn to stop; `None` means the running one.
        turn_id: Option<String>,
        /// Drops the turn's partial output from history.
        discard_output: bool,
    },
    /// Changes settings for the turns that start after it.
    Update {
        /// Fields set here replace those of the session.
        options: Box<TurnOptions>,
        /// Replaces the list of client tools, even by an empty one.
        replace_client_tools: bool,
    },
    /// The events up to this one have arrived, and may be forgotten.
    Ack {
        /// Sequence number of the newest event that was handled.
        sequence: u64,
    },
    /// A frame that cannot be taken, with the reason; spoils the message whose parts it stands among.
    Invalid(Failure),
}

/// A user's message, or a part of one.
#[derive(Clone, Debug, PartialEq)]
pub struct UserInput {
    /// The blocks, in order.
    pub content: Vec<Block>,
    /// More frames of the same message follow.
    pub more_follows: bool,
    /// Adds the message to the conversation without starting a turn.
    pub context_only: bool,
    /// Overrides the stream's policy.
    pub policy: Option<InputPolicy>,
}

/// What becomes of user input that arrives while a turn runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InputPolicy {
    /// It waits and starts the next turn.
    #[default]
    Queue,
    /// It interrupts the running turn and starts the next.
    Interrupt,
    /// It is refused.
    Reject,
    /// It joins the running turn before its next model call.
    Steer,
    /// It interrupts the running turn, which leaves the history.
    Replace,
}
