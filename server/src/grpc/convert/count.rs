//! Requests to count tokens.

use taiwa::v1 as pb;
use taiwa_core::{Agent, Failure, Message, TurnOptions};

use super::{
    conversation, identifier,
    options::{self, ToolScope},
    violations::Violations,
};

/// What is to be counted.
#[derive(Clone, Debug, PartialEq)]
pub struct Count {
    /// Session whose history counts too, before `messages`.
    pub session_id: Option<String>,
    /// The conversation so far, and the user's new message last; may be empty beside a session.
    pub messages: Vec<Message>,
    /// Settings; those of model, system and tools matter.
    pub options: TurnOptions,
}

/// Reads a request of CountTokens.
///
/// # Errors
///
/// `InvalidRequest`, `UnsupportedContent` or `LimitExceeded`, with every field at fault.
pub fn count(wire: pb::CountTokensRequest, agent: &Agent) -> Result<Count, Failure> {
    let mut violations = Violations::default();
    let is_empty = wire.prompt.is_empty() && wire.content.is_empty() && wire.messages.is_empty();
    if is_empty && wire.session_id.is_empty() {
        violations.refuse_field(
            "prompt",
            "must be set, or content, messages or session_id: there is nothing to count",
        );
    }
    let session_id = identifier::session_id(wire.session_id, &mut violations);
    let mut messages = conversation::messages(wire.messages, &[], &agent.limits, &mut violations);
    let content = conversation::input(wire.prompt, wire.content, &agent.limits, &mut violations);
    if !content.is_empty() {
        messages.push(Message::user(content));
    }
    let options = options::read(wire.options, ToolScope::Request, agent, &mut violations);
    violations.finish(Count {
        session_id,
        messages,
        options,
    })
}
