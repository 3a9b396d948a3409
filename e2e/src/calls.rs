//! What a stream told of the calls of tools that the server ran.

use std::collections::BTreeMap;

use taiwa::v1::{self as pb, event::Payload, tool_result_block::Block};

/// A call of a tool, from its beginning to its one end.
#[derive(Clone, Debug)]
pub struct CallTold {
    /// The call as the model made it.
    pub call: pb::ToolCall,
    /// What was said of it while it ran, pieces without words left out.
    pub progress: Vec<String>,
    /// The last that was told of it.
    pub end: pb::ToolCallUpdate,
}

impl CallTold {
    /// How it ended.
    pub fn status(&self) -> pb::ToolCallStatus {
        self.end.status()
    }

    /// The words and the JSON of its result, a line for each block.
    pub fn words(&self) -> String {
        let Some(result) = &self.end.result else {
            return String::new();
        };
        let blocks = result
            .content
            .iter()
            .filter_map(|block| match &block.block {
                Some(Block::Text(text) | Block::Json(text)) => Some(text.as_str()),
                _ => None,
            });
        let all = [result.text.as_str()].into_iter().chain(blocks);
        let words: Vec<_> = all.filter(|text| !text.is_empty()).collect();
        words.join("\n")
    }
}

/// The calls that the server ran, in the model's order.
///
/// # Panics
///
/// When a call has no end or two, or is told of before it was made or after its end.
pub fn told(events: &[pb::Event]) -> Vec<CallTold> {
    let mut calls = Vec::new();
    let mut updates: BTreeMap<&str, Vec<&pb::ToolCallUpdate>> = BTreeMap::new();
    for event in events {
        match &event.payload {
            Some(Payload::ToolCall(call)) if call.executor() == pb::ToolExecutor::Server => {
                let before = updates.insert(&call.tool_call_id, Vec::new());
                assert!(before.is_none(), "made twice: {call:?}");
                calls.push(call);
            }
            Some(Payload::ToolCallUpdate(update)) => {
                let told = updates.get_mut(&*update.tool_call_id);
                let told = told.unwrap_or_else(|| panic!("told before it was made: {update:?}"));
                let is_over = told.last().is_some_and(|last| is_end(last.status()));
                assert!(!is_over, "told after its end: {update:?}");
                told.push(update);
            }
            _ => {}
        }
    }
    let told = calls.into_iter().map(|call| {
        let updates = updates.remove(&*call.tool_call_id).unwrap_or_default();
        let progress = updates.iter().map(|update| update.progress.clone());
        let end = updates.last().filter(|last| is_end(last.status()));
        CallTold {
            call: call.clone(),
            progress: progress.filter(|words| !words.is_empty()).collect(),
            end: end.map_or_else(
                || panic!("not told to its end: {call:?}"),
                |end| (*end).clone(),
            ),
        }
    });
    told.collect()
}

/// True for the states of which one is the last that is told.
pub fn is_end(status: pb::ToolCallStatus) -> bool {
    match status {
        pb::ToolCallStatus::Unspecified
        | pb::ToolCallStatus::Waiting
        | pb::ToolCallStatus::Running => false,
        pb::ToolCallStatus::Succeeded
        | pb::ToolCallStatus::Failed
        | pb::ToolCallStatus::Rejected
        | pb::ToolCallStatus::Cancelled
        | pb::ToolCallStatus::Unknown => true,
    }
}
