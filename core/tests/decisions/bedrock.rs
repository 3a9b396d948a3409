//! Bedrock's rules for a conversation, written without a look at the core's own.

use std::{collections::BTreeSet, sync::Arc};

use taiwa_core::{Block, Message, Role, message::Reasoning, tool::Executor};

/// Says what Bedrock would refuse in a conversation; `None` when it would take it.
///
/// The conversation may end on the assistant's side, as a history does between turns.
pub(crate) fn fault(messages: &[Arc<Message>]) -> Option<String> {
    let mut open: Vec<&str> = Vec::new();
    let mut said: Option<Role> = None;
    for (index, message) in messages.iter().enumerate() {
        let at = format!("message {index}");
        if message.role == Role::System {
            continue;
        }
        if said.is_none() && message.role != Role::User {
            return Some(format!("{at} is the first and not the user's"));
        }
        if said == Some(message.role) {
            return Some(format!("{at} has the role of the one before"));
        }
        said = Some(message.role);
        if message.content.is_empty() {
            return Some(format!("{at} is empty"));
        }
        for block in &message.content {
            if let Block::Text(text) = block
                && text.trim().is_empty()
            {
                return Some(format!("{at} holds blank text"));
            }
        }
        let fault = if message.role == Role::User {
            user_fault(message, &mut open)
        } else {
            assistant_fault(message, &mut open)
        };
        if let Some(fault) = fault {
            return Some(format!("{at} {fault}"));
        }
    }
    (!open.is_empty()).then(|| format!("the calls {open:?} are not answered"))
}

/// As [`fault`], for a request to a model, which must end on the user's side.
pub(crate) fn request_fault(messages: &[Arc<Message>]) -> Option<String> {
    let ends_with_user = messages
        .iter()
        .rev()
        .find(|message| message.role != Role::System)
        .is_some_and(|message| message.role == Role::User);
    if ends_with_user {
        fault(messages)
    } else {
        Some("the request does not end with the user's message".to_owned())
    }
}

fn user_fault(message: &Message, open: &mut Vec<&str>) -> Option<String> {
    let mut other = false;
    for block in &message.content {
        match block {
            Block::ToolResult(result) => {
                if other {
                    return Some("holds a tool result behind other content".to_owned());
                }
                let Some(index) = open.iter().position(|id| *id == result.call_id) else {
                    return Some(format!("answers {:?}, which nobody called", result.call_id));
                };
                open.swap_remove(index);
            }
            Block::ToolCall(_) | Block::Reasoning(_) | Block::CitedText(_) => {
                return Some("holds what only an assistant says".to_owned());
            }
            _ => other = true,
        }
    }
    (!open.is_empty()).then(|| format!("leaves the calls {open:?} without a result"))
}

fn assistant_fault<'a>(message: &'a Message, open: &mut Vec<&'a str>) -> Option<String> {
    let mut ids = BTreeSet::new();
    let mut provider_calls = BTreeSet::new();
    let mut answered = BTreeSet::new();
    for block in &message.content {
        match block {
            Block::ToolCall(call) => {
                if !ids.insert(&*call.id) {
                    return Some(format!("calls {:?} twice", call.id));
                }
                match call.executor {
                    Executor::Client | Executor::Server => open.push(&call.id),
                    Executor::Provider => {
                        provider_calls.insert(&*call.id);
                    }
                }
            }
            Block::ToolResult(result) => {
                answered.insert(&*result.call_id);
            }
            _ => {}
        }
    }
    if provider_calls != answered {
        return Some("has provider-run calls and results that do not match".to_owned());
    }
    let only_reasoning = message
        .content
        .iter()
        .all(|block| matches!(block, Block::Reasoning(_)));
    if only_reasoning {
        return Some("holds reasoning alone".to_owned());
    }
    let unsaid = message.content.iter().any(|block| {
        matches!(block, Block::Reasoning(Reasoning::Text { text, signature: None }) if text.is_empty())
    });
    unsaid.then(|| "holds empty reasoning".to_owned())
}
