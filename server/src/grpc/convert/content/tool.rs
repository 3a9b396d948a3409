//! Tool calls and tool results of a request.

use serde_json::Value;

use taiwa::v1 as pb;
use taiwa_core::{
    Limits, ToolCall, ToolResult,
    tool::{Executor, ToolResultBlock},
};

use super::{media, read};
use crate::grpc::convert::{identifier, violations::Violations};

/// Reads a tool's result, as the field that is being looked at.
pub(in crate::grpc::convert) fn result(
    wire: pb::ToolResult,
    limits: &Limits,
    violations: &mut Violations,
) -> Option<ToolResult> {
    let id_fits = identifier::check_model_word("tool_call_id", &wire.tool_call_id, violations);
    let given = wire.content.len();
    let mut content = Vec::with_capacity(given + 1);
    // A tool may well print nothing, and Bedrock refuses blank text.
    if !wire.text.trim().is_empty() {
        content.push(ToolResultBlock::Text(wire.text));
    }
    let mut fits = id_fits;
    for (index, wire) in wire.content.into_iter().enumerate() {
        match violations.within_item("content", index, |violations| {
            result_block(wire, violations)
        }) {
            Some(ToolResultBlock::Text(text)) if text.trim().is_empty() => {}
            Some(block) => content.push(block),
            None => fits = false,
        }
    }
    let result = ToolResult {
        call_id: wire.tool_call_id,
        content,
        is_error: wire.is_error,
        kind: wire.r#type,
    };
    violations.limit_size(result.size_bytes(), limits.max_tool_result_bytes);
    fits.then_some(result)
}

fn result_block(wire: pb::ToolResultBlock, violations: &mut Violations) -> Option<ToolResultBlock> {
    use pb::tool_result_block::Block as Wire;
    match wire.block {
        None => {
            violations.refuse("must be of a kind that this version knows, such as text");
            None
        }
        Some(Wire::Text(text)) => Some(ToolResultBlock::Text(text)),
        Some(Wire::Json(json)) => match serde_json::from_str::<serde::de::IgnoredAny>(&json) {
            Ok(_) => Some(ToolResultBlock::Json(json)),
            Err(error) => {
                violations.refuse_field("json", format!("must be JSON: {error}"));
                None
            }
        },
        Some(Wire::Image(image)) => violations
            .within("image", |violations| media::image(image, violations))
            .map(ToolResultBlock::Image),
        Some(Wire::Document(document)) => violations
            .within("document", |violations| {
                media::document(document, violations)
            })
            .map(ToolResultBlock::Document),
        Some(Wire::Video(video)) => violations
            .within("video", |violations| media::video(video, violations))
            .map(ToolResultBlock::Video),
        Some(Wire::SearchResult(result)) => violations
            .within("search_result", |violations| {
                read::search_result(result, violations)
            })
            .map(ToolResultBlock::SearchResult),
    }
}

/// Reads a tool call of the conversation so far, as the field that is being looked at.
pub(super) fn call(wire: pb::ToolCall, violations: &mut Violations) -> Option<ToolCall> {
    let id_fits = identifier::check_model_word("tool_call_id", &wire.tool_call_id, violations);
    let name_fits = identifier::check_model_word("tool_name", &wire.tool_name, violations);
    let executor = match pb::ToolExecutor::try_from(wire.executor) {
        Ok(pb::ToolExecutor::Unspecified | pb::ToolExecutor::Client) => Some(Executor::Client),
        Ok(pb::ToolExecutor::Provider) => Some(Executor::Provider),
        Ok(pb::ToolExecutor::Server) => Some(Executor::Server),
        Err(_) => {
            violations.refuse_field(
                "executor",
                "must be TOOL_EXECUTOR_CLIENT, TOOL_EXECUTOR_SERVER or TOOL_EXECUTOR_PROVIDER",
            );
            None
        }
    };
    let input_json = match wire.input_json {
        empty if empty.is_empty() => Some("{}".to_owned()),
        json => match serde_json::from_str::<Value>(&json) {
            Ok(Value::Object(_)) => Some(json),
            Ok(
                Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::String(_)
                | Value::Array(_),
            ) => {
                violations.refuse_field("input_json", "must be a JSON object");
                None
            }
            Err(error) => {
                violations.refuse_field("input_json", format!("must be a JSON object: {error}"));
                None
            }
        },
    };
    let (executor, input_json) = executor.zip(input_json).filter(|_| id_fits && name_fits)?;
    Some(ToolCall {
        id: wire.tool_call_id,
        name: wire.tool_name,
        input_json,
        executor,
        expires: None,
        idempotency_key: wire.idempotency_key,
    })
}
