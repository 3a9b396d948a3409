//! Conversations that a caller brings: which message may follow which.

use std::collections::BTreeMap;

use pb::content_block::Block as Wire;
use taiwa::v1 as pb;
use taiwa_core::{Block, Limits, Message, Role, message::Marking};

use super::{
    content::{self, Place},
    violations::Violations,
};

/// Most documents in a message.
///
/// <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Message.html>
const MAX_DOCUMENTS: usize = 5;

/// Most images in a message.
///
/// <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Message.html>
const MAX_IMAGES: usize = 20;

/// Reads the field `messages`.
///
/// The first message is a user's, no message is empty, and the calls of an assistant's message are
/// answered by the user's message after it; `answers` are the results that the request brings for
/// the calls of the last message.
pub(super) fn messages(
    wire: Vec<pb::Message>,
    answers: &[pb::ToolResult],
    limits: &Limits,
    violations: &mut Violations,
) -> Vec<Message> {
    let roles: Vec<_> = wire
        .iter()
        .enumerate()
        .map(|(index, message)| {
            violations.within_item("messages", index, |violations| role(message, violations))
        })
        .collect();
    if let Some(Some(Role::Assistant | Role::System)) = roles.first() {
        violations.within_item("messages", 0, |violations| {
            violations.refuse_field(
                "role",
                "must be ROLE_USER in the first message; instructions belong in options.system",
            );
        });
    }
    check_tool_calls(&wire, &roles, answers, violations);

    let mut messages = Vec::with_capacity(wire.len());
    let mut total_bytes = 0;
    for (index, (wire, role)) in wire.into_iter().zip(roles).enumerate() {
        // A role at fault was told; what is read in its place only serves to find further faults.
        let role = role.unwrap_or(Role::User);
        let message = violations.within_item("messages", index, |violations| {
            message(wire, role, limits, violations)
        });
        total_bytes += message.size_bytes();
        messages.push(message);
    }
    violations.within("messages", |violations| {
        violations.limit_size(total_bytes, limits.max_history_bytes);
    });
    messages
}

/// Reads the user's message that `prompt` and `content` make.
pub(super) fn input(
    prompt: String,
    wire: Vec<pb::ContentBlock>,
    limits: &Limits,
    violations: &mut Violations,
) -> Vec<Block> {
    let mut content = Vec::with_capacity(wire.len() + 1);
    if !prompt.is_empty() {
        match prompt.trim() {
            "" => violations.refuse_field("prompt", "must not be blank"),
            _ => content.push(Block::Text(prompt)),
        }
    }
    let had_prompt = !content.is_empty();
    content.extend(content::blocks(
        "content",
        wire,
        Place::Input,
        limits,
        violations,
    ));
    let field = if had_prompt && content.len() == 1 {
        "prompt"
    } else {
        "content"
    };
    violations.within(field, |violations| {
        check_counts(&content, violations);
        let size_bytes = content.iter().map(Block::size_bytes).sum();
        violations.limit_size(size_bytes, limits.max_input_bytes);
    });
    content
}

/// Holds the number of documents and images in a message to what Bedrock takes.
pub(super) fn check_counts(content: &[Block], violations: &mut Violations) {
    let documents = content
        .iter()
        .filter(|block| matches!(block, Block::Document(_)))
        .count();
    let images = content
        .iter()
        .filter(|block| matches!(block, Block::Image(_)))
        .count();
    for (kind, count, most) in [
        ("documents", documents, MAX_DOCUMENTS),
        ("images", images, MAX_IMAGES),
    ] {
        if count > most {
            violations.refuse(format!("must hold at most {most} {kind}, not {count}"));
        }
    }
    if !content.is_empty()
        && content
            .iter()
            .all(|block| matches!(block, Block::CachePoint(_)))
    {
        violations.refuse("must hold more than cache points");
    }
}

fn message(wire: pb::Message, role: Role, limits: &Limits, violations: &mut Violations) -> Message {
    let place = match role {
        Role::User => Place::User,
        Role::Assistant => Place::Assistant,
        Role::System => Place::System,
    };
    let marking = marking(&wire, role, violations);
    let is_empty = wire.content.is_empty();
    let total = violations.total();
    let content = content::blocks("content", wire.content, place, limits, violations);
    violations.within("content", |violations| {
        if is_empty {
            violations.refuse("must hold at least one block");
        } else if content.is_empty() && violations.total() == total {
            violations.refuse("must hold more than blank text");
        }
        check_counts(&content, violations);
    });
    Message {
        role,
        content,
        origin: None,
        marking,
    }
}

fn marking(wire: &pb::Message, role: Role, violations: &mut Violations) -> Marking {
    match (wire.summary, wire.pinned) {
        (true, true) => {
            violations.refuse_field("pinned", "must not be set on a summary");
            Marking::Unmarked
        }
        (true, false) => {
            if role != Role::User {
                violations.refuse_field("summary", "must only be set with ROLE_USER");
            }
            Marking::Summary
        }
        (false, true) => Marking::Pinned,
        (false, false) => Marking::Unmarked,
    }
}

fn role(wire: &pb::Message, violations: &mut Violations) -> Option<Role> {
    match pb::Role::try_from(wire.role) {
        Ok(pb::Role::Unspecified | pb::Role::User) => Some(Role::User),
        Ok(pb::Role::Assistant) => Some(Role::Assistant),
        Ok(pb::Role::System) => Some(Role::System),
        Err(_) => {
            violations.refuse_field("role", "must be ROLE_USER, ROLE_ASSISTANT or ROLE_SYSTEM");
            None
        }
    }
}

/// The tool calls of the assistant's message before.
#[derive(Default)]
struct Calls<'a> {
    by_id: BTreeMap<&'a str, Call>,
}

/// A tool call, and whether its result was seen.
struct Call {
    message: usize,
    block: usize,
    state: CallState,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum CallState {
    /// Somebody outside the model must answer it.
    Open,
    /// It has its result.
    Answered,
    /// The provider ran it, and need not show its result.
    ProviderRun,
}

impl<'a> Calls<'a> {
    /// Adds a call; false when another has its id.
    fn add(&mut self, wire: &'a pb::ToolCall, message: usize, block: usize) -> bool {
        let state = if wire.executor == i32::from(pb::ToolExecutor::Provider) {
            CallState::ProviderRun
        } else {
            CallState::Open
        };
        let call = Call {
            message,
            block,
            state,
        };
        self.by_id.insert(&wire.tool_call_id, call).is_none()
    }

    /// Marks an open call as answered; false when there is none of this id.
    fn answer(&mut self, id: &str) -> bool {
        match self.by_id.get_mut(id) {
            Some(call) if call.state == CallState::Open => {
                call.state = CallState::Answered;
                true
            }
            Some(_) | None => false,
        }
    }

    fn is_provider_run(&self, id: &str) -> bool {
        let call = self.by_id.get(id);
        call.is_some_and(|call| call.state == CallState::ProviderRun)
    }

    fn refuse_unanswered(&self, violations: &mut Violations) {
        let open = self
            .by_id
            .values()
            .filter(|call| call.state == CallState::Open);
        for call in open {
            violations.within_item("messages", call.message, |violations| {
                violations.within_item("content", call.block, |violations| {
                    violations.refuse_field(
                        "tool_call",
                        "must be answered by a tool_result in the user's message after it",
                    );
                });
            });
        }
    }
}

/// Holds tool results to the calls before them, and calls to the results after them.
fn check_tool_calls(
    wire: &[pb::Message],
    roles: &[Option<Role>],
    answers: &[pb::ToolResult],
    violations: &mut Violations,
) {
    let mut calls = Calls::default();
    let mut said = Role::User;
    for (index, (message, role)) in wire.iter().zip(roles).enumerate() {
        let Some(role) = *role else { continue };
        if role == Role::Assistant && said == Role::User {
            std::mem::take(&mut calls).refuse_unanswered(violations);
        }
        if role != Role::System {
            said = role;
        }
        for (position, block) in message.content.iter().enumerate() {
            let fault = match (&block.block, role) {
                (Some(Wire::ToolCall(call)), Role::Assistant) => {
                    let is_known = !calls.add(call, index, position);
                    is_known.then_some(("tool_call", "must differ from the ids of other calls"))
                }
                (Some(Wire::ToolResult(result)), Role::Assistant) => {
                    let is_known = calls.is_provider_run(&result.tool_call_id);
                    (!is_known).then_some(("tool_result", NOT_PROVIDER_RUN))
                }
                (Some(Wire::ToolResult(result)), Role::User) => {
                    let is_open = calls.answer(&result.tool_call_id);
                    (!is_open).then_some(("tool_result", UNKNOWN_CALL))
                }
                (Some(_) | None, Role::User | Role::Assistant | Role::System) => None,
            };
            if let Some((kind, description)) = fault {
                violations.within_item("messages", index, |violations| {
                    violations.within_item("content", position, |violations| {
                        violations.within(kind, |violations| {
                            violations.refuse_field("tool_call_id", description);
                        });
                    });
                });
            }
        }
    }
    for (index, result) in answers.iter().enumerate() {
        let is_open = said == Role::Assistant && calls.answer(&result.tool_call_id);
        if !is_open {
            violations.within_item("tool_results", index, |violations| {
                violations.refuse_field("tool_call_id", UNKNOWN_CALL);
            });
        }
    }
    calls.refuse_unanswered(violations);
}

const UNKNOWN_CALL: &str =
    "must name a tool call of the assistant's message before that has no other result";

const NOT_PROVIDER_RUN: &str = "must name a call that the provider ran in this message; results \
    of other calls belong in the user's message after it";

#[cfg(test)]
mod tests;
