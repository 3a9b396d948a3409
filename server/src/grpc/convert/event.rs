//! Events of a session as readers get them.

mod output;
mod result;
mod tools;

use std::{sync::Arc, time::SystemTime};

use bytes::Bytes;
use prost::Message as _;

use pb::event::Payload as Wire;
use taiwa::v1 as pb;
use taiwa_core::{
    Event, Failure, Payload,
    context::{Reduced, Reduction},
    event::{
        BlockKind, FrameAccepted, FrameOutcome, ImageDelta, InterruptionCause, ReasoningDelta,
        StepCompleted, ToolCallPiece,
    },
};

use super::{content, time};
use crate::grpc::status;

pub use self::{
    output::Output,
    result::{encoded_without_reasoning, turn_result, without_reasoning},
};

/// Writes the events of one session.
#[derive(Clone, Debug)]
pub struct Encoder {
    session_id: Arc<str>,
    agent_id: Arc<str>,
}

impl Encoder {
    /// Makes the encoder of a session.
    pub fn new(session_id: Arc<str>, agent_id: Arc<str>) -> Self {
        Self {
            session_id,
            agent_id,
        }
    }

    /// Encodes an event that was made at `at` as a `taiwa.v1.Event`.
    pub fn encode(&self, event: Event, at: SystemTime) -> Bytes {
        encode(&self.event(event, at))
    }

    /// Writes an event that was made at `at`.
    pub fn event(&self, event: Event, at: SystemTime) -> pb::Event {
        pb::Event {
            sequence: i64::try_from(event.sequence).unwrap_or(i64::MAX),
            turn_id: event
                .turn_id
                .as_deref()
                .map(str::to_owned)
                .unwrap_or_default(),
            event_time: Some(time::timestamp(at)),
            step_index: saturated(event.step_index),
            block_index: saturated(event.block_index),
            payload: Some(self.payload(event.payload)),
        }
    }

    fn payload(&self, payload: Payload) -> Wire {
        match payload {
            Payload::TextDelta(text) => Wire::TextDelta(pb::TextDelta { text }),
            Payload::ReasoningDelta(delta) => Wire::ReasoningDelta(reasoning_delta(delta)),
            Payload::ToolCallDelta { call_id, piece } => {
                Wire::ToolCallDelta(tool_call_delta(&call_id, piece))
            }
            Payload::CitationDelta(citation) => Wire::CitationDelta(pb::CitationDelta {
                citation: Some(content::citation(citation)),
            }),
            Payload::ImageDelta(delta) => Wire::ImageDelta(image_delta(delta)),
            Payload::BlockStarted(kind) => Wire::BlockStarted(block_started(kind)),
            Payload::BlockCompleted(block) => Wire::BlockCompleted(pb::BlockCompleted {
                block: Some(content::block(block)),
            }),
            Payload::FrameAccepted(receipt) => Wire::FrameAccepted(frame_accepted(receipt)),
            Payload::FrameRejected { frame_id, failure } => rejected(frame_id, &failure),
            Payload::TurnStarted {
                frame_id,
                continued,
            } => Wire::TurnStarted(pb::TurnStarted {
                session_id: self.session_id.to_string(),
                agent_id: self.agent_id.to_string(),
                frame_id: frame_id.unwrap_or_default(),
                continued,
            }),
            Payload::StepStarted { model_id } => Wire::StepStarted(pb::StepStarted { model_id }),
            Payload::StepCompleted(step) => Wire::StepCompleted(step_completed(&step)),
            Payload::ToolCall(call) => Wire::ToolCall(content::tool_call(call)),
            Payload::ToolCallUpdate(update) => Wire::ToolCallUpdate(tools::update(*update)),
            Payload::ApprovalRequest(request) => {
                Wire::ApprovalRequest(tools::approval_request(*request))
            }
            Payload::ApprovalResolved(resolved) => {
                Wire::ApprovalResolved(tools::resolved(resolved))
            }
            Payload::ToolCallsCancelled(tool_call_ids) => {
                Wire::ToolCallsCancelled(pb::ToolCallsCancelled { tool_call_ids })
            }
            Payload::Guardrail(outcome) => Wire::Guardrail(result::guardrail(*outcome)),
            Payload::Interrupted(cause) => Wire::Interrupted(interrupted(cause)),
            Payload::Usage(usage) => Wire::Usage(result::usage(&usage)),
            Payload::ContextReduced(reduced) => Wire::ContextReduced(context_reduced(&reduced)),
            Payload::TurnEnded(result) => Wire::TurnEnded(Box::new(turn_result(&result))),
        }
    }
}

/// Encodes an event.
pub fn encode(event: &pb::Event) -> Bytes {
    event.encode_to_vec().into()
}

/// Says that a session is open; the first event of Converse.
pub fn session_ready(ready: pb::SessionReady, at: SystemTime) -> pb::Event {
    of_this_stream(Wire::SessionReady(ready), at)
}

/// Says that nothing happened; `last_sequence` is that of the session's newest event.
pub fn heartbeat(last_sequence: u64, at: SystemTime) -> pb::Event {
    let last_sequence = i64::try_from(last_sequence).unwrap_or(i64::MAX);
    of_this_stream(Wire::Heartbeat(pb::Heartbeat { last_sequence }), at)
}

/// Says what a replay will hold.
pub fn stream_resumed(resumed: pb::StreamResumed, at: SystemTime) -> pb::Event {
    of_this_stream(Wire::StreamResumed(resumed), at)
}

/// Says that a frame of this stream alone was refused.
pub fn frame_rejected(frame_id: Option<String>, failure: &Failure, at: SystemTime) -> pb::Event {
    of_this_stream(rejected(frame_id, failure), at)
}

/// Says that the stream ends after `time_left`, or has lost its input.
pub fn go_away(
    reason: pb::GoAwayReason,
    time_left: Option<std::time::Duration>,
    last_sequence: u64,
    at: SystemTime,
) -> pb::Event {
    let go_away = pb::GoAway {
        time_left: time_left.map(time::span),
        reason: reason.into(),
        resume_after_sequence: i64::try_from(last_sequence).unwrap_or(i64::MAX),
    };
    of_this_stream(Wire::GoAway(go_away), at)
}

/// Makes an event that concerns one stream alone, and so has no number.
fn of_this_stream(payload: Wire, at: SystemTime) -> pb::Event {
    pb::Event {
        event_time: Some(time::timestamp(at)),
        payload: Some(payload),
        ..Default::default()
    }
}

fn reasoning_delta(delta: ReasoningDelta) -> pb::ReasoningDelta {
    use pb::reasoning_delta::Delta;
    let delta = match delta {
        ReasoningDelta::Text(text) => Delta::Text(text),
        ReasoningDelta::Signature(signature) => Delta::Signature(signature),
        ReasoningDelta::Redacted(bytes) => Delta::Redacted(bytes),
    };
    pb::ReasoningDelta { delta: Some(delta) }
}

fn tool_call_delta(call_id: &str, piece: ToolCallPiece) -> pb::ToolCallDelta {
    let mut delta = pb::ToolCallDelta {
        tool_call_id: call_id.to_owned(),
        ..Default::default()
    };
    match piece {
        ToolCallPiece::Input(text) => delta.input_json = text,
        ToolCallPiece::ResultText(text) => delta.result_text = text,
        ToolCallPiece::ResultJson(text) => delta.result_json = text,
    }
    delta
}

fn image_delta(delta: ImageDelta) -> pb::ImageDelta {
    match delta {
        ImageDelta::Data(data) => pb::ImageDelta {
            data,
            ..Default::default()
        },
        ImageDelta::Object(object) => pb::ImageDelta {
            s3: Some(content::s3_object(object)),
            ..Default::default()
        },
        ImageDelta::Error(error) => pb::ImageDelta {
            error,
            ..Default::default()
        },
    }
}

fn block_started(kind: BlockKind) -> pb::BlockStarted {
    let started = |kind: pb::BlockKind| pb::BlockStarted {
        kind: kind.into(),
        ..Default::default()
    };
    match kind {
        BlockKind::Text => started(pb::BlockKind::Text),
        BlockKind::Reasoning => started(pb::BlockKind::Reasoning),
        BlockKind::ToolCall { id, name } => pb::BlockStarted {
            tool_call_id: id.to_string(),
            tool_name: name,
            ..started(pb::BlockKind::ToolCall)
        },
        BlockKind::ToolResult { call_id } => pb::BlockStarted {
            tool_call_id: call_id.to_string(),
            ..started(pb::BlockKind::ToolResult)
        },
        BlockKind::Image(format) => pb::BlockStarted {
            media_type: format.media_type().to_owned(),
            ..started(pb::BlockKind::Image)
        },
    }
}

fn frame_accepted(receipt: FrameAccepted) -> pb::FrameAccepted {
    let outcome = match receipt.outcome {
        FrameOutcome::Applied => pb::FrameOutcome::Applied,
        FrameOutcome::StartedTurn => pb::FrameOutcome::StartedTurn,
        FrameOutcome::Queued => pb::FrameOutcome::Queued,
        FrameOutcome::Steered => pb::FrameOutcome::Steered,
        FrameOutcome::Interrupted => pb::FrameOutcome::Interrupted,
        FrameOutcome::TooLate => pb::FrameOutcome::TooLate,
    };
    pb::FrameAccepted {
        frame_id: receipt.frame_id,
        duplicate: receipt.duplicate,
        outcome: outcome.into(),
        turn_id: receipt
            .turn_id
            .as_deref()
            .map(str::to_owned)
            .unwrap_or_default(),
        queue_position: saturated(receipt.queue_position),
    }
}

fn rejected(frame_id: Option<String>, failure: &Failure) -> Wire {
    Wire::FrameRejected(pb::FrameRejected {
        frame_id: frame_id.unwrap_or_default(),
        error: Some(status::turn_error(failure)),
    })
}

fn step_completed(step: &StepCompleted) -> pb::StepCompleted {
    pb::StepCompleted {
        stop_reason: result::stop_reason(step.stop_reason).into(),
        usage: Some(result::usage(&step.usage)),
        model_latency: step.model_latency.map(time::span),
        time_to_first_output: step.time_to_first_output.map(time::span),
    }
}

fn context_reduced(reduced: &Reduced) -> pb::ContextReduced {
    let policy = match reduced.how {
        Reduction::Sliding => pb::ContextPolicy::Sliding,
        Reduction::Summarize => pb::ContextPolicy::Summarize,
    };
    pb::ContextReduced {
        policy: policy.into(),
        omitted_messages: saturated(reduced.omitted_messages),
        tokens_before: result::tokens(reduced.tokens_before),
        tokens_after: result::tokens(reduced.tokens_after),
        summary: reduced.summary.as_deref().map(content::message),
    }
}

fn interrupted(cause: InterruptionCause) -> pb::Interrupted {
    let cause = match cause {
        InterruptionCause::Client => pb::InterruptionCause::Client,
        InterruptionCause::NewInput => pb::InterruptionCause::NewInput,
        InterruptionCause::Cancel => pb::InterruptionCause::Cancel,
    };
    pb::Interrupted {
        cause: cause.into(),
    }
}

/// Writes a count into the contract's narrower type.
fn saturated(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests;
