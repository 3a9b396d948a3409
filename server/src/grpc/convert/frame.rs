//! Frames of Converse.

use pb::converse_request::Frame as Wire;
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use taiwa::v1 as pb;
use taiwa_core::{
    Agent, Block, Failure, Message, Reason, TurnOptions,
    input::{Frame, FrameBody, InputPolicy, UserInput},
};

use super::{
    content::{self, Place},
    conversation,
    delivery::{self, StreamOptions},
    identifier,
    options::{self, ToolScope},
    resume, tool,
    violations::Violations,
};

/// How a Converse stream begins.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Setup {
    /// Session to continue; `None` means a fresh one.
    pub session_id: Option<String>,
    /// Replays the events of a session that exists after this one.
    pub resume_after: Option<u64>,
    /// The conversation so far, for a session without history.
    pub messages: Vec<Message>,
    /// Settings for the turns of the session.
    pub options: TurnOptions,
    /// How events are delivered.
    pub stream: StreamOptions,
    /// What becomes of input that arrives while a turn runs.
    pub input_policy: InputPolicy,
    /// Key under which a repeat of the setup is recognised.
    pub request_id: Option<String>,
}

/// Reads the setup that a stream begins with; the agent is the one that it names.
///
/// # Errors
///
/// `InvalidRequest`, `UnsupportedContent` or `LimitExceeded`, with every field at fault.
pub fn setup(wire: pb::SessionSetup, agent: &Agent) -> Result<Setup, Failure> {
    let mut violations = Violations::default();
    let setup = violations.within("setup", |violations| Setup {
        resume_after: wire.resume_after_sequence.map(|given| {
            if wire.session_id.is_empty() {
                violations.refuse_field("session_id", "must be set to resume a session");
            }
            resume::cursor("resume_after_sequence", given, violations)
        }),
        session_id: identifier::session_id(wire.session_id, violations),
        messages: conversation::messages(wire.messages, &[], &agent.limits, violations),
        options: options::read(wire.options, ToolScope::Request, agent, violations),
        stream: delivery::stream(wire.stream, violations),
        input_policy: input_policy(wire.input_policy, violations).unwrap_or_default(),
        request_id: identifier::repeat_key("request_id", wire.request_id, violations),
    });
    violations.finish(setup)
}

/// Reads a frame's id; empty means none.
///
/// # Errors
///
/// `InvalidRequest` when it is too long or not printable.
pub fn frame_id(id: String) -> Result<Option<String>, Failure> {
    let mut violations = Violations::default();
    let id = identifier::repeat_key("frame_id", id, &mut violations);
    violations.finish(id)
}

/// Reads a frame after the first, or a first one that is no setup.
///
/// `policy` is the stream's, for input that names none. A frame at fault becomes
/// [`FrameBody::Invalid`], and keeps its id where that is sound.
pub fn frame(wire: pb::ConverseRequest, agent: &Agent, policy: InputPolicy) -> Frame {
    let id = match frame_id(wire.frame_id.clone()) {
        Ok(id) => id,
        Err(failure) => {
            return Frame {
                id: None,
                digest: [0; 32],
                body: FrameBody::Invalid(failure),
            };
        }
    };
    let digest = match &id {
        Some(_) => digest(&wire),
        // Nobody asks whether it is a repeat.
        None => [0; 32],
    };
    let body = body(wire.frame, agent, policy).unwrap_or_else(FrameBody::Invalid);
    Frame { id, digest, body }
}

/// Tells frames of one id apart by what they say.
pub fn digest(wire: &pb::ConverseRequest) -> [u8; 32] {
    Sha256::digest(wire.encode_to_vec()).into()
}

fn body(wire: Option<Wire>, agent: &Agent, policy: InputPolicy) -> Result<FrameBody, Failure> {
    let limits = &agent.limits;
    let mut violations = Violations::default();
    let body = match wire {
        None => {
            return Err(Failure::invalid(
                "frame",
                "must be of a kind that this version knows: setup, prompt, input, tool_result, \
                 approval_decision, interrupt, update or ack",
            ));
        }
        Some(Wire::Setup(_)) => {
            let text = "setup must be the first frame of the stream";
            return Err(Failure::new(Reason::FrameOutOfOrder, text));
        }
        Some(Wire::Prompt(prompt)) => {
            if prompt.trim().is_empty() {
                violations.refuse_field("prompt", "must not be blank");
            }
            violations.within("prompt", |violations| {
                violations.limit_size(prompt.len(), limits.max_input_bytes);
            });
            Some(FrameBody::UserInput(UserInput {
                content: vec![Block::Text(prompt)],
                more_follows: false,
                context_only: false,
                policy: Some(policy),
            }))
        }
        Some(Wire::Input(input)) => violations.within("input", |violations| {
            Some(user_input(input, agent, policy, violations))
        }),
        Some(Wire::ToolResult(result)) => violations
            .within("tool_result", |violations| {
                content::tool_result(result, limits, violations)
            })
            .map(FrameBody::ToolResult),
        Some(Wire::ApprovalDecision(decision)) => {
            let decision = violations.within("approval_decision", |violations| {
                tool::decision(decision, violations)
            });
            Some(FrameBody::Decision(decision))
        }
        Some(Wire::Interrupt(interrupt)) => Some(FrameBody::Interrupt {
            turn_id: Some(interrupt.turn_id).filter(|id| !id.is_empty()),
            discard_output: interrupt.discard_output,
        }),
        Some(Wire::Ack(ack)) => match u64::try_from(ack.sequence) {
            Ok(sequence) => Some(FrameBody::Ack { sequence }),
            Err(_) => {
                violations.refuse_field("ack.sequence", "must not be negative");
                None
            }
        },
        Some(Wire::Update(update)) => violations.within("update", |violations| {
            let options = options::read(update.options, ToolScope::Session, agent, violations);
            Some(FrameBody::Update {
                options: Box::new(options),
                replace_client_tools: update.replace_client_tools,
            })
        }),
    };
    // Nothing was read only where something was refused.
    let unreadable = || Failure::invalid("frame", "must be readable");
    violations.finish(body)?.ok_or_else(unreadable)
}

/// Reads a message or a part of one; whether the whole is empty is seen when it is complete.
fn user_input(
    wire: pb::UserInput,
    agent: &Agent,
    policy: InputPolicy,
    violations: &mut Violations,
) -> FrameBody {
    let limits = &agent.limits;
    let content = content::blocks("content", wire.content, Place::Input, limits, violations);
    violations.within("content", |violations| {
        conversation::check_counts(&content, violations);
        let size_bytes = content.iter().map(Block::size_bytes).sum();
        violations.limit_size(size_bytes, limits.max_input_bytes);
    });
    FrameBody::UserInput(UserInput {
        content,
        more_follows: wire.more_follows,
        context_only: wire.context_only,
        policy: Some(input_policy(wire.input_policy, violations).unwrap_or(policy)),
    })
}

/// Reads the field `input_policy`; unset means the default.
fn input_policy(given: i32, violations: &mut Violations) -> Option<InputPolicy> {
    match pb::InputPolicy::try_from(given) {
        Ok(pb::InputPolicy::Unspecified) => None,
        Ok(pb::InputPolicy::Queue) => Some(InputPolicy::Queue),
        Ok(pb::InputPolicy::Interrupt) => Some(InputPolicy::Interrupt),
        Ok(pb::InputPolicy::Reject) => Some(InputPolicy::Reject),
        Ok(pb::InputPolicy::Steer) => Some(InputPolicy::Steer),
        Ok(pb::InputPolicy::Replace) => Some(InputPolicy::Replace),
        Err(_) => {
            violations.refuse_field(
                "input_policy",
                "must be INPUT_POLICY_QUEUE, INPUT_POLICY_INTERRUPT, INPUT_POLICY_REJECT, \
                 INPUT_POLICY_STEER or INPUT_POLICY_REPLACE",
            );
            None
        }
    }
}

#[cfg(test)]
mod tests;
