//! What happened since the user last said something: calls, and what came of them.

use serde_json::Value;

use crate::wire::{array, message_text};

/// The steps of one answer, as the conversation shows them.
#[derive(Debug)]
pub(super) struct Round<'a> {
    /// What the user said.
    pub(super) prompt: String,
    /// Calls in the order they were made.
    pub(super) calls: Vec<Called<'a>>,
}

/// A call that an earlier step made.
#[derive(Debug)]
pub(super) struct Called<'a> {
    pub(super) name: &'a str,
    pub(super) input: &'a Value,
    /// The `toolResult` that answers it.
    pub(super) result: Option<&'a Value>,
}

impl<'a> Round<'a> {
    pub(super) fn of(messages: &'a [Value]) -> Self {
        let begin = messages
            .iter()
            .rposition(|message| message["role"] == "user" && says_something(message));
        let prompt = begin.and_then(|at| messages.get(at)).map(message_text);
        let steps = messages.get(begin.map_or(0, |at| at + 1)..).unwrap_or(&[]);
        let results: Vec<&Value> = blocks(steps, "toolResult").collect();
        let calls = blocks(steps, "toolUse").map(|call| Called {
            name: call["name"].as_str().unwrap_or(""),
            input: &call["input"],
            result: results
                .iter()
                .find(|result| result["toolUseId"] == call["toolUseId"])
                .copied(),
        });
        Self {
            prompt: prompt.unwrap_or_default(),
            calls: calls.collect(),
        }
    }

    /// The results that are there, in the order of the calls.
    pub(super) fn results(&self) -> impl Iterator<Item = &'a Value> {
        self.calls.iter().filter_map(|call| call.result)
    }

    /// How often a tool answered with an error.
    pub(super) fn failures(&self, name: &str) -> usize {
        self.calls
            .iter()
            .filter(|call| call.name == name && call.has_failed())
            .count()
    }

    pub(super) fn has_called(&self, name: &str) -> bool {
        self.calls.iter().any(|call| call.name == name)
    }
}

impl Called<'_> {
    pub(super) fn has_failed(&self) -> bool {
        self.result
            .is_some_and(|result| result["status"] == "error")
    }
}

/// Whether a message is more than the results of tools.
fn says_something(message: &Value) -> bool {
    array(&message["content"])
        .iter()
        .any(|block| block.get("toolResult").is_none() && block.get("cachePoint").is_none())
}

fn blocks<'a>(messages: &'a [Value], kind: &'static str) -> impl Iterator<Item = &'a Value> {
    messages
        .iter()
        .flat_map(|message| array(&message["content"]))
        .filter_map(move |block| block.get(kind))
}
