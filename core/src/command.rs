//! What the driver must do.

use std::{sync::Arc, time::Instant};

use serde::{Deserialize, Serialize};

use crate::{
    error::Failure,
    event::TurnResult,
    input::{CallId, RunId, StepId, StreamId},
    model::ModelRequest,
    tool::{Allowance, ToolCall},
    usage::Usage,
};

/// Something to do at once.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Call the model.
    CallModel {
        /// Names the call in the inputs that follow from it.
        step: StepId,
        /// What to ask.
        request: Box<ModelRequest>,
    },
    /// Close the model call at once; nothing more is wanted of it.
    ///
    /// Each call ends in one of three ways: by this, by [`FinishModel`](Self::FinishModel), or by
    /// itself, as [`Input::ModelEnded`](crate::Input::ModelEnded) or
    /// [`Input::ModelFailed`](crate::Input::ModelFailed) told the session.
    AbortModel(StepId),
    /// Let the model call's stream run out; all that matters of it was said.
    FinishModel(StepId),
    /// Ask the budget that several turns share for more: the model call has used what it was
    /// allowed, and goes on meanwhile.
    Extend(StepId),
    /// Tell what a model call has used, so that a budget that several turns share knows it.
    Settle {
        /// The call.
        step: StepId,
        /// What it used.
        usage: Usage,
    },
    /// Run a tool, once all that was told is kept.
    ///
    /// Each run ends in one of two ways: by [`CancelTool`](Self::CancelTool), or by itself, as
    /// [`Input::ToolFinished`](crate::Input::ToolFinished) told the session.
    RunTool(Box<ToolRun>),
    /// Stop a tool at once; nothing more is wanted of it.
    CancelTool(RunId),
    /// Answer a call that asked for a turn.
    Answer {
        /// The call.
        call: CallId,
        /// The turn that started or goes on, or why none does.
        answer: Result<Started, Failure>,
    },
    /// Answer a call that asked for a cancel.
    AnswerCancel {
        /// The call.
        call: CallId,
        /// The turn after the cancel, or why there is none.
        answer: Result<Box<TurnResult>, Failure>,
    },
    /// Forget the events up to this one, which their reader has; others' readers may need them yet.
    Forget(u64),
    /// Tell a Converse stream that another has taken over the session's input.
    TakeOver(StreamId),
    /// Tell a Converse stream alone that its frame was refused.
    Refuse {
        /// The stream.
        stream: StreamId,
        /// The frame, where it had an id.
        frame_id: Option<String>,
        /// Why.
        failure: Failure,
    },
    /// End a Converse stream, after the events so far, with OK.
    EndStream(StreamId),
}

/// A tool to run.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolRun {
    /// Names the run in the inputs that follow from it.
    pub run: RunId,
    /// The turn that it belongs to.
    pub turn_id: Arc<str>,
    /// The stream that the turn is for; `None` for a turn that a call asked for.
    pub stream: Option<StreamId>,
    /// The call; its input fits the tool's schema.
    pub call: ToolCall,
    /// When its result is no longer wanted.
    pub deadline: Instant,
    /// What it may spend on models.
    pub allowance: Allowance,
}

/// A turn that started, or goes on after a pause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// The turn.
    pub turn_id: Arc<str>,
    /// Sequence number of the first event of it, or of its part after the pause.
    pub first_sequence: u64,
}
