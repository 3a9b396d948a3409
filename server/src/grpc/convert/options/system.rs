//! The system prompt of a caller.

use taiwa::v1 as pb;
use taiwa_core::{Agent, Limits, agent::SystemOverride, message::Block, options::SystemBlock};

use crate::grpc::convert::{
    content::{self, Place},
    violations::Violations,
};

/// Holds the system prompt to what the agent allows.
pub(super) fn check(wire: &pb::TurnOptions, agent: &Agent, violations: &mut Violations) {
    let is_refused = match agent.system_override {
        SystemOverride::Refuse => true,
        SystemOverride::Prepend | SystemOverride::Replace => false,
    };
    let refusal = "must be empty: the agent does not let callers set the system prompt";
    if is_refused && !wire.system.is_empty() {
        violations.refuse_field("system", refusal);
    } else if !wire.system.is_empty() && wire.system.trim().is_empty() {
        violations.refuse_field("system", "must not be blank");
    }
    if is_refused && !wire.system_content.is_empty() {
        violations.refuse_field("system_content", refusal);
    }
    let size_bytes = wire.system.len();
    violations.within("system", |violations| {
        violations.limit_size(size_bytes, agent.limits.max_input_bytes);
    });
}

/// Reads the field `system_content`.
pub(super) fn content(
    wire: Vec<pb::ContentBlock>,
    limits: &Limits,
    violations: &mut Violations,
) -> Vec<SystemBlock> {
    content::blocks(
        "system_content",
        wire,
        Place::SystemPrompt,
        limits,
        violations,
    )
    .into_iter()
    .filter_map(system_block)
    .collect()
}

/// Narrows a block to those of a system prompt; reading it in that place left no other.
fn system_block(block: Block) -> Option<SystemBlock> {
    match block {
        Block::Text(text) => Some(SystemBlock::Text(text)),
        Block::GuardContent(content) => Some(SystemBlock::GuardContent(content)),
        Block::CachePoint(point) => Some(SystemBlock::CachePoint(point)),
        Block::Image(_)
        | Block::Document(_)
        | Block::Video(_)
        | Block::Audio(_)
        | Block::ToolCall(_)
        | Block::ToolResult(_)
        | Block::Reasoning(_)
        | Block::CitedText(_)
        | Block::SearchResult(_)
        | Block::ToolAddition(_)
        | Block::ToolRemoval(_) => None,
    }
}
