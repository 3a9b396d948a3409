//! Requests for one turn: Invoke and InvokeStream.

use std::collections::BTreeSet;

use taiwa::v1 as pb;
use taiwa_core::{
    Agent, Block, Failure, Message, Role, ToolResult, input::TurnRequest, message::Marking,
    tool::Decision,
};

use super::{
    content, conversation,
    delivery::{self, StreamOptions},
    identifier,
    options::{self, ToolScope},
    tool,
    violations::Violations,
};

/// A turn asked for, and the session it belongs to.
#[derive(Clone, Debug, PartialEq)]
pub struct Invocation {
    /// Session to continue; `None` means a fresh one.
    pub session_id: Option<String>,
    /// Key under which a repeat of the request is recognised.
    pub request_id: Option<String>,
    /// The turn; its deadline is left to whoever knows the call's.
    pub turn: TurnRequest,
}

/// Reads a request of Invoke; how events are delivered does not matter there.
///
/// # Errors
///
/// `InvalidRequest`, `UnsupportedContent` or `LimitExceeded`, with every field at fault.
pub fn invoke(wire: pb::InvokeRequest, agent: &Agent) -> Result<Invocation, Failure> {
    let mut violations = Violations::default();
    let invocation = invocation(wire, agent, &mut violations);
    violations.finish(invocation)
}

/// Reads a request of InvokeStream.
///
/// # Errors
///
/// As [`invoke`].
pub fn invoke_stream(
    mut wire: pb::InvokeRequest,
    agent: &Agent,
) -> Result<(Invocation, StreamOptions), Failure> {
    let mut violations = Violations::default();
    let stream = delivery::stream(wire.stream.take(), &mut violations);
    let invocation = invocation(wire, agent, &mut violations);
    violations.finish((invocation, stream))
}

fn invocation(wire: pb::InvokeRequest, agent: &Agent, violations: &mut Violations) -> Invocation {
    let limits = &agent.limits;
    let has_input = !wire.prompt.is_empty() || !wire.content.is_empty();
    let has_messages = !wire.messages.is_empty();
    let has_results = !wire.tool_results.is_empty();
    let has_decisions = !wire.approval_decisions.is_empty();
    if !has_input && !has_messages && !has_results && !has_decisions {
        violations.refuse_field(
            "prompt",
            "must be set, or content, messages, tool_results or approval_decisions: there is \
             nothing to answer",
        );
    }
    let session_id = identifier::session_id(wire.session_id, violations);
    let request_id = identifier::repeat_key("request_id", wire.request_id, violations);

    let answers = if has_messages {
        &wire.tool_results[..]
    } else {
        &[]
    };
    let ends_with_user = wire.messages.last().is_none_or(is_users) || has_results;
    if !has_input && !ends_with_user {
        violations.refuse_field(
            "messages",
            "must end with a user's message, or prompt, content or tool_results must be set",
        );
    }
    let mut messages = conversation::messages(wire.messages, answers, limits, violations);
    let mut tool_results = tool_results(wire.tool_results, !has_messages, agent, violations);
    if has_messages && !tool_results.is_empty() {
        // They answer the conversation that the caller brings, not a turn that is paused here.
        let results = tool_results.drain(..).map(Block::ToolResult).collect();
        messages.push(Message {
            role: Role::User,
            content: results,
            origin: None,
            marking: Marking::Unmarked,
        });
    }
    let turn = TurnRequest {
        content: conversation::input(wire.prompt, wire.content, limits, violations),
        messages,
        tool_results,
        decisions: decisions(wire.approval_decisions, violations),
        options: options::read(wire.options, ToolScope::Request, agent, violations),
        deadline: None,
    };
    Invocation {
        session_id,
        request_id,
        turn,
    }
}

/// Reads the field `tool_results`; a repeat of an id is told unless it is found out elsewhere.
fn tool_results(
    wire: Vec<pb::ToolResult>,
    refuses_repeats: bool,
    agent: &Agent,
    violations: &mut Violations,
) -> Vec<ToolResult> {
    let mut results = Vec::with_capacity(wire.len());
    let mut ids = BTreeSet::new();
    for (index, wire) in wire.into_iter().enumerate() {
        violations.within_item("tool_results", index, |violations| {
            if !ids.insert(wire.tool_call_id.clone()) && refuses_repeats {
                violations.refuse_field("tool_call_id", "must differ from those of other results");
            }
            results.extend(content::tool_result(wire, &agent.limits, violations));
        });
    }
    results
}

/// Reads the field `approval_decisions`.
fn decisions(wire: Vec<pb::ApprovalDecision>, violations: &mut Violations) -> Vec<Decision> {
    let decisions = wire.into_iter().enumerate().map(|(index, wire)| {
        violations.within_item("approval_decisions", index, |violations| {
            tool::decision(wire, violations)
        })
    });
    decisions.collect()
}

fn is_users(message: &pb::Message) -> bool {
    match pb::Role::try_from(message.role) {
        Ok(pb::Role::Unspecified | pb::Role::User) => true,
        Ok(pb::Role::Assistant | pb::Role::System) => false,
        // A role at fault is told as such.
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests;
