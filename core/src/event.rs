//! What readers of a session's log are told.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    context::Reduced,
    error::Failure,
    guardrail::GuardrailOutcome,
    media::{ImageFormat, S3Object},
    message::{Block, Citation, Message},
    tool::{ApprovalRequest, CallUpdate, Resolved, ToolCall},
    usage::{GrantedService, TurnMetrics, Usage},
};

/// One event of a session.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Position in the session, from 1, without gaps.
    pub sequence: u64,
    /// Turn it belongs to; `None` for events of the session itself.
    pub turn_id: Option<Arc<str>>,
    /// Model call within the turn, from 0.
    pub step_index: u32,
    /// Content block within the step, from 0.
    pub block_index: u32,
    /// What happened.
    pub payload: Payload,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Payload {
    /// A named client frame was taken.
    FrameAccepted(FrameAccepted),
    /// A client frame was refused; the session goes on.
    FrameRejected {
        /// The frame, when it had an id.
        frame_id: Option<String>,
        /// Why.
        failure: Failure,
    },
    /// A turn began.
    TurnStarted {
        /// Frame that started it, when it had an id.
        frame_id: Option<String>,
        /// The turn was paused and goes on.
        continued: bool,
    },
    /// A model call began.
    StepStarted {
        /// Model called.
        model_id: String,
    },
    /// A content block began.
    BlockStarted(BlockKind),
    /// A piece of the reply's text.
    TextDelta(String),
    /// A piece of the model's reasoning.
    ReasoningDelta(ReasoningDelta),
    /// A piece of a tool call's input, or of a provider-run tool's result.
    ToolCallDelta {
        /// The call.
        call_id: Arc<str>,
        /// The piece.
        piece: ToolCallPiece,
    },
    /// A citation for the text of the block.
    CitationDelta(Citation),
    /// A piece of a generated image.
    ImageDelta(ImageDelta),
    /// A content block is complete.
    BlockCompleted(Block),
    /// A model call ended.
    StepCompleted(StepCompleted),
    /// A complete tool call.
    ToolCall(ToolCall),
    /// Progress or outcome of a call that the server runs.
    ToolCallUpdate(Box<CallUpdate>),
    /// A call waits for a person's consent.
    ApprovalRequest(Box<ApprovalRequest>),
    /// An approval request was settled.
    ApprovalResolved(Resolved),
    /// Calls whose results are no longer wanted.
    ToolCallsCancelled(Vec<String>),
    /// A guardrail looked at input or output.
    Guardrail(Box<GuardrailOutcome>),
    /// The agent's output was cut off.
    Interrupted(InterruptionCause),
    /// Tokens used so far in the turn.
    Usage(Usage),
    /// Older messages are left out of what the model is sent from here on.
    ContextReduced(Box<Reduced>),
    /// The turn completed, paused, was stopped or failed.
    TurnEnded(Box<TurnResult>),
}

/// Receipt for a client frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameAccepted {
    /// The frame.
    pub frame_id: String,
    /// It had been taken before and was not acted on again.
    pub duplicate: bool,
    /// What was done with it.
    pub outcome: FrameOutcome,
    /// Turn it started, joined or interrupted.
    pub turn_id: Option<Arc<str>>,
    /// Inputs ahead of it, when it was queued.
    pub queue_position: u32,
}

/// What was done with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FrameOutcome {
    /// It took effect.
    Applied,
    /// It started a turn.
    StartedTurn,
    /// It waits for the running turn to end.
    Queued,
    /// It joined the running turn.
    Steered,
    /// It interrupted the running turn and started the next.
    Interrupted,
    /// It came too late to matter.
    TooLate,
}

/// The kind of a block that began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlockKind {
    /// Text of the reply.
    Text,
    /// Reasoning.
    Reasoning,
    /// A tool call.
    ToolCall {
        /// Its id.
        id: Arc<str>,
        /// Tool called.
        name: String,
    },
    /// A result of a tool run by the provider.
    ToolResult {
        /// The call answered.
        call_id: Arc<str>,
    },
    /// A generated image.
    Image(ImageFormat),
}

/// A piece of reasoning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReasoningDelta {
    /// Readable reasoning.
    Text(String),
    /// Its signature.
    Signature(String),
    /// Encrypted reasoning.
    Redacted(Bytes),
}

/// A piece of a tool call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolCallPiece {
    /// A fragment of input JSON.
    Input(String),
    /// A fragment of a result's text.
    ResultText(String),
    /// A result in JSON.
    ResultJson(String),
}

/// A piece of a generated image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageDelta {
    /// Bytes.
    Data(Bytes),
    /// Where the image was put; told by the completed block.
    Object(S3Object),
    /// Why it could not be made.
    Error(String),
}

/// The end of a model call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepCompleted {
    /// Why the model stopped.
    pub stop_reason: StopReason,
    /// Tokens of this call alone.
    pub usage: Usage,
    /// The provider's own latency figure.
    pub model_latency: Option<Duration>,
    /// From sending the call to its first output.
    pub time_to_first_output: Option<Duration>,
}

/// Causes of an interruption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InterruptionCause {
    /// The client sent interrupt.
    Client,
    /// Input arrived that interrupts.
    NewInput,
    /// `CancelTurn` was called.
    Cancel,
}

/// Why generation stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum StopReason {
    /// A reason that this version does not know.
    Unknown,
    /// The model finished.
    EndTurn,
    /// The model wants tools called.
    ToolUse,
    /// The output token limit was reached.
    MaxTokens,
    /// A stop sequence was met.
    StopSequence,
    /// A guardrail intervened.
    GuardrailIntervened,
    /// The provider filtered the content.
    ContentFiltered,
    /// The model's output could not be parsed.
    MalformedModelOutput,
    /// The model's tool call could not be parsed.
    MalformedToolUse,
    /// The context window is full.
    ContextWindowExceeded,
    /// A tool call waits for approval.
    ApprovalRequired,
    /// The turn's step limit was reached.
    MaxSteps,
    /// A budget of time, tokens or cost was used up.
    BudgetExceeded,
    /// The output was interrupted.
    Interrupted,
    /// The turn was cancelled.
    Cancelled,
    /// An error ended the turn before any output of its last step.
    Error,
    /// The output broke off before the model said why.
    Incomplete,
}

/// States of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TurnStatus {
    /// Runs.
    Running,
    /// Waits for tool results that another call brings.
    Paused,
    /// Finished with a reply, or stopped by a limit that the stop reason names.
    Completed,
    /// Cut off by the user.
    Interrupted,
    /// Stopped by a cancel or a deadline.
    Cancelled,
    /// Ended by an error.
    Failed,
}

/// The outcome of a turn, or of the part of it up to a pause.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TurnResult {
    /// The turn.
    pub turn_id: Arc<str>,
    /// Its session.
    pub session_id: Arc<str>,
    /// How it stands.
    pub status: TurnStatus,
    /// Why the last model call stopped, or what else ended the turn; `None` while it runs.
    pub stop_reason: Option<StopReason>,
    /// The stop sequence met, or other text of the model on the reason; may be empty.
    pub stop_detail: String,
    /// The agent's final message, as far as it was sent.
    pub message: Option<Arc<Message>>,
    /// Messages made on the way, oldest first, where asked for.
    pub intermediate_messages: Vec<Arc<Message>>,
    /// Client tool calls that wait for results, when paused.
    pub pending_tool_calls: Vec<ToolCall>,
    /// Approvals that wait for an answer, when paused.
    #[serde(default)]
    pub pending_approvals: Vec<ApprovalRequest>,
    /// JSON that fits the form asked for; empty where none was, or there is no reply that fits.
    #[serde(default)]
    pub output_json: String,
    /// Tokens of the whole turn.
    pub usage: Usage,
    /// Times of the whole turn.
    pub metrics: TurnMetrics,
    /// What guardrails found.
    pub guardrails: Vec<GuardrailOutcome>,
    /// Model that gave the final message.
    pub model_id: String,
    /// Model-specific response fields that were asked for, as JSON; may be empty.
    pub additional_fields_json: String,
    /// What the provider granted of what was asked.
    pub granted: GrantedService,
    /// Why the turn failed, when it did.
    pub failure: Option<Failure>,
    /// Sequence number of the turn's newest event.
    pub last_sequence: u64,
}
