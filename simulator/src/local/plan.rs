//! What the answer to a request may be: words, a call, or JSON of a certain form.

use serde_json::Value;

use super::{
    conversation::{self, Conversation, Tool},
    grammar,
};
use crate::wire::Request;

/// Calls that answer one question, after which the model must answer in words; a small model
/// would go on with the same one, or with one that makes no sense.
const MAX_CALLS: usize = 8;
const MAX_CALLS_OF_SMALL: usize = 1;

/// Parameters below which a model is small. A guess: with 0.5 billion it is, by trial.
const SMALL: u64 = 3_000_000_000;

/// What the answer to a request may be.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) tools: Vec<Tool>,
    pub(super) schema: Option<Value>,
    pub(super) grammar: Option<String>,
    /// Words rather than JSON.
    pub(super) is_free: bool,
    /// The results are told by the user.
    pub(super) retells: bool,
}

impl Plan {
    pub(super) fn of(request: &Request, conversation: &Conversation, parameters: u64) -> Self {
        let most_calls = if parameters < SMALL {
            MAX_CALLS_OF_SMALL
        } else {
            MAX_CALLS
        };
        let mut tools = conversation::tools(request);
        let earlier = conversation.calls_of_round();
        let choice = &request.conversation()["toolConfig"]["toolChoice"];
        let is_forced = choice.get("any").is_some() || choice.get("tool").is_some();
        if tools.is_empty() {
            return Self::words(request);
        }
        // A forced call that was made is not made for ever.
        if earlier >= most_calls || is_forced && earlier > 0 {
            return Self::words(request);
        }
        if let Some(name) = choice["tool"]["name"].as_str() {
            tools.retain(|tool| tool.name == name);
        }
        let all: Vec<&Tool> = tools.iter().collect();
        let schema = schema(request);
        let grammar = match &schema {
            _ if is_forced => grammar::calls(&all),
            Some(schema) => grammar::calls_or_json(&all, schema),
            None => grammar::calls_or_text(&all),
        };
        Self {
            is_free: !is_forced && schema.is_none(),
            schema: schema.filter(|_| !is_forced),
            tools,
            grammar,
            retells: false,
        }
    }

    /// No calls, whatever is declared: text, or the JSON that is asked for.
    fn words(request: &Request) -> Self {
        let schema = schema(request);
        Self {
            tools: Vec::new(),
            grammar: schema.as_ref().and_then(grammar::json),
            is_free: schema.is_none(),
            schema,
            retells: true,
        }
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.tools.iter().map(|tool| tool.name.clone()).collect()
    }
}

/// The schema of the JSON that the request wants instead of words.
fn schema(request: &Request) -> Option<Value> {
    let format = &request.conversation()["outputConfig"]["textFormat"];
    let schema = format["structure"]["jsonSchema"]["schema"].as_str()?;
    serde_json::from_str(schema).ok()
}
